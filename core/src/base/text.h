/* Texts from outside: made fit for messages, checked, and guessed at. */
#ifndef WEIR_BASE_TEXT_H
#define WEIR_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define WEIR__QUOTE_SIZE 64
/* A foreign text made fit for a message: printable ASCII only, cut when it is long. Gives `out`. */
const char *weir__quote(char out[WEIR__QUOTE_SIZE], const char *text);

bool weir__utf8_valid(const char *text, size_t length);
/* Where to cut a text of that length so that no UTF-8 character is left in two: hosts decode it strictly. */
size_t weir__whole_characters(const char *text, size_t length);

/* The name that comes nearest to a misspelt one, of those that at(arg, 0 …) gives until NULL, or the only one
   whose first or last words come nearest to it; NULL when none is near. */
const char *weir__nearest(const char *name, const char *(*at)(const void *arg, size_t row), const void *arg);

#endif
