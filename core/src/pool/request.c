/*
 * What a request does to transactions. The holder has `depth` of them open, one in the other; the server has
 * `sent`, as its last answer told. A beginning is sent with the next statement. Those from `dead` on have
 * ended for the holder, but their end could not be sent, or failed: a rollback goes ahead of whatever is sent
 * next.
 */
#include "pool/pool.h"

#include <string.h>

#include "base/error.h"

/* `level`: what the server has open when the text has been run. */
static void put(weir__slot *slot, const char *text, int level) {
    unsigned n = slot->request.before_count++;
    slot->before[n] = text;
    slot->levels[n] = (signed char)level;
}

int weir__levels_alive(const weir__slot *slot) {
    return slot->sent < slot->dead ? slot->sent : slot->dead - 1;
}

void weir__levels_die(weir__slot *slot, int from) {
    if (from < slot->dead) slot->dead = from;
}

static void put_owed(weir__slot *slot) {
    int level = weir__levels_alive(slot);
    if (slot->sent <= level) return;
    slot->owed = level ? 2 : 1;
    if (level) {
        put(slot, weir__savepoint_rollback(level + 1), level + 1);
        put(slot, weir__savepoint_release(level + 1), level);
    } else {
        put(slot, "ROLLBACK", 0);
    }
}

static void put_beginnings(weir__slot *slot) {
    for (int level = weir__levels_alive(slot) + 1; level <= slot->depth; level++)
        put(slot, level == 1 ? slot->begin : weir__savepoint(level), level);
}

static void put_end(weir__slot *slot, const weir__task *task) {
    int depth = task->depth;
    if (task->commit) put_owed(slot);
    if (depth == 1) {
        slot->request.command = task->commit ? "COMMIT" : "ROLLBACK";
    } else {
        if (!task->commit) put(slot, weir__savepoint_rollback(depth), depth);
        slot->request.command = weir__savepoint_release(depth);
    }
}

bool weir__request_build(weir__slot *slot, weir__task *task) {
    weir__request *request = &slot->request;
    if (task->depth && weir__levels_alive(slot) < task->depth) return false;
    memset(request, 0, sizeof *request);
    request->statement = task->statement; /* with its reference */
    task->statement = NULL;
    request->before = slot->before;
    request->timeout_ms = task->run_ms;
    slot->ending = task->depth;
    slot->owed = 0;
    if (task->depth) {
        if (task->depth == 1) slot->broken_off = false;
        put_end(slot, task);
    } else {
        put_owed(slot);
        put_beginnings(slot);
    }
    return true;
}

void weir__request_settle(weir__slot *slot) {
    const weir__request *request = &slot->request;
    unsigned begun = request->begun < request->before_count ? request->begun : request->before_count;
    if (!slot->loan) return; /* what is still open goes with the reset */
    if (begun) slot->sent = slot->levels[begun - 1];
    if (slot->owed && begun >= slot->owed) slot->dead = WEIR__NONE_DEAD;
    if (slot->ending && request->code == WEIR_OK)
        slot->sent = slot->ending - 1;
    else if (slot->ending)
        weir__levels_die(slot, slot->ending);
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
