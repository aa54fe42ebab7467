/* The reactor: descriptor, operations, completions, timers, log lines, burials, forks. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "support_reactor.h"
#include "support_suite.h"

/* Runs once, in the midst of the next read of a descriptor: between two lines of the poller. */
static void (*at_read)(void);

ssize_t read(int fd, void *buffer, size_t size) {
    void (*hook)(void) = at_read;
    at_read = NULL;
    if (hook) hook();
    return syscall(SYS_read, fd, buffer, size);
}

static weir_reactor *reactor;

static void set_up(void) { reactor = reactor_open(); }
static void tear_down(void) { reactor_close(reactor); }

/* ---- the descriptor ---- */

START_TEST(quiet_at_first) {
    ck_assert_int_ge(weir_reactor_fd(reactor), 0);
    ck_assert(!readable(reactor, 0));
    ck_assert_int_eq(weir_reactor_dispatch(reactor), WEIR_OK);
    weir_completion none;
    ck_assert(!weir_reactor_next(reactor, &none));
    weir_log_record line;
    ck_assert(!weir_reactor_next_log(reactor, &line));
}
END_TEST

static weir__op *complete_one(void *token) {
    ck_assert(weir__enter(reactor));
    weir__op *op = op_new(reactor, token);
    weir__op_complete(op, WEIR_OK);
    weir__leave(reactor);
    return op;
}

START_TEST(readable_until_dispatched) {
    int token;
    complete_one(&token);
    ck_assert(readable(reactor, 0));
    weir_reactor_dispatch(reactor);
    ck_assert(!readable(reactor, 0));
    weir_completion done;
    ck_assert(weir_reactor_next(reactor, &done));
    ck_assert_ptr_eq(done.token, &token);
    ck_assert(!weir_reactor_next(reactor, &done));
    complete_one(&token); /* and again, after the wake-up has been consumed */
    ck_assert(readable(reactor, 0));
}
END_TEST

static void *complete_in_thread(void *token) {
    complete_one(token);
    return NULL;
}

START_TEST(attached_calls_do_not_signal) {
    int token;
    weir_reactor_attach(reactor);
    complete_one(&token);
    ck_assert(!readable(reactor, 0));
    weir_completion done;
    ck_assert(weir_reactor_next(reactor, &done));
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, complete_in_thread, &token), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert(readable(reactor, 0));
    ck_assert(weir_reactor_next(reactor, &done));
}
END_TEST

static void wake_now(void) { weir__poller_wake(&reactor->poller); }

/* A wake-up between two steps of collecting is either seen by this collecting, or leaves the descriptor
   readable; and the next one works in any case. */
START_TEST(a_wake_amid_collecting) {
    wake_now();
    at_read = wake_now;
    weir_reactor_dispatch(reactor);
    ck_assert(!at_read);
    weir_reactor_dispatch(reactor);
    ck_assert(!readable(reactor, 0));
    wake_now();
    ck_assert(readable(reactor, 0));
}
END_TEST

/* ---- watches ---- */

enum { PIPES = 150 };
typedef struct tap {
    weir__watch watch;
    int ends[2];
    int calls;
    unsigned events;
    struct tap *stops; /* its readiness ends the other's watch */
} tap;
static tap taps[PIPES];

static void watch(tap *t, unsigned events) {
    ck_assert(weir__enter(reactor));
    ck_assert(weir__poller_watch(&reactor->poller, &t->watch, t->ends[0], events));
    weir__leave(reactor);
}

static void on_ready(weir__watch *w, unsigned events) {
    tap *t = (tap *)w;
    t->calls++;
    t->events = events;
    if (t->stops) weir__poller_watch(&reactor->poller, &t->stops->watch, t->stops->ends[0], 0);
}

static void open_taps(int n) {
    for (int i = 0; i < n; i++) {
        taps[i] = (tap){.watch.ready = on_ready};
        ck_assert_int_eq(pipe(taps[i].ends), 0);
        watch(&taps[i], WEIR__POLL_READ);
    }
}

static void close_taps(int n) {
    for (int i = 0; i < n; i++) {
        watch(&taps[i], 0);
        close(taps[i].ends[0]);
        close(taps[i].ends[1]);
    }
}

static void fill(tap *t) { ck_assert_int_eq(write(t->ends[1], "x", 1), 1); }

