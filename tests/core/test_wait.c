/* Blocking callers: the leader, the followers, the hand-over between them, signals. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "support_reactor.h"
#include "support_suite.h"

static weir_reactor *reactor;

static void set_up(void) { reactor = reactor_open(); }
static void tear_down(void) { reactor_close(reactor); }

/* ---- letters that complete an operation ---- */

typedef struct note {
    weir__letter letter;
    weir_op op;
    int code;
} note;

/* Under the reactor's lock, in whichever thread works for all. */
static void deliver(weir__letter *letter) {
    note *n = (note *)letter;
    weir__op *op = weir__op_find(reactor, n->op);
    if (op && op->state == WEIR__OP_PENDING) weir__op_complete(op, n->code);
    free(n);
}
static void drop(weir__letter *letter) { free(letter); }

static void post(weir_op op, int code) {
    note *n = malloc(sizeof *n);
    *n = (note){{NULL, deliver, drop}, op, code};
    weir__mailbox_post(reactor->mailbox, &n->letter);
}

/* ---- threads that wait ---- */

typedef struct waiter {
    pthread_t thread;
    weir_op op;
    int64_t timeout_ms;
    int code;
    weir_completion out;
} waiter;

static weir_op new_op(void) {
    ck_assert(weir__enter(reactor));
    weir_op id = op_new(reactor, NULL)->completion.op;
    weir__leave(reactor);
    return id;
}

static void *wait_in_thread(void *arg) {
    waiter *w = arg;
    w->code = weir_reactor_wait(reactor, w->op, w->timeout_ms, &w->out);
    return NULL;
}

static void nap(void) {
    const struct timespec t = {0, 1000000};
    nanosleep(&t, NULL);
}

static size_t parked(void) {
    ck_assert(weir__enter(reactor));
    size_t n = reactor->leader != NULL;
    for (weir__link *l = reactor->followers.next; l != &reactor->followers; l = l->next) n++;
    weir__leave(reactor);
    return n;
}

static void until_parked(size_t n) {
    int64_t deadline = weir__now(&weir__monotonic) + 20000 * WEIR__MS;
    while (parked() != n) {
        ck_assert_msg(weir__now(&weir__monotonic) < deadline, "%zu threads wait, and not %zu", parked(), n);
        nap();
    }
}

/* The first one started is the leader. */
static void start_as(waiter *w, int64_t timeout_ms, bool deaf) {
    size_t before = parked();
    *w = (waiter){.op = new_op(), .timeout_ms = timeout_ms, .code = 12345};
    ck_assert(weir__enter(reactor));
    weir__op_find(reactor, w->op)->deaf = deaf;
    weir__leave(reactor);
    ck_assert_int_eq(pthread_create(&w->thread, NULL, wait_in_thread, w), 0);
    until_parked(before + 1);
}

static void start(waiter *w, int64_t timeout_ms) { start_as(w, timeout_ms, false); }

static void join(waiter *w, int code) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += 20;
    ck_assert_msg(pthread_timedjoin_np(w->thread, NULL, &at) == 0, "a thread waits for ever");
    ck_assert_int_eq(w->code, code);
}

/* ---- one thread ---- */

START_TEST(alone) {
    weir_completion out;
    ck_assert_int_eq(weir_reactor_wait(reactor, 77, 0, &out), WEIR_ESTALE);
    weir_op op = new_op();
    ck_assert_int_eq(weir_reactor_wait(reactor, op, 0, &out), WEIR_ETIMEOUT);
    int64_t begun = weir__now(&weir__monotonic);
    ck_assert_int_eq(weir_reactor_wait(reactor, op, 15, &out), WEIR_ETIMEOUT);
    ck_assert_int_ge(weir__now(&weir__monotonic) - begun, 15 * WEIR__MS);
    post(op, WEIR_ECONNECT); /* the waiting thread delivers it itself */
    ck_assert_int_eq(weir_reactor_wait(reactor, op, -1, &out), WEIR_OK);
    ck_assert_int_eq(out.code, WEIR_ECONNECT);
    ck_assert_uint_eq(out.op, op);
    ck_assert_int_eq(weir_reactor_wait(reactor, op, -1, &out), WEIR_ESTALE);
    ck_assert(!weir_reactor_next(reactor, &out)); /* what is waited for is not in the queue */
}
END_TEST

