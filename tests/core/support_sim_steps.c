/* The simulation's steps: what callers, the host, the server and time do, by chance. */
#include <string.h>

#include "support_sim_state.h"

static int64_t some_timeout(void) {
    return sim_chance(50) ? WEIR_TIMEOUT_DEFAULT : sim_chance(30) ? -1 : 1 + sim_below(80);
}

static void acquire(void) {
    sim_ask *a = sim_new_ask(WEIR_DONE_ACQUIRE, -1);
    if (!a) return;
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.checkout_timeout_ms = some_timeout();
    if (sim_chance(20)) checkout.session_timeout_ms = 1 + sim_below(200);
    checkout.setup = sim_chance(20);
    checkout.call = sim_chance(20);
    checkout.transaction = sim_chance(40);
    checkout.file = "simulation.c";
    checkout.function = "acquire";
    a->nonce = checkout.transaction; /* remembered for the sim_holder */
    int waiting = rig.pool->waiting;
    weir_session session;
    weir_op op = 0;
    int code = weir_pool_acquire(rig.pool, &checkout, sim_token(a), &session, &op, NULL);
    sim_submitted(a, code, op, "acquire");
    if (code == WEIR_PENDING) a->turn = ++sim.turns;
    if (code == WEIR_OK && waiting) sim_fault("a newcomer was served before %d waiters", waiting);
    if (code == WEIR_OK) {
        const weir__slot *slot = rig.pool->slots[session.slot];
        if (slot->generation != rig.pool->generation || slot->expires_at <= rig.clock.now)
            sim_fault("a connection was lent that is too old");
        sim_new_holder(session, checkout.transaction);
    }
    if (sim.closed && code != WEIR_ECLOSED) sim_fault("acquire on a closed pool gives %d", code);
}

static weir_statement *some_statement(sim_ask *a) {
    static const char *const others[] = {"hang",       "sleep 0",    "sleep 7", "sleep 300",
                                         "fail 23505", "fail 40001", "lose",    "rows 3"};
    static const char *const shared[] = {
        "echo shared", "echo shared",       "echo shared write", "sleep 7 shared",  "sleep 0 shared",
        "hang shared", "fail 23505 shared", "echo shared",       "sleep 50 shared", "lose shared"};
    a->shares = a->holder < 0 && sim_chance(60);
    const char *sql = a->shares        ? shared[sim_below(sizeof shared / sizeof *shared)]
                      : sim_chance(65) ? "echo"
                                       : others[sim_below(sizeof others / sizeof *others)];
    weir_statement *statement = weir_statement_new(sql, strlen(sql), NULL);
    if (statement && sql[0] == 'e') {
        weir_value value = {.type = WEIR_TYPE_INT, .as.integer = ++sim.nonces};
        weir_statement_add(statement, &value);
        a->nonce = sim.nonces;
    }
    return statement;
}

static void execute(void) {
    sim_ask *a = sim_new_ask(WEIR_DONE_EXECUTE, -1);
    weir_statement *statement = a ? some_statement(a) : NULL;
    if (!statement) return;
    weir_op op = 0;
    weir_run run = *FOR_MS(some_timeout());
    run.hold = sim_chance(30); /* until the next dispatch */
    int code = weir_pool_execute(rig.pool, statement, &run, sim_token(a), &op, NULL);
    weir_statement_unref(statement);
    sim_submitted(a, code, op, "execute");
    if (code == WEIR_PENDING) a->turn = ++sim.turns;
    if (code == WEIR_OK) sim_fault("execute is done at once");
    if (sim.closed && code != WEIR_ECLOSED && code != WEIR_ENOMEM)
        sim_fault("execute on a closed pool gives %d", code);
}

static void check_health(void) {
    sim_ask *a = sim_new_ask(WEIR_DONE_HEALTH, -1);
    if (!a) return;
    weir_op op = 0;
    int code = weir_pool_check_health(rig.pool, some_timeout(), sim_token(a), &op, NULL);
    sim_submitted(a, code, op, "check health");
    if (code == WEIR_PENDING) a->turn = ++sim.turns;
    bool may = code <= 0 || (sim.closed && code == WEIR_ECLOSED) || (sim.plan->starve && code == WEIR_ENOMEM);
    if (!may) sim_fault("a health check gives %d", code);
}

