/* Operations: a table of blocks that never move, ids that are never used again, and the list of completions.
 */
#include "reactor/reactor.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

/* An id is the number of times that its place has been used, and the place. */
enum { PLACE_BITS = 24 };
#define PLACE_MASK ((UINT64_C(1) << PLACE_BITS) - 1)

static weir__op *at_place(weir_reactor *reactor, uint64_t place) {
    if (place / WEIR__OP_BLOCK >= reactor->block_count) return NULL;
    char *block = (char *)reactor->blocks[place / WEIR__OP_BLOCK];
    return (weir__op *)(block + place % WEIR__OP_BLOCK * WEIR__OP_BYTES);
}

static bool add_block(weir_reactor *reactor) {
    if (reactor->block_count * WEIR__OP_BLOCK > PLACE_MASK - WEIR__OP_BLOCK) return false;
    weir__op **blocks = weir__realloc(reactor->blocks, (reactor->block_count + 1) * sizeof *blocks);
    if (!blocks) return false;
    reactor->blocks = blocks;
    char *block = weir__calloc(WEIR__OP_BLOCK, WEIR__OP_BYTES);
    if (!block) return false;
    blocks[reactor->block_count] = (weir__op *)block;
    for (int i = 0; i < WEIR__OP_BLOCK; i++) {
        weir__op *op = (weir__op *)(block + i * WEIR__OP_BYTES);
        op->completion.op = reactor->block_count * WEIR__OP_BLOCK + (uint64_t)i;
        weir__list_push_back(&reactor->free_ops, &op->link);
    }
    reactor->block_count++;
    return true;
}

weir__op *weir__op_new(weir_reactor *reactor, weir_completion_kind kind, void *token, const void *owner,
                       void (*cancel)(weir__op *op), void (*expired)(weir__timer *timer)) {
    if (weir__list_empty(&reactor->free_ops) && !add_block(reactor)) return NULL;
    weir__op *op = weir__container(weir__list_pop_front(&reactor->free_ops), weir__op, link);
    weir_op id = op->completion.op + PLACE_MASK + 1;
    memset(op, 0, WEIR__OP_BYTES);
    weir__list_init(&op->link);
    weir__timer_init(&op->timer, expired);
    op->completion.op = id;
    op->completion.kind = kind;
    op->completion.token = token;
    op->state = WEIR__OP_PENDING;
    op->cancel = cancel;
    op->reactor = reactor;
    op->owner = owner;
    return op;
}

static void recycle(weir__op *op) {
    weir__list_remove(&op->link);
    op->state = WEIR__OP_FREE;
    op->owner = NULL;
    weir__list_push_front(&op->reactor->free_ops, &op->link);
}

void weir__op_drop(weir__op *op) {
    weir__timer_stop(&op->reactor->wheel, &op->timer);
    recycle(op);
}

static void wake_waiter(weir__op *op) {
    weir_reactor *reactor = op->reactor;
    if (op->parked == reactor->leader)
        weir__poller_nudge(&reactor->poller);
    else
        sem_post(&op->parked->wake);
}

void weir__op_complete(weir__op *op, int code) {
    weir_reactor *reactor = op->reactor;
    weir__timer_stop(&reactor->wheel, &op->timer);
    weir__list_remove(&op->link);
    op->state = WEIR__OP_DONE;
    op->completion.code = code;
    if (op->completion.token) {
        weir__list_push_back(&reactor->done, &op->link);
        reactor->signal = true;
    } else if (op->parked) {
        wake_waiter(op);
    } else if (op->then) {
        weir__defer(reactor, op->then);
    }
}

void weir__op_fail(weir__op *op, const weir_error *error) {
    weir_error copy = WEIR_ERROR_INIT;
    weir__error_copy(&copy, error);
    op->completion.error = weir__error_detach(&copy);
    weir__op_complete(op,
                      op->completion.error->code); /* without memory it is the lack of memory that is told */
}

/* Somebody who sleeps, and may be told of an event. */
static void wake_for_event(weir_reactor *reactor) {
    if (reactor->leader && !reactor->leader->deaf) {
        weir__poller_nudge(&reactor->poller);
        return;
    }
    for (weir__link *link = reactor->followers.next; link != &reactor->followers; link = link->next) {
        weir__parked *parked = weir__container(link, weir__parked, link);
        if (parked->deaf) continue;
        sem_post(&parked->wake);
        return;
    }
}

int weir__reactor_event(weir_reactor *reactor, weir_completion_kind kind, void *token, weir_session session,
                        const void *owner) {
    weir__op *op = weir__op_new(reactor, kind, token, owner, NULL, NULL);
    if (!op) return WEIR_ENOMEM;
    op->completion.session = session;
    op->state = WEIR__OP_DONE;
    weir__list_push_back(&reactor->done, &op->link);
    reactor->signal = true;
    wake_for_event(reactor);
    return WEIR_OK;
}

static weir__op *event_of(weir_reactor *reactor, weir_session session) {
    for (weir__link *link = reactor->done.next; link != &reactor->done; link = link->next) {
        weir__op *op = weir__container(link, weir__op, link);
        const weir_session *its = &op->completion.session;
        if (op->completion.kind == WEIR_EVENT_INIT && its->pool == session.pool && its->loan == session.loan)
            return op;
    }
    return NULL;
}

bool weir__reactor_has_event(weir_reactor *reactor, weir_session session) {
    return event_of(reactor, session) != NULL;
}

void weir__reactor_drop_event(weir_reactor *reactor, weir_session session) {
    weir__op *op = event_of(reactor, session);
    if (op) weir__op_take(op, NULL);
}

void weir__op_take(weir__op *op, weir_completion *out) {
    if (out) {
        *out = op->completion;
        if (out->kind == WEIR_EVENT_INIT) out->op = 0;
    } else {
        weir_result_free(op->completion.result);
        weir_error_free(op->completion.error);
    }
    recycle(op);
}

void weir__reactor_forget(weir_reactor *reactor, const void *owner) {
    weir__reactor_forget_notices(reactor, owner);
    for (size_t place = 0; place < reactor->block_count * WEIR__OP_BLOCK; place++) {
        weir__op *op = at_place(reactor, place);
        if (op->state != WEIR__OP_DONE || op->owner != owner) continue;
        op->completion.failure.pool = NULL;
        if (!op->parked) {
            weir__op_take(op, NULL);
        } else if (op->completion.session.pool) { /* granted, but its waiter has not woken yet */
            op->completion.session = (weir_session){0};
            op->completion.code = WEIR_ECLOSED;
        }
    }
}

bool weir__reactor_take_next(weir_reactor *reactor, weir_completion *out) {
    weir__link *link = weir__list_front(&reactor->done);
    if (link) weir__op_take(weir__container(link, weir__op, link), out);
    return link != NULL;
}

weir__op *weir__op_find(weir_reactor *reactor, weir_op id) {
    weir__op *op = at_place(reactor, id & PLACE_MASK);
    return op && op->state != WEIR__OP_FREE && op->completion.op == id ? op : NULL;
}
