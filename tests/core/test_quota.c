/*
 * What a pod may have of the budget: the rule by a table, and the bound by simulation. There the table of
 * pods is a model of what registry.c's statements do with it, and the pods join, leave, die, hang, lose
 * connections, and have their heartbeats delayed or lost, by a seed.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "config/sizing.h"
#include "fleet/quota.h"
#include "support_suite.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const struct {
    const char *why;
    int first, shares[8], targets[8]; /* up to a 0 */
} rules[] = {
    {"one that nobody has told of others waits for three looks", -1, {9, 9, 9, 9}, {1, 1, 9, 9}},
    {"one that knows how many there will be begins with its part", 3, {9, 9, 9}, {3, 3, 9}},
    {"… but not with more than there is", 5, {2, 2}, {2, 2}},
    {"less counts at once, more when it has lasted", 9, {9, 3, 9, 9, 9}, {9, 3, 3, 3, 9}},
    {"of three the least", 9, {9, 2, 9, 5, 7, 6, 4}, {9, 2, 2, 2, 5, 5, 4}},
    {"what goes up and down is what it is at the least", 4, {4, 5, 4, 5, 4, 5, 4}, {4, 4, 4, 4, 4, 4, 4}},
};

START_TEST(follows_the_rule) {
    weir__quota quota = {0};
    for (int i = 0; rules[_i].shares[i]; i++) {
        weir__quota_share(&quota, rules[_i].shares[i], true, rules[_i].first);
        ck_assert_msg(quota.target == rules[_i].targets[i], "%s: look %d gives %d", rules[_i].why, i,
                      quota.target);
    }
}
END_TEST

START_TEST(asks_and_gives_back) {
    weir__quota quota = {0};
    weir__quota_share(&quota, 8, true, 8);
    quota.granted = 1;
    ck_assert_int_eq(weir__quota_ask(&quota, 1), 8);
    ck_assert_int_eq(weir__quota_ceiling(&quota), 1); /* nothing before it is written down */
    ck_assert(!weir__quota_settled(&quota, 1));
    quota.granted = 8;
    ck_assert_int_eq(weir__quota_ceiling(&quota), 8);
    ck_assert(weir__quota_settled(&quota, 5));
    quota.strays = 3; /* that only the server knows of */
    ck_assert_int_eq(weir__quota_ceiling(&quota), 5);
    quota.strays = 9;
    ck_assert_int_eq(weir__quota_ceiling(&quota), 1);
    quota.strays = 0;
    weir__quota_share(&quota, 2, false, 8);
    ck_assert_int_eq(weir__quota_ceiling(&quota), 2); /* at once */
    ck_assert_int_eq(weir__quota_ask(&quota, 6), 6);  /* and written down as it is done */
    ck_assert(!weir__quota_settled(&quota, 6));
    weir__quota_share(&quota, 0, true, 8); /* no place: it begins again */
    ck_assert_int_eq(weir__quota_ceiling(&quota), 0);
    ck_assert_int_eq(weir__quota_ask(&quota, 0), 1);
    weir__quota_share(&quota, 8, true, -1);
    ck_assert_int_eq(quota.target, 1);
}
END_TEST

/* ---- the simulation: times in ms */

enum { PODS = 16, CONNECTIONS = 16, BUDGET = 40, REFRESH = 1000, DEAD = 3000, STEP = 10, LATEST = 900 };

typedef struct connection {
    bool used;    /* counted by its pod, if that lives, … */
    bool there;   /* … and by the server */
    bool closing; /* … whose end is awaited by the pod */
    int due;      /* when it comes up, or is gone; 0: it stays */
} connection;

typedef struct pod {
    bool alive, listed; /* it has a row */
    int granted, wanted, beat;
    weir__quota quota;
    connection held[CONNECTIONS];
    int demand, haste, ceiling, lapses, frozen, next;
    int sent, arrives, answers; /* a heartbeat; arrives 0: none, or it has; answers 0: it is lost */
    int as_held, asked, share, there;
} pod;

static pod pods[PODS];
static weir_options options;
static weir__rng rng;
static int now, wave, most;

static bool chance(int permille) { return weir__random_below(&rng, 1000) < permille; }
static int within(int least, int most) { return least + (int)weir__random_below(&rng, most - least + 1); }

