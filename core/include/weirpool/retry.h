/*
 * Repeating a whole transaction that the database, or the loss of its connection, has undone: may it be
 * repeated after this error, after which pause, and is there time left? Nothing here waits or runs anything:
 *
 *     weir_retry_init(&retry);  weir_retry_begin(&retry, weir_now_ns(), &error);
 *     for (;;) {
 *         check out with the time-out weir_retry_left(), run the transaction, commit;  done when that
 * succeeds int64_t pause = weir_retry_next(&retry, &error, weir_now_ns()); if (pause < 0) give the error to
 * the caller; weir_reactor_sleep(reactor, pause, …);
 *     }
 */
#ifndef WEIRPOOL_RETRY_H
#define WEIRPOOL_RETRY_H

#include <weirpool/error.h>

WEIR_BEGIN_DECLS

#define WEIR_RETRIES_MAX 1000

/* The caller's, on its stack; one run, one thread. The first five fields may be set between init and begin.
 */
typedef struct weir_retry {
    size_t size;          /* sizeof(weir_retry), by weir_retry_init */
    int64_t retries;      /* repetitions after the first attempt, 0 … WEIR_RETRIES_MAX; 3 */
    int64_t timeout_ms;   /* over all attempts and pauses; -1: none */
    int64_t pause_min_ms; /* bound of the first pause, doubled each time, full jitter; 10 */
    int64_t pause_max_ms; /* … and the most that it grows to; 1000 */
    uint64_t random;      /* the jitter's state; a test may set it after begin */
    int64_t deadline_ns;
    int attempts;    /* that have failed, as weir_retry_next has been told */
    const char *why; /* the last was the end; NULL: it was not, or there was none */
} weir_retry;

/* The monotonic clock, in nanoseconds since an arbitrary point; what the functions below take as `now_ns`. */
WEIR_API int64_t weir_now_ns(void);

/* The defaults. NULL is accepted. */
WEIR_API void weir_retry_init(weir_retry *retry);
/* Checks the fields, and begins the run. WEIR_EINVAL names the field and what is allowed. */
WEIR_API int weir_retry_begin(weir_retry *retry, int64_t now_ns, weir_error *error);
/* Milliseconds that an attempt may take, as a time-out: at least 1; -1: no limit. */
WEIR_API int64_t weir_retry_left(const weir_retry *retry, int64_t now_ns);
/* An attempt's own time-out, cut to what is left; one that is negative (a default, or none) becomes what is
   left. Without a limit of the retry's: as it is. */
WEIR_API int64_t weir_retry_cut(const weir_retry *retry, int64_t timeout_ms, int64_t now_ns);
/*
 * An attempt has failed with this error. The pause before the next one in milliseconds, at least 1; -1: there
 * is to be none. Repeated are transactions that were undone by a serialization failure (40001), a deadlock
 * (40P01), the loss of the connection or a failure to connect, as long as the error is retryable: so never
 * after WEIR_EOUTCOME or WEIR_EOUTCOMETIMEOUT, and never after any other error. An error with retry_after_ms
 * puts the pause off until then.
 */
WEIR_API int64_t weir_retry_next(weir_retry *retry, const weir_error *error, int64_t now_ns);
/* After weir_retry_next gave -1: what the caller is to be told beside the error, "given up after 4 attempts:
   no retries are left". Empty when the first attempt failed with an error that is not repeated. Cut to size.
 */
WEIR_API void weir_retry_note(const weir_retry *retry, char *out, size_t size);

WEIR_END_DECLS

#endif
