#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/postgres/pg.h"

static void lose_memory(weir__pgconn *c) {
    weir_error why = WEIR_ERROR_INIT;
    weir__fail(&why, WEIR_ENOMEM, "out of memory, or of descriptors");
    weir__pg_lose(c, &why);
}

bool weir__pg_watch(weir__pgconn *c, unsigned events) {
    if (c->watched == events) return true;
    int fd = c->own_fd >= 0 ? c->own_fd : events ? PQsocket(c->pg) : c->watched_fd;
    if (c->base.env->host->watch(&c->base, fd, events) || !events) {
        c->watched = events;
        c->watched_fd = fd;
        return true;
    }
    lose_memory(c);
    return false;
}

void weir__pg_unwatch(weir__pgconn *c) {
    weir__pg_watch(c, 0);
    if (c->own_fd >= 0) close(c->own_fd);
    c->own_fd = -1;
}

/* A request's answer when the connection is gone: what is known of it, or that nothing is. */
static void answer_lost(weir__pgconn *c, weir__pgop *op, const weir_error *why) {
    bool unknown = op->error.code == WEIR_OK && weir__pg_op_is_unknown(op);
    /* COMMIT's own answer says that it is done, whatever has become of the Sync behind it. */
    bool committed = op->commit_sent && op->command_answered;
    if (op->error.code == WEIR_OK && !committed) weir__error_copy(&op->error, why);
    if (unknown) {
        weir_error copy = WEIR_ERROR_INIT;
        weir__error_copy(&copy, &op->error);
        weir__fail(&op->error, WEIR_EOUTCOME,
                   "the connection was lost before the answer came: whether it took effect is unknown (%s)",
                   copy.message);
        memcpy(op->error.sqlstate, copy.sqlstate, sizeof op->error.sqlstate);
        if (op->commit_sent) op->error.xid = c->base.xid;
        weir_error_clear(&copy);
    }
    weir__pg_op_tell(c, op);
}

void weir__pg_lose(weir__pgconn *c, weir_error *why) {
    if (c->state == WEIR__PG_DEAD || c->state == WEIR__PG_STOPPED) {
        weir_error_clear(why);
        return;
    }
    c->state = WEIR__PG_DEAD;
    weir__pg_unwatch(c);
    weir__pg_resolve_abandon(c);
    weir__pg_cancel_abandon(c);
    c->step_count = 0;
    weir__pg_simple_forget(c);
    for (weir__link *link; (link = weir__list_front(&c->ops));) {
        weir__pgop *op = weir__container(link, weir__pgop, link);
        if (op == c->quarantined)
            weir__pg_op_tell(c, op);
        else
            answer_lost(c, op, why);
    }
    c->quarantined = NULL;
    c->base.tx = WEIR__TX_NONE;
    c->base.env->host->lost(&c->base, why);
}

/* ---- parameters of an attempt */

static bool add_options(weir__pgconn *c, const PQconninfoOption *effective, weir__pgparams *params) {
    weir__pgenv *env = weir__pg_env(c);
    const char *users = weir__pg_effective_value(effective, "options");
    const char *ours = env->startup_refused ? "" : env->startup;
    c->with_startup = *ours;
    c->with_users = users || env->base.config->setting_count > 1; /* beside application_name */
    if (!users && !*ours) return true;
    /* The user's own come last and win; a time limit of his is left alone for good. */
    if (users && strstr(users, "statement_timeout")) env->guard_ms = 0;
    weir__buffer text = WEIR__BUFFER_INIT;
    weir__buffer_text(&text, ours);
    weir__buffer_text(&text, " ");
    weir__buffer_text(&text, users ? users : "");
    const char *options = weir__buffer_string(&text);
    bool fits = options && weir__pg_params_add(params, "options", options);
    weir__buffer_free(&text);
    return fits;
}

/* libpq prefers GSS encryption, at the price of an exchange; we do only when somebody asks for it. */
static bool add_gss(const PQconninfoOption *effective, weir__pgparams *params) {
    const char *mode = weir__pg_effective_value(effective, "gssencmode");
    if (mode && strcmp(mode, "prefer") != 0) return true;
    if (getenv("PGGSSENCMODE")) return true;
    for (size_t i = 0; i < params->count; i++)
        if (strcmp(params->keywords[i], "gssencmode") == 0) return true;
    return weir__pg_params_add(params, "gssencmode", "disable");
}

static bool is_remote(const char *host) {
    return *host && *host != '/' && *host != '@' && strncmp(host, "127.", 4) != 0 &&
           strcmp(host, "::1") != 0 && strcmp(host, "localhost") != 0;
}

static void warn_unverified(weir__pgenv *env, const PQconninfoOption *effective) {
    const char *host = weir__pg_effective_value(effective, "host");
    const char *mode = weir__pg_effective_value(effective, "sslmode");
    if (!host) host = weir__pg_effective_value(effective, "hostaddr");
    if (env->warned || !host || !is_remote(host) || (mode && strncmp(mode, "verify-", 7) == 0)) return;
    env->warned = true;
    weir__logf(env->base.log, WEIR_LOG_WARNING,
               "sslmode=%s does not verify the server's identity; sslmode=verify-full does",
               mode ? mode : "prefer");
}

