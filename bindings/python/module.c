/* What belongs to the module as a whole: its names, its types, and its knowledge of forks. */
#include "weir_py.h"

#include <pthread.h>

weir__py_globals weir__py;

static unsigned forks;

static void count_fork(void) { forks++; }

unsigned weir__py_forks(void) { return forks; }

/* The slots that are filled: with the attributes of the package that was loaded first, which are not those of
 * one that is loaded after it (sys.modules was cleared). */
#define LAZY_MOST 64
static PyObject **lazy[LAZY_MOST];
static int lazy_count;

static void forget_lazy(void) {
    for (; lazy_count; lazy_count--) Py_CLEAR(*lazy[lazy_count - 1]);
}

PyObject *weir__py_lazy(PyObject **slot, const char *module, const char *name) {
    if (*slot) return *slot;
    PyObject *imported = PyImport_ImportModule(module);
    if (!imported) return NULL;
    PyObject *found = PyObject_GetAttrString(imported, name);
    Py_DECREF(imported);
    if (found && *slot) { /* the import let another thread come first */
        Py_DECREF(found);
        return *slot;
    }
    if (found && lazy_count < LAZY_MOST) lazy[lazy_count++] = slot;
    return *slot = found;
}

static int find_name(PyObject *wanted, PyObject *const names[], int count) {
    for (int i = 0; i < count; i++)
        if (names[i] == wanted) return i;
    for (int i = 0; i < count; i++)
        if (PyUnicode_Compare(names[i], wanted) == 0) return i;
    return -1;
}

int weir__py_keywords(const char *function, PyObject *const *arguments, PyObject *kwnames,
                      PyObject *const names[], PyObject *values[], int count) {
    for (int i = 0; i < count; i++) values[i] = NULL;
    Py_ssize_t given = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < given; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        int found = find_name(name, names, count);
        if (found < 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", function, name);
            return -1;
        }
        values[found] = arguments[i];
    }
    return 0;
}

static int make_names(void) {
#define MAKE(name)                                                                                           \
    if (!weir__py.name && !(weir__py.name = PyUnicode_InternFromString(#name))) return -1;
    WEIR__PY_NAMES(MAKE)
#undef MAKE
    return 0;
}

int weir__py_add_types(PyObject *module) {
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "weirpool works in the main interpreter only");
        return -1;
    }
    static bool watching;
    if (!watching && pthread_atfork(NULL, NULL, count_fork) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    watching = true;
    forget_lazy();
    if (make_names() < 0 || weir__py_kinds() < 0) return -1;
    if (weir__py_record_types(module) < 0 || weir__py_engine_types(module) < 0) return -1;
    if (weir__py_operation_types(module) < 0 || weir__py_checkout_types(module) < 0) return -1;
    if (weir__py_sync_types(module) < 0 || weir__py_retry_types(module) < 0) return -1;
    if (weir__py_stream_types(module) < 0) return -1;
    if (weir__py_session_types(module) < 0 || weir__py_breaker_types(module) < 0) return -1;
    return weir__py_pool_types(module);
}

PyTypeObject *weir__py_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base) {
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    if (!type) return NULL;
    if (PyModule_AddType(module, type) < 0) {
        Py_DECREF(type);
        return NULL;
    }
    return type;
}
