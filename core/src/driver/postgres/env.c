#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/error.h"
#include "config/option.h"
#include "driver/postgres/pg.h"

static int fail_memory(weir_error *error) { return weir__fail(error, WEIR_ENOMEM, "out of memory"); }

/* ---- parameters */

static void wipe(char *text) {
    if (text) explicit_bzero(text, strlen(text));
    weir__free(text);
}

static bool params_grow(weir__pgparams *params) {
    if (params->count + 1 < params->capacity) return true;
    size_t capacity = params->capacity ? params->capacity * 2 : 16;
    char **keywords = weir__realloc(params->keywords, capacity * sizeof *keywords);
    if (!keywords) return false;
    params->keywords = keywords;
    char **values = weir__realloc(params->values, capacity * sizeof *values);
    if (!values) return false;
    params->values = values;
    params->capacity = capacity;
    return true;
}

bool weir__pg_params_add(weir__pgparams *params, const char *keyword, const char *value) {
    if (!params_grow(params)) return false;
    size_t i = params->count;
    params->keywords[i] = weir__strndup(keyword, strlen(keyword));
    params->values[i] = weir__strndup(value, strlen(value));
    if (!params->keywords[i] || !params->values[i]) {
        weir__free(params->keywords[i]);
        wipe(params->values[i]);
        params->keywords[i] = params->values[i] = NULL;
        return false;
    }
    params->count++;
    params->keywords[i + 1] = params->values[i + 1] = NULL;
    return true;
}

bool weir__pg_params_copy(weir__pgparams *to, const weir__pgparams *from) {
    *to = (weir__pgparams){0};
    if (!params_grow(to)) return false;
    to->keywords[0] = to->values[0] = NULL;
    for (size_t i = 0; i < from->count; i++)
        if (!weir__pg_params_add(to, from->keywords[i], from->values[i])) return false;
    return true;
}

void weir__pg_params_free(weir__pgparams *params) {
    for (size_t i = 0; i < params->count; i++) {
        weir__free(params->keywords[i]);
        wipe(params->values[i]);
    }
    weir__free(params->keywords);
    weir__free(params->values);
    *params = (weir__pgparams){0};
}

static bool params_have(const weir__pgparams *params, const char *keyword) {
    for (size_t i = 0; i < params->count; i++)
        if (strcmp(params->keywords[i], keyword) == 0) return true;
    return false;
}

/* ---- what libpq makes of them */

/*
 * A value that libpq refuses in the option `stop`, which it checks always, makes it go through the
 * environment and the service file, and stop before it opens a socket. *refused (may be NULL): what it
 * complained of before that, to be freed, or NULL.
 */
static PQconninfoOption *probe(const weir__pgparams *params, const char *stop, char **refused) {
    static const char stopper[] = "weirpool";
    weir__pgparams probe;
    PQconninfoOption *options = NULL;
    if (refused) *refused = NULL;
    if (!weir__pg_params_copy(&probe, params)) goto out;
    if (!weir__pg_params_add(&probe, stop, stopper)) goto out;
    /* Any password, so that the password file is not read; libpq writes to stderr when its mode is wrong. */
    if (!weir__pg_params_add(&probe, "password", stopper)) goto out;
    PGconn *pg =
        PQconnectStartParams((const char *const *)probe.keywords, (const char *const *)probe.values, 0);
    if (pg) options = PQconninfo(pg);
    if (options && refused && !strstr(PQerrorMessage(pg), stopper)) {
        const char *message = PQerrorMessage(pg);
        *refused = weir__strndup(message, strcspn(message, "\n"));
        if (!*refused) {
            PQconninfoFree(options);
            options = NULL;
        }
    }
    PQfinish(pg);
out:
    weir__pg_params_free(&probe);
    return options;
}

PQconninfoOption *weir__pg_effective(const weir__pgparams *params) {
    return probe(params, "ssl_min_protocol_version", NULL); /* nothing else depends on it */
}

