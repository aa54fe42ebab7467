#include <string.h>
#include <strings.h>

#include "base/sql.h"
#include "config/reset.h"
#include "driver/postgres/pg.h"

/*
 * No parser: the first keyword says what a statement is, and words that occur anywhere in its text, be it in
 * a literal or in a comment, say what it may do. A wrong guess only costs a DISCARD ALL, or a connection;
 * what a user's function does by itself cannot be seen from here, unless the option reset_functions names it.
 * So a query that calls one is taken for a write, and one that calls functions of PostgreSQL's own is not.
 */

typedef struct word {
    const char *text;
    size_t length;
} word;

/* The next word at or after *at; *at moves behind it. */
static bool next_word(const char **at, const char *end, word *out) {
    const char *p = *at;
    while (p < end && !weir__sql_in_word(*p)) p++;
    const char *start = p;
    while (p < end && weir__sql_in_word(*p)) p++;
    *out = (word){start, (size_t)(p - start)};
    *at = p;
    return p > start;
}

static bool is(word w, const char *text) {
    return strlen(text) == w.length && strncasecmp(w.text, text, w.length) == 0;
}

static bool begins(word w, const char *prefix) {
    size_t length = strlen(prefix);
    return w.length >= length && strncasecmp(w.text, prefix, length) == 0;
}

static bool among(word w, const char *const *list) {
    for (; *list; list++)
        if (is(w, *list)) return true;
    return false;
}

/* Behind blanks and comments. */
static const char *skip_blanks(const char *p, const char *end) {
    for (;;) {
        const char *next = weir__sql_skip_comment(p, end);
        if (next == p && p < end && strchr(" \t\n\r\f\v", *p)) next = p + 1;
        if (next == p) return p;
        p = next;
    }
}

/* Whether a word in a text that begins at `sql` is a keyword, and not a quoted name. */
static bool is_bare(word w, const char *sql) { return w.text == sql || w.text[-1] != '"'; }

/* Behind a literal or a quoted name that begins at p. */
static const char *skip_quoted(const char *text, const char *p, const char *end) {
    char quote = *p;
    bool escapes =
        quote == '\'' && p > text && (p[-1] | 0x20) == 'e' && (p - 1 == text || !weir__sql_in_word(p[-2]));
    for (p++; p < end && *p != quote; p++)
        if (escapes && *p == '\\' && p + 1 < end) p++;
    return p < end ? p + 1 : p;
}

/* Behind $tag$ … $tag$ that begins at p, or behind the '$'. */
static const char *skip_dollars(const char *text, const char *p, const char *end) {
    const char *tag = p + 1;
    if (p > text && weir__sql_in_word(p[-1])) return p + 1;
    while (tag < end && weir__sql_in_word(*tag)) tag++;
    if (tag == end || *tag != '$') return p + 1;
    size_t length = (size_t)(tag - p) + 1;
    for (const char *q = tag + 1; q + length <= end; q++)
        if (memcmp(q, p, length) == 0) return q + length;
    return end;
}

/* Behind whatever at p has a form of its own, so that nothing in it counts; p when it is none of that. */
static const char *skip_opaque(const char *text, const char *p, const char *end) {
    if (*p == '\'' || *p == '"') return skip_quoted(text, p, end);
    if (*p == '$') return skip_dollars(text, p, end);
    return weir__sql_skip_comment(p, end);
}

/* Whether what follows set_config are arguments of which the last says `true`: for the transaction only. */
static bool is_local_config(const char *at, const char *end) {
    const char *p = skip_blanks(at, end), *text = p, *last = NULL;
    int depth = 0;
    while (p < end) {
        const char *next = skip_opaque(text, p, end);
        if (next > p) {
            p = next;
            continue;
        }
        if (depth == 0 && *p != '(') return false;
        depth += (*p == '(') - (*p == ')');
        if (depth == 0) break;
        if (depth == 1 && *p == ',') last = p + 1;
        p++;
    }
    word w;
    if (p == end || !last) return false;
    last = skip_blanks(last, p);
    return next_word(&last, p, &w) && is(w, "true") && skip_blanks(last, p) == p;
}

typedef struct words {
    bool temporary, into, create, hold, declare, client; /* client: STDIN or STDOUT */
    bool risky, retypes, guard, settings, lasting, analyze, calls;
} words;

