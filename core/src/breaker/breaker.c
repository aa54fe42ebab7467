/*
 * The state machine. Every change of state goes through enter(), which begins a new generation: what is
 * recorded for a permit of an earlier one changes nothing.
 *
 *     closed --- failures, a rate ---> open --- its timeout, a probe's success ---> half-open ---> closed
 *                                       ^---------------- a failure ------------------'
 */
#include "breaker/breaker.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

#define PPM 1000000
#define HALF_OPEN_RETRY_MS 1000 /* nobody knows when one of the places comes free: soon */

/* ---- events */

static void emit(weir__breaker *breaker, int64_t now_ns, weir_breaker_event_kind kind,
                 weir_breaker_state before, weir_breaker_reason reason, int64_t duration_ns) {
    uint64_t number = atomic_load_explicit(&breaker->last_event, memory_order_relaxed) + 1;
    breaker->events[number % WEIR_BREAKER_EVENTS_KEPT] = (weir_breaker_event){
        number, now_ns, kind, before, breaker->state, reason, duration_ns,
    };
    atomic_store_explicit(&breaker->last_event, number, memory_order_relaxed);
}

static void emit_call(weir__breaker *breaker, int64_t now_ns, weir_breaker_event_kind kind,
                      int64_t duration_ns) {
    if (breaker->policy.call_events)
        emit(breaker, now_ns, kind, breaker->state, WEIR_BREAKER_REASON_NONE, duration_ns);
}

bool weir__breaker_next_event(const weir__breaker *breaker, uint64_t *after, weir_breaker_event *out) {
    uint64_t last = atomic_load_explicit(&breaker->last_event, memory_order_relaxed);
    if (*after >= last) return false;
    uint64_t number = *after + 1;
    if (last >= WEIR_BREAKER_EVENTS_KEPT && number <= last - WEIR_BREAKER_EVENTS_KEPT)
        number = last - WEIR_BREAKER_EVENTS_KEPT + 1;
    *out = breaker->events[number % WEIR_BREAKER_EVENTS_KEPT];
    *after = number;
    return true;
}

/* ---- changes of state */

static bool counts(weir_breaker_state state) {
    return state == WEIR_BREAKER_CLOSED || state == WEIR_BREAKER_METRICS_ONLY;
}

static void enter(weir__breaker *breaker, int64_t now_ns, weir_breaker_state state,
                  weir_breaker_reason reason) {
    weir_breaker_state before = breaker->state;
    if (counts(before)) weir__window_advance(&breaker->window, now_ns); /* as it was at the end */
    breaker->state = state;
    breaker->reason = state == WEIR_BREAKER_METRICS_ONLY ? WEIR_BREAKER_REASON_NONE : reason;
    breaker->generation++;
    breaker->since_ns = now_ns;
    breaker->limit = breaker->inside = 0;
    emit(breaker, now_ns, WEIR_BREAKER_EVENT_STATE, before, reason, -1);
}

/* Into a state where calls are counted, or are of no account. */
static void begin_anew(weir__breaker *breaker, int64_t now_ns, weir_breaker_state state,
                       weir_breaker_reason reason) {
    breaker->failures_in_a_row = 0;
    breaker->openings = 0;
    enter(breaker, now_ns, state, reason);
    weir__window_clear(&breaker->window);
    weir__window_advance(&breaker->window, now_ns);
}

static int64_t recovery_timeout(weir__breaker *breaker) {
    const weir__breaker_policy *policy = &breaker->policy;
    int64_t timeout = policy->recovery_ns;
    for (int64_t n = 1; n < breaker->openings && timeout < policy->recovery_max_ns; n++) timeout *= 2;
    if (timeout > policy->recovery_max_ns) timeout = policy->recovery_max_ns;
    int64_t jitter = timeout / PPM * policy->jitter_ppm;
    return timeout - weir__random_below(&breaker->rng, jitter);
}

