/* A growing buffer with a sticky mark: once an allocation has failed all further appends do nothing, so that
   a writer checks once, at the end. */
#ifndef WEIR_BASE_BUFFER_H
#define WEIR_BASE_BUFFER_H

#include <weirpool/export.h>

typedef struct weir__buffer {
    char *data; /* NULL while empty */
    size_t length, capacity;
    bool broken;
} weir__buffer;

#define WEIR__BUFFER_INIT                                                                                    \
    { NULL, 0, 0, false }

void weir__buffer_append(weir__buffer *buffer, const void *data, size_t length);
void weir__buffer_text(weir__buffer *buffer, const char *text);
void weir__buffer_char(weir__buffer *buffer, char c);
void weir__buffer_printf(weir__buffer *buffer, const char *format, ...) WEIR_PRINTF(2, 3);
/* Room for `length` more bytes at the end, which the caller fills; NULL when broken. Counts them at once. */
char *weir__buffer_reserve(weir__buffer *buffer, size_t length);
/* The content with a NUL behind it (not counted), for reading; NULL when broken. */
const char *weir__buffer_string(weir__buffer *buffer);
/* The same, given away: free it with weir__free. The buffer is empty then. NULL when broken. */
char *weir__buffer_steal(weir__buffer *buffer);
void weir__buffer_clear(weir__buffer *buffer); /* empty, memory kept, the mark stays */
void weir__buffer_free(weir__buffer *buffer);  /* empty, unbroken; may be called twice */

#endif
