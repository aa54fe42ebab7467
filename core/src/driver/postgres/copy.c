/*
 * What libpq does not do in a pipeline: scripts and COPY, by the simple protocol. Such a request has the
 * connection to itself:
 *
 *     [SET statement_timeout …] [before] [Parse] Sync    in pipeline mode, a trip of its own
 *     PQexitPipelineMode
 *     the script, or the COPY       here c->simple is set, and one step waits, so that nothing else is sent
 *     PQenterPipelineMode
 *
 * By the extended protocol a COPY FROM has two Syncs, behind Execute and behind CopyDone. Who fails before it
 * has read the first (a view, a trigger for the statement, a cancellation) answers both, who fails later one,
 * and nothing says which. So a COPY goes by the simple one, and where its text might be more than one command
 * the server is asked by a Parse, which takes no more than one.
 */
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/postgres/pg.h"

#define CHUNK ((size_t)64 * 1024) /* so much of a COPY is read ahead */
#define BLOCK ((size_t)8 * 1024)  /* libpq sends at once what it has of whole ones … */
#define HEAD 5                    /* … with the head of the message */
#define PIECE (6 * BLOCK)         /* no message to the server is larger */
/* So long a server's word that is no notice may take to come whole, while it is to take data. */
#define DOUBT_FOR (200 * WEIR__MS)
#define CANCEL_AFTER                                                                                         \
    (100 * WEIR__MS) /* a COPY that was broken off is cancelled, if it has not ended by then */

/* ---- chunks */

struct weir__pgchunk {
    weir_result base;
    weir__buffer data;
};

static const char *chunk_name(const weir_result *result, size_t column) {
    (void)result, (void)column;
    return "chunk";
}

static int chunk_value(weir_result *result, size_t row, size_t column, weir_value *out) {
    const weir__buffer *data = &((const weir__pgchunk *)result)->data;
    (void)row, (void)column;
    *out = (weir_value){.type = WEIR_TYPE_BYTES, .as.bytes = {data->data, data->length}};
    return WEIR_OK;
}

static void chunk_free(weir_result *result) {
    weir__buffer_free(&((weir__pgchunk *)result)->data);
    weir__free(result);
}

static weir__pgchunk *chunk_new(void) {
    static const weir__result_class chunk_class = {chunk_name, chunk_value, chunk_free, NULL};
    weir__pgchunk *chunk = weir__calloc(1, sizeof *chunk);
    if (!chunk) return NULL;
    chunk->base = (weir_result){.class_ = &chunk_class, .rows = 1, .columns = 1, .affected = -1};
    return chunk;
}

static void drop_chunk(weir__pgconn *c) {
    if (c->chunk) weir_result_free(&c->chunk->base);
    c->chunk = NULL;
}

static void drop_rest(weir__pgconn *c) {
    weir__buffer_free(&c->rest);
    c->rest_at = 0;
}

void weir__pg_simple_forget(weir__pgconn *c) {
    drop_rest(c);
    c->simple = NULL;
    c->phase = WEIR__PG_RESULTS;
    c->doubt = false;
    c->base.copy = WEIR__COPY_NONE;
    drop_chunk(c);
}

/* ---- what the text says */

/* The traits of all commands of a script, which has a semicolon between them; false: out of memory. */
static bool script_traits(weir__pgconn *c, const weir_statement *statement, unsigned *out) {
    const char *functions = c->base.env->config->options.reset_functions;
    char *text = weir__strndup(statement->sql, statement->sql_length);
    if (!text) return false;
    weir__pg_split(text);
    for (const char *at = text; at <= text + statement->sql_length; at += strlen(at) + 1) {
        unsigned traits = weir__pg_traits(at, strlen(at), functions);
        bool rollback = (traits & (WEIR__TRAIT_UNGUARDS | WEIR__TRAIT_DIRTY)) == WEIR__TRAIT_UNGUARDS;
        *out |= traits | (rollback ? WEIR__TRAIT_COMMITS : 0); /* what follows may be in no transaction */
    }
    weir__free(text);
    *out &= ~(unsigned)(WEIR__TRAIT_READS | WEIR__TRAIT_SIMPLE | WEIR__TRAIT_CHANGES);
    return true;
}

/* Whether a COPY TO only reads: of a table it does, of a query that query tells. */
static bool copies_reading(const char *sql) {
    static const char blanks[] = " \t\r\n\f\v";
    sql += strspn(sql, blanks);
    if (strncasecmp(sql, "copy", 4) != 0) return false; /* a comment: who knows */
    sql += 4 + strspn(sql + 4, blanks);
    if (*sql == '(') return weir__pg_traits(sql + 1, strlen(sql + 1), NULL) & WEIR__TRAIT_READS;
    return *sql != '/' && *sql != '-';
}

