/* The one door to the heap: every allocation may fail, and a test can make the k-th one fail. */
#ifndef WEIR_BASE_ALLOC_H
#define WEIR_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* As malloc, calloc, realloc, free; NULL when memory is short, and only then: no bytes are taken as one.
   weir__free accepts NULL. Any thread. */
void *weir__malloc(size_t size) __attribute__((malloc, warn_unused_result));
void *weir__calloc(size_t count, size_t size) __attribute__((malloc, warn_unused_result));
void *weir__realloc(void *memory, size_t size) __attribute__((warn_unused_result));
void weir__free(void *memory);
/* A NUL-terminated copy of `length` bytes. */
char *weir__strndup(const char *text, size_t length) __attribute__((malloc, warn_unused_result));

/*
 * For tests: the k-th allocation from now on (1 is the next) fails, and with `sticky` all after it; 0
 * switches it off. weir__alloc_count: allocations since the last call of weir__alloc_fail_at.
 * weir__alloc_live: blocks not yet freed. Counting begins with the first call of any of the three, so that
 * other programs pay one plain load a call: take a reading first and compare the next one with it.
 */
void weir__alloc_fail_at(long k, bool sticky);
long weir__alloc_count(void);
long weir__alloc_live(void);

#endif
