/* A rig's monitor. */
#ifndef WEIR_TESTS_SUPPORT_MONITOR_H
#define WEIR_TESTS_SUPPORT_MONITOR_H

#include "monitor/monitor.h"

/* rig_ready, with what weir_pool_open hangs on a pool; NULL: the options want none. */
weir__monitor *rig_watched(const weir_options *options);

#endif
