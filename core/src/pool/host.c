/* What the pool offers its drivers: it watches, arms, and takes notes. */
#include "pool/pool.h"

#include <string.h>

#include "base/error.h"

static weir__slot *slot_of(const weir__conn *conn) { return conn->owner; }

static void note(weir__conn *conn, unsigned news) {
    weir__slot *slot = slot_of(conn);
    slot->news |= news;
    if (!weir__list_linked(&slot->news_link)) weir__list_push_back(&slot->pool->news, &slot->news_link);
    weir__pool_touch(slot->pool);
}

static bool watch(weir__conn *conn, int fd, unsigned events) {
    weir__slot *slot = slot_of(conn);
    return weir__poller_watch(&slot->pool->reactor->poller, &slot->watch, fd, weir__poll_events(events));
}

static void arm(weir__conn *conn, int64_t at) {
    weir__slot *slot = slot_of(conn);
    weir__reactor_start(slot->pool->reactor, &slot->tick, at);
}

static void connected(weir__conn *conn) { note(conn, WEIR__NEWS_CONNECTED); }

void weir__take_loss(weir_error *to, weir_error *why) {
    weir_error_clear(to);
    *to = *why;
    *why = (weir_error)WEIR_ERROR_INIT;
    if (!to->code) weir__fail(to, WEIR_ELOST, "the connection was lost");
}

static void lost(weir__conn *conn, weir_error *why) {
    weir__take_loss(&slot_of(conn)->lost, why);
    note(conn, WEIR__NEWS_LOST);
}

static void done(weir__conn *conn, weir__request *request) {
    weir__flight *flight = weir__container(request, weir__flight, request);
    weir__list_remove(&flight->link);
    weir__list_push_back(&slot_of(conn)->landed, &flight->link);
    note(conn, WEIR__NEWS_DONE);
}

static void down(weir__conn *conn) { note(conn, WEIR__NEWS_DOWN); }

static void copied(weir__conn *conn) { note(conn, WEIR__NEWS_COPY); }

void weir__pool_noticed(weir_pool *pool, const weir_notice *notice) {
    const weir__log *log = &pool->reactor->log;
    if (!pool->config->options.notice_hook)
        weir__logf(log, WEIR_LOG_DEBUG, "pool %s: %s: %.*s", weir_pool_name(pool),
                   notice->severity ? notice->severity : "notice", (int)strcspn(notice->message, "\n"),
                   notice->message);
    else if (weir__reactor_notice(pool->reactor, notice, pool->token, pool))
        weir__logf(log, WEIR_LOG_WARNING,
                   "pool %s: notices of the server are dropped: they come faster than they are taken",
                   weir_pool_name(pool));
}

static void noticed(weir__conn *conn, const weir_notice *notice) {
    weir__pool_noticed(slot_of(conn)->pool, notice);
}

const weir__host weir__pool_host = {watch, arm, connected, lost, done, down, copied, noticed, NULL};
