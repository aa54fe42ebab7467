/* Values between Python and the core's union: parameters, cells, options, times, snapshots. */
#include "weir_py.h"

#include <math.h>

#define A_YEAR 31536000.0 /* seconds: the longest time-out that makes sense to anybody */

static PyObject *decimal_type(void) { return weir__py_lazy(&weir__py.decimal, "decimal", "Decimal"); }

static PyObject *from_numeric(const weir_value *value) {
    PyObject *type = decimal_type();
    if (!type) return NULL;
    PyObject *text = PyUnicode_DecodeASCII(value->as.bytes.data, (Py_ssize_t)value->as.bytes.length, NULL);
    if (!text) return NULL;
    PyObject *number = PyObject_CallOneArg(type, text);
    Py_DECREF(text);
    return number;
}

/* CPython's conversion of a long has a short way for what fits into one of its digits. */
static PyObject *make_int(int64_t value) {
    return sizeof(long) == sizeof value ? PyLong_FromLong((long)value) : PyLong_FromLongLong(value);
}

PyObject *weir__py_from_value(weir__py_reader *reader, const weir_value *value) {
    switch (value->type) {
    case WEIR_TYPE_NULL:
        return Py_NewRef(Py_None);
    case WEIR_TYPE_BOOL:
        return PyBool_FromLong(value->as.boolean);
    case WEIR_TYPE_INT:
        return make_int(value->as.integer);
    case WEIR_TYPE_FLOAT:
        return PyFloat_FromDouble(value->as.real);
    case WEIR_TYPE_NUMERIC:
        return from_numeric(value);
    case WEIR_TYPE_TEXT:
        return PyUnicode_DecodeUTF8(value->as.bytes.data, (Py_ssize_t)value->as.bytes.length, NULL);
    case WEIR_TYPE_BYTES:
        return PyBytes_FromStringAndSize(value->as.bytes.data, (Py_ssize_t)value->as.bytes.length);
    case WEIR_TYPE_DATE:
    case WEIR_TYPE_TIME:
    case WEIR_TYPE_TIMETZ:
    case WEIR_TYPE_TIMESTAMP:
    case WEIR_TYPE_TIMESTAMPTZ:
    case WEIR_TYPE_INTERVAL:
    case WEIR_TYPE_UUID:
    case WEIR_TYPE_INET:
    case WEIR_TYPE_CIDR:
        break;
    case WEIR_TYPE_ARRAY:
        return weir__py_from_array(reader, value->as.array);
    case WEIR_TYPE_JSON:
    case WEIR_TYPE_RANGE:
    case WEIR_TYPE_MULTIRANGE:
    case WEIR_TYPE_RECORD:
    case WEIR_TYPE_MAP:
    case WEIR_TYPE_RAW:
        return weir__py_from_nested(reader, value);
    }
    return weir__py_from_kind(value);
}

PyObject *weir__py_cell(weir_result *result, size_t row, size_t column, const weir__py_codecs *codecs) {
    weir_value value;
    int rc = weir_result_value(result, row, column, &value);
    if (rc == WEIR_OK && value.type == WEIR_TYPE_INT) return make_int(value.as.integer);
    weir__py_reader reader = {.codecs = codecs};
    PyObject *cell = rc == WEIR_OK ? weir__py_from_value(&reader, &value) : NULL;
    if (cell || reader.foreign) return cell;
    const char *name = weir_result_name(result, column);
    if (rc != WEIR_OK) return weir__py_fail(rc, "row %zu, column '%s': %s", row, name, weir_error_text(rc));
    if (!PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_OverflowError) &&
        !PyErr_ExceptionMatches(PyExc_RecursionError))
        return NULL;
    PyObject *type, *why, *traceback;
    PyErr_Fetch(&type, &why, &traceback);
    weir__py_fail(WEIR_EVALUE, "row %zu, column '%s': Python cannot hold this %s (%S): select it as text",
                  row, name, weir_type_name(value.type), why ? why : type);
    Py_XDECREF(type);
    Py_XDECREF(why);
    Py_XDECREF(traceback);
    return NULL;
}

/* ---- parameters ---- */

