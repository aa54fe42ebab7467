#include "config/config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/error.h"
#include "config/environment.h"
#include "config/option.h"
#include "config/url.h"

static int fail_memory(weir_error *error) { return weir__fail(error, WEIR_ENOMEM, "out of memory"); }

/* Frees a text that may be secret. */
static void wipe(char *text) {
    if (text) explicit_bzero(text, strlen(text));
    weir__free(text);
}

static void wipe_pairs(weir__pair *pairs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        weir__free(pairs[i].name);
        wipe(pairs[i].value);
    }
    weir__free(pairs);
}

void weir__config_free(weir__config *config) {
    const weir__option *option;
    if (!config) return;
    wipe(config->password);
    wipe_pairs(config->parameters, config->parameter_count);
    wipe_pairs(config->settings, config->setting_count);
    for (size_t i = 0; i < config->endpoint_count; i++) {
        weir__free(config->endpoints[i].host);
        weir__free(config->endpoints[i].port);
    }
    weir__free(config->endpoints);
    for (size_t i = 0; i < config->codec_count; i++) weir__free((char *)config->codecs[i].type);
    weir__free(config->codecs);
    weir__free(config->scheme);
    weir__free(config->user);
    weir__free(config->database);
    weir__free((char *)config->options.url);
    for (size_t row = 0; (option = weir__option_at(row)); row++)
        if (option->kind == WEIR_OPTION_TEXT)
            weir__free((char *)*weir__option_text(&config->options, option));
    weir__free(config);
}

/* ---- options */

/* The query's pool options into *merged, which borrows their texts; what the caller has chosen stays. */
static int merge_query(const weir__config *config, const weir_options *chosen, weir_options *merged,
                       weir_error *error) {
    for (size_t i = 0; i < config->parameter_count; i++) {
        const weir__pair *pair = &config->parameters[i];
        const weir__option *option = weir__option_find(pair->name);
        weir_options unused = *chosen; /* a value that loses is checked all the same */
        if (!option) continue;
        bool loses = weir__option_chosen(chosen, option);
        int code = weir_options_set_text(loses ? &unused : merged, option->name, pair->value, error);
        if (code == WEIR_OK) continue;
        if (!weir__url_secrets(config)) return code;
        return weir__fail(error, WEIR_EOPTION,
                          "the value of %s in the URL's query is not allowed: correct it", option->name);
    }
    return WEIR_OK;
}

/* config->options becomes a copy of *merged that owns its texts. The redacted URL is there already. */
static int own_options(weir__config *config, const weir_options *merged, weir_error *error) {
    const weir__option *option;
    weir_options owned = *merged;
    bool failed = false;
    owned.url = config->options.url;
    owned.server_settings = NULL; /* they are in config->settings, codecs in config->codecs */
    owned.codecs = NULL;
    owned.codec_count = 0;
    for (size_t row = 0; (option = weir__option_at(row)); row++) {
        if (option->kind != WEIR_OPTION_TEXT) continue;
        const char **text = weir__option_text(&owned, option);
        if (!*text) continue;
        *text = weir__strndup(*text, strlen(*text));
        failed = failed || !*text;
    }
    config->options = owned;
    if (!failed) config->reset = weir__reset_of(owned.reset);
    return failed ? fail_memory(error) : WEIR_OK;
}

/* Takes a pair out of the parameters; those behind it move up. */
static void drop_parameter(weir__config *config, size_t i) {
    weir__pair pair = config->parameters[i];
    config->parameter_count--;
    memmove(&config->parameters[i], &config->parameters[i + 1], (config->parameter_count - i) * sizeof pair);
    weir__free(pair.name);
    wipe(pair.value);
}

static void drop_options(weir__config *config) {
    for (size_t i = 0; i < config->parameter_count;) {
        if (weir__option_find(config->parameters[i].name))
            drop_parameter(config, i);
        else
            i++;
    }
}

/* ---- server_settings */

