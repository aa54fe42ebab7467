/*
 * A reactor with its one pool, and the event loop that watches its descriptor.
 *
 * The loop holds the engine, and the engine does not hold the Python pool: so a pool that was dropped is
 * noticed. An operation that waits for its answer is held by the engine's list, and by that list alone is the
 * pool kept alive while nobody else holds it.
 */
#include "weir_py.h"

#include <pythread.h>

/* ---- the list of operations that wait ---- */

void weir__py_pend(EngineObject *engine, OperationObject *operation) {
    Py_INCREF((PyObject *)operation);
    operation->previous = NULL;
    operation->next = engine->pending;
    if (engine->pending) engine->pending->previous = operation;
    engine->pending = operation;
    engine->pending_count++;
}

void weir__py_unpend(EngineObject *engine, OperationObject *operation) {
    if (operation->previous)
        operation->previous->next = operation->next;
    else
        engine->pending = operation->next;
    if (operation->next) operation->next->previous = operation->previous;
    operation->previous = operation->next = NULL;
    engine->pending_count--;
    Py_DECREF((PyObject *)operation);
}

/* ---- sending together what is submitted in one turn of the loop ---- */

/* Fewer that wait for an answer than this: what is sent at once keeps the server busy sooner. */
#define CROWD 4

static PyObject *flush(PyObject *self, PyObject *unused) {
    EngineObject *engine = (EngineObject *)self;
    (void)unused;
    engine->flushing = false;
    if (engine->reactor) weir_reactor_flush(engine->reactor);
    weir__py_drain(engine);
    Py_RETURN_NONE;
}
static PyMethodDef flush_method = {"flush", flush, METH_NOARGS, NULL};

/* The loop calls it behind all that is ready to run already. */
static void flush_soon(EngineObject *engine) {
    if (engine->flushing) return;
    PyObject *function = PyCFunction_New(&flush_method, (PyObject *)engine);
    PyObject *handle =
        function ? PyObject_CallMethodOneArg(engine->loop, weir__py.call_soon, function) : NULL;
    engine->flushing = handle != NULL;
    if (!handle) weir__py_forget(); /* then everything is sent at once */
    Py_XDECREF(handle);
    Py_XDECREF(function);
}

bool weir__py_may_hold(EngineObject *engine, bool surely) {
    if ((surely || engine->pending_count >= CROWD) && engine->loop) flush_soon(engine);
    return engine->flushing;
}

/* ---- who asks ---- */

/* The context variable has a pair: the number of a loan, and the pair of the one around it, or None. */
static uint64_t number_of(PyObject *pair) { return PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(pair, 0)); }

static PyObject *around(PyObject *pair) {
    PyObject *outer = PyTuple_GET_ITEM(pair, 1);
    return outer == Py_None ? NULL : outer;
}

/* A new reference, or NULL. */
static PyObject *innermost(EngineObject *engine) {
    PyObject *pair = NULL;
    if (PyContextVar_Get(engine->holder, NULL, &pair) < 0) PyErr_Clear();
    return pair;
}

uint64_t weir__py_owner(EngineObject *engine) {
    if (!engine->holder) return PyThread_get_thread_ident() >> 4;
    PyObject *pair = innermost(engine), *at = pair;
    /* The core looks whether the one that it is given lasts. */
    while (at && around(at) && !weir_pool_holds(engine->pool, number_of(at))) at = around(at);
    uint64_t owner = at ? number_of(at) : 0;
    Py_XDECREF(pair);
    return owner;
}

