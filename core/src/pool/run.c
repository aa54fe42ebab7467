/* Running one request on one connection: sending, answering, deadlines, cancellation. */
#include "pool/extension.h"
#include "pool/leak.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/statement.h"

bool weir__task_commits(const weir__task *task) {
    return task->batch ? weir__batch_commits(task->batch) : task->depth == 1 && task->commit;
}

/* Many statements that share a connection, and are lost with it, are one failure. Of what the pool itself has
 * asked no caller is told. */
static void record(weir__task *task, const weir_error *why, int64_t now) {
    weir__slot *slot = task->slot;
    bool lost = why && (why->code == WEIR_ELOST || why->code == WEIR_EOUTCOME);
    if (lost && slot && slot->dying && task->permit.generation) {
        if (slot->mourned) weir__guard_cancel(task->pool, &task->permit, now);
        slot->mourned = true;
    }
    if (task->op.then || task->op.completion.kind == WEIR_DONE_HEALTH)
        weir__guard_end(task->pool, &task->permit, why, now);
    else
        weir__guard_tell(task->pool, &task->permit, why, &task->op.completion.failure, now);
}

/* What the task holds; why: how it has ended, NULL: well. */
static void release(weir__task *task, const weir_error *why, int64_t now) {
    record(task, why, now);
    weir_statement_unref(task->statement);
    weir__profile_unref(task->pool, task->profile);
    weir__batch_end(task->batch, !why);
    task->statement = NULL;
    task->profile = NULL;
    task->batch = NULL;
    weir__free(task->stack);
    task->stack = NULL;
}

/* Whether it has passed is not for the caller to hear, but for the pool. */
static void answer_health(weir__task *task, const weir_error *why, int64_t since, int64_t now) {
    weir_completion *completion = &task->op.completion;
    weir__health_asked(task->pool, why, since, now);
    weir_result_free(completion->result);
    weir_error_free(completion->error);
    completion->result = NULL;
    completion->error = NULL;
    weir__op_complete(&task->op, WEIR_OK);
}

void weir__task_drop(weir__task *task) {
    weir_error why = WEIR_ERROR_INIT;
    int64_t now = weir__reactor_now(task->pool->reactor);
    why.code = WEIR_ECANCELLED;
    weir__guard_cancel(task->pool, &task->permit, now);
    release(task, &why, now);
    weir__op_drop(&task->op);
}

/* It has been on its way for so long, answered or not. */
static void look_at_time(const weir__flight *flight, int64_t ran) {
    const weir_pool *pool = flight->slot->pool;
    const weir_statement *statement = flight->request.statement;
    if (ran < pool->slow_ns || flight->together) return;
    size_t length = statement->sql_length;
    const char *sql = flight->stream ? weir__stream_text(flight->stream, &length) : statement->sql;
    weir__extensions_slow(pool, sql, length, ran);
}

/* When its statement was sent first: it may have been moved since. */
static int64_t begin_of(const weir__flight *flight, const weir__task *task) {
    return task && task->moved ? task->sent_at : flight->sent_at;
}

/* The trace that a text's comment has; kind: of the failure, when it has failed. */
static void keep_trace(const weir__flight *flight, bool failed, unsigned kind, int64_t ran, int64_t now) {
    weir__exposed *exposed = &flight->slot->pool->exposed;
    const weir_statement *statement = flight->request.statement;
    weir__exemplar_take(&exposed->exemplars[failed], kind, statement->sql, statement->sql_length, ran,
                        (now + exposed->wall_ns) / WEIR__MS);
}

static bool is_late(int code) {
    return code == WEIR_ECOMMANDTIMEOUT || code == WEIR_ESESSIONTIMEOUT || code == WEIR_ECHECKOUTTIMEOUT;
}

static unsigned failure_of(int code, const weir_error *told) {
    return weir__failure_of(told ? told->code : code, told ? told->sqlstate : NULL);
}

/* Each statement counts once, and is in the durations unless its caller has gone: those he has cut himself
 * say nothing of the server. */
