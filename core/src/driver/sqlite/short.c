/*
 * Which statements may run on the host's thread, and how long they may take there: see sqlite.h.
 *
 * The budget is looked at between steps of SQLite's virtual machine, so only such statements qualify whose
 * single steps are short whatever the parameters are. What they compile to tells: no function that may work
 * for long on one value, no virtual table, no counting of a whole table in one step.
 */
#include <string.h>

#include "base/alloc.h"
#include "driver/sqlite/sqlite.h"

#define SHORT 20000         /* ns that a statement's last runs took: longer ones profit from their threads */
#define BUDGET 50000        /* ns for one run */
#define TURN (WEIR__MS / 2) /* of such runs between two that give the host's loop a turn */
#define STALL (4 * BUDGET)  /* ns: a run that the budget did not stop, so something else took the time */
#define PAUSE 20            /* so many times a stall there is none of these runs */
#define MOST WEIR__MS       /* so that a wait for a lock is forgotten after some thirty short runs */
#define FORGET 8            /* a shorter run takes the measure down by this part of the difference */

static bool is_quick_function(const char *called) {
    static const char *const names[] = {"abs(",    "date(",      "datetime(", "length(", "lower(",
                                        "round(",  "strftime(",  "substr(",   "time(",   "trim(",
                                        "typeof(", "unixepoch(", "upper("};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(called, names[i], strlen(names[i])) == 0) return true;
    return false;
}

static bool is_quick_step(const char *opcode, const char *p4) {
    if (strcmp(opcode, "Count") == 0) return false;
    if (opcode[0] == 'V' && opcode[1] >= 'A' && opcode[1] <= 'Z') return false; /* VOpen, VFilter … */
    return !strstr(opcode, "Func") || (p4 && is_quick_function(p4));
}

/* What SQLite would do to run it; nothing of it is run. */
static bool has_quick_steps(weir__sqlite_conn *conn, const weir__sqlite_statement *statement) {
    static const char explain[] = "EXPLAIN ";
    sqlite3_stmt *steps = NULL;
    char *sql = weir__malloc(sizeof explain + statement->length);
    if (!sql) return false;
    memcpy(sql, explain, sizeof explain - 1);
    memcpy(sql + sizeof explain - 1, statement->sql, statement->length + 1);
    int rc = weir__sqlite.prepare_v3(conn->db, sql, -1, 0, &steps, NULL);
    weir__free(sql);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = weir__sqlite.step(steps);
        if (rc != SQLITE_ROW) break;
        const char *opcode = (const char *)weir__sqlite.column_text(steps, 1);
        const char *p4 = (const char *)weir__sqlite.column_text(steps, 5);
        if (!opcode || !is_quick_step(opcode, p4)) break;
    }
    weir__sqlite.finalize(steps);
    return rc == SQLITE_DONE;
}

void weir__sqlite_judge(weir__sqlite_conn *conn, weir__sqlite_statement *statement) {
    if (statement->judged || !statement->cached || ++statement->runs < 2) return;
    statement->judged = true;
    statement->quick = statement->handle && statement->shape.count == WEIR__SQLITE_ROWS &&
                       !statement->dirty && weir__sqlite.stmt_readonly(statement->handle) &&
                       has_quick_steps(conn, statement);
}

weir__sqlite_statement *weir__sqlite_short(weir__sqlite_conn *conn, const weir_statement *statement) {
    weir__sqlite_env *env = (weir__sqlite_env *)conn->base.env;
    if (statement->many || conn->aborted) return NULL;
    weir__sqlite_statement *found =
        weir__sqlite_find(&conn->cache, statement->hash, statement->sql, statement->sql_length);
    if (!found || !found->quick || found->takes > SHORT) return NULL;
    if (env->resume_at && weir__now(conn->base.env->clock) < env->resume_at) return NULL;
    env->resume_at = 0;
    return found;
}

void weir__sqlite_allow(weir__sqlite_conn *conn, int64_t now) {
    int unused;
    conn->until = now + BUDGET;
    weir__sqlite.db_status(conn->db, SQLITE_DBSTATUS_CACHE_MISS, &unused, &unused, true);
}

bool weir__sqlite_turn_due(const weir__sqlite_conn *conn) {
    return ((weir__sqlite_env *)conn->base.env)->spent >= TURN;
}

bool weir__sqlite_overdue(weir__sqlite_conn *conn) {
    return conn->until && weir__now(conn->base.env->clock) >= conn->until;
}

static void charge(weir__sqlite_conn *conn, int64_t took, int64_t now) {
    weir__sqlite_env *env = (weir__sqlite_env *)conn->base.env;
    int missed = 0, unused;
    conn->until = 0;
    env->spent += took;
    if (took < STALL || env->memory) return;
    /* Without a page that was read from the file it was the scheduler's doing. */
    weir__sqlite.db_status(conn->db, SQLITE_DBSTATUS_CACHE_MISS, &missed, &unused, false);
    if (missed || conn->mapped) env->resume_at = now + PAUSE * took;
}

void weir__sqlite_measure(weir__sqlite_conn *conn, weir__sqlite_statement *statement, int64_t begun) {
    int64_t now = weir__now(conn->base.env->clock), took = now - begun;
    bool at_once = conn->until;
    if (at_once) charge(conn, took, now);
    if (took > MOST) took = MOST;
    /* A single long run may be the scheduler's doing, but not that of a statement which its budget has ended.
     */
    int64_t counted = took < statement->took || conn->ran_out ? took : statement->took;
    if (!at_once) conn->ran_out = false;
    statement->took = took;
    if (counted > statement->takes)
        statement->takes = counted;
    else
        statement->takes -= (statement->takes - counted) / FORGET;
}
