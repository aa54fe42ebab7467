/* What every driver's result begins with. */
#ifndef WEIR_DRIVER_RESULT_H
#define WEIR_DRIVER_RESULT_H

#include <weirpool/copy.h>
#include <weirpool/result.h>

typedef struct weir__result_class {
    const char *(*name)(const weir_result *result, size_t column);
    int (*value)(weir_result *result, size_t row, size_t column,
                 weir_value *out);     /* in range: checked before */
    void (*free)(weir_result *result); /* the whole of it */
    /* As weir_copy_rows_new; NULL: there is no COPY. */
    weir_copy_rows *(*copy_rows)(const weir_result *like, weir_error *error);
} weir__result_class;

struct weir_result {
    const weir__result_class *class_; /* named so for C++ and debuggers alike */
    size_t rows, columns;
    int64_t affected;
    char tag[48]; /* "CREATE TEXT SEARCH CONFIGURATION" is the longest */
};

/* What every encoder of rows begins with. */
typedef struct weir__copy_rows_class {
    int (*encode)(weir_copy_rows *rows, const weir_statement *sets, const void **data, size_t *length,
                  weir_error *error);
    const char *(*format)(const weir_copy_rows *rows);
    void (*free)(weir_copy_rows *rows);
} weir__copy_rows_class;

struct weir_copy_rows {
    const weir__copy_rows_class *class_;
};

#endif
