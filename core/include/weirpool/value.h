/* Values: the small tagged union between databases and host languages. */
#ifndef WEIRPOOL_VALUE_H
#define WEIRPOOL_VALUE_H

#include <weirpool/export.h>

WEIR_BEGIN_DECLS

/*
 * X(suffix, number, name): the kinds of value. A new kind is a row here, a member of the union when the ones
 * that are there cannot carry it, a decoder in each driver, and a mapping in each binding; the compiler's
 * -Wswitch finds the places.
 */
#define WEIR_TYPES(X)                                                                                        \
    X(NULL, 0, "null")                                                                                       \
    X(BOOL, 1, "bool")                                                                                       \
    X(INT, 2, "int")                                                                                         \
    X(FLOAT, 3, "float")                                                                                     \
    X(NUMERIC, 4, "numeric") /* exact decimal, as text: "-12.50", "NaN", "Infinity" */                       \
    X(TEXT, 5, "text")       /* UTF-8 */                                                                     \
    X(BYTES, 6, "bytes")

typedef enum weir_type {
#define WEIR__TYPE(suffix, number, name) WEIR_TYPE_##suffix = number,
    WEIR_TYPES(WEIR__TYPE)
#undef WEIR__TYPE
} weir_type;

/* data is not ended by a NUL. Who owns it is said where a value is given or taken. */
typedef struct weir_value {
    weir_type type;
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct {
            const char *data;
            size_t length; /* bytes */
        } bytes;           /* NUMERIC, TEXT, BYTES */
    } as;
} weir_value;

/* "text"; NULL for a number that is no type. */
WEIR_API const char *weir_type_name(weir_type type);

WEIR_END_DECLS

#endif
