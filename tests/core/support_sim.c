#include "support_sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "support_pool.h"

enum { STEPS = 250, ASKS = 64, HOLDERS = 24, STALE = 16, SERVED = 16 };

/* An operation under way. Its address is its token. */
typedef struct ask {
    bool pending, waits; /* waits: taken with weir_reactor_wait */
    weir_op op;
    weir_completion_kind kind;
    int64_t nonce; /* what the answer must echo; 0: nothing */
    bool shares;   /* its statement may share a connection */
    long turn;     /* its place in the order of asking, while it is in line; 0: it is not */
    int holder;    /* whose it is; -1: the pool's */
} ask;

/* A connection that was lent to us. */
typedef struct holder {
    bool used, transaction;
    weir_session session;
    int busy, depth; /* busy: the ask that runs; -1 */
} holder;

static struct {
    const sim_plan *plan;
    sim_report *report;
    weir__rng rng;
    ask asks[ASKS];
    holder holders[HOLDERS];
    weir_session stale[STALE];
    long stale_count, turns;
    struct {
        long turn;
        uint64_t loan;
    } served[SERVED]; /* the last of them: loans are numbered as they are made */
    long served_count;
    int64_t nonces;
    bool closed, opened;
    weir_op close_op;
    weir_options options;
    long created;        /* the driver's, at the step before */
    int limit;           /* how many connections there may be */
    uint64_t shut;       /* the breaker's generation at the step before, when it let nobody in; else 0 */
    uint64_t granted;    /* … and how many had been let in */
    int64_t outage_ends; /* 0: there is none */
    int usually;         /* fails of a thousand attempts to connect without one */
} sim;

/* ---- chances, the trace, faults ---- */

static int64_t below(int64_t bound) { return weir__random_below(&sim.rng, bound); }
static bool chance(int percent) { return below(100) < percent; }

static void trace(const char *what, int64_t a, int64_t b) {
    uint64_t h = sim.report->hash;
    for (const char *c = what; *c; c++) h = (h ^ (unsigned char)*c) * UINT64_C(1099511628211);
    h = (h ^ (uint64_t)a) * UINT64_C(1099511628211);
    h = (h ^ (uint64_t)b) * UINT64_C(1099511628211);
    sim.report->hash = (h ^ (uint64_t)rig.clock.now) * UINT64_C(1099511628211);
    if (!sim.plan->print) return;
    printf("%4ld %12.6f ms  %-16s %lld %lld   ", sim.report->steps,
           (double)(rig.clock.now - 1000000 * WEIR__MS) / 1e6, what, (long long)a, (long long)b);
    for (int s = 0; rig.pool && s < WEIR__SLOT_STATES; s++)
        if (rig.pool->counts[s])
            printf(" %s=%d", weir__slot_state_name((weir__slot_state)s), rig.pool->counts[s]);
    if (rig.pool)
        printf(" waiting=%d\n", rig.pool->waiting);
    else
        printf("\n");
}

static void fault(const char *format, ...) WEIR_PRINTF(1, 2);
static void fault(const char *format, ...) {
    if (sim.report->fault[0]) return;
    va_list args;
    va_start(args, format);
    int n = snprintf(sim.report->fault, sizeof sim.report->fault, "step %ld: ", sim.report->steps);
    vsnprintf(sim.report->fault + n, sizeof sim.report->fault - (size_t)n, format, args);
    va_end(args);
}
static bool failed(void) { return sim.report->fault[0] != '\0'; }

/* ---- asks ---- */

static ask *new_ask(weir_completion_kind kind, int holder_index) {
    for (int i = 0; i < ASKS; i++) {
        ask *a = &sim.asks[i];
        if (a->pending) continue;
        *a = (ask){.kind = kind, .holder = holder_index, .waits = chance(25)};
        return a;
    }
    return NULL;
}

static int index_of(const ask *a) { return (int)(a - sim.asks); }
static void *token_of(ask *a) { return a->waits ? NULL : a; }

/* The ask is over, in whatever way. */
static void settle_ask(ask *a) {
    a->pending = false;
    a->turn = 0;
    if (a->holder >= 0 && sim.holders[a->holder].busy == index_of(a)) sim.holders[a->holder].busy = -1;
}

static void submitted(ask *a, int code, weir_op op, const char *what) {
    trace(what, code, (int64_t)op);
    if (code != WEIR_PENDING) return;
    if (!op) fault("%s is pending without an operation", what);
    a->op = op;
    a->pending = true;
    if (a->holder >= 0) sim.holders[a->holder].busy = index_of(a);
}

static ask *random_pending(void) {
    int start = (int)below(ASKS);
    for (int i = 0; i < ASKS; i++) {
        ask *a = &sim.asks[(start + i) % ASKS];
        if (a->pending) return a;
    }
    return NULL;
}

/* ---- holders ---- */

static holder *new_holder(weir_session session, bool transaction) {
    for (int i = 0; i < HOLDERS; i++) {
        if (sim.holders[i].used) continue;
        sim.holders[i] = (holder){.used = true, .transaction = transaction, .session = session, .busy = -1};
        if (chance(70)) weir_session_ready(session, NULL); /* the rest is set up for too long */
        return &sim.holders[i];
    }
    weir_session_release(session);
    return NULL;
}