static void count_query(weir__cells *stats, int code, const weir_error *told, int64_t ran) {
    if (code == WEIR_ECANCELLED) {
        stats->queries_cancelled++;
        return;
    }
    weir__histogram_record(&stats->query, ran);
    if (code == WEIR_OK) {
        stats->queries_succeeded++;
        return;
    }
    weir__histogram_record(&stats->query_failed, ran);
    weir__failure_record(stats->failures, failure_of(code, told), ran);
    if (is_late(code))
        stats->queries_timed_out++;
    else
        stats->queries_failed++;
}

/* … that of this task, which may have left its flight by now. */
static void end_query(const weir__flight *flight, int code, const weir_error *told, const weir__task *task,
                      int64_t now) {
    const weir_statement *statement = flight->request.statement;
    int64_t ran = now - begin_of(flight, task);
    if (!statement) return;
    count_query(flight->slot->pool->stats, code, told, ran);
    look_at_time(flight, ran);
    if (code == WEIR_ECANCELLED || !weir__ends_with_comment(statement->sql, statement->sql_length)) return;
    keep_trace(flight, code != WEIR_OK, code != WEIR_OK ? failure_of(code, told) : 0, ran, now);
}

void weir__query_ended(const weir__flight *flight, int code, const weir_error *told, int64_t now) {
    end_query(flight, code, told, flight->task, now);
}

void weir__query_in_line_ended(const weir__task *task, const weir_error *why, int64_t now) {
    if (!task->moved) return;
    int64_t ran = now - task->sent_at;
    count_query(task->pool->stats, why->code, why, ran);
    if (ran >= task->pool->slow_ns)
        weir__extensions_slow(task->pool, task->statement->sql, task->statement->sql_length, ran);
}

void weir__task_fail(weir__task *task, const weir_error *why) {
    int64_t now = weir__reactor_now(task->pool->reactor);
    release(task, why, now);
    if (task->op.completion.kind == WEIR_DONE_HEALTH)
        answer_health(task, why, task->started_at, now);
    else
        weir__op_fail(&task->op, why);
}

/* What becomes of a code where nobody knows whether it is done. */
static int in_doubt(int code) { return is_late(code) ? WEIR_EOUTCOMETIMEOUT : WEIR_EOUTCOME; }

void weir__task_give_up(weir__task *task, const weir__flight *flight, const weir_error *why, bool doubtful) {
    weir_error unknown = WEIR_ERROR_INIT;
    int64_t now = weir__reactor_now(task->pool->reactor);
    int code = why->code;
    bool late = code == WEIR_ECOMMANDTIMEOUT || code == WEIR_ESESSIONTIMEOUT;
    const char *text = why->message ? why->message : weir_error_text(code);
    /* What we or its caller break off says nothing of the server, be its outcome known or not. */
    if (!late && code != WEIR_ELOST) weir__guard_cancel(task->pool, &task->permit, now);
    if (weir__task_commits(task)) {
        weir__fail(&unknown, in_doubt(code), "COMMIT was sent and not answered: %s", text);
        unknown.xid = task->slot->conn ? task->slot->conn->xid : 0;
        why = &unknown;
    } else if (doubtful && !task->batch) { /* a transaction goes by its COMMIT alone */
        weir__fail(&unknown, in_doubt(code), "%s: whether it takes effect is unknown", text);
        why = &unknown;
    }
    end_query(flight, code, why, task, now);
    weir__task_fail(task, why);
    weir_error_clear(&unknown);
}

bool weir__flight_doubtful(const weir__flight *flight) {
    const weir__slot *slot = flight->slot;
    bool (*doubtful)(weir__conn *, const weir__request *) = slot->pool->driver->doubtful;
    return doubtful && doubtful(slot->conn, &flight->request);
}

static void end_without_request(weir__slot *slot, weir__task *task, int64_t now) {
    weir_error why = WEIR_ERROR_INIT;
    weir__guard_cancel(slot->pool, &task->permit, now);
    if (weir__nothing_to_end(slot, task->commit, &why) == WEIR_OK)
        weir__op_complete(&task->op, WEIR_OK);
    else
        weir__op_fail(&task->op, &why);
    weir_error_clear(&why);
}

