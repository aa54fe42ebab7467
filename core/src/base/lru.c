#include "base/lru.h"

#include <string.h>

#include "base/alloc.h"

bool weir__lru_init(weir__lru *lru, size_t limit) {
    size_t size = 8;
    *lru = (weir__lru){.limit = limit};
    weir__list_init(&lru->order);
    if (!limit) return true;
    while (size < limit && size < 1024) size *= 2;
    lru->buckets = weir__calloc(size, sizeof *lru->buckets);
    lru->mask = size - 1;
    return lru->buckets;
}

void weir__lru_free(weir__lru *lru) {
    weir__free(lru->buckets);
    lru->buckets = NULL;
}

weir__lru_node *weir__lru_find(weir__lru *lru, uint64_t hash, const char *text, size_t length) {
    if (!lru->buckets) return NULL;
    for (weir__lru_node *node = lru->buckets[hash & lru->mask]; node; node = node->chain) {
        if (node->hash != hash || node->length != length || memcmp(node->text, text, length) != 0) continue;
        if (lru->order.next != &node->order) {
            weir__list_remove(&node->order);
            weir__list_push_front(&lru->order, &node->order);
        }
        return node;
    }
    return NULL;
}

void weir__lru_insert(weir__lru *lru, weir__lru_node *node) {
    weir__lru_node **bucket = &lru->buckets[node->hash & lru->mask];
    node->chain = *bucket;
    *bucket = node;
    weir__list_push_front(&lru->order, &node->order);
    lru->count++;
}

void weir__lru_remove(weir__lru *lru, weir__lru_node *node) {
    weir__lru_node **at = &lru->buckets[node->hash & lru->mask];
    while (*at != node) at = &(*at)->chain;
    *at = node->chain;
    weir__list_remove(&node->order);
    lru->count--;
}

weir__lru_node *weir__lru_oldest(const weir__lru *lru) {
    if (weir__list_empty(&lru->order)) return NULL;
    return weir__container(lru->order.prev, weir__lru_node, order);
}
