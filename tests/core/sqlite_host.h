/*
 * A host for the SQLite driver in one thread: what a reactor and a pool would be to it, without either.
 * Each test is a process of its own (Check forks), with a directory of its own.
 */
#ifndef SQLITE_HOST_H
#define SQLITE_HOST_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fork.h"
#include "base/statement.h"
#include "driver/driver.h"

#define PATIENCE (60000 * WEIR__MS) /* how long a test waits for what must come */

static const weir__driver *const driver = &weir__sqlite_driver;
static char directory[64];
static int wake_pipe[2];
static weir__mailbox *box;
static char last_log[WEIR_LOG_LINE_MAX];
static const weir__clock *host_clock = &weir__monotonic;

/* A connection as its host sees it. */
typedef struct peer {
    weir__conn *conn;
    weir__request request;
    bool connected, lost, busy, down;
    int dones;
    weir_error why;
} peer;

typedef struct pool {
    weir__config *config;
    weir__env *env;
} pool;

/* ---- what the driver tells ---- */

static inline void on_connected(weir__conn *conn) { ((peer *)conn->owner)->connected = true; }

static inline void on_lost(weir__conn *conn, weir_error *why) {
    peer *p = conn->owner;
    p->lost = true;
    p->why = *why;
    *why = (weir_error)WEIR_ERROR_INIT;
}

static inline void on_done(weir__conn *conn, weir__request *request) {
    peer *p = conn->owner;
    ck_assert_ptr_eq(request, &p->request);
    ck_assert_ptr_null(conn->request);
    ck_assert(p->busy);
    p->busy = false;
    p->dones++;
}

static inline void on_down(weir__conn *conn) {
    peer *p = conn->owner;
    ck_assert(!p->down);
    p->down = true;
}

static inline bool no_watch(weir__conn *conn, int fd, unsigned events) {
    (void)conn, (void)fd, (void)events;
    ck_abort_msg("SQLite has nothing to watch");
    return false;
}

static inline void no_arm(weir__conn *conn, int64_t at) {
    (void)conn, (void)at;
    ck_abort_msg("SQLite arms no timer");
}

static inline void no_copied(weir__conn *conn) { (void)conn; }

static inline void no_noticed(weir__conn *conn, const weir_notice *notice) { (void)conn, (void)notice; }

static const weir__host host = {no_watch, no_arm,    on_connected, on_lost, on_done,
                                on_down,  no_copied, no_noticed,   NULL};

static inline void write_log(void *arg, weir_log_level level, const char *line) {
    (void)arg, (void)level;
    snprintf(last_log, sizeof last_log, "%s", line);
}

static const weir__log test_log = {write_log, NULL, WEIR_LOG_DEBUG};

/* ---- the loop ---- */

static inline void wake(void *arg) {
    (void)arg;
    ssize_t written;
    do {
        written = write(wake_pipe[1], "", 1);
    } while (written < 0 && errno == EINTR);
}

/* Delivers what comes until the condition holds. */
static inline void turn(int64_t deadline) {
    struct pollfd fd = {.fd = wake_pipe[0], .events = POLLIN};
    char bytes[64];
    ck_assert_msg(weir__now(&weir__monotonic) < deadline, "it has not come in time");
    if (poll(&fd, 1, 1000) > 0) ck_assert_int_gt(read(wake_pipe[0], bytes, sizeof bytes), 0);
    weir__mailbox_empty(box);
}

#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        int64_t until_ = weir__now(&weir__monotonic) + PATIENCE;                                             \
        while (!(condition)) turn(until_);                                                                   \
    } while (0)

