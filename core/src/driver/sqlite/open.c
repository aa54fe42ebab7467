/* Opening a database: the file, the settings, and the hooks by which the connection stays cancellable and
 * watched. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "driver/sqlite/sqlite.h"

#define STEPS_BETWEEN_LOOKS 1000 /* of SQLite's virtual machine: about 10 µs */

static const weir__sqlite_env *env_of(const weir__sqlite_conn *conn) {
    return (weir__sqlite_env *)conn->base.env;
}

int weir__sqlite_ask(sqlite3 *db, const char *sql, char *out, size_t size) {
    sqlite3_stmt *handle = NULL;
    if (out) *out = '\0';
    int rc = weir__sqlite.prepare_v3(db, sql, -1, 0, &handle, NULL);
    if (rc != SQLITE_OK) return rc;
    rc = weir__sqlite.step(handle);
    const char *text = out && rc == SQLITE_ROW ? (const char *)weir__sqlite.column_text(handle, 0) : NULL;
    if (text) snprintf(out, size, "%s", text);
    while (rc == SQLITE_ROW) rc = weir__sqlite.step(handle);
    weir__sqlite.finalize(handle);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int on_progress(void *conn) { return weir__sqlite_interrupted(conn) || weir__sqlite_overdue(conn); }

/* Is a PRAGMA with an argument one that only asks, or that changes the file and not the connection? */
static bool leaves_connection_alone(const char *pragma) {
    static const char *const names[] = {
        "application_id",   "auto_vacuum", "data_version", "encoding",    "foreign_key_check",
        "foreign_key_list", "index_info",  "index_list",   "index_xinfo", "incremental_vacuum",
        "integrity_check",  "optimize",    "page_size",    "quick_check", "schema_version",
        "shrink_memory",    "table_info",  "table_list",   "table_xinfo", "user_version",
        "wal_checkpoint",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(pragma, names[i]) == 0) return true;
    return false;
}

/* SQLite asks this while it compiles a statement. Nothing is forbidden: noted is what a reset cannot undo. */
static int authorize(void *arg, int action, const char *first, const char *second, const char *database,
                     const char *trigger) {
    weir__sqlite_conn *conn = arg;
    (void)trigger;
    switch (action) {
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_VIEW:
    case SQLITE_CREATE_TEMP_TRIGGER:
        conn->dirty = true;
        break;
    case SQLITE_CREATE_TABLE: /* "CREATE TABLE temp.t" is told so */
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_VIEW:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_CREATE_VTABLE:
        if (database && strcmp(database, "temp") == 0) conn->dirty = true;
        break;
    case SQLITE_PRAGMA:
        if (second && !leaves_connection_alone(first)) conn->dirty = true;
        break;
    default:
        break;
    }
    return SQLITE_OK;
}

static bool is_set_by_user(const weir__config *config, const char *name) {
    for (size_t i = 0; i < config->setting_count; i++)
        if (strcasecmp(config->settings[i].name, name) == 0) return true;
    return false;
}

/* The write-ahead log lets readers and a writer work at the same time. The change asks no busy handler. */
static int set_journal(weir__sqlite_conn *conn, const char **warning) {
    const weir__config *config = conn->base.env->config;
    char mode[16];
    int rc, count = 0;
    if (env_of(conn)->memory || weir__sqlite.db_readonly(conn->db, "main") == 1) return SQLITE_OK;
    if (!is_set_by_user(config, "journal_mode")) {
        do {
            rc = weir__sqlite_ask(conn->db, "PRAGMA journal_mode=WAL", mode, sizeof mode);
        } while ((rc & 0xff) == SQLITE_BUSY && weir__sqlite_busy(conn, count++));
        if (rc != SQLITE_OK) return rc;
        if (strcmp(mode, "wal") != 0)
            *warning = "SQLite cannot use its write-ahead log on this file: readers and "
                       "writers will wait for each other";
    }
    if (is_set_by_user(config, "synchronous")) return SQLITE_OK;
    rc = weir__sqlite_ask(conn->db, "PRAGMA journal_mode", mode, sizeof mode);
    if (rc == SQLITE_OK &&
        strcmp(mode, "wal") == 0) /* no commit can be torn; the last ones may be lost with the power */
        rc = weir__sqlite_ask(conn->db, "PRAGMA synchronous=NORMAL", NULL, 0);
    return rc;
}

/* Quoted, so that no value can be more than a value. */
static int apply_setting(weir__sqlite_conn *conn, const weir__pair *setting) {
    weir__buffer sql = WEIR__BUFFER_INIT;
    weir__buffer_printf(&sql, "PRAGMA %s='", setting->name);
    for (const char *c = setting->value; *c; c++) {
        weir__buffer_char(&sql, *c);
        if (*c == '\'') weir__buffer_char(&sql, '\'');
    }
    weir__buffer_char(&sql, '\'');
    const char *text = weir__buffer_string(&sql);
    int rc = text ? weir__sqlite_ask(conn->db, text, NULL, 0) : SQLITE_NOMEM;
    weir__buffer_free(&sql);
    return rc;
}

static int prepare_session(weir__sqlite_conn *conn, const char **warning) {
    const weir__config *config = conn->base.env->config;
    char version[16], mapped[24] = "";
    int rc = weir__sqlite_ask(conn->db, "PRAGMA schema_version", version,
                              sizeof version); /* reads the file's head */
    if (rc == SQLITE_OK && !is_set_by_user(config, "foreign_keys"))
        rc = weir__sqlite_ask(conn->db, "PRAGMA foreign_keys=ON", NULL, 0);
    if (rc == SQLITE_OK) rc = set_journal(conn, warning);
    for (size_t i = 0; rc == SQLITE_OK && i < config->setting_count; i++)
        if (strcmp(config->settings[i].name, "application_name") != 0)
            rc = apply_setting(conn, &config->settings[i]);
    if (rc == SQLITE_OK) rc = weir__sqlite_ask(conn->db, "PRAGMA mmap_size", mapped, sizeof mapped);
    conn->mapped = *mapped && strcmp(mapped, "0") != 0;
    return rc;
}

/* Why a file cannot be opened, as far as the file system tells: SQLite only says that it is unable to. */
static const char *reason(const char *path, int system) {
    if (access(path, F_OK) == 0) return system ? strerror(system) : "it is no file that can be opened";
    char directory[4096];
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash && slash != directory) {
        *slash = '\0';
        if (access(directory, F_OK) != 0) return "its directory does not exist";
    }
    return system && system != ENOENT ? strerror(system)
                                      : "the file does not exist, and mode=rwc would create it";
}

