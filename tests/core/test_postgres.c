/* The PostgreSQL driver against a real server: parameters, names, connecting, and the ways in which it fails.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "pg_host.h"

static const pg_server *server;

/* A new file with this in it, for its owner alone, as password files must be; its name into path. */
static void WEIR_PRINTF(2, 3) write_temporary(char *path, const char *format, ...) {
    va_list args;
    strcpy(path, "/tmp/weir-test-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    va_start(args, format);
    ck_assert_int_gt(vdprintf(fd, format, args), 0);
    va_end(args);
    close(fd);
}

/* A port on which nobody listens. */
static int dead_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port); /* bound, so that nobody else takes it, and never listened on */
}

/* Connects, asks something, and goes. */
static void check_connects(const char *expression, const char *expected) {
    lone l;
    open_lone(&l);
    ck_assert_int_gt(l.peer.conn->backend, 0);
    if (expression) EXPECT(&l.peer, expression, expected);
    close_lone(&l);
}

/* Connects in vain. */
static void check_fails(const char *sqlstate, const char *fragment) {
    peer p;
    pool opened = open_pool();
    ck_assert(start_peer(&opened, &p));
    WAIT_FOR(p.connected || p.lost);
    ck_assert(p.lost);
    ck_assert_msg(p.why.code == WEIR_ECONNECT, "%d %s", p.why.code, p.why.message);
    ck_assert_str_eq(p.why.sqlstate, sqlstate);
    const char *found = strstr(p.why.message, fragment);
    ck_assert_msg(found && !strstr(found + 1, fragment), "%s", p.why.message);
    ck_assert_ptr_null(strstr(p.why.message, "LOCATION"));
    ck_assert_ptr_null(strchr(p.why.message, '\n'));
    if (*sqlstate) ck_assert_ptr_null(strstr(p.why.message, sqlstate));
    stop_peer(&p);
    close_pool(&opened);
}

START_TEST(session_attributes) {
    int other = pg_server_read_only();
    char writable[16], read_only[16];
    snprintf(writable, sizeof writable, "%d", server->port);
    snprintf(read_only, sizeof read_only, "%d", other);
    with_url("postgresql://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres", other, server->port);
    check_connects("SHOW port", read_only);
    with_url("postgresql://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?target_session_attrs=read-write",
             other, server->port);
    check_connects("SHOW port", writable);
    with_url("postgresql://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?target_session_attrs=read-only",
             server->port, other);
    check_connects("SHOW port", read_only);
    with_url("postgresql://weir@localhost:%d/weir?target_session_attrs=standby", server->port);
    check_fails("", "not in hot standby");
}
END_TEST

START_TEST(password) {
    with_url("postgresql://weir_secret:%s@localhost:%d/weir", PG_SERVER_PASSWORD_URL, server->port);
    check_connects("SELECT current_user::text", "weir_secret");
    with_url("postgresql://weir_secret:canary-wrong@127.0.0.1:%d/weir", server->port);
    check_fails("28P01", "password authentication failed");
    with_url("postgresql://weir_secret@127.0.0.1:%d/weir?passfile=/nonexistent", server->port);
    check_fails("", "no password supplied");
    with_url("postgresql://weir_secret:%s@/weir?host=%s&port=%d", PG_SERVER_PASSWORD_URL, server->directory,
             server->port);
    check_fails("28000", "pg_hba.conf");
}
END_TEST

START_TEST(refusals) {
    with_url("postgresql://weir@localhost:%d/nowhere", server->port);
    check_fails("3D000", "\"nowhere\" does not exist");
    with_url("postgresql://nobody@localhost:%d/weir", server->port);
    check_fails("28000", "\"nobody\" does not exist");
    with_url("postgresql://weir@127.0.0.1:%d/weir", dead_port());
    check_fails("", "Connection refused; Is the server running on that host");
    with_url("postgresql://weir@/weir?host=/nonexistent");
    check_fails("", "No such file");
    with_url("postgresql://weir@no.such.host.invalid/weir");
    check_fails("", "could not translate host name \"no.such.host.invalid\"");
    with_url("postgresql://weir@127.0.0.1:%d,localhost:%d/nowhere", dead_port(), server->port);
    check_fails("3D000", "Connection refused");
    with_socket("");
    options.server_settings = (const char *const[]){"work_mem", "nonsense", NULL};
    check_fails("22023", "work_mem");
    with_url("postgresql://weir:%s@127.0.0.1:%d/weir", PG_SERVER_PASSWORD_URL, server->port);
    options.server_settings = (const char *const[]){"nope", "1", NULL};
    check_fails("42704", "unrecognized configuration parameter \"nope\"");
}
END_TEST

