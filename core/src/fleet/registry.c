/* The pods' table, and the heartbeat: why they are as they are is told in fleet.h. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "fleet/fleet.h"

enum { LEAST_MS = 5000 }; /* for an answer: the first pods of all wait for one another */

#define TABLE                                                                                                \
    "CREATE TABLE IF NOT EXISTS weirpool_pods (fleet text NOT NULL, pod text NOT NULL, granted int NOT "     \
    "NULL, wanted int NOT NULL, beat timestamptz NOT NULL, PRIMARY KEY (fleet, pod))"

/*
 * The arguments of all statements, as texts, so that no codec of the host's has a part in them: the fleet;
 * and in one text the pod, what it holds, asks for and could use at most, the budget, the options pod_surge
 * and pod_count, the ms after which a pod is dead, and whether pg_stat_activity shows the pods' connections:
 * 1, 0 or, before the first answer, -1. Who does not know declares nobody dead.
 */
#define ARGUMENTS                                                                                            \
    "WITH a AS (SELECT $1::text AS fleet, x[1] AS pod, x[2]::int AS held, x[3]::int AS asked, x[4]::int AS " \
    "wanted, x[5]::int AS budget, x[6]::int AS surge, x[7]::int AS expected, x[8]::bigint AS dead, "         \
    "x[9]::int > 0 AS known, x[9]::int >= 0 AS sure FROM "                                                   \
    "string_to_array($2::text, ' ') x)"
/* As weir__sizing_places, of so many pods. */
#define PLACES(pods)                                                                                         \
    "greatest(0, least(greatest(CASE WHEN a.surge < 0 THEN (" pods " + 3) / 4 ELSE a.surge END, a.expected " \
    "- " pods "), a.budget - " pods "))"

static const char lock_it[] = "SELECT 1 FROM pg_advisory_xact_lock(hashtextextended('weirpool ' || $1, 0))";
/* What follows sees all that was done under the lock before: a snapshot a statement, READ COMMITTED. */
static const char bury_dead[] =
    ARGUMENTS ", there AS (SELECT right(application_name, 17) AS pod, count(*)::int AS n FROM "
              "pg_stat_get_activity(NULL), a WHERE a.known GROUP BY 1), "
              "dead AS (SELECT p.pod, coalesce(t.n, 0) AS n FROM weirpool_pods p JOIN a ON p.fleet = "
              "a.fleet AND a.sure AND p.pod <> a.pod AND p.beat < clock_timestamp() - a.dead * interval '1 "
              "millisecond' LEFT JOIN there t ON t.pod = p.pod), "
              "gone AS (DELETE FROM weirpool_pods p USING a, dead d WHERE p.fleet = a.fleet AND p.pod = "
              "d.pod AND d.n = 0) "
              "UPDATE weirpool_pods p SET granted = d.n FROM a, dead d WHERE p.fleet = a.fleet AND p.pod = "
              "d.pod AND d.n > 0 AND d.n < p.granted";
static const char write_down[] = ARGUMENTS
    ", others AS (SELECT count(*)::int AS pods, coalesce(sum(granted), 0)::int AS held FROM weirpool_pods p, "
    "a WHERE p.fleet = a.fleet AND p.pod <> a.pod), "
    "mine AS (SELECT coalesce((SELECT granted FROM weirpool_pods p WHERE p.fleet = a.fleet AND p.pod = "
    "a.pod), 0) AS granted, (SELECT count(*)::int FROM pg_stat_get_activity(NULL) WHERE a.known AND "
    "right(application_name, 17) = a.pod) AS there FROM a) "
    "INSERT INTO weirpool_pods (fleet, pod, granted, wanted, beat) "
    "SELECT a.fleet, a.pod, greatest(a.held, m.there, least(a.asked, greatest(m.granted, a.budget - o.held "
    "- " PLACES("(o.pods + 1)") "))), a.wanted, clock_timestamp() FROM a, others o, mine m "
                                "WHERE m.granted > 0 OR o.pods < a.budget "
                                "ON CONFLICT (fleet, pod) DO UPDATE SET granted = excluded.granted, wanted = "
                                "excluded.wanted, beat = "
                                "excluded.beat";
/* What those leave who want less than their share goes to the others. */
static const char read_share[] = ARGUMENTS
    ", f AS (SELECT p.pod, p.granted, p.wanted FROM weirpool_pods p, a WHERE p.fleet = a.fleet), "
    "room AS (SELECT n.pods, a.budget - " PLACES(
        "n.pods") " AS most FROM (SELECT count(*)::int AS pods FROM "
                  "f) n, a) "
                  "SELECT concat_ws(' ', r.pods, (SELECT coalesce(max(s), 1) FROM generate_series(1, "
                  "least(a.budget, "
                  "(SELECT max(wanted) FROM f))) s WHERE (SELECT sum(least(wanted, s)) FROM f) <= r.most), "
                  "coalesce((SELECT granted FROM f WHERE f.pod = a.pod), 0), (SELECT count(*) FROM "
                  "pg_stat_get_activity(NULL) WHERE "
                  "right(application_name, 17) = a.pod), pg_backend_pid()) FROM room r, a";
