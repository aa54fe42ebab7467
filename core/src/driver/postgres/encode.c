#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/postgres/value.h"

#define BYTES_MAX ((size_t)(1 << 30) - 1)       /* the server's limit of a value … */
#define MESSAGE_MAX ((size_t)(1 << 30) - 65536) /* … and, less some room for its frame, of a message */

/* The parameter being encoded. */
typedef struct place {
    weir__pgargs *args;
    const weir_statement *statement;
    size_t set, number; /* as the caller counts, from 0 */
    size_t index;       /* where it goes: behind all others lies the place of an array's item */
    Oid type;           /* 0: unknown */
    weir_error *error;
} place;

static const char *type_text(Oid type, char *buffer, size_t size) {
    static const struct {
        Oid type;
        const char *name;
    } names[] = {
        {WEIR__OID_BOOL, "boolean"},
        {WEIR__OID_BYTEA, "bytea"},
        {WEIR__OID_CHAR, "\"char\""},
        {WEIR__OID_NAME, "name"},
        {WEIR__OID_INT8, "bigint"},
        {WEIR__OID_INT2, "smallint"},
        {WEIR__OID_INT4, "integer"},
        {WEIR__OID_TEXT, "text"},
        {WEIR__OID_OID, "oid"},
        {WEIR__OID_JSON, "json"},
        {WEIR__OID_XML, "xml"},
        {WEIR__OID_CIDR, "cidr"},
        {WEIR__OID_MACADDR8, "macaddr8"},
        {WEIR__OID_MACADDR, "macaddr"},
        {WEIR__OID_FLOAT4, "real"},
        {WEIR__OID_FLOAT8, "double precision"},
        {WEIR__OID_UNKNOWN, "text"},
        {WEIR__OID_INET, "inet"},
        {WEIR__OID_BPCHAR, "char(n)"},
        {WEIR__OID_VARCHAR, "varchar"},
        {WEIR__OID_DATE, "date"},
        {WEIR__OID_TIME, "time"},
        {WEIR__OID_TIMESTAMP, "timestamp"},
        {WEIR__OID_TIMESTAMPTZ, "timestamptz"},
        {WEIR__OID_INTERVAL, "interval"},
        {WEIR__OID_TIMETZ, "timetz"},
        {WEIR__OID_NUMERIC, "numeric"},
        {WEIR__OID_UUID, "uuid"},
        {WEIR__OID_JSONB, "jsonb"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].type == type) return names[i].name;
    if (weir__pg_element(type))
        snprintf(buffer, size, "%s[]",
                 type_text(weir__pg_element(type), NULL, 0)); /* all of them are above */
    else
        snprintf(buffer, size, "the type with oid %u", type);
    return buffer;
}

/* "$2", and for an executemany "$2 of set 7". */
static const char *place_text(const place *at, char *buffer, size_t size) {
    if (at->statement->many) {
        snprintf(buffer, size, "$%zu of set %zu", at->number + 1, at->set + 1);
    } else {
        snprintf(buffer, size, "$%zu", at->number + 1);
    }
    return buffer;
}

static int refuse_kind(const place *at, const weir_value *value, const char *wanted) {
    char where[64], type[48];
    return weir__fail(at->error, WEIR_EVALUE, "parameter %s: %s takes %s, not %s",
                      place_text(at, where, sizeof where), type_text(at->type, type, sizeof type), wanted,
                      weir_type_name(value->type));
}

static int refuse_value(const place *at, const char *value, const char *why) {
    char where[64], type[48];
    return weir__fail(at->error, WEIR_EVALUE, "parameter %s: %s %s %s", place_text(at, where, sizeof where),
                      value, why, type_text(at->type, type, sizeof type));
}

static int refuse_text(const place *at, const char *why) {
    char where[64];
    return weir__fail(at->error, WEIR_EVALUE, "parameter %s: %s", place_text(at, where, sizeof where), why);
}

/* ---- putting */

static int put(const place *at, const char *data, size_t length, int format) {
    at->args->values[at->index] = data;
    at->args->offsets[at->index] = SIZE_MAX;
    at->args->lengths[at->index] = (int)length;
    at->args->formats[at->index] = format;
    at->args->total += length;
    return WEIR_OK;
}

