/* Options out of text, and names that come near to an option's. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "config/option.h"

#define LONGEST_NAME 32   /* a longer one is like no option */
#define LONGEST_NUMBER 40 /* bytes; keeps the parts below within a double */

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Damerau's and Levenshtein's distance, where two letters that changed places count once. */
static size_t distance(const char *a, const char *b) {
    size_t before[LONGEST_NAME + 1] = {0}, last[LONGEST_NAME + 1], now[LONGEST_NAME + 1] = {0};
    size_t rows = strlen(a), columns = strlen(b);
    for (size_t j = 0; j <= columns; j++) last[j] = j;
    for (size_t i = 1; i <= rows; i++) {
        now[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            now[j] = smaller(smaller(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller(now[j], before[j - 2] + 1);
        }
        memcpy(before, last, sizeof before);
        memcpy(last, now, sizeof last);
    }
    return last[columns];
}

/* NULL when none is near. */
static const weir__option *nearest(const char *name) {
    const weir__option *found = NULL;
    size_t best = strlen(name) / 2 + 1;
    if (strlen(name) > LONGEST_NAME) return NULL;
    for (size_t row = 0; weir__option_at(row); row++) {
        size_t far = distance(name, weir__option_at(row)->name);
        if (far >= best) continue;
        best = far;
        found = weir__option_at(row);
    }
    return found;
}

int weir__option_unknown(const char *name, weir_error *error) {
    char shown[WEIR__QUOTE_SIZE], all[1024] = "";
    const weir__option *near = nearest(name);
    weir__quote(shown, name);
    if (near)
        return weir__fail(error, WEIR_EOPTION, "unknown option %s: did you mean %s?", shown, near->name);
    size_t length = 0;
    for (size_t row = 0; weir__option_at(row) && length < sizeof all; row++)
        length += (size_t)snprintf(all + length, sizeof all - length, "%s%s", row ? ", " : "",
                                   weir__option_at(row)->name);
    return weir__fail(error, WEIR_EOPTION, "unknown option %s: there are %s", shown, all);
}

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
    bool time = option->kind == WEIR_OPTION_TIME;
    return weir__fail(error, WEIR_EOPTION, "%s=%s is no %s: write digits, such as %s%s", option->name, shown,
                      time ? "number of seconds" : "whole number", time ? "30 or 0.5" : "8",
                      option->nullable ? ", or none" : "");
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

bool weir__utf8_valid(const char *text, size_t length) {
    const unsigned char *at = (const unsigned char *)text, *end = at + length;
    while (at < end) {
        unsigned char first = *at++;
        if (first < 0x80) continue;
        if (first < 0xc2 || first > 0xf4) return false;
        int more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        if (end - at < more) return false;
        /* Overlong forms, surrogates and what lies above U+10FFFF show in the second byte. */
        unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (at[0] < low || at[0] > high) return false;
        for (int i = 1; i < more; i++)
            if (at[i] < 0x80 || at[i] > 0xbf) return false;
        at += more;
    }
    return true;
}
