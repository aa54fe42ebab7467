/*
 * The text formats. A family's series of all pools stand together, as both formats want it: so the table of
 * families is walked once, and the pools for each family.
 *
 * Names are OpenTelemetry's in Prometheus' form (dots become _, the unit is a suffix), as are labels. What
 * stands in the snapshot and in no row of the table is served as weir_ with the field's name, so that a new
 * number needs a row only when the conventions have a name for it.
 */
#include "metrics/render.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/number.h"
#include "base/text.h"

/* RATIO: a double; the last two are states. */
typedef enum kind { GAUGE, COUNTER, RATIO, HISTOGRAM, BREAKER, HEALTH } kind;

typedef struct series {
    const char *labels; /* behind the pool's own, with a comma in front; or "" */
    size_t offset;      /* of its value in weir__figures; 0: no such series */
} series;

typedef struct family {
    weir__names names;
    kind kind;
    const char *name; /* without _total */
    const char *unit; /* its suffix, or NULL */
    const char *help; /* without a full stop, \ or " */
    bool operation; /* of statements: labelled with the database's kind, too, and by what they failed with */
    series series[WEIR__ALERT_TYPES];
} family;

#define FIELD(field) offsetof(weir__figures, field)
#define NOW(field) offsetof(weir__figures, now.field)
#define ONE(field)                                                                                           \
    {                                                                                                        \
        { "", field }                                                                                        \
    }
#define STATED(what) ",db_client_connection_state=\"" what "\""
#define OUTCOME(what) ",outcome=\"" what "\""
#define ALERT(suffix, value, name, severity, text) {",alert=\"" name "\"", FIELD(alerts[value])},
#define WINDOW ", over the last minute or since it was asked for last, if that is longer"

