/* What every driver's result begins with. */
#ifndef WEIR_DRIVER_RESULT_H
#define WEIR_DRIVER_RESULT_H

#include <weirpool/result.h>

typedef struct weir__result_class {
    const char *(*name)(const weir_result *result, size_t column);
    int (*value)(weir_result *result, size_t row, size_t column,
                 weir_value *out);     /* in range: checked before */
    void (*free)(weir_result *result); /* the whole of it */
} weir__result_class;

struct weir_result {
    const weir__result_class *class_; /* named so for C++ and debuggers alike */
    size_t rows, columns;
    int64_t affected;
    char tag[48]; /* "CREATE TEXT SEARCH CONFIGURATION" is the longest */
};

#endif
