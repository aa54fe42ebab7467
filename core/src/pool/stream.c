/*
 * Streams. What a stream wants next it says in `want`; it is sent when nothing else flies on the connection,
 * in turn with the other streams of the session, and behind the session's own next statement. Nobody waits
 * for a stream's flight: who waits, waits for the stream.
 */
#include <weirpool/stream.h>

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "pool/leak.h"

typedef enum step { STEP_NONE, STEP_OPEN, STEP_FETCH, STEP_END } step;

/* Who waits for a batch. */
typedef struct waiter {
    weir__op op; /* first */
    weir__stream *stream;
} waiter;

struct weir__stream {
    weir__link link; /* in the slot's */
    weir__slot *slot;
    uint64_t number;
    unsigned place;            /* no other open stream of the session has it */
    weir__cursor cursor;       /* empty for drivers that take request->cursor */
    weir_statement *statement; /* … for which this is run */
    size_t rows;
    int64_t run_ms;
    int depth; /* of the transaction that it lives in; 0: outside */
    step want; /* to be sent next */
    step sent; /* what flies, while there is a flight */
    weir__flight *flight;
    weir_result *batch; /* the next one, already here */
    weir_error *error;  /* it has ended with this */
    bool complete;      /* all rows have come */
    bool open;          /* there is a cursor */
    bool ending;        /* nothing more is fetched */
    bool over;          /* nothing of it is left on the connection */
    bool closed;        /* the holder has closed it */
    bool left;          /* … before he heard of an error */
    waiter *waiter;
    weir__timer timer;    /* the batch's deadline */
    weir_permit permit;   /* of what flies */
    weir_failure failure; /* what the host is to say of `error`, once it has been given out */
};

static bool has_texts(const weir__stream *stream) { return stream->slot->pool->driver->cursor != NULL; }

/* Whether it has a transaction of its own on the server. */
static bool is_wrapped(const weir__stream *stream) { return !stream->depth && has_texts(stream); }

static void forget(weir__stream *stream) {
    weir__slot *slot = stream->slot;
    weir__timer_stop(&slot->pool->reactor->wheel, &stream->timer);
    if (stream->flight) stream->flight->stream = NULL;
    if (slot->outside == stream) slot->outside = NULL;
    weir__guard_cancel(slot->pool, &stream->permit, weir__reactor_now(slot->pool->reactor));
    weir__guard_judge(&stream->failure, stream->error, WEIR_VERDICT_NONE);
    weir__list_remove(&stream->link);
    weir_statement_unref(stream->cursor.open);
    weir_statement_unref(stream->cursor.fetch);
    weir_statement_unref(stream->statement);
    weir_result_free(stream->batch);
    weir_error_free(stream->error);
    weir__free(stream);
}

static void stop_timer(weir__stream *stream) {
    weir__timer_stop(&stream->slot->pool->reactor->wheel, &stream->timer);
}

static void start_timer(weir__stream *stream, int64_t now) {
    if (stream->run_ms < 0 || weir__timer_running(&stream->timer)) return;
    weir__reactor_start(stream->slot->pool->reactor, &stream->timer, weir__deadline(now, stream->run_ms));
}

/* ---- the end */

/* Takes back what was counted with the transaction of its own: what the holder begins now is another one. */
static void leave_own(weir__stream *stream) {
    weir__slot *slot = stream->slot;
    if (slot->outside != stream) return;
    slot->outside = NULL;
    if (has_texts(stream)) slot->depth = 0;
}

/* Nothing more is fetched: what is left on the connection is to be closed. */
static void wind_up(weir__stream *stream) {
    stream->ending = true;
    stream->want = STEP_NONE;
    leave_own(stream);
    if (stream->flight && stream->sent != STEP_END) return; /* its answer comes here again */
    if (stream->over || stream->flight) return;
    if (stream->open || is_wrapped(stream))
        stream->want = STEP_END;
    else
        stream->over = true;
}

