/*
 * A password with a raw '@', ':', '/', '?' or '#' in it changes where the parts of its URL begin and end, so
 * that a piece of it may be read as a host, a port, a path or a query. Hence two rules: whatever is ambiguous
 * is refused, and messages name the part ("the port of host 2"), never its text.
 */
#include "config/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/error.h"
#include "config/option.h"

typedef struct span {
    const char *data;
    size_t length;
} span;

static span between(const char *from, const char *to) { return (span){from, (size_t)(to - from)}; }

static const char *find(span in, char c) { return in.length ? memchr(in.data, c, in.length) : NULL; }

static size_t count_char(span in, char c) {
    size_t n = 0;
    for (size_t i = 0; i < in.length; i++) n += in.data[i] == c;
    return n;
}

static int fail_memory(weir_error *error) { return weir__fail(error, WEIR_ENOMEM, "out of memory"); }

/* ---- percent-encoding */

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A decoded copy in *out. `part` names it in messages: "the password". */
static int decode(span from, const char *part, char **out, weir_error *error) {
    char *to = weir__malloc(from.length + 1);
    const char *fault = NULL;
    size_t n = 0;
    if (!to) return fail_memory(error);
    for (size_t i = 0; i < from.length && !fault; i++) {
        to[n++] = from.data[i];
        if (from.data[i] != '%') continue;
        int high = i + 2 < from.length ? hex(from.data[i + 1]) : -1,
            low = high < 0 ? -1 : hex(from.data[i + 2]);
        if (i + 2 >= from.length || high < 0 || low < 0)
            fault = "holds a '%' without two hexadecimal digits: write %25 for a plain '%'";
        else if (high == 0 && low == 0)
            fault = "holds %00, a NUL: leave it out";
        else
            to[n - 1] = (char)(high << 4 | low);
        i += 2;
    }
    to[n] = '\0';
    if (!fault) {
        *out = to;
        return WEIR_OK;
    }
    explicit_bzero(to, from.length + 1);
    weir__free(to);
    return weir__fail(error, WEIR_EOPTION, "%s of the URL %s", part, fault);
}

/* ---- the query */

const char *weir__url_parameter(const weir__config *config, const char *name) {
    for (size_t i = 0; i < config->parameter_count; i++)
        if (strcmp(config->parameters[i].name, name) == 0) return config->parameters[i].value;
    return NULL;
}

bool weir__url_secret(const weir__pair *pair) {
    return strcasestr(pair->name, "passw") || strcasestr(pair->name, "secret") ||
           strcasestr(pair->name, "token") || strcasestr(pair->value, "password=") ||
           strstr(pair->value, "://");
}

bool weir__url_secrets(const weir__config *config) {
    for (size_t i = 0; i < config->parameter_count; i++)
        if (weir__url_secret(&config->parameters[i])) return true;
    return false;
}

static int parse_pair(span text, weir__config *config, weir_error *error) {
    weir__pair *pair = &config->parameters[config->parameter_count];
    const char *equals = find(text, '=');
    if (!equals || equals == text.data)
        return weir__fail(error, WEIR_EOPTION,
                          "pair %zu of the URL's query is no name=value: write %%26 for a '&' in a value",
                          config->parameter_count + 1);
    int code = decode(between(text.data, equals), "a name in the query", &pair->name, error);
    if (code != WEIR_OK) return code;
    code = decode(between(equals + 1, text.data + text.length), "a value in the query", &pair->value, error);
    if (code == WEIR_OK) {
        config->parameter_count++;
    } else {
        weir__free(pair->name);
        pair->name = NULL;
    }
    return code;
}

static int refuse_duplicates(const weir__config *config, weir_error *error) {
    char shown[WEIR__QUOTE_SIZE];
    for (size_t i = 0; i < config->parameter_count; i++) {
        const char *name = config->parameters[i].name;
        if (weir__url_parameter(config, name) == config->parameters[i].value) continue;
        bool show = weir__option_find(name) || !weir__url_secrets(config);
        return weir__fail(error, WEIR_EOPTION, "%s stands twice in the URL's query: keep one of them",
                          show ? weir__quote(shown, name) : "a name");
    }
    return WEIR_OK;
}

/* query: what follows the '?', or NULL. */
static int parse_query(const char *query, weir__config *config, weir_error *error) {
    if (!query || !*query) return WEIR_OK;
    span all = {query, strlen(query)};
    config->parameters = weir__calloc(count_char(all, '&') + 1, sizeof *config->parameters);
    if (!config->parameters) return fail_memory(error);
    for (const char *at = query;; at++) {
        const char *end = at + strcspn(at, "&");
        int code = parse_pair(between(at, end), config, error);
        if (code != WEIR_OK) return code;
        at = end;
        if (!*at) break;
    }
    return refuse_duplicates(config, error);
}

/* The URL as it was given, but without the bytes of `password`, and without the query from its first secret
   pair on, because a raw '&' in that may have made the pairs that follow. */
