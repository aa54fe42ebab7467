/* The circuit breaker: what each option does, on a clock of our own; and the public functions, with threads.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <weirpool/weirpool.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "breaker/breaker.h"
#include "config_assert.h"
#include "support_suite.h"

static weir_breaker_options options;
static weir__breaker *breaker;
static int64_t now; /* ns */

static void set_up(void) {
    now = 5000 * WEIR__MS;
    weir_breaker_options_init(&options);
    options.recovery_jitter = 0;
}

static void tear_down(void) {
    weir__breaker_free(breaker);
    breaker = NULL;
}

static void begin(void) {
    weir__breaker_free(breaker);
    breaker = weir__breaker_new(&options, 1, now, NULL);
    ck_assert_ptr_nonnull(breaker);
}

static void pass(int64_t ms) { now += ms * WEIR__MS; }

static weir_permit enter(void) {
    weir_permit permit;
    ck_assert_int_eq(weir__breaker_acquire(breaker, now, &permit, NULL), WEIR_OK);
    return permit;
}

static void leave(weir_permit permit, weir_outcome outcome) {
    weir__breaker_record(breaker, now, &permit, outcome, 0, NULL);
}

static void call(weir_outcome outcome) { leave(enter(), outcome); }
static void calls(int count, weir_outcome outcome) {
    while (count-- > 0) call(outcome);
}
static void slow_call(int64_t ms) {
    weir_permit permit = enter();
    weir__breaker_record(breaker, now, &permit, WEIR_OUTCOME_SUCCESS, ms * WEIR__MS, NULL);
}

/* Milliseconds until it may be asked again; -1: not known. */
static int64_t refused(void) {
    weir_permit permit;
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir__breaker_acquire(breaker, now, &permit, &error), WEIR_ECIRCUITOPEN);
    ck_assert_int_eq(error.code, WEIR_ECIRCUITOPEN);
    ck_assert(error.retryable);
    int64_t after = error.retry_after_ms;
    weir_error_clear(&error);
    return after;
}

static weir_breaker_state state(void) {
    weir__breaker_tick(breaker, now);
    return breaker->state;
}
#define IS(name) ck_assert_str_eq(weir_breaker_state_name(state()), name)

#define GOOD WEIR_OUTCOME_SUCCESS
#define BAD WEIR_OUTCOME_FAILURE

START_TEST(five_failures_in_a_row_open_it) {
    begin();
    calls(4, BAD);
    call(GOOD);
    calls(4, BAD);
    IS("closed");
    call(WEIR_OUTCOME_IGNORED);
    call(BAD);
    IS("open");
    ck_assert_int_eq(refused(), 60000);
    now += 1;
    ck_assert_int_eq(refused(), 60000); /* rounded up */
    pass(59999);
    ck_assert_int_eq(refused(), 1);
    pass(1);
    IS("half_open");
}
END_TEST

START_TEST(a_failure_rate_opens_it) {
    options.failure_threshold = -1;
    begin();
    for (int i = 0; i < 9; i++) call(BAD), call(GOOD);
    call(BAD);
    IS("closed"); /* 10 of 19, and 20 is the least that counts */
    call(GOOD);
    IS("open");
    ck_assert_int_eq(breaker->reason, WEIR_BREAKER_REASON_FAILURE_RATE);
    begin();
    for (int i = 0; i < 200; i++) call(i * 9 % 20 < 9 && i ? BAD : GOOD); /* 45 of 100 */
    IS("closed");
    options.failure_rate = -1;
    begin();
    calls(1000, BAD);
    IS("closed");
}
END_TEST

START_TEST(slow_calls_open_it) {
    options.slow_call_rate = 0.3;
    options.slow_call_duration_ms = 100;
    options.minimum_calls = 10;
    begin();
    for (int i = 0; i < 2; i++) slow_call(100);
    for (int i = 0; i < 8; i++) slow_call(99);
    IS("closed");
    slow_call(100);
    slow_call(100);
    IS("open");
    ck_assert_int_eq(breaker->reason, WEIR_BREAKER_REASON_SLOW_CALL_RATE);
    begin(); /* measured by the breaker itself */
    for (int i = 0; i < 10; i++) {
        weir_permit permit = enter();
        pass(100);
        weir__breaker_record(breaker, now, &permit, GOOD, -1, NULL);
    }
    IS("open");
}
END_TEST

