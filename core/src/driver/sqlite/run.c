/*
 * Running requests. Everything here is the worker's.
 *
 * SQLite ends a transaction by itself when a statement in it is interrupted or meets an I/O error or a full
 * disk. What came next would run in autocommit, behind the back of a borrower who believes in his
 * transaction. So such a transaction is `aborted` here, as it would be in PostgreSQL: until it is rolled back
 * everything else is refused.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/statement.h"
#include "driver/sqlite/sqlite.h"

static bool in_transaction(weir__sqlite_conn *conn) { return !weir__sqlite.get_autocommit(conn->db); }

/* Ends a run that went out of its budget, or met a lock: the worker will do it anew. */
static int run_out(weir__sqlite_conn *conn) {
    conn->ran_out = true;
    return WEIR_EINTERNAL;
}

static bool is_for_worker(int rc) {
    return (rc & 0xff) == SQLITE_INTERRUPT || (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED;
}

/* Steps to the end. result may be NULL: rows are only counted. */
static int step_through(weir__sqlite_conn *conn, weir__sqlite_statement *statement, weir_result *result,
                        int64_t *rows, weir_error *error) {
    sqlite3_stmt *handle = statement->handle;
    bool declared = ((weir__sqlite_env *)conn->base.env)->declared;
    bool first = true, room = true;
    int rc;
    *rows = 0;
    do {
        rc = weir__sqlite.step(handle);
        if (conn->until && is_for_worker(rc)) return run_out(conn);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE) return weir__sqlite_fail(conn, rc, NULL, error);
        /* Not earlier: the first step prepares the statement anew when a table has got another column
         * meanwhile. */
        if (first && result) room = weir__sqlite_result_columns(result, statement, declared);
        if (!first && rc == SQLITE_ROW && weir__sqlite_overdue(conn))
            return run_out(conn); /* its rows are large */
        first = false;
        if (rc == SQLITE_ROW) ++*rows;
        if (rc == SQLITE_ROW && result && room) room = weir__sqlite_result_row(result, handle);
    } while (rc == SQLITE_ROW && room);
    if (room) return WEIR_OK;
    weir__fail(error, WEIR_ENOMEM, "out of memory");
    error->retryable = weir__sqlite.stmt_readonly(handle); /* it has written before it gave its first row */
    return WEIR_ENOMEM;
}

static int64_t changes(weir__sqlite_conn *conn) {
    return weir__sqlite.changes64 ? weir__sqlite.changes64(conn->db) : weir__sqlite.changes(conn->db);
}

/* For certain, cancelled or not: a transaction that stays open would hold its locks. */
static void roll_back(weir__sqlite_conn *conn) {
    conn->shielded = true;
    for (int attempt = 0; attempt < 3 && in_transaction(conn);
         attempt++) /* sqlite3_interrupt may hit the first */
        weir__sqlite_ask(conn->db, "ROLLBACK", NULL, 0);
    conn->shielded = false;
}

/* The answer to a statement in a transaction that an error has ended. False: there is no such transaction. */
static bool answer_in_aborted(weir__sqlite_conn *conn, weir__sqlite_verb verb, int *code, weir_error *error) {
    if (!conn->aborted) return false;
    *code = WEIR_OK;
    switch (verb) {
    case WEIR__SQLITE_ROLLBACK:
        conn->aborted = false;
        return true;
    case WEIR__SQLITE_ROLLBACK_TO: /* the outer transaction tells its next statement */
        conn->forgiven = true;
        return true;
    case WEIR__SQLITE_COMMIT:
        conn->aborted = false;
        *code =
            weir__fail(error, WEIR_EROLLEDBACK, "the transaction was rolled back by an earlier error in it");
        return true;
    case WEIR__SQLITE_RELEASE:
        if (conn->forgiven) return true;
        break;
    case WEIR__SQLITE_OTHER:
        break;
    }
    *code = weir__sqlite_report_aborted(error);
    return true;
}

