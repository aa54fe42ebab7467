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
    case WEIR__PY_EITHER:
        return "_either";
    case WEIR__PY_ROWS_LIKE:
        return "_rows_like";
    case WEIR__PY_TRANSACTION:
        return "transaction";
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
    case WEIR__PY_DRAIN:
        return "drain";
    case WEIR__PY_SLEEP:
        return "_sleep";
    case WEIR__PY_CHECK:
        return "check_health";
    case WEIR__PY_SCRIPT:
        return "execute_script";
    case WEIR__PY_COPY_IN:
        return "_copy_in";
    case WEIR__PY_COPY_PUT:
        return "_copy_put";
    case WEIR__PY_COPY_END:
        return "_copy_end";
    case WEIR__PY_COPY_OUT:
        return "_copy_out";
    case WEIR__PY_COPY_TAKE:
        return "_copy_take";
    case WEIR__PY_COPY_WATCH:
        return "_copy_watch";
    case WEIR__PY_NEXT:
        return "stream";
    case WEIR__PY_CONFIRM:
        return "_listener_confirm";
    case WEIR__PY_WAIT:
        return "_listener_wait";
    }
    return "?";
}

void weir__py_call_clear(weir__py_call *call) {
    weir_statement_unref(call->statement);
    weir_batch_free(call->batch);
    call->statement = NULL;
    call->batch = NULL;
    Py_CLEAR(call->isolation);
    PyBuffer_Release(&call->data);
    Py_CLEAR(call->session);
    Py_CLEAR(call->pool);
}

int weir__py_call_visit(weir__py_call *call, visitproc visit, void *arg) {
    Py_VISIT(call->pool);
    Py_VISIT(call->session);
    Py_VISIT(call->data.obj);
    return 0;
}

int weir__py_submit(weir__py_call *call, void *token, weir_op *op, weir_completion *out, weir_error *error) {
    EngineObject *engine = call->pool->engine;
    weir_session session = call->session ? call->session->handle : (weir_session){0};
    bool script = call->kind == WEIR__PY_SCRIPT;
    weir_run run = {sizeof run, call->timeout_ms, call->readonly, call->hold, call->owner, script};
    *out = (weir_completion){0};
    switch (call->kind) {
    case WEIR__PY_EXECUTE:
    case WEIR__PY_EXECUTEMANY:
    case WEIR__PY_FETCH:
    case WEIR__PY_FETCHROW:
    case WEIR__PY_FETCHVAL:
    case WEIR__PY_EITHER:
    case WEIR__PY_ROWS_LIKE:
    case WEIR__PY_SCRIPT:
        if (call->session) return weir_session_execute(session, call->statement, &run, token, op, error);
        return weir_pool_execute(engine->pool, call->statement, &run, token, op, error);
    case WEIR__PY_TRANSACTION:
        return weir_pool_transaction(engine->pool, call->batch, &call->begin, &run, token, op, error);
    case WEIR__PY_ACQUIRE:
        return weir_pool_acquire(engine->pool, &call->checkout->how, token, &out->session, op, error);
    case WEIR__PY_COMMIT:
        return weir_session_commit(session, call->depth, token, op, error);
    case WEIR__PY_ROLLBACK:
        return weir_session_rollback(session, call->depth, token, op, error);
    case WEIR__PY_OPEN:
        return weir_pool_open(engine->reactor, &call->pool->options, token, &engine->pool, op, error);
    case WEIR__PY_CLOSE:
        return weir_pool_close(engine->pool, call->timeout_ms, token, op, error);
    case WEIR__PY_DRAIN:
        return weir_pool_drain(engine->pool, call->timeout_ms, token, op, error);
    case WEIR__PY_SLEEP:
        return weir_reactor_sleep(engine->reactor, call->timeout_ms, token, op, error);
    case WEIR__PY_CHECK:
        return weir_pool_check_health(engine->pool, call->timeout_ms, token, op, error);
    case WEIR__PY_COPY_IN:
        return weir_session_copy_in(session, call->statement, &run, token, op, error);
    case WEIR__PY_COPY_PUT:
        return weir_session_copy_put(session, call->data.buf, (size_t)call->data.len, token, op, error);
    case WEIR__PY_COPY_END:
        return weir_session_copy_end(session, token, op, error);
    case WEIR__PY_COPY_OUT:
        return weir_session_copy_out(session, call->statement, &run, token, op, error);
    case WEIR__PY_COPY_TAKE:
        return weir_session_copy_take(session, token, op, error);
    case WEIR__PY_COPY_WATCH:
        return weir_session_copy_watch(session, token, op, error);
    case WEIR__PY_NEXT:
        return weir_stream_next(call->stream, token, &out->result, op, error);
    case WEIR__PY_CONFIRM:
        return weir_listener_confirm(call->listener, token, op, error);
    case WEIR__PY_WAIT:
        return weir_listener_wait(call->listener, call->timeout_ms, token, op, error);
    }
    return WEIR_EINTERNAL;
}

