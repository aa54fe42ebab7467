#include "config/environment.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/option.h"

static const struct {
    const char *variable, *option;
} variables[] = {
#define ROW(variable, option) {variable, option},
    WEIR_VARIABLES(ROW)
#undef ROW
};
#define ROWS (sizeof variables / sizeof *variables)

const char *weir_option_variable(const char *option, size_t n) {
    for (size_t row = 0; option && row < ROWS; row++)
        if (strcmp(variables[row].option, option) == 0 && n-- == 0) return variables[row].variable;
    return NULL;
}

const char *weir__environment_get(const char *option, const char **variable) {
    for (size_t n = 0; (*variable = weir_option_variable(option, n)); n++) {
        const char *value = getenv(*variable);
        if (value && *value) return value;
    }
    return NULL;
}

int weir__environment_blame(const char *variable, int code, weir_error *error) {
    if (!error || code != WEIR_EOPTION) return code;
    return weir__fail(error, code, "%s in the environment: %s", variable, error->message);
}

int weir__environment_merge(weir_options *options, weir_error *error) {
    const weir__option *option;
    const char *variable;
    for (size_t row = 0; (option = weir__option_at(row)); row++) {
        if (weir__option_chosen(options, option)) continue;
        const char *value = weir__environment_get(option->name, &variable);
        if (!value) continue;
        int code = weir_options_set_text(options, option->name, value, error);
        if (code != WEIR_OK) return weir__environment_blame(variable, code, error);
        weir__option_looked_up(options, option);
    }
    return WEIR_OK;
}
