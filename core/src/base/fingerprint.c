/* What statements have in common that differ in their literals alone. */
#include <string.h>

#include <weirpool/statement.h>

#include "base/sql.h"
#include "base/text.h"

#define READ_MOST ((size_t)1 << 16) /* of a text; what lies behind is cut off */

typedef struct writer {
    char *out;
    size_t length, room; /* without the NUL */
    bool blank;          /* one is to come before whatever comes next */
} writer;

static void put(writer *writer, const char *text, size_t length) {
    if (writer->blank && writer->length && writer->length < writer->room) writer->out[writer->length++] = ' ';
    writer->blank = false;
    if (length > writer->room - writer->length) length = writer->room - writer->length;
    memcpy(writer->out + writer->length, text, length);
    writer->length += length;
}

static bool ends_with(const writer *writer, const char *text) {
    size_t length = strlen(text);
    return writer->length >= length && memcmp(writer->out + writer->length - length, text, length) == 0;
}

/* A list of literals is one, however long it is. */
static void put_literal(writer *writer) {
    if (ends_with(writer, "?,"))
        writer->length--;
    else
        put(writer, "?", 1);
    writer->blank = false;
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

/* Behind 12, 1.5e-3, 0x1f, .5 */
static const char *skip_number(const char *p, const char *end) {
    for (; p < end && (weir__sql_in_word(*p) || *p == '.'); p++)
        if ((*p == 'e' || *p == 'E') && end - p > 1 && (p[1] == '-' || p[1] == '+')) p++;
    return p;
}

/* Behind $$…$$ and $tag$…$tag$; p: it is none. */
static const char *skip_dollars(const char *p, const char *end) {
    const char *tag = p + 1;
    if (tag < end && is_digit(*tag)) return p;
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
        put_literal(writer);
        return skip_quoted(p, end, false);
    }
    if (is_digit(*p) || (*p == '.' && end - p > 1 && is_digit(p[1]))) {
        put_literal(writer);
        return skip_number(p, end);
    }
    if (weir__sql_in_word(*p)) {
        while (p < end && (weir__sql_in_word(*p) || *p == '$')) p++;
        bool prefix = p < end && *p == '\'' && p - begin == 1 && strchr("eEbBxXnN", *begin);
        if (!prefix) {
            put(writer, begin, (size_t)(p - begin));
            return p;
        }
        put_literal(writer);
        return *begin == 'e' || *begin == 'E' ? skip_escaped(p, end) : skip_quoted(p, end, false);
    }
    if (*p == '$' && (p = skip_dollars(p, end)) != begin) {
        put_literal(writer);
        return p;
    }
    if (*p == '$') /* a parameter: $1 */
        while (end - p > 1 && is_digit(p[1])) p++;
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
            writer.blank = !ends_with(&writer, "(");
            p = next;
            continue;
        }
        if (*p == ')' || *p == ',') writer.blank = false;
        p = take_piece(&writer, p, end);
    }
    writer.length = weir__whole_characters(out, writer.length);
    out[writer.length] = '\0';
    return writer.length;
}
