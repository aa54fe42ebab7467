#include <string.h>
#include <strings.h>

#include "driver/postgres/cache.h"

/*
 * No parser: the first keyword says what a statement is, and words that occur anywhere in its text, be it in
 * a literal or in a comment, say what it may do. A wrong guess only costs a DISCARD ALL; what a user's
 * function does by itself cannot be seen from here.
 */

typedef struct word {
    const char *text;
    size_t length;
} word;

static bool in_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* The next word at or after *at; *at moves behind it. */
static bool next_word(const char **at, const char *end, word *out) {
    const char *p = *at;
    while (p < end && !in_word(*p)) p++;
    const char *start = p;
    while (p < end && in_word(*p)) p++;
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

/* Behind a comment that begins at p, or p. Block comments nest. */
static const char *skip_comment(const char *p, const char *end) {
    if (end - p < 2) return p;
    if (p[0] == '-' && p[1] == '-') {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        return newline ? newline : end;
    }
    if (p[0] != '/' || p[1] != '*') return p;
    int depth = 0;
    while (p < end) {
        if (end - p >= 2 && p[0] == '/' && p[1] == '*') {
            depth++;
            p += 2;
        } else if (end - p >= 2 && p[0] == '*' && p[1] == '/') {
            p += 2;
            if (--depth == 0) return p;
        } else {
            p++;
        }
    }
    return p;
}

/* The statement's first letter: behind blanks, comments, and what may stand before a SELECT. */
static const char *skip_to_keyword(const char *p, const char *end) {
    while (p < end && !in_word(*p)) {
        const char *next = skip_comment(p, end);
        p = next > p ? next : p + 1;
    }
    return p;
}

typedef struct words {
    bool temporary, into, create, hold, declare, client; /* client: STDIN or STDOUT */
    bool risky, retypes, guard;
} words;

static void look_at(word w, words *seen) {
    /* Functions that change the session; those of a transaction (…_xact_lock) have other prefixes. */
    static const char *const changing[] = {"set_config", "setseed", "set_limit", "pg_temp", NULL};
    static const char *const prefixes[] = {
        "pg_advisory_lock",       "pg_try_advisory_lock",          "pg_temp_", "dblink",
        "pg_replication_origin_", "pg_create_logical_replication", NULL,
    };
    switch (w.text[0] | 0x20) {
    case 's':
        seen->guard = seen->guard || is(w, "statement_timeout");
        seen->client = seen->client || is(w, "stdin") || is(w, "stdout");
        seen->retypes = seen->retypes || is(w, "set_config");
        break;
    case 't':
        seen->temporary = seen->temporary || is(w, "temp") || is(w, "temporary");
        return;
    case 'i':
        seen->into = seen->into || is(w, "into");
        return;
    case 'c':
        seen->create = seen->create || is(w, "create");
        return;
    case 'h':
        seen->hold = seen->hold || is(w, "hold");
        return;
    case 'p':
    case 'd':
        seen->declare = seen->declare || is(w, "declare");
        for (const char *const *prefix = prefixes; *prefix; prefix++)
            seen->risky = seen->risky || begins(w, *prefix);
        break;
    default:
        return;
    }
    seen->risky = seen->risky || among(w, changing);
}

/* SET, by the word behind it. */
static unsigned traits_of_set(const char *at, const char *end) {
    word w;
    at = skip_to_keyword(at, end);
    if (!next_word(&at, end, &w)) return WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES;
    if (is(w, "transaction") || is(w, "constraints")) return 0;
    if (is(w, "local")) return WEIR__TRAIT_RETYPES;
    return WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES;
}

/* CREATE, by the words behind it. */
static unsigned traits_of_create(const char *at, const char *end) {
    static const char *const between[] = {"or", "replace", "global", "local", NULL};
    word w;
    do {
        at = skip_to_keyword(at, end);
    } while (next_word(&at, end, &w) && among(w, between));
    return is(w, "temp") || is(w, "temporary") ? WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES : 0;
}

static unsigned traits_of_keyword(word first, const char *at, const char *end, const words *seen) {
    static const char *const queries[] = {"select", "with", "values", "table", "explain", NULL};
    static const char *const clean[] = {
        "insert", "update", "delete",    "merge",      "show",     "notify", "fetch",   "move",    "close",
        "begin",  "start",  "commit",    "end",        "release",  "lock",   "analyze", "vacuum",  "comment",
        "grant",  "revoke", "savepoint", "truncate",   "alter",    "drop",   "reindex", "cluster", "refresh",
        "import", "copy",   "analyse",   "checkpoint", "security", NULL};
    static const char *const sweeping[] = {"reset", "discard", "do", "call", NULL};
    if (among(first, queries)) return seen->temporary && (seen->into || seen->create) ? WEIR__TRAIT_DIRTY : 0;
    if (is(first, "copy")) return seen->client ? WEIR__TRAIT_COPY : 0;
    if (among(first, clean)) return 0;
    if (is(first, "rollback") || is(first, "abort")) return WEIR__TRAIT_UNGUARDS;
    if (is(first, "create")) return traits_of_create(at, end);
    if (is(first, "declare")) return seen->hold ? WEIR__TRAIT_DIRTY : 0;
    if (is(first, "set")) return traits_of_set(at, end);
    if (is(first, "prepare")) {
        word w;
        return next_word(&at, end, &w) && is(w, "transaction") ? 0 : WEIR__TRAIT_DIRTY;
    }
    unsigned traits = WEIR__TRAIT_DIRTY;
    if (is(first, "deallocate") || is(first, "discard")) traits |= WEIR__TRAIT_FORGETS;
    return among(first, sweeping) ? traits | WEIR__TRAIT_RETYPES | WEIR__TRAIT_UNGUARDS : traits;
}

unsigned weir__pg_traits(const char *sql, size_t length) {
    const char *end = sql + length, *at = sql;
    words seen = {0};
    word w;
    while (next_word(&at, end, &w)) look_at(w, &seen);

    at = skip_to_keyword(sql, end);
    if (!next_word(&at, end, &w)) return 0; /* nothing but comments */
    unsigned traits = traits_of_keyword(w, at, end, &seen);
    if (seen.risky || (seen.declare && seen.hold)) traits |= WEIR__TRAIT_DIRTY;
    if (seen.retypes) traits |= WEIR__TRAIT_RETYPES;
    if (seen.guard && !is(w, "show")) traits |= WEIR__TRAIT_GUARD | WEIR__TRAIT_DIRTY;
    return traits;
}