START_TEST(a_window_by_time_forgets) {
    options.failure_threshold = -1;
    options.window = "time";
    options.window_time_ms = 3200;
    options.minimum_calls = 4;
    begin();
    calls(3, BAD);
    pass(3201);
    calls(3, BAD);
    IS("closed");
    pass(3000);
    call(BAD);
    IS("open");
}
END_TEST

static void recover(int limit) {
    weir_permit permits[64];
    for (int i = 0; i < limit; i++) permits[i] = enter();
    ck_assert_int_eq(refused(), 1000);
    IS("half_open");
    for (int i = 0; i < limit; i++) leave(permits[i], GOOD);
}

START_TEST(the_start_is_slow) {
    begin();
    calls(5, BAD);
    pass(60000);
    recover(1);
    recover(2);
    recover(4);
    IS("closed");
    options.slow_start = 6;
    begin();
    calls(5, BAD);
    pass(60000);
    recover(1);
    recover(2);
    recover(4);
    recover(6);
    IS("closed");
}
END_TEST

START_TEST(the_recovery_timeout_doubles) {
    static const int64_t timeouts[] = {60000, 120000, 240000, 480000, 600000, 600000};
    begin();
    calls(5, BAD);
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(refused(), timeouts[i]);
        pass(timeouts[i]);
        call(BAD);
        IS("open");
    }
    pass(600000);
    calls(7, GOOD);
    IS("closed");
    calls(5, BAD);
    ck_assert_int_eq(refused(), 60000);   /* from the beginning */
    options.recovery_timeout_ms = 700000; /* above the default of its maximum */
    begin();
    calls(5, BAD);
    ck_assert_int_eq(refused(), 700000);
    pass(700000);
    call(BAD);
    ck_assert_int_eq(refused(), 700000);
}
END_TEST

START_TEST(jitter_only_shortens) {
    int64_t least = INT64_MAX, most = 0;
    options.recovery_jitter = 0.1;
    for (uint64_t seed = 0; seed < 500; seed++) {
        weir__breaker_free(breaker);
        breaker = weir__breaker_new(&options, seed, now, NULL);
        calls(5, BAD);
        int64_t after = refused();
        if (after < least) least = after;
        if (after > most) most = after;
    }
    ck_assert(least >= 54000 && least < 54600);
    ck_assert(most <= 60000 && most > 59400);
}
END_TEST

START_TEST(a_probe_goes_before_the_users) {
    weir_permit probe, other;
    begin();
    calls(5, BAD);
    for (int i = 0; i < 10; i++) { /* failed probes put nothing off */
        pass(1000);
        ck_assert_int_eq(weir__breaker_probe(breaker, now, &probe, NULL), WEIR_OK);
        leave(probe, BAD);
    }
    ck_assert_int_eq(refused(), 50000);
    ck_assert_int_eq(weir__breaker_probe(breaker, now, &probe, NULL), WEIR_OK);
    leave(probe, GOOD);
    IS("half_open");
    recover(1);
    ck_assert_int_eq(weir__breaker_probe(breaker, now, &probe, NULL), WEIR_OK);
    other = enter();
    leave(other, GOOD);
    leave(probe, BAD);
    IS("open");
    ck_assert_int_eq(refused(), 120000);
    weir__breaker_force(breaker, now, WEIR_BREAKER_FORCED_OPEN);
    ck_assert_int_eq(weir__breaker_probe(breaker, now, &probe, NULL), WEIR_ECIRCUITOPEN);
}
END_TEST

START_TEST(without_traffic_it_closes_when_a_probe_has_succeeded) {
    weir_permit probe;
    begin();
    calls(5, BAD);
    ck_assert_int_eq(weir__breaker_probe(breaker, now, &probe, NULL), WEIR_OK);
    leave(probe, GOOD);
    ck_assert_int_eq(weir__breaker_due(breaker), now + 30000 * WEIR__MS);
    pass(29999);
    IS("half_open");
    pass(1);
    IS("closed");
    calls(5, BAD); /* but not on the strength of the timeout alone */
    pass(60000);
    IS("half_open");
    pass(1000000);
    IS("half_open");
    call(GOOD);
    pass(30000);
    IS("closed");
}
END_TEST

START_TEST(a_place_that_is_never_given_back) {
    begin();
    calls(5, BAD);
    pass(60000);
    weir_permit lost = enter();
    ck_assert_int_eq(refused(), 1000);
    pass(29500);
    ck_assert_int_eq(refused(), 500);
    pass(500);
    weir_permit other = enter(); /* the place is his now */
    leave(lost, GOOD);           /* late, yet a call that succeeded */
    ck_assert_int_eq(breaker->limit, 2);
    ck_assert_int_eq(breaker->inside, 1);
    weir__breaker_cancel(breaker, now, &other);
    ck_assert_int_eq(breaker->inside, 0);
}
END_TEST

