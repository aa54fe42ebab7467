/* The table of options as the code of this room sees it, and helpers for messages about options. */
#ifndef WEIR_CONFIG_OPTION_H
#define WEIR_CONFIG_OPTION_H

#include <weirpool/options.h>

/* A row of WEIR_OPTIONS. Times are in milliseconds here, as in the struct. */
typedef struct weir__option {
    const char *name;
    weir_option_kind kind;
    bool nullable;            /* of a COUNT, TIME */
    size_t offset;            /* of the field in weir_options */
    int64_t initial;          /* of a COUNT, TIME, FLAG; -1 for none */
    const char *initial_text; /* of a TEXT; NULL for none */
    int64_t least, most;
    const char *choices;
    const char *text;
} weir__option;

/* Row 0 … n-1; NULL past the end. */
const weir__option *weir__option_at(size_t row);
/* NULL when there is none of that name. */
const weir__option *weir__option_find(const char *name);
/* Whether the caller has chosen the option's value: set by name, or by writing the field. */
bool weir__option_chosen(const weir_options *options, const weir__option *option);
/* The field of a TEXT option. */
const char **weir__option_text(weir_options *options, const weir__option *option);
/* A default minimum that the caller has not chosen gives way to a smaller maximum: max_size=3 alone has
 * min_size 3. */
void weir__options_settle(weir_options *options);
/* WEIR_EOPTION unless the struct is of this library's version. */
int weir__options_version(const weir_options *options, weir_error *error);
/* Fails for an unknown name, with the nearest that exists. */
int weir__option_unknown(const char *name, weir_error *error);

#define WEIR__QUOTE_SIZE 64
/* A foreign text made fit for a message: printable ASCII only, cut when it is long. Gives `out`. */
const char *weir__quote(char out[WEIR__QUOTE_SIZE], const char *text);

bool weir__utf8_valid(const char *text, size_t length);

#endif