START_TEST(watching) {
    open_taps(2);
    weir_reactor_dispatch(reactor);
    ck_assert_int_eq(taps[0].calls, 0);
    fill(&taps[0]);
    ck_assert(readable(reactor, 0));
    weir_reactor_dispatch(reactor);
    weir_reactor_dispatch(reactor);
    ck_assert_int_eq(taps[0].calls, 2); /* level-triggered: nobody has read */
    ck_assert_uint_eq(taps[0].events, WEIR__POLL_READ);
    watch(&taps[0], 0);
    ck_assert(!readable(reactor, 0));
    weir_reactor_dispatch(reactor);
    ck_assert_int_eq(taps[0].calls, 2);
    watch(&taps[0], WEIR__POLL_READ);
    weir_reactor_dispatch(reactor);
    ck_assert_int_eq(taps[0].calls, 3);
    ck_assert_int_eq(taps[1].calls, 0);
    close_taps(2);
}
END_TEST

START_TEST(a_watch_moves_to_another_descriptor) {
    open_taps(2);
    fill(&taps[1]);
    watch(&taps[1], 0);
    ck_assert(weir__enter(reactor));
    ck_assert(weir__poller_watch(&reactor->poller, &taps[0].watch, taps[1].ends[0], WEIR__POLL_READ));
    weir__leave(reactor);
    weir_reactor_dispatch(reactor);
    ck_assert_int_eq(taps[0].calls, 1);
    ck_assert(weir__enter(reactor));
    ck_assert(!weir__poller_watch(&reactor->poller, &taps[1].watch, -1, WEIR__POLL_READ));
    weir__leave(reactor);
    close_taps(2);
}
END_TEST

START_TEST(hang_up_is_readable) {
    open_taps(1);
    close(taps[0].ends[1]);
    weir_reactor_dispatch(reactor);
    ck_assert_uint_ne(taps[0].events & WEIR__POLL_READ, 0);
    taps[0].ends[1] = dup(0);
    close_taps(1);
}
END_TEST

/* Whichever of the two comes first, the other's event has been collected by then and must not be told. */
START_TEST(a_watch_ended_meanwhile) {
    open_taps(2);
    taps[0].stops = &taps[1];
    taps[1].stops = &taps[0];
    fill(&taps[0]);
    fill(&taps[1]);
    weir_reactor_dispatch(reactor);
    ck_assert_int_eq(taps[0].calls + taps[1].calls, 1);
    close_taps(2);
}
END_TEST

START_TEST(more_than_a_batch) {
    open_taps(PIPES);
    for (int i = 0; i < PIPES; i++) fill(&taps[i]);
    weir_reactor_dispatch(reactor);
    for (int i = 0; i < PIPES; i++) ck_assert_int_ge(taps[i].calls, 1);
    close_taps(PIPES);
}
END_TEST

/* ---- timers ---- */

static int rang;
static void ring(weir__timer *timer) {
    (void)timer;
    rang++;
}

static void start_timer(weir__timer *timer, int64_t in_ms) {
    ck_assert(weir__enter(reactor));
    weir__reactor_start(reactor, timer, weir__reactor_now(reactor) + in_ms * WEIR__MS);
    weir__leave(reactor);
}

/* The descriptor wakes for the earliest timer, though a later one was started before, and never too early. */
START_TEST(the_descriptor_wakes_in_time) {
    weir__timer late, soon;
    weir__timer_init(&late, ring);
    weir__timer_init(&soon, ring);
    rang = 0;
    start_timer(&late, 3600000);
    int64_t begun = weir__now(&weir__monotonic);
    start_timer(&soon, 20);
    while (!rang) {
        ck_assert(readable(reactor, 10000));
        weir_reactor_dispatch(reactor);
    }
    ck_assert_int_ge(weir__now(&weir__monotonic) - begun, 20 * WEIR__MS);
    ck_assert_int_eq(rang, 1);
    weir_reactor_dispatch(reactor);
    ck_assert(!readable(reactor, 0));
    start_timer(&soon, 5); /* armed again after the first has gone off */
    while (rang < 2) {
        ck_assert(readable(reactor, 10000));
        weir_reactor_dispatch(reactor);
    }
    weir__timer_stop(&reactor->wheel, &late);
}
END_TEST

/* ---- operations ---- */

