/*
 * Listeners: the notifications of PostgreSQL's LISTEN and NOTIFY, by a connection of the listener's own.
 *
 * A listener has one connection to the pool's database, made as the pool's are (URL, server_settings,
 * connect_timeout; without init), beside max_size. Lost, it is made anew, at once and then with the pool's
 * pauses (retry_min, retry_max, full jitter), and LISTENs again on all channels. What was notified meanwhile
 * is lost: the listener tells of the gap, and who keeps a state by notifications reads it anew then. A server
 * that says nothing for `heartbeat_ms` is asked for a sign of life, within command_timeout (30 s without
 * one); so one that is gone without a word is noticed.
 *
 *     weir_pool_listen, weir_listener_confirm, then again and again:
 *     weir_listener_take until it gives NULL, weir_listener_wait
 *
 * What waits is only told that there is something to take: an operation that is cancelled takes nothing with
 * it. A listener may be used in different threads, but one at a time waits for notifications. It reads while
 * somebody drives the reactor.
 *
 * Only PostgreSQL notifies; and behind a proxy in transaction mode (PgBouncer) nothing arrives: there the
 * pool of a listener needs the server's own URL.
 */
#ifndef WEIRPOOL_LISTENER_H
#define WEIRPOOL_LISTENER_H

#include <weirpool/pool.h>

WEIR_BEGIN_DECLS

#define WEIR_CHANNEL_MAX 63 /* bytes of a channel's name */

/* A value, copied at will: it names the listener. Zero-initialised: none. It needs no freeing: a listener
   that is not closed goes with its pool. */
typedef struct weir_listener {
    struct weir_pool *pool;
    uint64_t number;
} weir_listener;

/* How to listen. Made by weir_listen_init; NULL in its place is the same. */
typedef struct weir_listen {
    size_t size;        /* sizeof(weir_listen) */
    int64_t max_queued; /* so many notifications are kept for the taker, 1 to 1,000,000; those that come when
                           so many are there are dropped, counted, and told as a gap. 4096 */
    int64_t heartbeat_ms; /* a server that was silent for so long is asked for a sign of life; -1: never.
                             30,000 */
} weir_listen;
WEIR_API void weir_listen_init(weir_listen *listen);

/*
 * A notification; or, without a channel, a gap: notifications from before this point may be missing, those
 * that are given out after it are complete, up to the next gap. Several gaps that nobody has taken are one,
 * at the place of the last.
 */
typedef struct weir_notification {
    const char *channel;  /* NULL: it is a gap */
    const char *payload;  /* "" when there was none */
    int backend;          /* the process id of the session that has notified */
    uint64_t reconnected; /* of a gap: so often the connection was lost and made anew */
    uint64_t dropped;     /* … so many came when max_queued were there, or there was no memory for them */
} weir_notification;
/* NULL is accepted. Any thread. */
WEIR_API void weir_notification_free(weir_notification *notification);

/*
 * Makes a listener on `count` channels, which may be 0, and begins to connect. WEIR_OK: *out is it; whether
 * it listens weir_listener_confirm tells. A channel's name is taken as it is, case and all: 1 to
 * WEIR_CHANNEL_MAX bytes of UTF-8, else WEIR_EINVAL. WEIR_ENOTSUP: the database has no LISTEN; WEIR_ECLOSED;
 * WEIR_ENOMEM.
 */
WEIR_API int weir_pool_listen(weir_pool *pool, const char *const *channels, size_t count,
                              const weir_listen *how, weir_listener *out, weir_error *error);
/*
 * From here on the channel is, or is not, among those that the listener listens on, whatever becomes of the
 * connection; nothing happens when it was so before. weir_listener_confirm tells when the server has done it.
 * What has come on a removed channel is still given out. WEIR_OK; WEIR_EINVAL, WEIR_ENOMEM; WEIR_ESTALE (the
 * listener was closed), WEIR_ECLOSED (the pool was).
 */
WEIR_API int weir_listener_add(weir_listener listener, const char *channel, weir_error *error);
WEIR_API int weir_listener_remove(weir_listener listener, const char *channel, weir_error *error);
/*
 * Has the server confirmed all that was asked for up to now? WEIR_OK: yes; WEIR_PENDING: the completion
 * (WEIR_DONE_LISTEN) will tell. Errors, also the completion's: those of an attempt to connect that has
 * failed, or of a connection that has not lasted (at once, with retry_after_ms, when one has failed and the
 * next is not yet due), while the listener goes on trying; the server's, when it refuses a channel that was
 * never confirmed: that one is no longer among the listener's then; WEIR_ESTALE, WEIR_ECLOSED, WEIR_ENOMEM.
 * Any number may wait.
 */
WEIR_API int weir_listener_confirm(weir_listener listener, void *token, weir_op *op, weir_error *error);
/* The oldest notification or gap that was not taken yet: *out is the caller's (weir_notification_free); NULL:
   there is none. WEIR_OK; WEIR_ESTALE, WEIR_ECLOSED; WEIR_ENOMEM. */
WEIR_API int weir_listener_take(weir_listener listener, weir_notification **out, weir_error *error);
/*
 * WEIR_OK: there is something to take. WEIR_PENDING: the operation completes (WEIR_DONE_LISTEN) when there
 * is. timeout_ms: WEIR_TIMEOUT_DEFAULT and -1 are without limit; WEIR_ETIMEOUT when it passes. Lost
 * connections are no error here. WEIR_EBUSY: somebody waits already; WEIR_ESTALE, WEIR_ECLOSED, also as the
 * completion's; WEIR_ENOMEM.
 */
WEIR_API int weir_listener_wait(weir_listener listener, int64_t timeout_ms, void *token, weir_op *op,
                                weir_error *error);
/* Ends it, at once and without waiting for its connection to be closed; whoever waits gets WEIR_ESTALE, and
   what was not taken is dropped. WEIR_OK; WEIR_ESTALE, WEIR_ECLOSED when it has ended before, which is
   harmless. */
WEIR_API int weir_listener_close(weir_listener listener);

WEIR_END_DECLS

#endif