static const family families[] = {
    {WEIR__NAMES_STANDARD,
     GAUGE,
     "db_client_connection_count",
     NULL,
     "connections open, by what they do",
     false,
     {{STATED("idle"), NOW(idle)}, {STATED("used"), NOW(active)}}},
    {WEIR__NAMES_STANDARD, GAUGE, "db_client_connection_max", NULL,
     "connections that may be open, with max_overflow", false, ONE(FIELD(limit))},
    {WEIR__NAMES_STANDARD, GAUGE, "db_client_connection_idle_max", NULL,
     "connections that the pool keeps at most", false, ONE(NOW(max_size))},
    {WEIR__NAMES_STANDARD, GAUGE, "db_client_connection_idle_min", NULL,
     "connections that the pool keeps open", false, ONE(NOW(min_size))},
    {WEIR__NAMES_STANDARD, GAUGE, "db_client_connection_pending_requests", NULL,
     "callers waiting for a connection", false, ONE(NOW(waiting))},
    {WEIR__NAMES_STANDARD, COUNTER, "db_client_connection_timeouts", NULL,
     "requests for a connection that waited longer than checkout_timeout", false,
     ONE(NOW(checkouts_timed_out))},
    {WEIR__NAMES_STANDARD, HISTOGRAM, "db_client_connection_create_time_seconds", "seconds",
     "time to make a connection", false, ONE(NOW(connect))},
    {WEIR__NAMES_STANDARD, HISTOGRAM, "db_client_connection_wait_time_seconds", "seconds",
     "time from the request for a connection to its grant", false, ONE(NOW(wait))},
    {WEIR__NAMES_STANDARD, HISTOGRAM, "db_client_connection_use_time_seconds", "seconds",
     "time from the grant of a connection to its return", false, ONE(NOW(use))},
    {WEIR__NAMES_STANDARD, HISTOGRAM, "db_client_operation_duration_seconds", "seconds",
     "time from the sending of a statement to its answer, or the end of its time; error_type: the class of "
     "its error",
     true, ONE(FIELD(query_succeeded))},
    {WEIR__NAMES_STANDARD, GAUGE, "weir_overflow_connections", NULL, "connections above max_size", false,
     ONE(NOW(overflow))},
    {WEIR__NAMES_STANDARD, GAUGE, "weir_pods", NULL, "processes that share the database; 0: unknown", false,
     ONE(NOW(pods))},
    {WEIR__NAMES_STANDARD,
     BREAKER,
     "weir_circuit_breaker_state",
     NULL,
     "the state of a circuit breaker",
     false,
     {{",breaker=\"connect\"", NOW(circuit_connect)}, {",breaker=\"query\"", NOW(circuit_query)}}},
    {WEIR__NAMES_STANDARD,
     COUNTER,
     "weir_checkouts",
     NULL,
     "requests for a connection, by their outcome",
     false,
     {{OUTCOME("granted"), NOW(checkouts_granted)},
      {OUTCOME("timed_out"), NOW(checkouts_timed_out)},
      {OUTCOME("cancelled"), NOW(checkouts_cancelled)},
      {OUTCOME("refused"), NOW(checkouts_refused)}}},
    {WEIR__NAMES_STANDARD,
     COUNTER,
     "weir_queries",
     NULL,
     "statements, by their outcome",
     false,
     {{OUTCOME("succeeded"), NOW(queries_succeeded)},
      {OUTCOME("failed"), NOW(queries_failed)},
      {OUTCOME("timed_out"), NOW(queries_timed_out)},
      {OUTCOME("cancelled"), NOW(queries_cancelled)}}},
    {WEIR__NAMES_STANDARD,
     COUNTER,
     "weir_alerts",
     NULL,
     "alerts that have fired, by their type",
     false,
     {WEIR_ALERTS(ALERT)}},
    {WEIR__NAMES_STANDARD, GAUGE, "weir_connections_limit", NULL,
     "connections that are lent at a time at most, with adaptive_size as learnt", false, ONE(NOW(limit))},
    {WEIR__NAMES_STANDARD, GAUGE, "weir_connections_share", NULL,
     "connections that these may have of connection_budget by now; -1: there is no budget", false,
     ONE(NOW(share))},
    {WEIR__NAMES_STANDARD, HEALTH, "weir_health_status", NULL, "whether the pool can serve", false,
     ONE(NOW(health))},
    {WEIR__NAMES_STANDARD,
     COUNTER,
     "weir_health_checks",
     NULL,
     "health checks, by their result",
     false,
     {{",result=\"passed\"", NOW(health_checks_passed)}, {",result=\"failed\"", NOW(health_checks_failed)}}},
    {WEIR__NAMES_STANDARD,
     COUNTER,
     "weir_connections_closed",
     NULL,
     "connections closed: recycled because of their age or of expire(), or otherwise",
     false,
     {{",reason=\"recycled\"", NOW(connections_recycled)}, {",reason=\"other\"", FIELD(closed_otherwise)}}},
    {WEIR__NAMES_SEED, GAUGE, "db_active_connections", NULL, "connections in use", false, ONE(NOW(active))},
    {WEIR__NAMES_SEED, GAUGE, "db_idle_connections", NULL, "connections ready to be lent", false,
     ONE(NOW(idle))},
    {WEIR__NAMES_SEED, GAUGE, "db_overflow_connections", NULL, "connections above max_size", false,
     ONE(NOW(overflow))},
    {WEIR__NAMES_SEED, GAUGE, "db_total_connections_created", NULL, "connections made so far", false,
     ONE(NOW(connections_created))},
    {WEIR__NAMES_SEED, RATIO, "db_average_checkout_time", NULL,
     "seconds that requests for a connection waited, the mean" WINDOW, false,
     ONE(FIELD(recent.checkout_time))},
    {WEIR__NAMES_SEED, RATIO, "db_average_query_time", NULL, "seconds that statements took, the mean" WINDOW,
     false, ONE(FIELD(recent.query_time))},
    {WEIR__NAMES_SEED, RATIO, "db_checkout_failure_rate", NULL,
     "share of requests for a connection that timed out or were refused" WINDOW, false,
     ONE(FIELD(recent.checkout_failures))},
    {WEIR__NAMES_SEED, RATIO, "db_query_failure_rate", NULL,
     "share of statements that failed or timed out" WINDOW, false, ONE(FIELD(recent.query_failures))},
    {WEIR__NAMES_SEED, GAUGE, "db_health_check_passes", NULL, "health checks so far that passed", false,
     ONE(NOW(health_checks_passed))},
    {WEIR__NAMES_SEED, GAUGE, "db_health_check_failures", NULL, "health checks so far that failed", false,
     ONE(NOW(health_checks_failed))},
    {WEIR__NAMES_SEED, GAUGE, "db_connections_recycled", NULL,
     "connections closed so far because of their age or of expire()", false, ONE(NOW(connections_recycled))},
    {WEIR__NAMES_SEED, GAUGE, "db_connection_timeouts", NULL,
     "requests for a connection so far that waited longer than checkout_timeout", false,
     ONE(NOW(checkouts_timed_out))},
};
/* Fields that the table above serves only together with others. */
static const size_t covered[] = {NOW(size), NOW(query), NOW(query_failed), NOW(connections_closed)};

