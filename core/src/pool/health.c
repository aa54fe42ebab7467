/*
 * Health checks. An idle connection that has shown no sign of life for health_check_interval is asked; one
 * that a borrower wants is asked first when that is longer than validate_after. One connection at a time is
 * asked by itself, none while somebody waits; who comes meanwhile gets another one, or that one as soon as it
 * has answered, or, after a moment, a new one. One that fails puts all in doubt that were silent before it.
 *
 * The server's role, too: a pool whose writes are refused, since its server has become a standby, makes its
 * connections anew.
 */
#include "pool/pool.h"

#include <string.h>

#include "base/error.h"

enum { DOUBTED_AT_ONCE = 4 };
#define EXPIRE_PAUSE (1000 * WEIR__MS) /* doubled up to … */
#define EXPIRE_PAUSE_MAX (60000 * WEIR__MS)

static int64_t ns_of(int64_t ms) { return ms < 0 ? WEIR__NEVER : ms * WEIR__MS; }

static bool is_checked(const weir__slot *slot) { return slot->state == WEIR__CHECKING && !slot->trying; }

/* ---- opening */

static void beat(weir__timer *timer);

/* A connection that is idle for longer has something about it to be looked at. */
static int64_t usual_look(const weir_pool *pool) {
    int64_t validate = pool->health.validate;
    return pool->config->options.pre_ping && WEIR__PING_AFTER < validate ? WEIR__PING_AFTER : validate;
}

bool weir__health_open(weir_pool *pool, weir_error *error) {
    const weir_options *options = &pool->config->options;
    weir__pool_health *health = &pool->health;
    weir__timer_init(&health->beat, beat);
    health->every = ns_of(options->health_check_interval_ms);
    health->validate = ns_of(options->validate_after_ms);
    health->look_after = usual_look(pool);
    health->latency_ns = -1;
    health->status_at = weir__reactor_now(pool->reactor);
    const char *text = options->health_check_query;
    health->query = weir_statement_new(text, strlen(text), NULL);
    if (!health->query) return !weir__fail(error, WEIR_ENOMEM, "out of memory for a pool");
    if (!(pool->driver->classify(pool->env, health->query) & (WEIR__TEXT_STATE | WEIR__TEXT_TRANSACTION)))
        return true;
    return !weir__fail(
        error, WEIR_EOPTION,
        "health_check_query=\"%.40s\" would change the state of a connection that others use next: "
        "give a query that leaves nothing behind",
        text);
}

static int64_t jitter(const weir__pool_health *health) { return health->every / 5; }

/* When the first of those may be due that show a sign of life from then on. */
static int64_t first_due(const weir__pool_health *health, int64_t since) {
    return since + health->every - jitter(health);
}

void weir__health_start(weir_pool *pool) {
    const weir__pool_health *health = &pool->health;
    if (health->every != WEIR__NEVER)
        weir__reactor_start(pool->reactor, &pool->health.beat, first_due(health, health->status_at));
}

void weir__health_stop(weir_pool *pool) { weir__timer_stop(&pool->reactor->wheel, &pool->health.beat); }

void weir__health_close(weir_pool *pool) { weir_statement_unref(pool->health.query); }

/* ---- which, and when */

static int64_t last_sign(const weir__slot *slot) {
    return slot->health.checked_at > slot->idle_since ? slot->health.checked_at : slot->idle_since;
}

static bool is_doubted(const weir__slot *slot) { return last_sign(slot) < slot->pool->health.doubt_at; }

static int64_t due_at(const weir__slot *slot) {
    return is_doubted(slot) ? 0 : last_sign(slot) + slot->pool->health.every - slot->health.early;
}

/* The idle one that is due first; NULL: none is idle. */
static weir__slot *next_due(const weir_pool *pool) {
    weir__slot *found = NULL;
    for (weir__link *link = pool->idle.next; link != &pool->idle; link = link->next) {
        weir__slot *slot = weir__container(link, weir__slot, link);
        if (!found || due_at(slot) < due_at(found)) found = slot;
    }
    return found;
}

