#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/number.h"
#include "base/text.h"
#include "driver/postgres/encode.h"

#define PLACE_SIZE 128
#define MESSAGE_MAX                                                                                          \
    ((size_t)(1 << 30) - 65536) /* the server's limit, less some room for a message's frame                  \
                                 */

static const char *type_text(const weir__pgtypes *types, Oid type, char *buffer, size_t size) {
    static const struct {
        Oid type;
        const char *name;
    } names[] = {{WEIR__OID_BOOL, "boolean"},
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
                 {WEIR__OID_BIT, "bit"},
                 {WEIR__OID_VARBIT, "varbit"},
                 {WEIR__OID_RECORD, "record"},
#define RANGE(subtype, name, range, ranges, multirange, multiranges)                                         \
    {range, name "range"}, {multirange, name "multirange"},
                 WEIR__PG_RANGES(RANGE)
#undef RANGE
    };
    const weir__pgtype *own = weir__pg_type(types, type);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].type == type) return names[i].name;
    if (weir__pg_element(type)) /* all elements are above */
        snprintf(buffer, size, "%s[]", type_text(NULL, weir__pg_element(type), NULL, 0));
    else if (own && own->name)
        snprintf(buffer, size, "%s", own->name);
    else
        snprintf(buffer, size, "the type with oid %u", type);
    return buffer;
}

/* "parameter $2", of an executemany "parameter $2 of set 7", of a COPY "record 7, column b". */
static const char *place_text(const weir__pgplace *at, char *buffer, size_t size) {
    const char *column = at->args->columns;
    char shown[WEIR__QUOTE_SIZE];
    for (size_t i = 0; column && i < at->number; i++) column += strlen(column) + 1;
    size_t set = at->args->before + at->set + 1;
    if (column)
        snprintf(buffer, size, "record %zu, column %s", set, weir__quote(shown, column));
    else if (at->statement->many)
        snprintf(buffer, size, "parameter $%zu of set %zu", at->number + 1, set);
    else
        snprintf(buffer, size, "parameter $%zu", at->number + 1);
    return buffer;
}

static int refuse(const weir__pgplace *at, const weir_value *value, const char *wanted, const char *remedy) {
    char where[PLACE_SIZE], type[160];
    return weir__fail(at->error, WEIR_EVALUE, "%s: %s takes %s, not %s%s",
                      place_text(at, where, sizeof where),
                      type_text(weir__pg_known(at), at->type, type, sizeof type), wanted,
                      weir_type_name(value->type), remedy);
}

int weir__pg_refuse_kind(const weir__pgplace *at, const weir_value *value, const char *wanted) {
    return refuse(at, value, wanted,
                  value->type == WEIR_TYPE_RECORD
                      ? ": the values of a row are no parameters of their own, give them one by one"
                      : "");
}

static int refuse_value(const weir__pgplace *at, const char *value, const char *why) {
    char where[PLACE_SIZE], type[160];
    return weir__fail(at->error, WEIR_EVALUE, "%s: %s %s %s", place_text(at, where, sizeof where), value, why,
                      type_text(weir__pg_known(at), at->type, type, sizeof type));
}

int weir__pg_refuse_text(const weir__pgplace *at, const char *why) {
    char where[PLACE_SIZE];
    return weir__fail(at->error, WEIR_EVALUE, "%s: %s", place_text(at, where, sizeof where), why);
}

/* ---- putting */

int weir__pg_put(const weir__pgplace *at, const char *data, size_t length, int format) {
    at->args->values[at->index] = data;
    at->args->offsets[at->index] = SIZE_MAX;
    at->args->lengths[at->index] = (int)length;
    at->args->formats[at->index] = format;
    at->args->total += length;
    return WEIR_OK;
}

/* What was appended to the blob from `start` on, and ends before its last `behind` bytes. */
int weir__pg_put_blob(const weir__pgplace *at, size_t start, size_t behind, int format) {
    if (at->args->blob.broken) return weir__fail(at->error, WEIR_ENOMEM, "out of memory");
    weir__pg_put(at, NULL, at->args->blob.length - behind - start, format);
    at->args->offsets[at->index] = start;
    return WEIR_OK;
}

static char *cell(const weir__pgplace *at) { return at->args->cells[at->index].bytes; }

static int put_big_endian(const weir__pgplace *at, uint64_t bits, size_t size) {
    weir__pg_write(cell(at), bits, size);
    return weir__pg_put(at, cell(at), size, 1);
}

