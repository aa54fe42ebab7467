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
    task->statement = NULL;
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
    weir__request *request = &slot->request;
    task->slot = slot;
    if (!weir__request_build(slot, task)) {
        end_without_request(slot, task);
        return;
    }
    int64_t deadline = task->run_deadline ? task->run_deadline : weir__deadline(now, task->run_ms);
    if (deadline != WEIR__NEVER)
        weir__reactor_start(pool->reactor, &task->op.timer, deadline);
    else
        weir__timer_stop(&pool->reactor->wheel, &task->op.timer);
    slot->task = task;
    slot->busy = true;
    slot->cancelled = false;
    slot->sent_at = now;
    if (request->statement) pool->stats.queries_started++;
    pool->driver->execute(slot->conn, request);
}

/* A statement that the server's own guard ended counts as what it is: a time-out. */
static void name_timeout(weir__task *task, weir__request *request, int64_t ran) {
    if (request->code != WEIR_ESERVER || !request->error || strcmp(request->error->sqlstate, "57014") != 0)
        return;
    if (task->run_ms < 0 || ran < task->run_ms * WEIR__MS) return;
    request->code = request->error->code = WEIR_ECOMMANDTIMEOUT;
    request->error->retryable = false;
}

void weir__slot_answer(weir__slot *slot, int64_t now) {
    weir_pool *pool = slot->pool;
    weir__request *request = &slot->request;
    weir__task *task = slot->task;
    bool query = request->statement != NULL;
    if (slot->state != WEIR__PREPARING) weir__timer_stop(&pool->reactor->wheel, &slot->bound);
    weir__request_settle(slot);
    weir_statement_unref(request->statement);
    request->statement = NULL;
    slot->busy = slot->cancelled = false;
    slot->task = NULL;
    if (!task) {
        weir_result_free(request->result);
        weir_error_free(request->error);
    } else {
        name_timeout(task, request, now - slot->sent_at);
        if (query) {
            weir__histogram_record(&pool->query, now - slot->sent_at);
            if (request->code == WEIR_OK)
                pool->stats.queries_succeeded++;
            else if (request->code == WEIR_ECOMMANDTIMEOUT)
                pool->stats.queries_timed_out++;
            else
                pool->stats.queries_failed++;
        }
        task->op.completion.result = request->result;
        task->op.completion.error = request->error;
        weir__op_complete(&task->op, request->code);
    }
    request->result = NULL;
    request->error = NULL;
}

weir__task *weir__slot_abandon(weir__slot *slot, bool cancel) {
    weir_pool *pool = slot->pool;
    weir__task *task = slot->task;
    slot->task = NULL;
    if (slot->state == WEIR__RUNNING) {
        weir__slot_end_use(slot, weir__reactor_now(pool->reactor));
        weir__slot_move(slot, WEIR__DRAINING);
    }
    if (slot->state != WEIR__PREPARING) /* that has a bound over all of it */
        weir__reactor_start(pool->reactor, &slot->bound,
                            weir__reactor_now(pool->reactor) + WEIR__CLEAN_BOUND);
    if (cancel && !slot->cancelled) {
        slot->cancelled = true;
        pool->driver->cancel(slot->conn);
    }
    return task;
}

static void fail_with(weir__task *task, int code, const char *what, int64_t ms, bool was_sent) {
    weir_error error = WEIR_ERROR_INIT;
    weir__fail(&error, code, "pool %s: %s (%lld ms)", weir_pool_name(task->pool), what, (long long)ms);
    weir__task_fail(task, &error, was_sent);
    weir_error_clear(&error);
}

static void leave_line(weir__task *task) {
    weir__list_remove(&task->op.link);
    task->pool->waiting--;
}

void weir__task_expired(weir__timer *timer) {
    weir__task *task = weir__container(timer, weir__task, op.timer);
    weir__slot *slot = task->slot;
    int64_t ms = (weir__reactor_now(task->pool->reactor) - task->started_at) / WEIR__MS;
    if (!slot) {
        leave_line(task);
        task->pool->stats.checkouts_timed_out++;
        fail_with(task, WEIR_ECHECKOUTTIMEOUT, "no connection came free in time", ms, false);
    } else if (slot->next == task) {
        slot->next = NULL;
        if (task->depth) weir__levels_die(slot, task->depth);
        fail_with(task, WEIR_ECOMMANDTIMEOUT, "the session's previous statement was still being cancelled",
                  ms, false);
    } else {
        weir__slot_abandon(slot, !weir__task_commits(task)); /* a COMMIT on its way is let finish */
        if (task->op.completion.kind == WEIR_DONE_EXECUTE) task->pool->stats.queries_timed_out++;
        fail_with(task, WEIR_ECOMMANDTIMEOUT, "there was no answer in time", ms, true);
    }
}

void weir__task_cancelled(weir__op *op) {
    weir__task *task = (weir__task *)op;
    weir__slot *slot = task->slot;
    if (!slot) {
        leave_line(task);
        task->pool->stats.checkouts_cancelled++;
    } else if (slot->next == task) {
        slot->next = NULL;
        if (task->depth) weir__levels_die(slot, task->depth);
    } else {
        bool query = op->completion.kind == WEIR_DONE_EXECUTE;
        weir__slot_abandon(slot, query); /* a COMMIT on its way is let finish */
        if (query) task->pool->stats.queries_cancelled++;
    }
    weir__task_drop(task);
}
