/* What the tests of the reactor share. */
#ifndef WEIR_TESTS_SUPPORT_REACTOR_H
#define WEIR_TESTS_SUPPORT_REACTOR_H

#include "reactor/reactor.h"

weir_reactor *reactor_open(void); /* on the real clock */
void reactor_close(weir_reactor *reactor);
/* Is the descriptor readable within so many milliseconds? */
bool readable(weir_reactor *reactor, int timeout_ms);
/* A pending operation, under the lock; its cancel is counted. */
weir__op *op_new(weir_reactor *reactor, void *token);
extern int ops_cancelled;

#endif