const char *weir__pg_effective_value(const PQconninfoOption *options, const char *keyword) {
    for (; options && options->keyword; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val && *options->val ? options->val : NULL;
    return NULL;
}

/* ---- the URL's own parameters */

/* Parameters that libpq knows but that would take from the driver what it relies on. */
static const char *unfit(const char *keyword) {
    static const struct {
        const char *keyword, *why;
    } list[] = {
        {"replication", "a pool has no replication connections: leave it out"},
        {"client_encoding", "it is always UTF8: leave it out"},
        {"connect_timeout", "it is an option of the pool: give it there"},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (strcmp(list[i].keyword, keyword) == 0) return list[i].why;
    return NULL;
}

/* What a parameter may be: the pool's options, then libpq's. */
static const char *keyword_at(const void *known, size_t row) {
    size_t own = 0;
    while (own <= row && weir__option_at(own)) own++;
    if (own > row) return weir__option_at(row)->name;
    const char *keyword = ((const PQconninfoOption *)known)[row - own].keyword;
    return keyword && unfit(keyword) ? "" : keyword;
}

static int check_keyword(const PQconninfoOption *known, const char *keyword, weir_error *error) {
    char shown[WEIR__QUOTE_SIZE];
    const char *why = unfit(keyword);
    if (why) return weir__fail(error, WEIR_EOPTION, "the URL's parameter %s: %s", keyword, why);
    for (const PQconninfoOption *one = known; one->keyword; one++)
        if (strcmp(one->keyword, keyword) == 0) return WEIR_OK;
    const char *near = weir__nearest(keyword, keyword_at, known);
    return weir__fail(
        error, WEIR_EOPTION,
        "the URL's parameter \"%s\" is neither an option of the pool nor known to libpq %d: %s%s%s",
        weir__quote(shown, keyword), PQlibVersion() / 10000, near ? "did you mean " : "leave it out",
        near ? near : "", near ? "?" : "");
}

static int add_parameters(weir__pgenv *env, const weir__config *config, weir_error *error) {
    PQconninfoOption *known = PQconndefaults();
    int code = known ? WEIR_OK : fail_memory(error);
    for (size_t i = 0; code == WEIR_OK && i < config->parameter_count; i++) {
        const weir__pair *pair = &config->parameters[i];
        code = check_keyword(known, pair->name, error);
        if (code == WEIR_OK && !weir__pg_params_add(&env->params, pair->name, pair->value))
            code = fail_memory(error);
    }
    PQconninfoFree(known);
    return code;
}

/* "a,b" and "5432,5433" out of the URL's hosts; nothing when it names none. */
static int add_endpoints(weir__pgenv *env, const weir__config *config, weir_error *error) {
    weir__buffer hosts = WEIR__BUFFER_INIT, ports = WEIR__BUFFER_INIT;
    bool any_host = false, any_port = false, fits = true;
    for (size_t i = 0; i < config->endpoint_count; i++) {
        const weir__endpoint *endpoint = &config->endpoints[i];
        any_host = any_host || *endpoint->host;
        any_port = any_port || *endpoint->port;
        weir__buffer_text(&hosts, i ? "," : "");
        weir__buffer_text(&hosts, endpoint->host);
        weir__buffer_text(&ports, i ? "," : "");
        weir__buffer_text(&ports, endpoint->port);
    }
    const char *host = weir__buffer_string(&hosts), *port = weir__buffer_string(&ports);
    fits = host && port;
    if (fits && (any_host || config->endpoint_count > 1))
        fits = weir__pg_params_add(&env->params, "host", host);
    if (fits && any_port) fits = weir__pg_params_add(&env->params, "port", port);
    weir__buffer_free(&hosts);
    weir__buffer_free(&ports);
    return fits ? WEIR_OK : fail_memory(error);
}

static int add_defaults(weir__pgenv *env, weir_error *error) {
    /* Keepalives find a peer that is gone while we wait for it, tcp_user_timeout one that is gone while we
     * send. */
    static const char *const defaults[][2] = {
        {"keepalives_idle", "30"},
        {"keepalives_interval", "10"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "30000"},
    };
    weir__pgparams *params = &env->params;
    PQconninfoOption *effective = weir__pg_effective(params);
    bool fits = effective;
    for (size_t i = 0; fits && i < sizeof defaults / sizeof defaults[0]; i++)
        if (!weir__pg_effective_value(effective, defaults[i][0]))
            fits = weir__pg_params_add(params, defaults[i][0], defaults[i][1]);
    PQconninfoFree(effective);
    return fits && weir__pg_params_add(params, "client_encoding", "UTF8") ? WEIR_OK : fail_memory(error);
}

/* ---- settings of the server */

/* The server splits `options` at blanks; a backslash takes the next byte as it is. */
static void append_setting(weir__buffer *out, const char *name, const char *value) {
    weir__buffer_text(out, out->length ? " -c " : "-c ");
    weir__buffer_text(out, name);
    weir__buffer_char(out, '=');
    for (; *value; value++) {
        if (strchr(" \\\t\n\r\f\v", *value)) weir__buffer_char(out, '\\');
        weir__buffer_char(out, *value);
    }
}

static void append_time(weir__buffer *out, const char *name, int64_t ms) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)(ms > INT32_MAX ? INT32_MAX : ms));
    append_setting(out, name, text);
}

