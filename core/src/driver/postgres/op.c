/* A request's life: it gets in line, ends, is run again where that helps, and is told of. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/postgres/pg.h"

/* ---- the states of requests */

static weir__pgop *op_new(weir__pgconn *c) {
    weir__pgenv *env = weir__pg_env(c);
    if (!c->own_used) {
        c->own_used = true;
        return &c->own;
    }
    weir__link *spare = weir__list_pop_front(&env->spares);
    env->spare_count -= spare != NULL;
    return spare ? weir__container(spare, weir__pgop, link) : weir__malloc(sizeof(weir__pgop));
}

static void op_free(weir__pgconn *c, weir__pgop *op) {
    weir__pgenv *env = weir__pg_env(c);
    if (op == &c->own) {
        c->own_used = false;
    } else if (env->spare_count < WEIR__PG_SPARES) {
        weir__list_push_front(&env->spares, &op->link);
        env->spare_count++;
    } else {
        weir__free(op);
    }
}

void weir__pg_spares_free(weir__pgenv *env) {
    for (weir__link *link; (link = weir__list_pop_front(&env->spares));)
        weir__free(weir__container(link, weir__pgop, link));
}

weir__pgop *weir__pg_op_next(const weir__pgconn *c, const weir__pgop *op) {
    return op->link.next == &c->ops ? NULL : weir__container(op->link.next, weir__pgop, link);
}

weir__pgop *weir__pg_op_begin(weir__pgconn *c, weir__request *request) {
    request->code = WEIR_OK;
    request->result = NULL;
    request->error = NULL;
    request->rolled_back = false;
    request->begun = 0;
    weir__pgop *op = op_new(c);
    if (!op) {
        weir_error error = WEIR_ERROR_INIT;
        request->code = weir__fail(&error, WEIR_ENOMEM, "out of memory");
        request->error = weir__error_detach(&error);
        c->base.env->host->done(&c->base, request);
        return NULL;
    }
    *op = (weir__pgop){.request = request, .error = WEIR_ERROR_INIT};
    weir__list_push_back(&c->ops, &op->link);
    if (!c->next) c->next = op;
    return op;
}

static void op_clear(weir__pgop *op) {
    weir__pg_statement_unref(op->prepared);
    weir__shape_unref(op->shape);
    PQclear(op->described);
    op->prepared = NULL;
    op->shape = NULL;
    op->described = NULL;
}

void weir__pg_op_drop(weir__pgconn *c, weir__pgop *op) {
    op_clear(op);
    weir_result_free(op->result);
    weir_error_clear(&op->error);
    if (c->next == op) c->next = weir__pg_op_next(c, op);
    weir__list_remove(&op->link);
    if (weir__list_empty(&c->ops)) {
        weir__buffer_free(&c->args.blob);
        c->cancelling = c->broken = false;
    }
    op_free(c, op);
}

void weir__pg_op_tell(weir__pgconn *c, weir__pgop *op) {
    weir__request *request = op->request;
    if (!request) { /* our own */
        weir__pg_op_drop(c, op);
        return;
    }
    request->rolled_back = op->rolled_back;
    if (op->error.code != WEIR_OK) {
        request->error = weir__error_detach(&op->error);
        request->code = request->error->code;
    } else if (request->statement) {
        request->result = op->result;
        op->result = NULL;
    }
    weir__pg_op_drop(c, op);
    c->base.env->host->done(&c->base, request);
}

/* ---- what is not known when the connection is lost */

static bool begins_transaction(const weir__request *request) {
    for (unsigned i = 0; i < request->before_count; i++)
        if (strncmp(request->before[i], "BEGIN", 5) == 0) return true;
    return false;
}

