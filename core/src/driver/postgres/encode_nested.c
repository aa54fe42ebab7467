/* Arrays, ranges, records and hstore as parameters: in binary form, or as literals when something within has
 * text only. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "driver/postgres/encode.h"

static int no_memory(const weir__pgplace *at) { return weir__fail(at->error, WEIR_ENOMEM, "out of memory"); }

/* The type under a domain; *type: what is known of it, or NULL. */
static Oid base_of(const weir__pgplace *at, Oid oid, const weir__pgtype **type) {
    *type = weir__pg_type(weir__pg_known(at), oid);
    for (int i = 0; *type && (*type)->kind == WEIR__PG_DOMAIN && i < WEIR_VALUE_DEPTH; i++) {
        oid = (*type)->part;
        *type = weir__pg_type(weir__pg_known(at), oid);
    }
    return oid;
}

static bool is_kind(const weir__pgtype *type, weir__pgkind kind) { return type && type->kind == kind; }

/* A record's fields, or a multirange's ranges, as an array of one dimension. */
static weir_array as_array(const weir_list *list) {
    weir_array array = {.count = list->count, .dimensions = list->count > 0, .items = list->items};
    array.lengths[0] = (int32_t)list->count;
    array.lower[0] = 1;
    return array;
}

static bool has_arrays(const weir_list *list) {
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].type == WEIR_TYPE_ARRAY) return true;
    return false;
}

/* Whether the value is a list of nothing but ranges, which a multirange takes: *list, not owned. */
static bool as_ranges(const weir_value *value, weir_list *list) {
    if (value->type == WEIR_TYPE_ARRAY && value->as.array->dimensions <= 1)
        *list = (weir_list){.count = value->as.array->count, .items = value->as.array->items};
    else if (value->type == WEIR_TYPE_MULTIRANGE || value->type == WEIR_TYPE_RECORD)
        *list = *value->as.list;
    else
        return false;
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].type != WEIR_TYPE_RANGE) return false;
    return true;
}

/* ---- literals: appended to the blob, without quotes of their own */

static int append(const weir__pgplace *at, Oid oid, const weir_value *value);

/* What stands behind `from` gets quotes. */
static int quote(const weir__pgplace *at, size_t from) {
    weir__buffer *blob = &at->args->blob;
    size_t length = blob->length - from, more = 2;
    if (blob->broken) return no_memory(at);
    for (size_t i = 0; i < length; i++) more += blob->data[from + i] == '"' || blob->data[from + i] == '\\';
    if (!weir__buffer_reserve(blob, more)) return no_memory(at);
    char *text = blob->data + from, *to = text + length + more;
    *--to = '"';
    for (size_t i = length; i > 0; i--) {
        char c = text[i - 1];
        *--to = c;
        if (c == '"' || c == '\\') *--to = '\\';
    }
    *--to = '"';
    return WEIR_OK;
}

static int append_quoted(const weir__pgplace *at, Oid oid, const weir_value *value) {
    size_t from = at->args->blob.length;
    int code = append(at, oid, value);
    return code == WEIR_OK ? quote(at, from) : code;
}

static int append_scalar(const weir__pgplace *at, const weir_value *value) {
    weir__pgargs *args = at->args;
    int code = weir__pg_put_any(at, value);
    if (code != WEIR_OK) return code;
    size_t length = (size_t)args->lengths[at->index], offset = args->offsets[at->index];
    if (args->formats[at->index] == 1)
        return weir__pg_refuse_text(at, "a codec's binary value beside one that can only be sent as text");
    args->total -= length;
    if (offset == SIZE_MAX)
        weir__buffer_append(&args->blob, args->values[at->index], length);
    else
        args->blob.length = offset + length; /* without the NUL */
    return args->blob.broken ? no_memory(at) : WEIR_OK;
}

/* How many of the innermost lists begin or end at the item of that number. */
static int edges(const weir_array *array, size_t index) {
    int edges = 0;
    for (int i = array->dimensions - 1; i >= 0 && index % (size_t)array->lengths[i] == 0; i--) {
        index /= (size_t)array->lengths[i];
        edges++;
    }
    return edges;
}

