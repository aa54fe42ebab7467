/* Results that are read by and by: statements that stay open between requests. All on the worker's side. */
#include "base/alloc.h"
#include "base/error.h"
#include "base/statement.h"
#include "driver/sqlite/sqlite.h"

struct weir__sqlite_cursor {
    weir__sqlite_cursor *next;
    uint64_t number;
    weir_statement *statement;        /* whose values are bound */
    weir__sqlite_statement *prepared; /* its own: the cache's may be run meanwhile */
};

static void close_cursor(weir__sqlite_conn *conn, uint64_t number) {
    weir__sqlite_cursor **at = &conn->cursors, *cursor;
    while (*at && (*at)->number != number) at = &(*at)->next;
    if (!(cursor = *at)) return;
    *at = cursor->next;
    weir__sqlite_unbind(cursor->prepared);
    weir__sqlite_put(cursor->prepared);
    weir_statement_unref(cursor->statement);
    weir__free(cursor);
}

void weir__sqlite_close_cursors(weir__sqlite_conn *conn) {
    while (conn->cursors) close_cursor(conn, conn->cursors->number);
}

static weir__sqlite_cursor *find(const weir__sqlite_conn *conn, uint64_t number) {
    weir__sqlite_cursor *cursor = conn->cursors;
    while (cursor && cursor->number != number) cursor = cursor->next;
    return cursor;
}

/* Whether it can be streamed: it gives rows and changes nothing. */
static int check(const weir__sqlite_statement *prepared, const char *tail, weir_error *error) {
    if (*tail)
        return weir__fail(error, WEIR_ENOTSUP,
                          "the text holds several statements: run each by a call of its own");
    if (prepared->handle && weir__sqlite.column_count(prepared->handle) > 0 &&
        weir__sqlite.stmt_readonly(prepared->handle))
        return WEIR_OK;
    return weir__fail(
        error, WEIR_EINVAL,
        "only statements that read, and give rows, can be streamed: run others by execute or fetch");
}

static int open_cursor(weir__sqlite_conn *conn, const weir__sqlite_job *job, weir_error *error) {
    weir_statement *statement = job->statement;
    weir__sqlite_statement *prepared;
    const char *tail;
    if (job->cursor <= conn->last_cursor)
        return weir__sqlite_report(error, "34000",
                                   "the stream's transaction has ended, and the stream with it");
    conn->last_cursor = job->cursor;
    int code = weir__sqlite_get_own(conn, statement->sql, statement->sql_length, statement->hash, &prepared,
                                    &tail, error);
    if (code != WEIR_OK) return code;
    weir__sqlite_cursor *cursor = NULL;
    code = check(prepared, tail, error);
    if (code == WEIR_OK)
        code = weir__sqlite_bind(conn, prepared, weir__statement_set(statement, 0), statement->parameters,
                                 error);
    if (code == WEIR_OK && !(cursor = weir__calloc(1, sizeof *cursor)))
        code = weir__fail(error, WEIR_ENOMEM, "out of memory");
    if (code != WEIR_OK) {
        weir__sqlite_unbind(prepared);
        weir__sqlite_put(prepared);
        return code;
    }
    *cursor = (weir__sqlite_cursor){conn->cursors, job->cursor, weir_statement_ref(statement), prepared};
    conn->cursors = cursor;
    return WEIR_OK;
}

/* So many rows more, or those that are left. */
static int step(weir__sqlite_conn *conn, weir__sqlite_statement *statement, size_t rows, weir_result *result,
                weir_error *error) {
    sqlite3_stmt *handle = statement->handle;
    bool declared = ((weir__sqlite_env *)conn->base.env)->declared;
    int rc = SQLITE_ROW;
    while (weir_result_rows(result) < rows) {
        rc = weir__sqlite.step(handle);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE) return weir__sqlite_fail(conn, rc, NULL, error);
        bool first =
            !weir_result_columns(result); /* not earlier: the first step may prepare the statement anew */
        if (first && !weir__sqlite_result_columns(result, statement, declared))
            return weir__fail(error, WEIR_ENOMEM, "out of memory");
        if (rc == SQLITE_DONE) return WEIR_OK;
        if (!weir__sqlite_result_row(result, handle)) return weir__fail(error, WEIR_ENOMEM, "out of memory");
    }
    return WEIR_OK;
}

static int read_rows(weir__sqlite_conn *conn, const weir__sqlite_job *job, weir_result *result,
                     weir_error *error) {
    weir__sqlite_cursor *cursor = find(conn, job->cursor);
    if (conn->aborted) return weir__sqlite_report_aborted(error);
    if (weir__sqlite_interrupted(conn)) return weir__sqlite_report(error, "57014", "interrupted");
    int code = cursor ? WEIR_OK : open_cursor(conn, job, error);
    if (code != WEIR_OK) return code;
    cursor = find(conn, job->cursor);
    bool inside = !weir__sqlite.get_autocommit(conn->db);
    code = step(conn, cursor->prepared, job->rows, result, error);
    if (code != WEIR_OK && inside && weir__sqlite.get_autocommit(conn->db)) conn->aborted = true;
    weir__sqlite_result_finish(result, &cursor->prepared->shape, (int64_t)weir_result_rows(result));
    return code;
}

int weir__sqlite_run_cursor(weir__sqlite_conn *conn, const weir__sqlite_job *job, weir_result **out,
                            weir_error *error) {
    weir_result *result = job->statement ? weir__sqlite_result_new() : NULL;
    int code = WEIR_OK;
    if (job->statement)
        code = result ? read_rows(conn, job, result, error) : weir__fail(error, WEIR_ENOMEM, "out of memory");
    if (code != WEIR_OK || !result || weir_result_rows(result) < job->rows) close_cursor(conn, job->cursor);
    if (code != WEIR_OK) {
        weir_result_free(result);
        return code;
    }
    *out = result;
    return WEIR_OK;
}
