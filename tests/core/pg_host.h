/*
 * A host for the PostgreSQL driver in one thread: what a reactor and a pool would be to it, without either.
 * Each test is a process of its own (Check forks); the server is started by main() before.
 */
#ifndef PG_HOST_H
#define PG_HOST_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fork.h"
#include "base/statement.h"
#include "driver/driver.h"
#include "pg_server.h"
#include "support_suite.h"

#define PATIENCE (60000 * WEIR__MS) /* how long a test waits for what must come */
#define PEERS 16

static const weir__driver *const driver = &weir__postgres_driver;
static int wake_pipe[2];
static weir__mailbox *box;
static char all_logs[65536];            /* what the driver has logged, line by line */
static int watch_calls, watch_fails_at; /* the k-th call of watch fails; 0: none */

/* A connection as its host sees it. */
typedef struct peer {
    weir__conn *conn;
    weir__request request;
    weir_statement *held; /* unreferenced when the peer is stopped */
    int fd;
    unsigned events; /* watched; 0: not */
    bool connected, lost, busy, down;
    int dones;
    int64_t tick_at; /* 0 or WEIR__NEVER: not armed */
    weir_error why;
} peer;

static peer *peers[PEERS]; /* those that are being watched */

typedef struct pool {
    weir__config *config;
    weir__env *env;
} pool;

/* ---- what the driver tells */

static inline bool on_watch(weir__conn *conn, int fd, unsigned events) {
    peer *p = conn->owner;
    ck_assert_int_ge(fd, 0);
    if (++watch_calls == watch_fails_at && events) return false;
    ck_assert(!p->events || p->fd == fd);
    /* The descriptor must be open whenever it is watched or unwatched: epoll could not remove it otherwise.
     */
    ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
    p->fd = fd;
    p->events = events;
    return true;
}

static inline void on_arm(weir__conn *conn, int64_t at) {
    peer *p = conn->owner;
    p->tick_at = at;
}

static inline void on_connected(weir__conn *conn) {
    peer *p = conn->owner;
    ck_assert(!p->connected && !p->lost);
    p->connected = true;
}

static inline void on_lost(weir__conn *conn, weir_error *why) {
    peer *p = conn->owner;
    ck_assert(!p->lost && !p->busy);
    p->lost = true;
    p->why = *why;
    *why = (weir_error)WEIR_ERROR_INIT;
}

static inline void on_done(weir__conn *conn, weir__request *request) {
    peer *p = conn->owner;
    ck_assert_ptr_eq(request, &p->request);
    ck_assert_ptr_null(conn->request);
    ck_assert(p->busy && !p->lost);
    p->busy = false;
    p->dones++;
}

static inline void on_down(weir__conn *conn) {
    peer *p = conn->owner;
    ck_assert(!p->down && !p->events);
    p->down = true;
}

static inline void on_copied(weir__conn *conn) { (void)conn; }

static char all_notices[4096]; /* "severity|sqlstate|message|detail|hint|where", line by line */

static inline const char *or_none(const char *text) { return text ? text : "-"; }

static inline void on_noticed(weir__conn *conn, const weir_notice *n) {
    size_t length = strlen(all_notices);
    (void)conn;
    snprintf(all_notices + length, sizeof all_notices - length, "%s|%s|%s|%s|%s|%s\n", or_none(n->severity),
             or_none(n->sqlstate), or_none(n->message), or_none(n->detail), or_none(n->hint),
             or_none(n->where));
}

static const weir__host host = {on_watch, on_arm,    on_connected, on_lost, on_done,
                                on_down,  on_copied, on_noticed,   NULL};

static inline void write_log(void *arg, weir_log_level level, const char *line) {
    size_t length = strlen(all_logs);
    (void)arg, (void)level;
    snprintf(all_logs + length, sizeof all_logs - length, "%s\n", line);
}

static const weir__log test_log = {write_log, NULL, WEIR_LOG_DEBUG};

/* ---- the loop */

