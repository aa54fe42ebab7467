/*
 * The driver's own commands that the server keeps prepared. To parse BEGIN and COMMIT each time is a tenth of
 * what a transaction of one short statement costs the server; pgjdbc spares it likewise.
 *
 * A COMMIT must not fail because a user's function has run DEALLOCATE ALL, which no text tells. So the name
 * of BEGIN is tried first, at no risk: when the server does not know it, nothing has been done, and the
 * request is sent again. When it does, it knows all that was prepared later, too, and COMMIT is prepared in a
 * transaction that has begun so, and used in such only, unless a function that could do anything has been
 * called since.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "driver/postgres/pg.h"

typedef struct weir__pgkeep keep;

/* NULL: there are enough already, or names are nothing for this connection. */
static weir__pgform *form_of(weir__pgconn *c, const char *begin) {
    if (!c->statements.limit) return NULL;
    for (weir__pgform *form = c->forms; form < c->forms + WEIR__PG_FORMS; form++) {
        if (!form->begin) form->begin = begin;
        if (strcmp(form->begin, begin) == 0) return form;
    }
    return NULL;
}

/* k: what is kept of it; NULL: nothing is to be. */
static bool send(weir__pgconn *c, weir__pgop *op, const char *text, weir__pgstep_kind kind, keep *k) {
    if (!k || k->state == WEIR__KEEP_SENT) return weir__pg_send(c, op, text, kind);
    if (k->state == WEIR__KEEP_UNSENT) {
        snprintf(k->name, sizeof k->name, "weir_%" PRIu64, c->next_number++);
        if (!PQsendPrepare(c->pg, k->name, text, 0, NULL)) return false;
        weir__pg_push(c, op, WEIR__STEP_KEEP);
        k->state = WEIR__KEEP_SENT;
        op->keeps[op->keeps_sent++] = k;
    }
    if (!PQsendQueryPrepared(c->pg, k->name, 0, NULL, NULL, NULL, 0)) return false;
    weir__pg_push(c, op, kind);
    return true;
}

bool weir__pg_send_before(weir__pgconn *c, weir__pgop *op, const char *text) {
    if (strncmp(text, "BEGIN", 5) != 0) return weir__pg_send(c, op, text, WEIR__STEP_BEFORE);
    weir__pgform *form = op->request->chain ? NULL : form_of(c, text); /* a chain is not sent again */
    keep *k = form ? &form->keeps[WEIR__KEEP_BEGIN] : NULL;
    c->form = k && k->state == WEIR__KEEP_KNOWN ? form : NULL;
    return send(c, op, text, WEIR__STEP_BEFORE, k);
}

bool weir__pg_send_command(weir__pgconn *c, weir__pgop *op, const char *text) {
    bool kept = c->form && strcmp(text, "COMMIT") == 0;
    return send(c, op, text, WEIR__STEP_COMMAND, kept ? &c->form->keeps[WEIR__KEEP_COMMIT] : NULL);
}

bool weir__pg_send_xid(weir__pgconn *c, weir__pgop *op) {
    const char *text = PQserverVersion(c->pg) >= 130000
                           ? "SELECT pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text"
                           : "SELECT pg_catalog.txid_current_if_assigned()::pg_catalog.text";
    return send(c, op, text, WEIR__STEP_XID, c->form ? &c->form->keeps[WEIR__KEEP_XID] : NULL);
}

void weir__pg_keep_answered(weir__pgop *op, bool prepared) {
    op->keeps[op->keeps_answered++]->state = prepared ? WEIR__KEEP_KNOWN : WEIR__KEEP_UNSENT;
}

bool weir__pg_keeps_name(const weir__pgconn *c, const char *message) {
    for (const weir__pgform *form = c->forms; form < c->forms + WEIR__PG_FORMS; form++)
        for (const keep *k = form->keeps; k < form->keeps + WEIR__KEEPS; k++)
            if (k->state == WEIR__KEEP_KNOWN && strstr(message, k->name)) return true;
    return false;
}

void weir__pg_keeps_forget(weir__pgconn *c) {
    c->form = NULL;
    for (weir__pgform *form = c->forms; form < c->forms + WEIR__PG_FORMS; form++)
        for (keep *k = form->keeps; k < form->keeps + WEIR__KEEPS; k++)
            if (k->state == WEIR__KEEP_KNOWN) k->state = WEIR__KEEP_UNSENT;
}
