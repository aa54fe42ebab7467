/*
 * pool.session(), pool.connection() and connection.transaction(): context managers. An asynchronous one is
 * itself what is awaited, on the way in and again on the way out, so that an unused session makes one object
 * and no turn of the loop.
 */
#include "weir_py.h"

#if PY_VERSION_HEX < 0x030b0000
#include <frameobject.h>
#endif

/* ---- arguments ---- */

/* isolation, readonly, deferrable. */
static int parse_text(const char *name, PyObject *value, const char **out, PyObject **owner) {
    if (!value || value == Py_None) return 0;
    if (!PyUnicode_Check(value)) {
        weir__py_fail(WEIR_EINVAL, "%s must be a str or None, not %s", name, Py_TYPE(value)->tp_name);
        return -1;
    }
    if (!(*out = weir__py_text(name, value))) return -1;
    *owner = Py_NewRef(value);
    return 0;
}

int weir__py_begin(PyObject *const values[3], weir_transaction *begin, PyObject **owner) {
    if (parse_text("isolation", values[0], &begin->isolation, owner) < 0) return -1;
    if (weir__py_flag("readonly", values[1], &begin->readonly) < 0) return -1;
    return weir__py_flag("deferrable", values[2], &begin->deferrable);
}

/* Lines that were looked up before: finding one walks the function's whole line table, which takes
 * microseconds. */
#define LINES_KEPT 256 /* a power of two */
static struct {
    PyObject *code; /* owned, so that no other can have its address */
    int instruction, line;
} lines[LINES_KEPT];

static int instruction_of(PyFrameObject *frame) {
#if PY_VERSION_HEX >= 0x030b0000
    return PyFrame_GetLasti(frame);
#else
    return frame->f_lasti;
#endif
}

static int line_of(PyFrameObject *frame, PyObject *code) {
    int instruction = instruction_of(frame);
    size_t place = ((uintptr_t)code >> 5 ^ (unsigned)instruction) & (LINES_KEPT - 1);
    if (lines[place].code == code && lines[place].instruction == instruction) return lines[place].line;
    PyObject *before = lines[place].code;
    lines[place].code = Py_NewRef(code);
    lines[place].instruction = instruction;
    int line = lines[place].line = PyFrame_GetLineNumber(frame);
    Py_XDECREF(before); /* last: it may run anything */
    return line;
}

/* Takes over the reference of the code. */
static void note_code(CheckoutObject *checkout, PyCodeObject *code) {
    Py_XSETREF(checkout->code, (PyObject *)code);
#if PY_VERSION_HEX >= 0x030b0000
    checkout->how.function = PyUnicode_AsUTF8(code->co_qualname);
#else
    checkout->how.function = PyUnicode_AsUTF8(code->co_name);
#endif
    checkout->how.file = PyUnicode_AsUTF8(code->co_filename);
    if (!checkout->how.function || !checkout->how.file) PyErr_Clear(); /* a name without UTF-8 form */
}

/* Now and then all of them. */
static void note_stack(CheckoutObject *checkout) {
    weir_pool *pool = checkout->operation.call.pool->engine->pool;
    if (!pool || !weir_pool_wants_stack(pool)) return;
    checkout->stack = weir__py_stack();
    checkout->how.stack = checkout->stack ? PyUnicode_AsUTF8(checkout->stack) : NULL;
    if (!checkout->how.stack) PyErr_Clear();
}

/* Where the package's own files are, with the slash behind it; -1 unknown. */
static Py_ssize_t folder(const char **path) {
    static PyObject *hook;
    PyObject *function = weir__py_lazy(&hook, "weirpool._hooks", "through");
    PyCodeObject *code = function ? (PyCodeObject *)PyFunction_GetCode(function) : NULL;
    Py_XINCREF((PyObject *)code); /* for good: the path is its */
    *path = code ? PyUnicode_AsUTF8(code->co_filename) : NULL;
    const char *end = *path ? strrchr(*path, '/') : NULL;
    if (!*path) PyErr_Clear();
    return end ? end + 1 - *path : -1;
}

static bool is_ours(PyFrameObject *frame) {
    static const char *path;
    static Py_ssize_t length;
    if (!path) length = folder(&path);
    if (!path || length < 0) return false;
    PyCodeObject *code = PyFrame_GetCode(frame);
    const char *file = PyUnicode_AsUTF8(code->co_filename);
    if (!file) PyErr_Clear();
    bool ours = file && strncmp(file, path, (size_t)length) == 0;
    Py_DECREF((PyObject *)code);
    return ours;
}

