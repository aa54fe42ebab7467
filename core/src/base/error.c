#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <weirpool/sqlstate.def.h>

#include "base/alloc.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const weir_error_info error_rows[] = {
#define ROW(suffix, value, cls, parent, retryable, text)                                                     \
    [(value)-1] = {WEIR_##suffix, NULL, #cls, #parent, NULL},
    WEIR_ERRORS(ROW)
#undef ROW
};

static const struct {
    const char *name, *text;
    bool retryable;
} error_traits[] = {
#define ROW(suffix, value, cls, parent, retryable, text) [(value)-1] = {#suffix, text, retryable},
    WEIR_ERRORS(ROW)
#undef ROW
};

/* Sorted by sqlstate. */
static const weir_error_info sqlstate_rows[] = {
#define ROW(sqlstate, cls, parent) {WEIR_ESERVER, sqlstate, #cls, #parent, NULL},
    WEIR_SQLSTATES(ROW)
#undef ROW
};

static const struct {
    const char *name, *parent;
} second_parents[] = {
#define ROW(cls, parent) {#cls, #parent},
    WEIR_ERRORS_ALSO(ROW)
#undef ROW
};

static const struct {
    char prefix[3];
    const char *parent;
} sqlstate_classes[] = {
#define ROW(prefix, parent) {prefix, #parent},
    WEIR_SQLSTATE_CLASSES(ROW)
#undef ROW
};

/* Errors for when there is no memory for an error. They are shared by all threads and never written. */
static weir_error fixed_errors[] = {
    {WEIR_ENOMEM, true, "", 0, -1, "out of memory", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL},
    {WEIR_ENOMEM, false, "", 0, -1, "out of memory", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL},
    {WEIR_EINTERNAL, false, "", 0, -1, "internal error of weirpool", NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, 0, NULL},
};

enum { NO_MEMORY, NO_MEMORY_AND_NO_REPEAT, NO_ERROR_GIVEN };

static bool is_fixed(const weir_error *error) {
    for (size_t i = 0; i < COUNT(fixed_errors); i++)
        if (error == &fixed_errors[i]) return true;
    return false;
}

static bool in_table(int code) { return code > 0 && (size_t)code <= COUNT(error_rows); }

const char *weir_error_class(int code) { return in_table(code) ? error_rows[code - 1].name : NULL; }

const char *weir_error_name(int code) { return in_table(code) ? error_traits[code - 1].name : NULL; }

const char *weir_error_text(int code) {
    if (in_table(code)) return error_traits[code - 1].text;
    return code == WEIR_OK ? "success" : "not an error code";
}

static bool is_retryable(int code) { return in_table(code) && error_traits[code - 1].retryable; }

bool weir_error_table(size_t row, weir_error_info *out) {
    if (row >= COUNT(error_rows) + COUNT(sqlstate_rows)) return false;
    *out = row < COUNT(error_rows) ? error_rows[row] : sqlstate_rows[row - COUNT(error_rows)];
    for (size_t i = 0; i < COUNT(second_parents); i++)
        if (strcmp(second_parents[i].name, out->name) == 0) out->also = second_parents[i].parent;
    return true;
}

