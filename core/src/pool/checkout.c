/* Asking for a connection: at once, or in the queue; for a session, or to run one statement. */
#include "pool/leak.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

weir__task *weir__task_new(weir_pool *pool, weir_completion_kind kind, void *token, int64_t now) {
    weir__task *task = (weir__task *)weir__op_new(pool->reactor, kind, token, pool, weir__task_cancelled,
                                                  weir__task_expired);
    if (!task) return NULL;
    task->pool = pool;
    task->started_at = now;
    return task;
}

/* While somebody dispatches, a dead idle socket is news at once; otherwise have a look. */
static bool is_dead(const weir__slot *slot, int64_t now) {
    const weir_pool *pool = slot->pool;
    return pool->config->options.pre_ping && now - slot->idle_since > WEIR__PING_AFTER &&
           now - pool->reactor->dispatched_at > WEIR__PING_AFTER && !pool->driver->alive(slot->conn);
}

static inline weir__slot *find_idle(weir_pool *pool, int64_t now, bool vouched) {
    for (weir__link *link = pool->idle.next, *next; link != &pool->idle; link = next) {
        weir__slot *slot = weir__container(link, weir__slot, link);
        next = link->next;
        if (slot->expires_at <= now || slot->generation != pool->generation) {
            weir__slot_close(slot, WEIR_ELOST, NULL);
            continue;
        }
        if (now - slot->idle_since <= pool->health.look_after) return slot;
        if (is_dead(slot, now)) {
            weir__health_lost(pool);
            weir__slot_close(slot, WEIR_ELOST, NULL);
            continue;
        }
        if (!vouched || weir__health_vouches(slot, now)) return slot;
    }
    return NULL;
}

/* Those that are idle have been so for long: as many are asked at a time as somebody waits for. */
static void ask_idle(weir_pool *pool, int64_t now) {
    weir__slot *slot = weir__container(pool->idle.next, weir__slot, link);
    int wanted = weir__pool_demand(pool), coming = weir__health_coming(pool, now);
    if (coming < (wanted > 1 ? wanted : 1)) weir__health_check(slot, now);
}

weir__slot *weir__pool_any_idle(weir_pool *pool, int64_t now) { return find_idle(pool, now, false); }

