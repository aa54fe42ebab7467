/* Cells that processes share: sums over living and dead ones, places that are taken over, and files that will
 * not do. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "metrics/shared.h"
#include "support_suite.h"

static char folder[32], path[64];
static weir_error error;

static void set_up(void) {
    strcpy(folder, "/tmp/weir-shared-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/metrics", folder);
    error = (weir_error)WEIR_ERROR_INIT;
}
static void tear_down(void) {
    weir_error_clear(&error);
    unlink(path);
    rmdir(folder);
}

static weir__shared *join(const char *name) {
    weir__shared *shared = NULL;
    int code = weir__shared_join(path, name, "sqlite", &shared, &error);
    ck_assert_msg(code == WEIR_OK, "%s", error.message);
    return shared;
}

static struct {
    int names;
    uint64_t started, waits, alerts, failures;
    int64_t idle;
} got;

static void take(void *unused, const weir__shared_sum *sum) {
    (void)unused;
    got.names++;
    got.started += sum->cells.checkouts_started;
    got.waits += sum->cells.wait.count;
    got.alerts += sum->cells.alerts[WEIR_ALERT_SLOW_CHECKOUTS];
    got.failures += sum->cells.failures[WEIR_ELOST - 1].buckets[0];
    got.idle += sum->gauges.idle;
}

/* What others, and all of the past, come to. */
static void look(weir__shared *shared, const char *name) {
    memset(&got, 0, sizeof got);
    ck_assert(weir__shared_visit(shared, name, take, NULL));
}

/* Counts so many checkouts and waits, with so many idle connections. */
static void count(weir__shared *shared, int n, int64_t idle) {
    weir_snapshot gauges = {.idle = idle};
    weir__cells *cells = weir__shared_cells(shared);
    for (int i = 0; i < n; i++) {
        cells->checkouts_started++;
        cells->alerts[WEIR_ALERT_SLOW_CHECKOUTS]++;
        weir__failure_record(cells->failures, WEIR_ELOST - 1, 1000);
        weir__histogram_record(&cells->wait, 1000 * (i + 1));
    }
    weir__shared_publish(shared, &gauges);
}

/* Where a place is in the file; it begins with its state, and whose turn its `now` is of. */
static off_t place_at(int fd, int index) {
    struct stat stat;
    ck_assert_int_eq(fstat(fd, &stat), 0);
    return 4096 + index * ((stat.st_size - 4096) / WEIR__SHARED_PLACES);
}

/* So many places have been somebody's. */
static int places(void) {
    int fd = open(path, O_RDONLY), n = 0;
    uint64_t state;
    while (pread(fd, &state, sizeof state, place_at(fd, n)) == sizeof state && state) n++;
    close(fd);
    return n;
}

START_TEST(others_count_and_so_do_those_before) {
    weir__shared *a = join("pool"), *b = join("pool"), *other = join("other");
    count(a, 1, 1);
    count(b, 10, 2);
    count(other, 100, 4);
    look(a, "pool"); /* its own part it knows better */
    ck_assert(got.names == 1 && got.started == 10 && got.waits == 10 && got.idle == 2);
    look(a, NULL);
    ck_assert(got.names == 2 && got.started == 110 && got.idle == 6);
    look(a, "none");
    ck_assert_int_eq(got.names, 0);
    weir__shared_leave(b);
    look(a, "pool"); /* what was counted stays, its gauges are gone */
    ck_assert(got.started == 10 && got.waits == 10 && got.idle == 0);
    b = join("pool");
    ck_assert_uint_eq(weir__shared_cells(b)->checkouts_started, 0); /* begins anew, in b's place */
    count(b, 3, 8);
    look(a, "pool");
    ck_assert(got.started == 13 && got.waits == 13 && got.idle == 8);
    ck_assert(got.alerts == 13 && got.failures == 13);
    look(b, "pool");
    ck_assert(got.started == 11 && got.idle == 1);
    ck_assert(weir__shared_same(a, b) && !weir__shared_same(a, NULL));
    weir__shared_leave(a);
    weir__shared_leave(b);
    weir__shared_leave(other);
    weir__shared_leave(NULL);
    a = join("pool");
    look(a, "pool");
    ck_assert(got.started == 14 && got.idle == 0);
    weir__shared_leave(a);
}
END_TEST

