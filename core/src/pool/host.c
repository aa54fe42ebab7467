/* What the pool offers its drivers: it watches, arms, and takes notes. */
#include "pool/pool.h"

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
    unsigned wanted = 0;
    if (events & WEIR__READ) wanted |= WEIR__POLL_READ;
    if (events & WEIR__WRITE) wanted |= WEIR__POLL_WRITE;
    return weir__poller_watch(&slot->pool->reactor->poller, &slot->watch, fd, wanted);
}

static void arm(weir__conn *conn, int64_t at) {
    weir__slot *slot = slot_of(conn);
    weir__reactor_start(slot->pool->reactor, &slot->tick, at);
}

static void connected(weir__conn *conn) { note(conn, WEIR__NEWS_CONNECTED); }

static void lost(weir__conn *conn, weir_error *why) {
    weir__slot *slot = slot_of(conn);
    weir_error_clear(&slot->lost);
    slot->lost = *why;
    *why = (weir_error)WEIR_ERROR_INIT;
    if (!slot->lost.code) weir__fail(&slot->lost, WEIR_ELOST, "the connection was lost");
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

const weir__host weir__pool_host = {watch, arm, connected, lost, done, down, copied};
