/* The fake driver's table: it decides, waits on the host's timer, and tells. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/fake/conn.h"

static weir__fake_conn *conn_of(weir__conn *conn) { return (weir__fake_conn *)conn; }

static const weir__host *host_of(const weir__fake_conn *conn) { return conn->base.env->host; }

/* ---- chances, times, complaints ---- */

static bool happens(int permille) { return weir__random_below(&weir__fake.rng, 1000) < permille; }

static int64_t between(int64_t least, int64_t most) {
    return most <= least ? least : least + weir__random_below(&weir__fake.rng, most - least + 1);
}

static bool pop(weir__fake_queue *queue, weir__fake_outcome *out) {
    if (queue->count == 0) return false;
    *out = queue->items[queue->first];
    queue->first = (queue->first + 1) % WEIR__FAKE_QUEUE;
    queue->count--;
    return true;
}

static void complain(const weir__fake_conn *conn, const char *what) {
    static const char *const states[] = {"new",       "connecting", "idle",     "running",
                                         "resetting", "lost",       "stopping", "down"};
    if (weir__fake.violations++ == 0)
        snprintf(weir__fake.violation, sizeof weir__fake.violation, "%s on a connection that is %s", what,
                 states[conn->state]);
}

static void arm(weir__fake_conn *conn, int64_t delay_ns) {
    conn->due = delay_ns == WEIR__NEVER ? WEIR__NEVER : weir__now(conn->base.env->clock) + delay_ns;
    host_of(conn)->arm(&conn->base, conn->due);
}

static void note(const char *text, const char *end) {
    size_t length = strlen(weir__fake.transcript);
    snprintf(weir__fake.transcript + length, sizeof weir__fake.transcript - length, "%s%s", text, end);
}

/* ---- the ends of things ---- */

static void become_idle(weir__fake_conn *conn) {
    conn->state = WEIR__FAKE_IDLE;
    if (happens(weir__fake.lost_idle_permille)) arm(conn, 1 + between(0, weir__fake.idle_death_max_ns));
}

static void lose(weir__fake_conn *conn, int code, const char *why) {
    weir_error error = WEIR_ERROR_INIT;
    conn->state = WEIR__FAKE_LOST;
    weir__fake.lost++;
    weir__fail(&error, code, "%s", why);
    host_of(conn)->lost(&conn->base, &error);
    weir_error_clear(&error);
}

static void end_request(weir__fake_conn *conn, weir_error *error) {
    weir__request *request = conn->base.request;
    request->code = error->code;
    request->error = error->code == WEIR_OK ? NULL : weir__error_detach(error);
    conn->base.request = NULL;
    host_of(conn)->done(&conn->base, request);
}

static weir__request *pop_line(weir__fake_conn *conn) {
    if (!conn->line_count) return NULL;
    weir__request *request = conn->line[0];
    memmove(conn->line, conn->line + 1, --conn->line_count * sizeof *conn->line);
    return request;
}

/* Ends those in line, unrun. */
static void end_line(weir__fake_conn *conn, int code) {
    conn->held = 0;
    for (weir__request *request; (request = pop_line(conn));) {
        weir_error error = WEIR_ERROR_INIT;
        request->code = weir__fail(&error, code, "it was not run");
        request->error = weir__error_detach(&error);
        host_of(conn)->done(&conn->base, request);
    }
}

static void lose_running(weir__fake_conn *conn, const char *why) {
    weir__request *request = conn->base.request;
    if (request) {
        weir_error error = WEIR_ERROR_INIT;
        bool commit =
            conn->state == WEIR__FAKE_RUNNING && request->command && strcmp(request->command, "COMMIT") == 0;
        weir__fail(&error, commit ? WEIR_EOUTCOME : WEIR_ELOST, "%s", why);
        conn->base.tx = WEIR__TX_NONE;
        end_request(conn, &error);
    }
    end_line(conn, WEIR_ELOST);
    lose(conn, WEIR_ELOST, why);
}

static void fail(weir__fake_conn *conn, weir_error *error, const char *sqlstate) {
    weir__report report = {.severity = "ERROR", .sqlstate = sqlstate, .message = "as the script says"};
    weir__fail_report(error, &report);
    if (conn->base.tx == WEIR__TX_OPEN) conn->base.tx = WEIR__TX_FAILED;
}