START_TEST(a_cancelled_call_gives_its_place_back) {
    begin();
    calls(5, BAD);
    pass(60000);
    for (int i = 0; i < 20; i++) {
        weir_permit permit = enter();
        refused();
        if (i % 2)
            weir__breaker_cancel(breaker, now, &permit);
        else
            weir__breaker_record(breaker, now, &permit, WEIR_OUTCOME_IGNORED, 0, NULL);
        weir__breaker_cancel(breaker, now, &permit); /* a second time: nothing */
    }
    ck_assert_int_eq(breaker->limit, 1);
    ck_assert_int_eq(breaker->inside, 0);
    recover(1);
}
END_TEST

START_TEST(late_calls_count_nothing) {
    begin();
    weir_permit early = enter(), second = enter();
    calls(5, BAD);
    leave(early, GOOD);
    pass(60000);
    weir_permit trial = enter();
    leave(second, BAD);
    IS("half_open");
    leave(trial, GOOD);
    ck_assert_int_eq(breaker->limit, 2);
    ck_assert_uint_eq(breaker->totals.calls_late, 2);
    weir_permit none = {0};
    leave(none, BAD);
    ck_assert_uint_eq(breaker->totals.calls_late, 2);
}
END_TEST

START_TEST(states_by_hand) {
    begin();
    weir__breaker_force(breaker, now, WEIR_BREAKER_FORCED_OPEN);
    pass(100000000);
    ck_assert_int_eq(refused(), -1);
    weir__breaker_force(breaker, now, WEIR_BREAKER_DISABLED);
    calls(1000, BAD);
    IS("disabled");
    ck_assert_int_eq(breaker->window.sum.calls, 0);
    weir__breaker_force(breaker, now, WEIR_BREAKER_METRICS_ONLY);
    uint64_t before = breaker->last_event;
    calls(1000, BAD);
    IS("metrics_only");
    ck_assert_int_eq(breaker->failures_in_a_row, 1000);
    ck_assert_uint_eq(breaker->last_event, before + 1); /* told once, not a thousand times */
    ck_assert_int_eq(breaker->events[(before + 1) % WEIR_BREAKER_EVENTS_KEPT].kind,
                     WEIR_BREAKER_EVENT_EXCEEDED);
    weir__breaker_force(breaker, now, WEIR_BREAKER_CLOSED);
    IS("closed");
    ck_assert_int_eq(breaker->failures_in_a_row, 0);
    calls(4, BAD);
    weir__breaker_reset(breaker, now);
    calls(4, BAD);
    IS("closed");
}
END_TEST

START_TEST(events_are_kept_in_a_ring) {
    weir_breaker_event event;
    uint64_t after = 0, slow_reader = 0;
    options.call_events = true;
    begin();
    ck_assert(!weir__breaker_next_event(breaker, &after, &event));
    calls(5, BAD);
    refused();
    static const char *const kinds[] = {"failure", "failure", "failure", "failure",
                                        "failure", "state",   "refused"};
    for (uint64_t i = 0; i < 7; i++) {
        ck_assert(weir__breaker_next_event(breaker, &after, &event));
        ck_assert_str_eq(weir_breaker_event_name(event.kind), kinds[i]);
        ck_assert_uint_eq(event.number, i + 1);
        ck_assert_int_eq(event.at_ns, now);
    }
    ck_assert(!weir__breaker_next_event(breaker, &after, &event));
    for (int i = 0; i < 100; i++) refused();
    ck_assert(weir__breaker_next_event(breaker, &slow_reader, &event));
    ck_assert_uint_eq(event.number, 107 - WEIR_BREAKER_EVENTS_KEPT + 1);
    ck_assert_uint_eq(slow_reader, event.number);
    int left = 0;
    while (weir__breaker_next_event(breaker, &slow_reader, &event)) left++;
    ck_assert_int_eq(left, WEIR_BREAKER_EVENTS_KEPT - 1);
    ck_assert_uint_eq(slow_reader, 107);
}
END_TEST

/* ---- what is a failure */

