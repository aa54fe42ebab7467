/* Arrays between the core and Python's lists, nested for each dimension. */
#include "weir_py.h"

/* ---- from the database */

static PyObject *from_dimension(weir__py_reader *reader, const weir_array *array, int dimension,
                                const weir_value **next) {
    Py_ssize_t length = array->dimensions ? array->lengths[dimension] : 0;
    PyObject *list = PyList_New(length);
    for (Py_ssize_t i = 0; list && i < length; i++) {
        PyObject *item = dimension + 1 < array->dimensions
                             ? from_dimension(reader, array, dimension + 1, next)
                             : weir__py_from_value(reader, (*next)++);
        if (item)
            PyList_SET_ITEM(list, i, item);
        else
            Py_CLEAR(list);
    }
    return list;
}

PyObject *weir__py_from_array(weir__py_reader *reader, const weir_array *array) {
    const weir_value *next = array->items;
    return from_dimension(reader, array, 0, &next);
}

/* ---- to the database */

typedef struct builder {
    weir__py_writer *writer;
    weir_array *array; /* a length of -1 is not known yet */
    weir_value *items;
    size_t room;
    int deepest;     /* how many dimensions the lists have */
    const char *odd; /* why it is no array */
} builder;

/* Memory that lives as long as the writer. */
static void *take(weir__py_writer *writer, size_t size) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    return weir__py_hold(writer, bytes) < 0 ? NULL : PyBytes_AS_STRING(bytes);
}

static int refuse(builder *b, const char *what) {
    b->odd = what;
    return -1;
}

static weir_value *new_item(builder *b) {
    if (b->array->count == b->room) {
        size_t room = b->room ? 2 * b->room : 16;
        weir_value *items = PyMem_Realloc(b->items, room * sizeof *items);
        if (!items) {
            PyErr_NoMemory();
            return NULL;
        }
        b->items = items;
        b->room = room;
    }
    return &b->items[b->array->count];
}

static int add_item(builder *b, PyObject *object, int depth) {
    if (!b->array->dimensions) b->array->dimensions = depth;
    if (b->array->dimensions != depth) return refuse(b, "that has lists beside values");
    weir_value value; /* writing it may run Python code; the items may move */
    if (weir__py_to_value(b->writer, object, &value) < 0) return -1;
    weir_value *item = new_item(b);
    if (!item) return -1;
    *item = value;
    b->array->count++;
    return 0;
}

static int add_list(builder *b, PyObject *list, int depth) {
    if (depth == WEIR_ARRAY_DIMENSIONS) return refuse(b, "of more than six dimensions");
    /* As it is now: converting an item may run Python code, which may change the list. */
    PyObject *items = PySequence_Tuple(list);
    if (weir__py_hold(b->writer, items) < 0) return -1;
    Py_ssize_t length = PyTuple_GET_SIZE(items);
    int rc = 0;
    if (length > INT32_MAX) return refuse(b, "of too many items");
    if (!length && depth) return refuse(b, "that has empty lists in it");
    if (b->array->lengths[depth] == -1) b->array->lengths[depth] = (int32_t)length;
    if (b->array->lengths[depth] != length) return refuse(b, "whose inner lists are not all of one length");
    if (depth + 1 > b->deepest) b->deepest = depth + 1;
    for (Py_ssize_t i = 0; rc == 0 && i < length; i++) {
        PyObject *item = PyTuple_GET_ITEM(items, i);
        rc = PyList_Check(item) ? add_list(b, item, depth + 1) : add_item(b, item, depth + 1);
    }
    return rc;
}

/* What no array can be may be meant as JSON. */
static int as_json(builder *b, PyObject *list, weir_value *out) {
    if (weir__py_to_json(b->writer, list, out) == 0) return 0;
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError) &&
        !PyErr_ExceptionMatches(PyExc_RecursionError))
        return -1;
    PyErr_Clear();
    weir__py_fail(WEIR_EINVAL, "parameter $%zd is a list %s, and cannot be written as JSON either",
                  b->writer->number, b->odd);
    return -1;
}

static int finish(builder *b, weir_value *out) {
    size_t size = b->array->count * sizeof *b->items;
    weir_value *items = take(b->writer, size);
    if (!items) return -1;
    if (size) memcpy(items, b->items, size);
    b->array->items = items;
    *out = (weir_value){.type = WEIR_TYPE_ARRAY, .as.array = b->array};
    return 0;
}

int weir__py_list_value(weir__py_writer *writer, PyObject *list, weir_value *out) {
    builder b = {.writer = writer, .array = take(writer, sizeof *b.array)};
    if (!b.array) return -1;
    if (writer->depth == WEIR_VALUE_DEPTH) {
        weir__py_fail(WEIR_EINVAL, "parameter $%zd is nested too deep", writer->number);
        return -1;
    }
    *b.array = (weir_array){0};
    for (int i = 0; i < WEIR_ARRAY_DIMENSIONS; i++) {
        b.array->lengths[i] = -1;
        b.array->lower[i] = 1;
    }
    writer->depth++;
    int rc = add_list(&b, list, 0);
    writer->depth--;
    if (rc == 0 && b.array->count && b.array->dimensions != b.deepest)
        rc = refuse(&b, "that has lists beside values");
    rc = rc == 0 ? finish(&b, out) : b.odd ? as_json(&b, list, out) : -1;
    PyMem_Free(b.items);
    return rc;
}
