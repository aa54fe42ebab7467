/* The table of a database's own types, and values of theirs in both forms, against a real server. */
#include <libpq-fe.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "driver/postgres/value.h"
#include "pg_host.h"
#include "pg_server.h"

static PGconn *pg;
static weir__pgtypes *types;

static PGresult *ask_server(const char *sql, int count, const Oid *oids, const char *const *values,
                            const int *lengths, const int *formats, int format) {
    PGresult *result = PQexecParams(pg, sql, count, oids, values, lengths, formats, format);
    ck_assert_msg(PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK,
                  "%s: %s", sql, PQerrorMessage(pg));
    return result;
}

static void command(const char *sql) { PQclear(ask_server(sql, 0, NULL, NULL, NULL, NULL, 0)); }

static Oid oid_of(const char *name) {
    PGresult *result = ask_server("SELECT $1::regtype::oid", 1, NULL, &name, NULL, NULL, 0);
    Oid oid = (Oid)strtoul(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return oid;
}

/* Asks the database when the table wants it, as the driver does. Whether it wanted it. */
static bool learn(const weir_codec *codecs, size_t codec_count, const Oid *oids, size_t count) {
    weir__buffer wanted = WEIR__BUFFER_INIT, names = WEIR__BUFFER_INIT;
    weir_error error = WEIR_ERROR_INIT;
    bool needed = weir__pgtypes_ask(types, codecs, codec_count, oids, count, &wanted, &names);
    if (needed) {
        const char *const values[] = {weir__buffer_string(&wanted), weir__buffer_string(&names)};
        PGresult *rows = ask_server(WEIR__PGTYPES_QUERY, 2, NULL, values, NULL, NULL, 0);
        ck_assert_msg(weir__pgtypes_learn(&types, codecs, codec_count, rows, &error) == WEIR_OK, "%s",
                      error.message);
        PQclear(rows);
    }
    weir__buffer_free(&wanted);
    weir__buffer_free(&names);
    return needed;
}

static bool learn_type(const char *name) {
    Oid oid = oid_of(name);
    return learn(NULL, 0, &oid, 1);
}

static const char *const definitions[] = {
    "CREATE TYPE mood AS ENUM ('so so', 'well', '\"')",
    "CREATE DOMAIN small AS int CHECK (value >= 0)",
    "CREATE DOMAIN digit AS small CHECK (value < 10)",
    "CREATE TYPE span AS RANGE (subtype = float8, multirange_type_name = spans)",
    "CREATE TYPE \"Home\" AS (street text, \"no, 1\" digit, moods mood[])",
    "CREATE TYPE person AS (name text, gone int, home \"Home\", tags hstore, span span, born date)",
    "ALTER TYPE person DROP ATTRIBUTE gone",
    "CREATE TYPE place AS (at point, name text)",
    "CREATE TYPE nothing AS ()",
    "CREATE DOMAIN homes AS \"Home\"[]",
    "CREATE DOMAIN note AS jsonb",
};

static void setup_types(void) {
    char url[200];
    free(pg_server_query("SET client_min_messages = error; DROP SCHEMA public CASCADE; CREATE SCHEMA public; "
                         "GRANT ALL ON SCHEMA public TO PUBLIC;"
                         "CREATE EXTENSION hstore"));
    pg = PQconnectdb(pg_server_url(url, sizeof url, ""));
    ck_assert_msg(PQstatus(pg) == CONNECTION_OK, "%s", PQerrorMessage(pg));
    command("SET client_min_messages = warning");
    for (size_t i = 0; i < sizeof definitions / sizeof definitions[0]; i++) command(definitions[i]);
}

static void teardown_types(void) {
    weir__pgtypes_unref(types);
    types = NULL;
    PQfinish(pg);
}

/* ---- values as text, so that they can be compared */

static void show(weir__buffer *out, const weir_value *value);

static void show_list(weir__buffer *out, const weir_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        if (i) weir__buffer_char(out, ' ');
        if (list->names) weir__buffer_printf(out, "%s=", list->names[i]);
        show(out, &list->items[i]);
    }
}

