#include "pg_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pg_server server;
static char programs[256]; /* where initdb and postgres are */
static pid_t owner, postmaster;

static void show_log(void) {
    char path[128], text[2048];
    snprintf(path, sizeof path, "%s/log", server.directory);
    FILE *file = fopen(path, "r");
    if (!file) return;
    size_t length;
    while ((length = fread(text, 1, sizeof text, file)) > 0) fwrite(text, 1, length, stderr);
    fclose(file);
}

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "pg_server: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    if (*server.directory) show_log();
    exit(1);
}

static void find_programs(void) {
    const char *given = getenv("PG_BINDIR");
    glob_t found;
    if (given) {
        snprintf(programs, sizeof programs, "%s", given);
        return;
    }
    if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) == 0) {
        const char *newest = found.gl_pathv[found.gl_pathc - 1];
        snprintf(programs, sizeof programs, "%.*s", (int)(strrchr(newest, '/') - newest), newest);
        globfree(&found);
        return;
    }
    FILE *pipe = popen("pg_config --bindir", "r");
    if (!pipe || !fgets(programs, sizeof programs, pipe)) die("no PostgreSQL server found; set PG_BINDIR");
    programs[strcspn(programs, "\n")] = '\0';
    pclose(pipe);
}

/* In a child: the server refuses to run as root. */
static void become_postgres(void) {
    if (getuid() != 0) return;
    const struct passwd *user = getpwnam("postgres");
    if (!user || initgroups("postgres", user->pw_gid) || setgid(user->pw_gid) || setuid(user->pw_uid))
        _exit(125);
}

static void log_output(void) {
    char path[128];
    snprintf(path, sizeof path, "%s/log", server.directory);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600), nothing = open("/dev/null", O_RDONLY);
    if (log < 0 || nothing < 0) _exit(125);
    dup2(nothing, 0);
    dup2(log, 1);
    dup2(log, 2);
}

/* Starts a program of the server's, or of the PATH, as user postgres. */
static pid_t spawn(const char *const *command) {
    char path[512];
    pid_t parent = getpid();
    snprintf(path, sizeof path, "%s/%s", programs, command[0]);
    pid_t pid = fork();
    if (pid < 0) die("fork: %s", strerror(errno));
    if (pid) return pid;
    become_postgres();
    log_output();
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (getppid() != parent || chdir(server.directory) != 0) _exit(125);
    execv(path, (char *const *)command);
    execvp(command[0], (char *const *)command);
    _exit(126);
}

static void run(const char *const *command) {
    int status;
    pid_t pid = spawn(command);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) die("%s failed (%d)", command[0], status);
}

static void make_directory(void) {
    snprintf(server.directory, sizeof server.directory, "/tmp/weir-pg-XXXXXX");
    if (!mkdtemp(server.directory)) die("mkdtemp: %s", strerror(errno));
    const struct passwd *user = getuid() == 0 ? getpwnam("postgres") : NULL;
    if (getuid() == 0 && !user) die("no user postgres");
    if (user && chown(server.directory, user->pw_uid, user->pw_gid)) die("chown: %s", strerror(errno));
    if (chmod(server.directory, 0755)) die("chmod: %s", strerror(errno));
}

static void write_file(const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", server.directory, name);
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file)) die("%s: %s", path, strerror(errno));
    if (chmod(path, 0644)) die("chmod: %s", strerror(errno));
}

static int free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) ||
        getsockname(fd, (struct sockaddr *)&address, &size))
        die("no free port: %s", strerror(errno));
    close(fd);
    return ntohs(address.sin_port);
}

static bool is_running(pid_t *pid) {
    int status;
    if (*pid && waitpid(*pid, &status, WNOHANG) == *pid) *pid = 0;
    return *pid != 0;
}