/* One run of a prepared statement. *affected: -1 when it has no such number. */
static int run_once(weir__sqlite_conn *conn, weir__sqlite_statement *statement, const weir_value *values,
                    size_t count, weir_result *result, int64_t *affected, weir_error *error) {
    weir__sqlite_verb verb = statement->shape.verb;
    bool inside = in_transaction(conn);
    int64_t rows = 0;
    int code;
    *affected = -1;
    if (answer_in_aborted(conn, verb, &code, error)) return code;
    if (verb == WEIR__SQLITE_COMMIT || verb == WEIR__SQLITE_ROLLBACK) weir__sqlite_close_cursors(conn);
    conn->shielded = verb == WEIR__SQLITE_ROLLBACK;
    if (weir__sqlite_interrupted(conn)) return weir__sqlite_report(error, "57014", "interrupted");
    code = weir__sqlite_bind(conn, statement, values, count, error);
    if (code == WEIR_OK && statement->handle) {
        code = step_through(conn, statement, result, &rows, error);
        if (statement->shape.count == WEIR__SQLITE_CHANGES) {
            *affected = changes(conn);
        } else if (weir__sqlite.column_count(statement->handle) > 0) {
            *affected = rows;
        }
    }
    weir__sqlite_unbind(statement);
    conn->shielded = false;
    if (code == WEIR_OK) return code;
    if (verb == WEIR__SQLITE_COMMIT) {
        roll_back(conn); /* SQLite would let us try again: nobody will */
    } else if (inside && !in_transaction(conn)) {
        conn->aborted = verb != WEIR__SQLITE_ROLLBACK;
    }
    return code;
}

/* False: it could not be switched. */
static bool query_only(weir__sqlite_conn *conn, bool on) {
    bool dirty = conn->dirty;
    conn->shielded = true;
    int rc = weir__sqlite_ask(conn->db, on ? "PRAGMA query_only=ON" : "PRAGMA query_only=OFF", NULL, 0);
    if (rc == SQLITE_OK) conn->query_only = on;
    conn->shielded = false;
    conn->dirty = dirty;
    return rc == SQLITE_OK;
}

/* A text of the host's or of our own, of one or more statements without parameters. */
static int run_command(weir__sqlite_conn *conn, const char *sql, weir_error *error) {
    int code = WEIR_OK;
    bool read = strcmp(sql, WEIR__SQLITE_BEGIN_READ) == 0;
    for (const char *tail = sql; code == WEIR_OK && *tail; sql = tail) {
        weir__sqlite_statement *statement;
        int64_t affected;
        size_t length = strlen(sql);
        code =
            weir__sqlite_get(conn, sql, length, weir__statement_hash(sql, length), &statement, &tail, error);
        if (code != WEIR_OK) break;
        /* The transaction may have ended without the host's knowledge. */
        bool idle = statement->shape.verb == WEIR__SQLITE_ROLLBACK && !in_transaction(conn) && !conn->aborted;
        if (!idle) code = run_once(conn, statement, NULL, 0, NULL, &affected, error);
        weir__sqlite_put(statement);
    }
    if (code == WEIR_OK && read && !query_only(conn, true)) {
        code = weir__sqlite_report(error, "XX000", "the transaction cannot be made to read only");
        roll_back(conn);
    }
    return code;
}

/* Undoes what the sets before a failing one have done to the borrower's transaction; no cancellation may stop
 * it. */
static void undo_sets(weir__sqlite_conn *conn) {
    if (!in_transaction(conn)) return;
    bool dirty = conn->dirty;
    conn->shielded = true;
    weir__sqlite_ask(conn->db, "ROLLBACK TO SAVEPOINT weir_sets", NULL, 0);
    weir__sqlite_ask(conn->db, "RELEASE SAVEPOINT weir_sets", NULL, 0);
    conn->shielded = false;
    conn->dirty = dirty;
}