static void show(weir__buffer *out, const weir_value *value) {
    char text[WEIR_VALUE_TEXT];
    switch (value->type) {
    case WEIR_TYPE_NULL:
        weir__buffer_text(out, "null");
        break;
    case WEIR_TYPE_INT:
        weir__buffer_printf(out, "%lld", (long long)value->as.integer);
        break;
    case WEIR_TYPE_FLOAT:
        weir__buffer_printf(out, "%g", value->as.real);
        break;
    case WEIR_TYPE_RAW:
        weir__buffer_printf(out, "raw%d%s:", value->codec, value->binary ? "b" : "t");
        weir__buffer_append(out, value->as.bytes.data, value->as.bytes.length);
        break;
    case WEIR_TYPE_TEXT:
    case WEIR_TYPE_JSON:
    case WEIR_TYPE_NUMERIC:
        weir__buffer_append(out, value->as.bytes.data, value->as.bytes.length);
        break;
    case WEIR_TYPE_ARRAY:
        weir__buffer_char(out, '{');
        for (size_t i = 0; i < value->as.array->count; i++) {
            if (i) weir__buffer_char(out, ' ');
            show(out, &value->as.array->items[i]);
        }
        weir__buffer_char(out, '}');
        break;
    case WEIR_TYPE_RANGE:
        if (value->as.range->empty) {
            weir__buffer_text(out, "empty");
            break;
        }
        weir__buffer_char(out, value->as.range->lower_inc ? '[' : '(');
        show(out, &value->as.range->lower);
        weir__buffer_char(out, ',');
        show(out, &value->as.range->upper);
        weir__buffer_char(out, value->as.range->upper_inc ? ']' : ')');
        break;
    case WEIR_TYPE_MULTIRANGE:
    case WEIR_TYPE_RECORD:
    case WEIR_TYPE_MAP:
        weir__buffer_printf(out, "%s(", weir_type_name(value->type));
        show_list(out, value->as.list);
        weir__buffer_char(out, ')');
        break;
    default:
        weir_value_text(value, text);
        weir__buffer_text(out, text);
    }
}

/* A weir_value of the expression, decoded from that form. The result is to be cleared after its use. */
static int decode(const char *sql, int format, weir__arena *arena, PGresult **result, weir_value *out) {
    *result = ask_server(sql, 0, NULL, NULL, NULL, NULL, format);
    weir__pgin in = {.arena = arena, .types = types};
    ck_assert_int_eq(PQfformat(*result, 0), format);
    return weir__pg_decode(&in, PQftype(*result, 0), format, PQgetvalue(*result, 0, 0),
                           (size_t)PQgetlength(*result, 0, 0), out);
}

/* The value as the parameter of that type; typed: the driver knows it. Gives what the server makes of it. */
static char *send(const weir_value *value, Oid type, const char *name, bool typed) {
    char sql[160], *text;
    weir__pgargs args = {.types = &types};
    weir_error error = WEIR_ERROR_INIT;
    snprintf(sql, sizeof sql, "SELECT ($1::%s)::text", name);
    weir_statement *statement = weir_statement_new(sql, strlen(sql), NULL);
    weir_statement_add(statement, value);
    ck_assert_msg(weir__statement_check(statement, &error) == WEIR_OK, "%s", error.message);
    ck_assert_msg(weir__pg_encode(&args, statement, 0, typed ? &type : NULL, &error) == WEIR_OK, "%s: %s",
                  name, error.message);
    PGresult *result = ask_server(sql, 1, NULL, args.values, args.lengths, args.formats, 0);
    text = strdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    weir__pg_args_free(&args);
    weir_statement_unref(statement);
    return text;
}

/* From both forms the same value, as given; and it goes back in binary form and as a literal. `back`: without
 * types the literal cannot tell what a map is. */
static void same(const char *name, const char *literal, const char *shown, bool untyped) {
    char sql[400];
    snprintf(sql, sizeof sql, "SELECT %s::%s AS a", literal, name);
    Oid type = oid_of(name);
    learn(NULL, 0, &type, 1);
    PGresult *written = ask_server(sql, 0, NULL, NULL, NULL, NULL, 0);
    for (int format = 0; format < 2; format++) {
        weir__arena arena = {0};
        PGresult *result;
        weir_value value;
        weir__buffer text = WEIR__BUFFER_INIT;
        ck_assert_msg(decode(sql, format, &arena, &result, &value) == WEIR_OK, "%s in format %d", sql,
                      format);
        ck_assert(weir__pg_has_binary(types, PQftype(result, 0)));
        show(&text, &value);
        ck_assert_str_eq(weir__buffer_string(&text), shown);
        for (int typed = untyped ? 0 : 1; typed < 2; typed++) {
            char *back = send(&value, type, name, typed);
            ck_assert_str_eq(back, PQgetvalue(written, 0, 0));
            free(back);
        }
        weir__buffer_free(&text);
        weir__arena_free(&arena);
        PQclear(result);
    }
    PQclear(written);
}

