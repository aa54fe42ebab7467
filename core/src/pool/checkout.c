/* Asking for a connection: at once, or in the queue; for a session, or to run one statement. */
#include "pool/pool.h"

#include <string.h>

#include "base/error.h"

weir__task *weir__task_new(weir_pool *pool, weir_completion_kind kind, void *token, int64_t now) {
    weir__task *task = (weir__task *)weir__op_new(pool->reactor, kind, token, pool, weir__task_cancelled,
                                                  weir__task_expired);
    if (!task) return NULL;
    task->pool = pool;
    task->started_at = now;
    return task;
}

void weir__task_drop(weir__task *task) {
    weir_statement_unref(task->statement);
    task->statement = NULL;
    weir__op_drop(&task->op);
}

/* The first idle connection that is fit to be lent; unfit ones are closed on the way. NULL: none. */
static weir__slot *take_idle(weir_pool *pool, int64_t now) {
    const weir_options *options = &pool->config->options;
    for (weir__link *link; (link = weir__list_front(&pool->idle));) {
        weir__slot *slot = weir__container(link, weir__slot, link);
        if (slot->expires_at <= now || slot->generation != pool->generation) {
            weir__slot_close(slot, WEIR_ELOST, NULL);
            continue;
        }
        /* While somebody dispatches, a dead idle socket is news at once; otherwise have a look. */
        if (options->pre_ping && now - slot->idle_since > WEIR__PING_AFTER &&
            now - pool->reactor->dispatched_at > WEIR__PING_AFTER && !pool->driver->alive(slot->conn)) {
            pool->stats.connections_lost++;
            weir__slot_close(slot, WEIR_ELOST, NULL);
            continue;
        }
        return slot;
    }
    return NULL;
}

/* The end of a text, which tells more of a path than its beginning. */
static void copy_end(char *to, const char *from) {
    size_t length = from ? strlen(from) : 0, most = WEIR__SITE_BYTES - 1;
    if (length > most) {
        from += length - most;
        length = most;
    }
    if (length) memcpy(to, from, length);
    to[length] = '\0';
}

static void count_grant(weir_pool *pool, int64_t started_at, int64_t now) {
    pool->stats.checkouts_granted++;
    weir__histogram_record(&pool->wait, now - started_at);
}

/* Idle -> lent. The slot's site, begin and kind are the caller's to set. */
static weir_session lend(weir__slot *slot, int64_t now, int64_t session_ms) {
    weir_pool *pool = slot->pool;
    weir__slot_move(slot, WEIR__LENT);
    slot->loan = ++pool->loans;
    slot->lent_at = now;
    slot->in_use = true;
    if (session_ms > 0)
        weir__reactor_start(pool->reactor, &slot->session_timer, weir__deadline(now, session_ms));
    return (weir_session){pool, slot->loan, slot->index};
}

static int refuse(weir_pool *pool, weir_error *error, int code, const char *text) {
    pool->stats.checkouts_refused++;
    return weir__fail(error, code, "pool %s: %s", weir_pool_name(pool), text);
}

/* Counts the request. WEIR_OK: *slot is idle and yours; WEIR_PENDING: get in line. */
static int ask(weir_pool *pool, int64_t now, weir__slot **slot, weir_error *error) {
    pool->stats.checkouts_started++;
    if (pool->closing) return refuse(pool, error, WEIR_ECLOSED, "it is closed");
    *slot = weir__list_empty(&pool->waiters) ? take_idle(pool, now) : NULL;
    if (*slot) return WEIR_OK;
    if (weir__pool_down(pool, error)) {
        pool->stats.checkouts_refused++;
        return error ? error->code : WEIR_ECONNECT;
    }
    int most = pool->config->options.max_waiting;
    int unmade = pool->max_size + pool->config->options.max_overflow - weir__pool_live(pool);
    if (most >= 0 && pool->waiting >= most + (unmade > 0 ? unmade : 0))
        return refuse(pool, error, WEIR_EQUEUEFULL, "max_waiting callers wait already");
    return WEIR_PENDING;
}

static void get_in_line(weir_pool *pool, weir__task *task, int64_t deadline) {
    weir__list_push_back(&pool->waiters, &task->op.link);
    pool->waiting++;
    weir__reactor_start(pool->reactor, &task->op.timer, deadline);
    weir__pool_touch(pool);
}