/* The reason is taken over, unless there is one already. */
static void fail(weir__stream *stream, weir_error *why) {
    if (stream->error)
        weir_error_free(why);
    else
        stream->error = why;
    wind_up(stream);
}

static void fail_with(weir__stream *stream, int code, const char *text) {
    weir_error why = WEIR_ERROR_INIT;
    weir__fail(&why, code, "pool %s: %s", weir_pool_name(stream->slot->pool), text);
    fail(stream, weir__error_detach(&why));
}

/* Asks the driver to end what flies for the stream; the holder's transaction may break with it. */
static void cancel_flight(weir__stream *stream) {
    weir__slot *slot = stream->slot;
    if (!stream->flight || stream->sent == STEP_END) return;
    if (slot->state != WEIR__PREPARING) /* that has a bound over all of it */
        weir__reactor_start(slot->pool->reactor, &slot->bound,
                            weir__reactor_now(slot->pool->reactor) + WEIR__CLEAN_BOUND);
    weir__slot_cancel(slot);
}

/* ---- giving out */

/* What can be said now: WEIR_OK with the batch, or NULL at the end; WEIR_PENDING; or the error in *why,
 * borrowed. */
static int give(weir__stream *stream, weir_result **batch, const weir_error **why) {
    *batch = stream->batch;
    if (stream->batch) {
        stream->batch = NULL;
        if (!stream->ending) stream->want = STEP_FETCH;
        return WEIR_OK;
    }
    *why = stream->error;
    if (stream->error) return stream->error->code;
    /* Whether all is well, the COMMIT tells. */
    return stream->complete && (stream->over || !is_wrapped(stream)) ? WEIR_OK : WEIR_PENDING;
}

static void tell(weir__stream *stream) {
    waiter *waiter = stream->waiter;
    weir_result *batch;
    const weir_error *why;
    if (!waiter) return;
    int code = give(stream, &batch, &why);
    if (code == WEIR_PENDING) return;
    stream->waiter = NULL;
    waiter->op.completion.result = batch;
    if (code == WEIR_OK) {
        weir__op_complete(&waiter->op, WEIR_OK);
        return;
    }
    waiter->op.completion.failure = stream->failure;
    stream->failure = (weir_failure){0};
    weir__op_fail(&waiter->op, why);
}

/* ---- sending */

const char *weir__stream_text(const weir__stream *stream, size_t *length) {
    const weir_statement *statement = has_texts(stream) ? stream->cursor.open : stream->statement;
    *length = statement->sql_length - (size_t)stream->cursor.offset;
    return statement->sql + stream->cursor.offset; /* what is before it is ASCII */
}

static weir_statement *statement_of(const weir__stream *stream, step what) {
    if (what == STEP_END) return NULL;
    if (!has_texts(stream)) return stream->statement;
    return what == STEP_OPEN ? stream->cursor.open : stream->cursor.fetch;
}

/* False: there is nothing to be sent for it. */
static bool build(weir__stream *stream, weir__flight *flight) {
    step what = stream->want;
    bool end = what == STEP_END && is_wrapped(stream);
    weir_statement *statement = statement_of(stream, what);
    weir__task wish = {.run_ms = stream->run_ms,
                       .statement = statement ? weir_statement_ref(statement) : NULL,
                       .depth = end,
                       .commit = end && stream->complete && !stream->error};
    if (!has_texts(stream)) {
        flight->request.cursor = stream->number;
        flight->request.rows = stream->rows;
        flight->request.timeout_ms = stream->run_ms;
        return what == STEP_END || weir__request_build(flight, &wish); /* to close it takes no transaction */
    }
    if (what == STEP_END && !end && stream->slot->conn->tx == WEIR__TX_NONE)
        return false; /* it has gone with it */
    if (!weir__request_build(flight, &wish)) return false;
    if (what == STEP_END && !end) {
        memcpy(flight->close, stream->cursor.close, sizeof flight->close);
        flight->request.command = flight->close;
    }
    return true;
}