/* ---- requests ---- */

static void run_command(weir__fake_conn *conn, const char *text, weir__request *request, weir_error *error) {
    bool commit = strcmp(text, "COMMIT") == 0;
    if (strncmp(text, "BEGIN", 5) == 0) {
        weir__fake.begins++;
        conn->base.tx = WEIR__TX_OPEN;
    } else if (strncmp(text, "ROLLBACK TO", 11) == 0) {
        if (conn->base.tx == WEIR__TX_FAILED) conn->base.tx = WEIR__TX_OPEN;
    } else if (strcmp(text, "ROLLBACK") == 0) {
        weir__fake.rollbacks++;
        conn->base.tx = WEIR__TX_NONE;
    } else if (conn->base.tx == WEIR__TX_FAILED && !commit) {
        fail(conn, error, "25P02");
    } else if (commit) {
        request->rolled_back = conn->base.tx == WEIR__TX_FAILED ||
                               conn->outcome.kind == WEIR__FAKE_ROLLED_BACK ||
                               happens(weir__fake.commit_rolled_back_permille);
        conn->base.tx = WEIR__TX_NONE;
        weir__fake.commits += !request->rolled_back;
        if (request->rolled_back) weir__fail(error, WEIR_EROLLEDBACK, "COMMIT was answered by ROLLBACK");
    }
}

static void answer(weir__fake_conn *conn, weir__request *request, weir_error *error) {
    for (unsigned i = 0; error->code == WEIR_OK && i < request->before_count; i++) {
        if (happens(weir__fake.before_fail_permille))
            fail(conn, error, "57P03");
        else
            run_command(conn, request->before[i], request, error);
        request->begun += error->code == WEIR_OK;
    }
    if (error->code != WEIR_OK) return;
    const char *sqlstate = conn->ending                                             ? "57014"
                           : request->statement && conn->base.tx == WEIR__TX_FAILED ? "25P02"
                           : conn->outcome.kind == WEIR__FAKE_FAIL                  ? conn->outcome.sqlstate
                                                                                    : NULL;
    if (sqlstate) {
        fail(conn, error, sqlstate);
        return;
    }
    if (request->statement) {
        request->result = weir__fake_result(request->statement);
        if (!request->result) weir__fail(error, WEIR_ENOMEM, "out of memory");
    }
    if (request->command && error->code == WEIR_OK) run_command(conn, request->command, request, error);
    if (error->code == WEIR_OK) return;
    weir_result_free(request->result);
    request->result = NULL;
}

static void run(weir__fake_conn *conn, weir__request *request);

static void run_line(weir__fake_conn *conn) {
    while (conn->state == WEIR__FAKE_IDLE && conn->line_count > conn->held) run(conn, pop_line(conn));
}

static void finish(weir__fake_conn *conn) {
    weir__request *request = conn->base.request;
    weir_error error = WEIR_ERROR_INIT;
    if (conn->muted || (conn->outcome.kind == WEIR__FAKE_LOSE && !conn->ending)) {
        lose_running(conn, "the script cut the connection");
        return;
    }
    if (conn->state == WEIR__FAKE_RESETTING) {
        conn->base.tx = WEIR__TX_NONE;
        if (conn->outcome.kind == WEIR__FAKE_FAIL) weir__fail(&error, WEIR_ELOST, "the reset failed");
    } else {
        answer(conn, request, &error);
    }
    if (conn->line_count)
        conn->state = WEIR__FAKE_IDLE;
    else
        become_idle(conn);
    end_request(conn, &error);
    run_line(conn);
}

/* Answers now, later, or never. */
static void schedule(weir__fake_conn *conn) {
    if (conn->outcome.kind == WEIR__FAKE_HANG)
        arm(conn, WEIR__NEVER);
    else if (conn->outcome.delay_ns > 0)
        arm(conn, conn->outcome.delay_ns);
    else {
        if (conn->due != WEIR__NEVER) arm(conn, WEIR__NEVER);
        finish(conn);
    }
}

