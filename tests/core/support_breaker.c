#include "support_breaker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "breaker/breaker.h"

enum { MOST = 256, STEPS = 48 }; /* MOST: of each kind of fact in a history */

/* ---- the specification: what has happened, in order */

typedef struct change {
    int64_t at, since; /* since: differs when a closed breaker was reset, and stayed closed */
    int64_t until;     /* open */
    weir_breaker_state state;
    bool fresh;  /* what was counted before is forgotten */
    bool proven; /* half-open: because a probe succeeded */
} change;

enum { RUNNING = -1, CANCELLED = 10, LATE = 11 }; /* beside the outcomes */

typedef struct call {
    int64_t at;
    int change, regrants; /* how many there had been of either */
    bool probe;
    int ended;
} call;

typedef struct ending {
    int64_t at;
    int change; /* under which the call was let in, and ended */
    bool probe, failed, slow;
    bool beside;                /* a probe, while calls were in: it makes no progress for them */
    weir_breaker_reason reason; /* what was exceeded after it */
} ending;

typedef struct model {
    weir_breaker_options options;
    uint64_t seed;
    change changes[MOST];
    call calls[MOST];
    ending endings[MOST];
    int64_t regrants[MOST]; /* when places were given anew */
    weir_breaker_event events[4 * MOST];
    int changed, called, ended, regranted, happened;
    uint64_t refused;
    int64_t failed_at;
    int64_t now;
} model;

static const change *current(const model *m) { return &m->changes[m->changed - 1]; }
static weir_breaker_state state_of(const model *m) { return current(m)->state; }
static bool is_counting(weir_breaker_state state) {
    return state == WEIR_BREAKER_CLOSED || state == WEIR_BREAKER_METRICS_ONLY;
}
static int64_t ns(int64_t ms) { return ms * WEIR__MS; }

static int last_fresh(const model *m) {
    int i = m->changed - 1;
    while (!m->changes[i].fresh) i--;
    return i;
}

/* Is it one of those that the numbers of the closed state are made of? */
static bool is_counted(const model *m, const ending *e) {
    return !e->probe && e->change == last_fresh(m) && is_counting(m->changes[e->change].state);
}

static int64_t failures_in_a_row(const model *m) {
    int64_t count = 0;
    for (int i = 0; i < m->ended; i++)
        if (is_counted(m, &m->endings[i])) count = m->endings[i].failed ? count + 1 : 0;
    return count;
}

static weir__tally window_of(const model *m) {
    weir__tally tally = {0, 0, 0};
    bool by_time = strcmp(m->options.window, "time") == 0;
    int fresh = last_fresh(m);
    int64_t at = fresh == m->changed - 1 ? m->now : m->changes[fresh + 1].at; /* left: as it was then */
    int64_t bucket = ns(m->options.window_time_ms) / 32;
    for (int i = m->ended - 1; i >= 0; i--) {
        const ending *e = &m->endings[i];
        if (!is_counted(m, e)) continue;
        if (by_time ? e->at / bucket <= at / bucket - 32 : tally.calls == m->options.window_calls) break;
        tally.calls++;
        tally.failures += e->failed;
        tally.slow += e->slow;
    }
    return tally;
}

static bool reaches(int64_t part, int64_t whole, double rate) {
    return rate >= 0 && whole > 0 && (double)part >= rate * (double)whole - 1e-9;
}

static weir_breaker_reason exceeded(const model *m) {
    const weir_breaker_options *o = &m->options;
    weir__tally window = window_of(m);
    int64_t minimum = o->minimum_calls;
    if (strcmp(o->window, "count") == 0 && minimum > o->window_calls) minimum = o->window_calls;
    if (o->failure_threshold >= 0 && failures_in_a_row(m) >= o->failure_threshold)
        return WEIR_BREAKER_REASON_FAILURES;
    if (window.calls < minimum) return WEIR_BREAKER_REASON_NONE;
    if (reaches(window.failures, window.calls, o->failure_rate)) return WEIR_BREAKER_REASON_FAILURE_RATE;
    if (reaches(window.slow, window.calls, o->slow_call_rate)) return WEIR_BREAKER_REASON_SLOW_CALL_RATE;
    return WEIR_BREAKER_REASON_NONE;
}

