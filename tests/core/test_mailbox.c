/* The mailbox, alone and under threads. */
#include <check.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/mailbox.h"
#include "support_suite.h"

enum { THREADS = 8, LETTERS = 2000 };

typedef struct note {
    weir__letter letter; /* first: a letter is cast to its note */
    int thread, number;
} note;

static atomic_int wakes, late_wakes, delivered, dropped;
static atomic_bool closed; /* weir__mailbox_close has returned */
static int last[THREADS];  /* the number that came last from each thread; the owner's */
static bool in_order = true;
static sem_t woken;

static void wake(void *arg) {
    ck_assert_ptr_eq(arg, &woken);
    atomic_fetch_add(&wakes, 1);
    if (atomic_load(&closed)) atomic_fetch_add(&late_wakes, 1);
    sem_post(&woken);
}

static void deliver(weir__letter *letter) {
    note *n = (note *)letter;
    in_order = in_order && n->number == last[n->thread] + 1;
    last[n->thread] = n->number;
    atomic_fetch_add(&delivered, 1);
    weir__free(n);
}

static void drop(weir__letter *letter) {
    atomic_fetch_add(&dropped, 1);
    weir__free(letter);
}

static void post(weir__mailbox *box, int thread, int number) {
    note *n = weir__malloc(sizeof *n);
    ck_assert_ptr_nonnull(n);
    *n = (note){{NULL, deliver, drop}, thread, number};
    weir__mailbox_post(box, &n->letter);
}

static weir__mailbox *new_box(void) {
    ck_assert_int_eq(sem_init(&woken, 0, 0), 0);
    weir__mailbox *box = weir__mailbox_new(wake, &woken);
    ck_assert_ptr_nonnull(box);
    return box;
}

static void wait_for_wake(void) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 20;
    ck_assert_msg(sem_timedwait(&woken, &deadline) == 0, "no wake-up came");
}

