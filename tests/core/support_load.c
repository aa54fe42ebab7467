#include "support_load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_pool.h"

enum { POOLS = 4, CALLERS = 16384, JOBS = 1024 };
#define KNEE 2        /* so many statements a processor are no trouble … */
#define TROUBLE 0.015 /* … and each one more takes this part of what all of them get */
#define TURNS 100     /* milliseconds between two looks at what must hold */

typedef enum stage { FREE, WAITS, THINKS, RUNS, THINKS_AGAIN } stage;

typedef struct caller {
    stage stage;
    int kind, next; /* next: of the free ones */
    double work;    /* ns */
    int64_t asked_at;
    weir_session session;
} caller;

/* A statement at the server. */
typedef struct job {
    caller *caller;
    weir__conn *conn;
    double left;   /* ns of work */
    bool waits;    /* for the lock */
    int64_t until; /* it has worked, and waits so long for something else; 0: not yet */
} job;

static struct {
    const load *load;
    const load_setup *setup;
    load_report *report;
    uint64_t seed;
    weir__rng rng;
    weir_pool *pools[POOLS];
    weir_statement *texts[LOAD_KINDS];
    int64_t begun_at, next_caller;
    int phase, turn;
    caller callers[CALLERS];
    int free;
    struct {
        caller *caller;
        int64_t until;
    } thinking[CALLERS]; /* all think for the same time: a ring */
    int first_thinking, thinking_count;
    job jobs[JOBS]; /* in the order of coming */
    int job_count;
    int64_t served_at;
    int64_t *times; /* of the good ones */
    long room;
} sim;

static void fault(const char *why) {
    if (!sim.report->fault) sim.report->fault = why;
}

/* With a mean of 1. Drawn in the order of the callers' coming: whatever the pools do, they are the same. */
static double exponential(void) {
    return -log(1 - (double)weir__random_below(&sim.rng, 1 << 20) / (1 << 20));
}

/* ---- the server ---- */

static bool works(const job *job) { return !job->waits && !job->until; }

static double speed(void) {
    int working = 0, cores = sim.load->phases[sim.phase].cores;
    for (int i = 0; i < sim.job_count; i++) working += works(&sim.jobs[i]);
    double part = working > cores ? (double)cores / working : 1;
    int over = working - KNEE * cores;
    return part * sim.load->phases[sim.phase].speed / (1 + (over > 0 ? over * TROUBLE : 0));
}

static void give_lock(void) {
    bool taken = false;
    for (int i = 0; i < sim.job_count; i++) {
        const job *job = &sim.jobs[i];
        taken = taken || (sim.load->kinds[job->caller->kind].locks && !job->waits);
    }
    for (int i = 0; i < sim.job_count && !taken; i++) {
        taken = sim.jobs[i].waits;
        sim.jobs[i].waits = false;
    }
}

static void remove_job(int i) {
    memmove(&sim.jobs[i], &sim.jobs[i + 1], (size_t)(--sim.job_count - i) * sizeof *sim.jobs);
    give_lock();
}

/* It is cancelled, or gone. */
static void forget_job(const caller *caller) {
    for (int i = 0; i < sim.job_count; i++)
        if (sim.jobs[i].caller == caller) {
            remove_job(i);
            return;
        }
}

static void add_job(caller *caller, weir__conn *conn) {
    if (sim.job_count == JOBS) {
        fault("too many statements at the server");
        return;
    }
    sim.jobs[sim.job_count++] = (job){
        .caller = caller, .conn = conn, .left = caller->work, .waits = sim.load->kinds[caller->kind].locks};
    give_lock();
}

static int64_t next_answer(void) {
    double least = -1;
    int64_t next = WEIR__NEVER;
    for (int i = 0; i < sim.job_count; i++) {
        const job *job = &sim.jobs[i];
        if (works(job) && (least < 0 || job->left < least)) least = job->left;
        if (job->until && job->until < next) next = job->until;
    }
    int64_t done = least < 0 ? WEIR__NEVER : sim.served_at + (int64_t)(least / speed()) + 1;
    return done < next ? done : next;
}

/* Has it work until `now`. */
static void serve(int64_t now) {
    double done = (double)(now - sim.served_at) * speed();
    int64_t lock = sim.load->phases[sim.phase].lock_ms * WEIR__MS;
    sim.served_at = now;
    for (int i = 0; i < sim.job_count; i++) {
        job *job = &sim.jobs[i];
        if (!works(job)) continue;
        job->left -= done;
        bool naps = job->left <= 0 && lock && sim.load->kinds[job->caller->kind].locks;
        if (naps) job->until = now + lock;
    }
    weir__enter(rig.reactor);
    for (int i = 0; i < sim.job_count;) {
        const job *job = &sim.jobs[i];
        weir__conn *conn = job->conn;
        bool over = job->until ? job->until <= now : !job->waits && job->left <= 0;
        if (over) remove_job(i);
        if (over && !weir__fake_answer(conn)) fault("an answer to nothing");
        i += !over;
    }
    weir__leave(rig.reactor);
}

