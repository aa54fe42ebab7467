/* The SQLite driver's connections: opening, cancelling, resetting, ending; copies of the library; lack of
 * memory. */
#include "sqlite_host.h"

#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <sqlite3.h>
#include <weirpool/version.h>

#include "driver/sqlite/table.h"
#include "support_suite.h"

#define ENDLESS "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
#define ENDLESS_WRITE                                                                                        \
    "insert into t with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"

static peer a, b;
static pool db;

static int64_t elapsed_ms(int64_t since) { return (weir__now(&weir__monotonic) - since) / WEIR__MS; }

static bool is_there(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return access(path, F_OK) == 0;
}

/* ---- opening ---- */

START_TEST(a_file_is_set_up_for_many) {
    db = open_file(&a);
    ck_assert_str_eq(text(&a, "pragma journal_mode"), "wal");
    ck_assert_int_eq(number(&a, "pragma foreign_keys"), 1);
    ck_assert_int_eq(number(&a, "pragma synchronous"), 1);
    must(&a, "create table t (i)");
    ck_assert(is_there("test.db-wal"));
    close_peer(&a);
    ck_assert(!is_there("test.db-wal")); /* the last one out has copied it */
    close_pool(&db);
}
END_TEST

START_TEST(settings_are_pragmas) {
    static const char *const settings[] = {
        "application_name", "it's me", "cache_size", "-777", "journal_mode", "delete", "FOREIGN_KEYS", "off",
        "synchronous",      "extra",   NULL};
    with_url("sqlite:///@/settings.db");
    options.server_settings = settings;
    db = open_pool();
    connect_peer(&db, &a);
    ck_assert_int_eq(number(&a, "pragma cache_size"), -777);
    ck_assert_str_eq(text(&a, "pragma journal_mode"), "delete");
    ck_assert_int_eq(number(&a, "pragma foreign_keys"), 0);
    ck_assert_int_eq(number(&a, "pragma synchronous"), 3);
    close_peer(&a);
    close_pool(&db);
}
END_TEST

static void assert_refused(const char *words) {
    weir_error error = WEIR_ERROR_INIT;
    pool none;
    ck_assert(!try_open(&none, &error));
    ck_assert_int_eq(error.code, WEIR_EOPTION);
    ck_assert_msg(strstr(error.message, words), "\"%s\" lacks \"%s\"", error.message, words);
    weir_error_clear(&error);
}

START_TEST(what_is_unknown_is_refused) {
    static const char *const urls[][2] = {
        {"sqlite:///x.db?moed=ro", "did you mean mode?"},
        {"sqlite:///x.db?imutable=1", "did you mean immutable?"},
        {"sqlite:///x.db?max_sise=3", "did you mean max_size?"},
        {"sqlite:///x.db?mode=memory", "ro, rw and rwc"},
        {"sqlite:///x.db?immutable=maybe", "must be 0 or 1"},
        {"sqlite:///x.db?cache=shared", "ignores lock_timeout"},
        {"sqlite:///:memory:?mode=ro", "mode means nothing"},
    };
    static const char *const settings[][2] = {
        {"cache_sise", "did you mean cache_size?"},
        {"busy_timeout", "lock_timeout"},
        {"query_only", "mode=ro"},
        {"something_quite_different", "no setting something_quite_different"},
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        with_url("%s", urls[i][0]);
        assert_refused(urls[i][1]);
    }
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        const char *const one[] = {settings[i][0], "1", NULL};
        with_url("sqlite:///x.db");
        options.server_settings = one;
        assert_refused(settings[i][1]);
    }
}
END_TEST

/* The connection is lost for good, with these words. */
static void assert_lost(const char *words) {
    db = open_pool();
    start_peer(&db, &a);
    WAIT_FOR(a.connected || a.lost);
    ck_assert(a.lost && !a.connected);
    ck_assert_int_eq(a.why.code, WEIR_ECONNECT);
    ck_assert_msg(strstr(a.why.message, words), "\"%s\" lacks \"%s\"", a.why.message, words);
    ck_assert_ptr_nonnull(strstr(a.why.message, directory));
    ck_assert_str_eq(a.why.sqlstate, "3D000");
    ck_assert(!a.why.retryable);
    close_peer(&a);
    close_pool(&db);
}

