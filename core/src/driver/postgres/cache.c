#include "driver/postgres/cache.h"

#include <string.h>

#include "base/alloc.h"
#include "driver/postgres/pg.h"

/* ---- shapes */

static weir__shape *shape_of(weir__lru_node *node) {
    return node ? weir__container(node, weir__shape, node) : NULL;
}

static weir__shape *shape_new(const char *text, size_t length, uint64_t hash, unsigned traits) {
    weir__shape *shape = weir__calloc(1, sizeof *shape + length + 1);
    if (!shape) return NULL;
    memcpy(shape->text, text, length);
    shape->references = 1;
    shape->traits = traits;
    shape->node.hash = hash;
    shape->node.text = shape->text;
    shape->node.length = length;
    weir__list_init(&shape->node.order);
    return shape;
}

weir__shape *weir__shape_own(unsigned traits) { return shape_new("", 0, 0, traits); }

void weir__shape_unref(weir__shape *shape) {
    if (!shape || --shape->references > 0) return;
    weir__free(shape->types);
    weir__free(shape);
}

void weir__shape_forget(weir__lru *shapes, weir__shape *shape) {
    if (!shape->cached) return;
    shape->cached = false;
    weir__lru_remove(shapes, &shape->node);
    weir__shape_unref(shape);
}

static void shape_cache(weir__lru *shapes, weir__shape *shape) {
    if (shape->node.length > WEIR__PG_TEXT_MAX) return;
    while (shapes->count >= shapes->limit) weir__shape_forget(shapes, shape_of(weir__lru_oldest(shapes)));
    shape->references++;
    shape->cached = true;
    weir__lru_insert(shapes, &shape->node);
}

void weir__shapes_clear(weir__lru *shapes) {
    weir__lru_node *node;
    while ((node = weir__lru_oldest(shapes))) weir__shape_forget(shapes, shape_of(node));
}

weir__shape *weir__shape_get(weir__lru *shapes, const weir_statement *statement, bool shared,
                             const char *functions) {
    weir__lru_node *node = weir__lru_find(shapes, statement->hash, statement->sql, statement->sql_length);
    weir__shape *known = shape_of(node);
    if (known && (shared || !known->typed)) {
        known->references++;
        return known;
    }
    unsigned traits =
        known ? known->traits : weir__pg_traits(statement->sql, statement->sql_length, functions);
    weir__shape *shape = shape_new(statement->sql, statement->sql_length, statement->hash, traits);
    if (shape && !known) shape_cache(shapes, shape);
    return shape;
}

static Oid type_at(const PGresult *described, size_t parameters, size_t i) {
    return i < parameters ? PQparamtype(described, (int)i) : PQftype(described, (int)(i - parameters));
}

static bool shape_agrees(const weir__shape *shape, const PGresult *described) {
    if (shape->parameters != (size_t)PQnparams(described) || shape->columns != (size_t)PQnfields(described))
        return false;
    for (size_t i = 0; i < shape->parameters + shape->columns; i++)
        if (shape->types[i] != type_at(described, shape->parameters, i)) return false;
    return true;
}

/* The table of shapes is always a pool's. */
static const weir__pgtypes *types_beside(weir__lru *shapes) {
    return weir__container(shapes, weir__pgenv, shapes)->types;
}

static bool shape_fill(weir__shape *shape, const PGresult *described, const weir__pgtypes *known) {
    size_t parameters = (size_t)PQnparams(described), columns = (size_t)PQnfields(described);
    Oid *types = weir__calloc(parameters + columns, sizeof *types);
    if (!types) return false;
    bool binary = true;
    for (size_t i = 0; i < parameters + columns; i++) {
        types[i] = type_at(described, parameters, i);
        if (i >= parameters) binary = binary && weir__pg_has_binary(known, types[i]);
    }
    shape->types = types;
    shape->parameters = parameters;
    shape->columns = columns;
    shape->binary = binary;
    shape->typed = true;
    return true;
}

bool weir__shape_fits(const weir__shape *shape, const PGresult *rows) {
    if (shape->columns != (size_t)PQnfields(rows)) return false;
    for (size_t i = 0; i < shape->columns; i++)
        if (shape->types[shape->parameters + i] != PQftype(rows, (int)i)) return false;
    return true;
}

bool weir__shape_learn(weir__lru *shapes, weir__shape **shape, const PGresult *described, bool shared) {
    weir__shape *known = *shape;
    if (known->typed && shape_agrees(known, described)) return true;
    if (!known->typed && (shared || !known->cached))
        return shape_fill(known, described, types_beside(shapes));

    /* Another connection has learnt other types, or this one's session gives the names another meaning. */
    weir__shape *own = shape_new(known->text, known->node.length, known->node.hash, known->traits);
    if (!own) return false;
    if (!shape_fill(own, described, types_beside(shapes))) {
        weir__shape_unref(own);
        return false;
    }
    if (shared) {
        weir__shape_forget(shapes, known);
        weir__lru_node *other = weir__lru_find(shapes, own->node.hash, own->text, own->node.length);
        if (other) weir__shape_forget(shapes, shape_of(other));
        shape_cache(shapes, own);
    }
    weir__shape_unref(known);
    *shape = own;
    return true;
}
