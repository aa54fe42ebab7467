/*
 * How many connections are kept busy: what is learnt, on the fake driver and clock, beside the best fixed
 * number. The server and the way to it are simulated, and so is what the client's own turns take.
 */
#include <check.h>
#include <stdlib.h>

#include "driver/fake/conn.h"
#include "support_pool.h"
#include "support_suite.h"

enum { CONNECTIONS = 10, CALLERS = 64, CLIENT_CALL = 2000, CLIENT_SOCKET = 3000 /* ns */ };

/* ---- the server ---- */

typedef struct load {
    const char *name;
    int64_t way;   /* ns, there and back */
    int64_t work;  /* of its one processor for a statement … */
    int64_t crowd; /* … and for each connection that is busy then, over which it is torn */
    int64_t wait;  /* at the least a statement takes, which others need not wait for */
    int64_t slow;  /* what one in twenty waits for without that processor; 0: none does */
} load;
static const load LOADS[] = {
    {"limited by its processor", 50000, 40000, 4000, 0, 0},
    {"limited by waiting", 50000, 4000, 0, 400000, 0},
    {"far away", 4000000, 40000, 4000, 0, 0},
    {"one in twenty waits", 50000, 40000, 4000, 0, 5000000},
};
enum { LOAD_COUNT = sizeof LOADS / sizeof *LOADS, LINE = WEIR__FAKE_LINE + 1 };

typedef struct line {
    int64_t at[LINE]; /* ns */
    int first, count;
} line;

static struct server {
    const load *load;
    int64_t now;
    struct {
        line asked, answered; /* when they are there, and when their answers are back */
        double left;          /* of the first one there: a part of it; 0: it has not begun */
    } at[CONNECTIONS];
} server;

static void push(line *line, int64_t at) { line->at[(line->first + line->count++) % LINE] = at; }

static void pop(line *line) {
    line->first = (line->first + 1) % LINE;
    line->count--;
}

static int64_t first_of(const line *line) { return line->count ? line->at[line->first] : WEIR__NEVER; }

static int64_t earlier(int64_t a, int64_t b) { return a < b ? a : b; }

static weir_statement *statement, *slow;

/* Whether what is first there at the connection is a slow one. */
static bool is_slow(int i) {
    const weir__fake_conn *conn = (weir__fake_conn *)weir__fake_conn_at((size_t)i);
    int answered = server.at[i].answered.count;
    return (answered ? conn->line[answered - 1] : conn->base.request)->statement == slow;
}

/* To the next thing that happens there, but not past `until`. */
static void serve_next(int64_t until) {
    const load *load = server.load;
    int64_t takes[CONNECTIONS];
    int busy = 0;
    for (int i = 0; i < CONNECTIONS; i++) {
        int64_t at = first_of(&server.at[i].asked);
        if (at > server.now) {
            until = earlier(until, at);
            continue;
        }
        busy += !is_slow(i);
        if (server.at[i].left == 0) /* they differ by up to a fifth */
            server.at[i].left = 0.8 + (double)weir__random_below(&weir__fake.rng, 401) / 1000;
    }
    int64_t all = busy * (load->work + busy * load->crowd), usual = all > load->wait ? all : load->wait;
    for (int i = 0; i < CONNECTIONS; i++) {
        if (server.at[i].left == 0) continue;
        takes[i] = is_slow(i) ? load->slow : usual;
        until = earlier(until, server.now + (int64_t)(server.at[i].left * (double)takes[i]) + 1);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        if (server.at[i].left == 0) continue;
        server.at[i].left -= (double)(until - server.now) / (double)takes[i];
        if (server.at[i].left > 0) continue;
        server.at[i].left = 0;
        pop(&server.at[i].asked);
        push(&server.at[i].answered, until + load->way / 2);
    }
    server.now = until;
}

static int64_t next_answer(void) {
    int64_t next = WEIR__NEVER;
    for (int i = 0; i < CONNECTIONS; i++) next = earlier(next, first_of(&server.at[i].answered));
    return next;
}

/* What was given to the connection leaves now. True: there is something. */
static bool send_to(int i) {
    const weir__fake_conn *conn = (weir__fake_conn *)weir__fake_conn_at((size_t)i);
    int given = (int)(conn->line_count - conn->held) + (conn->base.request != NULL);
    int fresh = given - server.at[i].asked.count - server.at[i].answered.count;
    for (int n = 0; n < fresh; n++) push(&server.at[i].asked, rig.clock.now + server.load->way / 2);
    return fresh;
}

/* What has come by now from the connection. True: there was something. */
static bool receive_from(int i) {
    bool any = false;
    for (; first_of(&server.at[i].answered) <= rig.clock.now; any = true) {
        ck_assert(weir__fake_answer(weir__fake_conn_at((size_t)i)));
        pop(&server.at[i].answered);
    }
    return any;
}

/* ---- the client ---- */

