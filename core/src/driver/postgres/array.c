/* Arrays: the server's binary form, and its text form "{1,NULL,\"a b\"}" or "[0:1]={1,2}". */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "driver/postgres/value.h"

static int give_array(const weir_array *array, weir_value *out) {
    *out = (weir_value){.type = WEIR_TYPE_ARRAY, .as.array = array};
    return WEIR_OK;
}

static weir_array *new_array(size_t most, weir__arena *arena, weir_value **items) {
    weir_array *array = weir__arena_take(arena, sizeof *array);
    size_t size;
    if (!array || __builtin_mul_overflow(most, sizeof **items, &size)) return NULL;
    *items = weir__arena_take(arena, size);
    if (!*items) return NULL;
    *array = (weir_array){.items = *items};
    for (int i = 0; i < WEIR_ARRAY_DIMENSIONS; i++) array->lower[i] = 1;
    return array;
}

/* ---- binary: dimensions, whether there are NULLs, the element's type, length and lower bound of each
 * dimension, then the items, each behind its length, which is -1 for NULL */

static bool read_shape(const char *data, size_t length, weir_array *shape, size_t *count) {
    *count = shape->dimensions > 0;
    for (int i = 0; i < shape->dimensions; i++) {
        shape->lengths[i] = (int32_t)weir__pg_big_endian(data + 12 + 8 * i, 4);
        shape->lower[i] = (int32_t)weir__pg_big_endian(data + 16 + 8 * i, 4);
        /* As many items as there is room for their lengths: what is claimed is not believed. */
        if (shape->lengths[i] < 1 || __builtin_mul_overflow(*count, (size_t)shape->lengths[i], count) ||
            *count > length / 4)
            return false;
    }
    return true;
}

static int read_items(weir__pgin *in, Oid element, const char *data, const char *end, size_t count,
                      weir_value *items) {
    for (size_t i = 0; i < count; i++) {
        if (end - data < 4) return WEIR_EVALUE;
        int32_t length = (int32_t)weir__pg_big_endian(data, 4);
        data += 4;
        if (length == -1) {
            items[i] = (weir_value){.type = WEIR_TYPE_NULL};
            continue;
        }
        if (length < 0 || length > end - data) return WEIR_EVALUE;
        int code = weir__pg_decode(in, element, 1, data, (size_t)length, &items[i]);
        if (code != WEIR_OK) return code;
        data += length;
    }
    return data == end ? WEIR_OK : WEIR_EVALUE;
}

static int from_binary(weir__pgin *in, Oid element, const char *data, size_t length, weir_value *out) {
    weir_array shape = {0};
    weir_value *items;
    size_t count;
    if (length < 12 || weir__pg_big_endian(data, 4) > WEIR_ARRAY_DIMENSIONS) return WEIR_EVALUE;
    shape.dimensions = (int)weir__pg_big_endian(data, 4);
    size_t header = 12 + 8 * (size_t)shape.dimensions;
    if (length < header || weir__pg_big_endian(data + 8, 4) != element) return WEIR_EVALUE;
    if (!read_shape(data, length, &shape, &count)) return WEIR_EVALUE;
    weir_array *array = new_array(count, in->arena, &items);
    if (!array) return WEIR_ENOMEM;
    *array = shape;
    array->count = count;
    array->items = items;
    int code = read_items(in, element, data + header, data + length, count, items);
    return code == WEIR_OK ? give_array(array, out) : code;
}

/* ---- text */

typedef struct reader {
    Oid element;
    const char *p; /* a NUL stands at the end */
    char *text; /* room for the items without their quotes, each with a NUL in the place of what follows it */
    weir_array *array;
    weir_value *items;
    size_t room; /* items that there is memory for */
    weir__pgin *in;
} reader;

static bool take(reader *r, char c) {
    if (*r->p != c) return false;
    r->p++;
    return true;
}

static bool take_bound(reader *r, long *out) {
    char *end;
    *out = strtol(r->p, &end, 10);
    bool good = end != r->p && *out >= INT32_MIN && *out <= INT32_MAX;
    r->p = end;
    return good;
}

/* "[0:1][1:3]=": the lengths show themselves below. */
static bool read_bounds(reader *r) {
    if (*r->p != '[') return true;
    for (int i = 0; take(r, '['); i++) {
        long lower, upper;
        if (i == WEIR_ARRAY_DIMENSIONS || !take_bound(r, &lower) || !take(r, ':') || !take_bound(r, &upper) ||
            !take(r, ']'))
            return false;
        r->array->lower[i] = (int32_t)lower;
    }
    return take(r, '=');
}

/* Moves the item's text over; false: it has no end. */
static bool unquote(reader *r, bool *quoted) {
    *quoted = take(r, '"');
    for (; *r->p; r->p++) {
        if (*quoted ? *r->p == '"' : *r->p == ',' || *r->p == '}') break;
        if (!*quoted && (*r->p == '{' || *r->p == '"')) return false;
        if (*r->p == '\\' && !*++r->p) return false;
        *r->text++ = *r->p;
    }
    return *quoted ? take(r, '"') : *r->p != '\0';
}

static int read_item(reader *r) {
    const char *begin = r->text;
    bool quoted;
    if (r->array->count == r->room || !unquote(r, &quoted)) return WEIR_EVALUE;
    size_t length = (size_t)(r->text - begin);
    *r->text++ = '\0';
    weir_value *item = &r->items[r->array->count++];
    if (!quoted && strcmp(begin, "NULL") == 0) {
        *item = (weir_value){.type = WEIR_TYPE_NULL};
        return WEIR_OK;
    }
    if (!quoted && !length) return WEIR_EVALUE;
    return weir__pg_decode(r->in, r->element, 0, begin, length, item);
}

/* What stands in the braces at that depth, at most six: all of a depth have as many parts, and items are at
 * the last depth only. */
static int read_level(reader *r, int depth) {
    int32_t parts = 0;
    if (depth == WEIR_ARRAY_DIMENSIONS || !take(r, '{')) return WEIR_EVALUE;
    if (depth == 0 && take(r, '}')) return WEIR_OK;
    do {
        bool deeper = *r->p == '{';
        if (!deeper && !r->array->dimensions) r->array->dimensions = depth + 1;
        if (r->array->dimensions && deeper != (depth + 1 < r->array->dimensions)) return WEIR_EVALUE;
        int code = deeper ? read_level(r, depth + 1) : read_item(r);
        if (code != WEIR_OK) return code;
        parts++;
    } while (take(r, ','));
    int32_t *length = &r->array->lengths[depth];
    if (!*length) *length = parts;
    return take(r, '}') && *length == parts ? WEIR_OK : WEIR_EVALUE;
}

static int from_text(weir__pgin *in, Oid element, const char *text, size_t length, weir_value *out) {
    reader r = {.element = element, .p = text, .room = 1, .in = in};
    for (const char *p = text; *p; p++) r.room += *p == ',';
    r.array = new_array(r.room, in->arena, &r.items);
    r.text = weir__arena_take(in->arena, length + 1);
    if (!r.array || !r.text) return WEIR_ENOMEM;
    if (!read_bounds(&r)) return WEIR_EVALUE;
    int code = read_level(&r, 0);
    if (code != WEIR_OK) return code;
    return *r.p ? WEIR_EVALUE : give_array(r.array, out);
}

int weir__pg_array(weir__pgin *in, Oid element, int format, const char *data, size_t length,
                   weir_value *out) {
    return format == 1 ? from_binary(in, element, data, length, out)
                       : from_text(in, element, data, length, out);
}
