#include "config/sizing.h"

#include <limits.h>
#include <stdio.h>

#include "base/error.h"
#include "config/option.h"

static bool chosen(const weir_options *options, const char *name) {
    return weir__option_chosen(options, weir__option_find(name));
}

enum { SHARE_SIZE = 128 };

static const char *show_share(char out[SHARE_SIZE], const weir_options *options) {
    char reserve[SHARE_SIZE / 2] = "";
    if (options->connection_reserve)
        snprintf(reserve, sizeof reserve, " less connection_reserve=%d", options->connection_reserve);
    snprintf(out, SHARE_SIZE, "connection_budget=%d%s over pod_count=%d", options->connection_budget, reserve,
             options->pod_count);
    return out;
}

/* *most: what the budget leaves for max_size. */
static int bound(const weir_options *options, int *most, weir_error *error) {
    char shown[SHARE_SIZE];
    *most = INT_MAX;
    if (options->connection_budget < 0 && options->connection_reserve)
        return weir__fail(error, WEIR_EOPTION,
                          "connection_reserve=%d is a part of connection_budget, which is not given: give it "
                          "the number of connections that the database allows",
                          options->connection_reserve);
    if (options->connection_budget < 0) return WEIR_OK;
    if (options->pod_count < 0)
        return weir__fail(error, WEIR_EOPTION,
                          "connection_budget=%d is shared by pod_count, which is not given: give it, or set "
                          "POD_COUNT in the environment",
                          options->connection_budget);
    int share = (options->connection_budget - options->connection_reserve) / options->pod_count;
    show_share(shown, options);
    if (share < 1)
        return weir__fail(error, WEIR_EOPTION,
                          "%s leaves no connection to a pool: raise the budget, or run fewer pods", shown);
    *most = share - options->max_overflow;
    if (*most >= 1) return WEIR_OK;
    return weir__fail(
        error, WEIR_EOPTION,
        "max_overflow=%d leaves nothing of the %d connections that are a pool's share, %s: lower "
        "max_overflow or raise the budget",
        options->max_overflow, share, shown);
}

static int wanted(const weir_options *options) {
    bool size = chosen(options, "max_size"), per_pod = chosen(options, "connections_per_pod");
    if (!per_pod && (size || options->pod_count < 0)) return options->max_size;
    if (size && options->max_size < options->connections_per_pod) return options->max_size;
    return options->connections_per_pod;
}

int weir__sizing_settle(weir_options *options, weir_error *error) {
    char shown[SHARE_SIZE];
    int most, size = wanted(options), code = bound(options, &most, error);
    if (code != WEIR_OK) return code;
    bool cut = most < size;
    if (cut) size = most;
    if (size != options->max_size && options->min_size > size && chosen(options, "min_size")) {
        if (!cut) snprintf(shown, sizeof shown, "connections_per_pod=%d", options->connections_per_pod);
        return weir__fail(error, WEIR_EOPTION,
                          "min_size=%d is above the %d that max_size has by %s: lower min_size or raise that",
                          options->min_size, size, cut ? show_share(shown, options) : shown);
    }
    options->max_size = size;
    return WEIR_OK;
}

int weir__sizing_check(const weir_options *options, int max_size, weir_error *error) {
    char shown[SHARE_SIZE];
    int most, code = bound(options, &most, error);
    if (code != WEIR_OK || max_size <= most) return code;
    return weir__fail(
        error, WEIR_EOPTION,
        "max_size=%d is above the %d that are the pool's share, %s, without max_overflow=%d: lower it",
        max_size, most, show_share(shown, options), options->max_overflow);
}
