/* Parameters: PostgreSQL's $1, $2 … mean the same in SQLite's texts, however often and in whatever order they
 * come. */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"
#include "base/value.h"
#include "driver/sqlite/sqlite.h"

/* The number in "$12"; 0: it is not of that kind. */
static int number_of(const char *name) {
    int number = 0;
    if (name[0] != '$' || !name[1]) return 0;
    for (name++; *name; name++) {
        if (*name < '0' || *name > '9' || number > 100000) return 0;
        number = number * 10 + (*name - '0');
    }
    return number;
}

/* How many slots are named by number; -1 with *error set for a name that cannot be served. */
static int count_dollars(weir__sqlite_statement *statement, weir_error *error) {
    int dollars = 0;
    for (int slot = 1; slot <= statement->slots; slot++) {
        const char *name = weir__sqlite.bind_parameter_name(statement->handle, slot);
        if (!name || name[0] == '?') continue;
        if (number_of(name) == 0) {
            weir__fail(error, WEIR_ENOTSUP, "the parameter %.40s has a name: %s", name,
                       strstr(name, "::") ? "SQLite has no ::, write CAST($1 AS type)"
                                          : "write $1, $2 …, or ? by place");
            return -1;
        }
        dollars++;
    }
    return dollars;
}

int weir__sqlite_describe(weir__sqlite_conn *conn, weir__sqlite_statement *statement, weir_error *error) {
    (void)conn;
    statement->slots = weir__sqlite.bind_parameter_count(statement->handle);
    statement->wanted = (size_t)statement->slots;
    int dollars = count_dollars(statement, error);
    if (dollars < 0) return WEIR_ENOTSUP;
    if (dollars == 0) return WEIR_OK;
    if (dollars != statement->slots)
        return weir__fail(error, WEIR_ENOTSUP,
                          "parameters as $1 and as ? are mixed: use one kind in a statement");
    statement->numbers = weir__malloc((size_t)dollars * sizeof(int));
    if (!statement->numbers) return weir__fail(error, WEIR_ENOMEM, "out of memory");
    statement->wanted = 0;
    for (int slot = 0; slot < dollars; slot++) {
        int number = number_of(weir__sqlite.bind_parameter_name(statement->handle, slot + 1));
        statement->numbers[slot] = number;
        if ((size_t)number > statement->wanted) statement->wanted = (size_t)number;
    }
    return WEIR_OK;
}

static locale_t plain; /* whose decimal point is a point, whatever the host has set */
static void make_plain(void) { plain = newlocale(LC_ALL_MASK, "C", NULL); }

static size_t significant_digits(const char *text) {
    size_t digits = 0;
    for (; *text && *text != 'e' && *text != 'E'; text++)
        if (*text >= '0' && *text <= '9' && (digits || *text != '0')) digits++;
    return digits;
}

/* SQLite has no decimals: a number is an integer of 64 bits, or a double where that holds all its digits
 * (15), as in a column of type NUMERIC; one with more of them is bound as text, which keeps them. 0: it
 * cannot be bound. */
static int bind_numeric(sqlite3_stmt *handle, int slot, const weir_value *value) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *text = value->as.bytes.data;
    char *end;
    pthread_once(&once, make_plain);
    errno = 0;
    long long integer = strtoll(text, &end, 10);
    if (!*end) return errno ? 0 : weir__sqlite.bind_int64(handle, slot, integer) + 1;
    errno = 0; /* ERANGE: too small to keep its digits */
    double real = plain ? strtod_l(text, &end, plain) : NAN;
    if (*end || !isfinite(real)) return 0;
    if (significant_digits(text) <= 15 && !errno) return weir__sqlite.bind_double(handle, slot, real) + 1;
    return weir__sqlite.bind_text64(handle, slot, text, value->as.bytes.length, SQLITE_STATIC, SQLITE_UTF8) +
           1;
}

/* As JSON text, which SQLite's functions read. 0: JSON has no such value. */
static int bind_json(sqlite3_stmt *handle, int slot, const weir_value *value) {
    weir__buffer text = WEIR__BUFFER_INIT;
    int rc = -1;
    bool fits = !weir__json(&text, value);
    if (text.broken)
        rc = SQLITE_NOMEM;
    else if (fits)
        rc = weir__sqlite.bind_text64(handle, slot, text.data, text.length, SQLITE_TRANSIENT, SQLITE_UTF8);
    weir__buffer_free(&text);
    return rc + 1;
}

