#include "config/option.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "config/reset.h"

#define NAME_MAX_BYTES 200 /* of a text without choices: it stands in every log line */

static const weir__option rows[] = {
#define COUNT(name, initial, least, most, nullable, text)                                                    \
    {#name, WEIR_OPTION_COUNT, nullable, offsetof(weir_options, name), initial, NULL, least, most, NULL,     \
     text},
#define TIME(name, initial, least, most, nullable, text)                                                     \
    {#name, WEIR_OPTION_TIME, nullable, offsetof(weir_options, name##_ms), initial, NULL, least, most, NULL, \
     text},
#define FLAG(name, initial, text)                                                                            \
    {#name, WEIR_OPTION_FLAG, false, offsetof(weir_options, name), initial, NULL, 0, 1, NULL, text},
#define TEXT(name, initial, choices, text)                                                                   \
    {#name, WEIR_OPTION_TEXT, false, offsetof(weir_options, name), 0, initial, 0, 0, choices, text},
    WEIR_OPTIONS(COUNT, TIME, FLAG, TEXT)
#undef COUNT
#undef TIME
#undef FLAG
#undef TEXT
};
#define ROWS (sizeof rows / sizeof rows[0])
_Static_assert(ROWS <= 64, "weir_options.given has a bit for each option");

const weir__option *weir__option_at(size_t row) { return row < ROWS ? &rows[row] : NULL; }

const weir__option *weir__option_find(const char *name) {
    for (size_t row = 0; row < ROWS; row++)
        if (strcmp(rows[row].name, name) == 0) return &rows[row];
    return NULL;
}

const char **weir__option_text(weir_options *options, const weir__option *option) {
    return (const char **)((char *)options + option->offset);
}

static const char *get_text(const weir_options *options, const weir__option *option) {
    return *(const char *const *)((const char *)options + option->offset);
}

/* The field of a COUNT, TIME or FLAG. */
static int64_t get_number(const weir_options *options, const weir__option *option) {
    const char *field = (const char *)options + option->offset;
    if (option->kind == WEIR_OPTION_COUNT) return *(const int *)field;
    if (option->kind == WEIR_OPTION_TIME) return *(const int64_t *)field;
    return *(const bool *)field;
}

static void put_number(weir_options *options, const weir__option *option, int64_t number) {
    char *field = (char *)options + option->offset;
    if (option->kind == WEIR_OPTION_COUNT) *(int *)field = (int)number;
    if (option->kind == WEIR_OPTION_TIME) *(int64_t *)field = number;
    if (option->kind == WEIR_OPTION_FLAG) *(bool *)field = number != 0;
}

/* A TEXT may be none when that is its default. */
static bool is_nullable(const weir__option *option) {
    return option->kind == WEIR_OPTION_TEXT ? !option->initial_text : option->nullable;
}

static uint64_t bit(const weir__option *option) { return UINT64_C(1) << (option - rows); }

bool weir__option_chosen(const weir_options *options, const weir__option *option) {
    if (options->given & bit(option)) return true;
    if (option->kind != WEIR_OPTION_TEXT) return get_number(options, option) != option->initial;
    const char *text = get_text(options, option), *initial = option->initial_text;
    return text != initial && (!text || !initial || strcmp(text, initial) != 0);
}

void weir_options_init(weir_options *options) {
    if (!options) return;
    memset(options, 0, sizeof *options);
    options->size = sizeof *options;
    for (size_t row = 0; row < ROWS; row++) {
        if (rows[row].kind == WEIR_OPTION_TEXT)
            *weir__option_text(options, &rows[row]) = rows[row].initial_text;
        else
            put_number(options, &rows[row], rows[row].initial);
    }
}

int weir__options_version(const weir_options *options, weir_error *error) {
    if (options->size == sizeof *options) return WEIR_OK;
    return weir__fail(
        error, WEIR_EOPTION,
        "options.size is %zu, but it is %zu in this version of the library: call weir_options_init "
        "first, and use the header that belongs to the library",
        options->size, sizeof *options);
}

/* ---- messages */

enum { NUMBER_SIZE = 32, RANGE_SIZE = 128 };

/* As the caller writes it: times in seconds, without a locale's comma. */
static const char *show_number(char out[NUMBER_SIZE], const weir__option *option, int64_t number) {
    if (option->kind != WEIR_OPTION_TIME) {
        snprintf(out, NUMBER_SIZE, "%lld", (long long)number);
        return out;
    }
    uint64_t size = number < 0 ? -(uint64_t)number : (uint64_t)number;
    int length = snprintf(out, NUMBER_SIZE, "%s%llu.%03u", number < 0 ? "-" : "",
                          (unsigned long long)(size / 1000), (unsigned)(size % 1000));
    while (out[length - 1] == '0') out[--length] = '\0';
    if (out[length - 1] == '.') out[--length] = '\0';
    return out;
}

/* "from 1 to 10000", "from 0.001 to 86400 seconds, or none (null) to switch it off" */
static const char *show_range(char out[RANGE_SIZE], const weir__option *option) {
    char least[NUMBER_SIZE], most[NUMBER_SIZE];
    bool time = option->kind == WEIR_OPTION_TIME;
    const char *none = time ? ", or none (null) to switch it off" : ", or none (null) for no limit";
    snprintf(out, RANGE_SIZE, "from %s to %s%s%s", show_number(least, option, option->least),
             show_number(most, option, option->most), time ? " seconds" : "",
             is_nullable(option) ? none : "");
    return out;
}

static const char *show_kind(const weir__option *option) {
    switch (option->kind) {
    case WEIR_OPTION_COUNT:
        return "a whole number";
    case WEIR_OPTION_TIME:
        return "a number of seconds";
    case WEIR_OPTION_FLAG:
        return "true or false";
    case WEIR_OPTION_TEXT:
        return option->choices ? option->choices : "text";
    }
    return "nothing";
}

const char *weir__quote(char out[WEIR__QUOTE_SIZE], const char *text) {
    size_t length = strlen(text), kept = length < WEIR__QUOTE_SIZE ? length : WEIR__QUOTE_SIZE - 4;
    for (size_t i = 0; i < kept; i++) out[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
    strcpy(out + kept, kept < length ? "..." : "");
    return out;
}

static int fail_range(const weir__option *option, const char *shown, weir_error *error) {
    char range[RANGE_SIZE];
    return weir__fail(error, WEIR_EOPTION, "%s=%s is out of range: give %s", option->name, shown,
                      show_range(range, option));
}

static int fail_zero(const weir__option *option, weir_error *error) {
    char range[RANGE_SIZE];
    if (is_nullable(option))
        return weir__fail(error, WEIR_EOPTION,
                          "%s=0 would let no time at all: switch it off with none (null)", option->name);
    return weir__fail(error, WEIR_EOPTION, "%s=0 is no time: give %s", option->name,
                      show_range(range, option));
}

static int fail_null(const weir__option *option, weir_error *error) {
    return weir__fail(error, WEIR_EOPTION,
                      "%s cannot be none (null): give %s, or leave it out for the default", option->name,
                      show_kind(option));
}

static int fail_type(const weir__option *option, weir_type type, weir_error *error) {
    const char *given = weir_type_name(type);
    return weir__fail(error, WEIR_EOPTION, "%s takes %s%s, and was given a value of type %s", option->name,
                      show_kind(option), is_nullable(option) ? " or none (null)" : "",
                      given ? given : "unknown");
}

/* ---- setting one option */

static int read_count(const weir__option *option, const weir_value *value, int64_t *number,
                      weir_error *error) {
    char shown[NUMBER_SIZE];
    int64_t whole = value->as.integer;
    if (value->type == WEIR_TYPE_FLOAT) {
        double real = value->as.real;
        snprintf(shown, sizeof shown, "%.9g", real);
        if (!(real >= (double)option->least && real <= (double)option->most))
            return fail_range(option, shown, error);
        whole = (int64_t)real;
        if ((double)whole != real)
            return weir__fail(error, WEIR_EOPTION, "%s=%s is no whole number: give %lld or %lld",
                              option->name, shown, (long long)whole, (long long)whole + 1);
    }
    if (whole < option->least || whole > option->most)
        return fail_range(option, show_number(shown, option, whole), error);
    *number = whole;
    return WEIR_OK;
}

static int read_time(const weir__option *option, const weir_value *value, int64_t *number,
                     weir_error *error) {
    char shown[NUMBER_SIZE];
    double seconds = value->type == WEIR_TYPE_INT ? (double)value->as.integer : value->as.real;
    if (seconds == 0) return fail_zero(option, error);
    double ms = seconds * 1000;
    if (!(ms > 0 && ms <= (double)option->most)) {
        snprintf(shown, sizeof shown, "%.9g", seconds);
        return fail_range(option, shown, error);
    }
    int64_t whole = (int64_t)(ms + 0.5); /* 1.001 * 1000 is a little less than 1001 */
    *number = whole < option->least ? option->least : whole;
    return WEIR_OK;
}

static bool is_choice(const char *choices, const char *text) {
    size_t length = strlen(text);
    for (const char *choice = choices; length; choice++) {
        size_t size = strcspn(choice, "|");
        if (size == length && memcmp(choice, text, size) == 0) return true;
        choice += size;
        if (!*choice) break;
    }
    return false;
}

static int check_text(const weir__option *option, const char *text, weir_error *error) {
    char shown[WEIR__QUOTE_SIZE];
    if (!text) return is_nullable(option) ? WEIR_OK : fail_null(option, error);
    if (option->choices) {
        if (is_choice(option->choices, text)) return WEIR_OK;
        return weir__fail(error, WEIR_EOPTION, "%s=%s is none of its choices: give %s", option->name,
                          weir__quote(shown, text), option->choices);
    }
    if (strcmp(option->name, "reset") == 0) return weir__reset_check(text, error);
    if (strcmp(option->name, "reset_functions") == 0) return weir__reset_functions_check(text, error);
    size_t length = strlen(text);
    if (length == 0 || length > NAME_MAX_BYTES)
        return weir__fail(error, WEIR_EOPTION, "%s is %zu bytes long: give 1 to %d, or leave it out",
                          option->name, length, NAME_MAX_BYTES);
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return weir__fail(error, WEIR_EOPTION, "%s=%s holds a control character: give printable text",
                              option->name, weir__quote(shown, text));
    if (weir__utf8_valid(text, length)) return WEIR_OK;
    return weir__fail(error, WEIR_EOPTION, "%s=%s is not UTF-8: encode it so", option->name,
                      weir__quote(shown, text));
}

static int set_text(weir_options *options, const weir__option *option, const weir_value *value,
                    weir_error *error) {
    const char *text = value->type == WEIR_TYPE_NULL ? NULL : value->as.bytes.data;
    if (value->type == WEIR_TYPE_TEXT && (!text || memchr(text, '\0', value->as.bytes.length)))
        return weir__fail(error, WEIR_EOPTION, "%s holds a NUL: give text without one", option->name);
    int code = check_text(option, text, error);
    if (code == WEIR_OK) *weir__option_text(options, option) = text;
    return code;
}

static int set_number(weir_options *options, const weir__option *option, const weir_value *value,
                      weir_error *error) {
    int64_t number = -1;
    int code = WEIR_OK;
    if (value->type == WEIR_TYPE_NULL) {
        if (!is_nullable(option)) code = fail_null(option, error);
    } else if (option->kind == WEIR_OPTION_FLAG) {
        number = value->as.boolean;
    } else if (option->kind == WEIR_OPTION_COUNT) {
        code = read_count(option, value, &number, error);
    } else {
        code = read_time(option, value, &number, error);
    }
    if (code == WEIR_OK) put_number(options, option, number);
    return code;
}

static bool takes(const weir__option *option, weir_type type) {
    if (type == WEIR_TYPE_NULL) return true;
    if (option->kind == WEIR_OPTION_FLAG) return type == WEIR_TYPE_BOOL;
    if (option->kind == WEIR_OPTION_TEXT) return type == WEIR_TYPE_TEXT;
    return type == WEIR_TYPE_INT || type == WEIR_TYPE_FLOAT;
}

int weir_options_set(weir_options *options, const char *name, const weir_value *value, weir_error *error) {
    if (!options || !name || !value)
        return weir__fail(error, WEIR_EINVAL,
                          "weir_options_set takes options, a name and a value: one is NULL");
    int code = weir__options_version(options, error);
    if (code != WEIR_OK) return code;
    const weir__option *option = weir__option_find(name);
    if (!option) return weir__option_unknown(name, error);
    if (!takes(option, value->type)) return fail_type(option, value->type, error);
    code = option->kind == WEIR_OPTION_TEXT ? set_text(options, option, value, error)
                                            : set_number(options, option, value, error);
    if (code == WEIR_OK) options->given |= bit(option);
    return code;
}

/* ---- checking all */

static int check_option(const weir_options *options, const weir__option *option, weir_error *error) {
    char shown[NUMBER_SIZE];
    if (option->kind == WEIR_OPTION_TEXT) return check_text(option, get_text(options, option), error);
    int64_t number = get_number(options, option);
    if (number == -1 && is_nullable(option)) return WEIR_OK;
    if (number == 0 && option->kind == WEIR_OPTION_TIME) return fail_zero(option, error);
    if (number >= option->least && number <= option->most) return WEIR_OK;
    return fail_range(option, show_number(shown, option, number), error);
}

/* Pairs of which the first may not be above the second. */
static const char *const orders[][2] = {{"min_size", "max_size"}, {"retry_min", "retry_max"}};
#define ORDERS (sizeof orders / sizeof *orders)

static int check_order(const weir_options *options, const char *low_name, const char *high_name,
                       weir_error *error) {
    const weir__option *low = weir__option_find(low_name), *high = weir__option_find(high_name);
    int64_t least = get_number(options, low), most = get_number(options, high);
    char shown[2][NUMBER_SIZE];
    if (least <= most || !weir__option_chosen(options, low)) return WEIR_OK; /* a default gives way */
    return weir__fail(error, WEIR_EOPTION, "%s=%s is above %s=%s%s: lower %s or raise %s", low_name,
                      show_number(shown[0], low, least), high_name, show_number(shown[1], high, most),
                      weir__option_chosen(options, high) ? "" : " (the default)", low_name, high_name);
}

void weir__options_settle(weir_options *options) {
    for (size_t i = 0; i < ORDERS; i++) {
        const weir__option *low = weir__option_find(orders[i][0]), *high = weir__option_find(orders[i][1]);
        if (get_number(options, low) > get_number(options, high) && !weir__option_chosen(options, low))
            put_number(options, low, get_number(options, high));
    }
}

int weir_options_check(const weir_options *options, weir_error *error) {
    if (!options) return weir__fail(error, WEIR_EINVAL, "weir_options_check takes options, not NULL");
    int code = weir__options_version(options, error);
    for (size_t row = 0; code == WEIR_OK && row < ROWS; row++)
        code = check_option(options, &rows[row], error);
    for (size_t i = 0; code == WEIR_OK && i < ORDERS; i++)
        code = check_order(options, orders[i][0], orders[i][1], error);
    return code;
}

/* ---- the table for bindings */

static weir_value initial_value(const weir__option *option) {
    weir_value value = {.type = WEIR_TYPE_NULL};
    if (option->kind == WEIR_OPTION_TEXT) {
        if (!option->initial_text) return value;
        value.type = WEIR_TYPE_TEXT;
        value.as.bytes.data = option->initial_text;
        value.as.bytes.length = strlen(option->initial_text);
    } else if (option->kind == WEIR_OPTION_FLAG) {
        value.type = WEIR_TYPE_BOOL;
        value.as.boolean = option->initial != 0;
    } else if (option->initial >= 0) {
        bool time = option->kind == WEIR_OPTION_TIME;
        value.type = time ? WEIR_TYPE_FLOAT : WEIR_TYPE_INT;
        if (time)
            value.as.real = (double)option->initial / 1000;
        else
            value.as.integer = option->initial;
    }
    return value;
}

bool weir_option_table(size_t row, weir_option_info *out) {
    const weir__option *option = weir__option_at(row);
    if (!option) return false;
    double unit = option->kind == WEIR_OPTION_TIME ? 1000 : 1;
    *out = (weir_option_info){option->name,
                              option->kind,
                              is_nullable(option),
                              initial_value(option),
                              (double)option->least / unit,
                              (double)option->most / unit,
                              option->choices,
                              option->text};
    return true;
}
