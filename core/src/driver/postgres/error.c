#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/error.h"
#include "driver/postgres/pg.h"

int weir__pg_report(weir_error *error, const PGresult *result, const char *hint) {
    const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    weir__report report = {
        .severity = severity ? severity : PQresultErrorField(result, PG_DIAG_SEVERITY),
        .sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE),
        .message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
        .detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL),
        .hint = hint ? hint : PQresultErrorField(result, PG_DIAG_MESSAGE_HINT),
        .schema = PQresultErrorField(result, PG_DIAG_SCHEMA_NAME),
        .table = PQresultErrorField(result, PG_DIAG_TABLE_NAME),
        .column = PQresultErrorField(result, PG_DIAG_COLUMN_NAME),
        .constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME),
        .context = PQresultErrorField(result, PG_DIAG_CONTEXT),
        .position = position ? atoi(position) : 0,
    };
    if (report.sqlstate && report.message) return weir__fail_report(error, &report);

    /* libpq's own: the server has said nothing, or nothing that follows the protocol. */
    const char *message = PQresultErrorMessage(result);
    int code = strstr(message, "out of memory") ? WEIR_ENOMEM : WEIR_EINTERNAL;
    return weir__fail(error, code, "%.*s", (int)strcspn(message, "\n"), message);
}

bool weir__pg_is_fatal(const PGresult *result) {
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

void weir__pg_recode(weir_error *error, int code) {
    if (error->code == code) return;
    error->code = code;
    error->retryable = code == WEIR_ELOST || code == WEIR_ECONNECT;
}

/* ---- libpq's text: several lines, one or more of which may come from the server, in the verbose form

   connection to server at "h" (127.0.0.1), port 5432 failed: FATAL:  28P01: password authentication failed
   LOCATION:  auth_failed, auth.c:338                                                                     */

static bool is_sqlstate(const char *p) {
    for (int i = 0; i < 5; i++)
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'A' && p[i] <= 'Z'))) return false;
    return true;
}

/* Where "28P01: " stands in a line, behind the severity, in whatever language that is; NULL when there is
 * none. */
static const char *find_sqlstate(const char *line, size_t length) {
    for (size_t i = 3; i + 7 <= length; i++)
        if (memcmp(line + i - 3, ":  ", 3) == 0 && is_sqlstate(line + i) &&
            memcmp(line + i + 5, ": ", 2) == 0)
            return line + i;
    return NULL;
}

/* "LOCATION:  auth_failed, auth.c:338", in whatever language. */
static bool is_location(const char *line, size_t length) {
    size_t digits = 0;
    while (digits < length && line[length - 1 - digits] >= '0' && line[length - 1 - digits] <= '9') digits++;
    return digits && length > digits + 3 && memcmp(line + length - digits - 3, ".c:", 3) == 0;
}

static void append_part(weir__buffer *out, const char *part, size_t length) {
    while (length && (*part == ' ' || *part == '\t')) part++, length--;
    weir__buffer_append(out, part, length);
}

/* A line of libpq's, unless it is there already: a second try without encryption is refused like the first.
 */
static void append_line(weir__buffer *out, const char *line, size_t length, const char *sqlstate) {
    size_t end = out->length;
    if (end) weir__buffer_text(out, "; ");
    size_t start = out->length, head = sqlstate ? (size_t)(sqlstate - line) : length;
    append_part(out, line, head);
    if (sqlstate) append_part(out, sqlstate + 7, length - head - 7);
    size_t added = out->length - start;
    if (!out->broken && (!added || memmem(out->data, end, out->data + start, added))) out->length = end;
}

/* One line out of libpq's; *sqlstate becomes the last one that the server gave. */
static void flatten(const char *text, weir__buffer *out, char sqlstate[6]) {
    while (*text) {
        size_t length = strcspn(text, "\n");
        const char *found = find_sqlstate(text, length);
        if (found) memcpy(sqlstate, found, 5);
        if (found || !is_location(text, length)) append_line(out, text, length, found);
        text += length + (text[length] == '\n');
    }
}

bool weir__pg_refuses_options(const char *message) {
    return strstr(message, "unsupported startup parameter");
}

static const char *remedy(const char *message) {
    return weir__pg_refuses_options(message)
               ? " (a proxy in between refuses settings at start-up: give no server_settings but "
                 "application_name, and no lock_timeout, and set them by ALTER ROLE ... SET; where they may "
                 "be "
                 "ignored, name `options` in PgBouncer's ignore_startup_parameters)"
               : "";
}

/* A setting that it was given has no such value, is none, may not be set then or by this user. */
static bool refuses_setting(const char *sqlstate) {
    static const char *const list[] = {"22023", "42501", "42601", "42704", "55P02"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strcmp(sqlstate, list[i]) == 0) return true;
    return false;
}

/* The server, or the lack of a password, says no, and will say so again. */
static bool is_final(const char *sqlstate, const PGconn *pg, bool settings) {
    if (pg && weir__pg_refuses_options(PQerrorMessage(pg))) return true;
    if (settings && refuses_setting(sqlstate)) return true;
    return strncmp(sqlstate, "28", 2) == 0 || strcmp(sqlstate, "3D000") == 0 ||
           (pg && PQconnectionNeedsPassword(pg));
}

void weir__pg_connect_error(weir_error *error, const PGconn *pg, bool settings) {
    weir__buffer text = WEIR__BUFFER_INIT;
    char sqlstate[6] = "";
    flatten(pg ? PQerrorMessage(pg) : "", &text, sqlstate);
    const char *message = weir__buffer_string(&text);
    if (!message) {
        weir__fail(error, WEIR_ENOMEM, "out of memory");
    } else {
        weir__fail(error, WEIR_ECONNECT, "%s%s", *message ? message : "cannot connect", remedy(message));
    }
    if (error) {
        memcpy(error->sqlstate, sqlstate, sizeof error->sqlstate);
        if (error->code == WEIR_ECONNECT) error->retryable = !is_final(sqlstate, pg, settings);
    }
    weir__buffer_free(&text);
}

void weir__pg_lost_error(weir_error *error, const PGconn *pg) {
    weir__buffer text = WEIR__BUFFER_INIT;
    char sqlstate[6] = "";
    flatten(PQerrorMessage(pg), &text, sqlstate);
    const char *message = weir__buffer_string(&text);
    weir__fail(error, WEIR_ELOST, "the connection was lost%s%s", message && *message ? ": " : "",
               message ? message : "");
    weir__buffer_free(&text);
}
