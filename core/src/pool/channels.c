/* A listener's channels: what is wanted of the server, what it has confirmed, and who waits for that. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "pool/listener.h"

static weir__channel *channel_of(weir__link *link) { return weir__container(link, weir__channel, link); }

static weir__channel *find(const weir__listener *listener, const char *name) {
    for (weir__link *link = listener->channels.next; link != &listener->channels; link = link->next)
        if (strcmp(channel_of(link)->name, name) == 0) return channel_of(link);
    return NULL;
}

static void drop(weir__channel *channel) {
    weir__list_remove(&channel->link);
    weir__free(channel);
}

static weir__channel *make(const char *name) {
    static const char command[] = "UNLISTEN \"";
    size_t length = strlen(name), quotes = 0;
    for (size_t i = 0; i < length; i++) quotes += name[i] == '"';
    weir__channel *channel =
        weir__malloc(sizeof *channel + (sizeof command - 1) + length + quotes + 2 + length + 1);
    if (!channel) return NULL;
    *channel = (weir__channel){.name = NULL};
    char *at = channel->text + sizeof command - 1;
    memcpy(channel->text, command, sizeof command - 1);
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '"') *at++ = '"';
        *at++ = name[i];
    }
    *at++ = '"';
    *at++ = '\0';
    channel->name = memcpy(at, name, length + 1);
    return channel;
}

int weir__channel_add(weir__listener *listener, const char *name, weir_error *error) {
    weir__channel *channel = find(listener, name);
    if (channel && channel->wanted) return WEIR_OK;
    if (!channel) {
        channel = make(name);
        if (!channel) return weir__fail(error, WEIR_ENOMEM, "out of memory for a channel");
        weir__list_push_back(&listener->channels, &channel->link);
    }
    channel->wanted = true;
    listener->wished++;
    weir__defer(listener->pool->reactor, &listener->settle);
    return WEIR_OK;
}

void weir__channel_remove(weir__listener *listener, const char *name) {
    weir__channel *channel = find(listener, name);
    if (!channel || !channel->wanted) return;
    channel->wanted = false;
    if (!channel->heard && !channel->flying) {
        drop(channel); /* the server does not know it */
        return;
    }
    listener->wished++;
    weir__defer(listener->pool->reactor, &listener->settle);
}

void weir__channels_free(weir__listener *listener) {
    for (weir__link *link; (link = weir__list_front(&listener->channels));) drop(channel_of(link));
    weir__free(listener->texts);
}

/* ---- who waits */

typedef struct confirmer {
    weir__op op;     /* first */
    uint64_t wished; /* changes that are to be confirmed */
} confirmer;

int weir__channels_confirm(weir__listener *listener, void *token, weir_op *op, weir_error *error) {
    weir_pool *pool = listener->pool;
    if (listener->confirmed_up_to == listener->wished) return WEIR_OK;
    int64_t left = listener->retry_at - weir__reactor_now(pool->reactor);
    bool down = listener->state == WEIR__LISTENER_DOWN || listener->state == WEIR__LISTENER_CLOSING;
    if (down && left > 0 && listener->failures) { /* else it waits for a place */
        weir__error_copy(error, &listener->last_error);
        if (error) error->retry_after_ms = (left + WEIR__MS - 1) / WEIR__MS;
        return listener->last_error.code;
    }
    confirmer *new =
        (confirmer *)weir__op_new(pool->reactor, WEIR_DONE_LISTEN, token, pool, weir__op_drop, NULL);
    if (!new) return weir__fail(error, WEIR_ENOMEM, "out of memory for an operation");
    new->wished = listener->wished;
    weir__list_push_back(&listener->confirmers, &new->op.link);
    *op = new->op.completion.op;
    return WEIR_PENDING;
}

