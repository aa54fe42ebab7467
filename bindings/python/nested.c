/* Ranges, rows within cells, JSON, maps, and values that the user's codecs read and write. */
#include "weir_py.h"

/* ---- from the database */

static PyObject *text_of(const weir_value *value) {
    return PyUnicode_DecodeUTF8(value->as.bytes.data, (Py_ssize_t)value->as.bytes.length, NULL);
}

static PyObject *from_json(const weir_value *value) {
    static PyObject *loads;
    PyObject *function = weir__py_lazy(&loads, "json", "loads"), *text = function ? text_of(value) : NULL;
    PyObject *made = text ? PyObject_CallOneArg(function, text) : NULL;
    Py_XDECREF(text);
    return made;
}

static PyObject *range_type(void) {
    static PyObject *type;
    return weir__py_lazy(&type, "weirpool._values", "Range");
}

static PyObject *from_range(weir__py_reader *reader, const weir_range *range) {
    PyObject *type = range_type();
    PyObject *lower = type ? weir__py_from_value(reader, &range->lower) : NULL;
    PyObject *upper = lower ? weir__py_from_value(reader, &range->upper) : NULL;
    PyObject *made = NULL;
    if (upper) {
        PyObject *const arguments[] = {lower, upper, range->lower_inc ? Py_True : Py_False,
                                       range->upper_inc ? Py_True : Py_False,
                                       range->empty ? Py_True : Py_False};
        made = PyObject_Vectorcall(type, arguments, 5, NULL);
    }
    Py_XDECREF(lower);
    Py_XDECREF(upper);
    return made;
}

static PyObject *from_ranges(weir__py_reader *reader, const weir_list *ranges) {
    PyObject *list = PyList_New((Py_ssize_t)ranges->count);
    for (size_t i = 0; list && i < ranges->count; i++) {
        PyObject *range = weir__py_from_value(reader, &ranges->items[i]);
        if (range)
            PyList_SET_ITEM(list, (Py_ssize_t)i, range);
        else
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *from_map(weir__py_reader *reader, const weir_list *map) {
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < map->count; i += 2) {
        PyObject *key = weir__py_from_value(reader, &map->items[i]);
        PyObject *value = key ? weir__py_from_value(reader, &map->items[i + 1]) : NULL;
        if (!value || PyDict_SetItem(dict, key, value) < 0) Py_CLEAR(dict);
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return dict;
}

static PyObject *from_raw(weir__py_reader *reader, const weir_value *value) {
    PyObject *codec = reader && reader->codecs->list && value->codec < PyTuple_GET_SIZE(reader->codecs->list)
                          ? PyTuple_GET_ITEM(reader->codecs->list, value->codec)
                          : NULL;
    if (!codec) return weir__py_fail(WEIR_EINTERNAL, "a value of the unknown codec %d", (int)value->codec);
    PyObject *decoder = PyObject_GetAttrString(codec, "decoder");
    PyObject *data = NULL, *made = NULL;
    if (decoder)
        data = value->binary
                   ? PyBytes_FromStringAndSize(value->as.bytes.data, (Py_ssize_t)value->as.bytes.length)
                   : text_of(value);
    PyObject *binary = data ? PyObject_GetAttrString(codec, "binary") : NULL;
    if (binary && (binary == Py_True) != value->binary) {
        weir__py_fail(WEIR_EVALUE,
                      "a codec wants the binary form, but the statement's results came as text: another "
                      "of its columns has no binary form, or statement_cache_size is 0");
        reader->foreign = true;
    } else if (binary && decoder == Py_None) {
        made = Py_NewRef(data);
    } else if (binary) {
        made = PyObject_CallOneArg(decoder, data);
        reader->foreign = !made;
        if (!made) weir__py_bar_stop("a codec's decoder");
    }
    Py_XDECREF(binary);
    Py_XDECREF(decoder);
    Py_XDECREF(data);
    return made;
}

PyObject *weir__py_from_nested(weir__py_reader *reader, const weir_value *value) {
    switch (value->type) {
    case WEIR_TYPE_JSON:
        return from_json(value);
    case WEIR_TYPE_RANGE:
        return from_range(reader, value->as.range);
    case WEIR_TYPE_MULTIRANGE:
        return from_ranges(reader, value->as.list);
    case WEIR_TYPE_RECORD:
        return weir__py_row(reader, value->as.list);
    case WEIR_TYPE_MAP:
        return from_map(reader, value->as.list);
    case WEIR_TYPE_RAW:
        return from_raw(reader, value);
    default:
        return weir__py_fail(WEIR_EVALUE, "a value of the unknown kind %d", (int)value->type);
    }
}

/* ---- to the database */

static void *take(weir__py_writer *writer, size_t size) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    return weir__py_hold(writer, bytes) < 0 ? NULL : PyBytes_AS_STRING(bytes);
}

static int give_text(weir__py_writer *writer, weir_type type, PyObject *text, weir_value *out) {
    Py_ssize_t length;
    const char *data = PyUnicode_AsUTF8AndSize(text, &length);
    *out = (weir_value){.type = type, .as.bytes = {data, (size_t)length}};
    if (data) return 0;
    if (!PyErr_ExceptionMatches(PyExc_UnicodeError)) return -1;
    PyErr_Clear();
    weir__py_fail(WEIR_EINVAL, "parameter $%zd has text in it that has no UTF-8 form (a lone surrogate)",
                  writer->number);
    return -1;
}

int weir__py_to_json(weir__py_writer *writer, PyObject *object, weir_value *out) {
    static PyObject *dumps;
    PyObject *function = weir__py_lazy(&dumps, "weirpool._values", "dumps");
    PyObject *text = function ? PyObject_CallOneArg(function, object) : NULL;
    if (weir__py_hold(writer, text) < 0) return -1;
    return give_text(writer, WEIR_TYPE_JSON, text, out);
}

/* What json.dumps cannot write is the caller's error. */
static int to_json(weir__py_writer *writer, PyObject *object, weir_value *out) {
    if (weir__py_to_json(writer, object, out) == 0) return 1;
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError) &&
        !PyErr_ExceptionMatches(PyExc_RecursionError))
        return -1;
    PyObject *type, *why, *traceback;
    PyErr_Fetch(&type, &why, &traceback);
    weir__py_fail(WEIR_EINVAL, "parameter $%zd cannot be written as JSON: %S", writer->number,
                  why ? why : type);
    Py_XDECREF(type);
    Py_XDECREF(why);
    Py_XDECREF(traceback);
    return -1;
}

