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
 *     "char", unknown                    TEXT
 *     json, jsonb                        JSON, TEXT (that is JSON), MAP, ARRAY and RECORD of what JSON has
 *     bytea                              BYTES
 *     date, time, timetz, uuid,
 *     timestamptz, interval              the kind of that name, TEXT
 *     timestamp                          TIMESTAMP, DATE (its midnight), TEXT
 *     inet, cidr                         INET, CIDR, TEXT
 *     ranges                             RANGE of what the subtype takes, TEXT
 *     multiranges                        MULTIRANGE, an ARRAY or RECORD of RANGE, TEXT
 *     composite types                    RECORD of what the fields take, in their order, TEXT
 *     hstore                             MAP, TEXT
 *     domains                            what their base type takes
 *     arrays of those                    ARRAY of what the element takes (of one dimension: RECORD), TEXT
 *     any other                          TEXT; all others as the text of theirs
 *     of a codec's type                  RAW of that codec, or as above
 *
 * All else is refused with WEIR_EVALUE: nothing is rounded, cut or parsed behind the caller's back. So is a
 * NUL within a text, which PostgreSQL cannot store. An infinite INTERVAL is finite to a server before 17
 * (weir__make_finite). Without types (statement_cache_size 0) every value goes
 * as "any other".
 *
 * Results: BOOL, INT (smallint, integer, bigint, oid), FLOAT (real, double precision), NUMERIC, BYTES
 * (bytea), DATE, TIME, TIMETZ, TIMESTAMP, TIMESTAMPTZ, INTERVAL, UUID, INET, CIDR, JSON (json, jsonb), RANGE,
 * MULTIRANGE, RECORD (composite types with their fields' names; record, in binary form, without), MAP
 * (hstore), ARRAY of those, NULL (void), RAW (types that have a codec), and TEXT for everything else:
 * macaddr, bit ("0101"), enums, points … as PostgreSQL writes them. Composite types, ranges, domains, enums
 * and hstore of the database's own are known from the pool's table of them (types.h); before that they are
 * text. In text form, times are understood with DateStyle ISO and IntervalStyle postgres, which are the
 * server's defaults.
 */
#ifndef WEIR_DRIVER_POSTGRES_VALUE_H
#define WEIR_DRIVER_POSTGRES_VALUE_H

#include <libpq-fe.h>

#include <weirpool/value.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/statement.h"
#include "base/value.h"
#include "driver/postgres/types.h"

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
    WEIR__OID_BIT = 1560,
    WEIR__OID_VARBIT = 1562,
    WEIR__OID_NUMERIC = 1700,
    WEIR__OID_RECORD = 2249, /* of no declared type */
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
    X(BIT, 1561)                                                                                             \
    X(VARBIT, 1563)                                                                                          \
    X(RECORD, 2287)                                                                                          \
    X(UUID, 2951)                                                                                            \
    X(JSONB, 3807)

/* The ranges: X(subtype, name, range, its array, multirange, its array). */
#define WEIR__PG_RANGES(X)                                                                                   \
    X(INT4, "int4", 3904, 3905, 4451, 6150)                                                                  \
    X(NUMERIC, "num", 3906, 3907, 4532, 6151)                                                                \
    X(TIMESTAMP, "ts", 3908, 3909, 4533, 6152)                                                               \
    X(TIMESTAMPTZ, "tstz", 3910, 3911, 4534, 6153)                                                           \
    X(DATE, "date", 3912, 3913, 4535, 6155)                                                                  \
    X(INT8, "int8", 3926, 3927, 4536, 6157)

/* The type of an array's elements; 0: it is no array that is known by its number. */
Oid weir__pg_element(Oid type);

/* Whether results of that type can be had in binary form. types: what is known of the database's own types,
   or NULL. */
bool weir__pg_has_binary(const weir__pgtypes *types, Oid type);

/* One set of parameters as libpq takes it; the memory is kept for the next. */
typedef struct weir__pgargs {
    const char **values; /* NULL is NULL; borrowed from the statement, or in cells or blob */
    int *lengths, *formats;
    size_t *offsets; /* of what is in the blob, which moves while it grows; else SIZE_MAX */
    struct weir__pgcell {
        char bytes[WEIR_VALUE_TEXT];
    } * cells; /* what is short */
    size_t capacity;
    weir__buffer blob;   /* what is not, and is not in the statement in that form */
    size_t total;        /* bytes of all values together */
    size_t before;       /* sets that went before those of this statement, for the errors */
    const char *columns; /* … and, where sets are records, the columns' names, each with its NUL; or NULL */
    weir__pgtypes *const *types; /* where the pool keeps what it knows of the database's own types; or NULL */
    bool finite;                 /* the server has no infinite intervals: it is older than 17 */
} weir__pgargs;

/* Encodes set `set` of the statement, for parameters of `types`, or without types (NULL). WEIR_EVALUE,
 * WEIR_ENOMEM. */
int weir__pg_encode(weir__pgargs *args, const weir_statement *statement, size_t set, const Oid *types,
                    weir_error *error);
void weir__pg_args_free(weir__pgargs *args);

/* What decoding needs. */
typedef struct weir__pgin {
    weir__arena *arena;         /* for what is not in the data itself */
    const weir__pgtypes *types; /* which must outlive the values; or NULL */
    int depth;                  /* of nested values: 0 */
} weir__pgin;

/* A cell of a result. `format` 1 is binary; else a NUL follows the data. WEIR_EVALUE: not what that type
   looks like; WEIR_ENOMEM. */
int weir__pg_decode(weir__pgin *in, Oid type, int format, const char *data, size_t length, weir_value *out);
/* Whether decoding that makes nothing in the arena. */
bool weir__pg_is_plain(const weir__pgtypes *types, Oid type, int format);
/* bytea's text form, hex or escape, into `out`, which has room for `length` bytes; -1: malformed. */
ptrdiff_t weir__pg_unescape(const char *text, size_t length, char *out);

/* ---- array.c, nested.c: values of values, and what their texts have in common */
int weir__pg_array(weir__pgin *in, Oid element, int format, const char *data, size_t length, weir_value *out);
int weir__pg_range(weir__pgin *in, Oid subtype, int format, const char *data, size_t length, weir_value *out);
int weir__pg_multirange(weir__pgin *in, Oid subtype, int format, const char *data, size_t length,
                        weir_value *out);
/* composite NULL: a record of no declared type, in binary form. */
int weir__pg_record(weir__pgin *in, const weir__pgtype *composite, int format, const char *data,
                    size_t length, weir_value *out);
int weir__pg_hstore(weir__pgin *in, int format, const char *data, size_t length, weir_value *out);

/* ---- numeric.c */
/* The digits that the server sends, as text in the arena. WEIR_EVALUE, WEIR_ENOMEM. */
int weir__pg_numeric_text(const char *data, size_t length, weir__arena *arena, weir_value *out);
/* The binary form of a decimal text, appended. False: it is none, or beyond what numeric holds; nothing was
   appended (but the buffer may be broken). */
bool weir__pg_numeric_binary(const char *text, size_t length, weir__buffer *out);

static inline uint64_t weir__pg_big_endian(const char *data, size_t size) {
    uint64_t bits = 0;
    for (size_t i = 0; i < size; i++) bits = bits << 8 | (unsigned char)data[i];
    return bits;
}

#endif
