/* The core's errors as exceptions. The classes are made by weirpool.errors, from the core's own table. */
#include "weir_py.h"

#include <pythread.h>
#include <stdarg.h>

static PyObject *make_exception; /* weirpool.errors._make */

static PyObject *text(const char *bytes) {
    if (!bytes) return Py_NewRef(Py_None);
    return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)strlen(bytes), "replace");
}

static PyObject *retry_after(int64_t ms) {
    return ms < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)ms / 1000.0);
}

/* The arguments of weirpool.errors._make, in its order. */
static PyObject *arguments_of(const weir_error *error) {
    const char *message = error->message ? error->message : weir_error_text(error->code);
    return Py_BuildValue("(iNNNNNNNNNNNNNN)", error->code, text(message),
                         text(*error->sqlstate ? error->sqlstate : NULL), PyBool_FromLong(error->retryable),
                         text(error->severity), text(error->detail), text(error->hint),
                         error->position ? PyLong_FromLong(error->position) : Py_NewRef(Py_None),
                         text(error->schema), text(error->table), text(error->column),
                         text(error->constraint), text(error->context), retry_after(error->retry_after_ms),
                         error->xid ? PyLong_FromUnsignedLongLong(error->xid) : Py_NewRef(Py_None));
}

PyObject *weir__py_exception(const weir_error *error) {
    PyObject *make = weir__py_lazy(&make_exception, "weirpool.errors", "_make");
    PyObject *arguments = make ? arguments_of(error) : NULL;
    if (!arguments) return NULL;
    PyObject *exception = PyObject_CallObject(make, arguments);
    Py_DECREF(arguments);
    return exception;
}

void weir__py_raise(weir_error *error) {
    PyObject *exception = weir__py_exception(error);
    weir_error_clear(error);
    if (!exception) return;
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
}

PyObject *weir__py_fail(int code, const char *format, ...) {
    weir_error error = WEIR_ERROR_INIT;
    error.code = code;
    PyObject *message = NULL;
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        message = PyUnicode_FromFormatV(format, arguments);
        va_end(arguments);
        error.message = message ? PyUnicode_AsUTF8(message) : NULL;
        if (!error.message) {
            Py_XDECREF(message);
            return NULL;
        }
    }
    weir__py_raise(&error);
    Py_XDECREF(message);
    return NULL;
}

static bool in_main_thread(void) {
    static PyObject *function;
    PyObject *get = weir__py_lazy(&function, "threading", "main_thread");
    PyObject *thread = get ? PyObject_CallNoArgs(get) : NULL;
    PyObject *number = thread ? PyObject_GetAttrString(thread, "ident") : NULL;
    bool is = number && PyLong_AsUnsignedLong(number) == PyThread_get_thread_ident();
    PyErr_Clear();
    Py_XDECREF(thread);
    Py_XDECREF(number);
    return is;
}

static int raise_now(void *exception) {
    PyErr_SetObject((PyObject *)Py_TYPE((PyObject *)exception), exception);
    Py_DECREF((PyObject *)exception);
    return -1;
}

bool weir__py_hand_on(void) {
    PyObject *type, *value, *traceback;
    if (!PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) && !PyErr_ExceptionMatches(PyExc_SystemExit))
        return false;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (!in_main_thread() || Py_AddPendingCall(raise_now, value) < 0) {
        PyErr_Restore(type, value, traceback);
        return false;
    }
    if (traceback) PyException_SetTraceback(value, traceback);
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return true;
}

void weir__py_forget(void) {
    if (PyErr_Occurred() && !weir__py_hand_on()) PyErr_Clear();
}

void weir__py_bar_stop(const char *whose) {
    PyObject *type, *value, *traceback, *stop, *none;
    if (!PyErr_ExceptionMatches(PyExc_StopIteration) && !PyErr_ExceptionMatches(PyExc_StopAsyncIteration))
        return;
    PyErr_Fetch(&type, &stop, &traceback);
    PyErr_NormalizeException(&type, &stop, &traceback);
    if (traceback) PyException_SetTraceback(stop, traceback);
    PyErr_Format(PyExc_RuntimeError, "%s raised %s", whose, ((PyTypeObject *)type)->tp_name);
    Py_DECREF(type);
    Py_XDECREF(traceback);
    PyErr_Fetch(&type, &value, &none);
    PyErr_NormalizeException(&type, &value, &none);
    PyException_SetContext(value, Py_NewRef(stop));
    PyException_SetCause(value, stop);
    PyErr_Restore(type, value, none);
}

int weir__py_is_error(PyObject *exception) {
    static PyObject *class;
    PyObject *base = weir__py_lazy(&class, "weirpool.errors", "Error");
    return base ? PyObject_IsInstance(exception, base) : -1;
}

static int get_int(PyObject *object, const char *name, int64_t *out) {
    PyObject *value = PyObject_GetAttrString(object, name);
    if (value) *out = PyLong_AsLongLong(value);
    Py_XDECREF(value);
    return PyErr_Occurred() ? -1 : 0;
}

/* A new reference to a str, whose text is borrowed in *out; None is no text. */
static PyObject *get_text(PyObject *object, const char *name, const char **out) {
    PyObject *value = PyObject_GetAttrString(object, name);
    *out = NULL;
    if (!value || value == Py_None || (*out = weir__py_text(name, value))) return value;
    Py_DECREF(value);
    return NULL;
}

/* Its class stands for one that has no UTF-8 form. */
static PyObject *get_message(PyObject *exception, weir_error *out) {
    PyObject *value = PyObject_GetAttrString(exception, "message");
    bool text = value && PyUnicode_Check(value);
    out->message = text ? PyUnicode_AsUTF8(value) : NULL;
    if (value && !out->message) {
        PyErr_Clear();
        out->message = Py_TYPE(exception)->tp_name;
    }
    return value;
}

/* One that was raised by hand, without, has that of its class. */
static int read_sqlstate(PyObject *exception, weir_error *out) {
    const char *text;
    PyObject *sqlstate = get_text(exception, "sqlstate", &text);
    if (out->code == WEIR_OK && text) out->code = WEIR_ESERVER;
    if (sqlstate && !text && out->code == WEIR_ESERVER) {
        Py_DECREF(sqlstate);
        sqlstate = get_text(exception, "_sqlstate", &text);
    }
    if (!sqlstate) return -1;
    if (text) strncpy(out->sqlstate, text, sizeof out->sqlstate - 1);
    Py_DECREF(sqlstate);
    return 0;
}

int weir__py_read_error(PyObject *exception, weir_error *out, PyObject **message) {
    int64_t code = 0;
    if (get_int(exception, "_code", &code) < 0) return -1;
    out->code = (int)code;
    PyObject *retryable = PyObject_GetAttrString(exception, "retryable");
    int yes = retryable ? PyObject_IsTrue(retryable) : -1;
    Py_XDECREF(retryable);
    if (yes < 0) return -1;
    out->retryable = yes;
    PyObject *after = PyObject_GetAttrString(exception, "retry_after");
    double seconds = after && after != Py_None ? PyFloat_AsDouble(after) : -1;
    Py_XDECREF(after);
    if (PyErr_Occurred()) return -1;
    if (seconds >= 0 && seconds < 1e9) out->retry_after_ms = (int64_t)(seconds * 1000.0);
    if (read_sqlstate(exception, out) < 0) return -1;
    return !message || (*message = get_message(exception, out)) ? 0 : -1;
}
