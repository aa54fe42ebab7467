/* How the pool is, as dicts: its status with its reasons, and what has happened. */
#include "weir_py.h"

static PyObject *seconds_or_none(int64_t value, double unit) {
    return value < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)value / unit);
}

/* {"leaks": "a connection …"}; NULL with an exception. */
static PyObject *reasons_of(unsigned bits) {
    PyObject *reasons = PyDict_New();
    for (unsigned i = 0; reasons && bits >> i; i++) {
        weir_health_reason reason = (weir_health_reason)i;
        PyObject *text = bits >> i & 1 ? PyUnicode_FromString(weir_health_reason_text(reason)) : NULL;
        if (bits >> i & 1 &&
            (!text || PyDict_SetItemString(reasons, weir_health_reason_name(reason), text) < 0))
            Py_CLEAR(reasons);
        Py_XDECREF(text);
    }
    return reasons;
}

PyObject *weir__py_health_of(weir_pool *pool) {
    weir_health health = {.struct_size = sizeof health};
    weir_error error = WEIR_ERROR_INIT;
    if (weir_pool_health(pool, &health, &error) != WEIR_OK) {
        weir__py_raise(&error);
        return NULL;
    }
    return Py_BuildValue("{sssNsNsNsNsKsKsisNsN}", "status", weir_health_status_name(health.status),
                         "reasons", reasons_of(health.reasons), "status_age",
                         seconds_or_none(health.status_age_ms, 1e3), "last_check_age",
                         seconds_or_none(health.last_check_ms, 1e3), "latency",
                         seconds_or_none(health.latency_ns, 1e9), "passed", (unsigned long long)health.passed,
                         "failed", (unsigned long long)health.failed, "failures_in_a_row",
                         health.failures_in_a_row, "last_failure", weir__py_text_or_none(health.last_failure),
                         "connect_failure", weir__py_text_or_none(health.connect_failure));
}

PyObject *weir__py_health(PyObject *self, PyObject *unused) {
    (void)unused;
    weir_pool *pool = weir__py_pool_handle(self);
    PyObject *health = pool ? weir__py_health_of(pool) : NULL;
    if (health) weir__py_pool_after(self);
    return health;
}

static PyObject *event_of(const weir_health_event *event) {
    return Py_BuildValue(
        "{sKsdsssssssNsNsN}", "number", (unsigned long long)event->number, "at", (double)event->at_ns / 1e9,
        "kind", weir_health_event_name(event->kind), "before", weir_health_status_name(event->before),
        "status", weir_health_status_name(event->status), "reasons", reasons_of(event->reasons), "duration",
        seconds_or_none(event->duration_ns, 1e9), "text", weir__py_text_or_none(event->text));
}

PyObject *weir__py_health_history(PyObject *self, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"after", NULL};
    unsigned long long given = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|K:health_history", names, &given)) return NULL;
    weir_pool *pool = weir__py_pool_handle(self);
    PyObject *list = pool ? PyList_New(0) : NULL;
    weir_health_event event;
    for (uint64_t after = given; list && weir_pool_next_health_event(pool, &after, &event);) {
        PyObject *item = event_of(&event);
        if (!item || PyList_Append(list, item) < 0) Py_CLEAR(list);
        Py_XDECREF(item);
    }
    if (list) weir__py_pool_after(self);
    return list;
}
