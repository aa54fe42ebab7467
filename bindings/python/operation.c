/*
 * Operation: the awaitable of one call, with the whole protocol of a coroutine. Its states:
 *
 *     NEW       not awaited yet, nothing sent
 *     PENDING   submitted by the first send; drain will bring the answer
 *     DONE      answered, which the next send will give out
 *     SETUP     a checkout of a pool with a setup hook: granted; the hook runs, as a task of its own
 *     FINISHED  given out, failed, thrown into or closed
 *
 * What the core can answer at once is answered by the first send, without a turn of the event loop. Otherwise
 * a future of the loop is yielded, as an asyncio.Future yields itself, and drain resolves it; what it was
 * waiting for lies in the operation. throw() and close() end the interest in the answer, also in one that has
 * come but was not yet taken, so that a cancellation is never lost and neither is a connection.
 */
#include "weir_py.h"

/* ---- the end of an operation ---- */

static void resolve(PyObject *future) {
    if (!future) return;
    PyObject *answer = PyObject_CallMethodOneArg(future, weir__py.set_result, Py_None);
    if (!answer) weir__py_forget(); /* cancelled: the task is on its way here to throw */
    Py_XDECREF(answer);
}

void weir__py_answered(OperationObject *operation, weir_completion *completion) {
    if (operation->state == WEIR__PY_SETUP) { /* the loan has ended; what for, continue_setup will be told */
        operation->op = 0;
        weir_completion_discard(completion);
        resolve(operation->future);
        return;
    }
    operation->outcome = *completion;
    operation->state = WEIR__PY_DONE;
    weir__py_settle(&operation->call, completion);
    resolve(operation->future);
    resolve(operation->watcher);
    Py_CLEAR(operation->watcher);
}

static void finish(OperationObject *operation) {
    operation->state = WEIR__PY_FINISHED;
    weir__py_call_clear(&operation->call);
    Py_CLEAR(operation->future);
    Py_CLEAR(operation->setup);
    Py_CLEAR(operation->prepared);
    PyObject *watcher = operation->watcher;
    operation->watcher = NULL;
    resolve(watcher);
    Py_XDECREF(watcher);
}

/* The answer that has come is not wanted. */
static void drop_outcome(OperationObject *operation) {
    weir__py_discard(operation->call.pool->engine, &operation->outcome);
    operation->outcome = (weir_completion){0};
}

static void cancel(EngineObject *engine, OperationObject *operation) {
    if (engine->reactor) weir_reactor_cancel(engine->reactor, operation->op);
    weir__py_unpend(engine, operation);
}

/* Neither the hook nor its connection is wanted any more. */
static void end_setup(OperationObject *operation) {
    SessionObject *session = operation->prepared;
    if (operation->op) cancel(session->pool->engine, operation);
    PyObject *answer = operation->setup ? PyObject_CallMethod(operation->setup, "cancel", NULL) : NULL;
    if (!answer) PyErr_Clear(); /* its loop is closed */
    Py_XDECREF(answer);
    weir__py_release(session, true);
}

void weir__py_abandon(OperationObject *operation) {
    weir__py_state state = operation->state;
    weir__py_call *call = &operation->call;
    if (state == WEIR__PY_FINISHED) return;
    Py_INCREF((PyObject *)operation);
    PoolObject *pool = (PoolObject *)Py_NewRef((PyObject *)call->pool);
    EngineObject *engine = pool->engine;
    if (state == WEIR__PY_PENDING) cancel(engine, operation);
    if (state == WEIR__PY_DONE)
        drop_outcome(operation);
    else if (call->release && call->session)
        weir__py_release(call->session, false);
    if (state == WEIR__PY_SETUP) end_setup(operation);
    bool opening = state != WEIR__PY_NEW && call->kind == WEIR__PY_OPEN;
    finish(operation);
    if (opening)
        weir__py_engine_shut(engine);
    else if (state != WEIR__PY_NEW)
        weir__py_drain(engine); /* it may have made room for others */
    Py_DECREF((PyObject *)pool);
    Py_DECREF((PyObject *)operation);
}

/* ---- send ---- */

static PySendResult give_up(OperationObject *operation) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    weir__py_abandon(operation);
    PyErr_Restore(type, value, traceback);
    return PYGEN_ERROR;
}

