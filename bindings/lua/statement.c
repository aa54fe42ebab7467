/* Statements with their parameters and options, as Lua gives them. */
#include <limits.h>
#include <string.h>

#include "weir_lua.h"

static int check_column(lua_State *L) {
    int column = (int)weir__lua_check_integer(L, -1, "column", INT_MAX);
    if (!column) weir__lua_misuse(L, "column: 1 is the first one, -1 the last");
    return column;
}

static size_t check_prefetch(lua_State *L) {
    int64_t rows = weir__lua_check_integer(L, -1, "prefetch", INT64_MAX);
    if (rows < 1 || rows > WEIR_STREAM_ROWS_MAX)
        weir__lua_misuse(L, "prefetch: give the rows of a batch, 1 to %d", WEIR_STREAM_ROWS_MAX);
    return (size_t)rows;
}

static int refuse(lua_State *L, const char *name, unsigned known) {
    return weir__lua_misuse(L,
                            "a statement has no option %s here; it is written {\"select …\", timeout = "
                            "seconds%s%s%s}",
                            name, known & WEIR_LUA_READONLY ? ", readonly = true" : "",
                            known & WEIR_LUA_COLUMN ? ", column = 1" : "",
                            known & WEIR_LUA_PREFETCH ? ", prefetch = rows" : "");
}

/* The option on top. */
static void read_option(lua_State *L, const char *name, unsigned known, weir_lua_how *how) {
    if (strcmp(name, "timeout") == 0)
        how->timeout_ms = weir__lua_to_timeout(L, lua_gettop(L), name, false);
    else if (known & WEIR_LUA_READONLY && strcmp(name, "readonly") == 0)
        how->readonly = weir__lua_check_flag(L, name);
    else if (known & WEIR_LUA_COLUMN && strcmp(name, "column") == 0)
        how->column = check_column(L);
    else if (known & WEIR_LUA_PREFETCH && strcmp(name, "prefetch") == 0)
        how->prefetch = check_prefetch(L);
    else
        refuse(L, name, known);
}

/* {text, timeout = seconds}, or {text = text, timeout = seconds}: leaves the text in the table's place. */
static void read_statement(lua_State *L, int index, unsigned known, weir_lua_how *how) {
    int texts = 0;
    lua_pushnil(L);
    lua_pushnil(L);
    int text = lua_gettop(L) - 1;
    while (lua_next(L, index)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        bool first = lua_type(L, -2) == LUA_TNUMBER && lua_tonumber(L, -2) == 1;
        if (!first && !*name) refuse(L, luaL_typename(L, -2), known);
        if (!first && strcmp(name, "text") != 0) {
            read_option(L, name, known, how);
        } else {
            if (texts++) weir__lua_misuse(L, "a statement has one text: [1], or text");
            lua_pushvalue(L, -1);
            lua_replace(L, text);
        }
        lua_pop(L, 1);
    }
    lua_replace(L, index);
}

/* Of a list that may end with nil: its field n (table.pack makes such), or its length. */
static int count_of(lua_State *L, int list) {
    int64_t count = 0;
    lua_getfield(L, list, "n");
    if (!weir__lua_to_integer(L, -1, &count)) count = (int64_t)lua_rawlen(L, list);
    lua_pop(L, 1);
    return count < 0 ? 0 : count > INT_MAX ? INT_MAX : (int)count;
}

void weir__lua_add_sets(lua_State *L, int index, const char *function, weir_statement *statement) {
    if (!lua_istable(L, index))
        weir__lua_misuse(L, "%s: a list of lists of values is wanted, not a %s", function,
                         luaL_typename(L, index));
    weir_statement_no_sets(statement);
    int sets = (int)lua_rawlen(L, index);
    for (int set = 1; set <= sets; set++) {
        lua_rawgeti(L, index, set);
        if (!lua_istable(L, -1))
            weir__lua_misuse(L, "%s: set %d is a %s, not a list of values", function, set,
                             luaL_typename(L, -1));
        int list = lua_gettop(L), count = count_of(L, list);
        weir_statement_add_set(statement);
        for (int n = 1; n <= count; n++) {
            lua_rawgeti(L, list, n);
            weir__lua_add(L, lua_gettop(L), statement, n);
            lua_pop(L, 1);
        }
        lua_settop(L, list - 1);
    }
}

bool weir__lua_build(lua_State *L, weir_lua_call *call, int index, enum weir_lua_shape shape,
                     unsigned known) {
    call->how = (weir_lua_how){.timeout_ms = WEIR_TIMEOUT_DEFAULT};
    if (lua_istable(L, index)) read_statement(L, index, known, &call->how);
    if (lua_type(L, index) != LUA_TSTRING)
        weir__lua_misuse(L, "a statement's text is wanted, not a %s",
                         lua_isnone(L, index) ? "nil" : luaL_typename(L, index));
    size_t length;
    const char *text = lua_tolstring(L, index, &length);
    int top = lua_gettop(L);
    call->statement = weir_statement_new(text, length, &call->error);
    if (!call->statement) return false;
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    if (shape == WEIR_LUA_EXECUTEMANY) {
        if (top != index + 1)
            weir__lua_misuse(L, "executemany takes a statement and a list of lists of values");
        weir__lua_add_sets(L, index + 1, "executemany", call->statement);
    } else {
        for (int n = index + 1; n <= top; n++) weir__lua_add(L, n, call->statement, n - index);
    }
    return true;
}

#define PARTS_MAX 70000 /* more than a statement may have parameters: it will say so itself */

bool weir__lua_build_batch(lua_State *L, weir_lua_call *call, int index) {
    if (!lua_istable(L, index))
        weir__lua_misuse(L, "transaction: a list of statements is wanted, not a %s", luaL_typename(L, index));
    int count = (int)lua_rawlen(L, index), top = lua_gettop(L);
    call->batch = weir_batch_new();
    bool well = call->batch;
    if (!well) call->error.code = WEIR_ENOMEM;
    for (int i = 1; well && i <= count; i++, lua_settop(L, top)) {
        lua_rawgeti(L, index, i);
        int parts = 1;
        if (lua_istable(L, -1)) {
            int list = lua_gettop(L);
            parts = count_of(L, list);
            if (parts > PARTS_MAX) parts = PARTS_MAX;
            luaL_checkstack(L, parts + LUA_MINSTACK, "too many parameters");
            for (int part = 1; part <= parts; part++) lua_rawgeti(L, list, part);
            lua_remove(L, list);
        }
        if (parts < 1 || lua_type(L, top + 1) != LUA_TSTRING)
            weir__lua_misuse(
                L, "transaction: statement %d is no text, nor a list of a text and its parameters", i);
        well = weir__lua_build(L, call, top + 1, WEIR_LUA_EITHER, 0) &&
               weir_batch_add(call->batch, call->statement, &call->error) == WEIR_OK;
        weir_statement_unref(call->statement);
        call->statement = NULL;
    }
    return well;
}