static int used_by(const pod *p) {
    int n = 0;
    for (int i = 0; i < CONNECTIONS; i++) n += p->held[i].used;
    return n;
}

static int seen_of(const pod *p) {
    int n = 0;
    for (int i = 0; i < CONNECTIONS; i++) n += p->held[i].there;
    return n;
}

/* What the rows have given away, and who has come without one. */
static int taken(void) {
    int n = 0;
    for (int i = 0; i < PODS; i++) n += pods[i].listed ? pods[i].granted : used_by(&pods[i]);
    return n;
}

static int share_now(void) {
    int listed = 0, share = 1;
    for (int i = 0; i < PODS; i++) listed += pods[i].listed;
    int left = BUDGET - weir__sizing_places(&options, listed);
    for (int s = 1; s <= BUDGET; s++) {
        int sum = 0;
        for (int i = 0; i < PODS; i++)
            if (pods[i].listed) sum += pods[i].wanted < s ? pods[i].wanted : s;
        if (sum <= left) share = s;
    }
    return share;
}

static int larger(int a, int b) { return a > b ? a : b; }
static int smaller(int a, int b) { return a < b ? a : b; }

/* bury_dead, write_down and read_share. */
static void write_down(pod *p) {
    int others = 0, held = 0;
    for (int i = 0; i < PODS; i++) {
        pod *other = &pods[i];
        if (other == p || !other->listed) continue;
        int there = seen_of(other);
        if (other->beat < now - DEAD && there < other->granted) other->granted = there;
        if (other->beat < now - DEAD && !there) other->listed = false;
        others += other->listed;
        held += other->listed ? other->granted : 0;
    }
    int had = p->listed ? p->granted : 0, room = BUDGET - held - weir__sizing_places(&options, others + 1);
    p->there = seen_of(p);
    if (!p->listed && others >= BUDGET) return;
    p->granted = larger(larger(p->as_held, p->there), smaller(p->asked, larger(had, room)));
    p->listed = true;
    p->wanted = CONNECTIONS;
    p->beat = now;
    p->share = share_now();
}

/* The pod's end of it, as fleet.c and registry.c have it. */
static void send(pod *p) {
    p->sent = now;
    p->as_held = used_by(p);
    p->asked = weir__quota_ask(&p->quota, p->as_held);
    p->arrives = chance(50) ? 0 : now + within(1, chance(20) ? 2 * DEAD : 200);
    p->answers = p->arrives && !chance(50) ? p->arrives + within(1, 200) : 0;
    p->next = now + REFRESH / 5 + (p->answers ? p->answers - now : LATEST); /* the answer may say so, too */
}

static void answered(pod *p) {
    p->answers = 0;
    p->quota.granted = p->granted;
    p->quota.strays = p->there > p->as_held ? p->there - p->as_held : 0;
    p->lapses = p->sent + DEAD / 3 * 2;
    weir__quota_share(&p->quota, smaller(p->share, CONNECTIONS), true, options.pod_count > 0 ? 2 : -1);
    p->ceiling = weir__quota_ceiling(&p->quota);
    p->next = now + (weir__quota_settled(&p->quota, used_by(p)) ? REFRESH : REFRESH / 5);
}

static void live(pod *p) {
    int used = used_by(p);
    if (p->arrives == 0 && p->answers && now >= p->answers) answered(p);
    bool idle = !p->arrives && !p->answers;
    if (idle && now >= p->next && seen_of(p)) send(p);
    bool lapsed = p->lapses && now >= p->lapses;
    int places = lapsed ? !used : p->ceiling - used;
    for (int i = 0; i < CONNECTIONS; i++) {
        connection *c = &p->held[i];
        if (!c->used && !c->there && places > 0 && used < p->demand) {
            *c = (connection){.used = true, .due = now + within(1, chance(50) ? LATEST : 30)};
            places--;
            used++;
        } else if (c->used && c->there && !c->due && used > smaller(p->ceiling, p->demand) &&
                   chance(p->haste)) {
            c->closing = true; /* the socket's end comes with the server's */
            c->due = now + within(1, chance(50) ? 5000 : 30);
            used--;
        }
    }
}

