/* The timer wheel, against a model that knows nothing but each timer's time. */
#include <check.h>
#include <stdlib.h>

#include "base/rng.h"
#include "reactor/wheel.h"
#include "support_suite.h"

enum { TIMERS = 48, ROUNDS = 300, STEPS = 400 };
#define TICK (INT64_C(1) << 20)
#define DAY (INT64_C(86400000) * WEIR__MS)

/* An assertion that costs nothing while it holds; Check's own sends a message each. */
#define HOLDS(condition, ...)                                                                                \
    do {                                                                                                     \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                                         \
    } while (0)

typedef struct probe {
    weir__timer timer;
    int64_t at, started; /* the model: at == WEIR__NEVER: it does not run */
    int fired;
} probe;

static weir__wheel wheel;
static weir__rng rng;
static int64_t now;
static probe probes[TIMERS];
static long fired;
static bool chatty; /* what fires starts and stops others */

static int64_t below(int64_t bound) { return weir__random_below(&rng, bound); }

static int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }

/* From less than a tick to years, and now and then the past. */
static int64_t some_delay(void) {
    static const int64_t scales[] = {
        1000, TICK, 64 * TICK, 1000 * WEIR__MS, 64 * 64 * TICK, 60 * 60000 * WEIR__MS, DAY, 365 * DAY};
    int64_t delay = below(scales[below(sizeof scales / sizeof *scales)]);
    return below(8) ? delay : -below(now + 1);
}

static void start(probe *p, int64_t at) {
    weir__timer_start(&wheel, &p->timer, at);
    p->at = at;
    p->started = now;
    HOLDS(weir__timer_running(&p->timer) == (at != WEIR__NEVER), "not as in the model");
}

static void stop(probe *p) {
    weir__timer_stop(&wheel, &p->timer);
    p->at = WEIR__NEVER;
    HOLDS(!weir__timer_running(&p->timer), "not as in the model");
}

static void on_fire(weir__timer *timer) {
    probe *p = weir__container(timer, probe, timer);
    HOLDS(p->at != WEIR__NEVER, "a stopped timer has fired");
    HOLDS(now >= p->at, "a timer has fired %lld ns early", (long long)(p->at - now));
    HOLDS(!weir__timer_running(timer), "not as in the model");
    p->at = WEIR__NEVER;
    p->fired++;
    fired++;
    if (!chatty) return;
    if (!below(3)) start(p, now + some_delay());
    if (!below(3)) stop(&probes[below(TIMERS)]);
    if (!below(3)) start(&probes[below(TIMERS)], now + below(4 * TICK));
}

/* What has not fired has its time ahead, or not a tick behind. */
static void check_none_is_late(void) {
    for (int i = 0; i < TIMERS; i++) {
        const probe *p = &probes[i];
        HOLDS(weir__timer_running(&p->timer) == (p->at != WEIR__NEVER), "not as in the model");
        if (p->at == WEIR__NEVER) continue;
        HOLDS(now < later(p->at, p->started) + TICK, "a timer is %lld ns late", (long long)(now - p->at));
    }
}

static int64_t earliest(void) {
    int64_t first = WEIR__NEVER;
    for (int i = 0; i < TIMERS; i++)
        if (probes[i].at < first) first = probes[i].at;
    return first;
}

static void advance(int64_t to) {
    now = to;
    weir__wheel_advance(&wheel, now);
    check_none_is_late();
}

static void begin(uint64_t seed) {
    rng.state = seed;
    now = below(INT64_C(1) << 50);
    weir__wheel_init(&wheel, now);
    fired = 0;
    chatty = false;
    for (int i = 0; i < TIMERS; i++) {
        weir__timer_init(&probes[i].timer, on_fire);
        probes[i].at = WEIR__NEVER;
        probes[i].fired = 0;
    }
}

/* To the wheel's own next time, whose promise is that nothing is due before it. */
static void hop(void) {
    int64_t next = weir__wheel_next(&wheel);
    if (next == WEIR__NEVER) {
        ck_assert_int_eq(earliest(), WEIR__NEVER);
        return;
    }
    if (next - 1 > now) {
        long before = fired;
        advance(next - 1);
        HOLDS(fired == before, "a timer has fired before the time that next gave");
    }
    advance(later(now, next));
}

static void one_step(void) {
    probe *p = &probes[below(TIMERS)];
    switch (below(6)) {
    case 0:
    case 1:
        start(p, now + some_delay());
        break;
    case 2:
        stop(p);
        break;
    case 3:
        hop();
        break;
    case 4:
        advance(now + below(3 * TICK));
        break;
    default:
        advance(later(now, now + some_delay()));
    }
}