/* The statement's own bytes, behind which the NUL stands that libpq looks for in a text. */
int weir__pg_put_text(const weir__pgplace *at, const weir_value *value) {
    const char *data = value->as.bytes.data;
    size_t length = value->as.bytes.length;
    if (length > WEIR__PG_BYTES_MAX) return weir__pg_refuse_text(at, "longer than 1 GiB - 1");
    if (length && memchr(data, '\0', length))
        return weir__pg_refuse_text(at, "a text with a NUL in it, which PostgreSQL cannot hold");
    return weir__pg_put(at, data, length, 0);
}

static int put_hex(const weir__pgplace *at, const weir_value *value) {
    static const char digits[] = "0123456789abcdef";
    size_t length = value->as.bytes.length;
    if (length > (WEIR__PG_BYTES_MAX - 2) / 2)
        return weir__pg_refuse_text(at, "longer than 512 MiB - 2, as text");
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
    return weir__pg_put_blob(at, start, 1, 0);
}

/* What the host's codec has written, for the codec's type alone: of another one, binary bytes would be
 * something else. */
static int put_raw(const weir__pgplace *at, const weir_value *value) {
    const weir__pgtype *type = weir__pg_type(weir__pg_known(at), at->type);
    const weir__pgtype *codec = weir__pg_codec_type(weir__pg_known(at), at->type);
    if (!codec && type && type->kind == WEIR__PG_DOMAIN) {
        weir__pgplace base = *at;
        base.type = type->part;
        return put_raw(&base, value);
    }
    if (at->type ? !codec || codec->codec != value->codec : value->binary)
        return weir__pg_refuse_kind(at, value, "no value of that codec");
    if (!value->binary) return weir__pg_put_text(at, value);
    if (value->as.bytes.length > WEIR__PG_BYTES_MAX) return weir__pg_refuse_text(at, "longer than 1 GiB - 1");
    return weir__pg_put(at, value->as.bytes.data, value->as.bytes.length, 1);
}

/* As the text that the server's input function reads. */
int weir__pg_put_any(const weir__pgplace *at, const weir_value *value) {
    switch (value->type) {
    case WEIR_TYPE_NULL:
        break;
    case WEIR_TYPE_BOOL:
        return weir__pg_put(at, value->as.boolean ? "true" : "false", value->as.boolean ? 4 : 5, 0);
    case WEIR_TYPE_INT:
        snprintf(cell(at), sizeof at->args->cells->bytes, "%" PRId64, value->as.integer);
        return weir__pg_put(at, cell(at), strlen(cell(at)), 0);
    case WEIR_TYPE_FLOAT:
        weir__print_double(value->as.real, cell(at));
        return weir__pg_put(at, cell(at), strlen(cell(at)), 0);
    case WEIR_TYPE_NUMERIC:
    case WEIR_TYPE_TEXT:
    case WEIR_TYPE_INET:
    case WEIR_TYPE_CIDR:
    case WEIR_TYPE_JSON:
        return weir__pg_put_text(at, value);
    case WEIR_TYPE_RAW:
        return put_raw(at, value);
    case WEIR_TYPE_BYTES:
        return put_hex(at, value);
    case WEIR_TYPE_DATE:
    case WEIR_TYPE_TIME:
    case WEIR_TYPE_TIMETZ:
    case WEIR_TYPE_TIMESTAMP:
    case WEIR_TYPE_TIMESTAMPTZ:
    case WEIR_TYPE_INTERVAL:
    case WEIR_TYPE_UUID: {
        weir_value given = *value;
        if (at->args->finite && given.type == WEIR_TYPE_INTERVAL) weir__make_finite(&given);
        size_t length = weir_value_text(&given, cell(at));
        return weir__pg_put(at, cell(at), length, 0);
    }
    case WEIR_TYPE_ARRAY:
    case WEIR_TYPE_RANGE:
    case WEIR_TYPE_MULTIRANGE:
    case WEIR_TYPE_RECORD:
    case WEIR_TYPE_MAP:
        return weir__pg_put_literal(at, value);
    }
    return weir__pg_put(at, NULL, 0, 0);
}

/* ---- scalars */

/* A decimal: how hosts give a whole number that 64 bits do not hold. */
static bool is_huge(const weir_value *value) {
    const char *text = value->as.bytes.data;
    char *end;
    errno = 0;
    strtoll(text, &end, 10);
    return errno == ERANGE && end == text + value->as.bytes.length;
}