static void open(weir__breaker *breaker, int64_t now_ns, weir_breaker_reason reason) {
    breaker->openings++;
    breaker->totals.opened++;
    breaker->until_ns = now_ns + recovery_timeout(breaker);
    enter(breaker, now_ns, WEIR_BREAKER_OPEN, reason);
}

static void half_open(weir__breaker *breaker, int64_t now_ns, weir_breaker_reason reason, bool proven) {
    enter(breaker, now_ns, WEIR_BREAKER_HALF_OPEN, reason);
    breaker->limit = 1;
    breaker->passed = breaker->trials = breaker->slow = 0;
    breaker->proven = proven;
    breaker->progress_ns = now_ns;
}

static bool reaches(int64_t part, int64_t whole, int64_t ppm) {
    return ppm >= 0 && whole > 0 && part * PPM >= whole * ppm;
}

/* The half-open state has done its work. */
static void recover(weir__breaker *breaker, int64_t now_ns, weir_breaker_reason reason) {
    if (reaches(breaker->slow, breaker->trials, breaker->policy.slow_ppm))
        open(breaker, now_ns, WEIR_BREAKER_REASON_SLOW_CALL_RATE);
    else
        begin_anew(breaker, now_ns, WEIR_BREAKER_CLOSED, reason);
}

int64_t weir__breaker_due(const weir__breaker *breaker) {
    if (breaker->state == WEIR_BREAKER_OPEN) return breaker->until_ns;
    if (breaker->state != WEIR_BREAKER_HALF_OPEN || (!breaker->inside && !breaker->proven))
        return WEIR__NEVER;
    return breaker->progress_ns + breaker->policy.half_open_ns;
}

void weir__breaker_tick(weir__breaker *breaker, int64_t now_ns) {
    int64_t due;
    if (weir__breaker_calm(breaker)) return;
    while ((due = weir__breaker_due(breaker)) <= now_ns) {
        if (breaker->state == WEIR_BREAKER_OPEN) {
            half_open(breaker, due, WEIR_BREAKER_REASON_TIMEOUT, false);
        } else if (breaker->inside) { /* they hang, or have been forgotten: others get their places */
            breaker->inside = 0;
            breaker->round++;
            breaker->progress_ns = due;
        } else {
            recover(breaker, due, WEIR_BREAKER_REASON_QUIET);
        }
    }
}

void weir__breaker_force(weir__breaker *breaker, int64_t now_ns, weir_breaker_state state) {
    weir__breaker_tick(breaker, now_ns);
    if (breaker->state == state) return;
    if (state == WEIR_BREAKER_FORCED_OPEN)
        enter(breaker, now_ns, state, WEIR_BREAKER_REASON_FORCED);
    else
        begin_anew(breaker, now_ns, state, WEIR_BREAKER_REASON_FORCED);
}

void weir__breaker_reset(weir__breaker *breaker, int64_t now_ns) {
    weir__breaker_tick(breaker, now_ns);
    weir_breaker_state before = breaker->state;
    if (before == WEIR_BREAKER_CLOSED) { /* nothing to tell but the reset */
        breaker->failures_in_a_row = 0;
        weir__window_clear(&breaker->window);
        breaker->generation++;
    } else {
        begin_anew(breaker, now_ns, WEIR_BREAKER_CLOSED, WEIR_BREAKER_REASON_FORCED);
    }
    breaker->failed_ns = -1;
    breaker->last_failure[0] = '\0';
    emit(breaker, now_ns, WEIR_BREAKER_EVENT_RESET, before, WEIR_BREAKER_REASON_FORCED, -1);
}

/* ---- letting calls in */

static int64_t retry_after_ms(const weir__breaker *breaker, int64_t now_ns) {
    if (breaker->state == WEIR_BREAKER_OPEN) /* rounded up: not a moment too soon */
        return (breaker->until_ns - now_ns + WEIR__MS - 1) / WEIR__MS;
    if (breaker->state != WEIR_BREAKER_HALF_OPEN || breaker->inside < breaker->limit) return -1;
    int64_t left = (weir__breaker_due(breaker) - now_ns + WEIR__MS - 1) / WEIR__MS;
    return left < HALF_OPEN_RETRY_MS ? left : HALF_OPEN_RETRY_MS;
}