START_TEST(too_many_connections) {
    free(pg_server_query("ALTER ROLE weir CONNECTION LIMIT 0"));
    with_socket("");
    check_fails("53300", "too many connections");
    free(pg_server_query("ALTER ROLE weir CONNECTION LIMIT -1"));
    check_connects("SELECT 1", "1");
}
END_TEST

static void check_refused(const char *fragment) {
    pool opened;
    weir_error error = WEIR_ERROR_INIT;
    ck_assert(!try_open(&opened, &error));
    ck_assert_int_eq(error.code, WEIR_EOPTION);
    ck_assert_msg(strstr(error.message, fragment) != NULL, "%s", error.message);
    assert_no_canary(error.message);
    weir_error_clear(&error);
}

START_TEST(unknown_parameters) {
    with_socket("&sslmod=require");
    check_refused("\"sslmod\" is neither an option of the pool nor known to libpq 1");
    with_socket("&sslmod=require");
    check_refused("did you mean sslmode?");
    with_socket("&max_sise=1");
    check_refused("did you mean max_size?");
    with_socket("&connect_timout=1");
    check_refused("did you mean connect_timeout?");
    with_socket("&timeout=3"); /* like none of them */
    check_refused(": leave it out");
    with_socket("&sslmode=perhaps");
    check_refused("perhaps");
    static const char *const impossible[][2] = {
        {"target_session_attrs=bogus", "target_session_attrs"},
        {"gssencmode=bogus", "gssencmode"},
        {"channel_binding=bogus", "channel_binding"},
        {"ssl_min_protocol_version=bogus", "ssl_min_protocol_version"},
        {"port=abc", "port"},
        {"port=99999", "port"},
        {"port=0", "port"},
        {"port=1%202", "port"},
        {"port=5432,", "port"},
        {"host=a,b,c&port=1,abc,3", "port"},
        {"keepalives=x", "keepalives"},
        {"keepalives=1,1", "keepalives"},
        {"keepalives_idle=1s", "keepalives_idle"},
        {"keepalives_interval=99999999999", "keepalives_interval"},
        {"keepalives_count=0x", "keepalives_count"},
        {"tcp_user_timeout=abc", "tcp_user_timeout"},
    };
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
        with_url("postgresql://weir:canary-x@/weir?%s", impossible[i][0]);
        check_refused(impossible[i][1]);
    }
    with_url("postgresql://weir@/weir?host=localhost&port=%%20%d%%20&keepalives=%%201&keepalives_idle=",
             server->port);
    check_connects("SELECT 1", "1");
    with_socket("&replication=database");
    check_refused("replication");
    with_socket("&client_encoding=latin1");
    check_refused("UTF8");
    with_url("postgresql://weir:canary-x@a,b,c/weir?port=1,2");
    check_refused("port");
}
END_TEST

/* {port}, {dead} (nobody listens there), {dir} (of the socket), {pass} and {service} (files) are filled in.
 */