/* ---- tests */

START_TEST(types_are_learnt_with_what_they_consist_of) {
    ck_assert(learn_type("person"));
    ck_assert(!learn_type("person"));
    const weir__pgtype *person = weir__pg_type(types, oid_of("person"));
    ck_assert_int_eq(person->kind, WEIR__PG_COMPOSITE);
    ck_assert_str_eq(person->name, "public.person");
    ck_assert_uint_eq(person->count, 5);
    ck_assert_str_eq(person->names[1], "home");
    ck_assert_uint_eq(person->types[0], WEIR__OID_TEXT);
    ck_assert_int_eq(person->codec, -1);
    static const struct {
        const char *name;
        weir__pgkind kind;
    } parts[] = {{"\"Home\"", WEIR__PG_COMPOSITE}, {"digit", WEIR__PG_DOMAIN},   {"small", WEIR__PG_DOMAIN},
                 {"mood[]", WEIR__PG_ARRAY},       {"mood", WEIR__PG_ENUM},      {"hstore", WEIR__PG_HSTORE},
                 {"span", WEIR__PG_RANGE},         {"int4range", WEIR__PG_RANGE}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        ck_assert_msg(!learn_type(parts[i].name), "%s", parts[i].name);
        ck_assert_int_eq(weir__pg_type(types, oid_of(parts[i].name))->kind, parts[i].kind);
    }
    ck_assert_uint_eq(weir__pg_type(types, oid_of("span"))->part, WEIR__OID_FLOAT8);
    ck_assert(weir__pg_has_binary(types, oid_of("person")));
    ck_assert(!weir__pg_has_binary(NULL, oid_of("person")));

    const weir__pgtypes *before = weir__pgtypes_ref(types); /* as a result has it */
    ck_assert(learn_type("place[]"));
    ck_assert(!weir__pg_has_binary(types, oid_of("place[]")));
    ck_assert(learn_type("spans"));
    ck_assert_int_eq(weir__pg_type(types, oid_of("spans"))->kind, WEIR__PG_MULTIRANGE);
    ck_assert_ptr_null(weir__pg_type(before, oid_of("place")));
    ck_assert_str_eq(weir__pg_type(before, oid_of("person"))->names[4], "born");
    weir__pgtypes_unref(before);

    Oid gone = 4000000000;
    ck_assert(learn(NULL, 0, &gone, 1));
    ck_assert(!learn(NULL, 0, &gone, 1));
    ck_assert_int_eq(weir__pg_type(types, gone)->kind, WEIR__PG_OTHER);
    ck_assert(!learn_type("int"));
    ck_assert_ptr_null(weir__pg_type(types, WEIR__OID_INT4));
}
END_TEST

START_TEST(values_of_own_types) {
    same("mood", "'so so'", "so so", true);
    same("mood[]", "array['so so', null, '\"']", "{so so null \"}", true);
    same("digit", "7", "7", true);
    same("digit[]", "array[7, null]", "{7 null}", true);
    same("note[]", "array['[1]']", "{[1]}", true);
    same("span", "'[1.5,)'", "[1.5,null)", true);
    same("span[]", "array['empty', '(1,2]', null]", "{empty (1,2] null}", true);
    same("spans", "'{[1,2],(7,9)}'", "multirange([1,2] (7,9))", true);
    same("spans[]", "array['{}', '{(,)}']", "{multirange() multirange((null,null))}", true);
    same("\"Home\"", "row('a \"b\" \\c, (d)', 5, '{well,NULL}')",
         "record(street=a \"b\" \\c, (d) no, 1=5 moods={well null})", true);
    same("\"Home\"", "row('', null, '{}')", "record(street= no, 1=null moods={})", true);
    same("\"Home\"", "row(null, null, null)", "record(street=null no, 1=null moods=null)", true);
    same("homes", "array[row('x', 1, null)]", "{record(street=x no, 1=1 moods=null)}", true);
    same("nothing", "row()", "record()", true);
    same("hstore", "'a=>1, \"b c\"=>NULL, \"\"=>\"q\\\"\\\\\"'", "map( q\"\\ a 1 b c null)", false);
    same("hstore", "''", "map()", false);
    same("hstore[]", "array['a=>\"\"', null]", "{map(a ) null}", false);
    same(
        "person", "row('Ann', row('x', 1, '{}'), 'k=>v', '[1,2)', '0044-03-15 BC')",
        "record(name=Ann home=record(street=x no, 1=1 moods={}) tags=map(k v) span=[1,2) born=0044-03-15 BC)",
        false);
    same("person[]", "array[row(null, row(null, null, '{\"\\\"\"}'), '', 'empty', 'infinity'), null]",
         "{record(name=null home=record(street=null no, 1=null moods={\"}) tags=map() span=empty "
         "born=infinity) null}",
         false);
}
END_TEST

