#include <arpa/inet.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "driver/postgres/value.h"

/* ---- doubles: the host program's locale may write a comma */

static pthread_once_t locale_once = PTHREAD_ONCE_INIT;
static locale_t c_locale; /* (locale_t)0 when it could not be made */

static void make_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

/* Makes this thread's locale "C"; give the result to uselocale. */
static locale_t enter_c_locale(void) {
    pthread_once(&locale_once, make_locale);
    return uselocale(c_locale);
}

void weir__pg_print_double(double value, char *out) {
    if (isnan(value)) {
        strcpy(out, "NaN");
        return;
    }
    if (isinf(value)) {
        strcpy(out, value > 0 ? "Infinity" : "-Infinity");
        return;
    }
    locale_t before = enter_c_locale();
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 40, "%.*g", digits, value);
        if (strtod(out, NULL) == value) break;
    }
    uselocale(before);
}

bool weir__pg_scan_double(const char *text, double *out) {
    char *end;
    if (strcmp(text, "NaN") == 0) {
        *out = NAN;
        return true;
    }
    if (strcmp(text, "Infinity") == 0 || strcmp(text, "-Infinity") == 0) {
        *out = *text == '-' ? -INFINITY : INFINITY;
        return true;
    }
    if (strspn(text, "0123456789+-.eE") != strlen(text)) return false;
    locale_t before = enter_c_locale();
    *out = strtod(text, &end);
    uselocale(before);
    return end != text && !*end;
}

/* ---- binary */

bool weir__pg_has_binary(Oid type) {
    switch (type) {
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
        return true;
    default:
        return weir__pg_element(type) != 0;
    }
}

bool weir__pg_is_plain(Oid type, int format) {
    switch (type) {
    case WEIR__OID_BYTEA:
        return format == 1;
    case WEIR__OID_CIDR:
    case WEIR__OID_MACADDR8:
    case WEIR__OID_MACADDR:
    case WEIR__OID_INET:
    case WEIR__OID_NUMERIC:
        return format == 0;
    default:
        return !weir__pg_element(type);
    }
}

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

static int decode_other(Oid type, const char *data, size_t length, weir__arena *arena, weir_value *out) {
    switch (type) {
    case WEIR__OID_NUMERIC:
        return weir__pg_numeric_text(data, length, arena, out);
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
        return decode_inet(WEIR_TYPE_INET, data, length, arena, out);
    case WEIR__OID_CIDR:
        return decode_inet(WEIR_TYPE_CIDR, data, length, arena, out);
    case WEIR__OID_MACADDR:
        return length == 6 ? decode_macaddr(data, 6, arena, out) : WEIR_EVALUE;
    case WEIR__OID_MACADDR8:
        return length == 8 ? decode_macaddr(data, 8, arena, out) : WEIR_EVALUE;
    default:
        if (weir__pg_element(type))
            return weir__pg_array(weir__pg_element(type), 1, data, length, arena, out);
        return weir__pg_has_binary(type) ? give_bytes(out, WEIR_TYPE_TEXT, data, length) : WEIR_EVALUE;
    }
}

static int decode_binary(Oid type, const char *data, size_t length, weir__arena *arena, weir_value *out) {
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
    case WEIR__OID_JSONB: /* a version, which has been 1 ever since, then the text */
        return length && data[0] == 1 ? give_bytes(out, WEIR_TYPE_TEXT, data + 1, length - 1) : WEIR_EVALUE;
    case WEIR__OID_VOID:
        *out = (weir_value){.type = WEIR_TYPE_NULL};
        return WEIR_OK;
    default:
        return decode_other(type, data, length, arena, out);
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

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static ptrdiff_t unescape_hex(const char *text, size_t length, char *out) {
    if (length % 2) return -1;
    for (size_t i = 0; i < length; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
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

static int decode_uuid_text(const char *text, weir_value *out) {
    size_t digits = 0;
    *out = (weir_value){.type = WEIR_TYPE_UUID};
    for (; *text; text++) {
        int digit = hex_digit(*text);
        if (*text == '-') continue;
        if (digit < 0 || digits == 32) return WEIR_EVALUE;
        out->as.uuid[digits / 2] = (unsigned char)(out->as.uuid[digits / 2] << 4 | digit);
        digits++;
    }
    return digits == 32 ? WEIR_OK : WEIR_EVALUE;
}

static int decode_text(Oid type, const char *text, size_t length, weir__arena *arena, weir_value *out) {
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
        return weir__pg_scan_double(text, &real) ? give_real(out, (float)real) : WEIR_EVALUE;
    case WEIR__OID_FLOAT8:
        return weir__pg_scan_double(text, &real) ? give_real(out, real) : WEIR_EVALUE;
    case WEIR__OID_NUMERIC:
        return give_bytes(out, WEIR_TYPE_NUMERIC, text, length);
    case WEIR__OID_BYTEA:
        return decode_bytes(text, length, arena, out);
    case WEIR__OID_DATE:
        return weir__pg_scan_time(WEIR_TYPE_DATE, text, out);
    case WEIR__OID_TIME:
        return weir__pg_scan_time(WEIR_TYPE_TIME, text, out);
    case WEIR__OID_TIMETZ:
        return weir__pg_scan_time(WEIR_TYPE_TIMETZ, text, out);
    case WEIR__OID_TIMESTAMP:
        return weir__pg_scan_time(WEIR_TYPE_TIMESTAMP, text, out);
    case WEIR__OID_TIMESTAMPTZ:
        return weir__pg_scan_time(WEIR_TYPE_TIMESTAMPTZ, text, out);
    case WEIR__OID_INTERVAL:
        return weir__pg_scan_time(WEIR_TYPE_INTERVAL, text, out);
    case WEIR__OID_UUID:
        return decode_uuid_text(text, out);
    case WEIR__OID_INET:
        return give_bytes(out, WEIR_TYPE_INET, text, length);
    case WEIR__OID_CIDR:
        return give_bytes(out, WEIR_TYPE_CIDR, text, length);
    case WEIR__OID_VOID:
        *out = (weir_value){.type = WEIR_TYPE_NULL};
        return WEIR_OK;
    default:
        if (weir__pg_element(type))
            return weir__pg_array(weir__pg_element(type), 0, text, length, arena, out);
        return give_bytes(out, WEIR_TYPE_TEXT, text, length);
    }
}

int weir__pg_decode(Oid type, int format, const char *data, size_t length, weir__arena *arena,
                    weir_value *out) {
    return format == 1 ? decode_binary(type, data, length, arena, out)
                       : decode_text(type, data, length, arena, out);
}
