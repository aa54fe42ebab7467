#include "metrics/failures.h"

#include <string.h>

#include "base/error.h"
#include "metrics/histogram.h"

static const char *const names[WEIR__FAILURES] = {
#define CODE(suffix, value, cls, parent, retryable, text) [(value)-1] = #cls,
#define CLASS(cls) #cls, /* behind the codes, whose last is the table's last */
    WEIR_ERRORS(CODE) WEIR__FAILURE_CLASSES(CLASS)
#undef CODE
#undef CLASS
};

const char *weir__failure_name(unsigned kind) { return names[kind]; }

static bool find(const char *name, unsigned *kind) {
    for (*kind = 0; *kind < WEIR__FAILURES; ++*kind)
        if (strcmp(names[*kind], name) == 0) return true;
    return false;
}

unsigned weir__failure_of(int code, const char *sqlstate) {
    unsigned kind;
    if (!weir_error_class(code)) code = WEIR_EINTERNAL;
    if (code != WEIR_ESERVER) return (unsigned)code - 1;
    if (find(weir_sqlstate_class(sqlstate), &kind)) return kind;
    const weir_error_info *row = weir__sqlstate_find(sqlstate); /* what is no family has one */
    return row && find(row->parent, &kind) ? kind : WEIR_ESERVER - 1;
}

void weir__failure_record(weir__failed kinds[WEIR__FAILURES], unsigned kind, int64_t ns) {
    weir__failed *failed = &kinds[kind];
    if (ns < 0) ns = 0;
    if (__builtin_add_overflow(failed->sum, ns, &failed->sum)) failed->sum = INT64_MAX;
    failed->buckets[weir__histogram_bucket(ns)]++;
}

void weir__failures_add(weir__failed to[WEIR__FAILURES], const weir__failed from[WEIR__FAILURES]) {
    for (unsigned kind = 0; kind < WEIR__FAILURES; kind++) {
        if (__builtin_add_overflow(to[kind].sum, from[kind].sum, &to[kind].sum)) to[kind].sum = INT64_MAX;
        for (size_t n = 0; n < WEIR_HISTOGRAM_BUCKETS; n++) to[kind].buckets[n] += from[kind].buckets[n];
    }
}
