/*
 * How the pool's numbers went: three rings of rows, a row a step, each with all gauges and counters and what
 * came of the latencies. A counter is kept by its low 32 bits, and is put together again on the way back from
 * what it is now; a percentile is kept as the upper half of a float.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "monitor/monitor.h"

#define ONE(name, text) +1
enum { GAUGES = WEIR_GAUGES(ONE), COUNTERS = WEIR_COUNTERS(ONE), LATENCIES = WEIR__LATENCIES };
#undef ONE

typedef struct trend {
    uint32_t count;
    float sum;
    uint16_t p50, p90, p99, p999;
} trend;

struct weir__row {
    uint32_t stamp; /* its step; 0: none yet */
    int32_t gauges[GAUGES];
    uint32_t counters[COUNTERS];
    trend latencies[LATENCIES];
};

static const struct {
    int seconds;
    size_t size;
} rings[] = {
#define RING(seconds, size) {seconds, size},
    WEIR_HISTORIES(RING)
#undef RING
};
_Static_assert(sizeof rings / sizeof *rings == WEIR__RINGS, "a ring for each row of the table");
#define WHOLE_BLOCKS(seconds, size) &&size % WEIR__BLOCK == 0 && size / WEIR__BLOCK <= WEIR__BLOCKS
_Static_assert(true WEIR_HISTORIES(WHOLE_BLOCKS), "a ring is made of whole blocks");
#undef WHOLE_BLOCKS
#define RING_BYTES(seconds, size) +size * sizeof(struct weir__row)
_Static_assert(WEIR_HISTORIES(RING_BYTES) < 1000 * 1000, "a pool's history takes less than a megabyte");
#undef RING_BYTES

static uint16_t shorten(double seconds) {
    float value = (float)seconds;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x8000) >> 16);
}