void weir__pg_connect(weir__conn *conn) {
    weir__pgconn *c = (weir__pgconn *)conn;
    weir__pgenv *env = weir__pg_env(c);
    weir_error error = WEIR_ERROR_INIT;
    weir__pgparams params = {0};
    weir__pgresolution how = WEIR__PG_NO_THREAD;
    PQconninfoOption *effective = weir__pg_effective(&env->params);
    bool fits = effective && weir__pg_params_copy(&params, &env->params) &&
                add_options(c, effective, &params) && add_gss(effective, &params);
    if (fits) {
        warn_unverified(env, effective);
        c->state = WEIR__PG_RESOLVING;
        how = weir__pg_resolve(c, effective, &params, &error);
    } else {
        weir__fail(&error, WEIR_ENOMEM, "out of memory");
    }
    PQconninfoFree(effective);
    if (how == WEIR__PG_STARTED) return;
    if (how == WEIR__PG_DIRECT) {
        weir__pg_connect_start(c, &params);
        return;
    }
    weir__pg_params_free(&params);
    weir__pg_lose(c, &error);
}

/* ---- the attempt */

static void on_notice(void *arg, const PGresult *result) {
    weir__pgconn *c = arg;
    c->notices++;
    if (weir__pg_is_fatal(result)) {
        /* With no request running libpq has nowhere else to put the server's farewell. */
        weir__pg_report(&c->last_words, result, NULL);
        c->fatal = true;
        return;
    }
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    weir_notice notice = {
        .severity = severity ? severity : PQresultErrorField(result, PG_DIAG_SEVERITY),
        .sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE),
        .message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
        .detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL),
        .hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT),
        .where = PQresultErrorField(result, PG_DIAG_CONTEXT),
    };
    /* In the midst of a commit that waits for a standby this warning is the server's farewell. */
    if (notice.sqlstate && strcmp(notice.sqlstate, "57P01") == 0)
        weir__pg_report(&c->last_words, result, NULL);
    if (!notice.message) notice.message = PQresultErrorMessage(result); /* libpq's own */
    c->base.env->host->noticed(&c->base, &notice);
}

/*
 * Proxies such as PgBouncer refuse what they cannot keep for a client. Our own defaults are not worth a
 * failure: once more without them.
 */
static bool connect_without_options(weir__pgconn *c) {
    weir__pgenv *env = weir__pg_env(c);
    if (!c->with_startup || env->startup_chosen) return false;
    if (!weir__pg_refuses_options(PQerrorMessage(c->pg))) return false;
    if (!env->startup_refused)
        weir__logf(
            env->base.log, WEIR_LOG_WARNING,
            "a proxy in between refuses settings at start-up: lock_timeout and the server's own time limit "
            "are not set; ALTER ROLE ... SET lock_timeout does that, and lock_timeout=None ends this "
            "warning");
    env->startup_refused = true;
    env->guard_ms = 0;
    PQfinish(c->pg);
    c->pg = NULL;
    weir__pg_connect(&c->base);
    return true;
}

static void connect_failed(weir__pgconn *c) {
    weir_error error = WEIR_ERROR_INIT;
    if (connect_without_options(c)) return;
    weir__pg_connect_error(&error, c->pg, c->with_users);
    weir__pg_lose(c, &error);
}

void weir__pg_connect_start(weir__pgconn *c, weir__pgparams *params) {
    c->state = WEIR__PG_CONNECTING;
    c->pg =
        PQconnectStartParams((const char *const *)params->keywords, (const char *const *)params->values, 0);
    weir__pg_params_free(params);
    if (!c->pg) {
        lose_memory(c);
        return;
    }
    PQsetNoticeReceiver(c->pg, on_notice, c);
    /* Only so does libpq tell the SQLSTATE of a refusal. */
    PQsetErrorVerbosity(c->pg, PQERRORS_VERBOSE);
    if (PQstatus(c->pg) == CONNECTION_BAD) {
        connect_failed(c);
    } else {
        weir__pg_watch(c, WEIR__WRITE);
    }
}

static void connect_succeeded(weir__pgconn *c) {
    PQsetErrorVerbosity(c->pg, PQERRORS_DEFAULT);
    const char *encoding = PQparameterStatus(c->pg, "client_encoding");
    if (PQsetnonblocking(c->pg, 1) != 0 || !PQenterPipelineMode(c->pg) || !encoding ||
        strcmp(encoding, "UTF8") != 0) {
        weir_error error = WEIR_ERROR_INIT;
        weir__fail(&error, WEIR_ECONNECT, "the server does not speak UTF8 or the extended protocol");
        weir__pg_lose(c, &error);
        return;
    }
    /*
     * libpq closes its descriptor by itself when it reads the end of the stream. One that is closed while it
     * is watched cannot be unwatched any more, and lives on in the set as long as a forked process has a
     * copy: watch one of our own.
     */
    c->own_fd = fcntl(PQsocket(c->pg), F_DUPFD_CLOEXEC, 0);
    if (c->own_fd < 0) {
        lose_memory(c);
        return;
    }
    if (!weir__pg_watch(c, WEIR__READ)) return;
    c->state = WEIR__PG_READY;
    c->guard_ms = weir__pg_env(c)->guard_ms;
    c->base.tx = WEIR__TX_NONE;
    c->base.backend = PQbackendPID(c->pg);
    c->args.finite = PQserverVersion(c->pg) < 170000;
    c->base.env->host->connected(&c->base);
}

void weir__pg_connect_ready(weir__pgconn *c) {
    /* libpq may close the socket in here, and open another one: the next host's. */
    if (!weir__pg_watch(c, 0)) return;
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING:
        weir__pg_watch(c, WEIR__READ);
        break;
    case PGRES_POLLING_OK:
        connect_succeeded(c);
        break;
    case PGRES_POLLING_FAILED:
        connect_failed(c);
        break;
    default:
        weir__pg_watch(c, WEIR__WRITE);
        break;
    }
}
