/* Connections that are held for too long, or with an idle transaction: who holds them, the report, taking
 * them back. */
#include "pool/leak.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

/* A warning of a nested checkout is logged once in so long. */
#define NESTED_PAUSE (60000 * WEIR__MS)

const char *weir__site(const weir__slot *slot, char *text, size_t size) {
    if (slot->function[0])
        snprintf(text, size, "%s (%s:%d)", slot->function, slot->file, slot->line);
    else
        snprintf(text, size, "session %llu", (unsigned long long)slot->loan);
    return text;
}

weir__leak_action weir__leak_action_of(const char *option) {
    static const char *const names[] = {"report", "cancel", "close", "replace"};
    int action = WEIR__LEAK_REPLACE;
    while (action > WEIR__LEAK_REPORT && strcmp(option, names[action]) != 0) action--;
    return (weir__leak_action)action;
}

void weir__leak_note(weir__slot *slot, const char *text, size_t length) {
    size_t most = sizeof slot->last_text - 1;
    if (length > most)
        for (length = most; length && ((unsigned char)text[length] & 0xc0) == 0x80;)
            length--; /* whole characters */
    memcpy(slot->last_text, text, length);
    slot->last_text[length] = '\0';
}

void weir__leak_arm(weir__slot *slot) {
    weir_pool *pool = slot->pool;
    if (pool->leak_ns != WEIR__NEVER) weir__pool_arm_reaper(pool, slot->lent_at + pool->leak_ns);
}

static void report(weir__slot *slot, int64_t now) {
    const weir__log *log = &slot->pool->reactor->log;
    const char *name = weir_pool_name(slot->pool);
    double age = (double)(now - slot->lent_at) / 1e9;
    char who[WEIR__SITE_TEXT];
    weir__logf(log, WEIR_LOG_WARNING,
               "pool %s: %s has held a connection for %.1f s, longer than leak_threshold; %s%s%s", name,
               weir__site(slot, who, sizeof who), age,
               weir__session_busy(slot) ? "it runs: "
               : slot->last_text[0]     ? "its last statement: "
                                        : "it has run nothing",
               slot->last_text, slot->stack ? "; its stack follows" : "");
    for (const char *line = slot->stack, *end; line && *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        weir__logf(log, WEIR_LOG_WARNING, "pool %s:   %.*s", name, (int)(end - line), line);
    }
}

/* True once, when the loan has lasted for too long. */
static bool look_for_leak(weir__slot *slot, int64_t now) {
    int64_t threshold_ms = slot->pool->config->options.leak_threshold_ms;
    if (slot->leaked || threshold_ms < 0 || weir__deadline(slot->lent_at, threshold_ms) > now) return false;
    slot->leaked = true;
    slot->pool->stats->leaks++;
    report(slot, now);
    return true;
}

void weir__leak_over(weir__slot *slot, int64_t now) {
    weir_pool *pool = slot->pool;
    char who[WEIR__SITE_TEXT];
    if (slot->state == WEIR__LENT) look_for_leak(slot, now); /* nobody may have driven the reactor since */
    if (slot->leaked)
        weir__logf(&pool->reactor->log, WEIR_LOG_INFO,
                   "pool %s: the connection that %s held is free again, after %.1f s", weir_pool_name(pool),
                   weir__site(slot, who, sizeof who), (double)(now - slot->lent_at) / 1e9);
    slot->leaked = false;
    weir__free(slot->stack);
    slot->stack = NULL;
}

/* By the option leak_action. */
static void take_back(weir__slot *slot, int64_t now) {
    weir_pool *pool = slot->pool;
    weir_error why = WEIR_ERROR_INIT;
    weir__leak_action action = pool->leak_action;
    if (action == WEIR__LEAK_REPORT) return;
    pool->stats->leaks_reclaimed++;
    weir__fail(&why, WEIR_ERECLAIMED,
               "pool %s: the connection was held for longer than leak_threshold (%lld ms) and was taken back",
               weir_pool_name(pool), (long long)((now - slot->lent_at) / WEIR__MS));
    if (action == WEIR__LEAK_CANCEL)
        weir__session_break_off(slot, &why);
    else
        weir__slot_close(slot, WEIR_ERECLAIMED, &why);
    pool->replacing += action == WEIR__LEAK_REPLACE;
    weir_error_clear(&why);
}

