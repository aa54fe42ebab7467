/* What the holder of a connection does: statements, transactions, savepoints, the return. */
#include "pool/leak.h"

#include <string.h>

#include "base/error.h"

int weir__begin_text(weir_pool *pool, const weir_transaction *begin, const char **out, weir_error *error) {
    static const struct {
        const char *name;
        weir__isolation isolation;
    } known[] = {{"read uncommitted", WEIR__READ_UNCOMMITTED},
                 {"read committed", WEIR__READ_COMMITTED},
                 {"repeatable read", WEIR__REPEATABLE_READ},
                 {"serializable", WEIR__SERIALIZABLE}};
    bool readonly = begin->readonly || pool->config->options.readonly;
    weir__begin wanted = {WEIR__ISOLATION_DEFAULT, readonly, begin->deferrable};
    if (begin->isolation) {
        char name[24] = "";
        strncpy(name, begin->isolation, sizeof name - 1);
        for (char *c = name; *c; c++) *c = *c == '_' ? ' ' : *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (!strcmp(name, known[i].name)) wanted.isolation = known[i].isolation;
        if (wanted.isolation == WEIR__ISOLATION_DEFAULT)
            return weir__fail(error, WEIR_EINVAL,
                              "isolation=\"%.40s\": use one of \"read uncommitted\", \"read committed\", "
                              "\"repeatable read\", \"serializable\"",
                              begin->isolation);
    }
    *out = pool->driver->begin(pool->env, &wanted, error);
    return *out ? WEIR_OK : error ? error->code : WEIR_ENOTSUP;
}

/* lasting: something of the loan may stay in the database. */
static int fail_ended(const weir_pool *pool, int code, bool lasting, weir_error *error) {
    if (code == WEIR_ESTALE)
        return weir__fail(
            error, code,
            "the session has been returned to pool %s, or was ended by it: check out another one",
            weir_pool_name(pool));
    weir__fail(error, code, "the session was ended by pool %s: %s", weir_pool_name(pool),
               weir_error_text(code));
    if (error && lasting) error->retryable = false;
    return code;
}

int weir__session_find(weir_session session, weir__slot **out, weir_error *error) {
    weir_pool *pool = session.pool;
    weir__slot *slot = session.slot < pool->slot_count ? pool->slots[session.slot] : NULL;
    *out = slot;
    if (slot && session.loan && slot->loan == session.loan) return WEIR_OK;
    int code = slot && session.loan && slot->last_loan == session.loan ? slot->ended_code : WEIR_ESTALE;
    return fail_ended(pool, code, code != WEIR_ESTALE && slot->ended_lasting, error);
}

int weir__session_overdue(weir__slot *slot, int64_t now, weir_error *error) {
    uint64_t loan = slot->loan;
    weir__leak_look(slot, now);
    bool late = slot->session_until <= now || slot->setup_until <= now;
    if (slot->loan == loan && late) weir__session_expired(&slot->session_timer);
    if (slot->loan == loan) return WEIR_OK;
    return fail_ended(slot->pool, slot->ended_code, slot->ended_lasting, error);
}

/* No transaction of the holder's is open, or on its way. */
static bool outside_transactions(const weir__slot *slot) {
    return !weir__levels_alive(slot) && slot->conn->tx == WEIR__TX_NONE && !(slot->flying && slot->depth);
}

int weir__session_admit(weir__slot *slot, weir_permit *permit, int64_t now, weir_error *error) {
    int code = weir__session_overdue(slot, now, error);
    return code ? code : weir__guard_enter(slot, outside_transactions(slot), permit, now, error);
}

bool weir__session_busy(const weir__slot *slot) {
    return slot->live || !weir__list_empty(&slot->queue) || slot->outside || weir__copy_open(slot);
}

