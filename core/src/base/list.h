/* An intrusive, circular, doubly linked list. A link that is in no list points at itself. */
#ifndef WEIR_BASE_LIST_H
#define WEIR_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct weir__link {
    struct weir__link *next, *prev;
} weir__link;

#define weir__container(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

static inline void weir__list_init(weir__link *list) { list->next = list->prev = list; }
static inline bool weir__list_empty(const weir__link *list) { return list->next == list; }
static inline bool weir__list_linked(const weir__link *link) { return link->next != link; }
static inline void weir__list_insert_before(weir__link *where, weir__link *link) {
    link->prev = where->prev;
    link->next = where;
    where->prev->next = link;
    where->prev = link;
}
static inline void weir__list_push_back(weir__link *list, weir__link *link) {
    weir__list_insert_before(list, link);
}
static inline void weir__list_push_front(weir__link *list, weir__link *link) {
    weir__list_insert_before(list->next, link);
}
/* Leaves the link pointing at itself, so that a second removal does no harm. */
static inline void weir__list_remove(weir__link *link) {
    link->prev->next = link->next;
    link->next->prev = link->prev;
    weir__list_init(link);
}
static inline weir__link *weir__list_front(const weir__link *list) {
    return list->next == list ? NULL : list->next;
}
static inline weir__link *weir__list_pop_front(weir__link *list) {
    weir__link *link = weir__list_front(list);
    if (link) weir__list_remove(link);
    return link;
}
/* Moves all of `from` behind the last of `to`. */
static inline void weir__list_splice(weir__link *to, weir__link *from) {
    if (weir__list_empty(from)) return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    weir__list_init(from);
}

#endif