static PyObject *take(OperationObject *operation) {
    weir_completion outcome = operation->outcome;
    weir__py_call call = operation->call;
    operation->outcome = (weir_completion){0};
    operation->call.pool = NULL;
    operation->call.session = NULL;
    operation->call.statement = NULL;
    operation->call.batch = NULL;
    operation->call.isolation = NULL;
    operation->call.data.obj = NULL;
    finish(operation);
    PyObject *answer = weir__py_take(&call, &outcome);
    weir__py_call_clear(&call);
    return answer;
}

static int make_future(OperationObject *operation) {
    PyObject *future = PyObject_CallMethodNoArgs(operation->call.pool->engine->loop, weir__py.create_future);
    if (!future) return -1;
    Py_XSETREF(operation->future, future);
    return PyObject_SetAttr(future, weir__py._asyncio_future_blocking, Py_True);
}

static PyObject *hook_ended(PyObject *self, PyObject *unused) {
    OperationObject *operation = (OperationObject *)self;
    (void)unused;
    if (operation->state == WEIR__PY_SETUP) resolve(operation->future);
    Py_RETURN_NONE;
}
static PyMethodDef hook_ended_method = {"hook_ended", hook_ended, METH_O, NULL};

/* What the setup hook gives for the session, as a task; NULL with an exception. */
static PyObject *start_hook(PyObject *hook, PyObject *session) {
    static PyObject *ensure_future;
    PyObject *start = weir__py_lazy(&ensure_future, "asyncio", "ensure_future");
    PyObject *given = start ? PyObject_CallOneArg(hook, session) : NULL, *task = NULL;
    if (!given) {
        weir__py_bar_stop("the setup hook");
        return NULL;
    }
    PyAsyncMethods *async = Py_TYPE(given)->tp_as_async;
    if (async && async->am_await)
        task = PyObject_CallOneArg(start, given);
    else
        PyErr_Format(PyExc_TypeError,
                     "the setup hook of an asynchronous pool must be a coroutine function; it gave %s",
                     Py_TYPE(given)->tp_name);
    Py_DECREF(given);
    return task;
}

/* The operation hears of the end of the hook, and of the loan's. -1 with an exception. */
static int watch_setup(OperationObject *operation) {
    weir_error error = WEIR_ERROR_INIT;
    PyObject *tell = PyCFunction_New(&hook_ended_method, (PyObject *)operation);
    PyObject *answer = tell ? PyObject_CallMethod(operation->setup, "add_done_callback", "O", tell) : NULL;
    Py_XDECREF(tell);
    if (!answer) return -1;
    Py_DECREF(answer);
    int rc = weir_session_watch(operation->prepared->handle, operation, &operation->op, &error);
    if (rc == WEIR_PENDING) {
        weir__py_pend(operation->call.pool->engine, operation);
        return 0;
    }
    weir__py_raise(&error);
    return -1;
}

/* Starts the pool's setup hook for the session that was just granted. */
static PySendResult begin_setup(OperationObject *operation, PyObject *session, PyObject **out) {
    operation->state = WEIR__PY_SETUP;
    operation->op = 0;
    operation->call.pool = (PoolObject *)Py_NewRef((PyObject *)((SessionObject *)session)->pool);
    operation->prepared = (SessionObject *)Py_NewRef(session);
    PyObject *task = start_hook(operation->call.pool->setup, session);
    Py_DECREF(session);
    if (operation->state != WEIR__PY_SETUP) {
        Py_XDECREF(task);
        PyErr_SetString(PyExc_RuntimeError, "the setup hook has ended its own checkout");
        return PYGEN_ERROR;
    }
    operation->setup = task;
    if (!task || make_future(operation) < 0 || watch_setup(operation) < 0) return give_up(operation);
    *out = Py_NewRef(operation->future);
    return PYGEN_NEXT;
}