START_TEST(a_deadline_of_the_operation) {
    weir_completion out;
    ck_assert(weir__enter(reactor));
    weir__op *op = op_new(reactor, NULL);
    weir_op id = op->completion.op;
    weir__reactor_start(reactor, &op->timer, weir__reactor_now(reactor) + 10 * WEIR__MS);
    weir__leave(reactor);
    ck_assert_int_eq(weir_reactor_wait(reactor, id, -1, &out), WEIR_OK);
    ck_assert_int_eq(out.code, WEIR_ETIMEOUT);
}
END_TEST

START_TEST(sleeping) {
    weir_completion out;
    weir_op op = 0;
    int token;
    int64_t begun = weir__now(&weir__monotonic);
    ck_assert_int_eq(weir_reactor_sleep(reactor, 15, NULL, &op, NULL), WEIR_PENDING);
    ck_assert_int_eq(weir_reactor_wait(reactor, op, -1, &out), WEIR_OK);
    ck_assert_int_eq(out.code, WEIR_OK);
    ck_assert_int_eq(out.kind, WEIR_DONE_SLEEP);
    ck_assert_int_ge(weir__now(&weir__monotonic) - begun, 15 * WEIR__MS);
    ck_assert_int_eq(weir_reactor_sleep(reactor, 1, &token, &op, NULL), WEIR_PENDING); /* an event loop's */
    while (!weir_reactor_next(reactor,
                              &out)) { /* a timer that is over already may have made it readable once more */
        ck_assert(readable(reactor, 60000));
        ck_assert_int_eq(weir_reactor_dispatch(reactor), WEIR_OK);
    }
    ck_assert_ptr_eq(out.token, &token);
    ck_assert_int_eq(weir_reactor_sleep(reactor, 600000, NULL, &op, NULL), WEIR_PENDING);
    ck_assert_int_eq(weir_reactor_cancel(reactor, op), WEIR_OK);
    ck_assert_int_eq(weir_reactor_wait(reactor, op, -1, &out), WEIR_ESTALE);
    ck_assert_int_eq(weir_reactor_sleep(reactor, INT64_MAX, NULL, &op, NULL), WEIR_PENDING); /* left behind */
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir_reactor_sleep(reactor, 0, NULL, &op, &error), WEIR_EINVAL);
    ck_assert_str_eq(error.message, "ms=0: give a positive time");
    ck_assert_int_eq(weir_reactor_sleep(NULL, 1, NULL, &op, &error), WEIR_EINVAL);
    weir_error_clear(&error);
    weir__alloc_fail_at(1, true);
    int code = WEIR_PENDING;
    for (int i = 0; i < 2 * WEIR__OP_BLOCK && code == WEIR_PENDING; i++)
        code = weir_reactor_sleep(reactor, 600000, NULL, &op, NULL);
    weir__alloc_fail_at(0, false);
    ck_assert_int_eq(code, WEIR_ENOMEM);
}
END_TEST

START_TEST(an_event_comes_first) {
    int token;
    weir_completion out;
    weir_session none = {0};
    weir_op op = new_op();
    ck_assert(weir__enter(reactor));
    ck_assert_int_eq(weir__reactor_event(reactor, WEIR_EVENT_INIT, &token, none, NULL), WEIR_OK);
    weir__leave(reactor);
    ck_assert_int_eq(weir_reactor_wait(reactor, op, -1, &out), WEIR_EVENT);
    ck_assert(weir_reactor_next(reactor, &out));
    ck_assert_int_eq(out.kind, WEIR_EVENT_INIT);
    post(op, WEIR_OK);
    ck_assert_int_eq(weir_reactor_wait(reactor, op, -1, &out), WEIR_OK);
}
END_TEST

/* ---- several ---- */

