/* The rows of a statement. */
#ifndef WEIRPOOL_RESULT_H
#define WEIRPOOL_RESULT_H

#include <weirpool/error.h>
#include <weirpool/value.h>

WEIR_BEGIN_DECLS

/* Owned by whoever took the completion that carried it; read by one thread at a time. It outlives its pool.
 */
typedef struct weir_result weir_result;

WEIR_API size_t weir_result_rows(const weir_result *result);
WEIR_API size_t weir_result_columns(const weir_result *result);
/* The column's name, UTF-8, NUL-terminated, borrowed from the result; NULL when out of range. */
WEIR_API const char *weir_result_name(const weir_result *result, size_t column);
/*
 * The cell, its bytes borrowed from the result until weir_result_free.
 * WEIR_EINVAL: out of range; WEIR_EVALUE: the database sent what its type does not allow.
 */
WEIR_API int weir_result_value(weir_result *result, size_t row, size_t column, weir_value *out);
/* The command tag: "SELECT 3", "INSERT 0 1", for SQLite alike. Borrowed, never NULL. */
WEIR_API const char *weir_result_tag(const weir_result *result);
/* Rows inserted, updated, deleted, or returned; over all sets of an executemany. -1: the command has no such
 * number. */
WEIR_API int64_t weir_result_affected(const weir_result *result);
/* NULL is accepted. */
WEIR_API void weir_result_free(weir_result *result);

WEIR_END_DECLS

#endif