void weir__confirmers_fail(weir__listener *listener, const weir_error *why, bool all) {
    for (weir__link *link = listener->confirmers.next, *next; link != &listener->confirmers; link = next) {
        confirmer *waiting = (confirmer *)weir__container(link, weir__op, link);
        next = link->next;
        if (all || waiting->wished <= listener->asked) weir__op_fail(&waiting->op, why);
    }
}

static void confirm(weir__listener *listener) {
    listener->confirmed_up_to = listener->asked;
    if (!listener->confirmed) weir__listener_confirmed(listener);
    for (weir__link *link = listener->confirmers.next, *next; link != &listener->confirmers; link = next) {
        confirmer *waiting = (confirmer *)weir__container(link, weir__op, link);
        next = link->next;
        if (waiting->wished <= listener->asked) weir__op_complete(&waiting->op, WEIR_OK);
    }
}

/* ---- what is sent, and answered */

bool weir__channels_send(weir__listener *listener) {
    unsigned count = 0, n = 0;
    for (weir__link *link = listener->channels.next; link != &listener->channels; link = link->next)
        count += channel_of(link)->wanted != channel_of(link)->heard;
    listener->asked = listener->wished;
    if (!count) {
        if (!listener->confirmed || listener->confirmed_up_to != listener->asked) confirm(listener);
        return false;
    }
    listener->texts = weir__malloc(count * sizeof *listener->texts);
    if (!listener->texts) {
        weir_error why = WEIR_ERROR_INIT;
        weir__fail(&why, WEIR_ENOMEM, "out of memory for LISTEN");
        weir__listener_failed(listener, &why);
        weir_error_clear(&why);
        return true;
    }
    for (weir__link *link = listener->channels.next; link != &listener->channels; link = link->next) {
        weir__channel *channel = channel_of(link);
        channel->flying = channel->wanted != channel->heard;
        channel->asked = channel->wanted;
        if (channel->flying) listener->texts[n++] = channel->text + (channel->wanted ? 2 : 0);
    }
    /* All in one transaction, and one round trip. */
    listener->request = (weir__request){
        .before = listener->texts, .before_count = count - 1, .command = listener->texts[count - 1]};
    weir__listener_send(listener);
    return true;
}

static void end_request(weir__listener *listener) {
    weir__free(listener->texts);
    listener->texts = NULL;
}

/* Channels that were never confirmed are given up; true: there were others among them. */
static bool refuse(weir__listener *listener) {
    bool others = false;
    for (weir__link *link = listener->channels.next, *next; link != &listener->channels; link = next) {
        weir__channel *channel = channel_of(link);
        next = link->next;
        if (!channel->flying) continue;
        channel->flying = false;
        others = others || channel->known;
        if (!channel->known) drop(channel);
    }
    return others;
}

void weir__channels_answered(weir__listener *listener, const weir_error *why) {
    end_request(listener);
    if (why) {
        bool others = refuse(listener);
        listener->confirmed_up_to = listener->asked;
        weir__confirmers_fail(listener, why, false);
        if (others) weir__listener_failed(listener, why);
        return;
    }
    for (weir__link *link = listener->channels.next, *next; link != &listener->channels; link = next) {
        weir__channel *channel = channel_of(link);
        next = link->next;
        if (!channel->flying) continue;
        channel->flying = false;
        channel->heard = channel->asked;
        channel->known = true;
        if (!channel->heard && !channel->wanted) drop(channel);
    }
    confirm(listener);
}

void weir__channels_reset(weir__listener *listener) {
    weir__request *request = &listener->request;
    listener->flying = listener->pinging = listener->confirmed = false;
    end_request(listener);
    weir_result_free(request->result);
    weir_error_free(request->error);
    request->result = NULL;
    request->error = NULL;
    for (weir__link *link = listener->channels.next, *next; link != &listener->channels; link = next) {
        weir__channel *channel = channel_of(link);
        next = link->next;
        channel->heard = channel->flying = false;
        if (!channel->wanted) drop(channel);
    }
}