static void ask(void) {
    static char token;
    static int asked;
    weir_op op = 0;
    weir_run run;
    weir_run_init(&run);
    run.hold = true;
    bool one_in_twenty = asked++ % 20 == 0 && server.load->slow;
    ck_assert_int_eq(weir_pool_execute(rig.pool, one_in_twenty ? slow : statement, &run, &token, &op, NULL),
                     WEIR_PENDING);
}

/* Until there is an answer, or a timer is due; but not past `until`. */
static void sleep_until(int64_t until) {
    until = earlier(until, weir__wheel_next(&rig.reactor->wheel));
    if (until < rig.clock.now) until = rig.clock.now;
    while (server.now < rig.clock.now) serve_next(rig.clock.now);
    while (server.now < earlier(until, next_answer())) serve_next(earlier(until, next_answer()));
    rig.clock.now = server.now;
}

/* A turn of its loop: takes what has come, asks as many again, and sends that. How many. */
static int turn(void) {
    int calls = 0, sockets = 0;
    weir_completion c;
    ck_assert(weir__enter(rig.reactor));
    for (int i = 0; i < CONNECTIONS; i++) sockets += receive_from(i);
    weir__leave(rig.reactor);
    if (weir__wheel_next(&rig.reactor->wheel) <= rig.clock.now) weir_reactor_dispatch(rig.reactor);
    for (; weir_reactor_next(rig.reactor, &c); calls++) {
        ck_assert_int_eq(c.code, WEIR_OK);
        weir_completion_discard(&c);
        ask();
    }
    weir_reactor_flush(rig.reactor);
    for (int i = 0; i < CONNECTIONS; i++) sockets += send_to(i);
    rig.clock.now += calls * CLIENT_CALL + sockets * CLIENT_SOCKET + 1;
    return calls;
}

/* The answers in a second. */
static double rate_for(int64_t ms) {
    int64_t until = rig.clock.now + ms * WEIR__MS;
    long answered = 0;
    while (rig.clock.now < until) {
        sleep_until(until);
        answered += turn();
    }
    return (double)answered * 1000 / (double)ms;
}

static void start(void) {
    rig_start(7);
    weir_options options = rig_options();
    options.min_size = options.max_size = CONNECTIONS;
    rig_ready(&options);
    statement = weir_statement_new("hang shared", 11, NULL);
    slow = weir_statement_new("hang shared slow", 16, NULL);
    server = (struct server){.load = LOADS, .now = rig.clock.now};
    for (int i = 0; i < CALLERS; i++) ask();
    turn();
}

static void stop(void) {
    weir_statement_unref(statement);
    weir_statement_unref(slow);
    rig_done();
}

/* ---- the tests ---- */

static double best[LOAD_COUNT]; /* rates of the best fixed width */

static double rate_of(int i, int width) {
    server.load = &LOADS[i];
    weir__width_pin(rig.pool, width);
    rate_for(50);
    return rate_for(200);
}

static void find_best(void) {
    static const int WIDTHS[] = {2, 4, 7};
    double few, many;
    for (int i = 0; i < LOAD_COUNT; i++) {
        few = rate_of(i, 1);
        many = rate_of(i, CONNECTIONS);
        best[i] = few > many ? few : many;
        for (size_t n = 0; n < sizeof WIDTHS / sizeof *WIDTHS; n++) {
            double rate = rate_of(i, WIDTHS[n]);
            if (rate > best[i]) best[i] = rate;
        }
        /* or there would be nothing to be learnt */
        ck_assert(i != 0 || many < 0.7 * best[i]);
        ck_assert(i != 1 || few < 0.7 * best[i]);
    }
}

/* Two seconds after the load has come, the rate is within a tenth of what the best fixed width makes of it.
 */
static void adapts_to(int i) {
    const char *before = server.load->name;
    server.load = &LOADS[i];
    rate_for(2000);
    double rate = rate_for(500) / best[i];
    ck_assert_msg(rate >= 0.9, "%s -> %s: %.2f of the best rate, with a width of %d", before, LOADS[i].name,
                  rate, rig.pool->share.trial.base);
    ck_assert_ptr_null(rig_fault());
}

/* One test, since it takes long to find what is best. */
START_TEST(it_is_learnt_and_learnt_again) {
#if defined __SANITIZE_THREAD__ || defined __SANITIZE_ADDRESS__ /* the release has the rest */
    static const int PHASES[] = {3, 2, 1, 0};
#else
    static const int PHASES[] = {1, 0, 2, 0, 3, 1, 2, 1, 3, 2, 3, 0}; /* from each to each */
#endif
    find_best();
    for (int i = LOAD_COUNT - 1; i >= 0; i--) {
        stop();
        start();
        adapts_to(i);
    }
    for (size_t i = 0; i < sizeof PHASES / sizeof *PHASES; i++) adapts_to(PHASES[i]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("width");
    TCase *tcase = tcase_create("width");
    tcase_set_timeout(tcase, 600);
    tcase_add_checked_fixture(tcase, start, stop);
    tcase_add_test(tcase, it_is_learnt_and_learnt_again);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
