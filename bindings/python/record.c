/*
 * Record: a row. A tuple that knows its columns' names; the names are shared by all rows of a result, and by
 * results of the same shape. Rows hold nothing that leads back to them (numbers, text, lists of these …)
 * unless the user puts it there, so the garbage collector need not see them.
 */
#include "weir_py.h"

/* The columns of a result. */
typedef struct ColumnsObject {
    PyObject ob_base;
    PyObject *names; /* a tuple of str */
    PyObject *index; /* a dict: name -> int; of equal names the last */
} ColumnsObject;

typedef struct RecordObject {
    PyVarObject ob_base;
    ColumnsObject *columns;
    PyObject *values[];
} RecordObject;

#define COLUMNS_KEPT 64 /* a power of two */
static ColumnsObject *kept[COLUMNS_KEPT];

/* ---- Columns ---- */

/* Takes over names, a tuple of str. */
static ColumnsObject *columns_new(PyObject *names) {
    ColumnsObject *columns = PyObject_GC_New(ColumnsObject, weir__py.columns);
    if (!columns) {
        Py_DECREF(names);
        return NULL;
    }
    columns->names = names;
    columns->index = PyDict_New();
    for (Py_ssize_t i = 0; columns->index && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *number = PyLong_FromSsize_t(i);
        if (!number || PyDict_SetItem(columns->index, PyTuple_GET_ITEM(names, i), number) < 0)
            Py_CLEAR(columns->index);
        Py_XDECREF(number);
    }
    PyObject_GC_Track(columns);
    if (columns->index) return columns;
    Py_DECREF(columns);
    return NULL;
}

static PyObject *columns_create(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    (void)type;
    PyObject *names;
    if (keywords || !PyArg_ParseTuple(arguments, "O!:Columns", &PyTuple_Type, &names)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "Columns() takes no keyword arguments");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        if (PyUnicode_Check(PyTuple_GET_ITEM(names, i))) continue;
        PyErr_SetString(PyExc_TypeError, "the names of columns must be str");
        return NULL;
    }
    return (PyObject *)columns_new(Py_NewRef(names));
}

static int columns_traverse(PyObject *self, visitproc visit, void *arg) {
    ColumnsObject *columns = (ColumnsObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(columns->names);
    Py_VISIT(columns->index);
    return 0;
}

static int columns_clear(PyObject *self) {
    Py_CLEAR(((ColumnsObject *)self)->index); /* the names stay: they are atoms, and rows want them */
    return 0;
}

static void columns_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    columns_clear(self);
    Py_XDECREF(((ColumnsObject *)self)->names);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *columns_reduce(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_BuildValue("O(O)", Py_TYPE(self), ((ColumnsObject *)self)->names);
}

static PyMethodDef columns_methods[] = {{"__reduce__", columns_reduce, METH_NOARGS, NULL}, {0}};
static PyType_Slot columns_slots[] = {
    {Py_tp_doc, "The columns of a result, shared by its records. Internal."},
    {Py_tp_new, columns_create},
    {Py_tp_traverse, columns_traverse},
    {Py_tp_clear, columns_clear},
    {Py_tp_dealloc, columns_dealloc},
    {Py_tp_methods, columns_methods},
    {0, NULL}};
static PyType_Spec columns_spec = {"weirpool._core.Columns", sizeof(ColumnsObject), 0,
                                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
                                   columns_slots};

/* Where names come from: a result's columns, or a list's fields. */
typedef struct source {
    const weir_result *result; /* or NULL */
    const char *const *names;
    size_t count;
} source;

static const char *name_at(const source *from, size_t i) {
    return from->result ? weir_result_name(from->result, i) : from->names[i];
}

static bool same_columns(const ColumnsObject *columns, const source *from) {
    if (!columns || (size_t)PyTuple_GET_SIZE(columns->names) != from->count) return false;
    for (size_t i = 0; i < from->count; i++) {
        const char *name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(columns->names, i)); /* kept in the str */
        if (!name) {
            PyErr_Clear();
            return false;
        }
        if (strcmp(name, name_at(from, i)) != 0) return false;
    }
    return true;
}