/* What a value has as text only makes a literal of all that it is in. */
START_TEST(texts_within_own_types) {
    learn_type("person");
    weir_value home[] = {text_value("a,\"b\\"), int_value(3), null_value()},
               bounds[] = {real_value(1), real_value(2)};
    weir_value pairs[] = {text_value("k"), text_value("v\"\\"), text_value("l"), null_value()};
    weir_list homes = {.count = 3, .items = home}, map = {.count = 4, .items = pairs};
    weir_range range = {.lower_inc = true, .lower = bounds[0], .upper = bounds[1]};
    weir_value fields[] = {text_value("Ann"),
                           {.type = WEIR_TYPE_RECORD, .as.list = &homes},
                           {.type = WEIR_TYPE_MAP, .as.list = &map},
                           {.type = WEIR_TYPE_RANGE, .as.range = &range},
                           text_value("2024-02-29")};
    weir_list list = {.count = 5, .items = fields};
    weir_value person = {.type = WEIR_TYPE_RECORD, .as.list = &list};
    char *text = send(&person, oid_of("person"), "person", true);
    ck_assert_str_eq(text, "(Ann,\"(\"\"a,\"\"\"\"b\\\\\\\\\"\",3,)\","
                           "\"\"\"k\"\"=>\"\"v\\\\\"\"\\\\\\\\\"\", \"\"l\"\"=>NULL\",\"[1,2)\",2024-02-29)");
    free(text);
}
END_TEST

static void refused(const weir_value *value, const char *name, const char *why) {
    Oid type = oid_of(name);
    learn(NULL, 0, &type, 1);
    weir__pgargs args = {.types = &types};
    weir_error error = WEIR_ERROR_INIT;
    weir_statement *statement = statement_of("SELECT 1");
    weir_statement_add(statement, value);
    ck_assert_int_eq(weir__pg_encode(&args, statement, 0, &type, &error), WEIR_EVALUE);
    ck_assert_msg(strstr(error.message, why), "%s is not in: %s", why, error.message);
    weir_error_clear(&error);
    weir__pg_args_free(&args);
    weir_statement_unref(statement);
}

START_TEST(what_does_not_fit_is_refused) {
    weir_value n = int_value(3), two[] = {int_value(3), text_value("x")};
    weir_list list = {.count = 2, .items = two};
    weir_value record = {.type = WEIR_TYPE_RECORD, .as.list = &list};
    refused(&n, "person", "parameter $1: public.person takes record or text, not int");
    refused(&record, "person", "parameter $1: a record of 2, but the type has 5 fields");
    refused(&record, "place[]", "public.place takes record or text, not int");
    refused(&n, "hstore", "public.hstore takes a map of texts, or text, not int");
    refused(&n, "span", "public.span takes range or text, not int");
    refused(&two[1], "digit", "integer takes int, not text");
    refused(&record, "digit[]", "integer takes int, not text");
}
END_TEST

/* ---- codecs */