static void submit(weir__stream *stream, int64_t now) {
    weir__slot *slot = stream->slot;
    weir__flight *flight = weir__flight_new(slot); /* the slot's own: nothing else flies */
    if (!build(stream, flight)) {
        weir__flight_free(flight);
        stream->want = STEP_NONE;
        stream->over = true;
        tell(stream);
        if (stream->closed) forget(stream);
        return;
    }
    stream->sent = stream->want;
    stream->want = STEP_NONE;
    stream->flight = flight;
    flight->stream = stream;
    flight->sent_at = now;
    if (flight->request.statement) slot->pool->stats->queries_started++;
    start_timer(stream, now);
    if (!stream->permit.generation) weir__guard_enter(slot, false, &stream->permit, now, NULL);
    slot->pool->driver->execute(slot->conn, &flight->request);
}

/* A transaction that takes nothing but its rollback, which is not known as yet. */
static bool is_broken(const weir__slot *slot) {
    return slot->conn->tx == WEIR__TX_FAILED && weir__levels_alive(slot) >= slot->sent;
}

/* The end of a stream's own transaction comes before all else, so that nothing of the holder's gets into it.
 */
static weir__stream *next_to_send(const weir__slot *slot, bool only_ends) {
    for (weir__link *link = slot->streams.next; link != &slot->streams; link = link->next) {
        weir__stream *stream = weir__container(link, weir__stream, link);
        if (stream->want == STEP_NONE || (only_ends && (stream->want != STEP_END || stream->depth))) continue;
        if (stream->want == STEP_END && stream->depth && is_broken(slot)) continue;
        return stream;
    }
    return NULL;
}

void weir__slot_resume(weir__slot *slot, int64_t now) {
    while (!slot->flying) {
        bool queue = !weir__list_empty(&slot->queue);
        weir__stream *stream = next_to_send(slot, queue);
        if (stream) {
            weir__list_remove(&stream->link); /* the others have their turn before its next one */
            weir__list_push_back(&slot->streams, &stream->link);
            submit(stream, now);
        } else if (queue) {
            weir__slot_run_queued(slot, now);
        } else {
            if (slot->state == WEIR__LENT) weir__leak_quiet(slot, now);
            return;
        }
    }
}

/* ---- answers */

static void take_opened(weir__stream *stream, weir__request *request) {
    weir_error *error = request->error;
    if (request->code == WEIR_OK) {
        stream->open = true;
        if (!stream->ending) stream->want = STEP_FETCH;
        return;
    }
    if (error->position > stream->cursor.offset) error->position -= stream->cursor.offset;
    request->error = NULL;
    fail(stream, error);
}

static void take_batch(weir__stream *stream, weir__request *request) {
    weir_error *error = request->error;
    bool last = request->code != WEIR_OK || weir_result_rows(request->result) < stream->rows;
    if (!has_texts(stream)) stream->open = !last;
    if (request->code != WEIR_OK) {
        request->error = NULL;
        fail(stream, error);
        return;
    }
    if (!stream->ending && weir_result_rows(request->result)) {
        stream->batch = request->result;
        request->result = NULL;
    }
    if (!last) return;
    stream->complete = !stream->ending;
    wind_up(stream);
}

/* The holder hears of it when what flies fails: nothing else has before, and the end matters to him. */
static bool is_told(const weir__stream *stream) {
    return !stream->error && (stream->sent != STEP_END || (is_wrapped(stream) && stream->complete));
}

static void record(weir__stream *stream, bool told, const weir_error *why, int64_t now) {
    weir_pool *pool = stream->slot->pool;
    if (told)
        weir__guard_tell(pool, &stream->permit, why, &stream->failure, now);
    else
        weir__guard_end(pool, &stream->permit, why, now);
}

static void take_end(weir__stream *stream, weir__request *request) {
    stream->over = true;
    if (request->code == WEIR_OK || !is_told(stream)) return;
    weir_error *error = request->error;
    request->error = NULL;
    fail(stream, error);
}

