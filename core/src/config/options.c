#include "config/option.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "config/environment.h"
#include "config/reset.h"
#include "config/sizing.h"

static const weir__option rows[] = {
#define FIELD(name) offsetof(weir_options, name)
#define COUNT(name, ...) WEIR__ROW_COUNT(#name, FIELD(name), __VA_ARGS__)
#define TIME(name, ...) WEIR__ROW_TIME(#name, FIELD(name##_ms), __VA_ARGS__)
#define FLAG(name, ...) WEIR__ROW_FLAG(#name, FIELD(name), __VA_ARGS__)
#define TEXT(name, ...) WEIR__ROW_TEXT(#name, FIELD(name), __VA_ARGS__)
    WEIR_OPTIONS(COUNT, TIME, FLAG, TEXT)
#undef COUNT
#undef TIME
#undef FLAG
#undef TEXT
#define COUNT(name, ...) WEIR__ROW_COUNT("circuit_" #name, FIELD(circuit.name), __VA_ARGS__)
#define TIME(name, ...) WEIR__ROW_TIME("circuit_" #name, FIELD(circuit.name##_ms), __VA_ARGS__)
#define RATIO(name, ...) WEIR__ROW_RATIO("circuit_" #name, FIELD(circuit.name), __VA_ARGS__)
#define FLAG(name, ...) WEIR__ROW_FLAG("circuit_" #name, FIELD(circuit.name), __VA_ARGS__)
#define TEXT(name, ...) WEIR__ROW_TEXT("circuit_" #name, FIELD(circuit.name), __VA_ARGS__)
        WEIR_BREAKER_RULES(COUNT, TIME, RATIO, FLAG, TEXT)
#undef COUNT
#undef TIME
#undef RATIO
#undef FLAG
#undef TEXT
#define COUNT(name, ...) WEIR__ROW_COUNT(#name, FIELD(name), __VA_ARGS__)
#define TIME(name, ...) WEIR__ROW_TIME(#name, FIELD(name##_ms), __VA_ARGS__)
#define RATIO(name, ...) WEIR__ROW_RATIO(#name, FIELD(name), __VA_ARGS__)
#define FLAG(name, ...) WEIR__ROW_FLAG(#name, FIELD(name), __VA_ARGS__)
            WEIR_MONITOR_RULES(COUNT, TIME, RATIO, FLAG)
#undef FIELD
#undef COUNT
#undef TIME
#undef RATIO
#undef FLAG
};
#define ROWS (sizeof rows / sizeof rows[0])
#define WORD 64
_Static_assert(ROWS <= sizeof((weir_options *)0)->given * 8, "weir_options.given has a bit for each option");

const weir__option *weir__option_at(size_t row) { return row < ROWS ? &rows[row] : NULL; }

static int check_text(const weir__option *option, const char *text, weir_error *error) {
    if (strcmp(option->name, "reset") == 0) return weir__reset_check(text, error);
    if (strcmp(option->name, "reset_functions") == 0) return weir__reset_functions_check(text, error);
    if (strncmp(option->name, "circuit_", 8) == 0) return weir__error_list_check(option->name, text, error);
    return weir__option_plain_text(option, text, error);
}

static const weir__option_table table = {rows, ROWS, check_text};

const weir__option *weir__option_find(const char *name) { return weir__option_named(&table, name); }

int weir__option_unknown(const char *name, weir_error *error) {
    return weir__option_no_name(&table, name, error);
}

static void mark(uint64_t bits[], const weir__option *option) {
    bits[(option - rows) / WORD] |= UINT64_C(1) << (option - rows) % WORD;
}

static bool marked(const uint64_t bits[], const weir__option *option) {
    return bits[(option - rows) / WORD] >> (option - rows) % WORD & 1;
}

bool weir__option_chosen(const weir_options *options, const weir__option *option) {
    return marked(options->given, option) || weir__option_differs(options, option);
}

void weir__option_looked_up(weir_options *options, const weir__option *option) {
    mark(options->looked_up, option);
}