START_TEST(codecs_get_what_the_wire_has) {
    char number[16];
    snprintf(number, sizeof number, "%u", oid_of("mood"));
    const weir_codec codecs[] = {
        {"jsonb", true}, {number, false}, {"no.such_type", false}, {"\"Home\"", false}};
    Oid text = WEIR__OID_TEXT;
    ck_assert(learn(codecs, 4, &text, 1));
    ck_assert(!learn(codecs, 4, &text, 1));
    ck_assert_ptr_null(weir__pg_codec_type(types, WEIR__OID_TEXT));
    ck_assert_int_eq(weir__pg_codec_type(types, WEIR__OID_JSONB)->codec, 0);
    ck_assert(weir__pg_has_binary(types, WEIR__OID_JSONB));
    ck_assert(!weir__pg_has_binary(types, oid_of("mood")));
    ck_assert(!weir__pg_has_binary(types, oid_of("mood[]")));

    static const struct {
        const char *sql;
        int format;
        const char *shown;
    } cells[] = {
        {"SELECT jsonb '[1]'", 1, "raw0b:\1[1]"},
        {"SELECT jsonb '[1]'", 0, "raw0t:[1]"},
        {"SELECT array[jsonb '1']", 1,
         "{raw0b:\1"
         "1}"},
        {"SELECT mood 'well'", 0, "raw1t:well"},
        {"SELECT row('a', 1, null)::\"Home\"", 0, "raw3t:(a,1,)"},
    };
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++) {
        weir__arena arena = {0};
        weir__buffer out = WEIR__BUFFER_INIT;
        PGresult *result;
        weir_value value;
        ck_assert_int_eq(decode(cells[i].sql, cells[i].format, &arena, &result, &value), WEIR_OK);
        show(&out, &value);
        ck_assert_str_eq(weir__buffer_string(&out), cells[i].shown);
        weir__buffer_free(&out);
        weir__arena_free(&arena);
        PQclear(result);
    }
    weir_value raw = {.type = WEIR_TYPE_RAW, .codec = 0, .binary = true, .as.bytes = {"\1[2]", 4}},
               word = {.type = WEIR_TYPE_RAW, .codec = 1, .as.bytes = {"well", 4}};
    weir_array box = {.count = 1, .dimensions = 1, .lengths = {1}, .lower = {1}, .items = &raw};
    weir_value array = {.type = WEIR_TYPE_ARRAY, .as.array = &box};
    const struct {
        const weir_value *value;
        const char *name, *back;
    } sent[] = {
        {&raw, "jsonb", "[2]"}, {&raw, "note", "[2]"}, {&array, "jsonb[]", "{[2]}"}, {&word, "mood", "well"}};
    learn(codecs, 4, (Oid[]){oid_of("note")}, 1);
    for (size_t i = 0; i < sizeof sent / sizeof sent[0]; i++) {
        char *back = send(sent[i].value, oid_of(sent[i].name), sent[i].name, true);
        ck_assert_str_eq(back, sent[i].back);
        free(back);
    }
    refused(&raw, "text", "text takes no value of that codec");
    refused(&raw, "mood", "takes no value of that codec");
    box.items = &word;
    char *back = send(&array, oid_of("mood[]"), "mood[]", true);
    ck_assert_str_eq(back, "{well}");
    free(back);
}
END_TEST

/* ---- what must not happen */

static const struct {
    const char *sql, *type;
} messages[] = {
    {"SELECT row('Ann', row('x', 1, '{well,NULL}'), 'k=>v, l=>NULL', '[1,2)', '2024-02-29')::person",
     "person"},
    {"SELECT array[row('x', 1, '{}')]::homes", "homes"},
    {"SELECT spans '{[1,2],(7,9)}'", "spans"},
    {"SELECT array[span 'empty', '(,1]', null]", "span"},
    {"SELECT hstore 'a=>1,b=>NULL'", "hstore"},
    {"SELECT int4range(1, 5)", "int4range"},
    {"SELECT '{[2024-02-29,),(,1999-01-01)}'::datemultirange", "int4range"},
    {"SELECT row(1, 'a', row(null, numeric '1.5', array[1,2]))", "int4range"},
    {"SELECT array[row(1, true)]", "int4range"},
    {"SELECT varbit '101100111'", "int4range"},
    {"SELECT numrange(1.5, 2.25)", "int4range"},
};

/* Exactly so many bytes, so that a sanitizer sees the first one too many. */
static int decode_exact(Oid type, int format, const char *data, size_t length) {
    char *exact = malloc(length + (format == 0));
    weir__arena arena = {0};
    weir__pgin in = {.arena = &arena, .types = types};
    weir__buffer text = WEIR__BUFFER_INIT;
    weir_value value;
    memcpy(exact, data, length);
    if (format == 0) exact[length] = '\0';
    int code = weir__pg_decode(&in, type, format, exact, length, &value);
    ck_assert(code == WEIR_OK || code == WEIR_EVALUE);
    ck_assert_int_eq(in.depth, 0);
    if (code == WEIR_OK) show(&text, &value);
    weir__buffer_free(&text);
    weir__arena_free(&arena);
    free(exact);
    return code;
}

