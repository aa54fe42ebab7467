#include "driver/postgres/types.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/postgres/value.h"

/* An entry, its texts behind it; shared by the tables that have it. */
typedef struct entry {
    weir__pgtype type;
    atomic_int references;
} entry;

struct weir__pgtypes {
    atomic_int references;
    bool overrides; /* a codec is for one of the types that every database has */
    bool looked;    /* the codecs' types have been looked for */
    size_t count;
    entry *entries[]; /* by number */
};

/* ---- the types that every database has */

static const weir__pgtype *builtin(Oid oid) {
    switch (oid) {
#define MAKE(number, kind_, part_)                                                                           \
    case number: {                                                                                           \
        static const weir__pgtype type = {.oid = number, .kind = kind_, .part = part_, .codec = -1};         \
        return &type;                                                                                        \
    }
#define ARRAY(element, number) MAKE(number, WEIR__PG_ARRAY, WEIR__OID_##element)
#define RANGE(subtype, name, range, ranges, multirange, multiranges)                                         \
    MAKE(range, WEIR__PG_RANGE, WEIR__OID_##subtype)                                                         \
    MAKE(ranges, WEIR__PG_ARRAY, range)                                                                      \
    MAKE(multirange, WEIR__PG_MULTIRANGE, range)                                                             \
    MAKE(multiranges, WEIR__PG_ARRAY, multirange)
        WEIR__PG_ARRAYS(ARRAY)
        WEIR__PG_RANGES(RANGE)
        MAKE(WEIR__OID_RECORD, WEIR__PG_COMPOSITE, 0)
#undef MAKE
#undef ARRAY
#undef RANGE
    default:
        return NULL;
    }
}

Oid weir__pg_element(Oid oid) {
    const weir__pgtype *type = builtin(oid);
    return type && type->kind == WEIR__PG_ARRAY ? type->part : 0;
}

/* ---- looking up */

/* Where the entry of that number is, or belongs. */
static size_t place_of(const weir__pgtypes *types, Oid oid) {
    size_t low = 0, high = types->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (types->entries[middle]->type.oid < oid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const weir__pgtype *find(const weir__pgtypes *types, Oid oid) {
    if (!types) return NULL;
    size_t place = place_of(types, oid);
    if (place == types->count || types->entries[place]->type.oid != oid) return NULL;
    return &types->entries[place]->type;
}

const weir__pgtype *weir__pg_type(const weir__pgtypes *types, Oid oid) {
    const weir__pgtype *type = builtin(oid);
    return type ? type : find(types, oid);
}

const weir__pgtype *weir__pg_codec_type(const weir__pgtypes *types, Oid oid) {
    if (!types || (oid < WEIR__PG_FIRST_OWN && !types->overrides)) return NULL;
    const weir__pgtype *type = find(types, oid);
    return type && type->codec >= 0 ? type : NULL;
}

/* ---- asking */

/*
 * $1: the types in question, an oid[]; $2: the names or numbers of the codecs' types, a text[]. What those
 * consist of is looked up as well. A row for each:
 * number, name (NULL: there is no such type), kind, part, fields' numbers, fields' names, codec (from 1).
 * rngmultitypid is read through to_jsonb because servers before 14 do not have it.
 */
const char WEIR__PGTYPES_QUERY[] =
    "WITH RECURSIVE codecs AS ("
    "SELECT CASE WHEN name ~ '^[0-9]+$' THEN name::pg_catalog.oid"
    " ELSE pg_catalog.to_regtype(name)::pg_catalog.oid END AS oid, pg_catalog.min(number) AS number"
    " FROM pg_catalog.unnest($2::pg_catalog.text[]) WITH ORDINALITY AS c(name, number) GROUP BY 1"
    "), wanted(oid) AS ("
    "(SELECT pg_catalog.unnest($1::pg_catalog.oid[]) UNION SELECT oid FROM codecs WHERE oid IS NOT NULL"
    " UNION SELECT t.typarray FROM codecs c JOIN pg_catalog.pg_type t ON t.oid = c.oid WHERE t.typarray <> 0)"
    " UNION "
    "SELECT part.oid FROM wanted w JOIN pg_catalog.pg_type t ON t.oid = w.oid CROSS JOIN LATERAL ("
    "SELECT t.typelem WHERE t.typtype = 'b' AND t.typoutput = 'pg_catalog.array_out'::pg_catalog.regproc"
    " UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'"
    " UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid"
    " UNION ALL SELECT r.rngtypid FROM pg_catalog.pg_range r WHERE t.typtype = 'm'"
    " AND (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::pg_catalog.oid = t.oid"
    " UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c'"
    " AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped"
    ") part(oid)"
    ") SELECT w.oid, n.nspname || '.' || t.typname,"
    " CASE WHEN t.typtype IN ('e', 'd', 'c', 'r', 'm') THEN t.typtype::pg_catalog.text"
    " WHEN t.typoutput = 'pg_catalog.array_out'::pg_catalog.regproc AND t.typdelim = ',' THEN 'a'"
    " WHEN s.proname = 'hstore_send' THEN 'h' ELSE '?' END,"
    " CASE WHEN t.typtype = 'd' THEN t.typbasetype WHEN t.typtype = 'b' THEN t.typelem"
    " WHEN t.typtype = 'r' THEN (SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid)"
    " WHEN t.typtype = 'm' THEN (SELECT r.rngtypid FROM pg_catalog.pg_range r"
    " WHERE (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::pg_catalog.oid = t.oid)"
    " ELSE 0 END,"
    " f.types, f.names, c.number"
    " FROM wanted w LEFT JOIN pg_catalog.pg_type t ON t.oid = w.oid"
    " LEFT JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace"
    " LEFT JOIN pg_catalog.pg_proc s ON s.oid = t.typsend"
    " LEFT JOIN codecs c ON c.oid = w.oid"
    " CROSS JOIN LATERAL (SELECT pg_catalog.array_agg(a.atttypid ORDER BY a.attnum),"
    " pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY a.attnum)"
    " FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0"
    " AND NOT a.attisdropped) f(types, names)";

static void put_name(weir__buffer *out, const char *name) {
    weir__buffer_char(out, '"');
    for (; *name; name++) {
        if (*name == '"' || *name == '\\') weir__buffer_char(out, '\\');
        weir__buffer_char(out, *name);
    }
    weir__buffer_char(out, '"');
}

bool weir__pgtypes_ask(const weir__pgtypes *types, const weir_codec *codecs, size_t codec_count,
                       const Oid *oids, size_t count, weir__buffer *wanted, weir__buffer *names) {
    bool needed = codec_count && !(types && types->looked), first = true;
    for (size_t i = 0; i < count && !needed; i++)
        needed = oids[i] >= WEIR__PG_FIRST_OWN && !find(types, oids[i]);
    if (!needed) return false;
    weir__buffer_char(wanted, '{');
    for (size_t i = 0; i < count; i++) {
        if (oids[i] < WEIR__PG_FIRST_OWN || find(types, oids[i])) continue;
        weir__buffer_printf(wanted, first ? "%u" : ",%u", oids[i]);
        first = false;
    }
    weir__buffer_char(wanted, '}');
    weir__buffer_char(names, '{');
    for (size_t i = 0; i < codec_count; i++) {
        if (i) weir__buffer_char(names, ',');
        put_name(names, codecs[i].type);
    }
    weir__buffer_char(names, '}');
    weir__buffer_string(wanted);
    weir__buffer_string(names);
    return true;
}

/* ---- learning */

static void entry_unref(entry *e) {
    if (e && atomic_fetch_sub(&e->references, 1) == 1) weir__free(e);
}

const weir__pgtypes *weir__pgtypes_ref(const weir__pgtypes *types) {
    if (types) atomic_fetch_add(&((weir__pgtypes *)types)->references, 1);
    return types;
}

void weir__pgtypes_unref(const weir__pgtypes *given) {
    weir__pgtypes *types = (weir__pgtypes *)given;
    if (!types || atomic_fetch_sub(&types->references, 1) != 1) return;
    for (size_t i = 0; i < types->count; i++) entry_unref(types->entries[i]);
    weir__free(types);
}

static weir__pgkind kind_of(const char *letter) {
    switch (*letter) {
    case 'e':
        return WEIR__PG_ENUM;
    case 'd':
        return WEIR__PG_DOMAIN;
    case 'a':
        return WEIR__PG_ARRAY;
    case 'r':
        return WEIR__PG_RANGE;
    case 'm':
        return WEIR__PG_MULTIRANGE;
    case 'c':
        return WEIR__PG_COMPOSITE;
    case 'h':
        return WEIR__PG_HSTORE;
    default:
        return WEIR__PG_OTHER;
    }
}

/* A row's cell: NULL for NULL. */
static const char *cell(const PGresult *rows, int row, int column) {
    return PQgetisnull(rows, row, column) ? NULL : PQgetvalue(rows, row, column);
}

static bool read_number(const char *text, Oid *out) {
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    *out = (Oid)n;
    return end != text && !*end && n <= UINT32_MAX;
}

static int read_list(weir__arena *arena, const char *text, Oid element, const weir_array **out) {
    weir_value value;
    static const weir_array none;
    weir__pgin in = {.arena = arena};
    *out = &none;
    if (!text) return WEIR_OK;
    int code = weir__pg_array(&in, element, 0, text, strlen(text), &value);
    if (code == WEIR_OK) *out = value.as.array;
    return code;
}

/* The entry with the fields and the name behind it. */
static entry *make_entry(const weir__pgtype *type, const weir_array *types, const weir_array *names) {
    size_t count = type->count, texts = type->name ? strlen(type->name) + 1 : 0;
    for (size_t i = 0; i < count; i++) texts += names->items[i].as.bytes.length + 1;
    entry *e = weir__malloc(sizeof *e + count * (sizeof(char *) + sizeof(Oid)) + texts);
    if (!e) return NULL;
    const char **name = (const char **)(e + 1);
    Oid *oid = (Oid *)(name + count);
    char *room = (char *)(oid + count);
    e->type = *type;
    e->type.names = name;
    e->type.types = oid;
    atomic_init(&e->references, 1);
    for (size_t i = 0; i < count; i++) {
        size_t length = names->items[i].as.bytes.length;
        memcpy(room, names->items[i].as.bytes.data, length);
        room[length] = '\0';
        name[i] = room;
        oid[i] = (Oid)types->items[i].as.integer;
        room += length + 1;
    }
    if (type->name) e->type.name = strcpy(room, type->name);
    return e;
}

static bool are(const weir_array *array, weir_type type) {
    for (size_t i = 0; i < array->count; i++)
        if (array->items[i].type != type) return false;
    return true;
}

enum { NUMBER, NAME, KIND, PART, FIELD_TYPES, FIELD_NAMES, CODEC, CELLS };

static int read_row(const PGresult *rows, int row, const weir_codec *codecs, size_t codec_count,
                    weir__arena *arena, entry **out) {
    const char *number = cell(rows, row, NUMBER), *kind = cell(rows, row, KIND),
               *part = cell(rows, row, PART), *codec = cell(rows, row, CODEC);
    weir__pgtype type = {.codec = -1, .name = cell(rows, row, NAME)};
    const weir_array *types, *names;
    Oid n;
    if (!number || !read_number(number, &type.oid)) return WEIR_EVALUE;
    if (type.name && kind) type.kind = kind_of(kind);
    if (part && !read_number(part, &type.part)) return WEIR_EVALUE;
    if (codec) {
        if (!read_number(codec, &n) || n < 1 || n > codec_count) return WEIR_EVALUE;
        type.codec = (int)n - 1;
        type.codec_binary = codecs[n - 1].binary;
    }
    int code = read_list(arena, cell(rows, row, FIELD_TYPES), WEIR__OID_OID, &types);
    if (code == WEIR_OK) code = read_list(arena, cell(rows, row, FIELD_NAMES), WEIR__OID_TEXT, &names);
    if (code != WEIR_OK) return code;
    if (types->count != names->count || !are(types, WEIR_TYPE_INT) || !are(names, WEIR_TYPE_TEXT))
        return WEIR_EVALUE;
    *out = NULL; /* what every database has is known by its number */
    if (type.oid < WEIR__PG_FIRST_OWN && type.kind == WEIR__PG_OTHER && type.codec < 0) return WEIR_OK;
    type.count = types->count;
    *out = make_entry(&type, types, names);
    return *out ? WEIR_OK : WEIR_ENOMEM;
}

/* Takes the entry over: a newer one of its number replaces an older one. */
static void insert(weir__pgtypes *types, entry *e) {
    size_t place = place_of(types, e->type.oid);
    if (e->type.codec >= 0 && e->type.oid < WEIR__PG_FIRST_OWN) types->overrides = true;
    if (place < types->count && types->entries[place]->type.oid == e->type.oid) {
        entry_unref(types->entries[place]);
    } else {
        memmove(types->entries + place + 1, types->entries + place, (types->count - place) * sizeof(entry *));
        types->count++;
    }
    types->entries[place] = e;
}

static weir__pgtypes *copy_table(const weir__pgtypes *from, size_t more) {
    size_t count = from ? from->count : 0;
    weir__pgtypes *types = weir__malloc(sizeof *types + (count + more) * sizeof(entry *));
    if (!types) return NULL;
    *types = (weir__pgtypes){.overrides = from && from->overrides, .count = count};
    atomic_init(&types->references, 1);
    for (size_t i = 0; i < count; i++) {
        types->entries[i] = from->entries[i];
        atomic_fetch_add(&types->entries[i]->references, 1);
    }
    return types;
}

int weir__pgtypes_learn(weir__pgtypes **types, const weir_codec *codecs, size_t codec_count,
                        const PGresult *rows, weir_error *error) {
    weir__arena arena = {0};
    int count = PQntuples(rows), code = PQnfields(rows) == CELLS ? WEIR_OK : WEIR_EVALUE;
    weir__pgtypes *fresh = copy_table(*types, (size_t)count);
    if (!fresh) code = WEIR_ENOMEM;
    for (int i = 0; code == WEIR_OK && i < count; i++) {
        entry *e;
        code = read_row(rows, i, codecs, codec_count, &arena, &e);
        if (code == WEIR_OK && e) insert(fresh, e);
    }
    weir__arena_free(&arena);
    if (code == WEIR_OK) {
        fresh->looked = true;
        weir__pgtypes_unref(*types);
        *types = fresh;
        return WEIR_OK;
    }
    weir__pgtypes_unref(fresh);
    return weir__fail(error, code,
                      code == WEIR_ENOMEM ? "out of memory"
                                          : "what the server tells of its types cannot be understood");
}
