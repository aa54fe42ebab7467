/* A pool's settings out of URLs and options: each form and each error a row of a table. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/config.h"
#include "config_assert.h"
#include "support_suite.h"

/* Stands in for libc's, and remembers what it wiped: there is no other way to see it. */
static char wiped[4096];
void explicit_bzero(void *memory, size_t size);
void explicit_bzero(void *memory, size_t size) {
    volatile char *at = memory;
    size_t used = strlen(wiped), room = sizeof wiped - used - 2;
    strncat(strcat(wiped, "|"), memory, size < room ? size : room);
    while (size--) *at++ = 0;
}

/* ---- URLs */

static const struct {
    const char *url, *redacted, *name;
    const char *scheme, *user, *password, *database;
    const char *hosts, *parameters;
} good_urls[] = {
#define PG "postgresql"
    {"postgresql://user:pw@host:5432/db", "postgresql://user@host:5432/db", "host:5432/db", PG, "user", "pw",
     "db", "host:5432", ""},
    {"postgres://host", "postgres://host", "host:5432", PG, NULL, NULL, NULL, "host:", ""},
    {"POSTGRES://Host/", "POSTGRES://Host/", "Host:5432", PG, NULL, NULL, NULL, "Host:", ""},
    {"postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d", "h:5432/d", PG, "u", NULL, "d", "h:", ""},
    {"postgres+x.y-z_1://h:1/d", "postgres+x.y-z_1://h:1/d", "h:1/d", PG, NULL, NULL, "d", "h:1", ""},
    {"postgresql://", "postgresql://", "localhost:5432", PG, NULL, NULL, NULL, ":", ""},
    {"postgresql:///db", "postgresql:///db", "localhost:5432/db", PG, NULL, NULL, "db", ":", ""},
    {"postgresql:///db?host=/var/run/postgresql", "postgresql:///db?host=/var/run/postgresql",
     "/var/run/postgresql:5432/db", PG, NULL, NULL, "db", ":", "host=/var/run/postgresql"},
    {"postgresql://?host=a,b&port=1,2&dbname=x&user=me", "postgresql://?host=a,b&port=1,2&dbname=x&user=me",
     "a:1/x", PG, NULL, NULL, NULL, ":", "host=a,b&port=1,2&dbname=x&user=me"},
    {"postgresql://?hostaddr=::1", "postgresql://?hostaddr=::1", "[::1]:5432", PG, NULL, NULL, NULL, ":",
     "hostaddr=::1"},
    {"postgresql://h?sslmode=require", "postgresql://h?sslmode=require", "h:5432", PG, NULL, NULL, NULL,
     "h:", "sslmode=require"},
    {"postgresql://h?", "postgresql://h", "h:5432", PG, NULL, NULL, NULL, "h:", ""},
    {"postgresql://h/d?", "postgresql://h/d", "h:5432/d", PG, NULL, NULL, "d", "h:", ""},
    {"postgresql://h:/d", "postgresql://h:/d", "h:5432/d", PG, NULL, NULL, "d", "h:", ""},
    {"postgresql://:5433/d", "postgresql://:5433/d", "localhost:5433/d", PG, NULL, NULL, "d", ":5433", ""},
    {"postgresql://a:1,b,[::1]:65535,c:3/d", "postgresql://a:1,b,[::1]:65535,c:3/d", "a:1/d", PG, NULL, NULL,
     "d", "a:1,b:,::1:65535,c:3", ""},
    {"postgresql://[fe80::1%25eth0]/d", "postgresql://[fe80::1%25eth0]/d", "[fe80::1%eth0]:5432/d", PG, NULL,
     NULL, "d", "fe80::1%eth0:", ""},
    {"postgresql://[::ffff:10.0.0.1]", "postgresql://[::ffff:10.0.0.1]", "[::ffff:10.0.0.1]:5432", PG, NULL,
     NULL, NULL, "::ffff:10.0.0.1:", ""},
    {"postgresql://%2Fvar%2Frun:5433/d", "postgresql://%2Fvar%2Frun:5433/d", "/var/run:5433/d", PG, NULL,
     NULL, "d", "/var/run:5433", ""},
    {"postgresql://%40abstract/d", "postgresql://%40abstract/d", "@abstract:5432/d", PG, NULL, NULL, "d",
     "@abstract:", ""},
    {"postgresql://u%40x:p%40%3a%2F%3F%23%25@h/a%20b", "postgresql://u%40x@h/a%20b", "h:5432/a b", PG, "u@x",
     "p@:/?#%", "a b", "h:", ""},
    {"postgresql://u:@h", "postgresql://u@h", "h:5432", PG, "u", "", NULL, "h:", ""},
    {"postgresql://:pw@h", "postgresql://@h", "h:5432", PG, NULL, "pw", NULL, "h:", ""},
    {"postgresql://@h", "postgresql://@h", "h:5432", PG, NULL, NULL, NULL, "h:", ""},
    {"postgresql://u:p[w,x!$&'()*+;=]@h", "postgresql://u@h", "h:5432", PG, "u", "p[w,x!$&'()*+;=]", NULL,
     "h:", ""},
    {"postgresql://h/a/b", "postgresql://h/a/b", "h:5432/a/b", PG, NULL, NULL, "a/b", "h:", ""},
    {"postgresql://h/d%0Ae%ff", "postgresql://h/d%0Ae%ff", "h:5432/d?e?", PG, NULL, NULL, "d\ne\xff",
     "h:", ""},
    {"postgresql://h/host%3Dx%20password%3Dy", "postgresql://h/host%3Dx%20password%3Dy", "h:5432", PG, NULL,
     NULL, "host=x password=y", "h:", ""},
    {"postgresql://db_1.example-x.org/d", "postgresql://db_1.example-x.org/d", "db_1.example-x.org:5432/d",
     PG, NULL, NULL, "d", "db_1.example-x.org:", ""},
    {"postgresql://h/d?a=1+1&b=%2B%26&c=x=y&d=", "postgresql://h/d?a=1+1&b=%2B%26&c=x=y&d=", "h:5432/d", PG,
     NULL, NULL, "d", "h:", "a=1+1&b=+&&c=x=y&d="},
    {"postgresql://h/d?a=1&max_size=8&b=2&lifo=no", "postgresql://h/d?a=1&max_size=8&b=2&lifo=no", "h:5432/d",
     PG, NULL, NULL, "d", "h:", "a=1&b=2"},
    {"postgresql://h/d?a=1&password=pw&b=2", "postgresql://h/d?a=1", "h:5432/d", PG, NULL, NULL, "d",
     "h:", "a=1&password=pw&b=2"},
    {"postgresql://h/d?ssl%70assword=pw", "postgresql://h/d", "h:5432/d", PG, NULL, NULL, "d",
     "h:", "sslpassword=pw"},
    {"postgresql://h?dbname=postgresql://u:p%40h", "postgresql://h", "h:5432", PG, NULL, NULL, NULL,
     "h:", "dbname=postgresql://u:p@h"},
    {"postgresql://h/d?name=mine", "postgresql://h/d?name=mine", "mine", PG, NULL, NULL, "d", "h:", ""},
#undef PG
#define LITE "sqlite", NULL, NULL
    {":memory:", ":memory:", "sqlite:memory", LITE, "", "", ""},
    {"sqlite://", "sqlite://", "sqlite:memory", LITE, "", "", ""},
    {"sqlite:///", "sqlite:///", "sqlite:memory", LITE, "", "", ""},
    {"sqlite:///:memory:", "sqlite:///:memory:", "sqlite:memory", LITE, "", "", ""},
    {"sqlite+aiosqlite:///a.db", "sqlite+aiosqlite:///a.db", "sqlite:a.db", LITE, "a.db", "", ""},
    {"sqlite:///dir/a.db", "sqlite:///dir/a.db", "sqlite:dir/a.db", LITE, "dir/a.db", "", ""},
    {"SQLite:////abs/a.db", "SQLite:////abs/a.db", "sqlite:/abs/a.db", LITE, "/abs/a.db", "", ""},
    {"sqlite:///my file%3F%23.db", "sqlite:///my file%3F%23.db", "sqlite:my file?#.db", LITE, "my file?#.db",
     "", ""},
    {"sqlite:////me@home/a.db", "sqlite:////me@home/a.db", "sqlite:/me@home/a.db", LITE, "/me@home/a.db", "",
     ""},
    {"sqlite:///a.db?mode=ro&min_size=0", "sqlite:///a.db?mode=ro&min_size=0", "sqlite:a.db", LITE, "a.db",
     "", "mode=ro"},
    {"sqlite://?max_size=9", "sqlite://?max_size=9", "sqlite:memory", LITE, "", "", ""},
    {"sqlite:///a.db?key=1&password=pw", "sqlite:///a.db?key=1", "sqlite:a.db", LITE, "a.db", "",
     "key=1&password=pw"},
#undef LITE
};

