/* The blocking forms of the context managers: `with pool.session()`, `with connection.transaction()`. */
#include "weir_py.h"

/* What nobody would await: the hook has not run. -1 with an exception. */
static int refuse_awaitable(PyObject *given) {
    static PyObject *hook;
    PyAsyncMethods *async = Py_TYPE(given)->tp_as_async;
    if (!async || !async->am_await) return 0;
    PyObject *refuse = weir__py_lazy(&hook, "weirpool._hooks", "refuse_awaitable");
    PyObject *answer =
        refuse ? PyObject_CallFunction(refuse, "sO", "the setup hook of a blocking pool", given) : NULL;
    Py_XDECREF(answer);
    return answer ? 0 : -1;
}

/* The session, after the pool's setup hook; without it the connection is closed. */
static PyObject *prepare(SessionObject *session) {
    PyObject *setup = session->pool->setup;
    if (!setup) return (PyObject *)session;
    weir_error error = WEIR_ERROR_INIT;
    PyObject *answer = PyObject_CallOneArg(setup, (PyObject *)session);
    if (!answer) weir__py_bar_stop("the setup hook");
    int plain = answer ? refuse_awaitable(answer) : -1;
    Py_XDECREF(answer);
    if (plain == 0) {
        int rc = session->pool->engine->pool ? weir_session_ready(session->handle, &error) : WEIR_ECLOSED;
        if (rc == WEIR_OK) return (PyObject *)session;
        error.code = rc;
        weir__py_raise(&error);
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    weir__py_release(session, true);
    Py_DECREF((PyObject *)session);
    PyErr_Restore(type, value, traceback);
    return NULL;
}

static PyObject *enter(PyObject *self, PyObject *unused) {
    (void)unused;
    CheckoutObject *checkout = (CheckoutObject *)self;
    if (weir__py_enter_once(checkout) < 0) return NULL;
    weir__py_call call = checkout->operation.call;
    Py_INCREF((PyObject *)call.pool);
    PyObject *session = weir__py_run(&call);
    return session ? prepare((SessionObject *)session) : NULL;
}

static PyObject *enter_transaction(PyObject *self, PyObject *unused) {
    (void)unused;
    if (weir__py_enter_transaction((CheckoutObject *)self) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *leave(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    weir__py_call call;
    if (weir__py_leave((CheckoutObject *)self, count > 0 && arguments[0] != Py_None, &call) < 0) return NULL;
    if (!call.pool) Py_RETURN_NONE;
    return weir__py_run(&call);
}

#define LEAVE                                                                                                \
    { "__exit__", (PyCFunction)(void (*)(void))leave, METH_FASTCALL, NULL }
static PyMethodDef checkout_methods[] = {{"__enter__", enter, METH_NOARGS, NULL}, LEAVE, {0}};
static PyMethodDef transaction_methods[] = {{"__enter__", enter_transaction, METH_NOARGS, NULL}, LEAVE, {0}};

static PyTypeObject *add_type(PyObject *module, const char *name, PyMethodDef *methods, const char *doc) {
    PyType_Slot slots[] = {{Py_tp_doc, (void *)doc},
                           {Py_tp_traverse, weir__py_checkout_traverse},
                           {Py_tp_clear, weir__py_checkout_clear},
                           {Py_tp_dealloc, weir__py_checkout_dealloc},
                           {Py_tp_methods, methods},
                           {Py_tp_getattro, weir__py_checkout_getattr},
                           {0, NULL}};
    PyType_Spec spec = {name, sizeof(CheckoutObject), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                            Py_TPFLAGS_DISALLOW_INSTANTIATION,
                        slots};
    return weir__py_type(module, &spec, NULL);
}

int weir__py_sync_types(PyObject *module) {
    weir__py.sync_checkout = add_type(module, "weirpool._core.SyncCheckout", checkout_methods,
                                      "A session or connection to come: to be entered by `with`, once.");
    weir__py.sync_transaction =
        add_type(module, "weirpool._core.SyncTransaction", transaction_methods,
                 "A transaction, or a savepoint in one: to be entered by `with`, once.");
    return weir__py.sync_checkout && weir__py.sync_transaction ? 0 : -1;
}