bool weir__pg_op_writes(const weir__pgop *op) {
    unsigned traits = op->shape ? op->shape->traits : 0;
    bool sent = op->next_set || (op->request && op->request->mode && op->tail_sent);
    if (op->request && op->request->mode == WEIR__COPY_IN && !op->copied) return false;
    if (!op->request || !sent || op->request->readonly) return false;
    bool script = op->request->mode == WEIR__SCRIPT; /* it may leave a transaction that has failed */
    if (op->start_tx == WEIR__TX_FAILED && !script) return false;
    if (traits & WEIR__TRAIT_COMMITS) return true;
    if (op->cancelled && op->next_set < op->sets) return false; /* what was sent of it is undone */
    if (op->start_tx != WEIR__TX_NONE || begins_transaction(op->request)) return false;
    return !(traits & WEIR__TRAIT_READS);
}

bool weir__pg_op_is_unknown(const weir__pgop *op) {
    return !op->unheard && ((op->commit_sent && !op->command_answered) || weir__pg_op_writes(op));
}

/* Whether a part of it may have been committed before it failed. */
static bool may_be_done_in_part(const weir__pgop *op) {
    unsigned traits = op->shape ? op->shape->traits : 0;
    bool script = op->request->mode == WEIR__SCRIPT;
    if (script && traits & (WEIR__TRAIT_COMMITS | WEIR__TRAIT_PARTS)) return true;
    if (op->start_tx != WEIR__TX_NONE || begins_transaction(op->request)) return false;
    return script || traits & WEIR__TRAIT_PARTS;
}

void weir__pg_op_judge(weir__pgop *op) {
    if (!op->request || op->request->readonly || !op->error.retryable) return;
    bool reads = op->shape && op->shape->traits & WEIR__TRAIT_READS;
    /* For what has come there was no memory, but the server has gone on. */
    bool unseen = op->error.code == WEIR_ENOMEM && !reads;
    if (unseen || may_be_done_in_part(op)) op->error.retryable = false;
}

/* Nothing of it has been sent, but it is not held up either. */
static bool will_write(const weir__pgconn *c, const weir__pgop *op) {
    const weir_statement *statement = op->request->statement;
    weir__tx tx = op->begun ? op->start_tx : c->step_count ? c->ahead_tx : c->base.tx;
    if (op->cancelled || op->next_set || op->request->mode || op->request->readonly || !statement)
        return false;
    if (tx != WEIR__TX_NONE || begins_transaction(op->request)) return false;
    return !(weir__pg_traits(statement->sql, statement->sql_length, NULL) & WEIR__TRAIT_READS);
}

bool weir__pg_doubtful(weir__conn *conn, const weir__request *request) {
    const weir__pgconn *c = (const weir__pgconn *)conn;
    for (const weir__link *link = c->ops.next; link != &c->ops; link = link->next) {
        const weir__pgop *op = weir__container(link, weir__pgop, link);
        if (op->request == request)
            return op->error.code == WEIR_OK && (weir__pg_op_is_unknown(op) || will_write(c, op));
    }
    return false;
}

/* ---- the session after a request */

/* libpq tells only when nothing else is on its way. */
static void read_transaction(weir__pgconn *c, const weir__pgop *op) {
    switch (PQtransactionStatus(c->pg)) {
    case PQTRANS_IDLE:
        c->base.tx = WEIR__TX_NONE;
        break;
    case PQTRANS_INERROR:
        c->base.tx = WEIR__TX_FAILED;
        break;
    default: {
        bool failed = op->error.code != WEIR_OK && op->end_tx == WEIR__TX_OPEN;
        bool alone = !c->step_count;
        c->base.tx = alone ? WEIR__TX_OPEN : failed ? WEIR__TX_FAILED : op->end_tx;
        break;
    }
    }
}

static bool is_rollback(const char *command) { return strncmp(command, "ROLLBACK", 8) == 0; }

/* Whether the request may have undone a SET. */
static bool unguards(const weir__pgop *op) {
    const weir__request *request = op->request;
    if (!request) return false;
    if (op->shape && op->shape->traits & WEIR__TRAIT_UNGUARDS) return true;
    if (request->command && is_rollback(request->command)) return true;
    for (unsigned i = 0; i < request->before_count; i++)
        if (is_rollback(request->before[i])) return true;
    return false;
}