static const struct url {
    const char *env[13]; /* name, value, … */
    const char *url;
    const char *probe; /* NULL: it connects in vain; "": it is refused */
    const char *expected;
} urls[] = {
    {{0}, "postgresql://weir@/weir?host={dir}&port={port}", "SELECT inet_server_addr() IS NULL", "true"},
    {{0}, "postgresql://weir@127.0.0.1:{port}/weir", "SELECT host(inet_server_addr())", "127.0.0.1"},
    {{0}, "postgresql://weir@[::1]:{port}/weir", "SELECT host(inet_server_addr())", "::1"},
    {{0}, "postgres://weir@localhost:{port}/weir", "SELECT inet_server_addr() IS NOT NULL", "true"},
    {{0}, "postgresql://weir@no.such.host.invalid:{port}/weir?hostaddr=127.0.0.1", "SELECT 1", "1"},
    {{0}, "postgresql://weir@127.0.0.1:{dead},localhost:{port}/weir", "SELECT 1", "1"},
    {{0}, "postgresql://weir@127.0.0.1:{dead},[::1]:{port}/weir", "SELECT host(inet_server_addr())", "::1"},
    {{0}, "postgresql://weir@no.such.host.invalid:1,127.0.0.1:{dead},127.0.0.1:{port}/weir", "SELECT 1", "1"},
    {{0},
     "postgresql://w%65ir@127.0.0.1:{port}/we%69r?application_name=a%20b%26c%3dd",
     "SHOW application_name",
     "a b&c=d"},
    {{0},
     "postgresql://weir_secret:" PG_SERVER_PASSWORD_URL "@localhost:{port}/weir",
     "SELECT current_user::text",
     "weir_secret"},
    {{0}, "postgresql://weir@localhost:{port}/weir?lock_timeout=0.7", "SHOW lock_timeout", "700ms"},
    {{"PGHOST", "localhost", "PGPORT", "{port}", "PGUSER", "weir", "PGDATABASE", "weir", "PGAPPNAME", "known",
      "PGOPTIONS", "-c work_mem=3MB"},
     "postgresql://",
     "SELECT current_setting('application_name') || ' ' || current_setting('work_mem')",
     "known 3MB"},
    {{"PGHOST", "{dir}", "PGPORT", "{port}", "PGUSER", "weir", "PGDATABASE", "weir", "PGAPPNAME", "known"},
     "postgresql://?application_name=chosen",
     "SELECT concat(inet_server_addr(), current_setting('application_name'))",
     "chosen"},
    {{"PGHOST", "no.such.host.invalid", "PGPORT", "{dead}", "PGUSER", "nobody", "PGDATABASE", "nowhere"},
     "postgresql://weir@localhost:{port}/weir",
     "SELECT 1",
     "1"},
    {{0},
     "postgresql://weir_secret@localhost:{port}/weir?passfile={pass}",
     "SELECT current_user::text",
     "weir_secret"},
    {{"PGPASSFILE", "{pass}"},
     "postgresql://weir_secret@localhost:{port}/weir",
     "SELECT current_user::text",
     "weir_secret"},
    {{"PGSERVICEFILE", "{service}"}, "postgresql://?service=weir", "SHOW work_mem", "5MB"},
    {{"PGSERVICEFILE", "{service}", "PGSERVICE", "weir"}, "postgresql://", "SHOW work_mem", "5MB"},
    {{"PGSERVICEFILE", "{service}"}, "postgresql://?service=other", NULL, "\"other\" not found"},
    {{0},
     "postgresql://weir@localhost:{port}/weir?sslmod=require",
     "",
     "\"sslmod\" is neither an option of the pool nor known to libpq 1"},
};

typedef struct blank {
    const char *name;
    char value[64];
} blank;

static void fill_in(char *out, const char *text, const blank *blanks) {
    while (*text) {
        const blank *at = blanks;
        while (at->name && strncmp(text, at->name, strlen(at->name)) != 0) at++;
        if (at->name) {
            out = stpcpy(out, at->value);
            text += strlen(at->name);
        } else {
            *out++ = *text++;
        }
    }
    *out = '\0';
}

static bool has_ipv6(void) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return has;
}

