/*
 * What a request does to transactions. The holder has `depth` of them open, one in the other; the server has
 * `sent`, as its last answer told. A beginning is sent with the next statement. Those from `dead` on have
 * ended for the holder, but their end could not be sent, or failed: a rollback goes ahead of whatever is sent
 * next. While something flies nothing begins or ends: of several statements in flight the first has brought
 * what there was to begin.
 */
#include "pool/pool.h"

#include "base/error.h"

/* `level`: what the server has open when the text has been run. */
static void put(weir__flight *flight, const char *text, int level) {
    unsigned n = flight->request.before_count++;
    flight->before[n] = text;
    flight->levels[n] = (signed char)level;
}

int weir__levels_alive(const weir__slot *slot) {
    return slot->sent < slot->dead ? slot->sent : slot->dead - 1;
}

void weir__levels_die(weir__slot *slot, int from) {
    if (from < slot->dead) slot->dead = from;
}

/* From here on what is dead is the flight's matter: what dies while it runs is another transaction. */
static void put_owed(weir__flight *flight, int level) {
    weir__slot *slot = flight->slot;
    if (slot->sent <= level) return;
    flight->owed = level ? 2 : 1;
    flight->dying = slot->dead;
    slot->dead = WEIR__NONE_DEAD;
    if (level) {
        put(flight, weir__savepoint_rollback(level + 1), level + 1);
        put(flight, weir__savepoint_release(level + 1), level);
    } else {
        put(flight, "ROLLBACK", 0);
    }
}

static void put_beginnings(weir__flight *flight, int level) {
    const weir__slot *slot = flight->slot;
    for (level++; level <= slot->depth; level++)
        put(flight, level == 1 ? slot->begin : weir__savepoint(level), level);
}

static void put_end(weir__flight *flight, const weir__task *task, int level) {
    int depth = task->depth;
    if (task->commit) put_owed(flight, level);
    if (depth == 1) {
        flight->request.command = task->commit ? "COMMIT" : "ROLLBACK";
    } else {
        if (!task->commit) put(flight, weir__savepoint_rollback(depth), depth);
        flight->request.command = weir__savepoint_release(depth);
    }
}

bool weir__request_build(weir__flight *flight, weir__task *task) {
    weir__slot *slot = flight->slot;
    weir__request *request = &flight->request;
    int level = weir__levels_alive(slot);
    if (task->depth && level < task->depth) return false;
    request->statement = task->statement; /* with its reference */
    task->statement = NULL;
    request->before = flight->before;
    request->mode = task->mode;
    request->timeout_ms = task->run_ms;
    request->readonly = task->readonly && !slot->depth; /* else its transaction is */
    request->hold = task->hold;
    request->chain = slot->pipelining && slot->depth;
    flight->ending = task->depth;
    if (slot->loan && slot->setup_until == WEIR__NEVER) /* else it is not its holder's doing */
        slot->lasting |=
            weir__task_commits(task) || (request->statement && !slot->depth && !request->readonly);
    if (task->depth) {
        if (task->depth == 1) slot->broken_off = false;
        put_end(flight, task, level);
    } else if (slot->flying == 1) { /* what flies before it has brought all that there is to begin */
        put_owed(flight, level);
        put_beginnings(flight, level);
    }
    return true;
}

void weir__request_settle(weir__flight *flight) {
    weir__slot *slot = flight->slot;
    const weir__request *request = &flight->request;
    unsigned begun = request->begun < request->before_count ? request->begun : request->before_count;
    if (!slot->loan) return; /* what is still open goes with the reset */
    if (request->code == WEIR_ELOST && slot->transaction && slot->lasting) request->error->retryable = false;
    if (begun) slot->sent = flight->levels[begun - 1];
    if (begun < flight->owed) weir__levels_die(slot, flight->dying);
    if (flight->ending && request->code == WEIR_OK)
        slot->sent = flight->ending - 1;
    else if (flight->ending)
        weir__levels_die(slot, flight->ending);
    if (slot->flying > 1) return; /* the state of the transaction is known when all is answered */
    bool open = slot->conn->tx != WEIR__TX_NONE;
    if (!open || slot->sent < slot->dead) slot->dead = WEIR__NONE_DEAD;
    if (open) return;
    bool ended = slot->sent > 0 && slot->depth > 0;
    slot->sent = 0;
    if (!ended) return;
    slot->broken_off = true;                                    /* by a statement of the holder's own */
    if (slot->transaction && slot->depth == 1) slot->depth = 0; /* the next one begins anew */
}

int weir__nothing_to_end(weir__slot *slot, bool commit, weir_error *error) {
    bool broken_off = slot->broken_off;
    if (!slot->depth) slot->broken_off = false;
    if (!broken_off || !commit) return WEIR_OK;
    return weir__fail(
        error, WEIR_ETRANSACTION,
        "the transaction was ended by a statement of yours: leave COMMIT and ROLLBACK to the session");
}
