#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/option.h"
#include "driver/postgres/pg.h"

/* A column of bytea that came as text, decoded as a whole when it is first asked for. */
typedef struct blobs {
    char *data;
    size_t *offsets; /* rows + 1 of them */
    bool *bad;       /* malformed */
} blobs;

typedef struct pg_rows {
    weir_result base;
    PGresult *pg;   /* NULL: none */
    blobs *columns; /* one a column, made when needed */
} pg_rows;

static const PGresult *pg_of(const weir_result *result) { return ((const pg_rows *)result)->pg; }

static const char *rows_name(const weir_result *result, size_t column) {
    return PQfname(pg_of(result), (int)column);
}

static void free_blobs(blobs *column) {
    weir__free(column->data);
    weir__free(column->offsets);
    weir__free(column->bad);
    *column = (blobs){0};
}

static int make_blobs(const weir_result *result, size_t column, blobs *out) {
    const PGresult *pg = pg_of(result);
    size_t room = 0, used = 0;
    for (size_t row = 0; row < result->rows; row++) room += (size_t)PQgetlength(pg, (int)row, (int)column);
    out->data = weir__malloc(room);
    out->offsets = weir__calloc(result->rows + 1, sizeof *out->offsets);
    out->bad = weir__calloc(result->rows, sizeof *out->bad);
    if (!out->data || !out->offsets || !out->bad) {
        free_blobs(out);
        return WEIR_ENOMEM;
    }
    for (size_t row = 0; row < result->rows; row++) {
        const char *text = PQgetvalue(pg, (int)row, (int)column);
        ptrdiff_t length =
            weir__pg_unescape(text, (size_t)PQgetlength(pg, (int)row, (int)column), out->data + used);
        out->bad[row] = length < 0;
        if (length > 0) used += (size_t)length;
        out->offsets[row + 1] = used;
    }
    return WEIR_OK;
}

static int bytes_from_text(weir_result *result, size_t row, size_t column, weir_value *out) {
    pg_rows *rows = (pg_rows *)result;
    if (!rows->columns) {
        rows->columns = weir__calloc(result->columns, sizeof *rows->columns);
        if (!rows->columns) return WEIR_ENOMEM;
    }
    blobs *blob = &rows->columns[column];
    if (!blob->offsets) {
        int code = make_blobs(result, column, blob);
        if (code != WEIR_OK) return code;
    }
    if (blob->bad[row]) return WEIR_EVALUE;
    out->type = WEIR_TYPE_BYTES;
    out->as.bytes.data = blob->data + blob->offsets[row];
    out->as.bytes.length = blob->offsets[row + 1] - blob->offsets[row];
    return WEIR_OK;
}

/* Most texts are ASCII: eight bytes at a time. */
static bool is_utf8(const char *text, size_t length) {
    uint64_t eight;
    while (length >= sizeof eight) {
        memcpy(&eight, text, sizeof eight);
        if (eight & UINT64_C(0x8080808080808080)) break;
        text += sizeof eight;
        length -= sizeof eight;
    }
    return weir__utf8_valid(text, length);
}

static int rows_value(weir_result *result, size_t row, size_t column, weir_value *out) {
    const PGresult *pg = pg_of(result);
    int r = (int)row, c = (int)column;
    if (PQgetisnull(pg, r, c)) {
        *out = (weir_value){.type = WEIR_TYPE_NULL};
        return WEIR_OK;
    }
    int format = PQfformat(pg, c), length = PQgetlength(pg, r, c);
    Oid type = PQftype(pg, c);
    if (length < 0) return WEIR_EVALUE;
    if (type == WEIR__OID_BYTEA && format == 0) return bytes_from_text(result, row, column, out);
    int code = weir__pg_decode(type, format, PQgetvalue(pg, r, c), (size_t)length, out);
    if (code != WEIR_OK || out->type != WEIR_TYPE_TEXT) return code;
    /* Not all that a server sends is in the client_encoding that was asked for: a "char" is any byte. */
    return is_utf8(out->as.bytes.data, out->as.bytes.length) ? WEIR_OK : WEIR_EVALUE;
}

static void rows_free(weir_result *result) {
    pg_rows *rows = (pg_rows *)result;
    for (size_t column = 0; rows->columns && column < result->columns; column++)
        free_blobs(&rows->columns[column]);
    weir__free(rows->columns);
    PQclear(rows->pg);
    weir__free(rows);
}

weir_result *weir__pg_result_new(void) {
    static const weir__result_class rows_class = {rows_name, rows_value, rows_free};
    pg_rows *rows = weir__calloc(1, sizeof *rows);
    if (!rows) return NULL;
    rows->base.class_ = &rows_class;
    rows->base.affected = -1;
    return &rows->base;
}

static void set_tag(weir_result *result, const PGresult *pg) {
    const char *tag = PQcmdStatus((PGresult *)pg);
    size_t length = tag ? strnlen(tag, sizeof result->tag - 1) : 0;
    if (length) memcpy(result->tag, tag, length);
    result->tag[length] = '\0';
}

static int64_t affected_by(const PGresult *pg) {
    const char *count = PQcmdTuples((PGresult *)pg);
    return count && *count ? strtoll(count, NULL, 10) : -1;
}

void weir__pg_result_set(weir_result *result, PGresult *pg) {
    pg_rows *rows = (pg_rows *)result;
    PQclear(rows->pg);
    rows->pg = pg;
    result->rows = (size_t)PQntuples(pg);
    result->columns = (size_t)PQnfields(pg);
    result->affected = affected_by(pg);
    set_tag(result, pg);
}

bool weir__pg_rows_are_legible(const PGresult *rows) {
    for (int i = 0; i < PQnfields(rows); i++)
        if (PQfformat(rows, i) == 1 && !weir__pg_has_binary(PQftype(rows, i))) return false;
    return true;
}

void weir__pg_result_reset(weir_result *result) {
    pg_rows *rows = (pg_rows *)result;
    PQclear(rows->pg);
    rows->pg = NULL;
    result->rows = result->columns = 0;
    result->affected = -1;
    result->tag[0] = '\0';
}

void weir__pg_result_add(weir_result *result, const PGresult *pg) {
    int64_t affected = affected_by(pg);
    if (affected >= 0) result->affected = (result->affected > 0 ? result->affected : 0) + affected;
    set_tag(result, pg);
}
