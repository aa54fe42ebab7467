/* The versions of the libraries behind the drivers, for weirpool/version.h. Any thread. */
#ifndef WEIR_DRIVER_VERSION_H
#define WEIR_DRIVER_VERSION_H

int weir__postgres_version(void);         /* the loaded libpq's, 150018 */
const char *weir__sqlite_version(void);   /* of the copy in use. Static */
int weir__sqlite_adopt(const char *path); /* see weir_sqlite_adopt */

#endif
