/*
 * Circuit breakers: one that stands alone, or, without memory of its own, one of a pool's. A permit is an
 * object, so that it may be recorded by another task or thread than the one that acquired it. What is seldom
 * called comes through the wrapper; the rest of a breaker's methods is in weirpool/_breaker.py.
 */
#include "weir_py.h"

typedef struct BreakerObject {
    PyObject ob_base;
    weir_breaker *own; /* NULL: it is the pool's */
    PoolObject *pool;
    weir_breaker_role role;
} BreakerObject;

typedef struct PermitObject {
    PyObject ob_base;
    weir_permit permit;
} PermitObject;

static PyTypeObject *breaker_type, *permit_type;

weir_breaker *weir__py_breaker_handle(PyObject *object) {
    if (!PyObject_TypeCheck(object, breaker_type)) {
        PyErr_Format(PyExc_TypeError, "a breaker is wanted, not %s", Py_TYPE(object)->tp_name);
        return NULL;
    }
    BreakerObject *breaker = (BreakerObject *)object;
    if (breaker->own) return breaker->own;
    weir_pool *pool = weir__py_pool_handle((PyObject *)breaker->pool);
    return pool ? weir_pool_breaker(pool, 0, breaker->role) : NULL;
}

void weir__py_breaker_after(PyObject *object) {
    BreakerObject *breaker = (BreakerObject *)object;
    if (breaker->pool) weir__py_pool_after((PyObject *)breaker->pool);
}

/* ---- making one */

/* -1 with an exception. */
static int make(BreakerObject *self, PyObject *given) {
    PyObject *name, *object;
    weir_breaker_options options;
    weir_error error = WEIR_ERROR_INIT;
    weir_value value;
    weir_breaker_options_init(&options);
    for (Py_ssize_t place = 0; PyDict_Next(given, &place, &name, &object);) {
        const char *text = weir__py_text("the name of an option", name);
        if (!text || weir__py_option_value(text, object, &value) < 0) return -1;
        if (weir_breaker_options_set(&options, text, &value, &error) == WEIR_OK) continue;
        weir__py_raise(&error);
        return -1;
    }
    if (weir_breaker_new(&options, &self->own, &error) == WEIR_OK) return 0;
    weir__py_raise(&error);
    return -1;
}

static PyObject *breaker_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"options", "pool", "role", NULL};
    PyObject *options, *pool = Py_None;
    int role = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O!|Oi:Breaker", names, &PyDict_Type, &options,
                                     &pool, &role))
        return NULL;
    bool of_pool = PyObject_TypeCheck(pool, weir__py.pool) || PyObject_TypeCheck(pool, weir__py.sync_pool);
    if (pool != Py_None && !of_pool) {
        PyErr_SetString(PyExc_TypeError, "a breaker is of a Pool or SyncPool, or of none");
        return NULL;
    }
    BreakerObject *self = (BreakerObject *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->role = role ? WEIR_BREAKER_QUERIES : WEIR_BREAKER_CONNECTS;
    if (of_pool)
        self->pool = (PoolObject *)Py_NewRef(pool);
    else if (make(self, options) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int breaker_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((BreakerObject *)self)->pool);
    return 0;
}

static int breaker_clear(PyObject *self) {
    Py_CLEAR(((BreakerObject *)self)->pool);
    return 0;
}

static void breaker_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    weir_breaker_free(((BreakerObject *)self)->own);
    breaker_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- calls */

static PyObject *breaker_acquire(PyObject *self, PyObject *unused) {
    (void)unused;
    weir_breaker *breaker = weir__py_breaker_handle(self);
    PermitObject *permit = breaker ? (PermitObject *)permit_type->tp_alloc(permit_type, 0) : NULL;
    weir_error error = WEIR_ERROR_INIT;
    if (!permit) return NULL;
    int rc = weir_breaker_acquire(breaker, &permit->permit, &error);
    weir__py_breaker_after(self);
    if (rc == WEIR_OK) return (PyObject *)permit;
    Py_DECREF((PyObject *)permit);
    weir__py_raise(&error);
    return NULL;
}

/* Whether the core's table knows it: it has a code, or a SQLSTATE. -1 with an exception. */
static int is_known(PyObject *exception) {
    int ours = weir__py_is_error(exception);
    if (ours <= 0) return ours;
    PyObject *plain = PyObject_GetAttrString(exception, "_is_plain");
    int known = plain ? plain != Py_True : -1;
    Py_XDECREF(plain);
    return known;
}

/* The error of an exception; of one that is not the core's, its kind stands for it. -1 with an exception. */
static int read_exception(PyObject *exception, weir_error *error, PyObject **keep) {
    int known = is_known(exception);
    if (known > 0) return weir__py_read_error(exception, error, keep);
    error->message = Py_TYPE(exception)->tp_name;
    return known;
}

weir_verdict weir__py_verdict(PyObject *said) {
    if (said == Py_True) return WEIR_VERDICT_RECORD;
    return said == Py_False ? WEIR_VERDICT_IGNORE : WEIR_VERDICT_NONE;
}