/* ---- the callers ---- */

static void leave(caller *caller) {
    caller->stage = FREE;
    caller->next = sim.free;
    sim.free = (int)(caller - sim.callers);
}

static void lose(caller *caller, int code) {
    bool refused = code == WEIR_EOVERLOADED;
    sim.report->refused += refused;
    sim.report->late += !refused;
    leave(caller);
}

static int64_t left_ms(const caller *caller) {
    int64_t left = caller->asked_at / WEIR__MS + sim.load->patience_ms - rig.clock.now / WEIR__MS;
    return left > 1 ? left : 1;
}

static void run_statement(caller *caller) {
    weir_op op = 0;
    weir__slot *slot = caller->session.pool->slots[caller->session.slot];
    caller->stage = RUNS;
    int code = weir_session_execute(caller->session, sim.texts[caller->kind], FOR_MS(left_ms(caller)), caller,
                                    &op, NULL);
    if (code == WEIR_PENDING)
        add_job(caller, slot->conn);
    else
        fault("a statement is refused");
}

static void end(caller *caller) {
    int64_t took = rig.clock.now - caller->asked_at;
    if (took <= sim.load->patience_ms * WEIR__MS) {
        if (sim.report->good == sim.room) {
            sim.room = sim.room ? 2 * sim.room : 4096;
            sim.times = realloc(sim.times, (size_t)sim.room * sizeof *sim.times);
        }
        sim.times[sim.report->good++] = took;
    } else {
        sim.report->late++;
    }
    weir_session_release(caller->session);
    leave(caller);
}

static void think(caller *caller, stage stage) {
    int64_t half = sim.load->think_ms * WEIR__MS / 2;
    caller->stage = stage;
    if (!half && stage == THINKS) {
        run_statement(caller);
    } else if (!half) {
        end(caller);
    } else {
        int last = (sim.first_thinking + sim.thinking_count++) % CALLERS;
        sim.thinking[last].caller = caller;
        sim.thinking[last].until = rig.clock.now + half;
    }
}

static void take(weir_completion *c) {
    caller *caller = c->token;
    weir_session session = c->session;
    c->session = (weir_session){0};
    int code = c->code;
    weir_completion_discard(c);
    if (!caller) return; /* of opening */
    if (caller->stage == WAITS && code == WEIR_OK) {
        caller->session = session;
        think(caller, THINKS);
    } else if (caller->stage == RUNS && code == WEIR_OK) {
        think(caller, THINKS_AGAIN);
    } else if (caller->stage == RUNS) {
        forget_job(caller);
        weir_session_release(caller->session);
        lose(caller, code);
    } else {
        lose(caller, code);
    }
}

static void ask(void) {
    weir_checkout checkout;
    weir_session session;
    weir_op op = 0;
    int kind = 0;
    int64_t dice = weir__random_below(&sim.rng, 100);
    while ((dice -= sim.load->kinds[kind].percent) >= 0) kind++;
    if (sim.free < 0) {
        fault("too many callers");
        return;
    }
    caller *caller = &sim.callers[sim.free];
    sim.free = caller->next;
    double work = 1000 + exponential() * sim.load->kinds[kind].work_ms * 1e6;
    *caller = (struct caller){.stage = WAITS, .kind = kind, .work = work, .asked_at = rig.clock.now};
    weir_checkout_init(&checkout);
    checkout.checkout_timeout_ms = sim.load->patience_ms;
    weir_pool *pool = sim.pools[weir__random_below(&sim.rng, sim.load->pools)];
    sim.report->asked++;
    int code = weir_pool_acquire(pool, &checkout, caller, &session, &op, NULL);
    if (code == WEIR_OK) {
        caller->session = session;
        think(caller, THINKS);
    } else if (code != WEIR_PENDING) {
        lose(caller, code);
    }
}

/* ---- time ---- */

static void schedule_caller(void) {
    sim.next_caller += 1 + (int64_t)(exponential() * 1e9 / sim.load->phases[sim.phase].rate);
}

static int64_t phase_end(void) {
    int64_t until = sim.load->phases[sim.phase].until_ms;
    return sim.begun_at + until * WEIR__MS;
}

static int64_t earliest(void) {
    int64_t at = next_answer(), wheel = weir__wheel_next(&rig.reactor->wheel), turn = phase_end();
    if (sim.next_caller < at) at = sim.next_caller;
    if (sim.thinking_count && sim.thinking[sim.first_thinking].until < at)
        at = sim.thinking[sim.first_thinking].until;
    if (wheel < at) at = wheel;
    if (turn < at) at = turn;
    return at > rig.clock.now ? at : rig.clock.now;
}

