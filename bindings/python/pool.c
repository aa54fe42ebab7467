/* Pools: their options, their hot methods, their end. The rest of their methods is in weirpool/_pool.py. */
#include "weir_py.h"

/* ---- options ---- */

/* The kept list owns the object from here on, so that the options may point into it. */
static int keep(PoolObject *pool, PyObject *object) { return PyList_Append(pool->kept, object); }

static int put_option(weir_options *options, const char *name, PyObject *object) {
    weir_error error = WEIR_ERROR_INIT;
    weir_value value;
    if (weir__py_option_value(name, object, &value) < 0) return -1;
    if (weir_options_set(options, name, &value, &error) == WEIR_OK) return 0;
    weir__py_raise(&error);
    return -1;
}

static int set_option(PoolObject *pool, PyObject *name, PyObject *object) {
    const char *text = weir__py_text("the name of an option", name);
    if (!text || keep(pool, object) < 0) return -1;
    return put_option(&pool->options, text, object);
}

int weir__py_bound(const char *name, PyObject *object, int *out) {
    if (object == Py_None) {
        *out = WEIR_SIZE_KEEP;
        return 0;
    }
    weir_options options;
    weir_options_init(&options);
    if (put_option(&options, name, object) < 0) return -1;
    *out = strcmp(name, "min_size") == 0 ? options.min_size : options.max_size;
    return 0;
}

static int set_options(PoolObject *pool, PyObject *options) {
    PyObject *name, *value;
    weir_error error = WEIR_ERROR_INIT;
    for (Py_ssize_t place = 0; PyDict_Next(options, &place, &name, &value);)
        if (set_option(pool, name, value) < 0) return -1;
    if (weir_options_check(&pool->options, &error) == WEIR_OK) return 0;
    weir__py_raise(&error);
    return -1;
}

static int set_server_settings(PoolObject *pool, PyObject *settings) {
    PyObject *name, *value;
    Py_ssize_t count = 0;
    if (settings == Py_None) return 0;
    if (!PyDict_Check(settings)) {
        weir__py_fail(WEIR_EOPTION, "server_settings must be a dict of str, not %s",
                      Py_TYPE(settings)->tp_name);
        return -1;
    }
    pool->settings = PyMem_Calloc(2 * (size_t)PyDict_Size(settings) + 1, sizeof *pool->settings);
    if (!pool->settings) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t place = 0; PyDict_Next(settings, &place, &name, &value);) {
        pool->settings[count] = weir__py_text("a name in server_settings", name);
        if (!pool->settings[count]) return -1;
        pool->settings[count + 1] = weir__py_text(pool->settings[count], value);
        if (!pool->settings[count + 1] || keep(pool, name) < 0 || keep(pool, value) < 0) return -1;
        count += 2;
    }
    pool->options.server_settings = pool->settings;
    return 0;
}

static int set_hook(PyObject **hook, const char *name, PyObject *object) {
    if (object == Py_None) return 0;
    if (!PyCallable_Check(object)) {
        weir__py_fail(WEIR_EOPTION, "%s must be a function or None, not %s", name, Py_TYPE(object)->tp_name);
        return -1;
    }
    *hook = Py_NewRef(object);
    return 0;
}

static int pool_fill(PoolObject *pool, PyObject *url, PyObject *options, PyObject *settings,
                     PyObject *hooks[4], PyObject *codecs) {
    weir_options_init(&pool->options);
    pool->kept = PyList_New(0);
    pool->engine = weir__py_engine(pool);
    if (!pool->kept || !pool->engine) return -1;
    if (url != Py_None) {
        pool->options.url = weir__py_text("url", url);
        if (!pool->options.url || keep(pool, url) < 0) return -1;
    }
    if (set_hook(&pool->init, "init", hooks[0]) < 0 || set_hook(&pool->setup, "setup", hooks[1]) < 0 ||
        set_hook(&pool->on_notice, "on_notice", hooks[2]) < 0 ||
        set_hook(&pool->judge, "judge", hooks[3]) < 0)
        return -1;
    pool->options.init_hook = pool->init != NULL;
    pool->options.notice_hook = pool->on_notice != NULL;
    pool->options.circuit_hook = pool->judge != NULL;
    if (weir__py_set_codecs(&pool->codecs, codecs, &pool->options, &pool->codec_array) < 0) return -1;
    return set_server_settings(pool, settings) < 0 ? -1 : set_options(pool, options);
}

