/* A listener's connection: it is made, watched over, lost, and made anew. */
#include "pool/listener.h"

#include "base/alloc.h"
#include "base/error.h"

enum { BOUND_MS = 30000 };         /* for an answer, without command_timeout */
#define ROOM_PAUSE (50 * WEIR__MS) /* between looks for a place beneath the pool's ceiling */

static weir_reactor *reactor_of(const weir__listener *listener) { return listener->pool->reactor; }
static int64_t now_of(const weir__listener *listener) { return weir__reactor_now(reactor_of(listener)); }

static void start_timer(weir__listener *listener, int64_t at) {
    weir__reactor_start(reactor_of(listener), &listener->timer, at);
}

/* ---- attempts, and their end */

static void begin(weir__listener *listener) {
    weir_pool *pool = listener->pool;
    if (!weir__pool_has_place(pool)) { /* the pool makes it, as its connections come back */
        weir__pool_trim(pool);
        listener->retry_at = now_of(listener) + ROOM_PAUSE;
        start_timer(listener, listener->retry_at);
        return;
    }
    listener->news = 0;
    listener->conn = pool->driver->create(listener->env, listener);
    if (!listener->conn) {
        weir_error why = WEIR_ERROR_INIT;
        weir__fail(&why, WEIR_ENOMEM, "out of memory for a connection");
        weir__listener_failed(listener, &why);
        weir_error_clear(&why);
        return;
    }
    listener->state = WEIR__LISTENER_CONNECTING;
    start_timer(listener, weir__deadline(now_of(listener), pool->config->options.connect_timeout_ms));
    pool->driver->connect(listener->conn);
}

/* The next connection, when this one is gone, begins at retry_at. */
static void stop(weir__listener *listener) {
    weir_reactor *reactor = reactor_of(listener);
    weir__timer_stop(&reactor->wheel, &listener->timer);
    weir__timer_stop(&reactor->wheel, &listener->tick);
    listener->state = WEIR__LISTENER_CLOSING;
    listener->pool->driver->stop(listener->conn); /* the request is ours again */
    weir__channels_reset(listener);
}

static void bury(weir__grave *grave) {
    weir__listener *listener = weir__container(grave, weir__listener, grave);
    const weir__driver *driver = listener->pool->driver;
    if (listener->conn)
        driver->free(listener->conn);
    else
        driver->env_close(listener->env);
}

static void free_all(weir__listener *listener) {
    weir__channels_free(listener);
    weir_error_clear(&listener->lost);
    weir_error_clear(&listener->last_error);
    weir__free(listener);
}

static void buried(weir__grave *grave) {
    weir__listener *listener = weir__container(grave, weir__listener, grave);
    if (!listener->conn) {
        weir__pool_touch(listener->pool); /* it may have waited for that to be closed */
        weir__list_remove(&listener->link);
        weir__list_remove(&listener->settle.link);
        free_all(listener);
        return;
    }
    listener->conn = NULL;
    listener->state = WEIR__LISTENER_DOWN;
    if (listener->ended)
        weir__bury(reactor_of(listener), grave);
    else if (listener->retry_at <= now_of(listener))
        begin(listener);
    else
        start_timer(listener, listener->retry_at);
}

void weir__listener_failed(weir__listener *listener, const weir_error *why) {
    weir_pool *pool = listener->pool;
    int64_t now = now_of(listener), pause = weir__pool_pause(pool, ++listener->failures);
    listener->retry_at = now + pause;
    weir__logf(&pool->reactor->log, WEIR_LOG_WARNING,
               "pool %s: a listener cannot connect (attempt %d, again in %lld ms): %s", weir_pool_name(pool),
               listener->failures, (long long)(pause / WEIR__MS),
               why->message ? why->message : weir_error_text(why->code));
    weir__error_copy(&listener->last_error, why);
    if (listener->last_error.retry_after_ms < 0) listener->last_error.retry_after_ms = pause / WEIR__MS;
    weir__confirmers_fail(listener, &listener->last_error, true);
    if (listener->conn)
        stop(listener);
    else
        start_timer(listener, listener->retry_at);
}

