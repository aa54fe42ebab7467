/* What statements have in common that differ in their literals and parameters alone. */
#include <string.h>
#include <strings.h>

#include <weirpool/statement.h>

#include "base/sql.h"
#include "base/text.h"

enum {
    READ_MOST = 1 << 16, /* of a text; what lies behind is cut off */
    DEEPEST = 16         /* brackets in which lists are folded */
};

typedef struct writer {
    char *out;
    size_t length, room;   /* without the NUL */
    bool blank;            /* one is to come before whatever comes next */
    size_t depth;          /* of brackets */
    size_t items[DEEPEST]; /* where what is written began, behind a bracket or a comma; at each depth */
} writer;

static void put(writer *writer, const char *text, size_t length) {
    if (writer->blank && writer->length && writer->length < writer->room) writer->out[writer->length++] = ' ';
    writer->blank = false;
    if (length > writer->room - writer->length) length = writer->room - writer->length;
    memcpy(writer->out + writer->length, text, length);
    writer->length += length;
}

static bool in_any(char c, const char *list) { return c && strchr(list, c); }

/* The items of a list that are alike and have a literal are one, however many they are: the last is taken
 * back. */
static void fold(writer *writer) {
    if (writer->depth >= DEEPEST) return;
    const char *out = writer->out;
    size_t begin = writer->items[writer->depth];
    if (!begin || begin >= writer->length || out[begin - 1] != ',') return;
    size_t end = begin - 1; /* of the item before */
    begin += out[begin] == ' ';
    size_t length = writer->length - begin;
    if (length > end || !memchr(out + begin, '?', length)) return;
    size_t twin = end - length;
    bool whole =
        !twin || in_any(out[twin - 1], "([,") ||
        (twin > 1 && out[twin - 1] == ' ' && (out[twin - 2] == ',' || weir__sql_in_word(out[twin - 2])));
    if (!whole || memcmp(out + twin, out + begin, length) != 0) return;
    writer->length = end;
    writer->items[writer->depth] = twin;
}

/* VALUES(1) is written like VALUES (1). */
static bool behind_values(const writer *writer) {
    size_t length = writer->length;
    return length >= 6 && strncasecmp(writer->out + length - 6, "values", 6) == 0 &&
           (length == 6 || !weir__sql_in_word(writer->out[length - 7]));
}

static void enter_or_leave(writer *writer, char c) {
    if (in_any(c, "(["))
        writer->depth++;
    else if (in_any(c, ")]"))
        writer->depth -= writer->depth > 0;
    if (in_any(c, "([,") && writer->depth < DEEPEST) writer->items[writer->depth] = writer->length;
}

static bool is_blank(char c) { return strchr(" \t\n\r\f\v", c); } /* a NUL, too */

/* Behind the closing quote, which is doubled where it is meant. */
static const char *skip_quoted(const char *p, const char *end, bool backslashes) {
    char quote = *p++;
    for (; p < end; p++) {
        if (*p == '\\' && backslashes && end - p > 1)
            p++;
        else if (*p == quote && end - p > 1 && p[1] == quote)
            p++;
        else if (*p == quote)
            return p + 1;
    }
    return end;
}

/* Behind E'…', and what continues it behind a blank: E'a'
 * 'b\'c' is one text, with backslashes in all of it. */
static const char *skip_escaped(const char *p, const char *end) {
    for (;;) {
        p = skip_quoted(p, end, true);
        const char *next = p, *before;
        do {
            before = next;
            next = weir__sql_skip_comment(next, end);
            while (next < end && is_blank(*next)) next++;
        } while (next != before);
        if (next == p || next == end || *next != '\'') return p;
        p = next;
    }
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_number(const char *p, const char *end) {
    return p < end && (is_digit(*p) || (*p == '.' && end - p > 1 && is_digit(p[1])));
}

/* Behind 12, 1.5e-3, 0x1f, .5 */
static const char *skip_number(const char *p, const char *end) {
    for (; p < end && (weir__sql_in_word(*p) || *p == '.'); p++)
        if ((*p == 'e' || *p == 'E') && end - p > 1 && (p[1] == '-' || p[1] == '+')) p++;
    return p;
}

/* Behind $1, $$…$$ and $tag$…$tag$; p: it is none. */
static const char *skip_dollars(const char *p, const char *end) {
    const char *tag = p + 1;
    if (tag < end && is_digit(*tag)) {
        while (tag < end && is_digit(*tag)) tag++;
        return tag;
    }
    while (tag < end && weir__sql_in_word(*tag)) tag++;
    if (tag == end || *tag != '$') return p;
    size_t length = (size_t)(tag + 1 - p);
    for (const char *q = tag + 1; (size_t)(end - q) >= length; q++)
        if (memcmp(q, p, length) == 0) return q + length;
    return end;
}

/* One word, number, literal or sign. */
static const char *take_piece(writer *writer, const char *p, const char *end) {
    const char *begin = p;
    if (*p == '\'') {
        put(writer, "?", 1);
        return skip_quoted(p, end, false);
    }
    bool sign = in_any(*p, "+-") && writer->length && in_any(writer->out[writer->length - 1], "([,=<>");
    if (is_number(p + sign, end)) {
        put(writer, "?", 1);
        return skip_number(p + sign, end);
    }
    if (weir__sql_in_word(*p)) {
        while (p < end && (weir__sql_in_word(*p) || *p == '$')) p++;
        bool prefix = p < end && *p == '\'' && p - begin == 1 && strchr("eEbBxXnN", *begin);
        if (!prefix) {
            put(writer, begin, (size_t)(p - begin));
            return p;
        }
        put(writer, "?", 1);
        return *begin == 'e' || *begin == 'E' ? skip_escaped(p, end) : skip_quoted(p, end, false);
    }
    if (*p == '$' && (p = skip_dollars(p, end)) != begin) {
        put(writer, "?", 1);
        return p;
    }
    p = *begin == '"' ? skip_quoted(begin, end, false) : p + 1;
    put(writer, begin, (size_t)(p - begin));
    return p;
}

size_t weir_statement_fingerprint(const char *sql, size_t length, char *out, size_t size) {
    if (!out || !size) return 0;
    if (!sql) length = 0;
    const char *p = sql, *end = sql + (length < READ_MOST ? length : READ_MOST);
    writer writer = {.out = out, .room = size - 1};
    while (p < end && writer.length < writer.room) {
        const char *next = weir__sql_skip_comment(p, end);
        if (next == p && is_blank(*p)) next++;
        if (next != p) {
            writer.blank = !writer.length || !in_any(out[writer.length - 1], "([");
            p = next;
            continue;
        }
        char first = *p;
        if (in_any(first, ",;)]") || (writer.blank && weir__sql_in_word(first))) fold(&writer);
        if (in_any(first, ",)]")) writer.blank = false;
        if (first == '(' && behind_values(&writer)) writer.blank = true;
        p = take_piece(&writer, p, end);
        enter_or_leave(&writer, first);
    }
    fold(&writer);
    writer.length = weir__whole_characters(out, writer.length);
    out[writer.length] = '\0';
    return writer.length;
}