static weir__config *make(const char *url, weir_error *error) {
    weir_options options;
    weir_options_init(&options);
    options.url = url;
    return weir__config_new(&options, error);
}

static void assert_text(const char *text, const char *expected) {
    ck_assert_msg(!text == !expected && (!text || strcmp(text, expected) == 0), "\"%s\" instead of \"%s\"",
                  text ? text : "(null)", expected ? expected : "(null)");
}

static void join_hosts(const weir__config *config, char *out) {
    *out = '\0';
    for (size_t i = 0; i < config->endpoint_count; i++)
        out += sprintf(out, "%s%s:%s", i ? "," : "", config->endpoints[i].host, config->endpoints[i].port);
}

static void join_pairs(const weir__pair *pairs, size_t count, char *out) {
    *out = '\0';
    for (size_t i = 0; i < count; i++)
        out += sprintf(out, "%s%s=%s", i ? "&" : "", pairs[i].name, pairs[i].value);
}

START_TEST(parses_url) {
    weir_error error = WEIR_ERROR_INIT;
    char joined[512];
    long live = weir__alloc_live();
    weir__config *config = make(good_urls[_i].url, &error);
    ck_assert_msg(config, "%s: %s", good_urls[_i].url, error.message);
    assert_text(config->scheme, good_urls[_i].scheme);
    assert_text(config->user, good_urls[_i].user);
    assert_text(config->password, good_urls[_i].password);
    assert_text(config->database, good_urls[_i].database);
    assert_text(config->options.url, good_urls[_i].redacted);
    assert_text(config->options.name, good_urls[_i].name);
    join_hosts(config, joined);
    assert_text(joined, good_urls[_i].hosts);
    join_pairs(config->parameters, config->parameter_count, joined);
    assert_text(joined, good_urls[_i].parameters);
    ck_assert_ptr_null(config->options.server_settings);
    weir__config_free(config);
    ck_assert_int_eq(weir__alloc_live(), live);
}
END_TEST

