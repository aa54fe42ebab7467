/* Answers made of the question. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/statement.h"
#include "driver/fake/conn.h"

typedef struct echo {
    weir_result base;
    weir_statement *statement; /* counted: the values are borrowed from it */
    bool numbers;
} echo;

static const char *name_of(const weir_result *result, size_t column) {
    (void)column;
    return ((const echo *)result)->numbers ? "number" : "echo";
}

static int value_of(weir_result *result, size_t row, size_t column, weir_value *out) {
    const weir_statement *statement = ((echo *)result)->statement;
    (void)column;
    if (((echo *)result)->numbers) {
        out->type = WEIR_TYPE_INT;
        out->as.integer = (int64_t)row;
    } else if (statement->parameters > 0 && statement->sets > 0) {
        *out = weir__statement_set(statement, 0)[0];
    } else {
        out->type = WEIR_TYPE_TEXT;
        out->as.bytes.data = statement->sql;
        out->as.bytes.length = statement->sql_length;
    }
    return WEIR_OK;
}

static void free_echo(weir_result *result) {
    weir_statement_unref(((echo *)result)->statement);
    weir__free(result);
}

static const weir__result_class class_of_echo = {name_of, value_of, free_echo, NULL};

/* "rows 12" asked with "rows ": 12; -1 when it does not begin so. */
static long number_after(const weir_statement *statement, const char *word) {
    size_t length = strlen(word);
    if (strncmp(statement->sql, word, length) != 0) return -1;
    return strtol(statement->sql + length, NULL, 10);
}

weir_result *weir__fake_result(weir_statement *statement) {
    echo *own = weir__calloc(1, sizeof *own);
    if (!own) return NULL;
    long rows = number_after(statement, "rows ");
    own->base.class_ = &class_of_echo;
    own->statement = weir_statement_ref(statement);
    own->numbers = rows >= 0;
    own->base.rows = statement->many ? 0 : rows >= 0 ? (size_t)rows : 1;
    own->base.columns = statement->many ? 0 : 1;
    own->base.affected = statement->many ? (int64_t)statement->sets : (int64_t)own->base.rows;
    snprintf(own->base.tag, sizeof own->base.tag, "SELECT %lld", (long long)own->base.affected);
    return &own->base;
}

void weir__fake_obey(const weir_statement *statement, weir__fake_outcome *outcome) {
    long sleep = number_after(statement, "sleep ");
    if (sleep >= 0) *outcome = (weir__fake_outcome){WEIR__FAKE_OK, "", sleep * WEIR__MS};
    if (strncmp(statement->sql, "hang", 4) == 0) outcome->kind = WEIR__FAKE_HANG;
    if (strncmp(statement->sql, "lose", 4) == 0) outcome->kind = WEIR__FAKE_LOSE;
    if (strncmp(statement->sql, "fail ", 5) == 0) {
        outcome->kind = WEIR__FAKE_FAIL;
        snprintf(outcome->sqlstate, sizeof outcome->sqlstate, "%.5s", statement->sql + 5);
    }
}
