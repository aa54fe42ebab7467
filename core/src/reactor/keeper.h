/* A thread that works for the reactor while nobody else does. */
#ifndef WEIR_REACTOR_KEEPER_H
#define WEIR_REACTOR_KEEPER_H

#include "reactor/reactor.h"

/* How long it stands back when somebody else has worked. */
#define WEIR__KEEPER_PAUSE (100 * WEIR__MS)

/* One more wants the thread; the first starts it. The lock is held. WEIR_EINTERNAL with the system's reason.
 */
int weir__keeper_want(weir_reactor *reactor, weir_error *error);
/* One less; the last ends it. The lock is held. */
void weir__keeper_unwant(weir_reactor *reactor);
/* Waits for the thread's end; nobody wants it any more, and the lock is not held. */
void weir__keeper_join(weir_reactor *reactor);

#endif
