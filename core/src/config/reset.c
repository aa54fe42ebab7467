#include "config/reset.h"

#include <string.h>

#include "base/error.h"
#include "config/option.h"

#define TEXT_MAX 4096 /* bytes of either option */

weir__reset weir__reset_of(const char *option) {
    if (strcmp(option, "auto") == 0) return WEIR__RESET_AUTO;
    if (strcmp(option, "always") == 0) return WEIR__RESET_ALWAYS;
    if (strcmp(option, "never") == 0) return WEIR__RESET_NEVER;
    return WEIR__RESET_SQL;
}

int weir__reset_of_loan(const char *text, weir__reset *out, weir_error *error) {
    char shown[WEIR__QUOTE_SIZE];
    *out = text ? weir__reset_of(text) : WEIR__RESET_DEFAULT;
    if (*out != WEIR__RESET_SQL) return WEIR_OK;
    return weir__fail(error, WEIR_EINVAL,
                      "reset=\"%s\": give auto, always or never here; an SQL text is an option of the pool",
                      weir__quote(shown, text));
}

static int check_text(const char *name, const char *text, weir_error *error) {
    char shown[WEIR__QUOTE_SIZE];
    size_t length = strlen(text);
    if (length == 0 || length > TEXT_MAX)
        return weir__fail(error, WEIR_EOPTION, "%s is %zu bytes long: give 1 to %d, or leave it out", name,
                          length, TEXT_MAX);
    if (weir__utf8_valid(text, length)) return WEIR_OK;
    return weir__fail(error, WEIR_EOPTION, "%s=%s is not UTF-8: encode it so", name,
                      weir__quote(shown, text));
}

static const char blanks[] = " \t\r\n";

int weir__reset_check(const char *text, weir_error *error) {
    char shown[WEIR__QUOTE_SIZE];
    int code = check_text("reset", text, error);
    if (code != WEIR_OK || weir__reset_of(text) != WEIR__RESET_SQL) return code;
    /* No command that resets anything is a single word: it is one of the three, misspelt. */
    const char *at = text + strspn(text, blanks);
    at += strcspn(at, blanks);
    if (at[strspn(at, blanks)]) return WEIR_OK;
    return weir__fail(error, WEIR_EOPTION,
                      "reset=%s is none of its choices: give auto, always, never, or the SQL text that "
                      "resets a connection, such as DISCARD ALL",
                      weir__quote(shown, text));
}

const char *weir__reset_next_function(const char **list, size_t *length) {
    if (!*list) return NULL;
    const char *name = *list + strspn(*list, blanks);
    size_t size = strcspn(name, ",");
    *list = name[size] ? name + size + 1 : NULL;
    while (size && strchr(blanks, name[size - 1])) size--;
    *length = size;
    return name;
}

/* "set_tenant" or "app.set_tenant". */
static bool is_function(const char *name, size_t length) {
    int parts = 1;
    size_t begun = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
        if (c == '.') {
            if (begun == i) return false;
            parts++;
            begun = i + 1;
        } else if (!letter && !(c >= '0' && c <= '9' && i > begun)) {
            return false;
        }
    }
    return parts <= 2 && begun < length;
}

int weir__reset_functions_check(const char *text, weir_error *error) {
    int code = text ? check_text("reset_functions", text, error) : WEIR_OK;
    const char *name;
    size_t length;
    while (code == WEIR_OK && (name = weir__reset_next_function(&text, &length))) {
        if (is_function(name, length)) continue;
        char part[WEIR__QUOTE_SIZE] = "", shown[WEIR__QUOTE_SIZE];
        memcpy(part, name, length < sizeof part ? length : sizeof part - 1);
        code = weir__fail(error, WEIR_EOPTION,
                          "reset_functions: \"%s\" is no function's name: give names of letters, digits and "
                          "underscores, each with its schema or without, and commas between them",
                          weir__quote(shown, part));
    }
    return code;
}