static bool idles_in_transaction(const weir__slot *slot) {
    return slot->state == WEIR__LENT && slot->conn->tx != WEIR__TX_NONE && !slot->flying &&
           weir__list_empty(&slot->queue);
}

static int64_t idle_until(const weir__slot *slot) {
    return weir__deadline(slot->quiet_since, slot->pool->config->options.idle_in_transaction_timeout_ms);
}

void weir__leak_quiet(weir__slot *slot, int64_t now) {
    slot->quiet_since = now;
    if (slot->pool->config->options.idle_in_transaction_timeout_ms > 0 && idles_in_transaction(slot))
        weir__pool_arm_reaper(slot->pool, idle_until(slot));
}

/* When to look again. */
static int64_t look_at_transaction(weir__slot *slot, int64_t now) {
    weir_pool *pool = slot->pool;
    int64_t timeout_ms = pool->config->options.idle_in_transaction_timeout_ms;
    if (timeout_ms < 0 || !idles_in_transaction(slot)) return WEIR__NEVER;
    int64_t due = idle_until(slot);
    if (due > now) return due;
    weir_error why = WEIR_ERROR_INIT;
    char who[WEIR__SITE_TEXT];
    weir__logf(
        &pool->reactor->log, WEIR_LOG_WARNING,
        "pool %s: the transaction of %s was idle for %lld ms, its last statement: %s; it is rolled back",
        weir_pool_name(pool), weir__site(slot, who, sizeof who),
        (long long)((now - slot->quiet_since) / WEIR__MS), slot->last_text);
    weir__fail(&why, WEIR_EIDLE, "%s", weir_error_text(WEIR_EIDLE));
    pool->stats->transactions_idle++;
    weir__session_break_off(slot, &why);
    weir_error_clear(&why);
    return WEIR__NEVER;
}

static int64_t look_at_loan(weir__slot *slot, int64_t now) {
    if (slot->state != WEIR__LENT) return WEIR__NEVER;
    if (look_for_leak(slot, now)) take_back(slot, now);
    return slot->leaked || !slot->loan
               ? WEIR__NEVER
               : weir__deadline(slot->lent_at, slot->pool->config->options.leak_threshold_ms);
}

int64_t weir__leak_look(weir__slot *slot, int64_t now) {
    int64_t first = look_at_transaction(slot, now), second = look_at_loan(slot, now);
    return first < second ? first : second;
}

/* ---- who waits though he holds one */

static bool is_full(const weir_pool *pool) {
    int kept = weir__pool_total(pool) - pool->counts[WEIR__CLOSING];
    return !pool->counts[WEIR__IDLE] && kept >= weir__pool_most(pool);
}

/* The connection that who asks holds while all are taken; NULL: none. */
static const weir__slot *held_by(const weir_pool *pool, const weir__task *task) {
    uint64_t owner = task->inside ? task->inside : task->owner;
    if (!owner || !is_full(pool) || !weir__owner_holds(pool, owner)) return NULL;
    for (size_t i = 0; i < pool->slot_count; i++)
        if (pool->slots[i]->state == WEIR__LENT && pool->slots[i]->owner == owner) return pool->slots[i];
    return NULL;
}

void weir__leak_waits(weir_pool *pool, const weir__task *task, int64_t now) {
    const weir__slot *slot = held_by(pool, task);
    if (!slot) return;
    pool->stats->checkouts_nested++;
    if (pool->nested_at && now - pool->nested_at < NESTED_PAUSE) return;
    pool->nested_at = now;
    char who[WEIR__SITE_TEXT];
    weir__logf(
        &pool->reactor->log, WEIR_LOG_WARNING,
        "pool %s: %s holds a connection and waits for another one, and none is left: if all holders do so it "
        "is a deadlock; use the one that is held, or raise max_size",
        weir_pool_name(pool), weir__site(slot, who, sizeof who));
}

