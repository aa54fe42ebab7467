/* Sixteen threads on one pool, each blocking in weir_reactor_wait, on the real clock, with and without the
   background thread beside them: for ThreadSanitizer, and for lost wake-ups, which would let them stand
   still. */
#include <check.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "config/config.h"
#include "driver/fake/fake.h"
#include "pool/pool.h"
#include "support_suite.h"

enum { THREADS = 16, TURNS = 200, CONNECTIONS = 3 };

static weir_reactor *reactor;
static weir_pool *pool;

typedef struct worker {
    pthread_t thread;
    weir__rng rng;
    int64_t nonce;
    long done, cancelled, timed_out;
    const char *fault;
} worker;

/* Waits for it, or gives it up after a while; WEIR_PENDING: given up. */
static int wait_for(worker *w, weir_op op, weir_completion *out) {
    int64_t patience = weir__random_below(&w->rng, 4) ? 20000 : weir__random_below(&w->rng, 3);
    int code = weir_reactor_wait(reactor, op, patience, out);
    if (code == WEIR_OK) return out->code;
    if (code != WEIR_ETIMEOUT || patience == 20000) w->fault = "wait does not come back as it should";
    if (weir_reactor_cancel(reactor, op) != WEIR_OK) w->fault = "a pending operation cannot be cancelled";
    w->cancelled++;
    return WEIR_PENDING;
}

static void run_one(worker *w, weir_session *session) {
    static const int64_t timeouts[] = {WEIR_TIMEOUT_DEFAULT, -1, 1, 5};
    bool slow = !weir__random_below(&w->rng, 8);
    weir_statement *s = slow ? weir_statement_new("sleep 3", 7, NULL) : weir_statement_new("echo", 4, NULL);
    int64_t timeout = timeouts[weir__random_below(&w->rng, 4)], nonce = ++w->nonce;
    weir_value value = {.type = WEIR_TYPE_INT, .as.integer = nonce};
    weir_completion out = {0};
    weir_op op = 0;
    weir_statement_add(s, &value);
    int code =
        session
            ? weir_session_execute(*session, s, &(weir_run){.size = sizeof(weir_run), .timeout_ms = timeout},
                                   NULL, &op, NULL)
            : weir_pool_execute(pool, s, &(weir_run){.size = sizeof(weir_run), .timeout_ms = timeout}, NULL,
                                &op, NULL);
    weir_statement_unref(s);
    if (code != WEIR_PENDING) {
        w->fault = "execute is not pending";
        return;
    }
    code = wait_for(w, op, &out);
    if (code == WEIR_OK) {
        w->done++;
        if (weir_result_value(out.result, 0, 0, &value) != WEIR_OK || value.as.integer != nonce)
            w->fault = "an answer that belongs to another question";
    } else if (code == WEIR_ECOMMANDTIMEOUT || code == WEIR_ECHECKOUTTIMEOUT) {
        w->timed_out++;
    } else if (code != WEIR_PENDING && !(session && code == WEIR_ESERVER)) { /* in a failed transaction */
        w->fault = "a statement fails";
    }
    weir_completion_discard(&out);
}

static void sleep_a_while(worker *w) {
    weir_completion out = {0};
    weir_op op;
    if (weir_reactor_sleep(reactor, 1 + weir__random_below(&w->rng, 3), NULL, &op, NULL) != WEIR_PENDING) {
        w->fault = "sleep is not pending";
        return;
    }
    int code = wait_for(w, op, &out);
    if (code != WEIR_OK && code != WEIR_PENDING) w->fault = "a sleep fails";
}

static void ask_for_health(worker *w) {
    weir_health health = {.struct_size = sizeof health};
    weir_health_event event;
    weir_completion out = {0};
    weir_op op;
    uint64_t after = 0;
    if (weir_pool_check_health(pool, -1, NULL, &op, NULL) != WEIR_PENDING) {
        w->fault = "a health check is not pending";
        return;
    }
    int code = wait_for(w, op, &out);
    if (code != WEIR_OK && code != WEIR_PENDING) w->fault = "a health check fails";
    if (weir_pool_health(pool, &health, NULL) != WEIR_OK) w->fault = "the health is not told";
    weir_pool_next_health_event(pool, &after, &event);
}

static void use_a_session(worker *w) {
    weir_checkout checkout;
    weir_session session;
    weir_completion out = {0};
    weir_op op = 0;
    weir_checkout_init(&checkout);
    checkout.transaction = weir__random_below(&w->rng, 2);
    int code = weir_pool_acquire(pool, &checkout, NULL, &session, &op, NULL);
    if (code == WEIR_PENDING) {
        code = wait_for(w, op, &out);
        session = out.session;
    }
    if (code == WEIR_PENDING) return;
    if (code != WEIR_OK) {
        w->fault = "acquire fails";
        return;
    }
    if (weir__random_below(&w->rng, 2) && weir_session_limit(session, 60000, NULL) != WEIR_OK)
        w->fault = "a session cannot be limited";
    for (int64_t n = weir__random_below(&w->rng, 3); n > 0; n--) run_one(w, &session);
    if (weir_session_release(session) != WEIR_OK) w->fault = "a session cannot be returned";
    if (weir_session_release(session) != WEIR_ESTALE) w->fault = "a session can be returned twice";
}

