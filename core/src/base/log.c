#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

/* Where to cut so that no UTF-8 character is left in two: hosts decode the line strictly. */
static size_t whole_characters(const char *line, size_t length) {
    size_t last = length;
    while (last > 0 && length - last < 3 && ((unsigned char)line[last - 1] & 0xC0) == 0x80) last--;
    if (last == 0) return length;
    unsigned char lead = (unsigned char)line[last - 1];
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    return length - (last - 1) < need ? last - 1 : length;
}

void weir__logf(const weir__log *log, weir_log_level level, const char *format, ...) {
    if (!log || !log->write || level < log->level) return;
    char line[WEIR_LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length < 0) return;
    if ((size_t)length >= sizeof line) line[whole_characters(line, sizeof line - 1)] = '\0';
    /* A server's text may be in it: it must not be able to forge a second line. */
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7F) *c = ' ';
    log->write(log->arg, level, line);
}