START_TEST(delivers_in_order_and_wakes_once) {
    long before = weir__alloc_live();
    weir__mailbox *box = new_box();
    ck_assert_int_eq(weir__mailbox_empty(box), 0);
    for (int i = 1; i <= 3; i++) post(box, 0, i);
    ck_assert_int_eq(atomic_load(&wakes), 1);
    ck_assert_int_eq(weir__mailbox_empty(box), 3);
    ck_assert_int_eq(last[0], 3);
    post(box, 0, 4);
    ck_assert_int_eq(atomic_load(&wakes), 2);
    ck_assert_int_eq(weir__mailbox_empty(box), 1);
    ck_assert(in_order);
    weir__mailbox_unref(box);
    weir__mailbox_unref(NULL);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

START_TEST(drops_when_closed) {
    long before = weir__alloc_live();
    weir__mailbox *box = new_box();
    ck_assert_ptr_eq(weir__mailbox_ref(box), box);
    post(box, 0, 1);
    weir__mailbox_close(box);
    ck_assert_int_eq(atomic_load(&dropped), 1);
    weir__mailbox_close(box);
    weir__mailbox_unref(box);
    post(box, 0, 2);
    ck_assert_int_eq(atomic_load(&dropped), 2);
    ck_assert_int_eq(atomic_load(&wakes), 1);
    ck_assert_int_eq(weir__mailbox_empty(box), 0);
    ck_assert_int_eq(atomic_load(&delivered), 0);
    weir__mailbox_unref(box);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

START_TEST(last_reference_drops_what_is_left) {
    long before = weir__alloc_live();
    weir__mailbox *box = new_box();
    post(box, 0, 1);
    post(box, 0, 2);
    weir__mailbox_unref(box);
    ck_assert_int_eq(atomic_load(&dropped), 2);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

START_TEST(needs_memory) {
    weir__alloc_fail_at(1, false);
    ck_assert_ptr_null(weir__mailbox_new(wake, &woken));
}
END_TEST

static weir__mailbox *inner_box;

static void deliver_and_unref(weir__letter *letter) {
    weir__free(letter);
    atomic_fetch_add(&delivered, 1);
    post(inner_box, 0, 99); /* dropped by the unref: it came too late for this round */
    weir__mailbox_unref(inner_box);
}

START_TEST(may_be_freed_while_it_delivers) {
    long before = weir__alloc_live();
    inner_box = new_box();
    note *n = weir__malloc(sizeof *n);
    *n = (note){{NULL, deliver_and_unref, drop}, 0, 0};
    weir__mailbox_post(inner_box, &n->letter);
    post(inner_box, 0, 1);
    ck_assert_int_eq(weir__mailbox_empty(inner_box), 2);
    ck_assert_int_eq(atomic_load(&delivered), 2);
    ck_assert_int_eq(atomic_load(&dropped), 1);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

typedef struct poster {
    pthread_t thread;
    weir__mailbox *box;
    int number;
} poster;

static void *post_many(void *arg) {
    poster *p = arg;
    for (int i = 1; i <= LETTERS; i++) post(p->box, p->number, i);
    weir__mailbox_unref(p->box);
    return NULL;
}

static void start(poster posters[THREADS], weir__mailbox *box) {
    for (int i = 0; i < THREADS; i++) {
        posters[i].box = weir__mailbox_ref(box);
        posters[i].number = i;
        ck_assert_int_eq(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
    }
}

START_TEST(takes_letters_of_many_threads) {
    long before = weir__alloc_live();
    weir__mailbox *box = new_box();
    poster posters[THREADS];
    start(posters, box);
    /* One wake-up for each time the box has become non-empty is all that the owner has to go by. */
    for (int taken = 0; taken < THREADS * LETTERS;) {
        wait_for_wake();
        taken += weir__mailbox_empty(box);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(posters[i].thread, NULL);
        ck_assert_int_eq(last[i], LETTERS);
    }
    ck_assert(in_order);
    ck_assert_int_eq(atomic_load(&dropped), 0);
    weir__mailbox_unref(box);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

/* Closed at another moment in each round; no letter is lost or seen twice, and no wake comes late. */
START_TEST(closes_while_threads_post) {
    long before = weir__alloc_live();
    weir__mailbox *box = new_box();
    poster posters[THREADS];
    start(posters, box);
    for (int taken = 0; taken < _i * 300;) {
        wait_for_wake();
        taken += weir__mailbox_empty(box);
    }
    weir__mailbox_close(box);
    atomic_store(&closed, true);
    weir__mailbox_unref(box);
    for (int i = 0; i < THREADS; i++) pthread_join(posters[i].thread, NULL);
    ck_assert_int_eq(atomic_load(&delivered) + atomic_load(&dropped), THREADS * LETTERS);
    ck_assert_int_eq(atomic_load(&late_wakes), 0);
    ck_assert(in_order);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

static sem_t inside, go_on;
static atomic_bool wake_is_over;

static void slow_wake(void *arg) {
    (void)arg;
    sem_post(&inside);
    while (sem_wait(&go_on) != 0) {
    }
    atomic_store(&wake_is_over, true);
}

static void *post_one(void *arg) {
    post(arg, 0, 1);
    return NULL;
}

static void *let_go(void *arg) {
    weir__mailbox *box = arg;
    for (bool is_closed = false; !is_closed;) { /* so that the close is surely waiting, or about to */
        pthread_mutex_lock(&box->lock);
        is_closed = box->closed;
        pthread_mutex_unlock(&box->lock);
    }
    sem_post(&go_on);
    return NULL;
}

START_TEST(close_waits_for_the_waker) {
    sem_init(&inside, 0, 0);
    sem_init(&go_on, 0, 0);
    weir__mailbox *box = weir__mailbox_new(slow_wake, NULL);
    pthread_t writer, releaser;
    ck_assert_int_eq(pthread_create(&writer, NULL, post_one, box), 0);
    while (sem_wait(&inside) != 0) {
    }
    ck_assert_int_eq(pthread_create(&releaser, NULL, let_go, box), 0);
    weir__mailbox_close(box);
    ck_assert(atomic_load(&wake_is_over));
    ck_assert_int_eq(atomic_load(&dropped), 1);
    pthread_join(writer, NULL);
    pthread_join(releaser, NULL);
    weir__mailbox_unref(box);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("mailbox");
    TCase *tests = tcase_create("mailbox");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, delivers_in_order_and_wakes_once);
    tcase_add_test(tests, drops_when_closed);
    tcase_add_test(tests, last_reference_drops_what_is_left);
    tcase_add_test(tests, needs_memory);
    tcase_add_test(tests, may_be_freed_while_it_delivers);
    tcase_add_test(tests, takes_letters_of_many_threads);
    tcase_add_loop_test(tests, closes_while_threads_post, 0, 20);
    tcase_add_test(tests, close_waits_for_the_waker);
    return run_suite(suite);
}
