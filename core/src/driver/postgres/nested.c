/* Ranges, multiranges, records and hstore, in binary and in text form. */
#include <string.h>

#include "base/error.h"
#include "driver/postgres/value.h"

/* ---- binary: a cursor that does not leave its data */

typedef struct cursor {
    const char *p, *end;
} cursor;

static bool take_number(cursor *c, int64_t *out) {
    if (c->end - c->p < 4) return false;
    *out = (int32_t)weir__pg_big_endian(c->p, 4);
    c->p += 4;
    return true;
}

/* A value behind its length; -1: NULL. */
static int take_value(weir__pgin *in, cursor *c, Oid type, weir_value *out) {
    int64_t length;
    if (!take_number(c, &length) || length < -1 || length > c->end - c->p) return WEIR_EVALUE;
    *out = (weir_value){.type = WEIR_TYPE_NULL};
    if (length < 0) return WEIR_OK;
    c->p += length;
    return weir__pg_decode(in, type, 1, c->p - length, (size_t)length, out);
}

static weir_list *new_list(weir__arena *arena, size_t count, weir_value **items) {
    weir_list *list = weir__arena_take(arena, sizeof *list);
    size_t size;
    if (!list || __builtin_mul_overflow(count, sizeof **items, &size)) return NULL;
    *items = weir__arena_take(arena, size);
    if (!*items) return NULL;
    *list = (weir_list){.count = count, .items = *items};
    return list;
}

static int give_list(weir_value *out, weir_type type, const weir_list *list) {
    *out = (weir_value){.type = type, .as.list = list};
    return WEIR_OK;
}

static weir_range *new_range(weir__arena *arena, weir_value *out) {
    weir_range *range = weir__arena_take(arena, sizeof *range);
    if (!range) return NULL;
    *range = (weir_range){0};
    *out = (weir_value){.type = WEIR_TYPE_RANGE, .as.range = range};
    return range;
}

enum { EMPTY = 1, LOWER_INC = 2, UPPER_INC = 4, LOWER_NONE = 8, UPPER_NONE = 16 };

static int binary_range(weir__pgin *in, Oid subtype, const char *data, size_t length, weir_value *out) {
    cursor c = {data, data + length};
    if (!length) return WEIR_EVALUE;
    weir_range *range = new_range(in->arena, out);
    if (!range) return WEIR_ENOMEM;
    unsigned flags = (unsigned char)*c.p++;
    int code = WEIR_OK;
    range->empty = flags & EMPTY;
    range->lower_inc = flags & LOWER_INC && !(flags & (EMPTY | LOWER_NONE));
    range->upper_inc = flags & UPPER_INC && !(flags & (EMPTY | UPPER_NONE));
    if (!(flags & (EMPTY | LOWER_NONE))) code = take_value(in, &c, subtype, &range->lower);
    if (code == WEIR_OK && !(flags & (EMPTY | UPPER_NONE))) code = take_value(in, &c, subtype, &range->upper);
    return code == WEIR_OK && c.p != c.end ? WEIR_EVALUE : code;
}

static int binary_multirange(weir__pgin *in, Oid subtype, const char *data, size_t length, weir_value *out) {
    cursor c = {data, data + length};
    int64_t count, size;
    weir_value *items;
    if (!take_number(&c, &count) || count < 0 || count > c.end - c.p) return WEIR_EVALUE;
    weir_list *list = new_list(in->arena, (size_t)count, &items);
    if (!list) return WEIR_ENOMEM;
    for (int64_t i = 0; i < count; i++) {
        if (!take_number(&c, &size) || size < 0 || size > c.end - c.p) return WEIR_EVALUE;
        int code = binary_range(in, subtype, c.p, (size_t)size, &items[i]);
        if (code != WEIR_OK) return code;
        c.p += size;
    }
    return c.p == c.end ? give_list(out, WEIR_TYPE_MULTIRANGE, list) : WEIR_EVALUE;
}

static int binary_record(weir__pgin *in, const weir__pgtype *composite, const char *data, size_t length,
                         weir_value *out) {
    cursor c = {data, data + length};
    int64_t count, type;
    weir_value *items;
    /* A field takes eight bytes at the least. */
    if (!take_number(&c, &count) || count < 0 || count > (c.end - c.p) / 8) return WEIR_EVALUE;
    weir_list *list = new_list(in->arena, (size_t)count, &items);
    if (!list) return WEIR_ENOMEM;
    for (int64_t i = 0; i < count; i++) {
        if (!take_number(&c, &type)) return WEIR_EVALUE;
        int code = take_value(in, &c, (Oid)(uint32_t)type, &items[i]);
        if (code != WEIR_OK) return code;
    }
    /* What the table tells need not hold any more: the type may have been altered. */
    if (composite && composite->count == list->count) list->names = composite->names;
    return c.p == c.end ? give_list(out, WEIR_TYPE_RECORD, list) : WEIR_EVALUE;
}