PyFrameObject *weir__py_caller(void) {
    PyFrameObject *frame = (PyFrameObject *)Py_XNewRef((PyObject *)PyEval_GetFrame());
    while (frame && is_ours(frame)) {
        PyFrameObject *outer = PyFrame_GetBack(frame);
        Py_DECREF((PyObject *)frame);
        frame = outer;
    }
    return frame;
}

/* Who asks: the frame of the caller. */
static void note_caller(CheckoutObject *checkout) {
    PyFrameObject *frame = weir__py_caller();
    if (!frame) return;
    note_code(checkout, PyFrame_GetCode(frame));
    checkout->how.line = line_of(frame, checkout->code);
    Py_DECREF((PyObject *)frame);
}

int weir__py_note_function(CheckoutObject *checkout, PyObject *function) {
    if (!PyFunction_Check(function)) return 0;
    PyCodeObject *code = (PyCodeObject *)Py_NewRef(PyFunction_GetCode(function));
    note_code(checkout, code);
    checkout->how.line = code->co_firstlineno;
    return 0;
}

static CheckoutObject *make(PyTypeObject *type, weir__py_kind kind, PoolObject *pool, SessionObject *session,
                            bool call) {
    CheckoutObject *checkout = PyObject_GC_New(CheckoutObject, type);
    if (!checkout) return NULL;
    memset((char *)checkout + sizeof(PyObject), 0, sizeof *checkout - sizeof(PyObject));
    weir_checkout_init(&checkout->how);
    checkout->lent = (SessionObject *)Py_XNewRef((PyObject *)session);
    if (kind == WEIR__PY_ACQUIRE) {
        checkout->operation.call.kind = kind;
        checkout->operation.call.checkout = checkout;
        checkout->operation.call.pool = (PoolObject *)Py_NewRef((PyObject *)pool);
        checkout->how.setup = pool->setup != NULL;
        checkout->how.call = call;
        /* Not when it is entered: that may be in a task of its own, whose context nobody else sees. But for a
           call's, which is used nowhere else. */
        if (!call) checkout->how.owner = weir__py_new_owner(pool->engine, &checkout->how.inside);
    }
    checkout->operation.state = WEIR__PY_FINISHED; /* until it is whole: nothing is to be awaited as yet */
    PyObject_GC_Track(checkout);
    return checkout;
}

static CheckoutObject *make_acquire(PoolObject *pool, bool call) {
    return make(pool->sync ? weir__py.sync_checkout : weir__py.checkout, WEIR__PY_ACQUIRE, pool, NULL, call);
}

/* The checkout, ready to be entered; not well: drops it. */
static PyObject *whole(CheckoutObject *checkout, bool well) {
    if (!well) {
        Py_DECREF((PyObject *)checkout);
        return NULL;
    }
    note_caller(checkout);
    note_stack(checkout);
    checkout->operation.state = WEIR__PY_NEW;
    return (PyObject *)checkout;
}

PyObject *weir__py_checkout(PoolObject *pool, bool transaction, PyObject *const *arguments, Py_ssize_t count,
                            PyObject *kwnames) {
    const char *function = transaction ? "session" : "connection";
    PyObject *const names[] = {weir__py.checkout_timeout, weir__py.reset,    weir__py.timeout,
                               weir__py.isolation,        weir__py.readonly, weir__py.deferrable};
    PyObject *values[6] = {NULL};
    if (count) {
        PyErr_Format(PyExc_TypeError, "%s() takes keyword arguments only", function);
        return NULL;
    }
    if (weir__py_keywords(function, arguments, kwnames, names, values, transaction ? 6 : 2) < 0) return NULL;
    CheckoutObject *checkout = make_acquire(pool, false);
    if (!checkout) return NULL;
    weir_checkout *how = &checkout->how;
    how->transaction = transaction;
    return whole(checkout, weir__py_milliseconds("checkout_timeout", values[0], false,
                                                 &how->checkout_timeout_ms) == 0 &&
                               parse_text("reset", values[1], &how->reset, &checkout->reset) == 0 &&
                               (!transaction || weir__py_milliseconds("timeout", values[2], false,
                                                                      &how->session_timeout_ms) == 0) &&
                               weir__py_begin(values + 3, &how->begin, &checkout->isolation) == 0);
}

