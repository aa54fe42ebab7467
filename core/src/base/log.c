#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"

void weir__logf(const weir__log *log, weir_log_level level, const char *format, ...) {
    if (!log || !log->write || level < log->level) return;
    char line[WEIR_LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length < 0) return;
    if ((size_t)length >= sizeof line) line[weir__whole_characters(line, sizeof line - 1)] = '\0';
    /* A server's text may be in it: it must not be able to forge a second line. */
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7F) *c = ' ';
    log->write(log->arg, level, line);
}