static int64_t openings(const model *m) {
    int64_t count = 0;
    for (int i = last_fresh(m); i < m->changed; i++) count += m->changes[i].state == WEIR_BREAKER_OPEN;
    return count;
}

/* ---- half-open */

static bool is_trial(const model *m, int change) {
    return state_of(m) == WEIR_BREAKER_HALF_OPEN && change == m->changed - 1;
}

static void stage_of(const model *m, int64_t *limit, int64_t *passed) {
    *limit = 1;
    *passed = 0;
    for (int i = 0; i < m->ended; i++) {
        if (!is_trial(m, m->endings[i].change) || m->endings[i].probe) continue;
        if (++*passed < *limit || *limit == m->options.slow_start) continue;
        *limit = *limit * 2 < m->options.slow_start ? *limit * 2 : m->options.slow_start;
        *passed = 0;
    }
}

static int64_t inside(const model *m) {
    int64_t count = 0;
    for (int i = 0; i < m->called; i++) {
        const call *c = &m->calls[i];
        count += is_trial(m, c->change) && !c->probe && c->ended == RUNNING && c->regrants == m->regranted;
    }
    return count;
}

static bool is_proven(const model *m) {
    bool proven = current(m)->proven;
    for (int i = 0; i < m->ended; i++) proven |= is_trial(m, m->endings[i].change) && !m->endings[i].failed;
    return proven;
}

static int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t progress(const model *m) {
    int64_t at = current(m)->at;
    for (int i = 0; i < m->regranted; i++) at = later(at, m->regrants[i]);
    for (int i = 0; i < m->called; i++)
        if (is_trial(m, m->calls[i].change) && !m->calls[i].probe) at = later(at, m->calls[i].at);
    for (int i = 0; i < m->ended; i++)
        if (is_trial(m, m->endings[i].change) && !m->endings[i].beside) at = later(at, m->endings[i].at);
    return at;
}

static int64_t due(const model *m) {
    if (state_of(m) == WEIR_BREAKER_OPEN) return current(m)->until;
    if (state_of(m) != WEIR_BREAKER_HALF_OPEN || (!inside(m) && !is_proven(m))) return WEIR__NEVER;
    return progress(m) + ns(m->options.half_open_timeout_ms);
}

/* ---- what happens */

static void happen(model *m, int64_t at, weir_breaker_event_kind kind, weir_breaker_state before,
                   weir_breaker_reason reason, int64_t duration) {
    weir_breaker_event event = {(uint64_t)m->happened + 1, at, kind, before, state_of(m), reason, duration};
    m->events[m->happened++] = event;
}

static void change_to(model *m, int64_t at, weir_breaker_state state, weir_breaker_reason reason) {
    weir_breaker_state before = state_of(m);
    bool fresh =
        state == WEIR_BREAKER_CLOSED || state == WEIR_BREAKER_DISABLED || state == WEIR_BREAKER_METRICS_ONLY;
    m->changes[m->changed++] = (change){.at = at, .since = at, .state = state, .fresh = fresh};
    happen(m, at, WEIR_BREAKER_EVENT_STATE, before, reason, -1);
}

static void open(model *m, int64_t at, weir_breaker_reason reason) {
    const weir_breaker_options *o = &m->options;
    change_to(m, at, WEIR_BREAKER_OPEN, reason);
    int64_t longest = later(o->recovery_timeout_ms, o->recovery_timeout_max_ms);
    int64_t timeout = o->recovery_timeout_ms;
    for (int64_t n = openings(m); n > 1; n--) timeout = timeout * 2 < longest ? timeout * 2 : longest;
    int64_t before = 0; /* how often chance was asked */
    for (int i = 0; i < m->changed - 1; i++) before += m->changes[i].state == WEIR_BREAKER_OPEN;
    weir__rng rng = {m->seed};
    int64_t bound = timeout * (int64_t)(o->recovery_jitter * 1e6 + 0.5), taken = 0;
    for (; before >= 0; before--) taken = bound ? (int64_t)(weir__random(&rng) % (uint64_t)bound) : 0;
    m->changes[m->changed - 1].until = at + ns(timeout) - taken;
}

