/*
 * The reactor's inside: the lock, operations and their completions, timers, deferred work, blocking waiters.
 *
 * A layer above it embeds weir__op in what it calls an operation, and is called back under the lock only
 * through the function pointers that it put into watches, timers, letters, deferred work and ops.
 */
#ifndef WEIR_REACTOR_REACTOR_H
#define WEIR_REACTOR_REACTOR_H

#include <weirpool/notice.h>

#include <pthread.h>
#include <semaphore.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "reactor/poller.h"
#include "reactor/wheel.h"

enum {
    WEIR__OP_BYTES = 480, /* what an operation of the layer above may take, weir__op included */
    WEIR__OP_BLOCK = 64,  /* operations allocated at a time */
    WEIR__LOG_LINES = 256,
};

typedef enum weir__op_state {
    WEIR__OP_FREE,
    WEIR__OP_PENDING,
    WEIR__OP_DONE, /* complete, its completion not yet taken */
} weir__op_state;

/* A thread that sleeps in weir_reactor_wait; on its stack. */
typedef struct weir__parked {
    weir__link link; /* in the reactor's followers */
    sem_t wake;
    bool deaf; /* as its operation */
} weir__parked;

/* Work to be done before the lock is left; at most once in the list. */
typedef struct weir__deferred {
    weir__link link;
    void (*run)(struct weir__deferred *deferred);
} weir__deferred;

typedef struct weir__op {
    weir__link link;   /* its owner's queue while pending, the reactor's done list after */
    weir__timer timer; /* its deadline */
    weir_completion completion;
    weir__op_state state;
    bool deaf; /* its waiter is in the midst of an event, and not told of others: they would nest */
    weir__parked *parked; /* who waits for it in weir_reactor_wait */
    weir__deferred *then; /* of one without a token: what takes it when it is done */
    /* The caller has lost interest while the operation was pending: undo it. Frees the op (weir__op_drop). */
    void (*cancel)(struct weir__op *op);
    weir_reactor *reactor;
    const void *owner; /* what weir__reactor_forget goes by */
} weir__op;

/* Something that was not sent yet, so that more can go with it; at most once in the list. */
typedef struct weir__held {
    weir__link link;
    void (*flush)(struct weir__held *held);
} weir__held;

/* Something to be freed slowly: `bury` runs without the lock, then `buried` under it. */
typedef struct weir__grave {
    weir__link link;
    void (*bury)(struct weir__grave *grave);
    void (*buried)(struct weir__grave *grave);
} weir__grave;

/* keeper.c: the thread that works while nobody else does. */
typedef struct weir__keeper {
    pthread_t thread;
    pthread_cond_t change;
    int bell[2]; /* a pipe that wakes it at its end: the poller's wake-up another thread may take away */
    int wanted;  /* pools that ask for it */
    bool made, running, joinable;
} weir__keeper;

struct weir_reactor {
    /*
     * Guards everything below, and all the pools of this reactor with their slots and connections. Held for
     * short: nothing under it blocks, no connection is closed under it, no code of the host runs under it.
     * The mailbox has a lock of its own, taken inside this one and never the other way round.
     */
    pthread_mutex_t lock;
    unsigned fork_stamp;
    weir__clock clock;
    bool real_time; /* the clock is CLOCK_MONOTONIC, so that the poller's timer follows it */
    weir__poller poller;
    weir__mailbox *mailbox;
    weir__wheel wheel;
    int64_t armed_at;
    int64_t dispatched_at; /* when somebody last looked at the descriptors */
    int64_t undriven;      /* how long nobody had before that */

    weir__op **blocks; /* the operations: block_count blocks of WEIR__OP_BLOCK */
    size_t block_count;
    weir__link free_ops;
    weir__link done;       /* complete, for weir_reactor_next */
    atomic_bool some_done; /* there were some when the lock was left last */
    bool signal;           /* something was added to `done` since the lock was taken */
    bool attached;         /* `owner` drains after each call of its own */
    pthread_t owner;