const char *weir__leak_why(const weir__task *task, char *text, size_t size) {
    const weir__slot *slot = held_by(task->pool, task);
    int trying = task->pool->counts[WEIR__CONNECTING];
    char who[WEIR__SITE_TEXT];
    if (trying && !weir__pool_live(task->pool) && !task->pool->ceiling.why) {
        snprintf(
            text, size,
            "no connection could be made in time: none is there, and %d attempt%s to make one %s not ended",
            trying, trying == 1 ? "" : "s", trying == 1 ? "has" : "have");
        return text;
    }
    if (!slot && task->pool->ceiling.why) {
        snprintf(text, size, "no connection came free in time: %s", task->pool->ceiling.why);
        return text;
    }
    if (!slot && !weir__adapt_full(task->pool)) return "no connection came free in time";
    if (!slot) {
        snprintf(text, size, "no connection came free in time, and adaptive_size lends no more than %d now",
                 task->pool->adapt.lends);
        return text;
    }
    snprintf(text, size,
             "no connection came free in time, and the caller itself holds one, checked out by %s: a "
             "deadlock, if the "
             "others are held so, too; use that one, or raise max_size",
             weir__site(slot, who, sizeof who));
    return text;
}

/* ---- the list ---- */

static bool listed(const weir__slot *slot, int64_t min_age_ms, int64_t now) {
    return slot->state == WEIR__LENT && weir__deadline(slot->lent_at, min_age_ms) <= now;
}

static size_t text_bytes(const weir__slot *slot) {
    return strlen(slot->file) + strlen(slot->function) + strlen(slot->last_text) +
           (slot->stack ? strlen(slot->stack) : 0) + 4;
}

static const char *keep(char **free, const char *text) {
    size_t size = strlen(text) + 1;
    char *kept = memcpy(*free, text, size);
    *free += size;
    return kept;
}

static weir_holder holder_of(const weir__slot *slot, int64_t now, char **free) {
    return (weir_holder){
        .file = keep(free, slot->file),
        .function = keep(free, slot->function),
        .line = slot->line,
        .age_ms = (now - slot->lent_at) / WEIR__MS,
        .statement = keep(free, slot->last_text),
        .stack = keep(free, slot->stack ? slot->stack : ""),
        .depth = slot->depth,
        .busy = weir__session_busy(slot),
        .leaked = slot->leaked,
        .backend = slot->conn->backend,
    };
}

int weir__pool_holders(const weir_pool *pool, int64_t min_age_ms, weir_holder **out, size_t *count,
                       weir_error *error) {
    int64_t now = weir__reactor_now(pool->reactor);
    size_t number = 0, bytes = 0;
    for (size_t i = 0; i < pool->slot_count; i++) {
        if (!listed(pool->slots[i], min_age_ms, now)) continue;
        number++;
        bytes += sizeof(weir_holder) + text_bytes(pool->slots[i]);
    }
    *out = NULL;
    *count = 0;
    if (!number) return WEIR_OK;
    weir_holder *holders = weir__malloc(bytes);
    if (!holders) return weir__fail(error, WEIR_ENOMEM, "out of memory for a list of holders");
    char *free = (char *)(holders + number);
    for (size_t i = 0, n = 0; i < pool->slot_count; i++) {
        if (!listed(pool->slots[i], min_age_ms, now)) continue;
        weir_holder holder = holder_of(pool->slots[i], now, &free);
        size_t place = n++;
        for (; place && holders[place - 1].age_ms < holder.age_ms; place--)
            holders[place] = holders[place - 1];
        holders[place] = holder;
    }
    *out = holders;
    *count = number;
    return WEIR_OK;
}
