/* What Pool.run() asks the core: may the transaction be repeated, after which pause, and until when? */
#include "weir_py.h"

typedef struct RetryObject {
    PyObject ob_base;
    weir_retry retry;
} RetryObject;

static int parse_retries(PyObject *object, int64_t *out) {
    if (!PyLong_Check(object) || PyBool_Check(object)) {
        weir__py_fail(WEIR_EINVAL, "retries must be an int, not %s", Py_TYPE(object)->tp_name);
        return -1;
    }
    int overflow;
    *out = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow) *out = overflow > 0 ? INT64_MAX : INT64_MIN; /* which the core refuses */
    return 0;
}

static PyObject *retry_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"retries", "timeout", NULL};
    PyObject *retries, *timeout;
    weir_retry retry;
    weir_error error = WEIR_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO:Retry", names, &retries, &timeout)) return NULL;
    weir_retry_init(&retry);
    if (parse_retries(retries, &retry.retries) < 0) return NULL;
    if (weir__py_milliseconds("timeout", timeout, false, &retry.timeout_ms) < 0) return NULL;
    RetryObject *self = (RetryObject *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->retry = retry;
    if (weir_retry_begin(&self->retry, weir_now_ns(), &error) == WEIR_OK) return (PyObject *)self;
    Py_DECREF((PyObject *)self);
    weir__py_raise(&error);
    return NULL;
}

static void retry_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Seconds, or None: there is no limit. */
static PyObject *retry_left(PyObject *self, PyObject *unused) {
    (void)unused;
    int64_t left = weir_retry_left(&((RetryObject *)self)->retry, weir_now_ns());
    return left < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)left / 1000.0);
}

/* A checkout that waits no longer than there is time, and names the function as its caller. */
static PyObject *retry_checkout(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    if (count != 2 || !(PyObject_TypeCheck(arguments[0], weir__py.checkout) ||
                        PyObject_TypeCheck(arguments[0], weir__py.sync_checkout))) {
        PyErr_SetString(PyExc_TypeError, "checkout() takes what session() has given, and a function");
        return NULL;
    }
    CheckoutObject *checkout = (CheckoutObject *)arguments[0];
    int64_t *wait = &checkout->how.checkout_timeout_ms;
    *wait = weir_retry_cut(&((RetryObject *)self)->retry, *wait, weir_now_ns());
    return weir__py_note_function(checkout, arguments[1]) < 0 ? NULL : Py_NewRef(arguments[0]);
}

/* The session's loan is one attempt: it ends with the time, and nobody but run() commits. */
static PyObject *retry_admit(PyObject *self, PyObject *argument) {
    weir_error error = WEIR_ERROR_INIT;
    if (!PyObject_TypeCheck(argument, weir__py.session) &&
        !PyObject_TypeCheck(argument, weir__py.sync_session)) {
        PyErr_SetString(PyExc_TypeError, "admit() takes a session");
        return NULL;
    }
    SessionObject *session = (SessionObject *)argument;
    session->whole = true;
    int64_t left = weir_retry_left(&((RetryObject *)self)->retry, weir_now_ns());
    if (left < 0 || weir_session_limit(session->handle, left, &error) == WEIR_OK) Py_RETURN_NONE;
    weir__py_raise(&error);
    return NULL;
}

static PyObject *retry_next(PyObject *self, PyObject *exception) {
    weir_error error = WEIR_ERROR_INIT;
    if (weir__py_read_error(exception, &error, NULL) < 0) return NULL;
    int64_t pause = weir_retry_next(&((RetryObject *)self)->retry, &error, weir_now_ns());
    return pause < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)pause / 1000.0);
}

static PyObject *retry_note(PyObject *self, PyObject *unused) {
    (void)unused;
    char text[120];
    weir_retry_note(&((RetryObject *)self)->retry, text, sizeof text);
    return PyUnicode_FromString(text);
}

static PyMethodDef methods[] = {
    {"checkout", (PyCFunction)(void (*)(void))retry_checkout, METH_FASTCALL, NULL},
    {"admit", retry_admit, METH_O, NULL},
    {"left", retry_left, METH_NOARGS, NULL},
    {"next", retry_next, METH_O, NULL},
    {"note", retry_note, METH_NOARGS, NULL},
    {0}};
static PyType_Slot slots[] = {{Py_tp_doc, "The core's weir_retry. Internal."},
                              {Py_tp_new, retry_new},
                              {Py_tp_dealloc, retry_dealloc},
                              {Py_tp_methods, methods},
                              {0, NULL}};
static PyType_Spec spec = {"weirpool._core._Retry", sizeof(RetryObject), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, slots};

int weir__py_retry_types(PyObject *module) {
    PyTypeObject *type = weir__py_type(module, &spec, NULL);
    Py_XDECREF((PyObject *)type);
    return type ? 0 : -1;
}
