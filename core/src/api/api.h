/* Shared by the public entry points. */
#ifndef WEIR_API_API_H
#define WEIR_API_API_H

#include "pool/pool.h"

/* WEIR_TIMEOUT_DEFAULT, -1, or positive; else WEIR_EINVAL that names it. */
int weir__check_timeout(int64_t ms, const char *name, weir_error *error);
int weir__forked(weir_error *error); /* sets and gives WEIR_EFORKED */

#endif