START_TEST(an_event_ends_the_leaders_sleep) {
    int token;
    weir_session none = {0};
    weir_completion out;
    waiter leader, follower;
    start(&leader, -1);
    start(&follower, -1);
    ck_assert(weir__enter(reactor));
    ck_assert_int_eq(weir__reactor_event(reactor, WEIR_EVENT_INIT, &token, none, NULL), WEIR_OK);
    weir__leave(reactor);
    join(&leader, WEIR_EVENT);
    join(&follower, WEIR_EVENT); /* promoted, it finds the event too: nobody has taken it */
    ck_assert(weir_reactor_next(reactor, &out));
    post(leader.op, WEIR_OK);
    ck_assert_int_eq(weir_reactor_wait(reactor, leader.op, -1, &out), WEIR_OK);
}
END_TEST

START_TEST(an_event_is_not_told_within_another) {
    int token;
    weir_session none = {0};
    weir_completion out;
    waiter waiters[3]; /* the leader, a follower like him, and one who may be told */
    for (int i = 0; i < 3; i++) start_as(&waiters[i], -1, i < 2);
    ck_assert(weir__enter(reactor));
    ck_assert_int_eq(weir__reactor_event(reactor, WEIR_EVENT_INIT, &token, none, NULL), WEIR_OK);
    weir__leave(reactor);
    join(&waiters[2], WEIR_EVENT);
    for (int i = 0; i < 2; i++) {
        post(waiters[i].op, WEIR_OK);
        join(&waiters[i], WEIR_OK);
    }
    ck_assert(weir_reactor_next(reactor, &out));
    post(waiters[2].op, WEIR_OK);
    ck_assert_int_eq(weir_reactor_wait(reactor, waiters[2].op, -1, &out), WEIR_OK);
}
END_TEST

START_TEST(the_leader_hands_over) {
    waiter w[3];
    for (int i = 0; i < 3; i++) start(&w[i], -1);
    for (int i = 0; i < 3; i++) { /* each letter needs somebody who works */
        post(w[i].op, WEIR_OK);
        join(&w[i], WEIR_OK);
    }
    ck_assert_uint_eq(parked(), 0);
}
END_TEST

START_TEST(a_follower_is_done_first) {
    waiter leader, follower;
    start(&leader, -1);
    start(&follower, -1);
    post(follower.op, WEIR_ELOST);
    join(&follower, WEIR_OK);
    ck_assert_int_eq(follower.out.code, WEIR_ELOST);
    ck_assert_uint_eq(parked(), 1);
    ck_assert(weir__enter(reactor)); /* completed by another thread's call, not by the leader's own work */
    weir__op_complete(weir__op_find(reactor, leader.op), WEIR_OK);
    weir__leave(reactor);
    join(&leader, WEIR_OK);
}
END_TEST

START_TEST(time_outs_of_both) {
    waiter leader, follower, last;
    start(&leader, 60);
    start(&follower, 20);
    start(&last, -1);
    join(&follower, WEIR_ETIMEOUT);
    join(&leader, WEIR_ETIMEOUT);
    post(last.op, WEIR_OK); /* who leads now */
    join(&last, WEIR_OK);
    ck_assert_int_eq(weir_reactor_cancel(reactor, leader.op), WEIR_OK);
    ck_assert_int_eq(weir_reactor_cancel(reactor, follower.op), WEIR_OK);
    ck_assert_int_eq(ops_cancelled, 2);
}
END_TEST

START_TEST(one_thread_an_operation) {
    waiter w;
    weir_completion out;
    start(&w, -1);
    ck_assert_int_eq(weir_reactor_wait(reactor, w.op, -1, &out), WEIR_EBUSY);
    ck_assert_int_eq(weir_reactor_cancel(reactor, w.op), WEIR_EBUSY);
    post(w.op, WEIR_OK);
    join(&w, WEIR_OK);
}
END_TEST

/* ---- signals ---- */

static atomic_int handled;
static void handler(int number) {
    (void)number;
    atomic_store(&handled, 1);
}

/* Again and again: the first may come just before the thread sleeps. */
static void interrupt(waiter *w) {
    int64_t deadline = weir__now(&weir__monotonic) + 20000 * WEIR__MS;
    struct timespec soon;
    do {
        ck_assert_msg(weir__now(&weir__monotonic) < deadline, "a signal does not end the wait");
        pthread_kill(w->thread, SIGUSR1);
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 2000000;
        if (soon.tv_nsec >= 1000000000) {
            soon.tv_nsec -= 1000000000;
            soon.tv_sec++;
        }
    } while (pthread_timedjoin_np(w->thread, NULL, &soon) != 0);
    ck_assert_int_eq(w->code, WEIR_INTERRUPTED);
}