static holder *random_holder(void) {
    int start = (int)below(HOLDERS);
    for (int i = 0; i < HOLDERS; i++) {
        holder *h = &sim.holders[(start + i) % HOLDERS];
        if (h->used) return h;
    }
    return NULL;
}

static bool is_live(weir_session session) {
    weir__slot *slot;
    return weir__session_find(session, &slot, NULL) == WEIR_OK;
}

/* Its operation still runs; one that is complete and not yet taken is in nobody's way. */
static bool is_busy(const holder *h) {
    weir__op *op = h->busy >= 0 ? weir__op_find(rig.reactor, sim.asks[h->busy].op) : NULL;
    return op && op->state == WEIR__OP_PENDING;
}

static void forget_holder(holder *h) {
    h->used = false;
    sim.stale[sim.stale_count++ % STALE] = h->session;
}

/* A refusal that means the end of the loan; anything else is a fault unless it is `allowed`. */
static bool has_ended(holder *h, int code, const char *what) {
    if (code == WEIR_ENOMEM && sim.plan->starve) return false;
    if (is_live(h->session)) {
        fault("%s on a live session gives %d", what, code);
        return false;
    }
    if (code != WEIR_ELOST && code != WEIR_ECLOSED && code != WEIR_ESESSIONTIMEOUT && code != WEIR_ESTALE &&
        code != WEIR_ENOMEM && code != WEIR_ECONNECT && code != WEIR_ECONNECTTIMEOUT &&
        code != WEIR_ECHECKOUTTIMEOUT && code != WEIR_ECOMMANDTIMEOUT)
        fault("%s on a session that has ended gives %d", what, code);
    forget_holder(h);
    return true;
}

/* ---- breakers ---- */

static const weir__breaker *queries(void) { return weir__guard_of(rig.pool, WEIR_BREAKER_QUERIES); }

/* ---- completions ---- */

static void check_answer(const ask *a, weir_completion *c) {
    weir_value value = {.type = WEIR_TYPE_NULL};
    if (!c->result) fault("a success without a result");
    if (!c->result || !a->nonce) return;
    int code = weir_result_value(c->result, 0, 0, &value);
    if (code != WEIR_OK || value.type != WEIR_TYPE_INT || value.as.integer != a->nonce)
        fault("an answer that belongs to another question");
}

static void check_ended(const ask *a) {
    holder *h = &sim.holders[a->holder];
    weir_session_info info;
    if (!h->used || weir_session_inspect(h->session, &info, NULL) != WEIR_OK) return;
    if (h->transaction && h->depth == 1 && info.depth == 0) h->depth = 0; /* it ended by itself */
    if (info.depth != h->depth) fault("the session is at depth %d, and not %d", info.depth, h->depth);
    if (info.busy && h->busy < 0) fault("a session is busy though its operation has ended");
}

/* Grants may be taken in any order, but were made in the order of asking. */
static void check_order(long turn, uint64_t loan) {
    if (rig.pool->stats->overloads) return; /* the newest first, by then */
    for (int i = 0; i < SERVED; i++)
        if (sim.served[i].turn && (sim.served[i].turn < turn) != (sim.served[i].loan < loan))
            fault("a caller was served before one who had asked earlier");
    sim.served[sim.served_count % SERVED].turn = turn;
    sim.served[sim.served_count++ % SERVED].loan = loan;
}

static void take(weir_completion *c, ask *a) {
    sim.report->completions++;
    trace("completion", c->kind, c->code);
    if (!a->pending || a->op != c->op || a->kind != c->kind) {
        fault("a completion (kind %d, code %d) that nobody waits for", (int)c->kind, c->code);
        return;
    }
    if (c->code < 0) fault("a completion with the code %d", c->code);
    if ((c->code != WEIR_OK) != (c->error != NULL)) fault("a code without an error, or the reverse");
    if (c->code && c->error && c->error->code != c->code && !sim.plan->starve)
        fault("the error's code is another");
    if (c->code && c->result) fault("an error with a result");
    if (a->kind == WEIR_DONE_HEALTH && (c->code || c->result))
        fault("a health check gives more than its end");
    long turn = a->turn;
    settle_ask(a);
    if (a->kind == WEIR_DONE_EXECUTE && c->code == WEIR_OK) check_answer(a, c);
    if (a->holder >= 0) check_ended(a);
    if (a->kind == WEIR_DONE_ACQUIRE && c->code == WEIR_OK) {
        sim.report->granted++;
        check_order(turn, c->session.loan);
        if (is_live(c->session)) new_holder(c->session, a->nonce != 0);
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
        trace("init", c->session.slot, 0);
        if (is_live(c->session)) new_holder(c->session, false);
    } else if (c->token == &sim.opened) {
        trace("opened", c->code, 0);
        if (c->kind != WEIR_DONE_OPEN || sim.opened) fault("a strange completion of open");
        sim.opened = true;
    } else if (c->token == &sim.closed) {
        trace("closed", c->code, 0);
        if (c->op == sim.close_op) sim.close_op = 0;
        if (weir__pool_total(rig.pool)) fault("close is complete, and connections are left");
    } else {
        take(c, c->token);
    }
    dispose(c);
}

