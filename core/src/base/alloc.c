#include "base/alloc.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static atomic_bool watched; /* the hook is in use; else nothing below is touched */
static atomic_long taken, live, fail_at;
static atomic_bool fail_after;

static inline bool is_watched(void) {
    return __builtin_expect(atomic_load_explicit(&watched, memory_order_relaxed), false);
}

static bool refused(void) {
    if (!is_watched()) return false;
    long n = atomic_fetch_add_explicit(&taken, 1, memory_order_relaxed) + 1;
    long k = atomic_load_explicit(&fail_at, memory_order_relaxed);
    return k > 0 && (n == k || (n > k && atomic_load_explicit(&fail_after, memory_order_relaxed)));
}

static inline void *born(void *memory) {
    if (is_watched() && memory) atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return memory;
}

void *weir__malloc(size_t size) { return refused() ? NULL : born(malloc(size ? size : 1)); }

void *weir__calloc(size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) return NULL;
    return refused() ? NULL : born(calloc(1, total ? total : 1));
}

void *weir__realloc(void *memory, size_t size) {
    if (!memory) return weir__malloc(size);
    return refused() ? NULL : realloc(memory, size ? size : 1);
}

void weir__free(void *memory) {
    if (is_watched() && memory) atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    free(memory);
}

char *weir__strndup(const char *text, size_t length) {
    char *copy = length < SIZE_MAX ? weir__malloc(length + 1) : NULL;
    if (!copy) return NULL;
    if (length) memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void weir__alloc_fail_at(long k, bool sticky) {
    atomic_store_explicit(&fail_at, 0, memory_order_relaxed);
    atomic_store_explicit(&taken, 0, memory_order_relaxed);
    atomic_store_explicit(&fail_after, sticky, memory_order_relaxed);
    atomic_store_explicit(&fail_at, k, memory_order_relaxed);
    atomic_store_explicit(&watched, true, memory_order_relaxed);
}

long weir__alloc_count(void) {
    atomic_store_explicit(&watched, true, memory_order_relaxed);
    return atomic_load_explicit(&taken, memory_order_relaxed);
}

long weir__alloc_live(void) {
    atomic_store_explicit(&watched, true, memory_order_relaxed);
    return atomic_load_explicit(&live, memory_order_relaxed);
}