enum { ENDS = WEIR_HISTOGRAM_BUCKETS, END_TEXT = 48 };

typedef struct writer {
    weir__buffer *out;
    bool openmetrics;
    weir__figures *figures;
    size_t count;
    weir__buffer labels;       /* of all pools, one behind the other … */
    size_t *starts;            /* … where those of pool n begin; those for operations follow */
    char ends[ENDS][END_TEXT]; /* ,le="0.001" */
} writer;

static void put(writer *w, const char *text) { weir__buffer_text(w->out, text); }

static void put_integer(writer *w, int64_t value) {
    char digits[24], *at = digits + sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0) *--at = '-';
    weir__buffer_append(w->out, at, (size_t)(digits + sizeof digits - at));
}

static void put_double(writer *w, double value) {
    char text[40];
    weir__print_double(value, text);
    put(w, text);
}

/* ---- labels */

static void put_label(weir__buffer *out, const char *name, const char *value) {
    bool valid = weir__utf8_valid(value, strlen(value)); /* a scrape with other bytes is refused as a whole */
    weir__buffer_text(out, name);
    weir__buffer_text(out, "=\"");
    for (const char *at = value; *at; at++) {
        if (*at == '\\' || *at == '"') weir__buffer_char(out, '\\');
        if (*at == '\n')
            weir__buffer_text(out, "\\n");
        else
            weir__buffer_char(out, valid || !(*at & 0x80) ? *at : '?');
    }
    weir__buffer_char(out, '"');
}

static bool make_labels(writer *w) {
    w->starts = weir__calloc(2 * w->count + 1, sizeof *w->starts);
    if (!w->starts) return false;
    for (size_t n = 0; n < 2 * w->count; n++) {
        const weir__figures *figures = &w->figures[n / 2];
        put_label(&w->labels, "{db_client_connection_pool_name", figures->name);
        if (n % 2) put_label(&w->labels, ",db_system_name", figures->system);
        w->starts[n + 1] = w->labels.length;
    }
    return !w->labels.broken;
}

/* A bound as both formats' canonical form of doubles has it: "1.0". */
static void make_ends(writer *w) {
    for (size_t n = 0; n < ENDS; n++) {
        char *text = w->ends[n];
        double bound = weir_histogram_bound(n);
        strcpy(text, ",le=\"");
        if (bound == __builtin_inf())
            strcat(text, "+Inf");
        else
            weir__print_double(bound, text + strlen(text));
        if (!strpbrk(text, ".I")) strcat(text, ".0");
        strcat(text, "\"");
    }
}

/* ---- lines */

static void begin_line(writer *w, const family *family, const char *suffix, size_t n, const char *labels) {
    size_t which = 2 * n + family->operation;
    put(w, family->name);
    put(w, suffix);
    weir__buffer_append(w->out, w->labels.data + w->starts[which], w->starts[which + 1] - w->starts[which]);
    put(w, labels);
}

/* Of the bucket; nothing when it has none of that kind. */
static void put_exemplar(writer *w, const weir__exemplar *exemplar, unsigned kind) {
    if (!w->openmetrics || !exemplar->at_ms || exemplar->kind != kind) return;
    put(w, " # {trace_id=\"");
    weir__buffer_append(w->out, exemplar->trace, WEIR__TRACE_ID);
    put(w, "\",span_id=\"");
    weir__buffer_append(w->out, exemplar->span, WEIR__SPAN_ID);
    put(w, "\"} ");
    put_double(w, (double)exemplar->ns / 1e9);
    weir__buffer_printf(w->out, " %lld.%03d", (long long)(exemplar->at_ms / 1000),
                        (int)(exemplar->at_ms % 1000));
}

