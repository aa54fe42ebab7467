#include "metrics/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "metrics/render.h"

#define MAGIC "weirpool"
enum { FORMAT = 1, PAGE = 4096, STABLE_TRIES = 100 };
/* Milliseconds for which the lock is asked for: to read, which a host may do again; and to join, which
   readers that come one upon the other may hold up, and which comes once. */
enum { READ_TRIES = 100, JOIN_TRIES = 500 };

/* What the file begins with. A process that finds another header leaves the file alone. */
typedef struct header {
    char magic[8];
    uint32_t version, places;
    uint64_t place_size, layout; /* a hash of the fields' names */
} header;

typedef struct place {
    /* The turn of the last holder, times two, plus which of the sums counts; 0: nobody has had the place. */
    _Atomic uint64_t state;
    _Atomic uint64_t now_turn; /* whose turn `now` is of */
    char name[WEIR__SHARED_NAME], system[WEIR__SHARED_SYSTEM];
    int64_t gauges[sizeof(weir_snapshot) / sizeof(int64_t)]; /* the gauges come first in a snapshot */
    weir__cells past[2], now;
} place;

enum {
    /* Each place in pages of its own: of one that nobody has had there is the first page alone. */
    PLACE_SIZE = (sizeof(place) + PAGE - 1) / PAGE * PAGE,
    FILE_SIZE = PAGE + WEIR__SHARED_PLACES * PLACE_SIZE,
};

struct weir__shared {
    weir__link link; /* in the list of all */
    int fd;
    char *map;
    size_t index;
    dev_t device;
    ino_t inode;
};

static place *place_at(const weir__shared *shared, size_t index) {
    return (place *)(shared->map + PAGE + index * PLACE_SIZE);
}

/* ---- forks: a child that kept a descriptor open would hold its parent's locks beyond his death */

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static weir__link all = {&all, &all};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool forks_watched;

static void before_fork(void) { pthread_mutex_lock(&list_lock); }
static void in_parent(void) { pthread_mutex_unlock(&list_lock); }
static void in_child(void) {
    for (weir__link *link; (link = weir__list_pop_front(&all));) {
        weir__shared *shared = weir__container(link, weir__shared, link);
        close(shared->fd);
        shared->fd = -1;
    }
    pthread_mutex_unlock(&list_lock);
}
static void watch_forks(void) { forks_watched = pthread_atfork(before_fork, in_parent, in_child) == 0; }

/* ---- locks */

static bool lock_byte(int fd, size_t byte, short type) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static bool is_held(int fd, size_t byte) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* Nobody keeps it for longer than some copying takes, unless he is stopped meanwhile. */
static bool lock_places(int fd, short type) {
    const struct timespec pause = {0, 1000000};
    for (int tries = type == F_RDLCK ? READ_TRIES : JOIN_TRIES; tries; tries--) {
        if (lock_byte(fd, 0, type)) return true;
        if (errno != EAGAIN && errno != EACCES && errno != EINTR) return false;
        nanosleep(&pause, NULL);
    }
    errno = EAGAIN;
    return false;
}

static void unlock_places(int fd) { lock_byte(fd, 0, F_UNLCK); }

/* ---- the file */