static PyObject *pool_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"url",    "options",   "server_settings", "init", "setup",
                            "codecs", "on_notice", "judge",           NULL};
    PyObject *url, *options, *settings = Py_None, *codecs = Py_None;
    PyObject *hooks[4] = {Py_None, Py_None, Py_None, Py_None};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO!|OOOOOO:Pool", names, &url, &PyDict_Type,
                                     &options, &settings, &hooks[0], &hooks[1], &codecs, &hooks[2],
                                     &hooks[3]))
        return NULL;
    PoolObject *pool = (PoolObject *)type->tp_alloc(type, 0);
    if (!pool) return NULL;
    pool->sync = PyType_IsSubtype(type, weir__py.sync_pool);
    pool->closed = true; /* what is not whole needs no warning */
    if (pool_fill(pool, url, options, settings, hooks, codecs) < 0) {
        Py_DECREF((PyObject *)pool);
        return NULL;
    }
    pool->closed = false;
    return (PyObject *)pool;
}

/* ---- statements, sessions ---- */

/* The value of that keyword, borrowed; `...`, which is the same as none, where it is not given. */
static PyObject *keyword(PyObject *name, PyObject *const *values, PyObject *kwnames) {
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++)
        if (PyUnicode_Compare(PyTuple_GET_ITEM(kwnames, i), name) == 0) return values[i];
    return Py_Ellipsis;
}

/* With a setup hook: weirpool._hooks runs the method on a connection that was checked out. The checkout is
 * made here, since what is awaited later does not know who has called. Takes over `positional`; NULL with an
 * exception. */
static PyObject *through_connection(PoolObject *pool, weir__py_kind kind, PyObject *positional,
                                    PyObject *const *values, PyObject *kwnames) {
    static PyObject *through, *through_sync;
    if (!positional) return NULL;
    PyObject *function = pool->sync ? weir__py_lazy(&through_sync, "weirpool._hooks", "through_sync")
                                    : weir__py_lazy(&through, "weirpool._hooks", "through");
    PyObject *keywords = function ? PyDict_New() : NULL;
    for (Py_ssize_t i = 0; keywords && kwnames && i < PyTuple_GET_SIZE(kwnames); i++)
        if (PyDict_SetItem(keywords, PyTuple_GET_ITEM(kwnames, i), values[i]) < 0) Py_CLEAR(keywords);
    PyObject *checkout = keywords ? weir__py_borrow(pool, keyword(weir__py.timeout, values, kwnames)) : NULL;
    PyObject *answer = checkout ? PyObject_CallFunction(function, "OsOO", checkout, weir__py_kind_name(kind),
                                                        positional, keywords)
                                : NULL;
    Py_XDECREF(checkout);
    Py_XDECREF(positional);
    Py_XDECREF(keywords);
    return answer;
}

static PyObject *tuple_of(PyObject *const *items, Py_ssize_t count) {
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple && i < count; i++) PyTuple_SET_ITEM(tuple, i, Py_NewRef(items[i]));
    return tuple;
}

static PyObject *run_statement(PyObject *self, weir__py_kind kind, PyObject *const *arguments,
                               Py_ssize_t count, PyObject *kwnames) {
    PoolObject *pool = (PoolObject *)self;
    if (pool->setup)
        return through_connection(pool, kind, tuple_of(arguments, count), arguments + count, kwnames);
    weir__py_call call = {.kind = kind};
    if (weir__py_parse(&call, pool, NULL, arguments, count, kwnames) < 0) return NULL;
    return pool->sync ? weir__py_run(&call) : weir__py_operation(&call);
}

#define STATEMENT(name, KIND)                                                                                \
    static PyObject *pool_##name(PyObject *self, PyObject *const *arguments, Py_ssize_t count,               \
                                 PyObject *kwnames) {                                                        \
        return run_statement(self, KIND, arguments, count, kwnames);                                         \
    }
