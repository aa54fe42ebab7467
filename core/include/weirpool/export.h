/* What every public header needs: visibility and C linkage. */
#ifndef WEIRPOOL_EXPORT_H
#define WEIRPOOL_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(SWIG)
#define WEIR_API
#define WEIR_PRINTF(text, first)
#else
#define WEIR_API __attribute__((visibility("default")))
#define WEIR_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#endif

#ifdef __cplusplus
#define WEIR_BEGIN_DECLS extern "C" {
#define WEIR_END_DECLS }
#else
#define WEIR_BEGIN_DECLS
#define WEIR_END_DECLS
#endif

#endif
