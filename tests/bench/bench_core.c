/*
 * What the pool itself costs, with a driver that takes no time: prints name, value, unit and limit (or
 * nothing), with tabs between them, and asserts nothing about time.
 *
 *     acquire and release        on an idle pool, all accounting included
 *     execute                    on the pool, to the completion
 *     a grant                    CPU with 100 and with 10,000 waiters in line
 *     memory                     of a waiter, the operation's included
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/config.h"
#include "driver/fake/fake.h"
#include "pool/pool.h"

enum { ROUNDS = 15, LOANS = 200000, GRANTS = 100000, CONNECTIONS = 4, FEW = 100, MANY = 10000 };

static weir_reactor *reactor;
static weir_pool *pool;

static void expect(bool holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "bench_core: %s\n", what);
    exit(EXIT_FAILURE);
}

static double cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double (*round)(void)) {
    double times[ROUNDS];
    round(); /* warm */
    for (int i = 0; i < ROUNDS; i++) times[i] = round();
    qsort(times, ROUNDS, sizeof *times, compare);
    return times[ROUNDS / 2];
}

static void open_pool(void) {
    weir_options options;
    weir_op op;
    weir_completion c;
    weir_options_init(&options);
    options.url = "postgresql://user@host/db";
    options.min_size = options.max_size = CONNECTIONS;
    weir__fake_start(1);
    expect(weir_reactor_new(&reactor, NULL) == WEIR_OK, "no reactor");
    weir_reactor_attach(reactor); /* as an event loop's thread does */
    weir__config *config = weir__config_new(&options, NULL);
    expect(config != NULL, "no configuration");
    int code = weir__pool_open(reactor, &weir__fake_driver, config, 1, &options, &pool, &op, NULL);
    expect(code == WEIR_PENDING && weir_reactor_next(reactor, &c) && c.code == WEIR_OK, "no pool");
}

static weir_checkout checkout;

static double loan_round(void) {
    weir_session session;
    weir_op op;
    double begun = cpu_ns();
    for (int i = 0; i < LOANS; i++) {
        if (weir_pool_acquire(pool, &checkout, &checkout, &session, &op, NULL) != WEIR_OK) exit(EXIT_FAILURE);
        weir_session_release(session);
    }
    return (cpu_ns() - begun) / LOANS;
}

static weir_statement *statement;

static double execute_round(void) {
    weir_op op;
    weir_completion c;
    double begun = cpu_ns();
    for (int i = 0; i < LOANS; i++) {
        if (weir_pool_execute(pool, statement, NULL, &checkout, &op, NULL) != WEIR_PENDING ||
            !weir_reactor_next(reactor, &c))
            exit(EXIT_FAILURE);
        weir_result_free(c.result);
    }
    return (cpu_ns() - begun) / LOANS;
}

static weir_session held[CONNECTIONS];

static void wait_in_line(int n) {
    weir_session session;
    weir_op op;
    for (int i = 0; i < n; i++)
        if (weir_pool_acquire(pool, &checkout, &checkout, &session, &op, NULL) != WEIR_PENDING)
            expect(false, "not in line");
}

/* One comes back, the next in line has it and takes it, and another gets in line. */
static double grant_round(void) {
    weir_op op;
    weir_session none;
    weir_completion c;
    double begun = cpu_ns();
    for (int i = 0; i < GRANTS; i++) {
        weir_session_release(held[i % CONNECTIONS]);
        if (!weir_reactor_next(reactor, &c)) exit(EXIT_FAILURE);
        held[i % CONNECTIONS] = c.session;
        weir_pool_acquire(pool, &checkout, &checkout, &none, &op, NULL);
    }
    return (cpu_ns() - begun) / GRANTS;
}

static void print(const char *name, double value, const char *unit, const char *limit) {
    printf("%s\t%.2f\t%s\t%s\n", name, value, unit, limit);
}

int main(void) {
    open_pool();
    weir_checkout_init(&checkout);
    checkout.file = "/srv/app/orders/views.py";
    checkout.function = "place_order";
    checkout.line = 42;
    print("acquire and release, idle pool", median(loan_round), "ns", "150");
    statement = weir_statement_new("select 1", 8, NULL);
    print("execute on the pool", median(execute_round), "ns", "");
    for (int i = 0; i < CONNECTIONS; i++) {
        weir_op op;
        int code = weir_pool_acquire(pool, &checkout, &checkout, &held[i], &op, NULL);
        expect(code == WEIR_OK, "no connection");
    }
    wait_in_line(FEW);
    double few = median(grant_round);
    size_t before = mallinfo2().uordblks;
    wait_in_line(MANY - FEW);
    double bytes = (double)(mallinfo2().uordblks - before) / (MANY - FEW);
    double many = median(grant_round);
    print("grant, 100 waiters", few, "ns", "");
    print("grant, 10,000 waiters", many, "ns", "");
    print("grant, 10,000 waiters to 100", many / few, "x", "1.2");
    print("memory of a waiter", bytes, "bytes", "512");
    weir_statement_unref(statement);
    weir_pool_free(pool);
    weir_reactor_free(reactor);
    return EXIT_SUCCESS;
}
