#include "metrics/exemplar.h"

#include <string.h>

#include "metrics/histogram.h"

#define COMMENT_MAX 1024 /* bytes of a text's end in which the comment is looked for */
#define KEY "traceparent='"
#define VALUE_LENGTH (3 + WEIR__TRACE_ID + 1 + WEIR__SPAN_ID + 3) /* 00-…-…-01 */

static bool is_hex(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) return false;
    return true;
}

/* The value of the key in [at, end[; NULL: it is not there, or is none. */
static const char *find_parent(const char *at, const char *end) {
    size_t key = strlen(KEY);
    for (; at + key + VALUE_LENGTH < end; at++)
        if (*at == 't' && memcmp(at, KEY, key) == 0) return at + key;
    return NULL;
}

/* The beginning of the text's last comment. */
static const char *last_comment(const char *sql, const char *end) {
    const char *least = end - sql > COMMENT_MAX ? end - COMMENT_MAX : sql;
    for (const char *at = end - 2; at > least; at--)
        if (at[-1] == '/' && at[0] == '*') return at;
    return NULL;
}

void weir__exemplar_take(weir__exemplars *exemplars, unsigned kind, const char *sql, size_t length,
                         int64_t ns, int64_t at_ms) {
    const char *end = sql + length, *comment = length > VALUE_LENGTH ? last_comment(sql, end) : NULL;
    const char *parent = comment ? find_parent(comment, end) : NULL;
    if (!parent) return;
    const char *trace = parent + 3, *span = trace + WEIR__TRACE_ID + 1, *flags = span + WEIR__SPAN_ID + 1;
    if (parent[2] != '-' || trace[WEIR__TRACE_ID] != '-' || flags[-1] != '-' || flags[2] != '\'') return;
    if (!is_hex(parent, 2) || !is_hex(trace, WEIR__TRACE_ID) || !is_hex(span, WEIR__SPAN_ID)) return;
    bool sampled = is_hex(flags, 2) && (flags[1] > '9' ? flags[1] - 'a' + 10 : flags[1] - '0') & 1;
    if (!sampled) return; /* nobody could look it up */
    weir__exemplar *to = &exemplars->bucket[weir__histogram_bucket(ns)];
    memcpy(to->trace, trace, WEIR__TRACE_ID);
    memcpy(to->span, span, WEIR__SPAN_ID);
    to->kind = kind;
    to->ns = ns;
    to->at_ms = at_ms;
}

void weir__exemplars_add(weir__exemplars *to, const weir__exemplars *more) {
    for (size_t n = 0; n < WEIR_HISTOGRAM_BUCKETS; n++)
        if (more->bucket[n].at_ms > to->bucket[n].at_ms) to->bucket[n] = more->bucket[n];
}
