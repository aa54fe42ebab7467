/*
 * Statements that share connections. A statement of the pool's own callers, of a kind that leaves nothing
 * behind and of which it is known that it is short, is sent behind others on a connection that is busy
 * already; the answers come one behind the other. So fewer connections do more, and a round trip is paid once
 * for many.
 *
 * What a statement takes is learnt by its text: `alone` is the time from sending to answer on a connection
 * that has nothing else to do, the way there and back included; `behind` is what it adds to one that is busy.
 * Of an executemany the time of one set is learnt, apart from that of the statement run by itself.
 * A statement that is not known yet, or is slow, gets a connection of its own, and so does every session;
 * when there is none, shared ones are claimed: they take nothing more and are free when what flies has
 * landed.
 */
#include "pool/pool.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/sql.h"

enum {
    PROFILES = 1000,        /* texts that a pool remembers */
    TEXT_MAX = 16384,       /* a longer one is not remembered, and not shared */
    SETS = 256,             /* an executemany of more is not tried out */
    DEPTH = 64,             /* statements on a connection … */
    DEPTH_WRITES = 8,       /* … that may be followed by one that writes */
    PRICE = 8,              /* answers that pay for one that is moved … */
    CREDIT = PRICE * DEPTH, /* … so many in stock */
};
#define WARY                                                                                                 \
    (1000 * WEIR__MS) /* so long one that writes, and may have waited for a lock, does not share again */
#define TRY_AGAIN (200 * WEIR__MS)
#define STALLS (65536 / 32) /* one that takes long so often does not share */

/* ---- profiles */

static weir__profile *profile_of(weir__lru_node *node) {
    return node ? weir__container(node, weir__profile, node) : NULL;
}

void weir__profile_unref(weir_pool *pool, weir__profile *profile) {
    (void)pool;
    if (profile && --profile->references == 0) weir__free(profile);
}

static void forget_oldest(weir_pool *pool) {
    weir__profile *profile = profile_of(weir__lru_oldest(&pool->share.profiles));
    weir__lru_remove(&pool->share.profiles, &profile->node);
    weir__profile_unref(pool, profile);
}

/* Borrowed. NULL: out of memory, or the text is too long. */
static weir__profile *find_profile(weir_pool *pool, const weir_statement *statement) {
    weir__share *share = &pool->share;
    uint64_t hash = statement->hash ^ statement->many;
    weir__lru_node *node = weir__lru_find(&share->profiles, hash, statement->sql, statement->sql_length);
    if (node || statement->sql_length > TEXT_MAX) return profile_of(node);
    weir__profile *profile = weir__calloc(1, sizeof *profile + statement->sql_length + 1);
    if (!profile) return NULL;
    memcpy(profile->sql, statement->sql, statement->sql_length);
    profile->references = 1;
    profile->text = pool->driver->classify(pool->env, statement);
    profile->writes = statement->many || !(profile->text & WEIR__TEXT_READS);
    profile->node.hash = hash;
    profile->node.text = profile->sql;
    profile->node.length = statement->sql_length;
    weir__list_init(&profile->node.order);
    while (share->profiles.count >= share->profiles.limit) forget_oldest(pool);
    weir__lru_insert(&share->profiles, &profile->node);
    return profile;
}

bool weir__share_open(weir_pool *pool) {
    weir__share *share = &pool->share;
    const weir_options *options = &pool->config->options;
    weir__list_init(&share->slots);
    share->on = options->pipeline && pool->driver->pipelines;
    share->max_wait = options->pipeline_max_wait_ms * WEIR__MS;
    weir__width_start(pool);
    return weir__lru_init(&share->profiles, pool->driver->pipelines ? PROFILES : 0);
}

void weir__share_close(weir_pool *pool) {
    while (pool->share.profiles.count) forget_oldest(pool);
    weir__lru_free(&pool->share.profiles);
}

/* ---- who may share */