static void say_why(const weir__breaker *breaker, char *out, size_t size) {
    long long limit = breaker->limit;
    switch (breaker->reason) {
    case WEIR_BREAKER_REASON_FAILURES:
        snprintf(out, size, "is open after %lld failures in a row", (long long)breaker->failures_in_a_row);
        return;
    case WEIR_BREAKER_REASON_FAILURE_RATE:
        snprintf(out, size, "is open after %lld failures in %lld calls",
                 (long long)breaker->window.sum.failures, (long long)breaker->window.sum.calls);
        return;
    case WEIR_BREAKER_REASON_SLOW_CALL_RATE:
        snprintf(out, size, "is open because calls were slow");
        return;
    case WEIR_BREAKER_REASON_TRIAL_FAILED:
    case WEIR_BREAKER_REASON_PROBE_FAILED:
        snprintf(out, size, "is open again: the last trial failed");
        return;
    default:
        if (breaker->state == WEIR_BREAKER_HALF_OPEN)
            snprintf(out, size, "is half-open, and lets in %lld call%s at a time", limit,
                     limit == 1 ? "" : "s");
        else
            snprintf(out, size, "was opened by hand");
    }
}

int weir__breaker_refusal(const weir__breaker *breaker, int64_t now_ns, weir_error *error) {
    if (!error) return WEIR_ECIRCUITOPEN;
    char why[96], message[400];
    say_why(breaker, why, sizeof why);
    snprintf(message, sizeof message, "the circuit breaker%s%s %s", breaker->name ? " " : "",
             breaker->name ? breaker->name : "", why);
    weir_error refusal = WEIR_ERROR_INIT;
    refusal.code = WEIR_ECIRCUITOPEN;
    refusal.retryable = true;
    refusal.message = message;
    refusal.detail = *breaker->last_failure ? breaker->last_failure : NULL;
    refusal.retry_after_ms = retry_after_ms(breaker, now_ns);
    return weir__error_copy(error, &refusal);
}

static void grant(const weir__breaker *breaker, int64_t now_ns, weir_permit *permit, bool probe) {
    *permit = (weir_permit){breaker->generation, now_ns, breaker->round, probe};
}

bool weir__breaker_admits(weir__breaker *breaker, int64_t now_ns) {
    if (weir__breaker_calm(breaker)) return true;
    weir__breaker_tick(breaker, now_ns);
    if (breaker->state == WEIR_BREAKER_HALF_OPEN) return breaker->inside < breaker->limit;
    return breaker->state != WEIR_BREAKER_OPEN && breaker->state != WEIR_BREAKER_FORCED_OPEN;
}

void weir__breaker_refused(weir__breaker *breaker, int64_t now_ns) {
    breaker->totals.calls_refused++;
    emit_call(breaker, now_ns, WEIR_BREAKER_EVENT_REFUSED, -1);
}

int weir__breaker_acquire(weir__breaker *breaker, int64_t now_ns, weir_permit *permit, weir_error *error) {
    if (!weir__breaker_admits(breaker, now_ns)) {
        weir__breaker_refused(breaker, now_ns);
        return weir__breaker_refusal(breaker, now_ns, error);
    }
    if (breaker->state == WEIR_BREAKER_HALF_OPEN) {
        breaker->inside++;
        breaker->progress_ns = now_ns;
    }
    breaker->totals.calls_permitted++;
    grant(breaker, now_ns, permit, false);
    return WEIR_OK;
}

int weir__breaker_probe(weir__breaker *breaker, int64_t now_ns, weir_permit *permit, weir_error *error) {
    weir__breaker_tick(breaker, now_ns);
    if (breaker->state == WEIR_BREAKER_FORCED_OPEN) return weir__breaker_refusal(breaker, now_ns, error);
    grant(breaker, now_ns, permit, true);
    return WEIR_OK;
}

