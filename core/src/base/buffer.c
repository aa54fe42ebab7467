#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define FIRST_CAPACITY 64

/* Makes sure of `more` free bytes behind the content. */
static bool grow(weir__buffer *buffer, size_t more) {
    if (buffer->broken) return false;
    if (more <= buffer->capacity - buffer->length && buffer->data) return true;
    size_t need, capacity = buffer->capacity ? buffer->capacity : FIRST_CAPACITY;
    if (__builtin_add_overflow(buffer->length, more, &need) || need > PTRDIFF_MAX) goto broken;
    while (capacity < need) capacity = capacity > PTRDIFF_MAX / 2 ? PTRDIFF_MAX : capacity * 2;
    char *data = weir__realloc(buffer->data, capacity);
    if (!data) goto broken;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
broken:
    buffer->broken = true;
    return false;
}

char *weir__buffer_reserve(weir__buffer *buffer, size_t length) {
    if (!grow(buffer, length)) return NULL;
    char *room = buffer->data + buffer->length;
    buffer->length += length;
    return room;
}

void weir__buffer_append(weir__buffer *buffer, const void *data, size_t length) {
    if (!length) return;
    char *room = weir__buffer_reserve(buffer, length);
    if (room) memcpy(room, data, length);
}

void weir__buffer_text(weir__buffer *buffer, const char *text) {
    weir__buffer_append(buffer, text, strlen(text));
}

void weir__buffer_char(weir__buffer *buffer, char c) {
    char *room = weir__buffer_reserve(buffer, 1);
    if (room) *room = c;
}

void weir__buffer_printf(weir__buffer *buffer, const char *format, ...) {
    if (!grow(buffer, 1)) return;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = buffer->capacity - buffer->length;
    int length = vsnprintf(buffer->data + buffer->length, room, format, args);
    va_end(args);
    if (length < 0) {
        buffer->broken = true;
    } else if ((size_t)length < room) {
        buffer->length += (size_t)length;
    } else if (grow(buffer, (size_t)length + 1)) {
        vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, again);
        buffer->length += (size_t)length;
    }
    va_end(again);
}

const char *weir__buffer_string(weir__buffer *buffer) {
    if (!grow(buffer, 1)) return NULL;
    buffer->data[buffer->length] = '\0';
    return buffer->data;
}

char *weir__buffer_steal(weir__buffer *buffer) {
    if (!weir__buffer_string(buffer)) return NULL;
    char *data = buffer->data;
    *buffer = (weir__buffer)WEIR__BUFFER_INIT;
    return data;
}

void weir__buffer_clear(weir__buffer *buffer) { buffer->length = 0; }

void weir__buffer_free(weir__buffer *buffer) {
    weir__free(buffer->data);
    *buffer = (weir__buffer)WEIR__BUFFER_INIT;
}