/* The hook has ended, or the loan has. */
static PySendResult continue_setup(OperationObject *operation, PyObject **out) {
    EngineObject *engine = operation->call.pool->engine;
    weir_error error = WEIR_ERROR_INIT;
    if (operation->op) {
        PyObject *result = PyObject_CallMethod(operation->setup, "result", NULL);
        if (!result) {
            weir__py_bar_stop("the setup hook");
            return give_up(operation);
        }
        Py_DECREF(result);
    }
    int rc = engine->pool ? weir_session_ready(operation->prepared->handle, &error) : WEIR_ECLOSED;
    if (rc != WEIR_OK) {
        error.code = rc;
        weir__py_raise(&error);
        return give_up(operation);
    }
    cancel(engine, operation);
    *out = Py_NewRef((PyObject *)operation->prepared);
    finish(operation);
    return PYGEN_RETURN;
}

static PySendResult take_and_return(OperationObject *operation, PyObject **out) {
    bool prepare = operation->call.kind == WEIR__PY_ACQUIRE && operation->call.pool->setup;
    PyObject *answer = take(operation);
    if (!answer) return PYGEN_ERROR;
    if (prepare) return begin_setup(operation, answer, out);
    *out = answer;
    return PYGEN_RETURN;
}

/* Makes the reactor and watches it, for the operation that opens a pool. */
static int prepare_open(PoolObject *pool) {
    if (pool->begun) {
        PyErr_SetString(PyExc_RuntimeError, "this pool has been opened before; make a new one");
        return -1;
    }
    pool->begun = true;
    PyObject *get = weir__py_lazy(&weir__py.running_loop, "asyncio", "get_running_loop");
    PyObject *loop = get ? PyObject_CallNoArgs(get) : NULL;
    if (!loop) return -1;
    int rc = weir__py_engine_open(pool->engine, loop);
    Py_DECREF(loop);
    return rc;
}

/* A pool that cannot be asked to close any more: its loop has been closed, or it was never opened. */
static bool closes_at_once(PoolObject *pool) {
    EngineObject *engine = pool->engine;
    if (!engine->reactor || engine->doomed) return true;
    if (engine->forks != weir__py_forks()) return false;
    PyObject *answer = PyObject_CallMethodNoArgs(engine->loop, weir__py.is_closed);
    bool closed = answer == Py_True;
    if (!answer) PyErr_Clear();
    Py_XDECREF(answer);
    return closed;
}

/* Submits: the operation is PENDING or DONE afterwards. -1 with an exception. */
static int start(OperationObject *operation) {
    weir__py_call *call = &operation->call;
    PoolObject *pool = call->pool;
    weir_error error = WEIR_ERROR_INIT;
    if (weir__py_ends(call) && closes_at_once(pool)) {
        weir__py_engine_shut(pool->engine);
        operation->state = WEIR__PY_DONE;
        return 0;
    }
    if (call->kind == WEIR__PY_OPEN ? prepare_open(pool) < 0 : weir__py_check(pool) < 0) return -1;
    weir__py_address(call);
    int rc = weir__py_submit(call, operation, &operation->op, &operation->outcome, &error);
    if (rc == WEIR_PENDING) {
        operation->state = WEIR__PY_PENDING;
        weir__py_pend(pool->engine, operation);
    } else {
        operation->state = WEIR__PY_DONE;
        operation->outcome.code = rc;
        weir__py_settle(call, &operation->outcome);
    }
    if (rc > WEIR_OK && !call->quiet) weir__py_raise(&error);
    weir_error_clear(&error);
    weir__py_drain(pool->engine);
    if (call->kind == WEIR__PY_OPEN || weir__py_ends(call)) weir__py_drain_logs(pool->engine);
    if (rc <= WEIR_OK || call->quiet) return 0;
    if (call->kind == WEIR__PY_OPEN) weir__py_engine_shut(pool->engine);
    return -1;
}

static PySendResult first_send(OperationObject *operation, PyObject *argument, PyObject **out) {
    if (argument && argument != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
        return PYGEN_ERROR;
    }
    if (start(operation) < 0) return give_up(operation);
    if (operation->state == WEIR__PY_DONE) return take_and_return(operation, out);
    if (make_future(operation) < 0) return give_up(operation);
    *out = Py_NewRef(operation->future);
    return PYGEN_NEXT;
}

static PySendResult refuse_another(void) {
    PyErr_SetString(PyExc_RuntimeError, "this operation is being awaited already");
    return PYGEN_ERROR;
}

