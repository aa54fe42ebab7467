#include "config/sizing.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

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

weir__pod_source weir__pod_source_of(const weir_options *options) {
    const char *source = options->pod_source ? options->pod_source : "static";
    if (strcmp(source, "dns") == 0) return WEIR__PODS_DNS;
    return strcmp(source, "database") == 0 ? WEIR__PODS_DATABASE : WEIR__PODS_STATIC;
}

int weir__sizing_share(const weir_options *options) {
    if (options->connection_budget < 0 || options->pod_count < 1) return -1;
    return (options->connection_budget - options->connection_reserve) / options->pod_count;
}

int weir__sizing_first(const weir_options *options) {
    weir__pod_source source = weir__pod_source_of(options);
    if (source == WEIR__PODS_STATIC) return INT_MAX;
    int expected = source == WEIR__PODS_DNS ? weir__sizing_share(options) : 1;
    return expected > 1 ? expected : 1;
}

int weir__sizing_places(const weir_options *options, int pods) {
    int left = options->connection_budget - options->connection_reserve - pods;
    int places = options->pod_surge >= 0 ? options->pod_surge : (pods + 3) / 4;
    if (places < options->pod_count - pods) places = options->pod_count - pods;
    if (places > left) places = left;
    return places > 0 ? places : 0;
}

int weir__sizing_share_of(const weir_options *options, int pods) {
    int most = options->connection_budget - options->connection_reserve;
    int share = (most - weir__sizing_places(options, pods)) / pods;
    return share > 1 ? share : 1;
}

/* What a count of pods that changes needs. */
static int check_counted(weir_options *options, weir_error *error) {
    weir__pod_source source = weir__pod_source_of(options);
    if (source != WEIR__PODS_DNS && options->pod_service)
        return weir__fail(
            error, WEIR_EOPTION,
            "pod_service=%s is looked up with pod_source=dns alone: give that, too, or leave it "
            "out",
            options->pod_service);
    if (source != WEIR__PODS_DATABASE && options->fleet)
        return weir__fail(error, WEIR_EOPTION,
                          "fleet=%s is a name for pod_source=database alone: give that, too, or leave it out",
                          options->fleet);
    if (source == WEIR__PODS_STATIC) return WEIR_OK;
    if (source == WEIR__PODS_DNS && !options->pod_service)
        return weir__fail(error, WEIR_EOPTION,
                          "pod_source=dns looks up pod_service, which is not given: give it the name of a "
                          "headless service, such as web.shop.svc.cluster.local");
    if (options->connection_budget <= options->connection_reserve)
        return weir__fail(
            error, WEIR_EOPTION,
            "pod_source=%s divides connection_budget less connection_reserve=%d among the pods, "
            "and there is nothing to divide: give the number of connections that the database "
            "has for them",
            options->pod_source, options->connection_reserve);
    if (source == WEIR__PODS_DATABASE && options->pod_dead_after_ms < 3 * options->pod_refresh_ms)
        return weir__fail(
            error, WEIR_EOPTION,
            "pod_dead_after=%g is less than three times pod_refresh=%g: a pod that is late once "
            "would be taken for dead; raise the one or lower the other",
            (double)options->pod_dead_after_ms / 1000, (double)options->pod_refresh_ms / 1000);
    options->background_thread = true; /* a pod is to be heard of also while nobody calls its pool */
    return WEIR_OK;
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
    if (options->connection_budget < 0 || weir__pod_source_of(options) != WEIR__PODS_STATIC) return WEIR_OK;
    if (options->pod_count < 0)
        return weir__fail(error, WEIR_EOPTION,
                          "connection_budget=%d is shared by pod_count, which is not given: give it, or set "
                          "POD_COUNT in the environment",
                          options->connection_budget);
    int share = weir__sizing_share(options);
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
    int most, size = wanted(options), code = check_counted(options, error);
    if (code == WEIR_OK) code = bound(options, &most, error);
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