static void recover(model *m, int64_t at, weir_breaker_reason reason) {
    int64_t trials = 0, slow = 0;
    for (int i = 0; i < m->ended; i++) {
        if (!is_trial(m, m->endings[i].change) || m->endings[i].probe) continue;
        trials++;
        slow += m->endings[i].slow;
    }
    if (reaches(slow, trials, m->options.slow_call_rate))
        open(m, at, WEIR_BREAKER_REASON_SLOW_CALL_RATE);
    else
        change_to(m, at, WEIR_BREAKER_CLOSED, reason);
}

static void let_time_pass(model *m, int64_t now) {
    int64_t at;
    while ((at = due(m)) <= now) {
        m->now = at;
        if (state_of(m) == WEIR_BREAKER_OPEN)
            change_to(m, at, WEIR_BREAKER_HALF_OPEN, WEIR_BREAKER_REASON_TIMEOUT);
        else if (inside(m))
            m->regrants[m->regranted++] = at;
        else
            recover(m, at, WEIR_BREAKER_REASON_QUIET);
    }
    m->now = now;
}

static void happen_call(model *m, weir_breaker_event_kind kind, int64_t duration) {
    if (m->options.call_events) happen(m, m->now, kind, state_of(m), WEIR_BREAKER_REASON_NONE, duration);
}

static bool is_full(const model *m) {
    int64_t limit, passed;
    stage_of(m, &limit, &passed);
    return state_of(m) == WEIR_BREAKER_HALF_OPEN && inside(m) >= limit;
}

static int64_t retry_after(const model *m) {
    if (state_of(m) == WEIR_BREAKER_OPEN) return (current(m)->until - m->now + WEIR__MS - 1) / WEIR__MS;
    if (!is_full(m)) return -1;
    int64_t left = (due(m) - m->now + WEIR__MS - 1) / WEIR__MS;
    return left < 1000 ? left : 1000;
}

static bool model_ask(model *m, bool probe) {
    weir_breaker_state state = state_of(m);
    bool no = state == WEIR_BREAKER_FORCED_OPEN || (!probe && (state == WEIR_BREAKER_OPEN || is_full(m)));
    if (no && !probe) {
        m->refused++;
        happen_call(m, WEIR_BREAKER_EVENT_REFUSED, -1);
    }
    if (no) return false;
    m->calls[m->called++] = (call){m->now, m->changed - 1, m->regranted, probe, RUNNING};
    return true;
}

static void trial_ended(model *m, bool failed) {
    int64_t limit, passed;
    stage_of(m, &limit, &passed);
    if (failed)
        open(m, m->now, WEIR_BREAKER_REASON_TRIAL_FAILED);
    else if (limit == m->options.slow_start && passed == limit)
        recover(m, m->now, WEIR_BREAKER_REASON_RECOVERED);
}

static void probe_ended(model *m, bool failed) {
    if (state_of(m) == WEIR_BREAKER_OPEN && !failed) {
        change_to(m, m->now, WEIR_BREAKER_HALF_OPEN, WEIR_BREAKER_REASON_PROBE_SUCCEEDED);
        m->changes[m->changed - 1].proven = true;
    } else if (state_of(m) == WEIR_BREAKER_HALF_OPEN && failed) {
        open(m, m->now, WEIR_BREAKER_REASON_PROBE_FAILED);
    }
}

static void counted_ended(model *m) {
    ending *last = &m->endings[m->ended - 1];
    weir_breaker_reason before = WEIR_BREAKER_REASON_NONE;
    for (int i = 0; i < m->ended - 1; i++)
        if (is_counted(m, &m->endings[i])) before = m->endings[i].reason;
    last->reason = exceeded(m);
    if (last->reason == WEIR_BREAKER_REASON_NONE) return;
    if (state_of(m) == WEIR_BREAKER_CLOSED)
        open(m, m->now, last->reason);
    else if (last->reason != before)
        happen(m, m->now, WEIR_BREAKER_EVENT_EXCEEDED, state_of(m), last->reason, -1);
}

