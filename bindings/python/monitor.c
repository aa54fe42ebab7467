/* What a pool watches of itself: its alerts, its slow statements, its history. */
#include "weir_py.h"

static PyObject *text_of(const char *text) {
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

PyObject *weir__py_alert(const weir_alert *alert) {
    bool resolved = alert->resolved_ns != 0;
    PyObject *resolved_at =
        resolved ? PyFloat_FromDouble((double)alert->resolved_ns / 1e9) : Py_NewRef(Py_None);
    return Py_BuildValue(
        "{sKsssssNsdsNsNsdsdsKsKsd}", "number", (unsigned long long)alert->number, "type",
        weir_alert_name(alert->type), "severity", weir_severity_name(alert->severity), "message",
        text_of(alert->message), "at", (double)alert->fired_ns / 1e9, "resolved_at", resolved_at, "resolved",
        PyBool_FromLong(resolved), "value", alert->value, "threshold", alert->threshold, "count",
        (unsigned long long)alert->count, "total", (unsigned long long)alert->total, "window", alert->window);
}

static PyObject *slow_of(const weir_slow_statement *slow) {
    return Py_BuildValue("{sNsKsdsdsdsd}", "statement", text_of(slow->text), "count",
                         (unsigned long long)slow->count, "total", slow->total, "max", slow->max, "last",
                         slow->last, "at", (double)slow->last_ns / 1e9);
}

static PyObject *point_of(const weir_history_point *point, weir_metric_kind kind) {
    double at = (double)point->at_ns / 1e9;
    if (kind == WEIR_METRIC_LATENCY)
        return Py_BuildValue("{sdsKsdsdsdsdsd}", "at", at, "count", (unsigned long long)point->count, "sum",
                             point->sum, "p50", point->p50, "p90", point->p90, "p99", point->p99, "p999",
                             point->p999);
    return Py_BuildValue("{sdsd}", "at", at, "value", point->value);
}

/* The end of a call: a list of so many items, or the exception of an error. */
#define LIST(items, count, make)                                                                             \
    PyObject *list = PyList_New((Py_ssize_t)(count));                                                        \
    for (size_t i = 0; list && i < (count); i++) {                                                           \
        PyObject *item = make;                                                                               \
        if (item)                                                                                            \
            PyList_SET_ITEM(list, (Py_ssize_t)i, item);                                                      \
        else                                                                                                 \
            Py_CLEAR(list);                                                                                  \
    }

PyObject *weir__py_alerts(PyObject *self, PyObject *active) {
    weir_pool *pool = weir__py_pool_handle(self);
    weir_error error = WEIR_ERROR_INIT;
    weir_alert *alerts;
    size_t count;
    int wanted = pool ? PyObject_IsTrue(active) : -1;
    if (wanted < 0) return NULL;
    if (weir_pool_alerts(pool, wanted, &alerts, &count, &error) != WEIR_OK) {
        weir__py_raise(&error);
        return NULL;
    }
    LIST(alerts, count, weir__py_alert(&alerts[i]))
    weir_alerts_free(alerts);
    if (list) weir__py_pool_after(self);
    return list;
}

PyObject *weir__py_slow_queries(PyObject *self, PyObject *unused) {
    (void)unused;
    weir_pool *pool = weir__py_pool_handle(self);
    weir_error error = WEIR_ERROR_INIT;
    weir_slow_statement *statements;
    size_t count;
    if (!pool) return NULL;
    if (weir_pool_slow_statements(pool, &statements, &count, &error) != WEIR_OK) {
        weir__py_raise(&error);
        return NULL;
    }
    LIST(statements, count, slow_of(&statements[i]))
    weir_slow_statements_free(statements);
    if (list) weir__py_pool_after(self);
    return list;
}

/* Seconds, 0 or more; None is *ms as it is. -1 with an exception. */
static int to_ms(const char *name, PyObject *seconds, int64_t *ms) {
    bool number = PyFloat_Check(seconds) || (PyLong_Check(seconds) && !PyBool_Check(seconds));
    double value = number ? PyFloat_AsDouble(seconds) : -1;
    if (PyErr_Occurred()) PyErr_Clear();
    if (seconds == Py_None) return 0;
    if (value >= 0 && value < 1e9) {
        *ms = (int64_t)(value * 1000 + 0.5);
        return 0;
    }
    weir__py_fail(WEIR_EINVAL, "%s=%R: give seconds, 0 or more, or None", name, seconds);
    return -1;
}

/* _history(metric, since, step) */
PyObject *weir__py_history(PyObject *self, PyObject *arguments) {
    const char *metric;
    PyObject *since, *step;
    weir_error error = WEIR_ERROR_INIT;
    weir_history_point *points;
    weir_metric_kind kind;
    size_t count;
    int64_t since_ms = -1, step_ms = 0;
    if (!PyArg_ParseTuple(arguments, "sOO:history", &metric, &since, &step)) return NULL;
    if (to_ms("since", since, &since_ms) < 0 || to_ms("step", step, &step_ms) < 0) return NULL;
    weir_pool *pool = weir__py_pool_handle(self);
    if (!pool) return NULL;
    if (weir_pool_history(pool, metric, since_ms, step_ms, &kind, &points, &count, &error) != WEIR_OK) {
        weir__py_raise(&error);
        return NULL;
    }
    LIST(points, count, point_of(&points[i], kind))
    weir_history_free(points);
    if (list) weir__py_pool_after(self);
    return list;
}
