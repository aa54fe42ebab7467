#include "support_circuit.h"

#include <check.h>

#include "support_pool.h"

weir_options circuit_start(void) {
    rig_start(7);
    weir__fake.run_min_ns = weir__fake.run_max_ns = WEIR__MS;
    return rig_options();
}

void holds(void) { ck_assert_ptr_null(rig_fault()); }

weir_breaker *connects(void) { return weir_pool_breaker(rig.pool, 0, WEIR_BREAKER_CONNECTS); }
weir_breaker *queries(void) { return weir_pool_breaker(rig.pool, 0, WEIR_BREAKER_QUERIES); }
weir_breaker_state connect_state(void) { return weir_breaker_state_now(connects()); }
weir_breaker_state query_state(void) { return weir_breaker_state_now(queries()); }

weir_breaker_snapshot numbers(weir_breaker *breaker) {
    weir_breaker_snapshot out = {.struct_size = sizeof out};
    ck_assert_int_eq(weir_breaker_take_snapshot(breaker, &out, NULL), WEIR_OK);
    return out;
}

int ask(weir_session *session, weir_op *op, weir_error *error) {
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    int code = weir_pool_acquire(rig.pool, &checkout, NULL, session, op, error);
    holds();
    return code;
}

int ask_only(void) {
    weir_session session;
    weir_op op;
    return ask(&session, &op, NULL);
}

int query(const char *sql) {
    weir_op op = submit_to_pool(sql, 1000);
    int code = outcome(op, NULL);
    for (int ms = 0; code == WEIR_PENDING && ms < 5000; ms++) {
        rig_advance(1);
        code = outcome(op, NULL);
    }
    return code;
}

void fail_queries(const char *sql, int count) {
    for (int i = 0; i < count; i++) ck_assert_int_ne(query(sql), WEIR_OK);
}

void lose_together(weir_options *options, weir_op ops[LOST_TOGETHER]) {
    options->min_size = options->max_size = 1;
    options->pipeline_max_wait_ms = 100;
    rig_ready(options);
    for (int i = 0; i < 4; i++) ck_assert_int_eq(query("echo shared"), WEIR_OK); /* known to be short */
    for (int i = 0; i < LOST_TOGETHER; i++) ops[i] = submit_to_pool("echo shared", 1000);
    ck_assert_int_eq(rig.pool->slots[0]->flying, LOST_TOGETHER);
    weir__fake_kill(weir__fake_conn_at(0));
    rig_advance(3);
}

void server_gone(bool hangs) {
    weir__fake.connect_fail_permille = 1000;
    for (int i = 0; hangs && i < WEIR__FAKE_QUEUE; i++) weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    for (size_t i = 0; i < weir__fake.live_count; i++) weir__fake_kill(weir__fake_conn_at(i));
    rig_advance(3);
    holds();
}

void server_back(void) {
    weir__fake.connect_fail_permille = 0;
    weir__fake.connects.count = 0;
}