/* What the request means for what we believe of the session. */
static void settle_session(weir__pgconn *c, const weir__pgop *op) {
    bool undone = unguards(op);
    if (c->guard_in_tx && (undone || c->base.tx != WEIR__TX_OPEN)) {
        c->guard_in_tx = false;
        c->guard_ms = WEIR__PG_GUARD_UNKNOWN;
    }
    if (undone && c->guard_ms != weir__pg_env(c)->guard_ms) c->guard_ms = WEIR__PG_GUARD_UNKNOWN;
    /* What a script has done before it failed nobody knows. */
    if (op->shape && op->shape->traits & WEIR__TRAIT_FORGETS &&
        (op->error.code == WEIR_OK || op->request->mode == WEIR__SCRIPT))
        weir__pg_statements_forget(c);
    if (c->base.tx == WEIR__TX_NONE && !c->dirty) c->retyped = false; /* SET LOCAL has ended */
    if (!c->step_count) c->calling = false;
    if (!c->readonly) return;
    /* A function may have switched it off: what is sent from here on is told anew. */
    const char *mode = PQparameterStatus(c->pg, "default_transaction_read_only");
    if (mode && strcmp(mode, "on") == 0) return;
    c->readonly = false;
    c->dirty = weir__pg_env(c)->undone = true;
}

/* The statement that this request was to prepare, and perhaps has not. */
static void settle_prepared(weir__pgconn *c, weir__pgop *op) {
    if (!op->parses) return;
    if (!op->parsed)
        weir__pg_statement_drop(c, op->prepared);
    else if (!op->prepared->shape->typed)
        weir__pg_statement_doom(c, op->prepared);
}

/* ---- what was believed of a statement and has turned out wrong */

/* Forgets what no longer holds. */
static void settle_stale(weir__pgconn *c, weir__pgop *op) {
    weir__shape_forget(&weir__pg_env(c)->shapes, op->shape);
    if (op->prepared && op->gone) {
        weir__pg_statements_forget(c); /* they went together */
    } else if (op->prepared) {
        weir__pg_statement_doom(c, op->prepared);
    }
}

/* Back into the line, as the next one to be sent: nothing of it has happened. */
static void requeue(weir__pgconn *c, weir__pgop *op) {
    weir__pgop *first = c->next == op ? weir__pg_op_next(c, op) : c->next;
    if (first && first->begun) first = weir__pg_op_next(c, first); /* that is being sent */
    weir__list_remove(&op->link);
    weir__list_insert_before(first ? &first->link : &c->ops, &op->link);
    if (!c->next || c->next == first || c->next == op) c->next = op;
    weir_result *result = op->result;
    op_clear(op);
    weir_error_clear(&op->error);
    *op = (weir__pgop){.link = op->link,
                       .request = op->request,
                       .retried = op->retried,
                       .rebegun = op->rebegun,
                       .undo = op->undo,
                       .alone = op->alone,
                       .cancelled = op->cancelled,
                       .result = result,
                       .error = WEIR_ERROR_INIT};
    if (result) weir__pg_result_reset(result);
    op->request->begun = 0;
    c->base.env->host->arm(&c->base, WEIR__NEVER);
}

/* Runs it again when nobody can tell: all that has happened was undone. False: it is not possible. */
static bool try_again(weir__pgconn *c, weir__pgop *op) {
    bool began_here = c->base.tx != WEIR__TX_NONE && op->request->before_count > 0;
    /* The statement has run, and what it has done must be nothing, or undone. */
    if (op->reshaped && !(op->shape->traits & WEIR__TRAIT_SIMPLE) &&
        !(began_here && !(op->shape->traits & WEIR__TRAIT_DIRTY)))
        return false;
    bool *tried = op->unbegun ? &op->rebegun : &op->retried;
    if (*tried || op->cancelled || op->start_tx != WEIR__TX_NONE) return false;
    if (c->base.tx != WEIR__TX_NONE && (!began_here || c->step_count)) return false;
    *tried = true;
    op->undo = began_here;
    requeue(c, op);
    return true;
}

