/* Connections that are held for too long, or with an idle transaction. Under the reactor's lock, as all of
 * the pool. */
#ifndef WEIR_POOL_LEAK_H
#define WEIR_POOL_LEAK_H

#include "pool/pool.h"

weir__leak_action weir__leak_action_of(const char *option);
/* The reaper is to look at the loan in time. */
void weir__leak_arm(weir__slot *slot);
/* A loan ends that has a stack, or has lasted for too long. */
void weir__leak_over(weir__slot *slot, int64_t now);
/* A loan begins; the stack is taken over. */
static inline void weir__leak_begin(weir__slot *slot, char *stack) {
    const weir_pool *pool = slot->pool;
    slot->last_text[0] = '\0';
    slot->stack = stack;
    slot->leaked = false;
    if (pool->leak_ns < pool->reap_at - slot->lent_at || !weir__timer_running(&pool->reaper))
        weir__leak_arm(slot);
}
/* It ends. Nobody may have driven the reactor since it was to be looked at. */
static inline void weir__leak_end(weir__slot *slot, int64_t now) {
    bool late = slot->state == WEIR__LENT && now - slot->lent_at >= slot->pool->leak_ns;
    if (late || slot->leaked || slot->stack) weir__leak_over(slot, now);
}
/* The holder has given that statement. */
void weir__leak_note(weir__slot *slot, const char *text, size_t length);
/* Nothing flies for the holder any more. */
void weir__leak_quiet(weir__slot *slot, int64_t now);
/* Has the loan lasted for too long, or its transaction been idle? When to look again. */
int64_t weir__leak_look(weir__slot *slot, int64_t now);
/* The task has got in line: warns when its caller holds a connection, and none is left. */
void weir__leak_waits(weir_pool *pool, const weir__task *task, int64_t now);
/* Why the task has waited in vain; in `text`, or static. */
const char *weir__leak_why(const weir__task *task, char *text, size_t size);
int weir__pool_holders(const weir_pool *pool, int64_t min_age_ms, weir_holder **out, size_t *count,
                       weir_error *error);

#endif
