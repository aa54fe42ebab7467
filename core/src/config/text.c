/* Options out of text. */
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "config/option.h"

#define LONGEST_NUMBER 40 /* bytes; keeps the parts below within a double */

/* A decimal number, "12" or "-0.5": no exponent, no spaces, and no locale's comma. */
static bool read_number(const char *text, double *number) {
    if (strlen(text) > LONGEST_NUMBER) return false;
    double sign = *text == '-' ? -1 : 1, whole = 0, scale = 1;
    bool digits = false;
    if (*text == '-' || *text == '+') text++;
    for (; *text >= '0' && *text <= '9'; text++, digits = true) whole = whole * 10 + (*text - '0');
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9'; text++, digits = true) {
            whole = whole * 10 + (*text - '0');
            scale *= 10;
        }
    *number = sign * whole / scale;
    return digits && !*text;
}

static bool read_flag(const char *text, bool *flag) {
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i]) != 0) continue;
        *flag = i % 2;
        return true;
    }
    return false;
}

static int fail_unread(const weir__option *option, const char *text, weir_error *error) {
    char shown[WEIR__QUOTE_SIZE];
    weir__quote(shown, text);
    if (option->kind == WEIR_OPTION_FLAG)
        return weir__fail(error, WEIR_EOPTION,
                          "%s=%s is neither true nor false: write true, false, 1, 0, yes, no, on or off",
                          option->name, shown);
    static const char *const wanted[][2] = {[WEIR_OPTION_COUNT] = {"whole number", "8"},
                                            [WEIR_OPTION_TIME] = {"number of seconds", "30 or 0.5"},
                                            [WEIR_OPTION_RATIO] = {"ratio", "0.5"}};
    return weir__fail(error, WEIR_EOPTION, "%s=%s is no %s: write digits, such as %s%s", option->name, shown,
                      wanted[option->kind][0], wanted[option->kind][1], option->nullable ? ", or none" : "");
}

int weir_options_set_text(weir_options *options, const char *name, const char *text, weir_error *error) {
    if (!options || !name || !text)
        return weir__fail(error, WEIR_EINVAL,
                          "weir_options_set_text takes options, a name and a text: one is NULL");
    int code = weir__options_version(options, error);
    if (code != WEIR_OK) return code;
    const weir__option *option = weir__option_find(name);
    weir_value value = {.type = WEIR_TYPE_NULL};
    if (!option) return weir__option_unknown(name, error);
    if (option->kind == WEIR_OPTION_TEXT) {
        value.type = WEIR_TYPE_TEXT;
        value.as.bytes.data = text;
        value.as.bytes.length = strlen(text);
    } else if (option->kind == WEIR_OPTION_FLAG) {
        value.type = WEIR_TYPE_BOOL;
        if (!read_flag(text, &value.as.boolean)) return fail_unread(option, text, error);
    } else if (strcasecmp(text, "none") != 0 && strcasecmp(text, "null") != 0) {
        value.type = WEIR_TYPE_FLOAT;
        if (!read_number(text, &value.as.real)) return fail_unread(option, text, error);
    }
    return weir_options_set(options, name, &value, error);
}