/* Replaces the exception that is set by an ArgumentError with its text. Always -1. */
static int refuse(Py_ssize_t number, const char *what) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type && !PyErr_GivenExceptionMatches(type, PyExc_ValueError) &&
        !PyErr_GivenExceptionMatches(type, PyExc_TypeError) &&
        !PyErr_GivenExceptionMatches(type, PyExc_BufferError)) {
        PyErr_Restore(type, value, traceback);
        return -1;
    }
    weir__py_fail(WEIR_EINVAL, "parameter $%zd %s", number, what);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return -1;
}

/* The same with the text of a ValueError. Always -1. */
static int refuse_raised(Py_ssize_t number) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (!value || !PyErr_GivenExceptionMatches(type, PyExc_ValueError)) {
        PyErr_Restore(type, value, traceback);
        return -1;
    }
    weir__py_fail(WEIR_EINVAL, "parameter $%zd %S", number, value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return -1;
}

static int to_text(Py_ssize_t number, weir_type type, PyObject *object, weir_value *out) {
    Py_ssize_t length;
    const char *data = PyUnicode_AsUTF8AndSize(object, &length);
    if (!data) return refuse(number, "is text that has no UTF-8 form (a lone surrogate)");
    *out = (weir_value){.type = type, .as.bytes = {data, (size_t)length}};
    return 0;
}

/* An int of more than 64 bits, or a Decimal: its text, not what a subclass shows to people. */
static int to_number(weir__py_writer *writer, PyObject *object, weir_value *out) {
    bool whole = PyLong_Check(object);
    PyObject *text = whole ? PyLong_Type.tp_repr(object) : ((PyTypeObject *)decimal_type())->tp_str(object);
    if (!text) return refuse(writer->number, "is a number of too many digits");
    if (weir__py_hold(writer, text) < 0) return -1;
    return to_text(writer->number, WEIR_TYPE_NUMERIC, text, out);
}

static int to_int(weir__py_writer *writer, PyObject *object, weir_value *out) {
    int overflow;
    *out = (weir_value){.type = WEIR_TYPE_INT, .as.integer = PyLong_AsLongLongAndOverflow(object, &overflow)};
    if (overflow) return to_number(writer, object, out);
    return out->as.integer == -1 && PyErr_Occurred() ? -1 : 0;
}

static void to_bytes(PyObject *object, weir_value *out) {
    *out = (weir_value){.type = WEIR_TYPE_BYTES,
                        .as.bytes = {PyBytes_AS_STRING(object), (size_t)PyBytes_GET_SIZE(object)}};
}

static int to_other(weir__py_writer *writer, PyObject *object, weir_value *out) {
    PyObject *type = decimal_type(), *keep = NULL;
    int is_decimal = type ? PyObject_IsInstance(object, type) : -1;
    if (is_decimal < 0) return -1;
    if (is_decimal) return to_number(writer, object, out);
    int known = weir__py_to_kind(object, out, &keep);
    if (keep && weir__py_hold(writer, keep) < 0) return -1;
    if (known < 0) return refuse_raised(writer->number);
    if (known == 0) known = weir__py_to_nested(writer, object, out);
    if (known) return known < 0 ? -1 : 0;
    weir__py_fail(
        WEIR_EINVAL,
        "parameter $%zd is of type %s, which cannot be sent; None, bool, int, float, Decimal, str, bytes, "
        "bytearray, memoryview, date, time, datetime, timedelta, UUID, ipaddress', Range, Json, dicts, and "
        "lists and tuples of these can",
        writer->number, Py_TYPE(object)->tp_name);
    return -1;
}

