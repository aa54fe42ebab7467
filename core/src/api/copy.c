/* The public COPY: arguments are checked here, and the lock is taken. */
#include "api/api.h"

#include <weirpool/copy.h>

#include "base/error.h"

static int begin(weir_session session, weir_statement *statement, weir__mode mode, const weir_run *run,
                 void *token, weir_op *op, weir_error *error) {
    weir__slot *slot;
    weir_run own;
    if (!statement || !op) return weir__fail(error, WEIR_EINVAL, "statement and op are needed");
    int code = weir__take_run(&own, run, error);
    if (!code) code = weir__statement_check(statement, error);
    if (!code) code = weir__enter_session(session, &slot, error);
    if (code) return code;
    code = weir__session_execute(slot, statement, mode, &own, token, op, error);
    weir__leave(session.pool->reactor);
    return code;
}

int weir_session_copy_in(weir_session session, weir_statement *statement, const weir_run *run, void *token,
                         weir_op *op, weir_error *error) {
    return begin(session, statement, WEIR__COPY_IN, run, token, op, error);
}

int weir_session_copy_out(weir_session session, weir_statement *statement, const weir_run *run, void *token,
                          weir_op *op, weir_error *error) {
    return begin(session, statement, WEIR__COPY_OUT, run, token, op, error);
}

int weir_session_copy_put(weir_session session, const void *data, size_t length, void *token, weir_op *op,
                          weir_error *error) {
    weir__slot *slot;
    if (!op || (!data && length)) return weir__fail(error, WEIR_EINVAL, "data and op are needed");
    int code = weir__enter_session(session, &slot, error);
    if (code) return code;
    code = weir__copy_put(slot, data, length, token, op, error);
    weir__leave(session.pool->reactor);
    return code;
}

static int step(weir_session session, int (*take)(weir__slot *, void *, weir_op *, weir_error *), void *token,
                weir_op *op, weir_error *error) {
    weir__slot *slot;
    if (!op) return weir__fail(error, WEIR_EINVAL, "op is NULL");
    int code = weir__enter_session(session, &slot, error);
    if (code) return code;
    code = take(slot, token, op, error);
    weir__leave(session.pool->reactor);
    return code;
}

int weir_session_copy_end(weir_session session, void *token, weir_op *op, weir_error *error) {
    return step(session, weir__copy_end, token, op, error);
}

int weir_session_copy_take(weir_session session, void *token, weir_op *op, weir_error *error) {
    return step(session, weir__copy_take, token, op, error);
}

int weir_session_copy_watch(weir_session session, void *token, weir_op *op, weir_error *error) {
    return step(session, weir__copy_watch, token, op, error);
}

int weir_session_copy_abort(weir_session session, weir_error *error) {
    weir__slot *slot;
    int code = weir__enter_session(session, &slot, error);
    if (code) return code;
    code = weir__copy_abort(slot, error);
    weir__leave(session.pool->reactor);
    return code;
}