static int append_array(const weir__pgplace *at, Oid element, const weir_array *array) {
    weir__buffer *blob = &at->args->blob;
    bool shifted = false;
    for (int i = 0; i < array->dimensions; i++) shifted = shifted || array->lower[i] != 1;
    for (int i = 0; shifted && i < array->dimensions; i++)
        weir__buffer_printf(blob, "[%d:%d]", array->lower[i], array->lower[i] + array->lengths[i] - 1);
    if (shifted) weir__buffer_char(blob, '=');
    if (!array->count) weir__buffer_text(blob, "{}");
    for (size_t i = 0; i < array->count; i++) {
        if (i) weir__buffer_char(blob, ',');
        for (int n = edges(array, i); n > 0; n--) weir__buffer_char(blob, '{');
        if (array->items[i].type == WEIR_TYPE_NULL) {
            weir__buffer_text(blob, "NULL");
        } else {
            int code = append_quoted(at, element, &array->items[i]);
            if (code != WEIR_OK) return code;
        }
        for (int n = edges(array, i + 1); n > 0; n--) weir__buffer_char(blob, '}');
    }
    return blob->broken ? no_memory(at) : WEIR_OK;
}

static int append_range(const weir__pgplace *at, Oid subtype, const weir_range *range) {
    weir__buffer *blob = &at->args->blob;
    int code = WEIR_OK;
    if (range->empty) {
        weir__buffer_text(blob, "empty");
        return blob->broken ? no_memory(at) : WEIR_OK;
    }
    weir__buffer_char(blob, range->lower_inc ? '[' : '(');
    if (range->lower.type != WEIR_TYPE_NULL) code = append_quoted(at, subtype, &range->lower);
    weir__buffer_char(blob, ',');
    if (code == WEIR_OK && range->upper.type != WEIR_TYPE_NULL)
        code = append_quoted(at, subtype, &range->upper);
    weir__buffer_char(blob, range->upper_inc ? ']' : ')');
    return code == WEIR_OK && blob->broken ? no_memory(at) : code;
}

static int append_ranges(const weir__pgplace *at, Oid subtype, const weir_list *list) {
    weir__buffer *blob = &at->args->blob;
    weir__buffer_char(blob, '{');
    for (size_t i = 0; i < list->count; i++) {
        if (i) weir__buffer_char(blob, ',');
        int code = append_range(at, subtype, list->items[i].as.range);
        if (code != WEIR_OK) return code;
    }
    weir__buffer_char(blob, '}');
    return blob->broken ? no_memory(at) : WEIR_OK;
}

static int append_record(const weir__pgplace *at, const weir__pgtype *type, const weir_list *list) {
    weir__buffer *blob = &at->args->blob;
    bool known = is_kind(type, WEIR__PG_COMPOSITE) && type->count == list->count;
    weir__buffer_char(blob, '(');
    for (size_t i = 0; i < list->count; i++) {
        if (i) weir__buffer_char(blob, ',');
        if (list->items[i].type == WEIR_TYPE_NULL) continue;
        int code = append_quoted(at, known ? type->types[i] : 0, &list->items[i]);
        if (code != WEIR_OK) return code;
    }
    weir__buffer_char(blob, ')');
    return blob->broken ? no_memory(at) : WEIR_OK;
}

static int append_hstore(const weir__pgplace *at, const weir_list *list) {
    weir__buffer *blob = &at->args->blob;
    for (size_t i = 0; i < list->count; i++) {
        if (i) weir__buffer_text(blob, i % 2 ? "=>" : ",");
        if (list->items[i].type == WEIR_TYPE_NULL) {
            weir__buffer_text(blob, "NULL");
            continue;
        }
        int code = append_quoted(at, 0, &list->items[i]);
        if (code != WEIR_OK) return code;
    }
    return blob->broken ? no_memory(at) : WEIR_OK;
}