int weir__py_to_value(weir__py_writer *writer, PyObject *object, weir_value *out) {
    *out = (weir_value){.type = WEIR_TYPE_NULL};
    if (writer->codecs && writer->codecs->encoders) {
        int written = weir__py_encode(writer, object, out);
        if (written) return written < 0 ? -1 : 0;
    }
    if (PyUnicode_Check(object)) return to_text(writer->number, WEIR_TYPE_TEXT, object, out);
    if (PyBool_Check(object)) {
        out->type = WEIR_TYPE_BOOL;
        out->as.boolean = object == Py_True;
    } else if (PyLong_Check(object)) {
        return to_int(writer, object, out);
    } else if (PyFloat_Check(object)) {
        out->type = WEIR_TYPE_FLOAT;
        out->as.real = PyFloat_AS_DOUBLE(object);
    } else if (PyBytes_Check(object)) {
        to_bytes(object, out);
    } else if (PyByteArray_Check(object) || PyMemoryView_Check(object)) {
        PyObject *bytes = PyBytes_FromObject(object);
        if (!bytes) return refuse(writer->number, "is a buffer that cannot be read");
        if (weir__py_hold(writer, bytes) < 0) return -1;
        to_bytes(bytes, out);
    } else if (PyList_Check(object)) {
        return weir__py_list_value(writer, object, out);
    } else if (PyTuple_Check(object) || PyDict_Check(object)) {
        return weir__py_to_nested(writer, object, out) < 0 ? -1 : 0;
    } else if (object != Py_None) {
        return to_other(writer, object, out);
    }
    return 0;
}

int weir__py_hold(weir__py_writer *writer, PyObject *object) {
    if (!object) return -1;
    if (!writer->first) {
        writer->first = object;
        return 0;
    }
    if (!writer->more) writer->more = PyList_New(0);
    int rc = writer->more ? PyList_Append(writer->more, object) : -1;
    Py_DECREF(object);
    return rc;
}

void weir__py_writer_end(weir__py_writer *writer) {
    Py_CLEAR(writer->first);
    Py_CLEAR(writer->more);
}

/* Without a copy of our own, if it is contiguous. False: it is not, and nothing was added. */
static bool add_buffer(weir_statement *statement, PyObject *object) {
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        return false;
    }
    weir_value value = {.type = WEIR_TYPE_BYTES, .as.bytes = {view.buf, (size_t)view.len}};
    weir_statement_add(statement, &value);
    PyBuffer_Release(&view);
    return true;
}

static int add(weir_statement *statement, Py_ssize_t number, PyObject *object,
               const weir__py_codecs *codecs) {
    weir_value own, *value = weir_statement_place(statement);
    bool quick = PyUnicode_Check(object) || PyLong_Check(object); /* the checks below cost more */
    if (!quick && !codecs->encoders && (PyByteArray_Check(object) || PyMemoryView_Check(object)) &&
        add_buffer(statement, object))
        return 0;
    weir__py_writer writer = {.number = number, .codecs = codecs};
    if (!value) value = &own;
    int rc = weir__py_to_value(&writer, object, value);
    if (rc == 0) weir_statement_add(statement, value);
    weir__py_writer_end(&writer);
    return rc;
}

const char *weir__py_sql_text(PyObject *sql, Py_ssize_t *length) {
    if (!PyUnicode_Check(sql)) {
        weir__py_fail(WEIR_EINVAL, "the statement must be a str, not %s", Py_TYPE(sql)->tp_name);
        return NULL;
    }
    const char *data = PyUnicode_AsUTF8AndSize(sql, length);
    if (!data && PyErr_ExceptionMatches(PyExc_UnicodeError)) {
        PyErr_Clear();
        weir__py_fail(WEIR_EINVAL, "the statement has no UTF-8 form (a lone surrogate)");
    }
    return data;
}

static weir_statement *begin_statement(PyObject *sql) {
    Py_ssize_t length;
    const char *data = weir__py_sql_text(sql, &length);
    if (!data) return NULL;
    weir_error error = WEIR_ERROR_INIT;
    weir_statement *statement = weir_statement_new(data, (size_t)length, &error);
    if (!statement) weir__py_raise(&error);
    return statement;
}

weir_statement *weir__py_statement(PyObject *sql, PyObject *const *arguments, Py_ssize_t count,
                                   const weir__py_codecs *codecs) {
    weir_statement *statement = begin_statement(sql);
    for (Py_ssize_t i = 0; statement && i < count; i++) {
        if (add(statement, i + 1, arguments[i], codecs) == 0) continue;
        weir_statement_unref(statement);
        return NULL;
    }
    return statement;
}

