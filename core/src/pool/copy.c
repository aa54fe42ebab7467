/*
 * COPY: one request that its holder takes step by step. Its flight stays in the air between two steps, when
 * nobody's task waits for it; what becomes of it then is kept for the next step.
 */
#include "pool/pool.h"

#include "base/error.h"

static int lacks(const weir_pool *pool, const char *what, weir_error *error) {
    return weir__fail(error, WEIR_ENOTSUP, "pool %s: %s has no %s", weir_pool_name(pool), pool->driver->name,
                      what);
}

int weir__mode_check(const weir_pool *pool, const weir_statement *statement, weir__mode mode,
                     weir_error *error) {
    if (mode == WEIR__STATEMENT) return WEIR_OK;
    if (statement->many || statement->parameters)
        return weir__fail(error, WEIR_EINVAL,
                          "%s takes no parameters: write the values into the text, or run "
                          "statements with execute",
                          mode == WEIR__SCRIPT ? "a script" : "COPY");
    if (mode == WEIR__SCRIPT) return pool->driver->scripts ? WEIR_OK : lacks(pool, "scripts", error);
    return pool->driver->copy_put ? WEIR_OK : lacks(pool, "COPY: use executemany, or fetch", error);
}

/* ---- the end of a COPY */

static void stop_timer(weir__slot *slot) { weir__timer_stop(&slot->pool->reactor->wheel, &slot->copy.timer); }

/* Whose completion that is will be told of the failure, and judge it. */
static void hand_over(weir_failure *failure, weir_completion *completion) {
    completion->failure = *failure;
    *failure = (weir_failure){0};
}

/* Who watches is told how it has ended. */
static void tell(weir__slot *slot, int code, const weir_error *error) {
    weir__task *watcher = slot->copy.watcher;
    slot->copy.watcher = NULL;
    if (!watcher) return;
    hand_over(&slot->copy.failure, &watcher->op.completion);
    if (error)
        weir__op_fail(&watcher->op, error);
    else
        weir__op_complete(&watcher->op, code);
}

void weir__copy_forget(weir__slot *slot, int code) {
    weir__copy *copy = &slot->copy;
    if (!weir__copy_open(slot)) return;
    stop_timer(slot);
    tell(slot, code, NULL);
    weir__guard_cancel(slot->pool, &copy->permit, weir__reactor_now(slot->pool->reactor));
    weir__guard_judge(&copy->failure, copy->error, WEIR_VERDICT_NONE);
    weir_result_free(copy->result);
    weir_error_free(copy->error);
    copy->flight = NULL;
    copy->result = NULL;
    copy->error = NULL;
    copy->over = false;
}

/* Nobody wants it any more: the driver ends it, and the flight lands as nobody's. */
static void break_off(weir__slot *slot) {
    weir_pool *pool = slot->pool;
    weir__copy_forget(slot, WEIR_ECANCELLED);
    if (slot->state != WEIR__PREPARING) /* that has a bound over all of it */
        weir__reactor_start(pool->reactor, &slot->bound,
                            weir__reactor_now(pool->reactor) + WEIR__CLEAN_BOUND);
    weir__slot_cancel(slot);
}

bool weir__copy_landed(weir__flight *flight, int64_t now) {
    weir__slot *slot = flight->slot;
    weir__copy *copy = &slot->copy;
    weir__request *request = &flight->request;
    weir__task *task = flight->task;
    if (copy->flight != flight) return false;
    copy->flight = NULL;
    bool begun_and_over = task && task->step == WEIR__COPY_BEGIN && request->code == WEIR_OK;
    bool answers = task && !begun_and_over; /* the step */
    weir__guard_tell(slot->pool, &copy->permit, request->error,
                     answers ? &task->op.completion.failure : &copy->failure, now);
    if (copy->out && request->code == WEIR_OK &&
        !answers) { /* to its holder it goes on: he has not had all */
        if (task) weir__reactor_start(slot->pool->reactor, &copy->timer, task->run_deadline);
    } else {
        stop_timer(slot);
        tell(slot, request->code, request->error);
    }
    if (answers) return false;
    copy->over = true;
    copy->code = request->code;
    copy->result = request->result;
    copy->error = request->error;
    request->result = NULL;
    request->error = NULL;
    if (task) weir__guard_end(slot->pool, &task->permit, copy->error, now);
    if (task) weir__op_complete(&weir__flight_detach(flight, now)->op, WEIR_OK);
    return true;
}