static int refuse_text(weir__mode mode, weir_error *error) {
    const char *wanted =
        mode == WEIR__COPY_IN ? "copy_in takes COPY … FROM STDIN" : "copy_out takes COPY … TO STDOUT";
    return weir__fail(error, WEIR_EINVAL,
                      "%s, and one command: run anything else with execute or execute_script", wanted);
}

int weir__pg_simple_prepare(weir__pgconn *c, weir__pgop *op) {
    const weir__request *request = op->request;
    const weir_statement *statement = request->statement;
    unsigned traits = 0;
    if (request->readonly && !weir__pg_has_own_session(c))
        return weir__fail(
            &op->error, WEIR_ENOTSUP,
            "a pool that is readonly runs no scripts and no COPY behind a proxy (statement_cache_size=0), "
            "nor before PostgreSQL 14: they could not be kept from writing");
    if (statement->sql_length > WEIR__PG_SQL_MAX)
        return weir__fail(&op->error, WEIR_EVALUE, "the text is longer than the server takes");
    op->result = weir__pg_result_new();
    if (!op->result || !script_traits(c, statement, &traits) || !(op->shape = weir__shape_own(traits)))
        return weir__fail(&op->error, WEIR_ENOMEM, "out of memory");
    bool copies = traits & WEIR__TRAIT_COPY;
    if (request->mode == WEIR__SCRIPT && copies)
        return weir__fail(
            &op->error, WEIR_ENOTSUP,
            "a script cannot COPY from or to the client: run that command with copy_in or copy_out");
    if (request->mode == WEIR__SCRIPT) return WEIR_OK;
    if (!copies) return refuse_text(request->mode, &op->error);
    if (request->mode == WEIR__COPY_OUT && copies_reading(statement->sql))
        op->shape->traits |= WEIR__TRAIT_READS;
    return WEIR_OK;
}

/* ---- the beginning and the end */

/* Without a semicolon before its end a text is one command. */
static bool may_be_several(const weir_statement *statement) {
    size_t length = statement->sql_length;
    while (length && strchr(" \t\r\n\f\v", statement->sql[length - 1])) length--;
    return length && memchr(statement->sql, ';', length - 1);
}

bool weir__pg_simple_check(weir__pgconn *c, weir__pgop *op) {
    const weir__request *request = op->request;
    if (request->mode == WEIR__SCRIPT || !may_be_several(request->statement)) return true;
    if (!PQsendPrepare(c->pg, "", request->statement->sql, 0, NULL)) return false;
    weir__pg_push(c, op, WEIR__STEP_PARSE);
    return true;
}

int weir__pg_simple_start(weir__pgconn *c, weir__pgop *op) {
    if (!PQexitPipelineMode(c->pg) || !PQsendQuery(c->pg, op->request->statement->sql)) return -1;
    weir__pg_push(c, op, WEIR__STEP_SIMPLE);
    c->simple = op;
    c->phase = WEIR__PG_RESULTS;
    c->next = weir__pg_op_next(c, op);
    op->tail_sent = true;
    return 1;
}

static void end(weir__pgconn *c) {
    weir__pgop *op = c->simple;
    if (!PQenterPipelineMode(c->pg)) {
        weir__pg_send_failed(c);
        return;
    }
    weir__pg_simple_forget(c);
    weir__pg_pop(c);
    weir__pg_op_end(c, op);
}

/* ---- receiving */

static void fail_once(weir__pgop *op, int code, const char *what) {
    if (op->error.code == WEIR_OK) weir__fail(&op->error, code, "%s", what);
}

static bool is_wanted(const weir__pgop *op) { return !op->cancelled && op->error.code == WEIR_OK; }

static void turn(weir__pgconn *c, weir__copying copy) {
    if (c->base.copy == copy) return;
    c->base.copy = copy;
    c->base.env->host->copied(&c->base);
}

static void begin_copy_in(weir__pgconn *c, weir__pgop *op) {
    if (op->request->mode == WEIR__COPY_IN && is_wanted(op)) {
        c->phase = WEIR__PG_TAKES;
        turn(c, WEIR__COPY_READY);
        return;
    }
    fail_once(op, WEIR_EINVAL, "this COPY takes data: run it with copy_in");
    PQputCopyEnd(c->pg, "nobody has data for it");
}

static void begin_copy_out(weir__pgconn *c, weir__pgop *op) {
    c->phase = WEIR__PG_GIVES;
    if (op->request->mode == WEIR__COPY_OUT && is_wanted(op)) {
        turn(c, WEIR__COPY_BUSY);
        return;
    }
    fail_once(op, WEIR_EINVAL, "this COPY gives data: run it with copy_out");
    weir__pg_cancel_send(c);
}