START_TEST(each_url) {
    const struct url *row = &urls[_i];
    blank blanks[] = {{"{port}", ""}, {"{dead}", ""}, {"{dir}", ""}, {"{pass}", ""}, {"{service}", ""}, {0}};
    char text[512];
    snprintf(blanks[0].value, sizeof blanks[0].value, "%d", server->port);
    snprintf(blanks[1].value, sizeof blanks[1].value, "%d", dead_port());
    strcpy(blanks[2].value, server->directory);
    write_temporary(blanks[3].value, "localhost:%d:weir:weir_secret:%s\n", server->port, PG_SERVER_PASSWORD);
    write_temporary(blanks[4].value,
                    "[weir]\nhost=localhost\nport=%d\nuser=weir\ndbname=weir\noptions=-c work_mem=5MB\n",
                    server->port);
    for (const char *const *pair = row->env; *pair; pair += 2) {
        fill_in(text, pair[1], blanks);
        setenv(pair[0], text, 1);
    }
    fill_in(text, row->url, blanks);
    with_url("%s", text);
    if (strstr(row->url, "[::1]") && !has_ipv6())
        check_fails("", "\"::1\"");
    else if (!row->probe)
        check_fails("", row->expected);
    else if (!*row->probe)
        check_refused(row->expected);
    else
        check_connects(row->probe, row->expected);
    unlink(blanks[3].value);
    unlink(blanks[4].value);
}
END_TEST

START_TEST(settings) {
    with_socket("&options=-c%20lock_timeout%3D9s%20-c%20TimeZone%3DUTC");
    options.server_settings =
        (const char *const[]){"search_path", "a, \"b c\", d\\e", "application_name", "x y\\z", NULL};
    check_connects("SHOW search_path", "a, \"b c\", d\\e");
    check_connects("SHOW application_name", "x y\\z");
    check_connects("SHOW lock_timeout", "9s"); /* the user's own options win */
    check_connects("SHOW TimeZone", "UTC");
    check_connects("SHOW statement_timeout", "30500ms");
    with_socket("");
    options.lock_timeout_ms = 700;
    options.command_timeout_ms = -1;
    check_connects("SHOW lock_timeout", "700ms");
    check_connects("SHOW statement_timeout", "0");
    check_connects("SHOW application_name", "weirpool");
    options.lock_timeout_ms = -1;
    check_connects("SHOW lock_timeout", "0");
    options.command_timeout_ms = 1000;
    options.server_settings = (const char *const[]){"statement_timeout", "77s", NULL};
    check_connects("SHOW statement_timeout", "77s");
}
END_TEST