static void say_late(weir__slot *slot, weir_error *error) {
    const char *who = slot->copy.over ? "all of the COPY was not taken" : "the COPY was not done";
    int64_t ms = (weir__reactor_now(slot->pool->reactor) - slot->copy.sent_at) / WEIR__MS;
    weir__fail(error, WEIR_ECOMMANDTIMEOUT, "pool %s: %s in time (%lld ms)", weir_pool_name(slot->pool), who,
               (long long)ms);
}

static void judge(weir__slot *slot, const weir_error *late) {
    const weir__flight *flight = slot->copy.flight;
    weir__task *task = flight->task;
    int64_t now = weir__reactor_now(slot->pool->reactor);
    if (weir__guard_blames(task->started_at, flight->sent_at, now))
        weir__guard_tell(slot->pool, &slot->copy.permit, late, &task->op.completion.failure, now);
}

void weir__copy_expired(weir__timer *timer) {
    weir__slot *slot = weir__container(timer, weir__slot, copy.timer);
    weir__flight *flight = slot->copy.flight;
    weir_error error = WEIR_ERROR_INIT;
    say_late(slot, &error);
    tell(slot, error.code, &error);
    if (flight && flight->task) {
        judge(slot, &error);
        bool doubtful = weir__flight_doubtful(flight);
        weir__task_give_up(weir__flight_abandon(flight, false), flight, &error, doubtful);
        weir_error_clear(&error);
        return;
    }
    if (flight) { /* else the server was in time */
        weir__query_ended(flight, error.code, &error, weir__reactor_now(slot->pool->reactor));
        break_off(slot);
    }
    weir_result_free(slot->copy.result);
    slot->copy.result = NULL;
    slot->copy.over = true;
    slot->copy.error = weir__error_detach(&error);
    slot->copy.code = slot->copy.error->code;
}

int weir__copy_abort(weir__slot *slot, weir_error *error) {
    weir__copy *copy = &slot->copy;
    if (copy->flight && copy->flight->task)
        return weir__fail(error, WEIR_EBUSY, "a step of the COPY is running: cancel it, which ends the COPY");
    if (copy->over) {
        weir__copy_forget(slot, WEIR_ECANCELLED);
    } else if (copy->flight) {
        weir__query_ended(copy->flight, WEIR_ECANCELLED, NULL, weir__reactor_now(slot->pool->reactor));
        break_off(slot);
    }
    return WEIR_OK;
}

static void watch_cancelled(weir__op *op) {
    ((weir__task *)op)->slot->copy.watcher = NULL;
    weir__op_drop(op);
}

int weir__copy_watch(weir__slot *slot, void *token, weir_op *op, weir_error *error) {
    weir__copy *copy = &slot->copy;
    if (!weir__copy_open(slot)) return weir__fail(error, WEIR_EINVAL, "no COPY runs on this session");
    if (copy->watcher) return weir__fail(error, WEIR_EBUSY, "this COPY is being watched already");
    weir__task *task = (weir__task *)weir__op_new(slot->pool->reactor, WEIR_DONE_WATCH, token, slot->pool,
                                                  watch_cancelled, NULL);
    if (!task) return weir__fail(error, WEIR_ENOMEM, "out of memory for an operation");
    task->slot = slot;
    copy->watcher = task;
    *op = task->op.completion.op;
    if (copy->over && (copy->code || !copy->out)) tell(slot, copy->code, copy->error);
    return WEIR_PENDING;
}

/* ---- its steps */

void weir__copy_sent(weir__flight *flight) {
    flight->slot->copy.flight = flight;
    flight->slot->copy.sent_at = flight->sent_at;
}