static const char say_farewell[] =
    "UPDATE weirpool_pods SET beat = '-infinity' WHERE fleet = $1::text AND pod = $2::text";

/* ---- sending */

static weir_statement *with_texts(const char *sql, const char *first, const char *second) {
    const char *const texts[] = {first, second};
    weir_statement *statement = weir_statement_new(sql, strlen(sql), NULL);
    for (int i = 0; statement && i < 2 && texts[i]; i++) {
        weir_value value = {.type = WEIR_TYPE_TEXT};
        value.as.bytes.data = texts[i];
        value.as.bytes.length = strlen(texts[i]);
        weir_statement_add(statement, &value);
    }
    return statement;
}

static bool add(weir_batch *batch, const char *sql, const char *first, const char *second) {
    weir_statement *statement = with_texts(sql, first, second);
    bool added = statement && weir_batch_add(batch, statement, NULL) == WEIR_OK;
    weir_statement_unref(statement);
    return added;
}

static const char *name_of(const weir__fleet *fleet) {
    const char *name = weir__fleet_options(fleet)->fleet;
    return name ? name : "";
}

static weir_batch *heartbeat(weir__fleet *fleet) {
    weir_pool *pool = fleet->extension.pool;
    const weir_options *options = weir__fleet_options(fleet);
    char numbers[200];
    fleet->held = weir__pool_held(pool);
    fleet->started = pool->stats->connections_started;
    int wanted = pool->max_size + options->max_overflow + weir__listeners_count(pool);
    snprintf(numbers, sizeof numbers, "%s %d %d %d %d %d %d %lld %d", pool->config->pod, fleet->held,
             weir__quota_ask(&fleet->quota, fleet->held), wanted,
             options->connection_budget - options->connection_reserve, options->pod_surge, options->pod_count,
             (long long)options->pod_dead_after_ms, fleet->looks ? fleet->direct : -1);
    weir_batch *batch = weir_batch_new();
    const char *name = name_of(fleet);
    bool whole = batch && add(batch, lock_it, name, NULL);
    if (fleet->making) whole = whole && add(batch, TABLE, NULL, NULL);
    whole = whole && add(batch, bury_dead, name, numbers) && add(batch, write_down, name, numbers) &&
            add(batch, read_share, name, numbers);
    if (whole) return batch;
    weir_batch_free(batch);
    return NULL;
}

/* The answer is the fleet's. It goes in front of all who wait: it takes a moment, and may be what gives them
 * a connection. */
static void follow(weir__fleet *fleet) {
    weir_pool *pool = fleet->extension.pool;
    weir__op *op = weir__op_find(pool->reactor, fleet->op);
    op->then = &fleet->told;
    if (op->state == WEIR__OP_DONE) { /* by now: it could not be sent */
        weir__defer(pool->reactor, op->then);
    } else if (!((weir__task *)op)->slot) {
        weir__list_remove(&op->link);
        weir__list_push_front(&pool->waiters, &op->link);
    }
}

static void failed(weir__fleet *fleet, const weir_error *why) {
    weir__fleet_failed(fleet, why->message ? why->message : weir_error_text(why->code));
}

static int send(weir__fleet *fleet, weir_error *error) {
    weir_pool *pool = fleet->extension.pool;
    const weir_transaction plain = {.isolation = "read committed"};
    const char *begin;
    weir_run run;
    weir_run_init(&run);
    int64_t dead_ms = weir__fleet_options(fleet)->pod_dead_after_ms;
    run.timeout_ms = dead_ms < LEAST_MS ? LEAST_MS : dead_ms;
    weir_batch_free(fleet->batch);
    fleet->batch = heartbeat(fleet);
    if (!fleet->batch) return weir__fail(error, WEIR_ENOMEM, "out of memory");
    int code = weir__begin_text(pool, &plain, &begin, error);
    return code ? code
                : weir__pool_transaction(pool, fleet->batch, begin, &run, true, NULL, &fleet->op, error);
}

void weir__registry_look(weir__fleet *fleet) {
    weir_pool *pool = fleet->extension.pool;
    weir_error why = WEIR_ERROR_INIT;
    if (fleet->left) return;
    if (!pool->ceiling.most) { /* for this alone */
        pool->ceiling.guest = true;
        weir__pool_ceiling(pool, 1);
    }
    fleet->sent_at = weir__reactor_now(pool->reactor);
    int code = send(fleet, &why);
    if (code > 0) {
        fleet->op = 0;
        failed(fleet, &why);
    } else {
        follow(fleet);
    }
    weir_error_clear(&why);
}

