/* Requests on their way: where they come from, and where they go. */
#include "pool/pool.h"

#include <string.h>

#include "base/alloc.h"

enum { SPARES = 256 };

weir__flight *weir__flight_new(weir__slot *slot) {
    weir_pool *pool = slot->pool;
    weir__flight *flight = &slot->own;
    if (slot->own_used) {
        weir__link *spare = weir__list_pop_front(&pool->spares);
        pool->spare_count -= spare != NULL;
        flight = spare ? weir__container(spare, weir__flight, link) : weir__malloc(sizeof *flight);
        if (!flight) return NULL;
    }
    memset(flight, 0, offsetof(weir__flight, before));
    flight->owed = 0;
    flight->ending = 0;
    if (flight == &slot->own) slot->own_used = true;
    flight->slot = slot;
    weir__list_push_back(&slot->flights, &flight->link);
    slot->flying++;
    return flight;
}

void weir__flight_unused(weir__flight *flight) {
    weir__list_remove(&flight->link);
    flight->slot->flying--;
    flight->slot->own_used = false;
}

void weir__flight_free(weir__flight *flight) {
    weir__slot *slot = flight->slot;
    weir_pool *pool = slot->pool;
    weir_statement_unref(flight->request.statement);
    weir_result_free(flight->request.result);
    weir_error_free(flight->request.error);
    weir__profile_unref(pool, flight->profile);
    slot->load -= flight->expected;
    memset(&flight->request, 0, sizeof flight->request);
    flight->profile = NULL;
    weir__list_remove(&flight->link);
    slot->flying--;
    if (flight == &slot->own) {
        slot->own_used = false;
    } else if (pool->spare_count < SPARES) {
        weir__list_push_front(&pool->spares, &flight->link);
        pool->spare_count++;
    } else {
        weir__free(flight);
    }
}

void weir__flights_free(weir__slot *slot) {
    weir__link *link;
    while ((link = weir__list_front(&slot->landed)) || (link = weir__list_front(&slot->flights)))
        weir__flight_free(weir__container(link, weir__flight, link));
}

void weir__spares_free(weir_pool *pool) {
    for (weir__link *link; (link = weir__list_pop_front(&pool->spares));)
        weir__free(weir__container(link, weir__flight, link));
}

weir__flight *weir__slot_live(const weir__slot *slot) {
    const weir__link *lists[] = {&slot->landed, &slot->flights};
    for (int i = 0; slot->live && i < 2; i++)
        for (weir__link *link = lists[i]->next; link != lists[i]; link = link->next)
            if (weir__container(link, weir__flight, link)->task)
                return weir__container(link, weir__flight, link);
    return NULL;
}

weir__task *weir__flight_detach(weir__flight *flight, int64_t now) {
    weir__slot *slot = flight->slot;
    weir__task *task = flight->task;
    flight->task = NULL;
    task->flight = NULL;
    slot->live--;
    if (task->batch) weir__batch_forget(slot);
    if (slot->shared) { /* the others go by the slot */
        slot->pool->stats->returned++;
        weir__histogram_record(&slot->pool->stats->use, now - flight->sent_at);
    }
    return task;
}