static const char *outcome_of(int code, const char *sqlstate) {
    static const char *const names[] = {"success", "failure", "ignored"};
    weir_error error = WEIR_ERROR_INIT;
    if (sqlstate)
        weir__fail_report(&error, &(weir__report){.sqlstate = sqlstate, .message = "as the server says"});
    else
        weir__fail(&error, code, "as the pool says");
    if (code) error.code = code;
    weir_outcome outcome = weir__breaker_classify(breaker, &error, WEIR_VERDICT_NONE);
    weir_error_clear(&error);
    return names[outcome];
}

START_TEST(what_is_a_failure) {
    static const struct {
        int code;
        const char *sqlstate, *outcome;
    } rows[] = {
        {WEIR_ECONNECT, NULL, "failure"},
        {WEIR_ECONNECT, "28P01", "failure"},
        {WEIR_ELOST, NULL, "failure"},
        {WEIR_EOUTCOME, NULL, "failure"},
        {WEIR_EOUTCOMETIMEOUT, NULL, "failure"},
        {WEIR_ECONNECTTIMEOUT, NULL, "failure"},
        {WEIR_ECHECKOUTTIMEOUT, NULL, "failure"},
        {WEIR_ECOMMANDTIMEOUT, "57014", "failure"},
        {WEIR_ELOCKTIMEOUT, "55P03", "success"},
        {WEIR_ESESSIONTIMEOUT, NULL, "ignored"},
        {WEIR_ECANCELLED, NULL, "ignored"},
        {WEIR_EQUEUEFULL, NULL, "ignored"},
        {WEIR_EINVAL, NULL, "ignored"},
        {WEIR_ECLOSED, NULL, "ignored"},
        {WEIR_ENOMEM, NULL, "ignored"},
        {WEIR_EVALUE, NULL, "ignored"},
        {WEIR_ECIRCUITOPEN, NULL, "ignored"},
        {WEIR_ECONNECTCIRCUITOPEN, "57P03", "ignored"},
        {WEIR_EROLLEDBACK, NULL, "success"},
        {0, "08006", "failure"},
        {0, "08P01", "failure"},
        {0, "53300", "failure"},
        {0, "53200", "failure"},
        {0, "57P01", "failure"},
        {0, "57P02", "failure"},
        {0, "57P03", "failure"},
        {0, "58030", "failure"},
        {0, "XX000", "failure"},
        {0, "57014", "ignored"},
        {0, "23505", "success"},
        {0, "42601", "success"},
        {0, "42P01", "success"},
        {0, "22012", "success"},
        {0, "40001", "success"},
        {0, "25006", "success"},
        {0, "P0001", "success"},
        {0, "ZZZZZ", "success"},
    };
    begin();
    for (int i = 0; i < COUNT_OF(rows); i++)
        ck_assert_msg(strcmp(outcome_of(rows[i].code, rows[i].sqlstate), rows[i].outcome) == 0, "%d %s is %s",
                      rows[i].code, rows[i].sqlstate, outcome_of(rows[i].code, rows[i].sqlstate));
    weir_error none = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir__breaker_classify(breaker, NULL, WEIR_VERDICT_NONE), GOOD);
    ck_assert_int_eq(weir__breaker_classify(breaker, &none, WEIR_VERDICT_NONE), GOOD);
}
END_TEST

/* The lists, and what the host's predicates say; its own errors have no code. */
START_TEST(verdicts_change_what_is_a_failure) {
    static const struct {
        const char *ignore, *record, *sqlstate;
        weir_outcome outcome[3]; /* by verdict: none, record, ignore */
    } rows[] = {
        {NULL, NULL, "23505", {GOOD, BAD, WEIR_OUTCOME_IGNORED}},
        {NULL, "23", "23505", {BAD, BAD, WEIR_OUTCOME_IGNORED}},
        {"23", NULL, "23505", {WEIR_OUTCOME_IGNORED, WEIR_OUTCOME_IGNORED, WEIR_OUTCOME_IGNORED}},
        {NULL, NULL, "08006", {BAD, BAD, WEIR_OUTCOME_IGNORED}},
        {"23", "23", NULL, {BAD, BAD, WEIR_OUTCOME_IGNORED}},
    };
    for (int i = 0; i < COUNT_OF(rows); i++) {
        options.ignore = rows[i].ignore;
        options.record = rows[i].record;
        begin();
        weir_error error = WEIR_ERROR_INIT;
        error.code = rows[i].sqlstate ? WEIR_ESERVER : WEIR_OK;
        error.message = "an error";
        if (rows[i].sqlstate) strcpy(error.sqlstate, rows[i].sqlstate);
        for (int verdict = WEIR_VERDICT_NONE; verdict <= WEIR_VERDICT_IGNORE; verdict++)
            ck_assert_int_eq(weir__breaker_classify(breaker, &error, (weir_verdict)verdict),
                             rows[i].outcome[verdict]);
    }
}
END_TEST

