/*
 * Listeners: what their files share. Under the reactor's lock, as the pool is.
 *
 * A listener owns one connection, for which it is the driver's host: news are noted and settled before the
 * lock is left. What the server is to LISTEN on stands in the channels, each of which knows what is wanted
 * and what the server has confirmed; what differs is sent, one request at a time. So nothing has to be
 * remembered over a lost connection: on the next one everything differs.
 */
#ifndef WEIR_POOL_LISTENER_H
#define WEIR_POOL_LISTENER_H

#include <weirpool/listener.h>

#include "pool/pool.h"

typedef enum weir__listener_state {
    WEIR__LISTENER_DOWN, /* no connection; the timer has the next attempt begin */
    WEIR__LISTENER_CONNECTING,
    WEIR__LISTENER_UP,
    WEIR__LISTENER_CLOSING, /* the connection is on its way out; then comes the next one, or the end */
} weir__listener_state;

typedef struct weir__channel {
    weir__link link;
    bool wanted; /* by the holder */
    bool heard;  /* the server has confirmed that it LISTENs, on this connection */
    bool flying; /* it is in the request that is on its way … */
    bool asked;  /* … so as to be this */
    bool known;  /* it was confirmed once, on whatever connection */
    const char *name;
    char text[]; /* UNLISTEN "name", and from its third letter on LISTEN "name"; then the name */
} weir__channel;

typedef struct weir__listener {
    weir__link link; /* in the pool's */
    weir_pool *pool;
    uint64_t number;
    weir__env *env; /* as the pool's, with another host */
    int64_t heartbeat_ms;
    bool ended; /* by the holder, or with the pool */

    weir__conn *conn; /* NULL when DOWN */
    weir__listener_state state;
    unsigned news;
    weir__deferred settle;
    weir_error lost; /* what the driver said with NEWS_LOST */
    weir__watch watch;
    weir__timer tick;  /* the driver's own */
    weir__timer timer; /* the next attempt, connect_timeout, a request's bound, or the next sign of life */
    weir__grave grave; /* the connection's, later the listener's own */
    weir__request request;
    bool flying, pinging;
    bool confirmed;   /* the server LISTENs on all that was wanted when it was connected */
    bool established; /* so it was once, on whatever connection */
    int64_t up_since, heard_at;
    int failures; /* attempts in a row; one is made good when its connection has lasted */
    int64_t retry_at;
    weir_error last_error;

    weir__link channels;
    const char **texts; /* the request's */
    uint64_t wished, asked,
        confirmed_up_to; /* changes of the channels: all, those that are sent, those answered */
    weir__link confirmers;

    weir__link queue; /* notifications, and `gap` */
    int64_t queued, max_queued;
    weir__link gap;
    uint64_t gap_reconnected, gap_dropped;
    weir__op *waiter;
} weir__listener;

/* ---- listener.c */
/* Not yet in the pool, and without a connection. Not under the lock: opening an environment may read files.
 */
int weir__listener_new(weir_pool *pool, const weir_listen *how, weir__listener **out, weir_error *error);
void weir__listener_free(weir__listener *listener); /* one that was not started; likewise */
void weir__listener_start(weir__listener *listener);
weir__listener *weir__listener_find(const weir_pool *pool, uint64_t number);
/* Whoever waits is answered with the code; the connection, and the memory, go later. */
void weir__listener_end(weir__listener *listener, int code);
/* Ends the connection, after an attempt that has failed, or one that has not lasted: the next begins after a
 * pause. */
void weir__listener_failed(weir__listener *listener, const weir_error *why);
/* Gives the request to the driver, within its bound. */
void weir__listener_send(weir__listener *listener);
/* All that was wanted is confirmed on a new connection. */
void weir__listener_confirmed(weir__listener *listener);

/* ---- channels.c */
int weir__channel_add(weir__listener *listener, const char *name, weir_error *error);
void weir__channel_remove(weir__listener *listener, const char *name);
int weir__channels_confirm(weir__listener *listener, void *token, weir_op *op, weir_error *error);
/* Sends what differs. False: nothing does, and those who wait for that know. */
bool weir__channels_send(weir__listener *listener);
/* The request has been answered. *why NULL: well. */
void weir__channels_answered(weir__listener *listener, const weir_error *why);
/* The connection is gone, and the request with it. */
void weir__channels_reset(weir__listener *listener);
/* All who wait for a confirmation, or only those whose changes have been answered. */
void weir__confirmers_fail(weir__listener *listener, const weir_error *why, bool all);
void weir__channels_free(weir__listener *listener);

/* ---- notifications.c */
void weir__listener_notified(weir__listener *listener, const char *channel, const char *payload, int backend);
/* The connection was made anew. */
void weir__listener_reconnected(weir__listener *listener);
int weir__listener_take(weir__listener *listener, weir_notification **out, weir_error *error);
int weir__listener_wait(weir__listener *listener, int64_t timeout_ms, void *token, weir_op *op,
                        weir_error *error);
/* Drops what was not taken, and answers who waits. */
void weir__notifications_end(weir__listener *listener, const weir_error *why);

#endif