void weir_options_init(weir_options *options) {
    if (!options) return;
    memset(options, 0, sizeof *options);
    options->size = sizeof *options;
    options->circuit.size = sizeof options->circuit;
    weir__option_defaults(&table, options);
}

int weir__options_version(const weir_options *options, weir_error *error) {
    if (options->size == sizeof *options) return WEIR_OK;
    return weir__fail(
        error, WEIR_EOPTION,
        "options.size is %zu, but it is %zu in this version of the library: call weir_options_init "
        "first, and use the header that belongs to the library",
        options->size, sizeof *options);
}

int weir_options_set(weir_options *options, const char *name, const weir_value *value, weir_error *error) {
    if (!options || !name || !value)
        return weir__fail(error, WEIR_EINVAL,
                          "weir_options_set takes options, a name and a value: one is NULL");
    int code = weir__options_version(options, error);
    if (code != WEIR_OK) return code;
    const weir__option *option = weir__option_find(name);
    if (!option) return weir__option_unknown(name, error);
    code = weir__option_set(&table, options, option, value, error);
    if (code == WEIR_OK) mark(options->given, option);
    return code;
}

/* Where an option's value has come from, for a message, when that is not its caller. */
static const char *source(char out[WEIR__QUOTE_SIZE], const weir_options *options,
                          const weir__option *option) {
    const char *variable;
    *out = '\0';
    if (marked(options->looked_up, option) && weir__environment_get(option->name, &variable))
        snprintf(out, WEIR__QUOTE_SIZE, " (%s)", variable);
    else if (!weir__option_chosen(options, option))
        snprintf(out, WEIR__QUOTE_SIZE, " (the default)");
    return out;
}

/* Pairs of which the first may not be above the second. */
static const char *const orders[][2] = {{"min_size", "max_size"}, {"retry_min", "retry_max"}};
#define ORDERS (sizeof orders / sizeof *orders)

/* whole: what has not been chosen is the default, and not yet to come from the URL or the environment. */
static int check_order(const weir_options *options, const char *low_name, const char *high_name, bool whole,
                       weir_error *error) {
    const weir__option *low = weir__option_find(low_name), *high = weir__option_find(high_name);
    int64_t least = weir__option_number(options, low), most = weir__option_number(options, high);
    char shown[2][WEIR__NUMBER_SIZE], from[2][WEIR__QUOTE_SIZE];
    if (least <= most || !weir__option_chosen(options, low)) return WEIR_OK; /* a default gives way */
    if (!whole && !weir__option_chosen(options, high)) return WEIR_OK;
    return weir__fail(error, WEIR_EOPTION, "%s=%s%s is above %s=%s%s: lower %s or raise %s", low_name,
                      weir__option_show(shown[0], low, least), source(from[0], options, low), high_name,
                      weir__option_show(shown[1], high, most), source(from[1], options, high), low_name,
                      high_name);
}

int weir__options_settle(weir_options *options, weir_error *error) {
    int code = weir__sizing_settle(options, error);
    if (code != WEIR_OK) return code;
    for (size_t i = 0; i < ORDERS; i++) {
        code = check_order(options, orders[i][0], orders[i][1], true, error);
        if (code != WEIR_OK) return code;
        const weir__option *low = weir__option_find(orders[i][0]), *high = weir__option_find(orders[i][1]);
        if (weir__option_number(options, low) > weir__option_number(options, high) &&
            !weir__option_chosen(options, low))
            weir__option_put(options, low, weir__option_number(options, high));
    }
    return WEIR_OK;
}

int weir_options_check(const weir_options *options, weir_error *error) {
    if (!options) return weir__fail(error, WEIR_EINVAL, "weir_options_check takes options, not NULL");
    int code = weir__options_version(options, error);
    if (code == WEIR_OK) code = weir__option_check_all(&table, options, error);
    for (size_t i = 0; code == WEIR_OK && i < ORDERS; i++)
        code = check_order(options, orders[i][0], orders[i][1], false, error);
    return code;
}

bool weir_option_table(size_t row, weir_option_info *out) {
    const weir__option *option = weir__option_at(row);
    if (!option) return false;
    weir__option_describe(option, out);
    return true;
}
