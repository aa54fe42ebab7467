/* Running one request on one connection: sending, answering, deadlines, cancellation. */
#include "pool/pool.h"

#include <string.h>

#include "base/error.h"

void weir__task_fail(weir__task *task, const weir_error *why, bool was_sent) {
    weir_error unknown = WEIR_ERROR_INIT;
    if (was_sent && weir__task_commits(task)) {
        weir__fail(&unknown, WEIR_EOUTCOME, "COMMIT was sent and not answered: %s",
                   why->message ? why->message : weir_error_text(why->code));
        why = &unknown;
    }
    weir_statement_unref(task->statement);
    weir__profile_unref(task->pool, task->profile);
    task->statement = NULL;
    task->profile = NULL;
    weir__op_fail(&task->op, why);
    weir_error_clear(&unknown);
}

static void end_without_request(weir__slot *slot, weir__task *task) {
    weir_error why = WEIR_ERROR_INIT;
    if (weir__nothing_to_end(slot, task->commit, &why) == WEIR_OK)
        weir__op_complete(&task->op, WEIR_OK);
    else
        weir__op_fail(&task->op, &why);
    weir_error_clear(&why);
}

void weir__slot_run(weir__slot *slot, weir__task *task, int64_t now) {
    weir_pool *pool = slot->pool;
    weir__flight *flight = weir__flight_new(slot);
    task->slot = slot;
    if (!flight) {
        weir_error why = WEIR_ERROR_INIT;
        weir__fail(&why, WEIR_ENOMEM, "out of memory for an operation");
        pool->stats.returned++; /* only where others share the connection does a flight need memory */
        pool->stats.queries_failed += task->moved;
        weir__histogram_record(&pool->use, 0);
        weir__task_fail(task, &why, false);
        weir_error_clear(&why);
        return;
    }
    if (!weir__request_build(flight, task)) {
        weir__flight_free(flight);
        end_without_request(slot, task);
        return;
    }
    if (!task->run_deadline) task->run_deadline = weir__deadline(now, task->run_ms);
    if (task->run_deadline != WEIR__NEVER)
        weir__reactor_start(pool->reactor, &task->op.timer, task->run_deadline);
    else
        weir__timer_stop(&pool->reactor->wheel, &task->op.timer);
    task->flight = flight;
    flight->task = task;
    flight->sent_at = now;
    slot->live++;
    if (flight->request.statement && !task->moved) pool->stats.queries_started++;
    if (slot->shared) weir__share_sent(flight, now);
    pool->driver->execute(slot->conn, &flight->request);
}

/* A statement that the server's own guard ended counts as what it is: a time-out. */
static void name_timeout(weir__request *request, int64_t run_ms, int64_t ran) {
    if (request->code != WEIR_ESERVER || !request->error || strcmp(request->error->sqlstate, "57014") != 0)
        return;
    if (run_ms < 0 || ran < run_ms * WEIR__MS) return;
    request->code = request->error->code = WEIR_ECOMMANDTIMEOUT;
    request->error->retryable = false;
}

static void count_query(weir_pool *pool, int code, int64_t ran) {
    weir__histogram_record(&pool->query, ran);
    if (code == WEIR_OK)
        pool->stats.queries_succeeded++;
    else if (code == WEIR_ECOMMANDTIMEOUT)
        pool->stats.queries_timed_out++;
    else
        pool->stats.queries_failed++;
}

void weir__query_answered(weir_pool *pool, weir__request *request, int64_t run_ms, int64_t ran) {
    name_timeout(request, run_ms, ran);
    if (request->statement) count_query(pool, request->code, ran);
}

void weir__flight_answer(weir__flight *flight, int64_t now) {
    weir__slot *slot = flight->slot;
    weir_pool *pool = slot->pool;
    weir__request *request = &flight->request;
    weir__task *task = flight->task;
    weir__request_settle(flight);
    if (task) {
        weir__flight_detach(flight, now);
        weir__query_answered(pool, request, task->run_ms, now - flight->sent_at);
        weir__streams_broken(slot, request);
        task->op.completion.result = request->result;
        task->op.completion.error = request->error;
        request->result = NULL;
        request->error = NULL;
        weir__profile_unref(pool, task->profile);
        task->profile = NULL;
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

static void fail_with(weir__task *task, int code, const char *what, int64_t ms, bool was_sent) {
    weir_error error = WEIR_ERROR_INIT;
    weir__fail(&error, code, "pool %s: %s (%lld ms)", weir_pool_name(task->pool), what, (long long)ms);
    weir__task_fail(task, &error, was_sent);
    weir_error_clear(&error);
}

void weir__task_expired(weir__timer *timer) {
    weir__task *task = weir__container(timer, weir__task, op.timer);
    weir__slot *slot = task->slot;
    int64_t ms = (weir__reactor_now(task->pool->reactor) - task->started_at) / WEIR__MS;
    if (!slot) {
        weir__task_leave_line(task);
        task->pool->stats.checkouts_timed_out++;
        task->pool->stats.queries_timed_out += task->moved;
        fail_with(task, task->moved ? WEIR_ECOMMANDTIMEOUT : WEIR_ECHECKOUTTIMEOUT,
                  "no connection came free in time", ms, false);
    } else if (slot->next == task) {
        slot->next = NULL;
        if (task->depth) weir__levels_die(slot, task->depth);
        fail_with(task, WEIR_ECOMMANDTIMEOUT, "the session's previous statement was still being cancelled",
                  ms, false);
    } else {
        weir__flight_abandon(task->flight, weir__task_commits(task)); /* a COMMIT on its way is let finish */
        if (task->op.completion.kind == WEIR_DONE_EXECUTE) task->pool->stats.queries_timed_out++;
        fail_with(task, WEIR_ECOMMANDTIMEOUT, "there was no answer in time", ms, true);
    }
}

void weir__task_cancelled(weir__op *op) {
    weir__task *task = (weir__task *)op;
    weir__slot *slot = task->slot;
    if (!slot) {
        weir__task_leave_line(task);
        task->pool->stats.checkouts_cancelled++;
        task->pool->stats.queries_cancelled += task->moved;
    } else if (slot->next == task) {
        slot->next = NULL;
        if (task->depth) weir__levels_die(slot, task->depth);
    } else {
        bool query = op->completion.kind == WEIR_DONE_EXECUTE;
        weir__flight_abandon(task->flight, !query); /* a COMMIT on its way is let finish */
        if (query) task->pool->stats.queries_cancelled++;
    }
    weir__task_drop(task);
}
