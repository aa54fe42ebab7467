/* Means and rates over the recent past, out of counters that only rise: a ring of what they were. */
#ifndef WEIR_METRICS_RECENT_H
#define WEIR_METRICS_RECENT_H

#include <weirpool/snapshot.h>

#define WEIR__RECENT_NS INT64_C(60000000000)     /* the window */
#define WEIR__RECENT_APART (WEIR__RECENT_NS / 6) /* marks are at least so far apart … */
enum { WEIR__RECENT_MARKS = 8 };                 /* … so that some are older than the window */

typedef struct weir__recent_mark {
    int64_t at; /* ns, of any clock */
    uint64_t waits, runs, checkouts, checkouts_failed, queries, queries_failed;
    double waited, ran; /* seconds */
} weir__recent_mark;

/* All zero is empty. The caller serialises. */
typedef struct weir__recent {
    weir__recent_mark marks[WEIR__RECENT_MARKS];
    unsigned count, next;
} weir__recent;

typedef struct weir__rates {
    double checkout_time, query_time;         /* mean seconds; 0 when there was none */
    double checkout_failures, query_failures; /* 0 to 1 */
} weir__rates;

/* Since the newest mark that is as old as the window, else the oldest, else from the beginning; marks now. */
void weir__recent_take(weir__recent *recent, const weir_snapshot *snapshot, int64_t now, weir__rates *out);

#endif