uint64_t weir__py_new_owner(EngineObject *engine, uint64_t *inside) {
    static uint64_t last;
    if (!engine->holder) return weir__py_owner(engine);
    PyObject *pair = engine->lent ? innermost(engine) : NULL, *outer = pair;
    while (outer && !weir_pool_holds(engine->pool, number_of(outer))) outer = around(outer);
    *inside = outer ? number_of(outer) : 0;
    PyObject *number = PyLong_FromUnsignedLongLong(++last);
    PyObject *made = number ? PyTuple_Pack(2, number, outer ? outer : Py_None) : NULL;
    PyObject *token = made ? PyContextVar_Set(engine->holder, made) : NULL;
    if (!token) PyErr_Clear();
    Py_XDECREF(pair);
    Py_XDECREF(number);
    Py_XDECREF(made);
    Py_XDECREF(token);
    return token ? last : 0;
}

/* ---- completions and log lines ---- */

/* Calls a function of weirpool._hooks; what it raises is shown, not raised, unless it is the program's. */
static void call_hook(PyObject **slot, const char *name, PyObject *arguments) {
    PyObject *function = arguments ? weir__py_lazy(slot, "weirpool._hooks", name) : NULL;
    PyObject *answer = function ? PyObject_CallObject(function, arguments) : NULL;
    if (!answer && !weir__py_hand_on()) PyErr_WriteUnraisable(function);
    Py_XDECREF(answer);
    Py_XDECREF(arguments);
}

/* A new connection wants its init hook: a task of the loop runs it. */
static void start_init(EngineObject *engine, weir_completion *event) {
    static PyObject *hook;
    if (!engine->owner || !engine->owner->init) {
        weir_completion_discard(event);
        return;
    }
    SessionObject *connection = weir__py_session(engine->owner, event->session, false);
    if (!connection)
        PyErr_WriteUnraisable((PyObject *)engine->owner);
    else
        call_hook(&hook, "start_init", Py_BuildValue("(OON)", engine->loop, engine->owner->init, connection));
}

static void hand_out(EngineObject *engine, weir_completion *completion) {
    if (completion->kind == WEIR_EVENT_INIT) {
        start_init(engine, completion);
        return;
    }
    OperationObject *operation = completion->token;
    Py_INCREF((PyObject *)operation);
    weir__py_unpend(engine, operation);
    weir__py_answered(operation, completion);
    Py_DECREF((PyObject *)operation);
}

void weir__py_drain(EngineObject *engine) {
    weir_completion completion;
    if (!engine->loop || engine->draining || PyThread_get_thread_ident() != engine->thread) return;
    if (engine->forks != weir__py_forks()) return;
    if (!engine->reactor || !weir_reactor_next(engine->reactor, &completion)) return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    Py_INCREF((PyObject *)engine);
    engine->draining = true;
    int count = 0;
    do {
        hand_out(engine, &completion);
        count++;
    } while (engine->reactor && weir_reactor_next(engine->reactor, &completion));
    engine->draining = false;
    if (count >= CROWD && engine->watching) flush_soon(engine); /* they will run now, and ask for more */
    Py_DECREF((PyObject *)engine);
    PyErr_Restore(type, value, traceback);
}

/* Calls the pool's hook for notices. */
static void drain_notices(EngineObject *engine) {
    static PyObject *hook;
    weir_notice *notice;
    if (!engine->reactor || !engine->owner || !engine->owner->on_notice || engine->noticing) return;
    if (engine->loop && PyThread_get_thread_ident() != engine->thread) return; /* the loop's next turn will */
    if (!weir_reactor_next_notice(engine->reactor, &notice)) return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    Py_INCREF((PyObject *)engine);
    engine->noticing = true;
    do {
        PyObject *function = engine->owner ? engine->owner->on_notice : NULL;
        PyObject *fields = weir__py_notice(notice);
        weir_notice_free(notice);
        if (!fields)
            PyErr_WriteUnraisable((PyObject *)engine);
        else if (function)
            call_hook(&hook, "notice", Py_BuildValue("(ON)", function, fields));
        else
            Py_DECREF(fields);
    } while (engine->reactor && weir_reactor_next_notice(engine->reactor, &notice));
    engine->noticing = false;
    Py_DECREF((PyObject *)engine);
    PyErr_Restore(type, value, traceback);
}

