#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/number.h"
#include "driver/postgres/value.h"

/* ---- what there is */

static bool has_binary(const weir__pgtypes *types, Oid oid, int depth);

static bool fields_have_binary(const weir__pgtypes *types, const weir__pgtype *type, int depth) {
    for (size_t i = 0; i < type->count; i++)
        if (!has_binary(types, type->types[i], depth)) return false;
    return true;
}

static bool type_has_binary(const weir__pgtypes *types, const weir__pgtype *type, int depth) {
    if (depth > WEIR_VALUE_DEPTH) return false;
    switch (type->kind) {
    case WEIR__PG_ENUM:
    case WEIR__PG_HSTORE:
        return true;
    case WEIR__PG_DOMAIN:
    case WEIR__PG_ARRAY:
    case WEIR__PG_RANGE:
    case WEIR__PG_MULTIRANGE:
        return has_binary(types, type->part, depth);
    case WEIR__PG_COMPOSITE:
        return fields_have_binary(types, type, depth);
    case WEIR__PG_OTHER:
        break;
    }
    return false;
}

static bool is_scalar(Oid oid) {
    switch (oid) {
    case WEIR__OID_BOOL:
    case WEIR__OID_BYTEA:
    case WEIR__OID_CHAR:
    case WEIR__OID_NAME:
    case WEIR__OID_INT8:
    case WEIR__OID_INT2:
    case WEIR__OID_INT4:
    case WEIR__OID_TEXT:
    case WEIR__OID_OID:
    case WEIR__OID_JSON:
    case WEIR__OID_XML:
    case WEIR__OID_FLOAT4:
    case WEIR__OID_FLOAT8:
    case WEIR__OID_UNKNOWN:
    case WEIR__OID_BPCHAR:
    case WEIR__OID_VARCHAR:
    case WEIR__OID_VOID:
    case WEIR__OID_JSONB:
    case WEIR__OID_CIDR:
    case WEIR__OID_MACADDR8:
    case WEIR__OID_MACADDR:
    case WEIR__OID_INET:
    case WEIR__OID_DATE:
    case WEIR__OID_TIME:
    case WEIR__OID_TIMESTAMP:
    case WEIR__OID_TIMESTAMPTZ:
    case WEIR__OID_INTERVAL:
    case WEIR__OID_TIMETZ:
    case WEIR__OID_NUMERIC:
    case WEIR__OID_UUID:
    case WEIR__OID_BIT:
    case WEIR__OID_VARBIT:
        return true;
    default:
        return false;
    }
}

static bool has_binary(const weir__pgtypes *types, Oid oid, int depth) {
    const weir__pgtype *codec = weir__pg_codec_type(types, oid);
    if (codec) return codec->codec_binary;
    if (is_scalar(oid)) return true;
    const weir__pgtype *type = weir__pg_type(types, oid);
    return type && type_has_binary(types, type, depth + 1);
}

bool weir__pg_has_binary(const weir__pgtypes *types, Oid oid) { return has_binary(types, oid, 0); }

bool weir__pg_is_plain(const weir__pgtypes *types, Oid type, int format) {
    const weir__pgtype *own;
    switch (type) {
    case WEIR__OID_BOOL:
    case WEIR__OID_INT2:
    case WEIR__OID_INT4:
    case WEIR__OID_INT8:
    case WEIR__OID_FLOAT4:
    case WEIR__OID_FLOAT8:
    case WEIR__OID_TEXT:
    case WEIR__OID_VARCHAR:
    case WEIR__OID_TIMESTAMP:
    case WEIR__OID_TIMESTAMPTZ:
    case WEIR__OID_DATE:
        return true; /* what most columns have, so that it is found soon */
    case WEIR__OID_BYTEA:
        return format == 1;
    case WEIR__OID_CIDR:
    case WEIR__OID_MACADDR8:
    case WEIR__OID_MACADDR:
    case WEIR__OID_INET:
    case WEIR__OID_NUMERIC:
    case WEIR__OID_BIT:
    case WEIR__OID_VARBIT:
        return format == 0;
    default:
        own = weir__pg_type(types, type);
        return !own || own->kind == WEIR__PG_ENUM || own->kind == WEIR__PG_OTHER;
    }
}

/* ---- binary */