/* exemplars: NULL, or those of that kind are put beside it. */
static void put_histogram(writer *w, const family *family, const char *labels, size_t n,
                          const weir_histogram *histogram, const weir__exemplars *exemplars, unsigned kind) {
    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < ENDS; bucket++) {
        seen += histogram->buckets[bucket];
        begin_line(w, family, "_bucket", n, labels);
        put(w, w->ends[bucket]);
        put(w, "} ");
        put_integer(w, (int64_t)seen);
        if (exemplars) put_exemplar(w, &exemplars->bucket[bucket], kind);
        put(w, "\n");
    }
    begin_line(w, family, "_count", n, labels);
    put(w, "} ");
    put_integer(w, (int64_t)seen);
    put(w, "\n");
    begin_line(w, family, "_sum", n, labels);
    put(w, "} ");
    put_double(w, histogram->sum);
    put(w, "\n");
}

/* There from the beginning: what ends slow statements, for an alert that looks how much these have increased,
 * which of a series that begins with its first one Prometheus does not tell. */
static bool is_lasting(unsigned kind) {
    static const int codes[] = {WEIR_ECOMMANDTIMEOUT, WEIR_ESESSIONTIMEOUT, WEIR_EOUTCOMETIMEOUT,
                                WEIR_ELOST,           WEIR_ERECLAIMED,      WEIR_EOUTCOME};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if ((unsigned)codes[i] - 1 == kind) return true;
    return false;
}

/* Those of statements: all that have succeeded, and what there is of each kind of failure. */
static void put_operations(writer *w, const family *family, size_t n) {
    const weir__figures *figures = &w->figures[n];
    put_histogram(w, family, "", n, &figures->query_succeeded, &figures->exemplars[0], 0);
    for (unsigned kind = 0; kind < WEIR__FAILURES; kind++) {
        static const weir__failed none;
        const weir__failed *failed = &figures->failures[kind];
        weir_histogram histogram = {.sum = (double)failed->sum / 1e9};
        char label[64];
        if (memcmp(failed, &none, sizeof none) == 0 && !is_lasting(kind)) continue;
        memcpy(histogram.buckets, failed->buckets, sizeof histogram.buckets);
        snprintf(label, sizeof label, ",error_type=\"%s\"", weir__failure_name(kind));
        put_histogram(w, family, label, n, &histogram, &figures->exemplars[1], kind);
    }
}

typedef struct state_name {
    int64_t state;
    const char *name;
} state_name;

#define STATE_NAME(suffix, value, name, text) {value, name},
static const state_name breaker_states[] = {WEIR_BREAKER_STATES(STATE_NAME){0, NULL}};
static const state_name health_states[] = {WEIR_HEALTH_STATUSES(STATE_NAME){0, NULL}};
#undef STATE_NAME

static void put_state(writer *w, const family *family, const series *series, size_t n, int64_t state) {
    const state_name *states = family->kind == HEALTH ? health_states : breaker_states;
    for (size_t i = 0; states[i].name; i++) {
        begin_line(w, family, "", n, series->labels);
        put(w, ",");
        put(w, family->name);
        put(w, "=\"");
        put(w, states[i].name);
        put(w, states[i].state == state ? "\"} 1\n" : "\"} 0\n");
    }
}

static void put_series(writer *w, const family *family, const series *series, size_t n) {
    const void *field = (const char *)&w->figures[n] + series->offset;
    if (family->kind == HISTOGRAM) {
        put_histogram(w, family, series->labels, n, field, NULL, 0);
        return;
    }
    if (family->kind >= BREAKER) {
        put_state(w, family, series, n, *(const int64_t *)field);
        return;
    }
    begin_line(w, family, family->kind == COUNTER ? "_total" : "", n, series->labels);
    put(w, "} ");
    if (family->kind == RATIO)
        put_double(w, *(const double *)field);
    else
        put_integer(w, *(const int64_t *)field);
    put(w, "\n");
}

