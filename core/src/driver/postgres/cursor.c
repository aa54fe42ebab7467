/*
 * Reading a result by and by: a cursor within the transaction. Its name goes by the statement's text, so that
 * the same stream has the same texts each time, and finds its statements prepared and their types known.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "driver/postgres/pg.h"

static weir_statement *declaration(const weir_statement *statement, const char *name, int *offset,
                                   weir_error *error) {
    weir__buffer text = WEIR__BUFFER_INIT;
    weir_statement *open = NULL;
    weir__buffer_printf(&text, "DECLARE %s NO SCROLL CURSOR FOR ", name);
    *offset = (int)text.length;
    weir__buffer_append(&text, statement->sql, statement->sql_length);
    const char *sql = weir__buffer_string(&text);
    if (sql)
        open = weir_statement_new(sql, text.length, error);
    else
        weir__fail(error, WEIR_ENOMEM, "out of memory");
    for (size_t i = 0; i < statement->parameters; i++)
        weir_statement_add(open, &weir__statement_set(statement, 0)[i]);
    weir__buffer_free(&text);
    return open;
}

int weir__pg_cursor(const weir_statement *statement, unsigned number, size_t rows, weir__cursor *out,
                    weir_error *error) {
    weir_error own = WEIR_ERROR_INIT;
    char name[32], fetch[64];
    if (!weir__pg_is_query(statement))
        return weir__fail(
            error, WEIR_EINVAL,
            "only SELECT, VALUES, TABLE and WITH ... SELECT can be streamed: run other statements by "
            "execute or fetch");
    snprintf(name, sizeof name, "weir_%016llx_%u", (unsigned long long)statement->hash, number);
    snprintf(out->close, sizeof out->close, "CLOSE %s", name);
    int length = snprintf(fetch, sizeof fetch, "FETCH FORWARD %zu FROM %s", rows, name);
    out->open = declaration(statement, name, &out->offset, &own);
    out->fetch = out->open ? weir_statement_new(fetch, (size_t)length, &own) : NULL;
    if (out->fetch && weir__statement_check(out->open, &own) == WEIR_OK) return WEIR_OK;
    int code = own.code;
    if (error) {
        weir_error_clear(error);
        *error = own;
    } else {
        weir_error_clear(&own);
    }
    return code;
}