static void hash_text(uint64_t *hash, const char *text) {
    do *hash = (*hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    while (*text++);
}

static uint64_t layout(void) {
    uint64_t hash = UINT64_C(14695981039346656037);
    weir_metric_info info;
    for (size_t row = 0; weir_metric_table(row, &info); row++) hash_text(&hash, info.name);
    for (int type = 0; type < WEIR__ALERT_TYPES; type++) hash_text(&hash, weir_alert_name(type));
    for (unsigned kind = 0; kind < WEIR__FAILURES; kind++) hash_text(&hash, weir__failure_name(kind));
    return hash;
}

static int unfit(weir_error *error, const char *path, const char *why) {
    return weir__fail(error, WEIR_EOPTION, "metrics_shared=%s: %s", path, why);
}

/* Where there is no room, touching a hole of a mapping is a signal, with tmpfs also when it is only read. */
static int reserve(int fd, size_t at, size_t size) {
    int code;
    while ((code = posix_fallocate(fd, (off_t)at, (off_t)size)) == EINTR)
        ;
    return code;
}

/* Of each place what is looked at before anybody has it; the length comes last, and says that it is done. */
static int lay_out(int fd) {
    for (size_t index = 0; index < WEIR__SHARED_PLACES; index++) {
        int code = reserve(fd, PAGE + index * PLACE_SIZE, PAGE);
        if (code) return code;
    }
    return ftruncate(fd, (off_t)FILE_SIZE) == 0 ? 0 : errno;
}

/* Makes the header, or checks it, with the places locked. */
static int check_file(int fd, const char *path, weir_error *error) {
    struct stat stat;
    header wanted = {
        .version = FORMAT, .places = WEIR__SHARED_PLACES, .place_size = PLACE_SIZE, .layout = layout()};
    header found;
    memcpy(wanted.magic, MAGIC, sizeof wanted.magic);
    if (fstat(fd, &stat) != 0) return unfit(error, path, strerror(errno));
    if (stat.st_size == 0 && pwrite(fd, &wanted, sizeof wanted, 0) != (ssize_t)sizeof wanted)
        return unfit(error, path, strerror(ENOSPC));
    bool read = pread(fd, &found, sizeof found, 0) == (ssize_t)sizeof found;
    if (!read || memcmp(found.magic, MAGIC, sizeof found.magic) != 0)
        return unfit(error, path, "the file is none of weirpool's: name another, or one that does not exist");
    if (memcmp(&found, &wanted, sizeof found) != 0 || (size_t)stat.st_size > FILE_SIZE)
        return unfit(
            error, path,
            "the file was made by another version of weirpool: end its processes and remove it, or name "
            "another");
    /* Also when who was about to make it was killed. */
    int code = (size_t)stat.st_size < FILE_SIZE ? lay_out(fd) : 0;
    return code ? unfit(error, path, strerror(code)) : WEIR_OK;
}

static int open_file(weir__shared *shared, const char *path, weir_error *error) {
    struct stat stat;
    shared->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (shared->fd < 0 || fstat(shared->fd, &stat) != 0) return unfit(error, path, strerror(errno));
    if (!S_ISREG(stat.st_mode)) return unfit(error, path, "it is no plain file: name one");
    if (stat.st_uid != geteuid())
        return unfit(error, path,
                     "the file is another user's, who could change it at any time: name another");
    shared->device = stat.st_dev;
    shared->inode = stat.st_ino;
    return WEIR_OK;
}

/* By a descriptor of its own: a mapping keeps what it was made by open, and so its locks, also in a child of
 * fork. */
static int map_file(weir__shared *shared, const char *path, weir_error *error) {
    struct stat stat;
    void *map = MAP_FAILED;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), code = WEIR_OK;
    if (fd < 0 || fstat(fd, &stat) != 0)
        code = unfit(error, path, strerror(errno));
    else if (stat.st_dev != shared->device || stat.st_ino != shared->inode)
        code = unfit(error, path, "somebody has put another file there meanwhile: try again");
    else if ((map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED)
        code = unfit(error, path, strerror(errno));
    if (fd >= 0) close(fd);
    if (!code) shared->map = map;
    return code;
}

/* ---- taking a place, with the places locked */

static bool may_take(const place *place, const char *name, const char *system) {
    return !place->state || (strcmp(place->name, name) == 0 && strcmp(place->system, system) == 0);
}

static bool is_of(const place *place, const char *name) {
    return place->state && strcmp(place->name, name) == 0;
}

static void take_turn(place *place) {
    uint64_t state = place->state, turn = state / 2, which = state % 2;
    place->past[!which] = place->past[which];
    if (place->now_turn == turn) weir__cells_add(&place->past[!which], &place->now);
    memset(place->gauges, 0, sizeof place->gauges);
    atomic_store(&place->state, (turn + 1) * 2 + !which); /* from here on `now` is of an old turn */
    memset(&place->now, 0, sizeof place->now);
    atomic_store(&place->now_turn, turn + 1); /* not before that, also when the compiler is clever */
}

/* NULL: there is none. */
static place *claim(weir__shared *shared, const char *name, const char *system) {
    for (size_t index = 0; index < WEIR__SHARED_PLACES; index++) {
        place *at = place_at(shared, index);
        if (!may_take(at, name, system) || !lock_byte(shared->fd, 1 + index, F_WRLCK)) continue;
        shared->index = index;
        return at;
    }
    return NULL;
}

static bool has_holder(const weir__shared *shared, const char *name) {
    for (size_t index = 0; index < WEIR__SHARED_PLACES; index++)
        if (is_of(place_at(shared, index), name) && is_held(shared->fd, 1 + index)) return true;
    return false;
}

/* For a new name, one that no pool has any more: all its places, since counters that somebody still reads
 * must not fall. False: there is none. */
static bool forget_one(weir__shared *shared) {
    for (size_t first = 0; first < WEIR__SHARED_PLACES; first++) {
        const char *name = place_at(shared, first)->name;
        if (has_holder(shared, name)) continue;
        for (size_t index = WEIR__SHARED_PLACES; index-- > first;) /* the one with the name comes last */
            if (is_of(place_at(shared, index), name)) atomic_store(&place_at(shared, index)->state, 0);
        return true;
    }
    return false;
}

static int take_place(weir__shared *shared, const char *path, const char *name, const char *system,
                      weir_error *error) {
    place *taken = claim(shared, name, system);
    if (!taken && forget_one(shared)) taken = claim(shared, name, system);
    if (!taken)
        return unfit(error, path,
                     "all of its 256 places are taken: use another file, or remove it and begin anew");
    if (!taken->state) {
        int code = reserve(shared->fd, PAGE + shared->index * PLACE_SIZE, PLACE_SIZE);
        if (code) return unfit(error, path, strerror(code));
        memset(taken, 0, sizeof *taken); /* another name's numbers */
        strcpy(taken->name, name);
        strcpy(taken->system, system);
    }
    take_turn(taken);
    return WEIR_OK;
}

static int join(weir__shared *shared, const char *path, const char *name, const char *system,
                weir_error *error) {
    int code = open_file(shared, path, error);
    if (code) return code;
    if (!lock_places(shared->fd, F_WRLCK))
        return unfit(error, path,
                     errno == EAGAIN ? "it stays locked by another process: is one of its users stopped?"
                                     : strerror(errno));
    code = check_file(shared->fd, path, error);
    if (!code) code = map_file(shared, path, error);
    if (!code) code = take_place(shared, path, name, system, error);
    unlock_places(shared->fd);
    return code;
}

int weir__shared_join(const char *path, const char *name, const char *system, weir__shared **out,
                      weir_error *error) {
    pthread_once(&once, watch_forks);
    if (!forks_watched) return weir__fail(error, WEIR_ENOMEM, "out of memory for shared metrics");
    if (strlen(name) >= WEIR__SHARED_NAME)
        return weir__fail(error, WEIR_EOPTION,
                          "name is too long for metrics_shared: give 255 bytes at the most");
    weir__shared *shared = weir__calloc(1, sizeof *shared);
    if (!shared) return weir__fail(error, WEIR_ENOMEM, "out of memory for shared metrics");
    weir__list_init(&shared->link);
    shared->fd = -1;
    pthread_mutex_lock(&list_lock); /* a fork meanwhile would inherit the descriptor unseen */
    int code = join(shared, path, name, system, error);
    if (!code) weir__list_push_back(&all, &shared->link);
    pthread_mutex_unlock(&list_lock);
    if (code)
        weir__shared_leave(shared);
    else
        *out = shared;
    return code;
}

void weir__shared_leave(weir__shared *shared) {
    if (!shared) return;
    pthread_mutex_lock(&list_lock);
    weir__list_remove(&shared->link);
    if (shared->fd >= 0) close(shared->fd);
    pthread_mutex_unlock(&list_lock);
    if (shared->map) munmap(shared->map, FILE_SIZE);
    weir__free(shared);
}

/* ---- writing */

weir__cells *weir__shared_cells(weir__shared *shared) { return &place_at(shared, shared->index)->now; }

#define FIRST_GAUGE offsetof(weir_snapshot, size)

void weir__shared_publish(weir__shared *shared, const weir_snapshot *gauges) {
    int64_t *to = place_at(shared, shared->index)->gauges;
#define PUBLISH(name, text)                                                                                  \
    __atomic_store_n(&to[(offsetof(weir_snapshot, name) - FIRST_GAUGE) / sizeof *to], gauges->name,          \
                     __ATOMIC_RELAXED);
    WEIR_GAUGES(PUBLISH)
#undef PUBLISH
}

/* ---- reading */

/* Another process counts meanwhile, without a lock: read until nothing has changed while it was copied, so
   that a failure is not there without its statement, nor a count without its bucket. */
static void copy_stable(weir__cells *to, const weir__cells *from) {
    weir__cells again;
    memcpy(to, from, sizeof *to);
    for (int i = 0; i < STABLE_TRIES; i++) {
        atomic_thread_fence(memory_order_acquire);
        memcpy(&again, from, sizeof again);
        if (memcmp(&again, to, sizeof again) == 0) return;
        *to = again;
    }
}

static void add_gauges(weir_snapshot *to, const int64_t *from) {
    weir__figures sum = {.now = *to}, more = {.now = {0}};
#define GAUGE(name, text)                                                                                    \
    more.now.name = __atomic_load_n(&from[(offsetof(weir_snapshot, name) - FIRST_GAUGE) / sizeof *from],     \
                                    __ATOMIC_RELAXED);
    WEIR_GAUGES(GAUGE)
#undef GAUGE
    weir__figures_add(&sum, &more);
    *to = sum.now;
}

static void add_place(const weir__shared *shared, size_t index, weir__shared_sum *sum) {
    const place *place = place_at(shared, index);
    weir__cells now;
    weir__cells_add(&sum->cells, &place->past[place->state % 2]);
    if (index == shared->index) return;
    if (place->now_turn == place->state / 2) {
        copy_stable(&now, &place->now);
        weir__cells_add(&sum->cells, &now);
    }
    if (is_held(shared->fd, 1 + index)) add_gauges(&sum->gauges, place->gauges);
}

static void sum_up(const weir__shared *shared, size_t first, weir__shared_sum *sum) {
    const place *lead = place_at(shared, first);
    *sum = (weir__shared_sum){.name = lead->name, .system = lead->system};
    for (size_t index = first; index < WEIR__SHARED_PLACES; index++)
        if (is_of(place_at(shared, index), lead->name)) add_place(shared, index, sum);
}

static bool seen_before(const weir__shared *shared, size_t index) {
    for (size_t earlier = 0; earlier < index; earlier++)
        if (is_of(place_at(shared, earlier), place_at(shared, index)->name)) return true;
    return false;
}

bool weir__shared_visit(weir__shared *shared, const char *name,
                        void (*visit)(void *arg, const weir__shared_sum *sum), void *arg) {
    weir__shared_sum sum;
    if (!lock_places(shared->fd, F_RDLCK)) return false;
    for (size_t index = 0; index < WEIR__SHARED_PLACES; index++) {
        const place *place = place_at(shared, index);
        if (!place->state || (name && strcmp(place->name, name) != 0) || seen_before(shared, index)) continue;
        sum_up(shared, index, &sum);
        visit(arg, &sum);
    }
    unlock_places(shared->fd);
    return true;
}

bool weir__shared_same(const weir__shared *a, const weir__shared *b) {
    return a && b && a->device == b->device && a->inode == b->inode;
}