static void fail_for_memory(weir__slot *slot, weir__task *task) {
    weir_pool *pool = slot->pool;
    weir_error why = WEIR_ERROR_INIT;
    weir__fail(&why, WEIR_ENOMEM, "out of memory for an operation");
    if (slot->shared) { /* the others go by the slot */
        pool->stats->returned++;
        weir__histogram_record(&pool->stats->use, 0);
    }
    weir__query_in_line_ended(task, &why, weir__reactor_now(pool->reactor));
    weir__task_fail(task, &why);
    weir_error_clear(&why);
}

static void start_deadline(weir__task *task, int64_t now) {
    weir_reactor *reactor = task->pool->reactor;
    if (!task->run_deadline) task->run_deadline = weir__deadline(now, task->run_ms);
    if (task->run_deadline != WEIR__NEVER)
        weir__reactor_start(reactor, &task->op.timer, task->run_deadline);
    else
        weir__timer_stop(&reactor->wheel, &task->op.timer);
}

static void run_batch(weir__slot *slot, weir__task *task, int64_t now) {
    if (weir__batch_go_on(slot, task, now)) {
        start_deadline(task, now);
        slot->pool->stats->queries_started++;
    } else {
        fail_for_memory(slot, task);
        weir__slot_release(slot, now);
    }
}

void weir__query_log(const weir_pool *pool, const weir_statement *statement) {
    weir__logf(&pool->reactor->log, WEIR_LOG_INFO, "pool %s: %s", weir_pool_name(pool), statement->sql);
}

void weir__slot_run(weir__slot *slot, weir__task *task, int64_t now) {
    weir_pool *pool = slot->pool;
    task->slot = slot;
    if (task->batch) {
        run_batch(slot, task, now);
        return;
    }
    weir__flight *flight = weir__flight_new(slot);
    if (!flight) {
        fail_for_memory(slot, task);
        return;
    }
    if (!weir__request_build(flight, task)) {
        weir__flight_free(flight);
        end_without_request(slot, task, now);
        return;
    }
    start_deadline(task, now);
    task->flight = flight;
    flight->task = task;
    flight->sent_at = now;
    flight->alone = slot->flying == 1;
    slot->live++;
    if (flight->request.statement && !task->moved) {
        pool->stats->queries_started++;
        weir__query_echo(pool, flight->request.statement);
    }
    if (slot->shared) weir__share_sent(flight, now);
    if (task->hold) weir__hold(pool->reactor, &slot->held);
    if (task->mode >= WEIR__COPY_IN) weir__copy_sent(flight);
    pool->driver->execute(slot->conn, &flight->request);
}

void weir__slot_flush(weir__held *held) {
    weir__slot *slot = weir__container(held, weir__slot, held);
    if (slot->shared) weir__share_flushed(slot, weir__reactor_now(slot->pool->reactor));
    slot->pool->driver->flush(slot->conn);
}

bool weir__slot_takes_more(const weir__slot *slot) {
    if (!slot->flying) return true;
    if (!slot->pipelining || !slot->pool->driver->pipelines || slot->live < slot->flying) return false;
    const weir__flight *last = weir__container(slot->flights.prev, weir__flight, link);
    return last->request.statement && last->request.mode == WEIR__STATEMENT; /* no end of a transaction */
}

void weir__task_skip(weir__task *task) {
    weir_error why = WEIR_ERROR_INIT;
    weir__guard_cancel(task->pool, &task->permit, weir__reactor_now(task->pool->reactor));
    weir__fail_chain(&why);
    weir__task_fail(task, &why);
    weir_error_clear(&why);
}

void weir__slot_run_queued(weir__slot *slot, int64_t now) {
    while (!weir__list_empty(&slot->queue) && weir__slot_takes_more(slot)) {
        weir__task *task = weir__container(weir__list_pop_front(&slot->queue), weir__task, op.link);
        if (slot->halted && !task->depth)
            weir__task_skip(task);
        else
            weir__slot_run(slot, task, now);
    }
}