START_TEST(what_cannot_be_opened_is_told) {
    char path[128];
    with_url("sqlite:///@/no/such/directory.db");
    assert_lost("its directory does not exist");
    with_url("sqlite:///@/missing.db?mode=rw");
    assert_lost("the file does not exist");
    with_url("sqlite:///@/missing.db?mode=ro");
    assert_lost("the file does not exist");
    ck_assert(!is_there("missing.db"));
    with_url("sqlite:///@");
    assert_lost(": ");
    snprintf(path, sizeof path, "%s/text.db", directory);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 1000; i++) fputs("this is no database", file);
    fclose(file);
    with_url("sqlite:///@/text.db");
    assert_lost("file is not a database");
}
END_TEST

START_TEST(a_file_that_is_locked_may_be_had_later) {
    sqlite3 *other;
    char path[128];
    snprintf(path, sizeof path, "%s/locked.db", directory);
    ck_assert_int_eq(sqlite3_open(path, &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "create table t (i); begin exclusive", NULL, NULL, NULL), SQLITE_OK);
    with_url("sqlite:///@/locked.db");
    options.lock_timeout_ms = 50;
    db = open_pool();
    start_peer(&db, &a);
    WAIT_FOR(a.connected || a.lost);
    ck_assert(a.lost);
    ck_assert(a.why.retryable);
    ck_assert_str_eq(a.why.sqlstate, "");
    close_peer(&a);
    ck_assert_int_eq(sqlite3_exec(other, "commit", NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(other), SQLITE_OK);
    connect_peer(&db, &a);
    ck_assert_int_eq(number(&a, "select count(*) from t"), 0);
    close_peer(&a);
    close_pool(&db);
}
END_TEST

START_TEST(a_file_that_is_only_read) {
    db = open_file(&a);
    must(&a, "create table t (i)");
    close_peer(&a);
    close_pool(&db);
    for (int i = 0; i < 2; i++) {
        with_url(i ? "sqlite:///@/test.db?immutable=yes" : "sqlite:///@/test.db?mode=ro");
        db = open_pool();
        connect_peer(&db, &a);
        weir__begin begin = {WEIR__SERIALIZABLE, false, false};
        ck_assert_int_eq(run_parts(&a, driver->begin(db.env, &begin, NULL), "select * from t", "COMMIT"),
                         WEIR_OK);
        ASSERT_FAILS(&a, "insert into t values (1)", "25006");
        ck_assert_int_eq(run(&a, "select $1 from t", "0|i|i", (int64_t)1, (int64_t)2), WEIR_OK);
        close_peer(&a);
        close_pool(&db);
    }
}
END_TEST

START_TEST(any_name_will_do_for_a_file) {
    with_url("sqlite:///@/a%%20b%%3Fmode=ro%%23%%25%%C3%%A4'.db");
    db = open_pool();
    connect_peer(&db, &a);
    must(&a, "create table t (i)");
    ck_assert(is_there("a b?mode=ro#%ä'.db"));
    close_peer(&a);
    close_pool(&db);
    ck_assert_int_eq(chdir(directory), 0);
    with_url("sqlite:///relative.db");
    db = open_pool();
    connect_peer(&db, &a);
    ck_assert(is_there("relative.db"));
    close_peer(&a);
    close_pool(&db);
}
END_TEST

/* Ten at once on a file that is not there yet: one of them changes it to its write-ahead log. */
START_TEST(connections_may_open_together) {
    peer peers[10];
    with_url("sqlite:///@/new.db");
    db = open_pool();
    for (int i = 0; i < 10; i++) start_peer(&db, &peers[i]);
    for (int i = 0; i < 10; i++) {
        WAIT_FOR(peers[i].connected || peers[i].lost);
        ck_assert_msg(peers[i].connected, "%s", peers[i].why.message);
        ck_assert_str_eq(text(&peers[i], "pragma journal_mode"), "wal");
    }
    for (int i = 0; i < 10; i++) close_peer(&peers[i]);
    close_pool(&db);
}
END_TEST

/* ---- cancelling ---- */

static void open_db(void) {
    setup();
    db = open_file(&a);
}

static void close_db(void) {
    close_peer(&a);
    close_pool(&db);
    teardown();
}

START_TEST(a_cancel_hits_its_own_statement_only) {
    start(&a, ENDLESS, "");
    driver->cancel(a.conn);
    ck_assert_int_eq(end_request(&a), WEIR_ESERVER);
    ck_assert_str_eq(state(&a), "57014");
    for (int i = 0; i < 100; i++) ck_assert_int_eq(number(&a, "select 1"), 1);
    driver->cancel(a.conn); /* nothing runs: nothing happens */
    for (int i = 0; i < 100; i++) ck_assert_int_eq(number(&a, "select 1"), 1);
}
END_TEST

/* At every moment of a short statement: also when it is over, but its host does not know yet. */
START_TEST(a_cancel_at_any_time) {
    static const char *const sqls[] = {
        "select 1",
        ("with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000) "
         "select count(*) from n"),
        "insert into t values (1)",
    };
    int hits = 0;
    must(&a, "create table t (i)");
    for (int i = 0; i < 600; i++) {
        int64_t until = weir__now(&weir__monotonic) + i % 40 * 10000;
        start(&a, sqls[i % 3], "");
        while (weir__now(&weir__monotonic) < until) continue;
        driver->cancel(a.conn);
        int code = end_request(&a);
        if (code != WEIR_OK) ck_assert_str_eq(state(&a), "57014");
        hits += code != WEIR_OK;
        ck_assert_int_eq(number(&a, sqls[1]), 3000);
    }
    ck_assert_int_gt(hits, 0);
}
END_TEST

static void fetch(uint64_t cursor, size_t rows) {
    static const char sql[] = "select i from t order by rowid";
    forget(&a);
    a.request.statement = weir_statement_new(sql, sizeof sql - 1, NULL);
    a.request.cursor = cursor;
    a.request.rows = rows;
    begin_request(&a);
}

/* To SQLite a cursor is a statement that runs, and an interruption lasts until none does. */
START_TEST(a_cancel_is_over_while_a_cursor_is_open) {
    must(&a, "create table t (i)");
    must(&a, "insert into t values (1), (2), (3), (4), (5)");
    must(&a, "begin");
    fetch(1, 2);
    ck_assert_int_eq(end_request(&a), WEIR_OK);
    start(&a, ENDLESS, "");
    driver->cancel(a.conn);
    ck_assert_int_eq(end_request(&a), WEIR_ESERVER);
    ck_assert_str_eq(state(&a), "57014");
    ck_assert_int_eq(number(&a, "select 1"), 1);
    for (int i = 0; i < 200; i++) { /* also one that comes when its statement is over */
        int64_t until = weir__now(&weir__monotonic) + i % 40 * 1000;
        start(&a, "select 1", "");
        while (weir__now(&weir__monotonic) < until) continue;
        driver->cancel(a.conn);
        end_request(&a);
        must(&a, "insert into t values (6)");
    }
    fetch(1, 2);
    driver->cancel(a.conn);
    if (end_request(&a) == WEIR_OK) { /* it was too late */
        fetch(1, 1);
        ck_assert_int_eq(end_request(&a), WEIR_OK);
    }
    fetch(2, 2);
    ck_assert_int_eq(end_request(&a), WEIR_OK);
    ck_assert_uint_eq(weir_result_rows(a.request.result), 2);
    must(&a, "rollback");
}
END_TEST

START_TEST(a_cancelled_transaction_is_failed) {
    must(&a, "create table t (i)");
    ck_assert_int_eq(run_parts(&a, "BEGIN IMMEDIATE", "insert into t values (1)", NULL), WEIR_OK);
    start(&a, ENDLESS, "");
    driver->cancel(a.conn);
    ck_assert_int_eq(end_request(&a), WEIR_ESERVER);
    ck_assert_int_eq(a.conn->tx, WEIR__TX_OPEN); /* it only read */
    start(&a, ENDLESS_WRITE, "");
    /* it must have begun to write, or it would be stopped before it did */
    for (struct stat info = {0}; info.st_size < 100000;) {
        char path[128];
        snprintf(path, sizeof path, "%s/test.db-wal", directory);
        turn(weir__now(&weir__monotonic) + PATIENCE);
        if (stat(path, &info) != 0) break;
    }
    driver->cancel(a.conn);
    ck_assert_int_eq(end_request(&a), WEIR_ESERVER);
    ck_assert_str_eq(state(&a), "57014");
    ck_assert_int_eq(a.conn->tx, WEIR__TX_FAILED);
    ASSERT_FAILS(&a, "insert into t values (2)", "25P02");
    ck_assert_int_eq(run_parts(&a, NULL, NULL, "COMMIT"), WEIR_EROLLEDBACK);
    ck_assert_int_eq(number(&a, "select count(*) from t"), 0);
}
END_TEST

START_TEST(a_cancel_ends_the_wait_for_a_lock) {
    connect_peer(&db, &b);
    must(&a, "create table t (i)");
    must(&a, "begin immediate");
    for (int i = 0; i < 20; i++) {
        start(&b, "insert into t values (1)", "");
        if (i % 2) { /* it has had the time to begin to wait */
            int64_t until = weir__now(&weir__monotonic) + 20 * WEIR__MS;
            while (weir__now(&weir__monotonic) < until) continue;
        }
        int64_t begun = weir__now(&weir__monotonic);
        driver->cancel(b.conn);
        ck_assert_int_eq(end_request(&b), WEIR_ESERVER);
        ck_assert_str_eq(state(&b), "57014");
        ck_assert_int_lt(elapsed_ms(begun), 2000); /* the lock time-out is 5 s */
    }
    must(&a, "commit");
    must(&b, "insert into t values (1)");
    close_peer(&b);
}
END_TEST

/* ---- resetting ---- */

START_TEST(a_reset_ends_the_transaction) {
    must(&a, "create table t (i)");
    ck_assert(!reset(&a));
    must(&a, "begin");
    must(&a, "insert into t values (1)");
    ck_assert(reset(&a));
    ck_assert_int_eq(a.request.code, WEIR_OK);
    ck_assert_int_eq(a.conn->tx, WEIR__TX_NONE);
    ck_assert_int_eq(number(&a, "select count(*) from t"), 0);
    ck_assert(!reset(&a));
}
END_TEST

START_TEST(what_a_reset_cannot_undo_replaces_the_connection) {
    static const char *const dirty[] = {
        "pragma cache_size = 100",
        "pragma main.foreign_keys(off)",
        "-- a comment\nattach ':memory:' as other",
        "create temp table x (i)",
        "create table temp.x (i)",
        "create temporary trigger x after insert on t begin select 1; end",
        "create temp view x as select 1",
    };
    static const char *const clean[] = {
        "pragma table_info(t)",      "pragma cache_size",
        "pragma user_version = 7",   "select * from pragma_table_info('t')",
        "create view v as select 1", "pragma integrity_check(2)",
        "select 'attach'",           "pragma wal_checkpoint(truncate)",
    };
    must(&a, "create table t (i)");
    for (size_t i = 0; i < sizeof clean / sizeof clean[0]; i++) {
        must(&a, clean[i]);
        ck_assert_msg(!reset(&a), "%s", clean[i]);
    }
    for (size_t i = 0; i < sizeof dirty / sizeof dirty[0]; i++) {
        for (int in_transaction = 0; in_transaction < 2; in_transaction++) {
            connect_peer(&db, &b);
            if (in_transaction && i != 2) must(&b, "begin");
            must(&b, dirty[i]);
            ck_assert_msg(reset(&b), "%s", dirty[i]);
            ck_assert_int_eq(b.request.code, WEIR_ELOST);
            close_peer(&b);
        }
    }
}
END_TEST

/* ---- ending ---- */

START_TEST(a_stop_at_any_time) {
    peer p;
    p = (peer){.why = WEIR_ERROR_INIT};
    p.conn = driver->create(db.env, &p);
    driver->stop(p.conn); /* never connected */
    ck_assert(p.down);
    driver->free(p.conn);

    start_peer(&db, &p); /* while it connects */
    driver->stop(p.conn);
    WAIT_FOR(p.down);
    ck_assert(!p.connected && !p.lost);
    driver->free(p.conn);

    connect_peer(&db, &p); /* while it runs */
    ck_assert(driver->alive(p.conn));
    start(&p, ENDLESS, "");
    driver->stop(p.conn);
    WAIT_FOR(p.down);
    ck_assert_int_eq(p.dones, 0);
    driver->free(p.conn);
    p.busy = false;
    forget(&p);

    must(&a, "begin immediate"); /* while it waits for a lock */
    connect_peer(&db, &p);
    start(&p, "create table t (i)", "");
    driver->stop(p.conn);
    WAIT_FOR(p.down);
    ck_assert_int_eq(p.dones, 0);
    driver->free(p.conn);
    forget(&p);
    must(&a, "rollback");

    connect_peer(&db, &p); /* when it is done, but that has not been told */
    start(&p, "select 'lost'", "");
    struct pollfd fd = {.fd = wake_pipe[0], .events = POLLIN};
    ck_assert_int_eq(poll(&fd, 1, 60000), 1);
    driver->stop(p.conn);
    WAIT_FOR(p.down);
    ck_assert_int_eq(p.dones, 0);
    driver->free(p.conn);
    forget(&p);
}
END_TEST

START_TEST(a_stop_does_not_keep_the_log_from_being_copied) {
    with_url("sqlite:///@/copied.db");
    pool opened = open_pool();
    for (int i = 0; i < 30; i++) {
        connect_peer(&opened, &b);
        must(&b, "create table if not exists t (i)");
        must(&b, "insert into t values (1)");
        ck_assert(is_there("copied.db-wal"));
        start(&b, i % 2 ? ENDLESS : "select 1", "");
        close_peer(&b);
        ck_assert(!is_there("copied.db-wal"));
    }
    close_pool(&opened);
}
END_TEST

START_TEST(a_closed_mailbox_drops_the_answer) {
    connect_peer(&db, &b);
    start(&b, "select 'nobody will read this'", "");
    struct pollfd fd = {.fd = wake_pipe[0], .events = POLLIN};
    ck_assert_int_eq(poll(&fd, 1, 60000), 1);
    start(&a, "select 1", ""); /* its answer comes before the close, or after */
    weir__mailbox_close(box);
    driver->stop(b.conn);
    driver->stop(a.conn);
    driver->free(b.conn); /* waits for the thread, that posts its last letter into the closed box */
    driver->free(a.conn);
    forget(&a);
    forget(&b);
    weir__mailbox_unref(box);
    box = weir__mailbox_new(wake, NULL);
    db.env->mailbox = box;
    connect_peer(&db, &a);
}
END_TEST

START_TEST(a_forked_child_lets_go) {
    with_url(":memory:");
    pool memory = open_pool();
    connect_peer(&memory, &b);
    must(&b, "create table t (i)");
    pid_t child = fork();
    if (child == 0) {
        alarm(20); /* a join would wait for ever */
        driver->free(b.conn);
        driver->env_close(memory.env);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    must(&b, "insert into t values (1)");
    close_peer(&b);
    close_pool(&memory);
}
END_TEST

/* The signals that are blocked in a thread of the driver. */
static bool find_worker(char blocked[64]) {
    DIR *tasks = opendir("/proc/self/task");
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(tasks));) {
        char path[300], line[128];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (file && fgets(line, sizeof line, file)) {
            if (strcmp(line, "Name:\tweir-sqlite\n") == 0) found = true;
            if (found && sscanf(line, "SigBlk: %63s", blocked) == 1) break;
        }
        if (file) fclose(file);
    }
    closedir(tasks);
    return found;
}

