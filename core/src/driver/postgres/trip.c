/*
 * Sending. A request takes one trip to the server, or two when its parameters' types are not known yet:
 *
 *     [SET statement_timeout] [DEALLOCATE] [Sync]    the pool's own; apart, because VACUUM and its kind
 *                                                    stand no other command before their Sync
 *     [before] [Parse] [Describe, Sync]              Describe in the first of two trips only
 *     Bind, Execute for each set                     as fast as the socket takes them
 *     [command] Sync
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "driver/postgres/pg.h"

/* libpq takes no description of more parameters: such a message is over its limit of 30,000 bytes, and it
   gives the connection up. */
#define DESCRIBED_MAX 7000
#define FLUSH_BYTES ((size_t)64 * 1024)
#define DOOMED_MAX 64 /* more of them are not left to the end of a transaction */

static void push(weir__pgop *op, weir__pgstep_kind kind) {
    if (!op->step_count) {
        op->step_first = 0;
    } else {
        weir__pgstep *last = &op->steps[op->step_first + op->step_count - 1];
        if (last->kind == kind) {
            last->left++;
            return;
        }
    }
    op->steps[op->step_first + op->step_count++] = (weir__pgstep){kind, 1};
}

bool weir__pg_send(weir__pgconn *c, const char *text, weir__pgstep_kind kind) {
    if (!PQsendQueryParams(c->pg, text, 0, NULL, NULL, NULL, NULL, 0)) return false;
    push(&c->op, kind);
    return true;
}

bool weir__pg_send_sync(weir__pgconn *c) {
    int (*quietly)(PGconn *) = weir__pg_library()->send_pipeline_sync;
    if (!(quietly ? quietly(c->pg) : PQpipelineSync(c->pg))) return false;
    push(&c->op, WEIR__STEP_SYNC);
    return true;
}

bool weir__pg_send_guard(weir__pgconn *c, int64_t guard_ms) {
    char text[64];
    snprintf(text, sizeof text, "SET statement_timeout = %" PRId64, guard_ms);
    c->op.guard_sent = guard_ms;
    return weir__pg_send(c, text, WEIR__STEP_GUARD);
}

void weir__pg_send_failed(weir__pgconn *c) {
    weir_error why = WEIR_ERROR_INIT;
    weir__pg_lost_error(&why, c->pg);
    weir__pg_lose(c, &why);
}

/* ---- the pool's own commands */

/* The statement_timeout that the request needs and the server does not have yet; -1: nothing to do. */
static int64_t missing_guard(const weir__pgconn *c, int64_t timeout_ms) {
    int64_t normal = weir__pg_env(c)->guard_ms, now = c->guard_ms, wanted = 0;
    if (!normal || c->guard_foreign || c->base.tx == WEIR__TX_FAILED) return -1;
    if (timeout_ms >= 0) {
        bool fits = timeout_ms <= INT32_MAX - WEIR__PG_GUARD_MARGIN_MS;
        wanted = fits ? timeout_ms + WEIR__PG_GUARD_MARGIN_MS : INT32_MAX;
        if (wanted < normal) wanted = normal;
    }
    if (now == 0 || (now > 0 && wanted && wanted <= now)) return -1;
    return wanted;
}

static bool send_deallocate(weir__pgconn *c) {
    weir__link *link;
    for (link = c->doomed.next; link != &c->doomed; link = link->next) {
        const weir__prepared *prepared = weir__container(link, weir__prepared, doomed);
        char text[64];
        snprintf(text, sizeof text, "DEALLOCATE %s", prepared->name);
        if (!weir__pg_send(c, text, WEIR__STEP_DEALLOCATE)) return false;
    }
    weir__pg_doomed_free(c);
    return true;
}

static bool send_housekeeping(weir__pgconn *c) {
    int64_t guard = missing_guard(c, c->base.request->timeout_ms);
    /* A failed DEALLOCATE would break a transaction. */
    bool deallocate = c->doomed_count && (c->base.tx == WEIR__TX_NONE ||
                                          (c->base.tx == WEIR__TX_OPEN && c->doomed_count > DOOMED_MAX));
    if (guard >= 0 && !weir__pg_send_guard(c, guard)) return false;
    if (deallocate && !send_deallocate(c)) return false;
    if ((guard >= 0 || deallocate) && !weir__pg_send_sync(c)) return false;
    if (!c->op.undo) return true;
    return weir__pg_send(c, "ROLLBACK", WEIR__STEP_UNDO) && weir__pg_send_sync(c);
}

/* ---- the statement */

bool weir__pg_unnamed(const weir__pgconn *c) {
    return c->statements.limit == 0 || c->base.request->statement->parameters > DESCRIBED_MAX;
}

static const Oid *types_of(const weir__pgconn *c) { return weir__pg_unnamed(c) ? NULL : c->op.shape->types; }

/* The name to bind: "" is a good one, too. */
static const char *bind_name(const weir__pgop *op) {
    return op->prepared ? op->prepared->name : op->fresh ? op->fresh->name : "";
}

