/* Which errors have a transaction repeated, after which pause, and for how long: on a clock of our own. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include <weirpool/weirpool.h>

#include "base/clock.h"
#include "base/error.h"
#include "support_suite.h"

static weir_retry retry;
static int64_t now; /* ns */

static void set_up(void) {
    now = 5000 * WEIR__MS;
    weir_retry_init(&retry);
}

static void begin(void) {
    ck_assert_int_eq(weir_retry_begin(&retry, now, NULL), WEIR_OK);
    retry.random = 1;
}

static weir_error failure(int code, const char *sqlstate) {
    weir_error error = WEIR_ERROR_INIT;
    if (sqlstate)
        weir__fail_report(&error, &(weir__report){.sqlstate = sqlstate, .message = "as the server says"});
    else
        weir__fail(&error, code, "as the pool says");
    return error;
}

static int64_t next(int code, const char *sqlstate) {
    weir_error error = failure(code, sqlstate);
    int64_t pause = weir_retry_next(&retry, &error, now);
    weir_error_clear(&error);
    if (pause > 0) now += pause * WEIR__MS;
    return pause;
}

static const char *note(void) {
    static char text[100];
    weir_retry_note(&retry, text, sizeof text);
    return text;
}

START_TEST(what_is_repeated) {
    static const struct {
        int code;
        const char *sqlstate;
        bool repeated;
    } rows[] = {
        {0, "40001", true},  {0, "40P01", true},  {0, "40002", false}, {0, "40003", false},
        {0, "23505", false}, {0, "57014", false}, {0, "55P03", false}, {0, "53300", false},
        {0, "08006", false}, {0, "25006", false}, {0, "57P01", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin();
        ck_assert_msg((next(0, rows[i].sqlstate) > 0) == rows[i].repeated, "%s", rows[i].sqlstate);
    }
    for (int code = 1; weir_error_name(code); code++) {
        bool repeated = code == WEIR_ELOST || code == WEIR_ECONNECT || code == WEIR_ECONNECTTIMEOUT ||
                        code == WEIR_ECIRCUITOPEN || code == WEIR_ECONNECTCIRCUITOPEN;
        begin();
        ck_assert_msg((next(code, NULL) > 0) == repeated, "%s", weir_error_name(code));
    }
}
END_TEST

START_TEST(what_cannot_be_cured_is_not_repeated) {
    weir_error error = failure(WEIR_ECONNECT, NULL);
    error.retryable = false; /* a wrong password */
    begin();
    ck_assert_int_eq(weir_retry_next(&retry, &error, now), -1);
    weir_error_clear(&error);
    ck_assert_int_eq(weir_retry_next(&retry, NULL, now), -1);
    ck_assert_int_eq(weir_retry_next(NULL, &error, now), -1);
}
END_TEST

START_TEST(as_many_retries_as_are_given) {
    for (int retries = 0; retries < 5; retries++) {
        retry.retries = retries;
        begin();
        for (int i = 0; i < retries; i++) {
            ck_assert_int_gt(next(0, "40001"), 0);
            ck_assert_ptr_null(retry.why);
            ck_assert_str_eq(note(), "");
        }
        ck_assert_int_eq(next(0, "40001"), -1);
        ck_assert_int_eq(retry.attempts, retries + 1);
        char expected[80];
        snprintf(expected, sizeof expected, "given up after %d attempt%s: no retries are left", retries + 1,
                 retries ? "s" : "");
        ck_assert_str_eq(note(), expected);
    }
}
END_TEST

START_TEST(pauses_double_with_full_jitter) {
    retry.retries = WEIR_RETRIES_MAX;
    retry.pause_min_ms = 10;
    retry.pause_max_ms = 300;
    int64_t most[8] = {0}, least[8], first[8];
    for (int i = 0; i < 8; i++) least[i] = INT64_MAX;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        begin();
        retry.random = seed;
        for (int i = 0; i < 8; i++) {
            int64_t pause = next(0, "40P01");
            if (!seed) first[i] = pause;
            if (pause > most[i]) most[i] = pause;
            if (pause < least[i]) least[i] = pause;
        }
    }
    static const int64_t bounds[] = {10, 20, 40, 80, 160, 300, 300, 300};
    for (int i = 0; i < 8; i++) {
        ck_assert_int_le(most[i], bounds[i]);
        ck_assert_int_ge(most[i], bounds[i] - bounds[i] / 8);
        ck_assert_int_ge(least[i], 1);
        ck_assert_int_le(least[i], 1 + bounds[i] / 8);
    }
    begin();
    retry.random = 0; /* the same seed, the same pauses */
    for (int i = 0; i < 8; i++) ck_assert_int_eq(next(0, "40P01"), first[i]);
    for (int i = 8; i < WEIR_RETRIES_MAX; i++) ck_assert_int_le(next(0, "40P01"), 300);
    ck_assert_int_eq(next(0, "40P01"), -1);
}
END_TEST

START_TEST(two_runs_at_one_time_differ) {
    weir_retry a, b;
    weir_retry_init(&a);
    weir_retry_init(&b);
    ck_assert_int_eq(weir_retry_begin(&a, now, NULL), WEIR_OK);
    ck_assert_int_eq(weir_retry_begin(&b, now, NULL), WEIR_OK);
    ck_assert_uint_ne(a.random, b.random);
}
END_TEST

