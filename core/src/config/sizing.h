/* How many connections a pool may have of a database that several processes share. */
#ifndef WEIR_CONFIG_SIZING_H
#define WEIR_CONFIG_SIZING_H

#include <weirpool/options.h>

/* max_size becomes what pod_count, connections_per_pod and connection_budget make of it. WEIR_EOPTION: they
 * do not go together, or leave less than min_size. Ranges have been checked. */
int weir__sizing_settle(weir_options *options, weir_error *error);
/* WEIR_EOPTION when the bound is above the pool's share. */
int weir__sizing_check(const weir_options *options, int max_size, weir_error *error);

#endif
