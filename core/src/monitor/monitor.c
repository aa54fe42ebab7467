/* The monitor: its making, its timer, its end. */
#include "monitor/monitor.h"

#include "base/alloc.h"
#include "base/error.h"

void weir__monitor_free(weir__monitor *monitor) {
    if (!monitor) return;
    weir__history_close(monitor);
    weir__free(monitor->alerts.list);
    weir__free(monitor->slow);
    weir__free(monitor);
}

static void end(weir__extension *extension) {
    weir__monitor *monitor = (weir__monitor *)extension;
    weir__timer_stop(&extension->pool->reactor->wheel, &monitor->timer);
    extension->pool->slow_ns = WEIR__NEVER;
}

static void release(weir__extension *extension) { weir__monitor_free((weir__monitor *)extension); }

static void slow(weir__extension *extension, const char *sql, size_t length, int64_t ns) {
    weir__slow_note((weir__monitor *)extension, sql, length, ns);
}

static const weir__extension_kind kind = {.name = "monitor", .end = end, .free = release, .slow = slow};

/* The first of begin + n * every that is still to come. */
static int64_t next_of(int64_t begin, int64_t every, int64_t now) {
    return begin + ((now - begin) / every + 1) * every;
}

static void tick(weir__timer *timer) {
    weir__monitor *monitor = weir__container(timer, weir__monitor, timer);
    weir_reactor *reactor = monitor->extension.pool->reactor;
    int64_t now = weir__reactor_now(reactor);
    if (monitor->sample_at <= now) {
        weir__history_sample(monitor, now);
        monitor->sample_at = next_of(monitor->begun_at, monitor->rings[0].step, now);
    }
    if (monitor->look_at <= now) {
        int64_t every = weir__monitor_options(monitor)->monitoring_interval_ms * WEIR__MS;
        weir__rules_look(monitor, now);
        monitor->look_at = next_of(monitor->begun_at, every, now);
    }
    weir__reactor_start(reactor, timer,
                        monitor->look_at < monitor->sample_at ? monitor->look_at : monitor->sample_at);
}

int weir__monitor_new(const weir_options *options, weir__monitor **out, weir_error *error) {
    *out = NULL;
    if (!options->monitoring) return WEIR_OK;
    weir__monitor *monitor = weir__calloc(1, sizeof *monitor);
    if (!monitor) return weir__fail(error, WEIR_ENOMEM, "out of memory for a pool's monitor");
    monitor->extension.kind = &kind;
    weir__timer_init(&monitor->timer, tick);
    monitor->slow = weir__calloc((size_t)options->slow_queries_kept, sizeof *monitor->slow);
    if (!weir__history_open(monitor) || !monitor->slow) {
        weir__monitor_free(monitor);
        return weir__fail(error, WEIR_ENOMEM, "out of memory for a pool's monitor");
    }
    *out = monitor;
    return WEIR_OK;
}

void weir__monitor_attach(weir__monitor *monitor, weir_pool *pool) {
    const weir_options *options = &pool->config->options;
    int64_t now = weir__reactor_now(pool->reactor);
    weir__pool_attach(pool, &monitor->extension);
    if (options->slow_query_threshold_ms > 0) pool->slow_ns = options->slow_query_threshold_ms * WEIR__MS;
    monitor->begun_at = monitor->look_at = monitor->sample_at = now;
    weir__rules_start(monitor, now);
    weir__history_start(monitor);
    monitor->sample_at += monitor->rings[0].step;
    monitor->look_at += options->monitoring_interval_ms * WEIR__MS;
    weir__reactor_start(pool->reactor, &monitor->timer,
                        monitor->look_at < monitor->sample_at ? monitor->look_at : monitor->sample_at);
}

weir__monitor *weir__monitor_of(const weir_pool *pool) {
    return (weir__monitor *)weir__pool_extension(pool, &kind);
}

void weir__base_take(weir__base *base, const weir__histogram *histogram) {
    base->sum = histogram->sum;
    for (size_t i = 0; i < WEIR__HISTOGRAM_CELLS; i++) base->cells[i] = (uint32_t)histogram->cells[i];
}

void weir__base_read(const weir__base *base, const weir__histogram *histogram, weir_histogram *out) {
    weir__histogram since = {.sum = histogram->sum - base->sum, .max = histogram->max};
    for (size_t i = 0; i < WEIR__HISTOGRAM_CELLS; i++) {
        since.cells[i] = (uint32_t)histogram->cells[i] - base->cells[i];
        since.count += since.cells[i];
    }
    weir__histogram_read(&since, out);
}