static void look_at(word w, const char *end, words *seen) {
    /* Functions that change the session, or run a text that may; those of a transaction (…_xact_lock) have
     * other prefixes. */
    static const char *const changing[] = {"set_limit", "pg_temp", "ts_stat", "ts_rewrite", NULL};
    static const char *const prefixes[] = {
        "pg_advisory_lock", "pg_try_advisory_lock", "pg_temp_", "dblink", "pg_replication_origin_", NULL,
    };
    /* … and those whose traces DISCARD ALL leaves: connections, backups, slots that live with the session. */
    static const char *const lasting[] = {
        "dblink_connect",
        "pg_create_physical_replication",
        "pg_create_logical_replication",
        "pg_copy_logical",
        "pg_replication_origin_session_setup",
        "pg_copy_physical",
        "pg_backup_start",
        "pg_start_backup",
        NULL,
    };
    switch (w.text[0] | 0x20) {
    case 's':
        seen->guard = seen->guard || is(w, "statement_timeout");
        seen->client = seen->client || is(w, "stdin") || is(w, "stdout");
        if (is(w, "set_config")) {
            seen->retypes = true;
            seen->risky = seen->risky || !is_local_config(w.text + w.length, end);
        }
        seen->lasting = seen->lasting || is(w, "setseed");
        break;
    case 'a':
        seen->analyze = seen->analyze || is(w, "analyze") || is(w, "analyse");
        return;
    case 't':
        seen->temporary = seen->temporary || is(w, "temp") || is(w, "temporary");
        break;
    case 'i':
        seen->into = seen->into || is(w, "into");
        return;
    case 'c':
        seen->create = seen->create || is(w, "create");
        return;
    case 'h':
        seen->hold = seen->hold || is(w, "hold");
        return;
    case 'u': /* U&"…": a name in escapes, which may be any of those */
        if (is(w, "u") && end - w.text > 2 && memcmp(w.text + 1, "&\"", 2) == 0)
            seen->risky = seen->retypes = true;
        return;
    case 'q':
        seen->risky = seen->risky || begins(w, "query_to_xml");
        return;
    case 'p':
    case 'd':
        seen->declare = seen->declare || is(w, "declare");
        seen->settings = seen->settings || is(w, "pg_settings");
        for (const char *const *prefix = prefixes; *prefix; prefix++)
            seen->risky = seen->risky || begins(w, *prefix);
        for (const char *const *prefix = lasting; *prefix; prefix++)
            seen->lasting = seen->lasting || begins(w, *prefix);
        break;
    default:
        return;
    }
    seen->risky = seen->risky || among(w, changing);
}

/* SET, by the word behind it. */
static unsigned traits_of_set(const char *sql, const char *at, const char *end) {
    word w;
    at = weir__sql_skip_to_word(at, end);
    if (!next_word(&at, end, &w)) return WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES;
    if (is(w, "seed")) return WEIR__TRAIT_DIRTY | WEIR__TRAIT_LASTING;
    /* A name of those words, or one that begins with them ("local.tenant"), is a setting like any other. */
    at = skip_blanks(at, end);
    bool keyword = is_bare(w, sql) && at < end && (weir__sql_in_word(*at) || *at == '"');
    if (keyword && (is(w, "transaction") || is(w, "constraints"))) return 0;
    if (keyword && is(w, "local")) return WEIR__TRAIT_RETYPES;
    return WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES;
}

/* PREPARE, which may be PREPARE TRANSACTION 'name'. */
static unsigned traits_of_prepare(const char *sql, const char *at, const char *end) {
    word w;
    at = weir__sql_skip_to_word(at, end);
    if (!next_word(&at, end, &w) || !is(w, "transaction") || !is_bare(w, sql)) return WEIR__TRAIT_DIRTY;
    at = skip_blanks(at, end);
    return at < end && *at == '\'' ? WEIR__TRAIT_COMMITS : WEIR__TRAIT_DIRTY;
}

/* CREATE, by the words behind it. */
static unsigned traits_of_create(const char *at, const char *end) {
    static const char *const between[] = {"or", "replace", "global", "local", NULL};
    word w;
    do {
        at = weir__sql_skip_to_word(at, end);
    } while (next_word(&at, end, &w) && among(w, between));
    return is(w, "temp") || is(w, "temporary") ? WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES : 0;
}

/* DECLARE, by the words before FOR: only a cursor WITH HOLD outlives its transaction. */
static bool is_held(const char *at, const char *end) {
    word w;
    for (bool held = false;; held = held || is(w, "hold")) {
        at = weir__sql_skip_to_word(at, end);
        if (!next_word(&at, end, &w) || is(w, "for")) return held;
        if (is(w, "without")) return false;
    }
}

