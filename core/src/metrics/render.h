/* The numbers of pools as text: Prometheus' format 0.0.4 and OpenMetrics 1.0. */
#ifndef WEIR_METRICS_RENDER_H
#define WEIR_METRICS_RENDER_H

#include <weirpool/breaker.h>
#include <weirpool/health.h>

#include "base/buffer.h"
#include "metrics/cells.h"
#include "metrics/exemplar.h"
#include "metrics/recent.h"

/* What is rendered under one pool's name. */
typedef struct weir__figures {
    const char *name, *system;    /* borrowed */
    weir_snapshot now;            /* percentiles are not needed */
    weir__rates recent;           /* for the seed's names */
    weir__exemplars exemplars[2]; /* as in weir__exposed */
    uint64_t alerts[WEIR__ALERT_TYPES];
    weir__failed failures[WEIR__FAILURES];
    /* ---- made of these by weir__metrics_render */
    int64_t limit;             /* connections at the most */
    uint64_t closed_otherwise; /* … than by their age */
    weir_histogram query_succeeded;
} weir__figures;

typedef enum weir__names {
    WEIR__NAMES_SEED = 1,
    WEIR__NAMES_STANDARD = 2,
    WEIR__NAMES_BOTH = 3,
} weir__names;

/* The state that lets less in. */
weir_breaker_state weir__breaker_narrower(weir_breaker_state a, weir_breaker_state b);
/* What of the cells is in no snapshot. */
void weir__figures_take(weir__figures *figures, const weir__cells *cells);
/* Adds another pool's numbers to those of the same name: gauges, too; of states the worst. Of
 * what is known of the database alike, pods, there is no sum. */
void weir__figures_add(weir__figures *to, const weir__figures *more);
/* All families, each over all pools, whose names differ. Out of memory: the buffer is broken. */
void weir__metrics_render(weir__buffer *out, weir__figures *figures, size_t count, bool openmetrics,
                          weir__names names);

#endif
