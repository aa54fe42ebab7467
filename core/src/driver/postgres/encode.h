/* Parameters on their way into libpq's arguments: what encode.c (scalars) and encode_nested.c share. */
#ifndef WEIR_DRIVER_POSTGRES_ENCODE_H
#define WEIR_DRIVER_POSTGRES_ENCODE_H

#include "driver/postgres/value.h"

#define WEIR__PG_BYTES_MAX ((size_t)(1 << 30) - 1) /* the server's limit of a value */

/* The parameter being encoded, or what is inside of it. */
typedef struct weir__pgplace {
    weir__pgargs *args;
    const weir_statement *statement;
    size_t set, number; /* as the caller counts, from 0 */
    size_t index;       /* where it goes: behind all others lies the place of what is within another value */
    Oid type;           /* 0: unknown */
    weir_error *error;
} weir__pgplace;

static inline const weir__pgtypes *weir__pg_known(const weir__pgplace *at) {
    return at->args->types ? *at->args->types : NULL;
}

static inline void weir__pg_write(char *bytes, uint64_t bits, size_t size) {
    for (size_t i = 0; i < size; i++) bytes[i] = (char)(unsigned char)(bits >> (8 * (size - 1 - i)));
}

/* Each of these sets the place's value, length, format and offset. */
int weir__pg_put(const weir__pgplace *at, const char *data, size_t length, int format);
/* What was appended to the blob from `start` on, and ends before its last `behind` bytes. */
int weir__pg_put_blob(const weir__pgplace *at, size_t start, size_t behind, int format);
/* The statement's own bytes, as text. */
int weir__pg_put_text(const weir__pgplace *at, const weir_value *value);
/* As the text that the server's input function reads. */
int weir__pg_put_any(const weir__pgplace *at, const weir_value *value);
/* As the place's type wants it. */
int weir__pg_put_value(const weir__pgplace *at, const weir_value *value);
/* The same for types that consist of others, or are not known by their number. */
int weir__pg_put_nested(const weir__pgplace *at, const weir_value *value);
/* A value of values as text. */
int weir__pg_put_literal(const weir__pgplace *at, const weir_value *value);

int weir__pg_refuse_kind(const weir__pgplace *at, const weir_value *value, const char *wanted);
int weir__pg_refuse_text(const weir__pgplace *at, const char *why);

#endif