static int give_int(weir_value *out, int64_t n) {
    *out = (weir_value){.type = WEIR_TYPE_INT, .as.integer = n};
    return WEIR_OK;
}

static int give_real(weir_value *out, double real) {
    *out = (weir_value){.type = WEIR_TYPE_FLOAT, .as.real = real};
    return WEIR_OK;
}

static int give_bool(weir_value *out, bool boolean) {
    *out = (weir_value){.type = WEIR_TYPE_BOOL, .as.boolean = boolean};
    return WEIR_OK;
}

static int give_bytes(weir_value *out, weir_type type, const char *data, size_t length) {
    *out = (weir_value){.type = type, .as.bytes = {data, length}};
    return WEIR_OK;
}

static int decode_real(const char *data, size_t size, weir_value *out) {
    union {
        double real;
        float single;
        uint64_t bits;
        uint32_t half;
    } as;
    if (size == 8) {
        as.bits = weir__pg_big_endian(data, 8);
        return give_real(out, as.real);
    }
    as.half = (uint32_t)weir__pg_big_endian(data, 4);
    return give_real(out, as.single);
}

static int give_time(weir_value *out, weir_type type, int64_t time) {
    *out = (weir_value){.type = type, .as.time = time};
    return WEIR_OK;
}

static int give_time_of_day(weir_value *out, int64_t time) {
    return time >= 0 && time <= WEIR_DAY_US ? give_time(out, WEIR_TYPE_TIME, time) : WEIR_EVALUE;
}

static int decode_date(const char *data, weir_value *out) {
    *out = (weir_value){.type = WEIR_TYPE_DATE, .as.date = (int32_t)weir__pg_big_endian(data, 4)};
    return WEIR_OK;
}

static int decode_timetz(const char *data, weir_value *out) {
    int64_t time = (int64_t)weir__pg_big_endian(data, 8);
    int32_t west = (int32_t)weir__pg_big_endian(data + 8, 4);
    if (time < 0 || time > WEIR_DAY_US || west <= -86400 || west >= 86400) return WEIR_EVALUE;
    *out = (weir_value){.type = WEIR_TYPE_TIMETZ, .as.timetz = {time, -west}};
    return WEIR_OK;
}

static int decode_interval(const char *data, weir_value *out) {
    *out = (weir_value){.type = WEIR_TYPE_INTERVAL,
                        .as.interval = {(int32_t)weir__pg_big_endian(data + 12, 4),
                                        (int32_t)weir__pg_big_endian(data + 8, 4),
                                        (int64_t)weir__pg_big_endian(data, 8)}};
    return WEIR_OK;
}

static int decode_uuid(const char *data, weir_value *out) {
    out->type = WEIR_TYPE_UUID;
    memcpy(out->as.uuid, data, 16);
    return WEIR_OK;
}

static int decode_macaddr(const char *data, size_t length, weir__arena *arena, weir_value *out) {
    char *text = weir__arena_take(arena, 3 * length + 1);
    if (!text) return WEIR_ENOMEM;
    for (size_t i = 0; i < length; i++)
        sprintf(text + 3 * i, i + 1 < length ? "%02x:" : "%02x", (unsigned)(unsigned char)data[i]);
    return give_bytes(out, WEIR_TYPE_TEXT, text, 3 * length - 1);
}

/* Family (the server's own numbers), bits of the network, whether it is a cidr, bytes of the address, the
 * address. */
static int decode_inet(weir_type type, const char *data, size_t length, weir__arena *arena, weir_value *out) {
    if (length < 4 || (data[0] != 2 && data[0] != 3)) return WEIR_EVALUE;
    size_t size = data[0] == 2 ? 4 : 16, bits = (unsigned char)data[1], most = 8 * size;
    if (length != 4 + size || (unsigned char)data[3] != size || bits > most) return WEIR_EVALUE;
    char *text = weir__arena_take(arena, INET6_ADDRSTRLEN + 4);
    if (!text) return WEIR_ENOMEM;
    if (!inet_ntop(size == 4 ? AF_INET : AF_INET6, data + 4, text, INET6_ADDRSTRLEN)) return WEIR_EVALUE;
    size_t written = strlen(text);
    if (type == WEIR_TYPE_CIDR || bits != most) written += (size_t)sprintf(text + written, "/%zu", bits);
    return give_bytes(out, type, text, written);
}