START_TEST(random_walk) {
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        begin(seed * 7919 + (uint64_t)_i);
        chatty = _i;
        for (int step = 0; step < STEPS; step++) one_step();
        ck_assert_int_gt(fired, 10);
        chatty = false;
        for (int hops = 0; earliest() != WEIR__NEVER; hops++) {
            HOLDS(hops < TIMERS * WEIR__WHEEL_LEVELS, "the wheel does not get on");
            hop();
        }
        ck_assert_int_eq(weir__wheel_next(&wheel), WEIR__NEVER);
    }
}
END_TEST

START_TEST(exact_bounds) {
    begin(1);
    now = 5 * TICK + 17;
    weir__wheel_init(&wheel, now);
    start(&probes[0], now + 1);
    advance(6 * TICK - 1);
    ck_assert_int_eq(probes[0].fired, 0);
    advance(6 * TICK);
    ck_assert_int_eq(probes[0].fired, 1);
    start(&probes[0], now); /* the time that is: not in this very tick, but in the next */
    advance(now);
    ck_assert_int_eq(probes[0].fired, 1);
    ck_assert_int_eq(weir__wheel_next(&wheel), 7 * TICK);
    advance(7 * TICK);
    ck_assert_int_eq(probes[0].fired, 2);
    start(&probes[0], 0); /* long ago */
    advance(8 * TICK);
    ck_assert_int_eq(probes[0].fired, 3);
}
END_TEST

START_TEST(never_and_the_far_end) {
    begin(2);
    start(&probes[0], WEIR__NEVER);
    ck_assert_int_eq(weir__wheel_next(&wheel), WEIR__NEVER);
    const int64_t century = 100 * 365 * DAY;
    start(&probes[1], now + century);
    ck_assert_int_le(weir__wheel_next(&wheel), now + century);
    advance(now + century - 1);
    ck_assert_int_eq(probes[1].fired, 0);
    advance(now + 1 + TICK);
    ck_assert_int_eq(probes[1].fired, 1);
    stop(&probes[1]);                                             /* harmless */
    weir__timer_start(&wheel, &probes[1].timer, WEIR__NEVER - 1); /* beyond the wheel's reach */
    weir__timer_stop(&wheel, &probes[1].timer);
    ck_assert_int_eq(weir__wheel_next(&wheel), WEIR__NEVER);
}
END_TEST

START_TEST(restart_moves_it) {
    begin(3);
    start(&probes[0], now + 10 * TICK);
    start(&probes[0], now + 1000 * TICK);
    advance(now + 900 * TICK);
    ck_assert_int_eq(probes[0].fired, 0);
    start(&probes[0], now + TICK);
    advance(now + 2 * TICK);
    ck_assert_int_eq(probes[0].fired, 1);
    start(&probes[0], now + 1000 * TICK);
    start(&probes[0], WEIR__NEVER);
    ck_assert_int_eq(weir__wheel_next(&wheel), WEIR__NEVER);
}
END_TEST

static weir__timer *victim;
static void stop_victim(weir__timer *timer) {
    probe *p = weir__container(timer, probe, timer);
    p->at = WEIR__NEVER;
    p->fired++;
    stop(weir__container(victim, probe, timer));
}

/* The first to fire stops the other, which is due in the same slot and has been taken out of it already. */
START_TEST(stop_of_one_that_is_due) {
    begin(4);
    weir__timer_init(&probes[0].timer, stop_victim);
    start(&probes[0], now + 70 * TICK);
    start(&probes[1], now + 70 * TICK);
    victim = &probes[1].timer;
    advance(now + 100 * TICK);
    ck_assert_int_eq(probes[0].fired, 1);
    ck_assert_int_eq(probes[1].fired, 0);
    start(&probes[1], now + TICK);
    advance(now + 3 * TICK);
    ck_assert_int_eq(probes[1].fired, 1);
}
END_TEST

static void again(weir__timer *timer) {
    probe *p = weir__container(timer, probe, timer);
    p->fired++;
    start(p, now);
}

/* A timer that starts itself for a time that is over fires once a tick, and lets the wheel come to an end. */
START_TEST(restart_in_the_past) {
    begin(5);
    weir__timer_init(&probes[0].timer, again);
    start(&probes[0], now);
    for (int i = 1; i <= 100; i++) {
        now += TICK;
        weir__wheel_advance(&wheel, now);
        ck_assert_int_eq(probes[0].fired, i);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("wheel");
    TCase *tc = tcase_create("wheel");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, random_walk, 0, 2);
    tcase_add_test(tc, exact_bounds);
    tcase_add_test(tc, never_and_the_far_end);
    tcase_add_test(tc, restart_moves_it);
    tcase_add_test(tc, stop_of_one_that_is_due);
    tcase_add_test(tc, restart_in_the_past);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
