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
    if (error->code == WEIR_ESERVER) return of_sqlstate(error->sqlstate);
    for (size_t i = 0; i < sizeof code_rows / sizeof *code_rows; i++)
        if (code_rows[i].code == error->code) return code_rows[i].outcome;
    return WEIR_OUTCOME_IGNORED;
}

/* ---- names of errors */

static const char *name_at(const void *unused, size_t row) {
    static const char *const pep249[] = {
        "Error",          "InterfaceError",   "DatabaseError", "DataError",        "OperationalError",
        "IntegrityError", "ProgrammingError", "InternalError", "NotSupportedError"};
    (void)unused;
    weir_error_info info;
    if (row < sizeof pep249 / sizeof *pep249) return pep249[row];
    return weir_error_table(row - sizeof pep249 / sizeof *pep249, &info) ? info.name : NULL;
}

/* The class above; NULL above "Error". Those of PEP 249 are in the table only where a code has them. */
static const char *parent_of(const char *name, const char **also) {
    weir_error_info info;
    *also = NULL;
    if (strcmp(name, "Error") == 0) return NULL;
    if (strcmp(name, "DatabaseError") == 0 || strcmp(name, "InterfaceError") == 0) return "Error";
    for (size_t row = 0; weir_error_table(row, &info); row++) {
        if (strcmp(info.name, name) != 0) continue;
        *also = info.also;
        return info.parent;
    }
    return "DatabaseError";
}

static bool is_below(const char *name, const char *item, size_t length) {
    const char *also;
    while (name) {
        if (strlen(name) == length && memcmp(name, item, length) == 0) return true;
        name = parent_of(name, &also);
        if (also && is_below(also, item, length)) return true;
    }
    return false;
}

/* ---- lists */

/* The next item, without the blanks around it; NULL at the end. */
static const char *next_item(const char **list, size_t *length) {
    const char *item = *list;
    if (!item) return NULL;
    size_t whole = strcspn(item, ",");
    *list = item[whole] ? item + whole + 1 : NULL;
    while (whole && *item == ' ') item++, whole--;
    while (whole && item[whole - 1] == ' ') whole--;
    *length = whole;
    return item;
}

static bool is_prefix(const char *item, size_t length) {
    return length >= 2 && length <= 5 && strspn(item, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") >= length;
}

static bool is_named(const weir_error *error, const char *item, size_t length) {
    if (is_prefix(item, length)) return strncmp(error->sqlstate, item, length) == 0;
    if (*error->sqlstate && is_below(weir_sqlstate_class(error->sqlstate), item, length)) return true;
    return error->code != WEIR_ESERVER && is_below(weir_error_class(error->code), item, length);
}

static bool is_listed(const char *list, const weir_error *error) {
    const char *item;
    size_t length;
    while ((item = next_item(&list, &length)))
        if (is_named(error, item, length)) return true;
    return false;
}

static int check_item(const char *name, const char *item, size_t length, weir_error *error) {
    char text[WEIR__QUOTE_SIZE] = "", shown[WEIR__QUOTE_SIZE];
    const char *known;
    if (is_prefix(item, length)) return WEIR_OK;
    for (size_t row = 0; (known = name_at(NULL, row)); row++)
        if (strlen(known) == length && memcmp(known, item, length) == 0) return WEIR_OK;
    snprintf(text, sizeof text, "%.*s", (int)(length < sizeof text ? length : sizeof text - 1), item);
    const char *near = weir__nearest(text, name_at, NULL);
    return weir__fail(error, WEIR_EOPTION,
                      "%s=%s is neither the name of an error nor how a SQLSTATE begins: give %s%s%s, with "
                      "commas between them",
                      name, weir__quote(shown, text), near ? near : "ConnectionLost",
                      near ? "" : ", UniqueViolation", near ? "" : ", 08");
}

int weir__breaker_check_list(const char *name, const char *list, weir_error *error) {
    const char *item;
    size_t length;
    int code = WEIR_OK;
    while (code == WEIR_OK && (item = next_item(&list, &length)))
        code = check_item(name, item, length, error);
    return code;
}

/* ---- */

weir_outcome weir__breaker_classify(const weir__breaker *breaker, const weir_error *error) {
    if (!error || error->code == WEIR_OK) return WEIR_OUTCOME_SUCCESS;
    if (is_listed(breaker->ignore, error)) return WEIR_OUTCOME_IGNORED;
    if (is_listed(breaker->record, error)) return WEIR_OUTCOME_FAILURE;
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
    if ((size_t)length < size) return;
    size_t end = size - 1;
    while (end && !weir__utf8_valid(out, end)) end--; /* at most three bytes of a character that was cut */
    out[end] = '\0';
}