bool weir__stream_counts(const weir__flight *flight, int64_t now) {
    const weir__stream *stream = flight->stream;
    if (stream->left)
        weir__query_ended(flight, WEIR_ECANCELLED, NULL, now);
    else if (stream->error)
        weir__query_ended(flight, stream->error->code, stream->error, now);
    return stream->left || stream->error;
}

void weir__stream_answer(weir__flight *flight, int64_t now) {
    weir__stream *stream = flight->stream;
    weir__request *request = &flight->request;
    if (request->code == WEIR_OK || !weir__stream_counts(flight, now))
        weir__query_answered(flight, stream->run_ms, now);
    flight->stream = NULL;
    stream->flight = NULL;
    if (stream->sent != STEP_OPEN || request->code != WEIR_OK)
        stop_timer(stream); /* the first batch's goes on */
    record(stream, is_told(stream), request->error, now);
    if (stream->sent == STEP_OPEN)
        take_opened(stream, request);
    else if (stream->sent == STEP_FETCH)
        take_batch(stream, request);
    else
        take_end(stream, request);
    if (stream->ending) wind_up(stream);
    tell(stream);
    if (stream->waiter) start_timer(stream, now); /* what it wants next may have to wait for others */
    if (stream->closed && stream->over) forget(stream);
}

static void expired(weir__timer *timer) {
    weir__stream *stream = weir__container(timer, weir__stream, timer);
    weir__slot *slot = stream->slot;
    int64_t now = weir__reactor_now(slot->pool->reactor);
    if (stream->flight && stream->sent == STEP_END) { /* a COMMIT on its way is let finish */
        if (is_wrapped(stream) && stream->complete)
            fail_with(stream, WEIR_EOUTCOMETIMEOUT, "the stream's COMMIT was sent and not answered in time");
    } else {
        bool told = is_told(stream);
        cancel_flight(stream);
        fail_with(stream, WEIR_ECOMMANDTIMEOUT, "a batch of a stream did not come in time");
        record(stream, told, stream->error, now);
    }
    tell(stream);
    if (!slot->flying) weir__slot_resume(slot, now);
}

/* ---- what the holder does */

static weir__stream *find(const weir__slot *slot, uint64_t number) {
    for (weir__link *link = slot->streams.next; link != &slot->streams; link = link->next) {
        weir__stream *stream = weir__container(link, weir__stream, link);
        if (stream->number == number && !stream->closed) return stream;
    }
    return NULL;
}

static unsigned free_place(const weir__slot *slot) {
    unsigned place = 0;
    for (bool taken = true; taken;) {
        taken = false;
        place++;
        for (weir__link *link = slot->streams.next; link != &slot->streams && !taken; link = link->next)
            taken = weir__container(link, weir__stream, link)->place == place;
    }
    return place;
}

/* The transaction that it is to live in. */
static int enter(weir__slot *slot, weir__stream *stream, weir_error *error) {
    static const weir_transaction plain = {0};
    if (slot->transaction && !slot->depth) {
        slot->depth = 1;
        slot->broken_off = false;
    }
    stream->depth = slot->depth;
    if (slot->depth) return WEIR_OK;
    bool known = !slot->flying && !slot->sent;
    if (known && slot->conn->tx != WEIR__TX_NONE) /* a BEGIN of the holder's own */
        return weir__fail(
            error, WEIR_ETRANSACTION,
            "a transaction that a statement of yours has begun is open: end it first, or leave BEGIN to "
            "transaction()");
    if (has_texts(stream)) {
        int code = weir__begin_text(slot->pool, &plain, &slot->begin, error);
        if (code) return code;
        slot->depth = 1;
    }
    slot->outside = stream;
    slot->lasting |= slot->setup_until == WEIR__NEVER;
    return WEIR_OK;
}

