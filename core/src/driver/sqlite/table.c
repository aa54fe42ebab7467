#include "driver/sqlite/table.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "driver/version.h"

#if SQLITE_VERSION_NUMBER >= 3038000
#define LINKED_OPTIONAL(name) sqlite3_##name
#else
#define LINKED_OPTIONAL(name) NULL
#endif

weir__sqlite_table weir__sqlite = {
#define LINKED(type, name, parameters) .name = sqlite3_##name,
#define LINKED_LATER(type, name, parameters) .name = LINKED_OPTIONAL(name),
    WEIR__SQLITE_FUNCTIONS(LINKED) WEIR__SQLITE_OPTIONAL(LINKED_LATER)
#undef LINKED
#undef LINKED_LATER
};

/* Guards `weir__sqlite` until it is pinned, and `pinned`. The dynamic linker runs under it; nothing else
 * takes it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool pinned;

void weir__sqlite_pin(void) {
    pthread_mutex_lock(&lock);
    pinned = true;
    pthread_mutex_unlock(&lock);
}

const char *weir__sqlite_version(void) {
    pthread_mutex_lock(&lock);
    const char *version = weir__sqlite.libversion();
    pthread_mutex_unlock(&lock);
    return version;
}

/* Looks a symbol up into a function pointer, which ISO C lets no cast do. */
static bool look_up(void *library, const char *name, void *pointer) {
    void *symbol = dlsym(library, name);
    memcpy(pointer, &symbol, sizeof symbol);
    return symbol != NULL;
}

/* False: a function is missing, or the copy is too old or made for one thread only. */
static bool resolve(void *library, weir__sqlite_table *table) {
    bool whole = true;
#define FIND(type, name, parameters) whole = look_up(library, "sqlite3_" #name, &table->name) && whole;
#define FIND_OPTIONAL(type, name, parameters) (void)look_up(library, "sqlite3_" #name, &table->name);
    WEIR__SQLITE_FUNCTIONS(FIND)
    WEIR__SQLITE_OPTIONAL(FIND_OPTIONAL)
#undef FIND
#undef FIND_OPTIONAL
    return whole && table->libversion_number() >= WEIR__SQLITE_LEAST && table->threadsafe() != 0;
}

int weir__sqlite_adopt(const char *path) {
    if (!path) return -1;
    void *library = dlopen(path, RTLD_NOLOAD | RTLD_LAZY | RTLD_LOCAL);
    if (!library) library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (!library) return -1;

    weir__sqlite_table found;
    bool same = false, taken = false;
    if (resolve(library, &found)) {
        pthread_mutex_lock(&lock);
        same = found.open_v2 == weir__sqlite.open_v2;
        taken = !same && !pinned;
        if (taken) weir__sqlite = found;
        pthread_mutex_unlock(&lock);
    }
    /* A copy that was taken must never be unloaded: its handle is kept on purpose. */
    if (!taken) dlclose(library);
    return same || taken ? 0 : -1;
}
