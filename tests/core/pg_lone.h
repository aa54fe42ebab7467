/* One pool of the PostgreSQL driver's with one connection over the socket, a test's fixture. */
#ifndef WEIR_TESTS_PG_LONE_H
#define WEIR_TESTS_PG_LONE_H

#include "driver/postgres/pg.h"
#include "pg_host.h"

static lone l;
static peer *const p = &l.peer;

static inline void setup_lone(void) {
    setup();
    with_socket("");
    open_lone(&l);
}

static inline void teardown_lone(void) {
    close_lone(&l);
    teardown();
}

/* The request that runs. */
static inline const weir__pgop *op_of(const peer *q) {
    return weir__container(((weir__pgconn *)q->conn)->ops.next, weir__pgop, link);
}

#endif
