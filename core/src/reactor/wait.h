/* Blocking callers. */
#ifndef WEIR_REACTOR_WAIT_H
#define WEIR_REACTOR_WAIT_H

#include "reactor/reactor.h"

/* weir_reactor_wait with the lock held before and after, an operation that exists, and an absolute deadline.
 */
int weir__reactor_wait(weir_reactor *reactor, weir__op *op, int64_t deadline, weir_completion *out);

#endif