/* Calls the pool's hooks for alerts; what nobody is there to hear is passed over. */
static void drain_alerts(EngineObject *engine) {
    static PyObject *hook;
    weir_alert alert;
    if (!engine->pool || weir_pool_last_alert(engine->pool) == engine->alert) return;
    if (engine->alerting || (engine->loop && PyThread_get_thread_ident() != engine->thread)) return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    Py_INCREF((PyObject *)engine);
    engine->alerting = true;
    while (engine->pool && weir_pool_next_alert(engine->pool, &engine->alert, &alert)) {
        PyObject *hooks = engine->owner ? engine->owner->on_alert : NULL;
        if (hooks)
            call_hook(
                &hook, "alert",
                Py_BuildValue("(OON)", hooks, engine->loop ? engine->loop : Py_None, weir__py_alert(&alert)));
    }
    engine->alerting = false;
    Py_DECREF((PyObject *)engine);
    PyErr_Restore(type, value, traceback);
}

void weir__py_drain_logs(EngineObject *engine) {
    static PyObject *hook;
    weir_log_record record;
    drain_notices(engine);
    drain_alerts(engine);
    if (!engine->reactor || !weir_reactor_next_log(engine->reactor, &record)) return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    Py_INCREF((PyObject *)engine);
    do {
        PyObject *line = PyUnicode_DecodeUTF8(record.line, (Py_ssize_t)strlen(record.line), "replace");
        call_hook(&hook, "log", line ? Py_BuildValue("(iN)", (int)record.level, line) : NULL);
    } while (engine->reactor && weir_reactor_next_log(engine->reactor, &record));
    Py_DECREF((PyObject *)engine);
    PyErr_Restore(type, value, traceback);
}

static PyObject *this_thread(void) { return PyLong_FromUnsignedLong(PyThread_get_thread_ident()); }

/* An init that was refused runs no others; other threads do. -1 with an exception. */
static int is_at_init(EngineObject *engine) {
    PyObject *thread = this_thread();
    int at_init = thread ? PySet_Contains(engine->at_init, thread) : -1;
    Py_XDECREF(thread);
    return at_init;
}

static void leave_init(EngineObject *engine, PyObject *thread) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PySet_Discard(engine->at_init, thread);
    PyErr_Restore(type, value, traceback);
}

/* NULL with KeyboardInterrupt or its like. */
static PyObject *run_init(EngineObject *engine, PyObject *init, PyObject *connection) {
    static PyObject *hook;
    PyObject *function = weir__py_lazy(&hook, "weirpool._hooks", "run_init");
    PyObject *thread = function ? this_thread() : NULL, *answer = NULL;
    int nested =
        thread ? PySet_Contains(engine->at_init, thread) : -1; /* in a statement on the pool itself */
    if (nested == 1 || (nested == 0 && PySet_Add(engine->at_init, thread) == 0))
        answer = PyObject_CallFunctionObjArgs(function, init, connection, NULL);
    if (nested == 0) leave_init(engine, thread);
    Py_XDECREF(thread);
    return answer;
}

int weir__py_events(EngineObject *engine) {
    weir_completion event;
    while (engine->reactor && weir_reactor_next(engine->reactor, &event)) {
        PyObject *init = engine->owner ? engine->owner->init : NULL;
        if (event.kind != WEIR_EVENT_INIT || !init) {
            weir_completion_discard(&event);
            continue;
        }
        PyObject *connection = (PyObject *)weir__py_session(engine->owner, event.session, false);
        PyObject *answer = connection ? run_init(engine, init, connection) : NULL;
        Py_XDECREF(connection);
        if (!answer) return -1;
        Py_DECREF(answer);
    }
    return 0;
}

/* ---- opening and shutting ---- */