/* It was up. One that has not lasted counts as an attempt that has failed. */
static void lost(weir__listener *listener, const weir_error *why) {
    int64_t now = now_of(listener);
    if (!listener->confirmed || now - listener->up_since < WEIR__PROVEN_AFTER) {
        weir__listener_failed(listener, why);
        return;
    }
    weir__logf(&reactor_of(listener)->log, WEIR_LOG_WARNING,
               "pool %s: a listener's connection was lost, and is made anew: %s",
               weir_pool_name(listener->pool), why->message ? why->message : weir_error_text(why->code));
    listener->failures = 0;
    listener->retry_at = now;
    stop(listener);
}

void weir__listener_confirmed(weir__listener *listener) {
    weir_pool *pool = listener->pool;
    listener->confirmed = true;
    if (listener->established) {
        weir__logf(&pool->reactor->log, WEIR_LOG_INFO,
                   "pool %s: a listener is connected again; notifications may have been lost",
                   weir_pool_name(pool));
        weir__listener_reconnected(listener);
    }
    listener->established = true;
}

/* ---- while it is up */

/* How long an answer may take. */
static int64_t bound_ms(const weir__listener *listener) {
    int64_t ms = listener->pool->config->options.command_timeout_ms;
    return ms > 0 ? ms : BOUND_MS;
}

void weir__listener_send(weir__listener *listener) {
    int64_t ms = bound_ms(listener);
    listener->request.timeout_ms = ms;
    listener->flying = true;
    start_timer(listener, weir__deadline(now_of(listener), ms));
    listener->pool->driver->execute(listener->conn, &listener->request);
}

static void answered(weir__listener *listener) {
    weir__request *request = &listener->request;
    weir_error *why = request->error;
    request->error = NULL;
    weir_result_free(request->result);
    request->result = NULL;
    listener->flying = false;
    listener->heard_at = now_of(listener);
    weir__timer_stop(&reactor_of(listener)->wheel, &listener->timer);
    if (!listener->pinging)
        weir__channels_answered(listener, why);
    else if (why)
        lost(listener, why);
    listener->pinging = false;
    weir_error_free(why);
}

/* Nothing is to be sent, but perhaps for a sign of life. */
static void rest(weir__listener *listener) {
    if (listener->heartbeat_ms < 0) return;
    int64_t due = weir__deadline(listener->heard_at, listener->heartbeat_ms);
    if (due > now_of(listener)) {
        start_timer(listener, due);
        return;
    }
    listener->pinging = true;
    listener->request = (weir__request){.command = ""};
    weir__listener_send(listener);
}

static void overdue(weir__listener *listener) {
    weir_error why = WEIR_ERROR_INIT;
    if (listener->state == WEIR__LISTENER_CONNECTING) {
        weir__fail(&why, WEIR_ECONNECTTIMEOUT, "no connection within connect_timeout (%lld ms)",
                   (long long)listener->pool->config->options.connect_timeout_ms);
        weir__listener_failed(listener, &why);
    } else {
        weir__fail(&why, WEIR_ELOST, "the server has not answered within %lld ms",
                   (long long)bound_ms(listener));
        lost(listener, &why);
    }
    weir_error_clear(&why);
}

static void timer_fired(weir__timer *timer) {
    weir__listener *listener = weir__container(timer, weir__listener, timer);
    weir_reactor *reactor = reactor_of(listener);
    bool late = listener->flying || listener->state == WEIR__LISTENER_CONNECTING;
    if (late && reactor->real_time &&
        reactor->undriven > WEIR__UNDRIVEN) /* it may only not have been noticed */
        start_timer(listener, now_of(listener) + WEIR__GRACE);
    else if (late)
        overdue(listener);
    else if (listener->state == WEIR__LISTENER_DOWN)
        begin(listener);
    else if (listener->state == WEIR__LISTENER_UP)
        rest(listener);
}

