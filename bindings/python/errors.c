/* The core's errors as exceptions. The classes are made by weirpool.errors, from the core's own table. */
#include "weir_py.h"

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
    return Py_BuildValue(
        "(iNNNNNNNNNNNNN)", error->code, text(message), text(*error->sqlstate ? error->sqlstate : NULL),
        PyBool_FromLong(error->retryable), text(error->severity), text(error->detail), text(error->hint),
        error->position ? PyLong_FromLong(error->position) : Py_NewRef(Py_None), text(error->schema),
        text(error->table), text(error->column), text(error->constraint), retry_after(error->retry_after_ms),
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