static int watch(EngineObject *engine) {
    PyObject *fd = PyLong_FromLong(weir_reactor_fd(engine->reactor));
    if (!fd) return -1;
    PyObject *answer =
        PyObject_CallMethodObjArgs(engine->loop, weir__py.add_reader, fd, (PyObject *)engine, NULL);
    Py_DECREF(fd);
    if (!answer) return -1;
    Py_DECREF(answer);
    engine->watching = true;
    weir_reactor_attach(engine->reactor);
    return 0;
}

int weir__py_engine_open(EngineObject *engine, PyObject *loop) {
    weir_error error = WEIR_ERROR_INIT;
    if (weir_reactor_new(&engine->reactor, &error) != WEIR_OK) {
        weir__py_raise(&error);
        return -1;
    }
    engine->forks = weir__py_forks();
    engine->thread = PyThread_get_thread_ident();
    Py_XSETREF(engine->loop, Py_XNewRef(loop));
    weir_reactor_log_level(engine->reactor, WEIR_LOG_DEBUG); /* logging chooses, and may do so at any time */
    if (!loop || watch(engine) == 0) return 0;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    weir__py_engine_shut(engine);
    PyErr_Restore(type, value, traceback);
    return -1;
}

static bool loop_is_closed(EngineObject *engine) {
    PyObject *answer = PyObject_CallMethodNoArgs(engine->loop, weir__py.is_closed);
    bool closed = answer != Py_False;
    if (!answer) weir__py_forget();
    Py_XDECREF(answer);
    return closed;
}

void weir__py_unwatch(EngineObject *engine) {
    if (!engine->watching) return;
    engine->watching = false;
    /* A child that took the descriptor out of an inherited epoll set would take it out of its parent's. */
    if (engine->forks != weir__py_forks() || loop_is_closed(engine)) return;
    PyObject *fd = PyLong_FromLong(weir_reactor_fd(engine->reactor));
    PyObject *answer = fd ? PyObject_CallMethodOneArg(engine->loop, weir__py.remove_reader, fd) : NULL;
    if (!answer) PyErr_WriteUnraisable(engine->loop);
    Py_XDECREF(fd);
    Py_XDECREF(answer);
}

static void end_pending(EngineObject *engine) {
    while (engine->pending) {
        weir_completion closed = {.code = WEIR_ECLOSED};
        OperationObject *operation = (OperationObject *)Py_NewRef((PyObject *)engine->pending);
        weir__py_unpend(engine, operation);
        weir__py_answered(operation, &closed);
        Py_DECREF((PyObject *)operation);
    }
}

static void shut_now(EngineObject *engine) {
    weir_pool *pool = engine->pool;
    weir_reactor *reactor = engine->reactor;
    weir__py_unwatch(engine);
    weir__py_drain_logs(engine);
    engine->pool = NULL;
    engine->reactor = NULL;
    weir_pool_free(pool);
    weir_reactor_free(reactor);
    end_pending(engine);
}

void weir__py_engine_shut(EngineObject *engine) {
    if (engine->owner) engine->owner->closed = true;
    if (!engine->reactor || engine->doomed) return;
    Py_INCREF((PyObject *)engine);
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    bool elsewhere = engine->watching && engine->thread != PyThread_get_thread_ident();
    if (elsewhere && engine->forks == weir__py_forks() && !loop_is_closed(engine)) {
        PyObject *handle =
            PyObject_CallMethodOneArg(engine->loop, weir__py.call_soon_threadsafe, (PyObject *)engine);
        engine->doomed = handle != NULL;
        if (!handle) PyErr_Clear(); /* closed in this moment */
        Py_XDECREF(handle);
    }
    if (!engine->doomed) shut_now(engine);
    PyErr_Restore(type, value, traceback);
    Py_DECREF((PyObject *)engine);
}

/*
 * Whether the calling thread runs the engine's loop. get_running_loop costs a getpid before Python 3.12,
 * which is dear; a loop that has a current task is running, in the one thread that runs it.
 */
