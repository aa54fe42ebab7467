/* Tables of options: of a pool, of a session, of a transaction. Misspelt names are misuse. */
#include <string.h>

#include "weir_lua.h"

bool weir__lua_check_flag(lua_State *L, const char *name) {
    if (!lua_isboolean(L, -1))
        weir__lua_misuse(L, "%s: true or false is wanted, not a %s", name, luaL_typename(L, -1));
    return lua_toboolean(L, -1);
}

static const char *text(lua_State *L, const char *name) {
    if (lua_type(L, -1) != LUA_TSTRING)
        weir__lua_misuse(L, "%s: a string is wanted, not a %s", name, luaL_typename(L, -1));
    const char *value = lua_tostring(L, -1);
    if (strlen(value) != lua_rawlen(L, -1)) weir__lua_misuse(L, "%s: a NUL is not allowed in it", name);
    return value;
}

/* Before lua_next over a table of options; false: none is given. */
static bool begin_options(lua_State *L, int index) {
    if (lua_isnoneornil(L, index)) return false;
    if (!lua_istable(L, index))
        weir__lua_misuse(L, "a table of options is wanted, not a %s", luaL_typename(L, index));
    lua_pushnil(L);
    return true;
}

/* The value is on top. */
static const char *option_name(lua_State *L) {
    return lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : luaL_typename(L, -2);
}

/* One option of a transaction; false: there is none of that name. The value is on top. */
static bool read_begin(lua_State *L, const char *name, weir_transaction *begin) {
    if (strcmp(name, "isolation") == 0)
        begin->isolation = text(L, name);
    else if (strcmp(name, "readonly") == 0)
        begin->readonly = weir__lua_check_flag(L, name);
    else if (strcmp(name, "deferrable") == 0)
        begin->deferrable = weir__lua_check_flag(L, name);
    else
        return false;
    return true;
}

static bool read_loan(lua_State *L, const char *name, weir_checkout *checkout) {
    if (strcmp(name, "timeout") == 0)
        checkout->session_timeout_ms = weir__lua_to_timeout(L, lua_gettop(L), name, false);
    else if (strcmp(name, "checkout_timeout") == 0)
        checkout->checkout_timeout_ms = weir__lua_to_timeout(L, lua_gettop(L), name, false);
    else if (strcmp(name, "reset") == 0)
        checkout->reset = text(L, name);
    else
        return false;
    return true;
}

void weir__lua_read_checkout(lua_State *L, int index, weir_checkout *checkout, weir_transaction *begin,
                             bool retries) {
    if (!begin_options(L, index)) return;
    while (lua_next(L, index)) {
        const char *name = option_name(L);
        if (!(checkout && read_loan(L, name, checkout)) && !(begin && read_begin(L, name, begin)))
            weir__lua_misuse(L, "there is no option %s here: %s%s%s%s", name, retries ? "retries, " : "",
                             checkout ? "timeout, checkout_timeout, reset" : "",
                             checkout && begin ? ", " : "", begin ? "isolation, readonly, deferrable" : "");
        lua_pop(L, 1);
    }
}

int64_t weir__lua_read_transaction(lua_State *L, int index, weir_transaction *begin) {
    int64_t timeout = WEIR_TIMEOUT_DEFAULT;
    if (!begin_options(L, index)) return timeout;
    while (lua_next(L, index)) {
        const char *name = option_name(L);
        if (strcmp(name, "timeout") == 0)
            timeout = weir__lua_to_timeout(L, lua_gettop(L), name, false);
        else if (!read_begin(L, name, begin))
            weir__lua_misuse(L, "there is no option %s here: timeout, isolation, readonly, deferrable", name);
        lua_pop(L, 1);
    }
    return timeout;
}

void weir__lua_read_listen(lua_State *L, int index, weir_listen *how) {
    weir_listen_init(how);
    if (!begin_options(L, index)) return;
    while (lua_next(L, index)) {
        const char *name = option_name(L);
        if (strcmp(name, "heartbeat") == 0)
            how->heartbeat_ms = weir__lua_to_timeout(L, lua_gettop(L), name, false);
        else if (strcmp(name, "max_queued") == 0)
            how->max_queued = weir__lua_check_integer(L, lua_gettop(L), name, INT64_MAX);
        else
            weir__lua_misuse(L, "there is no option %s here: max_queued, heartbeat", name);
        lua_pop(L, 1);
    }
}

void weir__lua_read_metrics(lua_State *L, int index, const char **format, const char **names) {
    *format = *names = NULL;
    if (!begin_options(L, index)) return;
    while (lua_next(L, index)) {
        const char *name = option_name(L);
        if (strcmp(name, "format") == 0)
            *format = text(L, name);
        else if (strcmp(name, "names") == 0)
            *names = text(L, name);
        else
            weir__lua_misuse(L, "there is no option %s here: format, names", name);
        lua_pop(L, 1);
    }
}

