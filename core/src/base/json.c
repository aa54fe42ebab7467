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

/* ---- reading. Each moves *p past what it wants; false: it is not there. */

#define DEEPEST 1000

static void skip_space(const char **p) { *p += strspn(*p, " \t\r\n"); }

static bool take(const char **p, const char *word) {
    size_t length = strlen(word);
    if (strncmp(*p, word, length) != 0) return false;
    *p += length;
    return true;
}

static bool take_string(const char **p) {
    if (!take(p, "\"")) return false;
    for (; **p != '"'; ++*p) {
        if ((unsigned char)**p < ' ') return false; /* the end, too */
        if (**p != '\\') continue;
        ++*p;
        if (**p == 'u' && strspn(*p + 1, "0123456789abcdefABCDEF") >= 4)
            *p += 4;
        else if (!**p || !strchr("\"\\/bfnrt", **p))
            return false;
    }
    ++*p;
    return true;
}

static bool take_digits(const char **p) {
    size_t count = strspn(*p, "0123456789");
    *p += count;
    return count > 0;
}

static bool take_number(const char **p) {
    take(p, "-");
    if (take(p, "Infinity")) return true;
    if (!take(p, "0") && !take_digits(p)) return false;
    if (take(p, ".") && !take_digits(p)) return false;
    if (!take(p, "e") && !take(p, "E")) return true;
    if (!take(p, "-")) take(p, "+");
    return take_digits(p);
}

static bool take_value(const char **p, int depth);

/* What stands between brackets or braces. */
static bool take_members(const char **p, bool object, int depth) {
    const char *end = object ? "}" : "]";
    skip_space(p);
    if (take(p, end)) return true;
    do {
        skip_space(p);
        if (object && !take_string(p)) return false;
        if (object) skip_space(p);
        if (object && !take(p, ":")) return false;
        if (!take_value(p, depth)) return false;
        skip_space(p);
    } while (take(p, ","));
    return take(p, end);
}

static bool take_value(const char **p, int depth) {
    skip_space(p);
    bool object = take(p, "{");
    if (object || take(p, "[")) return depth < DEEPEST && take_members(p, object, depth + 1);
    if (**p == '"') return take_string(p);
    return take(p, "true") || take(p, "false") || take(p, "null") || take(p, "NaN") || take_number(p);
}

bool weir__is_json(const char *text) {
    if (!take_value(&text, 0)) return false;
    skip_space(&text);
    return !*text;
}