static int refuse(const weir__slot *slot, weir_error *error) {
    return weir__fail(
        error, WEIR_EBUSY,
        "a stream outside of a transaction has the connection of pool %s to itself: begin a transaction "
        "around both, or use a connection each",
        weir_pool_name(slot->pool));
}

static weir__stream *make(weir__slot *slot, weir_statement *statement, size_t rows, const weir_run *run) {
    weir_pool *pool = slot->pool;
    weir__stream *stream = weir__calloc(1, sizeof *stream);
    if (!stream) return NULL;
    weir__list_init(&stream->link);
    weir__timer_init(&stream->timer, expired);
    stream->slot = slot;
    stream->place = free_place(slot);
    stream->statement = weir_statement_ref(statement);
    stream->rows = rows;
    stream->run_ms =
        run->timeout_ms == WEIR_TIMEOUT_DEFAULT ? pool->config->options.command_timeout_ms : run->timeout_ms;
    stream->want = pool->driver->cursor ? STEP_OPEN : STEP_FETCH;
    return stream;
}

int weir__stream_open(weir__slot *slot, weir_statement *statement, size_t rows, const weir_run *run,
                      uint64_t *number, weir_error *error) {
    weir_pool *pool = slot->pool;
    bool outside = !slot->transaction && !slot->depth;
    if (slot->outside || (outside && weir__session_busy(slot))) return refuse(slot, error);
    weir_permit permit;
    int64_t now = weir__reactor_now(pool->reactor);
    int code = weir__session_admit(slot, &permit, now, error);
    if (code) return code;
    weir__stream *stream = make(slot, statement, rows, run);
    if (!stream) {
        weir__guard_cancel(pool, &permit, now);
        return weir__fail(error, WEIR_ENOMEM, "out of memory for a stream");
    }
    stream->permit = permit;
    if (has_texts(stream))
        code = pool->driver->cursor(statement, stream->place, rows, &stream->cursor, error);
    if (code == WEIR_OK) code = enter(slot, stream, error);
    if (code != WEIR_OK) {
        forget(stream);
        return code;
    }
    weir__leak_note(slot, statement->sql, statement->sql_length);
    weir__query_echo(pool, statement);
    *number = stream->number = ++pool->streams;
    weir__list_push_back(&slot->streams, &stream->link);
    if (!slot->flying) weir__slot_resume(slot, now);
    return WEIR_OK;
}

static void cancelled(weir__op *op) {
    weir__stream *stream = ((waiter *)op)->stream;
    stream->waiter = NULL;
    if (stream->sent != STEP_END || !stream->flight) {
        cancel_flight(stream);
        fail_with(stream, WEIR_ECANCELLED, "the wait for a batch of the stream was cancelled");
    }
    weir__op_drop(op);
    weir__slot *slot = stream->slot;
    if (!slot->flying) weir__slot_resume(slot, weir__reactor_now(slot->pool->reactor));
}

static int wait_for_batch(weir__stream *stream, void *token, weir_op *op, weir_error *error) {
    weir_pool *pool = stream->slot->pool;
    waiter *new = (waiter *)weir__op_new(pool->reactor, WEIR_DONE_STREAM, token, pool, cancelled, NULL);
    if (!new) return weir__fail(error, WEIR_ENOMEM, "out of memory for an operation");
    new->stream = stream;
    stream->waiter = new;
    *op = new->op.completion.op;
    if (!stream->error) start_timer(stream, weir__reactor_now(pool->reactor));
    tell(stream);
    return WEIR_PENDING;
}

int weir__stream_next(weir__slot *slot, uint64_t number, void *token, weir_result **out, weir_op *op,
                      weir_error *error) {
    int code = weir__session_overdue(slot, weir__reactor_now(slot->pool->reactor), error);
    if (code) return code;
    weir__stream *stream = find(slot, number);
    const weir_error *why;
    if (!stream) return weir__fail(error, WEIR_ESTALE, "the stream was closed");
    if (stream->waiter)
        return weir__fail(error, WEIR_EBUSY, "the stream's next batch is being waited for already");
    code = give(stream, out, &why);
    /* What the host is to judge goes out with a completion. */
    if (code == WEIR_PENDING || (code != WEIR_OK && stream->failure.pool))
        return wait_for_batch(stream, token, op, error);
    if (code == WEIR_OK) {
        if (!slot->flying) weir__slot_resume(slot, weir__reactor_now(slot->pool->reactor));
    } else if (error) {
        weir__error_copy(error, why);
    }
    return code;
}