/* By the breaker, in a session. */
static bool may_be_refused(const sim_holder *h) {
    const weir__slot *slot = rig.pool->slots[h->session.slot];
    return weir__breaker_shut(sim_queries()) && !weir__levels_alive(slot);
}

static void session_execute(sim_holder *h) {
    sim_ask *a = sim_new_ask(WEIR_DONE_EXECUTE, (int)(h - sim.holders));
    weir_statement *statement = a ? some_statement(a) : NULL;
    if (!statement) return;
    bool busy = sim_is_busy(h);
    weir_op op = 0;
    int code = weir_session_execute(h->session, statement, FOR_MS(some_timeout()), sim_token(a), &op, NULL);
    weir_statement_unref(statement);
    if (busy && code == WEIR_PENDING) sim_fault("two operations on one session");
    sim_submitted(a, code, op, "session execute");
    if (code == WEIR_PENDING && h->transaction && !h->depth) h->depth = 1;
    if (WEIR_IS_CIRCUIT_OPEN(code) && !may_be_refused(h))
        sim_fault("a statement in a transaction was refused");
    if (code != WEIR_PENDING && !WEIR_IS_CIRCUIT_OPEN(code) && !(busy && code == WEIR_EBUSY))
        sim_has_ended(h, code, "execute");
}

static void session_begin(sim_holder *h) {
    static const weir_transaction serializable = {.isolation = "SERIALIZABLE", .readonly = true};
    int depth = -1;
    bool outermost = !h->depth && !h->transaction;
    int code =
        weir_session_begin(h->session, outermost && sim_chance(50) ? &serializable : NULL, &depth, NULL);
    sim_trace("begin", code, depth);
    if (code == WEIR_OK) {
        h->depth += h->depth || outermost ? 1 : 2;
        if (depth != h->depth) sim_fault("begin gives depth %d, and not %d", depth, h->depth);
    } else if (!(code == WEIR_EBUSY && sim_is_busy(h)) &&
               !(code == WEIR_ETRANSACTION && h->depth >= WEIR__DEPTH_MAX - 1)) {
        sim_has_ended(h, code, "begin");
    }
}

static void session_end(sim_holder *h, bool commit) {
    int depth = h->depth ? h->depth : 1;
    sim_ask *a = sim_new_ask(WEIR_DONE_END, (int)(h - sim.holders));
    if (!a) return;
    if (sim_chance(5)) depth++; /* not the innermost */
    bool busy = sim_is_busy(h);
    weir_op op = 0;
    int code = commit ? weir_session_commit(h->session, depth, sim_token(a), &op, NULL)
                      : weir_session_rollback(h->session, depth, sim_token(a), &op, NULL);
    bool wrong = depth != h->depth && !(h->transaction && depth == 1);
    if (busy ? code <= 0 : wrong && code <= 0) sim_fault("an end that cannot be gives %d", code);
    sim_submitted(a, code, op, commit ? "commit" : "rollback");
    if (code == WEIR_EBUSY && busy) return;
    bool ended = code == WEIR_ETRANSACTION && !wrong && commit; /* by a statement, before */
    if (code <= 0 || ended)
        h->depth -= h->depth > 0;
    else if (code > 0 && !(code == WEIR_ETRANSACTION && wrong))
        sim_has_ended(h, code, "end");
}

void sim_give_back(sim_holder *h, bool discard) {
    bool live = sim_is_live(h->session);
    int code = discard ? weir_session_discard(h->session) : weir_session_release(h->session);
    sim_trace(discard ? "discard" : "release", code, h->session.slot);
    if ((code == WEIR_OK) != live) sim_fault("the return of a session gives %d", code);
    if (h->busy >= 0) sim.asks[h->busy].holder = -1; /* it is told, but the holder's place is another's */
    sim_forget(h);
}

