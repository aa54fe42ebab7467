/* How the calls of late have ended: the last n of them, or those of the last while. */
#ifndef WEIR_BREAKER_WINDOW_H
#define WEIR_BREAKER_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR__WINDOW_BUCKETS 32

typedef struct weir__tally {
    int64_t calls, failures, slow;
} weir__tally;

typedef struct weir__window {
    weir__tally sum;
    /* by count: one byte a call, in a ring */
    uint8_t *calls; /* owned; NULL: the window is by time */
    int64_t size, next;
    /* by time: the bucket of time n is at n % BUCKETS, and only those of the last BUCKETS times count */
    int64_t bucket_ns, newest; /* newest: the time that sum is of */
    weir__tally buckets[WEIR__WINDOW_BUCKETS];
} weir__window;

/* calls: size of the window by count; 0: by time, time_ns long. False: out of memory. */
bool weir__window_init(weir__window *window, int64_t calls, int64_t time_ns);
void weir__window_free(weir__window *window);
void weir__window_clear(weir__window *window);
/* Forgets what is too old. */
void weir__window_advance(weir__window *window, int64_t now_ns);
void weir__window_add(weir__window *window, int64_t now_ns, bool failed, bool slow);

#endif
