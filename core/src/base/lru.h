/* A hash table by text that forgets what was not used for longest. */
#ifndef WEIR_BASE_LRU_H
#define WEIR_BASE_LRU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

typedef struct weir__lru_node {
    weir__link order; /* the front was used last */
    struct weir__lru_node *chain;
    uint64_t hash;
    const char *text; /* borrowed from whatever embeds the node */
    size_t length;
} weir__lru_node;

typedef struct weir__lru {
    weir__lru_node **buckets; /* NULL: holds nothing, ever */
    size_t mask, count, limit;
    weir__link order;
} weir__lru;

/* limit: nodes that it is meant for. False: out of memory. A limit of 0 takes no memory. */
bool weir__lru_init(weir__lru *lru, size_t limit);
void weir__lru_free(weir__lru *lru); /* it must be empty */
/* The node of a text, which counts as used then; NULL when there is none. */
weir__lru_node *weir__lru_find(weir__lru *lru, uint64_t hash, const char *text, size_t length);
void weir__lru_insert(weir__lru *lru, weir__lru_node *node);
void weir__lru_remove(weir__lru *lru, weir__lru_node *node);
/* The node that was not used for longest; NULL when empty. */
weir__lru_node *weir__lru_oldest(const weir__lru *lru);

#endif
