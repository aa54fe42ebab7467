/* The simulation's callers: what they have asked for and hold, and the answers. */
#include "support_sim_state.h"

/* ---- asks ---- */

sim_ask *sim_new_ask(weir_completion_kind kind, int holder_index) {
    for (int i = 0; i < SIM_ASKS; i++) {
        sim_ask *a = &sim.asks[i];
        if (a->pending) continue;
        *a = (sim_ask){.kind = kind, .holder = holder_index, .waits = sim_chance(25)};
        return a;
    }
    return NULL;
}

static int index_of(const sim_ask *a) { return (int)(a - sim.asks); }
void *sim_token(sim_ask *a) { return a->waits ? NULL : a; }

void sim_settle(sim_ask *a) {
    a->pending = false;
    a->turn = 0;
    if (a->holder >= 0 && sim.holders[a->holder].busy == index_of(a)) sim.holders[a->holder].busy = -1;
}

void sim_submitted(sim_ask *a, int code, weir_op op, const char *what) {
    sim_trace(what, code, (int64_t)op);
    if (code != WEIR_PENDING) return;
    if (!op) sim_fault("%s is pending without an operation", what);
    a->op = op;
    a->pending = true;
    if (a->holder >= 0) sim.holders[a->holder].busy = index_of(a);
}

sim_ask *sim_random_pending(void) {
    int start = (int)sim_below(SIM_ASKS);
    for (int i = 0; i < SIM_ASKS; i++) {
        sim_ask *a = &sim.asks[(start + i) % SIM_ASKS];
        if (a->pending) return a;
    }
    return NULL;
}

/* ---- holders ---- */

sim_holder *sim_new_holder(weir_session session, bool transaction) {
    for (int i = 0; i < SIM_HOLDERS; i++) {
        if (sim.holders[i].used) continue;
        sim.holders[i] =
            (sim_holder){.used = true, .transaction = transaction, .session = session, .busy = -1};
        if (sim_chance(70)) weir_session_ready(session, NULL); /* the rest is set up for too long */
        return &sim.holders[i];
    }
    weir_session_release(session);
    return NULL;
}

sim_holder *sim_random_holder(void) {
    int start = (int)sim_below(SIM_HOLDERS);
    for (int i = 0; i < SIM_HOLDERS; i++) {
        sim_holder *h = &sim.holders[(start + i) % SIM_HOLDERS];
        if (h->used) return h;
    }
    return NULL;
}

bool sim_is_live(weir_session session) {
    weir__slot *slot;
    return weir__session_find(session, &slot, NULL) == WEIR_OK;
}

bool sim_is_busy(const sim_holder *h) {
    weir__op *op = h->busy >= 0 ? weir__op_find(rig.reactor, sim.asks[h->busy].op) : NULL;
    return op && op->state == WEIR__OP_PENDING;
}

void sim_forget(sim_holder *h) {
    h->used = false;
    sim.stale[sim.stale_count++ % SIM_STALE] = h->session;
}

/* A refusal that means the end of the loan; anything else is a fault unless it is `allowed`. */
bool sim_has_ended(sim_holder *h, int code, const char *what) {
    if (code == WEIR_ENOMEM && sim.plan->starve) return false;
    if (sim_is_live(h->session)) {
        sim_fault("%s on a live session gives %d", what, code);
        return false;
    }
    if (code != WEIR_ELOST && code != WEIR_ECLOSED && code != WEIR_ESESSIONTIMEOUT && code != WEIR_ESTALE &&
        code != WEIR_ENOMEM && code != WEIR_ECONNECT && code != WEIR_ECONNECTTIMEOUT &&
        code != WEIR_ECHECKOUTTIMEOUT && code != WEIR_ECOMMANDTIMEOUT)
        sim_fault("%s on a session that has ended gives %d", what, code);
    sim_forget(h);
    return true;
}

/* ---- completions ---- */

static void check_answer(const sim_ask *a, weir_completion *c) {
    weir_value value = {.type = WEIR_TYPE_NULL};
    if (!c->result) sim_fault("a success without a result");
    if (!c->result || !a->nonce) return;
    int code = weir_result_value(c->result, 0, 0, &value);
    if (code != WEIR_OK || value.type != WEIR_TYPE_INT || value.as.integer != a->nonce)
        sim_fault("an answer that belongs to another question");
}

