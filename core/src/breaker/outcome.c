/* What an error says about what was called. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "breaker/breaker.h"

static const struct {
    int code;
    weir_outcome outcome;
} code_rows[] = {
#define CODE(suffix, outcome) {WEIR_##suffix, WEIR_OUTCOME_##outcome},
#define SQLSTATE(prefix, outcome)
    WEIR_BREAKER_OUTCOMES(CODE, SQLSTATE)
#undef CODE
#undef SQLSTATE
};

static const struct {
    const char *prefix;
    weir_outcome outcome;
} sqlstate_rows[] = {
#define CODE(suffix, outcome)
#define SQLSTATE(prefix, outcome) {prefix, WEIR_OUTCOME_##outcome},
    WEIR_BREAKER_OUTCOMES(CODE, SQLSTATE)
#undef CODE
#undef SQLSTATE
};

static weir_outcome of_sqlstate(const char *sqlstate) {
    weir_outcome outcome = WEIR_OUTCOME_SUCCESS;
    size_t longest = 0;
    for (size_t i = 0; i < sizeof sqlstate_rows / sizeof *sqlstate_rows; i++) {
        size_t length = strlen(sqlstate_rows[i].prefix);
        if (length <= longest || strncmp(sqlstate, sqlstate_rows[i].prefix, length) != 0) continue;
        longest = length;
        outcome = sqlstate_rows[i].outcome;
    }
    return outcome;
}

static weir_outcome of_error(const weir_error *error) {
    if (error->code == WEIR_OK) return WEIR_OUTCOME_FAILURE; /* the host's own */
    if (error->code == WEIR_ESERVER) return of_sqlstate(error->sqlstate);
    for (size_t i = 0; i < sizeof code_rows / sizeof *code_rows; i++)
        if (code_rows[i].code == error->code) return code_rows[i].outcome;
    return WEIR_OUTCOME_IGNORED;
}

static bool is_named(const char *list, const weir_error *error, bool said) {
    return said || weir__error_is_listed(list, error);
}

weir_outcome weir__breaker_classify(const weir__breaker *breaker, const weir_error *error,
                                    weir_verdict verdict) {
    if (!error || (error->code == WEIR_OK && !error->message)) return WEIR_OUTCOME_SUCCESS;
    if (is_named(breaker->ignore, error, verdict == WEIR_VERDICT_IGNORE)) return WEIR_OUTCOME_IGNORED;
    if (is_named(breaker->record, error, verdict == WEIR_VERDICT_RECORD)) return WEIR_OUTCOME_FAILURE;
    return of_error(error);
}

void weir__breaker_describe(const weir_error *error, char *out, size_t size) {
    if (!error) {
        snprintf(out, size, "%s", "unknown");
        return;
    }
    const char *class =
        error->code == WEIR_ESERVER ? weir_sqlstate_class(error->sqlstate) : weir_error_class(error->code);
    const char *message = error->message ? error->message : class ? weir_error_text(error->code) : "unknown";
    int length = snprintf(out, size, "%s%s%s", class ? class : "", class ? ": " : "", message);
    if ((size_t)length >= size) out[weir__whole_characters(out, size - 1)] = '\0';
}