START_TEST(cut_messages_are_refused) {
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        learn_type(messages[i].type);
        for (int format = 0; format < 2; format++) {
            PGresult *result = ask_server(messages[i].sql, 0, NULL, NULL, NULL, NULL, format);
            Oid type = PQftype(result, 0);
            char *data = PQgetvalue(result, 0, 0);
            size_t length = (size_t)PQgetlength(result, 0, 0);
            /* the table may not know the array's type */
            learn(NULL, 0, &type, 1);
            ck_assert_int_eq(decode_exact(type, format, data, length), WEIR_OK);
            for (size_t cut = 0; cut < length; cut++) {
                int code = decode_exact(type, format, data, cut);
                /* a text of hstore that is cut between two pairs is one, and so is one of record or bits */
                if (format == 1) ck_assert_msg(code == WEIR_EVALUE, "%s, cut at %zu", messages[i].sql, cut);
            }
            for (size_t at = 0; at < length; at++) {
                static const unsigned char odd[] = {0,   1,    2,   3,   0x7f, 0x80, 0xff,
                                                    '"', '\\', ',', '(', ')',  '}'};
                char kept = data[at];
                for (size_t j = 0; j < sizeof odd; j++) {
                    data[at] = (char)odd[j];
                    if (format == 1 || odd[j]) decode_exact(type, format, data, length);
                }
                data[at] = kept;
            }
            PQclear(result);
        }
    }
}
END_TEST

START_TEST(deep_messages_are_refused) {
    weir__buffer out = WEIR__BUFFER_INIT;
    static const char head[] = "\0\0\0\1\0\0\x08\xc9"; /* one field, a record again */
    enum { DEEP = 100000 };
    for (int i = 0; i < DEEP; i++) {
        uint32_t left = (uint32_t)(DEEP - 1 - i) * 12;
        char length[4] = {(char)(left >> 24), (char)(left >> 16), (char)(left >> 8), (char)left};
        weir__buffer_append(&out, head, 8);
        weir__buffer_append(&out, length, 4);
    }
    ck_assert_int_eq(decode_exact(WEIR__OID_RECORD, 1, out.data, out.length), WEIR_EVALUE);
    weir__buffer_free(&out);
}
END_TEST

START_TEST(strange_rows_are_refused) {
    static const char *const rows[] = {
        "SELECT 1",
        "SELECT 'x', 'a.b', 'e', '0', NULL, NULL, NULL",
        "SELECT NULL, 'a.b', 'e', '0', NULL, NULL, NULL",
        "SELECT '4294967296', 'a.b', 'e', '0', NULL, NULL, NULL",
        "SELECT '20000', 'a.b', 'd', '-', NULL, NULL, NULL",
        "SELECT '20000', 'a.b', 'c', '0', '{1,2}', '{a}', NULL",
        "SELECT '20000', 'a.b', 'c', '0', '{1', '{a}', NULL",
        "SELECT '20000', 'a.b', 'c', '0', '{NULL}', '{a}', NULL",
        "SELECT '20000', 'a.b', 'c', '0', '{1}', '{NULL}', NULL",
        "SELECT '20000', 'a.b', 'c', '0', '{x}', '{a}', NULL",
        "SELECT '20000', 'a.b', 'e', '0', NULL, NULL, '1'",
    };
    learn_type("person");
    const weir__pgtypes *before = types;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        weir_error error = WEIR_ERROR_INIT;
        PGresult *result = ask_server(rows[i], 0, NULL, NULL, NULL, NULL, 0);
        ck_assert_msg(weir__pgtypes_learn(&types, NULL, 0, result, &error) == WEIR_EVALUE, "%s", rows[i]);
        ck_assert(types == before);
        weir_error_clear(&error);
        PQclear(result);
    }
}
END_TEST

START_TEST(altered_types_are_read_all_the_same) {
    learn_type("person");
    command("ALTER TYPE person DROP ATTRIBUTE tags, DROP ATTRIBUTE span");
    weir__arena arena = {0};
    weir__buffer text = WEIR__BUFFER_INIT;
    PGresult *result;
    weir_value value;
    ck_assert_int_eq(decode("SELECT row('a', null, null)::person", 1, &arena, &result, &value), WEIR_OK);
    show(&text, &value);
    ck_assert_str_eq(weir__buffer_string(&text), "record(a null null)");
    PQclear(result);
    ck_assert_int_eq(decode("SELECT row('a', null, null)::person", 0, &arena, &result, &value), WEIR_EVALUE);
    PQclear(result);
    weir__buffer_free(&text);
    weir__arena_free(&arena);
}
END_TEST

