/* A request's life, and receiving. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/postgres/pg.h"

#define TEXT_MAX (((size_t)1 << 30) - 65536) /* the server takes no message of 1 GiB */

/* ---- beginning and end */

void weir__pg_op_begin(weir__pgconn *c, weir__request *request) {
    c->op = (weir__pgop){.running = true, .start_tx = c->base.tx, .error = WEIR_ERROR_INIT};
    c->base.request = request;
    request->code = WEIR_OK;
    request->result = NULL;
    request->error = NULL;
    request->rolled_back = false;
    request->begun = 0;
}

static bool begins_transaction(const weir__request *request) {
    for (unsigned i = 0; i < request->before_count; i++)
        if (strncmp(request->before[i], "BEGIN", 5) == 0) return true;
    return false;
}

/* Whether its statement was sent, and would stay done without the host's COMMIT. */
static bool statement_is_unknown(const weir__pgconn *c) {
    const weir__pgop *op = &c->op;
    unsigned traits = op->shape ? op->shape->traits : 0;
    if (!op->next_set || op->start_tx == WEIR__TX_FAILED) return false;
    if (traits & WEIR__TRAIT_COMMITS) return true;
    if (op->start_tx != WEIR__TX_NONE || begins_transaction(c->base.request)) return false;
    return !(traits & WEIR__TRAIT_READS);
}

bool weir__pg_op_is_unknown(const weir__pgconn *c) {
    return (c->op.commit_sent && !c->op.command_answered) || statement_is_unknown(c);
}

void weir__pg_op_drop(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    weir__free(op->fresh);
    weir__shape_unref(op->shape);
    weir_result_free(op->result);
    weir_error_clear(&op->error);
    weir__buffer_free(&c->args.blob);
    *op = (weir__pgop){.error = WEIR_ERROR_INIT};
    c->base.request = NULL;
    c->quarantined = false;
}

void weir__pg_op_tell(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    weir__request *request = c->base.request;
    request->rolled_back = op->rolled_back;
    if (op->error.code != WEIR_OK) {
        request->error = weir__error_detach(&op->error);
        request->code = request->error->code;
    } else if (request->statement) {
        request->result = op->result;
        op->result = NULL;
    }
    weir__pg_op_drop(c);
    c->base.env->host->done(&c->base, request);
}

static void read_transaction(weir__pgconn *c) {
    switch (PQtransactionStatus(c->pg)) {
    case PQTRANS_IDLE:
        c->base.tx = WEIR__TX_NONE;
        break;
    case PQTRANS_INERROR:
        c->base.tx = WEIR__TX_FAILED;
        break;
    default:
        c->base.tx = WEIR__TX_OPEN;
        break;
    }
}

static bool is_rollback(const char *command) { return strncmp(command, "ROLLBACK", 8) == 0; }

/* Whether the request may have undone a SET. */
static bool unguards(const weir__pgconn *c) {
    const weir__request *request = c->base.request;
    if (c->op.shape && c->op.shape->traits & WEIR__TRAIT_UNGUARDS) return true;
    if (request->command && is_rollback(request->command)) return true;
    for (unsigned i = 0; i < request->before_count; i++)
        if (is_rollback(request->before[i])) return true;
    return false;
}

/* What the request means for what we believe of the session. */
static void settle_session(weir__pgconn *c) {
    const weir__pgop *op = &c->op;
    bool undone = unguards(c);
    if (c->guard_in_tx && (undone || c->base.tx != WEIR__TX_OPEN)) {
        c->guard_in_tx = false;
        c->guard_ms = WEIR__PG_GUARD_UNKNOWN;
    }
    if (undone && c->guard_ms != weir__pg_env(c)->guard_ms) c->guard_ms = WEIR__PG_GUARD_UNKNOWN;
    if (op->shape && op->shape->traits & WEIR__TRAIT_FORGETS && op->error.code == WEIR_OK) {
        c->op.prepared = NULL;
        weir__pg_statements_forget(c);
    }
    if (c->base.tx == WEIR__TX_NONE && !c->dirty) c->retyped = false; /* SET LOCAL has ended */
}