static unsigned traits_of_keyword(const char *sql, word first, const char *at, const char *end,
                                  const words *seen) {
    static const char *const queries[] = {"select", "with", "values", "table", "explain", NULL};
    static const char *const clean[] = {
        "insert",  "update", "delete",    "merge",    "show",       "notify",   "fetch",   "move",
        "close",   "begin",  "start",     "release",  "lock",       "analyze",  "vacuum",  "comment",
        "grant",   "revoke", "savepoint", "truncate", "alter",      "drop",     "reindex", "cluster",
        "refresh", "import", "copy",      "analyse",  "checkpoint", "security", NULL};
    static const char *const sweeping[] = {"reset", "discard", "do", "call", NULL};
    if (among(first, queries)) return seen->temporary && (seen->into || seen->create) ? WEIR__TRAIT_DIRTY : 0;
    if (is(first, "commit") || is(first, "end")) return WEIR__TRAIT_COMMITS;
    if (is(first, "copy")) return seen->client ? WEIR__TRAIT_COPY : 0;
    if (among(first, clean)) return 0;
    if (is(first, "rollback") || is(first, "abort")) return WEIR__TRAIT_UNGUARDS;
    if (is(first, "create")) return traits_of_create(at, end);
    if (is(first, "declare")) return is_held(at, end) ? WEIR__TRAIT_DIRTY : 0;
    if (is(first, "set")) return traits_of_set(sql, at, end);
    if (is(first, "prepare")) return traits_of_prepare(sql, at, end);
    if (is(first, "load")) return WEIR__TRAIT_DIRTY | WEIR__TRAIT_LASTING;
    unsigned traits = WEIR__TRAIT_DIRTY;
    if (is(first, "deallocate") || is(first, "discard")) traits |= WEIR__TRAIT_FORGETS;
    if (is(first, "call") || is(first, "do")) traits |= WEIR__TRAIT_PARTS;
    return among(first, sweeping) ? traits | WEIR__TRAIT_RETYPES | WEIR__TRAIT_UNGUARDS : traits;
}

/* A parenthesis behind a word may be a call; not of what everybody uses, and does nothing but reckon. */
static bool is_call(word w, const char *at, const char *end) {
    static const char *const harmless[] = {"in",    "and",      "or",     "not",   "from",   "where",  "as",
                                           "on",    "exists",   "any",    "all",   "select", "by",     "when",
                                           "then",  "else",     "values", "over",  "filter", "using",  "join",
                                           "union", "with",     "limit",  "count", "sum",    "min",    "max",
                                           "avg",   "coalesce", "nullif", "lower", "upper",  "length", NULL};
    if (at < end && *at == '$') return true;
    while (at < end && (*at == ' ' || (*at >= '\t' && *at <= '\r'))) at++;
    if (end - at >= 2 && (memcmp(at, "/*", 2) == 0 || memcmp(at, "--", 2) == 0)) return true; /* who knows */
    return at < end && *at == '(' && !among(w, harmless);
}

/* ---- functions that the user has listed */

static bool equal(const char *a, size_t a_length, const char *b, size_t b_length) {
    return a_length == b_length && strncasecmp(a, b, a_length) == 0;
}

/* The schema that stands before a name; empty when there is none, or nobody knows. */
static word schema_of(word name, const char *sql) {
    const char *p = name.text;
    if (p > sql && p[-1] == '"') p--;
    while (p > sql && strchr(" \t\n\r\f\v", p[-1])) p--;
    if (p == sql || *--p != '.') return (word){p, 0};
    while (p > sql && strchr(" \t\n\r\f\v\"", p[-1])) p--;
    const char *end = p;
    while (p > sql && weir__sql_in_word(p[-1])) p--;
    return (word){p, (size_t)(end - p)};
}

static bool is_listed(word w, const char *sql, const char *functions) {
    const char *name;
    size_t length;
    while ((name = weir__reset_next_function(&functions, &length))) {
        const char *dot = memchr(name, '.', length);
        size_t schema = dot ? (size_t)(dot - name) : 0, skipped = dot ? schema + 1 : 0;
        if (!equal(w.text, w.length, name + skipped, length - skipped)) continue;
        word before = schema_of(w, sql);
        if (!dot || !before.length || equal(before.text, before.length, name, schema)) return true;
    }
    return false;
}

