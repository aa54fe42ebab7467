/* What a pool keeps for the rendering of its metrics. */
#ifndef WEIR_METRICS_EXPOSED_H
#define WEIR_METRICS_EXPOSED_H

#include "base/list.h"
#include "metrics/exemplar.h"
#include "metrics/recent.h"

typedef struct weir__exposed {
    weir__link link; /* in the list of all pools: api/metrics.c, whose lock guards both */
    /* Of its name, while it is the first of that name: among all pools, and among some. */
    weir__recent recent[2];
    /* ---- under the reactor's lock */
    weir__exemplars exemplars[2]; /* of statements that succeeded, and of those that failed */
    int64_t wall_ns;              /* what the reactor's clock lacks to the time since 1970 */
} weir__exposed;

#endif
