/*
 * Listeners: pool.listen() is weirpool._listen's; here are the core's steps that it is made of, methods of
 * pools that take the listener's number. Notices on their way to their hook, too.
 */
#include "weir_py.h"

/* Borrowed from the object; NULL with an exception. What names the core takes it says itself. */
static const char *channel_name(PyObject *object) {
    Py_ssize_t length;
    if (!PyUnicode_Check(object)) {
        weir__py_fail(WEIR_EINVAL, "a channel must be a str, not %s", Py_TYPE(object)->tp_name);
        return NULL;
    }
    const char *text = PyUnicode_AsUTF8AndSize(object, &length);
    if (text && strlen(text) == (size_t)length) return text;
    if (text || PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
        weir__py_fail(WEIR_EINVAL, "the channel's name %R has a NUL or a lone surrogate", object);
    }
    return NULL;
}

static int read_how(PyObject *max_queued, PyObject *heartbeat, weir_listen *how) {
    weir_listen_init(how);
    if (heartbeat != Py_Ellipsis &&
        weir__py_milliseconds("heartbeat", heartbeat, false, &how->heartbeat_ms) < 0)
        return -1;
    if (max_queued == Py_Ellipsis) return 0;
    how->max_queued =
        PyLong_Check(max_queued) && !PyBool_Check(max_queued) ? PyLong_AsLongLong(max_queued) : 0;
    if (how->max_queued > 0) return 0;
    PyErr_Clear();
    weir__py_fail(WEIR_EINVAL, "max_queued=%R: give an int from 1 to 1000000", max_queued);
    return -1;
}

/* (channels, max_queued, heartbeat): the number of a new listener, which begins to connect. */
PyObject *weir__py_listen(PyObject *self, PyObject *arguments) {
    PoolObject *pool = (PoolObject *)self;
    PyObject *channels, *max_queued, *heartbeat, *answer = NULL;
    weir_listen how;
    weir_listener listener;
    weir_error error = WEIR_ERROR_INIT;
    if (!PyArg_ParseTuple(arguments, "O!OO", &PyTuple_Type, &channels, &max_queued, &heartbeat)) return NULL;
    if (read_how(max_queued, heartbeat, &how) < 0 || weir__py_check(pool) < 0) return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(channels);
    const char **names = PyMem_Calloc((size_t)count + 1, sizeof *names);
    if (!names) return PyErr_NoMemory();
    bool well = true;
    for (Py_ssize_t i = 0; well && i < count; i++)
        well = (names[i] = channel_name(PyTuple_GET_ITEM(channels, i))) != NULL;
    if (well &&
        weir_pool_listen(pool->engine->pool, names, (size_t)count, &how, &listener, &error) == WEIR_OK)
        answer = PyLong_FromUnsignedLongLong(listener.number);
    else if (well)
        weir__py_raise(&error);
    PyMem_Free(names);
    return answer;
}

static int listener_of(PyObject *self, PyObject *number, weir_listener *out) {
    *out = (weir_listener){((PoolObject *)self)->engine->pool, PyLong_AsUnsignedLongLong(number)};
    return PyErr_Occurred() ? -1 : 0;
}

/* (number, channel, add) */
PyObject *weir__py_listener_change(PyObject *self, PyObject *arguments) {
    PyObject *number, *channel;
    int add;
    weir_listener listener;
    weir_error error = WEIR_ERROR_INIT;
    if (!PyArg_ParseTuple(arguments, "OOp", &number, &channel, &add)) return NULL;
    const char *name = channel_name(channel);
    if (!name || weir__py_check((PoolObject *)self) < 0 || listener_of(self, number, &listener) < 0)
        return NULL;
    int code = add ? weir_listener_add(listener, name, &error) : weir_listener_remove(listener, name, &error);
    weir__py_drain(((PoolObject *)self)->engine);
    if (code == WEIR_OK) Py_RETURN_NONE;
    weir__py_raise(&error);
    return NULL;
}

static PyObject *wait_for(PyObject *self, weir__py_call *call, PyObject *number) {
    if (listener_of(self, number, &call->listener) < 0) return NULL;
    call->pool = (PoolObject *)Py_NewRef(self);
    return call->pool->sync ? weir__py_run(call) : weir__py_operation(call);
}

PyObject *weir__py_listener_confirm(PyObject *self, PyObject *number) {
    weir__py_call call = {.kind = WEIR__PY_CONFIRM};
    return wait_for(self, &call, number);
}

/* (number, timeout) */
PyObject *weir__py_listener_wait(PyObject *self, PyObject *arguments) {
    weir__py_call call = {.kind = WEIR__PY_WAIT};
    PyObject *number, *timeout;
    if (!PyArg_ParseTuple(arguments, "OO", &number, &timeout)) return NULL;
    if (weir__py_milliseconds("timeout", timeout, false, &call.timeout_ms) < 0) return NULL;
    return wait_for(self, &call, number);
}

static PyObject *decode(const char *text) {
    if (!text) Py_RETURN_NONE;
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "surrogateescape");
}

/* (channel, payload, pid); of a gap (reconnected, dropped); None: there is nothing. */
PyObject *weir__py_listener_take(PyObject *self, PyObject *number) {
    weir_listener listener;
    weir_notification *n;
    weir_error error = WEIR_ERROR_INIT;
    if (weir__py_check((PoolObject *)self) < 0 || listener_of(self, number, &listener) < 0) return NULL;
    if (weir_listener_take(listener, &n, &error) != WEIR_OK) {
        weir__py_raise(&error);
        return NULL;
    }
    if (!n) Py_RETURN_NONE;
    PyObject *answer = n->channel ? Py_BuildValue("(NNi)", decode(n->channel), decode(n->payload), n->backend)
                                  : Py_BuildValue("(KK)", (unsigned long long)n->reconnected,
                                                  (unsigned long long)n->dropped);
    weir_notification_free(n);
    return answer;
}

/* Whether it was open. Never fails: where there is no pool any more, there is no listener. */
PyObject *weir__py_listener_close(PyObject *self, PyObject *number) {
    EngineObject *engine = ((PoolObject *)self)->engine;
    weir_listener listener;
    if (listener_of(self, number, &listener) < 0) return NULL;
    if (!engine->pool || engine->forks != weir__py_forks()) Py_RETURN_FALSE;
    bool was_open = weir_listener_close(listener) == WEIR_OK;
    weir__py_drain(engine);
    return PyBool_FromLong(was_open);
}

PyObject *weir__py_notice(const weir_notice *notice) {
    return Py_BuildValue("(NNNNNN)", decode(notice->severity), decode(notice->sqlstate),
                         decode(notice->message), decode(notice->detail), decode(notice->hint),
                         decode(notice->where));
}