/* A dict of nothing but texts and None: hstore takes such ones, JSON too. */
static bool is_map(PyObject *dict) {
    PyObject *key, *value;
    for (Py_ssize_t place = 0; PyDict_Next(dict, &place, &key, &value);)
        if (!PyUnicode_CheckExact(key) || (value != Py_None && !PyUnicode_CheckExact(value))) return false;
    return true;
}

static int to_map(weir__py_writer *writer, PyObject *dict, weir_value *out) {
    size_t count = 2 * (size_t)PyDict_GET_SIZE(dict), i = 0;
    weir_list *list = take(writer, sizeof *list);
    weir_value *items = list ? take(writer, count * sizeof *items) : NULL;
    PyObject *key, *value;
    if (!items) return -1;
    /* the collector, whom the list of what is held may have called, runs finalizers, which may change the
     * dict */
    for (Py_ssize_t place = 0; i < count && PyDict_Next(dict, &place, &key, &value); i += 2) {
        if (weir__py_hold(writer, Py_NewRef(key)) < 0 || weir__py_hold(writer, Py_NewRef(value)) < 0)
            return -1;
        if (give_text(writer, WEIR_TYPE_TEXT, key, &items[i]) < 0) return -1;
        items[i + 1] = (weir_value){.type = WEIR_TYPE_NULL};
        if (value != Py_None && give_text(writer, WEIR_TYPE_TEXT, value, &items[i + 1]) < 0) return -1;
    }
    *list = (weir_list){.count = i, .items = items};
    *out = (weir_value){.type = WEIR_TYPE_MAP, .as.list = list};
    return 1;
}