START_TEST(the_pool_says_when_it_tries_again) {
    weir_error error = failure(WEIR_ECONNECT, NULL);
    begin();
    for (int i = 0; i < 3; i++) {
        error.retry_after_ms = 500;
        int64_t pause = weir_retry_next(&retry, &error, now);
        ck_assert(pause > 500 && pause <= 500 + (10 << i));
    }
    weir_error_clear(&error);
}
END_TEST

START_TEST(the_timeout_is_over_everything) {
    retry.retries = WEIR_RETRIES_MAX;
    retry.timeout_ms = 1000;
    retry.pause_min_ms = retry.pause_max_ms = 300;
    begin();
    int64_t end = now + 1000 * WEIR__MS;
    ck_assert_int_eq(weir_retry_left(&retry, now), 1000);
    ck_assert_int_eq(weir_retry_left(&retry, now + 600 * WEIR__MS + 1), 399);
    ck_assert_int_eq(weir_retry_left(&retry, end), 1); /* 0 would be no time-out */
    ck_assert_int_eq(weir_retry_left(&retry, end + WEIR__MS), 1);
    ck_assert_int_eq(weir_retry_cut(&retry, 999, now), 999);
    ck_assert_int_eq(weir_retry_cut(&retry, 1001, now), 1000);
    ck_assert_int_eq(weir_retry_cut(&retry, -1, now), 1000);
    ck_assert_int_eq(weir_retry_cut(&retry, WEIR_TIMEOUT_DEFAULT, end), 1);
    while (next(WEIR_ELOST, NULL) > 0) ck_assert_int_lt(now, end);
    ck_assert_int_lt(now, end);
    ck_assert_str_eq(retry.why, "the timeout leaves no time for another");
    ck_assert_ptr_nonnull(strstr(note(), "attempts: the timeout leaves no time for another"));
    begin(); /* an attempt that used it up */
    now += 1000 * WEIR__MS;
    ck_assert_int_eq(next(0, "40001"), -1);
    ck_assert_str_eq(note(), "given up after 1 attempt: the timeout leaves no time for another");
}
END_TEST

START_TEST(no_timeout) {
    begin();
    ck_assert_int_eq(weir_retry_left(&retry, now), -1);
    ck_assert_int_eq(weir_retry_cut(&retry, WEIR_TIMEOUT_DEFAULT, now), WEIR_TIMEOUT_DEFAULT);
    ck_assert_int_eq(weir_retry_cut(NULL, 7, now), 7);
    ck_assert_int_eq(weir_retry_left(&retry, INT64_MAX - 1), -1);
    ck_assert_int_eq(weir_retry_left(NULL, now), -1);
    now = INT64_MAX / 2;
    ck_assert_int_gt(next(0, "40001"), 0);
}
END_TEST

START_TEST(notes) {
    begin();
    ck_assert_str_eq(note(), "");
    ck_assert_int_eq(next(0, "23505"), -1); /* needs no explanation */
    ck_assert_str_eq(note(), "");
    begin();
    ck_assert_int_gt(next(0, "40001"), 0);
    ck_assert_int_eq(next(WEIR_EOUTCOME, NULL), -1);
    ck_assert_str_eq(note(), "given up after 2 attempts: this error is not one to be repeated");
    char cut[6] = "xxxxx";
    weir_retry_note(&retry, cut, sizeof cut);
    ck_assert_str_eq(cut, "given");
    weir_retry_note(NULL, cut, sizeof cut);
    ck_assert_str_eq(cut, "");
    weir_retry_note(&retry, NULL, 0);
}
END_TEST

static void refused(const char *message) {
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir_retry_begin(&retry, now, &error), WEIR_EINVAL);
    ck_assert_msg(strstr(error.message, message), "%s", error.message);
    weir_error_clear(&error);
    weir_retry_init(&retry);
}

START_TEST(bad_input) {
    retry.retries = -1;
    refused("retries=-1: give a number from 0 to 1000");
    retry.retries = WEIR_RETRIES_MAX + 1;
    refused("retries=1001: give a number from 0 to 1000");
    retry.timeout_ms = 0;
    refused("timeout=0 ms: give a positive time, or none");
    retry.timeout_ms = INT64_MAX;
    refused("timeout=9223372036854775807 ms");
    retry.pause_min_ms = 0;
    refused("pause_min_ms=0");
    retry.pause_max_ms = 9;
    refused("pause_max_ms=9");
    retry.pause_max_ms = INT64_MAX;
    refused("pause_max_ms=");
    retry.size = 0;
    refused("weir_retry_init");
    ck_assert_int_eq(weir_retry_begin(NULL, now, NULL), WEIR_EINVAL);
    weir_retry_init(NULL);
}
END_TEST

START_TEST(the_clock) {
    int64_t before = weir_now_ns();
    ck_assert_int_gt(before, 0);
    ck_assert_int_ge(weir_now_ns(), before);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("retry");
    TCase *tests = tcase_create("retry");
    tcase_add_checked_fixture(tests, set_up, NULL);
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, what_is_repeated);
    tcase_add_test(tests, what_cannot_be_cured_is_not_repeated);
    tcase_add_test(tests, as_many_retries_as_are_given);
    tcase_add_test(tests, pauses_double_with_full_jitter);
    tcase_add_test(tests, two_runs_at_one_time_differ);
    tcase_add_test(tests, the_pool_says_when_it_tries_again);
    tcase_add_test(tests, the_timeout_is_over_everything);
    tcase_add_test(tests, no_timeout);
    tcase_add_test(tests, notes);
    tcase_add_test(tests, bad_input);
    tcase_add_test(tests, the_clock);
    return run_suite(suite);
}