/* What was appended to the blob from `start` on, and ends before its last `behind` bytes. */
static int put_blob(const place *at, size_t start, size_t behind, int format) {
    if (at->args->blob.broken) return weir__fail(at->error, WEIR_ENOMEM, "out of memory");
    put(at, NULL, at->args->blob.length - behind - start, format);
    at->args->offsets[at->index] = start;
    return WEIR_OK;
}

static char *cell(const place *at) { return at->args->cells[at->index].bytes; }

static void big_endian(char *bytes, uint64_t bits, size_t size) {
    for (size_t i = 0; i < size; i++) bytes[i] = (char)(unsigned char)(bits >> (8 * (size - 1 - i)));
}

static int put_big_endian(const place *at, uint64_t bits, size_t size) {
    big_endian(cell(at), bits, size);
    return put(at, cell(at), size, 1);
}

/* The statement's own bytes, behind which the NUL stands that libpq looks for in a text. */
static int put_text(const place *at, const weir_value *value) {
    const char *data = value->as.bytes.data;
    size_t length = value->as.bytes.length;
    if (length > BYTES_MAX) return refuse_text(at, "longer than 1 GiB - 1");
    if (length && memchr(data, '\0', length))
        return refuse_text(at, "a text with a NUL in it, which PostgreSQL cannot hold");
    return put(at, data, length, 0);
}

static int put_hex(const place *at, const weir_value *value) {
    static const char digits[] = "0123456789abcdef";
    size_t length = value->as.bytes.length;
    if (length > (BYTES_MAX - 2) / 2) return refuse_text(at, "longer than 512 MiB - 2, as text");
    size_t start = at->args->blob.length;
    char *p = weir__buffer_reserve(&at->args->blob, 2 * length + 3);
    if (!p) return weir__fail(at->error, WEIR_ENOMEM, "out of memory");
    *p++ = '\\';
    *p++ = 'x';
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)value->as.bytes.data[i];
        *p++ = digits[byte >> 4];
        *p++ = digits[byte & 15];
    }
    *p = '\0';
    return put_blob(at, start, 1, 0);
}

static int put_literal(const place *at, const weir_value *value);

/* As the text that the server's input function reads. */
static int put_any(const place *at, const weir_value *value) {
    switch (value->type) {
    case WEIR_TYPE_NULL:
        break;
    case WEIR_TYPE_BOOL:
        return put(at, value->as.boolean ? "true" : "false", value->as.boolean ? 4 : 5, 0);
    case WEIR_TYPE_INT:
        snprintf(cell(at), sizeof at->args->cells->bytes, "%" PRId64, value->as.integer);
        return put(at, cell(at), strlen(cell(at)), 0);
    case WEIR_TYPE_FLOAT:
        weir__pg_print_double(value->as.real, cell(at));
        return put(at, cell(at), strlen(cell(at)), 0);
    case WEIR_TYPE_NUMERIC:
    case WEIR_TYPE_TEXT:
    case WEIR_TYPE_INET:
    case WEIR_TYPE_CIDR:
        return put_text(at, value);
    case WEIR_TYPE_BYTES:
        return put_hex(at, value);
    case WEIR_TYPE_DATE:
    case WEIR_TYPE_TIME:
    case WEIR_TYPE_TIMETZ:
    case WEIR_TYPE_TIMESTAMP:
    case WEIR_TYPE_TIMESTAMPTZ:
    case WEIR_TYPE_INTERVAL:
    case WEIR_TYPE_UUID: {
        size_t length = weir_value_text(value, cell(at));
        return put(at, cell(at), length, 0);
    }
    case WEIR_TYPE_ARRAY:
        return put_literal(at, value);
    }
    return put(at, NULL, 0, 0);
}

/* ---- by type */

