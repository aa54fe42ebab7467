/* Arrays between the core and Python's lists, nested for each dimension. */
#include "weir_py.h"

/* ---- from the database */

static PyObject *from_dimension(const weir_array *array, int dimension, const weir_value **next) {
    Py_ssize_t length = array->dimensions ? array->lengths[dimension] : 0;
    PyObject *list = PyList_New(length);
    for (Py_ssize_t i = 0; list && i < length; i++) {
        PyObject *item = dimension + 1 < array->dimensions ? from_dimension(array, dimension + 1, next)
                                                           : weir__py_from_value((*next)++);
        if (item)
            PyList_SET_ITEM(list, i, item);
        else
            Py_CLEAR(list);
    }
    return list;
}

PyObject *weir__py_from_array(const weir_array *array) {
    const weir_value *next = array->items;
    return from_dimension(array, 0, &next);
}

/* ---- to the database */

typedef struct builder {
    weir_array array; /* a length of -1 is not known yet */
    weir_value *items;
    size_t room;
    int deepest;    /* how many dimensions the lists have */
    PyObject *keep; /* a list of what the items borrow from */
    Py_ssize_t number;
} builder;

static int refuse(const builder *b, const char *what) {
    weir__py_fail(WEIR_EINVAL, "parameter $%zd is a list %s", b->number, what);
    return -1;
}

static weir_value *new_item(builder *b) {
    if (b->array.count == b->room) {
        size_t room = b->room ? 2 * b->room : 16;
        weir_value *items = PyMem_Realloc(b->items, room * sizeof *items);
        if (!items) {
            PyErr_NoMemory();
            return NULL;
        }
        b->items = items;
        b->room = room;
    }
    return &b->items[b->array.count++];
}

static int add_item(builder *b, PyObject *object, int depth) {
    if (!b->array.dimensions) b->array.dimensions = depth;
    if (b->array.dimensions != depth) return refuse(b, "that has lists beside values");
    weir_value *item = new_item(b);
    PyObject *keep = NULL;
    int rc = item ? weir__py_to_value(b->number, object, item, &keep) : -1;
    if (keep && rc == 0) rc = PyList_Append(b->keep, keep);
    Py_XDECREF(keep);
    return rc;
}

static int add_list(builder *b, PyObject *list, int depth) {
    if (depth == WEIR_ARRAY_DIMENSIONS) return refuse(b, "of more than six dimensions");
    /* As it is now: converting an item may run Python code, which may change the list. */
    PyObject *items = PySequence_Tuple(list);
    if (!items) return -1;
    int rc = PyList_Append(b->keep, items);
    Py_DECREF(items);
    Py_ssize_t length = PyTuple_GET_SIZE(items);
    if (rc < 0) return -1;
    if (length > INT32_MAX) return refuse(b, "of too many items");
    if (b->array.lengths[depth] == -1) b->array.lengths[depth] = (int32_t)length;
    if (b->array.lengths[depth] != length) return refuse(b, "whose inner lists are not all of one length");
    if (depth + 1 > b->deepest) b->deepest = depth + 1;
    for (Py_ssize_t i = 0; rc == 0 && i < length; i++) {
        PyObject *item = PyTuple_GET_ITEM(items, i);
        rc = PyList_Check(item) || PyTuple_Check(item) ? add_list(b, item, depth + 1)
                                                       : add_item(b, item, depth + 1);
    }
    return rc;
}

int weir__py_add_array(weir_statement *statement, Py_ssize_t number, PyObject *list) {
    builder b = {.number = number, .keep = PyList_New(0)};
    for (int i = 0; i < WEIR_ARRAY_DIMENSIONS; i++) {
        b.array.lengths[i] = -1;
        b.array.lower[i] = 1;
    }
    int rc = b.keep ? add_list(&b, list, 0) : -1;
    if (rc == 0 && b.array.count && b.array.dimensions != b.deepest)
        rc = refuse(&b, "that has lists beside values");
    if (rc == 0) {
        b.array.items = b.items;
        weir_value value = {.type = WEIR_TYPE_ARRAY, .as.array = &b.array};
        weir_statement_add(statement, &value);
    }
    PyMem_Free(b.items);
    Py_XDECREF(b.keep);
    return rc;
}