START_TEST(the_thread_takes_no_signals) {
    char blocked[64] = "";
    ck_assert(find_worker(blocked));
    uint64_t mask = strtoull(blocked, NULL, 16);
    for (int signal = 1; signal < 32; signal++) /* but for those that no thread can block */
        if (signal != SIGKILL && signal != SIGSTOP)
            ck_assert_msg(mask >> (signal - 1) & 1, "signal %d", signal);
}
END_TEST

/* ---- copies of the library ---- */

START_TEST(the_copy_in_use_can_be_chosen) {
    Dl_info own;
    char copied[128];
    const char *version = weir_sqlite_version();
    ck_assert_str_eq(version, sqlite3_libversion());
    ck_assert_int_ne(dladdr((void *)(uintptr_t)sqlite3_libversion, &own), 0);
    ck_assert_int_eq(weir_sqlite_adopt(NULL), -1);
    ck_assert_int_eq(weir_sqlite_adopt("/no/such/library.so"), -1);
    ck_assert_int_eq(weir_sqlite_adopt(own.dli_fname), 0); /* the same */
    ck_assert_ptr_eq((void *)(uintptr_t)weir__sqlite.open_v2, (void *)(uintptr_t)sqlite3_open_v2);

    snprintf(copied, sizeof copied, "%s/another.so", directory);
    FILE *from = fopen(own.dli_fname, "rb"), *to = fopen(copied, "wb");
    ck_assert(from && to);
    for (int c; (c = fgetc(from)) != EOF;) fputc(c, to);
    fclose(from);
    fclose(to);
    ck_assert_ptr_nonnull(dlopen(copied, RTLD_LAZY | RTLD_LOCAL));
    ck_assert_int_eq(weir_sqlite_adopt(copied), 0);
    ck_assert_ptr_ne((void *)(uintptr_t)weir__sqlite.open_v2, (void *)(uintptr_t)sqlite3_open_v2);
    ck_assert_str_eq(weir_sqlite_version(), version);

    db = open_file(&a);
    must(&a, "create table t (i)");
    ck_assert_int_eq(weir_sqlite_adopt(copied), 0);         /* the same, now */
    ck_assert_int_eq(weir_sqlite_adopt(own.dli_fname), -1); /* too late for another */
    ck_assert_int_eq(number(&a, "select count(*) from t"), 0);
    close_peer(&a);
    close_pool(&db);
}
END_TEST