bool weir__py_awaited(OperationObject *operation) {
    if (operation->state != WEIR__PY_SETUP) return operation->state == WEIR__PY_PENDING;
    if (!operation->future) return true; /* the hook is just being called */
    PyObject *done = PyObject_CallMethod(operation->future, "done", NULL);
    if (!done) PyErr_Clear();
    Py_XDECREF(done);
    return done == Py_False;
}

/* Of a pipeline's: it runs already, and is awaited only now. */
static PySendResult join(OperationObject *operation, PyObject **out) {
    if (operation->future) return refuse_another();
    if (make_future(operation) < 0) return give_up(operation);
    *out = Py_NewRef(operation->future);
    return PYGEN_NEXT;
}

static PySendResult operation_send(PyObject *self, PyObject *argument, PyObject **out) {
    OperationObject *operation = (OperationObject *)self;
    *out = NULL;
    switch (operation->state) {
    case WEIR__PY_NEW:
        return first_send(operation, argument, out);
    case WEIR__PY_PENDING:
        return join(operation, out);
    case WEIR__PY_DONE:
        return take_and_return(operation, out);
    case WEIR__PY_SETUP:
        return weir__py_awaited(operation) ? refuse_another() : continue_setup(operation, out);
    case WEIR__PY_FINISHED:
        break;
    }
    PyErr_Format(PyExc_RuntimeError, "cannot reuse already awaited %s()",
                 weir__py_kind_name(operation->call.kind));
    return PYGEN_ERROR;
}

PyObject *weir__py_stop_iteration(PyObject *value) {
    /* A tuple would be taken for arguments, and an exception for the StopIteration itself. */
    bool plain = !PyTuple_Check(value) && !PyExceptionInstance_Check(value);
    PyObject *stop = plain ? Py_NewRef(value) : PyObject_CallOneArg(PyExc_StopIteration, value);
    Py_DECREF(value);
    if (stop) PyErr_SetObject(PyExc_StopIteration, stop);
    Py_XDECREF(stop);
    return NULL;
}

static PyObject *operation_send_method(PyObject *self, PyObject *argument) {
    PyObject *value;
    PySendResult result = operation_send(self, argument, &value);
    return result == PYGEN_RETURN ? weir__py_stop_iteration(value) : value;
}

static PyObject *operation_next(PyObject *self) {
    PyObject *value;
    PySendResult result = operation_send(self, Py_None, &value);
    if (result != PYGEN_RETURN) return value;
    if (value != Py_None) return weir__py_stop_iteration(value);
    Py_DECREF(value);
    return NULL; /* an iterator that ends without an exception: that is None */
}

/* ---- throw, close ---- */

void weir__py_set_thrown(PyObject *type, PyObject *value, PyObject *traceback) {
    if (PyExceptionInstance_Check(type)) {
        PyErr_SetObject((PyObject *)Py_TYPE(type), type);
        return;
    }
    if (!PyExceptionClass_Check(type)) {
        PyErr_Format(PyExc_TypeError,
                     "exceptions must be classes or instances deriving from BaseException, not %s",
                     Py_TYPE(type)->tp_name);
        return;
    }
    PyErr_Restore(Py_NewRef(type), Py_XNewRef(value), traceback == Py_None ? NULL : Py_XNewRef(traceback));
}

static PyObject *operation_throw(PyObject *self, PyObject *arguments) {
    OperationObject *operation = (OperationObject *)self;
    PyObject *type, *value = NULL, *traceback = NULL;
    if (!PyArg_ParseTuple(arguments, "O|OO:throw", &type, &value, &traceback)) return NULL;
    weir__py_abandon(operation); /* a finished one: as a coroutine, it raises what it is given */
    weir__py_set_thrown(type, value, traceback);
    return NULL;
}

static PyObject *operation_close(PyObject *self, PyObject *unused) {
    (void)unused;
    weir__py_abandon((OperationObject *)self);
    Py_RETURN_NONE;
}

/* ---- in a pipeline ---- */