STATEMENT(execute, WEIR__PY_EXECUTE)
STATEMENT(executemany, WEIR__PY_EXECUTEMANY)
STATEMENT(fetch, WEIR__PY_FETCH)
STATEMENT(fetchrow, WEIR__PY_FETCHROW)
STATEMENT(fetchval, WEIR__PY_FETCHVAL)
STATEMENT(execute_script, WEIR__PY_SCRIPT)
#undef STATEMENT

static PyObject *pool_transaction(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                  PyObject *kwnames) {
    PoolObject *pool = (PoolObject *)self;
    weir__py_call call;
    if (pool->setup)
        return through_connection(pool, WEIR__PY_TRANSACTION, weir__py_statements(arguments, count),
                                  arguments + count, kwnames);
    if (weir__py_parse_transaction(&call, pool, arguments, count, kwnames) < 0) return NULL;
    return pool->sync ? weir__py_run(&call) : weir__py_operation(&call);
}

static PyObject *pool_session(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                              PyObject *kwnames) {
    return weir__py_checkout((PoolObject *)self, true, arguments, count, kwnames);
}

static PyObject *pool_connection(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                 PyObject *kwnames) {
    return weir__py_checkout((PoolObject *)self, false, arguments, count, kwnames);
}

static PyObject *pool_stream(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                             PyObject *kwnames) {
    return weir__py_stream((PoolObject *)self, NULL, arguments, count, kwnames);
}

static PyObject *pool_borrow(PyObject *self, PyObject *timeout) {
    return weir__py_borrow((PoolObject *)self, timeout);
}

/* The pause between two attempts of run(). */
static PyObject *pool_sleep(PyObject *self, PyObject *seconds) {
    weir__py_call call = {.kind = WEIR__PY_SLEEP};
    if (weir__py_milliseconds("seconds", seconds, false, &call.timeout_ms) < 0) return NULL;
    call.pool = (PoolObject *)Py_NewRef(self);
    return call.pool->sync ? weir__py_run(&call) : weir__py_operation(&call);
}

/* ---- opening, closing ---- */

static weir__py_call call_of(PyObject *self, weir__py_kind kind) {
    return (weir__py_call){
        .kind = kind, .timeout_ms = WEIR_TIMEOUT_DEFAULT, .pool = (PoolObject *)Py_NewRef(self)};
}

static PyObject *pool_await(PyObject *self) {
    weir__py_call call = call_of(self, WEIR__PY_OPEN);
    return weir__py_operation(&call);
}

static PyObject *pool_aenter(PyObject *self, PyObject *unused) {
    (void)unused;
    return pool_await(self);
}

static PyObject *pool_aexit(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    (void)arguments, (void)count;
    weir__py_call call = call_of(self, WEIR__PY_CLOSE);
    return weir__py_operation(&call);
}

static PyObject *pool_end(PyObject *self, weir__py_kind kind, PyObject *const *arguments, Py_ssize_t count,
                          PyObject *kwnames) {
    PoolObject *pool = (PoolObject *)self;
    weir__py_call call = {.kind = kind};
    PyObject *const names[] = {weir__py.grace};
    PyObject *grace;
    if (count) {
        PyErr_Format(PyExc_TypeError, "%s() takes keyword arguments only", weir__py_kind_name(kind));
        return NULL;
    }
    if (weir__py_keywords(weir__py_kind_name(kind), arguments, kwnames, names, &grace, 1) < 0) return NULL;
    if (weir__py_milliseconds("grace", grace, true, &call.timeout_ms) < 0) return NULL;
    pool->begun = true; /* a pool that was closed unopened cannot be opened any more */
    if (pool->sync && !pool->engine->reactor) {
        weir__py_engine_shut(pool->engine);
        Py_RETURN_NONE;
    }
    call.pool = (PoolObject *)Py_NewRef(self);
    return pool->sync ? weir__py_run(&call) : weir__py_operation(&call);
}

