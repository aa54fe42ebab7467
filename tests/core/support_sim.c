#include "support_sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "support_sim_state.h"

enum { SIM_STEPS = 250 };

struct sim sim;

/* ---- chances, the trace, faults ---- */

int64_t sim_below(int64_t bound) { return weir__random_below(&sim.rng, bound); }
bool sim_chance(int percent) { return sim_below(100) < percent; }

void sim_trace(const char *what, int64_t a, int64_t b) {
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

void sim_fault(const char *format, ...) {
    if (sim.report->fault[0]) return;
    va_list args;
    va_start(args, format);
    int n = snprintf(sim.report->fault, sizeof sim.report->fault, "step %ld: ", sim.report->steps);
    vsnprintf(sim.report->fault + n, sizeof sim.report->fault - (size_t)n, format, args);
    va_end(args);
}
bool sim_failed(void) { return sim.report->fault[0] != '\0'; }

/* ---- a run ---- */

static int64_t some_time(int profile) {
    return profile == 0     ? 0
           : profile == 1   ? sim_below(3 * WEIR__MS)
           : sim_chance(50) ? 0
                            : sim_below(50 * WEIR__MS);
}

static void write_script(void) {
    int profile = (int)sim_below(3);
    bool calm = sim_chance(25);
    weir__fake.connect_max_ns = some_time(profile);
    weir__fake.run_max_ns = some_time(profile);
    weir__fake.reset_max_ns = some_time(profile);
    weir__fake.cancel_max_ns = some_time(profile);
    weir__fake.down_max_ns = some_time(profile);
    weir__fake.idle_death_max_ns = sim_below(100 * WEIR__MS);
    weir__fake.reset_permille = (int)sim_below(600);
    if (calm) return;
    weir__fake.connect_fail_permille = sim_chance(50) ? 0 : (int)sim_below(700);
    weir__fake.lost_idle_permille = sim_chance(50) ? 0 : (int)sim_below(100);
    weir__fake.lost_running_permille = (int)sim_below(60);
    weir__fake.error_permille = (int)sim_below(100);
    weir__fake.before_fail_permille = sim_chance(50) ? 0 : (int)sim_below(60);
    weir__fake.commit_rolled_back_permille = (int)sim_below(100);
    weir__fake.cancel_ignored_permille = sim_chance(50) ? 0 : (int)sim_below(300);
    weir__fake.reset_fail_permille = (int)sim_below(60);
}

static void choose_options(void) {
    weir_options *o = &sim.options;
    *o = rig_options();
    o->min_size = (int)sim_below(4);
    o->max_size = o->min_size + (int)sim_below(3);
    if (!o->max_size) o->max_size = 1;
    o->max_overflow = (int)sim_below(3);
    o->max_waiting = sim_chance(60) ? -1 : (int)sim_below(6);
    o->lifo = sim_chance(70);
    o->pre_ping = sim_chance(70);
    o->require = sim_chance(20);
    o->init_hook = sim_chance(25);
    o->max_lifetime_ms = sim_chance(50) ? -1 : 20 + sim_below(1000);
    o->idle_timeout_ms = sim_chance(50) ? -1 : 20 + sim_below(1000);
    o->connect_timeout_ms = 5 + sim_below(300);
    o->checkout_timeout_ms = sim_chance(20) ? -1 : 1 + sim_below(200);
    o->command_timeout_ms = sim_chance(20) ? -1 : 1 + sim_below(200);
    o->close_timeout_ms = 1 + sim_below(200);
    o->retry_min_ms = 1 + sim_below(50);
    o->retry_max_ms = o->retry_min_ms + sim_below(500);
}

static void choose_breakers(void) {
    weir_options *o = &sim.options;
    o->circuit_breaker = sim.plan->breakers;
    if (!sim.plan->breakers) return;
    o->circuit_hook = sim.plan->seed % 2;
    o->circuit_probe_interval_ms = 10 + sim_below(300);
    o->circuit.failure_threshold = sim_chance(20) ? -1 : 1 + (int)sim_below(8);
    o->circuit.failure_rate = sim_chance(50) ? -1 : 0.3;
    o->circuit.slow_call_rate = sim_chance(70) ? -1 : 0.5;
    o->circuit.slow_call_duration_ms = 1 + sim_below(50);
    o->circuit.window_calls = 1 + (int)sim_below(20);
    o->circuit.minimum_calls = 1 + (int)sim_below(20);
    o->circuit.recovery_timeout_ms = 10 + sim_below(sim_chance(50) ? 100 : 5000);
    o->circuit.slow_start = 1 + (int)sim_below(6);
    o->circuit.half_open_timeout_ms = 5 + sim_below(1000);
}

static void choose_checks(void) {
    weir_options *o = &sim.options;
    if (sim_chance(60)) o->health_check_interval_ms = 100 + sim_below(5000);
    if (sim_chance(60)) o->validate_after_ms = 1 + sim_below(300);
    /* only what hangs fails: a server that is always too slow would never be well */
    o->health_check_timeout_ms = weir__fake.run_max_ns / WEIR__MS + 3 + sim_below(300);
}

static void choose_overload(void) {
    weir_options *o = &sim.options;
    if (!sim.plan->overload) return;
    o->max_size += (int)sim_below(8);
    o->adaptive_size = true;
    o->queue_target_ms = 1 + sim_below(20);
    o->queue_interval_ms = 1 + sim_below(50);
    o->checkout_timeout_ms = 100 + sim_below(1000);
}

static void begin(const sim_plan *plan, sim_report *report) {
    *report = (sim_report){.hash = UINT64_C(14695981039346656037)};
    memset(&sim, 0, sizeof sim);
    sim.plan = plan;
    sim.report = report;
    sim.rng.state = plan->seed;
    rig_start(plan->seed ^ 1);
    if (!rig.reactor) sim_fault("no reactor");
    write_script();
    choose_options();
    choose_breakers();
    choose_checks();
    choose_overload();
    sim.limit = sim.options.max_size + sim.options.max_overflow;
    if (sim_failed()) return;
    if (plan->starve) weir__alloc_fail_at(1 + sim_below(80), false); /* opening takes some thirty */
    int code = rig_open(&sim.options, plan->seed ^ 2, &sim.opened, NULL);
    weir__alloc_fail_at(0, false);
    sim_trace("open", code, sim.options.min_size);
    if (code > 0 && !plan->starve) sim_fault("open gives %d", code);
    bool at_once = !sim.options.min_size && !sim.options.require;
    if (code <= 0 && (code == WEIR_OK) != at_once) sim_fault("open gives %d", code);
}

static void run_steps(void) {
    sim_drain();
    for (; sim.report->steps < SIM_STEPS && !sim_failed(); sim.report->steps++) {
        if (sim.plan->starve && sim_chance(40)) weir__alloc_fail_at(1 + sim_below(5), sim_chance(20));
        sim_step();
        if (sim_chance(80)) sim_drain();
        if (weir__alloc_count() > 0 && sim.plan->starve) sim.report->starved++;
        weir__alloc_fail_at(0, false);
        sim_check();
    }
}

/* What hangs, or may, and has no timeout. */
static void cancel_endless(void) {
    for (int i = 0; i < SIM_ASKS; i++) {
        sim_ask *a = &sim.asks[i];
        weir__op *op = a->pending ? weir__op_find(rig.reactor, a->op) : NULL;
        if (!op || op->state != WEIR__OP_PENDING || weir__timer_running(&op->timer)) continue;
        if (((weir__task *)op)->slot || (a->kind == WEIR_DONE_EXECUTE && !a->nonce)) sim_cancel(a);
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
    if (sim_queries()->state == WEIR_BREAKER_OPEN)
        sim.report->recovered++; /* by a probe, or by its timeout */
    if (sim_queries()->state == WEIR_BREAKER_FORCED_OPEN)
        weir_breaker_reset(weir_pool_breaker(rig.pool, 0, WEIR_BREAKER_QUERIES));
    weir_breaker *connects = weir_pool_breaker(rig.pool, 0, WEIR_BREAKER_CONNECTS);
    if (weir_breaker_state_now(connects) == WEIR_BREAKER_FORCED_OPEN) weir_breaker_reset(connects);
    do {
        cancel_endless();
        sim_drain();
        for (sim_holder *h; (h = sim_random_holder());) {
            sim_give_back(h, false);
            sim_drain();
        }
        sim_check();
    } while (!sim_failed() && rig_hop(until));
    if (rig.pool->waiting) sim_fault("%d callers wait for ever", rig.pool->waiting);
    weir__guard_state(rig.pool, WEIR_BREAKER_QUERIES); /* as of now */
    if (!sim.closed && !sim_failed() && weir__breaker_shut(sim_queries()))
        sim_fault("the breaker stays open although all is well");
    sim.report->refused += (long)rig.pool->stats->circuit_refused;
    sim.report->probes += (long)rig.pool->stats->probes_started;
    sim.report->checks += (long)rig.pool->stats->health_checks_passed;
    sim.report->overloads += (long)rig.pool->stats->overloads;
    sim.report->shed += (long)rig.pool->stats->checkouts_shed;
    cancel_endless();
    sim_drain();
    if (sim_random_pending()) sim_fault("an operation is never complete");
    if (!sim.closed && !sim_failed() && !sim.opened && sim.options.min_size)
        sim_fault("open is never complete");
}

static void finish(void) {
    if (!sim_failed()) sim_close(sim_grace());
    int64_t until = rig.clock.now + 60000 * WEIR__MS;
    for (sim_drain(); !sim_failed() && sim.close_op && rig_hop(until); sim_drain()) sim_check();
    sim_check();
    if (sim.close_op && !sim_failed()) sim_fault("close is never complete");
    if (!sim_failed() && rig.pool->counts[WEIR__EMPTY] != (int)rig.pool->slot_count)
        sim_fault("a slot is not empty");
}

void sim_run(const sim_plan *plan, sim_report *report) {
    begin(plan, report);
    if (rig.pool && !sim_failed()) {
        run_steps();
        if (!sim_failed()) recover();
        finish();
    }
    const char *why = rig_end();
    if (why) sim_fault("at the end: %s", why);
    sim_trace("end", weir__fake.created, weir__fake.executed);
}
