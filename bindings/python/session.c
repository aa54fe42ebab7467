/* Lent connections: what is common to all four forms, and the two that are awaited. */
#include "weir_py.h"

SessionObject *weir__py_session(PoolObject *pool, weir_session handle, bool transaction) {
    PyTypeObject *type = pool->sync ? (transaction ? weir__py.sync_session : weir__py.sync_connection)
                                    : (transaction ? weir__py.session : weir__py.connection);
    SessionObject *session = PyObject_GC_New(SessionObject, type);
    if (!session) {
        if (pool->engine->pool) weir_session_release(handle);
        return NULL;
    }
    session->pool = (PoolObject *)Py_NewRef((PyObject *)pool);
    session->handle = handle;
    session->returned = session->whole = false;
    session->pipeline = NULL;
    pool->engine->lent++;
    session->weak = NULL;
    PyObject_GC_Track(session);
    return session;
}

static void returned(SessionObject *session) {
    session->returned = true;
    session->pool->engine->lent--;
    weir__py_drain(session->pool->engine); /* it may have been granted to somebody who waits */
}

void weir__py_release(SessionObject *session, bool discard) {
    if (session->returned) return;
    if (session->pool->engine->pool) { /* else it went with its pool */
        if (discard)
            weir_session_discard(session->handle);
        else
            weir_session_release(session->handle);
    }
    returned(session);
}

bool weir__py_release_unused(SessionObject *session) {
    if (!session->pool->engine->pool || weir_session_release_unused(session->handle) != WEIR_OK) return false;
    returned(session);
    return true;
}

/* ---- methods of all forms ---- */

static PyObject *session_release(PyObject *self, PyObject *unused) {
    (void)unused;
    weir__py_release((SessionObject *)self, false);
    Py_RETURN_NONE;
}

static PyObject *session_discard(PyObject *self, PyObject *unused) {
    (void)unused;
    weir__py_release((SessionObject *)self, true);
    Py_RETURN_NONE;
}

/* Of a new connection, whose init has failed: as discard. */
static PyObject *session_init_failed(PyObject *self, PyObject *why) {
    SessionObject *session = (SessionObject *)self;
    const char *text = PyUnicode_AsUTF8(why);
    if (!text) return NULL;
    if (session->returned) Py_RETURN_NONE;
    if (session->pool->engine->pool) weir_session_init_failed(session->handle, text);
    returned(session);
    Py_RETURN_NONE;
}

static PyObject *session_transaction(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                     PyObject *kwnames) {
    return weir__py_transaction((SessionObject *)self, arguments, count, kwnames);
}

static PyObject *session_stream(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                PyObject *kwnames) {
    SessionObject *session = (SessionObject *)self;
    return weir__py_stream(session->pool, session, arguments, count, kwnames);
}

static int inspect(SessionObject *session, weir_session_info *info, weir_error *error) {
    if (session->pool->engine->pool) return weir_session_inspect(session->handle, info, error);
    return WEIR_ESTALE;
}

int weir__py_session_handle(PyObject *object, weir_session *out) {
    if (!PyObject_TypeCheck(object, weir__py.connection) &&
        !PyObject_TypeCheck(object, weir__py.sync_connection)) {
        PyErr_Format(PyExc_TypeError, "a connection or session is wanted, not %s", Py_TYPE(object)->tp_name);
        return -1;
    }
    SessionObject *session = (SessionObject *)object;
    *out = session->handle;
    if (session->pool->engine->pool) return 0;
    weir__py_fail(WEIR_ESTALE, NULL);
    return -1;
}

PyObject *weir__py_session_info(const weir_session_info *info) {
    PyObject *backend = info->backend ? PyLong_FromLong(info->backend) : Py_NewRef(Py_None);
    return Py_BuildValue("{sisNsNsNsNsd}", "depth", info->depth, "in_transaction",
                         PyBool_FromLong(info->in_transaction), "failed", PyBool_FromLong(info->failed),
                         "busy", PyBool_FromLong(info->busy), "backend", backend, "age",
                         (double)info->age_ms / 1000.0);
}

