/*
 * stream(): what it gives is an iterable; its iterator holds one batch of rows, and asks for the next when
 * that has been used up. The iterator of an asynchronous pool is itself what its __anext__() gives to be
 * awaited, so that a row that is here already costs no object. What has to be waited for (a connection to be
 * lent, a batch) is an operation, `inner`, which gets what is sent and thrown.
 *
 * It ends when its rows have all been given, at an error, when it is thrown into, and when nobody has it any
 * more: a loop alone holds its iterator, so that is when the loop is left.
 */
#include "weir_py.h"

typedef struct SourceObject {
    PyObject ob_base;
    PoolObject *pool;          /* owned */
    SessionObject *session;    /* owned; NULL: the iterator borrows a connection of its own */
    weir_statement *statement; /* owned */
    size_t rows;
    int64_t timeout_ms;
} SourceObject;

typedef struct IteratorObject {
    PyObject ob_base;
    SourceObject *source;   /* owned */
    SessionObject *session; /* owned; NULL: not begun, or over */
    weir_stream stream;     /* number 0: not begun */
    bool over;
    PyObject *inner;  /* owned */
    PyObject *batch;  /* a list of Records, owned … */
    Py_ssize_t place; /* … and how many of them have been given */
} IteratorObject;

/* ---- arguments ---- */

static int parse_prefetch(PyObject *object, size_t *out) {
    *out = WEIR_STREAM_ROWS;
    if (!object) return 0;
    Py_ssize_t rows = PyLong_Check(object) && !PyBool_Check(object) ? PyLong_AsSsize_t(object) : -1;
    PyErr_Clear();
    *out = (size_t)rows;
    if (rows >= 1 && rows <= WEIR_STREAM_ROWS_MAX) return 0;
    weir__py_fail(WEIR_EINVAL, "prefetch=%R: give an int from 1 to %d, the rows of a batch", object,
                  WEIR_STREAM_ROWS_MAX);
    return -1;
}

PyObject *weir__py_stream(PoolObject *pool, SessionObject *session, PyObject *const *arguments,
                          Py_ssize_t count, PyObject *kwnames) {
    PyObject *const names[] = {weir__py.timeout, weir__py.prefetch};
    PyObject *values[2];
    size_t rows;
    int64_t timeout_ms;
    if (weir__py_keywords("stream", arguments + count, kwnames, names, values, 2) < 0) return NULL;
    if (count < 1) {
        PyErr_SetString(PyExc_TypeError, "stream() needs the statement as its first argument");
        return NULL;
    }
    if (weir__py_milliseconds("timeout", values[0], false, &timeout_ms) < 0) return NULL;
    if (parse_prefetch(values[1], &rows) < 0) return NULL;
    weir_statement *statement = weir__py_statement(arguments[0], arguments + 1, count - 1, &pool->codecs);
    if (!statement) return NULL;
    SourceObject *source = PyObject_GC_New(SourceObject, pool->sync ? weir__py.sync_stream : weir__py.stream);
    if (!source) {
        weir_statement_unref(statement);
        return NULL;
    }
    source->pool = (PoolObject *)Py_NewRef((PyObject *)pool);
    source->session = (SessionObject *)Py_XNewRef((PyObject *)session);
    source->statement = statement;
    source->rows = rows;
    source->timeout_ms = timeout_ms;
    PyObject_GC_Track(source);
    return (PyObject *)source;
}

/* ---- the end of an iterator ---- */

/* Closes what is open, without waiting; an exception that is set stays set. */
static void end(IteratorObject *it) {
    PyObject *type, *value, *traceback;
    EngineObject *engine = it->source->pool->engine;
    SessionObject *session = it->session;
    PyObject *inner = it->inner;
    bool owns = session && !it->source->session;
    it->over = true;
    it->session = NULL;
    it->inner = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    Py_CLEAR(it->batch);
    if (inner) {
        PyObject *answer = PyObject_CallMethod(inner, "close", NULL);
        if (!answer) PyErr_WriteUnraisable(inner);
        Py_XDECREF(answer);
        Py_DECREF(inner);
    }
    if (session) {
        if (it->stream.number && engine->pool && !session->returned) weir_stream_close(it->stream);
        if (owns) weir__py_release(session, false);
        weir__py_drain(engine);
        Py_DECREF((PyObject *)session);
    }
    PyErr_Restore(type, value, traceback);
}

