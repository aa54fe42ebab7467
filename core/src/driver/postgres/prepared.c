#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "driver/postgres/pg.h"

static weir__prepared *prepared_of(weir__lru_node *node) {
    return node ? weir__container(node, weir__prepared, node) : NULL;
}

static void prepared_free(weir__prepared *prepared) {
    weir__shape_unref(prepared->shape);
    weir__free(prepared);
}

bool weir__pg_statements_init(weir__pgconn *c) {
    weir__list_init(&c->doomed);
    return weir__lru_init(&c->statements, (size_t)c->base.env->config->options.statement_cache_size);
}

weir__prepared *weir__pg_statement_find(weir__pgconn *c, const weir_statement *statement) {
    return prepared_of(
        weir__lru_find(&c->statements, statement->hash, statement->sql, statement->sql_length));
}

weir__prepared *weir__pg_statement_new(weir__pgconn *c, const weir__shape *shape) {
    weir__prepared *prepared = weir__calloc(1, sizeof *prepared);
    if (!prepared) return NULL;
    weir__list_init(&prepared->node.order);
    weir__list_init(&prepared->doomed);
    if (shape->node.length <= WEIR__PG_TEXT_MAX)
        snprintf(prepared->name, sizeof prepared->name, "weir_%" PRIu64, c->next_number++);
    return prepared;
}

static void doom(weir__pgconn *c, weir__prepared *prepared) {
    weir__shape_unref(prepared->shape);
    prepared->shape = NULL;
    weir__list_push_back(&c->doomed, &prepared->doomed);
    c->doomed_count++;
}

void weir__pg_statement_keep(weir__pgconn *c, weir__prepared *prepared, weir__shape *shape) {
    while (c->statements.count >= c->statements.limit)
        weir__pg_statement_doom(c, prepared_of(weir__lru_oldest(&c->statements)));
    shape->references++;
    prepared->shape = shape;
    prepared->node.hash = shape->node.hash;
    prepared->node.text = shape->node.text;
    prepared->node.length = shape->node.length;
    weir__lru_insert(&c->statements, &prepared->node);
}

void weir__pg_statement_doom(weir__pgconn *c, weir__prepared *prepared) {
    if (weir__list_linked(&prepared->node.order)) weir__lru_remove(&c->statements, &prepared->node);
    if (*prepared->name) {
        doom(c, prepared);
    } else {
        prepared_free(prepared);
    }
}

void weir__pg_statement_drop(weir__pgconn *c, weir__prepared *prepared) {
    weir__lru_remove(&c->statements, &prepared->node);
    prepared_free(prepared);
}

void weir__pg_doomed_free(weir__pgconn *c) {
    weir__link *link;
    while ((link = weir__list_pop_front(&c->doomed)))
        prepared_free(weir__container(link, weir__prepared, doomed));
    c->doomed_count = 0;
}

void weir__pg_statements_forget(weir__pgconn *c) {
    weir__lru_node *node;
    while ((node = weir__lru_oldest(&c->statements))) weir__pg_statement_drop(c, prepared_of(node));
    weir__pg_doomed_free(c);
}
