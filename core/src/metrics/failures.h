/* Statements that failed, by what they failed with: the label error_type of their durations. */
#ifndef WEIR_METRICS_FAILURES_H
#define WEIR_METRICS_FAILURES_H

#include <weirpool/error.h>
#include <weirpool/snapshot.h>

/*
 * Kinds of failures are weirpool's errors, by their codes, and these: what a server's report is told as. They
 * are the exception classes that users know. Hundreds of SQLSTATEs would be too many for a label, so that one
 * counts as its family, but for those that stand here by themselves, since they are of no fault of the
 * statement's.
 */
#define WEIR__FAILURE_CLASSES(X)                                                                             \
    X(OperationalError)                                                                                      \
    X(IntegrityError)                                                                                        \
    X(ProgrammingError)                                                                                      \
    X(SerializationFailure)                                                                                  \
    X(DeadlockDetected)                                                                                      \
    X(QueryCanceled)

#define WEIR__ONE(...) +1
enum { WEIR__FAILURES = WEIR_ERRORS(WEIR__ONE) WEIR__FAILURE_CLASSES(WEIR__ONE) };
#undef WEIR__ONE

/* How long those of a kind took. All zero is none. */
typedef struct weir__failed {
    int64_t sum; /* ns */
    uint64_t buckets[WEIR_HISTOGRAM_BUCKETS];
} weir__failed;

/* The kind of an error of that code; a SQLSTATE counts where the code is WEIR_ESERVER. */
unsigned weir__failure_of(int code, const char *sqlstate);
/* Its name, static. */
const char *weir__failure_name(unsigned kind);
/* The caller serialises. */
void weir__failure_record(weir__failed kinds[WEIR__FAILURES], unsigned kind, int64_t ns);
/* Adds `from` to `to`. */
void weir__failures_add(weir__failed to[WEIR__FAILURES], const weir__failed from[WEIR__FAILURES]);

#endif
