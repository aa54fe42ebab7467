/* The slow statements, by their texts. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/statement.h"
#include "monitor/monitor.h"

static weir__slow *find(weir__monitor *monitor, uint64_t hash, const char *text, size_t length) {
    for (size_t i = 0; i < monitor->slow_count; i++) {
        weir__slow *slow = &monitor->slow[i];
        if (slow->hash == hash && slow->length == length && memcmp(slow->text, text, length) == 0)
            return slow;
    }
    return NULL;
}

/* A place that is free, or that of the one which has taken least. */
static weir__slow *find_room(weir__monitor *monitor) {
    weir__slow *least = monitor->slow;
    if (monitor->slow_count < (size_t)weir__monitor_options(monitor)->slow_queries_kept)
        return &monitor->slow[monitor->slow_count++];
    for (size_t i = 1; i < monitor->slow_count; i++)
        if (monitor->slow[i].total < least->total) least = &monitor->slow[i];
    return least;
}

void weir__slow_note(weir__monitor *monitor, const char *sql, size_t bytes, int64_t ns) {
    char text[WEIR_FINGERPRINT_SIZE];
    size_t length = weir_statement_fingerprint(sql, bytes, text, sizeof text);
    uint64_t hash = weir__statement_hash(text, length);
    weir__slow *slow = find(monitor, hash, text, length);
    if (!slow) {
        slow = find_room(monitor);
        *slow = (weir__slow){.hash = hash, .length = length};
        memcpy(slow->text, text, length + 1);
    }
    slow->count++;
    if (__builtin_add_overflow(slow->total, ns, &slow->total)) slow->total = INT64_MAX;
    if (ns > slow->max) slow->max = ns;
    slow->last = ns;
    weir_pool *pool = monitor->extension.pool;
    slow->last_at = weir__reactor_now(pool->reactor);
    weir__logf(&pool->reactor->log, WEIR_LOG_INFO, "pool %s: a slow statement: %.3f s: %s",
               weir_pool_name(pool), (double)ns / 1e9, text);
}

int weir__slow_read(const weir__monitor *monitor, weir_slow_statement **out, size_t *count,
                    weir_error *error) {
    if (!monitor->slow_count) return WEIR_OK;
    weir_slow_statement *list = *out = weir__calloc(monitor->slow_count, sizeof *list);
    if (!list) return weir__fail(error, WEIR_ENOMEM, "out of memory for a list of slow statements");
    *count = monitor->slow_count;
    for (size_t i = 0; i < *count; i++) {
        const weir__slow *slow = &monitor->slow[i];
        double total = (double)slow->total / 1e9;
        size_t place = i;
        for (; place && list[place - 1].total < total; place--) list[place] = list[place - 1];
        list[place] = (weir_slow_statement){.count = slow->count,
                                            .total = total,
                                            .max = (double)slow->max / 1e9,
                                            .last = (double)slow->last / 1e9,
                                            .last_ns = slow->last_at};
        memcpy(list[place].text, slow->text, slow->length + 1);
    }
    return WEIR_OK;
}