static int to_row(weir__py_writer *writer, PyObject *object, weir_value *out) {
    PyObject *const *values = weir__py_record_values(object);
    size_t count = (size_t)Py_SIZE(object);
    if (!values) values = &PyTuple_GET_ITEM(object, 0);
    weir_list *list = take(writer, sizeof *list);
    weir_value *items = list ? take(writer, count * sizeof *items) : NULL;
    if (!items || weir__py_hold(writer, Py_NewRef(object)) < 0) return -1;
    for (size_t i = 0; i < count; i++)
        if (weir__py_to_value(writer, values[i], &items[i]) < 0) return -1;
    *list = (weir_list){.count = count, .items = items};
    *out = (weir_value){.type = WEIR_TYPE_RECORD, .as.list = list};
    return 1;
}

/* Its attribute, held by the writer; NULL with an exception. */
static PyObject *attribute(weir__py_writer *writer, PyObject *object, const char *name) {
    PyObject *value = PyObject_GetAttrString(object, name);
    return weir__py_hold(writer, value) < 0 ? NULL : value;
}

static int to_range(weir__py_writer *writer, PyObject *object, weir_value *out) {
    weir_range *range = take(writer, sizeof *range);
    PyObject *lower = range ? attribute(writer, object, "lower") : NULL;
    PyObject *upper = lower ? attribute(writer, object, "upper") : NULL;
    PyObject *lower_inc = upper ? attribute(writer, object, "lower_inc") : NULL;
    PyObject *upper_inc = lower_inc ? attribute(writer, object, "upper_inc") : NULL;
    PyObject *empty = upper_inc ? attribute(writer, object, "empty") : NULL;
    if (!empty) return -1;
    *range = (weir_range){
        .empty = empty == Py_True, .lower_inc = lower_inc == Py_True, .upper_inc = upper_inc == Py_True};
    if (weir__py_to_value(writer, lower, &range->lower) < 0) return -1;
    if (weir__py_to_value(writer, upper, &range->upper) < 0) return -1;
    *out = (weir_value){.type = WEIR_TYPE_RANGE, .as.range = range};
    return 1;
}

static int to_any(weir__py_writer *writer, PyObject *object, weir_value *out) {
    static PyObject *json;
    if (PyTuple_Check(object) || weir__py_record_values(object)) return to_row(writer, object, out);
    if (PyDict_Check(object))
        return is_map(object) ? to_map(writer, object, out) : to_json(writer, object, out);
    PyObject *type = range_type();
    int is = type ? PyObject_IsInstance(object, type) : -1;
    if (is) return is < 0 ? -1 : to_range(writer, object, out);
    type = weir__py_lazy(&json, "weirpool._values", "Json");
    is = type ? PyObject_IsInstance(object, type) : -1;
    if (is <= 0) return is;
    PyObject *value = attribute(writer, object, "value");
    return value ? to_json(writer, value, out) : -1;
}

int weir__py_to_nested(weir__py_writer *writer, PyObject *object, weir_value *out) {
    if (writer->depth == WEIR_VALUE_DEPTH) {
        weir__py_fail(WEIR_EINVAL, "parameter $%zd is nested too deep", writer->number);
        return -1;
    }
    writer->depth++;
    int known = to_any(writer, object, out);
    writer->depth--;
    return known;
}

/* ---- codecs */

static PyObject *find_encoder(const weir__py_codecs *codecs, PyObject *object) {
    PyObject *mro = Py_TYPE(object)->tp_mro;
    for (Py_ssize_t i = 0; mro && i < PyTuple_GET_SIZE(mro); i++) {
        PyObject *number = PyDict_GetItemWithError(codecs->encoders, PyTuple_GET_ITEM(mro, i));
        if (number || PyErr_Occurred()) return number;
    }
    return NULL;
}

int weir__py_encode(weir__py_writer *writer, PyObject *object, weir_value *out) {
    PyObject *number = find_encoder(writer->codecs, object);
    if (!number) return PyErr_Occurred() ? -1 : 0;
    Py_ssize_t i = PyLong_AsSsize_t(number);
    PyObject *codec = PyTuple_GET_ITEM(writer->codecs->list, i);
    PyObject *encoder = PyObject_GetAttrString(codec, "encoder"), *binary = NULL, *made = NULL;
    if (encoder) binary = PyObject_GetAttrString(codec, "binary");
    if (binary) made = PyObject_CallOneArg(encoder, object);
    bool wants_bytes = binary == Py_True;
    Py_XDECREF(encoder);
    Py_XDECREF(binary);
    if (weir__py_hold(writer, made) < 0) return -1;
    *out = (weir_value){.type = WEIR_TYPE_NULL};
    if (made == Py_None) return 1;
    if (wants_bytes ? !PyBytes_Check(made) : !PyUnicode_Check(made)) {
        weir__py_fail(WEIR_EINVAL, "parameter $%zd: the encoder for %s must give %s or None, not %s",
                      writer->number, Py_TYPE(object)->tp_name, wants_bytes ? "bytes" : "str",
                      Py_TYPE(made)->tp_name);
        return -1;
    }
    if (wants_bytes)
        *out = (weir_value){.as.bytes = {PyBytes_AS_STRING(made), (size_t)PyBytes_GET_SIZE(made)}};
    else if (give_text(writer, WEIR_TYPE_RAW, made, out) < 0)
        return -1;
    out->type = WEIR_TYPE_RAW;
    out->codec = (uint16_t)i;
    out->binary = wants_bytes;
    return 1;
}