static PyObject *session_closed(PyObject *self, void *unused) {
    (void)unused;
    SessionObject *session = (SessionObject *)self;
    weir_session_info info;
    return PyBool_FromLong(session->returned || inspect(session, &info, NULL) != WEIR_OK);
}

static PyObject *session_pool(PyObject *self, void *unused) {
    (void)unused;
    return Py_NewRef((PyObject *)((SessionObject *)self)->pool);
}

static PyObject *session_repr(PyObject *self) {
    const char *name = strrchr(Py_TYPE(self)->tp_name, '.') + 1;
    SessionObject *session = (SessionObject *)self;
    weir_session_info info;
    if (session->returned || inspect(session, &info, NULL) != WEIR_OK)
        return PyUnicode_FromFormat("<%s closed>", name);
    if (!info.backend) return PyUnicode_FromFormat("<%s depth=%d>", name, info.depth);
    return PyUnicode_FromFormat("<%s backend=%d depth=%d>", name, info.backend, info.depth);
}

static int session_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((SessionObject *)self)->pool);
    Py_VISIT(((SessionObject *)self)->pipeline);
    return 0;
}

/* Nobody can return it any more. */
static void session_finalize(PyObject *self) {
    SessionObject *session = (SessionObject *)self;
    EngineObject *engine = session->pool->engine;
    weir_session_info info;
    if (session->returned || engine->forks != weir__py_forks()) return;
    if (inspect(session, &info, NULL) != WEIR_OK) return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (PyErr_ResourceWarning(self, 1, "%R was not returned to its pool; it is now", self) < 0)
        PyErr_WriteUnraisable(self);
    weir__py_release(session, false);
    PyErr_Restore(type, value, traceback);
}

static void session_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    SessionObject *session = (SessionObject *)self;
    if (!session->returned && PyObject_CallFinalizerFromDealloc(self) < 0) return;
    PyObject_GC_UnTrack(self);
    if (session->weak) PyObject_ClearWeakRefs(self);
    Py_XDECREF(session->pipeline);
    Py_DECREF((PyObject *)session->pool);
    type->tp_free(self);
    Py_DECREF(type);
}

#define FAST(function) ((PyCFunction)(void (*)(void))function)
#define FAST_FLAGS (METH_FASTCALL | METH_KEYWORDS)

static PyMethodDef lent_methods[] = {
    {"release", session_release, METH_NOARGS,
     "release($self, /)\n--\n\nGives the connection back, at once and without waiting; an open transaction "
     "is rolled\n"
     "back in the background. A second time does nothing."},
    {"discard", session_discard, METH_NOARGS,
     "discard($self, /)\n--\n\nAs release(), but the connection is closed; the pool makes another when it "
     "wants one."},
    {"transaction", FAST(session_transaction), FAST_FLAGS,
     "transaction($self, /, *, isolation=None, readonly=False, deferrable=False)\n--\n\n"
     "A context manager: a transaction, or a savepoint where one is open (which takes no options).\n\n"
     "Commits on a clean exit, rolls back on an exception. BEGIN travels with the first statement.\n"
     "isolation: \"read uncommitted\", \"read committed\", \"repeatable read\" or \"serializable\"; None is "
     "the\n"
     "database's default. deferrable: PostgreSQL, with serializable and readonly."},
    {"_init_failed", session_init_failed, METH_O, NULL},
    {"_copy_in", FAST(weir__py_copy_begin_in), FAST_FLAGS, NULL},
    {"_copy_out", FAST(weir__py_copy_begin_out), FAST_FLAGS, NULL},
    {"_copy_put", weir__py_copy_put, METH_O, NULL},
    {"_copy_end", weir__py_copy_end, METH_NOARGS, NULL},
    {"_copy_take", weir__py_copy_take, METH_NOARGS, NULL},
    {"_copy_watch", weir__py_copy_watch, METH_NOARGS, NULL},
    {"_rows_like", FAST(weir__py_copy_rows_like), FAST_FLAGS, NULL},
    {"_copy_encode", weir__py_copy_encode, METH_VARARGS, NULL},
    {"_copy_abort", weir__py_copy_abort, METH_NOARGS, NULL},
    {0}};
