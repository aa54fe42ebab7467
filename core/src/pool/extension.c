/* What the rooms over the pool hang on it. */
#include "pool/extension.h"

void weir__pool_attach(weir_pool *pool, weir__extension *extension) {
    extension->pool = pool;
    weir__list_push_back(&pool->extensions, &extension->link);
}

weir__extension *weir__pool_extension(const weir_pool *pool, const weir__extension_kind *kind) {
    for (weir__link *link = pool->extensions.next; link != &pool->extensions; link = link->next) {
        weir__extension *extension = weir__container(link, weir__extension, link);
        if (extension->kind == kind) return extension;
    }
    return NULL;
}

void weir__extensions_leave(weir_pool *pool) {
    for (weir__link *link = pool->extensions.next; link != &pool->extensions; link = link->next) {
        weir__extension *extension = weir__container(link, weir__extension, link);
        if (extension->kind->leave) extension->kind->leave(extension);
    }
}

void weir__extensions_slow(const weir_pool *pool, const char *sql, size_t length, int64_t ns) {
    for (weir__link *link = pool->extensions.next; link != &pool->extensions; link = link->next) {
        weir__extension *extension = weir__container(link, weir__extension, link);
        if (extension->kind->slow) extension->kind->slow(extension, sql, length, ns);
    }
}

void weir__extensions_end(weir_pool *pool) {
    for (weir__link *link = pool->extensions.next; link != &pool->extensions; link = link->next) {
        weir__extension *extension = weir__container(link, weir__extension, link);
        if (!extension->ended) extension->kind->end(extension);
        extension->ended = true;
    }
}

void weir__extensions_free(weir_pool *pool) {
    for (weir__link *link; (link = weir__list_front(&pool->extensions));) {
        weir__extension *extension = weir__container(link, weir__extension, link);
        weir__list_remove(link);
        extension->kind->free(extension);
    }
}
