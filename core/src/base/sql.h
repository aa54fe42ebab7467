/* Just enough reading of SQL to find the first words of a text. */
#ifndef WEIR_BASE_SQL_H
#define WEIR_BASE_SQL_H

#include <stdbool.h>

static inline bool weir__sql_in_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* Behind a comment that begins at p, or p. Block comments nest. */
const char *weir__sql_skip_comment(const char *p, const char *end);

/* The next letter of a word: behind blanks, comments, and whatever else is none. */
const char *weir__sql_skip_to_word(const char *p, const char *end);

#endif
