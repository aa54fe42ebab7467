/* The options of a breaker, the table of its numbers, and its names. */
#include <string.h>

#include "base/error.h"
#include "base/option.h"
#include "breaker/breaker.h"

static const weir__option rows[] = {
#define FIELD(name) offsetof(weir_breaker_options, name)
#define COUNT(name, ...) WEIR__ROW_COUNT(#name, FIELD(name), __VA_ARGS__)
#define TIME(name, ...) WEIR__ROW_TIME(#name, FIELD(name##_ms), __VA_ARGS__)
#define RATIO(name, ...) WEIR__ROW_RATIO(#name, FIELD(name), __VA_ARGS__)
#define FLAG(name, ...) WEIR__ROW_FLAG(#name, FIELD(name), __VA_ARGS__)
#define TEXT(name, ...) WEIR__ROW_TEXT(#name, FIELD(name), __VA_ARGS__)
    WEIR_BREAKER_OPTIONS(COUNT, TIME, RATIO, FLAG, TEXT)
#undef FIELD
#undef COUNT
#undef TIME
#undef RATIO
#undef FLAG
#undef TEXT
};

static int check_text(const weir__option *option, const char *text, weir_error *error) {
    if (strcmp(option->name, "name") == 0) return weir__option_plain_text(option, text, error);
    return weir__error_list_check(option->name, text, error);
}

static const weir__option_table table = {rows, sizeof rows / sizeof *rows, check_text};

void weir_breaker_options_init(weir_breaker_options *options) {
    if (!options) return;
    memset(options, 0, sizeof *options);
    options->size = sizeof *options;
    weir__option_defaults(&table, options);
}

static int check_version(const weir_breaker_options *options, weir_error *error) {
    if (options->size == sizeof *options) return WEIR_OK;
    return weir__fail(error, WEIR_EOPTION,
                      "options.size is %zu, but it is %zu in this version of the library: call "
                      "weir_breaker_options_init first, and use the header that belongs to the library",
                      options->size, sizeof *options);
}

int weir_breaker_options_set(weir_breaker_options *options, const char *name, const weir_value *value,
                             weir_error *error) {
    if (!options || !name || !value)
        return weir__fail(error, WEIR_EINVAL,
                          "weir_breaker_options_set takes options, a name and a value: one is NULL");
    int code = check_version(options, error);
    if (code != WEIR_OK) return code;
    const weir__option *option = weir__option_named(&table, name);
    if (!option) return weir__option_no_name(&table, name, error);
    return weir__option_set(&table, options, option, value, error);
}

int weir__breaker_options_check(const weir_breaker_options *options, weir_error *error) {
    int code = check_version(options, error);
    return code == WEIR_OK ? weir__option_check_all(&table, options, error) : code;
}

bool weir_breaker_option_table(size_t row, weir_option_info *out) {
    if (row >= table.count) return false;
    weir__option_describe(&rows[row], out);
    return true;
}

static const weir_metric_info metrics[] = {
#define FIELD(name) offsetof(weir_breaker_snapshot, name)
#define GAUGE(name, text) {#name, WEIR_METRIC_GAUGE, FIELD(name), text},
#define RATIO(name, text) {#name, WEIR_METRIC_RATIO, FIELD(name), text},
#define TIME(name, text) {#name, WEIR_METRIC_TIME, FIELD(name##_ms), text},
#define COUNTER(name, text) {#name, WEIR_METRIC_COUNTER, FIELD(name), text},
    WEIR_BREAKER_GAUGES(GAUGE) WEIR_BREAKER_RATIOS(RATIO) WEIR_BREAKER_TIMES(TIME)
        WEIR_BREAKER_COUNTERS(COUNTER)
#undef FIELD
#undef GAUGE
#undef RATIO
#undef TIME
#undef COUNTER
};

bool weir_breaker_metric_table(size_t row, weir_metric_info *out) {
    if (row >= sizeof metrics / sizeof *metrics) return false;
    *out = metrics[row];
    return true;
}

#define NAME(suffix, value, name, text) [value] = name,
static const char *const states[] = {WEIR_BREAKER_STATES(NAME)};
static const char *const events[] = {WEIR_BREAKER_EVENTS(NAME)};
static const char *const reasons[] = {WEIR_BREAKER_REASONS(NAME)};
#undef NAME
#define PICK(names, n) ((size_t)(n) < sizeof(names) / sizeof *(names) ? (names)[n] : NULL)

const char *weir_breaker_state_name(weir_breaker_state state) { return PICK(states, state); }
const char *weir_breaker_event_name(weir_breaker_event_kind kind) { return PICK(events, kind); }
const char *weir_breaker_reason_name(weir_breaker_reason reason) { return PICK(reasons, reason); }