/* Of a drain() that is to come: it is too late then to say that it cannot be. */
static PyObject *pool_check_grace(PyObject *self, PyObject *grace) {
    int64_t ms;
    (void)self;
    return weir__py_milliseconds("grace", grace, true, &ms) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *pool_check_health(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                   PyObject *kwnames) {
    weir__py_call call = {.kind = WEIR__PY_CHECK};
    PyObject *const names[] = {weir__py.timeout};
    PyObject *timeout;
    if (count) {
        PyErr_SetString(PyExc_TypeError, "check_health() takes keyword arguments only");
        return NULL;
    }
    if (weir__py_keywords("check_health", arguments, kwnames, names, &timeout, 1) < 0 ||
        weir__py_milliseconds("timeout", timeout, false, &call.timeout_ms) < 0)
        return NULL;
    /* What is due is done, the probe too: one that is refused drives nothing. */
    if (((PoolObject *)self)->sync && !weir__py_pool_handle(self)) return NULL;
    call.pool = (PoolObject *)Py_NewRef(self);
    return call.pool->sync ? weir__py_run(&call) : weir__py_operation(&call);
}

static PyObject *pool_close(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *kwnames) {
    return pool_end(self, WEIR__PY_CLOSE, arguments, count, kwnames);
}

static PyObject *pool_drain(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *kwnames) {
    return pool_end(self, WEIR__PY_DRAIN, arguments, count, kwnames);
}

/* Opens a blocking pool. */
static PyObject *pool_open(PyObject *self, PyObject *unused) {
    (void)unused;
    PoolObject *pool = (PoolObject *)self;
    if (pool->begun) {
        PyErr_SetString(PyExc_RuntimeError, "this pool has been opened before; make a new one");
        return NULL;
    }
    pool->begun = true;
    if (weir__py_engine_open(pool->engine, NULL) < 0) return NULL;
    weir__py_call call = call_of(self, WEIR__PY_OPEN);
    return weir__py_run(&call);
}

static PyObject *pool_closed(PyObject *self, void *unused) {
    (void)unused;
    PoolObject *pool = (PoolObject *)self;
    return PyBool_FromLong(pool->closed || (pool->engine->pool && weir_pool_closed(pool->engine->pool)));
}

weir_pool *weir__py_pool_handle(PyObject *object) {
    if (!PyObject_TypeCheck(object, weir__py.pool) && !PyObject_TypeCheck(object, weir__py.sync_pool)) {
        PyErr_Format(PyExc_TypeError, "a Pool or SyncPool is wanted, not %s", Py_TYPE(object)->tp_name);
        return NULL;
    }
    PoolObject *pool = (PoolObject *)object;
    if (!pool->engine->pool || pool->engine->doomed)
        weir__py_fail(WEIR_ECLOSED, pool->closed ? NULL : "the pool has not been opened yet");
    else if (pool->engine->forks != weir__py_forks())
        weir__py_fail(WEIR_EFORKED, NULL);
    else {
        if (pool->sync) weir_reactor_dispatch(pool->engine->reactor); /* no loop has done what is due */
        return pool->engine->pool;
    }
    return NULL;
}

void weir__py_pool_after(PyObject *object) {
    EngineObject *engine = ((PoolObject *)object)->engine;
    weir__py_drain(engine);
    if (!engine->loop || !engine->draining) weir__py_drain_logs(engine);
}

/* Tuples, so that nothing changes between this and weir__py_pools_after. */
int weir__py_pools(PyObject *object, weir_pool *const **out, size_t *count) {
    *out = NULL;
    *count = 0;
    if (object == Py_None) return 0;
    if (!PyTuple_Check(object)) {
        PyErr_Format(PyExc_TypeError, "a tuple of pools or None is wanted, not %s", Py_TYPE(object)->tp_name);
        return -1;
    }
    Py_ssize_t length = PyTuple_GET_SIZE(object);
    weir_pool **pools = PyMem_New(weir_pool *, length + 1);
    if (!pools) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t n = 0; n < length; n++) {
        pools[n] = weir__py_pool_handle(PyTuple_GET_ITEM(object, n));
        if (pools[n]) continue;
        PyMem_Free(pools);
        return -1;
    }
    *out = pools;
    *count = (size_t)length;
    return 0;
}