static bool runs_loop(EngineObject *engine) {
#if PY_VERSION_HEX < 0x030c0000
    static PyObject *current_task;
    PyObject *get = weir__py_lazy(&current_task, "asyncio", "current_task");
    PyObject *task =
        get && engine->thread == PyThread_get_thread_ident() ? PyObject_CallOneArg(get, engine->loop) : NULL;
    bool runs = task && task != Py_None;
    if (!task) PyErr_Clear();
    Py_XDECREF(task);
    return runs;
#else
    (void)engine;
    return false;
#endif
}

int weir__py_check(PoolObject *pool) {
    EngineObject *engine = pool->engine;
    if (!engine->reactor || engine->doomed) {
        weir__py_fail(WEIR_ECLOSED, pool->closed ? NULL : "the pool has not been opened yet");
        return -1;
    }
    if (engine->forks != weir__py_forks()) {
        weir__py_fail(WEIR_EFORKED, NULL);
        return -1;
    }
    if (pool->sync || runs_loop(engine)) return 0;
    PyObject *get = weir__py_lazy(&weir__py.running_loop, "asyncio", "get_running_loop");
    PyObject *running = get ? PyObject_CallNoArgs(get) : NULL;
    if (!running) return -1;
    Py_DECREF(running);
    if (running == engine->loop) return 0;
    weir__py_fail(WEIR_EWRONGLOOP, NULL);
    return -1;
}

/* ---- waiting, in a blocking pool ---- */

/* A signal that comes just before the core falls asleep does not wake it: so it is asked for now and then. */
#define SIGNALS_MS 100

/* Waits until the operation is complete; -1 with the exception of a signal's handler, the operation is
 * cancelled then. */
static int wait_for(EngineObject *engine, weir_op op, int rc, weir_completion *out) {
    weir_reactor *reactor = engine->reactor;
    while (rc != WEIR_OK) {
        int broken = 0;
        if (rc == WEIR_INTERRUPTED || rc == WEIR_ETIMEOUT)
            broken = PyErr_CheckSignals();
        else if (rc == WEIR_EVENT)
            broken = weir__py_events(engine);
        else {
            weir__py_fail(rc, NULL);
            broken = -1;
        }
        if (broken < 0) {
            weir_reactor_cancel(reactor, op);
            return -1;
        }
        Py_BEGIN_ALLOW_THREADS
            rc = weir_reactor_wait(reactor, op, SIGNALS_MS, out);
        Py_END_ALLOW_THREADS
    }
    return 0;
}

PyObject *weir__py_run(weir__py_call *call) {
    EngineObject *engine = call->pool->engine;
    weir_completion outcome = {0};
    weir_error error = WEIR_ERROR_INIT;
    weir_op op = 0;
    int rc, waited = WEIR_OK;
    PyObject *answer = NULL;
    if (weir__py_check(call->pool) < 0) goto out;
    weir__py_address(call);
    Py_BEGIN_ALLOW_THREADS
        rc = weir__py_submit(call, NULL, &op, &outcome, &error);
        /* A COPY that is never kept waiting would not hear of its end: nobody else drives a blocking pool. */
        bool unheard = rc == WEIR_OK && call->kind == WEIR__PY_COPY_PUT;
        /* Nor would a pool whose callers are refused find out that its server is back. */
        if (unheard || WEIR_IS_CIRCUIT_OPEN(rc)) weir_reactor_dispatch(engine->reactor);
        if (rc == WEIR_PENDING) waited = weir_reactor_wait(engine->reactor, op, SIGNALS_MS, &outcome);
    Py_END_ALLOW_THREADS
    int at_init = WEIR_IS_CIRCUIT_OPEN(rc) ? is_at_init(engine) : 1;
    if (at_init < 0 || (!at_init && weir__py_events(engine) < 0)) goto out;
    if (rc > WEIR_OK) {
        outcome.code = rc;
        outcome.error = &error;
    } else if (wait_for(engine, op, waited, &outcome) < 0) {
        goto out;
    }
    weir__py_settle(call, &outcome);
    if (outcome.error == &error) {
        outcome.error = NULL;
        if (call->quiet)
            answer = Py_NewRef(Py_None);
        else
            weir__py_raise(&error);
    } else {
        answer = weir__py_take(call, &outcome);
    }
    weir__py_drain_logs(engine);
out:
    if (!answer && call->kind == WEIR__PY_OPEN) weir__py_engine_shut(engine);
    if (!answer && call->release && call->session) weir__py_release(call->session, false);
    weir_error_clear(&error);
    weir__py_call_clear(call);
    return answer;
}