static double lengthen(uint16_t half) {
    float value;
    uint32_t bits = (uint32_t)half << 16;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

void weir__history_open(weir__monitor *monitor) {
    for (size_t i = 0; i < WEIR__RINGS; i++) {
        monitor->rings[i].size = rings[i].size;
        monitor->rings[i].step = rings[i].seconds * 1000 * WEIR__MS;
    }
}

void weir__history_close(weir__monitor *monitor) {
    for (size_t i = 0; i < WEIR__RINGS; i++)
        for (size_t n = 0; n < WEIR__BLOCKS; n++) weir__free(monitor->rings[i].blocks[n]);
}

/* NULL: out of memory, for a row that has no block yet. */
static struct weir__row *place_of(weir__ring *ring, uint32_t step) {
    size_t n = step % ring->size;
    struct weir__row **block = &ring->blocks[n / WEIR__BLOCK];
    if (!*block) *block = weir__calloc(WEIR__BLOCK, sizeof **block);
    return *block ? &(*block)[n % WEIR__BLOCK] : NULL;
}

static const weir__histogram *latency_of(const weir_pool *pool, size_t i) {
    const weir__histogram *const all[] = {
#define LATENCY(name, text) &pool->stats->name,
        WEIR_LATENCIES(LATENCY)
#undef LATENCY
    };
    return all[i];
}

void weir__history_start(weir__monitor *monitor) {
    for (size_t i = 0; i < WEIR__RINGS; i++)
        for (size_t n = 0; n < LATENCIES; n++)
            weir__base_take(&monitor->rings[i].bases[n], latency_of(monitor->extension.pool, n));
}

static void fill(weir__ring *ring, const weir_pool *pool, const weir_snapshot *now, struct weir__row *row) {
    int32_t *gauge = row->gauges;
    uint32_t *counter = row->counters;
#define GAUGE(name, text) *gauge++ = (int32_t)now->name;
    WEIR_GAUGES(GAUGE)
#undef GAUGE
#define COUNTER(name, text) *counter++ = (uint32_t)pool->stats->name;
    WEIR_COUNTERS(COUNTER)
#undef COUNTER
    for (size_t n = 0; n < LATENCIES; n++) {
        weir_histogram since;
        weir__base_read(&ring->bases[n], latency_of(pool, n), &since);
        weir__base_take(&ring->bases[n], latency_of(pool, n));
        row->latencies[n] = (trend){.count = (uint32_t)since.count,
                                    .sum = (float)since.sum,
                                    .p50 = shorten(since.p50),
                                    .p90 = shorten(since.p90),
                                    .p99 = shorten(since.p99),
                                    .p999 = shorten(since.p999)};
    }
}

void weir__history_sample(weir__monitor *monitor, int64_t now) {
    weir_pool *pool = monitor->extension.pool;
    weir_snapshot snapshot;
    weir__pool_gauges(pool, &snapshot);
    for (size_t i = 0; i < WEIR__RINGS; i++) {
        weir__ring *ring = &monitor->rings[i];
        uint32_t step = (uint32_t)((now - monitor->begun_at) / ring->step);
        if (step == ring->last) continue;
        struct weir__row *row = place_of(ring, step);
        if (!row) continue; /* there is none for this time */
        fill(ring, pool, &snapshot, row);
        row->stamp = ring->last = step;
    }
}

/* ---- reading */

static const char *name_at(const void *arg, size_t row) {
    weir_metric_info info;
    (void)arg;
    return weir_metric_table(row, &info) ? info.name : NULL;
}

/* Its kind, and its place among its kind. */
static int find_metric(const char *name, weir_metric_kind *kind, size_t *place, weir_error *error) {
    size_t counts[3] = {0};
    weir_metric_info info;
    char shown[WEIR__QUOTE_SIZE];
    for (size_t row = 0; weir_metric_table(row, &info); row++) {
        *kind = info.kind;
        *place = counts[info.kind]++;
        if (strcmp(info.name, name) == 0) return WEIR_OK;
    }
    const char *near = weir__nearest(name, name_at, NULL);
    return weir__fail(error, WEIR_EINVAL, "there is no metric %s%s%s%s", weir__quote(shown, name),
                      near ? ": did you mean " : ": a snapshot has those that there are", near ? near : "",
                      near ? "?" : "");
}

static int find_ring(const weir__monitor *monitor, int64_t since_ms, int64_t step_ms, const weir__ring **out,
                     weir_error *error) {
    if (since_ms < 0) /* all there is */
        since_ms = (weir__reactor_now(monitor->extension.pool->reactor) - monitor->begun_at) / WEIR__MS;
    for (size_t i = 0; i < WEIR__RINGS; i++) {
        const weir__ring *ring = *out = &monitor->rings[i];
        int64_t step = ring->step / WEIR__MS;
        if (step_ms ? step == step_ms : since_ms <= step * (int64_t)ring->size) return WEIR_OK;
    }
    if (!step_ms) return WEIR_OK; /* the longest */
    return weir__fail(error, WEIR_EINVAL, "step=%lld ms: 1, 10 or 60 s are kept", (long long)step_ms);
}

/* NULL: there is none. */
static const struct weir__row *row_of(const weir__ring *ring, uint32_t step) {
    size_t n = step % ring->size;
    const struct weir__row *block = ring->blocks[n / WEIR__BLOCK];
    return step && block && block[n % WEIR__BLOCK].stamp == step ? &block[n % WEIR__BLOCK] : NULL;
}

/* The oldest step that is kept, and wanted. */
static uint32_t first_step(const weir__monitor *monitor, const weir__ring *ring, int64_t since_ms) {
    uint32_t first = ring->last >= ring->size ? ring->last - (uint32_t)ring->size + 1 : 1;
    if (since_ms < 0) return first;
    int64_t now = weir__reactor_now(monitor->extension.pool->reactor);
    int64_t from = now - monitor->begun_at - since_ms * WEIR__MS;
    int64_t wanted = from <= 0 ? 1 : (from + ring->step - 1) / ring->step;
    return wanted > first ? wanted > UINT32_MAX ? UINT32_MAX : (uint32_t)wanted : first;
}

static void show_trend(const trend *trend, weir_history_point *out) {
    out->count = trend->count;
    out->sum = (double)trend->sum;
    out->p50 = lengthen(trend->p50);
    out->p90 = lengthen(trend->p90);
    out->p99 = lengthen(trend->p99);
    out->p999 = lengthen(trend->p999);
}

int weir__history_read(weir__monitor *monitor, const char *metric, int64_t since_ms, int64_t step_ms,
                       weir_metric_kind *kind, weir_history_point **out, size_t *count, weir_error *error) {
    const weir_pool *pool = monitor->extension.pool;
    const weir__ring *ring;
    size_t place = 0, rows = 0;
    int code = find_metric(metric, kind, &place, error);
    if (code == WEIR_OK) code = find_ring(monitor, since_ms, step_ms, &ring, error);
    if (code != WEIR_OK) return code;
    uint32_t first = first_step(monitor, ring, since_ms);
    for (uint32_t step = ring->last; step >= first && step; step--) rows += row_of(ring, step) != NULL;
    if (!rows) return WEIR_OK;
    weir_history_point *points = *out = weir__calloc(rows, sizeof *points);
    if (!points) return weir__fail(error, WEIR_ENOMEM, "out of memory for a history");
    *count = rows;
    const uint64_t counters[] = {
#define COUNTER(name, text) pool->stats->name,
        WEIR_COUNTERS(COUNTER)
#undef COUNTER
    };
    uint64_t value = *kind == WEIR_METRIC_COUNTER ? counters[place] : 0;
    for (uint32_t step = ring->last; rows; step--) {
        const struct weir__row *row = row_of(ring, step);
        if (!row) continue;
        weir_history_point *point = &points[--rows];
        point->at_ns = monitor->begun_at + step * ring->step;
        if (*kind == WEIR_METRIC_COUNTER)
            point->value = (double)(value -= (uint32_t)value - row->counters[place]);
        else if (*kind == WEIR_METRIC_GAUGE)
            point->value = row->gauges[place];
        else
            show_trend(&row->latencies[place], point);
    }
    return WEIR_OK;
}