static int add_set(weir_statement *statement, PyObject *item, const weir__py_codecs *codecs) {
    if (PyUnicode_Check(item) || PyBytes_Check(item) || PyByteArray_Check(item)) {
        weir__py_fail(WEIR_EINVAL, "each set of parameters must be a sequence of values, not %s",
                      Py_TYPE(item)->tp_name);
        return -1;
    }
    PyObject *set = PySequence_Fast(item, "");
    if (!set) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) return -1;
        PyErr_Clear();
        weir__py_fail(WEIR_EINVAL, "each set of parameters must be a sequence of values, not %s",
                      Py_TYPE(item)->tp_name);
        return -1;
    }
    weir_statement_add_set(statement);
    int rc = 0;
    for (Py_ssize_t i = 0; rc == 0 && i < PySequence_Fast_GET_SIZE(set); i++) {
        PyObject *value = Py_NewRef(PySequence_Fast_GET_ITEM(set, i));
        rc = add(statement, i + 1, value, codecs);
        Py_DECREF(value);
    }
    Py_DECREF(set);
    return rc;
}

weir_statement *weir__py_statement_many(PyObject *sql, PyObject *sets, const weir__py_codecs *codecs) {
    PyObject *iterator = PyObject_GetIter(sets);
    if (!iterator) return NULL;
    weir_statement *statement = begin_statement(sql);
    weir_statement_no_sets(statement);
    PyObject *item;
    while (statement && (item = PyIter_Next(iterator))) {
        int rc = add_set(statement, item, codecs);
        Py_DECREF(item);
        if (rc < 0) break;
    }
    Py_DECREF(iterator);
    if (!PyErr_Occurred()) return statement;
    weir_statement_unref(statement);
    return NULL;
}

/* ---- times, options ---- */

int weir__py_milliseconds(const char *name, PyObject *seconds, bool zero, int64_t *out) {
    if (!seconds || seconds == Py_Ellipsis || seconds == Py_None) {
        *out = seconds == Py_None ? -1 : WEIR_TIMEOUT_DEFAULT;
        return 0;
    }
    double given = PyBool_Check(seconds) ? NAN : PyFloat_AsDouble(seconds);
    if (given == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_OverflowError))
            return -1;
        PyErr_Clear();
        given = NAN;
    }
    if (given > 0.0 && given <= A_YEAR) {
        *out = (int64_t)ceil(given * 1000.0);
        return 0;
    }
    if (zero && given == 0.0) {
        *out = 0;
        return 0;
    }
    weir__py_fail(WEIR_EINVAL, "%s must be seconds, a number %s 0 and at most a year, or None, not %R", name,
                  zero ? "from" : "above", seconds);
    return -1;
}

const char *weir__py_text(const char *what, PyObject *object) {
    if (!PyUnicode_Check(object)) {
        weir__py_fail(WEIR_EOPTION, "%s must be a str, not %s", what, Py_TYPE(object)->tp_name);
        return NULL;
    }
    Py_ssize_t length;
    const char *data = PyUnicode_AsUTF8AndSize(object, &length);
    if (!data && !PyErr_ExceptionMatches(PyExc_UnicodeError)) return NULL;
    if (data && strlen(data) == (size_t)length) return data;
    PyErr_Clear();
    weir__py_fail(WEIR_EOPTION, "%s has a character in it that cannot be sent (NUL, or a lone surrogate)",
                  what);
    return NULL;
}

int weir__py_option_value(const char *name, PyObject *object, weir_value *out) {
    *out = (weir_value){.type = WEIR_TYPE_NULL};
    if (object == Py_None) return 0;
    if (PyBool_Check(object)) {
        out->type = WEIR_TYPE_BOOL;
        out->as.boolean = object == Py_True;
    } else if (PyLong_Check(object)) {
        int overflow;
        out->type = WEIR_TYPE_INT;
        out->as.integer = PyLong_AsLongLongAndOverflow(object, &overflow);
        if (overflow)
            out->as.integer = overflow > 0 ? INT64_MAX : INT64_MIN; /* beyond every limit, as it is */
    } else if (PyFloat_Check(object)) {
        out->type = WEIR_TYPE_FLOAT;
        out->as.real = PyFloat_AS_DOUBLE(object);
    } else if (PyUnicode_Check(object)) {
        out->type = WEIR_TYPE_TEXT;
        out->as.bytes.data = weir__py_text(name, object);
        if (!out->as.bytes.data) return -1;
        out->as.bytes.length = strlen(out->as.bytes.data);
    } else {
        weir__py_fail(WEIR_EOPTION, "%s cannot be of type %s", name, Py_TYPE(object)->tp_name);
        return -1;
    }
    return 0;
}

