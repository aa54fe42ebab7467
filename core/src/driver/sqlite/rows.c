/* A result of SQLite: the rows are copied out of it, since the next step overwrites them. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "config/option.h"
#include "driver/sqlite/sqlite.h"

#define BLOCK_LEAST 1024 /* bytes */
#define BLOCK_MOST 262144
#define VALUES_LEAST 16

typedef struct block {
    struct block *next;
    char data[];
} block;

typedef struct rows {
    weir_result base;
    const char **names;
    const unsigned char *kinds; /* the statement's; NULL: the values stay as they are stored */
    weir_value *values;         /* row by row */
    size_t capacity;            /* of values */
    block *blocks;              /* texts and bytes: the newest first */
    char *room;                 /* in the newest block … */
    size_t left;                /* … so many bytes are free */
    size_t block_size;
} rows;

static const char *name_of(const weir_result *result, size_t column) {
    return ((const rows *)result)->names[column];
}

static int value_of(weir_result *result, size_t row, size_t column, weir_value *out) {
    const weir_value *value = &((rows *)result)->values[row * result->columns + column];
    /* SQLite stores any bytes as text. */
    bool text = value->type == WEIR_TYPE_TEXT || value->type == WEIR_TYPE_JSON;
    if (text && !weir__utf8_valid(value->as.bytes.data, value->as.bytes.length)) return WEIR_EVALUE;
    *out = *value;
    return WEIR_OK;
}

static void free_rows(weir_result *result) {
    rows *own = (rows *)result;
    while (own->blocks) {
        block *next = own->blocks->next;
        weir__free(own->blocks);
        own->blocks = next;
    }
    weir__free(own->names);
    weir__free(own->values);
    weir__free(own);
}

static const weir__result_class class_of_rows = {name_of, value_of, free_rows, NULL};

weir_result *weir__sqlite_result_new(void) {
    rows *own = weir__calloc(1, sizeof *own);
    if (!own) return NULL;
    own->base.class_ = &class_of_rows;
    own->base.affected = -1;
    own->block_size = BLOCK_LEAST;
    return &own->base;
}

/* A copy with a NUL behind it, that lives as long as the result. */
static const char *copy(rows *own, const void *data, size_t length) {
    if (own->left < length + 1) {
        size_t size = length + 1 > own->block_size / 2 ? length + 1 : own->block_size;
        block *fresh = weir__malloc(sizeof *fresh + size);
        if (!fresh) return NULL;
        fresh->next = own->blocks;
        own->blocks = fresh;
        own->room = fresh->data;
        own->left = size;
        if (own->block_size < BLOCK_MOST) own->block_size *= 2;
    }
    char *at = own->room;
    if (length) memcpy(at, data, length);
    at[length] = '\0';
    own->room += length + 1;
    own->left -= length + 1;
    return at;
}

bool weir__sqlite_result_columns(weir_result *result, weir__sqlite_statement *statement, bool declared) {
    rows *own = (rows *)result;
    sqlite3_stmt *handle = statement->handle;
    size_t count = (size_t)weir__sqlite.column_count(handle);
    if (count == 0) return true;
    if (declared && !weir__sqlite_look_up_kinds(statement)) return false;
    own->kinds = statement->kinds;
    own->names = weir__calloc(count, sizeof(own->names[0]));
    if (!own->names) return false;
    for (size_t i = 0; i < count; i++) {
        const char *name = weir__sqlite.column_name(handle, (int)i);
        if (!name || !(own->names[i] = copy(own, name, strlen(name)))) return false;
    }
    result->columns = count;
    return true;
}

static bool read_value(rows *own, sqlite3_stmt *handle, int column, weir_value *out) {
    switch (weir__sqlite.column_type(handle, column)) {
    case SQLITE_INTEGER:
        out->type = WEIR_TYPE_INT;
        out->as.integer = weir__sqlite.column_int64(handle, column);
        return true;
    case SQLITE_FLOAT:
        out->type = WEIR_TYPE_FLOAT;
        out->as.real = weir__sqlite.column_double(handle, column);
        return true;
    case SQLITE_TEXT:
    case SQLITE_BLOB:
        break;
    default:
        out->type = WEIR_TYPE_NULL;
        return true;
    }
    bool text = weir__sqlite.column_type(handle, column) == SQLITE_TEXT;
    const void *data = text ? (const void *)weir__sqlite.column_text(handle, column)
                            : weir__sqlite.column_blob(handle, column);
    size_t length = (size_t)weir__sqlite.column_bytes(handle, column);
    if (!data && (text || length)) return false; /* a text that had to be converted, without memory */
    out->type = text ? WEIR_TYPE_TEXT : WEIR_TYPE_BYTES;
    out->as.bytes.length = length;
    out->as.bytes.data = copy(own, data, length);
    return out->as.bytes.data != NULL;
}

/* The row as its columns are declared. False: out of memory. */
static bool read_as_declared(rows *own, weir_value *row) {
    char made[WEIR__SQLITE_NUMBER];
    for (size_t i = 0; i < own->base.columns; i++) {
        if (!own->kinds[i]) continue;
        weir__sqlite_read_as((weir_type)own->kinds[i], &row[i], made);
        bool kept = (row[i].type != WEIR_TYPE_NUMERIC && row[i].type != WEIR_TYPE_JSON) ||
                    row[i].as.bytes.data != made;
        if (!kept && !(row[i].as.bytes.data = copy(own, made, row[i].as.bytes.length))) return false;
    }
    return true;
}

/* Room for one more row. */
static bool grow(rows *own) {
    size_t needed = (own->base.rows + 1) * own->base.columns;
    if (needed <= own->capacity) return true;
    size_t capacity = own->capacity + own->capacity / 2;
    if (capacity < VALUES_LEAST) capacity = VALUES_LEAST;
    if (capacity < needed) capacity = needed;
    weir_value *values = weir__realloc(own->values, capacity * sizeof(weir_value));
    if (!values) return false;
    own->values = values;
    own->capacity = capacity;
    return true;
}

bool weir__sqlite_result_row(weir_result *result, sqlite3_stmt *handle) {
    rows *own = (rows *)result;
    if (!grow(own)) return false;
    weir_value *row = own->values + result->rows * result->columns;
    for (size_t i = 0; i < result->columns; i++)
        if (!read_value(own, handle, (int)i, &row[i])) return false;
    if (own->kinds && !read_as_declared(own, row)) return false;
    result->rows++;
    return true;
}

void weir__sqlite_result_finish(weir_result *result, const weir__sqlite_shape *shape, int64_t affected) {
    result->affected = affected;
    if (shape->count == WEIR__SQLITE_NO_COUNT) {
        snprintf(result->tag, sizeof result->tag, "%s", shape->tag);
    } else if (shape->count == WEIR__SQLITE_ROWS && affected >= 0 &&
               affected < 10) { /* often: spare the printf */
        size_t length = strlen(shape->tag);
        memcpy(result->tag, shape->tag, length);
        memcpy(result->tag + length, (char[]){' ', (char)('0' + affected), '\0'}, 3);
    } else {
        snprintf(result->tag, sizeof result->tag, "%.8s %lld", shape->tag, (long long)affected);
    }
}