static void *work(void *arg) {
    worker *w = arg;
    for (int i = 0; i < TURNS && !w->fault; i++) {
        if (!weir__random_below(&w->rng, 8))
            sleep_a_while(w);
        else if (!weir__random_below(&w->rng, 16))
            ask_for_health(w);
        else if (weir__random_below(&w->rng, 2))
            use_a_session(w);
        else
            run_one(w, NULL);
    }
    return NULL;
}

static void open_pool(bool background_thread) {
    weir_options options;
    weir_op op;
    weir_completion out;
    weir_options_init(&options);
    options.url = "postgresql://user@host/db";
    options.min_size = options.max_size = CONNECTIONS;
    options.idle_timeout_ms = options.max_lifetime_ms = -1; /* the fake's list is for one thread */
    options.background_thread = background_thread;
    options.health_check_interval_ms = 10;
    options.validate_after_ms = 2;
    options.circuit_breaker = false; /* what takes longer than the workers wait is no outage */
    weir__fake_start(3);
    weir__fake.run_max_ns = weir__fake.reset_max_ns = weir__fake.cancel_max_ns = 2 * WEIR__MS;
    weir__fake.reset_permille = 300;
    ck_assert_int_eq(weir_reactor_new(&reactor, NULL), WEIR_OK);
    weir__config *config = weir__config_new(&options, NULL);
    int code = weir__pool_open(reactor, &weir__fake_driver, config, 1, NULL, &pool, &op, NULL);
    ck_assert_int_eq(code, WEIR_PENDING);
    ck_assert_int_eq(weir_reactor_wait(reactor, op, -1, &out), WEIR_OK);
    ck_assert_int_eq(out.code, WEIR_OK);
}

START_TEST(sixteen_threads) {
    static worker workers[THREADS];
    long live = weir__alloc_live(), done = 0, cancelled = 0, timed_out = 0;
    open_pool(_i);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.rng = {(uint64_t)i + 1}, .nonce = (int64_t)i << 32};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        struct timespec at;
        clock_gettime(CLOCK_REALTIME, &at);
        at.tv_sec += 100;
        ck_assert_msg(pthread_timedjoin_np(workers[i].thread, NULL, &at) == 0, "the threads stand still");
        ck_assert_msg(!workers[i].fault, "%s", workers[i].fault);
        done += workers[i].done;
        cancelled += workers[i].cancelled;
        timed_out += workers[i].timed_out;
    }
    ck_assert_int_gt(done, THREADS * TURNS / 4);
    ck_assert_int_gt(cancelled, 10);
    ck_assert_int_gt(timed_out, 10);
    ck_assert(weir__enter(reactor));
    ck_assert_ptr_null(weir__pool_check(pool));
    ck_assert_int_eq(weir__fake.violations, 0);
    weir__leave(reactor);
    weir_pool_free(pool);
    weir_reactor_free(reactor);
    ck_assert_int_eq(weir__alloc_live(), live);
}
END_TEST

/* A pool without connections, which asks for the background thread. */
static void open_another(weir_pool **out) {
    weir_options options;
    weir_op op;
    weir_options_init(&options);
    options.url = "postgresql://user@host/db";
    options.min_size = 0;
    options.background_thread = true;
    weir__config *config = weir__config_new(&options, NULL);
    ck_assert_int_eq(weir__pool_open(reactor, &weir__fake_driver, config, 1, NULL, out, &op, NULL), WEIR_OK);
}

static void open_empty(weir_pool **out) {
    weir__fake_start(3);
    ck_assert_int_eq(weir_reactor_new(&reactor, NULL), WEIR_OK);
    open_another(out);
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

static int threads(void) {
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(folder));) count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* Nobody calls: what is lost is replaced all the same. A test that fails does so by its time-out. */
START_TEST(kept_alone) {
    long live = weir__alloc_live();
    open_pool(true);
    for (int round = 0; round < 3; round++) {
        bool whole = false;
        ck_assert(weir__enter(reactor));
        for (size_t i = 0; i < pool->slot_count; i++)
            if (pool->slots[i]->state == WEIR__IDLE) ck_assert(weir__fake_kill(pool->slots[i]->conn));
        weir__leave(reactor);
        while (!whole) {
            nap();
            ck_assert(weir__enter(reactor));
            whole = pool->counts[WEIR__IDLE] == CONNECTIONS && weir__fake.lost == CONNECTIONS * (round + 1L);
            weir__leave(reactor);
        }
    }
    weir_pool_free(pool);
    weir_reactor_free(reactor);
    ck_assert_int_eq(weir__alloc_live(), live);
}
END_TEST