/* ---- what both forms do ---- */

static PyObject *make_iterator(PyObject *self, PyTypeObject *type) {
    IteratorObject *it = PyObject_GC_New(IteratorObject, type);
    if (!it) return NULL;
    memset((char *)it + sizeof(PyObject), 0, sizeof *it - sizeof(PyObject));
    it->source = (SourceObject *)Py_NewRef(self);
    it->session = (SessionObject *)Py_XNewRef((PyObject *)it->source->session);
    PyObject_GC_Track(it);
    return (PyObject *)it;
}

/* The next row that is here; NULL, without an exception: there is none. */
static PyObject *next_row(IteratorObject *it) {
    if (!it->batch || it->place >= PyList_GET_SIZE(it->batch)) return NULL;
    PyObject *row = PyList_GET_ITEM(it->batch, it->place);
    PyList_SET_ITEM(it->batch, it->place++, Py_NewRef(Py_None));
    return row;
}

/* A batch, or None at the end, takes the place of the one before. The next row, or NULL. */
static PyObject *take_batch(IteratorObject *it, PyObject *batch) {
    if (batch == Py_None) {
        Py_DECREF(batch);
        end(it);
        return NULL;
    }
    Py_XSETREF(it->batch, batch);
    it->place = 0;
    return next_row(it);
}

/* Asks for the next batch, and for the first one before if need be. -1 with an exception. */
static int call_of(IteratorObject *it, weir__py_call *call) {
    SourceObject *source = it->source;
    weir_error error = WEIR_ERROR_INIT;
    weir_run run;
    if (weir__py_check(source->pool) < 0) return -1;
    Py_CLEAR(it->batch);
    weir_run_init(&run);
    run.timeout_ms = source->timeout_ms;
    if (!it->stream.number && weir_session_stream(it->session->handle, source->statement, source->rows, &run,
                                                  &it->stream, &error) != WEIR_OK) {
        weir__py_raise(&error);
        return -1;
    }
    *call = (weir__py_call){.kind = WEIR__PY_NEXT,
                            .stream = it->stream,
                            .session = (SessionObject *)Py_NewRef((PyObject *)it->session),
                            .pool = (PoolObject *)Py_NewRef((PyObject *)source->pool)};
    return 0;
}

/* ---- blocking ---- */

static PyObject *blocking_batch(IteratorObject *it) {
    weir__py_call call;
    if (!it->session) {
        PyObject *checkout = weir__py_checkout(it->source->pool, false, NULL, 0, NULL);
        PyObject *session = checkout ? PyObject_CallMethod(checkout, "__enter__", NULL) : NULL;
        Py_XDECREF(checkout);
        if (!session) return NULL;
        it->session = (SessionObject *)session;
    }
    return call_of(it, &call) < 0 ? NULL : weir__py_run(&call);
}

static PyObject *sync_next(PyObject *self) {
    IteratorObject *it = (IteratorObject *)self;
    PyObject *row = next_row(it);
    if (row || it->over) return row;
    PyObject *batch = blocking_batch(it);
    if (batch) return take_batch(it, batch);
    end(it);
    return NULL;
}

static PyObject *sync_iter(PyObject *self) { return make_iterator(self, weir__py.sync_stream_iterator); }

/* ---- awaited ---- */

static PyObject *async_iter(PyObject *self) { return make_iterator(self, weir__py.stream_iterator); }

/* What is to be awaited before there are rows. -1 with an exception. */
static int begin_inner(IteratorObject *it) {
    weir__py_call call;
    if (!it->session) {
        PyObject *checkout = weir__py_checkout(it->source->pool, false, NULL, 0, NULL);
        it->inner = checkout ? PyObject_CallMethod(checkout, "__aenter__", NULL) : NULL;
        Py_XDECREF(checkout);
    } else if (call_of(it, &call) == 0) {
        it->inner = weir__py_operation(&call);
    }
    return it->inner ? 0 : -1;
}