static inline void wake(void *arg) {
    (void)arg;
    ssize_t written;
    do {
        written = write(wake_pipe[1], "", 1);
    } while (written < 0 && errno == EINTR);
}

/* Waits up to a second for something, and deals with it. */
static inline void turn_once(void) {
    struct pollfd fds[PEERS + 1] = {{.fd = wake_pipe[0], .events = POLLIN}};
    peer *who[PEERS + 1] = {NULL};
    nfds_t count = 1;
    char bytes[64];
    for (int i = 0; i < PEERS; i++) {
        if (!peers[i] || !peers[i]->events) continue;
        short events = 0;
        if (peers[i]->events & WEIR__READ) events |= POLLIN;
        if (peers[i]->events & WEIR__WRITE) events |= POLLOUT;
        who[count] = peers[i];
        fds[count++] = (struct pollfd){.fd = peers[i]->fd, .events = events};
    }
    int64_t next = weir__now(&weir__monotonic) + 1000 * WEIR__MS;
    for (int i = 0; i < PEERS; i++)
        if (peers[i] && peers[i]->tick_at && peers[i]->tick_at < next) next = peers[i]->tick_at;
    int64_t wait = next - weir__now(&weir__monotonic);
    poll(fds, count, wait > 0 ? (int)(wait / WEIR__MS) + 1 : 0);
    if (fds[0].revents) ck_assert_int_gt(read(wake_pipe[0], bytes, sizeof bytes), 0);
    weir__mailbox_empty(box);
    for (nfds_t i = 1; i < count; i++) {
        if (!fds[i].revents || !who[i]->events || who[i]->fd != fds[i].fd) continue;
        unsigned events = 0;
        if (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) events |= WEIR__READ;
        if (fds[i].revents & (POLLOUT | POLLERR)) events |= WEIR__WRITE;
        driver->ready(who[i]->conn, events & (who[i]->events | WEIR__READ));
    }
    for (int i = 0; i < PEERS; i++) {
        if (!peers[i] || !peers[i]->tick_at || peers[i]->tick_at > weir__now(&weir__monotonic)) continue;
        peers[i]->tick_at = WEIR__NEVER;
        driver->tick(peers[i]->conn);
    }
}

static inline void turn(int64_t deadline) {
    ck_assert_msg(weir__now(&weir__monotonic) < deadline, "it has not come in time");
    turn_once();
}

#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        int64_t until_ = weir__now(&weir__monotonic) + PATIENCE;                                             \
        while (!(condition)) turn(until_);                                                                   \
    } while (0)

static inline void setup(void) {
    ck_assert_int_eq(pipe2(wake_pipe, O_CLOEXEC), 0);
    ck_assert(weir__fork_watch());
    weir__alloc_fail_at(0, false); /* counting begins */
    box = weir__mailbox_new(wake, NULL);
    ck_assert_ptr_nonnull(box);
    /* What the machine's owner has set is none of the test's business. */
    static const char *const variables[] = {"PGHOST",     "PGHOSTADDR", "PGPORT",     "PGUSER",
                                            "PGPASSWORD", "PGDATABASE", "PGSERVICE",  "PGOPTIONS",
                                            "PGSSLMODE",  "PGAPPNAME",  "PGPASSFILE", NULL};
    for (int i = 0; variables[i]; i++) unsetenv(variables[i]);
}

/* No output shows the password. */
static inline void assert_no_canary(const char *text) { ck_assert(!text || !strstr(text, "canary")); }

static inline void teardown(void) {
    weir__mailbox_close(box);
    weir__mailbox_unref(box);
    close(wake_pipe[0]);
    close(wake_pipe[1]);
    assert_no_canary(all_logs);
}

/* ---- pools and connections */

static weir_options options;

