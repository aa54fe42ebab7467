/* Making a connection fit for the next borrower, with as little as the last one makes necessary. */
#include "base/error.h"
#include "driver/postgres/pg.h"

/* DISCARD ALL stands no other command between two Syncs. */
static bool send_reset(weir__pgconn *c, weir__pgop *op, bool rollback, bool discard, bool guard) {
    if (rollback && !(weir__pg_send(c, op, "ROLLBACK", WEIR__STEP_UNDO) && weir__pg_send_sync(c, op)))
        return false;
    if (discard) return weir__pg_send(c, op, "DISCARD ALL", WEIR__STEP_DISCARD) && weir__pg_send_sync(c, op);
    return !guard || (weir__pg_send_guard(c, op, weir__pg_env(c)->guard_ms) && weir__pg_send_sync(c, op));
}

bool weir__pg_reset(weir__conn *conn, weir__request *request) {
    weir__pgconn *c = (weir__pgconn *)conn;
    bool rollback = c->base.tx != WEIR__TX_NONE;
    bool guard = c->guard_in_tx || c->guard_ms != weir__pg_env(c)->guard_ms;
    if (!rollback && !c->dirty && !guard && !c->lasting) return false;
    weir__pgop *op = weir__pg_op_begin(c, request);
    if (!op) return true;
    c->next = NULL;
    op->begun = op->resetting = op->tail_sent = true;
    if (c->lasting) {
        weir__fail(
            &op->error, WEIR_ELOST,
            "the connection is replaced, since its borrower left behind what DISCARD ALL does not undo");
    } else if (!weir__pg_reserve(c)) {
        weir__fail(&op->error, WEIR_ENOMEM, "out of memory");
    }
    if (op->error.code != WEIR_OK) {
        weir__pg_op_end(c, op);
        return true;
    }
    c->guard_in_tx = false;
    if (send_reset(c, op, rollback, c->dirty, guard)) {
        weir__pg_pump(c);
    } else {
        weir__pg_send_failed(c);
    }
    return true;
}
