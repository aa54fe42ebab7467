/*
 * Sizing that follows the pods: this pool's part of connection_budget, while it is open.
 *
 * Two sources tell how many pods there are (the option pod_source):
 *
 * dns: the addresses of pod_service. Each pod counts for itself what it sees, a little later than the others,
 * so the sum may be above the budget for as long as they disagree; a name that cannot be looked up changes
 * nothing.
 *
 * database: the pods themselves, by a row each in a table that they share. That is a strict bound: at no
 * moment have all of them together more connections than the budget, whoever joins, leaves or dies, because
 *
 * - a row says what its pod may have (`granted`), the rows are changed under a lock only, and one grows by
 *   no more than what the sum of all leaves. A pod asks first and opens then; it closes first, which is to
 * say that the server has let go of the connection (pool/ceiling.c), and lowers its row then.
 * - a row counts until its pod is dead: not heard of for pod_dead_after, by the database's clock, and without
 *   a connection, as pg_stat_activity says, where the pods' connections are known by their application_name.
 *   So neither a pod that hangs, nor one whose connections are all lent, nor a killed one whose statement
 *   still runs, loses what it has: it need not be heard of for that. What it could still open does end: two
 *   thirds of pod_dead_after after what the database has last confirmed it opens no more than a first
 *   connection. The last third is the time for an attempt to connect that has begun before.
 * - a pod that has not been written down yet has one connection, over which it joins. Places are kept for
 *   those: pod_surge, one for every four pods by default, or as many as are missing to pod_count. As many may
 *   join at the same moment as there are, and further ones when the others have given back. More than that is
 *   beyond the bound by one each until the others have; and so is a pod without a place, of more than the
 *   budget has connections, while it asks for one.
 *
 * A row in a table, and not a lock of the session's for each pod: a lock needs a connection of its own (20 of
 * a budget of 60 for 20 pods), says nothing of the pod's other connections, and does not get through a proxy
 * that lends connections by the transaction. And not a count of pg_stat_activity alone: two pods that look at
 * the same moment would both take what is free. The table is a logged one: after a crash or a failover the
 * pods are back before they have said so, and a table that had become empty would give away what they hold.
 *
 * The heartbeat is one transaction, one round trip, on whichever of the pool's connections is free first: it
 * takes no connection of its own, and counts as a statement in the pool's numbers. Leaving is a statement,
 * too: whoever has said that he opens no more is dead as soon as the server sees no connection of his.
 *
 * Behind a proxy pg_stat_activity shows the proxy's connections, and no pod's: there time alone tells who is
 * dead, and a pod that can say nothing for pod_dead_after, since all its connections are lent, is taken for
 * it.
 */
#ifndef WEIR_FLEET_FLEET_H
#define WEIR_FLEET_FLEET_H

#include "config/sizing.h"
#include "fleet/quota.h"
#include "pool/extension.h"

typedef struct weir__lookup weir__lookup;

typedef struct weir__fleet {
    weir__extension extension; /* first */
    weir__pod_source source;
    weir__quota quota;
    weir__timer timer; /* the next look */
    int looks;         /* that have been answered */
    int64_t looked_at; /* the last that counts as a further one: quota.h */
    bool failing;      /* the last look has failed, and that was said */
    /* ---- registry.c */
    weir__deferred told; /* the heartbeat's answer is there */
    weir_batch *batch;
    weir_op op; /* 0: none is on its way */
    int64_t sent_at;
    int held;         /* as it was sent … */
    uint64_t started; /* … and of all attempts to connect so many */
    bool making;      /* it is to make the table */
    bool direct;      /* no proxy is in between */
    bool left;
    /* ---- names.c */
    weir__lookup *lookup; /* NULL: none is under way */
} weir__fleet;

static inline const weir_options *weir__fleet_options(const weir__fleet *fleet) {
    return &fleet->extension.pool->config->options;
}

/* What the pool's options want: *out NULL when they want none. Gives the config's connections their mark.
 * WEIR_EOPTION, WEIR_ENOMEM. */
int weir__fleet_new(weir__config *config, uint64_t seed, weir__fleet **out, weir_error *error);
/* One that was not started. NULL is accepted. */
void weir__fleet_free(weir__fleet *fleet);
/* Under the lock: it is the pool's then. */
void weir__fleet_start(weir__fleet *fleet, weir_pool *pool);

/* ---- for the sources */
/* The look has come to this; when the next one is due is the source's to say. */
void weir__fleet_answer(weir__fleet *fleet, int pods, int share);
/* The next look, in so many ns. */
void weir__fleet_look_in(weir__fleet *fleet, int64_t ns);
/* It has failed, which is logged once. */
void weir__fleet_failed(weir__fleet *fleet, const char *why);
/* The next look: at leisure, or, while something is under way, soon. */
int64_t weir__fleet_pace(const weir__fleet *fleet, bool soon);

/* ---- registry.c */
void weir__registry_look(weir__fleet *fleet);
void weir__registry_told(weir__deferred *deferred);
void weir__registry_leave(weir__fleet *fleet);
void weir__registry_end(weir__fleet *fleet);

/* ---- names.c */
void weir__names_look(weir__fleet *fleet);
void weir__names_end(weir__fleet *fleet);

#endif
