/*
 * The queue's rule, which is CoDel with an adaptive LIFO. A queue that comes and goes is what a queue is for;
 * one that stands helps nobody: all wait, and many of them so long that their answers come too late. It
 * stands when for a whole queue_interval nobody was served who had not waited for longer than queue_target.
 * From then on the newest is served first, who at least has his time before him, and who has waited twice
 * the target is told so at once. When nobody waits any more, first come is first served again.
 */
#include "pool/pool.h"

#include "base/error.h"

static void due(weir__timer *timer);

void weir__codel_open(weir_pool *pool) {
    const weir_options *options = &pool->config->options;
    weir__codel *codel = &pool->codel;
    codel->target = options->queue_target_ms > 0 ? options->queue_target_ms * WEIR__MS : 0;
    codel->interval = options->queue_interval_ms * WEIR__MS;
    codel->above_since = WEIR__NEVER;
    weir__timer_init(&codel->timer, due);
}

/* Who was on a connection already is not refused; he has been counted as served. */
static weir__task *oldest_of(const weir__link *list) {
    for (const weir__link *link = list->next; link != list; link = link->next) {
        weir__task *task = weir__container(link, weir__task, op.link);
        if (!task->moved && !task->op.then) return task; /* nor is the pool's own */
    }
    return NULL;
}

static weir__task *oldest(const weir_pool *pool) {
    weir__task *alone = oldest_of(&pool->waiters), *sharing = oldest_of(&pool->lane);
    if (!alone || !sharing) return alone ? alone : sharing;
    return sharing->started_at < alone->started_at ? sharing : alone;
}

static void refuse(weir__task *task, int64_t now) {
    weir_pool *pool = task->pool;
    const weir_options *options = &pool->config->options;
    weir_error why = WEIR_ERROR_INIT;
    weir__fail(
        &why, WEIR_EOVERLOADED,
        "pool %s: overloaded: for queue_interval (%lld ms) and longer all callers have waited for more "
        "than queue_target (%lld ms), and this one for %lld ms: call less often, raise max_size (%d) if "
        "the database can do more, or raise queue_target",
        weir_pool_name(pool), (long long)options->queue_interval_ms, (long long)options->queue_target_ms,
        (long long)((now - task->started_at) / WEIR__MS), pool->max_size);
    why.retry_after_ms = options->queue_interval_ms;
    pool->stats->checkouts_refused++;
    pool->stats->checkouts_shed++;
    weir__task_leave_line(task);
    weir__task_fail(task, &why);
    weir_error_clear(&why);
}

static void begin(weir_pool *pool, int64_t now) {
    weir__codel *codel = &pool->codel;
    codel->overloaded = true;
    codel->since = now;
    codel->shed = pool->stats->checkouts_shed;
    pool->stats->overloads++;
    weir__logf(
        &pool->reactor->log, WEIR_LOG_WARNING,
        "pool %s: overloaded: all callers have waited for more than queue_target (%lld ms) for %lld ms; "
        "now the newest is served first, and who has waited for %lld ms is refused",
        weir_pool_name(pool), (long long)(codel->target / WEIR__MS),
        (long long)((now - codel->above_since) / WEIR__MS), (long long)(2 * codel->target / WEIR__MS));
}

void weir__codel_drained(weir_pool *pool) {
    weir__codel *codel = &pool->codel;
    codel->above_since = WEIR__NEVER;
    if (!codel->overloaded) return;
    codel->overloaded = false;
    weir__logf(&pool->reactor->log, WEIR_LOG_INFO,
               "pool %s: nobody waits any more; %llu callers were refused within %lld ms",
               weir_pool_name(pool), (unsigned long long)(pool->stats->checkouts_shed - codel->shed),
               (long long)((weir__reactor_now(pool->reactor) - codel->since) / WEIR__MS));
}

/* Refuses who has waited for too long; when to look again. */
static int64_t shed(weir_pool *pool, int64_t now) {
    int64_t target = pool->codel.target, soon = now + target / 4; /* some together */
    weir__task *task;
    while ((task = oldest(pool)) && now - task->started_at >= 2 * target) refuse(task, now);
    int64_t at = task ? task->started_at + 2 * target : soon;
    return at > soon ? at : soon;
}

/* The oldest has waited for so long; when to look again. */
static int64_t judge(weir_pool *pool, int64_t waited, int64_t now) {
    weir__codel *codel = &pool->codel;
    if (!weir__pool_live(pool)) { /* it is no load that they wait for, but a first connection */
        codel->above_since = WEIR__NEVER;
        return now + codel->target;
    }
    if (waited <= codel->target) return now - waited + codel->target + 1;
    if (codel->above_since == WEIR__NEVER) codel->above_since = now;
    if (now - codel->above_since < codel->interval) return codel->above_since + codel->interval;
    begin(pool, now);
    return shed(pool, now);
}

static void due(weir__timer *timer) {
    weir_pool *pool = weir__container(timer, weir_pool, codel.timer);
    int64_t now = weir__reactor_now(pool->reactor);
    const weir__task *task = oldest(pool);
    if (!task) return;
    int64_t next = pool->codel.overloaded ? shed(pool, now) : judge(pool, now - task->started_at, now);
    if (pool->waiting) weir__reactor_start(pool->reactor, timer, next);
}

void weir__codel_waits(weir_pool *pool) {
    weir__codel *codel = &pool->codel;
    if (weir__timer_running(&codel->timer)) return;
    int64_t now = weir__reactor_now(pool->reactor);
    weir__reactor_start(pool->reactor, &codel->timer, now + codel->target + 1);
}

void weir__codel_serves(weir_pool *pool, const weir__task *task, int64_t now) {
    weir__codel *codel = &pool->codel;
    if (codel->overloaded || task->moved) return;
    if (now - task->started_at <= codel->target)
        codel->above_since = WEIR__NEVER;
    else if (codel->above_since == WEIR__NEVER)
        codel->above_since = now;
}