static int busy(const weir__slot *slot, weir_error *error) {
    if (weir__copy_open(slot))
        return weir__fail(error, WEIR_EBUSY,
                          "a COPY is running on this session of pool %s: take it to its end, or close it",
                          weir_pool_name(slot->pool));
    if (slot->outside)
        return weir__fail(
            error, WEIR_EBUSY,
            "a stream outside of a transaction is open on this connection of pool %s: end or close it "
            "first, or begin a transaction around both",
            weir_pool_name(slot->pool));
    return weir__fail(
        error, WEIR_EBUSY,
        "another operation is running on this session of pool %s: await it first, or use a session each",
        weir_pool_name(slot->pool));
}

/* Runs it now, or when what flies allows. */
static int run_or_queue(weir__slot *slot, weir__task *task, int64_t now, weir_op *op) {
    *op = task->op.completion.op;
    task->op.deaf = slot->state == WEIR__PREPARING;
    if (slot->halted) {
        weir__task_skip(task);
        return WEIR_PENDING;
    }
    if (weir__list_empty(&slot->queue) && weir__slot_takes_more(slot)) {
        weir__slot_run(slot, task, now);
        return WEIR_PENDING;
    }
    task->slot = slot;
    weir__list_push_back(&slot->queue, &task->op.link);
    task->run_deadline = weir__deadline(now, task->run_ms);
    weir__reactor_start(slot->pool->reactor, &task->op.timer, task->run_deadline);
    return WEIR_PENDING;
}

int weir__session_execute(weir__slot *slot, weir_statement *statement, weir__mode mode, const weir_run *run,
                          void *token, weir_op *op, weir_error *error) {
    weir_pool *pool = slot->pool;
    bool copies = mode >= WEIR__COPY_IN;
    bool joins = slot->pipelining && mode == WEIR__STATEMENT && !slot->outside && !weir__copy_open(slot);
    int code = weir__mode_check(pool, statement, mode, error);
    if (code) return code;
    if (run->readonly)
        return weir__fail(error, WEIR_EINVAL,
                          "readonly is of statements of the pool itself: on a session of pool %s it is its "
                          "transaction's",
                          weir_pool_name(pool));
    if (slot->call && mode == WEIR__STATEMENT) code = weir__share_judge_part(pool, statement, error);
    if (code) return code;
    if (weir__session_busy(slot) && !joins) return busy(slot, error);
    int64_t now = weir__reactor_now(pool->reactor);
    weir_permit permit;
    code = weir__session_admit(slot, &permit, now, error);
    if (code) return code;
    weir__task *task = weir__task_new(pool, copies ? WEIR_DONE_COPY : WEIR_DONE_EXECUTE, token, now);
    if (!task) {
        weir__guard_cancel(pool, &permit, now);
        return weir__fail(error, WEIR_ENOMEM, "out of memory for an operation");
    }
    task->permit = permit;
    if (slot->transaction && !slot->depth) {
        slot->depth = 1;
        slot->broken_off = false;
    }
    weir__leak_note(slot, statement->sql, statement->sql_length);
    task->statement = weir_statement_ref(statement);
    task->mode = mode;
    task->readonly = pool->config->options.readonly;
    task->hold = run->hold && slot->pipelining && pool->driver->flush && mode == WEIR__STATEMENT;
    slot->copy.out = mode == WEIR__COPY_OUT;
    task->run_ms =
        run->timeout_ms == WEIR_TIMEOUT_DEFAULT ? pool->config->options.command_timeout_ms : run->timeout_ms;
    return run_or_queue(slot, task, now, op);
}

int weir__session_pipeline(weir__slot *slot, bool on, weir_error *error) {
    if (weir__session_busy(slot)) return busy(slot, error);
    slot->pipelining = on;
    slot->halted = false;
    return WEIR_OK;
}