/* ---- what was believed of a statement and has turned out wrong */

static bool find_shape(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    const weir_statement *statement = c->base.request->statement;
    op->shared = !c->retyped;
    op->shape = weir__shape_get(&weir__pg_env(c)->shapes, statement, op->shared);
    bool unnamed = weir__pg_unnamed(c);
    if (op->shape && !unnamed) op->fresh = weir__pg_statement_new(c, op->shape);
    return op->shape && (op->fresh || unnamed);
}

/* Forgets what no longer holds. */
static void settle_stale(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    weir__shape_forget(&weir__pg_env(c)->shapes, op->shape);
    if (op->prepared && op->gone) {
        weir__pg_statement_drop(c, op->prepared);
    } else if (op->prepared) {
        weir__pg_statement_doom(c, op->prepared);
    }
    op->prepared = NULL;
}

/* Runs it again when nobody can tell: all that has happened was undone. False: it is not possible. */
static bool try_again(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    bool began_here = c->base.tx != WEIR__TX_NONE && c->base.request->before_count > 0;
    /* The statement has run, and what it has done must be nothing, or undone. */
    if (op->reshaped && !(op->shape->traits & WEIR__TRAIT_SIMPLE) &&
        !(began_here && !(op->shape->traits & WEIR__TRAIT_DIRTY)))
        return false;
    if (op->retried || op->cancelled || op->start_tx != WEIR__TX_NONE) return false;
    if (c->base.tx != WEIR__TX_NONE && !began_here) return false;
    weir_result *result = op->result;
    weir__shape_unref(op->shape);
    weir_error_clear(&op->error);
    *op = (weir__pgop){.running = true,
                       .retried = true,
                       .undo = began_here,
                       .sets = op->sets,
                       .result = result,
                       .error = WEIR_ERROR_INIT};
    weir__pg_result_reset(result);
    c->base.request->begun = 0;
    if (!find_shape(c)) {
        op->running = false;
        weir__fail(&op->error, WEIR_ENOMEM, "out of memory");
        return false;
    }
    weir__pg_trip_start(c);
    return true;
}

void weir__pg_op_end(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    op->running = false;
    read_transaction(c);
    if (op->fresh && op->fresh_parsed) {
        weir__pg_statement_doom(c, op->fresh);
    } else {
        weir__free(op->fresh);
    }
    op->fresh = NULL;
    settle_session(c);
    if (op->stale || op->doubtful) settle_stale(c);
    if (op->stale && try_again(c)) return;
    if (c->cancel) {
        c->quarantined = true; /* the cancellation could still hit the next request */
    } else {
        weir__pg_op_tell(c);
    }
}

/* ---- execute */

static int refuse_count(const weir__shape *shape, const weir_statement *statement, weir_error *error) {
    if (shape->parameters == statement->parameters) return WEIR_OK;
    return weir__fail(error, WEIR_EINVAL, "the statement takes %zu parameter%s, and was given %zu",
                      shape->parameters, shape->parameters == 1 ? "" : "s", statement->parameters);
}

/* Finds out what there is to send. */
static int prepare(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    weir_statement *statement = c->base.request->statement;
    int code = weir__statement_check(statement, &op->error);
    if (code != WEIR_OK) return code;
    if (statement->sql_length > TEXT_MAX)
        return weir__fail(&op->error, WEIR_EVALUE, "the statement's text is longer than the server takes");
    op->result = weir__pg_result_new();
    if (!op->result) return weir__fail(&op->error, WEIR_ENOMEM, "out of memory");
    op->sets = statement->sets;
    if (!op->sets) {
        op->result->affected = 0;
        return WEIR_OK;
    }
    op->prepared = weir__pg_statement_find(c, statement);
    if (op->prepared) {
        op->shape = op->prepared->shape;
        op->shape->references++;
    } else if (!find_shape(c)) {
        return weir__fail(&op->error, WEIR_ENOMEM, "out of memory");
    }
    if (op->shape->traits & WEIR__TRAIT_COPY)
        return weir__fail(
            &op->error, WEIR_ENOTSUP,
            "COPY FROM STDIN and COPY TO STDOUT are not supported: use INSERT with many sets of "
            "parameters, SELECT, or COPY with a file of the server");
    op->believed = op->shape->typed;
    return op->shape->typed ? refuse_count(op->shape, statement, &op->error) : WEIR_OK;
}

