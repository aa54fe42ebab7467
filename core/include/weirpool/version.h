/* Versions: of the library, and of the libraries it runs on. */
#ifndef WEIRPOOL_VERSION_H
#define WEIRPOOL_VERSION_H

#include <weirpool/export.h>

WEIR_BEGIN_DECLS

/* "0.1.0". Static. */
WEIR_API const char *weir_version(void);
/* The loaded libpq's, as 150018. */
WEIR_API int weir_libpq_version(void);
/* The SQLite's in use, "3.40.1". Static. */
WEIR_API const char *weir_sqlite_version(void);
/*
 * Makes the SQLite driver use the copy that the shared object of that path is linked to, which must be loaded
 * already: two copies of SQLite in one process lose each other's file locks. Call it before the first pool is
 * opened. 0: done, or it is the same copy; -1: not found, or too old (before 3.35): the own copy stays in
 * use.
 */
WEIR_API int weir_sqlite_adopt(const char *path);

WEIR_END_DECLS

#endif