void weir__py_pools_after(PyObject *object) {
    Py_ssize_t length = object == Py_None ? 0 : PyTuple_GET_SIZE(object);
    for (Py_ssize_t n = 0; n < length; n++) weir__py_pool_after(PyTuple_GET_ITEM(object, n));
}

/* ---- the end ---- */

static int pool_traverse(PyObject *self, visitproc visit, void *arg) {
    PoolObject *pool = (PoolObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(pool->engine);
    Py_VISIT(pool->init);
    Py_VISIT(pool->setup);
    Py_VISIT(pool->on_notice);
    Py_VISIT(pool->judge);
    Py_VISIT(pool->on_alert);
    Py_VISIT(pool->kept);
    Py_VISIT(pool->codecs.list);
    Py_VISIT(pool->codecs.encoders);
    return 0;
}

static int pool_clear(PyObject *self) {
    PoolObject *pool = (PoolObject *)self;
    Py_CLEAR(pool->init);
    Py_CLEAR(pool->setup);
    Py_CLEAR(pool->on_notice);
    Py_CLEAR(pool->judge);
    Py_CLEAR(pool->on_alert);
    Py_CLEAR(pool->codecs.list);
    Py_CLEAR(pool->codecs.encoders);
    return 0;
}

static void pool_finalize(PyObject *self) {
    PoolObject *pool = (PoolObject *)self;
    EngineObject *engine = pool->engine;
    if (!engine) return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    int rc = 0;
    if (!pool->begun && !pool->closed && !pool->sync)
        rc = PyErr_WarnEx(PyExc_RuntimeWarning, "create_pool() was never awaited", 1);
    bool open =
        engine->pool && !pool->closed && engine->forks == weir__py_forks() && !weir_pool_closed(engine->pool);
    if (open) rc = PyErr_ResourceWarning(self, 1, "the pool %s was not closed", weir_pool_name(engine->pool));
    if (rc < 0) PyErr_WriteUnraisable(self);
    weir__py_engine_shut(engine);
    PyErr_Restore(type, value, traceback);
}

static void pool_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PoolObject *pool = (PoolObject *)self;
    if (PyObject_CallFinalizerFromDealloc(self) < 0) return;
    PyObject_GC_UnTrack(self);
    if (pool->weak) PyObject_ClearWeakRefs(self);
    if (pool->engine) {
        weir__py_engine_shut(pool->engine);
        pool->engine->owner = NULL;
    }
    Py_CLEAR(pool->engine);
    pool_clear(self);
    PyMem_Free(pool->settings);
    PyMem_Free(pool->codec_array);
    Py_CLEAR(pool->kept);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the types ---- */

#define FAST(function) ((PyCFunction)(void (*)(void))function)
#define FAST_FLAGS (METH_FASTCALL | METH_KEYWORDS)
#define READS                                                                                                \
    "\nreadonly: it only reads, and the database refuses it otherwise. PostgreSQL: SELECT, VALUES, TABLE, "  \
    "WITH, SHOW or\nEXPLAIN; with the option pipeline up to eight such statements, of any callers, share a " \
    "transaction of the server's:\nthey see the same now(), and their locks last until the last of them is " \
    "done."
#define BORROWS                                                                                              \
    "Each loop borrows a connection, and gives it back when it ends or is left. It is a transaction of its " \
    "own, which\ncommits at the end of the rows, and is rolled back when the loop is left before.\n\n"
#define COMMON                                                                                               \
    {"execute", FAST(pool_execute), FAST_FLAGS,                                                              \
     WEIR__PY_DOC_EXECUTE(", readonly=False", WEIR__PY_DOC_POOL_TIME, READS)},                               \
        {"executemany", FAST(pool_executemany), FAST_FLAGS,                                                  \
         WEIR__PY_DOC_EXECUTEMANY(WEIR__PY_DOC_POOL_TIME)},                                                  \
        {"fetch", FAST(pool_fetch), FAST_FLAGS,                                                              \
         WEIR__PY_DOC_FETCH(", readonly=False", WEIR__PY_DOC_POOL_TIME, READS)},                             \
        {"fetchrow", FAST(pool_fetchrow), FAST_FLAGS,                                                        \
         WEIR__PY_DOC_FETCHROW(", readonly=False", WEIR__PY_DOC_POOL_TIME, READS)},                          \
        {"fetchval", FAST(pool_fetchval), FAST_FLAGS,                                                        \
         WEIR__PY_DOC_FETCHVAL(", readonly=False", WEIR__PY_DOC_POOL_TIME, READS)},                          \
        {"execute_script", FAST(pool_execute_script), FAST_FLAGS,                                            \
         WEIR__PY_DOC_SCRIPT(WEIR__PY_DOC_POOL_TIME)},                                                       \
        {"session", FAST(pool_session), FAST_FLAGS,                                                          \
         "session($self, /, *, isolation=None, readonly=False, deferrable=False, checkout_timeout=...,\n"    \
         "        timeout=..., reset=None)\n--\n\n"                                                          \
         "A context manager that lends a connection in a transaction: commits on a clean exit, rolls back "  \
         "on an\n"                                                                                           \
         "exception. BEGIN travels with the first statement; unused, nothing is sent.\n\n"                   \
         "isolation: \"read uncommitted\", \"read committed\", \"repeatable read\" or \"serializable\"; "    \
         "None is the\n"                                                                                     \
         "database's default. deferrable: PostgreSQL, with serializable and readonly.\n"                     \
         "checkout_timeout: seconds to wait for a connection; None is without limit, omitted is the pool's " \
         "option.\n"                                                                                         \
         "timeout: seconds for the whole loan; None or omitted is without limit.\n"                          \
         "reset: \"auto\", \"always\" or \"never\" for this loan; None is the pool's option.\n"              \
         "CheckoutTimeout, TooManyWaiting, ConnectError, PoolClosed; SessionTimeout."},                      \
        {"transaction", FAST(pool_transaction), FAST_FLAGS,                                                  \
         "transaction($self, statements, /, *, isolation=None, readonly=False, deferrable=False, "           \
         "timeout=...)\n--\n\n"                                                                              \
         "Runs statements in a transaction of their own, sent as a whole, BEGIN to COMMIT, in one round "    \
         "trip, and gives\n"                                                                                 \
         "the list of what they gave: a list of Record where a statement has columns, else its command "     \
         "tag.\n\n"                                                                                          \
         "statements: an iterable; each is a str, or a tuple of a str and its parameters. When one fails, "  \
         "its error is\n"                                                                                    \
         "raised and nothing has changed; COMMIT, ROLLBACK, SAVEPOINT and their kind are refused.\n"         \
         "isolation, readonly, deferrable: as session() has them.\n"                                         \
         "timeout: seconds over waiting and running; None is without limit, omitted is the pool's options. " \
         "OutcomeUnknown\n"                                                                                  \
         "when COMMIT was sent and there was no answer, OutcomeTimeout, which is one, when none came in "    \
         "time."},                                                                                           \
        {"stream", FAST(pool_stream), FAST_FLAGS, WEIR__PY_DOC_STREAM("for", BORROWS)},                      \
        {"_listen", weir__py_listen, METH_VARARGS, NULL},                                                    \
        {"_listener_change", weir__py_listener_change, METH_VARARGS, NULL},                                  \
        {"_listener_confirm", weir__py_listener_confirm, METH_O, NULL},                                      \
        {"_listener_wait", weir__py_listener_wait, METH_VARARGS, NULL},                                      \
        {"_listener_take", weir__py_listener_take, METH_O, NULL},                                            \
        {"_listener_close", weir__py_listener_close, METH_O, NULL}, {"_borrow", pool_borrow, METH_O, NULL},  \
        {"_sleep", pool_sleep, METH_O, NULL}, {"_check_grace", pool_check_grace, METH_O, NULL},              \
        {"_holders", weir__py_holders, METH_O, NULL}, {"_health", weir__py_health, METH_NOARGS, NULL},       \
        {"_health_history", (PyCFunction)(void (*)(void))weir__py_health_history,                            \
         METH_VARARGS | METH_KEYWORDS, NULL},                                                                \
        {"check_health", FAST(pool_check_health), FAST_FLAGS,                                                \
         "check_health($self, /, *, timeout=...)\n--\n\n"                                                    \
         "Runs the option health_check_query now, as a statement of a caller's own, and gives health().\n\n" \
         "It waits in line for a connection, which is made if there is none. That it failed is no "          \
         "exception, but told\nin what it gives.\n\n"                                                        \
         "timeout: seconds over waiting and asking; None is without limit, omitted is the option "           \
         "health_check_timeout."},                                                                           \
        {"_alerts", weir__py_alerts, METH_O, NULL},                                                          \
        {"_slow_queries", weir__py_slow_queries, METH_NOARGS, NULL},                                         \
        {"_history", weir__py_history, METH_VARARGS, NULL},                                                  \
        {"connection", FAST(pool_connection), FAST_FLAGS,                                                    \
         "connection($self, /, *, checkout_timeout=..., reset=None)\n--\n\n"                                 \
         "A context manager that lends a connection in autocommit.\n\n"                                      \
         "checkout_timeout: seconds to wait for it; None is without limit, omitted is the pool's option.\n"  \
         "reset: \"auto\", \"always\" or \"never\" for this loan; None is the pool's option."},              \
        {"drain", FAST(pool_drain), FAST_FLAGS,                                                              \
         "drain($self, /, *, grace=...)\n--\n\n"                                                             \
         "Closes the pool as close() does, but serves those who wait for a connection already, too.\n\n"     \
         "For the end of a process, which what has begun should survive: statements that run, loans that "   \
         "are "                                                                                              \
         "out, and\ncallers in the queue go on; new ones get PoolClosed.\n\n"                                \
         "grace: seconds for all of it, as for close()."},                                                   \
    {                                                                                                        \
        "close", FAST(pool_close), FAST_FLAGS,                                                               \
            "close($self, /, *, grace=...)\n--\n\n"                                                          \
            "Refuses new callers, lets those who hold a connection finish, then closes everything.\n\n"      \
            "grace: seconds that they get; None is without limit, 0 is none, omitted is the option "         \
            "close_timeout.\n"                                                                               \
            "Closing twice is no error; a second close with a shorter grace hastens the first."              \
    }
static PyMethodDef async_methods[] = {COMMON,
                                      {"__aenter__", pool_aenter, METH_NOARGS, NULL},
                                      {"__aexit__", FAST(pool_aexit), METH_FASTCALL, NULL},
                                      {0}};
static PyMethodDef sync_methods[] = {COMMON, {"_open", pool_open, METH_NOARGS, "Opens the pool."}, {0}};
static PyGetSetDef fields[] = {{"closed", pool_closed, NULL,
                                "True once close() or drain() has been called, or opening has failed.", NULL},
                               {0}};
static PyMemberDef members[] = {
    {"_on_alert", T_OBJECT, offsetof(PoolObject, on_alert), 0, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PoolObject, weak), READONLY, NULL},
    {0}};

static PyTypeObject *add_type(PyObject *module, const char *name, PyMethodDef *methods, PyType_Slot await) {
    PyType_Slot slots[] = {{Py_tp_doc, "The hot half of a pool. Internal."},
                           {Py_tp_new, pool_new},
                           {Py_tp_traverse, pool_traverse},
                           {Py_tp_clear, pool_clear},
                           {Py_tp_finalize, pool_finalize},
                           {Py_tp_dealloc, pool_dealloc},
                           {Py_tp_methods, methods},
                           {Py_tp_members, members},
                           {Py_tp_getset, fields},
                           await,
                           {0, NULL}};
    PyType_Spec spec = {
        name, sizeof(PoolObject), 0,
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_BASETYPE, slots};
    return weir__py_type(module, &spec, NULL);
}

int weir__py_pool_types(PyObject *module) {
    weir__py.pool =
        add_type(module, "weirpool._core.Pool", async_methods, (PyType_Slot){Py_am_await, pool_await});
    weir__py.sync_pool = add_type(module, "weirpool._core.SyncPool", sync_methods, (PyType_Slot){0, NULL});
    return weir__py.pool && weir__py.sync_pool ? 0 : -1;
}
