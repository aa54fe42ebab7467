#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "breaker/breaker.h"

static int64_t ns(int64_t ms) { return ms * WEIR__MS; }
static int64_t ppm(double ratio) { return ratio < 0 ? -1 : (int64_t)(ratio * 1e6 + 0.5); }
static int64_t least_of(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most_of(int64_t a, int64_t b) { return a > b ? a : b; }

static weir__breaker_policy policy_of(const weir_breaker_options *options, bool by_time) {
    return (weir__breaker_policy){
        .failure_threshold = options->failure_threshold < 0 ? WEIR__NEVER : options->failure_threshold,
        .failure_ppm = ppm(options->failure_rate),
        .slow_ppm = ppm(options->slow_call_rate),
        .slow_ns = ns(options->slow_call_duration_ms),
        .minimum_calls =
            by_time ? options->minimum_calls : least_of(options->minimum_calls, options->window_calls),
        .recovery_ns = ns(options->recovery_timeout_ms),
        .recovery_max_ns = ns(most_of(options->recovery_timeout_ms, options->recovery_timeout_max_ms)),
        .jitter_ppm = ppm(options->recovery_jitter),
        .slow_start = options->slow_start,
        .half_open_ns = ns(options->half_open_timeout_ms),
        .call_events = options->call_events,
    };
}

static bool copy(char **to, const char *text) {
    if (!text) return true;
    *to = weir__strndup(text, strlen(text));
    return *to;
}

weir__breaker *weir__breaker_new(const weir_breaker_options *options, uint64_t seed, int64_t now_ns,
                                 weir_error *error) {
    weir_breaker_options defaults;
    if (!options) {
        weir_breaker_options_init(&defaults);
        options = &defaults;
    }
    if (weir__breaker_options_check(options, error) != WEIR_OK) return NULL;
    weir__breaker *breaker = weir__calloc(1, sizeof *breaker);
    if (!breaker) goto failed;
    bool by_time = strcmp(options->window, "time") == 0;
    breaker->policy = policy_of(options, by_time);
    breaker->rng.state = seed;
    breaker->generation = 1;
    breaker->since_ns = now_ns;
    breaker->failed_ns = -1;
    if (!weir__window_init(&breaker->window, by_time ? 0 : options->window_calls,
                           ns(options->window_time_ms)) ||
        !copy(&breaker->name, options->name) || !copy(&breaker->record, options->record) ||
        !copy(&breaker->ignore, options->ignore))
        goto failed;
    weir__window_advance(&breaker->window, now_ns);
    return breaker;
failed:
    weir__breaker_free(breaker);
    weir__fail(error, WEIR_ENOMEM, "out of memory for a circuit breaker");
    return NULL;
}

void weir__breaker_free(weir__breaker *breaker) {
    if (!breaker) return;
    weir__window_free(&breaker->window);
    weir__free(breaker->name);
    weir__free(breaker->record);
    weir__free(breaker->ignore);
    weir__free(breaker);
}
