/* What is known of statements, by their text. */
#ifndef WEIR_DRIVER_POSTGRES_CACHE_H
#define WEIR_DRIVER_POSTGRES_CACHE_H

#include <libpq-fe.h>

#include "base/lru.h"
#include "base/statement.h"

/* ---- what a text says of itself: classify.c */

enum {
    WEIR__TRAIT_DIRTY = 1, /* may leave something behind in the session */
    WEIR__TRAIT_RETYPES =
        2, /* may give names another meaning (search_path, role …), if only in the transaction */
    WEIR__TRAIT_FORGETS = 4,   /* may take the prepared statements away */
    WEIR__TRAIT_GUARD = 8,     /* speaks of statement_timeout */
    WEIR__TRAIT_UNGUARDS = 16, /* may undo a SET statement_timeout of ours */
    WEIR__TRAIT_COPY = 32,     /* COPY from or to the client */
    WEIR__TRAIT_LASTING = 64,  /* may leave behind what DISCARD ALL does not undo */
    WEIR__TRAIT_READS = 128,   /* only reads, as far as its text tells: it calls no function of a user's */
    WEIR__TRAIT_SIMPLE = 256,  /* … and next to none of the server's: it may be run twice, unseen */
    WEIR__TRAIT_COMMITS = 512, /* ends a transaction for good */
    WEIR__TRAIT_PARTS = 1024,  /* may do so for a part of what it does: CALL, DO */
    WEIR__TRAIT_CHANGES = 2048 /* changes rows; it calls no function of a user's, as far as its text tells */
};
/* On the safe side: a text that is not understood is dirty, and so is one with the name of a function that
   the option reset_functions lists (NULL: none). */
unsigned weir__pg_traits(const char *sql, size_t length, const char *functions);
/* Of a command that undoes all of a kind: WEIR__TRAIT_FORGETS (DEALLOCATE ALL), WEIR__TRAIT_UNGUARDS (RESET
   ALL), both (DISCARD ALL), or 0. */
unsigned weir__pg_sweeps(const char *sql);
/* Puts a NUL in place of each semicolon between two commands. */
void weir__pg_split(char *sql);
/* Nothing but blanks and comments. */
bool weir__pg_is_blank(const char *sql);

/* ---- shapes: what is known of a statement, shared by a pool's connections */

#define WEIR__PG_SHAPES 1000              /* texts that a pool remembers */
#define WEIR__PG_TEXT_MAX ((size_t)16384) /* a longer text is neither remembered nor kept prepared */

/* Immutable once it is `typed`. Counted; all under the host's lock. */
typedef struct weir__shape {
    weir__lru_node node;
    int references;
    bool cached;     /* in the pool's table, which holds a reference */
    bool typed;      /* what follows is known */
    bool binary;     /* results are to come in binary form */
    unsigned traits; /* WEIR__TRAIT_… */
    size_t parameters, columns;
    Oid *types; /* of the parameters, then of the columns */
    char text[];
} weir__shape;

/* The text's shape with a reference of the caller's; `shared`: from the pool's table, and kept there;
 * functions: as weir__pg_traits wants them. NULL: memory. */
weir__shape *weir__shape_get(weir__lru *shapes, const weir_statement *statement, bool shared,
                             const char *functions);
/* One that is in no table. NULL: memory. */
weir__shape *weir__shape_own(unsigned traits);
/* Takes over what Describe tells. *shape may become another one: shapes that others rely on are not changed.
   False: out of memory. */
bool weir__shape_learn(weir__lru *shapes, weir__shape **shape, const PGresult *described, bool shared);
/* Whether these rows have the columns that the shape tells of. */
bool weir__shape_fits(const weir__shape *shape, const PGresult *rows);
/* Takes the shape out of the pool's table: what it says no longer holds. */
void weir__shape_forget(weir__lru *shapes, weir__shape *shape);
void weir__shape_unref(weir__shape *shape); /* NULL is accepted */
void weir__shapes_clear(weir__lru *shapes);

/* ---- prepared statements of one connection */

/* Counted: the cache, or the list of the doomed, holds one reference, each request that uses it another. */
typedef struct weir__prepared {
    weir__lru_node node;
    weir__link doomed; /* once it is out of the cache */
    int references;
    weir__shape *shape; /* counted */
    char name[28];
} weir__prepared;

#endif