static int put_integer(const place *at, const weir_value *value, int64_t least, int64_t most, size_t size) {
    if (value->type == WEIR_TYPE_FLOAT)
        return refuse_kind(at, value, "int (convert it, even when it is a whole number)");
    if (value->type != WEIR_TYPE_INT) return refuse_kind(at, value, "int");
    int64_t n = value->as.integer;
    if (n < least || n > most) {
        char text[32];
        snprintf(text, sizeof text, "%" PRId64, n);
        return refuse_value(at, text, "is out of range for");
    }
    return put_big_endian(at, (uint64_t)n, size);
}

static int put_real(const place *at, const weir_value *value) {
    double real;
    switch (value->type) {
    case WEIR_TYPE_FLOAT:
        real = value->as.real;
        break;
    case WEIR_TYPE_INT:
        real = (double)value->as.integer;
        break;
    case WEIR_TYPE_NUMERIC:
        return put_any(at, value);
    default:
        return refuse_kind(at, value, "float, int or numeric");
    }
    union {
        double real;
        float single;
        uint64_t bits;
        uint32_t half;
    } as;
    if (at->type == WEIR__OID_FLOAT8) {
        as.real = real;
        return put_big_endian(at, as.bits, 8);
    }
    as.single = (float)real;
    if (isinf(as.single) && !isinf(real)) {
        char text[40];
        weir__pg_print_double(real, text);
        return refuse_value(at, text, "is out of range for");
    }
    return put_big_endian(at, as.half, 4);
}

static int put_numeric(const place *at, const weir_value *value) {
    char number[40];
    const char *text = number;
    switch (value->type) {
    case WEIR_TYPE_NUMERIC:
        text = value->as.bytes.data; /* a NUL follows */
        break;
    case WEIR_TYPE_INT:
        snprintf(number, sizeof number, "%" PRId64, value->as.integer);
        break;
    case WEIR_TYPE_FLOAT:
        weir__pg_print_double(value->as.real, number);
        break;
    default:
        return refuse_kind(at, value, "numeric, int or float");
    }
    size_t start = at->args->blob.length,
           length = value->type == WEIR_TYPE_NUMERIC ? value->as.bytes.length : strlen(text);
    if (weir__pg_numeric_binary(text, length, &at->args->blob)) return put_blob(at, start, 0, 1);
    if (at->args->blob.broken) return weir__fail(at->error, WEIR_ENOMEM, "out of memory");
    return put_any(at, value); /* the server says what is wrong with it */
}

/* ---- times, uuid, inet: of their own kind, or as text that the server reads */

static int put_timestamp(const place *at, const weir_value *value) {
    if (value->type == WEIR_TYPE_TIMESTAMP) return put_big_endian(at, (uint64_t)value->as.time, 8);
    if (value->type != WEIR_TYPE_DATE) return refuse_kind(at, value, "timestamp, date or text");
    int64_t time;
    if (value->as.date == INT32_MAX || value->as.date == INT32_MIN) {
        time = value->as.date < 0 ? INT64_MIN : INT64_MAX;
    } else if (__builtin_mul_overflow(value->as.date, WEIR_DAY_US, &time)) {
        char text[WEIR_VALUE_TEXT];
        weir_value_text(value, text);
        return refuse_value(at, text, "is out of range for");
    }
    return put_big_endian(at, (uint64_t)time, 8);
}

static int put_timetz(const place *at, const weir_value *value) {
    char *bytes = cell(at);
    big_endian(bytes, (uint64_t)value->as.timetz.time, 8);
    big_endian(bytes + 8, (uint32_t)-value->as.timetz.east, 4);
    return put(at, bytes, 12, 1);
}

static int put_interval(const place *at, const weir_value *value) {
    char *bytes = cell(at);
    big_endian(bytes, (uint64_t)value->as.interval.microseconds, 8);
    big_endian(bytes + 8, (uint32_t)value->as.interval.days, 4);
    big_endian(bytes + 12, (uint32_t)value->as.interval.months, 4);
    return put(at, bytes, 16, 1);
}

