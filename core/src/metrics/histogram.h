/* Latencies: an exponential histogram of fixed size. Recording takes a few nanoseconds and never fails. */
#ifndef WEIR_METRICS_HISTOGRAM_H
#define WEIR_METRICS_HISTOGRAM_H

#include <weirpool/snapshot.h>

/* 1.024 µs and below share the first cell; above 2^37 ns (137 s) is the last. Between them lie 27 octaves of
   eight cells, and nine more because the bounds of the buckets split nine of them. See weir_histogram for the
   shape. */
#define WEIR__HISTOGRAM_OCTAVES 27
#define WEIR__HISTOGRAM_CELLS (1 + WEIR__HISTOGRAM_OCTAVES * 8 + (WEIR_HISTOGRAM_BUCKETS - 1) + 1)

/* All zero is empty. */
typedef struct weir__histogram {
    uint64_t count;
    int64_t sum, max; /* ns; the sum stays at INT64_MAX (292 years) when it gets there */
    uint64_t cells[WEIR__HISTOGRAM_CELLS];
} weir__histogram;

/* ns < 0 counts as 0. The caller serialises (the reactor's lock). */
void weir__histogram_record(weir__histogram *histogram, int64_t ns);
/* The bucket of an observation. */
size_t weir__histogram_bucket(int64_t ns);
/* Adds `from` to `to`, as if its observations had been recorded there. */
void weir__histogram_merge(weir__histogram *to, const weir__histogram *from);
/* The figures in seconds; a walk over all cells. */
void weir__histogram_read(const weir__histogram *histogram, weir_histogram *out);

#endif