START_TEST(over_tls) {
    const char *certificate = pg_server_tls();
    int64_t deadline = weir__now(&weir__monotonic) + PATIENCE;
    while (pg_server_number("SELECT (current_setting('ssl') = 'on')::int") != 1)
        ck_assert(weir__now(&weir__monotonic) < deadline);
    with_url("postgresql://weir@localhost:%d/weir?sslmode=verify-full&sslrootcert=%s", server->port,
             certificate);
    check_connects("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "true");
    /* Results of all sizes around those of TLS records and of libpq's buffer. */
    lone l;
    open_lone(&l);
    for (int size = 8000; size < 100000; size += 977) {
        weir_value n = int_value(size);
        ck_assert_int_eq(run_values(&l.peer, "SELECT repeat('x', $1)", &n, NULL), WEIR_OK);
        ck_assert_uint_eq(cell(&l.peer, 0, 0).as.bytes.length, (size_t)size);
    }
    ck_assert(driver->alive(l.peer.conn));
    close_lone(&l);
    with_url("postgresql://weir@127.0.0.1:%d/weir?sslmode=verify-full&sslrootcert=%s", server->port,
             certificate);
    check_fails("", "does not match host name");
}
END_TEST

START_TEST(warns_of_unverified_servers) {
    with_url("postgresql://weir@192.0.2.1,192.0.2.2/weir");
    pool opened = open_pool();
    peer a, b;
    ck_assert(start_peer(&opened, &a));
    ck_assert(start_peer(&opened, &b));
    char *line = strstr(all_logs, "verify-full");
    ck_assert_ptr_nonnull(line);
    ck_assert_ptr_null(strstr(line + 1, "verify-full")); /* once a pool */
    stop_peer(&a);
    stop_peer(&b);
    close_pool(&opened);
}
END_TEST

START_TEST(stopped_on_the_way) {
    with_url("postgresql://weir@localhost:%d/weir", server->port);
    pool opened = open_pool();
    for (int turns = 0; turns < 8; turns++) {
        peer p;
        ck_assert(start_peer(&opened, &p));
        for (int i = 0; i < turns && !p.connected; i++) turn_once();
        stop_peer(&p);
    }
    close_pool(&opened);
    /* Threads that still look up a name post into a closed box, sooner or later. */
}
END_TEST

/* Something that answers the start-up with these bytes, and closes. */
static void *answer_oddly(void *arg) {
    const struct iovec *answer = ((const struct iovec *)arg) + 1;
    const int listener = *(const int *)((const struct iovec *)arg)->iov_base;
    char startup[2048];
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) return NULL;
    ssize_t got = read(fd, startup, sizeof startup);
    if (got > 0) got = send(fd, answer->iov_base, answer->iov_len, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while (got > 0) got = read(fd, startup, sizeof startup);
    close(fd);
    return NULL;
}

START_TEST(odd_servers) {
#define BYTES(text)                                                                                          \
    { (char *)(text), sizeof(text) - 1 }
    static const struct iovec answers[] = {
        BYTES(""),
        BYTES("HTTP/1.1 400 Bad Request\r\n\r\n"),
        BYTES("E\177\377\377\377"),
        BYTES("E\377\377\377\377SFATAL"),
        BYTES("R\0\0\0\4"),
        BYTES("R\0\0\0\10\0\0\0\143"),
        BYTES("R\0\0\0\10\0\0\0\0Z\0\0\0\4"),
        BYTES("R\0\0\0\10\0\0\0\0K\0\0\0\14\0\0\0\1\0\0\0\2Z\0\0\0\5I"),
        BYTES("E\0\0\0\33SFATAL\0C28P01\0Mno \n way\0\0"),
        BYTES("N\200\0\0\0"),
    };
#undef BYTES
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof address;
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
        ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
        ck_assert_int_eq(listen(listener, 1), 0);
        struct iovec job[2] = {{&listener, sizeof listener}, answers[i]};
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, answer_oddly, job), 0);
        with_url("postgresql://weir:canary@127.0.0.1:%d/weir?sslmode=disable", ntohs(address.sin_port));
        pool opened = open_pool();
        peer q;
        ck_assert(start_peer(&opened, &q));
        WAIT_FOR(q.lost);
        ck_assert_int_eq(q.why.code, WEIR_ECONNECT);
        stop_peer(&q);
        close_pool(&opened);
        pthread_join(thread, NULL);
        close(listener);
    }
}
END_TEST

/* The host cannot watch another descriptor: the connection is given up, at whatever point. */
START_TEST(watching_fails) {
    with_url("postgresql://weir@127.0.0.1:%d/weir", server->port);
    pool opened = open_pool();
    bool connected = false;
    for (int k = 1; !connected; k++) {
        peer q;
        watch_calls = 0;
        watch_fails_at = k;
        ck_assert(start_peer(&opened, &q));
        WAIT_FOR(q.connected || q.lost);
        connected = q.connected;
        if (q.lost) ck_assert_int_eq(q.why.code, WEIR_ENOMEM);
        stop_peer(&q);
    }
    watch_fails_at = 0;
    close_pool(&opened);
}
END_TEST

/* As somebody who may start no thread; root would have no such limit. */
static void lose_threads(bool lost) {
    struct rlimit limit;
    const struct passwd *nobody = getpwnam("nobody");
    static rlim_t before;
    static uid_t original;
    ck_assert_int_eq(getrlimit(RLIMIT_NPROC, &limit), 0);
    if (lost) {
        before = limit.rlim_cur;
        original = getuid();
    }
    limit.rlim_cur = lost ? 0 : before;
    ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &limit), 0);
    if (lost && original == 0) ck_assert(nobody && setresuid(nobody->pw_uid, nobody->pw_uid, 0) == 0);
    if (!lost) ck_assert_int_eq(setresuid(original, original, original), 0);
    prctl(PR_SET_DUMPABLE, 1); /* or the leak checker could not look at us */
}