/* What one set adds to a connection that is busy, as far as known: no more than it takes alone. */
static int64_t adds(const weir__profile *profile) {
    bool less = profile->behind && profile->behind < profile->alone;
    return less ? profile->behind : profile->alone;
}

/* Many sets, and not known to be short. */
static bool is_volume(const weir_pool *pool, const weir__profile *profile, int64_t sets) {
    return sets > SETS && (!adds(profile) || adds(profile) >= pool->share.max_wait / 4 / sets);
}

static int refuse(weir_pool *pool, const weir_statement *statement, const char *why, weir_error *error) {
    const char *end = statement->sql + statement->sql_length,
               *word = weir__sql_skip_to_word(statement->sql, end), *behind = word;
    while (behind < end && weir__sql_in_word(*behind)) behind++;
    return weir__fail(error, WEIR_EINVAL, "pool %s: %.*s %s", weir_pool_name(pool), (int)(behind - word),
                      word, why);
}

/* A longer limit than usual is told the server by a SET, which would be its neighbours' as well. */
static bool has_usual_time(const weir_pool *pool, const weir_run *run) {
    int64_t usual = pool->config->options.command_timeout_ms;
    if (run->timeout_ms == WEIR_TIMEOUT_DEFAULT || usual < 0) return true;
    return run->timeout_ms > 0 && run->timeout_ms <= usual;
}

/* *profile: borrowed; NULL: nothing is kept of such a text. */
static unsigned text_of(weir_pool *pool, const weir_statement *statement, weir__profile **profile) {
    *profile = pool->driver->pipelines ? find_profile(pool, statement) : NULL;
    return *profile ? (*profile)->text : pool->driver->classify(pool->env, statement);
}

int weir__share_judge_part(weir_pool *pool, const weir_statement *statement, weir_error *error) {
    weir__profile *profile;
    if (!(text_of(pool, statement, &profile) & WEIR__TEXT_TRANSACTION)) return WEIR_OK;
    return refuse(pool, statement,
                  "begins or ends a transaction, or a part of one, which the pool does by itself here: use "
                  "pool.session()",
                  error);
}

int weir__share_judge(weir_pool *pool, const weir_statement *statement, const weir_run *run,
                      weir__profile **out, weir_error *error) {
    weir__profile *profile;
    unsigned text = text_of(pool, statement, &profile);
    *out = NULL;
    if (text & (pool->share.on ? WEIR__TEXT_STATE : WEIR__TEXT_TRANSACTION))
        return refuse(
            pool, statement,
            text & WEIR__TEXT_LISTEN
                ? "would be forgotten when its connection goes back: pool.listen() makes a listener, with a "
                  "connection of its own"
                : "would change the state of a connection that others use next: run it on a connection of "
                  "your own, pool.connection() or pool.session()",
            error);
    if (run->readonly && pool->driver->pipelines && !(text & WEIR__TEXT_READS))
        return refuse(pool, statement,
                      "does not only read: readonly takes SELECT, VALUES, TABLE, WITH, SHOW and EXPLAIN",
                      error);
    if (!pool->share.on || !profile || !(text & WEIR__TEXT_SHARES) || !has_usual_time(pool, run))
        return WEIR_OK;
    if (is_volume(pool, profile, weir__share_sets(statement))) return WEIR_OK;
    /* What the caller holds may be what the statement before this one waits for. From there one that reads is
       moved on; the others would wait for ever. */
    bool movable = run->readonly || text & WEIR__TEXT_AGAIN;
    if (!movable && run->owner && weir__owner_holds(pool, run->owner)) return WEIR_OK;
    profile->references++;
    *out = profile;
    return WEIR_OK;
}

static uint16_t *owner_place(weir_pool *pool, uint64_t owner) {
    return &pool->share.owners[(owner ^ owner >> 6 ^ owner >> 12 ^ owner >> 20) % WEIR__OWNERS];
}

void weir__owner_add(weir_pool *pool, uint64_t owner, int n) {
    if (owner) *owner_place(pool, owner) = (uint16_t)(*owner_place(pool, owner) + n);
}