/* ---- how calls end */

static weir_breaker_reason exceeded(const weir__breaker *breaker) {
    const weir__breaker_policy *policy = &breaker->policy;
    const weir__tally *sum = &breaker->window.sum;
    if (breaker->failures_in_a_row >= policy->failure_threshold) return WEIR_BREAKER_REASON_FAILURES;
    if (sum->calls < policy->minimum_calls) return WEIR_BREAKER_REASON_NONE;
    if (reaches(sum->failures, sum->calls, policy->failure_ppm)) return WEIR_BREAKER_REASON_FAILURE_RATE;
    if (reaches(sum->slow, sum->calls, policy->slow_ppm)) return WEIR_BREAKER_REASON_SLOW_CALL_RATE;
    return WEIR_BREAKER_REASON_NONE;
}

static void end_counted(weir__breaker *breaker, int64_t now_ns, bool failed, bool slow) {
    breaker->failures_in_a_row = failed ? breaker->failures_in_a_row + 1 : 0;
    weir__window_add(&breaker->window, now_ns, failed, slow);
    weir_breaker_reason reason = exceeded(breaker);
    if (breaker->state == WEIR_BREAKER_CLOSED) {
        if (reason != WEIR_BREAKER_REASON_NONE) open(breaker, now_ns, reason);
        return;
    }
    if (reason != WEIR_BREAKER_REASON_NONE && reason != breaker->reason)
        emit(breaker, now_ns, WEIR_BREAKER_EVENT_EXCEEDED, breaker->state, reason, -1);
    breaker->reason = reason;
}

/* A call in the half-open state, whose place has been given back. */
static void end_trial(weir__breaker *breaker, int64_t now_ns, bool failed, bool slow) {
    if (failed) {
        open(breaker, now_ns, WEIR_BREAKER_REASON_TRIAL_FAILED);
        return;
    }
    breaker->proven = true;
    breaker->progress_ns = now_ns;
    breaker->trials++;
    breaker->slow += slow;
    if (++breaker->passed < breaker->limit) return;
    if (breaker->limit >= breaker->policy.slow_start) {
        recover(breaker, now_ns, WEIR_BREAKER_REASON_RECOVERED);
        return;
    }
    breaker->passed = 0;
    breaker->limit *= 2;
    if (breaker->limit > breaker->policy.slow_start) breaker->limit = breaker->policy.slow_start;
}

static void end_probe(weir__breaker *breaker, int64_t now_ns, bool failed) {
    if (failed)
        breaker->totals.probes_failed++;
    else
        breaker->totals.probes_succeeded++;
    if (breaker->state == WEIR_BREAKER_OPEN && !failed) {
        half_open(breaker, now_ns, WEIR_BREAKER_REASON_PROBE_SUCCEEDED, true);
    } else if (breaker->state == WEIR_BREAKER_HALF_OPEN && failed) {
        open(breaker, now_ns, WEIR_BREAKER_REASON_PROBE_FAILED);
    } else if (breaker->state == WEIR_BREAKER_HALF_OPEN) {
        breaker->proven = true;
        if (!breaker->inside) breaker->progress_ns = now_ns; /* those who are in may be in for too long */
    }
}

/* Takes the permit; false: it has no effect any more. */
static bool take(weir__breaker *breaker, weir_permit *permit, weir_permit *taken) {
    *taken = *permit;
    *permit = (weir_permit){0, 0, 0, false};
    if (taken->generation != breaker->generation) {
        if (taken->generation && !taken->probe) breaker->totals.calls_late++;
        return false;
    }
    if (breaker->state == WEIR_BREAKER_HALF_OPEN && !taken->probe && taken->round == breaker->round)
        breaker->inside--;
    return true;
}

static void note_failure(weir__breaker *breaker, int64_t now_ns, const weir_error *error) {
    breaker->failed_ns = now_ns;
    weir__breaker_describe(error, breaker->last_failure, sizeof breaker->last_failure);
}