START_TEST(places_are_used_again) {
    weir__shared *keeper = join("keeper");
    for (int i = 0; i < 40; i++) {
        weir__shared *shared = join("pool");
        count(shared, 1, 1);
        weir__shared_leave(shared);
    }
    ck_assert_int_eq(places(), 2);
    look(keeper, "pool");
    ck_assert_uint_eq(got.started, 40);
    weir__shared_leave(keeper);
}
END_TEST

START_TEST(a_full_file_says_so) {
    static weir__shared *all[WEIR__SHARED_PLACES];
    for (int i = 0; i < WEIR__SHARED_PLACES; i++) all[i] = join("pool");
    weir__shared *more = NULL;
    ck_assert_int_eq(weir__shared_join(path, "pool", "sqlite", &more, &error), WEIR_EOPTION);
    ck_assert_ptr_nonnull(strstr(error.message, "all of its 256 places are taken"));
    for (int i = 0; i < WEIR__SHARED_PLACES; i++) weir__shared_leave(all[i]);
    weir__shared_leave(join("pool"));
}
END_TEST

START_TEST(names_that_are_gone_make_room) {
    char name[16];
    weir__shared *keeper = join("keeper"), *shared = join("keeper");
    count(shared, 5, 0);
    weir__shared_leave(shared);
    for (int i = 2; i < WEIR__SHARED_PLACES; i++) {
        snprintf(name, sizeof name, "gone %d", i);
        shared = join(name);
        count(shared, 1, 0);
        weir__shared_leave(shared);
    }
    shared = join("late");
    look(keeper, "late");
    ck_assert(got.names == 1 && got.started == 0 && got.waits == 0); /* nothing of who was there */
    count(shared, 2, 0);
    look(keeper, "late");
    ck_assert_uint_eq(got.started, 2);
    look(keeper, "keeper"); /* the name is still there */
    ck_assert_uint_eq(got.started, 5);
    look(keeper, "gone 2");
    ck_assert_int_eq(got.names, 0);
    look(keeper, NULL);
    ck_assert_int_eq(got.names, WEIR__SHARED_PLACES - 1);
    weir__shared_leave(keeper);
    weir__shared_leave(shared);
}
END_TEST

static void refused(const char *file, const char *name, const char *words) {
    weir__shared *shared = NULL;
    long live = weir__alloc_live();
    ck_assert_int_eq(weir__shared_join(file, name, "sqlite", &shared, &error), WEIR_EOPTION);
    ck_assert_msg(strstr(error.message, words), "%s", error.message);
    ck_assert_ptr_null(shared);
    weir_error_clear(&error);
    ck_assert_int_eq(weir__alloc_live(), live);
}

