/* What the connections of a pool share: the name of the database, and checks that need no file. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/fork.h"
#include "config/option.h"
#include "driver/sqlite/sqlite.h"

#define PRAGMA_NAME 32

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Levenshtein's distance; many for a long name. */
static size_t distance(const char *a, const char *b) {
    size_t row[PRAGMA_NAME + 1], columns = strlen(b);
    if (columns > PRAGMA_NAME) return PRAGMA_NAME;
    for (size_t j = 0; j <= columns; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            size_t above = row[j];
            row[j] = least(least(above, row[j - 1]) + 1, corner + (a[i - 1] != b[j - 1]));
            corner = above;
        }
    }
    return row[columns];
}

static bool is_near(const char *name, const char *known) {
    return distance(name, known) <= strlen(known) / 2;
}

/* ---- the URL's parameters ---- */

typedef struct parameters {
    const char *mode; /* "ro", "rw", "rwc" */
    bool immutable;
} parameters;

static int read_mode(const char *value, parameters *out, weir_error *error) {
    static const char *const modes[] = {"ro", "rw", "rwc"};
    char shown[WEIR__QUOTE_SIZE];
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(value, modes[i]) != 0) continue;
        out->mode = modes[i];
        return WEIR_OK;
    }
    return weir__fail(error, WEIR_EOPTION, "mode=%s: SQLite knows ro, rw and rwc", weir__quote(shown, value));
}

static int read_immutable(const char *value, parameters *out, weir_error *error) {
    static const char *const words[] = {"0", "1", "false", "true", "no", "yes", "off", "on"};
    char shown[WEIR__QUOTE_SIZE];
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(value, words[i]) != 0) continue;
        out->immutable = i % 2;
        return WEIR_OK;
    }
    return weir__fail(error, WEIR_EOPTION, "immutable=%s: it must be 0 or 1", weir__quote(shown, value));
}

static int read_parameter(const weir__pair *pair, parameters *out, weir_error *error) {
    if (strcmp(pair->name, "mode") == 0) return read_mode(pair->value, out, error);
    if (strcmp(pair->name, "immutable") == 0) return read_immutable(pair->value, out, error);
    if (strcmp(pair->name, "cache") == 0)
        return weir__fail(error, WEIR_EOPTION,
                          "cache: a shared cache ignores lock_timeout, so it is not offered: leave it out");
    char shown[WEIR__QUOTE_SIZE];
    const char *near = is_near(pair->name, "mode")        ? "mode"
                       : is_near(pair->name, "immutable") ? "immutable"
                                                          : NULL;
    if (near)
        return weir__fail(error, WEIR_EOPTION, "unknown parameter %s: did you mean %s?",
                          weir__quote(shown, pair->name), near);
    return weir__option_unknown(pair->name, error);
}

static int read_parameters(const weir__config *config, parameters *out, weir_error *error) {
    for (size_t i = 0; i < config->parameter_count; i++) {
        int code = read_parameter(&config->parameters[i], out, error);
        if (code != WEIR_OK) return code;
        if (!*config->database)
            return weir__fail(error, WEIR_EOPTION, "%s means nothing for a database in memory: leave it out",
                              config->parameters[i].name);
    }
    return WEIR_OK;
}

/* ---- the settings ---- */