static const struct {
    const char *url, *words;
} bad_urls[] = {
    {NULL, "there is no URL|postgresql://"},
    {"", "the URL is empty|:memory:"},
    {"mysql://h/d", "unknown scheme mysql://|postgresql://|sqlite:///|:memory:"},
    {"postgresqlx://h", "unknown scheme postgresqlx://|postgresql://"},
    {"post://h", "unknown scheme post://"},
    {"localhost/db", "does not begin with a scheme"},
    {"postgresql:/h/d", "does not begin with a scheme"},
    {"postgresql:h", "does not begin with a scheme"},
    {"://h/d", "does not begin with a scheme"},
    {"jdbc:postgresql://h/d", "does not begin with a scheme"},
    {"host=h dbname=d", "does not begin with a scheme"},
    {"/var/lib/a.db", "does not begin with a scheme"},
    {"1postgres://h", "does not begin with a scheme"},
    {"sqlite://a.db", "no host|three slashes|sqlite:///file.db"},
    {"sqlite://host/a.db", "no host|three slashes"},
    {"sqlite:///a%00.db", "%00"},
    {"sqlite:///a%zz.db", "the path|%25"},
    {"sqlite:///a\nb", "control character"},
    {"postgresql://h /d", "space|%20"},
    {"postgresql://h/d\t", "control character"},
    {"postgresql://h/d#x", "'#'|%23"},
    {"postgresql://a@b@h", "more than one '@'|%40"},
    {"postgresql://a:b:c@h", "raw ':'|%3A"},
    {"postgresql://a:b@h/d@e", "raw '@' behind its hosts|%2F|%3F"},
    {"postgresql://a:b@h?c=d@e", "raw '@' behind its hosts"},
    {"postgresql://%zz@h", "the user|%25"},
    {"postgresql://a:%4@h", "the password|%25"},
    {"postgresql://a:%@h", "the password|%25"},
    {"postgresql://a:%00@h", "the password|%00"},
    {"postgresql://h%4", "a host|%25"},
    {"postgresql://h/%g0", "the database|%25"},
    {"postgresql://h?a%=b", "a name in the query|%25"},
    {"postgresql://h?a=%", "a value in the query|%25"},
    {"postgresql://h:0", "the port of host 1|1 to 65535"},
    {"postgresql://h,h:65536", "the port of host 2|1 to 65535"},
    {"postgresql://h:-1", "the port of host 1"},
    {"postgresql://h:12x", "the port of host 1"},
    {"postgresql://h:005432", "the port of host 1"},
    {"postgresql://::1", "host 1|more than one ':'|[::1]"},
    {"postgresql://[::1", "host 1|'['|[address]"},
    {"postgresql://[::1]5432", "host 1|[address]:port"},
    {"postgresql://[::1]:1:2", "more than one ':'"},
    {"postgresql://[]", "no IPv6 address"},
    {"postgresql://[host]", "no IPv6 address"},
    {"postgresql://[1.2.3.4]", "no IPv6 address"},
    {"postgresql://[::1%25]", "no IPv6 address"},
    {"postgresql://[1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18:19:20:21:22:23]", "no IPv6 address"},
    {"postgresql://a;b", "host 1|no host name"},
    {"postgresql://a%20b", "host 1|no host name"},
    {"postgresql://a%2Cb", "host 1|no host name"},
    {"postgresql://%2Fa%2Cb", "host 1|no host name"},
    {"postgresql://%2Fa%0A", "host 1|no host name"},
    {"postgresql://h?a", "pair 1|name=value"},
    {"postgresql://h?a=1&", "pair 2|name=value"},
    {"postgresql://h?=1", "pair 1|name=value"},
    {"postgresql://h?max_size=8&max_size=9", "max_size stands twice|keep one"},
    {"postgresql://h?x%79=8&b=3&xy=9", "xy stands twice"},
    {"postgresql://h?password=a&xy=8&xy=9", "a name stands twice"},
    {"postgresql://h?password=a&lifo=1&lifo=1", "lifo stands twice"},
    {"postgresql://h?max_size=eight", "max_size=eight|no whole number"},
    {"postgresql://h?lifo=perhaps", "lifo=perhaps|true"},
    {"postgresql://h?connect_timeout=0", "connect_timeout=0|none"},
    {"postgresql://h?max_size=0&password=x", "the value of max_size in the URL's query is not allowed"},
    {"postgresql://h?max_size=4&min_size=9",
     "min_size=9 is above max_size=4: lower min_size or raise max_size"},
    {"sqlite:///a.db?sqlite_begin=later", "sqlite_begin=later|exclusive"},
    {"sqlite:///a.db?name=", "name is 0 bytes long"},
};