/* All sets or none: in a transaction of their own, or behind a savepoint in the borrower's. */
static int run_sets(weir__sqlite_conn *conn, weir__sqlite_statement *prepared,
                    const weir_statement *statement, int64_t *affected, weir_error *error) {
    bool reads = ((weir__sqlite_env *)conn->base.env)->readonly || !prepared->handle ||
                 weir__sqlite.stmt_readonly(prepared->handle);
    bool several = !conn->aborted && statement->sets > 1;
    bool own = several && !in_transaction(conn), nested = several && !own;
    const char *begin = nested ? "SAVEPOINT weir_sets" : reads ? "BEGIN" : "BEGIN IMMEDIATE";
    int code = several ? run_command(conn, begin, error) : WEIR_OK;
    if (code != WEIR_OK) return code;
    *affected = 0;
    for (size_t set = 0; code == WEIR_OK && set < statement->sets; set++) {
        int64_t now;
        conn->set = set + 1;
        code = run_once(conn, prepared, weir__statement_set(statement, set), statement->parameters, NULL,
                        &now, error);
        *affected = *affected < 0 || now < 0 ? -1 : *affected + now;
    }
    conn->set = 0;
    if (!several) return code;
    if (code == WEIR_OK) return run_command(conn, own ? "COMMIT" : "RELEASE SAVEPOINT weir_sets", error);
    if (nested) {
        undo_sets(conn);
        return code;
    }
    roll_back(conn);
    conn->aborted = false;
    return code;
}

static int run_prepared(weir__sqlite_conn *conn, weir__sqlite_statement *prepared,
                        const weir_statement *statement, bool at_once, weir_result **out, weir_error *error) {
    int64_t affected;
    weir_result *result = weir__sqlite_result_new();
    if (!result) return weir__fail(error, WEIR_ENOMEM, "out of memory");
    int64_t begun = weir__now(conn->base.env->clock);
    if (at_once) weir__sqlite_allow(conn, begun);
    int code = statement->many ? run_sets(conn, prepared, statement, &affected, error)
                               : run_once(conn, prepared, weir__statement_set(statement, 0),
                                          statement->parameters, result, &affected, error);
    weir__sqlite_measure(conn, prepared, begun);
    if (code != WEIR_OK) {
        weir_result_free(result);
        return code;
    }
    weir__sqlite_result_finish(result, &prepared->shape, affected);
    *out = result;
    return WEIR_OK;
}

/* Whether it neither writes nor leaves anything behind in the connection. */
static bool only_reads(const weir__sqlite_statement *prepared) {
    return !prepared->handle || (weir__sqlite.stmt_readonly(prepared->handle) && !prepared->dirty);
}

static int run_statement(weir__sqlite_conn *conn, const weir__sqlite_job *job, weir_result **out,
                         weir_error *error) {
    const weir_statement *statement = job->statement;
    weir__sqlite_statement *prepared;
    const char *tail;
    if (weir__sqlite_interrupted(conn)) return weir__sqlite_report(error, "57014", "interrupted");
    int code = weir__sqlite_get(conn, statement->sql, statement->sql_length, statement->hash, &prepared,
                                &tail, error);
    if (code != WEIR_OK) return code;
    if (*tail) {
        code = weir__fail(error, WEIR_ENOTSUP,
                          "the text holds several statements: run each by a call of its own");
    } else if (job->readonly && !only_reads(prepared)) {
        code =
            weir__sqlite_report(error, "25006", "the call is readonly, and the statement does not only read");
    } else {
        code = run_prepared(conn, prepared, statement, false, out, error);
        if (code == WEIR_OK) weir__sqlite_judge(conn, prepared);
    }
    weir__sqlite_put(prepared);
    return code;
}