void sim_check_ended(const sim_ask *a) {
    sim_holder *h = &sim.holders[a->holder];
    weir_session_info info;
    if (!h->used || weir_session_inspect(h->session, &info, NULL) != WEIR_OK) return;
    if (h->transaction && h->depth == 1 && info.depth == 0) h->depth = 0; /* it ended by itself */
    if (info.depth != h->depth) sim_fault("the session is at depth %d, and not %d", info.depth, h->depth);
    if (info.busy && h->busy < 0) sim_fault("a session is busy though its operation has ended");
}

/* Grants may be taken in any order, but were made in the order of asking. */
static void check_order(long turn, uint64_t loan) {
    if (rig.pool->stats->overloads) return; /* the newest first, by then */
    for (int i = 0; i < SIM_SERVED; i++)
        if (sim.served[i].turn && (sim.served[i].turn < turn) != (sim.served[i].loan < loan))
            sim_fault("a caller was served before one who had asked earlier");
    sim.served[sim.served_count % SIM_SERVED].turn = turn;
    sim.served[sim.served_count++ % SIM_SERVED].loan = loan;
}

static void take(weir_completion *c, sim_ask *a) {
    sim.report->completions++;
    sim_trace("completion", c->kind, c->code);
    if (!a->pending || a->op != c->op || a->kind != c->kind) {
        sim_fault("a completion (kind %d, code %d) that nobody waits for", (int)c->kind, c->code);
        return;
    }
    if (c->code < 0) sim_fault("a completion with the code %d", c->code);
    if ((c->code != WEIR_OK) != (c->error != NULL)) sim_fault("a code without an error, or the reverse");
    if (c->code && c->error && c->error->code != c->code && !sim.plan->starve)
        sim_fault("the error's code is another");
    if (c->code && c->result) sim_fault("an error with a result");
    if (a->kind == WEIR_DONE_HEALTH && (c->code || c->result))
        sim_fault("a health check gives more than its end");
    long turn = a->turn;
    sim_settle(a);
    if (a->kind == WEIR_DONE_EXECUTE && c->code == WEIR_OK) check_answer(a, c);
    if (a->holder >= 0) sim_check_ended(a);
    if (a->kind == WEIR_DONE_ACQUIRE && c->code == WEIR_OK) {
        sim.report->granted++;
        check_order(turn, c->session.loan);
        if (sim_is_live(c->session)) sim_new_holder(c->session, a->nonce != 0);
        c->session = (weir_session){0};
    }
}

/* What the completion carries is judged, and freed here. */
static void dispose(weir_completion *c) {
    if (c->failure.pool) {
        weir_completion_judge(c, (weir_verdict)(c->op % 3));
        sim.report->judged++;
    }
    weir_result_free(c->result);
    weir_error_free(c->error);
}

static void take_next(weir_completion *c) {
    if (c->kind == WEIR_EVENT_INIT) {
        sim_trace("init", c->session.slot, 0);
        if (sim_is_live(c->session)) sim_new_holder(c->session, false);
    } else if (c->token == &sim.opened) {
        sim_trace("opened", c->code, 0);
        if (c->kind != WEIR_DONE_OPEN || sim.opened) sim_fault("a strange completion of open");
        sim.opened = true;
    } else if (c->token == &sim.closed) {
        sim_trace("closed", c->code, 0);
        if (c->op == sim.close_op) sim.close_op = 0;
        if (weir__pool_total(rig.pool)) sim_fault("close is complete, and connections are left");
    } else {
        take(c, c->token);
    }
    dispose(c);
}

void sim_drain(void) {
    weir_completion c;
    while (!sim_failed() && weir_reactor_next(rig.reactor, &c)) take_next(&c);
    for (int i = 0; i < SIM_ASKS && !sim_failed(); i++) {
        sim_ask *a = &sim.asks[i];
        if (!a->pending || !a->waits) continue;
        int code = weir_reactor_wait(rig.reactor, a->op, 0, &c);
        for (weir_completion other; code == WEIR_EVENT && weir_reactor_next(rig.reactor, &other);) {
            take_next(&other); /* of what the one before has set going */
            code = weir_reactor_wait(rig.reactor, a->op, 0, &c);
        }
        if (code == WEIR_ETIMEOUT) continue;
        if (code == WEIR_EVENT) { /* it has sent what was held, and others are answered */
            sim_drain();
            return;
        }
        if (code != WEIR_OK) sim_fault("waiting for a pending operation gives %d", code);
        if (code != WEIR_OK) return;
        take(&c, a);
        dispose(&c);
    }
}
