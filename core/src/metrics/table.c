#include <weirpool/snapshot.h>

static const weir_metric_info rows[] = {
#define GAUGE(name, text) {#name, WEIR_METRIC_GAUGE, offsetof(weir_snapshot, name), text},
#define COUNTER(name, text) {#name, WEIR_METRIC_COUNTER, offsetof(weir_snapshot, name), text},
#define LATENCY(name, text) {#name, WEIR_METRIC_LATENCY, offsetof(weir_snapshot, name), text},
    WEIR_GAUGES(GAUGE) WEIR_COUNTERS(COUNTER) WEIR_LATENCIES(LATENCY)
#undef GAUGE
#undef COUNTER
#undef LATENCY
};

bool weir_metric_table(size_t row, weir_metric_info *out) {
    if (row >= sizeof rows / sizeof rows[0]) return false;
    *out = rows[row];
    return true;
}