static void end(weir__breaker *breaker, int64_t now_ns, const weir_permit *permit, bool failed,
                int64_t duration_ns) {
    bool slow = duration_ns >= breaker->policy.slow_ns;
    emit_call(breaker, now_ns, failed ? WEIR_BREAKER_EVENT_FAILURE : WEIR_BREAKER_EVENT_SUCCESS, duration_ns);
    if (permit->probe) {
        end_probe(breaker, now_ns, failed);
        return;
    }
    breaker->totals.calls_slow += slow;
    if (failed)
        breaker->totals.calls_failed++;
    else
        breaker->totals.calls_succeeded++;
    if (breaker->state == WEIR_BREAKER_HALF_OPEN)
        end_trial(breaker, now_ns, failed, slow);
    else if (breaker->state != WEIR_BREAKER_DISABLED)
        end_counted(breaker, now_ns, failed, slow);
}

void weir__breaker_record(weir__breaker *breaker, int64_t now_ns, weir_permit *permit, weir_outcome outcome,
                          int64_t duration_ns, const weir_error *error) {
    weir_permit taken;
    weir__breaker_tick(breaker, now_ns);
    if (!take(breaker, permit, &taken)) return;
    if (duration_ns < 0) duration_ns = now_ns - taken.started_ns;
    if (outcome == WEIR_OUTCOME_IGNORED) {
        if (!taken.probe) breaker->totals.calls_ignored++;
        emit_call(breaker, now_ns, WEIR_BREAKER_EVENT_IGNORED, duration_ns);
        return;
    }
    bool failed = outcome == WEIR_OUTCOME_FAILURE;
    if (failed) note_failure(breaker, now_ns, error);
    end(breaker, now_ns, &taken, failed, duration_ns);
}

void weir__breaker_cancel(weir__breaker *breaker, int64_t now_ns, weir_permit *permit) {
    weir_permit taken;
    weir__breaker_tick(breaker, now_ns);
    if (!take(breaker, permit, &taken)) return;
    if (!taken.probe) breaker->totals.calls_cancelled++;
    emit_call(breaker, now_ns, WEIR_BREAKER_EVENT_IGNORED, now_ns - taken.started_ns);
}

/* ---- numbers */

static int64_t age_ms(int64_t now_ns, int64_t then_ns) {
    return then_ns < 0 ? -1 : now_ns < then_ns ? 0 : (now_ns - then_ns) / WEIR__MS;
}

static double rate(int64_t part, int64_t whole) { return whole ? (double)part / (double)whole : 0; }

void weir__breaker_snapshot(weir__breaker *breaker, int64_t now_ns, weir_breaker_snapshot *out) {
    weir__breaker_tick(breaker, now_ns);
    if (counts(breaker->state)) weir__window_advance(&breaker->window, now_ns);
    const weir__tally *sum = &breaker->window.sum;
    const weir__breaker_totals *totals = &breaker->totals;
    out->state = breaker->state;
    memcpy(out->last_failure, breaker->last_failure, sizeof out->last_failure);
    out->consecutive_failures = breaker->failures_in_a_row;
    out->window_calls = sum->calls;
    out->window_failures = sum->failures;
    out->window_slow = sum->slow;
    out->half_open_limit = breaker->limit;
    out->half_open_calls = breaker->inside;
    out->openings = breaker->openings;
    out->running = (int64_t)(totals->calls_permitted - totals->calls_succeeded - totals->calls_failed -
                             totals->calls_ignored - totals->calls_cancelled - totals->calls_late);
    out->failure_rate = rate(sum->failures, sum->calls);
    out->slow_call_rate = rate(sum->slow, sum->calls);
    out->state_age_ms = age_ms(now_ns, breaker->since_ns);
    out->retry_after_ms = retry_after_ms(breaker, now_ns);
    out->last_failure_age_ms = age_ms(now_ns, breaker->failed_ns);
#define COPY(name, text) out->name = totals->name;
    WEIR_BREAKER_COUNTERS(COPY)
#undef COPY
}
