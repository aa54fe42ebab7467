/*
 * Exemplars: with each bucket of the statements' durations, the trace of the last statement that fell into
 * it.
 *
 * A statement's trace is what sqlcommenter puts behind its text, as OpenTelemetry's instrumentations do when
 * they are told to: a comment with traceparent='00-…-…-01'. It is there for the server's log anyway, lives as
 * long as the statement, and needs no argument in any of the languages. The last slow statements' texts would
 * not do: what they say is the application's, and 128 characters are all that an exemplar may have. A text
 * that does not end with a comment costs the look at its last character.
 */
#ifndef WEIR_METRICS_EXEMPLAR_H
#define WEIR_METRICS_EXEMPLAR_H

#include <weirpool/snapshot.h>

enum { WEIR__TRACE_ID = 32, WEIR__SPAN_ID = 16 };

typedef struct weir__exemplar {
    char trace[WEIR__TRACE_ID], span[WEIR__SPAN_ID]; /* hexadecimal, no NUL */
    unsigned kind;                                   /* of failure; 0 when it has succeeded */
    int64_t ns;                                      /* what was observed … */
    int64_t at_ms;                                   /* … and when, since 1970; 0: there is none */
} weir__exemplar;

/* Of each bucket. All zero is none. */
typedef struct weir__exemplars {
    weir__exemplar bucket[WEIR_HISTOGRAM_BUCKETS];
} weir__exemplars;

static inline bool weir__ends_with_comment(const char *sql, size_t length) {
    if (length && sql[length - 1] == ';') length--;
    return length && sql[length - 1] == '/';
}
/* Keeps the trace of such a text, if it has one that is sampled. The caller serialises. */
void weir__exemplar_take(weir__exemplars *exemplars, unsigned kind, const char *sql, size_t length,
                         int64_t ns, int64_t at_ms);
/* Of each bucket the later one. */
void weir__exemplars_add(weir__exemplars *to, const weir__exemplars *more);

#endif
