/* Shared by the public entry points. */
#ifndef WEIR_API_API_H
#define WEIR_API_API_H

#include "pool/pool.h"

/* WEIR_TIMEOUT_DEFAULT, -1, or positive; else WEIR_EINVAL that names it. */
int weir__check_timeout(int64_t ms, const char *name, weir_error *error);
/* Fills in *run from what the caller gives (NULL: the defaults), checked. */
int weir__take_run(weir_run *run, const weir_run *given, weir_error *error);
int weir__forked(weir_error *error); /* sets and gives WEIR_EFORKED */

#endif
