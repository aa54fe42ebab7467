/*
 * A whole transaction in one go. Where the driver pipelines all its requests are in flight at once; otherwise
 * each follows the answer to the one before it. The task goes with the last one that was sent.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "pool/pool.h"

struct weir_batch {
    atomic_int references; /* the caller's, and the running operation's */
    atomic_bool running;
    weir_statement **statements;
    weir_result **results;
    size_t count, capacity;
    size_t sent;      /* of this run */
    size_t failed;    /* whose error `error` is */
    weir_error error; /* the first one, unless the outcome is not known */
    const char *begin;
};

weir_batch *weir_batch_new(void) {
    weir_batch *batch = weir__calloc(1, sizeof *batch);
    if (!batch) return NULL;
    atomic_init(&batch->references, 1);
    batch->error = (weir_error)WEIR_ERROR_INIT;
    return batch;
}

static void clear(weir_batch *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        weir_result_free(batch->results[i]);
        batch->results[i] = NULL;
    }
    weir_error_clear(&batch->error);
    batch->sent = 0;
    batch->failed = batch->count;
}

void weir_batch_free(weir_batch *batch) {
    if (!batch || atomic_fetch_sub(&batch->references, 1) > 1) return;
    clear(batch);
    for (size_t i = 0; i < batch->count; i++) weir_statement_unref(batch->statements[i]);
    weir__free(batch->statements);
    weir__free(batch->results);
    weir__free(batch);
}

static int busy(weir_error *error) {
    return weir__fail(error, WEIR_EBUSY, "the batch is running: await its end first, or use a batch each");
}

int weir_batch_add(weir_batch *batch, weir_statement *statement, weir_error *error) {
    if (!batch || !statement) return weir__fail(error, WEIR_EINVAL, "batch and statement are needed");
    if (batch->running) return busy(error);
    if (batch->count == batch->capacity) {
        size_t capacity = batch->capacity ? 2 * batch->capacity : 8;
        weir_statement **statements = weir__realloc(batch->statements, capacity * sizeof *statements);
        if (statements) batch->statements = statements;
        weir_result **results = weir__realloc(batch->results, capacity * sizeof *results);
        if (results) batch->results = results;
        if (!statements || !results) return weir__fail(error, WEIR_ENOMEM, "out of memory");
        batch->capacity = capacity;
    }
    batch->statements[batch->count] = weir_statement_ref(statement);
    batch->results[batch->count++] = NULL;
    batch->failed = batch->count;
    return WEIR_OK;
}

size_t weir_batch_size(const weir_batch *batch) { return batch ? batch->count : 0; }

weir_result *weir_batch_result(const weir_batch *batch, size_t number) {
    return !batch || batch->running || number >= batch->count ? NULL : batch->results[number];
}

size_t weir_batch_failed(const weir_batch *batch) { return batch ? batch->failed : 0; }

/* ---- running ---- */

/* The server's own words stay as they are. */
static void name_statement(weir_error *error, size_t number) {
    if (!error) return;
    if (error->code != WEIR_EVALUE && error->code != WEIR_EINVAL && error->code != WEIR_ENOTSUP) return;
    weir_error said = WEIR_ERROR_INIT;
    weir__fail(&said, error->code, "statement %zu: %s", number + 1,
               error->message ? error->message : weir_error_text(error->code));
    weir_error_clear(error);
    *error = said;
}

int weir__batch_start(weir_pool *pool, weir_batch *batch, const char *begin, weir_error *error) {
    int code = WEIR_OK;
    if (atomic_exchange(&batch->running, true)) return busy(error);
    clear(batch);
    for (size_t i = 0; code == WEIR_OK && i < batch->count; i++) {
        code = weir__share_judge_part(pool, batch->statements[i], error);
        if (code == WEIR_OK) continue;
        batch->failed = i;
        name_statement(error, i);
    }
    if (code != WEIR_OK) {
        batch->running = false;
        return code;
    }
    batch->begin = begin;
    atomic_fetch_add(&batch->references, 1);
    return WEIR_OK;
}

void weir__batch_end(weir_batch *batch, bool well) {
    if (!batch) return;
    size_t failed = batch->failed;
    if (!well) clear(batch);
    batch->failed = failed;
    batch->running = false;
    weir_batch_free(batch);
}