START_TEST(no_thread_for_the_name) {
    lose_threads(true);
    with_url("postgresql://weir@localhost:%d/weir", server->port);
    check_fails("", "no thread could be started");
    with_url("postgresql://weir@127.0.0.1:%d/weir", server->port);
    lone l;
    open_lone(&l); /* an address needs none */
    weir_statement *statement = statement_of("SELECT 'done' FROM pg_sleep(0.1)");
    weir__request wish = {.statement = statement, .timeout_ms = -1};
    start_request(&l.peer, &wish);
    driver->cancel(l.peer.conn);
    ck_assert_ptr_nonnull(strstr(all_logs, "could not be cancelled: no thread"));
    WAIT_FOR(!l.peer.busy);
    weir_statement_unref(statement);
    EXPECT(&l.peer, "SELECT 1", "1");
    close_lone(&l);
    lose_threads(false);
}
END_TEST

/* ---- a name server that takes its time */

static struct {
    atomic_bool slow, on_the_loop;
    pthread_t loop;
    sem_t begun, may_go;
} lookup;

static struct timespec in_seconds(int seconds) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += seconds;
    return at;
}

/* The driver's calls come here, libpq's do not. If it waits on the loop, nobody lets it go: it goes by
 * itself. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **list) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (atomic_load(&lookup.slow)) {
        atomic_store(&lookup.on_the_loop, pthread_equal(pthread_self(), lookup.loop));
        sem_post(&lookup.begun);
        struct timespec at = in_seconds(30);
        sem_timedwait(&lookup.may_go, &at);
    }
    return real(name, service, hints, list);
}

START_TEST(a_slow_name_holds_up_nobody) {
    peer named;
    lone other;
    lookup.loop = pthread_self();
    ck_assert(sem_init(&lookup.begun, 0, 0) == 0 && sem_init(&lookup.may_go, 0, 0) == 0);
    with_url("postgresql://weir@localhost:%d/weir", server->port);
    pool opened = open_pool();
    atomic_store(&lookup.slow, true);
    ck_assert(start_peer(&opened, &named));
    struct timespec at = in_seconds(60);
    ck_assert_int_eq(sem_timedwait(&lookup.begun, &at), 0);
    ck_assert(!atomic_load(&lookup.on_the_loop));
    with_url("postgresql://weir@127.0.0.1:%d/weir", server->port);
    open_lone(&other); /* the loop turns meanwhile */
    EXPECT(&other.peer, "SELECT 1", "1");
    ck_assert(!named.connected && !named.lost);
    sem_post(&lookup.may_go);
    WAIT_FOR(named.connected || named.lost);
    ck_assert_msg(named.connected, "%s", named.why.message);
    EXPECT(&named, "SELECT 2", "2");
    close_lone(&other);
    stop_peer(&named);
    close_pool(&opened);
}
END_TEST

START_TEST(lost_when_idle) {
    lone l;
    with_socket("");
    open_lone(&l);
    ck_assert(driver->alive(l.peer.conn));
    char sql[64];
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d)", l.peer.conn->backend);
    free(pg_server_query(sql));
    WAIT_FOR(l.peer.lost);
    ck_assert_int_eq(l.peer.why.code, WEIR_ELOST);
    ck_assert_str_eq(l.peer.why.sqlstate, "57P01");
    ck_assert(l.peer.why.retryable);
    ck_assert(!driver->alive(l.peer.conn));
    close_lone(&l);
}
END_TEST

START_TEST(looks_dead_before_it_is_told) {
    lone l;
    with_url("postgresql://weir@127.0.0.1:%d/weir", server->port);
    open_lone(&l);
    char sql[64];
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d)", l.peer.conn->backend);
    free(pg_server_query(sql));
    int64_t deadline = weir__now(&weir__monotonic) + PATIENCE;
    while (driver->alive(l.peer.conn)) ck_assert(weir__now(&weir__monotonic) < deadline);
    ck_assert(!l.peer.lost);
    close_lone(&l);
}
END_TEST