static const char *setting(const weir__config *config, const char *name) {
    for (size_t i = 0; i < config->setting_count; i++)
        if (strcasecmp(config->settings[i].name, name) == 0) return config->settings[i].value;
    return NULL;
}

/* The server cuts names off at 63 bytes, and writes what is no ASCII otherwise: the pod's comes last, whole.
 */
static bool add_tagged_name(weir__pgenv *env, const weir__config *config, const char *name) {
    char text[64];
    size_t most = sizeof text - 2 - strlen(config->pod), length = strlen(name);
    if (length > most) length = most;
    for (size_t i = 0; i < length; i++) text[i] = name[i] >= ' ' && name[i] <= '~' ? name[i] : '?';
    snprintf(text + length, sizeof text - length, " %s", config->pod);
    return weir__pg_params_add(&env->params, "application_name", text);
}

static bool add_name(weir__pgenv *env, const weir__config *config, const char *name) {
    bool chosen = strcmp(name, "weirpool") != 0;
    const char *others = getenv("PGAPPNAME"); /* the name that nobody chose gives way to it */
    if (*config->pod) return add_tagged_name(env, config, !chosen && others && *others ? others : name);
    return weir__pg_params_add(&env->params, chosen ? "application_name" : "fallback_application_name", name);
}

static int add_settings(weir__pgenv *env, const weir__config *config, weir_error *error) {
    const weir_options *options = &config->options;
    weir__buffer out = WEIR__BUFFER_INIT;
    bool fits = true;
    env->startup_chosen =
        config->setting_count > 1 || /* beside application_name */
        (options->lock_timeout_ms > 0 && weir__option_chosen(options, weir__option_find("lock_timeout")));
    if (options->lock_timeout_ms > 0) append_time(&out, "lock_timeout", options->lock_timeout_ms);
    /* No prepared statements: a proxy stands in between, and a SET would hit other clients' sessions. */
    if (options->command_timeout_ms > 0 && options->statement_cache_size > 0 &&
        !setting(config, "statement_timeout")) {
        env->guard_ms = options->command_timeout_ms + WEIR__PG_GUARD_MARGIN_MS;
        if (env->guard_ms > INT32_MAX) env->guard_ms = INT32_MAX;
        append_time(&out, "statement_timeout", env->guard_ms);
    }
    for (size_t i = 0; i < config->setting_count; i++) {
        const weir__pair *pair = &config->settings[i];
        if (strcasecmp(pair->name, "application_name") != 0)
            append_setting(&out, pair->name, pair->value);
        else
            fits = fits && add_name(env, config, pair->value);
    }
    env->startup = weir__buffer_steal(&out);
    weir__buffer_free(&out);
    return fits && env->startup ? WEIR_OK : fail_memory(error);
}

/* ---- the environment */