START_TEST(lists_change_what_is_a_failure) {
    options.record = "23505,OperationalError , 40";
    options.ignore = " 08, LockTimeout,57P03,InternalError";
    begin();
    ck_assert_str_eq(outcome_of(0, "23505"), "failure");
    ck_assert_str_eq(outcome_of(0, "23503"), "success");
    ck_assert_str_eq(outcome_of(0, "40001"), "failure");
    ck_assert_str_eq(outcome_of(0, "55000"), "failure"); /* an OperationalError by its first two characters */
    ck_assert_str_eq(outcome_of(0, "08006"), "ignored");
    ck_assert_str_eq(outcome_of(WEIR_ECONNECT, "08006"), "ignored");
    ck_assert_str_eq(outcome_of(WEIR_ECONNECT, NULL), "failure");
    ck_assert_str_eq(outcome_of(WEIR_ELOCKTIMEOUT, "55P03"), "ignored"); /* beats record */
    ck_assert_str_eq(outcome_of(0, "57P03"), "ignored");
    ck_assert_str_eq(outcome_of(0, "XX001"), "ignored");
    ck_assert_str_eq(outcome_of(WEIR_EINTERNAL, NULL), "ignored");
    options.record = NULL;
    options.ignore = "CommandTimeout";
    begin();
    ck_assert_str_eq(outcome_of(WEIR_EOUTCOMETIMEOUT, NULL), "ignored"); /* its second parent */
    ck_assert_str_eq(outcome_of(WEIR_EOUTCOME, NULL), "failure");
    options.record = "Error";
    options.ignore = "DatabaseError";
    begin();
    ck_assert_str_eq(outcome_of(WEIR_ECLOSED, NULL), "failure");
    ck_assert_str_eq(outcome_of(0, "23505"), "ignored");
}
END_TEST

/* ---- what refusals say */

static void fails_with(int code, const char *text) {
    weir_error error = WEIR_ERROR_INIT;
    weir__fail(&error, code, "%s", text);
    weir_permit permit = enter();
    weir__breaker_record(breaker, now, &permit, BAD, 0, &error);
    weir_error_clear(&error);
}

static void assert_refusal(const char *message, const char *detail) {
    weir_permit permit;
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir__breaker_acquire(breaker, now, &permit, &error), WEIR_ECIRCUITOPEN);
    ck_assert_str_eq(error.message, message);
    ck_assert_pstr_eq(error.detail, detail);
    weir_error_clear(&error);
}

START_TEST(what_refusals_say) {
    options.name = "orders";
    begin();
    for (int i = 0; i < 5; i++) fails_with(WEIR_ECONNECT, "nobody listens");
    assert_refusal("the circuit breaker orders is open after 5 failures in a row",
                   "ConnectError: nobody listens");
    pass(60000);
    weir_permit permit = enter();
    assert_refusal("the circuit breaker orders is half-open, and lets in 1 call at a time",
                   "ConnectError: nobody listens");
    leave(permit, GOOD);
    fails_with(WEIR_ELOST, "gone");
    assert_refusal("the circuit breaker orders is open again: the last trial failed", "ConnectionLost: gone");
    options.name = NULL;
    options.failure_threshold = -1;
    begin();
    calls(20, BAD);
    assert_refusal("the circuit breaker is open after 20 failures in 20 calls", "unknown");
    begin();
    weir__breaker_force(breaker, now, WEIR_BREAKER_FORCED_OPEN);
    assert_refusal("the circuit breaker was opened by hand", NULL);
}
END_TEST

START_TEST(long_failures_are_cut_between_characters) {
    for (int before = 0; before < 4; before++) {
        char text[WEIR_BREAKER_FAILURE_SIZE * 3 + 1] = "xxxx";
        text[before] = '\0';
        while (strlen(text) + 4 < sizeof text) strcat(text, "\xe2\x82\xac"); /* an euro sign */
        weir_breaker_snapshot snapshot = {.struct_size = sizeof snapshot};
        begin();
        fails_with(WEIR_ECONNECT, text);
        weir__breaker_snapshot(breaker, now, &snapshot);
        size_t length = strlen(snapshot.last_failure);
        ck_assert(length >= sizeof snapshot.last_failure - 4 && length < sizeof snapshot.last_failure);
        ck_assert_int_eq((int)(length - strlen("ConnectError: ") - (size_t)before) % 3, 0);
    }
}
END_TEST