/* How many bits, then they themselves, the first in a byte's highest place. */
static int decode_bits(const char *data, size_t length, weir__arena *arena, weir_value *out) {
    if (length < 4) return WEIR_EVALUE;
    size_t bits = (size_t)weir__pg_big_endian(data, 4);
    if (bits > INT32_MAX || length - 4 != (bits + 7) / 8) return WEIR_EVALUE;
    char *text = weir__arena_take(arena, bits + 1);
    if (!text) return WEIR_ENOMEM;
    for (size_t i = 0; i < bits; i++) text[i] = (unsigned char)data[4 + i / 8] >> (7 - i % 8) & 1 ? '1' : '0';
    return give_bytes(out, WEIR_TYPE_TEXT, text, bits);
}

/* ---- types that consist of others, or are a database's own */

static int decode_kind(weir__pgin *in, const weir__pgtype *type, int format, const char *data, size_t length,
                       weir_value *out) {
    const weir__pgtype *range;
    switch (type->kind) {
    case WEIR__PG_ENUM:
        return give_bytes(out, WEIR_TYPE_TEXT, data, length);
    case WEIR__PG_DOMAIN:
        return weir__pg_decode(in, type->part, format, data, length, out);
    case WEIR__PG_ARRAY:
        return weir__pg_array(in, type->part, format, data, length, out);
    case WEIR__PG_RANGE:
        return weir__pg_range(in, type->part, format, data, length, out);
    case WEIR__PG_MULTIRANGE:
        range = weir__pg_type(in->types, type->part);
        if (!range || range->kind != WEIR__PG_RANGE) break;
        return weir__pg_multirange(in, range->part, format, data, length, out);
    case WEIR__PG_COMPOSITE:
        if (type->oid == WEIR__OID_RECORD && format == 0) break; /* its text does not tell the types */
        return weir__pg_record(in, type->oid == WEIR__OID_RECORD ? NULL : type, format, data, length, out);
    case WEIR__PG_HSTORE:
        return weir__pg_hstore(in, format, data, length, out);
    case WEIR__PG_OTHER:
        break;
    }
    return format == 0 ? give_bytes(out, WEIR_TYPE_TEXT, data, length) : WEIR_EVALUE;
}

static int decode_type(weir__pgin *in, Oid oid, int format, const char *data, size_t length,
                       weir_value *out) {
    const weir__pgtype *type = is_scalar(oid) ? NULL : weir__pg_type(in->types, oid);
    if (!type)
        return format == 0 || is_scalar(oid) ? give_bytes(out, WEIR_TYPE_TEXT, data, length) : WEIR_EVALUE;
    if (in->depth >= WEIR_VALUE_DEPTH) return WEIR_EVALUE;
    in->depth++;
    int code = decode_kind(in, type, format, data, length, out);
    in->depth--;
    return code;
}

static int decode_other(weir__pgin *in, Oid type, const char *data, size_t length, weir_value *out) {
    switch (type) {
    case WEIR__OID_NUMERIC:
        return weir__pg_numeric_text(data, length, in->arena, out);
    case WEIR__OID_DATE:
        return length == 4 ? decode_date(data, out) : WEIR_EVALUE;
    case WEIR__OID_TIME:
        return length == 8 ? give_time_of_day(out, (int64_t)weir__pg_big_endian(data, 8)) : WEIR_EVALUE;
    case WEIR__OID_TIMETZ:
        return length == 12 ? decode_timetz(data, out) : WEIR_EVALUE;
    case WEIR__OID_TIMESTAMP:
        if (length != 8) return WEIR_EVALUE;
        return give_time(out, WEIR_TYPE_TIMESTAMP, (int64_t)weir__pg_big_endian(data, 8));
    case WEIR__OID_TIMESTAMPTZ:
        if (length != 8) return WEIR_EVALUE;
        return give_time(out, WEIR_TYPE_TIMESTAMPTZ, (int64_t)weir__pg_big_endian(data, 8));
    case WEIR__OID_INTERVAL:
        return length == 16 ? decode_interval(data, out) : WEIR_EVALUE;
    case WEIR__OID_UUID:
        return length == 16 ? decode_uuid(data, out) : WEIR_EVALUE;
    case WEIR__OID_INET:
        return decode_inet(WEIR_TYPE_INET, data, length, in->arena, out);
    case WEIR__OID_CIDR:
        return decode_inet(WEIR_TYPE_CIDR, data, length, in->arena, out);
    case WEIR__OID_MACADDR:
        return length == 6 ? decode_macaddr(data, 6, in->arena, out) : WEIR_EVALUE;
    case WEIR__OID_MACADDR8:
        return length == 8 ? decode_macaddr(data, 8, in->arena, out) : WEIR_EVALUE;
    case WEIR__OID_BIT:
    case WEIR__OID_VARBIT:
        return decode_bits(data, length, in->arena, out);
    default:
        return decode_type(in, type, 1, data, length, out);
    }
}