static bool wait_until_ready(pid_t *pid, int port) {
    char conninfo[160];
    time_t deadline = time(NULL) + 60;
    snprintf(conninfo, sizeof conninfo, "host=%s port=%d user=postgres dbname=postgres", server.directory,
             port);
    while (time(NULL) < deadline && is_running(pid)) {
        if (PQping(conninfo) == PQPING_OK) return true;
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    return false;
}

static void make_cluster(const char *data) {
    const char *const initdb[] = {"initdb", "-D",         data,        "-U", "postgres", "-E",
                                  "UTF8",   "--locale=C", "--no-sync", "-A", "trust",    NULL};
    run(initdb);
}

/* Starts the server of a cluster on a free port, with one setting more. */
static pid_t start_postmaster(const char *data, const char *setting, int *port) {
    for (int attempt = 0; attempt < 5; attempt++) {
        char text[16];
        *port = free_port(); /* somebody else may take it meanwhile */
        snprintf(text, sizeof text, "%d", *port);
        const char *const command[] = {"postgres",       "-D", data,    "-p", text, "-k",
                                       server.directory, "-c", setting, NULL};
        pid_t pid = spawn(command);
        if (wait_until_ready(&pid, *port)) return pid;
    }
    die("the server does not start");
}

static void configure(void) {
    const char *const hba = "local all weir_secret reject\n"
                            "local all all trust\n"
                            "host all weir_secret all scram-sha-256\n"
                            "host all all all trust\n";
    const char *const settings =
        "listen_addresses = '127.0.0.1,::1'\nmax_connections = 60\nfsync = off\n"
        "full_page_writes = off\nsynchronous_commit = off\nshared_buffers = 16MB\n"
        "autovacuum = off\npassword_encryption = 'scram-sha-256'\nmax_prepared_transactions = 4\n"
        "logging_collector = off\n";
    write_file("data/pg_hba.conf", hba);
    char path[128];
    snprintf(path, sizeof path, "%s/data/postgresql.conf", server.directory);
    FILE *file = fopen(path, "a");
    if (!file || fputs(settings, file) < 0 || fclose(file)) die("%s: %s", path, strerror(errno));
}

static char *query(const char *database, const char *sql) {
    char conninfo[200];
    snprintf(conninfo, sizeof conninfo, "host=%s port=%d user=postgres dbname=%s sslmode=disable",
             server.directory, server.port, database);
    PGconn *pg = PQconnectdb(conninfo);
    if (PQstatus(pg) != CONNECTION_OK) die("%s", PQerrorMessage(pg));
    PGresult *result = PQexec(pg, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        die("%s: %s", sql, PQresultErrorMessage(result));
    char *value = NULL;
    if (PQntuples(result) > 0 && !PQgetisnull(result, 0, 0)) value = strdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    PQfinish(pg);
    return value;
}

static void kill_postmaster(int signal) {
    int status;
    if (!is_running(&postmaster)) return;
    kill(postmaster, signal);
    while (waitpid(postmaster, &status, 0) < 0 && errno == EINTR) {
    }
    postmaster = 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *state) {
    (void)info, (void)kind, (void)state;
    return remove(path);
}

/* The parent's server is none of a forked test's business. */
static void stop_at_exit(void) {
    if (getpid() != owner || !*server.directory) return;
    kill_postmaster(SIGQUIT);
    nftw(server.directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const pg_server *pg_server_start(void) {
    if (owner) return &server;
    owner = getpid();
    find_programs();
    make_directory();
    atexit(stop_at_exit);
    make_cluster("data");
    configure();
    postmaster = start_postmaster("data", "unix_socket_permissions=0777", &server.port);
    free(query("postgres", "CREATE ROLE weir LOGIN"));
    free(query("postgres", "CREATE DATABASE weir OWNER weir"));
    free(pg_server_query("CREATE ROLE weir_secret LOGIN PASSWORD '" PG_SERVER_PASSWORD "'"));
    return &server;
}

const char *pg_server_tls(void) {
    static char certificate[96];
    const char *const openssl[] = {"openssl",  "req",
                                   "-x509",    "-newkey",
                                   "rsa:2048", "-nodes",
                                   "-days",    "2",
                                   "-subj",    "/CN=localhost",
                                   "-addext",  "subjectAltName=DNS:localhost",
                                   "-keyout",  "data/server.key",
                                   "-out",     "data/server.crt",
                                   NULL};
    if (*certificate) return certificate;
    run(openssl);
    const char *const copy[] = {"cp", "data/server.crt", "server.crt", NULL};
    run(copy);
    snprintf(certificate, sizeof certificate, "%s/server.crt", server.directory);
    free(pg_server_query("ALTER SYSTEM SET ssl = on"));
    free(pg_server_query("SELECT pg_reload_conf()"));
    return certificate;
}

int pg_server_read_only(void) {
    int port;
    make_cluster("read-only");
    start_postmaster("read-only", "default_transaction_read_only=on", &port);
    return port;
}

char *pg_server_query(const char *sql) { return query("weir", sql); }

long pg_server_number(const char *sql) {
    char *value = pg_server_query(sql);
    long number = value ? strtol(value, NULL, 10) : -1;
    free(value);
    return number;
}

char *pg_server_url(char *out, size_t size, const char *tail) {
    snprintf(out, size, "postgresql://weir@/weir?host=%s&port=%d%s", server.directory, server.port, tail);
    return out;
}