void weir__py_settle(weir__py_call *call, weir_completion *completion) {
    if (call->release && call->session) weir__py_release(call->session, false);
    if (weir__py_ends(call) && completion->code == WEIR_OK) {
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

static PyObject *tag_of(weir_result *result) {
    const char *tag = weir_result_tag(result);
    return PyUnicode_DecodeUTF8(tag, (Py_ssize_t)strlen(tag), "replace");
}

static PyObject *either(weir__py_call *call, weir_result *result) {
    return weir_result_columns(result) ? weir__py_records(result, &call->pool->codecs) : tag_of(result);
}

/* A list of what the statements of a transaction have given. */
static PyObject *from_batch(weir__py_call *call) {
    size_t count = weir_batch_size(call->batch);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        weir_result *result = weir_batch_result(call->batch, i);
        PyObject *item = result ? either(call, result)
                                : weir__py_fail(WEIR_EINTERNAL, "a statement has ended without a result");
        if (item)
            PyList_SET_ITEM(list, (Py_ssize_t)i, item);
        else
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *from_result(weir__py_call *call, weir_result *result) {
    if (call->kind == WEIR__PY_COPY_TAKE && result && weir_result_rows(result))
        return weir__py_cell(result, 0, 0, &call->pool->codecs);
    if (call->kind == WEIR__PY_EXECUTEMANY || call->kind >= WEIR__PY_COPY_END) {
        int64_t affected = result ? weir_result_affected(result) : 0;
        return PyLong_FromLongLong(affected < 0 ? 0 : affected);
    }
    if (!result) return weir__py_fail(WEIR_EINTERNAL, "a statement has ended without a result");
    switch (call->kind) {
    case WEIR__PY_SCRIPT:
        if (!*weir_result_tag(result)) Py_RETURN_NONE;
        return tag_of(result);
    case WEIR__PY_EXECUTE:
        return tag_of(result);
    case WEIR__PY_EITHER:
        return either(call, result);
    case WEIR__PY_ROWS_LIKE:
        return weir__py_rows_like(result);
    case WEIR__PY_FETCHVAL:
        return single_value(call, result);
    case WEIR__PY_FETCHROW:
        if (weir_result_rows(result) == 0) Py_RETURN_NONE;
        return weir__py_record(result, 0, &call->pool->codecs);
    default:
        return weir__py_records(result, &call->pool->codecs);
    }
}

void weir__py_discard(EngineObject *engine, weir_completion *completion) {
    if (!engine->pool) { /* these went with it */
        completion->session = (weir_session){0};
        completion->failure = (weir_failure){0};
    }
    weir_completion_discard(completion);
}

/* What the pool's predicates say of the exception goes to the core. -1 with an exception that is not for them
 * to raise (Ctrl-C), behind which that one stands. */
static int judge(weir__py_call *call, weir_completion *completion, PyObject *exception) {
    EngineObject *engine = (EngineObject *)Py_NewRef((PyObject *)call->pool->engine);
    PyObject *type, *value, *traceback, *said = PyObject_CallOneArg(call->pool->judge, exception);
    weir_verdict verdict = said ? weir__py_verdict(said) : WEIR_VERDICT_NONE;
    Py_XDECREF(said);
    if (!engine->pool) completion->failure.pool = NULL; /* it went with its pool */
    weir_completion_judge(completion, verdict);
    weir__py_drain(engine);
    Py_DECREF((PyObject *)engine);
    if (said) return 0;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyException_SetContext(value, Py_NewRef(exception));
    PyErr_Restore(type, value, traceback);
    return -1;
}

PyObject *weir__py_failure(weir__py_call *call, weir_completion *completion) {
    weir_error plain = WEIR_ERROR_INIT;
    plain.code = completion->code;
    PyObject *exception = weir__py_exception(completion->error ? completion->error : &plain);
    if (exception && completion->failure.pool && judge(call, completion, exception) < 0) Py_CLEAR(exception);
    return exception;
}

static PyObject *from_error(weir__py_call *call, weir_completion *completion) {
    if (call->kind == WEIR__PY_OPEN) weir__py_engine_shut(call->pool->engine);
    PyObject *exception = call->quiet ? NULL : weir__py_failure(call, completion);
    if (exception) PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_XDECREF(exception);
    weir__py_discard(call->pool->engine, completion);
    return call->quiet ? Py_NewRef(Py_None) : NULL;
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
    case WEIR__PY_EITHER:
    case WEIR__PY_ROWS_LIKE:
    case WEIR__PY_SCRIPT:
    case WEIR__PY_COPY_END:
    case WEIR__PY_COPY_TAKE:
        answer = from_result(call, completion->result);
        break;
    case WEIR__PY_TRANSACTION:
        answer = from_batch(call);
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
    case WEIR__PY_CHECK:
        answer = weir__py_health_of(call->pool->engine->pool);
        break;
    case WEIR__PY_COMMIT:
    case WEIR__PY_ROLLBACK:
    case WEIR__PY_CLOSE:
    case WEIR__PY_DRAIN:
    case WEIR__PY_SLEEP:
    case WEIR__PY_COPY_IN:
    case WEIR__PY_COPY_PUT:
    case WEIR__PY_COPY_OUT:
    case WEIR__PY_COPY_WATCH:
    case WEIR__PY_CONFIRM:
    case WEIR__PY_WAIT:
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

int weir__py_flag(const char *name, PyObject *object, bool *out) {
    *out = object == Py_True;
    if (!object || PyBool_Check(object)) return 0;
    weir__py_fail(WEIR_EINVAL, "%s must be True or False, not %s", name, Py_TYPE(object)->tp_name);
    return -1;
}

/* Who asks, and whether he will ask for more. */
void weir__py_address(weir__py_call *call) {
    EngineObject *engine = call->pool->engine;
    if (call->session) {
        call->hold = call->session->pipeline && weir__py_may_hold(engine, true);
        return;
    }
    if (call->kind == WEIR__PY_ACQUIRE && call->checkout->how.call)
        call->checkout->how.owner = weir__py_new_owner(engine, &call->checkout->how.inside);
    if (!call->statement) return;
    if (engine->lent) call->owner = weir__py_owner(engine);
    call->hold = weir__py_may_hold(engine, false);
}

int weir__py_parse(weir__py_call *call, PoolObject *pool, SessionObject *session, PyObject *const *arguments,
                   Py_ssize_t count, PyObject *kwnames) {
    const char *function = weir__py_kind_name(call->kind);
    PyObject *names[3] = {weir__py.timeout};
    PyObject *values[3] = {NULL};
    int column = 0, readonly = 0, known = 1;
    if (call->kind == WEIR__PY_FETCHVAL) names[column = known++] = weir__py.column;
    if (!session && call->kind <= WEIR__PY_FETCHVAL && call->kind != WEIR__PY_EXECUTEMANY)
        names[readonly = known++] = weir__py.readonly;
    if (weir__py_keywords(function, arguments + count, kwnames, names, values, known) < 0) return -1;
    bool many = call->kind == WEIR__PY_EXECUTEMANY;
    if (call->kind > WEIR__PY_EITHER && count != 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes a text and no parameters", function);
        return -1;
    }
    if (many ? count != 2 : count < 1) {
        PyErr_Format(PyExc_TypeError,
                     many ? "%s() takes the statement and an iterable of its sets of parameters"
                          : "%s() needs the statement as its first argument",
                     function);
        return -1;
    }
    if (weir__py_milliseconds("timeout", values[0], false, &call->timeout_ms) < 0) return -1;
    if (column && parse_column(values[column], &call->column) < 0) return -1;
    if (readonly && weir__py_flag("readonly", values[readonly], &call->readonly) < 0) return -1;
    call->statement = many ? weir__py_statement_many(arguments[0], arguments[1], &pool->codecs)
                           : weir__py_statement(arguments[0], arguments + 1, count - 1, &pool->codecs);
    if (!call->statement) return -1;
    call->pool = (PoolObject *)Py_NewRef((PyObject *)pool);
    call->session = (SessionObject *)Py_XNewRef((PyObject *)session);
    return 0;
}

/* "…" or ("…", parameter, …) as a tuple. NULL with an exception. */
static PyObject *parts_of(PyObject *item) {
    if (PyUnicode_Check(item)) return PyTuple_Pack(1, item);
    bool pair = PyTuple_Check(item) || PyList_Check(item);
    PyObject *kept = pair ? PySequence_Tuple(item) : NULL; /* a parameter's conversion may change a list */
    if (pair && !kept) return NULL;
    if (kept && PyTuple_GET_SIZE(kept)) return kept;
    weir__py_fail(WEIR_EINVAL, "each statement must be a str, or a tuple of a str and its parameters, not %s",
                  pair ? "an empty one" : Py_TYPE(item)->tp_name);
    Py_XDECREF(kept);
    return NULL;
}

static weir_statement *parse_item(PyObject *item, const weir__py_codecs *codecs) {
    if (PyUnicode_Check(item)) return weir__py_statement(item, NULL, 0, codecs);
    PyObject *parts = parts_of(item);
    if (!parts) return NULL;
    PyObject *const *items = &PyTuple_GET_ITEM(parts, 0);
    weir_statement *statement = weir__py_statement(items[0], items + 1, PyTuple_GET_SIZE(parts) - 1, codecs);
    Py_DECREF(parts);
    return statement;
}

/* What transaction() is given, as a tuple. NULL with an exception. */
static PyObject *items_of(PyObject *const *arguments, Py_ssize_t count) {
    if (count != 1) {
        PyErr_SetString(PyExc_TypeError, "transaction() takes one positional argument, the statements");
        return NULL;
    }
    if (!PyUnicode_Check(arguments[0])) return PySequence_Tuple(arguments[0]);
    return weir__py_fail(WEIR_EINVAL, "transaction() takes a list of statements, not a str");
}

/* What is wrong is wrong with that statement, from 1. */
static void blame_statement(Py_ssize_t number) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *said = value ? PyObject_GetAttrString(value, "message") : NULL;
    PyObject *message = said ? PyUnicode_FromFormat("statement %zd: %S", number, said) : NULL;
    if (!message || PyObject_SetAttrString(value, "message", message) < 0) weir__py_forget();
    Py_XDECREF(said);
    Py_XDECREF(message);
    PyErr_Restore(type, value, traceback);
}

PyObject *weir__py_statements(PyObject *const *arguments, Py_ssize_t count) {
    PyObject *items = items_of(arguments, count);
    PyObject *list = items ? PyList_New(PyTuple_GET_SIZE(items)) : NULL;
    for (Py_ssize_t i = 0; list && i < PyTuple_GET_SIZE(items); i++) {
        PyObject *parts = parts_of(PyTuple_GET_ITEM(items, i));
        if (parts) {
            PyList_SET_ITEM(list, i, parts);
        } else {
            blame_statement(i + 1);
            Py_CLEAR(list);
        }
    }
    Py_XDECREF(items);
    return list;
}

static weir_batch *parse_batch(PyObject *const *arguments, Py_ssize_t count, const weir__py_codecs *codecs) {
    PyObject *items = items_of(arguments, count);
    weir_batch *batch = items ? weir_batch_new() : NULL;
    if (items && !batch) PyErr_NoMemory();
    for (Py_ssize_t i = 0; batch && i < PyTuple_GET_SIZE(items); i++) {
        weir_error error = WEIR_ERROR_INIT;
        weir_statement *statement = parse_item(PyTuple_GET_ITEM(items, i), codecs);
        if (statement && weir_batch_add(batch, statement, &error) != WEIR_OK) weir__py_raise(&error);
        weir_statement_unref(statement);
        if (!PyErr_Occurred()) continue;
        blame_statement(i + 1);
        weir_batch_free(batch);
        batch = NULL;
    }
    Py_XDECREF(items);
    return batch;
}

int weir__py_parse_transaction(weir__py_call *call, PoolObject *pool, PyObject *const *arguments,
                               Py_ssize_t count, PyObject *kwnames) {
    PyObject *const names[] = {weir__py.isolation, weir__py.readonly, weir__py.deferrable, weir__py.timeout};
    PyObject *values[4] = {NULL};
    *call = (weir__py_call){.kind = WEIR__PY_TRANSACTION};
    if (weir__py_keywords("transaction", arguments + count, kwnames, names, values, 4) < 0) return -1;
    if (weir__py_milliseconds("timeout", values[3], false, &call->timeout_ms) < 0 ||
        weir__py_begin(values, &call->begin, &call->isolation) < 0 ||
        !(call->batch = parse_batch(arguments, count, &pool->codecs))) {
        weir__py_call_clear(call);
        return -1;
    }
    call->pool = (PoolObject *)Py_NewRef((PyObject *)pool);
    return 0;
}