START_TEST(a_signal_ends_the_wait) {
    waiter leader, follower, other;
    struct sigaction action = {.sa_handler = handler}; /* without SA_RESTART */
    sigaction(SIGUSR1, &action, NULL);
    start(&leader, -1);
    start(&follower, _i ? 3600000 : -1);
    start(&other, -1);
    interrupt(&follower);
    ck_assert(atomic_load(&handled));
    interrupt(&leader);
    post(other.op, WEIR_OK); /* the rest goes on, under another leader */
    join(&other, WEIR_OK);
    weir_completion out;
    post(leader.op, WEIR_OK); /* an interrupted wait may be taken up again */
    ck_assert_int_eq(weir_reactor_wait(reactor, leader.op, -1, &out), WEIR_OK);
    ck_assert_int_eq(weir_reactor_cancel(reactor, follower.op), WEIR_OK);
}
END_TEST

/* ---- many ---- */

enum { THREADS = 8, TURNS = 2000, POSTERS = 2 };

typedef struct mill {
    pthread_t thread;
    uint64_t seed;
    long bad;
    weir_op op; /* what a poster is to complete; 0: nothing */
    pthread_mutex_t lock;
} mill;
static mill mills[THREADS];
static atomic_bool finished;

static void *grind(void *arg) {
    mill *m = arg;
    weir__rng rng = {m->seed};
    for (int i = 0; i < TURNS; i++) {
        weir_op id = new_op();
        pthread_mutex_lock(&m->lock);
        m->op = id;
        pthread_mutex_unlock(&m->lock);
        weir_completion out = {0};
        int code;
        do {
            code = weir_reactor_wait(reactor, id, weir__random_below(&rng, 3) ? 20000 : 0, &out);
        } while (code == WEIR_ETIMEOUT);
        m->bad += code != WEIR_OK || out.op != id || out.code != (int)(id & 15);
        if (!weir__random_below(&rng, 5)) weir_reactor_dispatch(reactor); /* from without, too */
    }
    return NULL;
}

static void *feed(void *arg) {
    weir__rng rng = {(uintptr_t)arg};
    while (!atomic_load(&finished)) {
        mill *m = &mills[weir__random_below(&rng, THREADS)];
        pthread_mutex_lock(&m->lock);
        weir_op op = m->op;
        m->op = 0;
        pthread_mutex_unlock(&m->lock);
        if (op) post(op, (int)(op & 15));
    }
    return NULL;
}

/* Nobody but the waiting threads works: a lost wake-up or hand-over makes the whole mill stand still. */
START_TEST(eight_threads) {
    pthread_t posters[POSTERS];
    for (size_t i = 0; i < THREADS; i++) {
        mills[i].seed = i + 1;
        pthread_mutex_init(&mills[i].lock, NULL);
    }
    for (size_t i = 0; i < POSTERS; i++)
        pthread_create(&posters[i], NULL, feed, (void *)(uintptr_t)(i + 100));
    for (size_t i = 0; i < THREADS; i++) pthread_create(&mills[i].thread, NULL, grind, &mills[i]);
    for (size_t i = 0; i < THREADS; i++) {
        struct timespec at;
        clock_gettime(CLOCK_REALTIME, &at);
        at.tv_sec += 50;
        ck_assert_msg(pthread_timedjoin_np(mills[i].thread, NULL, &at) == 0, "the mill stands still");
        ck_assert_int_eq(mills[i].bad, 0);
    }
    atomic_store(&finished, true);
    for (size_t i = 0; i < POSTERS; i++) pthread_join(posters[i], NULL);
    ck_assert_uint_eq(parked(), 0);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {alone,
                                  a_deadline_of_the_operation,
                                  sleeping,
                                  an_event_comes_first,
                                  an_event_ends_the_leaders_sleep,
                                  an_event_is_not_told_within_another,
                                  the_leader_hands_over,
                                  a_follower_is_done_first,
                                  time_outs_of_both,
                                  one_thread_an_operation,
                                  eight_threads};
    Suite *suite = suite_create("wait");
    TCase *tc = tcase_create("wait");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, a_signal_ends_the_wait, 0, 2);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