static void drain(void) {
    weir_completion c;
    while (!failed() && weir_reactor_next(rig.reactor, &c)) take_next(&c);
    for (int i = 0; i < ASKS && !failed(); i++) {
        ask *a = &sim.asks[i];
        if (!a->pending || !a->waits) continue;
        int code = weir_reactor_wait(rig.reactor, a->op, 0, &c);
        for (weir_completion other; code == WEIR_EVENT && weir_reactor_next(rig.reactor, &other);) {
            take_next(&other); /* of what the one before has set going */
            code = weir_reactor_wait(rig.reactor, a->op, 0, &c);
        }
        if (code == WEIR_ETIMEOUT) continue;
        if (code == WEIR_EVENT) { /* it has sent what was held, and others are answered */
            drain();
            return;
        }
        if (code != WEIR_OK) fault("waiting for a pending operation gives %d", code);
        if (code != WEIR_OK) return;
        take(&c, a);
        dispose(&c);
    }
}

/* ---- what must hold ---- */

static void check_line(void) {
    long previous = 0, first = 0;
    for (weir__link *l = rig.pool->waiters.next; l != &rig.pool->waiters; l = l->next) {
        weir__op *op = weir__container(l, weir__op, link);
        ask *a = op->completion.token;
        for (int i = 0; !a && i < ASKS; i++)
            if (sim.asks[i].pending && sim.asks[i].op == op->completion.op) a = &sim.asks[i];
        if (!a) {
            fault("a stranger is in line");
            return;
        }
        if (a->turn <= previous) fault("the line is out of order");
        previous = a->turn;
        if (!first) first = a->turn;
    }
    if (rig.pool->stats->overloads) return;
    for (int i = 0; first && i < ASKS; i++) { /* nobody who runs has overtaken somebody who waits */
        ask *a = &sim.asks[i];
        if (!a->pending || a->turn <= first || a->holder >= 0 || a->shares) continue;
        weir__op *op = weir__op_find(rig.reactor, a->op);
        if (op && op->state == WEIR__OP_PENDING && ((weir__task *)op)->slot)
            fault("a statement has overtaken a waiter");
    }
}

static void check_numbers(void) {
    const weir_pool *pool = rig.pool;
    uint64_t out = (uint64_t)pool->counts[WEIR__LENT] + (uint64_t)pool->counts[WEIR__RUNNING];
    for (size_t i = 0; i < pool->slot_count; i++)
        if (pool->slots[i]->shared) out += (uint64_t)pool->slots[i]->live - 1;
    if (pool->stats->checkouts_granted != pool->stats->returned + out)
        fault("grants are not returns and loans");
    if (pool->stats->wait.count != pool->stats->checkouts_granted) fault("a wait was not measured");
    if (pool->stats->use.count != pool->stats->returned) fault("a use was not measured");
    if (pool->stats->connections_created < pool->stats->connections_closed) fault("more closed than created");
}

/* What the holder has open the server has open: nobody here begins or commits behind the pool's back. */
static void check_transactions(void) {
    for (size_t i = 0; i < rig.pool->slot_count; i++) {
        const weir__slot *slot = rig.pool->slots[i];
        if (!slot->loan || slot->flying || slot->news) continue;
        bool open = slot->conn->tx != WEIR__TX_NONE;
        if (slot->sent && !open) fault("a transaction that was begun is not open");
        bool wild = weir__fake.before_fail_permille > 0; /* the script may make a ROLLBACK fail */
        if (!slot->sent && open && !wild) fault("a transaction has been left open");
        if (weir__levels_alive(slot) > slot->depth) fault("more transactions begun than wanted");
    }
}

static uint64_t running(const weir__breaker *breaker) {
    const weir__breaker_totals *n = &breaker->totals;
    return n->calls_permitted - n->calls_succeeded - n->calls_failed - n->calls_ignored - n->calls_cancelled -
           n->calls_late;
}

static bool holds(const weir_permit *permit) { return permit->generation && !permit->probe; }

/* Failures that are to be judged by who takes their completions. */
static uint64_t unjudged(void) {
    uint64_t count = 0;
    for (int i = 0; i < ASKS; i++) {
        const weir__op *op = sim.asks[i].pending ? weir__op_find(rig.reactor, sim.asks[i].op) : NULL;
        const weir_failure *failure = op && op->state == WEIR__OP_DONE ? &op->completion.failure : NULL;
        count += failure && failure->pool && holds(&failure->permit);
    }
    return count;
}