static int decode_binary(weir__pgin *in, Oid type, const char *data, size_t length, weir_value *out) {
    switch (type) {
    case WEIR__OID_BOOL:
        return length == 1 ? give_bool(out, data[0] != 0) : WEIR_EVALUE;
    case WEIR__OID_INT2:
        return length == 2 ? give_int(out, (int16_t)weir__pg_big_endian(data, 2)) : WEIR_EVALUE;
    case WEIR__OID_INT4:
        return length == 4 ? give_int(out, (int32_t)weir__pg_big_endian(data, 4)) : WEIR_EVALUE;
    case WEIR__OID_OID:
        return length == 4 ? give_int(out, (int64_t)weir__pg_big_endian(data, 4)) : WEIR_EVALUE;
    case WEIR__OID_INT8:
        return length == 8 ? give_int(out, (int64_t)weir__pg_big_endian(data, 8)) : WEIR_EVALUE;
    case WEIR__OID_FLOAT4:
        return length == 4 ? decode_real(data, 4, out) : WEIR_EVALUE;
    case WEIR__OID_FLOAT8:
        return length == 8 ? decode_real(data, 8, out) : WEIR_EVALUE;
    case WEIR__OID_BYTEA:
        return give_bytes(out, WEIR_TYPE_BYTES, data, length);
    case WEIR__OID_TEXT:
    case WEIR__OID_VARCHAR:
        return give_bytes(out, WEIR_TYPE_TEXT, data, length);
    case WEIR__OID_CHAR: /* of no character: a zero, and "" in text form */
        return length == 1 ? give_bytes(out, WEIR_TYPE_TEXT, data, data[0] != 0) : WEIR_EVALUE;
    case WEIR__OID_JSON:
        return give_bytes(out, WEIR_TYPE_JSON, data, length);
    case WEIR__OID_JSONB: /* a version, which has been 1 ever since, then the text */
        return length && data[0] == 1 ? give_bytes(out, WEIR_TYPE_JSON, data + 1, length - 1) : WEIR_EVALUE;
    case WEIR__OID_VOID:
        *out = (weir_value){.type = WEIR_TYPE_NULL};
        return WEIR_OK;
    default:
        return decode_other(in, type, data, length, out);
    }
}

/* ---- text; libpq puts a NUL behind each */

static int decode_integer(const char *text, int64_t least, int64_t most, weir_value *out) {
    char *end;
    if (strspn(text, "-0123456789") != strlen(text)) return WEIR_EVALUE;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end || errno || n < least || n > most) return WEIR_EVALUE;
    return give_int(out, n);
}

/* ---- bytea in text form */

static ptrdiff_t unescape_hex(const char *text, size_t length, char *out) {
    if (length % 2) return -1;
    for (size_t i = 0; i < length; i += 2) {
        int high = weir__hex_digit(text[i]), low = weir__hex_digit(text[i + 1]);
        if (high < 0 || low < 0) return -1;
        out[i / 2] = (char)(unsigned char)(high << 4 | low);
    }
    return (ptrdiff_t)(length / 2);
}

static bool is_octal(const char *p) {
    return p[0] >= '0' && p[0] <= '3' && p[1] >= '0' && p[1] <= '7' && p[2] >= '0' && p[2] <= '7';
}