static int put_integer(const weir__pgplace *at, const weir_value *value, int64_t least, int64_t most,
                       size_t size) {
    if (value->type == WEIR_TYPE_FLOAT)
        return weir__pg_refuse_kind(at, value, "int (convert it, even when it is a whole number)");
    if (value->type == WEIR_TYPE_NUMERIC && is_huge(value)) {
        char text[WEIR__QUOTE_SIZE];
        return refuse_value(at, weir__quote(text, value->as.bytes.data), "is out of range for");
    }
    if (value->type != WEIR_TYPE_INT) return weir__pg_refuse_kind(at, value, "int");
    int64_t n = value->as.integer;
    if (n < least || n > most) {
        char text[32];
        snprintf(text, sizeof text, "%" PRId64, n);
        return refuse_value(at, text, "is out of range for");
    }
    return put_big_endian(at, (uint64_t)n, size);
}

static int put_real(const weir__pgplace *at, const weir_value *value) {
    double real;
    switch (value->type) {
    case WEIR_TYPE_FLOAT:
        real = value->as.real;
        break;
    case WEIR_TYPE_INT:
        real = (double)value->as.integer;
        break;
    case WEIR_TYPE_NUMERIC:
        return weir__pg_put_any(at, value);
    default:
        return weir__pg_refuse_kind(at, value, "float, int or numeric");
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
        weir__print_double(real, text);
        return refuse_value(at, text, "is out of range for");
    }
    return put_big_endian(at, as.half, 4);
}

static int put_numeric(const weir__pgplace *at, const weir_value *value) {
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
        weir__print_double(value->as.real, number);
        break;
    default:
        return weir__pg_refuse_kind(at, value, "numeric, int or float");
    }
    size_t start = at->args->blob.length,
           length = value->type == WEIR_TYPE_NUMERIC ? value->as.bytes.length : strlen(text);
    if (weir__pg_numeric_binary(text, length, &at->args->blob)) return weir__pg_put_blob(at, start, 0, 1);
    if (at->args->blob.broken) return weir__fail(at->error, WEIR_ENOMEM, "out of memory");
    return weir__pg_put_any(at, value); /* the server says what is wrong with it */
}

/* ---- times, uuid, inet: of their own kind, or as text that the server reads */

static int put_timestamp(const weir__pgplace *at, const weir_value *value) {
    if (value->type == WEIR_TYPE_TIMESTAMP) return put_big_endian(at, (uint64_t)value->as.time, 8);
    if (value->type != WEIR_TYPE_DATE) return weir__pg_refuse_kind(at, value, "timestamp, date or text");
    int64_t time;
    if (weir_value_infinity(value)) {
        time = value->as.date < 0 ? INT64_MIN : INT64_MAX;
    } else if (__builtin_mul_overflow(value->as.date, WEIR_DAY_US, &time)) {
        char text[WEIR_VALUE_TEXT];
        weir_value_text(value, text);
        return refuse_value(at, text, "is out of range for");
    }
    return put_big_endian(at, (uint64_t)time, 8);
}

static int put_timetz(const weir__pgplace *at, const weir_value *value) {
    char *bytes = cell(at);
    weir__pg_write(bytes, (uint64_t)value->as.timetz.time, 8);
    weir__pg_write(bytes + 8, (uint32_t)-value->as.timetz.east, 4);
    return weir__pg_put(at, bytes, 12, 1);
}

static int put_interval(const weir__pgplace *at, weir_value value) {
    char *bytes = cell(at);
    if (at->args->finite) weir__make_finite(&value);
    weir__pg_write(bytes, (uint64_t)value.as.interval.microseconds, 8);
    weir__pg_write(bytes + 8, (uint32_t)value.as.interval.days, 4);
    weir__pg_write(bytes + 12, (uint32_t)value.as.interval.months, 4);
    return weir__pg_put(at, bytes, 16, 1);
}

/* Times of the one or the other kind are not taken for each other: which clock they mean would be a guess. */
static int put_kind(const weir__pgplace *at, const weir_value *value) {
    if (value->type == WEIR_TYPE_TEXT) return weir__pg_put_text(at, value);
    switch (at->type) {
    case WEIR__OID_DATE:
        if (value->type != WEIR_TYPE_DATE) return weir__pg_refuse_kind(at, value, "date or text");
        return put_big_endian(at, (uint32_t)value->as.date, 4);
    case WEIR__OID_TIME:
        if (value->type != WEIR_TYPE_TIME) return weir__pg_refuse_kind(at, value, "time or text");
        return put_big_endian(at, (uint64_t)value->as.time, 8);
    case WEIR__OID_TIMETZ:
        if (value->type != WEIR_TYPE_TIMETZ) return weir__pg_refuse_kind(at, value, "timetz or text");
        return put_timetz(at, value);
    case WEIR__OID_TIMESTAMP:
        return put_timestamp(at, value);
    case WEIR__OID_TIMESTAMPTZ:
        if (value->type != WEIR_TYPE_TIMESTAMPTZ)
            return weir__pg_refuse_kind(at, value, "timestamptz or text");
        return put_big_endian(at, (uint64_t)value->as.time, 8);
    case WEIR__OID_INTERVAL:
        if (value->type != WEIR_TYPE_INTERVAL) return weir__pg_refuse_kind(at, value, "interval or text");
        return put_interval(at, *value);
    case WEIR__OID_UUID:
        if (value->type != WEIR_TYPE_UUID) return weir__pg_refuse_kind(at, value, "uuid or text");
        return weir__pg_put(at, (const char *)value->as.uuid, 16, 1);
    default: /* inet, cidr: the server refuses a network with bits of a host */
        if (value->type != WEIR_TYPE_INET && value->type != WEIR_TYPE_CIDR)
            return weir__pg_refuse_kind(at, value, "inet, cidr or text");
        return weir__pg_put_text(at, value);
    }
}