static int redact(const char *url, span password, const char *query, weir__config *config,
                  weir_error *error) {
    weir__buffer out = WEIR__BUFFER_INIT;
    const char *end = query ? query - 1 : url + strlen(url);
    if (password.data) {
        weir__buffer_append(&out, url, (size_t)(password.data - url));
        url = password.data + password.length;
    }
    weir__buffer_append(&out, url, (size_t)(end - url));
    for (size_t i = 0; i < config->parameter_count && !weir__url_secret(&config->parameters[i]); i++) {
        size_t length = strcspn(query, "&");
        weir__buffer_char(&out, i ? '&' : '?');
        weir__buffer_append(&out, query, length);
        query += length + 1; /* past the last pair it is not looked at again */
    }
    config->options.url = weir__buffer_steal(&out);
    weir__buffer_free(&out);
    return config->options.url ? WEIR_OK : fail_memory(error);
}

/* ---- hosts */

static bool is_host_name(const char *host) {
    for (; *host; host++)
        if (!isalnum((unsigned char)*host) && !strchr("-._", *host) && !((unsigned char)*host & 0x80))
            return false;
    return true;
}

/* A directory of sockets, or (with '@') a name in Linux' abstract space. ',' would be two hosts to libpq. */
static bool is_socket(const char *host) {
    if (*host != '/' && *host != '@') return false;
    for (const char *c = host; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f || *c == ',') return false;
    return true;
}

static bool is_ipv6(const char *host) {
    char address[INET6_ADDRSTRLEN];
    unsigned char binary[16];
    size_t length = strcspn(host, "%"); /* a zone may follow: fe80::1%eth0 */
    if (length >= sizeof address || (host[length] && (!host[length + 1] || !is_host_name(host + length + 1))))
        return false;
    memcpy(address, host, length);
    address[length] = '\0';
    return inet_pton(AF_INET6, address, binary) == 1;
}

static bool is_port(span port) {
    unsigned number = 0;
    if (port.length > 5) return false;
    for (size_t i = 0; i < port.length; i++) {
        if (port.data[i] < '0' || port.data[i] > '9') return false;
        number = number * 10 + (unsigned)(port.data[i] - '0');
    }
    return port.length == 0 || (number >= 1 && number <= 65535);
}

/* text: "host", "host:port", "[address]:port", ":port" or nothing. */
static int parse_host(span text, weir__endpoint *endpoint, size_t n, weir_error *error) {
    span host = text, port = {text.data + text.length, 0};
    bool bracket = text.length && *text.data == '[';
    const char *close = bracket ? find(text, ']') : NULL, *end = text.data + text.length;
    const char *colon = bracket ? (close && close + 1 < end ? close + 1 : NULL) : find(text, ':');
    if (bracket && (!close || (colon && *colon != ':')))
        return weir__fail(error, WEIR_EOPTION,
                          "host %zu of the URL begins with '[': write [address] or [address]:port", n);
    if (bracket) host = between(text.data + 1, close);
    if (colon) {
        if (!bracket) host = between(text.data, colon);
        port = between(colon + 1, end);
    }
    if (find(port, ':'))
        return weir__fail(
            error, WEIR_EOPTION,
            "host %zu of the URL has more than one ':': write an IPv6 address in brackets, as [::1]:5432", n);
    if (!is_port(port))
        return weir__fail(
            error, WEIR_EOPTION,
            "the port of host %zu of the URL is no number from 1 to 65535: correct it, or write user and "
            "password as user:password@",
            n);
    int code = decode(host, "a host", &endpoint->host, error);
    if (code != WEIR_OK) return code;
    endpoint->port = weir__strndup(port.data, port.length);
    if (!endpoint->port) return fail_memory(error);
    if (bracket ? is_ipv6(endpoint->host) : is_host_name(endpoint->host) || is_socket(endpoint->host))
        return WEIR_OK;
    return weir__fail(
        error, WEIR_EOPTION,
        bracket ? "host %zu of the URL holds no IPv6 address in its brackets: write it as in [::1]:5432"
                : "host %zu of the URL holds a character that no host name has: write a name, an "
                  "address, or a directory as %%2Fvar%%2Frun",
        n);
}

static int parse_hosts(span text, weir__config *config, weir_error *error) {
    config->endpoints = weir__calloc(count_char(text, ',') + 1, sizeof *config->endpoints);
    if (!config->endpoints) return fail_memory(error);
    for (const char *at = text.data, *last = text.data + text.length;; at++) {
        span rest = between(at, last);
        const char *end = find(rest, ',');
        if (!end) end = last;
        size_t n = config->endpoint_count++;
        int code = parse_host(between(at, end), &config->endpoints[n], n + 1, error);
        if (code != WEIR_OK || end == last) return code;
        at = end;
    }
}

/* ---- whole URLs */

/* text: what stands before the '@'. *password becomes the span to be cut, with its ':'. */
static int parse_userinfo(span text, span *password, weir__config *config, weir_error *error) {
    const char *colon = find(text, ':'), *end = text.data + text.length;
    if (count_char(text, ':') > 1)
        return weir__fail(error, WEIR_EOPTION,
                          "the user or password in the URL holds a raw ':': percent-encode it as %%3A");
    span user = between(text.data, colon ? colon : end);
    int code = user.length ? decode(user, "the user", &config->user, error) : WEIR_OK;
    if (code != WEIR_OK || !colon) return code;
    *password = between(colon, end);
    return decode(between(colon + 1, end), "the password", &config->password, error);
}

