/* Who holds a pool's connections, and for how long: for reports of leaks. */
#ifndef WEIRPOOL_HOLDER_H
#define WEIRPOOL_HOLDER_H

#include <weirpool/pool.h>

WEIR_BEGIN_DECLS

/* A loan. The texts are the list's. */
typedef struct weir_holder {
    const char *file, *function; /* where it was checked out; "" unknown, the ends of longer ones */
    int line;                    /* 0 unknown */
    int64_t age_ms;              /* since it was lent */
    const char *statement; /* the beginning of its last statement's text, never its parameters; "" none yet */
    const char *stack; /* the caller's whole stack, one frame a line, of a checkout that was sampled; or "" */
    int depth;         /* open transactions and savepoints */
    bool busy;         /* an operation runs */
    bool leaked;       /* it has been held for longer than leak_threshold, and that was reported */
    int backend;       /* the server's process id; 0 for SQLite */
} weir_holder;

/*
 * The loans that are at least so old, the oldest first. *out is the caller's, weir_holders_free; NULL where
 * there are none. WEIR_ENOMEM, WEIR_EINVAL (min_age_ms below 0), WEIR_EFORKED. Any thread.
 */
WEIR_API int weir_pool_holders(weir_pool *pool, int64_t min_age_ms, weir_holder **out, size_t *count,
                               weir_error *error);
/* NULL is accepted. */
WEIR_API void weir_holders_free(weir_holder *holders);
/* True once in so many calls as the option leak_stacks says: the checkout that follows is to be given the
   caller's stack (weir_checkout.stack). Any thread, no lock. */
WEIR_API bool weir_pool_wants_stack(weir_pool *pool);

WEIR_END_DECLS

#endif
