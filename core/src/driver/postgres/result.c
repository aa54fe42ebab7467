#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/option.h"
#include "driver/postgres/pg.h"

/* How the most frequent types look in binary form; they are read without asking libpq for more than the
 * bytes. */
typedef enum shape {
    SHAPE_OTHER,
    SHAPE_BOOL,
    SHAPE_CHAR, /* "char" */
    SHAPE_INT2,
    SHAPE_INT4,
    SHAPE_OID,
    SHAPE_INT8,
    SHAPE_FLOAT8,
    SHAPE_TEXT
} shape;

enum { SHAPES = 16 }; /* columns whose shape is kept; what stands in others is read the long way */

typedef struct pg_rows {
    weir_result base;
    PGresult *pg; /* NULL: none */
    unsigned char shapes[SHAPES];
    /* Values that had to be made, by column and row: made once, so that reading them again costs no memory. A
     * column is made when needed. */
    const weir_value ***made;
    weir__arena arena;          /* of those */
    const weir__pgtypes *types; /* counted */
    bool finite;                /* as in weir__pgargs */
} pg_rows;

static const PGresult *pg_of(const weir_result *result) { return ((const pg_rows *)result)->pg; }

static const char *rows_name(const weir_result *result, size_t column) {
    return PQfname(pg_of(result), (int)column);
}

/* The place where the value of the cell is kept; NULL: out of memory. */
static const weir_value **place_of(pg_rows *rows, size_t row, size_t column) {
    if (!rows->made) rows->made = weir__calloc(rows->base.columns, sizeof *rows->made);
    if (!rows->made) return NULL;
    if (!rows->made[column]) rows->made[column] = weir__calloc(rows->base.rows, sizeof **rows->made);
    return rows->made[column] ? &rows->made[column][row] : NULL;
}

static int make_value(pg_rows *rows, Oid type, size_t row, size_t column, const weir_value **place) {
    int r = (int)row, c = (int)column;
    weir_value *value = weir__arena_take(&rows->arena, sizeof *value);
    if (!value) return WEIR_ENOMEM;
    weir__pgin in = {.arena = &rows->arena, .types = rows->types};
    int code = weir__pg_decode(&in, type, PQfformat(rows->pg, c), PQgetvalue(rows->pg, r, c),
                               (size_t)PQgetlength(rows->pg, r, c), value);
    if (code == WEIR_OK) *place = value;
    return code;
}

static int kept_value(pg_rows *rows, Oid type, size_t row, size_t column, weir_value *out) {
    const weir_value **place = place_of(rows, row, column);
    if (!place) return WEIR_ENOMEM;
    int code = *place ? WEIR_OK : make_value(rows, type, row, column, place);
    if (code == WEIR_OK) *out = **place;
    return code;
}

/* Most texts are ASCII: eight bytes at a time, the last eight perhaps once more. */
static bool is_utf8(const char *text, size_t length) {
    uint64_t eight = 0;
    size_t i = 0;
    if (length < sizeof eight) return weir__utf8_valid(text, length);
    for (; i + sizeof eight <= length && !(eight & UINT64_C(0x8080808080808080)); i += sizeof eight)
        memcpy(&eight, text + i, sizeof eight);
    uint64_t last;
    memcpy(&last, text + length - sizeof last, sizeof last);
    return !((eight | last) & UINT64_C(0x8080808080808080)) || weir__utf8_valid(text, length);
}

static shape shape_of(const weir__pgtypes *types, Oid type, int format) {
    if (format != 1 || weir__pg_codec_type(types, type)) return SHAPE_OTHER;
    switch (type) {
    case WEIR__OID_BOOL:
        return SHAPE_BOOL;
    case WEIR__OID_CHAR:
        return SHAPE_CHAR;
    case WEIR__OID_INT2:
        return SHAPE_INT2;
    case WEIR__OID_INT4:
        return SHAPE_INT4;
    case WEIR__OID_OID:
        return SHAPE_OID;
    case WEIR__OID_INT8:
        return SHAPE_INT8;
    case WEIR__OID_FLOAT8:
        return SHAPE_FLOAT8;
    case WEIR__OID_TEXT:
    case WEIR__OID_VARCHAR:
    case WEIR__OID_NAME:
        return SHAPE_TEXT;
    default:
        return SHAPE_OTHER;
    }
}