    weir__parked *leader; /* the thread that sleeps in the poller */
    weir__link followers;
    weir__keeper keeper;

    weir__link deferred, held, graves;
    weir__link leaving; /* weir__deferred that run each time the lock is left, after the others */
    weir__log log;      /* writes into the ring */
    weir_log_record *ring;
    unsigned ring_first, ring_count;

    weir__link notices; /* notice.c */
    size_t notice_count, notice_bytes;
    uint64_t notices_dropped; /* since one was taken last */
};

/* With a clock of the caller's choice, which must outlive it. */
int weir__reactor_new(const weir__clock *clock, weir_reactor **out, weir_error *error);

/* Takes the lock. False: the process has been forked since; nothing is locked then. */
bool weir__enter(weir_reactor *reactor);
/* Runs deferred work, leaves the lock, signals the descriptor if need be, buries. */
void weir__leave(weir_reactor *reactor);
void weir__defer(weir_reactor *reactor, weir__deferred *deferred);
/* It is flushed when the reactor works next, or is asked to flush. */
void weir__hold(weir_reactor *reactor, weir__held *held);
void weir__flush(weir_reactor *reactor);
void weir__bury(weir_reactor *reactor, weir__grave *grave);
static inline int64_t weir__reactor_now(const weir_reactor *reactor) { return weir__now(&reactor->clock); }
/* Starts or restarts a timer, and has the descriptor wake in time. */
void weir__reactor_start(weir_reactor *reactor, weir__timer *timer, int64_t at);
/* Does what is ready; the lock is held. */
void weir__reactor_work(weir_reactor *reactor);

/*
 * A pending operation; NULL without memory. Its id is in completion.op. Zeroed but for the links and the
 * timer, whose function is `expired`. A token of NULL means that the caller will use weir_reactor_wait.
 */
weir__op *weir__op_new(weir_reactor *reactor, weir_completion_kind kind, void *token, const void *owner,
                       void (*cancel)(weir__op *op), void (*expired)(weir__timer *timer));
/* Pending -> done. result, error and session have been put into op->completion, or are left empty. Sets the
 * code. */
void weir__op_complete(weir__op *op, int code);
/* As complete, with a copy of an error. */
void weir__op_fail(weir__op *op, const weir_error *error);
/* Pending -> free, without a completion. */
void weir__op_drop(weir__op *op);
/* A completion without an operation. WEIR_ENOMEM. */
int weir__reactor_event(weir_reactor *reactor, weir_completion_kind kind, void *token, weir_session session,
                        const void *owner);
/* Whether the event of that session has not been taken yet. */
bool weir__reactor_has_event(weir_reactor *reactor, weir_session session);
/* Nobody is to take it any more. */
void weir__reactor_drop_event(weir_reactor *reactor, weir_session session);
/* By id; NULL when there is none, or no more. */
weir__op *weir__op_find(weir_reactor *reactor, weir_op id);
/* Takes the completion of an operation that is done; out NULL: its result and error are freed. */
void weir__op_take(weir__op *op, weir_completion *out);
bool weir__reactor_take_next(weir_reactor *reactor, weir_completion *out);
/* Drops the completions and notices of an owner that is about to vanish. They have no session worth releasing
 * any more. */
void weir__reactor_forget(weir_reactor *reactor, const void *owner);

/* ---- notice.c */
/* Keeps a copy for weir_reactor_next_notice; without memory it is dropped. True: the first that is dropped
 * since one was taken. */
bool weir__reactor_notice(weir_reactor *reactor, const weir_notice *notice, void *token, const void *owner);
/* NULL: there is none. */
weir_notice *weir__reactor_take_notice(weir_reactor *reactor);
/* The owner's; all of them when it is NULL. */
void weir__reactor_forget_notices(weir_reactor *reactor, const void *owner);

#endif
