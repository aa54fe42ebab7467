/*
 * COPY: copy_in, copy_out and copy_records are weirpool._copy's, which reads sources and writes files; here
 * are the core's steps that they are made of.
 */
#include "weir_py.h"

/* A function of weirpool._copy with the session before the arguments. */
static PyObject *through(PyObject **slot, const char *name, PyObject *self, PyObject *const *arguments,
                         Py_ssize_t count, PyObject *kwnames) {
    PyObject *function = weir__py_lazy(slot, "weirpool._copy", name);
    Py_ssize_t all = count + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    PyObject **with_self = function ? PyMem_Calloc((size_t)all + 1, sizeof *with_self) : NULL;
    if (!with_self) return function ? PyErr_NoMemory() : NULL;
    with_self[0] = self;
    for (Py_ssize_t i = 0; i < all; i++) with_self[i + 1] = arguments[i];
    PyObject *answer = PyObject_Vectorcall(function, with_self, (size_t)count + 1, kwnames);
    PyMem_Free(with_self);
    return answer;
}

#define THROUGH(name)                                                                                        \
    PyObject *weir__py_##name(PyObject *self, PyObject *const *arguments, Py_ssize_t count,                  \
                              PyObject *kwnames) {                                                           \
        static PyObject *awaited, *blocking;                                                                 \
        bool sync = ((SessionObject *)self)->pool->sync;                                                     \
        return through(sync ? &blocking : &awaited, sync ? #name "_sync" : #name, self, arguments, count,    \
                       kwnames);                                                                             \
    }
THROUGH(copy_in)
THROUGH(copy_out)
THROUGH(copy_records)
#undef THROUGH

static PyObject *run(weir__py_call *call) {
    return call->pool->sync ? weir__py_run(call) : weir__py_operation(call);
}

static PyObject *begin(PyObject *self, weir__py_kind kind, PyObject *const *arguments, Py_ssize_t count,
                       PyObject *kwnames) {
    SessionObject *session = (SessionObject *)self;
    weir__py_call call = {.kind = kind};
    if (weir__py_parse(&call, session->pool, session, arguments, count, kwnames) < 0) return NULL;
    return run(&call);
}

PyObject *weir__py_copy_begin_in(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                 PyObject *kwnames) {
    return begin(self, WEIR__PY_COPY_IN, arguments, count, kwnames);
}

PyObject *weir__py_copy_begin_out(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                  PyObject *kwnames) {
    return begin(self, WEIR__PY_COPY_OUT, arguments, count, kwnames);
}

PyObject *weir__py_copy_rows_like(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                  PyObject *kwnames) {
    return begin(self, WEIR__PY_ROWS_LIKE, arguments, count, kwnames);
}

static weir__py_call step_of(PyObject *self, weir__py_kind kind) {
    SessionObject *session = (SessionObject *)Py_NewRef(self);
    return (weir__py_call){
        .kind = kind, .session = session, .pool = (PoolObject *)Py_NewRef((PyObject *)session->pool)};
}

PyObject *weir__py_copy_put(PyObject *self, PyObject *data) {
    weir__py_call call = step_of(self, WEIR__PY_COPY_PUT);
    if (PyObject_GetBuffer(data, &call.data, PyBUF_SIMPLE) == 0) return run(&call);
    weir__py_call_clear(&call);
    return NULL;
}

PyObject *weir__py_copy_end(PyObject *self, PyObject *unused) {
    (void)unused;
    weir__py_call call = step_of(self, WEIR__PY_COPY_END);
    return run(&call);
}

PyObject *weir__py_copy_take(PyObject *self, PyObject *unused) {
    (void)unused;
    weir__py_call call = step_of(self, WEIR__PY_COPY_TAKE);
    return run(&call);
}

PyObject *weir__py_copy_watch(PyObject *self, PyObject *unused) {
    (void)unused;
    weir__py_call call = step_of(self, WEIR__PY_COPY_WATCH);
    return run(&call);
}

/* Never fails: where there is no session any more, there is no COPY. */
PyObject *weir__py_copy_abort(PyObject *self, PyObject *unused) {
    (void)unused;
    SessionObject *session = (SessionObject *)self;
    EngineObject *engine = session->pool->engine;
    if (session->returned || !engine->pool || engine->forks != weir__py_forks()) Py_RETURN_NONE;
    weir_session_copy_abort(session->handle, NULL);
    weir__py_drain(engine);
    Py_RETURN_NONE;
}

/* ---- records */

#define CAPSULE "weirpool.copy_rows"

static void free_rows(PyObject *capsule) {
    weir_copy_rows_free((weir_copy_rows *)PyCapsule_GetPointer(capsule, CAPSULE));
}

PyObject *weir__py_rows_like(weir_result *result) {
    weir_error error = WEIR_ERROR_INIT;
    weir_copy_rows *rows = weir_copy_rows_new(result, &error);
    PyObject *capsule = rows ? PyCapsule_New(rows, CAPSULE, free_rows) : NULL;
    if (!rows) weir__py_raise(&error);
    if (!capsule) weir_copy_rows_free(rows);
    return capsule;
}

/* (encoder, records): the bytes to put, and the format that the COPY is to name. */
PyObject *weir__py_copy_encode(PyObject *self, PyObject *arguments) {
    PyObject *capsule, *records;
    if (!PyArg_ParseTuple(arguments, "OO", &capsule, &records)) return NULL;
    weir_copy_rows *rows = (weir_copy_rows *)PyCapsule_GetPointer(capsule, CAPSULE);
    PyObject *text = rows ? PyUnicode_FromString("copy") : NULL;
    if (!text) return NULL;
    weir_statement *sets = weir__py_statement_many(text, records, &((SessionObject *)self)->pool->codecs);
    Py_DECREF(text);
    if (!sets) return NULL;
    weir_error error = WEIR_ERROR_INIT;
    const void *data;
    size_t length;
    int code = weir_copy_rows_encode(rows, sets, &data, &length, &error);
    weir_statement_unref(sets);
    if (code != WEIR_OK) {
        weir__py_raise(&error);
        return NULL;
    }
    return Py_BuildValue("y#s", (const char *)data, (Py_ssize_t)length, weir_copy_rows_format(rows));
}