/* False: it is none of these after all, or NULL, or not as it should be; the long way says which. */
static bool read_shape(shape form, const char *data, int length, weir_value *out) {
    uint64_t bits;
    switch (form) {
    case SHAPE_BOOL:
        if (length != 1) return false;
        *out = (weir_value){.type = WEIR_TYPE_BOOL, .as.boolean = data[0] != 0};
        return true;
    case SHAPE_CHAR:
        if (length != 1 || data[0] == '\0' || data[0] & 0x80) return false;
        *out = (weir_value){.type = WEIR_TYPE_TEXT, .as.bytes = {data, 1}};
        return true;
    case SHAPE_INT2:
        if (length != 2) return false;
        *out = (weir_value){.type = WEIR_TYPE_INT, .as.integer = (int16_t)weir__pg_big_endian(data, 2)};
        return true;
    case SHAPE_INT4:
        if (length != 4) return false;
        *out = (weir_value){.type = WEIR_TYPE_INT, .as.integer = (int32_t)weir__pg_big_endian(data, 4)};
        return true;
    case SHAPE_OID:
        if (length != 4) return false;
        *out = (weir_value){.type = WEIR_TYPE_INT, .as.integer = (int64_t)weir__pg_big_endian(data, 4)};
        return true;
    case SHAPE_INT8:
        if (length != 8) return false;
        *out = (weir_value){.type = WEIR_TYPE_INT, .as.integer = (int64_t)weir__pg_big_endian(data, 8)};
        return true;
    case SHAPE_FLOAT8:
        if (length != 8) return false;
        bits = weir__pg_big_endian(data, 8);
        *out = (weir_value){.type = WEIR_TYPE_FLOAT};
        memcpy(&out->as.real, &bits, sizeof bits);
        return true;
    case SHAPE_TEXT:
        /* Not all that a server sends is in the client_encoding that was asked for: a "char" is any byte. */
        if (length <= 0 || !is_utf8(data, (size_t)length)) return false;
        *out = (weir_value){.type = WEIR_TYPE_TEXT, .as.bytes = {data, (size_t)length}};
        return true;
    case SHAPE_OTHER:
        break;
    }
    return false;
}

static int rows_value(weir_result *result, size_t row, size_t column, weir_value *out) {
    const PGresult *pg = pg_of(result);
    int r = (int)row, c = (int)column, length = PQgetlength(pg, r, c); /* of NULL: 0 */
    if (column < SHAPES) {
        shape form = ((const pg_rows *)result)->shapes[column];
        if (form != SHAPE_OTHER && read_shape(form, PQgetvalue(pg, r, c), length, out)) return WEIR_OK;
    }
    if (PQgetisnull(pg, r, c)) {
        *out = (weir_value){.type = WEIR_TYPE_NULL};
        return WEIR_OK;
    }
    int format = PQfformat(pg, c);
    Oid type = PQftype(pg, c);
    if (length < 0) return WEIR_EVALUE;
    weir__pgin in = {.types = ((pg_rows *)result)->types};
    if (!weir__pg_is_plain(in.types, type, format))
        return kept_value((pg_rows *)result, type, row, column, out);
    int code = weir__pg_decode(&in, type, format, PQgetvalue(pg, r, c), (size_t)length, out);
    if (code != WEIR_OK || (out->type != WEIR_TYPE_TEXT && out->type != WEIR_TYPE_JSON)) return code;
    /* Not all that a server sends is in the client_encoding that was asked for: a "char" is any byte. */
    return is_utf8(out->as.bytes.data, out->as.bytes.length) ? WEIR_OK : WEIR_EVALUE;
}

static void rows_free(weir_result *result) {
    pg_rows *rows = (pg_rows *)result;
    for (size_t column = 0; rows->made && column < result->columns; column++) weir__free(rows->made[column]);
    weir__free(rows->made);
    weir__arena_free(&rows->arena);
    weir__pgtypes_unref(rows->types);
    PQclear(rows->pg);
    weir__free(rows);
}

static weir_copy_rows *copy_rows(const weir_result *like, weir_error *error) {
    const pg_rows *rows = (const pg_rows *)like;
    return weir__pg_copy_rows(rows->pg, rows->types, rows->finite, error);
}

weir_result *weir__pg_result_new(void) {
    static const weir__result_class rows_class = {rows_name, rows_value, rows_free, copy_rows};
    pg_rows *rows = weir__calloc(1, sizeof *rows);
    if (!rows) return NULL;
    rows->base.class_ = &rows_class;
    rows->base.affected = -1;
    return &rows->base;
}

void weir__pg_result_know(weir_result *result, const weir__pgargs *args) {
    pg_rows *rows = (pg_rows *)result;
    const weir__pgtypes *before = rows->types;
    rows->types = weir__pgtypes_ref(*args->types);
    rows->finite = args->finite;
    weir__pgtypes_unref(before);
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
    for (int c = 0; result->rows && c < SHAPES && (size_t)c < result->columns; c++)
        rows->shapes[c] = (unsigned char)shape_of(rows->types, PQftype(pg, c), PQfformat(pg, c));
    result->affected = affected_by(pg);
    set_tag(result, pg);
}

bool weir__pg_rows_are_legible(const weir__pgtypes *types, const PGresult *rows) {
    for (int i = 0; i < PQnfields(rows); i++)
        if (PQfformat(rows, i) == 1 && !weir__pg_has_binary(types, PQftype(rows, i))) return false;
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