/* Times of the one or the other kind are not taken for each other: which clock they mean would be a guess. */
static int put_kind(const place *at, const weir_value *value) {
    if (value->type == WEIR_TYPE_TEXT) return put_text(at, value);
    switch (at->type) {
    case WEIR__OID_DATE:
        if (value->type != WEIR_TYPE_DATE) return refuse_kind(at, value, "date or text");
        return put_big_endian(at, (uint32_t)value->as.date, 4);
    case WEIR__OID_TIME:
        if (value->type != WEIR_TYPE_TIME) return refuse_kind(at, value, "time or text");
        return put_big_endian(at, (uint64_t)value->as.time, 8);
    case WEIR__OID_TIMETZ:
        if (value->type != WEIR_TYPE_TIMETZ) return refuse_kind(at, value, "timetz or text");
        return put_timetz(at, value);
    case WEIR__OID_TIMESTAMP:
        return put_timestamp(at, value);
    case WEIR__OID_TIMESTAMPTZ:
        if (value->type != WEIR_TYPE_TIMESTAMPTZ) return refuse_kind(at, value, "timestamptz or text");
        return put_big_endian(at, (uint64_t)value->as.time, 8);
    case WEIR__OID_INTERVAL:
        if (value->type != WEIR_TYPE_INTERVAL) return refuse_kind(at, value, "interval or text");
        return put_interval(at, value);
    case WEIR__OID_UUID:
        if (value->type != WEIR_TYPE_UUID) return refuse_kind(at, value, "uuid or text");
        return put(at, (const char *)value->as.uuid, 16, 1);
    default: /* inet, cidr: the server refuses a network with bits of a host */
        if (value->type != WEIR_TYPE_INET && value->type != WEIR_TYPE_CIDR)
            return refuse_kind(at, value, "inet, cidr or text");
        return put_text(at, value);
    }
}

/* ---- arrays */

static int no_memory(const place *at) { return weir__fail(at->error, WEIR_ENOMEM, "out of memory"); }

/* An item's text in quotes, which it needs for what is in it or for being empty. */
static void quote(weir__buffer *out, const char *text, size_t length) {
    char *room = weir__buffer_reserve(out, 2 * length + 2), *p = room;
    if (!room) return;
    *p++ = '"';
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\') *p++ = '\\';
        *p++ = text[i];
    }
    *p++ = '"';
    out->length -= 2 * length + 2 - (size_t)(p - room);
}

