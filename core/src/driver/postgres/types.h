/*
 * What a pool knows of its database's own types: enums, domains, composite types, ranges, arrays of these,
 * hstore, and which types the host's codecs are for. The types that every database has are known by their
 * numbers (value.h).
 *
 * How it is filled: whoever describes a statement gives weir__pgtypes_ask the numbers of its parameters' and
 * columns' types. When that answers true, WEIR__PGTYPES_QUERY is to be run before the statement, with the
 * two texts as its parameters $1 and $2 (both in text form, results in text form), and its rows are given to
 * weir__pgtypes_learn; then weir__shape_learn finds the types known. A type that the query does not find is
 * learnt as unknown, so that nothing is asked twice. All of it under the host's lock.
 *
 * A table does not change: learning makes a new one. Results hold the one that they were made with, which is
 * why tables are counted; any thread may read or release one.
 */
#ifndef WEIR_DRIVER_POSTGRES_TYPES_H
#define WEIR_DRIVER_POSTGRES_TYPES_H

#include <libpq-fe.h>

#include <weirpool/error.h>
#include <weirpool/options.h>

#include "base/buffer.h"

#define WEIR__PG_FIRST_OWN ((Oid)16384) /* from here on numbers are a database's own */

typedef enum weir__pgkind {
    WEIR__PG_OTHER, /* text, for all we know */
    WEIR__PG_ENUM,
    WEIR__PG_DOMAIN,     /* part: its base type */
    WEIR__PG_ARRAY,      /* part: its elements */
    WEIR__PG_RANGE,      /* part: its subtype */
    WEIR__PG_MULTIRANGE, /* part: its ranges */
    WEIR__PG_COMPOSITE,
    WEIR__PG_HSTORE,
} weir__pgkind;

typedef struct weir__pgtype {
    Oid oid;
    weir__pgkind kind;
    Oid part;
    int codec;         /* the number of the host's codec for it; -1: none */
    bool codec_binary; /* … which wants the binary form */
    const char *name;  /* "schema.name"; NULL of types that all databases have */
    size_t count;      /* COMPOSITE: its fields, in their order */
    const Oid *types;
    const char *const *names;
} weir__pgtype;

typedef struct weir__pgtypes weir__pgtypes;

/* The type; NULL: a plain one, known by its number if at all. types may be NULL. */
const weir__pgtype *weir__pg_type(const weir__pgtypes *types, Oid oid);
/* The type, if a codec is for it, else NULL: quick for the types that all databases have. */
const weir__pgtype *weir__pg_codec_type(const weir__pgtypes *types, Oid oid);

/*
 * Whether the database is to be asked before values of these types are read or written: one of its own types
 * is not in the table, or codecs are named whose types have not been looked for. Then $1 and $2 of the query
 * are put into the two buffers, which are empty (and may be broken afterwards: out of memory).
 * codecs: the pool's, codec_count of them.
 */
bool weir__pgtypes_ask(const weir__pgtypes *types, const weir_codec *codecs, size_t codec_count,
                       const Oid *oids, size_t count, weir__buffer *wanted, weir__buffer *names);
extern const char WEIR__PGTYPES_QUERY[];
/*
 * Replaces *types (NULL: nothing known yet) by a table that has the rows of the query, too. WEIR_EVALUE: they
 * are not what was asked for; WEIR_ENOMEM; *types has not changed then.
 */
int weir__pgtypes_learn(weir__pgtypes **types, const weir_codec *codecs, size_t codec_count,
                        const PGresult *rows, weir_error *error);

const weir__pgtypes *weir__pgtypes_ref(const weir__pgtypes *types); /* NULL is accepted, as below */
void weir__pgtypes_unref(const weir__pgtypes *types);

#endif
