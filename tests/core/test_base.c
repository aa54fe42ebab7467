/* The small parts of base: alloc, buffer, list, log, clock, rng, value, fork. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weirpool/value.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/list.h"
#include "base/log.h"
#include "base/rng.h"
#include "support_suite.h"

/* ---- alloc ---- */

START_TEST(alloc_fails_at_k) {
    void *blocks[5];
    weir__alloc_fail_at(3, false);
    for (int i = 0; i < 5; i++) blocks[i] = weir__malloc(8);
    ck_assert_int_eq(weir__alloc_count(), 5);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(blocks[i] == NULL, i == 2);
        weir__free(blocks[i]);
    }
}
END_TEST

START_TEST(alloc_fails_from_k_when_sticky) {
    void *block = weir__malloc(8);
    weir__alloc_fail_at(2, true);
    void *first = weir__calloc(1, 8);
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(weir__malloc(8));
    ck_assert_ptr_null(weir__calloc(1, 8));
    ck_assert_ptr_null(weir__realloc(NULL, 8));
    ck_assert_ptr_null(weir__realloc(block, 16));
    ck_assert_ptr_null(weir__strndup("a", 1));
    ck_assert_int_eq(weir__alloc_count(), 6);
    weir__alloc_fail_at(0, true);
    void *again = weir__malloc(8);
    ck_assert_ptr_nonnull(again);
    weir__free(again);
    weir__free(first);
    weir__free(block);
}
END_TEST

START_TEST(alloc_counts_live_blocks) {
    long before = weir__alloc_live();
    void *a = weir__malloc(1), *b = weir__calloc(2, 3), *c = weir__realloc(NULL, 5);
    char *d = weir__strndup("word", 2);
    ck_assert_int_eq(weir__alloc_live() - before, 4);
    c = weir__realloc(c, 5000);
    ck_assert_int_eq(weir__alloc_live() - before, 4);
    ck_assert_str_eq(d, "wo");
    weir__alloc_fail_at(1, true);
    ck_assert_ptr_null(weir__malloc(1));
    ck_assert_int_eq(weir__alloc_live() - before, 4);
    weir__alloc_fail_at(0, false);
    weir__free(a);
    weir__free(b);
    weir__free(c);
    weir__free(d);
    weir__free(NULL);
    ck_assert_int_eq(weir__alloc_live() - before, 0);
}
END_TEST

START_TEST(alloc_of_nothing_is_a_block) {
    void *a = weir__malloc(0), *b = weir__calloc(0, 8), *c = weir__realloc(NULL, 0);
    char *d = weir__strndup(NULL, 0);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    c = weir__realloc(c, 0);
    ck_assert_ptr_nonnull(c);
    ck_assert_str_eq(d, "");
    volatile size_t many = SIZE_MAX / 2; /* volatile: else the compiler refuses to compile it */
    ck_assert_ptr_null(weir__calloc(many, 3));
    ck_assert_ptr_null(weir__strndup("", many * 2 + 1));
    weir__free(a);
    weir__free(b);
    weir__free(c);
    weir__free(d);
}
END_TEST

static void *allocate_many(void *arg) {
    long *failed = arg;
    for (int i = 0; i < 1000; i++) {
        void *block = weir__malloc(16);
        if (!block) ++*failed;
        weir__free(block);
    }
    return NULL;
}

START_TEST(alloc_hook_is_shared_by_threads) {
    pthread_t threads[4];
    long failed[4] = {0}, before = weir__alloc_live();
    weir__alloc_fail_at(1500, false);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, allocate_many, &failed[i]), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    ck_assert_int_eq(failed[0] + failed[1] + failed[2] + failed[3], 1);
    ck_assert_int_eq(weir__alloc_count(), 4000);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

/* ---- buffer ---- */

START_TEST(buffer_appends) {
    weir__buffer buffer = WEIR__BUFFER_INIT;
    ck_assert_str_eq(weir__buffer_string(&buffer), "");
    weir__buffer_text(&buffer, "select ");
    weir__buffer_char(&buffer, '$');
    weir__buffer_printf(&buffer, "%d, %s", 1, "x");
    weir__buffer_append(&buffer, NULL, 0);
    weir__buffer_append(&buffer, "a\0b", 3);
    memcpy(weir__buffer_reserve(&buffer, 2), "cd", 2);
    ck_assert_uint_eq(buffer.length, 17);
    ck_assert_mem_eq(weir__buffer_string(&buffer), "select $1, xa\0bcd", 18);
    weir__buffer_clear(&buffer);
    ck_assert_uint_eq(buffer.length, 0);
    ck_assert_ptr_nonnull(buffer.data);
    ck_assert_ptr_nonnull(weir__buffer_reserve(&buffer, 0));
    weir__buffer_free(&buffer);
    weir__buffer_free(&buffer);
    ck_assert_ptr_null(buffer.data);
}
END_TEST