/* _record(permit, exception, verdict): None for success; a verdict is True, to be recorded, False, to be
 * ignored, or None. What is no Exception (a task's cancellation, Ctrl-C) cancels. */
static PyObject *breaker_record(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    weir_breaker *breaker = weir__py_breaker_handle(self);
    if (!breaker) return NULL;
    if (count != 3 || !Py_IS_TYPE(arguments[0], permit_type)) {
        PyErr_SetString(PyExc_TypeError, "_record() takes a permit, an exception or None, and a verdict");
        return NULL;
    }
    weir_permit *permit = &((PermitObject *)arguments[0])->permit;
    PyObject *exception = arguments[1], *verdict = arguments[2], *keep = NULL;
    weir_error error = WEIR_ERROR_INIT;
    const weir_error *why = exception == Py_None ? NULL : &error;
    if (exception != Py_None && !PyObject_TypeCheck(exception, (PyTypeObject *)PyExc_Exception)) {
        weir_breaker_cancel(breaker, permit);
    } else if (why && read_exception(exception, &error, &keep) < 0) {
        weir_breaker_cancel(breaker, permit);
        return NULL;
    } else {
        weir_outcome outcome = weir_breaker_classify(breaker, why, weir__py_verdict(verdict));
        weir_breaker_record(breaker, permit, outcome, -1, why);
    }
    Py_XDECREF(keep);
    weir__py_breaker_after(self);
    Py_RETURN_NONE;
}

/* ---- events */

static PyObject *event_of(const weir_breaker_event *event) {
    PyObject *duration =
        event->duration_ns < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)event->duration_ns / 1e9);
    return Py_BuildValue("{sKsdsssssssssN}", "number", (unsigned long long)event->number, "at",
                         (double)event->at_ns / 1e9, "kind", weir_breaker_event_name(event->kind), "before",
                         weir_breaker_state_name(event->before), "state",
                         weir_breaker_state_name(event->state), "reason",
                         weir_breaker_reason_name(event->reason), "duration", duration);
}

static PyObject *breaker_events(PyObject *self, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"after", NULL};
    unsigned long long given = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|K:events", names, &given)) return NULL;
    weir_breaker *breaker = weir__py_breaker_handle(self);
    PyObject *list = breaker ? PyList_New(0) : NULL;
    weir_breaker_event event;
    for (uint64_t after = given; list && weir_breaker_next_event(breaker, &after, &event);) {
        PyObject *item = event_of(&event);
        if (!item || PyList_Append(list, item) < 0) Py_CLEAR(list);
        Py_XDECREF(item);
    }
    if (breaker) weir__py_breaker_after(self);
    return list;
}

static PyMethodDef breaker_methods[] = {
    {"_acquire", breaker_acquire, METH_NOARGS, NULL},
    {"_record", (PyCFunction)(void (*)(void))breaker_record, METH_FASTCALL, NULL},
    {"events", (PyCFunction)(void (*)(void))breaker_events, METH_VARARGS | METH_KEYWORDS,
     "events($self, /, after=0)\n--\n\n"
     "What has happened since the event of that number, of the last 64 events, oldest first: a list of "
     "dicts.\n\n"
     "number: 1, 2 ...; a gap says that events are lost. at: seconds, as of time.monotonic().\n"
     "kind: \"state\" (the state has changed), \"exceeded\" (metrics-only: what would have opened it), "
     "\"reset\"; with\n"
     "call_events also \"success\", \"failure\", \"ignored\", \"refused\". before, state; reason: "
     "\"failures\", "
     "\"failure_rate\",\n"
     "\"slow_call_rate\", \"trial_failed\", \"probe_failed\", \"probe_succeeded\", \"timeout\", "
     "\"recovered\", "
     "\"quiet\", \"forced\",\n"
     "\"none\". duration: seconds, of a call; else None."},
    {0}};
static PyType_Slot breaker_slots[] = {{Py_tp_doc, "The core's weir_breaker. Internal."},
                                      {Py_tp_new, breaker_new},
                                      {Py_tp_traverse, breaker_traverse},
                                      {Py_tp_clear, breaker_clear},
                                      {Py_tp_dealloc, breaker_dealloc},
                                      {Py_tp_methods, breaker_methods},
                                      {0, NULL}};
static PyType_Spec breaker_spec = {
    "weirpool._core.Breaker", sizeof(BreakerObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_BASETYPE, breaker_slots};

static void permit_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot permit_slots[] = {
    {Py_tp_doc, "Leave to make one call. Internal."}, {Py_tp_dealloc, permit_dealloc}, {0, NULL}};
static PyType_Spec permit_spec = {
    "weirpool._core._Permit", sizeof(PermitObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, permit_slots};

int weir__py_breaker_types(PyObject *module) {
    permit_type = weir__py_type(module, &permit_spec, NULL);
    if (!permit_type) return -1;
    breaker_type = weir__py_type(module, &breaker_spec, NULL);
    return breaker_type ? 0 : -1;
}