/* ---- options */

static void refuses(const char *words) {
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_ptr_null(weir__breaker_new(&options, 1, now, &error));
    assert_fails(error.code, &error, words);
    set_up();
}

START_TEST(bad_options) {
    options.failure_threshold = 0;
    refuses("failure_threshold=0|from 1 to 1000000|none");
    options.failure_rate = 1.5;
    refuses("failure_rate=1.5|from 0.001 to 1");
    options.slow_call_rate = -3;
    refuses("slow_call_rate=-3");
    options.recovery_timeout_ms = 0;
    refuses("recovery_timeout=0");
    options.window = "size";
    refuses("window=size|count|time");
    options.record = "ConectError";
    refuses("record=ConectError|ConnectError");
    options.ignore = "08,9";
    refuses("ignore=9|SQLSTATE");
    options.ignore = "08,,23";
    refuses("ignore=");
    options.name = "";
    refuses("name");
    options.size = 8;
    refuses("weir_breaker_options_init");
    char list[3000] = "";
    memset(list, 'X', sizeof list - 1);
    options.record = list;
    refuses("record|2999 bytes|2000");
}
END_TEST

static int set(const char *name, weir_value value, weir_error *error) {
    return weir_breaker_options_set(&options, name, &value, error);
}

START_TEST(options_by_name) {
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(set("failure_rate", (weir_value){.type = WEIR_TYPE_FLOAT, .as.real = 0.25}, NULL), 0);
    ck_assert(options.failure_rate == 0.25);
    ck_assert_int_eq(set("failure_rate", (weir_value){.type = WEIR_TYPE_INT, .as.integer = 1}, NULL), 0);
    ck_assert(options.failure_rate == 1);
    ck_assert_int_eq(set("failure_rate", (weir_value){.type = WEIR_TYPE_NULL}, NULL), 0);
    ck_assert(options.failure_rate == -1);
    ck_assert_int_eq(set("recovery_timeout", (weir_value){.type = WEIR_TYPE_FLOAT, .as.real = 0.5}, NULL), 0);
    ck_assert_int_eq(options.recovery_timeout_ms, 500);
    weir_value half = {.type = WEIR_TYPE_FLOAT, .as.real = 50};
    assert_fails(set("failure_rate", half, &error), &error, "failure_rate=50|from 0.001 to 1|none");
    weir_value text = {.type = WEIR_TYPE_TEXT, .as.bytes = {"x", 1}};
    assert_fails(set("failure_rate", text, &error), &error, "failure_rate|a ratio from 0 to 1");
    assert_fails(set("failure_treshold", half, &error), &error, "did you mean failure_threshold?");
    assert_fails(set("treshold", half, &error), &error, "did you mean failure_threshold?");
    assert_fails(set("half_opne", half, &error), &error, "did you mean half_open_timeout?");
    assert_fails(set("calls", half, &error), &error, "unknown option calls: there are ");
    assert_fails(set("record_what", half, &error), &error, "unknown option record_what: there are ");
    assert_fails(set("recovery_jitter", (weir_value){.type = WEIR_TYPE_NULL}, &error), &error,
                 "recovery_jitter|cannot be none");
    ck_assert_int_eq(weir_breaker_options_set(NULL, "name", &half, NULL), WEIR_EINVAL);
    weir_option_info info;
    size_t row = 0;
    for (; weir_breaker_option_table(row, &info); row++) {
        ck_assert_msg(info.text && *info.text, "%s", info.name);
        if (strcmp(info.name, "failure_rate") == 0) {
            ck_assert_int_eq(info.kind, WEIR_OPTION_RATIO);
            ck_assert(info.initial.type == WEIR_TYPE_FLOAT && info.initial.as.real == 0.5);
            ck_assert(info.least == 0.001 && info.most == 1 && info.nullable);
        }
    }
    ck_assert_uint_eq(row, 17);
}
END_TEST

