/* One query from C: opens a pool on SQLite in memory, asks, prints, closes. Blocking: every operation is
 * waited for. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <weirpool/weirpool.h>

/* Waits for what a call has started; code is what the call returned. */
static int finish(weir_reactor *reactor, int code, weir_op op, weir_completion *out) {
    if (code == WEIR_PENDING) {
        do code = weir_reactor_wait(reactor, op, -1, out);
        while (code == WEIR_INTERRUPTED);
        if (code == WEIR_OK) code = out->code;
    }
    return code;
}

int main(void) {
    static const char sql[] = "select 'hello from SQLite', 40 + $1";
    weir_error error = WEIR_ERROR_INIT;
    weir_completion done = {0};
    weir_reactor *reactor = NULL;
    weir_pool *pool = NULL;
    weir_statement *statement = NULL;
    weir_options options;
    weir_op op = 0;

    weir_options_init(&options);
    options.url = "sqlite://";
    options.max_size = 4;
    int code = weir_reactor_new(&reactor, &error);
    if (!code) code = weir_pool_open(reactor, &options, NULL, &pool, &op, &error);
    code = finish(reactor, code, op, &done);

    if (!code) statement = weir_statement_new(sql, strlen(sql), &error);
    if (statement) {
        weir_value two = {.type = WEIR_TYPE_INT, .as.integer = 2};
        weir_statement_add(statement, &two);
        code = weir_pool_execute(pool, statement, NULL, NULL, &op, &error);
        code = finish(reactor, code, op, &done);
    }
    if (statement && !code) {
        weir_value text, number;
        weir_result_value(done.result, 0, 0, &text);
        weir_result_value(done.result, 0, 1, &number);
        printf("%.*s: %" PRId64 "\n", (int)text.as.bytes.length, text.as.bytes.data, number.as.integer);
    } else {
        const weir_error *why = done.error ? done.error : &error;
        fprintf(stderr, "%s: %s\n", weir_error_class(code ? code : error.code),
                why->message ? why->message : weir_error_text(why->code));
    }

    weir_completion_discard(&done);
    weir_statement_unref(statement);
    weir_error_clear(&error);
    weir_pool_free(pool);
    weir_reactor_free(reactor);
    return statement && !code ? 0 : 1;
}
