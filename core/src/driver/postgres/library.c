#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "driver/postgres/pg.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static weir__pglibrary library;

/* ISO C has no conversion from void * to a function; POSIX promises that the bits are the same. */
static void find(void *handle, const char *name, void *function) {
    void *symbol = dlsym(handle, name);
    memcpy(function, &symbol, sizeof symbol);
}

static void load(void) {
    /* By the handle of the very libpq that we call, and of what it depends on: the process may hold other
     * copies. */
    Dl_info info;
    PGPing (*ours)(const char *) = PQping;
    void *address, *handle = NULL;
    memcpy(&address, &ours, sizeof address);
    if (dladdr(address, &info) && info.dli_fname) handle = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    find(handle ? handle : RTLD_DEFAULT, "PQsendPipelineSync", &library.send_pipeline_sync);
    find(handle ? handle : RTLD_DEFAULT, "SSL_pending", &library.ssl_pending);
    if (handle) dlclose(handle);
}

const weir__pglibrary *weir__pg_library(void) {
    pthread_once(&once, load);
    return &library;
}