bool weir__owner_holds(const weir_pool *pool, uint64_t owner) {
    if (!*owner_place((weir_pool *)pool, owner)) return false;
    for (size_t i = 0; i < pool->slot_count; i++)
        if (pool->slots[i]->state == WEIR__LENT && pool->slots[i]->owner == owner) return true;
    return false;
}

/* ---- where to */

static bool is_trusted(const weir__profile *profile, int64_t now) {
    if (profile->writes && profile->stalled_at && now - profile->stalled_at < WARY) return false;
    return profile->stalls <= STALLS;
}

static bool is_short(const weir__share *share, const weir__profile *profile, int64_t sets, int64_t now) {
    int64_t bound = share->max_wait / 4, time = adds(profile) * sets;
    return time && time < bound && is_trusted(profile, now);
}

/* Since when the first one there has run at the server, at the latest: the answer to one that takes no time
   comes when the one before it is answered, and not before the way there and back is done. */
static int64_t runs_since(const weir__slot *slot) {
    if (weir__list_empty(&slot->flights)) return slot->head_at; /* they have landed just now */
    int64_t back = weir__container(slot->flights.next, weir__flight, link)->sent_at + slot->pool->share.way;
    return slot->head_at > back ? slot->head_at : back;
}

/* What is left of what flies there. */
static int64_t load_left(const weir__slot *slot, int64_t now) {
    int64_t left = slot->load - (now - slot->head_at);
    return left > 0 ? left : 0;
}

/* The one of least load among those that can take it; NULL: none. Those that are more than are to be kept
   busy, the last to have begun, get nothing while the others can take it: a load that never ends would keep
   them for ever. */
static weir__slot *least_loaded(const weir_pool *pool, const weir__profile *profile, bool readonly, int most,
                                int64_t now) {
    const weir__share *share = &pool->share;
    weir__slot *best = NULL;
    int64_t least = share->max_wait;
    int seen = 0;
    if (profile->writes && most > DEPTH_WRITES) most = DEPTH_WRITES;
    for (const weir__link *link = share->slots.next; link != &share->slots; link = link->next) {
        weir__slot *slot = weir__container(link, weir__slot, shared_link);
        if (slot->claimed || slot->readonly != readonly || (slot->slow && most > 2)) continue;
        if (seen++ >= share->width && best) break;
        if (slot->flying >= most) continue;
        if (slot->news & WEIR__NEWS_LOST || weir__slot_surplus(slot, now)) continue;
        if (now - runs_since(slot) > share->max_wait) continue;
        int64_t left = load_left(slot, now);
        if (left >= least) continue;
        least = left;
        best = slot;
    }
    return best;
}

weir__slot *weir__share_pick(weir_pool *pool, weir__profile *profile, int64_t sets, bool readonly,
                             int64_t now) {
    weir__share *share = &pool->share;
    bool brief = is_short(share, profile, sets, now);
    weir__slot *busy = brief ? least_loaded(pool, profile, readonly, DEPTH, now) : NULL;
    int kept = share->count - share->slow; /* busy with short ones */
    if (busy && kept >= share->width) return busy;
    weir__slot *idle = weir__pool_take_idle(pool, now);
    if (idle) return idle;
    share->wish = share->wish || (kept < share->width && weir__pool_total(pool) < weir__pool_size(pool));
    if (busy || brief || !profile->alone) return busy;
    /* What of its time is the way there and back is found out behind another one. */
    if (now - profile->tried_at < TRY_AGAIN || !is_trusted(profile, now)) return NULL;
    busy = least_loaded(pool, profile, readonly, 2, now);
    if (busy) profile->tried_at = now;
    return busy;
}

void weir__share_begin(weir__slot *slot, bool readonly) {
    weir__share *share = &slot->pool->share;
    slot->shared = true;
    slot->readonly = readonly;
    slot->slow = false;
    slot->load = 0;
    weir__list_push_back(&share->slots, &slot->shared_link);
    share->count++;
}

