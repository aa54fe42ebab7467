/* Making a connection fit for the next borrower, with as little as the last one makes necessary. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/postgres/pg.h"

/* ---- the option's own text */

bool weir__pg_reset_open(weir__pgenv *env) {
    const weir__config *config = env->base.config;
    if (config->reset != WEIR__RESET_SQL) return true;
    const char *text = config->options.reset;
    env->reset_bytes = strlen(text) + 1;
    env->reset = weir__strndup(text, env->reset_bytes - 1);
    if (!env->reset) return false;
    weir__pg_split(env->reset);
    for (const char *at = env->reset; at < env->reset + env->reset_bytes; at += strlen(at) + 1) {
        env->reset_sweeps |= weir__pg_sweeps(at);
        env->reset_traits |= weir__pg_traits(at, strlen(at), NULL);
    }
    return true;
}

/* In one transaction, unless there is only one. */
static bool send_own(weir__pgconn *c, weir__pgop *op) {
    const weir__pgenv *env = weir__pg_env(c);
    for (const char *at = env->reset; at < env->reset + env->reset_bytes; at += strlen(at) + 1)
        if (!weir__pg_is_blank(at) && !weir__pg_send(c, op, at, WEIR__STEP_RESET)) return false;
    return weir__pg_send_sync(c, op);
}

/* ---- sending */

typedef struct plan {
    bool rollback, discard, own, guard;
} plan;

static plan make_plan(const weir__pgconn *c, weir__reset how) {
    const weir__pgenv *env = weir__pg_env(c);
    bool guard = c->guard_in_tx || c->guard_ms != env->guard_ms;
    plan p = {.rollback = c->base.tx != WEIR__TX_NONE, .guard = guard && !c->guard_foreign};
    if (how == WEIR__RESET_AUTO) p.discard = c->dirty;
    if (how == WEIR__RESET_ALWAYS) p.discard = c->dirty || c->used;
    if (how == WEIR__RESET_SQL && c->used) {
        p.own = true;
        /* Ours again, unless the text sees to that, or wants another one. */
        p.guard = (guard || c->guard_foreign) &&
                  !((env->reset_sweeps & WEIR__TRAIT_UNGUARDS) || (env->reset_traits & WEIR__TRAIT_GUARD));
    }
    if (p.discard) p.guard = false;
    return p;
}

/* DISCARD ALL stands no other command between two Syncs. */
static bool send_reset(weir__pgconn *c, weir__pgop *op, const plan *p) {
    if (p->rollback && !(weir__pg_send(c, op, "ROLLBACK", WEIR__STEP_UNDO) && weir__pg_send_sync(c, op)))
        return false;
    if (p->discard && !(weir__pg_send(c, op, "DISCARD ALL", WEIR__STEP_RESET) && weir__pg_send_sync(c, op)))
        return false;
    if (p->own && !send_own(c, op)) return false;
    return !p->guard || (weir__pg_send_guard(c, op, weir__pg_env(c)->guard_ms) && weir__pg_send_sync(c, op));
}

bool weir__pg_reset(weir__conn *conn, weir__request *request, weir__reset how) {
    weir__pgconn *c = (weir__pgconn *)conn;
    bool replace = c->lasting && (how == WEIR__RESET_AUTO || how == WEIR__RESET_ALWAYS);
    plan p = make_plan(c, how);
    if (!p.rollback && !p.discard && !p.own && !p.guard && !replace) return false;
    weir__pgop *op = weir__pg_op_begin(c, request);
    if (!op) return true;
    c->next = NULL;
    op->begun = op->resetting = op->tail_sent = true;
    op->own_reset = p.own;
    if (replace) {
        weir__fail(
            &op->error, WEIR_ELOST,
            "the connection is replaced, since its borrower left behind what DISCARD ALL does not undo");
    } else if (!weir__pg_reserve(c)) {
        weir__fail(&op->error, WEIR_ENOMEM, "out of memory");
    }
    if (op->error.code != WEIR_OK) {
        weir__pg_op_end(c, op);
        return true;
    }
    c->guard_in_tx = false;
    if (send_reset(c, op, &p)) {
        weir__pg_pump(c);
    } else {
        weir__pg_send_failed(c);
    }
    return true;
}

/* ---- what is believed of the session */

void weir__pg_reset_taken(weir__pgconn *c, const weir__pgop *op) {
    const weir__pgenv *env = weir__pg_env(c);
    bool own = op->own_reset;
    unsigned sweeps = own ? env->reset_sweeps : WEIR__TRAIT_FORGETS | WEIR__TRAIT_UNGUARDS;
    if (sweeps & WEIR__TRAIT_FORGETS) weir__pg_statements_forget(c);
    c->used = c->guard_in_tx = false;
    c->guard_foreign = own && env->reset_traits & WEIR__TRAIT_GUARD;
    if (own) c->lasting = false; /* whoever gives a text knows what he leaves alone */
    if (!(sweeps & WEIR__TRAIT_UNGUARDS)) {
        c->dirty = c->retyped; /* names may have another meaning still */
        return;
    }
    c->base.wiped = c->base.wiped || c->founded;
    c->founded = c->dirty = c->retyped = c->readonly = false;
    c->guard_ms = env->guard_ms;
}

void weir__pg_baseline(weir__conn *conn) {
    weir__pgconn *c = (weir__pgconn *)conn;
    /* Under `always` nobody relies on what is seen of a statement. */
    c->founded = c->founded || c->dirty || (c->used && conn->env->config->reset == WEIR__RESET_ALWAYS);
    c->used = c->dirty = c->lasting = false;
    conn->wiped = false;
}