void weir__pg_op_again(weir__pgconn *c, weir__pgop *op) {
    settle_prepared(c, op);
    if (op->cancelled) {
        weir__fail(&op->error, WEIR_ECANCELLED, "the statement was cancelled before it ran");
        weir__pg_op_end(c, op);
        return;
    }
    op->alone = true;
    requeue(c, op);
}

/* ---- the end */

/* Whether the transaction has a number from now on that it is worth to know, as far as the tag tells. */
static bool has_written(const weir__pgop *op) {
    static const char *const others[] = {"SELECT", "FETCH", "SHOW", "SET", "BEGIN", "EXPLAIN", "DECLARE"};
    const char *tag = op->result ? op->result->tag : "";
    bool other = !op->request || op->error.code != WEIR_OK || !*tag;
    for (size_t i = 0; i < sizeof others / sizeof *others && !other; i++)
        other = strncmp(tag, others[i], strlen(others[i])) == 0;
    return !other;
}

void weir__pg_ask_xid(weir__pgconn *c) {
    weir__pgop *op = c->base.env->config->options.commit_xid && weir__pg_reserve(c) ? op_new(c) : NULL;
    c->xid_asked = true;
    if (!op) return;          /* it stays unknown */
    c->ahead_tx = c->base.tx; /* nothing is on its way */
    *op = (weir__pgop){.begun = true,
                       .tail_sent = true,
                       .start_tx = c->ahead_tx,
                       .end_tx = c->ahead_tx,
                       .error = WEIR_ERROR_INIT};
    weir__list_push_back(&c->ops, &op->link);
    if (!weir__pg_send_xid(c, op) || !weir__pg_send_sync(c, op)) weir__pg_send_failed(c);
}

void weir__pg_op_end(weir__pgconn *c, weir__pgop *op) {
    if (op->begun) {
        read_transaction(c, op);
        settle_session(c, op);
        c->has_written = c->base.tx == WEIR__TX_OPEN && (c->has_written || has_written(op));
        if (c->base.tx == WEIR__TX_NONE) {
            c->base.xid = 0;
            c->xid_asked = false;
        }
    }
    if (op->request && op->request->chain && op->error.code != WEIR_OK) c->broken = true;
    settle_prepared(c, op);
    if (op->stale || op->doubtful) settle_stale(c, op);
    if ((op->stale || op->unbegun) && try_again(c, op)) return;
    if (c->cancel && weir__container(c->ops.next, weir__pgop, link) == op && !weir__pg_op_next(c, op)) {
        c->quarantined = op; /* the cancellation could still hit the next request */
        if (c->next == op) c->next = NULL;
    } else {
        weir__pg_op_tell(c, op);
        /* Not before: the last of the host's requests must be the last of all, since it is the one that waits
           for its cancellation; and what one sends in parts is not to be disturbed. */
        if (c->has_written && !c->xid_asked && weir__list_empty(&c->ops)) weir__pg_ask_xid(c);
    }
}

/* ---- execute */

int weir__pg_refuse_count(const weir__shape *shape, const weir_statement *statement, weir_error *error) {
    if (shape->parameters == statement->parameters) return WEIR_OK;
    return weir__fail(error, WEIR_EINVAL, "the statement takes %zu parameter%s, and was given %zu",
                      shape->parameters, shape->parameters == 1 ? "" : "s", statement->parameters);
}

void weir__pg_execute(weir__conn *conn, weir__request *request) {
    weir__pgconn *c = (weir__pgconn *)conn;
    if (weir__pg_op_begin(c, request) && !request->hold) weir__pg_pump(c);
}

void weir__pg_flush(weir__conn *conn) {
    weir__pgconn *c = (weir__pgconn *)conn;
    if (c->state == WEIR__PG_READY && c->next) weir__pg_pump(c);
}
