/* Has this process been forked since? A counter that a pthread_atfork handler raises in the child: no
   system call. */
#ifndef WEIR_BASE_FORK_H
#define WEIR_BASE_FORK_H

#include <stdatomic.h>
#include <stdbool.h>

extern atomic_uint weir__fork_counter;
/* Registers the handler. Call it before the first comparison, any number of times, from any thread. False
   when memory is short: forks would go unseen. Two first calls at once may register it twice; then a fork
   counts as two. */
bool weir__fork_watch(void);
static inline unsigned weir__fork_count(void) {
    return atomic_load_explicit(&weir__fork_counter, memory_order_relaxed);
}

#endif
