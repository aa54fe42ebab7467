/* Calls of the core: what an awaited one and a blocking one have in common. */
#include "weir_py.h"

const char *weir__py_kind_name(weir__py_kind kind) {
    switch (kind) {
    case WEIR__PY_EXECUTE:
        return "execute";
    case WEIR__PY_EXECUTEMANY:
        return "executemany";
    case WEIR__PY_FETCH:
        return "fetch";
    case WEIR__PY_FETCHROW:
        return "fetchrow";
    case WEIR__PY_FETCHVAL:
        return "fetchval";
    case WEIR__PY_ACQUIRE:
        return "session";
    case WEIR__PY_COMMIT:
        return "commit";
    case WEIR__PY_ROLLBACK:
        return "rollback";
    case WEIR__PY_OPEN:
        return "create_pool";
    case WEIR__PY_CLOSE:
        return "close";
    case WEIR__PY_SLEEP:
        return "_sleep";
    case WEIR__PY_NEXT:
        return "stream";
    }
    return "?";
}

void weir__py_call_clear(weir__py_call *call) {
    weir_statement_unref(call->statement);
    call->statement = NULL;
    Py_CLEAR(call->session);
    Py_CLEAR(call->pool);
}

int weir__py_call_visit(weir__py_call *call, visitproc visit, void *arg) {
    Py_VISIT(call->pool);
    Py_VISIT(call->session);
    return 0;
}

int weir__py_submit(weir__py_call *call, void *token, weir_op *op, weir_completion *out, weir_error *error) {
    EngineObject *engine = call->pool->engine;
    weir_session session = call->session ? call->session->handle : (weir_session){0};
    weir_run run = {sizeof run, call->timeout_ms, call->readonly, call->hold, call->owner};
    *out = (weir_completion){0};
    switch (call->kind) {
    case WEIR__PY_EXECUTE:
    case WEIR__PY_EXECUTEMANY:
    case WEIR__PY_FETCH:
    case WEIR__PY_FETCHROW:
    case WEIR__PY_FETCHVAL:
        if (call->session) return weir_session_execute(session, call->statement, &run, token, op, error);
        return weir_pool_execute(engine->pool, call->statement, &run, token, op, error);
    case WEIR__PY_ACQUIRE:
        call->checkout->how.owner = call->owner;
        return weir_pool_acquire(engine->pool, &call->checkout->how, token, &out->session, op, error);
    case WEIR__PY_COMMIT:
        return weir_session_commit(session, call->depth, token, op, error);
    case WEIR__PY_ROLLBACK:
        return weir_session_rollback(session, call->depth, token, op, error);
    case WEIR__PY_OPEN:
        return weir_pool_open(engine->reactor, &call->pool->options, token, &engine->pool, op, error);
    case WEIR__PY_CLOSE:
        return weir_pool_close(engine->pool, call->timeout_ms, token, op, error);
    case WEIR__PY_SLEEP:
        return weir_reactor_sleep(engine->reactor, call->timeout_ms, token, op, error);
    case WEIR__PY_NEXT:
        return weir_stream_next(call->stream, token, &out->result, op, error);
    }
    return WEIR_EINTERNAL;
}

void weir__py_settle(weir__py_call *call, weir_completion *completion) {
    if (call->release && call->session) weir__py_release(call->session, false);
    if (call->kind == WEIR__PY_CLOSE && completion->code == WEIR_OK) {
        call->pool->closed = true;
        weir__py_unwatch(call->pool->engine);
    }
}

static PyObject *single_value(weir__py_call *call, weir_result *result) {
    size_t columns = weir_result_columns(result);
    if (weir_result_rows(result) == 0) Py_RETURN_NONE;
    Py_ssize_t column = call->column < 0 ? call->column + (Py_ssize_t)columns : call->column;
    if (column < 0 || (size_t)column >= columns)
        return weir__py_fail(WEIR_EINVAL, "there is no column %zd: the result has %zu", call->column,
                             columns);
    return weir__py_cell(result, 0, (size_t)column, &call->pool->codecs);
}

static PyObject *from_result(weir__py_call *call, weir_result *result) {
    if (call->kind == WEIR__PY_EXECUTEMANY) {
        int64_t affected = result ? weir_result_affected(result) : 0;
        return PyLong_FromLongLong(affected < 0 ? 0 : affected);
    }
    if (!result) return weir__py_fail(WEIR_EINTERNAL, "a statement has ended without a result");
    const char *tag = weir_result_tag(result);
    switch (call->kind) {
    case WEIR__PY_EXECUTE:
        return PyUnicode_DecodeUTF8(tag, (Py_ssize_t)strlen(tag), "replace");
    case WEIR__PY_FETCHVAL:
        return single_value(call, result);
    case WEIR__PY_FETCHROW:
        if (weir_result_rows(result) == 0) Py_RETURN_NONE;
        return weir__py_record(result, 0, &call->pool->codecs);
    default:
        return weir__py_records(result, &call->pool->codecs);
    }
}