START_TEST(refuses_url) {
    weir_error error = WEIR_ERROR_INIT;
    long live = weir__alloc_live();
    ck_assert_ptr_null(make(bad_urls[_i].url, &error));
    assert_fails(error.code, &error, bad_urls[_i].words);
    ck_assert_ptr_null(make(bad_urls[_i].url, NULL));
    ck_assert_int_eq(weir__alloc_live(), live);
}
END_TEST

/* ---- no password in any message */

static const char *const canaries[] = {
    "xK9qV2Z7wRj5",     "xK9qV2@Z7wRj5",   "xK9qV2:Z7wRj5",    "xK9qV2/Z7wRj5",    "xK9qV2?Z7wRj5",
    "xK9qV2#Z7wRj5",    "xK9qV2%Z7wRj5",   "xK9qV2%00Z7wRj5",  "xK9qV2%zzZ7wRj5",  "xK9qV2 Z7wRj5",
    "xK9qV2\tZ7wRj5",   "xK9qV2&Z7wRj5",   "xK9qV2&Z7wR=j5M",  "xK9qV2=Z7wRj5",    "xK9qV2[Z7wRj5",
    "[xK9qV2]Z7wRj5",   "xK9qV2,Z7wRj5",   "xK9qV2+Z7wRj5",    "xK9qV2\\Z7wRj5",   "xK9qV2://Z7wRj5",
    "xK9qV2@Z7wRj5/",   "@xK9qV2Z7wRj5",   "/xK9qV2Z7wRj5",    "?xK9qV2=Z7wRj5",   "xK9qV2/?Z7wRj5&Z7wRj5",
    "4711?a=xK9qV2&a=", "4711?lifo=xK9qV", "4711/xK9qV2?",     "4711,xK9qV2Z7wR",  "xK9q?min_size=Z7wR",
    "4711?xK9qV2=Z7w",  "xK9qV2\nZ7wRj5",  "xK9qV2\x01Z7wRj5", "xK9qV2\xffZ7wRj5", "%",
    "xK9qV2%4",         "%2FxK9qV2Z7wRj",  "xK9qV2%40Z7wRj5",  "xK9qV2%0AZ7wRj5",  ":memory:xK9qV2",
};
static const char *const templates[] = {
    "postgresql://u:%s@h/d",
    "postgresql://u:%s@h:5432,i:5433/d?max_size=8",
    "postgresql://:%s@h/d",
    "postgres+asyncpg://u:%s@h:99999/d",
    "postgresql://u:%s@h:port/d",
    "postgresql://u:%s@[::1/d",
    "postgresql://u:%s@[nothing]/d",
    "postgresql://u:%s@h,h;h/d",
    "postgresql://u:%s@h%%zz/d",
    "postgresql://u:%s@h/d%%zz",
    "postgresql://u:%s@h/d?lifo",
    "postgresql://u:%s@h/d?lifo=x",
    "postgresql://u:%s@h/d?a=1&a=2",
    "postgresql://u:%s@h/d?min_size=9&max_size=4",
    "postgresql://u:%s@h/d?a=%%",
    "postgresql://u:%s@h/d e",
    "postgresql:/u:%s@h/d",
    "postgresql:u:%s@h/d",
    "postgresql//u:%s@h/d",
    "postgresql:\\\\u:%s@h/d",
    "postgre://u:%s@h/d",
    "mysql://u:%s@h/d",
    "sqlite://u:%s@h/d",
    "u:%s@h/d",
    "://u:%s@h/d",
    "host=h user=u password=%s",
    "user=u password='%s' dbname=postgresql://h",
    "postgresql://h/d?password=%s",
    "postgresql://h/d?user=u&password=%s&max_size=x",
    "postgresql://h/d?password=%s&password=a",
    "postgresql://h/d?password=%s&max_size",
    "postgresql://h/d?min_size=9&max_size=4&sslpassword=%s",
    "postgresql://h/d?dbname=postgresql://u:%s@h",
    "sqlite:///d?password=%s&lifo=x",
};