static void take_error(weir__pgconn *c, weir__pgop *op, const PGresult *result) {
    bool fatal = weir__pg_is_fatal(result);
    if (fatal) {
        weir__pg_report(&c->last_words, result, NULL);
        c->fatal = true;
    }
    if (PQstatus(c->pg) == CONNECTION_BAD && !PQresultErrorField(result, PG_DIAG_SQLSTATE)) return;
    if ((fatal && weir__pg_op_is_unknown(op)) || op->error.code != WEIR_OK) return;
    weir__pg_report(&op->error, result, NULL);
    if (fatal) weir__pg_recode(&op->error, WEIR_ELOST);
    weir__pg_op_judge(op);
}

static void take_result(weir__pgconn *c, weir__pgop *op, const PGresult *result) {
    switch (PQresultStatus(result)) {
    case PGRES_COPY_IN:
        begin_copy_in(c, op);
        break;
    case PGRES_COPY_OUT:
        begin_copy_out(c, op);
        break;
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        op->result->affected = -1; /* of the last command, not of all */
        weir__pg_result_add(op->result, result);
        break;
    case PGRES_EMPTY_QUERY:
        break;
    default:
        take_error(c, op, result);
    }
}

static void append(weir__pgconn *c, weir__pgop *op, const char *data, size_t length) {
    if (!c->chunk) c->chunk = chunk_new();
    if (c->chunk) weir__buffer_append(&c->chunk->data, data, length);
    if (c->chunk && !c->chunk->data.broken) return;
    fail_once(op, WEIR_ENOMEM, "out of memory for a chunk of the COPY");
    weir__pg_op_judge(op);
    drop_chunk(c);
    weir__pg_cancel_send(c);
}

static bool is_full(const weir__pgconn *c) { return c->chunk && c->chunk->data.length >= CHUNK; }

/* What COPY TO has for us, up to the bound. False: no more for now. */
static bool take_data(weir__pgconn *c, weir__pgop *op) {
    int got = 1;
    while (got > 0 && !is_full(c)) {
        char *row = NULL;
        got = PQgetCopyData(c->pg, &row, 1);
        if (got > 0 && is_wanted(op)) append(c, op, row, (size_t)got);
        PQfreemem(row);
    }
    if (c->chunk) turn(c, WEIR__COPY_READY);
    if (got < 0) c->phase = WEIR__PG_RESULTS;
    return got < 0;
}

/*
 * Something has come while the server is to take data. libpq shows notices; an error it keeps to itself until
 * the COPY is ended, and the server has dropped all data since. So what is no notice, and does not become one
 * soon, is taken for an error, and the COPY is ended. Before 14 it might be a setting that has changed.
 */
static void look_for_error(weir__pgconn *c) {
    unsigned before = c->notices;
    PQisBusy(c->pg); /* libpq looks at what has come */
    c->doubt = c->notices == before && PQserverVersion(c->pg) >= 140000;
    if (c->doubt) c->base.env->host->arm(&c->base, weir__now(c->base.env->clock) + DOUBT_FOR);
}

void weir__pg_simple_take(weir__pgconn *c) {
    if (c->phase == WEIR__PG_TAKES) {
        look_for_error(c);
        return;
    }
    while (c->simple && c->state == WEIR__PG_READY) {
        weir__pgop *op = c->simple;
        if (c->phase == WEIR__PG_GIVES && !take_data(c, op)) return;
        /* What has been read is taken before the end is told. */
        if (c->phase != WEIR__PG_RESULTS || c->chunk || PQisBusy(c->pg)) return;
        PGresult *result = PQgetResult(c->pg);
        if (result)
            take_result(c, op, result);
        else if (PQstatus(c->pg) == CONNECTION_OK)
            end(c);
        else
            return; /* seen to elsewhere */
        PQclear(result);
    }
}

bool weir__pg_simple_holds(const weir__pgconn *c) {
    return c->simple && c->phase == WEIR__PG_GIVES && is_full(c) && is_wanted(c->simple);
}

void weir__pg_simple_flushed(weir__pgconn *c) {
    if (c->phase == WEIR__PG_TAKES && !c->doubt) turn(c, WEIR__COPY_READY);
}

/* ---- the host's steps */

/* Ends a COPY FROM in failure. False: it takes no data. */
static bool break_off(weir__pgconn *c, const char *why) {
    if (c->phase != WEIR__PG_TAKES) return false;
    c->phase = WEIR__PG_RESULTS;
    c->doubt = false;
    drop_rest(c);
    return PQputCopyEnd(c->pg, why) == 1;
}

