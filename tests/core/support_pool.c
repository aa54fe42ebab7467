#include "support_pool.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "config/config.h"

struct rig rig;

void rig_start(uint64_t seed) {
    rig = (struct rig){.live = weir__alloc_live()};
    rig.clock.now = 1000000 * WEIR__MS + 12345;
    rig.as = weir__fake_clock_as(&rig.clock);
    weir__fake_start(seed);
    atomic_store(&weir__slot_faults, 0);
    weir__reactor_new(&rig.as, &rig.reactor, NULL);
}

weir_options rig_options(void) {
    weir_options options;
    weir_options_init(&options);
    options.url = "postgresql://user:secret@host/db";
    options.min_size = 2;
    options.max_size = 4;
    options.health_check_interval_ms = options.validate_after_ms = -1;
    return options;
}

int rig_open(const weir_options *options, uint64_t seed, void *token, weir_error *error) {
    weir__config *config = weir__config_new(options, error);
    if (!config) return error ? error->code : WEIR_EOPTION;
    return weir__pool_open(rig.reactor, &weir__fake_driver, config, seed, token, &rig.pool, &rig.open, error);
}

const char *rig_fault(void) {
    const char *why = NULL;
    if (weir__fake.violations) return weir__fake.violation;
    if (atomic_load(&weir__slot_faults)) return "a slot has made a move that is not in the table";
    if (!rig.pool) return NULL;
    if (weir__enter(rig.reactor)) {
        why = weir__pool_check(rig.pool);
        weir__leave(rig.reactor);
    }
    return why;
}

bool rig_hop(int64_t until) {
    int64_t next = weir__wheel_next(&rig.reactor->wheel), now = rig.clock.now;
    if (next <= now) next = now + 1;
    rig.clock.now = next < until ? next : until > now ? until : now;
    weir_reactor_dispatch(rig.reactor);
    return rig.clock.now < until;
}

void rig_advance(int64_t ms) {
    int64_t until = rig.clock.now + ms * WEIR__MS;
    while (rig_hop(until)) {
    }
}

/* Closes without grace; the driver's connections may take their time. */
static void wind_up(void) {
    weir_op op = 0;
    int64_t until = rig.clock.now + 3600000 * WEIR__MS;
    if (weir_pool_close(rig.pool, 0, NULL, &op, NULL) == WEIR_PENDING) weir_reactor_cancel(rig.reactor, op);
    while (!weir__pool_gone(rig.pool) && rig_hop(until)) {
    }
}

const char *rig_end(void) {
    const char *why = NULL;
    if (rig.pool) {
        wind_up();
        why = rig_fault();
        if (!why && !weir__pool_gone(rig.pool)) why = "a closed pool keeps connections";
        weir_pool_free(rig.pool);
        rig.pool = NULL;
    }
    weir_reactor_free(rig.reactor);
    rig.reactor = NULL;
    if (!why && weir__fake.live_count) why = "connections of the driver are left";
    if (!why && weir__alloc_live() != rig.live) why = "memory is left";
    return why;
}

void rig_ready(const weir_options *options) {
    weir_error error = WEIR_ERROR_INIT;
    int code = rig_open(options, 1, NULL, &error);
    ck_assert_msg(code <= 0, "open: %s", error.message);
    if (code == WEIR_PENDING) {
        rig_advance(1000);
        ck_assert_int_eq(outcome(rig.open, NULL), WEIR_OK);
    }
    ck_assert_ptr_null(rig_fault());
}

void rig_done(void) {
    const char *why = rig.reactor ? rig_end() : NULL;
    ck_assert_msg(!why, "at the end: %s", why);
}

weir_session lend_as(const weir_checkout *checkout) {
    weir_session session;
    weir_op op = 0;
    weir_error error = WEIR_ERROR_INIT;
    int code = weir_pool_acquire(rig.pool, checkout, NULL, &session, &op, &error);
    ck_assert_msg(code == WEIR_OK, "acquire gives %d: %s", code, error.message ? error.message : "");
    ck_assert_ptr_null(rig_fault());
    return session;
}