/* Sends to the inner operation. With PYGEN_RETURN it has ended, and *out is what it gave. */
static PySendResult send_inner(IteratorObject *it, PyObject *argument, PyObject **out) {
    PyObject *inner = Py_NewRef(it->inner); /* it may reach this iterator, and end it */
    PySendResult result = PyIter_Send(inner, argument, out);
    if (result != PYGEN_NEXT && it->inner == inner) Py_CLEAR(it->inner);
    Py_DECREF(inner);
    return result;
}

/* The inner operation has ended with that: the row, if there is one now. */
static PyObject *settle_inner(IteratorObject *it, PyObject *given) {
    if (it->over) { /* closed meanwhile: what came is nobody's */
        if (PyObject_TypeCheck(given, weir__py.connection)) weir__py_release((SessionObject *)given, false);
        Py_DECREF(given);
        return NULL;
    }
    if (it->session) return take_batch(it, given);
    it->session = (SessionObject *)given;
    return NULL;
}

static PySendResult async_send(PyObject *self, PyObject *argument, PyObject **out) {
    IteratorObject *it = (IteratorObject *)self;
    *out = it->inner ? NULL : next_row(it);
    if (*out) return PYGEN_RETURN;
    if (it->inner && weir__py_awaited((OperationObject *)it->inner)) {
        PyErr_SetString(PyExc_RuntimeError, "the next row of this stream is being awaited already");
        return PYGEN_ERROR;
    }
    while (!it->over) {
        PyObject *given;
        if (!it->inner && begin_inner(it) < 0) break;
        PySendResult result = send_inner(it, argument, &given);
        if (result == PYGEN_ERROR) break;
        *out = result == PYGEN_NEXT ? given : settle_inner(it, given);
        if (*out) return result;
        argument = Py_None;
    }
    end(it);
    if (!PyErr_Occurred()) PyErr_SetNone(PyExc_StopAsyncIteration);
    return PYGEN_ERROR;
}

static PyObject *async_send_method(PyObject *self, PyObject *argument) {
    PyObject *value;
    PySendResult result = async_send(self, argument, &value);
    return result == PYGEN_RETURN ? weir__py_stop_iteration(value) : value;
}

static PyObject *async_next(PyObject *self) { return async_send_method(self, Py_None); }

/* What is thrown in goes to what is being awaited; the stream ends with it. */
static PyObject *async_throw(PyObject *self, PyObject *arguments) {
    IteratorObject *it = (IteratorObject *)self;
    PyObject *type, *value = NULL, *traceback = NULL, *out = NULL;
    if (!PyArg_ParseTuple(arguments, "O|OO:throw", &type, &value, &traceback)) return NULL;
    if (it->inner) {
        PyObject *inner = Py_NewRef(it->inner);
        PyObject *method = PyObject_GetAttrString(inner, "throw");
        if (method) out = PyObject_CallObject(method, arguments);
        Py_XDECREF(method);
        Py_DECREF(inner);
    } else {
        weir__py_set_thrown(type, value, traceback);
    }
    if (!out) end(it);
    return out;
}

static PyObject *async_close(PyObject *self, PyObject *unused) {
    (void)unused;
    end((IteratorObject *)self);
    Py_RETURN_NONE;
}

/* ---- the types ---- */

static int source_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((SourceObject *)self)->pool);
    Py_VISIT(((SourceObject *)self)->session);
    return 0;
}

static void source_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    SourceObject *source = (SourceObject *)self;
    PyObject_GC_UnTrack(self);
    weir_statement_unref(source->statement);
    Py_CLEAR(source->session);
    Py_CLEAR(source->pool);
    type->tp_free(self);
    Py_DECREF(type);
}