bool weir__fake_answer(weir__conn *base) {
    weir__fake_conn *conn = conn_of(base);
    if (conn->state != WEIR__FAKE_RUNNING || conn->killed) return false;
    if (conn->outcome.kind == WEIR__FAKE_HANG) conn->outcome.kind = WEIR__FAKE_OK;
    arm(conn, WEIR__NEVER);
    finish(conn);
    return true;
}

static void clear(weir__request *request) {
    request->code = WEIR_OK;
    request->result = NULL;
    request->error = NULL;
    request->rolled_back = false;
    request->begun = 0;
}

static bool take(weir__fake_conn *conn, weir__request *request, weir__fake_state state, const char *what) {
    if (conn->state != WEIR__FAKE_IDLE) {
        complain(conn, what);
        return false;
    }
    conn->state = state;
    conn->cancelled = conn->ending = false;
    conn->base.request = request;
    clear(request);
    return true;
}

/* As a parameter that cannot be encoded: nothing is sent. */
static void fail_locally(weir__fake_conn *conn) {
    weir_error error = WEIR_ERROR_INIT;
    weir__fail(&error, WEIR_EVALUE, "nothing was sent");
    become_idle(conn);
    end_request(conn, &error);
}

static void flush(weir__conn *base) {
    weir__fake_conn *conn = conn_of(base);
    weir__fake.sends += conn->held > 0;
    conn->held = 0;
    run_line(conn);
}

static void execute(weir__conn *base, weir__request *request) {
    weir__fake_conn *conn = conn_of(base);
    bool behind = conn->state == WEIR__FAKE_IDLE ? conn->line_count || request->hold
                                                 : conn->state == WEIR__FAKE_RUNNING && !conn->cancelled;
    if (!behind || conn->line_count == WEIR__FAKE_LINE) {
        weir__fake.sends++;
        run(conn, request);
        return;
    }
    clear(request);
    conn->line[conn->line_count++] = request;
    conn->held++;
    if (!request->hold) flush(base);
}

static void run(weir__fake_conn *conn, weir__request *request) {
    if (!take(conn, request, WEIR__FAKE_RUNNING, "execute")) return;
    if (request->statement && strcmp(request->statement->sql, "local fail") == 0) {
        fail_locally(conn);
        return;
    }
    weir__fake.executed++;
    for (unsigned i = 0; i < request->before_count; i++) note(request->before[i], "; ");
    if (request->statement) note(request->statement->sql, request->command ? "; " : "\n");
    if (request->command) note(request->command, "\n");
    conn->outcome =
        (weir__fake_outcome){WEIR__FAKE_OK, "", between(weir__fake.run_min_ns, weir__fake.run_max_ns)};
    if (!pop(&weir__fake.runs, &conn->outcome)) {
        if (happens(weir__fake.lost_running_permille))
            conn->outcome.kind = WEIR__FAKE_LOSE;
        else if (happens(weir__fake.error_permille)) {
            conn->outcome.kind = WEIR__FAKE_FAIL;
            strcpy(conn->outcome.sqlstate, "23505");
        }
        if (request->statement) weir__fake_obey(request->statement, &conn->outcome);
    }
    schedule(conn);
}

/* A write says so. */
static bool doubtful(weir__conn *base, const weir__request *request) {
    const weir__fake_conn *conn = conn_of(base);
    bool flies = base->request == request && conn->state == WEIR__FAKE_RUNNING;
    for (size_t i = 0; i < conn->line_count; i++) flies = flies || conn->line[i] == request;
    return flies && base->tx == WEIR__TX_NONE && !request->before_count && request->statement &&
           strstr(request->statement->sql, " write");
}

static void cancel(weir__conn *base) {
    weir__fake_conn *conn = conn_of(base);
    if (conn->state == WEIR__FAKE_IDLE && conn->held) {
        end_line(conn, WEIR_ECANCELLED);
        return;
    }
    if (conn->state != WEIR__FAKE_RUNNING && conn->state != WEIR__FAKE_RESETTING) {
        complain(conn, "cancel");
        return;
    }
    if (conn->cancelled) complain(conn, "a second cancel");
    conn->cancelled = true;
    weir__fake.cancelled++;
    end_line(conn, WEIR_ECANCELLED);
    if (happens(weir__fake.cancel_ignored_permille)) return;
    conn->ending = true;
    conn->outcome.kind = WEIR__FAKE_OK;
    conn->outcome.delay_ns = between(weir__fake.cancel_min_ns, weir__fake.cancel_max_ns);
    schedule(conn);
}