void weir__share_end(weir__slot *slot) {
    weir__share *share = &slot->pool->share;
    if (!slot->shared) return;
    slot->shared = false;
    share->count--;
    share->slow -= slot->slow;
    share->claimed -= slot->claimed;
    slot->claimed = false;
    weir__list_remove(&slot->shared_link);
    weir__timer_stop(&slot->pool->reactor->wheel, &slot->overrun);
}

static void claim(weir__share *share, bool claimed) {
    weir__slot *best = NULL;
    for (const weir__link *link = share->slots.next; link != &share->slots; link = link->next) {
        weir__slot *slot = weir__container(link, weir__slot, shared_link);
        if (slot->claimed == claimed) continue;
        if (!best || slot->load < best->load) best = slot;
    }
    best->claimed = claimed;
    share->claimed += claimed ? 1 : -1;
}

void weir__share_claim(weir_pool *pool) {
    weir__share *share = &pool->share;
    int wanted = pool->waiting - share->lane_count;
    if (wanted > share->count) wanted = share->count;
    while (share->claimed < wanted) claim(share, true);
    while (share->claimed > wanted) claim(share, false);
}

/* ---- what it takes */

static void average(int64_t *mean, int64_t sample) {
    if (sample < 1) sample = 1;
    *mean = *mean ? *mean + (sample - *mean) / 8 : sample;
    if (*mean < 1) *mean = 1;
}

/* A pause of our own in looking for answers is no fault of the statement's. */
static void count_stall(weir__profile *profile, bool stalled, int64_t now) {
    profile->stalls += ((stalled ? 65536 : 0) - profile->stalls) / 64;
    if (stalled) profile->stalled_at = now;
}

static int64_t sets_of(const weir__flight *flight) { return weir__share_sets(flight->request.statement); }

void weir__share_sent(weir__flight *flight, int64_t now) {
    weir__slot *slot = flight->slot;
    weir__task *task = flight->task;
    weir__profile *profile = task->profile;
    flight->profile = profile; /* with its reference; the task needs one again when it moves on */
    profile->references++;
    int64_t sets = sets_of(flight);
    flight->expected = adds(profile) * sets;
    slot->load += flight->expected;
    if (slot->flying == 1) {
        bool slow = !is_short(&slot->pool->share, profile, sets, now);
        slot->pool->share.slow += slow - slot->slow;
        slot->slow = slow;
    }
    if (slot->flying == 1) slot->head_at = now;
    if (slot->flying == 2)
        weir__reactor_start(slot->pool->reactor, &slot->overrun,
                            runs_since(slot) + slot->pool->share.max_wait);
}

void weir__share_flushed(weir__slot *slot, int64_t now) {
    weir__link *first = slot->flights.next, *link = slot->flights.prev;
    for (; link != &slot->flights; link = link->prev) {
        weir__flight *flight = weir__container(link, weir__flight, link);
        if (!flight->request.hold) break; /* it was sent, and what is before it with it */
        flight->request.hold = false;
        flight->sent_at = now;
    }
    if (link == &slot->flights && link != first && weir__list_empty(&slot->landed)) slot->head_at = now;
}

/* The quickest answer of late, of a second or two in which there were any: a bound for the way there and
 * back. */
static int64_t nearest(weir__share *share, int64_t sample, int64_t now) {
    if (now >= share->nearest_until && share->nearest) {
        share->nearest_before = share->nearest;
        share->nearest = 0;
        share->nearest_until = now + 1000 * WEIR__MS;
    }
    if (sample && (!share->nearest || sample < share->nearest)) share->nearest = sample;
    int64_t before = share->nearest_before;
    return before && (!share->nearest || before < share->nearest) ? before : share->nearest;
}

