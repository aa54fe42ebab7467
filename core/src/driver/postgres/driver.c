#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/postgres/pg.h"
#include "driver/version.h"

int weir__postgres_version(void) { return PQlibVersion(); }

static weir__conn *pg_create(weir__env *env, void *owner) {
    weir__pgconn *c = weir__calloc(1, sizeof *c);
    if (!c) return NULL;
    c->base.env = env;
    c->base.owner = owner;
    c->own_fd = -1;
    c->last_words = (weir_error)WEIR_ERROR_INIT;
    weir__list_init(&c->ops);
    c->args.types = &weir__pg_env(c)->types;
    if (weir__pg_statements_init(c)) return &c->base;
    weir__free(c);
    return NULL;
}

static void pg_ready(weir__conn *conn, unsigned events) {
    weir__pgconn *c = (weir__pgconn *)conn;
    if (c->state == WEIR__PG_CONNECTING) {
        weir__pg_connect_ready(c);
    } else if (c->state == WEIR__PG_READY) {
        weir__pg_query_ready(c, events);
    }
}

/* A cancellation has had no effect so far. */
static void pg_tick(weir__conn *conn) {
    weir__pgconn *c = (weir__pgconn *)conn;
    if (c->cancelling)
        weir__pg_cancel_send(c);
    else if (c->simple)
        weir__pg_simple_tick(c);
}

/* Behind a server's last words, which may be a warning, the end is seen by a second look. */
static bool pg_alive(weir__conn *conn) {
    weir__pgconn *c = (weir__pgconn *)conn;
    for (int looks = 0; looks < 4; looks++) {
        char byte;
        if (c->state != WEIR__PG_READY || c->fatal) return false;
        ssize_t got = recv(c->own_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        if (!got || !weir__pg_receive(c)) return false;
    }
    return true;
}

static bool is_on(const PGconn *pg, const char *parameter) {
    const char *value = PQparameterStatus(pg, parameter);
    return value && strcmp(value, "on") == 0;
}

/* From version 14 on, and through proxies that pass it on. */
static weir__role pg_role(weir__conn *conn) {
    const weir__pgconn *c = (const weir__pgconn *)conn;
    if (c->state != WEIR__PG_READY || !PQparameterStatus(c->pg, "in_hot_standby")) return WEIR__ROLE_UNKNOWN;
    if (is_on(c->pg, "in_hot_standby")) return WEIR__ROLE_STANDBY;
    bool reads = is_on(c->pg, "default_transaction_read_only") && !c->readonly;
    return reads ? WEIR__ROLE_READS : WEIR__ROLE_WRITES;
}

static void pg_stop(weir__conn *conn) {
    weir__pgconn *c = (weir__pgconn *)conn;
    const weir__host *host = conn->env->host;
    if (!c->cancelling) weir__pg_cancel_send(c); /* a closed socket alone would let the statement run on */
    weir__pg_unwatch(c);
    host->arm(conn, WEIR__NEVER);
    c->state = WEIR__PG_STOPPED;
    weir__pg_resolve_abandon(c);
    weir__pg_cancel_abandon(c);
    c->quarantined = NULL;
    weir__pg_simple_forget(c);
    for (weir__link *link; (link = weir__list_front(&c->ops));)
        weir__pg_op_drop(c, weir__container(link, weir__pgop, link));
    weir__pg_statements_forget(c); /* here, because what it knows of them is shared, under the host's lock */
    host->down(conn);
}

static void pg_free(weir__conn *conn) {
    weir__pgconn *c = (weir__pgconn *)conn;
    PQfinish(c->pg);
    weir__free(c->steps);
    weir__pg_args_free(&c->args);
    weir__lru_free(&c->statements);
    weir_error_clear(&c->last_words);
    weir__free(c);
}

/* The server's process closes its end when it has given up its place among the server's connections. */
static int pg_leave(weir__conn *conn) {
    weir__pgconn *c = (weir__pgconn *)conn;
    int fd = c->pg ? PQsocket(c->pg) : -1;
    if (fd >= 0) fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    pg_free(conn);
    if (fd >= 0) shutdown(fd, SHUT_WR); /* one that was still logging in has sent no farewell */
    return fd;
}

#define BEGIN_FORMS(isolation)                                                                               \
    {                                                                                                        \
        {"BEGIN" isolation, "BEGIN" isolation " DEFERRABLE"}, {                                              \
            "BEGIN" isolation " READ ONLY", "BEGIN" isolation " READ ONLY DEFERRABLE"                        \
        }                                                                                                    \
    }

static const char *pg_begin(weir__env *env, const weir__begin *begin, weir_error *error) {
    static const char *const forms[][2][2] = {
        [WEIR__ISOLATION_DEFAULT] = BEGIN_FORMS(""),
        [WEIR__READ_UNCOMMITTED] = BEGIN_FORMS(" ISOLATION LEVEL READ UNCOMMITTED"),
        [WEIR__READ_COMMITTED] = BEGIN_FORMS(" ISOLATION LEVEL READ COMMITTED"),
        [WEIR__REPEATABLE_READ] = BEGIN_FORMS(" ISOLATION LEVEL REPEATABLE READ"),
        [WEIR__SERIALIZABLE] = BEGIN_FORMS(" ISOLATION LEVEL SERIALIZABLE"),
    };
    (void)env;
    if ((unsigned)begin->isolation < sizeof forms / sizeof forms[0])
        return forms[begin->isolation][begin->readonly][begin->deferrable];
    weir__fail(error, WEIR_EINVAL, "no such isolation level: %d", (int)begin->isolation);
    return NULL;
}

const weir__driver weir__postgres_driver = {
    .name = "postgresql",
    .scripts = true,
    .pipelines = true,
    .listens = true,
    .classify = weir__pg_classify,
    .env_open = weir__pg_env_open,
    .env_close = weir__pg_env_close,
    .create = pg_create,
    .connect = weir__pg_connect,
    .ready = pg_ready,
    .tick = pg_tick,
    .execute = weir__pg_execute,
    .copy_put = weir__pg_copy_put,
    .copy_end = weir__pg_copy_end,
    .copy_take = weir__pg_copy_take,
    .flush = weir__pg_flush,
    .doubtful = weir__pg_doubtful,
    .cancel = weir__pg_cancel,
    .reset = weir__pg_reset,
    .baseline = weir__pg_baseline,
    .alive = pg_alive,
    .role = pg_role,
    .stop = pg_stop,
    .free = pg_free,
    .leave = pg_leave,
    .begin = pg_begin,
    .cursor = weir__pg_cursor,
};