static bool reset(weir__conn *base, weir__request *request, weir__reset how) {
    weir__fake_conn *conn = conn_of(base);
    bool needed = base->tx != WEIR__TX_NONE || happens(weir__fake.reset_permille);
    if (conn->state == WEIR__FAKE_IDLE && !needed) return false;
    if (!take(conn, request, WEIR__FAKE_RESETTING, "reset")) return false;
    weir__fake.resets++;
    weir__fake.reset_how = how;
    conn->outcome =
        (weir__fake_outcome){WEIR__FAKE_OK, "", between(weir__fake.reset_min_ns, weir__fake.reset_max_ns)};
    if (happens(weir__fake.reset_fail_permille)) conn->outcome.kind = WEIR__FAKE_FAIL;
    schedule(conn);
    return true;
}

/* ---- the life of a connection ---- */

static weir__env *env_open(const weir__env *base, weir_error *error) {
    if (weir__fake.env_fails) {
        weir__fail(error, WEIR_EOPTION, "the script refuses the URL");
        return NULL;
    }
    weir__env *env = weir__malloc(sizeof *env);
    if (!env) {
        weir__fail(error, WEIR_ENOMEM, "out of memory");
        return NULL;
    }
    *env = *base;
    return env;
}

static void env_close(weir__env *env) { weir__free(env); }

static weir__conn *create(weir__env *env, void *owner) {
    if (weir__fake.live_count == WEIR__FAKE_LIVE) return NULL;
    weir__fake_conn *conn = weir__calloc(1, sizeof *conn);
    if (!conn) return NULL;
    conn->base.env = env;
    conn->base.owner = owner;
    conn->due = WEIR__NEVER;
    conn->base.backend = (int)++weir__fake.created;
    weir__fake.live[weir__fake.live_count++] = &conn->base;
    return &conn->base;
}

static void refuse(weir__fake_conn *conn) {
    weir_error error = WEIR_ERROR_INIT;
    conn->state = WEIR__FAKE_LOST;
    weir__fail(&error, WEIR_ECONNECT, "no");
    strncpy(error.sqlstate, weir__fake.connect_sqlstate, sizeof error.sqlstate - 1);
    error.retryable = strncmp(error.sqlstate, "28", 2) != 0; /* as PostgreSQL's driver tells it */
    host_of(conn)->lost(&conn->base, &error);
    weir_error_clear(&error);
}

static void finish_connect(weir__fake_conn *conn) {
    if (conn->outcome.kind != WEIR__FAKE_OK) {
        if (weir__fake.connect_sqlstate)
            refuse(conn);
        else
            lose(conn, WEIR_ECONNECT, "the script refuses the connection");
        return;
    }
    weir__fake.connected++;
    become_idle(conn);
    host_of(conn)->connected(&conn->base);
}

static void connect_(weir__conn *base) {
    weir__fake_conn *conn = conn_of(base);
    if (conn->state != WEIR__FAKE_NEW) {
        complain(conn, "connect");
        return;
    }
    conn->state = WEIR__FAKE_CONNECTING;
    conn->outcome = (weir__fake_outcome){WEIR__FAKE_OK, "",
                                         between(weir__fake.connect_min_ns, weir__fake.connect_max_ns)};
    if (!pop(&weir__fake.connects, &conn->outcome) && happens(weir__fake.connect_fail_permille))
        conn->outcome.kind = WEIR__FAKE_FAIL;
    if (conn->outcome.kind == WEIR__FAKE_HANG) return;
    if (conn->outcome.delay_ns > 0)
        arm(conn, conn->outcome.delay_ns);
    else
        finish_connect(conn);
}

static void ready(weir__conn *base, unsigned events) {
    (void)events;
    complain(conn_of(base), "ready without a watched descriptor");
}

static void go_down(weir__fake_conn *conn) {
    conn->state = WEIR__FAKE_DOWN;
    weir__fake.down++;
    host_of(conn)->down(&conn->base);
}