START_TEST(ids_are_never_used_again) {
    enum { N = 200, ROUNDS = 20 };
    static weir_op seen[N * ROUNDS];
    size_t count = 0;
    weir__op *ops[N];
    ck_assert(weir__enter(reactor));
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++) {
            ops[i] = op_new(reactor, NULL);
            seen[count++] = ops[i]->completion.op;
            ck_assert_ptr_eq(weir__op_find(reactor, ops[i]->completion.op), ops[i]);
        }
        for (int i = 0; i < N; i++) weir__op_drop(ops[i]);
        for (size_t i = 0; i < count; i++) ck_assert_ptr_null(weir__op_find(reactor, seen[i]));
    }
    weir__leave(reactor);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_ne(seen[i], 0);
        for (size_t j = 0; j < i; j++)
            if (seen[i] == seen[j]) ck_abort_msg("the id %llu was given twice", (unsigned long long)seen[i]);
    }
    ck_assert_ptr_null(weir__op_find(reactor, 0));
    ck_assert_ptr_null(weir__op_find(reactor, UINT64_MAX));
}
END_TEST

START_TEST(cancel_in_each_state) {
    weir_completion out;
    int token;
    ck_assert_int_eq(weir_reactor_cancel(reactor, 0), WEIR_ESTALE);

    ck_assert(weir__enter(reactor)); /* pending: the owner undoes it */
    weir_op pending = op_new(reactor, &token)->completion.op;
    weir__leave(reactor);
    ck_assert_int_eq(weir_reactor_cancel(reactor, pending), WEIR_OK);
    ck_assert_int_eq(ops_cancelled, 1);
    ck_assert_int_eq(weir_reactor_cancel(reactor, pending), WEIR_ESTALE);

    weir_op done = complete_one(&token)->completion.op; /* complete, not taken: never given out */
    ck_assert_int_eq(weir_reactor_cancel(reactor, done), WEIR_OK);
    ck_assert(!weir_reactor_next(reactor, &out));

    done = complete_one(NULL)->completion.op; /* the same, for a waiter */
    ck_assert_int_eq(weir_reactor_cancel(reactor, done), WEIR_OK);
    ck_assert_int_eq(weir_reactor_wait(reactor, done, 0, &out), WEIR_ESTALE);

    done = complete_one(&token)->completion.op; /* taken */
    ck_assert(weir_reactor_next(reactor, &out));
    ck_assert_int_eq(weir_reactor_cancel(reactor, done), WEIR_ESTALE);
    ck_assert_int_eq(ops_cancelled, 1);
}
END_TEST

START_TEST(errors_travel) {
    int token;
    weir_error error = WEIR_ERROR_INIT;
    weir__fail(&error, WEIR_ECONNECT, "no route");
    ck_assert(weir__enter(reactor));
    weir__op_fail(op_new(reactor, &token), &error);
    weir__op_fail(op_new(reactor, &token), &error);
    weir__leave(reactor);
    weir_error_clear(&error);
    weir_completion out;
    ck_assert(weir_reactor_next(reactor, &out));
    ck_assert_int_eq(out.code, WEIR_ECONNECT);
    ck_assert_int_eq(out.error->code, WEIR_ECONNECT);
    ck_assert_str_eq(out.error->message, "no route");
    ck_assert(out.error->retryable);
    weir_completion_discard(&out);
    ck_assert_ptr_null(out.error);
    weir_completion_discard(&out);
    weir_completion_discard(NULL);
    /* the second is left: freeing the reactor frees it */
}
END_TEST

START_TEST(an_owner_is_forgotten) {
    int token, owner;
    weir_session none = {0};
    ck_assert(weir__enter(reactor));
    weir__op *pending = op_new(reactor, &token);
    pending->owner = &owner;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(weir__reactor_event(reactor, WEIR_EVENT_INIT, &token, none, i == 1 ? NULL : &owner),
                         WEIR_OK);
    weir__reactor_forget(reactor, &owner);
    weir__leave(reactor);
    weir_completion out;
    ck_assert(weir_reactor_next(reactor, &out));
    ck_assert_int_eq(out.kind, WEIR_EVENT_INIT);
    ck_assert_uint_eq(out.op, 0);
    ck_assert_ptr_eq(out.token, &token);
    ck_assert(!weir_reactor_next(reactor, &out));
    ck_assert_int_eq(pending->state, WEIR__OP_PENDING);
}
END_TEST

/* ---- log lines ---- */

