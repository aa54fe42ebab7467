/* How many connections a pool may have of a database that several processes share. */
#ifndef WEIR_CONFIG_SIZING_H
#define WEIR_CONFIG_SIZING_H

#include <weirpool/options.h>

/* Who counts the pods: the option pod_source. */
typedef enum weir__pod_source { WEIR__PODS_STATIC, WEIR__PODS_DNS, WEIR__PODS_DATABASE } weir__pod_source;
weir__pod_source weir__pod_source_of(const weir_options *options);

/* max_size becomes what pod_count, connections_per_pod and connection_budget make of it. WEIR_EOPTION: they
 * do not go together, or leave less than min_size. Ranges have been checked. */
int weir__sizing_settle(weir_options *options, weir_error *error);
/* The pool's part of the budget, while nobody counts the pods; -1: there is none. */
int weir__sizing_share(const weir_options *options);
/* The most that a pool begins with: INT_MAX, no bound but the options', unless the pods are counted. */
int weir__sizing_first(const weir_options *options);
/* Connections of the budget that so many pods leave to those that join, which have one each before they have
 * a share: pod_surge, or those that are missing to pod_count where these are more. */
int weir__sizing_places(const weir_options *options, int pods);
/* What such a number of pods leaves to each. One at the least. */
int weir__sizing_share_of(const weir_options *options, int pods);
/* WEIR_EOPTION when the bound is above the pool's share. */
int weir__sizing_check(const weir_options *options, int max_size, weir_error *error);

#endif
