#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "driver/postgres/pg.h"

static weir__prepared *prepared_of(weir__lru_node *node) {
    return node ? weir__container(node, weir__prepared, node) : NULL;
}

void weir__pg_statement_unref(weir__prepared *prepared) {
    if (!prepared || --prepared->references > 0) return;
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

static void keep(weir__pgconn *c, weir__prepared *prepared) {
    while (c->statements.count >= c->statements.limit)
        weir__pg_statement_doom(c, prepared_of(weir__lru_oldest(&c->statements)));
    prepared->references++;
    weir__pg_statement_reshape(prepared, prepared->shape);
    weir__lru_insert(&c->statements, &prepared->node);
}

weir__prepared *weir__pg_statement_new(weir__pgconn *c, weir__shape *shape) {
    weir__prepared *prepared = weir__calloc(1, sizeof *prepared);
    if (!prepared) return NULL;
    weir__list_init(&prepared->node.order);
    weir__list_init(&prepared->doomed);
    prepared->references = 1;
    prepared->shape = shape;
    shape->references++;
    if (shape->node.length > WEIR__PG_TEXT_MAX) return prepared;
    snprintf(prepared->name, sizeof prepared->name, "weir_%" PRIu64, c->next_number++);
    keep(c, prepared);
    return prepared;
}

void weir__pg_statement_reshape(weir__prepared *prepared, weir__shape *shape) {
    shape->references++;
    weir__shape_unref(prepared->shape);
    prepared->shape = shape;
    prepared->node.hash = shape->node.hash;
    prepared->node.text = shape->node.text; /* the same text, in the shape's own memory */
    prepared->node.length = shape->node.length;
}

/* Out of whatever list holds it; with the list's reference, which is the caller's now. False: it is in none.
 */
static bool take_out(weir__pgconn *c, weir__prepared *prepared) {
    bool cached = weir__list_linked(&prepared->node.order), doomed = weir__list_linked(&prepared->doomed);
    if (cached) weir__lru_remove(&c->statements, &prepared->node);
    if (doomed) weir__list_remove(&prepared->doomed);
    c->doomed_count -= doomed;
    return cached || doomed;
}

void weir__pg_statement_doom(weir__pgconn *c, weir__prepared *prepared) {
    if (!take_out(c, prepared)) return;
    weir__list_push_back(&c->doomed, &prepared->doomed);
    c->doomed_count++;
}

void weir__pg_statement_drop(weir__pgconn *c, weir__prepared *prepared) {
    if (take_out(c, prepared)) weir__pg_statement_unref(prepared);
}

void weir__pg_doomed_free(weir__pgconn *c) {
    weir__link *link;
    while ((link = weir__list_front(&c->doomed)))
        weir__pg_statement_drop(c, weir__container(link, weir__prepared, doomed));
}

void weir__pg_statements_forget(weir__pgconn *c) {
    weir__lru_node *node;
    while ((node = weir__lru_oldest(&c->statements))) weir__pg_statement_drop(c, prepared_of(node));
    weir__pg_doomed_free(c);
    weir__pg_keeps_forget(c);
}
