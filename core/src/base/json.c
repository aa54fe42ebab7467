#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"

static void put_text(weir__buffer *out, const char *text, size_t length) {
    weir__buffer_char(out, '"');
    for (size_t i = 0, from = 0; i <= length; i++) {
        unsigned char c = i < length ? (unsigned char)text[i] : 0;
        if (i < length && c >= ' ' && c != '"' && c != '\\') continue;
        weir__buffer_append(out, text + from, i - from);
        from = i + 1;
        if (i == length) break;
        if (c < ' ')
            weir__buffer_printf(out, "\\u%04x", c);
        else
            weir__buffer_printf(out, "\\%c", c);
    }
    weir__buffer_char(out, '"');
}

static void put_float(weir__buffer *out, double real) {
    char text[40];
    weir__print_double(real, text);
    weir__buffer_text(out, text);
    if (!strpbrk(text, ".e")) weir__buffer_text(out, ".0");
}

/* Decimal("1E+5") is JSON, too; "NaN" and "Infinity" are not. */
static bool is_number(const weir_value *value) {
    for (size_t i = 0; i < value->as.bytes.length; i++)
        if (!strchr("0123456789+-.eE", value->as.bytes.data[i])) return false;
    return value->as.bytes.length > 0;
}

static const weir_value *put_dimension(weir__buffer *out, const weir_array *array, int dimension,
                                       const weir_value **next) {
    const weir_value *bad = NULL;
    int32_t length = array->dimensions ? array->lengths[dimension] : 0;
    weir__buffer_char(out, '[');
    for (int32_t i = 0; !bad && i < length; i++) {
        if (i) weir__buffer_text(out, ", ");
        bad = dimension + 1 < array->dimensions ? put_dimension(out, array, dimension + 1, next)
                                                : weir__json(out, (*next)++);
    }
    weir__buffer_char(out, ']');
    return bad;
}

static const weir_value *put_list(weir__buffer *out, const weir_list *list, bool map) {
    const weir_value *bad = NULL;
    weir__buffer_char(out, map ? '{' : '[');
    for (size_t i = 0; !bad && i < list->count; i++) {
        if (i) weir__buffer_text(out, map && i % 2 ? ": " : ", ");
        bad = weir__json(out, &list->items[i]);
    }
    weir__buffer_char(out, map ? '}' : ']');
    return bad;
}

const weir_value *weir__json(weir__buffer *out, const weir_value *value) {
    const weir_value *next;
    switch (value->type) {
    case WEIR_TYPE_NULL:
        weir__buffer_text(out, "null");
        return NULL;
    case WEIR_TYPE_BOOL:
        weir__buffer_text(out, value->as.boolean ? "true" : "false");
        return NULL;
    case WEIR_TYPE_INT:
        weir__buffer_printf(out, "%" PRId64, value->as.integer);
        return NULL;
    case WEIR_TYPE_FLOAT:
        if (!isfinite(value->as.real)) return value;
        put_float(out, value->as.real);
        return NULL;
    case WEIR_TYPE_NUMERIC:
        if (!is_number(value)) return value;
        weir__buffer_append(out, value->as.bytes.data, value->as.bytes.length);
        return NULL;
    case WEIR_TYPE_TEXT:
        put_text(out, value->as.bytes.data, value->as.bytes.length);
        return NULL;
    case WEIR_TYPE_JSON:
        weir__buffer_append(out, value->as.bytes.data, value->as.bytes.length);
        return NULL;
    case WEIR_TYPE_ARRAY:
        next = value->as.array->items;
        return put_dimension(out, value->as.array, 0, &next);
    case WEIR_TYPE_RECORD:
        return put_list(out, value->as.list, false);
    case WEIR_TYPE_MAP:
        return put_list(out, value->as.list, true);
    default:
        return value;
    }
}