int weir__pool_acquire(weir_pool *pool, const weir_checkout *checkout, void *token, weir_session *session,
                       weir_op *op, weir_error *error) {
    const char *begin = NULL;
    int code = checkout->transaction ? weir__begin_text(pool, &checkout->begin, &begin, error) : WEIR_OK;
    if (code) return code;
    int64_t now = weir__reactor_now(pool->reactor);
    weir__slot *slot = NULL;
    code = ask(pool, now, &slot, error);
    if (code == WEIR_OK) {
        count_grant(pool, now, now);
        *session = lend(slot, now, checkout->session_timeout_ms);
        slot->transaction = checkout->transaction;
        slot->begin = begin;
        copy_end(slot->file, checkout->file);
        copy_end(slot->function, checkout->function);
        slot->line = checkout->line;
        return WEIR_OK;
    }
    if (code != WEIR_PENDING) return code;
    weir__task *task = weir__task_new(pool, WEIR_DONE_ACQUIRE, token, now);
    if (!task) return refuse(pool, error, WEIR_ENOMEM, "out of memory for a waiter");
    task->session_ms = checkout->session_timeout_ms;
    task->transaction = checkout->transaction;
    task->begin = begin;
    copy_end(task->file, checkout->file);
    copy_end(task->function, checkout->function);
    task->line = checkout->line;
    int64_t wait_ms = checkout->checkout_timeout_ms;
    if (wait_ms == WEIR_TIMEOUT_DEFAULT) wait_ms = pool->config->options.checkout_timeout_ms;
    get_in_line(pool, task, weir__deadline(now, wait_ms));
    *op = task->op.completion.op;
    return WEIR_PENDING;
}

static void run_alone(weir__slot *slot, weir__task *task, int64_t now) {
    weir__slot_move(slot, WEIR__RUNNING);
    slot->lent_at = now;
    slot->in_use = true;
    weir__slot_run(slot, task, now);
}

int weir__pool_execute(weir_pool *pool, weir_statement *statement, int64_t timeout_ms, void *token,
                       weir_op *op, weir_error *error) {
    const weir_options *options = &pool->config->options;
    int64_t now = weir__reactor_now(pool->reactor);
    weir__slot *slot = NULL;
    int code = ask(pool, now, &slot, error);
    if (code > 0) return code;
    weir__task *task = weir__task_new(pool, WEIR_DONE_EXECUTE, token, now);
    if (!task) return refuse(pool, error, WEIR_ENOMEM, "out of memory for an operation");
    *op = task->op.completion.op;
    task->statement = weir_statement_ref(statement);
    bool given = timeout_ms != WEIR_TIMEOUT_DEFAULT;
    task->run_ms = given ? timeout_ms : options->command_timeout_ms;
    if (given) task->run_deadline = weir__deadline(now, timeout_ms);
    if (slot) {
        count_grant(pool, now, now);
        run_alone(slot, task, now);
    } else {
        get_in_line(pool, task,
                    given ? task->run_deadline : weir__deadline(now, options->checkout_timeout_ms));
    }
    return WEIR_PENDING;
}

static void grant(weir__slot *slot, weir__task *task, int64_t now) {
    weir_pool *pool = slot->pool;
    weir__list_remove(&task->op.link);
    pool->waiting--;
    count_grant(pool, task->started_at, now);
    if (task->op.completion.kind == WEIR_DONE_EXECUTE) {
        run_alone(slot, task, now);
        return;
    }
    task->op.completion.session = lend(slot, now, task->session_ms);
    slot->transaction = task->transaction;
    slot->begin = task->begin;
    memcpy(slot->file, task->file, sizeof slot->file);
    memcpy(slot->function, task->function, sizeof slot->function);
    slot->line = task->line;
    weir__op_complete(&task->op, WEIR_OK);
}

void weir__pool_serve(weir_pool *pool) {
    if (weir__list_empty(&pool->waiters) || weir__list_empty(&pool->idle)) return;
    int64_t now = weir__reactor_now(pool->reactor);
    while (!weir__list_empty(&pool->waiters)) {
        weir__slot *slot = take_idle(pool, now);
        if (!slot) return;
        grant(slot, weir__container(weir__list_front(&pool->waiters), weir__task, op.link), now);
    }
}

void weir__pool_refuse_waiters(weir_pool *pool, const weir_error *error) {
    for (weir__link *link; (link = weir__list_front(&pool->waiters));) {
        weir__task *task = weir__container(link, weir__task, op.link);
        weir__list_remove(link);
        pool->waiting--;
        pool->stats.checkouts_refused++;
        weir__task_fail(task, error, false);
    }
}
