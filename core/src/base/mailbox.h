/* How a foreign thread hands work back: it posts a letter, and the owner of the box runs it under its own
   lock. The box is counted, so that a thread which is late posts into a closed box without harm. */
#ifndef WEIR_BASE_MAILBOX_H
#define WEIR_BASE_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct weir__letter {
    struct weir__letter *next;
    /* Runs where the box is emptied; the letter is the callee's then. */
    void (*deliver)(struct weir__letter *letter);
    /* The box was closed before: free what the letter holds. */
    void (*drop)(struct weir__letter *letter);
} weir__letter;

typedef struct weir__mailbox {
    atomic_int references;
    pthread_mutex_t lock; /* guards first, last, waking, closed; nothing slow under it, no call out of here */
    pthread_cond_t woken; /* waking has come down to 0 */
    weir__letter *first, *last;
    int waking; /* threads inside wake */
    bool closed;
    /* Called without the lock when the box has become non-empty; any thread. It must take no lock that the
       thread which closes the box may hold: closing waits for it. */
    void (*wake)(void *arg);
    void *arg;
} weir__mailbox;

/* NULL when memory is short. One reference, the caller's. wake(arg) must work as long as the box is open. */
weir__mailbox *weir__mailbox_new(void (*wake)(void *arg), void *arg);
weir__mailbox *weir__mailbox_ref(weir__mailbox *box);
/* NULL is accepted. The last one closes the box. */
void weir__mailbox_unref(weir__mailbox *box);
/* Any thread. The letter is delivered or dropped, exactly once; when the box is closed it is dropped before
   this returns. */
void weir__mailbox_post(weir__mailbox *box, weir__letter *letter);
/* Delivers what is there, in order of posting; gives the number of letters. What is posted meanwhile waits
   for the next call. The box may be closed or unreferenced from within: the letters taken are delivered all
   the same. */
int weir__mailbox_empty(weir__mailbox *box);
/* Drops what is there and all that will come; may be called twice. wake is not called after it has returned:
   it waits for the threads that are inside, so never call it from wake. */
void weir__mailbox_close(weir__mailbox *box);

#endif