static void model_end(model *m, int which, int how, int64_t duration) {
    call *c = &m->calls[which];
    if (c->change != m->changed - 1) {
        c->ended = LATE;
        return;
    }
    c->ended = how;
    if (duration < 0) duration = m->now - c->at;
    if (how == CANCELLED || how == WEIR_OUTCOME_IGNORED) {
        happen_call(m, WEIR_BREAKER_EVENT_IGNORED, duration);
        return;
    }
    bool failed = how == WEIR_OUTCOME_FAILURE, slow = duration >= ns(m->options.slow_call_duration_ms);
    if (failed) m->failed_at = m->now;
    happen_call(m, failed ? WEIR_BREAKER_EVENT_FAILURE : WEIR_BREAKER_EVENT_SUCCESS, duration);
    bool beside = c->probe && inside(m);
    m->endings[m->ended++] =
        (ending){m->now, c->change, c->probe, failed, slow && !c->probe, beside, WEIR_BREAKER_REASON_NONE};
    if (c->probe)
        probe_ended(m, failed);
    else if (state_of(m) == WEIR_BREAKER_HALF_OPEN)
        trial_ended(m, failed);
    else if (is_counting(state_of(m)))
        counted_ended(m);
}

static void model_force(model *m, weir_breaker_state state) {
    if (state_of(m) != state) change_to(m, m->now, state, WEIR_BREAKER_REASON_FORCED);
}

static void model_reset(model *m) {
    weir_breaker_state before = state_of(m);
    int64_t since = current(m)->since;
    if (before != WEIR_BREAKER_CLOSED)
        change_to(m, m->now, WEIR_BREAKER_CLOSED, WEIR_BREAKER_REASON_FORCED);
    else
        m->changes[m->changed++] =
            (change){.at = m->now, .since = since, .state = WEIR_BREAKER_CLOSED, .fresh = true};
    m->failed_at = -1;
    happen(m, m->now, WEIR_BREAKER_EVENT_RESET, before, WEIR_BREAKER_REASON_FORCED, -1);
}

static uint64_t count_calls(const model *m, int how) {
    uint64_t count = 0;
    for (int i = 0; i < m->called; i++) count += !m->calls[i].probe && m->calls[i].ended == how;
    return count;
}

static double over(int64_t part, int64_t whole) { return whole ? (double)part / (double)whole : 0; }

static void model_totals(const model *m, weir_breaker_snapshot *s) {
    s->running = (int64_t)count_calls(m, RUNNING);
    s->calls_succeeded = count_calls(m, WEIR_OUTCOME_SUCCESS);
    s->calls_failed = count_calls(m, WEIR_OUTCOME_FAILURE);
    s->calls_ignored = count_calls(m, WEIR_OUTCOME_IGNORED);
    s->calls_cancelled = count_calls(m, CANCELLED);
    s->calls_late = count_calls(m, LATE);
    s->calls_permitted = (uint64_t)s->running + s->calls_succeeded + s->calls_failed + s->calls_ignored +
                         s->calls_cancelled + s->calls_late;
    s->calls_refused = m->refused;
    for (int i = 0; i < m->ended; i++) {
        s->calls_slow += m->endings[i].slow;
        if (m->endings[i].probe) *(m->endings[i].failed ? &s->probes_failed : &s->probes_succeeded) += 1;
    }
    for (int i = 0; i < m->changed; i++) s->opened += m->changes[i].state == WEIR_BREAKER_OPEN;
}

static weir_breaker_snapshot model_snapshot(const model *m) {
    weir_breaker_snapshot s;
    weir__tally window = window_of(m);
    int64_t limit, passed;
    stage_of(m, &limit, &passed);
    bool half = state_of(m) == WEIR_BREAKER_HALF_OPEN;
    memset(&s, 0, sizeof s);
    s.state = state_of(m);
    strcpy(s.last_failure, m->failed_at < 0 ? "" : "unknown");
    s.consecutive_failures = failures_in_a_row(m);
    s.window_calls = window.calls;
    s.window_failures = window.failures;
    s.window_slow = window.slow;
    s.half_open_limit = half ? limit : 0;
    s.half_open_calls = inside(m);
    s.openings = openings(m);
    s.failure_rate = over(window.failures, window.calls);
    s.slow_call_rate = over(window.slow, window.calls);
    s.state_age_ms = (m->now - current(m)->since) / WEIR__MS;
    s.retry_after_ms = retry_after(m);
    s.last_failure_age_ms = m->failed_at < 0 ? -1 : (m->now - m->failed_at) / WEIR__MS;
    model_totals(m, &s);
    return s;
}

/* ---- a history */