START_TEST(a_library_without_sqlite_is_refused) {
    Dl_info libc;
    ck_assert_int_ne(dladdr((void *)(uintptr_t)getpid, &libc), 0);
    ck_assert_int_eq(weir_sqlite_adopt(libc.dli_fname), -1);
    ck_assert_ptr_eq((void *)(uintptr_t)weir__sqlite.open_v2, (void *)(uintptr_t)sqlite3_open_v2);
}
END_TEST

START_TEST(versions_and_drivers_are_known) {
    ck_assert_str_eq(weir_version(), WEIRPOOL_VERSION);
    ck_assert_int_ge(weir_libpq_version(), 140000);
    ck_assert_ptr_eq(weir__driver_find("sqlite"), &weir__sqlite_driver);
    ck_assert_ptr_eq(weir__driver_find("postgresql"), &weir__postgres_driver);
    ck_assert_ptr_null(weir__driver_find("fake"));
    ck_assert_ptr_null(weir__driver_find(NULL));
}
END_TEST

/* ---- lack of memory ---- */

static weir_statement *prepared(const char *sql, const char *kinds, ...) {
    va_list args;
    va_start(args, kinds);
    weir_statement *made = make_statement(sql, kinds, args);
    va_end(args);
    return made;
}

/* One request; when it lacked memory a second try must do, unless nothing will do any more. */
static void ladder_request(peer *p, weir_statement *statement, const char *command, bool sticky) {
    static const char *const begin[] = {"BEGIN IMMEDIATE"};
    for (int attempt = 0; attempt < 2; attempt++) {
        forget(p);
        p->request.statement = weir_statement_ref(statement);
        p->request.command = command;
        p->request.before = begin;
        p->request.before_count = command != NULL;
        begin_request(p);
        if (end_request(p) == WEIR_OK) return;
        ck_assert_int_eq(p->request.code, WEIR_ENOMEM);
        if (p->conn->tx != WEIR__TX_NONE) {
            p->busy = true;
            forget(p);
            ck_assert(driver->reset(p->conn, &p->request, WEIR__RESET_AUTO));
            end_request(p);
        }
        if (sticky) return;
    }
    ck_abort_msg("memory was there again");
}