static bool is_setting_name(const char *name) {
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char further[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789.$";
    return *name && strchr(first, *name) && name[strspn(name, further)] == '\0';
}

static const weir__pair *find_setting(const weir__config *config, const char *name) {
    for (size_t i = 0; i < config->setting_count; i++)
        if (strcasecmp(config->settings[i].name, name) == 0) return &config->settings[i];
    return NULL;
}

static int add_setting(weir__config *config, const char *name, const char *value, weir_error *error) {
    weir__pair *pair = &config->settings[config->setting_count++];
    pair->name = weir__strndup(name, strlen(name));
    pair->value = weir__strndup(value, strlen(value));
    return pair->name && pair->value ? WEIR_OK : fail_memory(error);
}

static int check_setting(const weir__config *config, const char *name, const char *value, weir_error *error) {
    char shown[WEIR__QUOTE_SIZE];
    weir__quote(shown, name);
    if (!is_setting_name(name))
        return weir__fail(
            error, WEIR_EOPTION,
            "server_settings: %s is no name of a setting: use letters, digits, '_', '.' and '$'", shown);
    if (!value)
        return weir__fail(error, WEIR_EOPTION,
                          "server_settings: %s has no value: give names and values in turn", shown);
    if (!find_setting(config, name)) return WEIR_OK;
    return weir__fail(error, WEIR_EOPTION, "server_settings: %s stands there twice: keep one of them", shown);
}

/* application_name: as given in server_settings, else in the URL's query, else "weirpool". */
static int add_application_name(weir__config *config, weir_error *error) {
    static const char name[] = "application_name";
    const char *value = weir__url_parameter(config, name);
    int code =
        find_setting(config, name) ? WEIR_OK : add_setting(config, name, value ? value : "weirpool", error);
    for (size_t i = 0; i < config->parameter_count; i++)
        if (strcmp(config->parameters[i].name, name) == 0) {
            drop_parameter(config, i);
            break;
        }
    return code;
}

static int copy_settings(weir__config *config, const char *const *list, weir_error *error) {
    size_t names = 0;
    while (list && list[2 * names] && list[2 * names + 1]) names++;
    config->settings = weir__calloc(names + 1, sizeof *config->settings);
    if (!config->settings) return fail_memory(error);
    for (size_t i = 0; list && list[2 * i]; i++) {
        const char *name = list[2 * i], *value = list[2 * i + 1];
        int code = check_setting(config, name, value, error);
        if (code == WEIR_OK) code = add_setting(config, name, value, error);
        if (code != WEIR_OK) return code;
    }
    return add_application_name(config, error);
}

/* ---- the pool's name */

/* Fit for a log line: one line of UTF-8. */
static void make_printable(char *name) {
    bool utf8 = weir__utf8_valid(name, strlen(name));
    for (; *name; name++)
        if ((unsigned char)*name < ' ' || *name == 0x7f || (!utf8 && (unsigned char)*name & 0x80))
            *name = '?';
}

/* libpq takes a whole DSN for a database's name, password and all: such a one is not shown. */
static bool is_plain(const char *database) {
    return database && !strchr(database, '=') && !strstr(database, "://");
}

static void name_postgres(const weir__config *config, weir__buffer *name) {
    const char *host = config->endpoints[0].host, *port = config->endpoints[0].port,
               *database = config->database;
    if (!*host) host = weir__url_parameter(config, "host");
    if (!host || !*host) host = weir__url_parameter(config, "hostaddr");
    if (!host || !*host) host = "localhost";
    if (!*port) port = weir__url_parameter(config, "port");
    if (!port || !*port) port = "5432";
    if (!database) database = weir__url_parameter(config, "dbname");
    size_t length = strcspn(host, ",");
    bool bracket = *host != '/' && memchr(host, ':', length);
    weir__buffer_text(name, bracket ? "[" : "");
    weir__buffer_append(name, host, length);
    weir__buffer_text(name, bracket ? "]:" : ":");
    weir__buffer_append(name, port, strcspn(port, ","));
    if (!is_plain(database)) return;
    weir__buffer_char(name, '/');
    weir__buffer_text(name, database);
}

static int name_pool(weir__config *config, weir_error *error) {
    weir__buffer name = WEIR__BUFFER_INIT;
    if (config->options.name) return WEIR_OK;
    if (config->endpoint_count) {
        name_postgres(config, &name);
    } else {
        weir__buffer_text(&name, "sqlite:");
        weir__buffer_text(&name, *config->database ? config->database : "memory");
    }
    char *text = weir__buffer_steal(&name);
    weir__buffer_free(&name);
    if (!text) return fail_memory(error);
    make_printable(text);
    config->options.name = text;
    return WEIR_OK;
}

static int check_url(const char *url, bool environment, weir_error *error) {
    if (url && *url) return WEIR_OK;
    bool unset = !url && environment;
    return weir__fail(error, WEIR_EOPTION,
                      "%s%s: give one such as postgresql://user:password@host:5432/database, "
                      "sqlite:///file.db or :memory:%s",
                      url ? "the URL is empty" : "there is no URL",
                      unset ? ", and DATABASE_URL is not set in the environment" : "",
                      unset ? ", here or there" : "");
}

/* The URL's parts, and its query's options. variable: where it has come from, or NULL. */
static int take_url(const char *url, const char *variable, const weir_options *options, weir__config *config,
                    weir_options *merged, weir_error *error) {
    int code = weir__url_parse(url, config, error);
    if (code == WEIR_OK) code = merge_query(config, options, merged, error);
    return variable ? weir__environment_blame(variable, code, error) : code;
}

/* ---- codecs */

static bool is_letter(char c, bool first) {
    if ((unsigned char)c >= 0x80) return true;
    if ((c >= '0' && c <= '9') || c == '$') return !first;
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_number(const char *text) {
    return text[strspn(text, "0123456789")] == '\0' && strtoull(text, NULL, 10) <= UINT32_MAX &&
           strlen(text) <= 10;
}

/* What follows a name's first part, or what is wrong there. */
static const char *skip_part(const char *p) {
    static const char bad[] = "-";
    if (*p != '"') {
        const char *start = p;
        while (is_letter(*p, p == start)) p++;
        return p == start ? bad : p;
    }
    for (const char *start = ++p; *p; p++) { /* two quotes are one */
        if (*p == '"' && *++p != '"') return p == start + 1 ? bad : p;
    }
    return bad;
}

/* type, schema.type, "Schema"."Type", or an oid: anything else would make the server refuse the question. */
static bool is_type_name(const char *name) {
    if (!*name || is_number(name)) return *name != '\0';
    for (int parts = 1; parts <= 2; parts++) {
        name = skip_part(name);
        if (*name != '.') break;
        name++;
    }
    return *name == '\0';
}

static int check_codecs(const weir_options *options, weir_error *error) {
    if (options->codec_count > UINT16_MAX || (options->codec_count && !options->codecs))
        return weir__fail(error, WEIR_EOPTION, "codecs: give at most 65535 of them");
    for (size_t i = 0; i < options->codec_count; i++) {
        const char *type = options->codecs[i].type;
        if (!type || !is_type_name(type))
            return weir__fail(
                error, WEIR_EOPTION,
                "codecs: \"%.100s\" is no type's name: give \"schema.type\", as \"public.mood\" or "
                "\"pg_catalog.float8\", or an oid",
                type ? type : "");
        for (size_t j = 0; j < i; j++)
            if (strcmp(type, options->codecs[j].type) == 0)
                return weir__fail(error, WEIR_EOPTION, "codecs: %.100s stands there twice: keep one", type);
    }
    return WEIR_OK;
}

static int copy_codecs(weir__config *config, const weir_options *options, weir_error *error) {
    int code = check_codecs(options, error);
    if (code != WEIR_OK || !options->codec_count) return code;
    config->codecs = weir__calloc(options->codec_count, sizeof *config->codecs);
    if (!config->codecs) return fail_memory(error);
    for (size_t i = 0; i < options->codec_count; i++) {
        const char *type = options->codecs[i].type;
        config->codecs[i] = options->codecs[i];
        config->codecs[i].type = weir__strndup(type, strlen(type));
        if (!config->codecs[i].type) return fail_memory(error);
        config->codec_count++;
    }
    return WEIR_OK;
}

weir__config *weir__config_new(const weir_options *options, weir_error *error) {
    weir__config *config = NULL;
    if (!options) {
        weir__fail(error, WEIR_EINVAL, "a pool takes options, not NULL");
        return NULL;
    }
    int code = weir__options_version(options, error);
    if (code != WEIR_OK) return NULL;
    const char *url = options->url, *variable = NULL;
    if (!url && options->environment) url = weir__environment_get("url", &variable);
    if (check_url(url, options->environment, error) != WEIR_OK) return NULL;
    config = weir__calloc(1, sizeof *config);
    if (!config) {
        fail_memory(error);
        return NULL;
    }
    weir_options merged = *options;
    code = take_url(url, variable, options, config, &merged, error);
    if (code == WEIR_OK && merged.environment) code = weir__environment_merge(&merged, error);
    if (code == WEIR_OK) code = weir_options_check(&merged, error);
    if (code == WEIR_OK) code = weir__options_settle(&merged, error);
    if (code == WEIR_OK) code = own_options(config, &merged, error);
    if (code != WEIR_OK) goto out;
    drop_options(config);
    code = copy_settings(config, options->server_settings, error);
    if (code == WEIR_OK) code = copy_codecs(config, options, error);
    if (code == WEIR_OK) code = name_pool(config, error);
out:
    if (code == WEIR_OK) return config;
    weir__config_free(config);
    return NULL;
}
