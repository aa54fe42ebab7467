/* Shared by the public entry points. */
#ifndef WEIR_API_API_H
#define WEIR_API_API_H

#include "pool/pool.h"

/* WEIR_TIMEOUT_DEFAULT, -1, or positive; else WEIR_EINVAL that names it. */
int weir__check_timeout(int64_t ms, const char *name, weir_error *error);
/* What an older caller's struct of `size` bytes holds, in this version's *to, of `full` ones, which has the
   defaults for the rest. WEIR_EINVAL: `what` is of no size that there was. */
int weir__adopt(void *to, size_t full, const void *from, size_t size, const char *what, weir_error *error);
/* Fills in *run from what the caller gives (NULL: the defaults), checked. */
int weir__take_run(weir_run *run, const weir_run *given, weir_error *error);
/* Takes the lock and finds the session's slot; when that fails the lock is not held. */
int weir__enter_session(weir_session session, weir__slot **slot, weir_error *error);
/* metrics.c: the list of all open pools. Not under a reactor's lock. */
void weir__metrics_register(weir_pool *pool);
void weir__metrics_forget(weir_pool *pool);
int weir__forked(weir_error *error); /* sets and gives WEIR_EFORKED */
/* weir__width_pin, for measurements from outside: the benchmark's fixed sides. WEIR_EINVAL: a width below 0
   or above max_size. */
int weir__pool_pin_width(weir_pool *pool, int width, weir_error *error);

#endif