/* Borrowed from the table of kept ones. */
static ColumnsObject *columns_from(const source *from) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < from->count; i++)
        for (const char *c = name_at(from, i);; c++) {
            hash = (hash ^ (unsigned char)*c) * 16777619u;
            if (!*c) break;
        }
    ColumnsObject **place = &kept[(hash ^ hash >> 16) & (COLUMNS_KEPT - 1)];
    if (same_columns(*place, from)) return *place;
    PyObject *names = PyTuple_New((Py_ssize_t)from->count);
    for (size_t i = 0; names && i < from->count; i++) {
        const char *name = name_at(from, i);
        PyObject *text = PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "surrogateescape");
        if (text) PyUnicode_InternInPlace(&text);
        if (text)
            PyTuple_SET_ITEM(names, (Py_ssize_t)i, text);
        else
            Py_CLEAR(names);
    }
    ColumnsObject *columns = names ? columns_new(names) : NULL;
    if (columns) Py_XSETREF(*place, columns);
    return columns;
}

static ColumnsObject *columns_of(const weir_result *result) {
    source from = {.result = result, .count = weir_result_columns(result)};
    return columns_from(&from);
}

/* ---- Record: making ---- */

static RecordObject *record_new(ColumnsObject *columns) {
    Py_ssize_t count = PyTuple_GET_SIZE(columns->names);
    RecordObject *record = PyObject_NewVar(RecordObject, weir__py.record, count);
    if (!record) return NULL;
    record->columns = (ColumnsObject *)Py_NewRef((PyObject *)columns);
    memset(record->values, 0, (size_t)count * sizeof *record->values);
    return record;
}

static RecordObject *record_fill(RecordObject *record, weir_result *result, size_t row,
                                 const weir__py_codecs *codecs) {
    for (Py_ssize_t i = 0; record && i < Py_SIZE(record); i++) {
        record->values[i] = weir__py_cell(result, row, (size_t)i, codecs);
        if (!record->values[i]) Py_CLEAR(record);
    }
    return record;
}

PyObject *weir__py_record(weir_result *result, size_t row, const weir__py_codecs *codecs) {
    ColumnsObject *columns = columns_of(result);
    return columns ? (PyObject *)record_fill(record_new(columns), result, row, codecs) : NULL;
}

static PyObject *plain_row(weir__py_reader *reader, const weir_list *list) {
    PyObject *tuple = PyTuple_New((Py_ssize_t)list->count);
    for (size_t i = 0; tuple && i < list->count; i++) {
        PyObject *item = weir__py_from_value(reader, &list->items[i]);
        if (item)
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, item);
        else
            Py_CLEAR(tuple);
    }
    return tuple;
}

PyObject *weir__py_row(weir__py_reader *reader, const weir_list *list) {
    if (!list->names) return plain_row(reader, list);
    source from = {.names = list->names, .count = list->count};
    ColumnsObject *columns = columns_from(&from);
    RecordObject *record = columns ? record_new(columns) : NULL;
    for (size_t i = 0; record && i < list->count; i++) {
        record->values[i] = weir__py_from_value(reader, &list->items[i]);
        if (!record->values[i]) Py_CLEAR(record);
    }
    return (PyObject *)record;
}

PyObject *const *weir__py_record_values(PyObject *object) {
    return Py_IS_TYPE(object, weir__py.record) ? ((RecordObject *)object)->values : NULL;
}

PyObject *weir__py_records(weir_result *result, const weir__py_codecs *codecs) {
    size_t rows = weir_result_rows(result);
    ColumnsObject *columns = rows ? columns_of(result) : NULL;
    if (rows && !columns) return NULL;
    PyObject *list = PyList_New((Py_ssize_t)rows);
    if (!list) return NULL;
    Py_XINCREF((PyObject *)columns); /* a finalizer's own query may take its place in the table */
    for (size_t row = 0; list && row < rows; row++) {
        RecordObject *record = record_fill(record_new(columns), result, row, codecs);
        if (record)
            PyList_SET_ITEM(list, (Py_ssize_t)row, (PyObject *)record);
        else
            Py_CLEAR(list);
    }
    Py_XDECREF((PyObject *)columns);
    return list;
}

/* _make_record(columns, values): what a pickled record is made from. */
static PyObject *make_record(PyObject *module, PyObject *arguments) {
    (void)module;
    ColumnsObject *columns;
    PyObject *values;
    if (!PyArg_ParseTuple(arguments, "O!O!:_make_record", weir__py.columns, &columns, &PyTuple_Type, &values))
        return NULL;
    if (PyTuple_GET_SIZE(values) != PyTuple_GET_SIZE(columns->names)) {
        PyErr_SetString(PyExc_ValueError, "a record needs one value for each column");
        return NULL;
    }
    RecordObject *record = record_new(columns);
    for (Py_ssize_t i = 0; record && i < Py_SIZE(record); i++)
        record->values[i] = Py_NewRef(PyTuple_GET_ITEM(values, i));
    return (PyObject *)record;
}