typedef struct history {
    model m;
    weir__breaker *machine;
    weir__rng dice;
    weir_permit permits[MOST]; /* of the calls */
    uint64_t read;             /* the last event that was compared */
    int step;
    breaker_fault fault;
    bool trace;
    breaker_report *report;
} history;

static int64_t roll(history *h, int64_t from, int64_t to) {
    return from + weir__random_below(&h->dice, to - from + 1);
}
static bool chance(history *h, int percent) { return roll(h, 1, 100) <= percent; }

static void differ(history *h, const char *what, double machine, double spec) {
    if (h->report->fault[0]) return;
    snprintf(h->report->fault, sizeof h->report->fault, "step %d: %s is %g, and by the specification %g",
             h->step, what, machine, spec);
}

static void compare_numbers(history *h) {
    weir_breaker_snapshot machine, spec = model_snapshot(&h->m);
    weir_metric_info info;
    memset(&machine, 0, sizeof machine);
    weir__breaker_snapshot(h->machine, h->m.now, &machine);
    if (memcmp(&machine, &spec, offsetof(weir_breaker_snapshot, last_failure)) == 0 &&
        strcmp(machine.last_failure, spec.last_failure) == 0 &&
        memcmp(&machine.consecutive_failures, &spec.consecutive_failures,
               sizeof spec - offsetof(weir_breaker_snapshot, consecutive_failures)) == 0)
        return;
    if (machine.state != spec.state) differ(h, "state", machine.state, spec.state);
    if (strcmp(machine.last_failure, spec.last_failure) != 0) differ(h, "last_failure", 0, 1);
    for (size_t row = 0; weir_breaker_metric_table(row, &info); row++) {
        const void *a = (char *)&machine + info.offset, *b = (char *)&spec + info.offset;
        if (memcmp(a, b, 8) == 0) continue;
        if (info.kind == WEIR_METRIC_RATIO)
            differ(h, info.name, *(const double *)a, *(const double *)b);
        else
            differ(h, info.name, (double)*(const int64_t *)a, (double)*(const int64_t *)b);
    }
}

static void compare_events(history *h) {
    weir_breaker_event event;
    while (weir__breaker_next_event(h->machine, &h->read, &event)) {
        if (h->read > (uint64_t)h->m.happened) {
            differ(h, "number of events", (double)h->read, h->m.happened);
            return;
        }
        const weir_breaker_event *spec = &h->m.events[h->read - 1];
        if (event.number != spec->number)
            differ(h, "event.number", (double)event.number, (double)spec->number);
        if (event.kind != spec->kind) differ(h, "event.kind", event.kind, spec->kind);
        if (event.at_ns != spec->at_ns) differ(h, "event.at_ns", (double)event.at_ns, (double)spec->at_ns);
        if (event.before != spec->before) differ(h, "event.before", event.before, spec->before);
        if (event.state != spec->state) differ(h, "event.state", event.state, spec->state);
        if (event.reason != spec->reason) differ(h, "event.reason", event.reason, spec->reason);
        if (event.duration_ns != spec->duration_ns)
            differ(h, "event.duration_ns", (double)event.duration_ns, (double)spec->duration_ns);
    }
    if (h->read != (uint64_t)h->m.happened) differ(h, "number of events", (double)h->read, h->m.happened);
}

static void compare(history *h) {
    compare_numbers(h);
    compare_events(h);
    int64_t machine = weir__breaker_due(h->machine), spec = due(&h->m);
    if (machine != spec) differ(h, "due", (double)machine, (double)spec);
}

static void roll_options(history *h) {
    weir_breaker_options *o = &h->m.options;
    static const double rates[] = {-1, 0.25, 0.5, 0.6, 1}, jitters[] = {0, 0.1, 0.5, 1};
    weir_breaker_options_init(o);
    o->failure_threshold = chance(h, 25) ? -1 : (int)roll(h, 1, 5);
    o->failure_rate = rates[roll(h, 0, 4)];
    o->slow_call_rate = rates[roll(h, 0, 4)];
    o->slow_call_duration_ms = roll(h, 1, 10);
    o->window = chance(h, 50) ? "time" : "count";
    o->window_calls = (int)roll(h, 1, 8);
    o->window_time_ms = roll(h, 1, 60);
    o->minimum_calls = (int)roll(h, 1, 8);
    o->recovery_timeout_ms = roll(h, 1, 40);
    o->recovery_timeout_max_ms = roll(h, 1, 200);
    o->recovery_jitter = jitters[roll(h, 0, 3)];
    o->slow_start = (int)roll(h, 1, 6);
    o->half_open_timeout_ms = roll(h, 1, 30);
    o->call_events = chance(h, 30);
}