void weir__pg_execute(weir__conn *conn, weir__request *request) {
    weir__pgconn *c = (weir__pgconn *)conn;
    weir__pg_op_begin(c, request);
    bool idle = !request->before_count && !request->command;
    if (request->statement && prepare(c) != WEIR_OK) {
        weir__pg_op_end(c);
    } else if (idle && !c->op.sets) {
        weir__pg_op_end(c); /* an executemany of no sets */
    } else {
        weir__pg_trip_start(c);
    }
}

/* ---- receiving */

static void pop(weir__pgop *op) {
    weir__pgstep *step = &op->steps[op->step_first];
    if (--step->left) return;
    op->step_first++;
    op->step_count--;
}

static void keep_fresh(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    if (!*op->fresh->name) return;
    weir__pg_statement_keep(c, op->fresh, op->shape);
    op->prepared = op->fresh;
    op->fresh = NULL;
}

static void take_description(weir__pgconn *c, const PGresult *result) {
    weir__pgop *op = &c->op;
    if (!weir__shape_learn(&weir__pg_env(c)->shapes, &op->shape, result, op->shared)) {
        if (op->error.code == WEIR_OK) weir__fail(&op->error, WEIR_ENOMEM, "out of memory");
        return;
    }
    keep_fresh(c);
    if (op->error.code == WEIR_OK) refuse_count(op->shape, c->base.request->statement, &op->error);
}

static void take_command(weir__pgconn *c, PGresult *result) {
    weir__pgop *op = &c->op;
    op->command_answered = true;
    if (!op->commit_sent || strcmp(PQcmdStatus(result), "ROLLBACK") != 0) return;
    op->rolled_back = true;
    weir__fail(&op->error, WEIR_EROLLEDBACK,
               "COMMIT was answered by ROLLBACK: a statement of the transaction had failed");
}

static void take_discard(weir__pgconn *c) {
    weir__pg_statements_forget(c);
    c->base.wiped = c->founded;
    c->founded = false;
    c->dirty = c->retyped = c->guard_foreign = c->guard_in_tx = false;
    c->guard_ms = weir__pg_env(c)->guard_ms;
}

/* A statement whose types were known is not described where it is prepared for the first time. */
static void look_at_columns(weir__pgconn *c, const PGresult *result) {
    weir__pgop *op = &c->op;
    if (op->error.code != WEIR_OK || !op->shape->typed || weir__shape_fits(op->shape, result)) return;
    op->doubtful = true; /* rows that can be read are as good as any, but the shape is to be forgotten */
    if (c->base.request->statement->many || weir__pg_rows_are_legible(result)) return;
    op->stale = op->reshaped = true;
    weir__fail(&op->error, WEIR_EVALUE,
               "the statement has run, but a table has changed and its rows came in a form that was asked "
               "for before that: the next call will work");
}