/* rest: what follows "postgresql://". */
static int parse_postgres(const char *url, const char *rest, weir__config *config, weir_error *error) {
    const char *path = rest + strcspn(rest, "/?"), *query = strchr(path, '?');
    span authority = between(rest, path), password = {NULL, 0};
    const char *at = find(authority, '@');
    if (strchr(path, '@'))
        return weir__fail(
            error, WEIR_EOPTION,
            "the URL holds a raw '@' behind its hosts: in a password percent-encode '/' as %%2F and '?' "
            "as %%3F, and anywhere else '@' as %%40");
    if (count_char(authority, '@') > 1)
        return weir__fail(error, WEIR_EOPTION,
                          "the URL holds more than one '@': in a user or password percent-encode it as %%40");
    int code = at ? parse_userinfo(between(rest, at), &password, config, error) : WEIR_OK;
    if (code != WEIR_OK) return code;
    if (at) authority = between(at + 1, path);
    code = parse_hosts(authority, config, error);
    if (code != WEIR_OK) return code;
    const char *end = query ? query : path + strlen(path);
    if (path < end && path + 1 < end)
        code = decode(between(path + 1, end), "the database", &config->database, error);
    if (code != WEIR_OK) return code;
    if (query) query++;
    code = parse_query(query, config, error);
    return code == WEIR_OK ? redact(url, password, query, config, error) : code;
}

/* rest: what follows "sqlite://". */
static int parse_sqlite(const char *url, const char *rest, weir__config *config, weir_error *error) {
    const char *end = rest + strcspn(rest, "?"), *query = *end ? end + 1 : NULL;
    if (rest < end && *rest != '/')
        return weir__fail(
            error, WEIR_EOPTION,
            "an SQLite URL has no host: write three slashes before a relative path, sqlite:///file.db, "
            "four before an absolute one, sqlite:////dir/file.db");
    span path = rest < end ? between(rest + 1, end) : between(rest, end);
    int code = decode(path, "the path", &config->database, error);
    if (code != WEIR_OK) return code;
    if (strcmp(config->database, ":memory:") == 0) *config->database = '\0';
    code = parse_query(query, config, error);
    return code == WEIR_OK ? redact(url, (span){NULL, 0}, query, config, error) : code;
}

/* The scheme's length, or 0 when the URL does not begin with scheme:// at all. */
static size_t scheme_length(const char *url) {
    size_t n = 0;
    while (isalnum((unsigned char)url[n]) || (n && url[n] && strchr("+-._", url[n]))) n++;
    return isalpha((unsigned char)*url) && strncmp(url + n, "://", 3) == 0 ? n : 0;
}

static int refuse_characters(const char *url, bool sqlite, weir_error *error) {
    for (const char *c = url; *c; c++)
        if ((*c == ' ' && !sqlite) || (unsigned char)*c < ' ' || *c == 0x7f)
            return weir__fail(
                error, WEIR_EOPTION,
                "the URL holds a space or a control character: percent-encode it, a space as %%20");
    if (!strchr(url, '#')) return WEIR_OK;
    return weir__fail(error, WEIR_EOPTION, "the URL holds a raw '#': percent-encode it as %%23");
}

int weir__url_parse(const char *url, weir__config *config, weir_error *error) {
    static const char forms[] = "postgresql:// (or postgres://), sqlite:/// and :memory:";
    if (strcmp(url, ":memory:") == 0) {
        config->scheme = weir__strndup("sqlite", 6);
        config->database = weir__strndup("", 0);
        config->options.url = weir__strndup(url, strlen(url));
        return config->scheme && config->database && config->options.url ? WEIR_OK : fail_memory(error);
    }
    size_t length = scheme_length(url), base = strcspn(url, "+:");
    if (!length)
        return weir__fail(error, WEIR_EOPTION,
                          "the URL does not begin with a scheme and ://: write one of %s, as in "
                          "postgresql://user:password@host:5432/database",
                          forms);
    bool sqlite = base == 6 && strncasecmp(url, "sqlite", 6) == 0;
    bool postgres = (base == 8 && strncasecmp(url, "postgres", 8) == 0) ||
                    (base == 10 && strncasecmp(url, "postgresql", 10) == 0);
    if (!sqlite && !postgres)
        return weir__fail(error, WEIR_EOPTION, "unknown scheme %.*s://: there are %s",
                          (int)(length < 32 ? length : 32), url, forms);
    int code = refuse_characters(url, sqlite, error);
    if (code != WEIR_OK) return code;
    config->scheme = sqlite ? weir__strndup("sqlite", 6) : weir__strndup("postgresql", 10);
    if (!config->scheme) return fail_memory(error);
    const char *rest = url + length + 3;
    return sqlite ? parse_sqlite(url, rest, config, error) : parse_postgres(url, rest, config, error);
}