/* ---- the driver's host */

static weir__listener *listener_of(const weir__conn *conn) { return conn->owner; }

static void note(weir__conn *conn, unsigned news) {
    weir__listener *listener = listener_of(conn);
    listener->news |= news;
    weir__defer(reactor_of(listener), &listener->settle);
}

static bool host_watch(weir__conn *conn, int fd, unsigned events) {
    weir__listener *listener = listener_of(conn);
    return weir__poller_watch(&reactor_of(listener)->poller, &listener->watch, fd, weir__poll_events(events));
}

static void host_arm(weir__conn *conn, int64_t at) {
    weir__listener *listener = listener_of(conn);
    weir__reactor_start(reactor_of(listener), &listener->tick, at);
}

static void host_connected(weir__conn *conn) { note(conn, WEIR__NEWS_CONNECTED); }

static void host_lost(weir__conn *conn, weir_error *why) {
    weir__listener *listener = listener_of(conn);
    weir__take_loss(&listener->lost, why);
    note(conn, WEIR__NEWS_LOST);
}

static void host_done(weir__conn *conn, weir__request *request) {
    (void)request;
    note(conn, WEIR__NEWS_DONE);
}

static void host_down(weir__conn *conn) { note(conn, WEIR__NEWS_DOWN); }

static void host_copied(weir__conn *conn) { (void)conn; }

static void host_noticed(weir__conn *conn, const weir_notice *notice) {
    weir__pool_noticed(listener_of(conn)->pool, notice);
}

static void host_notified(weir__conn *conn, const char *channel, const char *payload, int backend) {
    weir__listener *listener = listener_of(conn);
    listener->heard_at = now_of(listener);
    weir__listener_notified(listener, channel, payload, backend);
}

static const weir__host host = {host_watch, host_arm,    host_connected, host_lost,    host_done,
                                host_down,  host_copied, host_noticed,   host_notified};

static void settle(weir__deferred *deferred) {
    weir__listener *listener = weir__container(deferred, weir__listener, settle);
    unsigned news = listener->news;
    listener->news = 0;
    if (news & WEIR__NEWS_CONNECTED && listener->state == WEIR__LISTENER_CONNECTING) {
        listener->state = WEIR__LISTENER_UP;
        listener->up_since = listener->heard_at = now_of(listener);
        weir__timer_stop(&reactor_of(listener)->wheel, &listener->timer);
    }
    if (news & WEIR__NEWS_LOST && listener->state == WEIR__LISTENER_CONNECTING)
        weir__listener_failed(listener, &listener->lost);
    else if (news & WEIR__NEWS_LOST && listener->state == WEIR__LISTENER_UP)
        lost(listener, &listener->lost);
    else if (news & WEIR__NEWS_DONE && listener->flying)
        answered(listener);
    if (news & WEIR__NEWS_DOWN) weir__bury(reactor_of(listener), &listener->grave);
    if (listener->state != WEIR__LISTENER_UP || listener->flying) return;
    if (!weir__channels_send(listener) && !weir__timer_running(&listener->timer)) rest(listener);
}

static void ready(weir__watch *watch, unsigned events) {
    weir__listener *listener = weir__container(watch, weir__listener, watch);
    listener->pool->driver->ready(listener->conn, weir__poll_ready(events));
}

static void tick(weir__timer *timer) {
    weir__listener *listener = weir__container(timer, weir__listener, tick);
    listener->pool->driver->tick(listener->conn);
    settle(&listener->settle); /* before another timer acts upon what is over already */
}

/* ---- its life */

