/*
 * The bound that a room over the pool sets beneath the options, while it runs; and what counts beneath it.
 *
 * A connection counts from before its first packet until the server has let go of it. It has when it closes
 * its end of the socket: then its process has left pg_stat_activity, and given up its place among
 * max_connections. So where the bound is to hold on the server, too (`lingers`), a slot stays CLOSING until
 * then, and nothing is opened in its place: the driver frees the connection, a second descriptor keeps the
 * socket. After WEIR__CLEAN_BOUND the slot is free all the same, since a server that is gone says nothing;
 * but then the bound is lower by one, until who has set it has asked the server, and sets it anew. A bound of
 * one stays: nobody could ask without a connection, so until the server has ended the old one there are two.
 */
#ifndef WEIR_POOL_CEILING_H
#define WEIR_POOL_CEILING_H

#include <weirpool/pool.h>

#include <limits.h>

typedef struct weir__slot weir__slot;

typedef struct weir__ceiling {
    int most;          /* connections, those of listeners among them; INT_MAX: as many as the options say */
    const char *why;   /* why it leaves nothing; static, or NULL */
    int64_t lapses_at; /* from then on only a first connection is begun, at the end none; WEIR__NEVER */
    bool guest;        /* the one connection is for the look that asks for a place, and for nobody else */
    bool lingers;      /* a place is free again only when the server has let go of its connection */
    int64_t pods;      /* that share the database, as far as anybody knows; 0: nobody does */
} weir__ceiling;

/* As the options have it. */
void weir__pool_ceiling_open(weir_pool *pool);
/* Not above it from now on: what is idle above it closes at once, what is lent when it comes back. */
void weir__pool_ceiling(weir_pool *pool, int most);
/* The bound that `most`, one of the options, has beneath the ceiling. */
int weir__pool_beneath(const weir_pool *pool, int most);
/* max_size and max_overflow, as they count now. */
int weir__pool_allowed(const weir_pool *pool);
/* Closes what is idle above that. */
void weir__pool_trim(weir_pool *pool);
/* Places for further connections. */
int weir__pool_room(const weir_pool *pool);
/* … for a listener's. */
bool weir__pool_has_place(const weir_pool *pool);
/* All that count beneath the ceiling: also those that are being made or closed, and those of listeners. */
int weir__pool_held(const weir_pool *pool);
/* The pool's part of connection_budget; -1: there is no budget. */
int weir__pool_share(const weir_pool *pool);

/* The connection is freed, its socket not: waits for the server's end of it. False: there is nothing to wait
 * for. */
bool weir__slot_linger(weir__slot *slot);
/* … and it has something to say. */
void weir__slot_linger_end(weir__slot *slot);
/* … which has not come in time. */
void weir__slot_linger_overdue(weir__slot *slot);
/* The place is free. */
void weir__slot_emptied(weir__slot *slot);
/* Listeners that have a connection, or are making one. */
int weir__listeners_connected(const weir_pool *pool);

#endif