static bool send_parse(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    const weir_statement *statement = c->base.request->statement;
    if (!op->sets || op->prepared) return true;
    if (weir__pg_unnamed(c)) {
        if (!statement->many) return true; /* Parse, Bind and Execute go together */
        if (!PQsendPrepare(c->pg, "", statement->sql, 0, NULL)) return false;
        push(op, WEIR__STEP_PARSE);
        return true;
    }
    bool typed = op->shape->typed;
    if (!PQsendPrepare(c->pg, op->fresh->name, statement->sql, typed ? (int)op->shape->parameters : 0,
                       typed ? op->shape->types : NULL))
        return false;
    push(op, WEIR__STEP_PARSE);
    if (typed) return true;
    op->describing = true;
    if (!PQsendDescribePrepared(c->pg, op->fresh->name)) return false;
    push(op, WEIR__STEP_DESCRIBE);
    return weir__pg_send_sync(c);
}

/* Encodes the next set, unless that was done already. False: op->error tells. */
static bool encode(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    if (op->encoded) return true;
    int code = weir__pg_encode(&c->args, c->base.request->statement, op->next_set, types_of(c), &op->error);
    op->encoded = code == WEIR_OK;
    if (op->believed && code == WEIR_EVALUE) op->doubtful = true;
    return op->encoded;
}

static bool send_set(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    const weir_statement *statement = c->base.request->statement;
    const char *const *values = c->args.values;
    int count = (int)statement->parameters, sent;
    if (weir__pg_unnamed(c) && !statement->many) {
        sent = PQsendQueryParams(c->pg, statement->sql, count, NULL, values, c->args.lengths, c->args.formats,
                                 0);
    } else {
        sent = PQsendQueryPrepared(c->pg, bind_name(op), count, values, c->args.lengths, c->args.formats,
                                   !weir__pg_unnamed(c) && op->shape->binary);
    }
    if (!sent) return false;
    push(op, WEIR__STEP_EXECUTE);
    op->next_set++;
    op->encoded = false;
    return true;
}

/* What the statement may do to the session, it may have done from now on. */
static void note_traits(weir__pgconn *c) {
    unsigned traits = c->op.shape ? c->op.shape->traits : 0;
    if (traits & WEIR__TRAIT_DIRTY) c->dirty = true;
    if (traits & WEIR__TRAIT_LASTING) c->lasting = true;
    if (traits & WEIR__TRAIT_RETYPES) c->retyped = true;
    if (traits & WEIR__TRAIT_GUARD) c->guard_foreign = true;
}

/* ---- trips */

static bool send_head(weir__pgconn *c) {
    const weir__request *request = c->base.request;
    if (!send_housekeeping(c)) return false;
    for (unsigned i = 0; i < request->before_count; i++)
        if (!weir__pg_send(c, request->before[i], WEIR__STEP_BEFORE)) return false;
    if (!send_parse(c)) return false;
    note_traits(c);
    return true;
}

void weir__pg_trip_start(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    /* Before a BEGIN is sent: a value that does not fit then leaves no transaction behind. */
    if (op->sets && (weir__pg_unnamed(c) || op->shape->typed) && !encode(c)) {
        weir__pg_op_end(c);
        return;
    }
    if (!send_head(c)) {
        weir__pg_send_failed(c);
        return;
    }
    weir__pg_pump(c);
}

/* The sets, until the socket takes no more. 1: all are sent; 0: later; -1: the connection is unusable. */
static int send_sets(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    size_t unsent = FLUSH_BYTES; /* look first */
    while (op->next_set < op->sets && op->error.code == WEIR_OK) {
        if (op->next_set && unsent >= FLUSH_BYTES) {
            int blocked = PQflush(c->pg);
            if (blocked) return blocked < 0 ? -1 : 0;
            unsent = 0;
        }
        if (op->cancelled) {
            weir__fail(&op->error, WEIR_ECANCELLED,
                       "the statement was cancelled while its parameters were sent");
        } else if (encode(c)) {
            unsent += c->args.total + 64 + 8 * c->base.request->statement->parameters;
            if (!send_set(c)) return -1;
        }
    }
    return 1;
}

static bool send_tail(weir__pgconn *c, bool failed_here) {
    weir__pgop *op = &c->op;
    const char *command = c->base.request->command;
    if (failed_here) {
        /* What was sent before is not to be kept: a message that fails makes the server undo it. */
        if (!PQsendQueryPrepared(c->pg, "weir_undo", 0, NULL, NULL, NULL, 0)) return false;
        push(op, WEIR__STEP_POISON);
    } else if (command && op->error.code == WEIR_OK) {
        op->commit_sent = strncmp(command, "COMMIT", 6) == 0;
        if (!weir__pg_send(c, command, WEIR__STEP_COMMAND)) return false;
    }
    op->tail_sent = true;
    return weir__pg_send_sync(c);
}

void weir__pg_pump(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    if (op->running && !op->resetting && !op->describing && !op->tail_sent) {
        bool failed_before = op->error.code != WEIR_OK;
        int all = send_sets(c);
        bool failed_here = !failed_before && op->error.code != WEIR_OK;
        if (failed_here && !op->step_count) {
            weir__pg_op_end(c); /* nothing is on its way */
            return;
        }
        if (all < 0 || (all && !send_tail(c, failed_here))) {
            weir__pg_send_failed(c);
            return;
        }
    }
    int blocked = PQflush(c->pg);
    if (blocked < 0) {
        weir__pg_send_failed(c);
    } else {
        weir__pg_watch(c, WEIR__READ | (blocked ? WEIR__WRITE : 0));
    }
}
