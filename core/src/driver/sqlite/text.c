/* Just enough reading of SQL to know what a text does: the rest is SQLite's. */
#include <string.h>
#include <strings.h>

#include "driver/sqlite/sqlite.h"

#define WORD 24 /* longer than every keyword that matters */

const char *weir__sqlite_skip(const char *text, bool semicolons) {
    for (;;) {
        if (*text == ' ' || (*text >= '\t' && *text <= '\r') || (semicolons && *text == ';')) {
            text++;
        } else if (strncmp(text, "\xef\xbb\xbf", 3) == 0) { /* SQLite takes the byte order mark for a blank */
            text += 3;
        } else if (text[0] == '-' && text[1] == '-') {
            text += strcspn(text, "\n");
        } else if (text[0] == '/' && text[1] == '*') {
            const char *end = strstr(text + 2, "*/");
            text = end ? end + 2 : text + strlen(text);
        } else {
            return text;
        }
    }
}

static bool in_word(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || c >= 0x80;
}

/* The word that comes next, in capitals, cut when it is long; "" when none does. Gives what follows it. */
static const char *next_word(const char *text, char out[WORD]) {
    size_t length = 0;
    text = weir__sqlite_skip(text, false);
    for (; in_word((unsigned char)*text); text++)
        if (length < WORD - 1) out[length++] = (char)(*text >= 'a' && *text <= 'z' ? *text - 32 : *text);
    out[length] = '\0';
    return text;
}

/* Past a quoted name or text; a doubled quote inside does no harm, it is two of them. */
static const char *skip_quoted(const char *text) {
    char end = *text == '[' ? ']' : *text;
    const char *close = strchr(text + 1, end);
    return close ? close + 1 : text + strlen(text);
}

static bool is_any(const char *word, const char *const *list) {
    for (; *list; list++)
        if (strcmp(word, *list) == 0) return true;
    return false;
}

/* What a text does that begins with WITH: its first such word outside of parentheses. */
static void main_verb(const char *text, char out[WORD]) {
    static const char *const verbs[] = {"SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE", NULL};
    int depth = 0;
    while (*(text = weir__sqlite_skip(text, false))) {
        if (strchr("'\"`[", *text)) {
            text = skip_quoted(text);
        } else if (in_word((unsigned char)*text)) {
            text = next_word(text, out);
            if (depth == 0 && is_any(out, verbs)) return;
        } else {
            depth += (*text == '(') - (*text == ')');
            text++;
        }
    }
    strcpy(out, "SELECT");
}

static void set_tag(weir__sqlite_shape *shape, const char *first, const char *second) {
    size_t length = strlen(first);
    memcpy(shape->tag, first, length + 1);
    if (!*second || length + 1 + strlen(second) >= sizeof shape->tag) return;
    shape->tag[length] = ' ';
    strcpy(shape->tag + length + 1, second);
}

/* ROLLBACK [TRANSACTION] [TO …] */
static weir__sqlite_verb rollback_verb(const char *text) {
    char word[WORD];
    text = next_word(text, word);
    if (strcmp(word, "TRANSACTION") == 0) next_word(text, word);
    return strcmp(word, "TO") == 0 ? WEIR__SQLITE_ROLLBACK_TO : WEIR__SQLITE_ROLLBACK;
}

/* CREATE, DROP, ALTER: with the kind of thing, whatever stands before it. */
static void tag_with_object(weir__sqlite_shape *shape, const char *verb, const char *text) {
    static const char *const between[] = {"TEMP", "TEMPORARY", "UNIQUE", "VIRTUAL", NULL};
    char word[WORD];
    do {
        text = next_word(text, word);
    } while (is_any(word, between));
    set_tag(shape, verb, word);
}

void weir__sqlite_look(const char *sql, weir__sqlite_shape *out) {
    char verb[WORD];
    const char *rest = next_word(weir__sqlite_skip(sql, true), verb);
    *out = (weir__sqlite_shape){"", WEIR__SQLITE_OTHER, WEIR__SQLITE_NO_COUNT};
    if (strcmp(verb, "WITH") == 0) main_verb(rest, verb);
    if (strcmp(verb, "SELECT") == 0 || strcmp(verb, "VALUES") == 0) {
        set_tag(out, "SELECT", "");
        out->count = WEIR__SQLITE_ROWS;
    } else if (strcmp(verb, "INSERT") == 0 || strcmp(verb, "REPLACE") == 0) {
        set_tag(out, "INSERT", "0"); /* the 0 is an object id that PostgreSQL no longer has, either */
        out->count = WEIR__SQLITE_CHANGES;
    } else if (strcmp(verb, "UPDATE") == 0 || strcmp(verb, "DELETE") == 0) {
        set_tag(out, verb, "");
        out->count = WEIR__SQLITE_CHANGES;
    } else if (strcmp(verb, "CREATE") == 0 || strcmp(verb, "DROP") == 0 || strcmp(verb, "ALTER") == 0) {
        tag_with_object(out, verb, rest);
    } else if (strcmp(verb, "COMMIT") == 0 || strcmp(verb, "END") == 0) {
        set_tag(out, "COMMIT", "");
        out->verb = WEIR__SQLITE_COMMIT;
    } else {
        set_tag(out, verb, "");
        if (strcmp(verb, "ROLLBACK") == 0) out->verb = rollback_verb(rest);
        if (strcmp(verb, "RELEASE") == 0) out->verb = WEIR__SQLITE_RELEASE;
    }
}

bool weir__sqlite_leaves(const char *script) {
    weir__sqlite_shape shape;
    while (*(script = weir__sqlite_skip(script, true))) {
        weir__sqlite_look(script, &shape);
        if (shape.verb != WEIR__SQLITE_OTHER && shape.verb != WEIR__SQLITE_ROLLBACK_TO) return true;
        for (; *script && *script != ';'; script = weir__sqlite_skip(script, false))
            script = strchr("'\"`[", *script) ? skip_quoted(script) : script + 1;
    }
    return false;
}

unsigned weir__sqlite_classify(const weir__env *env, const weir_statement *statement) {
    static const char *const verbs[] = {"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", NULL};
    char verb[WORD];
    (void)env;
    next_word(weir__sqlite_skip(statement->sql, true), verb);
    return is_any(verb, verbs) ? WEIR__TEXT_TRANSACTION : 0;
}