static void look(void) {
    int turn = (int)((rig.clock.now - sim.begun_at) / (TURNS * WEIR__MS));
    if (turn == sim.turn) return;
    sim.turn = turn;
    const char *why = NULL;
    for (int i = 0; i < sim.load->pools && !why; i++) {
        rig.pool = sim.pools[i];
        why = rig_fault();
    }
    if (why) fault(why);
    if (!sim.setup->print) return;
    int working = 0;
    for (int i = 0; i < sim.job_count; i++) working += works(&sim.jobs[i]);
    printf("%6.1f s:", (double)turn * TURNS / 1000);
    for (int i = 0; i < sim.load->pools; i++) {
        const weir_pool *pool = sim.pools[i];
        printf("  limit %3d base %5.2f%s lent %3d waiting %4d%s", (int)pool->adapt.limit, pool->adapt.base,
               pool->adapt.dips ? "v" : " ", pool->counts[WEIR__LENT], pool->waiting,
               pool->codel.overloaded ? "!" : " ");
    }
    printf("  at the server %3d, working %3d; good %ld\n", sim.job_count, working, sim.report->good);
}

static void drain(void) {
    weir_completion c;
    while (weir_reactor_next(rig.reactor, &c)) take(&c);
}

static void plant(void) {
    weir__enter(rig.reactor);
    for (int i = 0; i < sim.load->pools; i++) {
        sim.pools[i]->adapt.limit = sim.setup->size;
        weir__adapt_bound(sim.pools[i]);
    }
    weir__leave(rig.reactor);
}

/* To the next thing that happens. False: it is over. */
static bool step(void) {
    rig.clock.now = earliest();
    serve(rig.clock.now);
    if (sim.setup->deaf) plant();
    if (rig.clock.now >= phase_end()) {
        if (++sim.phase == LOAD_PHASES || !sim.load->phases[sim.phase].until_ms) return false;
    }
    if (weir__wheel_next(&rig.reactor->wheel) <= rig.clock.now) weir_reactor_dispatch(rig.reactor);
    drain();
    while (sim.thinking_count && sim.thinking[sim.first_thinking].until <= rig.clock.now) {
        caller *caller = sim.thinking[sim.first_thinking].caller;
        sim.first_thinking = (sim.first_thinking + 1) % CALLERS;
        sim.thinking_count--;
        if (caller->stage == THINKS)
            run_statement(caller);
        else
            end(caller);
    }
    if (sim.next_caller <= rig.clock.now) {
        ask();
        schedule_caller();
    }
    drain();
    look();
    return !sim.report->fault;
}

/* ---- all of it ---- */

static void open_pools(void) {
    weir_options options = rig_options();
    options.min_size = 0;
    options.max_size = sim.setup->size;
    options.checkout_timeout_ms = options.command_timeout_ms = 60000;
    options.max_lifetime_ms = -1;
    options.queue_target_ms = sim.setup->codel ? 50 : -1;
    options.adaptive_size = sim.setup->adaptive;
    options.circuit_breaker = false; /* time-outs are what is to be seen here */
    for (int i = 0; i < sim.load->pools; i++) {
        rig_open(&options, sim.seed + (uint64_t)i, NULL, NULL);
        sim.pools[i] = rig.pool;
    }
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void finish(void) {
    sim.report->limit = weir__adapt_keeps(sim.pools[0]);
    rig.pool = NULL;
    for (int i = 0; i < sim.load->pools; i++) weir_pool_free(sim.pools[i]);
    weir_completion c;
    while (weir_reactor_next(rig.reactor, &c)) weir_completion_discard(&c);
    for (int i = 0; i < LOAD_KINDS; i++) weir_statement_unref(sim.texts[i]);
    const char *why = rig_end();
    if (why) fault(why);
}

static void run(uint64_t seed) {
    static const char *const texts[LOAD_KINDS] = {"hang a", "hang b", "hang c"};
    sim.seed = seed;
    sim.rng.state = seed * 7919;
    sim.phase = sim.turn = sim.thinking_count = sim.first_thinking = sim.job_count = 0;
    for (int i = 0; i < CALLERS; i++) sim.callers[i].next = i + 1 < CALLERS ? i + 1 : -1;
    sim.free = 0;
    rig_start(seed);
    for (int i = 0; i < LOAD_KINDS; i++) sim.texts[i] = weir_statement_new(texts[i], strlen(texts[i]), NULL);
    weir__fake.connect_min_ns = 5 * WEIR__MS;
    weir__fake.connect_max_ns = 10 * WEIR__MS;
    weir__fake.cancel_min_ns = weir__fake.cancel_max_ns = WEIR__MS;
    sim.begun_at = sim.served_at = sim.next_caller = rig.clock.now;
    open_pools();
    while (step()) {
    }
    finish();
}

void load_run(const load *load, const load_setup *setup, load_report *report) {
    *report = (load_report){0};
    sim.load = load;
    sim.setup = setup;
    sim.report = report;
    for (int seed = 1; seed <= setup->seeds; seed++) run((uint64_t)seed);
    qsort(sim.times, (size_t)report->good, sizeof *sim.times, by_size);
    report->p99_ms = report->good ? (double)sim.times[report->good * 99 / 100] / 1e6 : 0;
}