static void *nothing(void *arg) { return arg; }

START_TEST(the_thread_ends_with_its_pools) {
    weir_op op;
    weir_completion out;
    pthread_t first; /* a sanitizer has a thread of its own from the first one on */
    ck_assert_int_eq(pthread_create(&first, NULL, nothing, NULL), 0);
    ck_assert_int_eq(pthread_join(first, NULL), 0);
    int before = threads();
    open_pool(true);
    ck_assert_int_eq(threads(), before + 1);
    for (int round = 0; round < 3; round++) { /* a second pool of the reactor ends it and starts it again */
        weir_pool *second;
        open_another(&second);
        ck_assert_int_eq(threads(), before + 1);
        if (!round) { /* closed, and not yet freed */
            int code = weir_pool_close(pool, 0, NULL, &op, NULL);
            if (code == WEIR_PENDING) code = weir_reactor_wait(reactor, op, -1, &out);
            ck_assert_int_eq(code, WEIR_OK);
        }
        weir_pool_free(second);
        while (threads() > before) nap();
    }
    weir_pool_free(pool);
    weir_reactor_free(reactor);
}
END_TEST

/* The thread takes no wake-up away from a host that waits for the descriptor. */
START_TEST(an_event_loop_beside_it) {
    weir_op op;
    weir_completion out;
    weir__fake.run_max_ns = 0;
    open_pool(true);
    for (int i = 0; i < 50; i++) {
        weir_statement *s = weir_statement_new("echo", 4, NULL);
        weir_value value = {.type = WEIR_TYPE_INT, .as.integer = i};
        weir_statement_add(s, &value);
        int code = weir_pool_execute(pool, s, &(weir_run){.size = sizeof(weir_run), .timeout_ms = -1}, &op,
                                     &op, NULL);
        weir_statement_unref(s);
        ck_assert_int_eq(code, WEIR_PENDING);
        struct pollfd fd = {.fd = weir_reactor_fd(reactor), .events = POLLIN};
        do {
            ck_assert_int_eq(poll(&fd, 1, 20000), 1);
            if (i % 2)
                weir_reactor_dispatch(reactor);
            else
                nap(); /* the thread does it */
        } while (!weir_reactor_next(reactor, &out));
        ck_assert_int_eq(out.code, WEIR_OK);
        weir_completion_discard(&out);
    }
    weir_pool_free(pool);
    weir_reactor_free(reactor);
}
END_TEST

/* Its end is no wake-up of the poller's, which another thread may take away before it has seen it. */
START_TEST(told_to_end_while_another_thread_works) {
    for (int round = 0; round < 8; round++) {
        weir_op op;
        open_empty(&pool);
        bool sleeps = false;
        while (!sleeps) { /* nobody else has worked: it sleeps in the poller by now */
            nap();
            ck_assert(weir__enter(reactor));
            sleeps = weir__reactor_now(reactor) - reactor->dispatched_at > 150 * WEIR__MS;
            weir__leave(reactor);
        }
        ck_assert_int_eq(weir_pool_close(pool, 0, NULL, &op, NULL), WEIR_OK); /* there is nothing to close */
        ck_assert_int_eq(weir_reactor_dispatch(reactor), WEIR_OK);
        weir_pool_free(pool);
        weir_reactor_free(reactor); /* which waits for it */
    }
}
END_TEST

START_TEST(a_thread_that_cannot_start) {
    struct rlimit limit, none;
    weir_options options;
    weir_op op;
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir_reactor_new(&reactor, NULL), WEIR_OK);
    if (getuid() == 0)
        ck_assert_int_eq(setuid(65534), 0); /* root knows no such limit; the test is a process */
    prctl(PR_SET_DUMPABLE, 1);              /* LeakSanitizer wants to trace it at its end */
    ck_assert_int_eq(getrlimit(RLIMIT_NPROC, &limit), 0);
    none = (struct rlimit){0, limit.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &none), 0);
    weir_options_init(&options);
    options.url = "postgresql://user@host/db";
    options.background_thread = true;
    weir__config *config = weir__config_new(&options, NULL);
    int code = weir__pool_open(reactor, &weir__fake_driver, config, 1, NULL, &pool, &op, &error);
    ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &limit), 0);
    ck_assert_int_eq(code, WEIR_EINTERNAL);
    ck_assert(strstr(error.message, "cannot start the background thread: "));
    weir_error_clear(&error);
    weir_reactor_free(reactor);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pool_threads");
    TCase *tc = tcase_create("pool_threads");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, sixteen_threads, false, true + 1);
    tcase_add_test(tc, kept_alone);
    tcase_add_test(tc, the_thread_ends_with_its_pools);
    tcase_add_test(tc, an_event_loop_beside_it);
    tcase_add_test(tc, told_to_end_while_another_thread_works);
    tcase_add_test(tc, a_thread_that_cannot_start);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
