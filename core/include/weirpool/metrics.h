/* Metrics out: the numbers of pools as text, for Prometheus and whoever else reads its formats. */
#ifndef WEIRPOOL_METRICS_H
#define WEIRPOOL_METRICS_H

#include <weirpool/pool.h>

WEIR_BEGIN_DECLS

/* What an answer over HTTP says of itself; Prometheus 3 refuses a wrong one. */
#define WEIR_CONTENT_TYPE_PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"
#define WEIR_CONTENT_TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

/*
 * Renders the metrics of pools; pools NULL: of all that are open in this process, and, where they share their
 * metrics with other processes (the option metrics_shared), in those. A pool that shares counts with all
 * those of its name and file, as one; its own numbers alone are in its snapshot. Each series is labelled with
 * its pool's name, db_client_connection_pool_name; pools of one name are one, their numbers added up.
 *
 * format: "prometheus" (also when NULL), the text format 0.0.4, or "openmetrics", OpenMetrics 1.0, which has
 * units, state sets and exemplars as well.
 * names: "standard", OpenTelemetry's names in Prometheus' form, and weir_… for what those do not know;
 * "seed", the gauges db_… that dashboards of old know; "both" (also when NULL).
 *
 * Of statements that failed, the durations are labelled with error_type, the class of their error: those of
 * WEIR_ERRORS; for a server's SQLSTATE its family's ("IntegrityError"), or SerializationFailure,
 * DeadlockDetected or QueryCanceled; a class that has not been met has no series. Those that ended without an
 * answer are among them, up to their end: at a deadline, with their session or connection, by close. Only a
 * statement whose caller did not want it any more (a cancelled task, a session given back) is in no duration,
 * and is counted as weir_queries_total{outcome="cancelled"} alone.
 *
 * The gauges db_average_… and db_…_rate are over the last minute, or over the time since the metrics were
 * rendered last where that is longer; for the first time over the pool's life.
 *
 * *text is the caller's, weir_metrics_free, with a NUL behind its *length bytes. WEIR_EINVAL names what is no
 * format, or no names; WEIR_ENOMEM; WEIR_EFORKED, of pools that are given: one was opened before a fork;
 * WEIR_ELOCKTIMEOUT: a process that shares its metrics has had the file locked for a tenth of a second. Any
 * thread; each pool's numbers are read at one instant.
 */
WEIR_API int weir_metrics_render(weir_pool *const *pools, size_t count, const char *format, const char *names,
                                 char **text, size_t *length, weir_error *error);
/* NULL is accepted. */
WEIR_API void weir_metrics_free(char *text);

WEIR_END_DECLS

#endif