/* ---- by type */

static int put_json(const weir__pgplace *at, const weir_value *value) {
    switch (value->type) {
    case WEIR_TYPE_TEXT:
    case WEIR_TYPE_JSON:
        return weir__pg_put_text(at, value);
    case WEIR_TYPE_ARRAY:
    case WEIR_TYPE_RECORD:
    case WEIR_TYPE_MAP:
        return weir__pg_put_literal(at, value);
    default:
        return refuse(at, value, "json, a list of what JSON has, or its text",
                      ": of a single value give the text, or in Python weirpool.Json(value)");
    }
}

/* In binary form one byte, a zero where there is no character. */
static int put_char(const weir__pgplace *at, const weir_value *value) {
    if (value->type != WEIR_TYPE_TEXT) return weir__pg_refuse_kind(at, value, "text");
    size_t length = value->as.bytes.length;
    unsigned char byte = length ? (unsigned char)*value->as.bytes.data : 0;
    if (length > 1 || (length && !byte)) return weir__pg_put_text(at, value);
    return put_big_endian(at, byte, 1);
}

int weir__pg_put_value(const weir__pgplace *at, const weir_value *value) {
    if (value->type == WEIR_TYPE_NULL) return weir__pg_put(at, NULL, 0, 0);
    if (value->type == WEIR_TYPE_RAW) return put_raw(at, value);
    switch (at->type) {
    case WEIR__OID_BOOL:
        if (value->type != WEIR_TYPE_BOOL) return weir__pg_refuse_kind(at, value, "bool");
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
    case WEIR__OID_UNKNOWN:
        if (value->type != WEIR_TYPE_TEXT) return weir__pg_refuse_kind(at, value, "text");
        return weir__pg_put_text(at, value);
    case WEIR__OID_CHAR:
        return put_char(at, value);
    case WEIR__OID_BYTEA:
        if (value->type != WEIR_TYPE_BYTES) return weir__pg_refuse_kind(at, value, "bytes");
        if (value->as.bytes.length > WEIR__PG_BYTES_MAX)
            return weir__pg_refuse_text(at, "longer than 1 GiB - 1");
        return weir__pg_put(at, value->as.bytes.data, value->as.bytes.length, 1);
    case WEIR__OID_JSON:
    case WEIR__OID_JSONB:
        return put_json(at, value);
    default:
        return weir__pg_put_nested(at, value);
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
    *args = (weir__pgargs){.blob = WEIR__BUFFER_INIT,
                           .types = args->types,
                           .finite = args->finite,
                           .before = args->before,
                           .columns = args->columns};
}

int weir__pg_encode(weir__pgargs *args, const weir_statement *statement, size_t set, const Oid *types,
                    weir_error *error) {
    size_t count = statement->parameters;
    const weir_value *values = weir__statement_set(statement, set);
    if (!grow(args, count + 1)) return weir__fail(error, WEIR_ENOMEM, "out of memory");
    weir__buffer_free(&args->blob); /* a large one is not kept */
    args->total = 0;
    weir__pgplace at = {.args = args, .statement = statement, .set = set, .error = error};
    for (size_t i = 0; i < count; i++) {
        at.index = at.number = i;
        at.type = types ? types[i] : 0;
        int code = weir__pg_put_value(&at, &values[i]);
        if (code != WEIR_OK) return code;
        if (args->total > MESSAGE_MAX)
            return weir__pg_refuse_text(&at,
                                        "with this one, the set's values are longer than 1 GiB together");
    }
    for (size_t i = 0; i < count; i++)
        if (args->offsets[i] != SIZE_MAX) args->values[i] = args->blob.data + args->offsets[i];
    return WEIR_OK;
}
