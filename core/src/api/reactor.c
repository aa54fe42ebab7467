/* The public reactor. */
#include "api/api.h"

#include "base/error.h"
#include "reactor/wait.h"

int weir_reactor_new(weir_reactor **out, weir_error *error) {
    if (!out) return weir__fail(error, WEIR_EINVAL, "out is NULL");
    return weir__reactor_new(&weir__monotonic, out, error);
}

int weir_reactor_fd(const weir_reactor *reactor) { return reactor ? reactor->poller.fd : -1; }

void weir_reactor_attach(weir_reactor *reactor) {
    if (!reactor || !weir__enter(reactor)) return;
    reactor->attached = true;
    reactor->owner = pthread_self();
    weir__leave(reactor);
}

int weir_reactor_dispatch(weir_reactor *reactor) {
    if (!reactor) return WEIR_EINVAL;
    if (!weir__enter(reactor)) return WEIR_EFORKED;
    weir__reactor_work(reactor);
    weir__leave(reactor);
    return WEIR_OK;
}

int weir_reactor_flush(weir_reactor *reactor) {
    if (!reactor) return WEIR_EINVAL;
    if (!weir__enter(reactor)) return WEIR_EFORKED;
    weir__flush(reactor);
    weir__leave(reactor);
    return WEIR_OK;
}

bool weir_reactor_next(weir_reactor *reactor, weir_completion *out) {
    /* Without the lock: what another thread adds in this moment signals the descriptor. */
    if (!reactor || !out || !atomic_load_explicit(&reactor->some_done, memory_order_relaxed)) return false;
    if (!weir__enter(reactor)) return false;
    bool taken = weir__reactor_take_next(reactor, out);
    weir__leave(reactor);
    return taken;
}

int weir_reactor_wait(weir_reactor *reactor, weir_op op, int64_t timeout_ms, weir_completion *out) {
    if (!reactor || !out) return WEIR_EINVAL;
    if (!weir__enter(reactor)) return WEIR_EFORKED;
    weir__op *found = weir__op_find(reactor, op);
    int code = found ? WEIR_EINVAL : WEIR_ESTALE; /* one with a token is answered through weir_reactor_next */
    if (found && !found->completion.token)
        code =
            weir__reactor_wait(reactor, found, weir__deadline(weir__reactor_now(reactor), timeout_ms), out);
    weir__leave(reactor);
    return code;
}

static void slept(weir__timer *timer) { weir__op_complete(weir__container(timer, weir__op, timer), WEIR_OK); }

int weir_reactor_sleep(weir_reactor *reactor, int64_t ms, void *token, weir_op *op, weir_error *error) {
    if (!reactor || !op) return weir__fail(error, WEIR_EINVAL, "reactor and op are needed");
    if (ms < 1) return weir__fail(error, WEIR_EINVAL, "ms=%lld: give a positive time", (long long)ms);
    if (!weir__enter(reactor)) return weir__forked(error);
    weir__op *made = weir__op_new(reactor, WEIR_DONE_SLEEP, token, NULL, weir__op_drop, slept);
    int code = made ? WEIR_PENDING : weir__fail(error, WEIR_ENOMEM, "out of memory for an operation");
    if (made) {
        *op = made->completion.op;
        weir__reactor_start(reactor, &made->timer, weir__deadline(weir__reactor_now(reactor), ms));
    }
    weir__leave(reactor);
    return code;
}

/* A grant that nobody takes goes back. */
static void give_back(weir_session session) {
    weir__slot *slot;
    if (session.pool && weir__session_find(session, &slot, NULL) == WEIR_OK)
        weir__session_return(slot, false);
}

int weir_reactor_cancel(weir_reactor *reactor, weir_op op) {
    if (!reactor) return WEIR_EINVAL;
    if (!weir__enter(reactor)) return WEIR_EFORKED;
    weir__op *found = weir__op_find(reactor, op);
    int code = found ? WEIR_OK : WEIR_ESTALE;
    if (found && found->parked) {
        code = WEIR_EBUSY; /* a thread waits for it: its own to cancel */
    } else if (found && found->state == WEIR__OP_DONE) {
        weir_session session = found->completion.session;
        weir__guard_judge(&found->completion.failure, found->completion.error, WEIR_VERDICT_NONE);
        weir__op_take(found, NULL);
        give_back(session);
    } else if (found) {
        found->cancel(found);
    }
    weir__leave(reactor);
    return code;
}

void weir_completion_judge(weir_completion *completion, weir_verdict verdict) {
    weir_pool *pool = completion ? completion->failure.pool : NULL;
    if (!pool || !weir__enter(pool->reactor)) return;
    weir__guard_judge(&completion->failure, completion->error, verdict);
    weir__leave(pool->reactor);
}

void weir_completion_discard(weir_completion *completion) {
    if (!completion) return;
    weir_completion_judge(completion, WEIR_VERDICT_NONE);
    if (completion->session.pool) weir_session_release(completion->session);
    weir_result_free(completion->result);
    weir_error_free(completion->error);
    completion->session = (weir_session){0};
    completion->result = NULL;
    completion->error = NULL;
}

bool weir_reactor_next_log(weir_reactor *reactor, weir_log_record *out) {
    if (!reactor || !out || !weir__enter(reactor)) return false;
    bool any = reactor->ring_count > 0;
    if (any) {
        *out = reactor->ring[reactor->ring_first];
        reactor->ring_first = (reactor->ring_first + 1) % WEIR__LOG_LINES;
        reactor->ring_count--;
    }
    weir__leave(reactor);
    return any;
}

bool weir_reactor_next_notice(weir_reactor *reactor, weir_notice **out) {
    if (!reactor || !out || !weir__enter(reactor)) return false;
    *out = weir__reactor_take_notice(reactor);
    weir__leave(reactor);
    return *out != NULL;
}

void weir_reactor_log_level(weir_reactor *reactor, weir_log_level level) {
    if (!reactor || !weir__enter(reactor)) return;
    reactor->log.level = level;
    weir__leave(reactor);
}
