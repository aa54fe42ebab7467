/*
 * Values as what their columns were declared, where the pool wants that (sqlite_types=declared).
 *
 * SQLite keeps whatever it is given in a column of whatever type, and an expression has none. So the declared
 * type only says what to look for: a value that is no such thing, or none that a host could hold (a year
 * 10000), stays as it is stored.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/number.h"
#include "base/value.h"
#include "driver/sqlite/sqlite.h"

#define FIRST_DAY -730119 /* of the year 1 … */
#define END_DAY 2921940   /* … and the one behind the year 9999's last, from 2000-01-01 on */

/* By the first word, so that DECIMAL(10, 2), TIMESTAMP WITH TIME ZONE and DECIMAL TEXT are found, too. */
static const struct {
    const char *word;
    weir_type kind;
} words[] = {
    {"bool", WEIR_TYPE_BOOL},           {"boolean", WEIR_TYPE_BOOL},
    {"date", WEIR_TYPE_DATE},           {"time", WEIR_TYPE_TIME},
    {"timetz", WEIR_TYPE_TIME},         {"datetime", WEIR_TYPE_TIMESTAMP},
    {"timestamp", WEIR_TYPE_TIMESTAMP}, {"timestamptz", WEIR_TYPE_TIMESTAMP},
    {"decimal", WEIR_TYPE_NUMERIC},     {"numeric", WEIR_TYPE_NUMERIC},
    {"json", WEIR_TYPE_JSON},           {"jsonb", WEIR_TYPE_JSON},
    {"uuid", WEIR_TYPE_UUID},
};

/* In any case of letters, whatever the locale. */
static bool begins_with_word(const char *text, const char *word) {
    while (*word && (*text | 32) == *word) text++, word++;
    return !*word && (!*text || strchr(" \t\r\n(", *text));
}

/* WEIR_TYPE_NULL: nothing is looked for. */
static weir_type kind_of(const char *declared) {
    for (size_t i = 0; declared && i < sizeof words / sizeof words[0]; i++)
        if (begins_with_word(declared, words[i].word)) return words[i].kind;
    return WEIR_TYPE_NULL;
}

bool weir__sqlite_look_up_kinds(weir__sqlite_statement *statement) {
    int times = weir__sqlite.stmt_status(statement->handle, SQLITE_STMTSTATUS_REPREPARE, 0);
    if (statement->kinds_known && statement->kinds_at == times) return true;
    int count = weir__sqlite.column_count(statement->handle);
    bool any = false;
    weir__free(statement->kinds);
    statement->kinds_known = false;
    statement->kinds = weir__calloc((size_t)count + 1, sizeof statement->kinds[0]);
    if (!statement->kinds) return false;
    for (int i = 0; i < count; i++) {
        statement->kinds[i] = (unsigned char)kind_of(weir__sqlite.column_decltype(statement->handle, i));
        any = any || statement->kinds[i];
    }
    if (!any) {
        weir__free(statement->kinds);
        statement->kinds = NULL;
    }
    statement->kinds_known = true;
    statement->kinds_at = times;
    return true;
}

/* ---- values */

static const char *skip_digits(const char *p, size_t *count) {
    for (*count = 0; *p >= '0' && *p <= '9'; p++) ++*count;
    return p;
}

/* "-12.50", "1e-7"; not more of an exponent than a host may hold. */
static bool is_decimal(const char *text) {
    size_t whole, fraction = 0, exponent = 1;
    const char *p = skip_digits(text + (*text == '-' || *text == '+'), &whole);
    if (*p == '.') p = skip_digits(p + 1, &fraction);
    if (*p == 'e' || *p == 'E') p = skip_digits(p + 1 + (p[1] == '-' || p[1] == '+'), &exponent);
    return !*p && whole + fraction > 0 && exponent > 0 && exponent <= 8;
}

static bool read_date(const char *text, weir_value *out) {
    return weir__scan_time(WEIR_TYPE_DATE, text, out) == WEIR_OK && out->as.date >= FIRST_DAY &&
           out->as.date < END_DAY;
}

static bool read_timestamp(const char *text, weir_value *out) {
    if (read_date(text, out)) { /* its midnight, as in SQLite's functions */
        int64_t time = out->as.date * WEIR_DAY_US;
        *out = (weir_value){.type = WEIR_TYPE_TIMESTAMP, .as.time = time};
        return true;
    }
    if (weir__scan_time(WEIR_TYPE_TIMESTAMP, text, out) != WEIR_OK &&
        weir__scan_time(WEIR_TYPE_TIMESTAMPTZ, text, out) != WEIR_OK)
        return false;
    return out->as.time >= FIRST_DAY * WEIR_DAY_US && out->as.time < END_DAY * WEIR_DAY_US;
}

static bool read_text(weir_type kind, const weir_value *value, weir_value *out) {
    const char *text = value->as.bytes.data;
    if (strlen(text) != value->as.bytes.length) return false;
    switch (kind) {
    case WEIR_TYPE_DATE:
        return read_date(text, out);
    case WEIR_TYPE_TIME:
        if (weir__scan_time(kind, text, out) == WEIR_OK) return out->as.time < WEIR_DAY_US;
        return weir__scan_time(WEIR_TYPE_TIMETZ, text, out) == WEIR_OK && out->as.timetz.time < WEIR_DAY_US;
    case WEIR_TYPE_TIMESTAMP:
        return read_timestamp(text, out);
    case WEIR_TYPE_UUID:
        return weir__scan_uuid(text, out) == WEIR_OK;
    case WEIR_TYPE_NUMERIC:
        *out = *value;
        out->type = kind;
        return is_decimal(text);
    case WEIR_TYPE_JSON:
        *out = *value;
        out->type = kind;
        return weir__is_json(text);
    default:
        return false;
    }
}

/* A number where texts are expected: SQLite itself makes one of "1.50" in most columns. */
static bool read_number(weir_type kind, const weir_value *value, char *made, weir_value *out) {
    if (kind == WEIR_TYPE_BOOL && value->type == WEIR_TYPE_INT) {
        *out = (weir_value){.type = kind, .as.boolean = value->as.integer == 1};
        return value->as.integer == 0 || value->as.integer == 1;
    }
    if (kind != WEIR_TYPE_NUMERIC && kind != WEIR_TYPE_JSON) return false;
    if (value->type == WEIR_TYPE_INT)
        snprintf(made, WEIR__SQLITE_NUMBER, "%lld", (long long)value->as.integer);
    else if (isfinite(value->as.real))
        weir__print_double(value->as.real, made);
    else
        return false;
    *out = (weir_value){.type = kind, .as.bytes = {made, strlen(made)}};
    return true;
}

void weir__sqlite_read_as(weir_type kind, weir_value *value, char *made) {
    weir_value read;
    bool good = false;
    if (value->type == WEIR_TYPE_TEXT) {
        good = read_text(kind, value, &read);
    } else if (value->type == WEIR_TYPE_INT || value->type == WEIR_TYPE_FLOAT) {
        good = read_number(kind, value, made, &read);
    } else if (value->type == WEIR_TYPE_BYTES && kind == WEIR_TYPE_UUID) {
        good = value->as.bytes.length == sizeof read.as.uuid;
        read.type = kind;
        if (good) memcpy(read.as.uuid, value->as.bytes.data, sizeof read.as.uuid);
    }
    if (good) *value = read;
}
