/*
 * Values between weir_value and PostgreSQL's wire.
 *
 * Parameters, by the type that the server gives the parameter (NULL goes with every one):
 *
 *     boolean                            BOOL
 *     smallint, integer, bigint, oid     INT, in range
 *     real, double precision             FLOAT (a finite one must not overflow real), INT, NUMERIC
 *     numeric                            NUMERIC, INT, FLOAT (the shortest text that reads back as it)
 *     text, varchar, char(n), name,
 *     "char", json, jsonb, unknown       TEXT
 *     bytea                              BYTES
 *     date, time, timetz, uuid,
 *     timestamptz, interval              the kind of that name, TEXT
 *     timestamp                          TIMESTAMP, DATE (its midnight), TEXT
 *     inet, cidr                         INET, CIDR, TEXT
 *     arrays of those                    ARRAY of what the element takes, TEXT
 *     any other                          TEXT; all others as the text of theirs
 *
 * All else is refused with WEIR_EVALUE: nothing is rounded, cut or parsed behind the caller's back. So is a
 * NUL within a text, which PostgreSQL cannot store. Without types (statement_cache_size 0) every value goes
 * as "any other".
 *
 * Results: BOOL, INT (smallint, integer, bigint, oid), FLOAT (real, double precision), NUMERIC, BYTES
 * (bytea), DATE, TIME, TIMETZ, TIMESTAMP, TIMESTAMPTZ, INTERVAL, UUID, INET, CIDR, ARRAY of those, NULL
 * (void), and TEXT for everything else: json, jsonb, macaddr, enums, ranges … as PostgreSQL writes them. In
 * text form, times are understood with DateStyle ISO and IntervalStyle postgres, which are the server's
 * defaults.
 */
#ifndef WEIR_DRIVER_POSTGRES_VALUE_H
#define WEIR_DRIVER_POSTGRES_VALUE_H

#include <libpq-fe.h>

#include <weirpool/value.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/statement.h"

/* The types of the server that this driver knows by their numbers, which never change. */
enum {
    WEIR__OID_BOOL = 16,
    WEIR__OID_BYTEA = 17,
    WEIR__OID_CHAR = 18, /* "char", one byte */
    WEIR__OID_NAME = 19,
    WEIR__OID_INT8 = 20,
    WEIR__OID_INT2 = 21,
    WEIR__OID_INT4 = 23,
    WEIR__OID_TEXT = 25,
    WEIR__OID_OID = 26,
    WEIR__OID_JSON = 114,
    WEIR__OID_XML = 142,
    WEIR__OID_CIDR = 650,
    WEIR__OID_FLOAT4 = 700,
    WEIR__OID_FLOAT8 = 701,
    WEIR__OID_UNKNOWN = 705,
    WEIR__OID_MACADDR8 = 774,
    WEIR__OID_MACADDR = 829,
    WEIR__OID_INET = 869,
    WEIR__OID_BPCHAR = 1042,
    WEIR__OID_VARCHAR = 1043,
    WEIR__OID_DATE = 1082,
    WEIR__OID_TIME = 1083,
    WEIR__OID_TIMESTAMP = 1114,
    WEIR__OID_TIMESTAMPTZ = 1184,
    WEIR__OID_INTERVAL = 1186,
    WEIR__OID_TIMETZ = 1266,
    WEIR__OID_NUMERIC = 1700,
    WEIR__OID_VOID = 2278,
    WEIR__OID_UUID = 2950,
    WEIR__OID_JSONB = 3802,
};