static int refuse_setting(const char *name, weir_error *error) {
    static const char *const refused[][2] = {
        {"busy_timeout", "the option lock_timeout"},
        {"query_only", "mode=ro in the URL"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (strcasecmp(name, refused[i][0]) == 0)
            return weir__fail(error, WEIR_EOPTION, "the setting %s is the pool's own: use %s", refused[i][0],
                              refused[i][1]);
    return WEIR_OK;
}

/* SQLite ignores a PRAGMA that it does not know, so its list is asked. */
static int check_setting(sqlite3_stmt *list, const char *name, weir_error *error) {
    char shown[WEIR__QUOTE_SIZE], near[PRAGMA_NAME + 1] = "";
    size_t best = strlen(name) / 2 + 1;
    bool any = false;
    weir__sqlite.reset(list);
    while (weir__sqlite.step(list) == SQLITE_ROW) {
        const char *known = (const char *)weir__sqlite.column_text(list, 0);
        if (!known) break;
        if (strcasecmp(known, name) == 0) return WEIR_OK;
        any = true;
        size_t far = distance(name, known);
        if (far >= best) continue;
        best = far;
        snprintf(near, sizeof near, "%s", known);
    }
    if (!any) return WEIR_OK; /* a SQLite that cannot tell */
    weir__quote(shown, name);
    if (*near)
        return weir__fail(error, WEIR_EOPTION, "SQLite has no setting %s: did you mean %s?", shown, near);
    return weir__fail(error, WEIR_EOPTION, "SQLite has no setting %s: PRAGMA pragma_list names them", shown);
}

static int check_settings(const weir__config *config, weir_error *error) {
    sqlite3 *db = NULL;
    sqlite3_stmt *list = NULL;
    int code = WEIR_OK;
    for (size_t i = 0; code == WEIR_OK && i < config->setting_count; i++) {
        const char *name = config->settings[i].name;
        if (strcmp(name, "application_name") == 0) continue;
        code = refuse_setting(name, error);
        if (code != WEIR_OK) break;
        if (!db && weir__sqlite.open_v2(":memory:", &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK)
            (void)weir__sqlite.prepare_v3(db, "PRAGMA pragma_list", -1, 0, &list, NULL);
        if (list) code = check_setting(list, name, error);
    }
    weir__sqlite.finalize(list);
    weir__sqlite.close_v2(db);
    return code;
}

/* ---- the database's name ---- */

static void append_escaped(weir__buffer *uri, const char *path) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    for (; *path; path++) {
        if (strchr(plain, *path)) {
            weir__buffer_char(uri, *path);
        } else {
            weir__buffer_printf(uri, "%%%02X", (unsigned char)*path);
        }
    }
}

/* NULL: out of memory. */
static char *make_uri(const char *path, const parameters *wanted) {
    static atomic_uint memories;
    weir__buffer uri = WEIR__BUFFER_INIT;
    if (*path) {
        weir__buffer_text(&uri, *path == '/' ? "file://" : "file:");
        append_escaped(&uri, path);
        if (wanted->immutable) weir__buffer_text(&uri, "?immutable=1");
    } else { /* the slash makes the name known to all connections */
        weir__buffer_printf(&uri, "file:/weirpool-%ld-%u?vfs=memdb", (long)getpid(),
                            atomic_fetch_add(&memories, 1));
    }
    char *text = weir__buffer_steal(&uri);
    weir__buffer_free(&uri);
    return text;
}

static int open_anchor(weir__sqlite_env *env, weir_error *error) {
    if (weir__sqlite.libversion_number() < WEIR__SQLITE_MEMDB_LEAST)
        return weir__fail(error, WEIR_ENOTSUP, "a pool of a database in memory needs SQLite 3.36; this is %s",
                          weir__sqlite.libversion());
    int rc = weir__sqlite.open_v2(env->uri, &env->anchor, env->flags, NULL);
    /* The name is joined to the memory when the database is first read. */
    if (rc == SQLITE_OK) rc = weir__sqlite_ask(env->anchor, "PRAGMA schema_version", NULL, 0);
    if (rc == SQLITE_OK) return WEIR_OK;
    if (rc == SQLITE_NOMEM) return weir__fail(error, WEIR_ENOMEM, "out of memory");
    return weir__fail(error, WEIR_ECONNECT, "cannot make a SQLite database in memory: %s",
                      weir__sqlite.errstr(rc));
}

weir__env *weir__sqlite_env_open(const weir__env *base, weir_error *error) {
    parameters wanted = {"rwc", false};
    weir__sqlite_env *env = NULL;
    weir__sqlite_pin();
    if (!weir__sqlite.threadsafe()) {
        weir__fail(error, WEIR_ENOTSUP, "this SQLite was built for one thread only");
        return NULL;
    }
    if (read_parameters(base->config, &wanted, error) != WEIR_OK) return NULL;
    if (base->config->options.readonly && !*base->config->database) {
        weir__fail(error, WEIR_EOPTION, "readonly means nothing for a database in memory: leave it out");
        return NULL;
    }
    if (check_settings(base->config, error) != WEIR_OK) return NULL;
    env = weir__calloc(1, sizeof *env);
    if (!env) goto no_memory;
    env->base = *base;
    env->forks = weir__fork_count();
    env->memory = !*base->config->database;
    env->declared = strcmp(base->config->options.sqlite_types, "declared") == 0;
    env->readonly = base->config->options.readonly || wanted.immutable || strcmp(wanted.mode, "ro") == 0;
    env->flags = SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
    env->flags |= env->readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (strcmp(wanted.mode, "rwc") == 0 && !env->readonly) env->flags |= SQLITE_OPEN_CREATE;
    env->uri = make_uri(base->config->database, &wanted);
    if (!env->uri) goto no_memory;
    if (env->memory && open_anchor(env, error) != WEIR_OK) goto failed;
    return &env->base;
no_memory:
    weir__fail(error, WEIR_ENOMEM, "out of memory");
failed:
    if (env) weir__sqlite_env_close(&env->base);
    return NULL;
}

void weir__sqlite_env_close(weir__env *base) {
    weir__sqlite_env *env = (weir__sqlite_env *)base;
    /* A forked child must not close what its parent has open. */
    if (env->forks == weir__fork_count()) weir__sqlite.close_v2(env->anchor);
    weir__free(env->uri);
    weir__free(env);
}

/* Every isolation is served: SQLite's transactions are serializable, which keeps all that the weaker ones
 * promise. */
const char *weir__sqlite_begin(weir__env *base, const weir__begin *begin, weir_error *error) {
    (void)error;
    const char *kind = base->config->options.sqlite_begin;
    if (begin->readonly || ((weir__sqlite_env *)base)->readonly) return WEIR__SQLITE_BEGIN_READ;
    if (strcmp(kind, "deferred") == 0) return "BEGIN DEFERRED";
    if (strcmp(kind, "exclusive") == 0) return "BEGIN EXCLUSIVE";
    return "BEGIN IMMEDIATE";
}