PyObject *weir__py_borrow(PoolObject *pool, PyObject *timeout) {
    CheckoutObject *checkout = make_acquire(pool, true);
    if (!checkout) return NULL;
    return whole(checkout,
                 weir__py_milliseconds("timeout", timeout, false, &checkout->how.session_timeout_ms) == 0);
}

PyObject *weir__py_transaction(SessionObject *session, PyObject *const *arguments, Py_ssize_t count,
                               PyObject *kwnames) {
    PyObject *const names[] = {weir__py.isolation, weir__py.readonly, weir__py.deferrable};
    PyObject *values[3];
    if (count) {
        PyErr_SetString(PyExc_TypeError, "transaction() takes keyword arguments only");
        return NULL;
    }
    if (weir__py_keywords("transaction", arguments, kwnames, names, values, 3) < 0) return NULL;
    bool sync = session->pool->sync;
    CheckoutObject *checkout =
        make(sync ? weir__py.sync_transaction : weir__py.transaction, WEIR__PY_COMMIT, NULL, session, false);
    if (checkout && weir__py_begin(values, &checkout->how.begin, &checkout->isolation) < 0) {
        Py_DECREF((PyObject *)checkout);
        return NULL;
    }
    return (PyObject *)checkout;
}

/* ---- entering and leaving ---- */

int weir__py_enter_once(CheckoutObject *checkout) {
    if (checkout->phase == 0) {
        checkout->phase = 1;
        return 0;
    }
    PyErr_SetString(PyExc_RuntimeError, "this context manager has been entered before; make a new one");
    return -1;
}

int weir__py_enter_transaction(CheckoutObject *checkout) {
    weir_error error = WEIR_ERROR_INIT;
    SessionObject *session = checkout->lent;
    const weir_transaction *begin = &checkout->how.begin;
    bool plain = !begin->isolation && !begin->readonly && !begin->deferrable;
    if (weir__py_enter_once(checkout) < 0) return -1;
    if (weir__py_check(session->pool) < 0) {
        checkout->phase = 0;
        return -1;
    }
    int rc = weir_session_begin(session->handle, plain ? NULL : begin, &checkout->depth, &error);
    if (rc == WEIR_OK) return 0;
    checkout->phase = 0;
    weir__py_raise(&error);
    return -1;
}

int weir__py_leave(CheckoutObject *checkout, bool failed, weir__py_call *call) {
    *call = (weir__py_call){0};
    if (checkout->phase != 1 || !checkout->lent) {
        PyErr_SetString(PyExc_RuntimeError, "this context manager is not entered");
        return -1;
    }
    checkout->phase = 2;
    SessionObject *session = checkout->lent;
    checkout->lent = NULL;
    bool whole = checkout->depth == 0; /* the loan, not a transaction in it */
    if (whole && !failed && !session->returned && checkout->how.transaction &&
        weir__py_release_unused(session)) {
        Py_DECREF((PyObject *)session);
        return 0;
    }
    if (session->returned || (whole && (failed || !checkout->how.transaction))) {
        weir__py_release(session, false); /* what is open is rolled back in the background */
        Py_DECREF((PyObject *)session);
        return 0;
    }
    call->kind = failed ? WEIR__PY_ROLLBACK : WEIR__PY_COMMIT;
    call->quiet = failed;
    call->release = whole;
    call->depth = whole ? 1 : checkout->depth;
    call->session = session;
    call->pool = (PoolObject *)Py_NewRef((PyObject *)session->pool);
    return 0;
}

static PyObject *enter(PyObject *self, PyObject *unused) {
    (void)unused;
    return weir__py_enter_once((CheckoutObject *)self) < 0 ? NULL : Py_NewRef(self);
}

static PyObject *enter_transaction(PyObject *self, PyObject *unused) {
    (void)unused;
    return weir__py_enter_transaction((CheckoutObject *)self) < 0 ? NULL : Py_NewRef(weir__py.done);
}

static PyObject *leave(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    CheckoutObject *checkout = (CheckoutObject *)self;
    OperationObject *operation = &checkout->operation;
    weir__py_call call;
    if (weir__py_leave(checkout, count > 0 && arguments[0] != Py_None, &call) < 0) return NULL;
    if (!call.pool) return Py_NewRef(weir__py.done);
    operation->call = call;
    operation->state = WEIR__PY_NEW;
    return Py_NewRef(self);
}