/* The code is WEIR_ECONNECT; what trying again will not cure has the SQLSTATE of "no such database". */
static int fail_to_open(weir__sqlite_conn *conn, int rc, weir_error *error) {
    const char *path = env_of(conn)->memory ? ":memory:" : conn->base.env->config->database;
    int primary = rc & 0xff;
    if (primary == SQLITE_NOMEM) return weir__fail(error, WEIR_ENOMEM, "out of memory");
    const char *message = conn->db ? weir__sqlite.errmsg(conn->db) : weir__sqlite.errstr(rc);
    if (primary == SQLITE_CANTOPEN && !env_of(conn)->memory)
        message = reason(path, conn->db ? weir__sqlite.system_errno(conn->db) : 0);
    weir__fail(error, WEIR_ECONNECT, "cannot open the SQLite database \"%s\": %s", path, message);
    error->retryable = primary == SQLITE_BUSY || primary == SQLITE_LOCKED || primary == SQLITE_IOERR ||
                       primary == SQLITE_FULL || primary == SQLITE_PROTOCOL || primary == SQLITE_INTERRUPT;
    if (!error->retryable) strcpy(error->sqlstate, "3D000");
    return error->code;
}

static void show(weir__sqlite_conn *conn, sqlite3 *db) {
    pthread_mutex_lock(&conn->lock);
    conn->db = db;
    pthread_mutex_unlock(&conn->lock);
}

int weir__sqlite_open(weir__sqlite_conn *conn, weir_error *error) {
    sqlite3 *db = NULL;
    const char **warning = &conn->job.warning;
    int rc = weir__sqlite.open_v2(env_of(conn)->uri, &db, env_of(conn)->flags, NULL);
    show(conn, db);
    if (rc == SQLITE_OK) {
        weir__sqlite.extended_result_codes(db, 1);
        weir__sqlite.busy_handler(db, weir__sqlite_busy, conn);
        weir__sqlite.progress_handler(db, STEPS_BETWEEN_LOOKS, on_progress, conn);
        rc = prepare_session(conn, warning);
    }
    int code = rc == SQLITE_OK ? WEIR_OK : fail_to_open(conn, rc, error);
    if (code == WEIR_OK)
        code = weir__sqlite_cache_init(&conn->cache,
                                       (size_t)conn->base.env->config->options.statement_cache_size, error);
    if (code != WEIR_OK) {
        weir__sqlite_close(conn);
        return code;
    }
    weir__sqlite.set_authorizer(db, authorize, conn);
    return WEIR_OK;
}

/* The last connection to a file copies its write-ahead log into it here, which may take a while. */
void weir__sqlite_close(weir__sqlite_conn *conn) {
    sqlite3 *db = conn->db;
    weir__sqlite_close_cursors(conn);
    weir__sqlite_cache_free(&conn->cache);
    if (!db) return;
    show(conn, NULL); /* no interrupt any more … */
    conn->shielded = true;
    weir__sqlite_ask(db, "SELECT 1", NULL, 0); /* … and a late one is forgotten: it would stop the copying */
    weir__sqlite.close_v2(db);
}