START_TEST(buffer_grows) {
    weir__buffer buffer = WEIR__BUFFER_INIT;
    for (int i = 0; i < 20000; i++) weir__buffer_printf(&buffer, "%05d", i);
    ck_assert_uint_eq(buffer.length, 100000);
    for (int i = 0; i < 20000; i++) {
        char digits[6] = {0};
        memcpy(digits, buffer.data + 5 * i, 5);
        ck_assert_int_eq(atoi(digits), i);
    }
    char *long_text = weir__malloc(100001);
    memset(long_text, 'y', 100000);
    long_text[100000] = '\0';
    weir__buffer_printf(&buffer, "<%s>", long_text);
    ck_assert_uint_eq(buffer.length, 200002);
    ck_assert_int_eq(buffer.data[200001], '>');
    weir__free(long_text);
    weir__buffer_free(&buffer);
}
END_TEST

/* The length at which a text just fills what is there, and one more and one less. */
START_TEST(buffer_printf_at_the_edge) {
    for (int length = 60; length < 70; length++) {
        weir__buffer buffer = WEIR__BUFFER_INIT;
        weir__buffer_printf(&buffer, "%0*d", length, 7);
        ck_assert_uint_eq(buffer.length, (size_t)length);
        const char *text = weir__buffer_string(&buffer);
        ck_assert_uint_eq(strlen(text), (size_t)length);
        ck_assert_int_eq(text[length - 1], '7');
        weir__buffer_free(&buffer);
    }
}
END_TEST