/* Each permit is somebody's, and while the breaker is open nobody gets one. */
static void check_breakers(void) {
    const weir__breaker *query = queries();
    uint64_t calls = unjudged(), attempts = 0, granted = rig.pool->stats->checkouts_granted;
    for (size_t i = 0; i < rig.pool->slot_count; i++) {
        const weir__slot *slot = rig.pool->slots[i];
        attempts += holds(&slot->attempt);
        calls += holds(&slot->entry);
        for (const weir__link *l = slot->flights.next; l != &slot->flights; l = l->next) {
            const weir__task *task = weir__container(l, weir__flight, link)->task;
            calls += task && holds(&task->permit);
        }
        for (const weir__link *l = slot->queue.next; l != &slot->queue; l = l->next)
            calls += holds(&weir__container(l, weir__task, op.link)->permit);
    }
    if (running(query) != calls) fault("a permit for a call has been lost, or is in two places");
    if (running(weir__guard_of(rig.pool, WEIR_BREAKER_CONNECTS)) != attempts)
        fault("a permit to connect has been lost, or is in two places");
    if (sim.shut && sim.shut == query->generation && granted != sim.granted)
        fault("a call was let in while the breaker was open");
    sim.shut = weir__breaker_shut(query) ? query->generation : 0;
    sim.granted = granted;
}

/* The pool knows each connection of the driver's, and no other: one that is forgotten is the database's loss.
 */
static void check_connections(void) {
    size_t held = 0;
    for (size_t i = 0; i < rig.pool->slot_count; i++) held += rig.pool->slots[i]->conn != NULL;
    if (held != weir__fake.live_count)
        fault("the driver has %zu connections, and the pool %zu", weir__fake.live_count, held);
}

static void check(void) {
    if (failed() || !rig.pool) return;
    const char *why = rig_fault();
    if (why) fault("%s", why);
    check_connections();
    check_line();
    check_numbers();
    check_transactions();
    check_breakers();
    sim.report->limited += rig.pool->waiting && rig.pool->counts[WEIR__IDLE];
    int limit = rig.pool->max_size + rig.pool->config->options.max_overflow;
    int most = limit > sim.limit ? limit : sim.limit;
    if (weir__fake.created != sim.created && weir__pool_total(rig.pool) > most)
        fault("%d connections, and at most %d are allowed", weir__pool_total(rig.pool), most);
    sim.created = weir__fake.created;
    sim.limit = limit;
    for (int i = 0; i < ASKS; i++)
        if (sim.asks[i].pending && !weir__op_find(rig.reactor, sim.asks[i].op))
            fault("an operation has vanished");
}

/* ---- steps ---- */

static int64_t some_timeout(void) {
    return chance(50) ? WEIR_TIMEOUT_DEFAULT : chance(30) ? -1 : 1 + below(80);
}

static void acquire(void) {
    ask *a = new_ask(WEIR_DONE_ACQUIRE, -1);
    if (!a) return;
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.checkout_timeout_ms = some_timeout();
    if (chance(20)) checkout.session_timeout_ms = 1 + below(200);
    checkout.setup = chance(20);
    checkout.call = chance(20);
    checkout.transaction = chance(40);
    checkout.file = "simulation.c";
    checkout.function = "acquire";
    a->nonce = checkout.transaction; /* remembered for the holder */
    int waiting = rig.pool->waiting;
    weir_session session;
    weir_op op = 0;
    int code = weir_pool_acquire(rig.pool, &checkout, token_of(a), &session, &op, NULL);
    submitted(a, code, op, "acquire");
    if (code == WEIR_PENDING) a->turn = ++sim.turns;
    if (code == WEIR_OK && waiting) fault("a newcomer was served before %d waiters", waiting);
    if (code == WEIR_OK) {
        const weir__slot *slot = rig.pool->slots[session.slot];
        if (slot->generation != rig.pool->generation || slot->expires_at <= rig.clock.now)
            fault("a connection was lent that is too old");
        new_holder(session, checkout.transaction);
    }
    if (sim.closed && code != WEIR_ECLOSED) fault("acquire on a closed pool gives %d", code);
}

static weir_statement *some_statement(ask *a) {
    static const char *const others[] = {"hang",       "sleep 0",    "sleep 7", "sleep 300",
                                         "fail 23505", "fail 40001", "lose",    "rows 3"};
    static const char *const shared[] = {
        "echo shared", "echo shared",       "echo shared write", "sleep 7 shared",  "sleep 0 shared",
        "hang shared", "fail 23505 shared", "echo shared",       "sleep 50 shared", "lose shared"};
    a->shares = a->holder < 0 && chance(60);
    const char *sql = a->shares    ? shared[below(sizeof shared / sizeof *shared)]
                      : chance(65) ? "echo"
                                   : others[below(sizeof others / sizeof *others)];
    weir_statement *statement = weir_statement_new(sql, strlen(sql), NULL);
    if (statement && sql[0] == 'e') {
        weir_value value = {.type = WEIR_TYPE_INT, .as.integer = ++sim.nonces};
        weir_statement_add(statement, &value);
        a->nonce = sim.nonces;
    }
    return statement;
}

static void execute(void) {
    ask *a = new_ask(WEIR_DONE_EXECUTE, -1);
    weir_statement *statement = a ? some_statement(a) : NULL;
    if (!statement) return;
    weir_op op = 0;
    weir_run run = *FOR_MS(some_timeout());
    run.hold = chance(30); /* until the next dispatch */
    int code = weir_pool_execute(rig.pool, statement, &run, token_of(a), &op, NULL);
    weir_statement_unref(statement);
    submitted(a, code, op, "execute");
    if (code == WEIR_PENDING) a->turn = ++sim.turns;
    if (code == WEIR_OK) fault("execute is done at once");
    if (sim.closed && code != WEIR_ECLOSED && code != WEIR_ENOMEM)
        fault("execute on a closed pool gives %d", code);
}

