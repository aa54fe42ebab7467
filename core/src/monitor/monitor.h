/*
 * What watches a pool. It hangs on the pool as an extension; a timer of the reactor's has it look at the
 * pool's numbers, once a second for the history, every monitoring_interval for the alerts. Everything runs
 * under the reactor's lock, unless it says otherwise. All memory is taken when it is made, but for the list
 * of alerts, which grows.
 */
#ifndef WEIR_MONITOR_MONITOR_H
#define WEIR_MONITOR_MONITOR_H

#include <weirpool/monitor.h>

#include "pool/extension.h"

#define WEIR__SLICES 12 /* of the window */
#define WEIR__MARKS 16  /* the window's slices, one before it, and some to spare */
#define WEIR__DETAIL_SIZE 200
#define WEIR__RINGS 3

/* A histogram as it was at some time, so that one can be made of what came since. */
typedef struct weir__base {
    uint32_t cells[WEIR__HISTOGRAM_CELLS]; /* the low bits */
    int64_t sum;
} weir__base;

/* ---- the window of the alerts: rules.c */

/* The counters as they were at some time. */
typedef struct weir__mark {
    int64_t at;
    uint64_t checkouts, checkouts_failed, queries, queries_failed; /* of those that have ended */
    double usage; /* the sum of what was found at each look … */
    uint64_t looks;
    weir__base wait, query;
} weir__mark;

typedef struct weir__finding {
    bool exceeded, over; /* too much; so little that the alert is resolved; or neither */
    double value, threshold, window;
    uint64_t count, total;
    const char *detail; /* NULL: none */
} weir__finding;

/* ---- the alerts: alerts.c */

typedef struct weir__alert {
    weir_alert_type type;
    uint64_t number, fired, resolved; /* the last two: numbers of events; 0: not yet */
    int64_t fired_at, resolved_at;
    double value, threshold, window;
    uint64_t count, total;
    char detail[WEIR__DETAIL_SIZE];
} weir__alert;

/* What a type is at. */
typedef struct weir__rule {
    uint64_t active; /* the number of its alert; 0: none */
    int64_t silent_until;
    int turn; /* looks in a row that say otherwise */
} weir__rule;

typedef struct weir__alerts {
    weir__alert *list; /* a ring of `room`, once that is WEIR_ALERTS_KEPT */
    size_t room, count, first;
    uint64_t numbers;
    _Atomic uint64_t last_event;
    weir__rule rules[WEIR__ALERT_TYPES];
} weir__alerts;

/* ---- the history: history.c */

#define WEIR__ONE(name, text) +1
enum { WEIR__LATENCIES = WEIR_LATENCIES(WEIR__ONE) };
#undef WEIR__ONE

enum { WEIR__BLOCK = 60, WEIR__BLOCKS = 1440 / WEIR__BLOCK }; /* rows in one, and the most of them */

typedef struct weir__ring {
    struct weir__row *blocks[WEIR__BLOCKS]; /* made when first needed; row n % size of them is of step n, when
                                               its stamp says so */
    size_t size;
    int64_t step;  /* ns */
    uint32_t last; /* the newest step there is; step 0 is the beginning, which has no row */
    weir__base bases[WEIR__LATENCIES];
} weir__ring;

/* ---- the slow statements: slow.c */

typedef struct weir__slow {
    uint64_t hash, count;
    int64_t total, max, last, last_at;
    size_t length;
    char text[WEIR_FINGERPRINT_SIZE];
} weir__slow;

typedef struct weir__monitor {
    weir__extension extension; /* first */
    weir__timer timer;
    int64_t begun_at;
    int64_t look_at, sample_at; /* when the rules, and the history, have their turn */

    weir__mark marks[WEIR__MARKS]; /* a ring; the newest is mark_count - 1 */
    size_t mark_count;             /* so many there were */
    double usage;                  /* as in a mark, of now */
    uint64_t looks, opened[2];

    weir__alerts alerts;
    weir__ring rings[WEIR__RINGS];
    weir__slow *slow; /* slow_queries_kept of them */
    size_t slow_count;
} weir__monitor;

/* Without the lock. *out is NULL where the options want none. WEIR_ENOMEM. */
int weir__monitor_new(const weir_options *options, weir__monitor **out, weir_error *error);
/* … one that was never attached. NULL is accepted. */
void weir__monitor_free(weir__monitor *monitor);
/* It watches from now on. */
void weir__monitor_attach(weir__monitor *monitor, weir_pool *pool);
/* NULL: none. Any thread, without the lock, too, once the pool is there. */
weir__monitor *weir__monitor_of(const weir_pool *pool);
static inline const weir_options *weir__monitor_options(const weir__monitor *monitor) {
    return &monitor->extension.pool->config->options;
}

void weir__base_take(weir__base *base, const weir__histogram *histogram);
/* What came since. */
void weir__base_read(const weir__base *base, const weir__histogram *histogram, weir_histogram *out);

/* The first mark. */
void weir__rules_start(weir__monitor *monitor, int64_t now);
/* Fires and resolves. */
void weir__rules_look(weir__monitor *monitor, int64_t now);

void weir__alert_fire(weir__monitor *monitor, weir_alert_type type, const weir__finding *finding,
                      int64_t now);
void weir__alert_resolve(weir__monitor *monitor, weir_alert_type type, int64_t now);
/* As it is; or, `fired`, as it was when it fired. */
void weir__alert_show(const weir__alert *alert, bool fired, weir_alert *out);
/* The i-th of those kept, the oldest first. */
weir__alert *weir__alert_at(const weir__alerts *alerts, size_t i);
bool weir__alert_next(const weir__alerts *alerts, uint64_t *after, weir_alert *out);

void weir__history_open(weir__monitor *monitor);
void weir__history_close(weir__monitor *monitor);
void weir__history_start(weir__monitor *monitor);
void weir__history_sample(weir__monitor *monitor, int64_t now);
int weir__history_read(weir__monitor *monitor, const char *metric, int64_t since_ms, int64_t step_ms,
                       weir_metric_kind *kind, weir_history_point **out, size_t *count, weir_error *error);

void weir__slow_note(weir__monitor *monitor, const char *sql, size_t length, int64_t ns);
int weir__slow_read(const weir__monitor *monitor, weir_slow_statement **out, size_t *count,
                    weir_error *error);
#endif