/* Faults that lie in a number; called once it is made, and after each step. */
static void plant(history *h) {
    weir__breaker *machine = h->machine;
    const weir_breaker_options *o = &h->m.options;
    if (h->fault == FAULT_THRESHOLD && o->failure_threshold > 0)
        machine->policy.failure_threshold = o->failure_threshold + 1;
    if (h->fault == FAULT_MINIMUM && h->step == 0) machine->policy.minimum_calls++;
    if (h->fault == FAULT_NO_GROWTH) machine->policy.recovery_max_ns = machine->policy.recovery_ns;
    if (h->fault == FAULT_WINDOW_KEPT) machine->window.bucket_ns = INT64_MAX;
    if (h->fault == FAULT_HANGS_FOREVER && machine->inside) machine->progress_ns = h->m.now;
}

static void pass_time(history *h) {
    int64_t now = h->m.now, at = due(&h->m);
    if (at != WEIR__NEVER && chance(h, 30))
        now = at - roll(h, 0, 1); /* the edge itself */
    else if (chance(h, 80))
        now += roll(h, 0, 5 * WEIR__MS);
    else
        now += roll(h, 0, 100 * WEIR__MS);
    if (h->trace) printf("%3d %12.6f ms: ", h->step, (double)now / (double)WEIR__MS);
    let_time_pass(&h->m, now);
}

static void step_ask(history *h, bool probe) {
    weir_permit permit = {0, 0, 0, false};
    weir_error error = WEIR_ERROR_INIT;
    bool text = chance(h, 5); /* making one takes longer than all the rest */
    int64_t retry = retry_after(&h->m);
    bool granted = model_ask(&h->m, probe);
    probe = probe && h->fault != FAULT_PROBE_TAKES_PLACE;
    int code = (probe ? weir__breaker_probe : weir__breaker_acquire)(h->machine, h->m.now, &permit,
                                                                     text ? &error : NULL);
    if (code != (granted ? WEIR_OK : WEIR_ECIRCUITOPEN))
        differ(h, "code of acquire", code, granted ? WEIR_OK : WEIR_ECIRCUITOPEN);
    if (text && !granted && error.retry_after_ms != retry)
        differ(h, "retry_after", (double)error.retry_after_ms, (double)retry);
    weir_error_clear(&error);
    if (granted) h->permits[h->m.called - 1] = permit;
    h->report->refused += !granted;
    if (h->trace) printf("%s: %s\n", probe ? "probe" : "acquire", granted ? "granted" : "refused");
}

static void step_end(history *h) {
    int running[MOST], count = 0;
    for (int i = 0; i < h->m.called; i++)
        if (h->m.calls[i].ended == RUNNING) running[count++] = i;
    if (!count) {
        step_ask(h, false);
        return;
    }
    int which = running[chance(h, 50) ? count - 1 : roll(h, 0, count - 1)];
    int64_t outcome = roll(h, 0, 99);
    int how = outcome < 50   ? WEIR_OUTCOME_SUCCESS
              : outcome < 85 ? WEIR_OUTCOME_FAILURE
              : outcome < 92 ? WEIR_OUTCOME_IGNORED
                             : CANCELLED;
    int64_t duration = chance(h, 50) ? -1 : roll(h, 0, 12) * WEIR__MS;
    weir_permit *permit = &h->permits[which], used = *permit;
    if (h->fault == FAULT_LATE_COUNTS) permit->generation = h->machine->generation;
    if (how == CANCELLED) duration = -1;
    model_end(&h->m, which, how, duration);
    if (how != CANCELLED)
        weir__breaker_record(h->machine, h->m.now, permit, (weir_outcome)how, duration, NULL);
    else if (h->fault == FAULT_PLACE_LOST && h->machine->inside && !used.probe) {
        weir__breaker_cancel(h->machine, h->m.now, permit);
        h->machine->inside++;
    } else
        weir__breaker_cancel(h->machine, h->m.now, permit);
    weir__breaker_record(h->machine, h->m.now, permit, WEIR_OUTCOME_FAILURE, 0, NULL); /* used up: nothing */
    h->report->late += h->m.calls[which].ended == LATE;
    if (h->trace)
        printf("call %d ends: %s%s\n", which,
               how == CANCELLED ? "cancelled"
               : how == 1       ? "failure"
               : how            ? "ignored"
                                : "success",
               h->m.calls[which].ended == LATE ? " (late)" : "");
}

