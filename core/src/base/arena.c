#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>

#include "base/alloc.h"

#define FIRST_CHUNK 512
#define LAST_CHUNK 65536 /* chunks double up to here */

typedef struct weir__arena_chunk {
    struct weir__arena_chunk *next;
    alignas(max_align_t) char data[];
} chunk;

static chunk *new_chunk(weir__arena *arena, size_t size) {
    chunk *made = weir__malloc(sizeof *made + size);
    if (!made) return NULL;
    made->next = arena->chunks;
    return arena->chunks = made;
}

void *weir__arena_take(weir__arena *arena, size_t size) {
    const size_t unit = alignof(max_align_t);
    if (size > PTRDIFF_MAX - sizeof(chunk) - unit) return NULL;
    size = size ? (size + unit - 1) / unit * unit : unit; /* nothing has an address, too */
    if (size > arena->left) {
        size_t next = arena->size ? arena->size * 2 : FIRST_CHUNK;
        if (next > LAST_CHUNK) next = LAST_CHUNK;
        /* A large piece gets memory of its own, so that the rest of the current chunk is not lost. */
        bool alone = size > next / 4;
        chunk *made = new_chunk(arena, alone ? size : next);
        if (!made) return NULL;
        if (alone) return made->data;
        arena->size = arena->left = next;
        arena->room = made->data;
    }
    void *piece = arena->room;
    arena->room += size;
    arena->left -= size;
    return piece;
}

void weir__arena_free(weir__arena *arena) {
    for (chunk *next; arena->chunks; arena->chunks = next) {
        next = arena->chunks->next;
        weir__free(arena->chunks);
    }
    *arena = (weir__arena){0};
}
