/* Running one request on one connection: sending, answering, deadlines, cancellation. */
#include "pool/pool.h"

#include <string.h>

#include "base/error.h"

/* What must be begun on the server before the holder's statement. In a failed transaction the server will
   refuse it: then it does not count as begun, and its end has nothing to send. */
static void put_beginnings(weir__slot *slot, weir__request *request) {
    bool refused = slot->conn->tx == WEIR__TX_FAILED && !request->before_count;
    int sent = slot->sent;
    while (sent < slot->depth) {
        sent++;
        slot->before[request->before_count++] = sent == 1 ? slot->begin : weir__savepoint(sent);
    }
    if (!refused) slot->sent = sent;
}

void weir__slot_run(weir__slot *slot, weir__task *task, int64_t now) {
    weir_pool *pool = slot->pool;
    weir__request *request = &slot->request;
    memset(request, 0, sizeof *request);
    request->statement = task->statement; /* with its reference */
    task->statement = NULL;
    request->command = task->command;
    for (int i = 0; i < 2; i++) {
        if (slot->owed[i] && slot->conn->tx != WEIR__TX_NONE)
            slot->before[request->before_count++] = slot->owed[i];
        slot->owed[i] = NULL;
    }
    if (task->before) slot->before[request->before_count++] = task->before;
    if (request->statement) put_beginnings(slot, request);
    request->before = slot->before;
    int64_t deadline = task->run_deadline ? task->run_deadline : weir__deadline(now, task->run_ms);
    request->timeout_ms = task->run_ms;
    if (deadline != WEIR__NEVER)
        weir__reactor_start(pool->reactor, &task->op.timer, deadline);
    else
        weir__timer_stop(&pool->reactor->wheel, &task->op.timer);
    task->slot = slot;
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
    request->error->retryable = true;
}

void weir__slot_answer(weir__slot *slot, int64_t now) {
    weir_pool *pool = slot->pool;
    weir__request *request = &slot->request;
    weir__task *task = slot->task;
    bool query = request->statement != NULL;
    weir__timer_stop(&pool->reactor->wheel, &slot->bound);
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
    weir__reactor_start(pool->reactor, &slot->bound, weir__reactor_now(pool->reactor) + WEIR__CLEAN_BOUND);
    if (cancel && !slot->cancelled) {
        slot->cancelled = true;
        pool->driver->cancel(slot->conn);
    }
    return task;
}

static void fail_with(weir__task *task, int code, const char *what, int64_t ms) {
    weir_error error = WEIR_ERROR_INIT;
    weir__fail(&error, code, "pool %s: %s (%lld ms)", weir_pool_name(task->pool), what, (long long)ms);
    weir_statement_unref(task->statement);
    task->statement = NULL;
    weir__op_fail(&task->op, &error);
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
        fail_with(task, WEIR_ECHECKOUTTIMEOUT, "no connection came free in time", ms);
    } else if (slot->next == task) {
        slot->next = NULL;
        weir__session_owe(slot, task);
        fail_with(task, WEIR_ECOMMANDTIMEOUT, "the session's previous statement was still being cancelled",
                  ms);
    } else {
        weir__slot_abandon(slot, true);
        if (task->op.completion.kind == WEIR_DONE_EXECUTE) task->pool->stats.queries_timed_out++;
        if (task->commits)
            fail_with(task, WEIR_EOUTCOME, "COMMIT was sent and not answered in time", ms);
        else
            fail_with(task, WEIR_ECOMMANDTIMEOUT,
                      "the statement was not answered in time and is being cancelled", ms);
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
        weir__session_owe(slot, task);
    } else {
        bool query = op->completion.kind == WEIR_DONE_EXECUTE;
        weir__slot_abandon(slot, query); /* a COMMIT on its way is let finish */
        if (query) task->pool->stats.queries_cancelled++;
    }
    weir__task_drop(task);
}