START_TEST(the_newest_lines_are_kept) {
    for (int i = 0; i < WEIR__LOG_LINES + 44; i++) weir__logf(&reactor->log, WEIR_LOG_INFO, "line %d", i);
    weir__logf(&reactor->log, WEIR_LOG_DEBUG, "below the level");
    weir_log_record record;
    char expected[32];
    for (int i = 44; i < WEIR__LOG_LINES + 44; i++) {
        ck_assert(weir_reactor_next_log(reactor, &record));
        snprintf(expected, sizeof expected, "line %d", i);
        ck_assert_str_eq(record.line, expected);
        ck_assert_int_eq(record.level, WEIR_LOG_INFO);
    }
    ck_assert(!weir_reactor_next_log(reactor, &record));
    weir_reactor_log_level(reactor, WEIR_LOG_ERROR);
    weir__logf(&reactor->log, WEIR_LOG_WARNING, "below the new level");
    ck_assert(!weir_reactor_next_log(reactor, &record));
    weir_reactor_log_level(reactor, WEIR_LOG_DEBUG);
    weir__logf(&reactor->log, WEIR_LOG_DEBUG, "%0600d", 7);
    ck_assert(weir_reactor_next_log(reactor, &record));
    ck_assert_uint_eq(strlen(record.line), WEIR_LOG_LINE_MAX - 1);
}
END_TEST

/* ---- deferred work and graves ---- */

static int order[8], order_count;
static bool was_locked(void) {
    int rc = pthread_mutex_trylock(&reactor->lock);
    if (rc == 0) pthread_mutex_unlock(&reactor->lock);
    return rc == EBUSY;
}
static weir__grave grave;
static void bury(weir__grave *g) {
    ck_assert_ptr_eq(g, &grave);
    ck_assert(!was_locked());
    order[order_count++] = 2;
}
static void work(weir__deferred *d) {
    (void)d;
    ck_assert(was_locked());
    bool first = order_count == 0;
    order[order_count++] = first ? 1 : 4;
    if (first) weir__bury(reactor, &grave);
}
static weir__deferred deferred = {.run = work};
static void buried(weir__grave *g) {
    (void)g;
    ck_assert(was_locked());
    order[order_count++] = 3;
    weir__defer(reactor, &deferred);
}

START_TEST(burying) {
    grave = (weir__grave){.bury = bury, .buried = buried};
    weir__list_init(&grave.link);
    weir__list_init(&deferred.link);
    ck_assert(weir__enter(reactor));
    weir__defer(reactor, &deferred);
    weir__defer(reactor, &deferred); /* once is enough */
    weir__leave(reactor);
    ck_assert_int_eq(order_count, 4);
    for (int i = 0; i < 4; i++) ck_assert_int_eq(order[i], i + 1);
    ck_assert(!was_locked());
}
END_TEST

/* ---- forks ---- */

static int in_child(void) {
    weir_completion out;
    weir_log_record line;
    if (weir_reactor_dispatch(reactor) != WEIR_EFORKED) return 1;
    if (weir_reactor_next(reactor, &out)) return 2;
    if (weir_reactor_wait(reactor, 1, 0, &out) != WEIR_EFORKED) return 3;
    if (weir_reactor_cancel(reactor, 1) != WEIR_EFORKED) return 4;
    if (weir_reactor_next_log(reactor, &line)) return 5;
    weir_reactor_attach(reactor);
    weir_reactor_log_level(reactor, WEIR_LOG_ERROR);
    weir_reactor_free(reactor);
    weir_reactor *own = NULL; /* a reactor of the child's own works */
    if (weir_reactor_new(&own, NULL) != WEIR_OK || weir_reactor_dispatch(own) != WEIR_OK) return 6;
    weir_reactor_free(own);
    return 0;
}

START_TEST(a_forked_child) {
    int token, status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) _exit(in_child());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's check %d", WEXITSTATUS(status));
    complete_one(&token); /* the parent's is as it was */
    ck_assert(readable(reactor, 0));
    weir_reactor_dispatch(reactor);
    weir_completion out;
    ck_assert(weir_reactor_next(reactor, &out));
    ck_assert(!readable(reactor, 0));
}
END_TEST

/* The lock is held by another thread while the process forks: the child must not try to take it. */
static void *hold_lock(void *go) {
    weir__enter(reactor);
    pthread_barrier_wait(go);
    pthread_barrier_wait(go);
    weir__leave(reactor);
    return NULL;
}

