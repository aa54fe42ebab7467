/* A small pool on the fake driver, and steps of the session that is its first borrower. */
#ifndef WEIR_TESTS_SESSION_RIG_H
#define WEIR_TESTS_SESSION_RIG_H

#include <check.h>

#include "support_pool.h"

static weir_options options;
static weir_error error;

static inline void set_up(void) {
    rig_start(7);
    options = rig_options();
    options.min_size = 1;
    options.max_size = 2;
    error = (weir_error)WEIR_ERROR_INIT;
}
static inline void tear_down(void) {
    weir_error_clear(&error);
    rig_done();
}

static inline weir_session ready(void) {
    rig_ready(&options);
    return lend();
}

static inline weir_checkout in_transaction(const char *isolation, bool readonly) {
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.transaction = true;
    checkout.begin.isolation = isolation;
    checkout.begin.readonly = readonly;
    return checkout;
}

static inline int try_execute(weir_session session) {
    weir_op op;
    weir_statement *s = weir_statement_new("x", 1, NULL);
    int code = weir_session_execute(session, s, FOR_MS(-1), NULL, &op, &error);
    weir_statement_unref(s);
    return code;
}

static inline int begin(weir_session session) {
    int depth = -1;
    int code = weir_session_begin(session, NULL, &depth, &error);
    return code == WEIR_OK ? depth : -code;
}

/* Ends a transaction, as far as the clock must go for it; its code. */
static inline int end(weir_session session, bool commit, int depth) {
    weir_op op = 0;
    int code = commit ? weir_session_commit(session, depth, NULL, &op, &error)
                      : weir_session_rollback(session, depth, NULL, &op, &error);
    if (code != WEIR_PENDING) return code;
    code = outcome(op, NULL);
    for (int ms = 0; code == WEIR_PENDING && ms < 100000; ms++) {
        rig_advance(1);
        code = outcome(op, NULL);
    }
    return code;
}

static inline weir_session_info info_of(weir_session session) {
    weir_session_info info;
    ck_assert_int_eq(weir_session_inspect(session, &info, NULL), WEIR_OK);
    return info;
}

#endif