/* The type's name or number, and the codec. */
static int set_codec(weir__py_codecs *codecs, Py_ssize_t i, PyObject *type, PyObject *codec, PyObject *kept,
                     weir_codec *out) {
    static PyObject *class_;
    PyObject *wanted = weir__py_lazy(&class_, "weirpool._values", "Codec");
    int is = wanted ? PyObject_IsInstance(codec, wanted) : -1;
    if (is == 0)
        weir__py_fail(WEIR_EOPTION, "codecs: %R must have a weirpool.Codec, not %s", type,
                      Py_TYPE(codec)->tp_name);
    if (is <= 0) return -1;
    PyObject *name = PyLong_Check(type) && !PyBool_Check(type) ? PyObject_Str(type) : Py_NewRef(type);
    out->type = name ? weir__py_text("a type's name in codecs", name) : NULL;
    int rc = out->type ? PyList_Append(kept, name) : -1;
    Py_XDECREF(name);
    PyObject *binary = rc == 0 ? PyObject_GetAttrString(codec, "binary") : NULL;
    PyObject *python_type = binary ? PyObject_GetAttrString(codec, "python_type") : NULL;
    PyObject *number = python_type ? PyLong_FromSsize_t(i) : NULL;
    out->binary = binary == Py_True;
    rc = number ? 0 : -1;
    if (rc == 0 && python_type != Py_None) {
        if (PyDict_Contains(codecs->encoders, python_type) == 1) {
            weir__py_fail(WEIR_EOPTION, "codecs: two of them write %R: keep one", python_type);
            rc = -1;
        } else {
            rc = PyDict_SetItem(codecs->encoders, python_type, number);
        }
    }
    PyTuple_SET_ITEM(codecs->list, i, Py_NewRef(codec));
    Py_XDECREF(binary);
    Py_XDECREF(python_type);
    Py_XDECREF(number);
    return rc;
}

int weir__py_set_codecs(weir__py_codecs *codecs, PyObject *given, weir_options *options, weir_codec **array) {
    if (given == Py_None) return 0;
    if (!PyDict_Check(given)) {
        weir__py_fail(WEIR_EOPTION, "codecs must be a dict of weirpool.Codec, not %s",
                      Py_TYPE(given)->tp_name);
        return -1;
    }
    PyObject *items = PyDict_Items(given), *kept = items ? PyList_New(0) : NULL;
    Py_ssize_t count = items ? PyList_GET_SIZE(items) : 0;
    int rc = kept ? 0 : -1;
    *array = PyMem_Calloc((size_t)count + 1, sizeof **array);
    if (rc == 0 && !*array) PyErr_NoMemory();
    codecs->list = *array ? PyTuple_New(count + 1) : NULL; /* its last place keeps the names alive */
    codecs->encoders = codecs->list ? PyDict_New() : NULL;
    if (!codecs->encoders) rc = -1;
    for (Py_ssize_t i = 0; rc == 0 && i < count; i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        rc = set_codec(codecs, i, PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1), kept, &(*array)[i]);
    }
    if (codecs->list) PyTuple_SET_ITEM(codecs->list, count, kept), kept = NULL;
    if (codecs->encoders && !PyDict_GET_SIZE(codecs->encoders)) Py_CLEAR(codecs->encoders);
    options->codecs = *array;
    options->codec_count = (size_t)count;
    Py_XDECREF(items);
    Py_XDECREF(kept);
    return rc;
}