static PyGetSetDef lent_fields[] = {
    {"closed", session_closed, NULL, "True once the connection has been returned or cut off.", NULL},
    {"pool", session_pool, NULL, "The pool that it belongs to.", NULL},
    {0}};
static PyMemberDef lent_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(SessionObject, weak), READONLY, NULL}, {0}};

#define LIFE                                                                                                 \
    {Py_tp_traverse, session_traverse}, {Py_tp_finalize, session_finalize}, { Py_tp_dealloc, session_dealloc }
static PyType_Slot lent_slots[] = {
    {Py_tp_doc, "A lent connection: what its blocking and awaited forms share. Internal."},
    {Py_tp_repr, session_repr},
    {Py_tp_methods, lent_methods},
    {Py_tp_members, lent_members},
    {Py_tp_getset, lent_fields},
    LIFE,
    {0, NULL}};
#define FLAGS                                                                                                \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |                                    \
     Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_BASETYPE)
static PyType_Spec lent_spec = {"weirpool._core.Lent", sizeof(SessionObject), 0, FLAGS, lent_slots};

/* ---- statements ---- */

/* One method of each kind: the blocking form runs, the other gives an awaitable. */
#define STATEMENT(name, KIND)                                                                                \
    static PyObject *async_##name(PyObject *self, PyObject *const *arguments, Py_ssize_t count,              \
                                  PyObject *kwnames) {                                                       \
        weir__py_call call = {.kind = KIND};                                                                 \
        SessionObject *session = (SessionObject *)self;                                                      \
        if (weir__py_parse(&call, session->pool, session, arguments, count, kwnames) < 0) return NULL;       \
        return session->pipeline ? weir__py_operation_started(&call) : weir__py_operation(&call);            \
    }                                                                                                        \
    static PyObject *sync_##name(PyObject *self, PyObject *const *arguments, Py_ssize_t count,               \
                                 PyObject *kwnames) {                                                        \
        weir__py_call call = {.kind = KIND};                                                                 \
        SessionObject *session = (SessionObject *)self;                                                      \
        if (weir__py_parse(&call, session->pool, session, arguments, count, kwnames) < 0) return NULL;       \
        return weir__py_run(&call);                                                                          \
    }
STATEMENT(execute, WEIR__PY_EXECUTE)
STATEMENT(executemany, WEIR__PY_EXECUTEMANY)
STATEMENT(fetch, WEIR__PY_FETCH)
STATEMENT(fetchrow, WEIR__PY_FETCHROW)
STATEMENT(fetchval, WEIR__PY_FETCHVAL)
STATEMENT(either, WEIR__PY_EITHER)
STATEMENT(execute_script, WEIR__PY_SCRIPT)
#undef STATEMENT

static weir__py_call end_of(PyObject *self, weir__py_kind kind) {
    SessionObject *session = (SessionObject *)Py_NewRef(self);
    return (weir__py_call){.kind = kind,
                           .depth = 1,
                           .session = session,
                           .pool = (PoolObject *)Py_NewRef((PyObject *)session->pool)};
}

static bool may_commit(PyObject *self) {
    if (!((SessionObject *)self)->whole) return true;
    weir__py_fail(WEIR_ETRANSACTION,
                  "run() commits when its function has returned: leave that to it, or use session()");
    return false;
}

static PyObject *async_pipeline(PyObject *self, PyObject *unused) {
    static PyObject *type;
    (void)unused;
    PyObject *pipeline = weir__py_lazy(&type, "weirpool._run", "Pipeline");
    return pipeline ? PyObject_CallOneArg(pipeline, self) : NULL;
}

/* True: statements are started when they are asked for, from here on, and the list of them is given. False:
 * no longer. */
static PyObject *async_set_pipeline(PyObject *self, PyObject *on) {
    SessionObject *session = (SessionObject *)self;
    weir_error error = WEIR_ERROR_INIT;
    if (on != Py_True) {
        Py_CLEAR(session->pipeline);
        if (!session->returned && session->pool->engine->pool)
            weir_session_pipeline(session->handle, false, NULL);
        Py_RETURN_NONE;
    }
    if (weir__py_check(session->pool) < 0) return NULL;
    if (session->pipeline) return weir__py_fail(WEIR_EBUSY, "this connection pipelines already");
    int rc = weir_session_pipeline(session->handle, true, &error);
    if (rc != WEIR_OK)
        weir__py_raise(&error);
    else
        session->pipeline = PyList_New(0);
    return Py_XNewRef(session->pipeline);
}