static int checked(const weir_pool *pool, int64_t since) {
    int count = 0;
    for (size_t i = 0; pool->counts[WEIR__CHECKING] && i < pool->slot_count; i++)
        count += is_checked(pool->slots[i]) && pool->slots[i]->health.checked_at > since;
    return count;
}

int weir__health_checking(const weir_pool *pool) { return checked(pool, 0); }

int weir__health_coming(const weir_pool *pool, int64_t now) { return checked(pool, now - WEIR__COMING_FOR); }

static void beat(weir__timer *timer) {
    weir_pool *pool = weir__container(timer, weir_pool, health.beat);
    weir__pool_health *health = &pool->health;
    int64_t now = weir__reactor_now(pool->reactor), next = first_due(health, now);
    bool calm = weir__guard_calm(pool) && !pool->waiting; /* else there are others who ask */
    weir__slot *slot = next_due(pool);
    if (!slot || !is_doubted(slot)) health->look_after = usual_look(pool);
    for (int busy = weir__health_checking(pool); calm && slot && due_at(slot) <= now; slot = next_due(pool)) {
        if (busy++ >= (is_doubted(slot) ? DOUBTED_AT_ONCE : 1))
            break; /* the end of a check is the next beat */
        weir__health_check(slot, now);
    }
    if (slot && due_at(slot) > now && due_at(slot) < next) next = due_at(slot);
    weir__reactor_start(pool->reactor, timer, next);
    weir__health_touch(pool);
}

/* A check has ended: on with the next. */
static void go_on(weir_pool *pool, int64_t now) {
    if (pool->health.every != WEIR__NEVER && !pool->closing)
        weir__reactor_start(pool->reactor, &pool->health.beat, now);
}

bool weir__health_vouches(const weir__slot *slot, int64_t now) {
    const weir__pool_health *health = &slot->pool->health;
    if (health->validate == WEIR__NEVER) return true;
    return !is_doubted(slot) && now - last_sign(slot) <= health->validate;
}

/* ---- a check */

void weir__health_check(weir__slot *slot, int64_t now) {
    weir_pool *pool = slot->pool;
    const weir_options *options = &pool->config->options;
    weir__flight *flight = weir__flight_new(slot); /* the slot's own */
    flight->request.statement = weir_statement_ref(pool->health.query);
    flight->request.timeout_ms = options->command_timeout_ms;
    flight->request.readonly = options->readonly;
    flight->sent_at = now;
    slot->health.checked_at = now;
    if (weir__guard_calm(pool)) weir__guard_grant(pool, &slot->entry, now);
    weir__slot_move(slot, WEIR__CHECKING);
    weir__reactor_start(pool->reactor, &slot->bound, weir__deadline(now, options->health_check_timeout_ms));
    pool->driver->execute(slot->conn, &flight->request);
}

/* latency: -1 unknown. */
static void count_passed(weir_pool *pool, int64_t latency, int64_t now) {
    weir__pool_health *health = &pool->health;
    pool->stats->health_checks_passed++;
    if (latency >= 0) weir__histogram_record(&pool->stats->health_check, health->latency_ns = latency);
    weir__health_note(pool, WEIR_HEALTH_EVENT_PASSED, latency, "");
    health->ended_at = now;
    health->failures = 0;
    weir__health_touch(pool);
}

/* A caller's check that got no connection to ask on. */
static bool asked_nobody(const weir_error *why) {
    return why->code == WEIR_ECHECKOUTTIMEOUT || why->code == WEIR_EQUEUEFULL ||
           why->code == WEIR_EOVERLOADED || WEIR_IS_CIRCUIT_OPEN(why->code);
}

