/* Notices that wait to be taken: a bounded queue, out of which the oldest go first. */
#include <string.h>

#include "base/alloc.h"
#include "reactor/reactor.h"

enum { NOTICES = 4096, NOTICES_BYTES = 4 << 20, TEXTS = 6 };

typedef struct kept {
    weir__link link;
    const void *owner;
    size_t bytes;
    weir_notice notice;
    char texts[];
} kept;

static kept *kept_of(weir_notice *notice) { return weir__container(notice, kept, notice); }

static kept *copy(const weir_notice *notice) {
    const char *const texts[TEXTS] = {notice->severity, notice->sqlstate, notice->message,
                                      notice->detail,   notice->hint,     notice->where};
    size_t bytes = sizeof(kept), sizes[TEXTS];
    for (int i = 0; i < TEXTS; i++) bytes += sizes[i] = texts[i] ? strlen(texts[i]) + 1 : 0;
    kept *k = weir__malloc(bytes);
    if (!k) return NULL;
    *k = (kept){.bytes = bytes};
    const char **const fields[TEXTS] = {&k->notice.severity, &k->notice.sqlstate, &k->notice.message,
                                        &k->notice.detail,   &k->notice.hint,     &k->notice.where};
    char *at = k->texts;
    for (int i = 0; i < TEXTS; i++) {
        if (!texts[i]) continue;
        *fields[i] = memcpy(at, texts[i], sizes[i]);
        at += sizes[i];
    }
    weir__list_init(&k->link);
    return k;
}

static void take_out(weir_reactor *reactor, kept *k) {
    weir__list_remove(&k->link);
    reactor->notice_count--;
    reactor->notice_bytes -= k->bytes;
}

static void drop_oldest(weir_reactor *reactor) {
    kept *k = weir__container(weir__list_front(&reactor->notices), kept, link);
    take_out(reactor, k);
    weir__free(k);
    reactor->notices_dropped++;
}

bool weir__reactor_notice(weir_reactor *reactor, const weir_notice *notice, void *token, const void *owner) {
    uint64_t before = reactor->notices_dropped;
    kept *k = copy(notice);
    if (!k) {
        reactor->notices_dropped++;
        return !before;
    }
    k->owner = owner;
    k->notice.token = token;
    weir__list_push_back(&reactor->notices, &k->link);
    reactor->notice_count++;
    reactor->notice_bytes += k->bytes;
    while (reactor->notice_count > NOTICES ||
           (reactor->notice_bytes > NOTICES_BYTES && reactor->notice_count > 1))
        drop_oldest(reactor);
    return !before && reactor->notices_dropped;
}

weir_notice *weir__reactor_take_notice(weir_reactor *reactor) {
    weir__link *link = weir__list_front(&reactor->notices);
    if (!link) return NULL;
    kept *k = weir__container(link, kept, link);
    take_out(reactor, k);
    k->notice.dropped = reactor->notices_dropped;
    reactor->notices_dropped = 0;
    return &k->notice;
}

void weir__reactor_forget_notices(weir_reactor *reactor, const void *owner) {
    for (weir__link *link = reactor->notices.next, *next; link != &reactor->notices; link = next) {
        kept *k = weir__container(link, kept, link);
        next = link->next;
        if (owner && k->owner != owner) continue;
        take_out(reactor, k);
        weir__free(k);
    }
}

void weir_notice_free(weir_notice *notice) {
    if (notice) weir__free(kept_of(notice));
}
