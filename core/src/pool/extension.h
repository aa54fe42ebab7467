/*
 * What a room over the pool keeps for one pool: made before the pool is opened, hung on it then, ended and
 * freed with it.
 */
#ifndef WEIR_POOL_EXTENSION_H
#define WEIR_POOL_EXTENSION_H

#include "pool/pool.h"

typedef struct weir__extension_kind {
    const char *name;
    /* The pool takes nobody new from here on, but has not begun to close: one last call, which must begin at
       once. Under the lock, once; NULL: nothing. */
    void (*leave)(weir__extension *extension);
    void (*end)(
        weir__extension *extension); /* the pool has closed: it stops its timers. Under the lock, once */
    void (*free)(weir__extension *extension); /* without the lock; after `end` */
    /* A statement has taken longer than the pool's slow_ns. Under the lock; NULL: it does not care. */
    void (*slow)(weir__extension *extension, const char *sql, size_t length, int64_t ns);
} weir__extension_kind;

/* The first field of what it is. */
struct weir__extension {
    const weir__extension_kind *kind;
    weir_pool *pool; /* once attached */
    weir__link link; /* in the pool's extensions */
    bool ended;
};

/* Under the lock. From now on it is the pool's. */
void weir__pool_attach(weir_pool *pool, weir__extension *extension);
/* The one of that kind; NULL: none. */
weir__extension *weir__pool_extension(const weir_pool *pool, const weir__extension_kind *kind);
/* Under the lock, before the pool begins to close or to drain. */
void weir__extensions_leave(weir_pool *pool);
/* Tells them of a slow statement. */
void weir__extensions_slow(const weir_pool *pool, const char *sql, size_t length, int64_t ns);
/* Under the lock, when the pool has closed. */
void weir__extensions_end(weir_pool *pool);
/* Without the lock, while the pool is freed. */
void weir__extensions_free(weir_pool *pool);

#endif