static void write_file(const char *text, size_t length) {
    FILE *file = fopen(path, "r+");
    if (!file) file = fopen(path, "w");
    ck_assert_uint_eq(fwrite(text, 1, length, file), length);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(other_files_are_left_alone) {
    static const char foreign[] = "# a configuration\n";
    char long_name[WEIR__SHARED_NAME + 1], link[80], text[64];
    refused("/nowhere/at/all", "pool", "metrics_shared=/nowhere/at/all: No such file or directory");
    refused(folder, "pool", "Is a directory");
    memset(long_name, 'n', sizeof long_name);
    long_name[WEIR__SHARED_NAME] = '\0';
    refused(path, long_name, "name is too long for metrics_shared");
    write_file(foreign, sizeof foreign - 1);
    refused(path, "pool", "none of weirpool's");
    FILE *file = fopen(path, "r");
    ck_assert_uint_eq(fread(text, 1, sizeof text, file), sizeof foreign - 1);
    ck_assert_mem_eq(text, foreign, sizeof foreign - 1);
    fclose(file);
    unlink(path);
    weir__shared_leave(join("pool"));
    write_file("weirpool\2", 9); /* a later format */
    refused(path, "pool", "another version of weirpool");
    unlink(path);
    snprintf(link, sizeof link, "%s/link", folder);
    weir__shared_leave(join("pool"));
    ck_assert_int_eq(symlink(path, link), 0);
    refused(link, "pool", "symbolic link");
    unlink(link);
}
END_TEST

/* Whoever was about to make the file and was killed. */
START_TEST(an_unfinished_file_is_finished) {
    weir__shared *a = join("pool");
    count(a, 5, 0);
    weir__shared_leave(a);
    struct stat before, after;
    stat(path, &before);
    ck_assert_int_eq(truncate(path, 100), 0);
    a = join("pool");
    stat(path, &after);
    ck_assert_int_eq(before.st_size, after.st_size);
    count(a, 5, 0);
    weir__shared_leave(a);
    ck_assert_int_eq(truncate(path, 0), 0);
    weir__shared_leave(join("pool"));
}
END_TEST

/* Where the disk is full a look at a hole would be a signal: of each place there is the first page. */
START_TEST(places_to_come_have_their_room) {
    weir__shared *shared = join("pool");
    struct stat stat;
    int fd = open(path, O_RDONLY);
    ck_assert_int_eq(fstat(fd, &stat), 0);
    close(fd);
    ck_assert_int_ge(stat.st_blocks, WEIR__SHARED_PLACES * (4096 / 512));
    weir__shared_leave(shared);
}
END_TEST

START_TEST(survives_lack_of_memory) {
    weir__shared *shared = NULL;
    weir__alloc_fail_at(1, false);
    ck_assert_int_eq(weir__shared_join(path, "pool", "sqlite", &shared, &error), WEIR_ENOMEM);
    weir__alloc_fail_at(0, false);
    ck_assert_ptr_null(shared);
}
END_TEST

/* A kill between the step to a new sum, which has what was counted before, and the beginning anew. */
START_TEST(what_is_in_the_sum_does_not_count_again) {
    weir__shared *a = join("pool"), *b = join("pool");
    count(b, 5, 0);
    weir__shared_leave(b);
    int fd = open(path, O_RDWR);
    off_t place = place_at(fd, 1);
    uint64_t words[2];
    ck_assert_int_eq(pread(fd, words, sizeof words, place), sizeof words);
    ck_assert_uint_eq(words[0] / 2, words[1]);
    words[1]--;
    ck_assert_int_eq(pwrite(fd, words, sizeof words, place), sizeof words);
    close(fd);
    look(a, "pool");
    ck_assert_uint_eq(got.started, 0);
    b = join("pool");
    count(b, 3, 0);
    look(a, "pool");
    ck_assert_uint_eq(got.started, 3);
    weir__shared_leave(a);
    weir__shared_leave(b);
}
END_TEST

/* ---- processes */

static pid_t start(void (*work)(void *), void *arg) {
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child) return child;
    work(arg);
    _exit(0);
}

static void kill_now(pid_t child) {
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}

static int pipe_ends[2];

static void say(void) { ck_assert_int_eq(write(pipe_ends[1], "x", 1), 1); }
static void hear(void) {
    char x;
    ck_assert_int_eq(read(pipe_ends[0], &x, 1), 1);
}

static void worker(void *arg) {
    count(join("pool"), *(int *)arg, 1);
    say();
    for (;;) pause();
}

START_TEST(a_killed_worker_has_counted) {
    ck_assert_int_eq(pipe(pipe_ends), 0);
    weir__shared *master = join("pool");
    int counts[] = {1, 10, 100, 1000};
    pid_t workers[4];
    for (int i = 0; i < 3; i++) workers[i] = start(worker, &counts[i]);
    for (int i = 0; i < 3; i++) hear();
    look(master, "pool");
    ck_assert(got.started == 111 && got.idle == 3);
    kill_now(workers[1]);
    look(master, "pool");
    ck_assert(got.started == 111 && got.waits == 111 && got.idle == 2);
    int before = places();
    workers[1] = start(worker, &counts[3]);
    hear();
    look(master, "pool");
    ck_assert(got.started == 1111 && got.waits == 1111 && got.idle == 3);
    ck_assert_int_eq(places(), before);
    for (int i = 0; i < 3; i++) kill_now(workers[i]);
    look(master, "pool");
    ck_assert(got.started == 1111 && got.idle == 0);
    weir__shared_leave(master);
}
END_TEST

