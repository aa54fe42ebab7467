/* Who holds the pool's connections: the list of them, and the stacks of callers for it. */
#include "weir_py.h"

#if PY_VERSION_HEX < 0x030b0000
#include <frameobject.h>
#endif

#define FRAMES_MOST 64

/* "function (file:line)\n"; NULL with an exception. */
static PyObject *line_of(PyFrameObject *frame) {
    PyCodeObject *code = PyFrame_GetCode(frame);
    PyObject *line =
        PyUnicode_FromFormat("%U (%U:%d)\n", code->co_name, code->co_filename, PyFrame_GetLineNumber(frame));
    Py_DECREF((PyObject *)code);
    return line;
}

PyObject *weir__py_stack(void) {
    PyObject *lines = PyList_New(0), *empty = PyUnicode_FromString(""), *stack = NULL;
    PyFrameObject *frame = weir__py_caller();
    for (int i = 0; lines && frame && i < FRAMES_MOST; i++) {
        PyObject *line = line_of(frame);
        int rc = line ? PyList_Append(lines, line) : -1;
        Py_XDECREF(line);
        if (rc < 0) Py_CLEAR(lines);
        PyFrameObject *outer = PyFrame_GetBack(frame);
        Py_DECREF((PyObject *)frame);
        frame = outer;
    }
    Py_XDECREF((PyObject *)frame);
    if (lines && empty) stack = PyUnicode_Join(empty, lines);
    Py_XDECREF(lines);
    Py_XDECREF(empty);
    return stack;
}

static int to_age(PyObject *seconds, int64_t *ms) {
    double value = PyFloat_Check(seconds) || (PyLong_Check(seconds) && !PyBool_Check(seconds))
                       ? PyFloat_AsDouble(seconds)
                       : -1;
    if (PyErr_Occurred()) PyErr_Clear();
    if (value >= 0 && value < 1e9) {
        *ms = (int64_t)(value * 1000);
        return 0;
    }
    weir__py_fail(WEIR_EINVAL, "min_age=%R: give seconds, 0 or more", seconds);
    return -1;
}

PyObject *weir__py_text_or_none(const char *text) {
    return *text ? PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace") : Py_NewRef(Py_None);
}

static PyObject *to_dict(const weir_holder *holder) {
    PyObject *backend = holder->backend ? PyLong_FromLong(holder->backend) : Py_NewRef(Py_None);
    return Py_BuildValue(
        "{sNsNsisdsNsNsisNsNsN}", "file", weir__py_text_or_none(holder->file), "function",
        weir__py_text_or_none(holder->function), "line", holder->line, "age", (double)holder->age_ms / 1000.0,
        "statement", weir__py_text_or_none(holder->statement), "stack", weir__py_text_or_none(holder->stack),
        "depth", holder->depth, "busy", PyBool_FromLong(holder->busy), "leaked",
        PyBool_FromLong(holder->leaked), "backend", backend);
}

PyObject *weir__py_holders(PyObject *self, PyObject *min_age) {
    int64_t ms;
    weir_pool *pool = weir__py_pool_handle(self);
    if (!pool || to_age(min_age, &ms) < 0) return NULL;
    weir_holder *holders;
    size_t count;
    weir_error error = WEIR_ERROR_INIT;
    if (weir_pool_holders(pool, ms, &holders, &count, &error) != WEIR_OK) {
        weir__py_raise(&error);
        return NULL;
    }
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *item = to_dict(&holders[i]);
        if (item)
            PyList_SET_ITEM(list, (Py_ssize_t)i, item);
        else
            Py_CLEAR(list);
    }
    weir_holders_free(holders);
    if (list) weir__py_pool_after(self);
    return list;
}