/* A statement that the server's own guard ended counts as what it is: a time-out. */
static void name_timeout(weir__request *request, int64_t run_ms, int64_t ran) {
    if (request->code != WEIR_ESERVER || !request->error || strcmp(request->error->sqlstate, "57014") != 0)
        return;
    if (run_ms < 0 || ran < run_ms * WEIR__MS) return;
    request->code = request->error->code = WEIR_ECOMMANDTIMEOUT;
    request->error->retryable = false;
}

static void query_answered(weir__flight *flight, const weir__task *task, int64_t run_ms, int64_t now) {
    weir__request *request = &flight->request;
    name_timeout(request, run_ms, now - flight->sent_at);
    end_query(flight, request->code, request->error, task, now);
}

void weir__query_answered(weir__flight *flight, int64_t run_ms, int64_t now) {
    query_answered(flight, NULL, run_ms, now);
}

void weir__flight_answer(weir__flight *flight, int64_t now) {
    weir__slot *slot = flight->slot;
    weir_pool *pool = slot->pool;
    weir__request *request = &flight->request;
    weir__request_settle(flight);
    if (request->error && strcmp(request->error->sqlstate, "25006") == 0) weir__health_refused(flight, now);
    if (request->chain && request->code != WEIR_OK && slot->pipelining)
        slot->halted = !pool->driver->pipelines; /* one that does sees to it itself */
    if (weir__copy_landed(flight, now)) weir__query_ended(flight, slot->copy.code, slot->copy.error, now);
    weir__task *task = flight->task;
    bool more = false;
    if (flight->batch) task = weir__batch_answer(flight, &more);
    if (task) weir__flight_detach(flight, now);
    if (more) {
        weir__flight_free(flight);
        weir__batch_go_on(slot, task, now); /* the slot's own flight is free: it needs no memory */
        return;
    }
    if (task) {
        if (pool->adapt.usual && request->code == WEIR_OK) weir__adapt_count(flight, true, now);
        query_answered(flight, task, task->run_ms, now);
        weir__streams_broken(slot, request);
        task->op.completion.result = request->result;
        task->op.completion.error = request->error;
        request->result = NULL;
        request->error = NULL;
        release(task, task->op.completion.error, now);
        if (task->op.completion.kind == WEIR_DONE_HEALTH)
            answer_health(task, task->op.completion.error, flight->sent_at, now);
        else
            weir__op_complete(&task->op, request->code);
    }
    if (flight->stream) weir__stream_answer(flight, now);
    weir__flight_free(flight);
    if (slot->flying) return;
    slot->cancelled = false;
    if (slot->state != WEIR__PREPARING) weir__timer_stop(&pool->reactor->wheel, &slot->bound);
}

weir__task *weir__flight_abandon(weir__flight *flight, bool finish) {
    weir__slot *slot = flight->slot;
    weir_pool *pool = slot->pool;
    int64_t now = weir__reactor_now(pool->reactor);
    weir__task *task = weir__flight_detach(flight, now);
    if (slot->copy.flight == flight) weir__copy_forget(slot, WEIR_ECANCELLED);
    if (slot->live)
        return task; /* somebody else's statement could be hit: the answer is dropped when it comes */
    if (slot->state == WEIR__RUNNING) {
        weir__slot_drain(slot, now);
        return task;
    }
    if (slot->state != WEIR__PREPARING) /* that has a bound over all of it */
        weir__reactor_start(pool->reactor, &slot->bound, now + WEIR__CLEAN_BOUND);
    if (!finish) weir__slot_cancel(slot);
    return task;
}

void weir__slot_drain(weir__slot *slot, int64_t now) {
    weir__slot_end_use(slot, now);
    weir__share_end(slot);
    weir__slot_move(slot, WEIR__DRAINING);
    weir__reactor_start(slot->pool->reactor, &slot->bound, now + WEIR__CLEAN_BOUND);
    weir__slot_cancel(slot);
}

void weir__slot_cancel(weir__slot *slot) {
    if (slot->cancelled) return;
    slot->cancelled = true;
    slot->pool->driver->cancel(slot->conn);
}