static int iterator_traverse(PyObject *self, visitproc visit, void *arg) {
    IteratorObject *it = (IteratorObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(it->source);
    Py_VISIT(it->session);
    Py_VISIT(it->inner);
    Py_VISIT(it->batch);
    return 0;
}

static int iterator_clear(PyObject *self) {
    end((IteratorObject *)self);
    return 0;
}

/* Called by the garbage collector alone: a loop that is left lets go of its iterator at once. */
static void iterator_finalize(PyObject *self) {
    IteratorObject *it = (IteratorObject *)self;
    PyObject *type, *value, *traceback;
    if (it->over) return;
    PyErr_Fetch(&type, &value, &traceback);
    bool lost = it->session && !it->source->session && !it->session->returned &&
                it->source->pool->engine->forks == weir__py_forks();
    if (lost && PyErr_ResourceWarning(self, 1,
                                      "a stream of %R was neither read to its end nor left; its "
                                      "connection goes back now",
                                      it->source->pool) < 0)
        PyErr_WriteUnraisable(self);
    end(it);
    PyErr_Restore(type, value, traceback);
}

static void iterator_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    IteratorObject *it = (IteratorObject *)self;
    PyObject_GC_UnTrack(self);
    end(it);
    Py_CLEAR(it->source);
    type->tp_free(self);
    Py_DECREF(type);
}

#define FLAGS                                                                                                \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)
#define SOURCE_LIFE                                                                                          \
    {Py_tp_traverse, source_traverse}, {Py_tp_dealloc, source_dealloc}, { 0, NULL }
#define ITERATOR_LIFE                                                                                        \
    {Py_tp_traverse, iterator_traverse}, {Py_tp_clear, iterator_clear}, {Py_tp_finalize, iterator_finalize}, \
        {Py_tp_dealloc, iterator_dealloc}, {                                                                 \
        0, NULL                                                                                              \
    }

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, "The rows of a statement, for `async for`: each loop runs the statement."},
    {Py_am_aiter, async_iter},
    SOURCE_LIFE};
static PyType_Slot sync_stream_slots[] = {
    {Py_tp_doc, "The rows of a statement, for `for`: each loop runs the statement."},
    {Py_tp_iter, sync_iter},
    SOURCE_LIFE};
static PyMethodDef async_methods[] = {
    {"send", async_send_method, METH_O, "send($self, value, /)\n--\n\nAs of a coroutine."},
    {"throw", async_throw, METH_VARARGS,
     "throw(type[, value[, traceback]])\n\nAs of a coroutine; the stream ends."},
    {"close", async_close, METH_NOARGS, "close($self, /)\n--\n\nEnds the stream, without waiting."},
    {0}};
static PyMethodDef sync_methods[] = {
    {"close", async_close, METH_NOARGS, "close($self, /)\n--\n\nEnds the stream, without waiting."}, {0}};
static PyType_Slot iterator_slots[] = {
    {Py_tp_doc, "A stream that is being read; also what its __anext__() gives to be awaited."},
    {Py_am_aiter, PyObject_SelfIter},
    {Py_am_anext, PyObject_SelfIter},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, async_send},
    {Py_tp_iternext, async_next},
    {Py_tp_methods, async_methods},
    ITERATOR_LIFE};
static PyType_Slot sync_iterator_slots[] = {{Py_tp_doc, "A stream that is being read."},
                                            {Py_tp_iter, PyObject_SelfIter},
                                            {Py_tp_iternext, sync_next},
                                            {Py_tp_methods, sync_methods},
                                            ITERATOR_LIFE};

static PyTypeObject *add_type(PyObject *module, const char *name, size_t size, PyType_Slot *slots) {
    PyType_Spec spec = {name, (int)size, 0, FLAGS, slots};
    return weir__py_type(module, &spec, NULL);
}

int weir__py_stream_types(PyObject *module) {
    weir__py.stream = add_type(module, "weirpool._core.Stream", sizeof(SourceObject), stream_slots);
    weir__py.sync_stream =
        add_type(module, "weirpool._core.SyncStream", sizeof(SourceObject), sync_stream_slots);
    weir__py.stream_iterator =
        add_type(module, "weirpool._core.StreamIterator", sizeof(IteratorObject), iterator_slots);
    weir__py.sync_stream_iterator =
        add_type(module, "weirpool._core.SyncStreamIterator", sizeof(IteratorObject), sync_iterator_slots);
    bool all =
        weir__py.stream && weir__py.sync_stream && weir__py.stream_iterator && weir__py.sync_stream_iterator;
    return all ? 0 : -1;
}