static void step_force(history *h) {
    static const weir_breaker_state states[] = {WEIR_BREAKER_CLOSED,       WEIR_BREAKER_CLOSED,
                                                WEIR_BREAKER_FORCED_OPEN,  WEIR_BREAKER_DISABLED,
                                                WEIR_BREAKER_METRICS_ONLY, WEIR_BREAKER_METRICS_ONLY};
    int64_t which = roll(h, 0, 6);
    if (h->trace) printf("force %d\n", which == 6 ? -1 : (int)states[which]);
    if (which == 6) {
        model_reset(&h->m);
        weir__breaker_reset(h->machine, h->m.now);
    } else {
        model_force(&h->m, states[which]);
        weir__breaker_force(h->machine, h->m.now, states[which]);
    }
}

static void step(history *h) {
    pass_time(h);
    int64_t what = roll(h, 0, 99);
    if (what < 45)
        step_ask(h, false);
    else if (what < 52)
        step_ask(h, true);
    else if (what < 95)
        step_end(h);
    else if (what < 98)
        step_force(h);
    else {
        weir__breaker_tick(h->machine, h->m.now); /* somebody looks */
        if (h->trace) printf("tick\n");
    }
    if (h->trace) printf("%18s now %s\n", "", weir_breaker_state_name(state_of(&h->m)));
    plant(h);
    compare(h);
}

static void show_options(const weir_breaker_options *o) {
    printf(
        "threshold %d, rates %g %g, slow %lld ms, window %s %d %lld ms, minimum %d, recovery %lld..%lld ms "
        "-%g, slow start %d, half-open %lld ms\n",
        o->failure_threshold, o->failure_rate, o->slow_call_rate, (long long)o->slow_call_duration_ms,
        o->window, o->window_calls, (long long)o->window_time_ms, o->minimum_calls,
        (long long)o->recovery_timeout_ms, (long long)o->recovery_timeout_max_ms, o->recovery_jitter,
        o->slow_start, (long long)o->half_open_timeout_ms);
}

static void sum_up(history *h) {
    for (int i = 1; i < h->m.changed; i++) {
        h->report->opened += h->m.changes[i].state == WEIR_BREAKER_OPEN;
        h->report->half_opened += h->m.changes[i].state == WEIR_BREAKER_HALF_OPEN;
        h->report->closed += h->m.changes[i].state == WEIR_BREAKER_CLOSED;
    }
    for (int i = 0; i < h->m.happened; i++)
        h->report->exceeded += h->m.events[i].kind == WEIR_BREAKER_EVENT_EXCEEDED;
}

void breaker_history(uint64_t seed, breaker_fault fault, bool trace, breaker_report *report) {
    static history h; /* one at a time; what matters is set anew */
    memset(report, 0, sizeof *report);
    h.m.changed = h.m.called = h.m.ended = h.m.regranted = h.m.happened = 0;
    h.m.refused = h.read = 0;
    h.m.failed_at = -1;
    h.fault = fault;
    h.trace = trace;
    h.report = report;
    h.dice.state = seed;
    h.step = 0;
    roll_options(&h);
    if (trace) show_options(&h.m.options);
    h.m.seed = weir__random(&h.dice);
    h.m.now = roll(&h, 0, 1000 * WEIR__MS);
    h.m.changes[h.m.changed++] =
        (change){.at = h.m.now, .since = h.m.now, .state = WEIR_BREAKER_CLOSED, .fresh = true};
    h.machine = weir__breaker_new(&h.m.options, h.m.seed, h.m.now, NULL);
    if (!h.machine) abort();
    plant(&h);
    int64_t steps = roll(&h, 8, STEPS);
    for (h.step = 1; h.step <= steps && !report->fault[0]; h.step++) {
        step(&h);
        report->steps++;
    }
    sum_up(&h);
    weir__breaker_free(h.machine);
}