/* ---- the types ---- */

int weir__py_checkout_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(((CheckoutObject *)self)->lent);
    return weir__py_operation_traverse(self, visit, arg);
}

int weir__py_checkout_clear(PyObject *self) {
    weir__py_operation_clear(self);
    Py_CLEAR(((CheckoutObject *)self)->lent);
    return 0;
}

void weir__py_checkout_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    CheckoutObject *checkout = (CheckoutObject *)self;
    if (!weir__py_operation_end(&checkout->operation)) return;
    weir__py_call_clear(&checkout->operation.call);
    Py_CLEAR(checkout->lent);
    Py_CLEAR(checkout->isolation);
    Py_CLEAR(checkout->reset);
    Py_CLEAR(checkout->code);
    Py_CLEAR(checkout->stack);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Who uses what he has not entered is told so. */
static bool is_of_the_lent(const CheckoutObject *checkout, bool sync, PyObject *name) {
    PyTypeObject *const types[2][2] = {{weir__py.connection, weir__py.session},
                                       {weir__py.sync_connection, weir__py.sync_session}};
    PyTypeObject *lent = types[sync][checkout->how.transaction];
    return PyUnicode_READ_CHAR(name, 0) != '_' && PyObject_HasAttr((PyObject *)lent, name);
}

PyObject *weir__py_checkout_getattr(PyObject *self, PyObject *name) {
    PyObject *type, *error, *traceback, *value = PyObject_GenericGetAttr(self, name);
    if (value || !PyErr_ExceptionMatches(PyExc_AttributeError)) return value;
    CheckoutObject *checkout = (CheckoutObject *)self;
    bool sync = PyObject_TypeCheck(self, weir__py.sync_checkout);
    PyErr_Fetch(&type, &error, &traceback);
    bool early = is_of_the_lent(checkout, sync, name);
    PyErr_Restore(type, error, traceback);
    const char *what = checkout->how.transaction ? "session" : "connection",
               *with = sync ? "with" : "async with";
    if (early)
        PyErr_Format(PyExc_AttributeError,
                     "%U is of the %s itself, which `%s` gives: %s pool.%s() as %s:", name, what, with, with,
                     what, what);
    return NULL;
}

static PyMethodDef checkout_methods[] = {
    {"__aenter__", enter, METH_NOARGS, NULL},
    {"__aexit__", (PyCFunction)(void (*)(void))leave, METH_FASTCALL, NULL},
    {0}};
static PyType_Slot checkout_slots[] = {
    {Py_tp_doc, "A session or connection to come: to be entered by `async with`, or awaited; once."},
    {Py_tp_traverse, weir__py_checkout_traverse},
    {Py_tp_clear, weir__py_checkout_clear},
    {Py_tp_dealloc, weir__py_checkout_dealloc},
    {Py_tp_methods, checkout_methods},
    {Py_tp_getattro, weir__py_checkout_getattr},
    {0, NULL}};
static PyType_Spec checkout_spec = {"weirpool._core.Checkout", sizeof(CheckoutObject), 0,
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                                        Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                    checkout_slots};

static PyMethodDef transaction_methods[] = {
    {"__aenter__", enter_transaction, METH_NOARGS, NULL},
    {"__aexit__", (PyCFunction)(void (*)(void))leave, METH_FASTCALL, NULL},
    {0}};
static PyType_Slot transaction_slots[] = {
    {Py_tp_doc, "A transaction, or a savepoint in one: to be entered by `async with`; once."},
    {Py_tp_traverse, weir__py_checkout_traverse},
    {Py_tp_clear, weir__py_checkout_clear},
    {Py_tp_dealloc, weir__py_checkout_dealloc},
    {Py_tp_methods, transaction_methods},
    {0, NULL}};
static PyType_Spec transaction_spec = {"weirpool._core.Transaction", sizeof(CheckoutObject), 0,
                                       Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                                           Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                       transaction_slots};

int weir__py_checkout_types(PyObject *module) {
    if (!(weir__py.checkout = weir__py_type(module, &checkout_spec, weir__py.operation))) return -1;
    return (weir__py.transaction = weir__py_type(module, &transaction_spec, weir__py.operation)) ? 0 : -1;
}
