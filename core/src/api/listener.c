/* The public listener: arguments are checked here, and the lock is taken. */
#include <string.h>

#include "api/api.h"
#include "base/error.h"
#include "base/text.h"
#include "pool/listener.h"

enum { QUEUED_MAX = 1000000 };

void weir_listen_init(weir_listen *listen) {
    if (listen) *listen = (weir_listen){.size = sizeof *listen, .max_queued = 4096, .heartbeat_ms = 30000};
}

static int check_channel(const char *channel, weir_error *error) {
    char shown[WEIR__QUOTE_SIZE];
    size_t length = channel ? strlen(channel) : 0;
    if (!channel || !length) return weir__fail(error, WEIR_EINVAL, "a channel's name must not be empty");
    if (!weir__utf8_valid(channel, length))
        return weir__fail(error, WEIR_EINVAL, "the channel's name \"%s\" is not valid UTF-8",
                          weir__quote(shown, channel));
    if (length > WEIR_CHANNEL_MAX)
        return weir__fail(error, WEIR_EINVAL,
                          "the channel's name \"%s\" has %zu bytes: PostgreSQL takes %d at most",
                          weir__quote(shown, channel), length, WEIR_CHANNEL_MAX);
    return WEIR_OK;
}

static int take_listen(weir_listen *out, const weir_listen *given, weir_error *error) {
    weir_listen_init(out);
    int code = given ? weir__adopt(out, sizeof *out, given, given->size, "weir_listen", error) : WEIR_OK;
    if (!code) code = weir__check_timeout(out->heartbeat_ms, "heartbeat", error);
    if (!code && (out->max_queued < 1 || out->max_queued > QUEUED_MAX))
        code = weir__fail(error, WEIR_EINVAL, "max_queued=%lld is out of range: give 1 to %d",
                          (long long)out->max_queued, QUEUED_MAX);
    return code;
}

/* In the pool, and connecting. The listener is freed by the caller when that fails. */
static int start(weir__listener *listener, const char *const *channels, size_t count, weir_error *error) {
    weir_pool *pool = listener->pool;
    int code = weir__pool_check_shut(pool, error);
    for (size_t i = 0; !code && i < count; i++) code = weir__channel_add(listener, channels[i], error);
    if (code)
        weir__list_remove(&listener->settle.link);
    else
        weir__listener_start(listener);
    return code;
}

int weir_pool_listen(weir_pool *pool, const char *const *channels, size_t count, const weir_listen *how,
                     weir_listener *out, weir_error *error) {
    weir_listen own;
    weir__listener *listener;
    if (!pool || !out || (count && !channels))
        return weir__fail(error, WEIR_EINVAL, "pool, channels and out are needed");
    *out = (weir_listener){0};
    int code = take_listen(&own, how, error);
    for (size_t i = 0; !code && i < count; i++) code = check_channel(channels[i], error);
    if (!code && !pool->driver->listens)
        code = weir__fail(error, WEIR_ENOTSUP, "pool %s: %s has no LISTEN; PostgreSQL has",
                          weir_pool_name(pool), pool->driver->name);
    if (!code) code = weir__listener_new(pool, &own, &listener, error);
    if (code) return code;
    if (weir__enter(pool->reactor)) {
        code = start(listener, channels, count, error);
        if (!code) *out = (weir_listener){pool, listener->number};
        weir__leave(pool->reactor);
    } else {
        code = weir__forked(error);
    }
    if (code) weir__listener_free(listener);
    return code;
}

/* Takes the lock and finds the listener; when that fails the lock is not held. */
static int enter(weir_listener handle, weir__listener **out, weir_error *error) {
    weir_pool *pool = handle.pool;
    if (!pool) return weir__fail(error, WEIR_EINVAL, "no listener: it was never made");
    if (!weir__enter(pool->reactor)) return weir__forked(error);
    *out = weir__listener_find(pool, handle.number);
    if (*out) return WEIR_OK;
    int code = pool->closing ? WEIR_ECLOSED : WEIR_ESTALE;
    weir__leave(pool->reactor);
    return weir__fail(error, code, "pool %s: %s", weir_pool_name(pool),
                      code == WEIR_ECLOSED ? "it is closed" : "the listener was closed");
}

static int change(weir_listener handle, const char *channel, bool add, weir_error *error) {
    weir__listener *listener;
    int code = check_channel(channel, error);
    if (!code) code = enter(handle, &listener, error);
    if (code) return code;
    if (add)
        code = weir__channel_add(listener, channel, error);
    else
        weir__channel_remove(listener, channel);
    weir__leave(handle.pool->reactor);
    return code;
}

int weir_listener_add(weir_listener listener, const char *channel, weir_error *error) {
    return change(listener, channel, true, error);
}

int weir_listener_remove(weir_listener listener, const char *channel, weir_error *error) {
    return change(listener, channel, false, error);
}

int weir_listener_confirm(weir_listener handle, void *token, weir_op *op, weir_error *error) {
    weir__listener *listener;
    if (!op) return weir__fail(error, WEIR_EINVAL, "op is NULL");
    int code = enter(handle, &listener, error);
    if (code) return code;
    code = weir__channels_confirm(listener, token, op, error);
    weir__leave(handle.pool->reactor);
    return code;
}

int weir_listener_take(weir_listener handle, weir_notification **out, weir_error *error) {
    weir__listener *listener;
    if (!out) return weir__fail(error, WEIR_EINVAL, "out is NULL");
    *out = NULL;
    int code = enter(handle, &listener, error);
    if (code) return code;
    code = weir__listener_take(listener, out, error);
    weir__leave(handle.pool->reactor);
    return code;
}

int weir_listener_wait(weir_listener handle, int64_t timeout_ms, void *token, weir_op *op,
                       weir_error *error) {
    weir__listener *listener;
    if (!op) return weir__fail(error, WEIR_EINVAL, "op is NULL");
    int code = weir__check_timeout(timeout_ms, "timeout", error);
    if (!code) code = enter(handle, &listener, error);
    if (code) return code;
    code = weir__listener_wait(listener, timeout_ms, token, op, error);
    weir__leave(handle.pool->reactor);
    return code;
}

int weir_listener_close(weir_listener handle) {
    weir__listener *listener;
    int code = enter(handle, &listener, NULL);
    if (code) return code;
    weir__listener_end(listener, WEIR_ESTALE);
    weir__leave(handle.pool->reactor);
    return WEIR_OK;
}