/* ---- whether it only reads */

/* A word before a parenthesis. */
static bool may_write(word name, const char *sql) {
    word schema = schema_of(name, sql);
    bool foreign = schema.length && !is(schema, "pg_catalog");
    return foreign || !weir__pg_is_harmless(name.text, name.length);
}

/* Whether it calls a function that is not known to leave the database as it is. What stands behind AS is a
 * name with a list of columns, or a type. */
static bool calls_unknown(const char *sql, const char *end) {
    bool behind_as = false;
    for (const char *p = skip_blanks(sql, end), *behind; p < end; p = skip_blanks(behind, end)) {
        bool quoted = *p == '"';
        word w = {p, 0};
        behind = skip_opaque(sql, p, end);
        if (behind == p && weir__sql_in_word(*p)) {
            while (behind < end && (weir__sql_in_word(*behind) || *behind == '$')) behind++;
            w.length = (size_t)(behind - p);
        }
        if (behind == p) behind++;
        const char *next = skip_blanks(behind, end);
        bool called = (quoted || w.length) && next < end && *next == '(' && !behind_as;
        if (called && (quoted || may_write(w, sql))) return true;
        behind_as = is(w, "as");
    }
    return false;
}

static const char *const readers[] = {"select", "show", "values", "table", NULL};

/* EXPLAIN ANALYZE does what it explains. */
static unsigned traits_of_reading(const char *sql, word first, const char *end, const words *seen) {
    bool explains = is(first, "explain") && !seen->analyze;
    if ((!among(first, readers) && !explains) || seen->into) return 0;
    if (!explains && calls_unknown(sql, end)) return 0;
    return WEIR__TRAIT_READS | (seen->calls ? 0 : WEIR__TRAIT_SIMPLE);
}

/* Behind the table's name, which may have a list of columns. */
static const char *behind_table(const char *at, const char *end) {
    const char *text = at, *p = weir__sql_skip_to_word(at, end);
    word into;
    if (!next_word(&p, end, &into) || !is(into, "into")) return at;
    for (;; p++) {
        p = skip_blanks(p, end);
        if (p < end && *p == '"') p = skip_quoted(text, p, end);
        while (p < end && (weir__sql_in_word(*p) || *p == '$')) p++;
        p = skip_blanks(p, end);
        if (p == end || *p != '.') return p;
    }
}

static unsigned traits_of_changing(word first, const char *at, const char *end) {
    static const char *const changers[] = {"insert", "update", "delete", "merge", NULL};
    if (!among(first, changers)) return 0;
    return calls_unknown(is(first, "insert") ? behind_table(at, end) : at, end) ? 0 : WEIR__TRAIT_CHANGES;
}

unsigned weir__pg_traits(const char *sql, size_t length, const char *functions) {
    const char *end = sql + length, *at = sql;
    words seen = {0};
    bool listed = false;
    word w;
    while (next_word(&at, end, &w)) {
        look_at(w, end, &seen);
        listed = listed || (functions && is_listed(w, sql, functions));
        seen.calls = seen.calls || is_call(w, at, end);
    }

    at = weir__sql_skip_to_word(sql, end);
    if (!next_word(&at, end, &w)) return 0; /* nothing but comments */
    seen.calls = seen.calls || (memchr(sql, '"', length) && memchr(sql, '(', length)); /* "a name!" (1) */
    unsigned traits = traits_of_keyword(sql, w, at, end, &seen) | traits_of_reading(sql, w, end, &seen);
    traits |= traits_of_changing(w, at, end);
    if (seen.settings && !among(w, readers)) traits |= WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES;
    if (seen.lasting) traits |= WEIR__TRAIT_DIRTY | WEIR__TRAIT_LASTING;
    if (seen.risky || (seen.declare && seen.hold && !is(w, "declare"))) traits |= WEIR__TRAIT_DIRTY;
    if (seen.retypes) traits |= WEIR__TRAIT_RETYPES;
    if (listed) traits |= WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES | WEIR__TRAIT_UNGUARDS;
    if (seen.guard && !is(w, "show")) traits |= WEIR__TRAIT_GUARD | WEIR__TRAIT_DIRTY;
    return traits;
}

/* The kinds of statements that others may stand before and behind; what they leave behind their traits tell.
 */
