/*
 * The pool's health: what it keeps of checks and of the server's role. Under the reactor's lock, as all of
 * the pool; pool.h includes this, and has the two structs as members.
 */
#ifndef WEIR_POOL_HEALTH_H
#define WEIR_POOL_HEALTH_H

#include <weirpool/health.h>

#include "driver/driver.h"
#include "reactor/reactor.h"

struct weir__flight;
struct weir__slot;

/* What a slot has of it. */
typedef struct weir__slot_health {
    int64_t checked_at; /* CHECKING: since then; else when a check was passed last; 0 never */
    int64_t early;      /* ns: so much earlier than the interval says it is checked: jitter */
    weir__role role;    /* of its server, when it was set up */
} weir__slot_health;

/* What a pool has. */
typedef struct weir__pool_health {
    weir_statement *query; /* the option health_check_query */
    int64_t every;         /* ns; WEIR__NEVER: connections are not checked by themselves */
    int64_t validate;      /* ns, the option validate_after; WEIR__NEVER */
    int64_t look_after;    /* ns: a connection that was idle for longer is looked at before it is lent */
    int64_t doubt_at;      /* a check has failed: what has shown no sign of life since is asked; 0: none */
    weir__timer beat;

    int64_t ended_at;   /* the last check; 0 none */
    int64_t latency_ns; /* -1 */
    int failures;       /* in a row … */
    bool answered;      /* … and the server has answered the last of them */
    char last_failure[WEIR_HEALTH_TEXT_SIZE];
    int64_t lost_at; /* a connection; 0 never */

    int64_t refused_at; /* a write, by a server that takes none; 0: never, or since then one does */
    int64_t expire_at, expire_pause; /* the generation does not expire again for that before then */

    bool look; /* the status may have changed */
    weir_health_status status;
    int64_t status_at;
    uint64_t last_event;
    weir_health_event events[WEIR_HEALTH_EVENTS_KEPT]; /* number n is at n % KEPT */
} weir__pool_health;

bool weir__health_open(weir_pool *pool, weir_error *error); /* false: with *error set */
void weir__health_start(weir_pool *pool);                   /* the pool is open */
void weir__health_stop(weir_pool *pool);
void weir__health_close(weir_pool *pool);

/* ---- checks of idle connections */
/* So many checks are under way; that began too recently to be given up on. */
int weir__health_checking(const weir_pool *pool);
int weir__health_coming(const weir_pool *pool, int64_t now);
/* Whether an idle connection, unused for longer than look_after, may be lent without being asked. */
bool weir__health_vouches(const struct weir__slot *slot, int64_t now);
/* Begins the check of an idle connection. */
void weir__health_check(struct weir__slot *slot, int64_t now);
/* The answer has come; true: it fails the check, and why is in slot->lost. */
bool weir__health_answered(struct weir__slot *slot, const weir__request *request, int64_t now);
/* The check has failed: its connection is closed. */
void weir__health_failed(struct weir__slot *slot, weir_error *why, int64_t now);
void weir__health_overdue(struct weir__slot *slot);
/* Back among the idle ones, where it was. */
void weir__health_replace(struct weir__slot *slot);

/* ---- checks by callers */
int weir__health_ask(weir_pool *pool, int64_t timeout_ms, void *token, weir_op *op, weir_error *error);
/* Such a one has ended; why NULL: well. `since`: when it was sent, or, when it was not, asked for. */
void weir__health_asked(weir_pool *pool, const weir_error *why, int64_t since, int64_t now);

/* ---- what else is told */
void weir__health_lost(weir_pool *pool); /* counts a connection that has died */
/* A new connection is fit for use. */
void weir__health_proven(struct weir__slot *slot);
/* It was connected, and its init has run. */
void weir__health_baseline(struct weir__slot *slot);
/* A statement has failed with SQLSTATE 25006. */
void weir__health_refused(const struct weir__flight *flight, int64_t now);
/* The status is looked at before the lock is left. */
void weir__health_touch(weir_pool *pool);
void weir__health_look(weir_pool *pool);
/* Into the history. */
void weir__health_note(weir_pool *pool, weir_health_event_kind kind, int64_t duration_ns, const char *text);

void weir__health_read(weir_pool *pool, weir_health *out);
bool weir__health_next_event(const weir_pool *pool, uint64_t *after, weir_health_event *out);

#endif