ptrdiff_t weir__pg_unescape(const char *text, size_t length, char *out) {
    if (length >= 2 && text[0] == '\\' && text[1] == 'x') return unescape_hex(text + 2, length - 2, out);
    char *to = out;
    for (size_t i = 0; i < length;) {
        if (text[i] != '\\') {
            *to++ = text[i++];
        } else if (length - i >= 2 && text[i + 1] == '\\') {
            *to++ = '\\';
            i += 2;
        } else if (length - i >= 4 && is_octal(text + i + 1)) {
            *to++ = (char)(unsigned char)((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 |
                                          (text[i + 3] - '0'));
            i += 4;
        } else {
            return -1;
        }
    }
    return to - out;
}

/* ---- text, by type */

static int decode_bytes(const char *text, size_t length, weir__arena *arena, weir_value *out) {
    char *bytes = weir__arena_take(arena, length);
    if (!bytes) return WEIR_ENOMEM;
    ptrdiff_t made = weir__pg_unescape(text, length, bytes);
    return made >= 0 ? give_bytes(out, WEIR_TYPE_BYTES, bytes, (size_t)made) : WEIR_EVALUE;
}

static int decode_text(weir__pgin *in, Oid type, const char *text, size_t length, weir_value *out) {
    double real;
    switch (type) {
    case WEIR__OID_BOOL:
        return length == 1 && (*text == 't' || *text == 'f') ? give_bool(out, *text == 't') : WEIR_EVALUE;
    case WEIR__OID_INT2:
        return decode_integer(text, INT16_MIN, INT16_MAX, out);
    case WEIR__OID_INT4:
        return decode_integer(text, INT32_MIN, INT32_MAX, out);
    case WEIR__OID_INT8:
        return decode_integer(text, INT64_MIN, INT64_MAX, out);
    case WEIR__OID_OID:
        return decode_integer(text, 0, UINT32_MAX, out);
    case WEIR__OID_FLOAT4: /* the shortest text of a float: as a double it would be another number */
        return weir__scan_double(text, &real) ? give_real(out, (float)real) : WEIR_EVALUE;
    case WEIR__OID_FLOAT8:
        return weir__scan_double(text, &real) ? give_real(out, real) : WEIR_EVALUE;
    case WEIR__OID_NUMERIC:
        return give_bytes(out, WEIR_TYPE_NUMERIC, text, length);
    case WEIR__OID_BYTEA:
        return decode_bytes(text, length, in->arena, out);
    case WEIR__OID_DATE:
        return weir__scan_time(WEIR_TYPE_DATE, text, out);
    case WEIR__OID_TIME:
        return weir__scan_time(WEIR_TYPE_TIME, text, out);
    case WEIR__OID_TIMETZ:
        return weir__scan_time(WEIR_TYPE_TIMETZ, text, out);
    case WEIR__OID_TIMESTAMP:
        return weir__scan_time(WEIR_TYPE_TIMESTAMP, text, out);
    case WEIR__OID_TIMESTAMPTZ:
        return weir__scan_time(WEIR_TYPE_TIMESTAMPTZ, text, out);
    case WEIR__OID_INTERVAL:
        return weir__scan_time(WEIR_TYPE_INTERVAL, text, out);
    case WEIR__OID_UUID:
        return weir__scan_uuid(text, out);
    case WEIR__OID_INET:
        return give_bytes(out, WEIR_TYPE_INET, text, length);
    case WEIR__OID_CIDR:
        return give_bytes(out, WEIR_TYPE_CIDR, text, length);
    case WEIR__OID_JSON:
    case WEIR__OID_JSONB:
        return give_bytes(out, WEIR_TYPE_JSON, text, length);
    case WEIR__OID_VOID:
        *out = (weir_value){.type = WEIR_TYPE_NULL};
        return WEIR_OK;
    default:
        return decode_type(in, type, 0, text, length, out);
    }
}

int weir__pg_decode(weir__pgin *in, Oid type, int format, const char *data, size_t length, weir_value *out) {
    const weir__pgtype *codec = in->types ? weir__pg_codec_type(in->types, type) : NULL;
    if (codec) {
        *out = (weir_value){.type = WEIR_TYPE_RAW,
                            .codec = (uint16_t)codec->codec,
                            .binary = format == 1,
                            .as.bytes = {data, length}};
        return WEIR_OK;
    }
    return format == 1 ? decode_binary(in, type, data, length, out)
                       : decode_text(in, type, data, length, out);
}
