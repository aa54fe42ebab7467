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
    X(BYTES, 6, "bytes")                                                                                     \
    X(DATE, 7, "date")                                                                                       \
    X(TIME, 8, "time")                                                                                       \
    X(TIMETZ, 9, "timetz")                                                                                   \
    X(TIMESTAMP, 10, "timestamp")     /* of no time zone */                                                  \
    X(TIMESTAMPTZ, 11, "timestamptz") /* an instant */                                                       \
    X(INTERVAL, 12, "interval")                                                                              \
    X(UUID, 13, "uuid")                                                                                      \
    X(INET, 14, "inet") /* a host, as text: "192.0.2.1", with its network's size "192.0.2.1/24" */           \
    X(CIDR, 15, "cidr") /* a network, as text: "192.0.2.0/24" */                                             \
    X(ARRAY, 16, "array")                                                                                    \
    X(JSON, 17, "json") /* its text */                                                                       \
    X(RANGE, 18, "range")                                                                                    \
    X(MULTIRANGE, 19, "multirange") /* a list of RANGE */                                                    \
    X(RECORD, 20, "record")         /* a row, its fields in a list */                                        \
    X(MAP, 21, "map")               /* a list of keys (TEXT), each before its value (TEXT or NULL) */        \
    X(RAW, 22, "raw")               /* as the wire has it, for a codec of the host's; `codec` says which */

typedef enum weir_type {
#define WEIR__TYPE(suffix, number, name) WEIR_TYPE_##suffix = number,
    WEIR_TYPES(WEIR__TYPE)
#undef WEIR__TYPE
} weir_type;

/* The calendar is the Gregorian one, also for the days before it was; its days have 24 hours. */
#define WEIR_DATE_INFINITY INT32_MAX /* later than all others; -infinity is INT32_MIN */
#define WEIR_TIME_INFINITY INT64_MAX /* the same of TIMESTAMP and TIMESTAMPTZ; -infinity is INT64_MIN */
/* An INTERVAL is infinity when all its parts are at their largest, -infinity when at their smallest. */
#define WEIR_DAY_US INT64_C(86400000000)

/* data is not ended by a NUL. Who owns it is said where a value is given or taken. */
typedef struct weir_value {
    weir_type type;
    uint16_t codec; /* RAW: the number of its codec among weir_options.codecs, from 0 … */
    bool binary;    /* … and whether the bytes are the binary form, or text */
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct {
            const char *data;
            size_t length; /* bytes */
        } bytes;           /* NUMERIC, TEXT, BYTES, INET, CIDR, JSON, RAW */
        int32_t date;      /* DATE: days since 2000-01-01 */
        int64_t
            time; /* TIME: microseconds since midnight, up to and including WEIR_DAY_US ("24:00"); TIMESTAMP:
                     microseconds since 2000-01-01 00:00; TIMESTAMPTZ: since that instant in UTC */
        struct {
            int64_t time; /* as TIME, by the local clock */
            int32_t east; /* that clock is ahead of UTC by so many seconds, less than a day */
        } timetz;
        struct {
            int32_t months, days; /* kept apart, since neither has always the same length */
            int64_t microseconds;
        } interval; /* the signs may differ */
        unsigned char uuid[16];
        const struct weir_array *array; /* this and the next two are owned as bytes are */
        const struct weir_range *range;
        const struct weir_list *list; /* MULTIRANGE, RECORD, MAP */
    } as;
} weir_value;

/* Values of one type in a box of up to six dimensions. */
#define WEIR_ARRAY_DIMENSIONS 6
typedef struct weir_array {
    size_t count;   /* of the items: the product of all lengths; 0 without dimensions */
    int dimensions; /* 0: it is empty */
    int32_t lengths[WEIR_ARRAY_DIMENSIONS]; /* above 0 */
    int32_t lower[WEIR_ARRAY_DIMENSIONS]; /* the database's index of each dimension's first item, mostly 1 */
    const weir_value *items;              /* the last dimension's index runs fastest; any kind but ARRAY */
} weir_array;

/* A bound of type NULL is none: the range has no end there, and that end is not inclusive. */
typedef struct weir_range {
    bool empty; /* then nothing else counts */
    bool lower_inc, upper_inc;
    weir_value lower, upper;
} weir_range;

typedef struct weir_list {
    size_t count;
    const weir_value *items;
    const char *const *names; /* RECORD, in results: of the fields, or NULL when the database does not tell */
} weir_list;

/* Arrays, ranges and lists may be nested in a parameter up to so many levels. */
#define WEIR_VALUE_DEPTH 32

/* "text"; NULL for a number that is no type. */
WEIR_API const char *weir_type_name(weir_type type);

/*
 * The text of a DATE, TIME, TIMETZ, TIMESTAMP, TIMESTAMPTZ, INTERVAL or UUID, ended by a NUL; its length, or
 * 0 for other kinds. `out` has room for WEIR_VALUE_TEXT bytes. ISO 8601 as PostgreSQL reads it: "2024-02-29",
 * "12:30:00.25", "12:30:00+05:30", "2024-02-29 12:30:00", "2024-02-29 12:30:00+00" (TIMESTAMPTZ always in
 * UTC), "0044-03-15 BC", "12024-01-01", "infinity", "-infinity", "P1Y2M3DT4H5M6.7S".
 */
#define WEIR_VALUE_TEXT 80
WEIR_API size_t weir_value_text(const weir_value *value, char *out);

/* 1 when the value is infinity, -1 when it is -infinity: DATE, TIMESTAMP, TIMESTAMPTZ, INTERVAL; else 0. */
WEIR_API int weir_value_infinity(const weir_value *value);

/* Days since 2000-01-01 to a date and back; year 0 is 1 BC. Any number of days up to WEIR_DATE_INFINITY
 * either way. */
WEIR_API void weir_date_from_days(int32_t days, int *year, int *month, int *day);
WEIR_API int64_t weir_days_from_date(int year, int month, int day);

WEIR_END_DECLS

#endif
