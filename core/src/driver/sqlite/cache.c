/* Prepared statements, the least recently used go first. All on the worker's side. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/sqlite/sqlite.h"

#define TEXT_MOST 65536 /* bytes; a longer text was written by a program, and will hardly come again */
#define BUCKETS_MOST                                                                                         \
    4096 /* the chains grow in the end; a connection need not be huge because its cache may be */

int weir__sqlite_cache_init(weir__sqlite_cache *cache, size_t limit, weir_error *error) {
    weir__list_init(&cache->recent);
    cache->limit = limit;
    cache->count = cache->mask = 0;
    cache->buckets = NULL;
    if (limit == 0) return WEIR_OK;
    size_t size = 16;
    while (size < limit && size < BUCKETS_MOST) size *= 2;
    cache->buckets = weir__calloc(size, sizeof(cache->buckets[0]));
    if (!cache->buckets) return weir__fail(error, WEIR_ENOMEM, "out of memory");
    cache->mask = size - 1;
    return WEIR_OK;
}

static void free_statement(weir__sqlite_statement *statement) {
    weir__sqlite.finalize(statement->handle);
    weir__free(statement->numbers);
    weir__free(statement->kinds);
    weir__free(statement);
}

static void forget(weir__sqlite_cache *cache, weir__sqlite_statement *statement) {
    weir__sqlite_statement **at = &cache->buckets[statement->hash & cache->mask];
    while (*at != statement) at = &(*at)->next;
    *at = statement->next;
    weir__list_remove(&statement->recent);
    cache->count--;
    statement->cached = false;
}

void weir__sqlite_cache_free(weir__sqlite_cache *cache) {
    weir__link *link;
    while (cache->buckets && (link = weir__list_pop_front(&cache->recent)))
        free_statement(weir__container(link, weir__sqlite_statement, recent));
    weir__free(cache->buckets);
    cache->buckets = NULL;
}

weir__sqlite_statement *weir__sqlite_find(weir__sqlite_cache *cache, uint64_t hash, const char *sql,
                                          size_t length) {
    if (!cache->buckets || length > TEXT_MOST) return NULL;
    weir__sqlite_statement *found = cache->buckets[hash & cache->mask];
    while (found && (found->hash != hash || found->length != length || memcmp(found->sql, sql, length) != 0))
        found = found->next;
    if (!found) return NULL;
    weir__list_remove(&found->recent);
    weir__list_push_front(&cache->recent, &found->recent);
    return found;
}

static void keep(weir__sqlite_cache *cache, weir__sqlite_statement *statement) {
    if (!cache->buckets || statement->length > TEXT_MOST) return;
    if (cache->count >= cache->limit) {
        weir__sqlite_statement *oldest = weir__container(cache->recent.prev, weir__sqlite_statement, recent);
        if (oldest->users > 0) return; /* a tiny cache, and its statement is still to run */
        forget(cache, oldest);
        free_statement(oldest);
    }
    weir__sqlite_statement **bucket = &cache->buckets[statement->hash & cache->mask];
    statement->next = *bucket;
    *bucket = statement;
    weir__list_push_front(&cache->recent, &statement->recent);
    cache->count++;
    statement->cached = true;
}

/* With the connection's dirt put aside, so that the statement's own can be told from it. */
static int prepare(weir__sqlite_conn *conn, weir__sqlite_statement *statement, const char *sql,
                   const char **tail, weir_error *error) {
    unsigned flags = conn->cache.buckets ? SQLITE_PREPARE_PERSISTENT : 0;
    bool dirty = conn->dirty;
    conn->dirty = false;
    /* One that has given up is asked again when a statement is run, but not while the schema is read. */
    weir__sqlite.busy_handler(conn->db, weir__sqlite_busy, conn);
    int rc =
        weir__sqlite.prepare_v3(conn->db, sql, (int)statement->length + 1, flags, &statement->handle, tail);
    statement->dirty = conn->dirty;
    conn->dirty =
        dirty || statement->dirty; /* also when it has failed: some PRAGMAs run while they are compiled */
    if (rc != SQLITE_OK) return weir__sqlite_fail(conn, rc, sql, error);
    *tail = weir__sqlite_skip(*tail, true);
    if (!statement->handle) return WEIR_OK;
    weir__sqlite_look(sql, &statement->shape);
    return weir__sqlite_describe(conn, statement, error);
}

int weir__sqlite_next(weir__sqlite_conn *conn, const char *sql, size_t length, weir__sqlite_statement **out,
                      const char **tail, weir_error *error) {
    weir__sqlite_statement *statement = weir__calloc(1, sizeof *statement + 1);
    if (!statement) return weir__fail(error, WEIR_ENOMEM, "out of memory");
    weir__list_init(&statement->recent);
    statement->length = length;
    int code = prepare(conn, statement, sql, tail, error);
    if (code != WEIR_OK) {
        free_statement(statement);
        return code;
    }
    statement->users = 1;
    *out = statement;
    return WEIR_OK;
}

int weir__sqlite_get_own(weir__sqlite_conn *conn, const char *sql, size_t length, uint64_t hash,
                         weir__sqlite_statement **out, const char **tail, weir_error *error) {
    weir__sqlite_statement *statement = weir__calloc(1, sizeof *statement + length + 1);
    *tail = "";
    if (!statement) return weir__fail(error, WEIR_ENOMEM, "out of memory");
    weir__list_init(&statement->recent);
    statement->hash = hash;
    statement->length = length;
    memcpy(statement->sql, sql, length);
    int code = prepare(conn, statement, sql, tail, error);
    if (code != WEIR_OK) {
        free_statement(statement);
        return code;
    }
    statement->users = 1;
    *out = statement;
    return WEIR_OK;
}

int weir__sqlite_get(weir__sqlite_conn *conn, const char *sql, size_t length, uint64_t hash,
                     weir__sqlite_statement **out, const char **tail, weir_error *error) {
    weir__sqlite_statement *statement = weir__sqlite_find(&conn->cache, hash, sql, length);
    *tail = "";
    if (statement) {
        conn->dirty = conn->dirty || statement->dirty;
        statement->users++;
        *out = statement;
        return WEIR_OK;
    }
    int code = weir__sqlite_get_own(conn, sql, length, hash, out, tail, error);
    if (code == WEIR_OK && !**tail) keep(&conn->cache, *out);
    return code;
}

void weir__sqlite_put(weir__sqlite_statement *statement) {
    if (--statement->users == 0 && !statement->cached) free_statement(statement);
}
