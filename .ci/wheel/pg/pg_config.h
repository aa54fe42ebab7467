/*
 * What PostgreSQL's configure finds on Linux, x86-64, glibc 2.17, with OpenSSL: the sources come without a configure,
 * and the pg_config.h that comes with them lacks, among others, HAVE_POLL (without which libpq waits by select(), which
 * a descriptor above 1023 breaks) and HAVE_INET_PTON. The PG_VERSION family comes from the command line.
 */
#ifndef WEIRPOOL_PG_CONFIG_H
#define WEIRPOOL_PG_CONFIG_H

#define ALIGNOF_SHORT 2
#define ALIGNOF_INT 4
#define ALIGNOF_LONG 8
#define ALIGNOF_DOUBLE 8
#define ALIGNOF_PG_INT128_TYPE 16
#define MAXIMUM_ALIGNOF 8
#define SIZEOF_LONG 8
#define SIZEOF_LONG_LONG 8
#define SIZEOF_SIZE_T 8
#define SIZEOF_VOID_P 8
#define PG_INT128_TYPE __int128
#define USE_FLOAT8_BYVAL 1

#define BLCKSZ 8192
#define XLOG_BLCKSZ 8192
#define MEMSET_LOOP_LIMIT 1024
#define DEF_PGPORT 5432
#define DEF_PGPORT_STR "5432"
#define PG_KRB_SRVNAM "postgres"
#define DLSUFFIX ".so"

#define HAVE_DECL_FDATASYNC 1
#define HAVE_DECL_F_FULLFSYNC 0
#define HAVE_DECL_MEMSET_S 0
#define HAVE_DECL_POSIX_FADVISE 1
#define HAVE_DECL_STRCHRNUL 1
#define HAVE_DECL_STRLCAT 0 /* glibc 2.38 */
#define HAVE_DECL_STRLCPY 0
#define HAVE_DECL_STRNLEN 1
#define HAVE_DECL_STRSEP 1
#define HAVE_DECL_TIMINGSAFE_BCMP 0
/* HAVE_EXPLICIT_BZERO: glibc 2.25 */
#define HAVE_INET_ATON 1
#define HAVE_INET_PTON 1
#define HAVE_MKDTEMP 1
#define HAVE_POLL 1
#define HAVE_POLL_H 1
#define HAVE_POSIX_FADVISE 1
#define HAVE_SOCKLEN_T 1
#define HAVE_STRERROR_R 1
#define HAVE_STRINGS_H 1
#define HAVE_STRSIGNAL 1
#define HAVE_SYNC_FILE_RANGE 1
#define HAVE_TERMIOS_H 1
#define HAVE_VISIBILITY_ATTRIBUTE 1

#define HAVE__BUILTIN_BSWAP16 1
#define HAVE__BUILTIN_BSWAP32 1
#define HAVE__BUILTIN_BSWAP64 1
#define HAVE__BUILTIN_CLZ 1
#define HAVE__BUILTIN_CONSTANT_P 1
#define HAVE__BUILTIN_CTZ 1
#define HAVE__BUILTIN_OP_OVERFLOW 1
#define HAVE__BUILTIN_POPCOUNT 1
#define HAVE__BUILTIN_TYPES_COMPATIBLE_P 1
#define HAVE__BUILTIN_UNREACHABLE 1
#define HAVE__STATIC_ASSERT 1
#define PG_PRINTF_ATTRIBUTE printf
#define PG_C_PRINTF_ATTRIBUTE printf
#define PG_CXX_PRINTF_ATTRIBUTE printf
#define pg_restrict __restrict

#define USE_OPENSSL 1
#define OPENSSL_API_COMPAT 0x10101000L
#define HAVE_SSL_CTX_SET_CERT_CB 1
#define HAVE_SSL_CTX_SET_KEYLOG_CALLBACK 1
#define HAVE_X509_GET_SIGNATURE_INFO 1

#endif