static void break_off_for_memory(weir__pgconn *c) {
    fail_once(c->simple, WEIR_ENOMEM, "out of memory for what the socket does not take yet");
    if (break_off(c, "out of memory")) c->base.env->host->arm(&c->base, weir__now(c->base.env->clock));
}

/* When the data has ended: libpq may have read an error before, and nothing need come any more. */
static void go_on(weir__pgconn *c) {
    if (c->phase == WEIR__PG_RESULTS) weir__pg_simple_take(c);
    if (c->state == WEIR__PG_READY) weir__pg_pump(c);
}

static bool is_writable(const weir__pgconn *c) {
    struct pollfd socket = {c->own_fd, POLLOUT, 0};
    return poll(&socket, 1, 0) == 1;
}

/* What a socket that is writable takes: of its buffer a third is free then, at the least. */
static size_t piece_of(const weir__pgconn *c) {
    int room = 0;
    socklen_t size = sizeof room;
    getsockopt(c->own_fd, SOL_SOCKET, SO_SNDBUF, &room, &size);
    size_t blocks = room > 0 ? (size_t)room / 4 / BLOCK : 0, most = PIECE / BLOCK;
    return (blocks < 1 ? 1 : blocks < most ? blocks : most) * BLOCK - HEAD;
}

/*
 * Gives libpq what the socket takes, and counts it. What libpq cannot send it keeps, and then it reads by
 * itself, so that the server does not wait, too; an error that comes just then nobody would hear of. So what
 * the socket does not take waits here. False: no more is to be sent.
 */
static bool put(weir__pgconn *c, const char *data, size_t length, size_t *count) {
    size_t most = piece_of(c);
    for (int blocked = 0; *count < length && !blocked && is_writable(c);) {
        size_t piece = length - *count < most ? length - *count : most;
        if (PQputCopyData(c->pg, data + *count, (int)piece) == 1) {
            *count += piece;
            blocked = PQflush(c->pg);
        } else if (PQstatus(c->pg) == CONNECTION_OK) {
            break_off_for_memory(c);
            return false;
        } else {
            blocked = -1;
        }
        if (blocked < 0) {
            weir__pg_send_failed(c);
            return false;
        }
    }
    return true;
}

bool weir__pg_simple_flush(weir__pgconn *c) {
    if (!c->rest.length) return true;
    if (!put(c, c->rest.data, c->rest.length, &c->rest_at)) return false;
    if (c->rest_at < c->rest.length) return false;
    drop_rest(c);
    return PQflush(c->pg) == 0;
}

void weir__pg_copy_put(weir__conn *conn, const void *data, size_t length) {
    weir__pgconn *c = (weir__pgconn *)conn;
    char byte;
    if (c->phase != WEIR__PG_TAKES) return;
    size_t taken = 0;
    if (recv(c->own_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) weir__pg_query_ready(c, WEIR__READ);
    if (c->state != WEIR__PG_READY || c->phase != WEIR__PG_TAKES) return;
    conn->copy = WEIR__COPY_BUSY;
    if (put(c, data, length, &taken) && taken < length) {
        weir__buffer_append(&c->rest, (const char *)data + taken, length - taken);
        if (c->rest.broken) break_off_for_memory(c);
    }
    if (c->state == WEIR__PG_READY) weir__pg_pump(c);
}

void weir__pg_copy_end(weir__conn *conn) {
    weir__pgconn *c = (weir__pgconn *)conn;
    if (c->phase != WEIR__PG_TAKES) return;
    c->phase = WEIR__PG_RESULTS;
    c->doubt = false;
    conn->copy = WEIR__COPY_BUSY;
    c->simple->copied = true;
    if (PQputCopyEnd(c->pg, NULL) == 1)
        go_on(c);
    else
        weir__pg_send_failed(c);
}

weir_result *weir__pg_copy_take(weir__conn *conn) {
    weir__pgconn *c = (weir__pgconn *)conn;
    if (!c->chunk) return NULL;
    weir_result *chunk = &c->chunk->base;
    c->chunk = NULL;
    conn->copy = WEIR__COPY_BUSY;
    weir__pg_simple_take(c);
    if (c->state == WEIR__PG_READY) weir__pg_pump(c);
    return chunk;
}

void weir__pg_simple_cancel(weir__pgconn *c) {
    drop_chunk(c);
    bool told = break_off(c, "it was broken off by the client");
    weir__pg_simple_take(c); /* it may be over */
    if (!c->simple || c->state != WEIR__PG_READY) return;
    if (told)
        c->base.env->host->arm(&c->base, weir__now(c->base.env->clock) + CANCEL_AFTER);
    else
        weir__pg_cancel_send(c);
}

void weir__pg_simple_tick(weir__pgconn *c) {
    if (c->doubt) break_off(c, "the server has said something that is no notice");
    go_on(c);
}
