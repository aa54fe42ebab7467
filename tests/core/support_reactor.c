#include "support_reactor.h"

#include <check.h>
#include <poll.h>

int ops_cancelled;

weir_reactor *reactor_open(void) {
    weir_reactor *reactor = NULL;
    ck_assert_int_eq(weir_reactor_new(&reactor, NULL), WEIR_OK);
    ck_assert_ptr_nonnull(reactor);
    return reactor;
}

void reactor_close(weir_reactor *reactor) { weir_reactor_free(reactor); }

bool readable(weir_reactor *reactor, int timeout_ms) {
    struct pollfd p = {.fd = weir_reactor_fd(reactor), .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLIN);
}

static void cancelled(weir__op *op) {
    ops_cancelled++;
    weir__op_drop(op);
}

static void expired(weir__timer *timer) {
    weir__op_complete(weir__container(timer, weir__op, timer), WEIR_ETIMEOUT);
}

weir__op *op_new(weir_reactor *reactor, void *token) {
    weir__op *op = weir__op_new(reactor, WEIR_DONE_EXECUTE, token, NULL, cancelled, expired);
    if (!op) ck_abort_msg("no memory for an operation");
    return op;
}