/* What it says of the server. */
static weir_outcome count_failed(weir_pool *pool, const weir_error *why, int64_t took, int64_t now) {
    weir__pool_health *health = &pool->health;
    const weir__breaker *breaker = weir__guard_of(pool, WEIR_BREAKER_QUERIES);
    weir_outcome outcome = weir__breaker_classify(breaker, why, WEIR_VERDICT_NONE);
    pool->stats->health_checks_failed++;
    weir__breaker_describe(why, health->last_failure, sizeof health->last_failure);
    weir__health_note(pool, WEIR_HEALTH_EVENT_FAILED, took, health->last_failure);
    health->ended_at = now;
    weir__health_touch(pool);
    if (asked_nobody(why)) return outcome;
    health->failures++;
    health->answered = outcome == WEIR_OUTCOME_SUCCESS;
    return outcome;
}

void weir__health_failed(weir__slot *slot, weir_error *why, int64_t now) {
    weir_pool *pool = slot->pool;
    weir_outcome outcome = count_failed(pool, why, now - slot->health.checked_at, now);
    weir__logf(&pool->reactor->log, WEIR_LOG_WARNING,
               "pool %s: a health check has failed, and its connection is closed: %s", weir_pool_name(pool),
               pool->health.last_failure);
    weir__guard_end(pool, &slot->entry, why, now);
    if (outcome == WEIR_OUTCOME_FAILURE) {
        pool->health.doubt_at = slot->health.checked_at;
        pool->health.look_after = -1;
        weir__pool_begin_outage(pool);
    }
    weir__slot_close(slot, WEIR_ELOST, why);
    go_on(pool, now);
}

void weir__health_overdue(weir__slot *slot) {
    weir_pool *pool = slot->pool;
    weir_error why = WEIR_ERROR_INIT;
    weir__fail(&why, WEIR_ETIMEOUT, "no answer within health_check_timeout (%lld ms)",
               (long long)pool->config->options.health_check_timeout_ms);
    weir__health_lost(pool);
    weir__health_failed(slot, &why, weir__reactor_now(pool->reactor));
    weir_error_clear(&why);
}

static void look_at_role(weir__slot *slot, int64_t now);

bool weir__health_answered(weir__slot *slot, const weir__request *request, int64_t now) {
    weir_pool *pool = slot->pool;
    if (request->code != WEIR_OK) {
        weir__error_copy(&slot->lost, request->error);
        return true;
    }
    if (slot->conn->tx != WEIR__TX_NONE) {
        weir__fail(&slot->lost, WEIR_ETRANSACTION, "health_check_query has left a transaction open");
        return true;
    }
    /* Nobody may have looked for the answer for long. */
    bool seen = pool->reactor->undriven < WEIR__UNDRIVEN;
    count_passed(pool, seen ? now - slot->health.checked_at : -1, now);
    weir__guard_end(pool, &slot->entry, NULL, now);
    slot->health.checked_at = now;
    look_at_role(slot, now);
    go_on(pool, now);
    return false;
}

void weir__health_replace(weir__slot *slot) {
    weir__link *idle = &slot->pool->idle, *at = &slot->link;
    bool lifo = slot->pool->config->options.lifo;
    for (;;) { /* slot_move has put it at the one end */
        weir__link *other = lifo ? at->next : at->prev;
        if (other == idle || weir__container(other, weir__slot, link)->idle_since <= slot->idle_since) break;
        at = other;
    }
    if (at == &slot->link) return;
    weir__list_remove(&slot->link);
    weir__list_insert_before(lifo ? at->next : at, &slot->link);
}

/* ---- checks by callers */

int weir__health_ask(weir_pool *pool, int64_t timeout_ms, void *token, weir_op *op, weir_error *error) {
    weir_run run;
    weir_error why = WEIR_ERROR_INIT;
    weir_run_init(&run);
    run.timeout_ms =
        timeout_ms == WEIR_TIMEOUT_DEFAULT ? pool->config->options.health_check_timeout_ms : timeout_ms;
    int64_t now = weir__reactor_now(pool->reactor);
    int code = weir__pool_question(pool, &run, token, op, &why);
    if (code > 0 && code != WEIR_ECLOSED && code != WEIR_ENOMEM) {
        count_failed(pool, &why, -1, now);
        code = WEIR_OK;
    } else if (code > 0) {
        weir__error_copy(error, &why);
    }
    weir_error_clear(&why);
    return code;
}