static void tick(weir__conn *base) {
    weir__fake_conn *conn = conn_of(base);
    if (conn->due == WEIR__NEVER || weir__now(base->env->clock) < conn->due) {
        complain(conn, "an early tick");
        return;
    }
    conn->due = WEIR__NEVER;
    switch (conn->state) {
    case WEIR__FAKE_CONNECTING:
        if (conn->killed)
            lose(conn, WEIR_ECONNECT, "the server cut the connection");
        else
            finish_connect(conn);
        break;
    case WEIR__FAKE_IDLE:
        lose_running(conn, "the server cut the connection");
        break;
    case WEIR__FAKE_RUNNING:
    case WEIR__FAKE_RESETTING:
        if (conn->killed)
            lose_running(conn, "the server cut the connection");
        else
            finish(conn);
        break;
    case WEIR__FAKE_STOPPING:
        go_down(conn);
        break;
    default:
        complain(conn, "a tick");
    }
}

static bool alive(weir__conn *base) {
    weir__fake_conn *conn = conn_of(base);
    if (conn->state != WEIR__FAKE_IDLE) complain(conn, "alive");
    return !conn->muted;
}

static weir__role role(weir__conn *base) {
    (void)base;
    return weir__fake.role;
}

static void stop(weir__conn *base) {
    weir__fake_conn *conn = conn_of(base);
    if (conn->state >= WEIR__FAKE_STOPPING) {
        complain(conn, "stop");
        return;
    }
    int64_t delay = between(weir__fake.down_min_ns, weir__fake.down_max_ns);
    weir__fake.stopped++;
    conn->state = WEIR__FAKE_STOPPING;
    conn->line_count = conn->held = 0;
    base->request = NULL;
    arm(conn, delay > 0 ? delay : WEIR__NEVER);
    if (delay <= 0) go_down(conn);
}

static void free_(weir__conn *base) {
    weir__fake_conn *conn = conn_of(base);
    size_t i = 0;
    if (conn->state != WEIR__FAKE_DOWN) complain(conn, "free");
    while (i < weir__fake.live_count && weir__fake.live[i] != base) i++;
    if (i < weir__fake.live_count) {
        weir__fake.live_count--;
        memmove(&weir__fake.live[i], &weir__fake.live[i + 1], (weir__fake.live_count - i) * sizeof base);
    }
    weir__fake.freed++;
    weir__free(conn);
}

static const char *begin(weir__env *env, const weir__begin *begin, weir_error *error) {
    static const char *const texts[][2] = {
        {"BEGIN", "BEGIN READ ONLY"},
        {"BEGIN ISOLATION LEVEL READ UNCOMMITTED", "BEGIN ISOLATION LEVEL READ UNCOMMITTED READ ONLY"},
        {"BEGIN ISOLATION LEVEL READ COMMITTED", "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"},
        {"BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"},
        {"BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"},
    };
    (void)env;
    if ((unsigned)begin->isolation > WEIR__SERIALIZABLE) {
        weir__fail(error, WEIR_EINVAL, "no such isolation level");
        return NULL;
    }
    return texts[begin->isolation][begin->readonly];
}

static void baseline(weir__conn *conn) { (void)conn; }

static unsigned classify(const weir__env *env, const weir_statement *statement) {
    (void)env;
    if (strncmp(statement->sql, "state", 5) == 0) return WEIR__TEXT_STATE;
    if (strstr(statement->sql, " shared write")) return WEIR__TEXT_SHARES;
    if (!strstr(statement->sql, " shared")) return 0;
    return WEIR__TEXT_SHARES | WEIR__TEXT_READS | WEIR__TEXT_AGAIN;
}

const weir__driver weir__fake_driver = {
    .name = "fake",
    .pipelines = true,
    .listens = true,
    .classify = classify,
    .env_open = env_open,
    .env_close = env_close,
    .create = create,
    .connect = connect_,
    .ready = ready,
    .tick = tick,
    .execute = execute,
    .flush = flush,
    .doubtful = doubtful,
    .cancel = cancel,
    .reset = reset,
    .baseline = baseline,
    .alive = alive,
    .role = role,
    .stop = stop,
    .free = free_,
    .begin = begin,
};
