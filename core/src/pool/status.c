/* What the pool says of itself: its status, the reasons, the history. */
#include "pool/pool.h"

#include <stdio.h>

#include "base/error.h"

#define OF_LATE (60000 * WEIR__MS)
#define LONG_WAIT (1000 * WEIR__MS)
enum { FAILING = 3 }; /* checks in a row */

#define BIT(reason) (1u << WEIR_HEALTH_##reason)

/* ---- names */

const char *weir_health_status_name(weir_health_status status) {
    static const char *const names[] = {
#define STATUS(suffix, value, name, text) [WEIR_##suffix] = name,
        WEIR_HEALTH_STATUSES(STATUS)
#undef STATUS
    };
    return (unsigned)status < sizeof names / sizeof *names ? names[status] : NULL;
}

static const struct {
    const char *name, *text;
    weir_health_status status;
} reasons[] = {
#define REASON(suffix, value, status, name, text) [WEIR_HEALTH_##suffix] = {name, text, WEIR_##status},
    WEIR_HEALTH_REASONS(REASON)
#undef REASON
};
enum { REASONS = sizeof reasons / sizeof *reasons };

const char *weir_health_reason_name(weir_health_reason reason) {
    return (unsigned)reason < REASONS ? reasons[reason].name : NULL;
}

const char *weir_health_reason_text(weir_health_reason reason) {
    return (unsigned)reason < REASONS ? reasons[reason].text : NULL;
}

const char *weir_health_event_name(weir_health_event_kind kind) {
    static const char *const names[] = {
#define EVENT(suffix, value, name, text) [WEIR_HEALTH_EVENT_##suffix] = name,
        WEIR_HEALTH_EVENTS(EVENT)
#undef EVENT
    };
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : NULL;
}

/* ---- the history */

static weir_health_event *add_event(weir_pool *pool, weir_health_event_kind kind, int64_t duration_ns,
                                    const char *text) {
    weir__pool_health *health = &pool->health;
    uint64_t number = ++health->last_event;
    weir_health_event *event = &health->events[number % WEIR_HEALTH_EVENTS_KEPT];
    *event = (weir_health_event){.number = number,
                                 .at_ns = weir__reactor_now(pool->reactor),
                                 .kind = kind,
                                 .before = health->status,
                                 .status = health->status,
                                 .duration_ns = duration_ns};
    snprintf(event->text, sizeof event->text, "%s", text);
    return event;
}

void weir__health_note(weir_pool *pool, weir_health_event_kind kind, int64_t duration_ns, const char *text) {
    const weir__pool_health *health = &pool->health;
    bool again = kind == WEIR_HEALTH_EVENT_PASSED && health->ended_at && !health->failures;
    if (!again) add_event(pool, kind, duration_ns, text);
}

bool weir__health_next_event(const weir_pool *pool, uint64_t *after, weir_health_event *out) {
    uint64_t last = pool->health.last_event, next = *after + 1;
    if (next > last) return false;
    if (last - next >= WEIR_HEALTH_EVENTS_KEPT) next = last - WEIR_HEALTH_EVENTS_KEPT + 1;
    *out = pool->health.events[next % WEIR_HEALTH_EVENTS_KEPT];
    *after = next;
    return true;
}

/* ---- the status */

static bool is_shut(weir_breaker_state state) {
    return state == WEIR_BREAKER_OPEN || state == WEIR_BREAKER_FORCED_OPEN;
}

/* An attempt to connect may hang: it has been under way for so long. */
static bool connecting_lasts(const weir_pool *pool, int64_t now) {
    for (size_t i = 0; i < pool->slot_count; i++) {
        const weir__slot *slot = pool->slots[i];
        if (slot->state == WEIR__CONNECTING && now - slot->begun_at > LONG_WAIT) return true;
    }
    return false;
}

static unsigned of_server(weir_pool *pool, int64_t now) {
    weir_breaker_state queries = weir__guard_state(pool, WEIR_BREAKER_QUERIES);
    weir_breaker_state connects = weir__guard_state(pool, WEIR_BREAKER_CONNECTS);
    bool lives = weir__pool_live(pool);
    unsigned found = 0;
    if (is_shut(queries) || (is_shut(connects) && !lives)) found |= BIT(CIRCUIT_OPEN);
    if (queries == WEIR_BREAKER_HALF_OPEN) found |= BIT(CIRCUIT_HALF_OPEN);
    if (pool->failures) found |= lives ? BIT(CONNECT_FAILING) : BIT(DISCONNECTED);
    if (is_shut(connects) && lives) found |= BIT(CONNECT_FAILING);
    if (!lives && connecting_lasts(pool, now)) found |= BIT(DISCONNECTED);
    return found;
}