weir_op queue_as(const weir_checkout *checkout) {
    weir_session session;
    weir_op op = 0;
    weir_error error = WEIR_ERROR_INIT;
    int code = weir_pool_acquire(rig.pool, checkout, NULL, &session, &op, &error);
    ck_assert_msg(code == WEIR_PENDING, "acquire gives %d: %s", code, error.message ? error.message : "");
    ck_assert_ptr_null(rig_fault());
    return op;
}

static weir_checkout plain(void) {
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    return checkout;
}

weir_session lend(void) {
    weir_checkout checkout = plain();
    return lend_as(&checkout);
}

weir_op queue(void) {
    weir_checkout checkout = plain();
    return queue_as(&checkout);
}

int outcome(weir_op op, weir_session *session) {
    weir_completion c;
    int code = weir_reactor_wait(rig.reactor, op, 0, &c);
    ck_assert_ptr_null(rig_fault());
    if (code == WEIR_ETIMEOUT) return WEIR_PENDING;
    ck_assert_msg(code == WEIR_OK, "wait gives %d", code);
    ck_assert((c.code == WEIR_OK) == (c.error == NULL));
    if (session) {
        *session = c.session;
        c.session = (weir_session){0};
    }
    weir_completion_discard(&c);
    return c.code;
}

static weir_statement *statement(const char *sql) {
    weir_statement *s = weir_statement_new(sql, strlen(sql), NULL);
    ck_assert_ptr_nonnull(s);
    return s;
}

weir_op submit(weir_session session, const char *sql, int64_t timeout_ms) {
    weir_statement *s = statement(sql);
    weir_op op = 0;
    weir_error error = WEIR_ERROR_INIT;
    int code = weir_session_execute(session, s, FOR_MS(timeout_ms), NULL, &op, &error);
    weir_statement_unref(s);
    ck_assert_msg(code == WEIR_PENDING, "execute gives %d: %s", code, error.message ? error.message : "");
    ck_assert_ptr_null(rig_fault());
    return op;
}

weir_op submit_to_pool(const char *sql, int64_t timeout_ms) {
    weir_statement *s = statement(sql);
    weir_op op = 0;
    weir_error error = WEIR_ERROR_INIT;
    int code = weir_pool_execute(rig.pool, s, FOR_MS(timeout_ms), NULL, &op, &error);
    weir_statement_unref(s);
    ck_assert_msg(code == WEIR_PENDING, "execute gives %d: %s", code, error.message ? error.message : "");
    ck_assert_ptr_null(rig_fault());
    return op;
}

int run_sql(weir_session session, const char *sql) {
    weir_op op = submit(session, sql, WEIR_TIMEOUT_DEFAULT);
    int code = outcome(op, NULL);
    for (int ms = 0; code == WEIR_PENDING && ms < 100000; ms++) {
        rig_advance(1);
        code = outcome(op, NULL);
    }
    return code;
}

bool logged(const char *text) {
    weir_log_record record;
    while (weir_reactor_next_log(rig.reactor, &record))
        if (strstr(record.line, text)) return true;
    return false;
}

int in_state(weir__slot_state state) { return rig.pool->counts[state]; }

weir_snapshot snapshot(void) {
    weir_snapshot out = {.struct_size = sizeof out};
    ck_assert_int_eq(weir_pool_snapshot(rig.pool, &out, NULL), WEIR_OK);
    ck_assert_uint_eq(out.checkouts_started, out.checkouts_granted + out.checkouts_timed_out +
                                                 out.checkouts_cancelled + out.checkouts_refused +
                                                 (uint64_t)out.waiting);
    return out;
}

weir__slot *slot_of(weir_session session) { return rig.pool->slots[session.slot]; }

const char *transcript(void) {
    static char text[WEIR__FAKE_TRANSCRIPT];
    memcpy(text, weir__fake.transcript, sizeof text);
    weir__fake.transcript[0] = '\0';
    return text;
}