/* The planted fault: the return is made behind the pool's back, and its settling forgotten. */
static bool lose_a_wake(sim_holder *h) {
    weir__slot *slot;
    if (sim.report->planted || !rig.pool->waiting || !sim_is_live(h->session)) return false;
    weir__enter(rig.reactor);
    weir__session_find(h->session, &slot, NULL);
    weir__session_return(slot, false);
    bool waits = slot->state == WEIR__IDLE && rig.pool->waiting;
    if (waits) weir__list_remove(&rig.pool->settle.link);
    weir__leave(rig.reactor);
    if (h->busy >= 0) sim.asks[h->busy].holder = -1;
    sim_forget(h);
    sim.report->planted = waits;
    sim_trace("lost wake", waits, 0);
    return true;
}

static void release(sim_holder *h) {
    if (sim.plan->lose_wake && lose_a_wake(h)) return;
    sim_give_back(h, sim_chance(15));
}

void sim_cancel(sim_ask *a) {
    if (!a) return;
    int code = weir_reactor_cancel(rig.reactor, a->op);
    sim_trace("cancel", code, (int64_t)a->op);
    if (code != WEIR_OK) sim_fault("cancelling a pending operation gives %d", code);
    if (weir_reactor_cancel(rig.reactor, a->op) != WEIR_ESTALE)
        sim_fault("an operation can be cancelled twice");
    sim_settle(a);
    sim.report->cancelled++;
    if (a->holder >= 0) sim_check_ended(a);
}

static void use_a_stale_session(void) {
    long known = sim.stale_count < SIM_STALE ? sim.stale_count : SIM_STALE;
    if (!known) return;
    weir_session session = sim.stale[sim_below(known)];
    weir_session_info info;
    int depth, which = (int)sim_below(4);
    int code = which < 2    ? weir_session_release(session)
               : which == 2 ? weir_session_begin(session, NULL, &depth, NULL)
                            : weir_session_inspect(session, &info, NULL);
    sim_trace("stale", code, 0);
    if (code <= 0) sim_fault("a stale session can be used");
}

static void move_clock(void) {
    static const int64_t scales[] = {
        1, WEIR__MS / 2, 3 * WEIR__MS, 30 * WEIR__MS, 300 * WEIR__MS, 5000 * WEIR__MS};
    int64_t delta = sim_below(scales[sim_below(sizeof scales / sizeof *scales)]);
    int64_t until = rig.clock.now + delta;
    sim_trace("clock", delta, 0);
    if (sim_chance(30)) rig.clock.now = until; /* nobody has dispatched for so long … */
    if (sim_chance(10)) return;                /* … and nobody does now */
    while (rig_hop(until) && !sim_failed()) sim_check();
}

static void harm(void) {
    weir__conn *conn = weir__fake_conn_at((size_t)sim_below((int64_t)weir__fake.live_count));
    static const weir__fake_kind runs[] = {WEIR__FAKE_OK, WEIR__FAKE_FAIL, WEIR__FAKE_LOSE,
                                           WEIR__FAKE_ROLLED_BACK, WEIR__FAKE_HANG};
    int64_t delay = sim_chance(50) ? 0 : sim_below(40 * WEIR__MS);
    int kind = (int)sim_below(4);
    sim_trace("harm", kind, delay);
    if (kind == 0)
        weir__fake_next_connect(sim_chance(70) ? WEIR__FAKE_FAIL : WEIR__FAKE_HANG, delay);
    else if (kind == 1)
        weir__fake_next_run(runs[sim_below(5)], sim_chance(30) ? "25006" : "XX000", delay);
    else if (conn && kind == 2)
        weir__fake_kill(conn);
    else if (conn && sim_chance(30))
        weir__fake_mute(conn);
}

/* The server goes, and no attempt to connect finds it; or it comes back. */
static void outage(void) {
    if (sim.outage_ends && rig.clock.now >= sim.outage_ends) {
        sim_trace("server back", 0, 0);
        weir__fake.connect_fail_permille = sim.usually;
        sim.outage_ends = 0;
    } else if (!sim.outage_ends && sim_chance(1)) {
        sim.outage_ends = rig.clock.now + sim_below(2000 * WEIR__MS) + 1;
        sim.usually = weir__fake.connect_fail_permille;
        weir__fake.connect_fail_permille = 1000;
        sim_trace("server gone", sim.outage_ends, 0);
        for (size_t i = 0; i < weir__fake.live_count; i++) weir__fake_kill(weir__fake_conn_at(i));
        for (int64_t hangs = sim_below(8); hangs; hangs--) weir__fake_next_connect(WEIR__FAKE_HANG, 0);
        sim.report->outages++;
    }
}