static void record_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    RecordObject *record = (RecordObject *)self;
    for (Py_ssize_t i = 0; i < Py_SIZE(record); i++) Py_XDECREF(record->values[i]);
    Py_DECREF((PyObject *)record->columns);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- Record: reading ---- */

static PyObject *as_tuple(RecordObject *record, Py_ssize_t from, Py_ssize_t count, Py_ssize_t step) {
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple && i < count; i++)
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(record->values[from + i * step]));
    return tuple;
}

static Py_ssize_t record_length(PyObject *self) { return Py_SIZE(self); }

static PyObject *record_item(PyObject *self, Py_ssize_t i) {
    if (i >= 0 && i < Py_SIZE(self)) return Py_NewRef(((RecordObject *)self)->values[i]);
    PyErr_SetString(PyExc_IndexError, "record index out of range");
    return NULL;
}

/* The column's number; -1: there is none, or -2 with an exception. */
static Py_ssize_t find_column(RecordObject *record, PyObject *name) {
    PyObject *index = record->columns->index;
    PyObject *number = index ? PyDict_GetItemWithError(index, name) : NULL;
    if (number) return PyLong_AsSsize_t(number);
    return PyErr_Occurred() ? -2 : -1;
}

static PyObject *record_subscript(PyObject *self, PyObject *key) {
    RecordObject *record = (RecordObject *)self;
    if (PyUnicode_Check(key)) {
        Py_ssize_t found = find_column(record, key);
        if (found >= 0) return Py_NewRef(record->values[found]);
        if (found == -1) PyErr_SetObject(PyExc_KeyError, key);
        return NULL;
    }
    if (PySlice_Check(key)) {
        Py_ssize_t start, stop, step;
        if (PySlice_Unpack(key, &start, &stop, &step) < 0) return NULL;
        Py_ssize_t count = PySlice_AdjustIndices(Py_SIZE(self), &start, &stop, step);
        return as_tuple(record, start, count, step);
    }
    if (!PyIndex_Check(key)) {
        PyErr_Format(PyExc_TypeError, "a record is read by int, slice or str, not by %s",
                     Py_TYPE(key)->tp_name);
        return NULL;
    }
    Py_ssize_t i = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred()) return NULL;
    return record_item(self, i < 0 ? i + Py_SIZE(self) : i);
}

static int record_contains(PyObject *self, PyObject *wanted) {
    RecordObject *record = (RecordObject *)self;
    int found = 0;
    for (Py_ssize_t i = 0; found == 0 && i < Py_SIZE(self); i++)
        found = PyObject_RichCompareBool(record->values[i], wanted, Py_EQ);
    return found;
}

static Py_hash_t record_hash(PyObject *self) {
    PyObject *tuple = as_tuple((RecordObject *)self, 0, Py_SIZE(self), 1); /* a record equals its tuple */
    if (!tuple) return -1;
    Py_hash_t hash = PyObject_Hash(tuple);
    Py_DECREF(tuple);
    return hash;
}

static PyObject *record_compare(PyObject *self, PyObject *other, int how) {
    bool record = Py_IS_TYPE(other, weir__py.record);
    if (!record && !PyTuple_Check(other)) Py_RETURN_NOTIMPLEMENTED;
    PyObject *left = as_tuple((RecordObject *)self, 0, Py_SIZE(self), 1);
    PyObject *right = record ? as_tuple((RecordObject *)other, 0, Py_SIZE(other), 1) : Py_NewRef(other);
    PyObject *answer = left && right ? PyObject_RichCompare(left, right, how) : NULL;
    Py_XDECREF(left);
    Py_XDECREF(right);
    return answer;
}

static PyObject *record_iterate(PyObject *self) {
    PyObject *tuple = as_tuple((RecordObject *)self, 0, Py_SIZE(self), 1);
    if (!tuple) return NULL;
    PyObject *iterator = PyObject_GetIter(tuple);
    Py_DECREF(tuple);
    return iterator;
}

