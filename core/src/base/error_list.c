/* Lists of errors, as options have them: how SQLSTATEs begin, and names of classes, with commas between them.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

enum { LIST_MAX_BYTES = 2000 };

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

bool weir__error_is_listed(const char *list, const weir_error *error) {
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
    return weir__fail(
        error, WEIR_EOPTION, "%s=%s is neither the name of an error nor how a SQLSTATE begins: %s%s%s", name,
        weir__quote(shown, text),
        near ? "did you mean " : "give such as ConnectionLost, UniqueViolation, 08, with commas between them",
        near ? near : "", near ? "?" : "");
}

int weir__error_list_check(const char *name, const char *list, weir_error *error) {
    const char *item;
    size_t length;
    int code = WEIR_OK;
    if (strlen(list) > LIST_MAX_BYTES)
        return weir__fail(error, WEIR_EOPTION, "%s is %zu bytes long: give %d at most", name, strlen(list),
                          LIST_MAX_BYTES);
    while (code == WEIR_OK && (item = next_item(&list, &length)))
        code = check_item(name, item, length, error);
    return code;
}
