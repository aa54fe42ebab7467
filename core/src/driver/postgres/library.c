#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "driver/postgres/pg.h"

/*
 * What only newer libraries have is looked up by the handle of the very libpq that we call, and of what it
 * depends on: the process may hold other copies. Where libpq is a part of this module (a wheel's), it has no
 * symbols to be looked up: there the linker has resolved these references.
 */
#define WEAK __attribute__((weak))
extern int PQsendPipelineSync(PGconn *) WEAK;
extern weir__pgcancelconn *PQcancelCreate(PGconn *) WEAK;
extern int PQcancelStart(weir__pgcancelconn *) WEAK;
extern PostgresPollingStatusType PQcancelPoll(weir__pgcancelconn *) WEAK;
extern ConnStatusType PQcancelStatus(const weir__pgcancelconn *) WEAK;
extern int PQcancelSocket(const weir__pgcancelconn *) WEAK;
extern char *PQcancelErrorMessage(const weir__pgcancelconn *) WEAK;
extern void PQcancelFinish(weir__pgcancelconn *) WEAK;
extern int SSL_pending(const void *) WEAK;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static weir__pglibrary library;

/* ISO C has no conversion between a function and a void *; POSIX promises that the bits are the same. */
#define ADDRESS(function) address_of(&(weir__anyfunction){(void (*)(void))(function)})
typedef void (*weir__anyfunction)(void);

static void *address_of(const weir__anyfunction *function) {
    void *address;
    memcpy(&address, function, sizeof address);
    return address;
}

/* *function: where the symbol is, or NULL. `linked`: what the linker has made of our reference. */
static void find(void *handle, const void *module, const char *name, void *linked, void *function) {
    Dl_info info;
    bool ours = linked && dladdr(linked, &info) && info.dli_fbase == module;
    void *symbol = ours ? linked : dlsym(handle, name);
    memcpy(function, &symbol, sizeof symbol);
}

static void load(void) {
    Dl_info info = {0};
    void *handle = NULL;
    if (dladdr(ADDRESS(PQping), &info) && info.dli_fname)
        handle = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    void *from = handle ? handle : RTLD_DEFAULT;
#define FIND(field, name) find(from, info.dli_fbase, #name, ADDRESS(name), &library.field)
    FIND(send_pipeline_sync, PQsendPipelineSync);
    FIND(ssl_pending, SSL_pending);
    FIND(cancel_create, PQcancelCreate);
    FIND(cancel_start, PQcancelStart);
    FIND(cancel_poll, PQcancelPoll);
    FIND(cancel_status, PQcancelStatus);
    FIND(cancel_socket, PQcancelSocket);
    FIND(cancel_message, PQcancelErrorMessage);
    FIND(cancel_finish, PQcancelFinish);
#undef FIND
    if (!library.cancel_start || !library.cancel_poll || !library.cancel_status || !library.cancel_socket ||
        !library.cancel_message || !library.cancel_finish)
        library.cancel_create = NULL;
    if (handle) dlclose(handle);
}

const weir__pglibrary *weir__pg_library(void) {
    pthread_once(&once, load);
    return &library;
}