static int append_json(const weir__pgplace *at, const weir_value *value) {
    char why[64];
    weir__buffer *blob = &at->args->blob;
    size_t start = blob->length;
    const weir_value *bad = weir__json(blob, value);
    if (blob->broken) return no_memory(at);
    if (bad) {
        snprintf(why, sizeof why, "JSON has no %s",
                 bad->type == WEIR_TYPE_FLOAT || bad->type == WEIR_TYPE_NUMERIC ? "NaN and no infinity"
                                                                                : weir_type_name(bad->type));
        return weir__pg_refuse_text(at, why);
    }
    if (memchr(blob->data + start, '\0', blob->length - start))
        return weir__pg_refuse_text(at, "JSON with a NUL in it");
    return WEIR_OK;
}

/* The value's own kind says how it is written; the type, as far as it is known, says what is within. */
static int append(const weir__pgplace *at, Oid oid, const weir_value *value) {
    const weir__pgtype *type, *range;
    weir__pgplace in = *at;
    weir_list ranges;
    weir_array array;
    in.type = oid = base_of(at, oid, &type);
    bool json = oid == WEIR__OID_JSON || oid == WEIR__OID_JSONB;
    if (is_kind(type, WEIR__PG_MULTIRANGE) && as_ranges(value, &ranges)) {
        base_of(at, type->part, &range);
        return append_ranges(&in, range ? range->part : 0, &ranges);
    }
    switch (value->type) {
    case WEIR_TYPE_ARRAY:
        if (json) break;
        return append_array(&in, is_kind(type, WEIR__PG_ARRAY) ? type->part : 0, value->as.array);
    case WEIR_TYPE_RANGE:
        return append_range(&in, is_kind(type, WEIR__PG_RANGE) ? type->part : 0, value->as.range);
    case WEIR_TYPE_MULTIRANGE:
        return append_ranges(&in, 0, value->as.list);
    case WEIR_TYPE_RECORD:
        if (json) break;
        if (!is_kind(type, WEIR__PG_ARRAY)) return append_record(&in, type, value->as.list);
        array = as_array(value->as.list);
        return append_array(&in, type->part, &array);
    case WEIR_TYPE_MAP:
        if (!is_kind(type, WEIR__PG_HSTORE)) break;
        return append_hstore(&in, value->as.list);
    default:
        return append_scalar(&in, value);
    }
    return append_json(&in, value);
}

int weir__pg_put_literal(const weir__pgplace *at, const weir_value *value) {
    weir__buffer *blob = &at->args->blob;
    size_t start = blob->length;
    weir__pgplace in = *at;
    in.index = at->args->capacity - 1;
    int code = append(&in, at->type, value);
    if (code != WEIR_OK) return code;
    weir__buffer_char(blob, '\0');
    if (blob->length - start > WEIR__PG_BYTES_MAX) return weir__pg_refuse_text(at, "longer than 1 GiB - 1");
    return weir__pg_put_blob(at, start, 1, 0);
}

/* ---- binary */

/* Whether the type's binary form is its text. */
static bool is_texts(Oid oid, const weir__pgtype *type) {
    switch (oid) {
    case WEIR__OID_TEXT:
    case WEIR__OID_VARCHAR:
    case WEIR__OID_BPCHAR:
    case WEIR__OID_NAME:
    case WEIR__OID_JSON:
    case WEIR__OID_XML:
    case WEIR__OID_JSONB: /* behind its version */
        return true;
    default:
        return is_kind(type, WEIR__PG_ENUM);
    }
}