static void force(void) {
    static void (*const changes[])(weir_breaker *) = {weir_breaker_force_open, weir_breaker_force_close,
                                                      weir_breaker_disable,    weir_breaker_metrics_only,
                                                      weir_breaker_reset,      weir_breaker_reset};
    weir_breaker_role role = sim_chance(60) ? WEIR_BREAKER_QUERIES : WEIR_BREAKER_CONNECTS;
    int64_t which = sim_below(sizeof changes / sizeof *changes);
    sim_trace("force", which, role);
    changes[which](weir_pool_breaker(rig.pool, 0, role));
    sim.report->forced++;
}

/* The planted fault: a connection is lent past the breaker. */
static void let_in(void) {
    weir_session session;
    weir_op op = 0;
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    weir__breaker *query = weir__guard_of(rig.pool, WEIR_BREAKER_QUERIES);
    weir_breaker_state state = query->state;
    if (sim.report->planted || sim.closed || !weir__breaker_shut(query) || !rig.pool->counts[WEIR__IDLE])
        return;
    if (sim.shut != query->generation || rig.pool->waiting) return;
    query->state = WEIR_BREAKER_DISABLED;
    uint64_t granted = rig.pool->stats->checkouts_granted;
    int code = weir_pool_acquire(rig.pool, &checkout, NULL, &session, &op, NULL);
    query->state = state;
    if (code == WEIR_PENDING) weir_reactor_cancel(rig.reactor, op); /* those that are idle are asked first */
    sim_trace("let in", code, 0);
    sim.report->planted = rig.pool->stats->checkouts_granted != granted;
}

static void resize(void) {
    int min = (int)sim_below(4), max = min + (int)sim_below(4);
    if (!max) max = 1;
    int code = weir_pool_resize(rig.pool, min, max, NULL);
    sim_trace("resize", min, max);
    if (code != (sim.closed ? WEIR_ECLOSED : WEIR_OK)) sim_fault("resize gives %d", code);
}

void sim_close(int64_t grace) {
    weir_op op = 0;
    bool drain = sim_chance(50);
    int code = (drain ? weir_pool_drain : weir_pool_close)(rig.pool, grace, &sim.closed, &op, NULL);
    sim_trace(drain ? "drain" : "close", grace, code);
    sim.closed = true;
    if (code == WEIR_PENDING)
        sim.close_op = op;
    else if (code == WEIR_OK && weir__pool_total(rig.pool))
        sim_fault("close is done, and connections are left");
    if (!weir_pool_closed(rig.pool)) sim_fault("the pool is not closed");
}

int64_t sim_grace(void) {
    return sim_chance(30)   ? 0
           : sim_chance(30) ? WEIR_TIMEOUT_DEFAULT
           : sim_chance(30) ? -1
                            : 1 + sim_below(100);
}

void sim_step(void) {
    int64_t what = sim_below(100);
    sim_holder *h = sim_random_holder();
    if (sim.plan->breakers) outage();
    if (sim.plan->breakers && sim_chance(1)) force();
    if (sim.plan->let_in) let_in();
    if (sim_chance(2)) check_health();
    if (what < 20)
        acquire();
    else if (what < 30)
        execute();
    else if (what < 44 && h)
        session_execute(h);
    else if (what < 48 && h)
        session_begin(h);
    else if (what < 54 && h)
        session_end(h, sim_chance(60));
    else if (what < 66 && h)
        release(h);
    else if (what < 72)
        sim_cancel(sim_random_pending());
    else if (what < 90)
        move_clock();
    else if (what < 95)
        harm();
    else if (what < 97)
        use_a_stale_session();
    else if (what < 98)
        resize();
    else if (what < 99 && !sim.closed)
        sim_trace("expire", weir_pool_expire(rig.pool, NULL), 0);
    else if (sim.report->steps > 50 && sim_chance(20))
        sim_close(sim_grace());
}
