/* What a listener has for its taker: a bounded queue of notifications, and the gap in it. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "pool/listener.h"

typedef struct kept {
    weir__link link;
    weir_notification notification;
    char texts[];
} kept;

static kept *copy(const char *channel, const char *payload, int backend) {
    size_t channel_size = strlen(channel) + 1, payload_size = strlen(payload) + 1;
    kept *k = weir__malloc(sizeof *k + channel_size + payload_size);
    if (!k) return NULL;
    *k = (kept){.notification = {.backend = backend}};
    k->notification.channel = memcpy(k->texts, channel, channel_size);
    k->notification.payload = memcpy(k->texts + channel_size, payload, payload_size);
    return k;
}

static void tell(weir__listener *listener) {
    weir__op *waiter = listener->waiter;
    listener->waiter = NULL;
    if (waiter) weir__op_complete(waiter, WEIR_OK);
}

/* There is one more reason for the gap: it moves to the end. */
static void note_gap(weir__listener *listener) {
    weir__list_remove(&listener->gap);
    weir__list_push_back(&listener->queue, &listener->gap);
    tell(listener);
}

void weir__listener_notified(weir__listener *listener, const char *channel, const char *payload,
                             int backend) {
    weir_pool *pool = listener->pool;
    bool room = listener->queued < listener->max_queued;
    kept *k = room ? copy(channel, payload, backend) : NULL;
    pool->stats->notifications++;
    if (!k) {
        pool->stats->notifications_dropped++;
        listener->gap_dropped++;
        note_gap(listener);
        return;
    }
    weir__list_push_back(&listener->queue, &k->link);
    listener->queued++;
    tell(listener);
}

void weir__listener_reconnected(weir__listener *listener) {
    listener->pool->stats->listeners_reconnected++;
    listener->gap_reconnected++;
    note_gap(listener);
}

static int take_gap(weir__listener *listener, weir_notification **out, weir_error *error) {
    kept *k = weir__calloc(1, sizeof *k);
    if (!k) return weir__fail(error, WEIR_ENOMEM, "out of memory for a gap");
    k->notification.reconnected = listener->gap_reconnected;
    k->notification.dropped = listener->gap_dropped;
    listener->gap_reconnected = listener->gap_dropped = 0;
    weir__list_remove(&listener->gap);
    *out = &k->notification;
    return WEIR_OK;
}

int weir__listener_take(weir__listener *listener, weir_notification **out, weir_error *error) {
    weir__link *link = weir__list_front(&listener->queue);
    *out = NULL;
    if (!link) return WEIR_OK;
    if (link == &listener->gap) return take_gap(listener, out, error);
    weir__list_remove(link);
    listener->queued--;
    *out = &weir__container(link, kept, link)->notification;
    return WEIR_OK;
}

void weir_notification_free(weir_notification *notification) {
    if (notification) weir__free(weir__container(notification, kept, notification));
}

/* ---- who waits */

typedef struct waiter {
    weir__op op; /* first */
    weir__listener *listener;
} waiter;

static void cancelled(weir__op *op) {
    ((waiter *)op)->listener->waiter = NULL;
    weir__op_drop(op);
}

static void expired(weir__timer *timer) {
    weir__op *op = weir__container(timer, weir__op, timer);
    weir_error why = WEIR_ERROR_INIT;
    ((waiter *)op)->listener->waiter = NULL;
    weir__fail(&why, WEIR_ETIMEOUT, "no notification has come in time");
    weir__op_fail(op, &why);
    weir_error_clear(&why);
}

int weir__listener_wait(weir__listener *listener, int64_t timeout_ms, void *token, weir_op *op,
                        weir_error *error) {
    weir_reactor *reactor = listener->pool->reactor;
    if (!weir__list_empty(&listener->queue)) return WEIR_OK;
    if (listener->waiter)
        return weir__fail(error, WEIR_EBUSY, "somebody else waits for this listener's notifications already");
    waiter *new =
        (waiter *)weir__op_new(reactor, WEIR_DONE_LISTEN, token, listener->pool, cancelled, expired);
    if (!new) return weir__fail(error, WEIR_ENOMEM, "out of memory for an operation");
    new->listener = listener;
    listener->waiter = &new->op;
    if (timeout_ms > 0)
        weir__reactor_start(reactor, &new->op.timer, weir__deadline(weir__reactor_now(reactor), timeout_ms));
    *op = new->op.completion.op;
    return WEIR_PENDING;
}

void weir__notifications_end(weir__listener *listener, const weir_error *why) {
    weir__op *waiting = listener->waiter;
    listener->waiter = NULL;
    if (waiting) weir__op_fail(waiting, why);
    weir__list_remove(&listener->gap);
    for (weir__link *link; (link = weir__list_pop_front(&listener->queue));)
        weir__free(weir__container(link, kept, link));
}