static PyObject *async_commit(PyObject *self, PyObject *unused) {
    (void)unused;
    if (!may_commit(self)) return NULL;
    weir__py_call call = end_of(self, WEIR__PY_COMMIT);
    return weir__py_operation(&call);
}

static PyObject *async_rollback(PyObject *self, PyObject *unused) {
    (void)unused;
    weir__py_call call = end_of(self, WEIR__PY_ROLLBACK);
    return weir__py_operation(&call);
}

static PyObject *sync_commit(PyObject *self, PyObject *unused) {
    (void)unused;
    if (!may_commit(self)) return NULL;
    weir__py_call call = end_of(self, WEIR__PY_COMMIT);
    return weir__py_run(&call);
}

static PyObject *sync_rollback(PyObject *self, PyObject *unused) {
    (void)unused;
    weir__py_call call = end_of(self, WEIR__PY_ROLLBACK);
    return weir__py_run(&call);
}

/* ---- the types ---- */

#define STATEMENTS(form, loop)                                                                               \
    {"execute", FAST(form##_execute), FAST_FLAGS, WEIR__PY_DOC_EXECUTE("", WEIR__PY_DOC_OWN_TIME, "")},      \
        {"executemany", FAST(form##_executemany), FAST_FLAGS,                                                \
         WEIR__PY_DOC_EXECUTEMANY(WEIR__PY_DOC_OWN_TIME)},                                                   \
        {"fetch", FAST(form##_fetch), FAST_FLAGS, WEIR__PY_DOC_FETCH("", WEIR__PY_DOC_OWN_TIME, "")},        \
        {"fetchrow", FAST(form##_fetchrow), FAST_FLAGS,                                                      \
         WEIR__PY_DOC_FETCHROW("", WEIR__PY_DOC_OWN_TIME, "")},                                              \
        {"_either", FAST(form##_either), FAST_FLAGS, NULL},                                                  \
        {"fetchval", FAST(form##_fetchval), FAST_FLAGS,                                                      \
         WEIR__PY_DOC_FETCHVAL("", WEIR__PY_DOC_OWN_TIME, "")},                                              \
        {"stream", FAST(session_stream), FAST_FLAGS, WEIR__PY_DOC_STREAM(loop, OWN_TRANSACTION)},            \
        {"execute_script", FAST(form##_execute_script), FAST_FLAGS,                                          \
         WEIR__PY_DOC_SCRIPT(WEIR__PY_DOC_OWN_TIME)},                                                        \
        {"copy_in", FAST(weir__py_copy_in), FAST_FLAGS, WEIR__PY_DOC_COPY_IN},                               \
        {"copy_records", FAST(weir__py_copy_records), FAST_FLAGS, WEIR__PY_DOC_COPY_RECORDS},                \
        {"copy_out", FAST(weir__py_copy_out), FAST_FLAGS, WEIR__PY_DOC_COPY_OUT}, {                          \
        0                                                                                                    \
    }
#define PIPELINE                                                                                             \
    {"pipeline", async_pipeline, METH_NOARGS,                                                                \
     "pipeline($self, /)\n--\n\n"                                                                            \
     "A context manager: `async with connection.pipeline():` has statements in it sent as soon as they are " \
     "asked for,\n"                                                                                          \
     "one behind the other, without waiting for the answers to those before them.\n\n"                       \
     "What execute() and its family give may be awaited inside, in any order, after the block, or never: "   \
     "the end of the\n"                                                                                      \
     "block waits for all of them and raises the first error. In a transaction a failed statement has "      \
     "those behind it\n"                                                                                     \
     "fail, too (InFailedSqlTransaction), and BEGIN travels with the first; outside of one each stands for " \
     "itself. Leaving\n"                                                                                     \
     "the block by an exception cancels what has not been answered. Transactions and savepoints begin and "  \
     "end only when\n"                                                                                       \
     "all is answered. SQLite runs them one after the other, too."},                                         \
        {"_set_pipeline", async_set_pipeline, METH_O, NULL},
#define ENDS(form)                                                                                           \
    {"commit", form##_commit, METH_NOARGS,                                                                   \
     "commit($self, /)\n--\n\nCommits the session's transaction; the next statement begins another.\n\n"     \
     "TransactionRolledBack: the database rolled back instead. OutcomeUnknown: COMMIT was sent and not "     \
     "answered;\n"                                                                                           \
     "OutcomeTimeout, which is one, when its time was up."},                                                 \
        {"rollback", form##_rollback, METH_NOARGS,                                                           \
         "rollback($self, /)\n--\n\nRolls the session's transaction back; the next statement begins "        \
         "another."},                                                                                        \
    {                                                                                                        \
        0                                                                                                    \
    }
#define OWN_TRANSACTION                                                                                      \
    "It ends with the transaction in which it began. Outside of one it has a transaction of its own, which " \
    "commits at\nthe end of the rows, and the connection runs nothing else meanwhile (SessionBusy); "        \
    "inside, "                                                                                               \
    "other statements\nand streams may run between the rows.\n\n"
static PyMethodDef async_statements[] = {PIPELINE STATEMENTS(async, "async for")},
                   sync_statements[] = {STATEMENTS(sync, "for")};
static PyMethodDef async_ends[] = {ENDS(async)}, sync_ends[] = {ENDS(sync)};

static PyTypeObject *add_type(PyObject *module, const char *name, PyTypeObject *base, PyMethodDef *methods,
                              const char *doc) {
    PyType_Slot slots[] = {{Py_tp_doc, (void *)doc}, {Py_tp_methods, methods}, LIFE, {0, NULL}};
    PyType_Spec spec = {name, sizeof(SessionObject), 0, FLAGS, slots};
    return weir__py_type(module, &spec, base);
}

/* The property that is the wrapper's function. */
static int add_info(PyObject *module, PyTypeObject *lent) {
    static const char doc[] =
        "The state of the loan, a dict: depth (transactions and savepoints open), in_transaction, failed (it "
        "can only be\n"
        "rolled back), busy, backend (the server's process id; None for SQLite), age (seconds since it was "
        "lent).\n"
        "SessionClosed after the return.";
    PyObject *get = PyObject_GetAttrString(module, "session_inspect");
    PyObject *info =
        get ? PyObject_CallFunction((PyObject *)&PyProperty_Type, "OOOs", get, Py_None, Py_None, doc) : NULL;
    int rc = info ? PyDict_SetItemString(lent->tp_dict, "info", info) : -1;
    Py_XDECREF(info);
    Py_XDECREF(get);
    return rc;
}

int weir__py_session_types(PyObject *module) {
    PyTypeObject *lent = weir__py_type(module, &lent_spec, NULL);
    if (!lent || add_info(module, lent) < 0) return -1;
    weir__py.connection =
        add_type(module, "weirpool.Connection", lent, async_statements,
                 "A connection of an asynchronous pool, lent by Pool.connection(). In autocommit;\n"
                 "transaction() begins a transaction. For one task at a time.");
    weir__py.sync_connection =
        add_type(module, "weirpool.SyncConnection", lent, sync_statements,
                 "A connection of a blocking pool, lent by SyncPool.connection(). In autocommit;\n"
                 "transaction() begins a transaction. For one thread at a time.");
    Py_DECREF(lent);
    if (!weir__py.connection || !weir__py.sync_connection) return -1;
    weir__py.session =
        add_type(module, "weirpool.Session", weir__py.connection, async_ends,
                 "A connection in a transaction, lent by Pool.session(). For one task at a time.");
    weir__py.sync_session =
        add_type(module, "weirpool.SyncSession", weir__py.sync_connection, sync_ends,
                 "A connection in a transaction, lent by SyncPool.session(). For one thread at a time.");
    return weir__py.session && weir__py.sync_session ? 0 : -1;
}