static int binary_hstore(weir__pgin *in, const char *data, size_t length, weir_value *out) {
    cursor c = {data, data + length};
    int64_t count;
    weir_value *items;
    if (!take_number(&c, &count) || count < 0 || count > (c.end - c.p) / 8) return WEIR_EVALUE;
    weir_list *list = new_list(in->arena, 2 * (size_t)count, &items);
    if (!list) return WEIR_ENOMEM;
    weir__pgin plain = {.arena = in->arena, .depth = in->depth}; /* no codec of theirs sees these texts */
    for (size_t i = 0; i < list->count; i++) {
        int code = take_value(&plain, &c, WEIR__OID_TEXT, &items[i]);
        if (code != WEIR_OK) return code;
        if (i % 2 == 0 && items[i].type == WEIR_TYPE_NULL) return WEIR_EVALUE;
    }
    return c.p == c.end ? give_list(out, WEIR_TYPE_MAP, list) : WEIR_EVALUE;
}

/* ---- text */

typedef struct reader {
    weir__pgin *in;
    const char *p; /* a NUL stands at the end */
    char *room;    /* for the parts without their quotes, each with a NUL behind it: no longer than the text,
                      since a part ends before a byte that is none of it */
} reader;

static bool start(reader *r, weir__pgin *in, const char *text, size_t length) {
    *r = (reader){.in = in, .p = text, .room = weir__arena_take(in->arena, length + 1)};
    return r->room;
}

static bool take(reader *r, const char *text) {
    size_t length = strlen(text);
    if (strncmp(r->p, text, length) != 0) return false;
    r->p += length;
    return true;
}

typedef struct part {
    const char *text;
    size_t length;
    bool quoted; /* it, or a piece of it */
} part;

/* What stands before one of the bytes of `stops`; quotes and backslashes are taken out: within quotes, two of
 * them mean one. False: it has no end. */
static bool take_part(reader *r, const char *stops, part *out) {
    *out = (part){.text = r->room};
    for (bool inside = false; inside || !strchr(stops, *r->p); r->p++) {
        if (*r->p == '"' && !(inside && r->p[1] == '"')) {
            inside = !inside;
            out->quoted = true;
            continue;
        }
        if (*r->p == '"' || *r->p == '\\') r->p++;
        if (!*r->p) return false;
        *r->room++ = *r->p;
    }
    out->length = (size_t)(r->room - out->text);
    *r->room++ = '\0';
    return *r->p != '\0';
}

/* The part's value; NULL when nothing at all stands there. */
static int part_value(reader *r, Oid type, const part *from, weir_value *out) {
    *out = (weir_value){.type = WEIR_TYPE_NULL};
    if (!from->quoted && !from->length) return WEIR_OK;
    return weir__pg_decode(r->in, type, 0, from->text, from->length, out);
}

/* "empty", "[1,5)", "(,\"2024-01-01 00:00:00\"]" */
static int read_range(reader *r, Oid subtype, weir_value *out) {
    weir_range *range = new_range(r->in->arena, out);
    part lower, upper;
    if (!range) return WEIR_ENOMEM;
    range->empty = take(r, "empty");
    if (range->empty) return WEIR_OK;
    range->lower_inc = *r->p == '[';
    if (!take(r, "[") && !take(r, "(")) return WEIR_EVALUE;
    if (!take_part(r, ",", &lower) || !take(r, ",") || !take_part(r, ")]", &upper)) return WEIR_EVALUE;
    range->upper_inc = *r->p++ == ']';
    int code = part_value(r, subtype, &lower, &range->lower);
    if (code == WEIR_OK) code = part_value(r, subtype, &upper, &range->upper);
    if (range->lower.type == WEIR_TYPE_NULL) range->lower_inc = false;
    if (range->upper.type == WEIR_TYPE_NULL) range->upper_inc = false;
    return code;
}

static int text_range(weir__pgin *in, Oid subtype, const char *text, size_t length, weir_value *out) {
    reader r;
    if (!start(&r, in, text, length)) return WEIR_ENOMEM;
    int code = read_range(&r, subtype, out);
    return code == WEIR_OK && *r.p ? WEIR_EVALUE : code;
}

