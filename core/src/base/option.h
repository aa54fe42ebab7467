/* Structs of options that an X-macro makes: what setting, checking and describing them have in common. */
#ifndef WEIR_BASE_OPTION_H
#define WEIR_BASE_OPTION_H

#include <weirpool/error.h>
#include <weirpool/option.h>

#define WEIR__RATIO_ONE 1000000 /* a RATIO is counted in millionths here, and is a double in the struct */

/* A row of the X-macro. Times are in milliseconds here, as in the struct. */
typedef struct weir__option {
    const char *name;
    weir_option_kind kind;
    bool nullable;            /* of a COUNT, TIME, RATIO */
    size_t offset;            /* of the field in the struct */
    int64_t initial;          /* of a COUNT, TIME, FLAG, RATIO; -1 for none */
    const char *initial_text; /* of a TEXT; NULL for none */
    int64_t least, most;
    const char *choices;
    const char *text;
} weir__option;

/* Rows; `shown` is the option's name, `field` where it lies in the struct. */
#define WEIR__ROW_COUNT(shown, field, initial, least, most, nullable, text)                                  \
    {shown, WEIR_OPTION_COUNT, nullable, field, initial, NULL, least, most, NULL, text},
#define WEIR__ROW_TIME(shown, field, initial, least, most, nullable, text)                                   \
    {shown, WEIR_OPTION_TIME, nullable, field, initial, NULL, least, most, NULL, text},
#define WEIR__ROW_RATIO(shown, field, initial, least, most, nullable, text)                                  \
    {shown, WEIR_OPTION_RATIO,  nullable,          field, WEIR__PARTS(initial),                              \
     NULL,  WEIR__PARTS(least), WEIR__PARTS(most), NULL,  text},
#define WEIR__ROW_FLAG(shown, field, initial, text)                                                          \
    {shown, WEIR_OPTION_FLAG, false, field, initial, NULL, 0, 1, NULL, text},
#define WEIR__ROW_TEXT(shown, field, initial, choices, text)                                                 \
    {shown, WEIR_OPTION_TEXT, false, field, 0, initial, 0, 0, choices, text},
#define WEIR__PARTS(ratio) ((ratio) < 0 ? -1 : (int64_t)((ratio)*WEIR__RATIO_ONE + 0.5))

typedef struct weir__option_table {
    const weir__option *rows;
    size_t count;
    /* What is wrong with the text of an option without choices; NULL: weir__option_plain_text. */
    int (*check_text)(const weir__option *option, const char *text, weir_error *error);
} weir__option_table;

/* NULL when there is none of that name. */
const weir__option *weir__option_named(const weir__option_table *table, const char *name);
/* WEIR_EOPTION, with the nearest name that exists. */
int weir__option_no_name(const weir__option_table *table, const char *name, weir_error *error);
/* Every field to its default. */
void weir__option_defaults(const weir__option_table *table, void *options);
/* As weir_options_set, for a row of the table. */
int weir__option_set(const weir__option_table *table, void *options, const weir__option *option,
                     const weir_value *value, weir_error *error);
/* Checks all fields. */
int weir__option_check_all(const weir__option_table *table, const void *options, weir_error *error);
void weir__option_describe(const weir__option *option, weir_option_info *out);

/* The field of a TEXT. */
const char **weir__option_text(void *options, const weir__option *option);
/* The field of a COUNT, TIME, FLAG or RATIO. */
int64_t weir__option_number(const void *options, const weir__option *option);
void weir__option_put(void *options, const weir__option *option, int64_t number);
/* Whether the field differs from its default. */
bool weir__option_differs(const void *options, const weir__option *option);
/* 1 to 200 bytes of UTF-8 without control characters. */
int weir__option_plain_text(const weir__option *option, const char *text, weir_error *error);

#define WEIR__NUMBER_SIZE 32
/* The number as the caller writes it: times in seconds, without a locale's comma. */
const char *weir__option_show(char out[WEIR__NUMBER_SIZE], const weir__option *option, int64_t number);

#endif