START_TEST(a_fork_under_the_lock) {
    pthread_barrier_t go;
    pthread_t thread;
    int status;
    pthread_barrier_init(&go, NULL, 2);
    pthread_create(&thread, NULL, hold_lock, &go);
    pthread_barrier_wait(&go);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        weir_reactor_free(reactor);
        _exit(weir_reactor_dispatch(reactor) == WEIR_EFORKED ? 0 : 1);
    }
    pthread_barrier_wait(&go);
    pthread_join(thread, NULL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pthread_barrier_destroy(&go);
}
END_TEST

/* ---- bad arguments, failing allocations ---- */

START_TEST(null_is_answered) {
    weir_completion out;
    weir_log_record line;
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir_reactor_new(NULL, &error), WEIR_EINVAL);
    ck_assert_int_eq(error.code, WEIR_EINVAL);
    weir_error_clear(&error);
    weir_reactor_free(NULL);
    weir_reactor_attach(NULL);
    weir_reactor_log_level(NULL, WEIR_LOG_INFO);
    ck_assert_int_eq(weir_reactor_fd(NULL), -1);
    ck_assert_int_eq(weir_reactor_dispatch(NULL), WEIR_EINVAL);
    ck_assert(!weir_reactor_next(NULL, &out));
    ck_assert(!weir_reactor_next(reactor, NULL));
    ck_assert_int_eq(weir_reactor_wait(NULL, 1, 0, &out), WEIR_EINVAL);
    ck_assert_int_eq(weir_reactor_wait(reactor, 1, 0, NULL), WEIR_EINVAL);
    ck_assert_int_eq(weir_reactor_cancel(NULL, 1), WEIR_EINVAL);
    ck_assert(!weir_reactor_next_log(NULL, &line));
    ck_assert(!weir_reactor_next_log(reactor, NULL));
}
END_TEST

START_TEST(new_without_memory) {
    long before = weir__alloc_live();
    int code = WEIR_ENOMEM;
    for (long k = 1; code; k++) {
        ck_assert_int_lt(k, 50);
        weir_reactor *other = reactor;
        weir_error error = WEIR_ERROR_INIT;
        weir__alloc_fail_at(k, _i);
        code = weir_reactor_new(&other, &error);
        weir__alloc_fail_at(0, false);
        ck_assert(code == WEIR_OK || (code == WEIR_ENOMEM && error.code == WEIR_ENOMEM && !other));
        weir_error_clear(&error);
        weir_reactor_free(other);
        ck_assert_int_eq(weir__alloc_live(), before);
    }
}
END_TEST

START_TEST(operations_without_memory) {
    int token;
    weir_session none = {0};
    ck_assert(weir__enter(reactor));
    for (long k = 1; k <= 2; k++) {
        weir__alloc_fail_at(k, false);
        ck_assert_ptr_null(weir__op_new(reactor, WEIR_DONE_CLOSE, &token, NULL, NULL, NULL));
        weir__alloc_fail_at(k, false);
        ck_assert_int_eq(weir__reactor_event(reactor, WEIR_EVENT_INIT, &token, none, NULL), WEIR_ENOMEM);
    }
    weir__alloc_fail_at(0, false);
    weir__op *op = op_new(reactor, &token); /* and the place that could not be had is had now */
    weir_error error = WEIR_ERROR_INIT;
    weir__fail(&error, WEIR_ECONNECT, "no route");
    weir__alloc_fail_at(1, true);
    weir__op_fail(op, &error);
    weir__alloc_fail_at(0, false);
    weir__leave(reactor);
    weir_error_clear(&error);
    weir_completion out;
    ck_assert(weir_reactor_next(reactor, &out));
    ck_assert_int_ne(out.code, WEIR_OK); /* an error without its text is still an error */
    ck_assert_ptr_nonnull(out.error);
    weir_completion_discard(&out);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {quiet_at_first,
                                  readable_until_dispatched,
                                  attached_calls_do_not_signal,
                                  a_wake_amid_collecting,
                                  watching,
                                  a_watch_moves_to_another_descriptor,
                                  hang_up_is_readable,
                                  a_watch_ended_meanwhile,
                                  more_than_a_batch,
                                  the_descriptor_wakes_in_time,
                                  ids_are_never_used_again,
                                  cancel_in_each_state,
                                  errors_travel,
                                  an_owner_is_forgotten,
                                  the_newest_lines_are_kept,
                                  burying,
                                  a_forked_child,
                                  a_fork_under_the_lock,
                                  null_is_answered,
                                  operations_without_memory};
    Suite *suite = suite_create("reactor");
    TCase *tc = tcase_create("reactor");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, new_without_memory, 0, 2);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