const weir_error_info *weir__sqlstate_find(const char *sqlstate) {
    size_t low = 0, high = COUNT(sqlstate_rows);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(sqlstate, sqlstate_rows[middle].sqlstate, 5);
        if (order == 0) return &sqlstate_rows[middle];
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const char *weir_sqlstate_class(const char *sqlstate) {
    if (!sqlstate || strnlen(sqlstate, 6) != 5) return "DatabaseError";
    const weir_error_info *row = weir__sqlstate_find(sqlstate);
    if (row) return row->name;
    for (size_t i = 0; i < COUNT(sqlstate_classes); i++)
        if (memcmp(sqlstate, sqlstate_classes[i].prefix, 2) == 0) return sqlstate_classes[i].parent;
    return "DatabaseError";
}

void weir_error_clear(weir_error *error) {
    if (!error || is_fixed(error)) return;
    weir__free(error->owned);
    *error = (weir_error)WEIR_ERROR_INIT;
}

void weir_error_free(weir_error *error) {
    if (!error || is_fixed(error)) return;
    weir_error_clear(error);
    weir__free(error);
}

enum { TEXTS = 9 };

/* Copies the texts into one block; without memory the code's general text is the message. For new errors. */
static void set_texts(weir_error *error, const char *const texts[TEXTS]) {
    const char **const fields[TEXTS] = {&error->message, &error->severity,   &error->detail,
                                        &error->hint,    &error->schema,     &error->table,
                                        &error->column,  &error->constraint, &error->context};
    size_t total = 0, sizes[TEXTS];
    for (int i = 0; i < TEXTS; i++) {
        sizes[i] = texts[i] ? strlen(texts[i]) + 1 : 0;
        total += sizes[i];
    }
    char *block = total ? weir__malloc(total) : NULL;
    error->owned = block;
    for (int i = 0; block && i < TEXTS; i++) {
        if (!sizes[i]) continue;
        *fields[i] = memcpy(block, texts[i], sizes[i]);
        block += sizes[i];
    }
    if (!error->message && error->code != WEIR_OK) error->message = weir_error_text(error->code);
}

/* The old content goes only now, because the new may have been made from it. */
static int replace(weir_error *error, const weir_error *fresh) {
    weir_error_clear(error);
    *error = *fresh;
    return fresh->code;
}

int weir__fail(weir_error *error, int code, const char *format, ...) {
    if (!error) return code;
    weir_error fresh = WEIR_ERROR_INIT;
    fresh.code = code;
    fresh.retryable = is_retryable(code);
    fresh.message = weir_error_text(code);
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length >= 0 ? weir__malloc((size_t)length + 1) : NULL;
    if (text) {
        vsnprintf(text, (size_t)length + 1, format, again);
        fresh.message = fresh.owned = text;
    }
    va_end(again);
    return replace(error, &fresh);
}

static bool is_retryable_sqlstate(const char *sqlstate) {
    static const char *const prefixes[] = {"08",    "53",    "40001", "40P01", "55P03",
                                           "57P01", "57P02", "57P03", "57P04", "57P05"};
    for (size_t i = 0; i < COUNT(prefixes); i++)
        if (strncmp(sqlstate, prefixes[i], strlen(prefixes[i])) == 0) return true;
    return false;
}

int weir__fail_report(weir_error *error, const weir__report *report) {
    weir_error fresh = WEIR_ERROR_INIT;
    if (report->sqlstate) strncpy(fresh.sqlstate, report->sqlstate, sizeof fresh.sqlstate - 1);
    fresh.code = strcmp(fresh.sqlstate, "55P03") == 0 ? WEIR_ELOCKTIMEOUT : WEIR_ESERVER;
    if (!error) return fresh.code;
    fresh.retryable = is_retryable_sqlstate(fresh.sqlstate);
    fresh.position = report->position;
    const char *const texts[TEXTS] = {report->message, report->severity,   report->detail,
                                      report->hint,    report->schema,     report->table,
                                      report->column,  report->constraint, report->context};
    set_texts(&fresh, texts);
    return replace(error, &fresh);
}

int weir__fail_chain(weir_error *error) {
    const weir__report report = {
        .severity = "ERROR",
        .sqlstate = "25P02",
        .message = "it was not run, since an earlier statement of the transaction has failed"};
    return weir__fail_report(error, &report);
}

int weir__error_copy(weir_error *to, const weir_error *from) {
    if (!to || to == from) return from->code;
    weir_error fresh = *from;
    const char *const texts[TEXTS] = {from->message, from->severity,   from->detail,
                                      from->hint,    from->schema,     from->table,
                                      from->column,  from->constraint, from->context};
    fresh.message = fresh.severity = fresh.detail = fresh.hint = NULL;
    fresh.schema = fresh.table = fresh.column = fresh.constraint = fresh.context = NULL;
    set_texts(&fresh, texts);
    return replace(to, &fresh);
}

weir_error *weir__error_detach(weir_error *error) {
    if (!error) return &fixed_errors[NO_ERROR_GIVEN];
    weir_error *moved = weir__malloc(sizeof *moved);
    if (!moved) {
        bool repeat =
            error->retryable; /* what could not be undone is not to be done again for lack of memory */
        weir_error_clear(error);
        return &fixed_errors[repeat ? NO_MEMORY : NO_MEMORY_AND_NO_REPEAT];
    }
    *moved = *error;
    *error = (weir_error)WEIR_ERROR_INIT;
    return moved;
}