void weir__health_asked(weir_pool *pool, const weir_error *why, int64_t since, int64_t now) {
    if (why)
        count_failed(pool, why, now - since, now);
    else
        count_passed(pool, now - since, now);
}

/* ---- what else says something of the server */

void weir__health_lost(weir_pool *pool) {
    pool->stats->connections_lost++;
    pool->health.lost_at = weir__reactor_now(pool->reactor);
    weir__health_touch(pool);
}

void weir__health_proven(weir__slot *slot) {
    weir__pool_health *health = &slot->pool->health;
    if (health->every != WEIR__NEVER)
        slot->health.early = weir__random_below(&slot->pool->rng, jitter(health));
    if (!health->failures || health->answered) return;
    health->failures = 0; /* it was silent, and is there again */
    weir__health_touch(slot->pool);
}

/* ---- the server's role */

static weir__role role_of(const weir__slot *slot) {
    const weir__driver *driver = slot->pool->driver;
    return driver->role ? driver->role(slot->conn) : WEIR__ROLE_UNKNOWN;
}

static void set_role(weir__slot *slot, weir__role role) {
    weir__pool_health *health = &slot->pool->health;
    slot->health.role = role;
    if (role != WEIR__ROLE_WRITES || !health->refused_at) return;
    health->refused_at = health->expire_pause = 0;
    weir__health_touch(slot->pool);
}

void weir__health_baseline(weir__slot *slot) { set_role(slot, role_of(slot)); }

/* What is connected anew may be a server that takes writes; if it is not, not again at once. */
static void expire(weir__slot *slot, const char *text, int64_t now) {
    weir_pool *pool = slot->pool;
    weir__pool_health *health = &pool->health;
    if (slot->generation != pool->generation || now < health->expire_at) return;
    int64_t pause = 2 * health->expire_pause;
    health->expire_pause = !pause ? EXPIRE_PAUSE : pause < EXPIRE_PAUSE_MAX ? pause : EXPIRE_PAUSE_MAX;
    health->expire_at = now + health->expire_pause;
    weir__health_note(pool, WEIR_HEALTH_EVENT_EXPIRED, -1, text);
    weir__logf(&pool->reactor->log, WEIR_LOG_WARNING,
               "pool %s: the server takes no writes, and all connections are made anew: %s",
               weir_pool_name(pool), text);
    weir__pool_expire(pool);
}

static void look_at_role(weir__slot *slot, int64_t now) {
    weir__role before = slot->health.role, role = role_of(slot);
    if (role == before) return;
    set_role(slot, role);
    if (before != WEIR__ROLE_WRITES || role == WEIR__ROLE_UNKNOWN || slot->pool->config->options.readonly)
        return;
    slot->pool->health.refused_at = now;
    expire(slot,
           role == WEIR__ROLE_STANDBY ? "it is a standby by now" : "its transactions are read only by now",
           now);
}

/* The caller himself has said so. */
static bool is_readonly(const weir__flight *flight) {
    const weir__slot *slot = flight->slot;
    if (flight->request.readonly || slot->pool->config->options.readonly) return true;
    if (flight->batch) return weir__batch_readonly(flight->batch);
    return slot->depth && slot->begin && strstr(slot->begin, "READ ONLY");
}

void weir__health_refused(const weir__flight *flight, int64_t now) {
    weir__slot *slot = flight->slot;
    char text[WEIR_HEALTH_TEXT_SIZE];
    if (!slot->pool->driver->role || slot->state == WEIR__PREPARING || is_readonly(flight)) return;
    weir__role role = role_of(slot);
    if (role == WEIR__ROLE_WRITES || (role == WEIR__ROLE_READS && role == slot->health.role)) return;
    slot->pool->health.refused_at = now;
    weir__breaker_describe(flight->request.error, text, sizeof text);
    expire(slot, text, now);
}