START_TEST(buffer_steal) {
    long before = weir__alloc_live();
    weir__buffer buffer = WEIR__BUFFER_INIT;
    weir__buffer_text(&buffer, "given away");
    char *text = weir__buffer_steal(&buffer);
    ck_assert_str_eq(text, "given away");
    ck_assert_ptr_null(buffer.data);
    ck_assert_uint_eq(buffer.length, 0);
    weir__free(text);
    text = weir__buffer_steal(&buffer);
    ck_assert_str_eq(text, "");
    weir__free(text);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

START_TEST(buffer_stays_broken) {
    long before = weir__alloc_live();
    weir__buffer buffer = WEIR__BUFFER_INIT;
    weir__buffer_text(&buffer, "kept");
    weir__alloc_fail_at(1, false); /* that one only: the mark, not the memory, must stop what follows */
    for (int i = 0; i < 100; i++) weir__buffer_text(&buffer, "0123456789");
    ck_assert(buffer.broken);
    size_t length = buffer.length;
    weir__buffer_char(&buffer, 'c');
    weir__buffer_printf(&buffer, "%d", 1);
    ck_assert_ptr_null(weir__buffer_reserve(&buffer, 0));
    ck_assert_ptr_null(weir__buffer_string(&buffer));
    ck_assert_ptr_null(weir__buffer_steal(&buffer));
    ck_assert_uint_eq(buffer.length, length);
    ck_assert_mem_eq(buffer.data, "kept0123456789", 14);
    weir__buffer_clear(&buffer);
    ck_assert(buffer.broken);
    weir__buffer_free(&buffer);
    ck_assert(!buffer.broken);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

START_TEST(buffer_fails_at_each_step) {
    for (long k = 1;; k++) {
        long before = weir__alloc_live();
        weir__buffer buffer = WEIR__BUFFER_INIT;
        weir__alloc_fail_at(k, false);
        weir__buffer_printf(&buffer, "%s", "begin");
        for (int i = 0; i < 50; i++) weir__buffer_text(&buffer, "0123456789");
        weir__buffer_printf(&buffer, "%0600d", 1);
        char *text = weir__buffer_steal(&buffer);
        bool has_failed = weir__alloc_count() >= k;
        weir__alloc_fail_at(0, false);
        ck_assert_int_eq(text == NULL, has_failed);
        if (text) ck_assert_uint_eq(strlen(text), 5 + 500 + 600);
        weir__free(text);
        weir__buffer_free(&buffer);
        ck_assert_int_eq(weir__alloc_live(), before);
        if (!has_failed) {
            ck_assert_int_gt(k, 3);
            return;
        }
    }
}
END_TEST

START_TEST(buffer_refuses_absurd_sizes) {
    weir__buffer buffer = WEIR__BUFFER_INIT;
    weir__buffer_text(&buffer, "ab");
    volatile size_t most = SIZE_MAX;
    ck_assert_ptr_null(weir__buffer_reserve(&buffer, most));
    ck_assert(buffer.broken);
    weir__buffer_free(&buffer);
    ck_assert_ptr_null(weir__buffer_reserve(&buffer, most / 2 + 1));
    ck_assert(buffer.broken);
    weir__buffer_free(&buffer);
}
END_TEST

/* ---- list ---- */

typedef struct item {
    int number;
    weir__link link;
} item;

static int number_of(weir__link *link) { return weir__container(link, item, link)->number; }

START_TEST(list_keeps_order) {
    weir__link list, other;
    item items[6];
    weir__list_init(&list);
    weir__list_init(&other);
    ck_assert(weir__list_empty(&list));
    ck_assert_ptr_null(weir__list_front(&list));
    ck_assert_ptr_null(weir__list_pop_front(&list));
    for (int i = 0; i < 6; i++) items[i].number = i;
    weir__list_push_back(&list, &items[1].link);
    weir__list_push_back(&list, &items[3].link);
    weir__list_push_front(&list, &items[0].link);
    weir__list_insert_before(&items[3].link, &items[2].link);
    weir__list_push_back(&other, &items[4].link);
    weir__list_push_back(&other, &items[5].link);
    weir__list_splice(&list, &other);
    weir__list_splice(&list, &other); /* empty now */
    ck_assert(weir__list_empty(&other));
    int i = 0;
    for (weir__link *link = list.next; link != &list; link = link->next)
        ck_assert_int_eq(number_of(link), i++);
    ck_assert_int_eq(i, 6);
    for (weir__link *link = list.prev; link != &list; link = link->prev)
        ck_assert_int_eq(number_of(link), --i);
    ck_assert_int_eq(i, 0);
}
END_TEST

START_TEST(list_removes) {
    weir__link list;
    item items[3];
    weir__list_init(&list);
    for (int i = 0; i < 3; i++) {
        items[i].number = i;
        weir__list_push_back(&list, &items[i].link);
    }
    weir__list_remove(&items[1].link);
    ck_assert(!weir__list_linked(&items[1].link));
    weir__list_remove(&items[1].link);
    ck_assert(weir__list_linked(&items[0].link));
    ck_assert_int_eq(number_of(weir__list_front(&list)), 0);
    ck_assert_int_eq(number_of(weir__list_pop_front(&list)), 0);
    ck_assert_int_eq(number_of(weir__list_pop_front(&list)), 2);
    ck_assert(weir__list_empty(&list));
    ck_assert(!weir__list_linked(&items[2].link));
}
END_TEST

/* ---- log ---- */

static weir_log_record logged;
static int log_lines;

static void keep_line(void *arg, weir_log_level level, const char *line) {
    ck_assert_ptr_eq(arg, &logged);
    ck_assert_uint_lt(strlen(line), WEIR_LOG_LINE_MAX);
    logged.level = level;
    strcpy(logged.line, line);
    log_lines++;
}

START_TEST(log_respects_its_level) {
    weir__log log = {keep_line, &logged, WEIR_LOG_WARNING};
    weir__logf(NULL, WEIR_LOG_ERROR, "dropped");
    weir__logf(&log, WEIR_LOG_INFO, "dropped");
    ck_assert_int_eq(log_lines, 0);
    weir__logf(&log, WEIR_LOG_WARNING, "%s is %d", "x", 3);
    ck_assert_int_eq(log_lines, 1);
    ck_assert_int_eq(logged.level, WEIR_LOG_WARNING);
    ck_assert_str_eq(logged.line, "x is 3");
}
END_TEST

START_TEST(log_lines_are_single) {
    weir__log log = {keep_line, &logged, WEIR_LOG_DEBUG};
    weir__logf(&log, WEIR_LOG_ERROR, "server said: %s", "one\r\ntwo\x1b[31m\x7f\tthree \xc3\xa9");
    ck_assert_str_eq(logged.line, "server said: one  two [31m  three \xc3\xa9");
}
END_TEST

START_TEST(log_cuts_between_characters) {
    static const char *const characters[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x9f"};
    weir__log log = {keep_line, &logged, WEIR_LOG_DEBUG};
    for (size_t size = 1; size <= 4; size++) {
        for (size_t shift = 0; shift < size; shift++) {
            char text[700] = "---";
            text[shift] = '\0';
            for (size_t i = shift; i + size < sizeof text; i += size) strcat(text, characters[size - 1]);
            weir__logf(&log, WEIR_LOG_INFO, "%s", text);
            size_t whole = shift + (511 - shift) / size * size;
            ck_assert_uint_eq(strlen(logged.line), whole);
            ck_assert_mem_eq(logged.line, text, whole);
        }
    }
}
END_TEST

START_TEST(log_survives_broken_utf8) {
    weir__log log = {keep_line, &logged, WEIR_LOG_DEBUG};
    char text[700];
    memset(text, 0x80, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    weir__logf(&log, WEIR_LOG_INFO, "%s", text);
    ck_assert_uint_ge(strlen(logged.line), 507);
}
END_TEST

/* ---- clock, rng, value ---- */

static int64_t fake_now(void *arg) { return *(int64_t *)arg; }

START_TEST(clock_is_monotonic_and_injectable) {
    int64_t a = weir__now(&weir__monotonic), b = weir__now(&weir__monotonic);
    ck_assert_int_gt(a, 0);
    ck_assert_int_ge(b, a);
    int64_t now = 42;
    weir__clock fake = {fake_now, &now};
    ck_assert_int_eq(weir__now(&fake), 42);
    now = 43;
    ck_assert_int_eq(weir__now(&fake), 43);
}
END_TEST

START_TEST(deadlines_do_not_overflow) {
    ck_assert_int_eq(weir__deadline(5, 0), 5);
    ck_assert_int_eq(weir__deadline(5, 2), 5 + 2 * WEIR__MS);
    ck_assert_int_eq(weir__deadline(5, -1), WEIR__NEVER);
    ck_assert_int_eq(weir__deadline(5, INT64_MAX), WEIR__NEVER);
    ck_assert_int_eq(weir__deadline(INT64_MAX - 1, 1), WEIR__NEVER);
    int64_t most = (INT64_MAX - 5) / WEIR__MS;
    ck_assert_int_eq(weir__deadline(5, most), 5 + most * WEIR__MS);
    ck_assert_int_eq(weir__deadline(5, most + 1), WEIR__NEVER);
}
END_TEST

START_TEST(rng_replays_and_spreads) {
    weir__rng a = {7}, b = {7}, c = {8};
    int cells[10] = {0}, differ = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t x = weir__random(&a);
        ck_assert_uint_eq(x, weir__random(&b));
        differ += x != weir__random(&c);
        int64_t below = weir__random_below(&a, 10);
        ck_assert(below >= 0 && below < 10);
        cells[below]++;
        weir__random(&b);
    }
    ck_assert_int_eq(differ, 10000);
    for (int i = 0; i < 10; i++) ck_assert(cells[i] > 800 && cells[i] < 1200);
    ck_assert_int_eq(weir__random_below(&a, 0), 0);
    ck_assert_int_eq(weir__random_below(&a, -3), 0);
}
END_TEST

START_TEST(types_have_names) {
    ck_assert_str_eq(weir_type_name(WEIR_TYPE_NULL), "null");
    ck_assert_str_eq(weir_type_name(WEIR_TYPE_NUMERIC), "numeric");
    ck_assert_str_eq(weir_type_name(WEIR_TYPE_BYTES), "bytes");
    ck_assert_ptr_null(weir_type_name((weir_type)1000));
}
END_TEST

/* ---- fork ---- */

static int fork_and_count(unsigned before) {
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) _exit((int)(weir__fork_count() - before));
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(fork_is_seen_in_the_child) {
    unsigned before = weir__fork_count();
    ck_assert(weir__fork_watch());
    ck_assert(weir__fork_watch());
    ck_assert_int_eq(fork_and_count(before), 1);
    ck_assert_int_eq(fork_and_count(before), 1);
    ck_assert_uint_eq(weir__fork_count(), before);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("base");
    TCase *tests = tcase_create("base");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, alloc_fails_at_k);
    tcase_add_test(tests, alloc_fails_from_k_when_sticky);
    tcase_add_test(tests, alloc_counts_live_blocks);
    tcase_add_test(tests, alloc_of_nothing_is_a_block);
    tcase_add_test(tests, alloc_hook_is_shared_by_threads);
    tcase_add_test(tests, buffer_appends);
    tcase_add_test(tests, buffer_grows);
    tcase_add_test(tests, buffer_printf_at_the_edge);
    tcase_add_test(tests, buffer_steal);
    tcase_add_test(tests, buffer_stays_broken);
    tcase_add_test(tests, buffer_fails_at_each_step);
    tcase_add_test(tests, buffer_refuses_absurd_sizes);
    tcase_add_test(tests, list_keeps_order);
    tcase_add_test(tests, list_removes);
    tcase_add_test(tests, log_respects_its_level);
    tcase_add_test(tests, log_lines_are_single);
    tcase_add_test(tests, log_cuts_between_characters);
    tcase_add_test(tests, log_survives_broken_utf8);
    tcase_add_test(tests, clock_is_monotonic_and_injectable);
    tcase_add_test(tests, deadlines_do_not_overflow);
    tcase_add_test(tests, rng_replays_and_spreads);
    tcase_add_test(tests, types_have_names);
    tcase_add_test(tests, fork_is_seen_in_the_child);
    return run_suite(suite);
}