typedef bool option_table(size_t row, weir_option_info *out);

static bool is_flag(option_table *table, const char *name) {
    weir_option_info info;
    for (size_t row = 0; table(row, &info); row++) {
        if (strcmp(info.name, name) == 0) return info.kind == WEIR_OPTION_FLAG;
    }
    return false;
}

/* The value on top as weir_options_set wants it: false is "none" for all that is no flag. */
static weir_value option_value(lua_State *L, option_table *table, const char *name) {
    weir_value value = {.type = WEIR_TYPE_NULL};
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
        if (lua_toboolean(L, -1) || is_flag(table, name)) {
            value.type = WEIR_TYPE_BOOL;
            value.as.boolean = lua_toboolean(L, -1);
        }
        break;
    case LUA_TNUMBER:
        value.type = WEIR_TYPE_INT;
        if (!weir__lua_to_integer(L, -1, &value.as.integer)) {
            value.type = WEIR_TYPE_FLOAT;
            value.as.real = lua_tonumber(L, -1);
        }
        break;
    case LUA_TSTRING:
        value.type = WEIR_TYPE_TEXT;
        value.as.bytes.data = text(L, name);
        value.as.bytes.length = strlen(value.as.bytes.data);
        break;
    default:
        if (!weir__lua_is_null(L, -1))
            weir__lua_misuse(L, "%s: a %s cannot be the value of an option", name, luaL_typename(L, -1));
    }
    return value;
}

/* {application_name = "…"} as a vector in a userdata, which is left below the key and value that lua_next
 * holds. */
static const char *const *read_settings(lua_State *L) {
    if (!lua_istable(L, -1))
        weir__lua_misuse(L, "server_settings: a table is wanted, not a %s", luaL_typename(L, -1));
    size_t count = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) count++;
    const char **settings = lua_newuserdata(L, (2 * count + 1) * sizeof *settings);
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, -3); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            weir__lua_misuse(L, "server_settings: names and values are strings");
        settings[n++] = lua_tostring(L, -2);
        settings[n++] = text(L, "server_settings");
    }
    settings[n] = NULL;
    lua_insert(L, -3);
    return settings;
}

/* A list of {type = "…", binary = false}, of weirpool/codec.lua's making. As above. */
static void read_codecs(lua_State *L, weir_options *out) {
    size_t count = lua_rawlen(L, -1);
    weir_codec *codecs = lua_newuserdata(L, (count + 1) * sizeof *codecs);
    for (size_t n = 0; n < count; n++) {
        lua_rawgeti(L, -2, (int)n + 1);
        lua_getfield(L, -1, "type");
        lua_getfield(L, -2, "binary");
        codecs[n].type = lua_tostring(L, -2);
        codecs[n].binary = lua_toboolean(L, -1);
        lua_pop(L, 3);
    }
    out->codecs = codecs;
    out->codec_count = count;
    lua_insert(L, -3);
}

static void read_option(lua_State *L, const char *name, weir_options *out) {
    if (strcmp(name, "url") == 0) {
        out->url = text(L, name);
    } else if (strcmp(name, "server_settings") == 0) {
        out->server_settings = read_settings(L);
    } else if (strcmp(name, "codecs") == 0) {
        read_codecs(L, out);
    } else {
        weir_value value = option_value(L, weir_option_table, name);
        weir_error error = WEIR_ERROR_INIT;
        if (weir_options_set(out, name, &value, &error) != WEIR_OK) weir__lua_fail(L, &error);
    }
}

void weir__lua_read_options(lua_State *L, int index, weir_options *out) {
    weir_options_init(out);
    if (!lua_istable(L, index))
        weir__lua_misuse(L, "a table of options is wanted, not a %s", luaL_typename(L, index));
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (lua_type(L, -2) != LUA_TSTRING) weir__lua_misuse(L, "names of options are strings");
        read_option(L, lua_tostring(L, -2), out);
        lua_pop(L, 1);
    }
    weir_error error = WEIR_ERROR_INIT;
    if (weir_options_check(out, &error) != WEIR_OK) weir__lua_fail(L, &error);
}

void weir__lua_read_breaker_options(lua_State *L, int index, weir_breaker_options *out) {
    weir_breaker_options_init(out);
    if (!lua_istable(L, index))
        weir__lua_misuse(L, "a table of options is wanted, not a %s", luaL_typename(L, index));
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (lua_type(L, -2) != LUA_TSTRING) weir__lua_misuse(L, "names of options are strings");
        const char *name = lua_tostring(L, -2);
        weir_value value = option_value(L, weir_breaker_option_table, name);
        weir_error error = WEIR_ERROR_INIT;
        if (weir_breaker_options_set(out, name, &value, &error) != WEIR_OK) weir__lua_fail(L, &error);
        lua_pop(L, 1);
    }
}