int weir__session_begin(weir__slot *slot, const weir_transaction *begin, int *depth, weir_error *error) {
    static const weir_transaction plain = {0};
    if (weir__session_busy(slot)) return busy(slot, error);
    bool options = begin && (begin->isolation || begin->readonly || begin->deferrable);
    bool outermost = !slot->depth && !slot->transaction;
    if (options && !outermost)
        return weir__fail(
            error, WEIR_ETRANSACTION,
            "a transaction inside another is a savepoint and takes no isolation, readonly or deferrable: "
            "give them to the outermost one");
    if (slot->depth + slot->transaction >= WEIR__DEPTH_MAX)
        return weir__fail(error, WEIR_ETRANSACTION, "more than %d transactions in each other",
                          WEIR__DEPTH_MAX);
    if (outermost && !slot->flying && !slot->sent && slot->conn->tx != WEIR__TX_NONE)
        return weir__fail(
            error, WEIR_ETRANSACTION,
            "a transaction that a statement of yours has begun is still open: end it first, or leave "
            "BEGIN to transaction()");
    if (outermost) {
        int code = weir__begin_text(slot->pool, begin ? begin : &plain, &slot->begin, error);
        if (code) return code;
    } else if (!slot->depth) {
        slot->depth = 1;
    }
    *depth = ++slot->depth;
    return WEIR_OK;
}

int weir__session_end(weir__slot *slot, bool commit, int depth, void *token, weir_op *op, weir_error *error) {
    weir_pool *pool = slot->pool;
    int64_t now = weir__reactor_now(pool->reactor);
    if (!commit) weir__copy_abort(slot, NULL); /* it falls with its transaction */
    if (weir__session_busy(slot)) return busy(slot, error);
    int code = weir__session_overdue(slot, now, error);
    if (code) return code;
    if (!slot->depth && depth == 1 && slot->transaction) return weir__nothing_to_end(slot, commit, error);
    if (depth != slot->depth || depth < 1)
        return weir__fail(error, WEIR_ETRANSACTION,
                          "the transaction of depth %d cannot end: the innermost one has %d", depth,
                          slot->depth);
    if (!slot->flying && weir__levels_alive(slot) < depth) { /* what drains may begin it yet */
        weir__streams_leave(slot, depth, commit);
        slot->depth--;
        return weir__nothing_to_end(slot, commit, error);
    }
    weir__task *task = weir__task_new(pool, WEIR_DONE_END, token, now);
    if (!task) return weir__fail(error, WEIR_ENOMEM, "out of memory for an operation");
    weir__guard_enter(slot, false, &task->permit, now, NULL);
    weir__streams_leave(slot, depth, commit);
    slot->depth--;
    slot->halted = false;
    task->run_ms = pool->config->options.command_timeout_ms;
    task->depth = depth;
    task->commit = commit;
    return run_or_queue(slot, task, now, op);
}

void weir__session_return(weir__slot *slot, bool discard) {
    int64_t now = weir__reactor_now(slot->pool->reactor);
    if (slot->flying || weir__session_busy(slot)) {
        weir_error why = WEIR_ERROR_INIT;
        weir__fail(&why, WEIR_ECANCELLED, "the session was given back while the operation ran");
        weir__slot_fail_tasks(slot, &why);
        weir_error_clear(&why);
    }
    slot->discard |= discard;
    weir__slot_end_loan(slot, WEIR_ESTALE, now);
    weir__slot_release(slot, now);
}

/* ---- how long it may last ---- */

void weir__session_limits(weir__slot *slot, int64_t session_until, int64_t setup_until) {
    weir_reactor *reactor = slot->pool->reactor;
    int64_t at = setup_until < session_until ? setup_until : session_until;
    slot->session_until = session_until;
    slot->setup_until = setup_until;
    if (at != WEIR__NEVER)
        weir__reactor_start(reactor, &slot->session_timer, at);
    else
        weir__timer_stop(&reactor->wheel, &slot->session_timer);
}

void weir__session_limit(weir__slot *slot, int64_t timeout_ms) {
    int64_t now = weir__reactor_now(slot->pool->reactor);
    weir__session_limits(slot, weir__deadline(now, timeout_ms), slot->setup_until);
}

