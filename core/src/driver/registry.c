/* The drivers that the library holds. A new one is a row here and a folder beside. */
#include <string.h>

#include "driver/driver.h"

static const weir__driver *const drivers[] = {&weir__postgres_driver, &weir__sqlite_driver};

const weir__driver *weir__driver_find(const char *scheme) {
    if (!scheme) return NULL;
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++)
        if (strcmp(drivers[i]->name, scheme) == 0) return drivers[i];
    return NULL;
}