/* As SQLite's own functions read it, which want minutes in a time zone and know no infinity. */
static int bind_written(sqlite3_stmt *handle, int slot, const weir_value *value) {
    weir_value finite = *value;
    char text[WEIR_VALUE_TEXT + 3];
    weir__make_finite(&finite);
    size_t length = weir_value_text(&finite, text);
    bool zone = value->type == WEIR_TYPE_TIMETZ || value->type == WEIR_TYPE_TIMESTAMPTZ;
    if (zone && length > 3 && (text[length - 3] == '+' || text[length - 3] == '-')) {
        strcpy(text + length, ":00");
        length += 3;
    }
    return weir__sqlite.bind_text64(handle, slot, text, length, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static bool is_strange(weir_type type) {
    return type == WEIR_TYPE_RANGE || type == WEIR_TYPE_MULTIRANGE || type == WEIR_TYPE_RECORD ||
           type == WEIR_TYPE_RAW;
}

static int bind_value(sqlite3_stmt *handle, int slot, const weir_value *value) {
    const char *data = "";
    switch (value->type) {
    case WEIR_TYPE_NULL:
        return weir__sqlite.bind_null(handle, slot);
    case WEIR_TYPE_BOOL:
        return weir__sqlite.bind_int64(handle, slot, value->as.boolean);
    case WEIR_TYPE_INT:
        return weir__sqlite.bind_int64(handle, slot, value->as.integer);
    case WEIR_TYPE_FLOAT:
        return weir__sqlite.bind_double(handle, slot, value->as.real);
    case WEIR_TYPE_NUMERIC:
        return bind_numeric(handle, slot, value) - 1;
    case WEIR_TYPE_TEXT:
    case WEIR_TYPE_INET:
    case WEIR_TYPE_CIDR:
    case WEIR_TYPE_JSON:
        if (value->as.bytes.length) data = value->as.bytes.data;
        return weir__sqlite.bind_text64(handle, slot, data, value->as.bytes.length, SQLITE_STATIC,
                                        SQLITE_UTF8);
    case WEIR_TYPE_BYTES: /* a NULL pointer would be bound as NULL */
        if (value->as.bytes.length) data = value->as.bytes.data;
        return weir__sqlite.bind_blob64(handle, slot, data, value->as.bytes.length, SQLITE_STATIC);
    case WEIR_TYPE_DATE: /* which SQLite has no types for */
    case WEIR_TYPE_TIME:
    case WEIR_TYPE_TIMETZ:
    case WEIR_TYPE_TIMESTAMP:
    case WEIR_TYPE_TIMESTAMPTZ:
    case WEIR_TYPE_INTERVAL:
    case WEIR_TYPE_UUID:
        return bind_written(handle, slot, value);
    case WEIR_TYPE_ARRAY:
    case WEIR_TYPE_MAP:
        return bind_json(handle, slot, value) - 1;
    case WEIR_TYPE_RANGE: /* refused before */
    case WEIR_TYPE_MULTIRANGE:
    case WEIR_TYPE_RECORD:
    case WEIR_TYPE_RAW:
        break;
    }
    return SQLITE_MISUSE;
}

int weir__sqlite_bind(weir__sqlite_conn *conn, weir__sqlite_statement *statement, const weir_value *values,
                      size_t count, weir_error *error) {
    if (count != statement->wanted)
        return weir__fail(error, WEIR_EINVAL, "the statement takes %zu parameter%s, but %zu %s given",
                          statement->wanted, statement->wanted == 1 ? "" : "s", count,
                          count == 1 ? "was" : "were");
    for (int slot = 1; slot <= statement->slots; slot++) {
        int number = statement->numbers ? statement->numbers[slot - 1] : slot;
        const weir_value *value = &values[number - 1];
        if (is_strange(value->type))
            return weir__fail(error, WEIR_EVALUE, "parameter $%d: SQLite has no %s; give text", number,
                              weir_type_name(value->type));
        int rc = bind_value(statement->handle, slot, value);
        if (rc == -1 && value->type != WEIR_TYPE_NUMERIC)
            return weir__fail(error, WEIR_EVALUE,
                              "parameter $%d: sent as JSON, which has no value like one in it", number);
        if (rc == -1)
            return weir__fail(
                error, WEIR_EVALUE,
                "parameter %d: SQLite has no such number: its integers have 64 bits, its others are "
                "finite; give a float, or text",
                number);
        if (rc != SQLITE_OK) return weir__sqlite_fail(conn, rc, NULL, error);
    }
    return WEIR_OK;
}

void weir__sqlite_unbind(weir__sqlite_statement *statement) {
    if (!statement->handle) return;
    weir__sqlite.reset(statement->handle); /* repeats the error of the run, which has been seen */
    if (statement->slots > 0) weir__sqlite.clear_bindings(statement->handle);
}