/* Those that are over are let go, now and then. */
static int prune(PyObject *list) {
    Py_ssize_t size = PyList_GET_SIZE(list), kept = 0;
    if (size < 64 || (size & (size - 1))) return 0; /* at each power of two */
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *item = PyList_GET_ITEM(list, i);
        if (((OperationObject *)item)->state == WEIR__PY_FINISHED) continue;
        PyList_SET_ITEM(list, i, PyList_GET_ITEM(list, kept));
        PyList_SET_ITEM(list, kept++, item);
    }
    return PyList_SetSlice(list, kept, size, NULL);
}

PyObject *weir__py_operation_started(weir__py_call *call) {
    PyObject *list = Py_NewRef(call->session->pipeline);
    OperationObject *operation = (OperationObject *)weir__py_operation(call);
    if (!operation || prune(list) < 0 || start(operation) < 0 || PyList_Append(list, (PyObject *)operation)) {
        if (operation) give_up(operation);
        Py_CLEAR(operation);
    }
    Py_DECREF(list);
    return (PyObject *)operation;
}

/* A future that ends when the operation does; None: it has. */
static PyObject *operation_watch(PyObject *self, PyObject *unused) {
    OperationObject *operation = (OperationObject *)self;
    (void)unused;
    if (operation->state != WEIR__PY_PENDING) Py_RETURN_NONE;
    if (!operation->watcher)
        operation->watcher =
            PyObject_CallMethodNoArgs(operation->call.pool->engine->loop, weir__py.create_future);
    return Py_XNewRef(operation->watcher);
}

/* The exception that awaiting it would raise; None: it would not. */
static PyObject *operation_failure(PyObject *self, PyObject *unused) {
    OperationObject *operation = (OperationObject *)self;
    (void)unused;
    if (operation->state != WEIR__PY_DONE || operation->outcome.code == WEIR_OK) Py_RETURN_NONE;
    return weir__py_failure(&operation->call, &operation->outcome);
}

/* Ends it, if need be by force, for those who await it, too. */
static PyObject *operation_cut(PyObject *self, PyObject *unused) {
    OperationObject *operation = (OperationObject *)self;
    (void)unused;
    if (operation->state == WEIR__PY_PENDING) {
        weir_completion cut = {.code = WEIR_ECANCELLED};
        EngineObject *engine = operation->call.pool->engine;
        Py_INCREF(self);
        if (engine->reactor) weir_reactor_cancel(engine->reactor, operation->op);
        weir__py_unpend(engine, operation);
        weir__py_answered(operation, &cut);
        Py_DECREF(self);
    }
    Py_RETURN_NONE;
}

/* ---- the type ---- */

PyObject *weir__py_operation(weir__py_call *call) {
    OperationObject *operation = PyObject_GC_New(OperationObject, weir__py.operation);
    if (!operation) {
        weir__py_call_clear(call);
        return NULL;
    }
    memset((char *)operation + sizeof(PyObject), 0, sizeof *operation - sizeof(PyObject));
    operation->call = *call;
    PyObject_GC_Track(operation);
    return (PyObject *)operation;
}

int weir__py_operation_traverse(PyObject *self, visitproc visit, void *arg) {
    OperationObject *operation = (OperationObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(operation->future);
    Py_VISIT(operation->watcher);
    Py_VISIT(operation->setup);
    Py_VISIT(operation->prepared);
    return weir__py_call_visit(&operation->call, visit, arg);
}

int weir__py_operation_clear(PyObject *self) {
    weir__py_abandon((OperationObject *)self);
    return 0;
}

PyObject *weir__py_operation_name(OperationObject *operation) {
    weir__py_call *call = &operation->call;
    const char *method = weir__py_kind_name(call->kind);
    if (call->kind == WEIR__PY_OPEN || !call->pool) return PyUnicode_FromString(method);
    PyObject *owner = call->session ? (PyObject *)call->session : (PyObject *)call->pool;
    if (call->kind == WEIR__PY_ACQUIRE && !call->checkout->how.transaction) method = "connection";
    const char *type = strrchr(Py_TYPE(owner)->tp_name, '.');
    return PyUnicode_FromFormat("%s.%s", type ? type + 1 : Py_TYPE(owner)->tp_name, method);
}

static void operation_finalize(PyObject *self) {
    OperationObject *operation = (OperationObject *)self;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (operation->state == WEIR__PY_NEW) {
        PyObject *name = weir__py_operation_name(operation);
        if (!name || PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "%U() was never awaited", name) < 0)
            PyErr_WriteUnraisable(self);
        Py_XDECREF(name);
    }
    weir__py_abandon(operation);
    PyErr_Restore(type, value, traceback);
}

