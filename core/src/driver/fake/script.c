/* The script's own functions: what a test says and asks. */
#include <stdio.h>
#include <string.h>

#include "driver/fake/conn.h"

weir__fake_script weir__fake;

void weir__fake_start(uint64_t seed) {
    memset(&weir__fake, 0, sizeof weir__fake);
    weir__fake.rng.state = seed;
}

static void push(weir__fake_queue *queue, weir__fake_kind kind, const char *sqlstate, int64_t delay_ns) {
    if (queue->count == WEIR__FAKE_QUEUE) return;
    weir__fake_outcome *item = &queue->items[(queue->first + queue->count++) % WEIR__FAKE_QUEUE];
    item->kind = kind;
    item->delay_ns = delay_ns;
    snprintf(item->sqlstate, sizeof item->sqlstate, "%s", sqlstate);
}

void weir__fake_next_connect(weir__fake_kind kind, int64_t delay_ns) {
    push(&weir__fake.connects, kind, "", delay_ns);
}

void weir__fake_next_run(weir__fake_kind kind, const char *sqlstate, int64_t delay_ns) {
    push(&weir__fake.runs, kind, sqlstate ? sqlstate : "XX000", delay_ns);
}

weir__conn *weir__fake_conn_at(size_t i) { return i < weir__fake.live_count ? weir__fake.live[i] : NULL; }

bool weir__fake_kill(weir__conn *base) {
    weir__fake_conn *conn = (weir__fake_conn *)base;
    if (conn->state == WEIR__FAKE_NEW || conn->state >= WEIR__FAKE_LOST) return false;
    conn->killed = true;
    conn->due = weir__now(base->env->clock);
    base->env->host->arm(base, conn->due);
    return true;
}

bool weir__fake_notify(weir__conn *base, const char *channel, const char *payload) {
    weir__fake_state state = ((weir__fake_conn *)base)->state;
    if (state != WEIR__FAKE_IDLE && state != WEIR__FAKE_RUNNING) return false;
    if (base->env->host->notified) base->env->host->notified(base, channel, payload, base->backend);
    return true;
}

void weir__fake_mute(weir__conn *base) { ((weir__fake_conn *)base)->muted = true; }