static int64_t stand_still(void *arg) {
    (void)arg;
    return 1;
}

static void ladder_run(weir_statement *const statements[], size_t count, bool sticky) {
    weir_error error = WEIR_ERROR_INIT;
    pool opened;
    peer p = {.why = WEIR_ERROR_INIT};
    if (!try_open(&opened, &error)) {
        ck_assert_int_eq(error.code, WEIR_ENOMEM);
        weir_error_clear(&error);
        return;
    }
    p.conn = driver->create(opened.env, &p);
    if (p.conn) {
        driver->connect(p.conn);
        WAIT_FOR(p.connected || p.lost);
        if (p.lost) ck_assert_int_eq(p.why.code, WEIR_ENOMEM);
        for (size_t i = 0; p.connected && i < count; i++)
            ladder_request(&p, statements[i], i % 2 ? "COMMIT" : NULL, sticky);
        close_peer(&p);
    }
    close_pool(&opened);
}

START_TEST(each_allocation_may_fail) {
    weir_statement *statements[] = {
        prepared("create table t (i decimal, s json)", ""),
        prepared("insert into t values ($2, $1)", "ti", "some text", (int64_t)7),
        prepared("insert into t values ($1, $2)", "0|it|it", (int64_t)7, "a", (int64_t)8, "b"),
        prepared("select $1 as one, i, s, printf('%5000d', i) as long from t", "i", (int64_t)1),
        prepared(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 50) select i from n",
            ""),
        NULL,
        NULL,
        NULL,
    };
    /* The same read again, the last time on the host's thread, since the clock stands still. */
    for (size_t i = 5; i < sizeof statements / sizeof statements[0]; i++)
        statements[i] = weir_statement_ref(statements[4]);
    host_clock = &(weir__clock){stand_still, NULL};
    size_t count = sizeof statements / sizeof statements[0];
    bool sticky = _i;
    static const char *const settings[] = {"cache_size", "-100", NULL};
    long rungs = 0;
    with_url(":memory:");
    options.server_settings = settings;
    options.sqlite_types = "declared";
    weir__alloc_fail_at(0, false);
    ladder_run(statements, count, false); /* what is made only once in a process */
    long live = weir__alloc_live();
    for (bool reached = true; reached; rungs++) {
        weir__alloc_fail_at(rungs + 1, sticky);
        ladder_run(statements, count, sticky);
        reached = weir__alloc_count() > rungs;
        weir__alloc_fail_at(0, false);
        ck_assert_int_eq(weir__alloc_live(), live);
    }
    ck_assert_int_gt(rungs, 30);
    for (size_t i = 0; i < count; i++) weir_statement_unref(statements[i]);
}
END_TEST

