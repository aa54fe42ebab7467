#include "base/fork.h"

#include <pthread.h>
#include <stddef.h>

atomic_uint weir__fork_counter;

static atomic_bool registered;

static void in_child(void) { atomic_fetch_add_explicit(&weir__fork_counter, 1, memory_order_relaxed); }

/* No pthread_once: it would remember a failure as done. */
bool weir__fork_watch(void) {
    if (atomic_load(&registered)) return true;
    if (pthread_atfork(NULL, NULL, in_child) != 0) return false;
    atomic_store(&registered, true);
    return true;
}