/* Can the step that waits be answered? */
static bool is_ready(weir__slot *slot, weir__task *task) {
    switch (task->step) {
    case WEIR__COPY_BEGIN:
        return slot->conn->copy != WEIR__COPY_NONE;
    case WEIR__COPY_PUT:
        return slot->conn->copy == WEIR__COPY_READY;
    case WEIR__COPY_TAKE:
        task->op.completion.result = slot->pool->driver->copy_take(slot->conn);
        return task->op.completion.result;
    case WEIR__COPY_END:
        break;
    }
    return false; /* the flight's landing answers it */
}

void weir__copy_look(weir__slot *slot) {
    weir__flight *flight = slot->copy.flight;
    weir__task *task = flight ? flight->task : NULL;
    weir_reactor *reactor = slot->pool->reactor;
    if (!task || !is_ready(slot, task)) return;
    if (task->step == WEIR__COPY_BEGIN) {
        slot->copy.permit = task->permit; /* all of it is one call */
        task->permit = (weir_permit){0};
        weir__reactor_start(reactor, &slot->copy.timer, task->run_deadline);
    }
    weir__flight_detach(flight, weir__reactor_now(reactor));
    weir__op_complete(&task->op, WEIR_OK);
}

/* A task for the next step. WEIR_OK, or why there is none. */
static int begin_step(weir__slot *slot, bool out, weir__copy_step step, void *token, weir__task **task,
                      weir_error *error) {
    weir__copy *copy = &slot->copy;
    int64_t now = weir__reactor_now(slot->pool->reactor);
    int code = weir__session_overdue(slot, now, error);
    if (code) return code;
    if (!weir__copy_open(slot) || copy->out != out)
        return weir__fail(error, WEIR_EINVAL, "no COPY %s runs on this session",
                          out ? "TO STDOUT" : "FROM STDIN");
    if (copy->flight && copy->flight->task)
        return weir__fail(error, WEIR_EBUSY, "another step of the COPY is running: await it first");
    *task = weir__task_new(slot->pool, WEIR_DONE_COPY, token, now);
    if (!*task) return weir__fail(error, WEIR_ENOMEM, "out of memory for an operation");
    (*task)->slot = slot;
    (*task)->step = step;
    (*task)->run_ms = copy->flight ? copy->flight->request.timeout_ms : -1;
    return WEIR_OK;
}

/* The task waits for what becomes of the COPY, or is told what has. False: that it is told. */
static bool board(weir__slot *slot, weir__task *task) {
    weir__copy *copy = &slot->copy;
    if (!copy->over) {
        task->flight = copy->flight;
        copy->flight->task = task;
        slot->live++;
        return true;
    }
    task->op.completion.result = copy->result;
    task->op.completion.error = copy->error;
    hand_over(&copy->failure, &task->op.completion);
    copy->result = NULL;
    copy->error = NULL;
    weir__op_complete(&task->op, copy->code);
    weir__copy_forget(slot, WEIR_OK);
    return false;
}

int weir__copy_put(weir__slot *slot, const void *data, size_t length, void *token, weir_op *op,
                   weir_error *error) {
    weir__task *task;
    int code = begin_step(slot, false, WEIR__COPY_PUT, token, &task, error);
    if (code) return code;
    *op = task->op.completion.op;
    if (!board(slot, task)) return WEIR_PENDING;
    if (length) slot->pool->driver->copy_put(slot->conn, data, length);
    if (slot->conn->copy != WEIR__COPY_READY) return WEIR_PENDING;
    *op = 0;
    weir__flight_detach(task->flight, 0);
    weir__task_drop(task);
    return WEIR_OK;
}

int weir__copy_end(weir__slot *slot, void *token, weir_op *op, weir_error *error) {
    weir__task *task;
    int code = begin_step(slot, false, WEIR__COPY_END, token, &task, error);
    if (code) return code;
    *op = task->op.completion.op;
    if (board(slot, task)) slot->pool->driver->copy_end(slot->conn);
    return WEIR_PENDING;
}

int weir__copy_take(weir__slot *slot, void *token, weir_op *op, weir_error *error) {
    weir__task *task;
    int code = begin_step(slot, true, WEIR__COPY_TAKE, token, &task, error);
    if (code) return code;
    *op = task->op.completion.op;
    if (board(slot, task)) weir__copy_look(slot);
    return WEIR_PENDING;
}
