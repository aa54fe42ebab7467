/* The public reading of results: range checks here, the rest is the driver's. */
#include "driver/result.h"

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
