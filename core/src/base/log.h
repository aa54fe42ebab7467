/* Log lines: a hook that the layer above fills in. Nothing below knows where the lines go. */
#ifndef WEIR_BASE_LOG_H
#define WEIR_BASE_LOG_H

#include <weirpool/log.h>

typedef struct weir__log {
    /* line: one sentence, no newline, no secret; valid during the call */
    void (*write)(void *arg, weir_log_level level, const char *line);
    void *arg;
    weir_log_level level; /* lines below it are not even formatted */
} weir__log;

/* log may be NULL: the line is dropped. A line is at most 511 bytes; a longer one is cut. */
void weir__logf(const weir__log *log, weir_log_level level, const char *format, ...) WEIR_PRINTF(3, 4);

#endif