static PyObject *record_repr(PyObject *self) {
    RecordObject *record = (RecordObject *)self;
    PyObject *parts = PyList_New(0);
    for (Py_ssize_t i = 0; parts && i < Py_SIZE(self); i++) {
        PyObject *part =
            PyUnicode_FromFormat(" %U=%R", PyTuple_GET_ITEM(record->columns->names, i), record->values[i]);
        if (!part || PyList_Append(parts, part) < 0) Py_CLEAR(parts);
        Py_XDECREF(part);
    }
    PyObject *nothing = parts ? PyUnicode_New(0, 0) : NULL;
    PyObject *joined = nothing ? PyUnicode_Join(nothing, parts) : NULL;
    PyObject *repr = joined ? PyUnicode_FromFormat("<Record%U>", joined) : NULL;
    Py_XDECREF(parts);
    Py_XDECREF(nothing);
    Py_XDECREF(joined);
    return repr;
}

static PyObject *record_keys(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_NewRef(((RecordObject *)self)->columns->names);
}

static PyObject *record_values(PyObject *self, PyObject *unused) {
    (void)unused;
    return as_tuple((RecordObject *)self, 0, Py_SIZE(self), 1);
}

static PyObject *record_items(PyObject *self, PyObject *unused) {
    (void)unused;
    RecordObject *record = (RecordObject *)self;
    PyObject *items = PyTuple_New(Py_SIZE(self));
    for (Py_ssize_t i = 0; items && i < Py_SIZE(self); i++) {
        PyObject *pair = PyTuple_Pack(2, PyTuple_GET_ITEM(record->columns->names, i), record->values[i]);
        if (pair)
            PyTuple_SET_ITEM(items, i, pair);
        else
            Py_CLEAR(items);
    }
    return items;
}

static PyObject *record_get(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    if (count != 1 && count != 2) {
        PyErr_SetString(PyExc_TypeError, "get() takes a name and, optionally, a default");
        return NULL;
    }
    Py_ssize_t found = find_column((RecordObject *)self, arguments[0]);
    if (found == -2) return NULL;
    if (found >= 0) return Py_NewRef(((RecordObject *)self)->values[found]);
    return Py_NewRef(count == 2 ? arguments[1] : Py_None);
}

static PyObject *record_reduce(PyObject *self, PyObject *unused) {
    (void)unused;
    static PyObject *make;
    PyObject *function = weir__py_lazy(&make, "weirpool._core", "_make_record");
    PyObject *values = function ? record_values(self, NULL) : NULL;
    return values ? Py_BuildValue("O(ON)", function, ((RecordObject *)self)->columns, values) : NULL;
}

static PyMethodDef record_methods[] = {
    {"keys", record_keys, METH_NOARGS, "keys($self, /)\n--\n\nThe names of the columns, a tuple."},
    {"values", record_values, METH_NOARGS, "values($self, /)\n--\n\nThe values, a tuple."},
    {"items", record_items, METH_NOARGS, "items($self, /)\n--\n\nPairs of name and value, a tuple."},
    {"get", (PyCFunction)(void (*)(void))record_get, METH_FASTCALL,
     "get($self, name, default=None, /)\n--\n\nThe value of the column of that name, or the default when "
     "there is none."},
    {"__reduce__", record_reduce, METH_NOARGS, NULL},
    {0}};
static PyType_Slot record_slots[] = {
    {Py_tp_doc,
     "A row: a tuple of values that also answers to the columns' names.\n\n"
     "record[0], record[-1], record[1:3], record[\"name\"], len(), iteration, comparison and hash are a "
     "tuple's;\n"
     "dict(record) gives names and values. Of several columns of one name, the name means the last."},
    {Py_tp_dealloc, record_dealloc},
    {Py_tp_repr, record_repr},
    {Py_tp_hash, record_hash},
    {Py_tp_richcompare, record_compare},
    {Py_tp_iter, record_iterate},
    {Py_tp_methods, record_methods},
    {Py_sq_length, record_length},
    {Py_sq_item, record_item},
    {Py_sq_contains, record_contains},
    {Py_mp_length, record_length},
    {Py_mp_subscript, record_subscript},
    {0, NULL}};
static PyType_Spec record_spec = {
    "weirpool.Record", offsetof(RecordObject, values), sizeof(PyObject *),
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, record_slots};

static PyMethodDef functions[] = {
    {"_make_record", make_record, METH_VARARGS, "What a pickled Record is made from."}, {0}};

int weir__py_record_types(PyObject *module) {
    for (int i = 0; i < COLUMNS_KEPT; i++)
        Py_CLEAR(kept[i]); /* of a module that was loaded before this one */
    if (!(weir__py.columns = weir__py_type(module, &columns_spec, NULL))) return -1;
    if (!(weir__py.record = weir__py_type(module, &record_spec, NULL))) return -1;
    return PyModule_AddFunctions(module, functions);
}