void weir__share_landed(weir__slot *slot, int64_t now) {
    weir__share *share = &slot->pool->share;
    const weir__flight *first = weir__container(slot->landed.next, weir__flight, link);
    int count = 0;
    int64_t sets = 0;
    weir__width_pass(slot->pool, now);
    for (const weir__link *link = slot->landed.next; link != &slot->landed; link = link->next, count++)
        sets += sets_of(weir__container(link, weir__flight, link));
    bool behind = first->sent_at < slot->head_at;
    int64_t since = behind ? slot->head_at : first->sent_at, took = now - since, each = took / sets;
    int64_t way = share->way = nearest(share, behind || count > 1 ? 0 : took, now);
    int64_t back = first->sent_at + way, ran = now - (since > back ? since : back);
    /* Had it been there when the one before it was done? Then the server has done nothing else since.
       Otherwise its being sent later is taken off: too much perhaps, and those that follow will correct it.
     */
    bool there = behind && slot->head_at - first->sent_at >= way;
    int64_t later = behind && !there ? first->sent_at - slot->head_sent_at : 0;
    later = later * count / sets;
    int64_t guess = each > later ? each - later : 1;
    bool news = count > 1 || behind;
    bool stalled = ran > share->max_wait && slot->pool->reactor->undriven < share->max_wait / 2;
    for (const weir__link *link = slot->landed.next; link != &slot->landed; link = link->next) {
        const weir__flight *flight = weir__container(link, weir__flight, link);
        weir__profile *profile = flight->profile;
        if (flight->task) weir__width_count(slot->pool, profile->alone * sets_of(flight));
        if (count == 1 && !behind) average(&profile->alone, each);
        if (there || (news && (!profile->behind || guess < profile->behind)))
            average(&profile->behind, guess);
        count_stall(profile, stalled && profile == first->profile, now);
    }
    weir__width_look(slot->pool, now);
    share->credit += count;
    slot->head_at = now;
    slot->head_sent_at = weir__container(slot->landed.prev, weir__flight, link)->sent_at;
}

/* ---- behind one that takes too long */

/* Whether it may be run twice, and somebody wants to know what it gives. */
static bool is_movable(const weir__flight *flight) {
    return flight->task && (flight->request.readonly || flight->profile->text & WEIR__TEXT_AGAIN);
}

/* A server that has more to do than it can is late everywhere, and would get all of that once more: so moving
   is paid for by the answers that come, and by time. */
static bool pay(weir__share *share, int moves, int64_t now) {
    int64_t passed = (now - share->paid_at) / share->max_wait;
    share->paid_at += passed * share->max_wait;
    share->credit += passed < CREDIT ? passed * PRICE : CREDIT;
    if (share->credit > CREDIT) share->credit = CREDIT;
    if (share->credit < moves * PRICE) return false;
    share->credit -= moves * PRICE;
    return true;
}

/* Those behind it that may be run twice go elsewhere, at once: all of them, or none. */
static void move_on(weir__slot *slot, int64_t now) {
    weir__link *head = slot->flights.next;
    int count = 0;
    for (weir__link *link = slot->flights.prev; link != head; link = link->prev)
        count += is_movable(weir__container(link, weir__flight, link));
    if (!pay(&slot->pool->share, count, now)) return;
    for (weir__link *link = slot->flights.prev, *previous; link != head; link = previous) {
        weir__flight *flight = weir__container(link, weir__flight, link);
        previous = link->prev;
        if (!is_movable(flight)) continue;
        weir__task *task = weir__flight_detach(flight, now);
        if (!task->moved) task->sent_at = flight->sent_at;
        task->statement = weir_statement_ref(flight->request.statement);
        weir__task_move_on(task);
    }
    if (!slot->live) weir__slot_drain(slot, now);
}

void weir__share_overrun(weir__timer *timer) {
    weir__slot *slot = weir__container(timer, weir__slot, overrun);
    weir_pool *pool = slot->pool;
    int64_t now = weir__reactor_now(pool->reactor), max_wait = pool->share.max_wait;
    if (!slot->shared || slot->flying < 2 || pool->closing) return;
    int64_t due = runs_since(slot) + max_wait;
    if (now >= due) move_on(slot, now);
    if (slot->shared) weir__reactor_start(pool->reactor, timer, now < due ? due : now + max_wait);
}
