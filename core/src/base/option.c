#include "base/option.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

#define NAME_MAX_BYTES 200 /* of a text without choices: it stands in every log line */

/* ---- fields */

const weir__option *weir__option_named(const weir__option_table *table, const char *name) {
    for (size_t row = 0; row < table->count; row++)
        if (strcmp(table->rows[row].name, name) == 0) return &table->rows[row];
    return NULL;
}

const char **weir__option_text(void *options, const weir__option *option) {
    return (const char **)((char *)options + option->offset);
}

static const char *get_text(const void *options, const weir__option *option) {
    return *(const char *const *)((const char *)options + option->offset);
}

int64_t weir__option_number(const void *options, const weir__option *option) {
    const char *field = (const char *)options + option->offset;
    if (option->kind == WEIR_OPTION_COUNT) return *(const int *)field;
    if (option->kind == WEIR_OPTION_TIME) return *(const int64_t *)field;
    if (option->kind == WEIR_OPTION_FLAG) return *(const bool *)field;
    double ratio = *(const double *)field;
    if (ratio == -1) return -1;
    return ratio >= 0 && ratio <= 1 ? (int64_t)(ratio * WEIR__RATIO_ONE + 0.5) : INT64_MIN;
}

void weir__option_put(void *options, const weir__option *option, int64_t number) {
    char *field = (char *)options + option->offset;
    if (option->kind == WEIR_OPTION_COUNT) *(int *)field = (int)number;
    if (option->kind == WEIR_OPTION_TIME) *(int64_t *)field = number;
    if (option->kind == WEIR_OPTION_FLAG) *(bool *)field = number != 0;
    if (option->kind == WEIR_OPTION_RATIO)
        *(double *)field = number < 0 ? -1 : (double)number / WEIR__RATIO_ONE;
}

void weir__option_defaults(const weir__option_table *table, void *options) {
    for (size_t row = 0; row < table->count; row++) {
        const weir__option *option = &table->rows[row];
        if (option->kind == WEIR_OPTION_TEXT)
            *weir__option_text(options, option) = option->initial_text;
        else
            weir__option_put(options, option, option->initial);
    }
}

bool weir__option_differs(const void *options, const weir__option *option) {
    if (option->kind != WEIR_OPTION_TEXT) return weir__option_number(options, option) != option->initial;
    const char *text = get_text(options, option), *initial = option->initial_text;
    return text != initial && (!text || !initial || strcmp(text, initial) != 0);
}

/* A TEXT may be none when that is its default. */
static bool is_nullable(const weir__option *option) {
    return option->kind == WEIR_OPTION_TEXT ? !option->initial_text : option->nullable;
}

/* How many of C's units are one of the caller's. */
static int64_t unit_of(const weir__option *option) {
    if (option->kind == WEIR_OPTION_TIME) return 1000;
    return option->kind == WEIR_OPTION_RATIO ? WEIR__RATIO_ONE : 1;
}

/* ---- messages */

enum { RANGE_SIZE = 128 };

const char *weir__option_show(char out[WEIR__NUMBER_SIZE], const weir__option *option, int64_t number) {
    int64_t unit = unit_of(option);
    uint64_t size = number < 0 ? -(uint64_t)number : (uint64_t)number;
    int length = snprintf(out, WEIR__NUMBER_SIZE, "%s%llu", number < 0 ? "-" : "",
                          (unsigned long long)(size / (uint64_t)unit));
    if (unit == 1) return out;
    length += snprintf(out + length, (size_t)(WEIR__NUMBER_SIZE - length), ".%0*u", unit == 1000 ? 3 : 6,
                       (unsigned)(size % (uint64_t)unit));
    while (out[length - 1] == '0') out[--length] = '\0';
    if (out[length - 1] == '.') out[--length] = '\0';
    return out;
}