START_TEST(notices_stay_off_stderr) {
    lone l;
    with_socket("");
    open_lone(&l);
    RUN(&l.peer, "DO $$ BEGIN RAISE WARNING 'mind the gap'; END $$");
    ck_assert_ptr_nonnull(strstr(all_notices, "mind the gap"));
    RUN(&l.peer, "LISTEN here");
    free(pg_server_query("NOTIFY here"));
    RUN(&l.peer, "SELECT 1");
    ck_assert(driver->alive(l.peer.conn));
    close_lone(&l);
}
END_TEST

START_TEST(transactions_begin) {
    with_socket("");
    pool opened = open_pool();
    weir__begin begin = {WEIR__SERIALIZABLE, true, true};
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_str_eq(driver->begin(opened.env, &begin, &error),
                     "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE");
    begin = (weir__begin){0};
    ck_assert_str_eq(driver->begin(opened.env, &begin, &error), "BEGIN");
    begin.isolation = (weir__isolation)9;
    ck_assert_ptr_null(driver->begin(opened.env, &begin, &error));
    ck_assert_int_eq(error.code, WEIR_EINVAL);
    weir_error_clear(&error);
    close_pool(&opened);
}
END_TEST

/* Each allocation fails once: nothing crashes, nothing leaks, and it works again afterwards. */
START_TEST(memory_runs_out) {
    for (int way = 0; way < 2; way++) {
        if (way == 0) {
            with_socket("");
        } else {
            with_url("postgresql://weir@localhost:%d/weir?sslmode=disable", server->port);
        }
        options.reset = "reset all; close all";
        pool opened;
        weir_error error = WEIR_ERROR_INIT;
        bool succeeded = false;
        for (long k = 1; !succeeded; k++) {
            long before = weir__alloc_live();
            peer p;
            opened = (pool){weir__config_new(&options, NULL), NULL};
            ck_assert_ptr_nonnull(opened.config);
            weir__env base = {driver, opened.config, &host, &weir__monotonic, &test_log, box};
            weir__alloc_fail_at(k, false);
            opened.env = driver->env_open(&base, &error);
            if (!opened.env) {
                ck_assert_int_eq(error.code, WEIR_ENOMEM);
                weir_error_clear(&error);
            } else if (start_peer(&opened, &p)) {
                WAIT_FOR(p.connected || p.lost);
                succeeded = p.connected && weir__alloc_count() < k;
                weir__alloc_fail_at(0, false);
                stop_peer(&p);
            }
            weir__alloc_fail_at(0, false);
            if (opened.env) driver->env_close(opened.env);
            weir__config_free(opened.config);
            ck_assert_msg(weir__alloc_live() == before, "allocation %ld: %ld blocks are left", k,
                          weir__alloc_live() - before);
        }
    }
}
END_TEST

static Suite *make_suite(void) {
    Suite *suite = suite_create("postgres");
    TCase *tcase = tcase_create("connect");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, each_url, 0, sizeof urls / sizeof urls[0]);
    tcase_add_test(tcase, session_attributes);
    tcase_add_test(tcase, password);
    tcase_add_test(tcase, refusals);
    tcase_add_test(tcase, too_many_connections);
    tcase_add_test(tcase, unknown_parameters);
    tcase_add_test(tcase, settings);
    tcase_add_test(tcase, warns_of_unverified_servers);
    tcase_add_test(tcase, stopped_on_the_way);
    tcase_add_test(tcase, odd_servers);
    tcase_add_test(tcase, watching_fails);
    tcase_add_test(tcase, no_thread_for_the_name);
    tcase_add_test(tcase, a_slow_name_holds_up_nobody);
    tcase_add_test(tcase, lost_when_idle);
    tcase_add_test(tcase, looks_dead_before_it_is_told);
    tcase_add_test(tcase, notices_stay_off_stderr);
    tcase_add_test(tcase, transactions_begin);
    tcase_add_test(tcase, memory_runs_out);
    tcase_add_test(tcase, over_tls);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    server = pg_server_start();
    return run_suite(make_suite());
}