/* Whatever it is at, and with whatever it counts by. */
START_TEST(no_call_takes_memory) {
    options.window = _i ? "time" : "count";
    options.call_events = true;
    begin();
    long taken = weir__alloc_count();
    weir_permit permit;
    for (int round = 0; round < 20; round++) {
        calls(100, GOOD);
        slow_call(100);
        weir_permit given_up = enter();
        weir__breaker_cancel(breaker, now, &given_up);
        calls(5, BAD);
        ck_assert_int_eq(weir__breaker_acquire(breaker, now, &permit, NULL), WEIR_ECIRCUITOPEN);
        ck_assert_int_eq(weir__breaker_probe(breaker, now, &permit, NULL), WEIR_OK);
        leave(permit, GOOD);
        IS("half_open");
        calls(7, GOOD);
        IS("closed");
        pass(700);
    }
    ck_assert_int_eq(weir__alloc_count(), taken);
}
END_TEST

START_TEST(memory_runs_out) {
    options.name = "a name";
    options.record = "08";
    options.ignore = "23";
    long live = weir__alloc_live();
    int code = WEIR_ENOMEM;
    for (long k = 1; code == WEIR_ENOMEM; k++) {
        weir_error error = WEIR_ERROR_INIT;
        weir_breaker *made = NULL;
        weir__alloc_fail_at(k, false);
        code = weir_breaker_new(&options, &made, &error);
        weir__alloc_fail_at(0, false);
        ck_assert(k > 5 || code == WEIR_ENOMEM);
        ck_assert_int_eq(error.code, code);
        weir_error_clear(&error);
        weir_breaker_free(made);
        ck_assert_int_eq(weir__alloc_live(), live);
    }
    ck_assert_int_eq(code, WEIR_OK);
    begin(); /* a refusal without memory is a refusal nevertheless */
    calls(5, BAD);
    weir_permit permit;
    weir_error error = WEIR_ERROR_INIT;
    weir__alloc_fail_at(1, true);
    ck_assert_int_eq(weir__breaker_acquire(breaker, now, &permit, &error), WEIR_ECIRCUITOPEN);
    weir__alloc_fail_at(0, false);
    ck_assert_str_eq(error.message, weir_error_text(WEIR_ECIRCUITOPEN));
    ck_assert_int_eq(error.retry_after_ms, 60000);
    weir_error_clear(&error);
}
END_TEST

/* ---- the public functions */

enum { THREADS = 4, ROUNDS = 20000 };
static weir_breaker *shared;

static void *hit(void *arg) {
    uint64_t dice = (uint64_t)(uintptr_t)arg, after = 0;
    for (int i = 0; i < ROUNDS; i++) {
        weir_permit permit;
        weir_breaker_event event;
        dice = dice * 6364136223846793005u + 1442695040888963407u;
        int what = (int)(dice >> 33) % 100;
        if (what == 0) weir_breaker_force_open(shared);
        if (what == 1) weir_breaker_reset(shared);
        if (what == 2) weir_breaker_metrics_only(shared);
        if (what == 3) weir_breaker_disable(shared);
        if (what < 8) weir_breaker_force_close(shared);
        if (weir_breaker_last_event(shared) > after)
            while (weir_breaker_next_event(shared, &after, &event)) ck_assert_uint_eq(event.number, after);
        if ((what == 9 ? weir_breaker_probe : weir_breaker_acquire)(shared, &permit, NULL) != WEIR_OK)
            continue;
        if (what % 10 == 5)
            weir_breaker_cancel(shared, &permit);
        else
            weir_breaker_record(shared, &permit, what % 3 ? GOOD : BAD, -1, NULL);
    }
    return NULL;
}

START_TEST(threads_share_it) {
    pthread_t threads[THREADS];
    options.recovery_timeout_ms = options.half_open_timeout_ms = 1;
    ck_assert_int_eq(weir_breaker_new(&options, &shared, NULL), WEIR_OK);
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hit, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    weir_breaker_snapshot s = {.struct_size = sizeof s};
    ck_assert_int_eq(weir_breaker_take_snapshot(shared, &s, NULL), WEIR_OK);
    ck_assert_int_eq(s.running, 0);
    ck_assert_int_eq(s.half_open_calls, 0);
    ck_assert_uint_gt(s.calls_permitted, THREADS * ROUNDS / 10);
    ck_assert_uint_eq(s.calls_permitted,
                      s.calls_succeeded + s.calls_failed + s.calls_cancelled + s.calls_late);
    ck_assert_uint_gt(s.opened, 0);
    weir_breaker_free(shared);
}
END_TEST

