/* Receiving. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/postgres/pg.h"

void weir__pg_pop(weir__pgconn *c) {
    weir__pgstep *step = &c->steps[c->step_first];
    step->op->steps--;
    if (--step->left) return;
    c->step_first = (c->step_first + 1) & (c->step_capacity - 1);
    c->step_count--;
}

static void learn_types(weir__pgconn *c, weir__pgop *op, const PGresult *rows) {
    const weir__config *config = c->base.env->config;
    if (op->error.code == WEIR_OK)
        weir__pgtypes_learn(&weir__pg_env(c)->types, config->codecs, config->codec_count, rows, &op->error);
}

/* What Describe has told, once the types in it are known. */
static void learn_description(weir__pgconn *c, weir__pgop *op) {
    const PGresult *result = op->described;
    if (!weir__shape_learn(&weir__pg_env(c)->shapes, &op->shape, result, op->shared)) {
        if (op->error.code == WEIR_OK) weir__fail(&op->error, WEIR_ENOMEM, "out of memory");
        return;
    }
    weir__pg_statement_reshape(op->prepared, op->shape);
    if (op->error.code == WEIR_OK) weir__pg_refuse_count(op->shape, op->request->statement, &op->error);
}

static void take_command(weir__pgop *op, PGresult *result) {
    op->command_answered = true;
    if (!op->commit_sent || strcmp(PQcmdStatus(result), "ROLLBACK") != 0) return;
    op->rolled_back = true;
    weir__fail(&op->error, WEIR_EROLLEDBACK,
               "COMMIT was answered by ROLLBACK: a statement of the transaction had failed");
}

/* A statement whose types were known is not described where it is prepared for the first time. */
static void look_at_columns(weir__pgconn *c, weir__pgop *op, const PGresult *result) {
    if (op->error.code != WEIR_OK || !op->shape->typed || weir__shape_fits(op->shape, result)) return;
    op->doubtful = true; /* rows that can be read are as good as any, but the shape is to be forgotten */
    if (op->request->statement->many || weir__pg_rows_are_legible(weir__pg_env(c)->types, result)) return;
    op->stale = op->reshaped = true;
    weir__fail(&op->error, WEIR_EVALUE,
               "the statement has run, but a table has changed and its rows came in a form that was asked "
               "for before that: the next call will work");
}

static void take_xid(weir__pgconn *c, const weir__pgop *op, const PGresult *result) {
    if (PQntuples(result) != 1 || (c->base.tx != WEIR__TX_OPEN && !op->commit_sent)) return;
    c->base.xid = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    /* It has none yet: what was taken for a write was none. */
    if (!c->base.xid) c->xid_asked = c->has_written = false;
}