bool weir__batch_readonly(const weir_batch *batch) { return strstr(batch->begin, "READ ONLY") != NULL; }

bool weir__batch_commits(const weir_batch *batch) {
    return batch->sent == batch->count && batch->error.code == WEIR_OK;
}

static void build(weir__flight *flight, const weir__task *task, size_t number) {
    weir_batch *batch = task->batch;
    weir__request *request = &flight->request;
    bool last = number + 1 == batch->count;
    flight->batch = batch;
    flight->number = number;
    flight->together = batch->count > 1 && flight->slot->pool->driver->pipelines;
    request->statement = weir_statement_ref(batch->statements[number]);
    if (!number) flight->before[request->before_count++] = batch->begin;
    request->before = flight->before;
    request->command = last ? "COMMIT" : NULL;
    request->timeout_ms = task->run_ms;
    request->chain = request->hold = true;
}

void weir__batch_forget(weir__slot *slot) {
    weir__link *const lists[] = {&slot->flights, &slot->landed};
    for (int i = 0; i < 2; i++)
        for (weir__link *link = lists[i]->next; link != lists[i]; link = link->next)
            weir__container(link, weir__flight, link)->batch = NULL;
}

static void let_go(weir__slot *slot) {
    for (weir__link *link; (link = weir__list_front(&slot->flights));)
        weir__flight_free(weir__container(link, weir__flight, link));
}

/* All flights or none: none of them has been given to the driver. */
static bool make_flights(weir__slot *slot, const weir__task *task, size_t count) {
    for (size_t i = 0; i < count; i++) {
        weir__flight *flight = weir__flight_new(slot);
        if (!flight) {
            let_go(slot);
            return false;
        }
        build(flight, task, task->batch->sent + i);
    }
    return true;
}

static void carry(weir__flight *flight, weir__task *task) {
    if (task->flight) {
        task->flight->task = NULL;
        flight->slot->live--;
    }
    task->flight = flight;
    flight->task = task;
    flight->slot->live++;
}

bool weir__batch_go_on(weir__slot *slot, weir__task *task, int64_t now) {
    const weir__driver *driver = slot->pool->driver;
    weir_batch *batch = task->batch;
    size_t count = driver->pipelines ? batch->count - batch->sent : 1;
    if (!make_flights(slot, task, count)) return false;
    weir__link *link = slot->flights.next, *next;
    for (size_t i = 0; i < count; i++, link = next) {
        weir__flight *flight = weir__container(link, weir__flight, link);
        next = link->next;
        flight->sent_at = now;
        carry(flight, task);
        batch->sent++;
        weir__query_echo(slot->pool, flight->request.statement);
        driver->execute(slot->conn, &flight->request);
        if (!flight->request.code) continue;
        /* It has failed at once: what would follow is not to be sent. */
        while (next != &slot->flights) {
            weir__link *unsent = next;
            next = next->next;
            weir__flight_free(weir__container(unsent, weir__flight, link));
        }
        break;
    }
    if (driver->flush) driver->flush(slot->conn);
    return true;
}

static void take(weir__flight *flight) {
    weir_batch *batch = flight->batch;
    weir__request *request = &flight->request;
    if (request->code == WEIR_OK) {
        batch->results[flight->number] = request->result;
        request->result = NULL;
    } else if (batch->error.code == WEIR_OK ||
               (batch->error.code == WEIR_ELOST && request->code == WEIR_EOUTCOME)) {
        weir_error_clear(&batch->error);
        if (request->error)
            weir__error_copy(&batch->error, request->error);
        else
            batch->error.code = request->code;
        name_statement(&batch->error, flight->number);
        batch->failed = request->code == WEIR_EOUTCOME ? batch->count : flight->number;
    }
}

weir__task *weir__batch_answer(weir__flight *flight, bool *more) {
    weir_batch *batch = flight->batch;
    weir__task *task = flight->task;
    take(flight);
    *more = false;
    if (!task) return NULL;
    if (batch->error.code == WEIR_OK && batch->sent < batch->count) {
        *more = true;
        return task;
    }
    if (batch->error.code == WEIR_OK) return task;
    weir_error_free(flight->request.error);
    flight->request.code = batch->error.code;
    flight->request.error = weir__error_detach(&batch->error);
    return task;
}