START_TEST(the_public_functions) {
    weir_breaker *made;
    weir_permit permit = {0};
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir_breaker_new(NULL, &made, NULL), WEIR_OK);
    ck_assert_ptr_null(weir_breaker_name(made));
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(weir_breaker_acquire(made, &permit, &error), WEIR_OK);
        weir__fail(&error, WEIR_ECONNECT, "no");
        weir_outcome outcome = weir_breaker_classify(made, &error, WEIR_VERDICT_NONE);
        weir_breaker_record(made, &permit, outcome, -1, &error);
        weir_error_clear(&error);
    }
    ck_assert_int_eq(weir_breaker_state_now(made), WEIR_BREAKER_OPEN);
    ck_assert_int_eq(weir_breaker_acquire(made, &permit, &error), WEIR_ECIRCUITOPEN);
    ck_assert(error.retry_after_ms > 50000 && error.retry_after_ms <= 60000);
    ck_assert_str_eq(error.detail, "ConnectError: no");
    weir_error_clear(&error);
    weir_breaker_snapshot snapshot = {.struct_size = 1};
    ck_assert_int_eq(weir_breaker_take_snapshot(made, &snapshot, NULL), WEIR_EINVAL);
    weir_breaker_force_close(made);
    ck_assert_int_eq(weir_breaker_state_now(made), WEIR_BREAKER_CLOSED);
    weir_breaker_free(made);
}
END_TEST

START_TEST(null_is_nobody) {
    weir_permit permit = {0};
    weir_breaker_snapshot snapshot = {.struct_size = sizeof snapshot};
    weir_breaker_free(NULL);
    weir_breaker_options_init(NULL);
    ck_assert_int_eq(weir_breaker_new(NULL, NULL, NULL), WEIR_EINVAL);
    ck_assert_int_eq(weir_breaker_acquire(NULL, &permit, NULL), WEIR_EINVAL);
    ck_assert_int_eq(weir_breaker_probe(NULL, &permit, NULL), WEIR_EINVAL);
    weir_breaker_record(NULL, &permit, GOOD, 0, NULL);
    weir_breaker_cancel(NULL, &permit);
    weir_breaker_force_open(NULL);
    weir_breaker_reset(NULL);
    ck_assert_int_eq(weir_breaker_take_snapshot(NULL, &snapshot, NULL), WEIR_EINVAL);
    ck_assert_int_eq(weir_breaker_classify(NULL, NULL, WEIR_VERDICT_NONE), WEIR_OUTCOME_IGNORED);
    ck_assert(!weir_breaker_next_event(NULL, NULL, NULL));
    ck_assert_uint_eq(weir_breaker_last_event(NULL), 0);
    ck_assert_ptr_null(weir_breaker_name(NULL));
    ck_assert_ptr_null(weir_breaker_state_name((weir_breaker_state)6));
    ck_assert_ptr_null(weir_breaker_reason_name((weir_breaker_reason)99));
    ck_assert_str_eq(weir_breaker_reason_name(WEIR_BREAKER_REASON_QUIET), "quiet");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("breaker");
    TCase *tests = tcase_create("breaker");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, five_failures_in_a_row_open_it);
    tcase_add_test(tests, a_failure_rate_opens_it);
    tcase_add_test(tests, slow_calls_open_it);
    tcase_add_test(tests, a_window_by_time_forgets);
    tcase_add_test(tests, the_start_is_slow);
    tcase_add_test(tests, the_recovery_timeout_doubles);
    tcase_add_test(tests, jitter_only_shortens);
    tcase_add_test(tests, a_probe_goes_before_the_users);
    tcase_add_test(tests, without_traffic_it_closes_when_a_probe_has_succeeded);
    tcase_add_test(tests, a_place_that_is_never_given_back);
    tcase_add_test(tests, a_cancelled_call_gives_its_place_back);
    tcase_add_test(tests, late_calls_count_nothing);
    tcase_add_test(tests, states_by_hand);
    tcase_add_test(tests, events_are_kept_in_a_ring);
    tcase_add_test(tests, what_is_a_failure);
    tcase_add_test(tests, lists_change_what_is_a_failure);
    tcase_add_test(tests, verdicts_change_what_is_a_failure);
    tcase_add_test(tests, what_refusals_say);
    tcase_add_test(tests, long_failures_are_cut_between_characters);
    tcase_add_test(tests, bad_options);
    tcase_add_test(tests, options_by_name);
    tcase_add_loop_test(tests, no_call_takes_memory, 0, 2);
    tcase_add_test(tests, memory_runs_out);
    tcase_add_test(tests, threads_share_it);
    tcase_add_test(tests, the_public_functions);
    tcase_add_test(tests, null_is_nobody);
    return run_suite(suite);
}