static void check_health(void) {
    ask *a = new_ask(WEIR_DONE_HEALTH, -1);
    if (!a) return;
    weir_op op = 0;
    int code = weir_pool_check_health(rig.pool, some_timeout(), token_of(a), &op, NULL);
    submitted(a, code, op, "check health");
    if (code == WEIR_PENDING) a->turn = ++sim.turns;
    bool may = code <= 0 || (sim.closed && code == WEIR_ECLOSED) || (sim.plan->starve && code == WEIR_ENOMEM);
    if (!may) fault("a health check gives %d", code);
}

/* By the breaker, in a session. */
static bool may_be_refused(const holder *h) {
    const weir__slot *slot = rig.pool->slots[h->session.slot];
    return weir__breaker_shut(queries()) && !weir__levels_alive(slot);
}

static void session_execute(holder *h) {
    ask *a = new_ask(WEIR_DONE_EXECUTE, (int)(h - sim.holders));
    weir_statement *statement = a ? some_statement(a) : NULL;
    if (!statement) return;
    bool busy = is_busy(h);
    weir_op op = 0;
    int code = weir_session_execute(h->session, statement, FOR_MS(some_timeout()), token_of(a), &op, NULL);
    weir_statement_unref(statement);
    if (busy && code == WEIR_PENDING) fault("two operations on one session");
    submitted(a, code, op, "session execute");
    if (code == WEIR_PENDING && h->transaction && !h->depth) h->depth = 1;
    if (code == WEIR_ECIRCUITOPEN && !may_be_refused(h)) fault("a statement in a transaction was refused");
    if (code != WEIR_PENDING && code != WEIR_ECIRCUITOPEN && !(busy && code == WEIR_EBUSY))
        has_ended(h, code, "execute");
}

static void session_begin(holder *h) {
    static const weir_transaction serializable = {.isolation = "SERIALIZABLE", .readonly = true};
    int depth = -1;
    bool outermost = !h->depth && !h->transaction;
    int code = weir_session_begin(h->session, outermost && chance(50) ? &serializable : NULL, &depth, NULL);
    trace("begin", code, depth);
    if (code == WEIR_OK) {
        h->depth += h->depth || outermost ? 1 : 2;
        if (depth != h->depth) fault("begin gives depth %d, and not %d", depth, h->depth);
    } else if (!(code == WEIR_EBUSY && is_busy(h)) &&
               !(code == WEIR_ETRANSACTION && h->depth >= WEIR__DEPTH_MAX - 1)) {
        has_ended(h, code, "begin");
    }
}

static void session_end(holder *h, bool commit) {
    int depth = h->depth ? h->depth : 1;
    ask *a = new_ask(WEIR_DONE_END, (int)(h - sim.holders));
    if (!a) return;
    if (chance(5)) depth++; /* not the innermost */
    bool busy = is_busy(h);
    weir_op op = 0;
    int code = commit ? weir_session_commit(h->session, depth, token_of(a), &op, NULL)
                      : weir_session_rollback(h->session, depth, token_of(a), &op, NULL);
    bool wrong = depth != h->depth && !(h->transaction && depth == 1);
    if (busy ? code <= 0 : wrong && code <= 0) fault("an end that cannot be gives %d", code);
    submitted(a, code, op, commit ? "commit" : "rollback");
    if (code == WEIR_EBUSY && busy) return;
    bool ended = code == WEIR_ETRANSACTION && !wrong && commit; /* by a statement, before */
    if (code <= 0 || ended)
        h->depth -= h->depth > 0;
    else if (code > 0 && !(code == WEIR_ETRANSACTION && wrong))
        has_ended(h, code, "end");
}

static void give_back(holder *h, bool discard) {
    bool live = is_live(h->session);
    int code = discard ? weir_session_discard(h->session) : weir_session_release(h->session);
    trace(discard ? "discard" : "release", code, h->session.slot);
    if ((code == WEIR_OK) != live) fault("the return of a session gives %d", code);
    if (h->busy >= 0) sim.asks[h->busy].holder = -1; /* it is told, but the holder's place is another's */
    forget_holder(h);
}

/* The planted fault: the return is made behind the pool's back, and its settling forgotten. */
static bool lose_a_wake(holder *h) {
    weir__slot *slot;
    if (sim.report->planted || !rig.pool->waiting || !is_live(h->session)) return false;
    weir__enter(rig.reactor);
    weir__session_find(h->session, &slot, NULL);
    weir__session_return(slot, false);
    bool waits = slot->state == WEIR__IDLE && rig.pool->waiting;
    if (waits) weir__list_remove(&rig.pool->settle.link);
    weir__leave(rig.reactor);
    if (h->busy >= 0) sim.asks[h->busy].holder = -1;
    forget_holder(h);
    sim.report->planted = waits;
    trace("lost wake", waits, 0);
    return true;
}

