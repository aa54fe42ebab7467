#include <weirpool/retry.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/rng.h"

#define TIME_MAX_MS INT64_C(3153600000000) /* 100 years */

int64_t weir_now_ns(void) { return weir__now(&weir__monotonic); }

void weir_retry_init(weir_retry *retry) {
    if (!retry) return;
    *retry = (weir_retry){
        .size = sizeof *retry, .retries = 3, .timeout_ms = -1, .pause_min_ms = 10, .pause_max_ms = 1000};
}

static int check(const weir_retry *retry, weir_error *error) {
    if (retry->size != sizeof *retry)
        return weir__fail(error, WEIR_EINVAL, "retry was not made by weir_retry_init of this version");
    if (retry->retries < 0 || retry->retries > WEIR_RETRIES_MAX)
        return weir__fail(error, WEIR_EINVAL, "retries=%lld: give a number from 0 to %d",
                          (long long)retry->retries, WEIR_RETRIES_MAX);
    if (retry->timeout_ms != -1 && (retry->timeout_ms < 1 || retry->timeout_ms > TIME_MAX_MS))
        return weir__fail(error, WEIR_EINVAL, "timeout=%lld ms: give a positive time, or none",
                          (long long)retry->timeout_ms);
    if (retry->pause_min_ms < 1 || retry->pause_max_ms < retry->pause_min_ms ||
        retry->pause_max_ms > TIME_MAX_MS)
        return weir__fail(error, WEIR_EINVAL,
                          "pause_min_ms=%lld, pause_max_ms=%lld: give positive times, the first at most the "
                          "second",
                          (long long)retry->pause_min_ms, (long long)retry->pause_max_ms);
    return WEIR_OK;
}

int weir_retry_begin(weir_retry *retry, int64_t now_ns, weir_error *error) {
    if (!retry) return weir__fail(error, WEIR_EINVAL, "retry is NULL");
    int code = check(retry, error);
    if (code) return code;
    retry->random = (uint64_t)now_ns ^ (uint64_t)(uintptr_t)retry << 20;
    retry->deadline_ns = weir__deadline(now_ns, retry->timeout_ms);
    retry->attempts = 0;
    retry->why = NULL;
    return WEIR_OK;
}

int64_t weir_retry_left(const weir_retry *retry, int64_t now_ns) {
    if (!retry || retry->deadline_ns == WEIR__NEVER) return -1;
    int64_t left = (retry->deadline_ns - now_ns) / WEIR__MS;
    return left < 1 ? 1 : left;
}

int64_t weir_retry_cut(const weir_retry *retry, int64_t timeout_ms, int64_t now_ns) {
    int64_t left = weir_retry_left(retry, now_ns);
    return left > 0 && (timeout_ms < 0 || timeout_ms > left) ? left : timeout_ms;
}

static const char not_repeated[] = "this error is not one to be repeated";

/* By the code, since "retryable" alone also says so of what was too slow, or too much, the first time. */
static bool is_repeated(const weir_error *error) {
    if (!error->retryable) return false;
    if (error->code == WEIR_ELOST || error->code == WEIR_ECONNECT || error->code == WEIR_ECONNECTTIMEOUT ||
        WEIR_IS_CIRCUIT_OPEN(error->code))
        return true;
    return error->code == WEIR_ESERVER &&
           (strcmp(error->sqlstate, "40001") == 0 || strcmp(error->sqlstate, "40P01") == 0);
}

static int64_t next_pause(weir_retry *retry, int64_t retry_after_ms) {
    int64_t bound = retry->pause_min_ms;
    for (int n = 1; n < retry->attempts && bound < retry->pause_max_ms; n++) bound *= 2;
    if (bound > retry->pause_max_ms) bound = retry->pause_max_ms;
    weir__rng rng = {retry->random};
    int64_t pause = 1 + weir__random_below(&rng, bound);
    retry->random = rng.state;
    return retry_after_ms > 0 && retry_after_ms < TIME_MAX_MS ? pause + retry_after_ms : pause;
}

int64_t weir_retry_next(weir_retry *retry, const weir_error *error, int64_t now_ns) {
    if (!retry || !error) return -1;
    retry->attempts++;
    retry->why = not_repeated;
    if (!is_repeated(error)) return -1;
    retry->why = "no retries are left";
    if (retry->attempts > retry->retries) return -1;
    int64_t pause = next_pause(retry, error->retry_after_ms);
    retry->why = "the timeout leaves no time for another";
    if (weir__deadline(now_ns, pause) >= retry->deadline_ns) return -1;
    retry->why = NULL;
    return pause;
}

void weir_retry_note(const weir_retry *retry, char *out, size_t size) {
    if (!out || !size) return;
    *out = '\0';
    if (!retry || !retry->why) return;
    if (retry->attempts == 1 && retry->why == not_repeated) return;
    snprintf(out, size, "given up after %d attempt%s: %s", retry->attempts, retry->attempts == 1 ? "" : "s",
             retry->why);
}
