#include "base/mailbox.h"

#include <stddef.h>

#include "base/alloc.h"

weir__mailbox *weir__mailbox_new(void (*wake)(void *arg), void *arg) {
    weir__mailbox *box = weir__calloc(1, sizeof *box);
    if (!box) return NULL;
    if (pthread_mutex_init(&box->lock, NULL) != 0) goto no_lock;
    if (pthread_cond_init(&box->woken, NULL) != 0) goto no_condition;
    atomic_init(&box->references, 1);
    box->wake = wake;
    box->arg = arg;
    return box;
no_condition:
    pthread_mutex_destroy(&box->lock);
no_lock:
    weir__free(box);
    return NULL;
}

weir__mailbox *weir__mailbox_ref(weir__mailbox *box) {
    atomic_fetch_add_explicit(&box->references, 1, memory_order_relaxed);
    return box;
}

void weir__mailbox_unref(weir__mailbox *box) {
    if (!box || atomic_fetch_sub_explicit(&box->references, 1, memory_order_acq_rel) != 1) return;
    weir__mailbox_close(box);
    pthread_cond_destroy(&box->woken);
    pthread_mutex_destroy(&box->lock);
    weir__free(box);
}

/* Under the lock. */
static weir__letter *take_all(weir__mailbox *box) {
    weir__letter *first = box->first;
    box->first = box->last = NULL;
    return first;
}

void weir__mailbox_post(weir__mailbox *box, weir__letter *letter) {
    letter->next = NULL;
    pthread_mutex_lock(&box->lock);
    if (box->closed) {
        pthread_mutex_unlock(&box->lock);
        letter->drop(letter);
        return;
    }
    bool was_empty = !box->first;
    if (was_empty) {
        box->first = letter;
        box->waking++;
    } else {
        box->last->next = letter;
    }
    box->last = letter;
    pthread_mutex_unlock(&box->lock);
    if (!was_empty) return;

    box->wake(box->arg);
    pthread_mutex_lock(&box->lock);
    if (--box->waking == 0 && box->closed) pthread_cond_broadcast(&box->woken);
    pthread_mutex_unlock(&box->lock);
}

int weir__mailbox_empty(weir__mailbox *box) {
    pthread_mutex_lock(&box->lock);
    weir__letter *letter = take_all(box);
    pthread_mutex_unlock(&box->lock);
    int count = 0;
    while (letter) {
        weir__letter *next = letter->next;
        letter->deliver(letter);
        letter = next;
        count++;
    }
    return count;
}

void weir__mailbox_close(weir__mailbox *box) {
    pthread_mutex_lock(&box->lock);
    box->closed = true;
    weir__letter *letter = take_all(box);
    while (box->waking > 0) pthread_cond_wait(&box->woken, &box->lock);
    pthread_mutex_unlock(&box->lock);
    while (letter) {
        weir__letter *next = letter->next;
        letter->drop(letter);
        letter = next;
    }
}