/* "from 1 to 10000", "from 0.001 to 86400 seconds, or none (null) to switch it off" */
static const char *show_range(char out[RANGE_SIZE], const weir__option *option) {
    char least[WEIR__NUMBER_SIZE], most[WEIR__NUMBER_SIZE];
    bool time = option->kind == WEIR_OPTION_TIME;
    const char *none = option->kind == WEIR_OPTION_COUNT ? ", or none (null) for no limit"
                                                         : ", or none (null) to switch it off";
    snprintf(out, RANGE_SIZE, "from %s to %s%s%s", weir__option_show(least, option, option->least),
             weir__option_show(most, option, option->most), time ? " seconds" : "",
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
    case WEIR_OPTION_RATIO:
        return "a ratio from 0 to 1";
    case WEIR_OPTION_TEXT:
        return option->choices ? option->choices : "text";
    }
    return "nothing";
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

static const char *name_at(const void *table, size_t row) {
    const weir__option_table *options = table;
    return row < options->count ? options->rows[row].name : NULL;
}

int weir__option_no_name(const weir__option_table *table, const char *name, weir_error *error) {
    char shown[WEIR__QUOTE_SIZE], all[1024] = "";
    const char *near = weir__nearest(name, name_at, table);
    weir__quote(shown, name);
    if (near) return weir__fail(error, WEIR_EOPTION, "unknown option %s: did you mean %s?", shown, near);
    size_t length = 0;
    for (size_t row = 0; row < table->count && length < sizeof all; row++)
        length += (size_t)snprintf(all + length, sizeof all - length, "%s%s", row ? ", " : "",
                                   table->rows[row].name);
    return weir__fail(error, WEIR_EOPTION, "unknown option %s: there are %s", shown, all);
}

/* ---- setting one option */

static int read_count(const weir__option *option, const weir_value *value, int64_t *number,
                      weir_error *error) {
    char shown[WEIR__NUMBER_SIZE];
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
        return fail_range(option, weir__option_show(shown, option, whole), error);
    *number = whole;
    return WEIR_OK;
}

static int read_time(const weir__option *option, const weir_value *value, int64_t *number,
                     weir_error *error) {
    char shown[WEIR__NUMBER_SIZE];
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

static int read_ratio(const weir__option *option, const weir_value *value, int64_t *number,
                      weir_error *error) {
    char shown[WEIR__NUMBER_SIZE];
    double ratio = value->type == WEIR_TYPE_INT ? (double)value->as.integer : value->as.real;
    if (ratio >= 0 && ratio <= 1) {
        *number = (int64_t)(ratio * WEIR__RATIO_ONE + 0.5);
        if (*number >= option->least && *number <= option->most) return WEIR_OK;
    }
    snprintf(shown, sizeof shown, "%.9g", ratio);
    return fail_range(option, shown, error);
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

int weir__option_plain_text(const weir__option *option, const char *text, weir_error *error) {
    char shown[WEIR__QUOTE_SIZE];
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

static int check_text(const weir__option_table *table, const weir__option *option, const char *text,
                      weir_error *error) {
    char shown[WEIR__QUOTE_SIZE];
    if (!text) return is_nullable(option) ? WEIR_OK : fail_null(option, error);
    if (!option->choices)
        return (table->check_text ? table->check_text : weir__option_plain_text)(option, text, error);
    if (is_choice(option->choices, text)) return WEIR_OK;
    return weir__fail(error, WEIR_EOPTION, "%s=%s is none of its choices: give %s", option->name,
                      weir__quote(shown, text), option->choices);
}

static int set_text(const weir__option_table *table, void *options, const weir__option *option,
                    const weir_value *value, weir_error *error) {
    const char *text = value->type == WEIR_TYPE_NULL ? NULL : value->as.bytes.data;
    if (value->type == WEIR_TYPE_TEXT && (!text || memchr(text, '\0', value->as.bytes.length)))
        return weir__fail(error, WEIR_EOPTION, "%s holds a NUL: give text without one", option->name);
    int code = check_text(table, option, text, error);
    if (code == WEIR_OK) *weir__option_text(options, option) = text;
    return code;
}

static int set_number(void *options, const weir__option *option, const weir_value *value, weir_error *error) {
    int64_t number = -1;
    int code = WEIR_OK;
    if (value->type == WEIR_TYPE_NULL) {
        if (!is_nullable(option)) code = fail_null(option, error);
    } else if (option->kind == WEIR_OPTION_FLAG) {
        number = value->as.boolean;
    } else if (option->kind == WEIR_OPTION_COUNT) {
        code = read_count(option, value, &number, error);
    } else if (option->kind == WEIR_OPTION_RATIO) {
        code = read_ratio(option, value, &number, error);
    } else {
        code = read_time(option, value, &number, error);
    }
    if (code == WEIR_OK) weir__option_put(options, option, number);
    return code;
}

static bool takes(const weir__option *option, weir_type type) {
    if (type == WEIR_TYPE_NULL) return true;
    if (option->kind == WEIR_OPTION_FLAG) return type == WEIR_TYPE_BOOL;
    if (option->kind == WEIR_OPTION_TEXT) return type == WEIR_TYPE_TEXT;
    return type == WEIR_TYPE_INT || type == WEIR_TYPE_FLOAT;
}

int weir__option_set(const weir__option_table *table, void *options, const weir__option *option,
                     const weir_value *value, weir_error *error) {
    if (!takes(option, value->type)) return fail_type(option, value->type, error);
    return option->kind == WEIR_OPTION_TEXT ? set_text(table, options, option, value, error)
                                            : set_number(options, option, value, error);
}

/* ---- checking all */

static int check_option(const weir__option_table *table, const void *options, const weir__option *option,
                        weir_error *error) {
    char shown[WEIR__NUMBER_SIZE];
    if (option->kind == WEIR_OPTION_TEXT) return check_text(table, option, get_text(options, option), error);
    int64_t number = weir__option_number(options, option);
    if (number == -1 && is_nullable(option)) return WEIR_OK;
    if (number == 0 && option->kind == WEIR_OPTION_TIME) return fail_zero(option, error);
    if (number >= option->least && number <= option->most) return WEIR_OK;
    weir__option_show(shown, option, number);
    if (option->kind == WEIR_OPTION_RATIO)
        snprintf(shown, sizeof shown, "%.9g", *(const double *)((const char *)options + option->offset));
    return fail_range(option, shown, error);
}

int weir__option_check_all(const weir__option_table *table, const void *options, weir_error *error) {
    int code = WEIR_OK;
    for (size_t row = 0; code == WEIR_OK && row < table->count; row++)
        code = check_option(table, options, &table->rows[row], error);
    return code;
}

/* ---- the table for bindings */

static weir_value text_value(const char *text) {
    weir_value value = {.type = WEIR_TYPE_NULL};
    if (!text) return value;
    value.type = WEIR_TYPE_TEXT;
    value.as.bytes.data = text;
    value.as.bytes.length = strlen(text);
    return value;
}

static weir_value number_value(const weir__option *option, int64_t number) {
    weir_value value = {.type = WEIR_TYPE_NULL};
    if (option->kind == WEIR_OPTION_FLAG) {
        value.type = WEIR_TYPE_BOOL;
        value.as.boolean = number != 0;
    } else if (number >= 0) {
        bool count = option->kind == WEIR_OPTION_COUNT;
        value.type = count ? WEIR_TYPE_INT : WEIR_TYPE_FLOAT;
        if (!count)
            value.as.real = (double)number / (double)unit_of(option);
        else
            value.as.integer = number;
    }
    return value;
}

weir_value weir__option_value(const void *options, const weir__option *option) {
    if (option->kind == WEIR_OPTION_TEXT) return text_value(get_text(options, option));
    return number_value(option, weir__option_number(options, option));
}

static weir_value initial_value(const weir__option *option) {
    if (option->kind == WEIR_OPTION_TEXT) return text_value(option->initial_text);
    return number_value(option, option->initial);
}

void weir__option_describe(const weir__option *option, weir_option_info *out) {
    double unit = (double)unit_of(option);
    *out = (weir_option_info){option->name,
                              option->kind,
                              is_nullable(option),
                              initial_value(option),
                              (double)option->least / unit,
                              (double)option->most / unit,
                              option->choices,
                              option->text};
}
