/*
 * Every call of SQLite goes through one table of pointers, so that the copy which is in the process already
 * can be used: two copies on one file drop each other's locks.
 */
#ifndef WEIR_DRIVER_SQLITE_TABLE_H
#define WEIR_DRIVER_SQLITE_TABLE_H

#include <stdbool.h>

#include <sqlite3.h>

#define WEIR__SQLITE_LEAST 3035000       /* the oldest copy that will do: INSERT … RETURNING */
#define WEIR__SQLITE_MEMDB_LEAST 3036000 /* the first that shares a named memory database */

/* X(result, name without its prefix, parameters) */
#define WEIR__SQLITE_FUNCTIONS(X)                                                                            \
    X(int, open_v2, (const char *, sqlite3 **, int, const char *))                                           \
    X(int, close_v2, (sqlite3 *))                                                                            \
    X(int, extended_result_codes, (sqlite3 *, int))                                                          \
    X(int, extended_errcode, (sqlite3 *))                                                                    \
    X(const char *, errmsg, (sqlite3 *))                                                                     \
    X(const char *, errstr, (int))                                                                           \
    X(int, system_errno, (sqlite3 *))                                                                        \
    X(int, prepare_v3, (sqlite3 *, const char *, int, unsigned, sqlite3_stmt **, const char **))             \
    X(int, step, (sqlite3_stmt *))                                                                           \
    X(int, reset, (sqlite3_stmt *))                                                                          \
    X(int, finalize, (sqlite3_stmt *))                                                                       \
    X(int, clear_bindings, (sqlite3_stmt *))                                                                 \
    X(int, bind_parameter_count, (sqlite3_stmt *))                                                           \
    X(const char *, bind_parameter_name, (sqlite3_stmt *, int))                                              \
    X(int, bind_null, (sqlite3_stmt *, int))                                                                 \
    X(int, bind_int64, (sqlite3_stmt *, int, sqlite3_int64))                                                 \
    X(int, bind_double, (sqlite3_stmt *, int, double))                                                       \
    X(int, bind_text64,                                                                                      \
      (sqlite3_stmt *, int, const char *, sqlite3_uint64, void (*)(void *), unsigned char))                  \
    X(int, bind_blob64, (sqlite3_stmt *, int, const void *, sqlite3_uint64, void (*)(void *)))               \
    X(int, column_count, (sqlite3_stmt *))                                                                   \
    X(const char *, column_name, (sqlite3_stmt *, int))                                                      \
    X(const char *, column_decltype, (sqlite3_stmt *, int))                                                  \
    X(int, column_type, (sqlite3_stmt *, int))                                                               \
    X(sqlite3_int64, column_int64, (sqlite3_stmt *, int))                                                    \
    X(double, column_double, (sqlite3_stmt *, int))                                                          \
    X(const unsigned char *, column_text, (sqlite3_stmt *, int))                                             \
    X(const void *, column_blob, (sqlite3_stmt *, int))                                                      \
    X(int, column_bytes, (sqlite3_stmt *, int))                                                              \
    X(int, changes, (sqlite3 *))                                                                             \
    X(int, get_autocommit, (sqlite3 *))                                                                      \
    X(int, stmt_status, (sqlite3_stmt *, int, int))                                                          \
    X(int, stmt_readonly, (sqlite3_stmt *))                                                                  \
    X(int, db_readonly, (sqlite3 *, const char *))                                                           \
    X(void, interrupt, (sqlite3 *))                                                                          \
    X(void, progress_handler, (sqlite3 *, int, int (*)(void *), void *))                                     \
    X(int, busy_handler, (sqlite3 *, int (*)(void *, int), void *))                                          \
    X(int, set_authorizer,                                                                                   \
      (sqlite3 *, int (*)(void *, int, const char *, const char *, const char *, const char *), void *))     \
    X(const char *, libversion, (void))                                                                      \
    X(int, libversion_number, (void))                                                                        \
    X(int, db_status, (sqlite3 *, int, int *, int *, int))                                                   \
    X(int, threadsafe, (void))

/* The same, for what came with 3.37 and 3.38: NULL in an older copy. */
#define WEIR__SQLITE_OPTIONAL(X)                                                                             \
    X(sqlite3_int64, changes64, (sqlite3 *))                                                                 \
    X(int, error_offset, (sqlite3 *))

typedef struct weir__sqlite_table {
#define WEIR__SQLITE_POINTER(type, name, parameters) type(*name) parameters;
    WEIR__SQLITE_FUNCTIONS(WEIR__SQLITE_POINTER)
    WEIR__SQLITE_OPTIONAL(WEIR__SQLITE_POINTER)
#undef WEIR__SQLITE_POINTER
} weir__sqlite_table;

/* Constant once weir__sqlite_pin has been called; read it only after that. */
extern weir__sqlite_table weir__sqlite;

/* From now on no other copy is adopted. Call it before anything is opened. Any thread. */
void weir__sqlite_pin(void);

#endif