weir__slot *weir__pool_take_idle(weir_pool *pool, int64_t now) {
    if (weir__adapt_full(pool)) return NULL;
    weir__slot *slot = find_idle(pool, now, true);
    if (!slot && !weir__list_empty(&pool->idle)) ask_idle(pool, now);
    return slot;
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

/* A stack for reports, as far as memory goes. */
static char *copy_stack(const char *stack) {
    size_t size = stack ? strlen(stack) + 1 : 0;
    char *copy = size ? weir__malloc(size) : NULL;
    return copy ? memcpy(copy, stack, size) : NULL;
}

static void count_grant(weir_pool *pool, int64_t started_at, int64_t now) {
    pool->stats->checkouts_granted++;
    weir__histogram_record(&pool->stats->wait, now - started_at);
}

/* Idle -> lent. The slot's site, begin and kind are the caller's to set. */
static inline weir_session lend(weir__slot *slot, uint64_t owner, char *stack, int64_t asked_at,
                                int64_t now) {
    weir_pool *pool = slot->pool;
    weir__slot_move(slot, WEIR__LENT);
    slot->loan = ++pool->loans;
    slot->asked_at = asked_at;
    slot->lent_at = now;
    slot->in_use = true;
    slot->owner = owner;
    if (!weir__breaker_calm(weir__guard_of(pool, WEIR_BREAKER_QUERIES)))
        weir__guard_grant(pool, &slot->entry, now);
    weir__owner_add(pool, owner, 1);
    weir__leak_begin(slot, stack);
    return weir__slot_session(slot);
}

/* `until`: when the wait would have ended. */
static void limit(weir__slot *slot, int64_t now, int64_t until, int64_t session_ms, bool setup, bool call) {
    slot->call = call;
    bool bounded = call && session_ms != WEIR_TIMEOUT_DEFAULT;
    weir__session_limits(slot, bounded ? until : weir__deadline(now, session_ms),
                         setup ? until : WEIR__NEVER);
}

static int turn_away(weir_pool *pool, weir_error *error, int code, const char *text) {
    return weir__fail(error, code, "pool %s: %s", weir_pool_name(pool), text);
}

/* Who has been let in already. */
static int refuse(weir_pool *pool, weir_error *error, int code, const char *text) {
    pool->stats->checkouts_refused++;
    return turn_away(pool, error, code, text);
}

/* *why is taken over. */
static int turn_away_with(weir_error *why, weir_error *error) {
    int code = why->code;
    weir_error_clear(error);
    if (error)
        *error = *why;
    else
        weir_error_clear(why);
    return code;
}

static int ask_for_health(weir_pool *pool, weir_error *error) {
    weir_error why = WEIR_ERROR_INIT;
    if (!weir__pool_down(pool, &why)) return WEIR_PENDING;
    weir__guard_refused(pool, &why);
    return turn_away_with(&why, error);
}

/* Why nobody gets in line now: WEIR_PENDING if he does. own: the pool's, which max_waiting does not bound. */
static int may_wait(weir_pool *pool, bool own, weir_error *error) {
    int code = pool->failures || !weir__guard_calm(pool) ? ask_for_health(pool, error) : WEIR_PENDING;
    if (code > 0) return code;
    int most = pool->config->options.max_waiting;
    int unmade = weir__pool_most(pool) - weir__pool_live(pool);
    unmade += pool->counts[WEIR__CHECKING] + pool->counts[WEIR__IDLE]; /* they are asked first */
    if (most >= 0 && !own && pool->waiting >= most + (unmade > 0 ? unmade : 0))
        return turn_away(pool, error, WEIR_EQUEUEFULL, "max_waiting callers wait already");
    return WEIR_PENDING;
}

static int ask_the_guard(weir_pool *pool, int64_t now, weir_error *error) {
    weir_error why = WEIR_ERROR_INIT;
    int code = weir__guard_ask(pool, now, &why);
    return code > 0 ? turn_away_with(&why, error) : code;
}

/* WEIR_OK: there may be a connection at once; WEIR_PENDING: there is none; else it is
 * refused. */
static inline int begin_to_ask(weir_pool *pool, int64_t now, weir_error *error) {
    const char *shut = weir__pool_shut(pool);
    if (shut) return turn_away(pool, error, WEIR_ECLOSED, shut);
    bool calm = weir__breaker_calm(weir__guard_of(pool, WEIR_BREAKER_QUERIES));
    return calm ? WEIR_OK : ask_the_guard(pool, now, error);
}

/* What has come of it. Nobody has asked when the pool's own is turned away. */
static inline int count_request(weir_pool *pool, bool own, int code) {
    if (own && code > 0) return code;
    pool->stats->checkouts_started++;
    if (code > 0) pool->stats->checkouts_refused++;
    return code;
}

/* For a connection of one's own. WEIR_OK: *slot is idle and yours; WEIR_PENDING: get in line. */
static inline int ask(weir_pool *pool, bool own, int64_t now, weir__slot **slot, weir_error *error) {
    int code = begin_to_ask(pool, now, error);
    if (code <= 0) {
        *slot = code || pool->waiting ? NULL : weir__pool_take_idle(pool, now);
        code = *slot ? WEIR_OK : may_wait(pool, own, error);
    }
    return count_request(pool, own, code);
}

/* Likewise, for a statement that may share one: *slot may be RUNNING. */
static int ask_to_share(weir_pool *pool, weir__profile *profile, int64_t sets, bool readonly, int64_t now,
                        weir__slot **slot, weir_error *error) {
    int code = begin_to_ask(pool, now, error);
    if (code <= 0) {
        weir__width_pass(pool, now);
        *slot = code || pool->share.lane_count ? NULL : weir__share_pick(pool, profile, sets, readonly, now);
        if (pool->share.wish) weir__pool_touch(pool);
        code = *slot ? WEIR_OK : may_wait(pool, false, error);
    }
    return count_request(pool, false, code);
}

static void get_in_line(weir_pool *pool, weir__task *task, int64_t deadline) {
    weir__list_push_back(task->profile ? &pool->lane : &pool->waiters, &task->op.link);
    pool->waiting++;
    pool->share.lane_count += task->profile != NULL;
    if (!weir__guard_calm(pool)) deadline = weir__guard_patience(pool, task->started_at, deadline);
    weir__reactor_start(pool->reactor, &task->op.timer, deadline);
    weir__leak_waits(pool, task, task->started_at);
    if (pool->codel.target) weir__codel_waits(pool);
    if (pool->adapt.usual) weir__adapt_waits(pool, task->started_at);
    weir__share_claim(pool);
    weir__pool_touch(pool);
}

void weir__task_leave_line(weir__task *task) {
    weir_pool *pool = task->pool;
    weir__list_remove(&task->op.link);
    pool->waiting--;
    pool->share.lane_count -= task->profile != NULL;
    if (pool->codel.target && !pool->waiting) weir__codel_drained(pool);
    weir__share_claim(pool);
    if (pool->draining && !pool->waiting) weir__pool_touch(pool); /* it was for him that it stayed open */
}

void weir__task_move_on(weir__task *task) {
    weir_pool *pool = task->pool;
    weir__guard_cancel(pool, &task->permit, weir__reactor_now(pool->reactor));
    task->slot = NULL;
    task->moved = true;
    pool->stats->checkouts_started++; /* that is another one */
    weir__list_push_front(&pool->lane, &task->op.link);
    pool->waiting++;
    pool->share.lane_count++;
    if (pool->adapt.usual) weir__adapt_waits(pool, weir__reactor_now(pool->reactor));
    weir__pool_touch(pool);
}

int weir__pool_acquire(weir_pool *pool, const weir_checkout *checkout, void *token, weir_session *session,
                       weir_op *op, weir_error *error) {
    const char *begin = NULL;
    weir__reset reset;
    int code = checkout->transaction ? weir__begin_text(pool, &checkout->begin, &begin, error) : WEIR_OK;
    if (!code) code = weir__reset_of_loan(checkout->reset, &reset, error);
    if (code) return code;
    int64_t now = weir__reactor_now(pool->reactor), session_ms = checkout->session_timeout_ms;
    bool call = checkout->call;
    int64_t wait_ms = call && session_ms != WEIR_TIMEOUT_DEFAULT ? session_ms : checkout->checkout_timeout_ms;
    if (wait_ms == WEIR_TIMEOUT_DEFAULT) wait_ms = pool->config->options.checkout_timeout_ms;
    int64_t until = weir__deadline(now, wait_ms);
    weir__slot *slot = NULL;
    code = ask(pool, false, now, &slot, error);
    if (code == WEIR_OK) {
        count_grant(pool, now, now);
        *session = lend(slot, checkout->owner, copy_stack(checkout->stack), now, now);
        limit(slot, now, until, session_ms, checkout->setup, call);
        slot->reset = reset;
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
    task->session_ms = session_ms;
    task->run_deadline = until;
    task->setup = checkout->setup;
    task->call = call;
    task->owner = checkout->owner;
    task->inside = checkout->inside;
    task->stack = copy_stack(checkout->stack);
    task->reset = reset;
    task->transaction = checkout->transaction;
    task->begin = begin;
    copy_end(task->file, checkout->file);
    copy_end(task->function, checkout->function);
    task->line = checkout->line;
    get_in_line(pool, task, until);
    *op = task->op.completion.op;
    return WEIR_PENDING;
}

/* Runs a statement of the pool's own on a connection that is idle, or shared. */
static void run_statement(weir__slot *slot, weir__task *task, int64_t now) {
    weir__guard_grant(slot->pool, &task->permit, now);
    if (slot->state == WEIR__IDLE) {
        weir__slot_move(slot, WEIR__RUNNING);
        slot->lent_at = now;
        if (task->profile)
            weir__share_begin(slot, task->readonly);
        else
            slot->in_use = true;
    }
    weir__slot_run(slot, task, now);
}

/* Now, on the slot, or in line when it is NULL. */
static void start(weir_pool *pool, weir__slot *slot, weir__task *task, const weir_run *run, int64_t now) {
    const weir_options *options = &pool->config->options;
    bool given = run->timeout_ms != WEIR_TIMEOUT_DEFAULT;
    task->owner = run->owner;
    task->run_ms = given ? run->timeout_ms : options->command_timeout_ms;
    if (given) task->run_deadline = weir__deadline(now, task->run_ms);
    if (slot) {
        count_grant(pool, now, now);
        run_statement(slot, task, now);
    } else {
        get_in_line(pool, task,
                    given ? task->run_deadline : weir__deadline(now, options->checkout_timeout_ms));
    }
}

int weir__pool_execute(weir_pool *pool, weir_statement *statement, const weir_run *run, void *token,
                       weir_op *op, weir_error *error) {
    const weir_options *options = &pool->config->options;
    int64_t now = weir__reactor_now(pool->reactor);
    weir__slot *slot = NULL;
    weir__profile *profile = NULL;
    weir__mode mode = run->script ? WEIR__SCRIPT : WEIR__STATEMENT;
    int code = weir__mode_check(pool, statement, mode, error);
    if (!code && run->script && run->readonly)
        code = weir__fail(error, WEIR_EINVAL,
                          "pool %s: readonly is of single statements, and this is a script: run it in a "
                          "session that is readonly",
                          weir_pool_name(pool));
    if (!code && !run->script) code = weir__share_judge(pool, statement, run, &profile, error);
    if (code) return code;
    int64_t sets = weir__share_sets(statement);
    code = profile ? ask_to_share(pool, profile, sets, run->readonly, now, &slot, error)
                   : ask(pool, false, now, &slot, error);
    weir__task *task = code <= 0 ? weir__task_new(pool, WEIR_DONE_EXECUTE, token, now) : NULL;
    if (!task) {
        weir__profile_unref(pool, profile);
        return code > 0 ? code : refuse(pool, error, WEIR_ENOMEM, "out of memory for an operation");
    }
    *op = task->op.completion.op;
    task->statement = weir_statement_ref(statement);
    task->mode = mode;
    task->profile = profile;
    task->readonly = run->readonly || options->readonly;
    task->hold = run->hold && profile;
    start(pool, slot, task, run, now);
    return WEIR_PENDING;
}

int weir__pool_question(weir_pool *pool, const weir_run *run, void *token, weir_op *op, weir_error *error) {
    int64_t now = weir__reactor_now(pool->reactor);
    weir__slot *slot = NULL;
    int code = ask(pool, false, now, &slot, error);
    weir__task *task = code <= 0 ? weir__task_new(pool, WEIR_DONE_HEALTH, token, now) : NULL;
    if (!task) return code > 0 ? code : refuse(pool, error, WEIR_ENOMEM, "out of memory for an operation");
    *op = task->op.completion.op;
    task->statement = weir_statement_ref(pool->health.query);
    task->readonly = pool->config->options.readonly;
    start(pool, slot, task, run, now);
    return WEIR_PENDING;
}

int weir__pool_transaction(weir_pool *pool, weir_batch *batch, const char *begin, const weir_run *run,
                           bool own, void *token, weir_op *op, weir_error *error) {
    int64_t now = weir__reactor_now(pool->reactor);
    weir__slot *slot = NULL;
    int code = weir__batch_start(pool, batch, begin, error);
    if (code) return code;
    code = ask(pool, own, now, &slot, error);
    weir__task *task = code <= 0 ? weir__task_new(pool, WEIR_DONE_BATCH, token, now) : NULL;
    if (!task) {
        weir__batch_end(batch, false);
        return code > 0 ? code : refuse(pool, error, WEIR_ENOMEM, "out of memory for an operation");
    }
    *op = task->op.completion.op;
    task->batch = batch;
    start(pool, slot, task, run, now);
    return WEIR_PENDING;
}

static void grant(weir__slot *slot, weir__task *task, int64_t now) {
    weir_pool *pool = slot->pool;
    if (pool->codel.target) weir__codel_serves(pool, task, now);
    weir__task_leave_line(task);
    count_grant(pool, task->started_at, now);
    if (weir__task_is_query(task)) {
        task->hold = task->profile;
        run_statement(slot, task, now);
        return;
    }
    task->op.completion.session = lend(slot, task->owner, task->stack, task->started_at, now);
    task->stack = NULL;
    limit(slot, now, task->run_deadline, task->session_ms, task->setup, task->call);
    slot->reset = task->reset;
    slot->transaction = task->transaction;
    slot->begin = task->begin;
    memcpy(slot->file, task->file, sizeof slot->file);
    memcpy(slot->function, task->function, sizeof slot->function);
    slot->line = task->line;
    weir__op_complete(&task->op, WEIR_OK);
}

static weir__task *front_of(const weir__link *list) {
    weir__link *link = weir__list_front(list);
    return link ? weir__container(link, weir__task, op.link) : NULL;
}

/* In an overload the newest comes first: he at least has time left. But for who was moved on, who had his
 * turn already. */
static weir__task *next_of(const weir_pool *pool, const weir__link *list) {
    weir__task *first = front_of(list);
    if (!first || first->moved || !pool->codel.overloaded) return first;
    return weir__container(list->prev, weir__task, op.link);
}

/* Who comes next, and where; false: nobody can be served now. An idle connection goes to who comes first. */
static bool next_to_serve(weir_pool *pool, int64_t now, weir__task **task, weir__slot **slot) {
    weir__task *alone = front_of(&pool->waiters), *sharing = next_of(pool, &pool->lane);
    if (alone && alone->op.then) { /* the pool's own, which takes a moment, and may make room */
        *task = alone;
        *slot = weir__pool_take_idle(pool, now);
        if (*slot) return true;
    }
    if (pool->ceiling.guest) return false;
    alone = next_of(pool, &pool->waiters);
    bool newest = pool->codel.overloaded && !(sharing && sharing->moved);
    bool first = alone && (!sharing || (newest ? sharing->started_at <= alone->started_at
                                               : sharing->started_at >= alone->started_at));
    *task = alone;
    *slot = first ? weir__pool_take_idle(pool, now) : NULL;
    if (*slot || !sharing) return *slot;
    *task = sharing;
    int64_t sets = weir__share_sets(sharing->statement);
    *slot = weir__share_pick(pool, sharing->profile, sets, sharing->readonly, now);
    if (*slot || !alone || first) return *slot;
    *task = alone;
    *slot = weir__pool_take_idle(pool, now);
    return *slot;
}

void weir__pool_serve(weir_pool *pool) {
    weir__task *task;
    weir__slot *slot;
    if (!pool->waiting) return;
    int64_t now = weir__reactor_now(pool->reactor);
    bool served = false;
    for (; pool->waiting && weir__guard_serves(pool, now) && next_to_serve(pool, now, &task, &slot);
         served = true)
        grant(slot, task, now);
    if (served) weir__flush(pool->reactor); /* what goes the same way goes together */
}

void weir__pool_refuse_waiters(weir_pool *pool, const weir_error *error) {
    for (weir__task *task; (task = front_of(&pool->waiters)) || (task = front_of(&pool->lane));) {
        weir__task_leave_line(task);
        pool->stats->checkouts_refused++;
        weir__guard_refused(pool, error);
        weir__query_in_line_ended(task, error, weir__reactor_now(pool->reactor));
        weir__task_fail(task, error);
    }
}