/* True: the result has found a new owner. */
static bool take_success(weir__pgconn *c, weir__pgstep_kind kind, PGresult *result) {
    weir__pgop *op = &c->op;
    switch (kind) {
    case WEIR__STEP_GUARD:
        c->guard_ms = op->guard_sent;
        c->guard_in_tx = op->start_tx == WEIR__TX_OPEN && !op->resetting;
        break;
    case WEIR__STEP_PARSE:
        op->fresh_parsed = op->fresh;
        if (op->fresh && !op->describing) keep_fresh(c);
        break;
    case WEIR__STEP_DESCRIBE:
        take_description(c, result);
        break;
    case WEIR__STEP_EXECUTE:
        look_at_columns(c, result);
        if (!c->base.request->statement->many) {
            weir__pg_result_set(op->result, result);
            return true;
        }
        weir__pg_result_add(op->result, result);
        break;
    case WEIR__STEP_COMMAND:
        take_command(c, result);
        break;
    case WEIR__STEP_DISCARD:
        take_discard(c);
        break;
    case WEIR__STEP_BEFORE:
        c->base.request->begun++;
        break;
    case WEIR__STEP_SYNC:
    case WEIR__STEP_DEALLOCATE:
    case WEIR__STEP_UNDO:
    case WEIR__STEP_POISON:
        break;
    }
    return false;
}

/* Whether the error is about what was believed of the statement, and not about the statement. */
static void look_for_staleness(weir__pgop *op, weir__pgstep_kind kind, const PGresult *result) {
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
    const char *file = PQresultErrorField(result, PG_DIAG_SOURCE_FILE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!state || !op->believed || PQresultErrorField(result, PG_DIAG_CONTEXT)) return;
    /* The types do not go with the tables any more: the statement itself was analysed, and not one of a
     * function's. */
    bool misfit = strncmp(state, "42", 2) == 0 &&
                  (kind == WEIR__STEP_PARSE || (file && strncmp(file, "parse_", 6) == 0));
    bool changed = strcmp(state, "0A000") == 0 && function && strcmp(function, "RevalidateCachedQuery") == 0;
    if (kind == WEIR__STEP_EXECUTE && op->prepared)
        op->gone = strcmp(state, "26000") == 0 && message && strstr(message, op->prepared->name);
    if (kind == WEIR__STEP_PARSE || kind == WEIR__STEP_EXECUTE) op->stale = misfit || changed || op->gone;
}

/* Whether what the server was doing when it died may have been done. */
static bool may_have_happened(const weir__pgconn *c, weir__pgstep_kind kind) {
    if (kind == WEIR__STEP_COMMAND) return c->op.commit_sent;
    return (kind == WEIR__STEP_EXECUTE || kind == WEIR__STEP_SYNC) && statement_is_unknown(c);
}

static void take_error(weir__pgconn *c, weir__pgstep_kind kind, const PGresult *result) {
    weir__pgop *op = &c->op;
    bool fatal = weir__pg_is_fatal(result);
    if (fatal) {
        weir__pg_report(&c->last_words, result);
        c->fatal = true;
    }
    if (kind == WEIR__STEP_GUARD || kind == WEIR__STEP_DEALLOCATE) {
        c->guard_ms = WEIR__PG_GUARD_UNKNOWN;
        return;
    }
    /* Without SQLSTATE it is libpq that tells of the loss of the connection: that is seen to elsewhere. */
    if (PQstatus(c->pg) == CONNECTION_BAD && !PQresultErrorField(result, PG_DIAG_SQLSTATE)) return;
    if (fatal && may_have_happened(c, kind)) return;
    if (kind == WEIR__STEP_COMMAND) {
        op->command_answered = true;
    }
    if (op->error.code != WEIR_OK) return;
    weir__pg_report(&op->error, result);
    if (fatal) weir__pg_recode(&op->error, WEIR_ELOST);
    look_for_staleness(op, kind, result);
}

/* The answer to a trip's last Sync has come. */
static void trip_end(weir__pgconn *c) {
    weir__pgop *op = &c->op;
    if (op->describing) {
        op->describing = false;
        if (op->error.code == WEIR_OK && op->cancelled)
            weir__fail(&op->error, WEIR_ECANCELLED, "the statement was cancelled before it ran");
        if (op->error.code == WEIR_OK) {
            weir__pg_pump(c);
            return;
        }
    }
    weir__pg_op_end(c);
}