static void release(holder *h) {
    if (sim.plan->lose_wake && lose_a_wake(h)) return;
    give_back(h, chance(15));
}

static void cancel(ask *a) {
    if (!a) return;
    int code = weir_reactor_cancel(rig.reactor, a->op);
    trace("cancel", code, (int64_t)a->op);
    if (code != WEIR_OK) fault("cancelling a pending operation gives %d", code);
    if (weir_reactor_cancel(rig.reactor, a->op) != WEIR_ESTALE) fault("an operation can be cancelled twice");
    settle_ask(a);
    sim.report->cancelled++;
    if (a->holder >= 0) check_ended(a);
}

static void use_a_stale_session(void) {
    long known = sim.stale_count < STALE ? sim.stale_count : STALE;
    if (!known) return;
    weir_session session = sim.stale[below(known)];
    weir_session_info info;
    int depth, which = (int)below(4);
    int code = which < 2    ? weir_session_release(session)
               : which == 2 ? weir_session_begin(session, NULL, &depth, NULL)
                            : weir_session_inspect(session, &info, NULL);
    trace("stale", code, 0);
    if (code <= 0) fault("a stale session can be used");
}

static void move_clock(void) {
    static const int64_t scales[] = {
        1, WEIR__MS / 2, 3 * WEIR__MS, 30 * WEIR__MS, 300 * WEIR__MS, 5000 * WEIR__MS};
    int64_t delta = below(scales[below(sizeof scales / sizeof *scales)]);
    int64_t until = rig.clock.now + delta;
    trace("clock", delta, 0);
    if (chance(30)) rig.clock.now = until; /* nobody has dispatched for so long … */
    if (chance(10)) return;                /* … and nobody does now */
    while (rig_hop(until) && !failed()) check();
}

static void harm(void) {
    weir__conn *conn = weir__fake_conn_at((size_t)below((int64_t)weir__fake.live_count));
    static const weir__fake_kind runs[] = {WEIR__FAKE_OK, WEIR__FAKE_FAIL, WEIR__FAKE_LOSE,
                                           WEIR__FAKE_ROLLED_BACK, WEIR__FAKE_HANG};
    int64_t delay = chance(50) ? 0 : below(40 * WEIR__MS);
    int kind = (int)below(4);
    trace("harm", kind, delay);
    if (kind == 0)
        weir__fake_next_connect(chance(70) ? WEIR__FAKE_FAIL : WEIR__FAKE_HANG, delay);
    else if (kind == 1)
        weir__fake_next_run(runs[below(5)], chance(30) ? "25006" : "XX000", delay);
    else if (conn && kind == 2)
        weir__fake_kill(conn);
    else if (conn && chance(30))
        weir__fake_mute(conn);
}

/* The server goes, and no attempt to connect finds it; or it comes back. */
static void outage(void) {
    if (sim.outage_ends && rig.clock.now >= sim.outage_ends) {
        trace("server back", 0, 0);
        weir__fake.connect_fail_permille = sim.usually;
        sim.outage_ends = 0;
    } else if (!sim.outage_ends && chance(1)) {
        sim.outage_ends = rig.clock.now + below(2000 * WEIR__MS) + 1;
        sim.usually = weir__fake.connect_fail_permille;
        weir__fake.connect_fail_permille = 1000;
        trace("server gone", sim.outage_ends, 0);
        for (size_t i = 0; i < weir__fake.live_count; i++) weir__fake_kill(weir__fake_conn_at(i));
        for (int64_t hangs = below(8); hangs; hangs--) weir__fake_next_connect(WEIR__FAKE_HANG, 0);
        sim.report->outages++;
    }
}

static void force(void) {
    static void (*const changes[])(weir_breaker *) = {weir_breaker_force_open, weir_breaker_force_close,
                                                      weir_breaker_disable,    weir_breaker_metrics_only,
                                                      weir_breaker_reset,      weir_breaker_reset};
    weir_breaker_role role = chance(60) ? WEIR_BREAKER_QUERIES : WEIR_BREAKER_CONNECTS;
    int64_t which = below(sizeof changes / sizeof *changes);
    trace("force", which, role);
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
    trace("let in", code, 0);
    sim.report->planted = rig.pool->stats->checkouts_granted != granted;
}

static void resize(void) {
    int min = (int)below(4), max = min + (int)below(4);
    if (!max) max = 1;
    int code = weir_pool_resize(rig.pool, min, max, NULL);
    trace("resize", min, max);
    if (code != (sim.closed ? WEIR_ECLOSED : WEIR_OK)) fault("resize gives %d", code);
}

static void close_pool(int64_t grace) {
    weir_op op = 0;
    bool drain = chance(50);
    int code = (drain ? weir_pool_drain : weir_pool_close)(rig.pool, grace, &sim.closed, &op, NULL);
    trace(drain ? "drain" : "close", grace, code);
    sim.closed = true;
    if (code == WEIR_PENDING)
        sim.close_op = op;
    else if (code == WEIR_OK && weir__pool_total(rig.pool))
        fault("close is done, and connections are left");
    if (!weir_pool_closed(rig.pool)) fault("the pool is not closed");
}

