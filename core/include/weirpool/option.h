/* What an option is, whatever has it: a row of the tables that signatures, checks, stubs and documents come
 * from. */
#ifndef WEIRPOOL_OPTION_H
#define WEIRPOOL_OPTION_H

#include <weirpool/value.h>

WEIR_BEGIN_DECLS

typedef enum weir_option_kind {
    WEIR_OPTION_COUNT,
    WEIR_OPTION_TIME,
    WEIR_OPTION_FLAG,
    WEIR_OPTION_TEXT,
    WEIR_OPTION_RATIO, /* 0 to 1 */
} weir_option_kind;

/* A row of the table, as the bindings show it: the numbers of a TIME are in seconds. All strings are static.
 */
typedef struct weir_option_info {
    const char *name;
    weir_option_kind kind;
    bool nullable;
    weir_value initial; /* WEIR_TYPE_NULL for none */
    double least, most;
    const char *choices; /* or NULL */
    const char *text;
} weir_option_info;

WEIR_END_DECLS

#endif