bool weir__py_operation_end(OperationObject *operation) {
    PyObject *self = (PyObject *)operation;
    if (operation->state != WEIR__PY_FINISHED && PyObject_CallFinalizerFromDealloc(self) < 0) return false;
    PyObject_GC_UnTrack(self);
    return true;
}

static void operation_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (!weir__py_operation_end((OperationObject *)self)) return;
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *operation_name(PyObject *self, void *unused) {
    (void)unused;
    return weir__py_operation_name((OperationObject *)self);
}

static PyObject *operation_await(PyObject *self, void *unused) {
    (void)unused;
    PyObject *future = ((OperationObject *)self)->future;
    return Py_NewRef(future ? future : Py_None);
}

static PyObject *operation_running(PyObject *self, void *unused) {
    (void)self, (void)unused;
    Py_RETURN_FALSE;
}

static PyObject *operation_none(PyObject *self, void *unused) {
    (void)self, (void)unused;
    Py_RETURN_NONE;
}

static PyMethodDef operation_methods[] = {
    {"send", operation_send_method, METH_O, "send($self, value, /)\n--\n\nAs of a coroutine."},
    {"throw", operation_throw, METH_VARARGS,
     "throw(type[, value[, traceback]])\n\nAs of a coroutine; the operation is cancelled in the background."},
    {"close", operation_close, METH_NOARGS,
     "close($self, /)\n--\n\nAs of a coroutine; the operation is cancelled in the background."},
    {"_watch", operation_watch, METH_NOARGS, NULL},
    {"_failure", operation_failure, METH_NOARGS, NULL},
    {"_cut", operation_cut, METH_NOARGS, NULL},
    {0}};
static PyGetSetDef operation_fields[] = {{"__name__", operation_name, NULL, NULL, NULL},
                                         {"__qualname__", operation_name, NULL, NULL, NULL},
                                         {"cr_await", operation_await, NULL, "As of a coroutine.", NULL},
                                         {"cr_frame", operation_none, NULL, "None.", NULL},
                                         {"cr_running", operation_running, NULL, "False.", NULL},
                                         {0}};
static PyType_Slot operation_slots[] = {
    {Py_tp_doc,
     "What the methods of an asynchronous pool give: to be awaited, once. Nothing is sent before."},
    {Py_tp_traverse, weir__py_operation_traverse},
    {Py_tp_clear, weir__py_operation_clear},
    {Py_tp_finalize, operation_finalize},
    {Py_tp_dealloc, operation_dealloc},
    {Py_tp_methods, operation_methods},
    {Py_tp_getset, operation_fields},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, operation_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, operation_send},
    {0, NULL}};
static PyType_Spec operation_spec = {"weirpool._core.Operation", sizeof(OperationObject), 0,
                                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                                         Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                     operation_slots};

/* ---- the awaitable that is done ---- */

static PySendResult ready_send(PyObject *self, PyObject *argument, PyObject **out) {
    (void)self, (void)argument;
    *out = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PyObject *ready_next(PyObject *self) {
    (void)self;
    PyErr_SetNone(PyExc_StopIteration);
    return NULL;
}

static PyType_Slot ready_slots[] = {{Py_tp_doc, "An awaitable that gives None at once. Internal."},
                                    {Py_tp_iter, PyObject_SelfIter},
                                    {Py_tp_iternext, ready_next},
                                    {Py_am_await, PyObject_SelfIter},
                                    {Py_am_send, ready_send},
                                    {0, NULL}};
static PyType_Spec ready_spec = {
    "weirpool._core.Ready", sizeof(PyObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, ready_slots};

int weir__py_operation_types(PyObject *module) {
    if (!(weir__py.operation = weir__py_type(module, &operation_spec, NULL))) return -1;
    if (!(weir__py.ready = weir__py_type(module, &ready_spec, NULL))) return -1;
    return (weir__py.done = PyObject_New(PyObject, weir__py.ready)) ? 0 : -1;
}