static int add_credentials(weir__pgenv *env, const weir__config *config, weir_error *error) {
    weir__pgparams *params = &env->params;
    if (config->user && !weir__pg_params_add(params, "user", config->user)) return fail_memory(error);
    if (config->password && !weir__pg_params_add(params, "password", config->password))
        return fail_memory(error);
    if (config->database && *config->database && !weir__pg_params_add(params, "dbname", config->database))
        return fail_memory(error);
    return WEIR_OK;
}

/* What libpq reads only when it connects, and then calls a failure to connect. */
static bool is_number(const char *text, const char *end, long least, long most) {
    char *stop;
    long number = strtol(text, &stop, 10);
    return stop > text && stop + strspn(stop, " \t\n\r\f\v") == end && number >= least && number <= most;
}

static bool are_ports(const char *list) {
    for (;; list++) {
        const char *end = list + strcspn(list, ",");
        if (end > list && !is_number(list, end, 1, 65535)) return false;
        list = end;
        if (!*list) return true;
    }
}

static int check_numbers(const PQconninfoOption *effective, weir_error *error) {
    static const char *const numbers[] = {"keepalives", "keepalives_idle", "keepalives_interval",
                                          "keepalives_count", "tcp_user_timeout"};
    char shown[WEIR__QUOTE_SIZE];
    const char *value = weir__pg_effective_value(effective, "port");
    if (value && !are_ports(value))
        return weir__fail(error, WEIR_EOPTION,
                          "the connection's parameters: port=%s: give numbers from 1 to 65535",
                          weir__quote(shown, value));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        value = weir__pg_effective_value(effective, numbers[i]);
        if (value && !is_number(value, value + strlen(value), INT_MIN, INT_MAX))
            return weir__fail(error, WEIR_EOPTION, "the connection's parameters: %s=%s is no whole number",
                              numbers[i], weir__quote(shown, value));
    }
    return WEIR_OK;
}

/* What libpq refuses before it looks at the network will not become right by trying again. A service may: its
   file may be written later. The first probe takes libpq's own check of one parameter's value from it, and
   the second that of the number of ports. */
static int check_values(weir__pgenv *env, weir_error *error) {
    if (params_have(&env->params, "service") || getenv("PGSERVICE")) return WEIR_OK;
    char *refused;
    PQconninfoOption *effective = probe(&env->params, "ssl_min_protocol_version", &refused), *all = NULL;
    if (effective && !refused) all = probe(&env->params, "port", &refused);
    int code;
    if (refused)
        code = weir__fail(error, WEIR_EOPTION, "the connection's parameters: %s", refused);
    else
        code = all ? check_numbers(effective, error) : fail_memory(error);
    weir__free(refused);
    PQconninfoFree(effective);
    PQconninfoFree(all);
    return code;
}

weir__env *weir__pg_env_open(const weir__env *base, weir_error *error) {
    const weir__config *config = base->config;
    weir__pgenv *env = weir__calloc(1, sizeof *env);
    if (!env) {
        fail_memory(error);
        return NULL;
    }
    env->base = *base;
    weir__list_init(&env->spares);
    int code = weir__lru_init(&env->shapes, WEIR__PG_SHAPES) ? WEIR_OK : fail_memory(error);
    if (code == WEIR_OK && !weir__pg_reset_open(env)) code = fail_memory(error);
    if (code == WEIR_OK) code = add_endpoints(env, config, error);
    if (code == WEIR_OK) code = add_credentials(env, config, error);
    if (code == WEIR_OK) code = add_settings(env, config, error);
    if (code == WEIR_OK) code = add_parameters(env, config, error);
    if (code == WEIR_OK) code = check_values(env, error);
    if (code == WEIR_OK) code = add_defaults(env, error);
    if (code == WEIR_OK) return &env->base;
    weir__pg_env_close(&env->base);
    return NULL;
}

void weir__pg_env_close(weir__env *base) {
    weir__pgenv *env = (weir__pgenv *)base;
    weir__pg_spares_free(env);
    weir__shapes_clear(&env->shapes);
    weir__lru_free(&env->shapes);
    weir__pgtypes_unref(env->types);
    weir__pg_params_free(&env->params);
    weir__free(env->startup);
    weir__free(env->reset);
    weir__free(env);
}