static PyObject *from_error(weir__py_call *call, weir_completion *completion) {
    weir_error plain = WEIR_ERROR_INIT;
    plain.code = completion->code;
    if (call->kind == WEIR__PY_OPEN) weir__py_engine_shut(call->pool->engine);
    if (call->quiet) {
        weir_error_free(completion->error);
        completion->error = NULL;
        Py_RETURN_NONE;
    }
    weir__py_raise(completion->error ? completion->error : &plain);
    weir_error_free(completion->error);
    completion->error = NULL;
    return NULL;
}

PyObject *weir__py_take(weir__py_call *call, weir_completion *completion) {
    if (completion->code != WEIR_OK) return from_error(call, completion);
    PyObject *answer = NULL;
    switch (call->kind) {
    case WEIR__PY_EXECUTE:
    case WEIR__PY_EXECUTEMANY:
    case WEIR__PY_FETCH:
    case WEIR__PY_FETCHROW:
    case WEIR__PY_FETCHVAL:
        answer = from_result(call, completion->result);
        break;
    case WEIR__PY_ACQUIRE: {
        weir_session handle = completion->session;
        completion->session = (weir_session){0}; /* from here on the Python object owns the loan */
        answer = (PyObject *)weir__py_session(call->pool, handle, call->checkout->how.transaction);
        if (answer) Py_XSETREF(call->checkout->lent, (SessionObject *)Py_NewRef(answer));
        break;
    }
    case WEIR__PY_OPEN:
        answer = Py_NewRef((PyObject *)call->pool);
        break;
    case WEIR__PY_NEXT:
        answer = completion->result ? weir__py_records(completion->result, &call->pool->codecs)
                                    : Py_NewRef(Py_None);
        break;
    case WEIR__PY_COMMIT:
    case WEIR__PY_ROLLBACK:
    case WEIR__PY_CLOSE:
    case WEIR__PY_SLEEP:
        answer = Py_NewRef(Py_None);
        break;
    }
    weir_result_free(completion->result);
    completion->result = NULL;
    return answer;
}

static int parse_column(PyObject *object, Py_ssize_t *out) {
    *out = 0;
    if (!object) return 0;
    if (!PyLong_Check(object) || PyBool_Check(object)) {
        weir__py_fail(WEIR_EINVAL, "column must be an int, not %s", Py_TYPE(object)->tp_name);
        return -1;
    }
    *out = PyLong_AsSsize_t(object);
    if (*out != -1 || !PyErr_Occurred()) return 0;
    PyErr_Clear();
    weir__py_fail(WEIR_EINVAL, "column %R is out of range", object);
    return -1;
}

static int parse_flag(const char *name, PyObject *object, bool *out) {
    *out = object == Py_True;
    if (!object || PyBool_Check(object)) return 0;
    weir__py_fail(WEIR_EINVAL, "%s must be True or False, not %s", name, Py_TYPE(object)->tp_name);
    return -1;
}

/* Who asks, and whether he will ask for more. */
void weir__py_address(weir__py_call *call) {
    EngineObject *engine = call->pool->engine;
    bool acquires = call->kind == WEIR__PY_ACQUIRE;
    if (!acquires && (call->session || !call->statement)) return;
    if (acquires || engine->lent) call->owner = weir__py_owner(engine);
    if (!acquires) call->hold = weir__py_may_hold(engine);
}

int weir__py_parse(weir__py_call *call, PoolObject *pool, SessionObject *session, PyObject *const *arguments,
                   Py_ssize_t count, PyObject *kwnames) {
    const char *function = weir__py_kind_name(call->kind);
    PyObject *names[3] = {weir__py.timeout};
    PyObject *values[3] = {NULL};
    int column = 0, readonly = 0, known = 1;
    if (call->kind == WEIR__PY_FETCHVAL) names[column = known++] = weir__py.column;
    if (!session && call->kind != WEIR__PY_EXECUTEMANY) names[readonly = known++] = weir__py.readonly;
    if (weir__py_keywords(function, arguments + count, kwnames, names, values, known) < 0) return -1;
    bool many = call->kind == WEIR__PY_EXECUTEMANY;
    if (many ? count != 2 : count < 1) {
        PyErr_Format(PyExc_TypeError,
                     many ? "%s() takes the statement and an iterable of its sets of parameters"
                          : "%s() needs the statement as its first argument",
                     function);
        return -1;
    }
    if (weir__py_milliseconds("timeout", values[0], false, &call->timeout_ms) < 0) return -1;
    if (column && parse_column(values[column], &call->column) < 0) return -1;
    if (readonly && parse_flag("readonly", values[readonly], &call->readonly) < 0) return -1;
    call->statement = many ? weir__py_statement_many(arguments[0], arguments[1], &pool->codecs)
                           : weir__py_statement(arguments[0], arguments + 1, count - 1, &pool->codecs);
    if (!call->statement) return -1;
    call->pool = (PoolObject *)Py_NewRef((PyObject *)pool);
    call->session = (SessionObject *)Py_XNewRef((PyObject *)session);
    return 0;
}
