/* The public session: arguments are checked here, and the lock is taken. */
#include "api/api.h"

#include "base/error.h"

int weir__enter_session(weir_session session, weir__slot **slot, weir_error *error) {
    if (!session.pool) return weir__fail(error, WEIR_EINVAL, "no session: it was never checked out");
    if (!weir__enter(session.pool->reactor)) return weir__forked(error);
    int code = weir__session_find(session, slot, error);
    if (code) weir__leave(session.pool->reactor);
    return code;
}

static int give_back(weir_session session, bool discard) {
    weir__slot *slot;
    int code = weir__enter_session(session, &slot, NULL);
    if (code) return code;
    weir__session_return(slot, discard);
    weir__leave(session.pool->reactor);
    return WEIR_OK;
}

int weir_session_release(weir_session session) { return give_back(session, false); }

int weir_session_release_unused(weir_session session) {
    weir__slot *slot;
    int code = weir__enter_session(session, &slot, NULL);
    if (code) return code;
    if (!slot->transaction || slot->depth || slot->broken_off || weir__session_busy(slot))
        code = WEIR_EBUSY;
    else
        weir__session_return(slot, false);
    weir__leave(session.pool->reactor);
    return code;
}

int weir_session_discard(weir_session session) { return give_back(session, true); }

int weir_session_init_failed(weir_session session, const char *why) {
    weir__slot *slot;
    int code = weir__enter_session(session, &slot, NULL);
    if (code) return code;
    session.pool->init_failure = why;
    weir__session_return(slot, true);
    session.pool->init_failure = NULL;
    weir__leave(session.pool->reactor);
    return WEIR_OK;
}

int weir_session_ready(weir_session session, weir_error *error) {
    weir__slot *slot;
    int code = weir__enter_session(session, &slot, error);
    if (code) return code;
    code = weir__session_ready(slot, error);
    weir__leave(session.pool->reactor);
    return code;
}

int weir_session_watch(weir_session session, void *token, weir_op *op, weir_error *error) {
    weir__slot *slot;
    if (!op) return weir__fail(error, WEIR_EINVAL, "op is NULL");
    int code = weir__enter_session(session, &slot, error);
    if (code) return code;
    code = weir__session_watch(slot, token, op, error);
    weir__leave(session.pool->reactor);
    return code;
}

int weir_session_limit(weir_session session, int64_t timeout_ms, weir_error *error) {
    weir__slot *slot;
    int code = weir__check_timeout(timeout_ms, "timeout", error);
    if (!code) code = weir__enter_session(session, &slot, error);
    if (code) return code;
    weir__session_limit(slot, timeout_ms);
    weir__leave(session.pool->reactor);
    return WEIR_OK;
}

int weir_session_execute(weir_session session, weir_statement *statement, const weir_run *run, void *token,
                         weir_op *op, weir_error *error) {
    weir__slot *slot;
    weir_run own;
    if (!statement || !op) return weir__fail(error, WEIR_EINVAL, "statement and op are needed");
    int code = weir__take_run(&own, run, error);
    if (!code) code = weir__statement_check(statement, error);
    if (!code) code = weir__enter_session(session, &slot, error);
    if (code) return code;
    weir__mode mode = own.script ? WEIR__SCRIPT : WEIR__STATEMENT;
    code = weir__session_execute(slot, statement, mode, &own, token, op, error);
    weir__leave(session.pool->reactor);
    return code;
}

int weir_session_pipeline(weir_session session, bool on, weir_error *error) {
    weir__slot *slot;
    int code = weir__enter_session(session, &slot, error);
    if (code) return code;
    code = weir__session_pipeline(slot, on, error);
    weir__leave(session.pool->reactor);
    return code;
}

int weir_session_stream(weir_session session, weir_statement *statement, size_t rows, const weir_run *run,
                        weir_stream *out, weir_error *error) {
    weir__slot *slot;
    weir_run own;
    if (!statement || !out) return weir__fail(error, WEIR_EINVAL, "statement and out are needed");
    *out = (weir_stream){session, 0};
    if (rows > WEIR_STREAM_ROWS_MAX)
        return weir__fail(error, WEIR_EINVAL, "a batch of %zu rows is too large: give 1 to %d", rows,
                          WEIR_STREAM_ROWS_MAX);
    int code = weir__take_run(&own, run, error);
    if (!code) code = weir__statement_check(statement, error);
    if (!code && statement->many)
        code = weir__fail(error, WEIR_EINVAL, "an executemany gives no rows to stream");
    if (!code) code = weir__enter_session(session, &slot, error);
    if (code) return code;
    code = weir__stream_open(slot, statement, rows ? rows : WEIR_STREAM_ROWS, &own, &out->number, error);
    weir__leave(session.pool->reactor);
    return code;
}

int weir_stream_next(weir_stream stream, void *token, weir_result **out, weir_op *op, weir_error *error) {
    weir__slot *slot;
    if (!out || !op) return weir__fail(error, WEIR_EINVAL, "out and op are needed");
    *out = NULL;
    int code = weir__enter_session(stream.session, &slot, error);
    if (code) return code;
    code = weir__stream_next(slot, stream.number, token, out, op, error);
    weir__leave(stream.session.pool->reactor);
    return code;
}

int weir_stream_close(weir_stream stream) {
    weir__slot *slot;
    int code = weir__enter_session(stream.session, &slot, NULL);
    if (code) return code;
    code = weir__stream_close(slot, stream.number);
    weir__leave(stream.session.pool->reactor);
    return code;
}

int weir_session_begin(weir_session session, const weir_transaction *begin, int *depth, weir_error *error) {
    weir__slot *slot;
    if (!depth) return weir__fail(error, WEIR_EINVAL, "depth is NULL");
    int code = weir__enter_session(session, &slot, error);
    if (code) return code;
    code = weir__session_begin(slot, begin, depth, error);
    weir__leave(session.pool->reactor);
    return code;
}

static int end(weir_session session, bool commit, int depth, void *token, weir_op *op, weir_error *error) {
    weir__slot *slot;
    if (!op) return weir__fail(error, WEIR_EINVAL, "op is NULL");
    int code = weir__enter_session(session, &slot, error);
    if (code) return code;
    code = weir__session_end(slot, commit, depth, token, op, error);
    weir__leave(session.pool->reactor);
    return code;
}

int weir_session_commit(weir_session session, int depth, void *token, weir_op *op, weir_error *error) {
    return end(session, true, depth, token, op, error);
}

int weir_session_rollback(weir_session session, int depth, void *token, weir_op *op, weir_error *error) {
    return end(session, false, depth, token, op, error);
}

int weir_session_inspect(weir_session session, weir_session_info *out, weir_error *error) {
    weir__slot *slot;
    if (!out) return weir__fail(error, WEIR_EINVAL, "out is NULL");
    int code = weir__enter_session(session, &slot, error);
    if (code) return code;
    out->depth = slot->depth;
    out->in_transaction = slot->conn->tx != WEIR__TX_NONE;
    out->failed = slot->conn->tx == WEIR__TX_FAILED;
    out->busy = weir__session_busy(slot);
    out->backend = slot->conn->backend;
    out->age_ms = (weir__reactor_now(slot->pool->reactor) - slot->lent_at) / WEIR__MS;
    weir__leave(session.pool->reactor);
    return WEIR_OK;
}
