/* The public reading of results, and writing of rows like them: checks here, the rest is the driver's. */
#include "driver/result.h"

#include "base/error.h"
#include "base/statement.h"

size_t weir_result_rows(const weir_result *result) { return result ? result->rows : 0; }

size_t weir_result_columns(const weir_result *result) { return result ? result->columns : 0; }

const char *weir_result_name(const weir_result *result, size_t column) {
    return result && column < result->columns ? result->class_->name(result, column) : NULL;
}

int weir_result_value(weir_result *result, size_t row, size_t column, weir_value *out) {
    if (!result || !out || row >= result->rows || column >= result->columns) return WEIR_EINVAL;
    return result->class_->value(result, row, column, out);
}

const char *weir_result_tag(const weir_result *result) { return result ? result->tag : ""; }

int64_t weir_result_affected(const weir_result *result) { return result ? result->affected : -1; }

void weir_result_free(weir_result *result) {
    if (result) result->class_->free(result);
}

weir_copy_rows *weir_copy_rows_new(const weir_result *like, weir_error *error) {
    if (like && like->columns && like->class_->copy_rows) return like->class_->copy_rows(like, error);
    weir__fail(error, WEIR_ENOTSUP,
               like && like->columns ? "the database has no COPY: use executemany"
                                     : "rows for COPY need a result that has columns");
    return NULL;
}

int weir_copy_rows_encode(weir_copy_rows *rows, const weir_statement *sets, const void **data, size_t *length,
                          weir_error *error) {
    if (!rows || !sets || !data || !length)
        return weir__fail(error, WEIR_EINVAL, "rows, sets, data and length are needed");
    int code = weir__statement_check(sets, error);
    return code ? code : rows->class_->encode(rows, sets, data, length, error);
}

const char *weir_copy_rows_format(const weir_copy_rows *rows) {
    return rows ? rows->class_->format(rows) : "binary";
}

void weir_copy_rows_free(weir_copy_rows *rows) {
    if (rows) rows->class_->free(rows);
}