/* A value within another, behind its length; -1: NULL. *binary becomes false when it has no binary form. */
static int put_item(const weir__pgplace *at, Oid oid, const weir_value *item, bool *binary) {
    weir__pgargs *args = at->args;
    const weir__pgtype *type;
    weir__pgplace in = *at;
    size_t start = args->blob.length;
    char *length = weir__buffer_reserve(&args->blob, 4);
    if (!length) return no_memory(at);
    if (item->type == WEIR_TYPE_NULL) {
        memset(length, 0xff, 4);
        return WEIR_OK;
    }
    in.index = args->capacity - 1;
    in.type = base_of(at, oid, &type);
    if (in.type == WEIR__OID_JSONB && !(item->type == WEIR_TYPE_RAW && item->binary))
        weir__buffer_char(&args->blob, 1); /* the version of its binary form */
    int code = weir__pg_put_value(&in, item);
    if (code != WEIR_OK) return code;
    size_t size = (size_t)args->lengths[in.index], offset = args->offsets[in.index];
    args->total -= size;
    if (args->formats[in.index] == 0 && !is_texts(in.type, type)) *binary = false;
    if (offset == SIZE_MAX)
        weir__buffer_append(&args->blob, args->values[in.index], size);
    else
        args->blob.length = offset + size;
    if (args->blob.broken) return no_memory(at);
    weir__pg_write(args->blob.data + start, args->blob.length - start - 4, 4);
    return WEIR_OK;
}

static void put_number(weir__buffer *blob, uint64_t number) {
    char *room = weir__buffer_reserve(blob, 4);
    if (room) weir__pg_write(room, number, 4);
}

/* What has been appended from `start` on is the value; or, if not all of it has a binary form, the literal
 * is. All of it has been checked in either case. */
static int put_end(const weir__pgplace *at, const weir_value *value, size_t start, bool binary) {
    weir__buffer *blob = &at->args->blob;
    if (blob->broken) return no_memory(at);
    if (!binary) {
        blob->length = start;
        return weir__pg_put_literal(at, value);
    }
    if (blob->length - start > WEIR__PG_BYTES_MAX) return weir__pg_refuse_text(at, "longer than 1 GiB - 1");
    return weir__pg_put_blob(at, start, 0, 1);
}

static void put_shape(weir__buffer *blob, const weir_array *array, Oid element) {
    bool nulls = false;
    for (size_t i = 0; i < array->count && !nulls; i++) nulls = array->items[i].type == WEIR_TYPE_NULL;
    put_number(blob, (uint64_t)array->dimensions);
    put_number(blob, nulls);
    put_number(blob, element);
    for (int i = 0; i < array->dimensions; i++) {
        put_number(blob, (uint32_t)array->lengths[i]);
        put_number(blob, (uint32_t)array->lower[i]);
    }
}

static int put_array(const weir__pgplace *at, const weir_value *value, Oid element) {
    weir__buffer *blob = &at->args->blob;
    size_t start = blob->length;
    bool binary = true;
    weir_array made;
    const weir_array *array = &made;
    if (value->type == WEIR_TYPE_ARRAY)
        array = value->as.array;
    else if (value->type == WEIR_TYPE_RECORD && !has_arrays(value->as.list))
        made = as_array(value->as.list);
    else
        return weir__pg_refuse_kind(at, value,
                                    "array (its inner lists of one length, none beside values) or text");
    put_shape(blob, array, element);
    for (size_t i = 0; i < array->count; i++) {
        int code = put_item(at, element, &array->items[i], &binary);
        if (code != WEIR_OK) return code;
    }
    return put_end(at, value, start, binary);
}

enum { EMPTY = 1, LOWER_INC = 2, UPPER_INC = 4, LOWER_NONE = 8, UPPER_NONE = 16 };

static int put_bounds(const weir__pgplace *at, Oid subtype, const weir_range *range, bool *binary) {
    bool lower = !range->empty && range->lower.type != WEIR_TYPE_NULL,
         upper = !range->empty && range->upper.type != WEIR_TYPE_NULL;
    int flags = (range->lower_inc ? LOWER_INC : 0) | (range->upper_inc ? UPPER_INC : 0) |
                (lower ? 0 : LOWER_NONE) | (upper ? 0 : UPPER_NONE),
        code = WEIR_OK;
    weir__buffer_char(&at->args->blob, (char)(range->empty ? EMPTY : flags));
    if (lower) code = put_item(at, subtype, &range->lower, binary);
    if (code == WEIR_OK && upper) code = put_item(at, subtype, &range->upper, binary);
    return code;
}