static int characters(const char *text, const char *end) {
    int count = 0;
    for (; text < end; text++) count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* Each statement of the text, until one fails; their rows are dropped, and the result is the last one's. What
 * ran before the one that fails is done, unless it stood in the borrower's transaction. */
static int run_script(weir__sqlite_conn *conn, const weir__sqlite_job *job, weir_result **out,
                      weir_error *error) {
    const weir_statement *script = job->statement;
    const char *end = script->sql + script->sql_length, *at = weir__sqlite_skip(script->sql, true),
               *tail = at;
    weir_result *result = weir__sqlite_result_new();
    int code = result ? WEIR_OK : weir__fail(error, WEIR_ENOMEM, "out of memory");
    bool done = false;
    while (code == WEIR_OK && *tail) {
        weir__sqlite_statement *prepared;
        int64_t affected;
        at = tail;
        code = weir__sqlite_interrupted(conn)
                   ? weir__sqlite_report(error, "57014", "interrupted")
                   : weir__sqlite_next(conn, at, (size_t)(end - at), &prepared, &tail, error);
        if (code != WEIR_OK) break;
        code = run_once(conn, prepared, NULL, 0, NULL, &affected, error);
        if (code == WEIR_OK) weir__sqlite_result_finish(result, &prepared->shape, affected);
        done = done || (code == WEIR_OK && !in_transaction(conn));
        weir__sqlite_put(prepared);
    }
    if (code == WEIR_OK) {
        *out = result;
        return code;
    }
    weir_result_free(result);
    if (done) error->retryable = false;
    if (code == WEIR_ESERVER || error->position) /* that of the statement, where nothing closer is known */
        error->position = characters(script->sql, at) + (error->position ? error->position : 1);
    return code;
}

/* Our own switch could not be turned back. */
static bool is_stuck(weir__sqlite_conn *conn) {
    return conn->query_only && !in_transaction(conn) && !conn->aborted;
}

static void conclude(weir__sqlite_conn *conn, weir__sqlite_job *job) {
    if (conn->query_only && !in_transaction(conn) && !conn->aborted) query_only(conn, false);
    job->dirty = conn->dirty || is_stuck(conn);
    job->reading = conn->cursors != NULL;
    job->tx = conn->aborted ? WEIR__TX_FAILED : in_transaction(conn) ? WEIR__TX_OPEN : WEIR__TX_NONE;
}

void weir__sqlite_run(weir__sqlite_conn *conn, weir__sqlite_job *job) {
    const char *text = job->texts;
    conn->forgiven = false;
    job->code = WEIR_OK;
    for (unsigned i = 0; job->code == WEIR_OK && i < job->before_count; i++, text += strlen(text) + 1) {
        job->code = run_command(conn, text, &job->error);
        job->begun += job->code == WEIR_OK;
    }
    if (job->code == WEIR_OK && job->cursor)
        job->code = weir__sqlite_run_cursor(conn, job, &job->result, &job->error);
    else if (job->code == WEIR_OK && job->statement)
        job->code = (job->script ? run_script : run_statement)(conn, job, &job->result, &job->error);
    if (job->code == WEIR_OK && job->command) {
        job->code = run_command(conn, text, &job->error);
        job->rolled_back = job->code == WEIR_EROLLEDBACK;
    }
    if (job->code != WEIR_OK) {
        weir_result_free(job->result);
        job->result = NULL;
    }
    conclude(conn, job);
}

bool weir__sqlite_run_at_once(weir__sqlite_conn *conn, weir__sqlite_job *job) {
    weir__sqlite_statement *prepared = weir__sqlite_short(conn, job->statement);
    if (!prepared) return false;
    prepared->users++;
    conn->forgiven = conn->ran_out = false;
    job->code = run_prepared(conn, prepared, job->statement, true, &job->result, &job->error);
    weir__sqlite_put(prepared);
    if (conn->ran_out) return false;
    conclude(conn, job);
    return true;
}

/* Each statement of a text, in order. */
static int run_all(weir__sqlite_conn *conn, const char *text, weir_error *error) {
    int code = WEIR_OK;
    while (code == WEIR_OK && *text) {
        weir__sqlite_statement *prepared;
        const char *tail;
        int64_t affected;
        size_t length = strlen(text);
        code =
            weir__sqlite_get(conn, text, length, weir__statement_hash(text, length), &prepared, &tail, error);
        if (code != WEIR_OK) return code;
        code = run_once(conn, prepared, NULL, 0, NULL, &affected, error);
        weir__sqlite_put(prepared);
        text = tail;
    }
    return code;
}

void weir__sqlite_run_reset(weir__sqlite_conn *conn, weir__sqlite_job *job) {
    weir__sqlite_close_cursors(conn);
    roll_back(conn);
    conn->aborted = false;
    job->code = WEIR_OK;
    if (job->reset == WEIR__RESET_SQL) {
        job->code = run_all(conn, conn->base.env->config->options.reset, &job->error);
        conn->dirty = false; /* whoever gives a text knows what he leaves alone */
    }
    conclude(conn, job);
    if (job->code != WEIR_OK) return;
    if (is_stuck(conn) || (job->dirty && job->reset != WEIR__RESET_NEVER))
        job->code = weir__fail(
            &job->error, WEIR_ELOST,
            "the connection is replaced, since its borrower attached, set or made something in it");
    else if (job->tx != WEIR__TX_NONE)
        job->code = weir__fail(&job->error, WEIR_ELOST,
                               "the connection is replaced, since it could not be rolled back");
}