static int64_t some_grace(void) {
    return chance(30) ? 0 : chance(30) ? WEIR_TIMEOUT_DEFAULT : chance(30) ? -1 : 1 + below(100);
}

static void step(void) {
    int64_t what = below(100);
    holder *h = random_holder();
    if (sim.plan->breakers) outage();
    if (sim.plan->breakers && chance(1)) force();
    if (sim.plan->let_in) let_in();
    if (chance(2)) check_health();
    if (what < 20)
        acquire();
    else if (what < 30)
        execute();
    else if (what < 44 && h)
        session_execute(h);
    else if (what < 48 && h)
        session_begin(h);
    else if (what < 54 && h)
        session_end(h, chance(60));
    else if (what < 66 && h)
        release(h);
    else if (what < 72)
        cancel(random_pending());
    else if (what < 90)
        move_clock();
    else if (what < 95)
        harm();
    else if (what < 97)
        use_a_stale_session();
    else if (what < 98)
        resize();
    else if (what < 99 && !sim.closed)
        trace("expire", weir_pool_expire(rig.pool, NULL), 0);
    else if (sim.report->steps > 50 && chance(20))
        close_pool(some_grace());
}

/* ---- a run ---- */

static int64_t some_time(int profile) {
    return profile == 0 ? 0 : profile == 1 ? below(3 * WEIR__MS) : chance(50) ? 0 : below(50 * WEIR__MS);
}

static void write_script(void) {
    int profile = (int)below(3);
    bool calm = chance(25);
    weir__fake.connect_max_ns = some_time(profile);
    weir__fake.run_max_ns = some_time(profile);
    weir__fake.reset_max_ns = some_time(profile);
    weir__fake.cancel_max_ns = some_time(profile);
    weir__fake.down_max_ns = some_time(profile);
    weir__fake.idle_death_max_ns = below(100 * WEIR__MS);
    weir__fake.reset_permille = (int)below(600);
    if (calm) return;
    weir__fake.connect_fail_permille = chance(50) ? 0 : (int)below(700);
    weir__fake.lost_idle_permille = chance(50) ? 0 : (int)below(100);
    weir__fake.lost_running_permille = (int)below(60);
    weir__fake.error_permille = (int)below(100);
    weir__fake.before_fail_permille = chance(50) ? 0 : (int)below(60);
    weir__fake.commit_rolled_back_permille = (int)below(100);
    weir__fake.cancel_ignored_permille = chance(50) ? 0 : (int)below(300);
    weir__fake.reset_fail_permille = (int)below(60);
}

static void choose_options(void) {
    weir_options *o = &sim.options;
    *o = rig_options();
    o->min_size = (int)below(4);
    o->max_size = o->min_size + (int)below(3);
    if (!o->max_size) o->max_size = 1;
    o->max_overflow = (int)below(3);
    o->max_waiting = chance(60) ? -1 : (int)below(6);
    o->lifo = chance(70);
    o->pre_ping = chance(70);
    o->require = chance(20);
    o->init_hook = chance(25);
    o->max_lifetime_ms = chance(50) ? -1 : 20 + below(1000);
    o->idle_timeout_ms = chance(50) ? -1 : 20 + below(1000);
    o->connect_timeout_ms = 5 + below(300);
    o->checkout_timeout_ms = chance(20) ? -1 : 1 + below(200);
    o->command_timeout_ms = chance(20) ? -1 : 1 + below(200);
    o->close_timeout_ms = 1 + below(200);
    o->retry_min_ms = 1 + below(50);
    o->retry_max_ms = o->retry_min_ms + below(500);
}

static void choose_breakers(void) {
    weir_options *o = &sim.options;
    o->circuit_breaker = sim.plan->breakers;
    if (!sim.plan->breakers) return;
    o->circuit_hook = sim.plan->seed % 2;
    o->circuit_probe_interval_ms = 10 + below(300);
    o->circuit.failure_threshold = chance(20) ? -1 : 1 + (int)below(8);
    o->circuit.failure_rate = chance(50) ? -1 : 0.3;
    o->circuit.slow_call_rate = chance(70) ? -1 : 0.5;
    o->circuit.slow_call_duration_ms = 1 + below(50);
    o->circuit.window_calls = 1 + (int)below(20);
    o->circuit.minimum_calls = 1 + (int)below(20);
    o->circuit.recovery_timeout_ms = 10 + below(chance(50) ? 100 : 5000);
    o->circuit.slow_start = 1 + (int)below(6);
    o->circuit.half_open_timeout_ms = 5 + below(1000);
}

static void choose_checks(void) {
    weir_options *o = &sim.options;
    if (chance(60)) o->health_check_interval_ms = 100 + below(5000);
    if (chance(60)) o->validate_after_ms = 1 + below(300);
    /* only what hangs fails: a server that is always too slow would never be well */
    o->health_check_timeout_ms = weir__fake.run_max_ns / WEIR__MS + 3 + below(300);
}

static void choose_overload(void) {
    weir_options *o = &sim.options;
    if (!sim.plan->overload) return;
    o->max_size += (int)below(8);
    o->adaptive_size = true;
    o->queue_target_ms = 1 + below(20);
    o->queue_interval_ms = 1 + below(50);
    o->checkout_timeout_ms = 100 + below(1000);
}

