/* Log levels; the lines themselves are taken with weir_reactor_next_log. */
#ifndef WEIRPOOL_LOG_H
#define WEIRPOOL_LOG_H

#include <weirpool/export.h>

/* The numbers are those of Python's logging. */
typedef enum weir_log_level {
    WEIR_LOG_DEBUG = 10,
    WEIR_LOG_INFO = 20,
    WEIR_LOG_WARNING = 30,
    WEIR_LOG_ERROR = 40,
} weir_log_level;

#define WEIR_LOG_LINE_MAX 512 /* bytes of a line, the NUL included */

typedef struct weir_log_record {
    weir_log_level level;
    char line[WEIR_LOG_LINE_MAX];
} weir_log_record;

#endif