static void put_head(writer *w, const family *family) {
    static const char *const types[][2] = {
        [GAUGE] = {"gauge", "gauge"},      [COUNTER] = {"counter", "counter"},
        [RATIO] = {"gauge", "gauge"},      [HISTOGRAM] = {"histogram", "histogram"},
        [BREAKER] = {"gauge", "stateset"}, [HEALTH] = {"gauge", "stateset"}};
    /* 0.0.4 knows no families whose samples have other names. */
    const char *suffix = family->kind == COUNTER && !w->openmetrics ? "_total" : "";
    weir__buffer_printf(w->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", family->name, suffix, family->help,
                        family->name, suffix, types[family->kind][w->openmetrics]);
    if (w->openmetrics && family->unit)
        weir__buffer_printf(w->out, "# UNIT %s %s\n", family->name, family->unit);
}

static void put_family(writer *w, const family *family) {
    put_head(w, family);
    for (size_t n = 0; n < w->count && family->operation; n++) put_operations(w, family, n);
    for (size_t n = 0; n < w->count && !family->operation; n++)
        for (size_t i = 0; i < sizeof family->series / sizeof family->series[0]; i++)
            if (family->series[i].offset) put_series(w, family, &family->series[i], n);
}

/* ---- what has no row */

static bool has_row(size_t offset) {
    for (size_t i = 0; i < sizeof covered / sizeof covered[0]; i++)
        if (covered[i] == offset) return true;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        for (size_t n = 0; families[i].names == WEIR__NAMES_STANDARD && n < WEIR__ALERT_TYPES; n++)
            if (families[i].series[n].offset == offset) return true;
    return false;
}

static void put_others(writer *w) {
    static const kind kinds[] = {[WEIR_METRIC_GAUGE] = GAUGE,
                                 [WEIR_METRIC_COUNTER] = COUNTER,
                                 [WEIR_METRIC_LATENCY] = HISTOGRAM,
                                 [WEIR_METRIC_RATIO] = RATIO};
    weir_metric_info info;
    for (size_t row = 0; weir_metric_table(row, &info); row++) {
        size_t offset = FIELD(now) + info.offset;
        if (has_row(offset)) continue;
        bool latency = info.kind == WEIR_METRIC_LATENCY;
        char name[80] = "weir_";
        strncat(name, info.name, 60);
        if (latency) strcat(name, "_seconds");
        family family = {
            WEIR__NAMES_STANDARD, kinds[info.kind], name, latency ? "seconds" : NULL, info.text, false,
            ONE(offset)};
        put_family(w, &family);
    }
}

/* ---- all of it */

static void derive(weir__figures *figures) {
    const weir_snapshot *now = &figures->now;
    weir_histogram *succeeded = &figures->query_succeeded;
    figures->limit = now->max_size + now->max_overflow;
    if (now->share >= 0 && now->share < figures->limit) figures->limit = now->share;
    figures->closed_otherwise = now->connections_closed - now->connections_recycled;
    *succeeded = now->query;
    succeeded->sum -= now->query_failed.sum;
    if (succeeded->sum < 0) succeeded->sum = 0; /* rounding */
    for (size_t n = 0; n < WEIR_HISTOGRAM_BUCKETS; n++) succeeded->buckets[n] -= now->query_failed.buckets[n];
}

void weir__metrics_render(weir__buffer *out, weir__figures *figures, size_t count, bool openmetrics,
                          weir__names names) {
    writer w = {.out = out, .openmetrics = openmetrics, .figures = figures, .count = count};
    for (size_t n = 0; n < count; n++) derive(&figures[n]);
    make_ends(&w);
    if (!make_labels(&w)) {
        out->broken = true;
        goto done;
    }
    for (size_t i = 0; i < sizeof families / sizeof families[0] && count; i++) {
        bool turn =
            i && families[i].names != families[i - 1].names; /* from the standard names to the seed's */
        if (turn && names & WEIR__NAMES_STANDARD) put_others(&w);
        if (families[i].names & names) put_family(&w, &families[i]);
    }
    if (openmetrics) put(&w, "# EOF\n");
done:
    weir__free(w.starts);
    weir__buffer_free(&w.labels);
}