/* ---- the answer */

static bool is_own(const weir_pool *pool, int backend) {
    for (size_t i = 0; i < pool->slot_count; i++)
        if (pool->slots[i]->conn && pool->slots[i]->conn->backend == backend) return true;
    return false;
}

static void answered(weir__fleet *fleet) {
    weir_pool *pool = fleet->extension.pool;
    int pods, share, granted, there, backend;
    weir_value value;
    char text[100];
    weir_result *result = weir_batch_result(fleet->batch, weir_batch_size(fleet->batch) - 1);
    if (!result || weir_result_rows(result) != 1 || weir_result_value(result, 0, 0, &value) != WEIR_OK) {
        weir__fleet_failed(fleet, "the database's answer cannot be read");
        return;
    }
    snprintf(text, sizeof text, "%.*s", (int)value.as.bytes.length, value.as.bytes.data);
    if (sscanf(text, "%d %d %d %d %d", &pods, &share, &granted, &there, &backend) != 5) {
        weir__fleet_failed(fleet, "the database's answer cannot be read");
        return;
    }
    const weir_options *options = weir__fleet_options(fleet);
    fleet->making = false;
    fleet->direct = is_own(pool, backend);
    fleet->quota.granted = granted;
    int ours = fleet->held + (int)(pool->stats->connections_started - fleet->started);
    fleet->quota.strays = fleet->direct && there > ours ? there - ours : 0;
    pool->ceiling.lapses_at =
        granted ? fleet->sent_at + options->pod_dead_after_ms * WEIR__MS / 3 * 2 : WEIR__NEVER;
    int before = fleet->quota.target;
    weir__fleet_answer(fleet, pods, granted ? share : 0);
    bool more = fleet->quota.target > before && fleet->quota.target > granted;
    bool soon = !weir__quota_settled(&fleet->quota, weir__pool_held(pool));
    weir__fleet_look_in(fleet, more ? 0 : weir__fleet_pace(fleet, soon));
}

static void not_answered(weir__fleet *fleet, const weir_error *why) {
    char text[700];
    /* Nobody has made the table yet. Later it is one that this connection's search path does not show. */
    if (strcmp(why->sqlstate, "42P01") == 0 && !fleet->making && !fleet->looks) {
        fleet->making = true;
        weir__registry_look(fleet);
        return;
    }
    if (strcmp(why->sqlstate, "42501") != 0) {
        failed(fleet, why);
        return;
    }
    snprintf(text, sizeof text,
             "%s; have somebody who may do so make the pods' table, and grant SELECT, INSERT, UPDATE and "
             "DELETE on it: %s",
             why->message ? why->message : "permission denied", TABLE);
    fleet->making = false;
    weir__fleet_failed(fleet, text);
}

void weir__registry_told(weir__deferred *deferred) {
    weir__fleet *fleet = weir__container(deferred, weir__fleet, told);
    weir__op *op = weir__op_find(fleet->extension.pool->reactor, fleet->op);
    weir_completion done;
    fleet->op = 0;
    if (!op) return;
    weir__op_take(op, &done);
    if (fleet->left || fleet->extension.pool->closing)
        ; /* nobody is to know any more */
    else if (done.code == WEIR_OK)
        answered(fleet);
    else
        not_answered(fleet, done.error);
    weir_result_free(done.result);
    weir_error_free(done.error);
}

/* ---- the end */

static void cancel(weir__fleet *fleet) {
    weir__op *op = fleet->op ? weir__op_find(fleet->extension.pool->reactor, fleet->op) : NULL;
    fleet->op = 0;
    if (!op) return;
    if (op->state == WEIR__OP_PENDING)
        op->cancel(op);
    else
        weir__op_take(op, NULL);
}

void weir__registry_end(weir__fleet *fleet) { cancel(fleet); }

void weir__registry_leave(weir__fleet *fleet) {
    weir_pool *pool = fleet->extension.pool;
    weir_run run;
    weir_run_init(&run);
    if (fleet->left) return;
    fleet->left = true;
    pool->ceiling.lapses_at = weir__reactor_now(pool->reactor); /* it opens no more */
    weir__timer_stop(&pool->reactor->wheel, &fleet->timer);
    /* What is on its way to the server is not there to be seen: its row has its time then. So it has when
     * there is no connection to say it on. */
    if (pool->counts[WEIR__CONNECTING] || !pool->counts[WEIR__IDLE]) return;
    cancel(fleet);
    weir_statement *statement = with_texts(say_farewell, name_of(fleet), pool->config->pod);
    int code = statement ? weir__pool_execute(pool, statement, &run, NULL, &fleet->op, NULL) : WEIR_ENOMEM;
    if (code > 0) fleet->op = 0;
    weir_statement_unref(statement);
    if (fleet->op) follow(fleet);
}
