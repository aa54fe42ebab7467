/* Rows for a COPY … FROM STDIN, in its binary or its text format, from values. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/postgres/encode.h"
#include "driver/postgres/pg.h"
#include "driver/result.h"

typedef struct pg_copy_rows {
    weir_copy_rows base;
    const weir__pgtypes *types; /* counted */
    weir__pgtypes *known;       /* the same, where weir__pgargs looks for it */
    bool begun, text;           /* the format is settled once it has begun */
    weir__pgargs args, as_text; /* a row; as_text: without types */
    weir__buffer data;
    char *names; /* of the columns, each with its NUL */
    size_t columns;
    Oid column_types[];
} pg_copy_rows;

/* Whether what the server reads as text is the type's binary form, too. */
static bool is_text(const weir__pgtypes *types, Oid oid) {
    const weir__pgtype *type = weir__pg_type(types, oid);
    switch (oid) {
    case WEIR__OID_TEXT:
    case WEIR__OID_VARCHAR:
    case WEIR__OID_BPCHAR:
    case WEIR__OID_NAME:
    case WEIR__OID_JSON:
    case WEIR__OID_JSONB: /* with a byte before it */
        return true;
    default:
        return type && type->kind == WEIR__PG_ENUM && type->codec < 0;
    }
}

static void put_length(weir__buffer *out, uint64_t number, size_t size) {
    char *at = weir__buffer_reserve(out, size);
    if (at) weir__pg_write(at, number, size);
}

/* False: a value has no binary form. */
static bool put_binary(pg_copy_rows *rows) {
    weir__buffer *out = &rows->data;
    put_length(out, rows->columns, 2);
    for (size_t i = 0; i < rows->columns; i++) {
        const char *value = rows->args.values[i];
        size_t length = (size_t)rows->args.lengths[i];
        Oid type = rows->column_types[i];
        if (!value) {
            put_length(out, UINT32_MAX, 4);
            continue;
        }
        if (!rows->args.formats[i] && !is_text(rows->types, type)) return false;
        bool version = type == WEIR__OID_JSONB && !rows->args.formats[i];
        put_length(out, length + version, 4);
        if (version) weir__buffer_char(out, 1);
        weir__buffer_append(out, value, length);
    }
    return true;
}

static void put_escaped(weir__buffer *out, const char *text, size_t length) {
    for (size_t done = 0; done < length;) {
        size_t plain = 0;
        while (done + plain < length && !strchr("\\\n\r\t", text[done + plain])) plain++;
        weir__buffer_append(out, text + done, plain);
        done += plain;
        if (done == length) break;
        char c = text[done++];
        weir__buffer_char(out, '\\');
        weir__buffer_char(out, (char)(c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : c));
    }
}

static int put_text(pg_copy_rows *rows, const weir_statement *sets, size_t set, weir_error *error) {
    weir__buffer *out = &rows->data;
    int code = weir__pg_encode(&rows->as_text, sets, set, NULL, error);
    for (size_t i = 0; code == WEIR_OK && i < rows->columns; i++) {
        const weir__pgargs *args = rows->args.formats[i] ? &rows->as_text : &rows->args;
        if (i) weir__buffer_char(out, '\t');
        if (args->values[i])
            put_escaped(out, args->values[i], (size_t)args->lengths[i]);
        else
            weir__buffer_text(out, "\\N");
    }
    weir__buffer_char(out, '\n');
    return code;
}

static int mixed(const pg_copy_rows *rows, size_t set, weir_error *error) {
    return weir__fail(
        error, WEIR_EVALUE,
        "record %zu has a value that goes as text, and those before it went in binary form: give a "
        "column values of one kind in all rows",
        rows->args.before + set + 1);
}

static int encode_all(pg_copy_rows *rows, const weir_statement *sets, weir_error *error) {
    static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; /* with the literal's own NUL */
    weir__buffer_clear(&rows->data);
    if (!rows->begun && !rows->text) weir__buffer_append(&rows->data, header, sizeof header);
    for (size_t set = 0; set < sets->sets; set++) {
        int code = weir__pg_encode(&rows->args, sets, set, rows->column_types, error);
        if (code == WEIR_OK && rows->text) {
            code = put_text(rows, sets, set, error);
        } else if (code == WEIR_OK && !put_binary(rows)) {
            if (rows->begun) return mixed(rows, set, error);
            rows->text = true;
            return encode_all(rows, sets, error);
        }
        if (code != WEIR_OK) return code;
    }
    return rows->data.broken ? weir__fail(error, WEIR_ENOMEM, "out of memory for rows of a COPY") : WEIR_OK;
}

static int encode(weir_copy_rows *base, const weir_statement *sets, const void **data, size_t *length,
                  weir_error *error) {
    pg_copy_rows *rows = (pg_copy_rows *)base;
    if (sets->sets && sets->parameters != rows->columns)
        return weir__fail(error, WEIR_EINVAL,
                          "the rows have %zu values, the columns are %zu: name those that the rows are for",
                          sets->parameters, rows->columns);
    int code = encode_all(rows, sets, error);
    if (code != WEIR_OK) {
        weir__buffer_free(&rows->data);
        if (!rows->begun) rows->text = false;
        return code;
    }
    rows->begun = true;
    rows->args.before = rows->as_text.before = rows->args.before + sets->sets;
    *data = rows->data.data;
    *length = rows->data.length;
    return WEIR_OK;
}

static const char *format(const weir_copy_rows *rows) {
    return ((const pg_copy_rows *)rows)->text ? "text" : "binary";
}

static void free_rows(weir_copy_rows *base) {
    pg_copy_rows *rows = (pg_copy_rows *)base;
    weir__pg_args_free(&rows->args);
    weir__pg_args_free(&rows->as_text);
    weir__buffer_free(&rows->data);
    weir__pgtypes_unref(rows->types);
    weir__free(rows->names);
    weir__free(rows);
}

static char *names_of(const PGresult *like) {
    size_t size = 1;
    for (int i = 0; i < PQnfields(like); i++) size += strlen(PQfname(like, i)) + 1;
    char *names = weir__malloc(size), *end = names;
    for (int i = 0; names && i < PQnfields(like); i++) end = stpcpy(end, PQfname(like, i)) + 1;
    return names;
}

weir_copy_rows *weir__pg_copy_rows(const PGresult *like, const weir__pgtypes *types, bool finite,
                                   weir_error *error) {
    static const weir__copy_rows_class class_ = {encode, format, free_rows};
    size_t columns = (size_t)PQnfields(like);
    pg_copy_rows *rows = weir__calloc(1, sizeof *rows + columns * sizeof *rows->column_types);
    char *names = names_of(like);
    if (!rows || !names) {
        weir__free(rows);
        weir__free(names);
        weir__fail(error, WEIR_ENOMEM, "out of memory for an encoder of rows");
        return NULL;
    }
    rows->base.class_ = &class_;
    rows->types = weir__pgtypes_ref(types);
    rows->known = (weir__pgtypes *)types;
    rows->args.types = rows->as_text.types = &rows->known;
    rows->args.finite = rows->as_text.finite = finite;
    rows->args.columns = rows->as_text.columns = rows->names = names;
    rows->columns = columns;
    for (size_t i = 0; i < columns; i++) rows->column_types[i] = PQftype(like, (int)i);
    return &rows->base;
}