static bool has_long_wait(const weir_pool *pool, int64_t now) {
    const weir__link *lines[] = {&pool->waiters, &pool->lane};
    for (int i = 0; i < 2; i++) {
        const weir__link *first = lines[i]->next;
        if (first == lines[i]) continue;
        if (now - weir__container(first, weir__task, op.link)->started_at > LONG_WAIT) return true;
    }
    return false;
}

static bool is_of_late(int64_t at, int64_t now) { return at && now - at < OF_LATE; }

/* What is still being made is taken by nobody. */
static bool is_exhausted(const weir_pool *pool, int64_t now) {
    if (!pool->waiting || pool->counts[WEIR__IDLE] || weir__pool_room(pool) > 0) return false;
    return (weir__pool_live(pool) || !pool->counts[WEIR__CONNECTING]) && has_long_wait(pool, now);
}

static unsigned of_use(const weir_pool *pool, int64_t now) {
    const weir__pool_health *health = &pool->health;
    unsigned found = 0;
    if (health->failures) found |= health->failures < FAILING ? BIT(CHECK_FAILED) : BIT(CHECKS_FAILING);
    if (is_of_late(health->lost_at, now)) found |= BIT(CONNECTIONS_LOST);
    if (is_of_late(health->refused_at, now)) found |= BIT(STANDBY);
    if (is_exhausted(pool, now)) found |= BIT(EXHAUSTED);
    for (size_t i = 0; i < pool->slot_count; i++)
        if (pool->slots[i]->leaked) found |= BIT(LEAKS);
    return found;
}

static weir_health_status status_of(unsigned found) {
    weir_health_status status = WEIR_HEALTHY;
    for (unsigned i = 0; i < REASONS; i++)
        if (found & (1u << i) && reasons[i].status > status) status = reasons[i].status;
    return status;
}

/* A change goes to the history, and to the log. */
static unsigned look(weir_pool *pool, int64_t now) {
    weir__pool_health *health = &pool->health;
    unsigned found = weir__pool_shut(pool) ? BIT(CLOSED) : of_server(pool, now) | of_use(pool, now);
    weir_health_status status = status_of(found), before = health->status;
    if (status == before) return found;
    health->status = status;
    health->status_at = now;
    weir_health_event *event = add_event(pool, WEIR_HEALTH_EVENT_STATUS, -1, "");
    event->before = before;
    event->reasons = found;
    unsigned worst = 0;
    while (worst < REASONS && !(found & (1u << worst))) worst++; /* they stand in that order */
    if (!(found & BIT(CLOSED)))
        weir__logf(&pool->reactor->log, WEIR_LOG_INFO, "pool %s: it is %s%s%s", weir_pool_name(pool),
                   weir_health_status_name(status), found ? ": " : "", found ? reasons[worst].text : "");
    return found;
}

void weir__health_touch(weir_pool *pool) {
    pool->health.look = true;
    weir__pool_touch(pool);
}

void weir__health_look(weir_pool *pool) {
    pool->health.look = false;
    look(pool, weir__reactor_now(pool->reactor));
}

static int64_t age_ms(int64_t at, int64_t now) { return at ? (now - at) / WEIR__MS : -1; }

void weir__health_read(weir_pool *pool, weir_health *out) {
    const weir__pool_health *health = &pool->health;
    int64_t now = weir__reactor_now(pool->reactor);
    *out = (weir_health){.struct_size = sizeof *out, .reasons = look(pool, now)};
    out->status = health->status;
    out->status_age_ms = age_ms(health->status_at, now);
    out->last_check_ms = age_ms(health->ended_at, now);
    out->latency_ns = health->latency_ns;
    out->failures_in_a_row = health->failures;
    out->passed = pool->stats->health_checks_passed;
    out->failed = pool->stats->health_checks_failed;
    snprintf(out->last_failure, sizeof out->last_failure, "%s", health->last_failure);
    if (pool->failures)
        weir__breaker_describe(&pool->last_error, out->connect_failure, sizeof out->connect_failure);
}
