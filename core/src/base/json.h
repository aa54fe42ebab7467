/* Values as JSON text, and texts that are JSON. */
#ifndef WEIR_BASE_JSON_H
#define WEIR_BASE_JSON_H

#include <weirpool/value.h>

#include "base/buffer.h"

/*
 * Appends the JSON text of a NULL, BOOL, INT, FLOAT, NUMERIC, TEXT or JSON, of an ARRAY or RECORD of these
 * (nested: an ARRAY's dimensions), or of a MAP. The first value of another kind, or a number that JSON has
 * not (NaN, infinities), is returned, and what has been appended is of no use. NULL: done (but look whether
 * the buffer is broken). A FLOAT keeps its point ("1.0"). Texts are UTF-8, and stay so.
 */
const weir_value *weir__json(weir__buffer *out, const weir_value *value);

/* Whether the text, which a NUL ends, is a JSON value; NaN, Infinity and -Infinity are taken for numbers, as
 * Python's json does. What is nested deeper than 1000 is none. Whether it is UTF-8 is not looked at. */
bool weir__is_json(const char *text);

#endif