static inline int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static inline void setup(void) {
    snprintf(directory, sizeof directory, "/tmp/weir-sqlite-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(pipe2(wake_pipe, O_CLOEXEC), 0);
    ck_assert(weir__fork_watch());
    box = weir__mailbox_new(wake, NULL);
    ck_assert_ptr_nonnull(box);
}

static inline void teardown(void) {
    weir__mailbox_close(box);
    weir__mailbox_unref(box);
    close(wake_pipe[0]);
    close(wake_pipe[1]);
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- pools and connections ---- */

static const weir_options *with_url(const char *format, ...) WEIR_PRINTF(1, 2);
/* Options with an URL, good until the next call. "@" in it stands for the test's directory. */
static weir_options options;
static inline const weir_options *with_url(const char *format, ...) {
    static char url[512];
    char raw[256];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    char *at = strchr(raw, '@');
    if (at) {
        snprintf(url, sizeof url, "%.*s%s%s", (int)(at - raw), raw, directory, at + 1);
    } else {
        snprintf(url, sizeof url, "%s", raw);
    }
    weir_options_init(&options);
    options.url = url;
    return &options;
}

static inline bool try_open(pool *out, weir_error *error) {
    out->config = weir__config_new(&options, error);
    if (!out->config) return false;
    weir__env base = {driver, out->config, &host, host_clock, &test_log, box};
    out->env = driver->env_open(&base, error);
    if (!out->env) {
        weir__config_free(out->config);
        out->config = NULL;
    }
    return out->env != NULL;
}

static inline pool open_pool(void) {
    pool opened;
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_msg(try_open(&opened, &error), "%s", error.message);
    return opened;
}

static inline void close_pool(pool *opened) {
    driver->env_close(opened->env);
    weir__config_free(opened->config);
}

static inline void start_peer(const pool *opened, peer *p) {
    memset(p, 0, sizeof *p);
    p->why = (weir_error)WEIR_ERROR_INIT;
    p->conn = driver->create(opened->env, p);
    ck_assert_ptr_nonnull(p->conn);
    driver->connect(p->conn);
}

static inline void connect_peer(const pool *opened, peer *p) {
    start_peer(opened, p);
    WAIT_FOR(p->connected || p->lost);
    ck_assert_msg(p->connected, "%s", p->why.message);
}

/* What the last request has left. */
static inline void forget(peer *p) {
    weir_result_free(p->request.result);
    weir_error_free(p->request.error);
    weir_statement_unref(p->request.statement);
    p->request = (weir__request){.timeout_ms = -1};
}

static inline void close_peer(peer *p) {
    forget(p);
    driver->stop(p->conn);
    WAIT_FOR(p->down);
    driver->free(p->conn);
    weir_error_clear(&p->why);
}

/* ---- statements ---- */

/* kinds: a letter a value: n, b (int), i (int64_t), f (double), t, d (text, decimal), x (bytes: data,
   size_t); an executemany has 0 first, and | before each set. */
static inline weir_statement *make_statement(const char *sql, const char *kinds, va_list args) {
    weir_error error = WEIR_ERROR_INIT;
    weir_statement *statement = weir_statement_new(sql, strlen(sql), &error);
    ck_assert_msg(statement, "%s", error.message);
    for (; *kinds; kinds++) {
        weir_value value = {.type = WEIR_TYPE_NULL};
        switch (*kinds) {
        case '|':
            weir_statement_add_set(statement);
            continue;
        case '0':
            weir_statement_no_sets(statement);
            continue;
        case 'b':
            value.type = WEIR_TYPE_BOOL;
            value.as.boolean = va_arg(args, int);
            break;
        case 'i':
            value.type = WEIR_TYPE_INT;
            value.as.integer = va_arg(args, int64_t);
            break;
        case 'f':
            value.type = WEIR_TYPE_FLOAT;
            value.as.real = va_arg(args, double);
            break;
        case 't':
        case 'd':
            value.type = *kinds == 't' ? WEIR_TYPE_TEXT : WEIR_TYPE_NUMERIC;
            value.as.bytes.data = va_arg(args, const char *);
            value.as.bytes.length = strlen(value.as.bytes.data);
            break;
        case 'x':
            value.type = WEIR_TYPE_BYTES;
            value.as.bytes.data = va_arg(args, const char *);
            value.as.bytes.length = va_arg(args, size_t);
            break;
        default:
            break;
        }
        weir_statement_add(statement, &value);
    }
    ck_assert_int_eq(weir__statement_check(statement, &error), WEIR_OK);
    return statement;
}

static inline void begin_request(peer *p) {
    p->busy = true;
    driver->execute(p->conn, &p->request);
}

static inline int end_request(peer *p) {
    WAIT_FOR(!p->busy);
    ck_assert((p->request.code == WEIR_OK) == (p->request.error == NULL));
    if (p->request.code != WEIR_OK) ck_assert_ptr_null(p->request.result);
    if (p->request.error) ck_assert_int_eq(p->request.error->code, p->request.code);
    return p->request.code;
}

static inline void start(peer *p, const char *sql, const char *kinds, ...) {
    va_list args;
    forget(p);
    va_start(args, kinds);
    p->request.statement = make_statement(sql, kinds, args);
    va_end(args);
    begin_request(p);
}

static inline int run(peer *p, const char *sql, const char *kinds, ...) {
    va_list args;
    forget(p);
    va_start(args, kinds);
    p->request.statement = make_statement(sql, kinds, args);
    va_end(args);
    begin_request(p);
    return end_request(p);
}

/* A request with all its parts; each may be NULL. */
static inline int run_parts(peer *p, const char *before, const char *sql, const char *command) {
    const char *list[] = {before};
    weir_error error = WEIR_ERROR_INIT;
    forget(p);
    p->request.before = list;
    p->request.before_count = before != NULL;
    p->request.command = command;
    if (sql) p->request.statement = weir_statement_new(sql, strlen(sql), &error);
    begin_request(p);
    return end_request(p);
}

static inline void must(peer *p, const char *sql) {
    int code = run(p, sql, "");
    ck_assert_msg(code == WEIR_OK, "%s: %s", sql, code == WEIR_OK ? "" : p->request.error->message);
}

/* The first cell of the answer, which is an int. */
static inline int64_t number(peer *p, const char *sql) {
    weir_value value;
    must(p, sql);
    ck_assert_int_eq(weir_result_value(p->request.result, 0, 0, &value), WEIR_OK);
    ck_assert_int_eq(value.type, WEIR_TYPE_INT);
    return value.as.integer;
}

/* The first cell of the answer, which is a text. */
static inline const char *text(peer *p, const char *sql) {
    weir_value value;
    must(p, sql);
    ck_assert_int_eq(weir_result_value(p->request.result, 0, 0, &value), WEIR_OK);
    ck_assert_int_eq(value.type, WEIR_TYPE_TEXT);
    return value.as.bytes.data;
}

static inline const char *state(const peer *p) {
    return p->request.error ? p->request.error->sqlstate : "none";
}

#define ASSERT_FAILS(p, sql, sqlstate)                                                                       \
    do {                                                                                                     \
        ck_assert_int_ne(run(p, sql, ""), WEIR_OK);                                                          \
        ck_assert_str_eq(state(p), sqlstate);                                                                \
    } while (0)

/* The reset of a connection; false: there was nothing to do. */
static inline bool reset(peer *p) {
    forget(p);
    p->busy = true;
    if (driver->reset(p->conn, &p->request, WEIR__RESET_AUTO)) {
        end_request(p);
        return true;
    }
    p->busy = false;
    return false;
}

/* A file that SQLite makes on demand, and a connection to it. */
static inline pool open_file(peer *p) {
    with_url("sqlite:///@/test.db");
    pool opened = open_pool();
    connect_peer(&opened, p);
    return opened;
}

#endif
