/* Memory that is given out in pieces and freed as a whole. */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include <stddef.h>

typedef struct weir__arena {
    struct weir__arena_chunk *chunks; /* the newest first */
    char *room;                       /* where the next piece begins … */
    size_t left;                      /* … and how many bytes fit there */
    size_t size;                      /* of the newest chunk that was not made for a single piece */
} weir__arena;

/* `size` bytes, aligned for anything, good until weir__arena_free. NULL when memory is short. A zeroed arena
   is an empty one. */
void *weir__arena_take(weir__arena *arena, size_t size);
void weir__arena_free(weir__arena *arena); /* empty; may be called twice */

#endif
