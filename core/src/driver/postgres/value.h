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
 *     any other                          TEXT; INT, FLOAT, NUMERIC, BOOL, BYTES as the text of theirs
 *
 * All else is refused with WEIR_EVALUE: nothing is rounded, cut or parsed behind the caller's back. So is a
 * NUL within a text, which PostgreSQL cannot store. Without types (statement_cache_size 0) every value goes
 * as "any other".
 *
 * Results: BOOL, INT (smallint, integer, bigint, oid), FLOAT (real, double precision), NUMERIC, BYTES
 * (bytea), NULL (void), and TEXT for everything else: dates, uuid, arrays, ranges … as PostgreSQL writes
 * them.
 */
#ifndef WEIR_DRIVER_POSTGRES_VALUE_H
#define WEIR_DRIVER_POSTGRES_VALUE_H

#include <libpq-fe.h>

#include <weirpool/value.h>

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
    WEIR__OID_FLOAT4 = 700,
    WEIR__OID_FLOAT8 = 701,
    WEIR__OID_UNKNOWN = 705,
    WEIR__OID_BPCHAR = 1042,
    WEIR__OID_VARCHAR = 1043,
    WEIR__OID_NUMERIC = 1700,
    WEIR__OID_VOID = 2278,
    WEIR__OID_JSONB = 3802,
};

/* Whether results of that type can be had in binary form. */
bool weir__pg_has_binary(Oid type);

/* One set of parameters as libpq takes it; the memory is kept for the next. */
typedef struct weir__pgargs {
    const char **values; /* NULL is NULL; borrowed from the statement, or in cells or blob */
    int *lengths, *formats;
    struct weir__pgcell {
        char bytes[40];
    } * cells; /* numbers */
    size_t capacity;
    weir__buffer blob; /* bytes that go as text */
    size_t total;      /* bytes of all values together */
} weir__pgargs;

/* Encodes set `set` of the statement, for parameters of `types`, or without types (NULL). WEIR_EVALUE,
 * WEIR_ENOMEM. */
int weir__pg_encode(weir__pgargs *args, const weir_statement *statement, size_t set, const Oid *types,
                    weir_error *error);
void weir__pg_args_free(weir__pgargs *args);

/* A cell of a result. `format` 1 is binary. BYTES in text form give their text here: see weir__pg_unescape.
   WEIR_EVALUE: not what that type looks like. */
int weir__pg_decode(Oid type, int format, const char *data, size_t length, weir_value *out);
/* bytea's text form, hex or escape, into `out`, which has room for `length` bytes; -1: malformed. */
ptrdiff_t weir__pg_unescape(const char *text, size_t length, char *out);

/* double <-> text in PostgreSQL's writing, whatever the locale. `out` has room for 40 bytes. */
void weir__pg_print_double(double value, char *out);
bool weir__pg_scan_double(const char *text, double *out);

#endif
