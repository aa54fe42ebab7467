/* A rig's circuit breakers: looking at them, calling through them, and taking the server away. */
#ifndef WEIR_TESTS_SUPPORT_CIRCUIT_H
#define WEIR_TESTS_SUPPORT_CIRCUIT_H

#include <stdbool.h>

#include "pool/pool.h"

/* rig_start, with statements that take a millisecond; rig_options. */
weir_options circuit_start(void);
void holds(void);
weir_breaker *connects(void);
weir_breaker *queries(void);
weir_breaker_state connect_state(void);
weir_breaker_state query_state(void);
weir_breaker_snapshot numbers(weir_breaker *breaker);
/* A checkout: its code, or WEIR_PENDING. */
int ask(weir_session *session, weir_op *op, weir_error *error);
int ask_only(void);
/* A statement on the pool, until it has its answer: its code. */
int query(const char *sql);
void fail_queries(const char *sql, int count);
enum { LOST_TOGETHER = 8 };
/* Opens the pool with one connection, which so many statements share when it is lost. */
void lose_together(weir_options *options, weir_op ops[LOST_TOGETHER]);
/* From here on no attempt to connect gets anywhere: it is refused, or hangs. */
void server_gone(bool hangs);
void server_back(void);

#endif