/* One item of a literal. What it is was checked, if its type is known, or else is the server's matter. */
static int put_item_text(const place *at, const weir_value *item) {
    weir__pgargs *args = at->args;
    if (item->type == WEIR_TYPE_NULL) {
        weir__buffer_text(&args->blob, "NULL");
        return WEIR_OK;
    }
    size_t start = args->blob.length;
    int code = put_any(at, item);
    if (code != WEIR_OK) return code;
    size_t length = (size_t)args->lengths[at->index];
    args->total -= length;
    if (args->offsets[at->index] == SIZE_MAX) {
        quote(&args->blob, args->values[at->index], length);
        return WEIR_OK;
    }
    /* Bytes: their hexadecimal text "\x…" lies in the blob already, and wants quotes and one backslash more.
     */
    char *text = weir__buffer_reserve(&args->blob, 2);
    if (!text) return no_memory(at);
    text = args->blob.data + start;
    memmove(text + 2, text, length);
    text[0] = '"';
    text[1] = '\\';
    text[length + 2] = '"';
    return WEIR_OK;
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

static int put_literal(const place *at, const weir_value *value) {
    const weir_array *array = value->as.array;
    weir__buffer *blob = &at->args->blob;
    size_t start = blob->length;
    place item = *at;
    item.index = at->args->capacity - 1;
    bool shifted = false;
    for (int i = 0; i < array->dimensions; i++) shifted = shifted || array->lower[i] != 1;
    for (int i = 0; shifted && i < array->dimensions; i++)
        weir__buffer_printf(blob, "[%d:%d]", array->lower[i], array->lower[i] + array->lengths[i] - 1);
    if (shifted) weir__buffer_char(blob, '=');
    if (!array->count) weir__buffer_text(blob, "{}");
    for (size_t i = 0; i < array->count; i++) {
        if (i) weir__buffer_char(blob, ',');
        for (int n = edges(array, i); n > 0; n--) weir__buffer_char(blob, '{');
        int code = put_item_text(&item, &array->items[i]);
        if (code != WEIR_OK) return code;
        for (int n = edges(array, i + 1); n > 0; n--) weir__buffer_char(blob, '}');
        if (blob->broken) return no_memory(at);
    }
    weir__buffer_char(blob, '\0');
    if (blob->length - start > BYTES_MAX) return refuse_text(at, "longer than 1 GiB - 1");
    return put_blob(at, start, 1, 0);
}

static int put_value(const place *at, const weir_value *value);

static bool is_texts(Oid type) {
    switch (type) {
    case WEIR__OID_TEXT:
    case WEIR__OID_VARCHAR:
    case WEIR__OID_BPCHAR:
    case WEIR__OID_NAME:
    case WEIR__OID_CHAR:
    case WEIR__OID_JSON:
    case WEIR__OID_XML:
        return true;
    default:
        return false;
    }
}

/* One item behind its length. *binary becomes false when it has no binary form. */
static int put_item(const place *at, const weir_value *item, bool *binary) {
    weir__pgargs *args = at->args;
    size_t start = args->blob.length;
    char *length = weir__buffer_reserve(&args->blob, 4);
    if (!length) return no_memory(at);
    if (item->type == WEIR_TYPE_NULL) {
        memset(length, 0xff, 4);
        return WEIR_OK;
    }
    int code = put_value(at, item);
    if (code != WEIR_OK) return code;
    args->total -= (size_t)args->lengths[at->index];
    if (args->formats[at->index] == 0 && at->type == WEIR__OID_JSONB)
        weir__buffer_char(&args->blob, 1); /* the version of its binary form */
    else if (args->formats[at->index] == 0 && !is_texts(at->type))
        *binary = false;
    if (args->offsets[at->index] == SIZE_MAX)
        weir__buffer_append(&args->blob, args->values[at->index], (size_t)args->lengths[at->index]);
    if (args->blob.broken) return no_memory(at);
    big_endian(args->blob.data + start, args->blob.length - start - 4, 4);
    return WEIR_OK;
}

static void put_shape(weir__buffer *blob, const weir_array *array, Oid element) {
    size_t size = 12 + 8 * (size_t)array->dimensions;
    char *header = weir__buffer_reserve(blob, size);
    if (!header) return;
    bool nulls = false;
    for (size_t i = 0; i < array->count && !nulls; i++) nulls = array->items[i].type == WEIR_TYPE_NULL;
    big_endian(header, (uint64_t)array->dimensions, 4);
    big_endian(header + 4, nulls, 4);
    big_endian(header + 8, element, 4);
    for (int i = 0; i < array->dimensions; i++) {
        big_endian(header + 12 + 8 * i, (uint32_t)array->lengths[i], 4);
        big_endian(header + 16 + 8 * i, (uint32_t)array->lower[i], 4);
    }
}

/* In binary form, or as a literal when one of the items has text only; all are checked in either case. */
static int put_array(const place *at, const weir_value *value, Oid element) {
    weir__buffer *blob = &at->args->blob;
    size_t start = blob->length;
    place item = *at;
    bool binary = true;
    if (value->type == WEIR_TYPE_TEXT) return put_text(at, value);
    if (value->type != WEIR_TYPE_ARRAY) return refuse_kind(at, value, "array or text");
    item.index = at->args->capacity - 1;
    item.type = element;
    put_shape(blob, value->as.array, element);
    for (size_t i = 0; i < value->as.array->count; i++) {
        int code = put_item(&item, &value->as.array->items[i], &binary);
        if (code != WEIR_OK) return code;
    }
    if (!binary) {
        blob->length = start;
        return put_literal(at, value);
    }
    if (blob->length - start > BYTES_MAX) return refuse_text(at, "longer than 1 GiB - 1");
    return put_blob(at, start, 0, 1);
}

static int put_value(const place *at, const weir_value *value) {
    Oid element;
    if (value->type == WEIR_TYPE_NULL) return put(at, NULL, 0, 0);
    switch (at->type) {
    case WEIR__OID_BOOL:
        if (value->type != WEIR_TYPE_BOOL) return refuse_kind(at, value, "bool");
        return put_big_endian(at, value->as.boolean, 1);
    case WEIR__OID_INT2:
        return put_integer(at, value, INT16_MIN, INT16_MAX, 2);
    case WEIR__OID_INT4:
        return put_integer(at, value, INT32_MIN, INT32_MAX, 4);
    case WEIR__OID_INT8:
        return put_integer(at, value, INT64_MIN, INT64_MAX, 8);
    case WEIR__OID_OID:
        return put_integer(at, value, 0, UINT32_MAX, 4);
    case WEIR__OID_FLOAT4:
    case WEIR__OID_FLOAT8:
        return put_real(at, value);
    case WEIR__OID_NUMERIC:
        return put_numeric(at, value);
    case WEIR__OID_DATE:
    case WEIR__OID_TIME:
    case WEIR__OID_TIMETZ:
    case WEIR__OID_TIMESTAMP:
    case WEIR__OID_TIMESTAMPTZ:
    case WEIR__OID_INTERVAL:
    case WEIR__OID_UUID:
    case WEIR__OID_INET:
    case WEIR__OID_CIDR:
        return put_kind(at, value);
    case WEIR__OID_TEXT:
    case WEIR__OID_VARCHAR:
    case WEIR__OID_BPCHAR:
    case WEIR__OID_NAME:
    case WEIR__OID_CHAR:
    case WEIR__OID_UNKNOWN:
    case WEIR__OID_JSON:
    case WEIR__OID_JSONB:
        if (value->type != WEIR_TYPE_TEXT) return refuse_kind(at, value, "text");
        return put_text(at, value);
    case WEIR__OID_BYTEA:
        if (value->type != WEIR_TYPE_BYTES) return refuse_kind(at, value, "bytes");
        if (value->as.bytes.length > BYTES_MAX) return refuse_text(at, "longer than 1 GiB - 1");
        return put(at, value->as.bytes.data, value->as.bytes.length, 1);
    default:
        element = weir__pg_element(at->type);
        return element ? put_array(at, value, element) : put_any(at, value);
    }
}

/* ---- a set */

static bool grow(weir__pgargs *args, size_t count) {
    if (count <= args->capacity) return true;
    size_t capacity = args->capacity ? args->capacity : 8;
    while (capacity < count) capacity *= 2;
    weir__pg_args_free(args);
    args->values = weir__calloc(capacity, sizeof *args->values);
    args->lengths = weir__calloc(capacity, sizeof *args->lengths);
    args->formats = weir__calloc(capacity, sizeof *args->formats);
    args->offsets = weir__calloc(capacity, sizeof *args->offsets);
    args->cells = weir__calloc(capacity, sizeof *args->cells);
    if (!args->values || !args->lengths || !args->formats || !args->offsets || !args->cells) {
        weir__pg_args_free(args);
        return false;
    }
    args->capacity = capacity;
    return true;
}

void weir__pg_args_free(weir__pgargs *args) {
    weir__free(args->values);
    weir__free(args->lengths);
    weir__free(args->formats);
    weir__free(args->offsets);
    weir__free(args->cells);
    weir__buffer_free(&args->blob);
    *args = (weir__pgargs){.blob = WEIR__BUFFER_INIT};
}

int weir__pg_encode(weir__pgargs *args, const weir_statement *statement, size_t set, const Oid *types,
                    weir_error *error) {
    size_t count = statement->parameters;
    const weir_value *values = weir__statement_set(statement, set);
    if (!grow(args, count + 1)) return weir__fail(error, WEIR_ENOMEM, "out of memory");
    weir__buffer_free(&args->blob); /* a large one is not kept */
    args->total = 0;
    place at = {.args = args, .statement = statement, .set = set, .error = error};
    for (size_t i = 0; i < count; i++) {
        at.index = at.number = i;
        at.type = types ? types[i] : 0;
        int code = put_value(&at, &values[i]);
        if (code != WEIR_OK) return code;
        if (args->total > MESSAGE_MAX)
            return refuse_text(&at, "with this one, the set's values are longer than 1 GiB together");
    }
    for (size_t i = 0; i < count; i++)
        if (args->offsets[i] != SIZE_MAX) args->values[i] = args->blob.data + args->offsets[i];
    return WEIR_OK;
}