/* Whenever memory for its rows is lacking: what it has written is there, or it may be tried again. */
START_TEST(a_write_without_memory_for_its_rows) {
    must(&a, "create table t (i int)");
    weir_statement *insert = prepared("insert into t values (1) returning printf('%5000d', i)", "");
    int64_t rows = 0;
    int written = 0;
    bool reached = true;
    for (long k = 1; reached; k++) {
        forget(&a);
        a.request.statement = weir_statement_ref(insert);
        weir__alloc_fail_at(k, false);
        begin_request(&a);
        int code = end_request(&a);
        reached = weir__alloc_count() >= k;
        weir__alloc_fail_at(0, false);
        bool retryable = code != WEIR_OK && a.request.error->retryable;
        int64_t now = number(&a, "select count(*) from t");
        ck_assert_msg(!retryable || now == rows, "the allocation %ld", k);
        written += code != WEIR_OK && now > rows;
        rows = now;
    }
    ck_assert_int_gt(written, 0);
    weir_statement_unref(insert);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sqlite_life");
    TCase *opening = tcase_create("opening"), *living = tcase_create("living");
    tcase_set_timeout(opening, 120);
    tcase_add_checked_fixture(opening, setup, teardown);
    tcase_add_test(opening, a_file_is_set_up_for_many);
    tcase_add_test(opening, settings_are_pragmas);
    tcase_add_test(opening, what_is_unknown_is_refused);
    tcase_add_test(opening, what_cannot_be_opened_is_told);
    tcase_add_test(opening, a_file_that_is_locked_may_be_had_later);
    tcase_add_test(opening, a_file_that_is_only_read);
    tcase_add_test(opening, any_name_will_do_for_a_file);
    tcase_add_test(opening, connections_may_open_together);
    tcase_add_test(opening, the_copy_in_use_can_be_chosen);
    tcase_add_test(opening, a_library_without_sqlite_is_refused);
    tcase_add_test(opening, versions_and_drivers_are_known);
    tcase_add_loop_test(opening, each_allocation_may_fail, 0, 2);
    suite_add_tcase(suite, opening);
    tcase_set_timeout(living, 120);
    tcase_add_checked_fixture(living, open_db, close_db);
    tcase_add_test(living, a_cancel_hits_its_own_statement_only);
    tcase_add_test(living, a_cancel_at_any_time);
    tcase_add_test(living, a_cancel_is_over_while_a_cursor_is_open);
    tcase_add_test(living, a_cancelled_transaction_is_failed);
    tcase_add_test(living, a_cancel_ends_the_wait_for_a_lock);
    tcase_add_test(living, a_reset_ends_the_transaction);
    tcase_add_test(living, what_a_reset_cannot_undo_replaces_the_connection);
    tcase_add_test(living, a_stop_at_any_time);
    tcase_add_test(living, a_stop_does_not_keep_the_log_from_being_copied);
    tcase_add_test(living, a_closed_mailbox_drops_the_answer);
    tcase_add_test(living, a_forked_child_lets_go);
    tcase_add_test(living, the_thread_takes_no_signals);
    tcase_add_test(living, a_write_without_memory_for_its_rows);
    suite_add_tcase(suite, living);
    return run_suite(suite);
}