int weir__stream_close(weir__slot *slot, uint64_t number) {
    weir__stream *stream = find(slot, number);
    if (!stream) return WEIR_ESTALE;
    stream->closed = true;
    stream->left = !stream->error;
    if (!stream->depth) cancel_flight(stream); /* no transaction of the holder's breaks with it */
    if (!stream->complete) wind_up(stream);
    if (stream->waiter) {
        waiter *waiter = stream->waiter;
        weir_error why = WEIR_ERROR_INIT;
        stream->waiter = NULL;
        weir__fail(&why, WEIR_ECANCELLED, "the stream was closed while its next batch was waited for");
        weir__op_fail(&waiter->op, &why);
        weir_error_clear(&why);
    }
    weir_result_free(stream->batch);
    stream->batch = NULL;
    if (stream->over)
        forget(stream);
    else if (!slot->flying)
        weir__slot_resume(slot, weir__reactor_now(slot->pool->reactor));
    return WEIR_OK;
}

/* ---- the end of what they live in */

/* The cursor is gone with its transaction, or will be: nothing is left to be closed. */
static void strand(weir__stream *stream, const char *text) {
    if (stream->over || (stream->ending && !stream->depth)) return;
    if (has_texts(stream)) stream->open = false;
    if (!stream->complete || stream->batch) {
        weir_result_free(stream->batch);
        stream->batch = NULL;
        fail_with(stream, WEIR_ETRANSACTION, text);
    } else {
        wind_up(stream);
    }
    tell(stream);
}

static void strand_from(weir__slot *slot, int depth, const char *text) {
    for (weir__link *link = slot->streams.next, *next; link != &slot->streams; link = next) {
        weir__stream *stream = weir__container(link, weir__stream, link);
        next = link->next;
        if (stream->depth < depth) continue;
        strand(stream, text);
        if (stream->closed && stream->over && !stream->flight) forget(stream);
    }
}

void weir__streams_leave(weir__slot *slot, int depth, bool commit) {
    if (!commit || depth == 1) {
        strand_from(slot, depth, "the transaction in which the stream ran has ended");
        return;
    }
    for (weir__link *link = slot->streams.next; link != &slot->streams; link = link->next) {
        weir__stream *stream = weir__container(link, weir__stream, link);
        if (stream->depth >= depth) stream->depth = depth - 1;
    }
}

void weir__streams_broken(weir__slot *slot, const weir__request *request) {
    if (weir__list_empty(&slot->streams) || !request->statement || request->code != WEIR_OK) return;
    const char *tag = weir_result_tag(request->result);
    if (strcmp(tag, "COMMIT") != 0 && strcmp(tag, "ROLLBACK") != 0 && strncmp(tag, "PREPARE TR", 10) != 0)
        return;
    strand_from(slot, 1, "a statement of yours has ended the transaction in which the stream ran");
}

void weir__streams_end(weir__slot *slot, int code) {
    weir_pool *pool = slot->pool;
    weir_error why = WEIR_ERROR_INIT;
    for (weir__link *link; (link = weir__list_front(&slot->streams));) {
        weir__stream *stream = weir__container(link, weir__stream, link);
        if (stream->waiter) {
            weir__fail(&why, code, "the session was ended by pool %s: %s", weir_pool_name(pool),
                       weir_error_text(code));
            if (slot->lasting) why.retryable = false;
            weir__op_fail(&stream->waiter->op, &why);
        }
        forget(stream);
    }
    weir_error_clear(&why);
}
