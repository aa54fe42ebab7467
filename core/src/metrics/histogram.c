/*
 * The cells are those of OpenTelemetry's exponential histogram of scale 3, ]2^(n/8), 2^((n+1)/8)], where a
 * bucket's bound cuts a cell in two. Each of the nine bounds lies in an octave of its own, so that one
 * comparison with the octave's bound tells the half.
 */
#include "metrics/histogram.h"

#define FIRST_OCTAVE 10 /* 2^10 ns */
#define LAST_NS (INT64_C(1) << (FIRST_OCTAVE + WEIR__HISTOGRAM_OCTAVES))
#define BOUNDS (WEIR_HISTOGRAM_BUCKETS - 1)
#define NEVER INT64_MAX

static const int64_t bounds[BOUNDS] = {1000000,   5000000,    10000000,   50000000,   100000000,
                                       500000000, 1000000000, 5000000000, 10000000000};

/* For the octave that begins at 2^(10 + index) ns: the bound in it, and how many lie below it. */
static const struct {
    int64_t bound;
    uint64_t below;
} octaves[WEIR__HISTOGRAM_OCTAVES + 1] = {
    {NEVER, 0}, {NEVER, 0},      {NEVER, 0},       {NEVER, 0}, {NEVER, 0},     {NEVER, 0},      {NEVER, 0},
    {NEVER, 0}, {NEVER, 0},      {1000000, 0},     {NEVER, 1}, {NEVER, 1},     {5000000, 1},    {10000000, 2},
    {NEVER, 3}, {50000000, 3},   {100000000, 4},   {NEVER, 5}, {500000000, 5}, {1000000000, 6}, {NEVER, 7},
    {NEVER, 7}, {5000000000, 7}, {10000000000, 8}, {NEVER, 9}, {NEVER, 9},     {NEVER, 9},      {NEVER, 9},
};

/* X(root, n): 2^(n/8), as a double and as a mantissa whose highest bit is 1. */
#define ROOTS(X)                                                                                             \
    X(1.0905077326652577, 0x8b95c1e3ea8bd6e6)                                                                \
    X(1.1892071150027210, 0x9837f0518db8a96f)                                                                \
    X(1.2968395546510096, 0xa5fed6a9b15138ea)                                                                \
    X(1.4142135623730951, 0xb504f333f9de6484)                                                                \
    X(1.5422108254079407, 0xc5672a115506dadd)                                                                \
    X(1.6817928305074290, 0xd744fccad69d6af4)                                                                \
    X(1.8340080864093424, 0xeac0c6e7dd24392e)

double weir_histogram_bound(size_t n) { return n < BOUNDS ? (double)bounds[n] / 1e9 : __builtin_inf(); }

size_t weir__histogram_bucket(int64_t ns) {
    size_t bucket = 0;
    while (bucket < BOUNDS && ns > bounds[bucket]) bucket++;
    return bucket;
}

static inline size_t cell_of(int64_t ns) {
    if (ns <= INT64_C(1) << FIRST_OCTAVE) return 0;
    if (ns > LAST_NS) return WEIR__HISTOGRAM_CELLS - 1;
    uint64_t value = (uint64_t)ns;
    unsigned zeros = (unsigned)__builtin_clzll(value), octave = 63 - zeros - FIRST_OCTAVE;
    uint64_t mantissa = value << zeros, eighths = 0;
#define ABOVE(root, bits) eighths += mantissa > UINT64_C(bits);
    ROOTS(ABOVE)
#undef ABOVE
    /* The upper end belongs to a cell: an exact power of two to the octave before. */
    size_t whole = octave * 8 + eighths - (mantissa == UINT64_C(1) << 63);
    return 1 + whole + octaves[octave].below + (ns > octaves[octave].bound);
}

static inline void add_sum(int64_t *sum, int64_t ns) {
    if (__builtin_add_overflow(*sum, ns, sum)) *sum = INT64_MAX;
}

void weir__histogram_record(weir__histogram *histogram, int64_t ns) {
    if (ns < 0) ns = 0;
    histogram->count++;
    add_sum(&histogram->sum, ns);
    if (ns > histogram->max) histogram->max = ns;
    histogram->cells[cell_of(ns)]++;
}

void weir__histogram_merge(weir__histogram *to, const weir__histogram *from) {
    to->count += from->count;
    add_sum(&to->sum, from->sum);
    if (from->max > to->max) to->max = from->max;
    for (size_t cell = 0; cell < WEIR__HISTOGRAM_CELLS; cell++) to->cells[cell] += from->cells[cell];
}

/* A walk over the cells' ends, in ns: the ends of scale 3 and the bounds, merged. */
typedef struct walk {
    double lower, upper;
    size_t end, bucket; /* the next end and bound; the bucket is also that of the present cell */
    bool past;          /* the present cell ends at its bucket's bound */
} walk;

static double end_of(size_t n) {
#define ROOT(root, bits) root,
    static const double roots[8] = {1.0, ROOTS(ROOT)};
#undef ROOT
    if (n > WEIR__HISTOGRAM_OCTAVES * 8) return __builtin_inf();
    return (double)(UINT64_C(1) << (FIRST_OCTAVE + n / 8)) * roots[n % 8];
}

static void step(walk *at) {
    at->lower = at->upper;
    at->bucket += at->past;
    at->past = at->bucket < BOUNDS && (double)bounds[at->bucket] < end_of(at->end);
    at->upper = at->past ? (double)bounds[at->bucket] : end_of(at->end++);
}

/* The value in the cell whose relative distance to both ends is the same (their harmonic mean): 4.33 % in a
   cell that is whole. A cell without a second end is known by the one that it has. */
static double middle(const walk *at, int64_t max) {
    double value = at->lower == 0 ? at->upper : 2 / (1 / at->lower + 1 / at->upper);
    if (at->upper == __builtin_inf() || value > (double)max) value = (double)max;
    return value / 1e9;
}

void weir__histogram_read(const weir__histogram *histogram, weir_histogram *out) {
    *out = (weir_histogram){
        .count = histogram->count, .sum = (double)histogram->sum / 1e9, .max = (double)histogram->max / 1e9};
    double *const figures[] = {&out->p50, &out->p90, &out->p99, &out->p999};
    static const uint64_t parts[] = {2, 10, 100, 1000};
    uint64_t seen = 0;
    size_t next = 0;
    walk at = {0};
    if (histogram->count == 0) return;
    for (size_t cell = 0; cell < WEIR__HISTOGRAM_CELLS; cell++) {
        step(&at);
        seen += histogram->cells[cell];
        out->buckets[at.bucket] += histogram->cells[cell];
        /* Nearest rank: ceil(count * (1 - 1/part)), from 1. */
        while (next < 4 && seen >= histogram->count - histogram->count / parts[next])
            *figures[next++] = middle(&at, histogram->max);
    }
}