/* Learns, reads and writes. False: an allocation failed, and was reported. */
static bool live_with_types(const PGresult *rows, const PGresult *cells[2], const weir_codec *codecs) {
    weir__pgtypes *own = NULL;
    weir__arena arena = {0};
    weir__pgargs args = {.types = &own};
    weir_value value;
    weir__buffer wanted = WEIR__BUFFER_INIT, names = WEIR__BUFFER_INIT;
    Oid type = PQftype(cells[0], 0);
    int code = WEIR_OK;
    ck_assert(weir__pgtypes_ask(NULL, codecs, 1, &type, 1, &wanted, &names));
    if (wanted.broken || names.broken) code = WEIR_ENOMEM;
    if (code == WEIR_OK) code = weir__pgtypes_learn(&own, codecs, 1, rows, NULL);
    for (int format = 0; code == WEIR_OK && format < 2; format++) {
        weir__pgin in = {.arena = &arena, .types = own};
        code = weir__pg_decode(&in, type, format, PQgetvalue(cells[format], 0, 0),
                               (size_t)PQgetlength(cells[format], 0, 0), &value);
    }
    weir_statement *statement = code == WEIR_OK ? weir_statement_new("x", 1, NULL) : NULL;
    if (code == WEIR_OK && !statement) code = WEIR_ENOMEM;
    weir_statement_add(statement, &value);
    if (code == WEIR_OK) code = weir__statement_check(statement, NULL);
    if (code == WEIR_OK) code = weir__pg_encode(&args, statement, 0, &type, NULL);
    if (code == WEIR_OK) code = weir__pg_encode(&args, statement, 0, NULL, NULL);
    ck_assert(code == WEIR_OK || code == WEIR_ENOMEM);
    weir_statement_unref(statement);
    weir__pg_args_free(&args);
    weir__buffer_free(&wanted);
    weir__buffer_free(&names);
    weir__arena_free(&arena);
    weir__pgtypes_unref(own);
    return code == WEIR_OK;
}

START_TEST(memory_runs_out) {
    static const weir_codec codec = {"\"Home\".\"x\"", false};
    char wanted[40];
    const char *const values[] = {wanted, "{\"\\\"Home\\\".\\\"x\\\"\"}"};
    const PGresult *cells[2];
    snprintf(wanted, sizeof wanted, "{%u}", oid_of("person"));
    command("CREATE SCHEMA \"Home\"");
    PGresult *rows = ask_server(WEIR__PGTYPES_QUERY, 2, NULL, values, NULL, NULL, 0);
    for (int format = 0; format < 2; format++)
        cells[format] = ask_server(messages[0].sql, 0, NULL, NULL, NULL, NULL, format);
    bool succeeded = false;
    for (long k = 1; !succeeded; k++) {
        long before = weir__alloc_live();
        weir__alloc_fail_at(k, false);
        bool lived = live_with_types(rows, cells, &codec);
        succeeded = lived && weir__alloc_count() < k;
        weir__alloc_fail_at(0, false);
        ck_assert_msg(weir__alloc_live() == before, "allocation %ld: %ld blocks are left", k,
                      weir__alloc_live() - before);
    }
    for (int format = 0; format < 2; format++) PQclear((PGresult *)cells[format]);
    PQclear(rows);
}
END_TEST

static Suite *make_suite(void) {
    Suite *suite = suite_create("postgres_types");
    TCase *tests = tcase_create("types");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup_types, teardown_types);
    tcase_add_test(tests, types_are_learnt_with_what_they_consist_of);
    tcase_add_test(tests, values_of_own_types);
    tcase_add_test(tests, texts_within_own_types);
    tcase_add_test(tests, what_does_not_fit_is_refused);
    tcase_add_test(tests, codecs_get_what_the_wire_has);
    tcase_add_test(tests, cut_messages_are_refused);
    tcase_add_test(tests, deep_messages_are_refused);
    tcase_add_test(tests, strange_rows_are_refused);
    tcase_add_test(tests, altered_types_are_read_all_the_same);
    tcase_add_test(tests, memory_runs_out);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void) {
    pg_server_start();
    return run_suite(make_suite());
}