static void lose_protocol(weir__pgconn *c, const char *what) {
    weir_error why = WEIR_ERROR_INIT;
    weir__fail(&why, WEIR_EINTERNAL, "the server's answers do not match what was sent: %s", what);
    weir__pg_lose(c, &why);
}

/* No way leads out of a COPY in a pipeline that all versions of libpq know. */
static void refuse_copy(weir__pgconn *c) {
    weir_error why = WEIR_ERROR_INIT;
    if (c->op.error.code == WEIR_OK)
        weir__fail(&c->op.error, WEIR_ENOTSUP, "the statement began a COPY, which is not supported");
    weir__fail(&why, WEIR_ELOST, "the connection was given up because a statement began a COPY");
    weir__pg_lose(c, &why);
}

static void take(weir__pgconn *c, PGresult *result) {
    weir__pgop *op = &c->op;
    ExecStatusType status = PQresultStatus(result);
    weir__pgstep_kind kind = op->step_count ? op->steps[op->step_first].kind : WEIR__STEP_SYNC;
    bool kept = false, synced = status == PGRES_PIPELINE_SYNC;
    if (!op->step_count || (synced && kind != WEIR__STEP_SYNC)) {
        lose_protocol(c, PQresStatus(status));
    } else if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
        refuse_copy(c);
    } else if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
        take_error(c, kind, result);
        if (kind != WEIR__STEP_SYNC)
            pop(op); /* an error of the implicit COMMIT comes before the answer to the Sync */
    } else {
        if (status != PGRES_PIPELINE_ABORTED && !synced) kept = take_success(c, kind, result);
        pop(op);
        if (synced && !op->step_count && (op->describing || op->tail_sent)) trip_end(c);
    }
    if (!kept) PQclear(result);
}

static void take_all(weir__pgconn *c) {
    int nothing = 0; /* NULL ends a command's results; two of them in a row end all */
    while (c->op.running && nothing < 2 && !PQisBusy(c->pg)) {
        PGresult *result = PQgetResult(c->pg);
        nothing = result ? 0 : nothing + 1;
        if (result) take(c, result);
    }
}

/* Reads what has come. False: the connection has ended, though something may have come before. */
static bool consume(weir__pgconn *c) {
    if (!PQconsumeInput(c->pg)) return false;
    const weir__pglibrary *library = weir__pg_library();
    void *tls = library->ssl_pending ? PQsslStruct(c->pg, "OpenSSL") : NULL;
    /* Bytes that OpenSSL has decrypted already make no descriptor readable. */
    for (int i = 0; tls && i < 64 && library->ssl_pending(tls) > 0; i++)
        if (!PQconsumeInput(c->pg)) return false;
    return true;
}

static void take_notifications(weir__pgconn *c) {
    PGnotify *note;
    while ((note = PQnotifies(c->pg))) PQfreemem(note);
}

bool weir__pg_receive(weir__pgconn *c) {
    bool alive = consume(c);
    take_all(c);
    if (c->state != WEIR__PG_READY) return false;
    take_notifications(c); /* with nothing running, this parses what the server says of itself */
    return alive && !c->fatal && PQstatus(c->pg) == CONNECTION_OK;
}

static void lose_by_server(weir__pgconn *c) {
    weir_error why = WEIR_ERROR_INIT;
    if (c->last_words.code != WEIR_OK) {
        weir__error_copy(&why, &c->last_words);
        weir__pg_recode(&why, WEIR_ELOST);
    } else {
        weir__pg_lost_error(&why, c->pg);
    }
    weir__pg_lose(c, &why);
}

void weir__pg_query_ready(weir__pgconn *c, unsigned events) {
    bool well = !(events & WEIR__WRITE) || PQflush(c->pg) >= 0;
    if (events & ~(unsigned)WEIR__WRITE || !well) well = weir__pg_receive(c) && well;
    if (c->state != WEIR__PG_READY) return;
    if (well) {
        weir__pg_pump(c);
    } else {
        lose_by_server(c);
    }
}