static bool shares(word first) {
    static const char *const kinds[] = {"select", "with",   "values", "table",   "show", "insert",
                                        "update", "delete", "merge",  "explain", NULL};
    return among(first, kinds);
}

/* COMMIT PREPARED and ROLLBACK PREPARED are about a transaction that no connection has any more. */
static bool is_of_transactions(const char *sql, word first, const char *at, const char *end) {
    static const char *const kinds[] = {"begin", "start", "end", "abort", "release", "savepoint", NULL};
    word second;
    if (is(first, "prepare")) return traits_of_prepare(sql, at, end) & WEIR__TRAIT_COMMITS;
    if (!is(first, "commit") && !is(first, "rollback")) return among(first, kinds);
    at = weir__sql_skip_to_word(at, end);
    return !next_word(&at, end, &second) || !is(second, "prepared");
}

static bool changes_state(word first, const char *at, const char *end) {
    static const char *const kinds[] = {"prepare", "reset",   "set",      "discard",    "listen",
                                        "load",    "declare", "unlisten", "deallocate", NULL};
    return among(first, kinds) || (is(first, "create") && traits_of_create(at, end));
}

bool weir__pg_is_query(const weir_statement *statement) {
    static const char *const kinds[] = {"select", "with", "values", "table", NULL};
    const char *end = statement->sql + statement->sql_length,
               *at = weir__sql_skip_to_word(statement->sql, end);
    word first;
    return next_word(&at, end, &first) && among(first, kinds);
}

unsigned weir__pg_classify(const weir__env *env, const weir_statement *statement) {
    static const char *const readonly[] = {"select", "with", "values", "table", "show", "explain", NULL};
    const unsigned bad = WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES | WEIR__TRAIT_FORGETS | WEIR__TRAIT_GUARD |
                         WEIR__TRAIT_UNGUARDS | WEIR__TRAIT_COPY | WEIR__TRAIT_LASTING;
    const char *sql = statement->sql, *end = sql + statement->sql_length,
               *at = weir__sql_skip_to_word(sql, end);
    unsigned traits = weir__pg_traits(sql, statement->sql_length, env->config->options.reset_functions),
             out = 0;
    /* Where all is undone after each use, nobody relies on what is seen of a call. */
    weir__reset reset = env->config->reset;
    bool calls = (reset == WEIR__RESET_ALWAYS || reset == WEIR__RESET_SQL) && !(traits & WEIR__TRAIT_SIMPLE);
    word first;
    if (!next_word(&at, end, &first)) return 0;
    if (is_of_transactions(sql, first, at, end)) return WEIR__TEXT_STATE | WEIR__TEXT_TRANSACTION;
    if (changes_state(first, at, end))
        return WEIR__TEXT_STATE | (is(first, "listen") ? WEIR__TEXT_LISTEN : 0);
    if (among(first, readonly)) out |= WEIR__TEXT_READS;
    if (shares(first) && !(traits & bad) && !calls) out |= WEIR__TEXT_SHARES;
    if (traits & WEIR__TRAIT_SIMPLE) out |= WEIR__TEXT_AGAIN;
    return out;
}

/* ---- the option `reset` */

unsigned weir__pg_sweeps(const char *sql) {
    const char *end = sql + strlen(sql), *at = weir__sql_skip_to_word(sql, end);
    word first, second;
    if (!next_word(&at, end, &first)) return 0;
    at = weir__sql_skip_to_word(at, end);
    if (!next_word(&at, end, &second)) return 0;
    bool deallocates = is(first, "deallocate");
    if (deallocates && is(second, "prepare")) {
        at = weir__sql_skip_to_word(at, end);
        if (!next_word(&at, end, &second)) return 0;
    }
    if (!is(second, "all") || !is_bare(second, sql)) return 0;
    if (deallocates) return WEIR__TRAIT_FORGETS;
    if (is(first, "reset")) return WEIR__TRAIT_UNGUARDS;
    return is(first, "discard") ? WEIR__TRAIT_FORGETS | WEIR__TRAIT_UNGUARDS : 0;
}

void weir__pg_split(char *sql) {
    const char *end = sql + strlen(sql);
    for (char *p = sql; p < end;) {
        const char *behind = skip_opaque(sql, p, end);
        if (behind == p && *p == ';') *p = '\0';
        p += behind > p ? behind - p : 1;
    }
}

bool weir__pg_is_blank(const char *sql) {
    const char *end = sql + strlen(sql);
    return weir__sql_skip_to_word(sql, end) == end;
}