/* Options with an URL; they may be changed before the pool is opened. */
static inline void with_url(const char *format, ...) WEIR_PRINTF(1, 2);
static inline void with_url(const char *format, ...) {
    static char url[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(url, sizeof url, format, args);
    va_end(args);
    weir_options_init(&options);
    options.url = url;
}

/* Options for the server's socket; tail: "" or "&more=parameters". */
static inline void with_socket(const char *tail) {
    static char url[512];
    weir_options_init(&options);
    options.url = pg_server_url(url, sizeof url, tail);
}

static inline bool try_open(pool *out, weir_error *error) {
    *out = (pool){NULL, NULL};
    out->config = weir__config_new(&options, error);
    if (!out->config) return false;
    weir__env base = {driver, out->config, &host, &weir__monotonic, &test_log, box};
    out->env = driver->env_open(&base, error);
    if (!out->env) weir__config_free(out->config);
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

static inline bool start_peer(const pool *opened, peer *p) {
    memset(p, 0, sizeof *p);
    p->why = (weir_error)WEIR_ERROR_INIT;
    p->conn = driver->create(opened->env, p);
    if (!p->conn) return false;
    for (int i = 0; i < PEERS; i++) {
        if (peers[i]) continue;
        peers[i] = p;
        break;
    }
    driver->connect(p->conn);
    return true;
}

static inline void connect_peer(const pool *opened, peer *p) {
    ck_assert(start_peer(opened, p));
    WAIT_FOR(p->connected || p->lost);
    ck_assert_msg(p->connected, "%s", p->why.message);
}

static inline void take_outcome(weir__request *request) {
    weir_result_free(request->result);
    weir_error_free(request->error);
    request->result = NULL;
    request->error = NULL;
}

static inline void stop_peer(peer *p) {
    for (int i = 0; i < PEERS; i++)
        if (peers[i] == p) peers[i] = NULL;
    driver->stop(p->conn);
    ck_assert(p->down);
    driver->free(p->conn);
    take_outcome(&p->request);
    weir_statement_unref(p->held);
    assert_no_canary(p->why.message);
    weir_error_clear(&p->why);
}

/* ---- values and statements */

static inline weir_value null_value(void) { return (weir_value){.type = WEIR_TYPE_NULL}; }
static inline weir_value int_value(int64_t n) { return (weir_value){.type = WEIR_TYPE_INT, .as.integer = n}; }
static inline weir_value real_value(double n) { return (weir_value){.type = WEIR_TYPE_FLOAT, .as.real = n}; }
static inline weir_value bool_value(bool b) { return (weir_value){.type = WEIR_TYPE_BOOL, .as.boolean = b}; }
static inline weir_value bytes_value(weir_type type, const char *data, size_t length) {
    return (weir_value){.type = type, .as.bytes = {data, length}};
}
static inline weir_value text_value(const char *text) {
    return bytes_value(WEIR_TYPE_TEXT, text, strlen(text));
}
static inline weir_value numeric_value(const char *text) {
    return bytes_value(WEIR_TYPE_NUMERIC, text, strlen(text));
}

static inline weir_statement *statement_of(const char *sql) {
    weir_statement *statement = weir_statement_new(sql, strlen(sql), NULL);
    ck_assert_ptr_nonnull(statement);
    return statement;
}

/* Gives the request to the driver without waiting. The outcome of the last one is dropped. */
static inline void start_request(peer *p, const weir__request *wish) {
    take_outcome(&p->request);
    p->request = *wish;
    p->busy = true;
    driver->execute(p->conn, &p->request);
}

/* … and waits for its end; gives its code. */
static inline int run_request(peer *p, const weir__request *wish) {
    start_request(p, wish);
    WAIT_FOR(!p->busy);
    ck_assert((p->request.code == WEIR_OK) == !p->request.error);
    if (p->request.error) {
        ck_assert_int_eq(p->request.code, p->request.error->code);
        ck_assert_ptr_nonnull(p->request.error->message);
        ck_assert_ptr_null(p->request.result);
    }
    return p->request.code;
}

static inline int run_statement(peer *p, weir_statement *statement) {
    weir__request wish = {.statement = statement, .timeout_ms = 30000};
    int code = run_request(p, &wish);
    weir_statement_unref(statement);
    return code;
}

/* Runs a statement with up to two values; NULL: not given. */
static inline int run_values(peer *p, const char *sql, const weir_value *a, const weir_value *b) {
    weir_statement *statement = statement_of(sql);
    if (a) weir_statement_add(statement, a);
    if (b) weir_statement_add(statement, b);
    return run_statement(p, statement);
}

static inline int run(peer *p, const char *sql) { return run_values(p, sql, NULL, NULL); }

static inline const char *failure(const peer *p) {
    const weir_error *error = p->request.error;
    return error && error->message ? error->message : "no error";
}

#define RUN(p, sql) ck_assert_msg(run(p, sql) == WEIR_OK, "%s: %s", sql, failure(p))

static inline weir_value cell(peer *p, size_t row, size_t column) {
    weir_value value;
    ck_assert_ptr_nonnull(p->request.result);
    ck_assert_int_eq(weir_result_value(p->request.result, row, column, &value), WEIR_OK);
    return value;
}

/* The first cell as text that ends with a NUL; static. */
static inline const char *first_text(peer *p) {
    static char text[4096];
    weir_value value = cell(p, 0, 0);
    switch (value.type) {
    case WEIR_TYPE_NULL:
        return "NULL";
    case WEIR_TYPE_BOOL:
        return value.as.boolean ? "true" : "false";
    case WEIR_TYPE_INT:
        snprintf(text, sizeof text, "%lld", (long long)value.as.integer);
        return text;
    case WEIR_TYPE_FLOAT:
        snprintf(text, sizeof text, "%.17g", value.as.real);
        return text;
    case WEIR_TYPE_NUMERIC:
    case WEIR_TYPE_TEXT:
    case WEIR_TYPE_BYTES:
    case WEIR_TYPE_INET:
    case WEIR_TYPE_CIDR:
    case WEIR_TYPE_JSON:
    case WEIR_TYPE_RAW:
        snprintf(text, sizeof text, "%.*s", (int)value.as.bytes.length, value.as.bytes.data);
        return text;
    case WEIR_TYPE_ARRAY:
        snprintf(text, sizeof text, "array of %zu", value.as.array->count);
        return text;
    default:
        weir_value_text(&value, text);
        return text;
    }
}

/* Runs it and compares the first cell of the first row. */
#define EXPECT(p, sql, expected)                                                                             \
    do {                                                                                                     \
        RUN(p, sql);                                                                                         \
        ck_assert_str_eq(first_text(p), expected);                                                           \
    } while (0)

#define FAILS(p, expression, expected_code, fragment)                                                        \
    do {                                                                                                     \
        int code_ = (expression);                                                                            \
        ck_assert_msg(code_ == (expected_code), "code %d: %s", code_, failure(p));                           \
        ck_assert_msg(strstr(failure(p), fragment) != NULL, "\"%s\" is not in: %s", fragment, failure(p));   \
    } while (0)

/* Resets; false: there was nothing to do. */
static inline bool reset(peer *p) {
    take_outcome(&p->request);
    p->request = (weir__request){.timeout_ms = -1};
    p->busy = true;
    if (!driver->reset(p->conn, &p->request, WEIR__RESET_AUTO)) {
        p->busy = false;
        return false;
    }
    WAIT_FOR(!p->busy);
    ck_assert_msg(p->request.code == WEIR_OK, "%s", failure(p));
    ck_assert_int_eq(p->conn->tx, WEIR__TX_NONE);
    return true;
}

/* One pool with one connection over the socket. */
typedef struct lone {
    pool pool;
    peer peer;
} lone;

static inline void open_lone(lone *l) {
    l->pool = open_pool();
    connect_peer(&l->pool, &l->peer);
}

static inline void close_lone(lone *l) {
    stop_peer(&l->peer);
    close_pool(&l->pool);
}

#endif