/* ---- snapshots ---- */

/* Puts value, a new reference or NULL with an exception, into the dict. */
static int put(PyObject *dict, const char *key, PyObject *value) {
    if (!value) return -1;
    int rc = PyDict_SetItemString(dict, key, value);
    Py_DECREF(value);
    return rc;
}

static PyObject *buckets_of(const weir_histogram *histogram) {
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < WEIR_HISTOGRAM_BUCKETS; i++) {
        PyObject *bound = PyFloat_FromDouble(weir_histogram_bound(i));
        PyObject *count = PyLong_FromUnsignedLongLong(histogram->buckets[i]);
        if (!bound || !count || PyDict_SetItem(dict, bound, count) < 0) Py_CLEAR(dict);
        Py_XDECREF(bound);
        Py_XDECREF(count);
    }
    return dict;
}

static PyObject *latency_of(const weir_histogram *histogram) {
    PyObject *dict = PyDict_New();
    if (!dict) return NULL;
    if (put(dict, "count", PyLong_FromUnsignedLongLong(histogram->count)) == 0 &&
        put(dict, "sum", PyFloat_FromDouble(histogram->sum)) == 0 &&
        put(dict, "max", PyFloat_FromDouble(histogram->max)) == 0 &&
        put(dict, "p50", PyFloat_FromDouble(histogram->p50)) == 0 &&
        put(dict, "p90", PyFloat_FromDouble(histogram->p90)) == 0 &&
        put(dict, "p99", PyFloat_FromDouble(histogram->p99)) == 0 &&
        put(dict, "p999", PyFloat_FromDouble(histogram->p999)) == 0 &&
        put(dict, "buckets", buckets_of(histogram)) == 0)
        return dict;
    Py_DECREF(dict);
    return NULL;
}

static PyObject *metric_of(const void *snapshot, const weir_metric_info *info) {
    const char *field = (const char *)snapshot + info->offset;
    switch (info->kind) {
    case WEIR_METRIC_GAUGE:
        return PyLong_FromLongLong(*(const int64_t *)field);
    case WEIR_METRIC_COUNTER:
        return PyLong_FromUnsignedLongLong(*(const uint64_t *)field);
    case WEIR_METRIC_LATENCY:
        return latency_of((const weir_histogram *)field);
    case WEIR_METRIC_RATIO:
        return PyFloat_FromDouble(*(const double *)field);
    case WEIR_METRIC_TIME:
        if (*(const int64_t *)field < 0) Py_RETURN_NONE;
        return PyFloat_FromDouble((double)*(const int64_t *)field / 1000.0);
    }
    return weir__py_fail(WEIR_EINTERNAL, "a metric of the unknown kind %d", (int)info->kind);
}

static PyObject *fill(PyObject *dict, const void *snapshot, bool (*table)(size_t, weir_metric_info *)) {
    weir_metric_info info;
    for (size_t row = 0; dict && table(row, &info); row++)
        if (put(dict, info.name, metric_of(snapshot, &info)) < 0) Py_CLEAR(dict);
    return dict;
}

PyObject *weir__py_snapshot(const weir_snapshot *snapshot) {
    return fill(PyDict_New(), snapshot, weir_metric_table);
}

PyObject *weir__py_breaker_snapshot(const weir_breaker_snapshot *snapshot) {
    const char *failure = *snapshot->last_failure ? snapshot->last_failure : NULL;
    PyObject *dict =
        Py_BuildValue("{sssz}", "state", weir_breaker_state_name(snapshot->state), "last_failure", failure);
    return fill(dict, snapshot, weir_breaker_metric_table);
}

/* ---- the table of options ---- */

PyObject *weir__py_option_row(const weir_option_info *info) {
    PyObject *initial = weir__py_from_value(NULL, &info->initial);
    if (!initial) return NULL;
    return Py_BuildValue("(siNNddzs)", info->name, (int)info->kind, PyBool_FromLong(info->nullable), initial,
                         info->least, info->most, info->choices, info->text);
}