static void fail_unsent(weir__task *task, int code, const char *what, int64_t ms) {
    weir_error error = WEIR_ERROR_INIT;
    weir__fail(&error, code, "pool %s: %s (%lld ms)", weir_pool_name(task->pool), what, (long long)ms);
    weir__task_fail(task, &error);
    weir_error_clear(&error);
}

static void give_up(weir__task *task, int64_t ms) {
    weir__flight *flight = task->flight;
    weir_error error = WEIR_ERROR_INIT;
    if (task->pool->adapt.usual) weir__adapt_count(flight, false, weir__reactor_now(task->pool->reactor));
    /* A COMMIT that is on its way alone is let finish. */
    weir__flight_abandon(flight, !task->batch && weir__task_commits(task));
    weir__fail(&error, WEIR_ECOMMANDTIMEOUT, "pool %s: there was no answer in time (%lld ms)",
               weir_pool_name(task->pool), (long long)ms);
    weir__task_give_up(task, flight, &error, weir__flight_doubtful(flight));
    weir_error_clear(&error);
}

/* When a wait in line ends, whatever his patience with a probe. */
static int64_t wait_ends(const weir__task *task) {
    if (task->run_deadline) return task->run_deadline;
    return weir__deadline(task->started_at, task->pool->config->options.checkout_timeout_ms);
}

static void expire_in_line(weir__task *task, int64_t now, int64_t ms) {
    weir_pool *pool = task->pool;
    char text[2 * WEIR__SITE_TEXT + 64];
    weir_error why = WEIR_ERROR_INIT;
    bool refused = weir__guard_shut(pool, WEIR_BREAKER_QUERIES, now, &why) || weir__pool_down(pool, &why);
    if (!refused && now < wait_ends(task)) { /* he is let in, when there is a connection */
        weir__reactor_start(pool->reactor, &task->op.timer, wait_ends(task));
        return;
    }
    weir__task_leave_line(task);
    if (refused) {
        pool->stats->checkouts_refused++; /* he had waited for a probe alone */
        weir__guard_refused(pool, &why);
    } else {
        weir__fail(&why, task->moved ? WEIR_ECOMMANDTIMEOUT : WEIR_ECHECKOUTTIMEOUT, "pool %s: %s (%lld ms)",
                   weir_pool_name(pool), weir__leak_why(task, text, sizeof text), (long long)ms);
        pool->stats->checkouts_timed_out++;
        weir__guard_waited(pool, &why, now);
    }
    weir__query_in_line_ended(task, &why, now);
    weir__task_fail(task, &why);
    weir_error_clear(&why);
}

void weir__task_expired(weir__timer *timer) {
    weir__task *task = weir__container(timer, weir__task, op.timer);
    weir__slot *slot = task->slot;
    int64_t now = weir__reactor_now(task->pool->reactor), ms = (now - task->started_at) / WEIR__MS;
    if (!slot) {
        expire_in_line(task, now, ms);
    } else if (!task->flight) {
        weir__list_remove(&task->op.link);
        if (task->depth) weir__levels_die(slot, task->depth);
        fail_unsent(task, WEIR_ECOMMANDTIMEOUT, "the session was still busy with a statement before it", ms);
    } else {
        if (!weir__guard_blames(task->permit.started_ns, task->started_at, now))
            weir__guard_cancel(task->pool, &task->permit, now);
        give_up(task, ms);
    }
}

void weir__task_cancelled(weir__op *op) {
    weir__task *task = (weir__task *)op;
    weir__slot *slot = task->slot;
    if (!slot) {
        weir__task_leave_line(task);
        task->pool->stats->checkouts_cancelled++;
        task->pool->stats->queries_cancelled += task->moved;
    } else if (!task->flight) {
        weir__list_remove(&task->op.link);
        if (task->depth) weir__levels_die(slot, task->depth);
    } else {
        weir__flight *flight = task->flight;
        weir__flight_abandon(flight, !flight->request.statement); /* a COMMIT on its way is let finish */
        weir__query_ended(flight, WEIR_ECANCELLED, NULL, weir__reactor_now(task->pool->reactor));
    }
    weir__task_drop(task);
}