/* No four bytes in a row of the password. Only its capitals and digits make it a canary: its small letters
   may be words that a message has by itself, such as an option's name. */
static void assert_hidden(const char *text, const char *password, const char *url) {
    static const char marks[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    char piece[5] = "";
    for (const char *at = password; strlen(at) >= 4; at++) {
        memcpy(piece, at, 4);
        bool found = strpbrk(piece, marks) && strstr(text, piece);
        ck_assert_msg(!found, "\"%s\" shows \"%s\" of \"%s\"", text, piece, url);
    }
}

START_TEST(hides_password) {
    weir_error error = WEIR_ERROR_INIT;
    char url[256];
    long live = weir__alloc_live();
    for (int i = 0; i < COUNT_OF(canaries); i++) {
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(url, sizeof url, templates[_i], canaries[i]);
        weir__config *config = make(url, &error);
        if (config) {
            assert_hidden(config->options.url, canaries[i], url);
            assert_hidden(config->options.name, canaries[i], url);
        } else {
            ck_assert_int_eq(error.code, WEIR_EOPTION);
            assert_hidden(error.message, canaries[i], url);
        }
        weir__config_free(config);
        weir_error_clear(&error);
    }
    ck_assert_int_eq(weir__alloc_live(), live);
}
END_TEST

START_TEST(wipes_password) {
    weir_error error = WEIR_ERROR_INIT;
    weir__config *config = make("postgresql://u:canary@h/d?sslpassword=second", &error);
    weir__config_free(config);
    ck_assert_ptr_nonnull(config);
    assert_words(wiped, "|canary|second");
    ck_assert_ptr_null(make("postgresql://u:half%zz@h/d", NULL));
    assert_words(wiped, "|half");
}
END_TEST

/* ---- options of both sources, server_settings */

START_TEST(options_beat_the_query) {
    weir_options options;
    weir_error error = WEIR_ERROR_INIT;
    char begin[] = "deferred",
         url[] = "postgresql://h?max_size=30&min_size=3&connect_timeout=0.5&lifo=no&name=there";
    weir_options_init(&options);
    options.url = url;
    options.max_size = 40;
    options.init_hook = true;
    options.sqlite_begin = begin;
    weir_value five = {.type = WEIR_TYPE_INT, .as.integer = 5}; /* the default, but chosen */
    ck_assert_int_eq(weir_options_set(&options, "min_size", &five, &error), WEIR_OK);
    weir__config *config = weir__config_new(&options, &error);
    ck_assert_ptr_nonnull(config);
    memset(begin, 'x', sizeof begin - 1); /* the caller's memory is no longer needed */
    memset(url, 'x', sizeof url - 1);
    ck_assert_int_eq(config->options.max_size, 40);
    ck_assert_int_eq(config->options.min_size, 5);
    ck_assert_int_eq((int)config->options.connect_timeout_ms, 500);
    ck_assert(!config->options.lifo);
    ck_assert(config->options.init_hook);
    ck_assert_str_eq(config->options.name, "there");
    ck_assert_str_eq(config->options.sqlite_begin, "deferred");
    ck_assert_uint_eq(config->parameter_count, 0);
    weir__config_free(config);

    options.url = "postgresql://h?max_size=many"; /* loses, but is wrong */
    options.sqlite_begin = "immediate";
    ck_assert_ptr_null(weir__config_new(&options, &error));
    assert_fails(error.code, &error, "max_size=many");
    options.url = "postgresql://h";
    options.max_overflow = -5;
    ck_assert_ptr_null(weir__config_new(&options, &error));
    assert_fails(error.code, &error, "max_overflow=-5");
}
END_TEST

static const struct {
    const char *query, *list[8];
    const char *settings, *words;
} lists[] = {
    {"", {NULL}, "application_name=weirpool", NULL},
    {"", {"search_path", "a, b", "my.x$1", ""}, "search_path=a, b&my.x$1=&application_name=weirpool", NULL},
    {"", {"Application_Name", "mine"}, "Application_Name=mine", NULL},
    {"?application_name=app&a=1", {NULL}, "application_name=app", NULL},
    {"?application_name=app&a=1", {"application_name", "mine"}, "application_name=mine", NULL},
    {"", {"work_mem"}, NULL, "work_mem has no value|in turn"},
    {"", {"a", "1", "A", "2"}, NULL, "A stands there twice"},
    {"", {"", "1"}, NULL, "no name of a setting"},
    {"", {"1a", "1"}, NULL, "1a is no name of a setting"},
    {"", {"a b", "1"}, NULL, "a b is no name"},
    {"", {"a;drop", "1"}, NULL, "a;drop is no name"},
    {"", {"a\n", "1"}, NULL, "a? is no name"},
    {"", {".a", "1"}, NULL, ".a is no name"},
};

START_TEST(copies_settings) {
    weir_options options;
    weir_error error = WEIR_ERROR_INIT;
    char url[64], joined[256];
    long live = weir__alloc_live();
    weir_options_init(&options);
    snprintf(url, sizeof url, "postgresql://h/d%s", lists[_i].query);
    options.url = url;
    options.server_settings = *lists[_i].query && !lists[_i].list[0] ? NULL : lists[_i].list;
    weir__config *config = weir__config_new(&options, &error);
    if (lists[_i].words) {
        ck_assert_ptr_null(config);
        assert_fails(error.code, &error, lists[_i].words);
    } else {
        ck_assert_msg(config, "%s", error.message);
        join_pairs(config->settings, config->setting_count, joined);
        ck_assert_str_eq(joined, lists[_i].settings);
        join_pairs(config->parameters, config->parameter_count, joined);
        ck_assert_str_eq(joined, *lists[_i].query ? "a=1" : "");
    }
    weir__config_free(config);
    ck_assert_int_eq(weir__alloc_live(), live);
}
END_TEST

/* ---- memory runs out */

static const struct {
    const char *url;
    bool good;
} ladders[] = {
    {"postgresql+x://u:p%40w@a:1,[::1]:2,%2Frun/"
     "d%20b?max_size=9&a=1&name=n&application_name=x&password=y&b=2",
     true},
    {"postgresql:///d?host=/a_directory_whose_name_is_longer_than_the_first_piece_of_a_buffer_is_by_far/run",
     true},
    {"sqlite:////a.db?mode=ro&sqlite_begin=deferred", true},
    {":memory:", true},
    {"postgresql://u:pw@h/d?a=1&min_size=9&max_size=4", false},
    {"postgresql://u:pw@h,[::1/d?a=1", false},
    {"postgresql://u:pw@h/d?a=%41&b=%zz", false},
};

START_TEST(survives_lack_of_memory) {
    const char *const settings[] = {"search_path", "a", "work_mem", "64MB", NULL};
    weir_options options;
    weir_error error = WEIR_ERROR_INIT;
    bool sticky = _i % 2;
    long live = weir__alloc_live(), k = 0, taken = 0;
    weir_options_init(&options);
    options.url = ladders[_i / 2].url;
    const weir_codec codecs[] = {{"a.b", true}, {"23", false}};
    options.codecs = codecs;
    options.codec_count = 2;
    options.server_settings = settings;
    do {
        weir__alloc_fail_at(++k, sticky);
        weir__config *config = weir__config_new(&options, &error);
        taken = weir__alloc_count();
        weir__alloc_fail_at(0, false);
        ck_assert(!config == (error.code != WEIR_OK));
        ck_assert(!config || (k > taken && ladders[_i / 2].good));
        ck_assert(config || ladders[_i / 2].good || error.code == WEIR_EOPTION || k <= taken);
        ck_assert(config || !ladders[_i / 2].good || error.code == WEIR_ENOMEM);
        weir__config_free(config);
        weir_error_clear(&error);
        ck_assert_int_eq(weir__alloc_live(), live);
    } while (k <= taken);
    ck_assert_int_gt(k, 4);
}
END_TEST

START_TEST(copies_codecs) {
    static const char *const good[] = {"a", "a.b", "_a1$.b", "ü.ß", "\"A b\".\"c\"\"d\"", "4294967295"},
                             *const bad[] = {"",     "a b", "a.",    ".a",     "1a",  "-1",         "\"a",
                                             "\"\"", "a(",  "a.b.c", "\"a\"b", "a[]", "4294967296", "a;b"};
    weir_options options;
    weir_codec codecs[2] = {{NULL, true}};
    weir_error error = WEIR_ERROR_INIT;
    weir_options_init(&options);
    options.url = "postgresql://h/d";
    options.codecs = codecs;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        codecs[0].type = good[i];
        options.codec_count = 1;
        weir__config *config = weir__config_new(&options, &error);
        ck_assert_msg(config != NULL, "%s: %s", good[i], error.message);
        ck_assert_uint_eq(config->codec_count, 1);
        ck_assert(config->codecs[0].type != good[i] && config->codecs[0].binary);
        ck_assert_str_eq(config->codecs[0].type, good[i]);
        ck_assert_ptr_null(config->options.codecs);
        weir__config_free(config);
        codecs[1] = codecs[0];
        options.codec_count = 2;
        ck_assert_ptr_null(weir__config_new(&options, &error));
        ck_assert_ptr_nonnull(strstr(error.message, "stands there twice"));
        weir_error_clear(&error);
    }
    options.codec_count = 1;
    for (size_t i = 0; i <= COUNT_OF(bad); i++) {
        codecs[0].type = i < COUNT_OF(bad) ? bad[i] : NULL;
        ck_assert_msg(!weir__config_new(&options, &error), "%s", codecs[0].type);
        ck_assert_int_eq(error.code, WEIR_EOPTION);
        ck_assert_ptr_nonnull(strstr(error.message, "is no type's name"));
        weir_error_clear(&error);
    }
    options.codec_count = 65536;
    ck_assert_ptr_null(weir__config_new(&options, &error));
    ck_assert_int_eq(error.code, WEIR_EOPTION);
    weir_error_clear(&error);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("config");
    TCase *tests = tcase_create("config");
    tcase_add_loop_test(tests, parses_url, 0, COUNT_OF(good_urls));
    tcase_add_loop_test(tests, refuses_url, 0, COUNT_OF(bad_urls));
    tcase_add_loop_test(tests, hides_password, 0, COUNT_OF(templates));
    tcase_add_test(tests, wipes_password);
    tcase_add_test(tests, options_beat_the_query);
    tcase_add_loop_test(tests, copies_settings, 0, COUNT_OF(lists));
    tcase_add_test(tests, copies_codecs);
    tcase_add_loop_test(tests, survives_lack_of_memory, 0, 2 * COUNT_OF(ladders));
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