static void begin(const sim_plan *plan, sim_report *report) {
    *report = (sim_report){.hash = UINT64_C(14695981039346656037)};
    memset(&sim, 0, sizeof sim);
    sim.plan = plan;
    sim.report = report;
    sim.rng.state = plan->seed;
    rig_start(plan->seed ^ 1);
    if (!rig.reactor) fault("no reactor");
    write_script();
    choose_options();
    choose_breakers();
    choose_checks();
    choose_overload();
    sim.limit = sim.options.max_size + sim.options.max_overflow;
    if (failed()) return;
    if (plan->starve) weir__alloc_fail_at(1 + below(80), false); /* opening takes some thirty */
    int code = rig_open(&sim.options, plan->seed ^ 2, &sim.opened, NULL);
    weir__alloc_fail_at(0, false);
    trace("open", code, sim.options.min_size);
    if (code > 0 && !plan->starve) fault("open gives %d", code);
    bool at_once = !sim.options.min_size && !sim.options.require;
    if (code <= 0 && (code == WEIR_OK) != at_once) fault("open gives %d", code);
}

static void run_steps(void) {
    drain();
    for (; sim.report->steps < STEPS && !failed(); sim.report->steps++) {
        if (sim.plan->starve && chance(40)) weir__alloc_fail_at(1 + below(5), chance(20));
        step();
        if (chance(80)) drain();
        if (weir__alloc_count() > 0 && sim.plan->starve) sim.report->starved++;
        weir__alloc_fail_at(0, false);
        check();
    }
}

/* What hangs, or may, and has no timeout. */
static void cancel_endless(void) {
    for (int i = 0; i < ASKS; i++) {
        ask *a = &sim.asks[i];
        weir__op *op = a->pending ? weir__op_find(rig.reactor, a->op) : NULL;
        if (!op || op->state != WEIR__OP_PENDING || weir__timer_running(&op->timer)) continue;
        if (((weir__task *)op)->slot || (a->kind == WEIR_DONE_EXECUTE && !a->nonce)) cancel(a);
    }
}

/* No more faults, no more holders: whoever waits must get what he waits for. */
static void recover(void) {
    int64_t until = rig.clock.now + 60000 * WEIR__MS;
    weir__rng rng = weir__fake.rng;
    long lost = weir__fake.lost;
    weir__fake.connect_fail_permille = weir__fake.lost_idle_permille = weir__fake.lost_running_permille = 0;
    weir__fake.connects.count = weir__fake.runs.count = 0;
    weir__fake.rng = rng;
    sim.report->lost = lost;
    if (queries()->state == WEIR_BREAKER_OPEN) sim.report->recovered++; /* by a probe, or by its timeout */
    if (queries()->state == WEIR_BREAKER_FORCED_OPEN)
        weir_breaker_reset(weir_pool_breaker(rig.pool, 0, WEIR_BREAKER_QUERIES));
    weir_breaker *connects = weir_pool_breaker(rig.pool, 0, WEIR_BREAKER_CONNECTS);
    if (weir_breaker_state_now(connects) == WEIR_BREAKER_FORCED_OPEN) weir_breaker_reset(connects);
    do {
        cancel_endless();
        drain();
        for (holder *h; (h = random_holder());) {
            give_back(h, false);
            drain();
        }
        check();
    } while (!failed() && rig_hop(until));
    if (rig.pool->waiting) fault("%d callers wait for ever", rig.pool->waiting);
    weir__guard_state(rig.pool, WEIR_BREAKER_QUERIES); /* as of now */
    if (!sim.closed && !failed() && weir__breaker_shut(queries()))
        fault("the breaker stays open although all is well");
    sim.report->refused += (long)rig.pool->stats->circuit_refused;
    sim.report->probes += (long)rig.pool->stats->probes_started;
    sim.report->checks += (long)rig.pool->stats->health_checks_passed;
    sim.report->overloads += (long)rig.pool->stats->overloads;
    sim.report->shed += (long)rig.pool->stats->checkouts_shed;
    cancel_endless();
    drain();
    if (random_pending()) fault("an operation is never complete");
    if (!sim.closed && !failed() && !sim.opened && sim.options.min_size) fault("open is never complete");
}

static void finish(void) {
    if (!failed()) close_pool(some_grace());
    int64_t until = rig.clock.now + 60000 * WEIR__MS;
    for (drain(); !failed() && sim.close_op && rig_hop(until); drain()) check();
    check();
    if (sim.close_op && !failed()) fault("close is never complete");
    if (!failed() && rig.pool->counts[WEIR__EMPTY] != (int)rig.pool->slot_count) fault("a slot is not empty");
}

void sim_run(const sim_plan *plan, sim_report *report) {
    begin(plan, report);
    if (rig.pool && !failed()) {
        run_steps();
        if (!failed()) recover();
        finish();
    }
    const char *why = rig_end();
    if (why) fault("at the end: %s", why);
    trace("end", weir__fake.created, weir__fake.executed);
}