/* True: the result has found a new owner. */
static bool take_success(weir__pgconn *c, weir__pgop *op, weir__pgstep_kind kind, PGresult *result) {
    switch (kind) {
    case WEIR__STEP_GUARD:
        c->guard_ms = op->guard_sent;
        c->guard_in_tx = op->start_tx == WEIR__TX_OPEN && !op->resetting;
        break;
    case WEIR__STEP_PARSE:
        op->parsed = true;
        break;
    case WEIR__STEP_DESCRIBE:
        op->described = result; /* none is there: a request asks once a try */
        return true;
    case WEIR__STEP_TYPES:
        learn_types(c, op, result);
        break;
    case WEIR__STEP_EXECUTE:
        look_at_columns(c, op, result);
        if (!op->request->statement->many) {
            weir__pg_result_know(op->result, &c->args);
            weir__pg_result_set(op->result, result);
            return true;
        }
        weir__pg_result_add(op->result, result);
        break;
    case WEIR__STEP_COMMAND:
        take_command(op, result);
        break;
    case WEIR__STEP_RESET:
        weir__pg_reset_taken(c, op);
        break;
    case WEIR__STEP_XID:
        take_xid(c, op, result);
        break;
    case WEIR__STEP_BEFORE:
        op->request->begun++;
        break;
    case WEIR__STEP_KEEP:
    case WEIR__STEP_SYNC:
    case WEIR__STEP_DEALLOCATE:
    case WEIR__STEP_MODE:
    case WEIR__STEP_READONLY:
    case WEIR__STEP_UNDO:
    case WEIR__STEP_SIMPLE:
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

/* The name of one of our own commands is gone, and with it all names. Of a COMMIT it is certain that nothing
 * stays: the whole transaction may be run again. */
static void look_for_keeps(weir__pgconn *c, weir__pgop *op, weir__pgstep_kind kind, const PGresult *result) {
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    bool ours = kind == WEIR__STEP_BEFORE || kind == WEIR__STEP_COMMAND;
    if (!ours || !state || strcmp(state, "26000") != 0 || !message || !weir__pg_keeps_name(c, message))
        return;
    weir__pg_statements_forget(c);
    op->unbegun = kind == WEIR__STEP_BEFORE;
    if (kind == WEIR__STEP_COMMAND) op->error.retryable = true;
}

/* Whether what the server was doing when it died may have been done. */
static bool may_have_happened(const weir__pgop *op, weir__pgstep_kind kind) {
    if (kind == WEIR__STEP_COMMAND) return op->commit_sent;
    return (kind == WEIR__STEP_EXECUTE || kind == WEIR__STEP_SYNC) && weir__pg_op_writes(op);
}

/* The server says farewell while it was about this request: it has not come to those behind. */
static void note_farewell(weir__pgconn *c, const weir__pgop *op, const PGresult *result) {
    weir__pg_report(&c->last_words, result, NULL);
    c->fatal = true;
    for (weir__link *link = op->link.next; link != &c->ops; link = link->next)
        weir__container(link, weir__pgop, link)->unheard = true;
}

/* Whether the request shares, or has shared, its Sync. */
static bool joins(const weir__pgop *op) { return op->request && op->request->readonly && !op->alone; }

static void lose_mode(weir__pgconn *c, const PGresult *result) {
    weir_error why = WEIR_ERROR_INIT;
    weir__pg_report(&why, result, NULL);
    weir__pg_recode(&why, WEIR_ELOST);
    weir__pg_lose(c, &why);
}

/* Without SQLSTATE it is libpq that tells of the loss of the connection: that is seen to elsewhere. */
static bool tells_of_loss(const weir__pgconn *c, const PGresult *result) {
    return PQstatus(c->pg) == CONNECTION_BAD && !PQresultErrorField(result, PG_DIAG_SQLSTATE);
}

/* The server takes the ? and %s of other libraries for operators, and says so. */
static const char *hint_of(const weir__pgop *op, const PGresult *result) {
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const weir_statement *statement = op->request ? op->request->statement : NULL;
    bool unread = sqlstate && strncmp(sqlstate, "42", 2) == 0 && statement && statement->parameters &&
                  !strstr(statement->sql, "$1");
    return unread ? "parameters are written $1, $2 ..., and the text has no $1" : NULL;
}

static void take_error(weir__pgconn *c, weir__pgop *op, weir__pgstep_kind kind, const PGresult *result) {
    bool fatal = weir__pg_is_fatal(result);
    if (fatal) note_farewell(c, op, result);
    if (kind == WEIR__STEP_MODE) {
        lose_mode(c, result);
        return;
    }
    if (kind == WEIR__STEP_XID) return;
    if (kind == WEIR__STEP_GUARD || kind == WEIR__STEP_DEALLOCATE) {
        c->guard_ms = WEIR__PG_GUARD_UNKNOWN;
        return;
    }
    if (tells_of_loss(c, result)) return;
    if (fatal && may_have_happened(op, kind)) return;
    if (kind == WEIR__STEP_COMMAND) op->command_answered = true;
    if (kind == WEIR__STEP_READONLY && joins(op)) return; /* all of the group are sent again */
    if (op->error.code != WEIR_OK) return;
    weir__pg_report(&op->error, result, hint_of(op, result));
    if (fatal) weir__pg_recode(&op->error, WEIR_ELOST);
    weir__pg_op_judge(op);
    look_for_staleness(op, kind, result);
    look_for_keeps(c, op, kind, result);
}

/* Goes on when the description has come, or the types that it names are known. True: they are asked for now.
 */
static bool go_on_describing(weir__pgconn *c, weir__pgop *op, bool asked) {
    int sent = asked || !op->described || op->error.code != WEIR_OK ? 0 : weir__pg_send_question(c, op);
    if (sent < 0) weir__pg_send_failed(c);
    if (sent > 0) weir__pg_pump(c);
    if (sent) return true;
    if (op->described && op->error.code == WEIR_OK) learn_description(c, op);
    PQclear(op->described);
    op->described = NULL;
    return false;
}

/* The answer to a trip's last message has come. */
static void trip_end(weir__pgconn *c, weir__pgop *op) {
    if (op->describing) {
        bool asked = op->asked;
        op->describing = false;
        op->asked = true;
        if (go_on_describing(c, op, asked)) return;
        op->asked = false;
        if (op->error.code == WEIR_OK && op->cancelled)
            weir__fail(&op->error, WEIR_ECANCELLED, "the statement was cancelled before it ran");
        if (op->error.code == WEIR_OK) {
            weir__pg_pump(c);
            return;
        }
    }
    if (op->aborted)
        weir__pg_op_again(c, op);
    else
        weir__pg_op_end(c, op);
}

static void lose_protocol(weir__pgconn *c, const char *what) {
    weir_error why = WEIR_ERROR_INIT;
    weir__fail(&why, WEIR_EINTERNAL, "the server's answers do not match what was sent: %s", what);
    weir__pg_lose(c, &why);
}

/* No way leads out of a COPY in a pipeline that all versions of libpq know. */
static void refuse_copy(weir__pgconn *c, weir__pgop *op) {
    weir_error why = WEIR_ERROR_INIT;
    if (op->error.code == WEIR_OK)
        weir__fail(&op->error, WEIR_ENOTSUP, "the statement began a COPY: run it with copy_in or copy_out");
    weir__fail(&why, WEIR_ELOST, "the connection was given up because a statement began a COPY");
    weir__pg_lose(c, &why);
}

/* The answer to the oldest step that waits for one. */
static void take_step(weir__pgconn *c, weir__pgop *op, weir__pgstep_kind kind, PGresult *result, bool *kept) {
    ExecStatusType status = PQresultStatus(result);
    bool synced = status == PGRES_PIPELINE_SYNC;
    if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
        take_error(c, op, kind, result);
        if (c->state != WEIR__PG_READY) return;
        if (tells_of_loss(c, result)) return; /* no answer: a grouped request would end here, and well */
        if (kind == WEIR__STEP_SYNC)
            return; /* of the implicit COMMIT: it comes before the answer to the Sync */
    } else if (status == PGRES_PIPELINE_ABORTED && op->request && op->request->chain) {
        weir__pg_fail_chain(op); /* unless it knows an error of its own */
    } else if (status == PGRES_PIPELINE_ABORTED) {
        /* Of its own errors a request knows; of another one's, in its group, it does not. */
        op->aborted = op->aborted || (kind == WEIR__STEP_EXECUTE && op->error.code == WEIR_OK && joins(op));
    } else if (!synced) {
        *kept = take_success(c, op, kind, result);
    }
    if (kind == WEIR__STEP_KEEP) weir__pg_keep_answered(op, status == PGRES_COMMAND_OK);
    weir__pg_pop(c);
    bool trip_over = synced || op->grouped;
    if (trip_over && !op->steps && (op->describing || op->tail_sent)) trip_end(c, op);
}

static void take(weir__pgconn *c, PGresult *result) {
    ExecStatusType status = PQresultStatus(result);
    weir__pgstep *step = c->step_count ? &c->steps[c->step_first] : NULL;
    bool kept = false;
    if (!step || (status == PGRES_PIPELINE_SYNC && step->kind != WEIR__STEP_SYNC))
        lose_protocol(c, PQresStatus(status));
    else if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH)
        refuse_copy(c, step->op);
    else
        take_step(c, step->op, step->kind, result, &kept);
    if (!kept) PQclear(result);
}

static void take_all(weir__pgconn *c) {
    int nothing = 0; /* NULL ends a command's results; two of them in a row end all */
    while (c->state == WEIR__PG_READY && c->step_count && !c->simple && nothing < 2 && !PQisBusy(c->pg)) {
        PGresult *result = PQgetResult(c->pg);
        nothing = result ? 0 : nothing + 1;
        if (result) take(c, result);
    }
    if (c->simple && c->state == WEIR__PG_READY) weir__pg_simple_take(c);
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
    const weir__host *host = c->base.env->host;
    for (PGnotify *note; (note = PQnotifies(c->pg)); PQfreemem(note))
        if (host->notified) host->notified(&c->base, note->relname, note->extra, note->be_pid);
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
