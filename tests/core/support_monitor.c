#include "support_monitor.h"

#include <check.h>

#include "support_pool.h"

weir__monitor *rig_watched(const weir_options *options) {
    weir__monitor *monitor;
    rig_ready(options);
    ck_assert_int_eq(weir__monitor_new(options, &monitor, NULL), WEIR_OK);
    ck_assert(weir__enter(rig.reactor));
    if (monitor) weir__monitor_attach(monitor, rig.pool);
    weir__leave(rig.reactor);
    return monitor;
}
