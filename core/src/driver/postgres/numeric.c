/* numeric's binary form: counts and flags in 16 bits each, then digits to the base of 10,000. */
#include <string.h>

#include "base/error.h"
#include "driver/postgres/value.h"

#define NEGATIVE 0x4000
#define NOT_A_NUMBER 0xC000
#define INFINITE 0xD000 /* PostgreSQL 14 and later */
#define MINUS_INFINITE 0xF000
#define SCALE_MAX 16383 /* digits behind the point */

/* ---- to text */

static int give_text(const char *text, size_t length, weir_value *out) {
    *out = (weir_value){.type = WEIR_TYPE_NUMERIC, .as.bytes = {text, length}};
    return WEIR_OK;
}

static int give_special(unsigned sign, weir_value *out) {
    if (sign == NOT_A_NUMBER) return give_text("NaN", 3, out);
    if (sign == INFINITE) return give_text("Infinity", 8, out);
    return sign == MINUS_INFINITE ? give_text("-Infinity", 9, out) : WEIR_EVALUE;
}

/* The four decimal digits of the group at that power of 10,000; zeros where none was sent. */
static void put_group(const char *groups, int count, int weight, int power, char *out) {
    int index = weight - power, group = 0;
    if (index >= 0 && index < count) group = (int)weir__pg_big_endian(groups + 2 * index, 2);
    for (int i = 3; i >= 0; i--, group /= 10) out[i] = (char)('0' + group % 10);
}

static bool are_digits(const char *groups, int count) {
    for (int i = 0; i < count; i++)
        if (weir__pg_big_endian(groups + 2 * i, 2) > 9999) return false;
    return true;
}

int weir__pg_numeric_text(const char *data, size_t length, weir__arena *arena, weir_value *out) {
    if (length < 8) return WEIR_EVALUE;
    int count = (int)weir__pg_big_endian(data, 2), weight = (int16_t)weir__pg_big_endian(data + 2, 2);
    unsigned sign = (unsigned)weir__pg_big_endian(data + 4, 2);
    int scale = (int)weir__pg_big_endian(data + 6, 2);
    if (length != 8 + 2 * (size_t)count || scale > SCALE_MAX) return WEIR_EVALUE;
    if (sign != 0 && sign != NEGATIVE) return give_special(sign, out);
    if (!are_digits(data + 8, count)) return WEIR_EVALUE;
    size_t whole = weight < 0 ? 4 : 4 * ((size_t)weight + 1);
    char *text = weir__arena_take(arena, 1 + whole + 1 + (size_t)scale + 4), *p = text;
    if (!text) return WEIR_ENOMEM;
    if (sign) *p++ = '-';
    char *first = p;
    for (int power = weight < 0 ? 0 : weight; power >= 0; power--, p += 4)
        put_group(data + 8, count, weight, power, p);
    size_t zeros = 0, digits = (size_t)(p - first);
    while (zeros < digits - 1 && first[zeros] == '0') zeros++;
    memmove(first, first + zeros, digits - zeros);
    p -= zeros;
    if (scale) {
        *p++ = '.';
        for (int power = -1; (-power - 1) * 4 < scale; power--)
            put_group(data + 8, count, weight, power, p + (-power - 1) * 4);
        p += scale;
    }
    return give_text(text, (size_t)(p - text), out);
}

/* ---- to binary */

/* Decimal text taken apart. */
typedef struct decimal {
    const char *text; /* the digits, and the point where it was written */
    size_t digits;    /* without the point */
    int64_t point;    /* how many digits stand before the point, after the exponent has moved it */
    bool negative;
} decimal;

static bool scan_exponent(const char *p, const char *end, int64_t *out) {
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    if (p == end || end - p > 9) return false;
    for (*out = 0; p < end; p++) {
        if (*p < '0' || *p > '9') return false;
        *out = *out * 10 + (*p - '0');
    }
    if (negative) *out = -*out;
    return true;
}

static bool scan_decimal(const char *text, size_t length, decimal *out) {
    const char *p = text, *end = text + length, *point = NULL;
    *out = (decimal){.negative = length && *p == '-'};
    if (length && (*p == '-' || *p == '+')) p++;
    out->text = p;
    for (; p < end && ((*p >= '0' && *p <= '9') || (*p == '.' && !point)); p++)
        if (*p == '.') point = p;
    out->digits = (size_t)(p - out->text) - (point != NULL);
    out->point = point ? point - out->text : (int64_t)out->digits;
    int64_t exponent = 0;
    if (!out->digits) return false;
    if (p < end && ((*p != 'e' && *p != 'E') || !scan_exponent(p + 1, end, &exponent))) return false;
    int64_t scale = (int64_t)out->digits - out->point - exponent;
    out->point += exponent;
    return scale <= SCALE_MAX && out->point <= 131072 && out->digits <= 131072 + SCALE_MAX;
}

static void put16(char *out, unsigned number) {
    out[0] = (char)(unsigned char)(number >> 8);
    out[1] = (char)(unsigned char)number;
}

static void put_header(char *out, int count, int weight, unsigned sign, int64_t scale) {
    put16(out, (unsigned)count);
    put16(out + 2, (unsigned)weight & 0xFFFF);
    put16(out + 4, sign);
    put16(out + 6, scale > 0 ? (unsigned)scale : 0);
}

static bool put_special(const char *text, size_t length, weir__buffer *out) {
    unsigned sign;
    if (length == 3 && memcmp(text, "NaN", 3) == 0)
        sign = NOT_A_NUMBER;
    else if (length == 8 && memcmp(text, "Infinity", 8) == 0)
        sign = INFINITE;
    else if (length == 9 && memcmp(text, "-Infinity", 9) == 0)
        sign = MINUS_INFINITE;
    else
        return false;
    char *header = weir__buffer_reserve(out, 8);
    if (header) put_header(header, 0, 0, sign, 0);
    return header;
}

bool weir__pg_numeric_binary(const char *text, size_t length, weir__buffer *out) {
    decimal d;
    if (!scan_decimal(text, length, &d)) return put_special(text, length, out);
    int64_t weight = d.point > 0 ? (d.point + 3) / 4 - 1 : -(-d.point / 4) - 1;
    size_t pad = (size_t)((weight + 1) * 4 - d.point), groups = (pad + d.digits + 3) / 4;
    size_t start = out->length;
    char *header = weir__buffer_reserve(out, 8 + 2 * groups);
    if (!header) return false;
    const char *q = d.text;
    char *p = header + 8;
    unsigned group = 0;
    size_t place = pad; /* of the next digit, counted from the beginning of the first group */
    int count = 0, filled = 0;
    for (size_t digit = 0; digit < d.digits || place % 4; digit++, place++) {
        if (digit < d.digits && *q == '.') q++;
        group = group * 10 + (digit < d.digits ? (unsigned)(*q++ - '0') : 0);
        if (place % 4 != 3) continue;
        if (!group && !count) {
            weight--; /* a leading zero is not sent */
        } else {
            put16(p + 2 * (size_t)count++, group);
            if (group) filled = count;
        }
        group = 0;
    }
    out->length = start + 8 + 2 * (size_t)filled;
    put_header(header, filled, filled ? (int)weight : 0, d.negative && filled ? NEGATIVE : 0,
               (int64_t)d.digits - d.point);
    return true;
}
