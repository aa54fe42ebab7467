/* Versions: each driver knows its own library's. */
#include <weirpool/version.h>

#include "driver/version.h"

const char *weir_version(void) { return WEIRPOOL_VERSION; }

int weir_libpq_version(void) { return weir__postgres_version(); }

const char *weir_sqlite_version(void) { return weir__sqlite_version(); }

int weir_sqlite_adopt(const char *path) { return weir__sqlite_adopt(path); }