/* ---- the type ---- */

/* A loop may be run by one thread now and by another later. */
static void take_over(EngineObject *engine) {
    unsigned long thread = PyThread_get_thread_ident();
    if (engine->thread == thread) return;
    engine->thread = thread;
    weir_reactor_attach(engine->reactor);
}

static PyObject *engine_call(PyObject *self, PyObject *arguments, PyObject *keywords) {
    (void)arguments, (void)keywords;
    EngineObject *engine = (EngineObject *)self;
    Py_INCREF(self);
    if (engine->doomed) {
        shut_now(engine);
    } else if (engine->reactor) {
        take_over(engine);
        weir_reactor_dispatch(engine->reactor);
        weir__py_drain(engine);
        weir__py_drain_logs(engine);
    }
    Py_DECREF(self);
    Py_RETURN_NONE;
}

EngineObject *weir__py_engine(PoolObject *owner) {
    EngineObject *engine = PyObject_GC_New(EngineObject, weir__py.engine);
    if (!engine) return NULL;
    memset((char *)engine + sizeof(PyObject), 0, sizeof *engine - sizeof(PyObject));
    engine->owner = owner;
    if (owner->sync)
        engine->at_init = PySet_New(NULL);
    else
        engine->holder = PyContextVar_New("weirpool.holder", NULL);
    PyObject_GC_Track(engine);
    if (engine->at_init || engine->holder) return engine;
    Py_DECREF((PyObject *)engine);
    return NULL;
}

static int engine_traverse(PyObject *self, visitproc visit, void *arg) {
    EngineObject *engine = (EngineObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(engine->loop);
    for (OperationObject *operation = engine->pending; operation; operation = operation->next)
        Py_VISIT(operation);
    return 0;
}

static int engine_clear(PyObject *self) {
    weir__py_engine_shut((EngineObject *)self);
    return 0;
}

/* Its loop was closed before it came to shut it. */
static void engine_finalize(PyObject *self) {
    EngineObject *engine = (EngineObject *)self;
    engine->doomed = false;
    weir__py_engine_shut(engine);
}

static void engine_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    EngineObject *engine = (EngineObject *)self;
    if (engine->reactor && PyObject_CallFinalizerFromDealloc(self) < 0) return;
    PyObject_GC_UnTrack(self);
    Py_CLEAR(engine->loop);
    Py_CLEAR(engine->holder);
    Py_CLEAR(engine->at_init);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot engine_slots[] = {
    {Py_tp_doc, "What an event loop calls when a pool has something to do. Internal."},
    {Py_tp_call, engine_call},
    {Py_tp_traverse, engine_traverse},
    {Py_tp_clear, engine_clear},
    {Py_tp_finalize, engine_finalize},
    {Py_tp_dealloc, engine_dealloc},
    {0, NULL}};
static PyType_Spec engine_spec = {"weirpool._core.Engine", sizeof(EngineObject), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                                      Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                  engine_slots};

int weir__py_engine_types(PyObject *module) {
    return (weir__py.engine = weir__py_type(module, &engine_spec, NULL)) ? 0 : -1;
}