/* The arrays of them: X(element, number of the array's type). */
#define WEIR__PG_ARRAYS(X)                                                                                   \
    X(JSON, 199)                                                                                             \
    X(XML, 143)                                                                                              \
    X(CIDR, 651)                                                                                             \
    X(MACADDR8, 775)                                                                                         \
    X(BOOL, 1000)                                                                                            \
    X(BYTEA, 1001)                                                                                           \
    X(CHAR, 1002)                                                                                            \
    X(NAME, 1003)                                                                                            \
    X(INT2, 1005)                                                                                            \
    X(INT4, 1007)                                                                                            \
    X(TEXT, 1009)                                                                                            \
    X(BPCHAR, 1014)                                                                                          \
    X(VARCHAR, 1015)                                                                                         \
    X(INT8, 1016)                                                                                            \
    X(FLOAT4, 1021)                                                                                          \
    X(FLOAT8, 1022)                                                                                          \
    X(OID, 1028)                                                                                             \
    X(MACADDR, 1040)                                                                                         \
    X(INET, 1041)                                                                                            \
    X(TIMESTAMP, 1115)                                                                                       \
    X(DATE, 1182)                                                                                            \
    X(TIME, 1183)                                                                                            \
    X(TIMESTAMPTZ, 1185)                                                                                     \
    X(INTERVAL, 1187)                                                                                        \
    X(NUMERIC, 1231)                                                                                         \
    X(TIMETZ, 1270)                                                                                          \
    X(UUID, 2951)                                                                                            \
    X(JSONB, 3807)

/* The type of an array's elements; 0: it is no array that is known. */
Oid weir__pg_element(Oid type);

/* Whether results of that type can be had in binary form. */
bool weir__pg_has_binary(Oid type);

/* One set of parameters as libpq takes it; the memory is kept for the next. */
typedef struct weir__pgargs {
    const char **values; /* NULL is NULL; borrowed from the statement, or in cells or blob */
    int *lengths, *formats;
    size_t *offsets; /* of what is in the blob, which moves while it grows; else SIZE_MAX */
    struct weir__pgcell {
        char bytes[WEIR_VALUE_TEXT];
    } * cells; /* what is short */
    size_t capacity;
    weir__buffer blob; /* what is not, and is not in the statement in that form */
    size_t total;      /* bytes of all values together */
} weir__pgargs;

/* Encodes set `set` of the statement, for parameters of `types`, or without types (NULL). WEIR_EVALUE,
 * WEIR_ENOMEM. */
int weir__pg_encode(weir__pgargs *args, const weir_statement *statement, size_t set, const Oid *types,
                    weir_error *error);
void weir__pg_args_free(weir__pgargs *args);

/* A cell of a result. `format` 1 is binary; else a NUL follows the data. What is not in the data itself is
   made in the arena. WEIR_EVALUE: not what that type looks like; WEIR_ENOMEM. */
int weir__pg_decode(Oid type, int format, const char *data, size_t length, weir__arena *arena,
                    weir_value *out);
/* Whether decoding that makes nothing in the arena. */
bool weir__pg_is_plain(Oid type, int format);
/* bytea's text form, hex or escape, into `out`, which has room for `length` bytes; -1: malformed. */
ptrdiff_t weir__pg_unescape(const char *text, size_t length, char *out);

/* ---- array.c */
/* An array and its items, made in the arena. WEIR_EVALUE, WEIR_ENOMEM. */
int weir__pg_array(Oid element, int format, const char *data, size_t length, weir__arena *arena,
                   weir_value *out);

/* ---- numeric.c */
/* The digits that the server sends, as text in the arena. WEIR_EVALUE, WEIR_ENOMEM. */
int weir__pg_numeric_text(const char *data, size_t length, weir__arena *arena, weir_value *out);
/* The binary form of a decimal text, appended. False: it is none, or beyond what numeric holds; nothing was
   appended (but the buffer may be broken). */
bool weir__pg_numeric_binary(const char *text, size_t length, weir__buffer *out);

/* ---- times.c: DATE, TIME, TIMETZ, TIMESTAMP, TIMESTAMPTZ, INTERVAL from their texts, ended by a NUL.
 * WEIR_EVALUE */
int weir__pg_scan_time(weir_type type, const char *text, weir_value *out);

static inline uint64_t weir__pg_big_endian(const char *data, size_t size) {
    uint64_t bits = 0;
    for (size_t i = 0; i < size; i++) bits = bits << 8 | (unsigned char)data[i];
    return bits;
}

/* double <-> text in PostgreSQL's writing, whatever the locale. `out` has room for 40 bytes. */
void weir__pg_print_double(double value, char *out);
bool weir__pg_scan_double(const char *text, double *out);

#endif