static void serve(pod *p) {
    for (int i = 0; i < CONNECTIONS; i++) {
        connection *c = &p->held[i];
        if (c->used && c->there && !c->due && chance(1)) *c = (connection){0}; /* lost */
        if (!c->due || now < c->due) continue;
        c->due = 0;
        c->there = !c->there;
        c->used = c->there;
        if (c->there && !p->alive) c->due = now + within(1, 30);
    }
    if (p->arrives && now >= p->arrives) {
        p->arrives = 0;
        if (p->alive || chance(500)) write_down(p);
    }
}

static void join(pod *p) {
    *p = (pod){.alive = true, .ceiling = 1, .demand = CONNECTIONS, .haste = chance(500) ? 300 : 5};
    p->held[0] = (connection){.used = true, .due = now + within(1, 30)};
}

static void end(pod *p, bool leaves) {
    p->alive = false;
    if (leaves && p->listed && used_by(p) == seen_of(p)) p->beat = -10 * DEAD; /* say_farewell */
    for (int i = 0; i < CONNECTIONS; i++) /* a statement that runs goes on */
        if (p->held[i].used && p->held[i].there && !p->held[i].due)
            p->held[i].due = now + within(1, chance(50) ? 3 * DEAD : 30);
}

/* They come and go in waves: `wave` is how many there are to be. */
static void happen(pod *p, int alive) {
    if (!p->alive && !used_by(p) && !seen_of(p) && !p->listed && !p->arrives && alive < wave && chance(20) &&
        taken() < BUDGET)
        join(p);
    if (!p->alive) return;
    if (alive > wave && chance(20)) end(p, chance(500));
    if (chance(1)) p->frozen = now + within(1, 4 * DEAD);
    if (chance(1)) /* its way to the server was cut */
        for (int i = 0; i < CONNECTIONS; i++)
            if (p->held[i].there) p->held[i] = (connection){0};
    if (chance(2)) p->demand = within(1, CONNECTIONS);
}

/* On the server, or about to be. */
static int on_server(const pod *p) {
    int n = 0;
    for (int i = 0; i < CONNECTIONS; i++) n += p->held[i].used || p->held[i].there;
    return n;
}

/* An assertion that holds takes a system call: so few of them. */
static void check(void) {
    int sum = 0;
    for (int i = 0; i < PODS; i++) {
        int n = on_server(&pods[i]);
        if (pods[i].listed && n > pods[i].granted)
            ck_abort_msg("at %d ms pod %d has %d connections, and may have %d", now, i, n, pods[i].granted);
        sum += n;
    }
    most = larger(most, sum);
    if (sum > BUDGET) ck_abort_msg("at %d ms there are %d connections", now, sum);
}

static void step(bool quiet) {
    int alive = 0;
    now += STEP;
    if (now % (2 * DEAD) == 0) wave = within(1, PODS);
    for (int i = 0; i < PODS; i++) alive += pods[i].alive;
    for (int i = 0; i < PODS; i++) {
        pod *p = &pods[i];
        if (!quiet) happen(p, alive);
        if (quiet) p->demand = CONNECTIONS;
        serve(p);
        if (p->alive && now >= p->frozen) live(p);
    }
    check();
}

START_TEST(the_sum_is_never_above_the_budget) {
    memset(pods, 0, sizeof pods);
    weir_options_init(&options);
    options.connection_budget = BUDGET;
    options.pod_count = _i % 3 ? -1 : 10;
    options.pod_surge = _i % 3 == 1 ? 3 : -1; /* those who are taken for dead join again */
    rng.state = (uint64_t)_i;
    now = 10 * DEAD;
    most = 0;
    while (now < 90000) step(false);
    ck_assert_int_gt(most, BUDGET / 2); /* it was of some use */
    for (int i = 0; i < PODS; i++) pods[i].frozen = 0;
    for (int until = now + 12 * DEAD; now < until;) step(true);
    for (int i = 0; i < PODS; i++) { /* and all that live have come to what they may have */
        ck_assert(pods[i].alive || !pods[i].listed);
        if (pods[i].alive) ck_assert_int_ge(pods[i].ceiling, smaller(share_now(), CONNECTIONS) - 1);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("quota");
    TCase *tc = tcase_create("quota");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, follows_the_rule, 0, LENGTH(rules));
    tcase_add_test(tc, asks_and_gives_back);
    tcase_add_loop_test(tc, the_sum_is_never_above_the_budget, 0, 100);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