int weir__listener_new(weir_pool *pool, const weir_listen *how, weir__listener **out, weir_error *error) {
    weir__env base = pool->base;
    weir__listener *listener = weir__calloc(1, sizeof *listener);
    if (!listener) return weir__fail(error, WEIR_ENOMEM, "out of memory for a listener");
    base.host = &host;
    listener->pool = pool;
    listener->heartbeat_ms = how->heartbeat_ms;
    listener->max_queued = how->max_queued;
    listener->lost = listener->last_error = (weir_error)WEIR_ERROR_INIT;
    weir__list_init(&listener->link);
    weir__list_init(&listener->settle.link);
    weir__list_init(&listener->grave.link);
    weir__list_init(&listener->channels);
    weir__list_init(&listener->confirmers);
    weir__list_init(&listener->queue);
    weir__list_init(&listener->gap);
    weir__timer_init(&listener->tick, tick);
    weir__timer_init(&listener->timer, timer_fired);
    listener->watch.ready = ready;
    listener->settle.run = settle;
    listener->grave.bury = bury;
    listener->grave.buried = buried;
    weir_error own = WEIR_ERROR_INIT;
    listener->env = pool->driver->env_open(&base, &own);
    if (listener->env) {
        *out = listener;
        return WEIR_OK;
    }
    int code = own.code;
    weir__error_copy(error, &own);
    weir_error_clear(&own);
    free_all(listener);
    return code;
}

void weir__listener_free(weir__listener *listener) {
    listener->pool->driver->env_close(listener->env);
    free_all(listener);
}

void weir__listener_start(weir__listener *listener) {
    weir_pool *pool = listener->pool;
    listener->number = ++pool->listener_numbers;
    listener->wished++; /* that there be a connection */
    weir__list_push_back(&pool->listeners, &listener->link);
    begin(listener);
}

weir__listener *weir__listener_find(const weir_pool *pool, uint64_t number) {
    for (weir__link *link = pool->listeners.next; link != &pool->listeners; link = link->next) {
        weir__listener *listener = weir__container(link, weir__listener, link);
        if (listener->number == number && !listener->ended) return listener;
    }
    return NULL;
}

void weir__listener_end(weir__listener *listener, int code) {
    weir_error why = WEIR_ERROR_INIT;
    if (listener->ended) return;
    listener->ended = true;
    weir__fail(&why, code, "pool %s: %s", weir_pool_name(listener->pool),
               code == WEIR_ECLOSED ? "it is closed" : "the listener was closed");
    weir__confirmers_fail(listener, &why, true);
    weir__notifications_end(listener, &why);
    weir_error_clear(&why);
    weir__timer_stop(&reactor_of(listener)->wheel, &listener->timer);
    if (listener->state == WEIR__LISTENER_DOWN)
        weir__bury(reactor_of(listener), &listener->grave);
    else if (listener->state != WEIR__LISTENER_CLOSING)
        stop(listener);
}

void weir__listeners_end(weir_pool *pool, int code) {
    for (weir__link *link = pool->listeners.next; link != &pool->listeners; link = link->next)
        weir__listener_end(weir__container(link, weir__listener, link), code);
}

void weir__listeners_renew(weir_pool *pool) {
    for (weir__link *link = pool->listeners.next; link != &pool->listeners; link = link->next) {
        weir__listener *listener = weir__container(link, weir__listener, link);
        listener->retry_at = now_of(listener);
        if (listener->state == WEIR__LISTENER_UP || listener->state == WEIR__LISTENER_CONNECTING)
            stop(listener);
        else if (listener->state == WEIR__LISTENER_DOWN && !listener->ended)
            start_timer(listener, listener->retry_at);
    }
}

int weir__listeners_connected(const weir_pool *pool) {
    int count = 0;
    for (weir__link *link = pool->listeners.next; link != &pool->listeners; link = link->next)
        count += weir__container(link, weir__listener, link)->conn != NULL;
    return count;
}

int weir__listeners_count(const weir_pool *pool) {
    int count = 0;
    for (weir__link *link = pool->listeners.next; link != &pool->listeners; link = link->next)
        count += !weir__container(link, weir__listener, link)->ended;
    return count;
}