static void heir(void *unused) {
    (void)unused;
    say();
    for (;;) pause();
}

/* The place is free although a child of its holder's lives. */
START_TEST(a_child_does_not_keep_its_parents_place) {
    ck_assert_int_eq(pipe(pipe_ends), 0);
    weir__shared *witness = join("pool"), *parent = join("pool");
    count(parent, 7, 7);
    pid_t child = start(heir, NULL);
    hear();
    look(witness, "pool");
    ck_assert(got.started == 7 && got.idle == 7);
    weir__shared_leave(parent);
    look(witness, "pool");
    ck_assert(got.started == 7 && got.idle == 0);
    kill_now(child);
    weir__shared_leave(witness);
}
END_TEST

/* Joins, counts and leaves for ever, with a tally beside that nobody takes away. */
static void restless(void *arg) {
    uint64_t *tally = arg;
    for (;;) {
        weir__shared *shared = join("pool");
        for (int i = 0; i < 5; i++) {
            weir__shared_cells(shared)->checkouts_started++;
            __atomic_add_fetch(tally, 1, __ATOMIC_SEQ_CST);
        }
        weir__shared_leave(shared);
    }
}

/* Killed at any point, also while it takes a place over: nothing is lost, nothing counts twice. */
START_TEST(kills_at_any_point_lose_nothing) {
    enum { KILLS = 40 };
    uint64_t *tally = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(tally != MAP_FAILED);
    weir__shared *master = join("pool");
    uint64_t last = 0, goal = 0;
    for (int i = 0; i < KILLS; i++) {
        pid_t children[] = {start(restless, tally), start(restless, tally)};
        goal = __atomic_load_n(tally, __ATOMIC_SEQ_CST) + 1 + (uint64_t)(i * 37 % 100);
        while (__atomic_load_n(tally, __ATOMIC_SEQ_CST) < goal) {
            look(master, "pool");
            ck_assert_uint_ge(got.started, last); /* counters never fall */
            last = got.started;
        }
        kill_now(children[0]);
        kill_now(children[1]);
    }
    look(master, "pool");
    ck_assert_uint_ge(got.started, *tally);
    ck_assert_uint_le(got.started, *tally + 2 * KILLS); /* between the count and the tally */
    ck_assert_int_le(places(), 3);
    weir__shared_leave(master);
    munmap(tally, 4096);
}
END_TEST

static void lock_all(void *unused) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    (void)unused;
    int fd = open(path, O_RDWR);
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) say();
    for (;;) pause();
}

START_TEST(a_stopped_process_stops_nobody) {
    ck_assert_int_eq(pipe(pipe_ends), 0);
    weir__shared *shared = join("pool");
    pid_t child = start(lock_all, NULL);
    hear();
    ck_assert(!weir__shared_visit(shared, NULL, take, NULL));
    refused(path, "pool", "it stays locked by another process");
    kill_now(child);
    look(shared, NULL);
    weir__shared_leave(shared);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("shared");
    TCase *tests = tcase_create("shared");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, others_count_and_so_do_those_before);
    tcase_add_test(tests, places_are_used_again);
    tcase_add_test(tests, a_full_file_says_so);
    tcase_add_test(tests, names_that_are_gone_make_room);
    tcase_add_test(tests, other_files_are_left_alone);
    tcase_add_test(tests, an_unfinished_file_is_finished);
    tcase_add_test(tests, places_to_come_have_their_room);
    tcase_add_test(tests, what_is_in_the_sum_does_not_count_again);
    tcase_add_test(tests, survives_lack_of_memory);
    tcase_add_test(tests, a_killed_worker_has_counted);
    tcase_add_test(tests, a_child_does_not_keep_its_parents_place);
    tcase_add_test(tests, kills_at_any_point_lose_nothing);
    tcase_add_test(tests, a_stopped_process_stops_nobody);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
