/* SQLite's errors as reports with a SQLSTATE, so that a caller need not know which database he talks to. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "driver/sqlite/sqlite.h"

#define NAME 128 /* of a table or column in a message, cut */

typedef struct message_state {
    const char *part; /* of SQLite's message */
    char sqlstate[6];
} message_state;

/* SQLITE_ERROR says all of these; the first that fits counts. */
static const message_state message_states[] = {
    {"syntax error", "42601"},
    {"incomplete input", "42601"},
    {"unrecognized token", "42601"},
    {"no such table", "42P01"},
    {"no such column", "42703"},
    {"has no column named", "42703"},
    {"ambiguous column name", "42702"},
    {"duplicate column name", "42701"},
    {"no such function", "42883"},
    {"wrong number of arguments", "42883"},
    {"no such savepoint", "3B001"},
    {"no such index", "42704"},
    {"no such view", "42P01"},
    {"already exists", "42P07"},
    {"there is already", "42P07"},
    {"within a transaction", "25001"},
    {"from within a transaction", "25001"},
    {"no transaction is active", "25P01"},
};

static const char *state_of_message(const char *message) {
    for (size_t i = 0; i < sizeof message_states / sizeof message_states[0]; i++)
        if (strstr(message, message_states[i].part)) return message_states[i].sqlstate;
    return "42000";
}

static const char *state_of_constraint(int rc) {
    switch (rc) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return "23505";
    case SQLITE_CONSTRAINT_NOTNULL:
        return "23502";
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return "23503";
    case SQLITE_CONSTRAINT_CHECK:
        return "23514";
    default:
        return "23000";
    }
}

static const char *state_of(int rc, const char *message) {
    /* Somebody has written since our transaction first read: waiting cannot help, only beginning again. */
    if (rc == SQLITE_BUSY_SNAPSHOT) return "40001";
    switch (rc & 0xff) {
    case SQLITE_ERROR:
        return state_of_message(message);
    case SQLITE_CONSTRAINT:
        return state_of_constraint(rc);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return "55P03";
    case SQLITE_INTERRUPT:
        return "57014";
    case SQLITE_READONLY:
        return "25006";
    case SQLITE_FULL:
        return "53100";
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return "58030";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "XX001";
    case SQLITE_MISMATCH:
        return "42804";
    case SQLITE_TOOBIG:
        return "54000";
    case SQLITE_RANGE:
        return "42000";
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return "42501";
    default:
        return "XX000";
    }
}

/* The byte offset of the error in the text as PostgreSQL counts: in characters, from 1. */
static int position_of(sqlite3 *db, const char *sql) {
    int offset = sql && weir__sqlite.error_offset ? weir__sqlite.error_offset(db) : -1;
    if (offset < 0 || (size_t)offset > strlen(sql)) return 0;
    int position = 1;
    for (int i = 0; i < offset; i++) position += ((unsigned char)sql[i] & 0xc0) != 0x80;
    return position;
}

typedef struct names {
    char table[NAME], column[NAME], constraint[NAME];
} names;

/* "UNIQUE constraint failed: t.a, t.b": the table; the column, when it is only one. "… failed: index 'i'" and
   "CHECK constraint failed: c": the constraint. */
static void read_names(const char *message, names *out, weir__report *report) {
    static const char mark[] = " constraint failed: ";
    const char *what = strstr(message, mark);
    if (!what) return;
    bool check = strncmp(message, "CHECK", 5) == 0;
    what += sizeof mark - 1;
    const char *index = strncmp(what, "index '", 7) == 0 ? what + 7 : NULL;
    if (check || index) {
        snprintf(out->constraint, NAME, "%s", index ? index : what);
        if (index) out->constraint[strcspn(out->constraint, "'")] = '\0';
        report->constraint = out->constraint;
        return;
    }
    const char *dot = strchr(what, '.');
    if (!dot) return;
    snprintf(out->table, NAME, "%.*s", (int)(dot - what), what);
    report->table = out->table;
    if (strstr(what, ", ")) return;
    snprintf(out->column, NAME, "%s", dot + 1);
    report->column = out->column;
}

int weir__sqlite_fail(weir__sqlite_conn *conn, int rc, const char *sql, weir_error *error) {
    int extended = weir__sqlite.extended_errcode(conn->db);
    const char *message = weir__sqlite.errmsg(conn->db);
    if ((extended & 0xff) == (rc & 0xff)) {
        rc = extended;
    } else { /* the connection knows nothing of it */
        message = weir__sqlite.errstr(rc);
    }
    if ((rc & 0xff) == SQLITE_NOMEM) return weir__fail(error, WEIR_ENOMEM, "out of memory");
    if ((rc & 0xff) == SQLITE_BUSY &&
        weir__sqlite_interrupted(conn)) { /* the wait for the lock was cut short */
        rc = SQLITE_INTERRUPT;
        message = weir__sqlite.errstr(rc);
    }
    char detail[64] = "";
    if (conn->set) snprintf(detail, sizeof detail, "in the set of parameters number %zu", conn->set);
    names found;
    weir__report report = {
        .severity = "ERROR",
        .sqlstate = state_of(rc, message),
        .message = message,
        .detail = *detail ? detail : NULL,
        .position = position_of(conn->db, sql),
    };
    if ((rc & 0xff) == SQLITE_CONSTRAINT) read_names(message, &found, &report);
    return weir__fail_report(error, &report);
}

int weir__sqlite_report(weir_error *error, const char *sqlstate, const char *message) {
    return weir__fail_report(error,
                             &(weir__report){.severity = "ERROR", .sqlstate = sqlstate, .message = message});
}

int weir__sqlite_report_aborted(weir_error *error) {
    return weir__sqlite_report(
        error, "25P02",
        "current transaction is aborted, commands are ignored until end of transaction block");
}