static int put_range(const weir__pgplace *at, const weir_value *value, Oid subtype) {
    size_t start = at->args->blob.length;
    bool binary = true;
    if (value->type != WEIR_TYPE_RANGE) return weir__pg_refuse_kind(at, value, "range or text");
    int code = put_bounds(at, subtype, value->as.range, &binary);
    return code == WEIR_OK ? put_end(at, value, start, binary) : code;
}

static int put_multirange(const weir__pgplace *at, const weir_value *value, Oid subtype) {
    weir__buffer *blob = &at->args->blob;
    size_t start = blob->length;
    bool binary = true;
    weir_list list;
    if (!as_ranges(value, &list)) return weir__pg_refuse_kind(at, value, "a list of ranges, or text");
    put_number(blob, list.count);
    for (size_t i = 0; i < list.count; i++) {
        size_t before = blob->length;
        put_number(blob, 0);
        int code = put_bounds(at, subtype, list.items[i].as.range, &binary);
        if (code != WEIR_OK) return code;
        if (!blob->broken) weir__pg_write(blob->data + before, blob->length - before - 4, 4);
    }
    return put_end(at, value, start, binary);
}

static int put_record(const weir__pgplace *at, const weir_value *value, const weir__pgtype *type) {
    weir__buffer *blob = &at->args->blob;
    size_t start = blob->length;
    bool binary = true;
    if (value->type != WEIR_TYPE_RECORD) return weir__pg_refuse_kind(at, value, "record or text");
    const weir_list *list = value->as.list;
    if (type->oid == WEIR__OID_RECORD) return weir__pg_put_literal(at, value); /* which the server refuses */
    if (list->count != type->count) {
        char why[96];
        snprintf(why, sizeof why, "a record of %zu, but the type has %zu field%s", list->count, type->count,
                 type->count == 1 ? "" : "s");
        return weir__pg_refuse_text(at, why);
    }
    put_number(blob, list->count);
    for (size_t i = 0; i < list->count; i++) {
        put_number(blob, type->types[i]);
        int code = put_item(at, type->types[i], &list->items[i], &binary);
        if (code != WEIR_OK) return code;
    }
    return put_end(at, value, start, binary);
}

static int put_hstore(const weir__pgplace *at, const weir_value *value) {
    weir__buffer *blob = &at->args->blob;
    size_t start = blob->length;
    bool binary = true;
    if (value->type != WEIR_TYPE_MAP) return weir__pg_refuse_kind(at, value, "a map of texts, or text");
    put_number(blob, value->as.list->count / 2);
    for (size_t i = 0; i < value->as.list->count; i++) {
        int code = put_item(at, WEIR__OID_TEXT, &value->as.list->items[i], &binary);
        if (code != WEIR_OK) return code;
    }
    return put_end(at, value, start, binary);
}

int weir__pg_put_nested(const weir__pgplace *at, const weir_value *value) {
    const weir__pgtype *type = weir__pg_type(weir__pg_known(at), at->type), *range;
    weir__pgplace base = *at;
    if (!type || (value->type == WEIR_TYPE_TEXT && type->kind != WEIR__PG_DOMAIN))
        return weir__pg_put_any(at, value);
    switch (type->kind) {
    case WEIR__PG_DOMAIN:
        base.type = base_of(at, at->type, &type);
        return weir__pg_put_value(&base, value);
    case WEIR__PG_ARRAY:
        return put_array(at, value, type->part);
    case WEIR__PG_RANGE:
        return put_range(at, value, type->part);
    case WEIR__PG_MULTIRANGE:
        base_of(at, type->part, &range);
        if (!is_kind(range, WEIR__PG_RANGE)) break;
        return put_multirange(at, value, range->part);
    case WEIR__PG_COMPOSITE:
        return put_record(at, value, type);
    case WEIR__PG_HSTORE:
        return put_hstore(at, value);
    case WEIR__PG_ENUM:
    case WEIR__PG_OTHER:
        break;
    }
    return weir__pg_put_any(at, value);
}