/* "{[1,5),[7,9)}" */
static int text_multirange(weir__pgin *in, Oid subtype, const char *text, size_t length, weir_value *out) {
    reader r;
    weir_value *items;
    size_t most = 0, count = 0;
    for (const char *p = text; *p; p++) most += *p == ','; /* at least one within each */
    weir_list *list = new_list(in->arena, most, &items);
    if (!list || !start(&r, in, text, length)) return WEIR_ENOMEM;
    if (!take(&r, "{")) return WEIR_EVALUE;
    while (*r.p != '}') {
        if (count == most || (count && !take(&r, ","))) return WEIR_EVALUE;
        int code = read_range(&r, subtype, &items[count++]);
        if (code != WEIR_OK) return code;
    }
    list->count = count;
    return strcmp(r.p, "}") == 0 ? give_list(out, WEIR_TYPE_MULTIRANGE, list) : WEIR_EVALUE;
}

/* "(1,\"a \"\"b\"\"\",)" */
static int text_record(weir__pgin *in, const weir__pgtype *composite, const char *text, size_t length,
                       weir_value *out) {
    reader r;
    weir_value *items;
    part field;
    weir_list *list = new_list(in->arena, composite->count, &items);
    if (!list || !start(&r, in, text, length)) return WEIR_ENOMEM;
    if (!take(&r, "(")) return WEIR_EVALUE;
    for (size_t i = 0; i < composite->count; i++) {
        if (i && !take(&r, ",")) return WEIR_EVALUE;
        if (!take_part(&r, ",)", &field)) return WEIR_EVALUE;
        int code = part_value(&r, composite->types[i], &field, &items[i]);
        if (code != WEIR_OK) return code;
    }
    list->names = composite->names;
    return strcmp(r.p, ")") == 0 ? give_list(out, WEIR_TYPE_RECORD, list) : WEIR_EVALUE;
}

static void give_text(weir_value *out, const part *from) {
    *out = (weir_value){.type = WEIR_TYPE_TEXT, .as.bytes = {from->text, from->length}};
}

/* "\"a\"=>\"1\", \"b\"=>NULL" */
static int text_hstore(weir__pgin *in, const char *text, size_t length, weir_value *out) {
    reader r;
    weir_value *items;
    size_t most = 0, count = 0;
    part key, value;
    for (const char *p = text; *p; p++) most += *p == '>';
    weir_list *list = new_list(in->arena, 2 * most, &items);
    char *copy = weir__arena_take(in->arena, length + 2);
    if (!list || !copy || !start(&r, in, copy, length + 1)) return WEIR_ENOMEM;
    memcpy(copy, text, length);
    memcpy(copy + length, ",", 2); /* each pair has its comma then */
    for (; length && *r.p; count += 2) {
        if (count == 2 * most || (count && !take(&r, " "))) return WEIR_EVALUE;
        if (!take_part(&r, "=", &key) || !key.quoted || !take(&r, "=>") || !take_part(&r, ",", &value) ||
            !take(&r, ","))
            return WEIR_EVALUE;
        if (!value.quoted && strcmp(value.text, "NULL") != 0) return WEIR_EVALUE;
        give_text(&items[count], &key);
        items[count + 1] = (weir_value){.type = WEIR_TYPE_NULL};
        if (value.quoted) give_text(&items[count + 1], &value);
    }
    list->count = count;
    return give_list(out, WEIR_TYPE_MAP, list);
}

/* ---- by form */

int weir__pg_range(weir__pgin *in, Oid subtype, int format, const char *data, size_t length,
                   weir_value *out) {
    return format == 1 ? binary_range(in, subtype, data, length, out)
                       : text_range(in, subtype, data, length, out);
}

int weir__pg_multirange(weir__pgin *in, Oid subtype, int format, const char *data, size_t length,
                        weir_value *out) {
    return format == 1 ? binary_multirange(in, subtype, data, length, out)
                       : text_multirange(in, subtype, data, length, out);
}

int weir__pg_record(weir__pgin *in, const weir__pgtype *composite, int format, const char *data,
                    size_t length, weir_value *out) {
    return format == 1 ? binary_record(in, composite, data, length, out)
                       : text_record(in, composite, data, length, out);
}

int weir__pg_hstore(weir__pgin *in, int format, const char *data, size_t length, weir_value *out) {
    return format == 1 ? binary_hstore(in, data, length, out) : text_hstore(in, data, length, out);
}