int weir__session_ready(weir__slot *slot, weir_error *error) {
    int64_t now = weir__reactor_now(slot->pool->reactor);
    if (slot->setup_until == WEIR__NEVER) return WEIR_OK;
    int code = weir__session_overdue(slot, now, error);
    if (code) return code;
    weir__session_limits(slot, slot->session_until, WEIR__NEVER);
    return WEIR_OK;
}

/* A call of the pool's own is told that it was late as a statement is, and counts by what it is told. */
static void judge_loan(weir__slot *slot, const weir_error *why, int64_t now) {
    weir_error late = WEIR_ERROR_INIT;
    late.code = WEIR_ECOMMANDTIMEOUT;
    bool asking = slot->call || slot->setup_until < slot->session_until;
    int64_t since = asking ? slot->asked_at : slot->lent_at;
    for (weir__link *link = slot->flights.next; link != &slot->flights; link = link->next) {
        weir__task *task = weir__container(link, weir__flight, link)->task;
        if (!task || !task->permit.generation) continue;
        if (!weir__guard_blames(task->permit.started_ns, since, now))
            weir__guard_cancel(slot->pool, &task->permit, now);
        else if (why->code != WEIR_ECOMMANDTIMEOUT)
            weir__guard_end(slot->pool, &task->permit, &late, now);
    }
}

void weir__session_break_off(weir__slot *slot, const weir_error *why) {
    int64_t now = weir__reactor_now(slot->pool->reactor);
    slot->discard |= slot->setup_until != WEIR__NEVER; /* nobody knows how far its setup has come */
    weir__slot_fail_tasks(slot, why);
    weir__slot_end_loan(slot, why->code, now);
    weir__slot_release(slot, now);
}

void weir__session_expired(weir__timer *timer) {
    weir__slot *slot = weir__container(timer, weir__slot, session_timer);
    weir_pool *pool = slot->pool;
    int64_t now = weir__reactor_now(pool->reactor), ms = (now - slot->lent_at) / WEIR__MS;
    weir_error why = WEIR_ERROR_INIT;
    if (slot->setup_until < slot->session_until)
        weir__fail(&why, WEIR_ECHECKOUTTIMEOUT,
                   "pool %s: the setup of the connection had not ended in time (%lld ms)",
                   weir_pool_name(pool), (long long)ms);
    else if (slot->call)
        weir__fail(&why, WEIR_ECOMMANDTIMEOUT, "pool %s: there was no answer in time (%lld ms)",
                   weir_pool_name(pool), (long long)ms);
    else
        weir__fail(&why, WEIR_ESESSIONTIMEOUT,
                   "pool %s: the session lasted longer than its timeout (%lld ms)", weir_pool_name(pool),
                   (long long)ms);
    if (slot->lasting) why.retryable = false;
    judge_loan(slot, &why, now);
    weir__session_break_off(slot, &why);
    weir_error_clear(&why);
}

static void watch_cancelled(weir__op *op) {
    ((weir__task *)op)->slot->watcher = NULL;
    weir__op_drop(op);
}

int weir__session_watch(weir__slot *slot, void *token, weir_op *op, weir_error *error) {
    if (slot->watcher) return weir__fail(error, WEIR_EBUSY, "this session is being watched already");
    slot->watcher = (weir__task *)weir__op_new(slot->pool->reactor, WEIR_DONE_WATCH, token, slot->pool,
                                               watch_cancelled, NULL);
    if (!slot->watcher) return weir__fail(error, WEIR_ENOMEM, "out of memory for an operation");
    slot->watcher->slot = slot;
    *op = slot->watcher->op.completion.op;
    return WEIR_PENDING;
}

void weir__session_tell(weir__slot *slot, int code) {
    weir_error why = WEIR_ERROR_INIT;
    if (!slot->watcher) return;
    if (code == WEIR_ESTALE) {
        weir__op_complete(&slot->watcher->op, WEIR_OK);
    } else {
        fail_ended(slot->pool, code, slot->lasting, &why);
        weir__op_fail(&slot->watcher->op, &why);
    }
    slot->watcher = NULL;
    weir_error_clear(&why);
}
