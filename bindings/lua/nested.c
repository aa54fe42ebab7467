/* Arrays, ranges, records and maps as tables, and back. */
#include <limits.h>
#include <string.h>

#include "weir_lua.h"

/* ---- from the database */

/* A table with a table for each item, down to the last dimension. */
static void push_dimension(lua_State *L, const weir_array *array, int dimension, const weir_value **next) {
    int length = array->dimensions ? array->lengths[dimension] : 0;
    luaL_checkstack(L, 4, "too many dimensions");
    lua_createtable(L, length, 0);
    for (int i = 1; i <= length; i++) {
        if (dimension + 1 < array->dimensions)
            push_dimension(L, array, dimension + 1, next);
        else
            weir__lua_push_value(L, (*next)++);
        lua_rawseti(L, -2, i);
    }
    weir__lua_push_metatable(L, "array"); /* so that it can be a parameter again */
    lua_setmetatable(L, -2);
}

static void set_bound(lua_State *L, const char *name, const weir_value *bound) {
    if (bound->type == WEIR_TYPE_NULL) return;
    weir__lua_push_value(L, bound);
    lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, bool flag) {
    lua_pushboolean(L, flag);
    lua_setfield(L, -2, name);
}

static void push_range(lua_State *L, const weir_range *range) {
    lua_createtable(L, 0, 5);
    set_bound(L, "lower", &range->lower);
    set_bound(L, "upper", &range->upper);
    set_flag(L, "lower_inc", range->lower_inc);
    set_flag(L, "upper_inc", range->upper_inc);
    set_flag(L, "empty", range->empty);
    weir__lua_push_metatable(L, "range");
    lua_setmetatable(L, -2);
}

/* By position, and by name where the fields have names. */
static void push_list(lua_State *L, const weir_list *list) {
    int count = list->count < INT_MAX ? (int)list->count : INT_MAX;
    lua_createtable(L, count, list->names ? count : 0);
    for (int i = 0; i < count; i++) {
        weir__lua_push_value(L, &list->items[i]);
        if (list->names) {
            lua_pushvalue(L, -1);
            lua_setfield(L, -3, list->names[i]);
        }
        lua_rawseti(L, -2, i + 1);
    }
}

static void push_map(lua_State *L, const weir_list *map) {
    lua_createtable(L, 0, (int)(map->count / 2 < INT_MAX ? map->count / 2 : 0));
    for (size_t i = 0; i < map->count; i += 2) {
        weir__lua_push_value(L, &map->items[i]);
        weir__lua_push_value(L, &map->items[i + 1]);
        lua_rawset(L, -3);
    }
}

void weir__lua_push_nested(lua_State *L, const weir_value *value) {
    const weir_value *next;
    luaL_checkstack(L, 6, "values are nested too deep");
    switch (value->type) {
    case WEIR_TYPE_ARRAY:
        next = value->as.array->items;
        push_dimension(L, value->as.array, 0, &next);
        break;
    case WEIR_TYPE_RANGE:
        push_range(L, value->as.range);
        break;
    case WEIR_TYPE_MULTIRANGE:
        push_list(L, value->as.list);
        weir__lua_push_metatable(L, "array");
        lua_setmetatable(L, -2);
        break;
    case WEIR_TYPE_MAP:
        push_map(L, value->as.list);
        break;
    default:
        push_list(L, value->as.list);
    }
}

/* ---- to the database; memory is userdata, left on the stack */

typedef struct builder {
    weir_array *array;
    weir_value *items;
    size_t room;
    int number;
    int deepest;
    int memory;  /* where the items' userdata stands on the stack … */
    int anchors; /* … and a table that holds what was made for them: */
    int held;    /* so many */
} builder;

static int refuse(lua_State *L, const builder *b, const char *what) {
    return weir__lua_misuse(L, "parameter %d: an array %s", b->number, what);
}

static void add_item(lua_State *L, builder *b, int index) {
    if (b->array->count == b->room) {
        size_t room = b->room ? 2 * b->room : 16;
        weir_value *items = lua_newuserdata(L, room * sizeof *items);
        if (b->room) memcpy(items, b->items, b->room * sizeof *items);
        lua_replace(L, b->memory);
        b->items = items;
        b->room = room;
    }
    int top = lua_gettop(L);
    weir_value value;
    if (!weir__lua_to_value(L, index, b->number, &value))
        weir__lua_misuse(L, "parameter %d: a %s cannot be in an array", b->number, luaL_typename(L, index));
    bool made =
        value.type == WEIR_TYPE_RANGE || value.type == WEIR_TYPE_RAW || lua_type(L, index) != LUA_TTABLE;
    while (lua_gettop(L) > top) { /* strings of the table's are held by it */
        if (made)
            lua_rawseti(L, b->anchors, ++b->held);
        else
            lua_pop(L, 1);
    }
    b->items[b->array->count++] = value;
}

/* Is it one more dimension? A table that stands for a value has a metatable of its own. */
static bool is_inner(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TTABLE) return false;
    if (weir__lua_has_metatable(L, index, "array") || !lua_getmetatable(L, index)) return true;
    lua_pop(L, 1);
    return !weir__lua_call(L)->home->codecs && !weir__lua_has_metatable(L, index, "bytes") &&
           !weir__lua_has_metatable(L, index, "numeric") && !weir__lua_has_metatable(L, index, "range");
}

static int length_of(lua_State *L, const builder *b, int index) {
    int64_t length = (int64_t)lua_rawlen(L, index);
    lua_getfield(L, index, "n");
    if (!lua_isnil(L, -1)) length = weir__lua_check_integer(L, -1, "n of an array", INT_MAX);
    lua_pop(L, 1);
    if (length < 0 || length > INT_MAX) refuse(L, b, "of too many items");
    return (int)length;
}

static void add_list(lua_State *L, builder *b, int table, int depth) {
    if (depth == WEIR_ARRAY_DIMENSIONS) refuse(L, b, "of more than six dimensions");
    weir_array *array = b->array;
    int length = length_of(L, b, table);
    if (array->lengths[depth] == -1) array->lengths[depth] = length;
    if (array->lengths[depth] != length) refuse(L, b, "whose inner tables are not all of one length");
    if (depth + 1 > b->deepest) b->deepest = depth + 1;
    for (int i = 1; i <= length; i++) {
        luaL_checkstack(L, 8, "an array of too many values");
        lua_rawgeti(L, table, i);
        int item = lua_gettop(L);
        if (is_inner(L, item)) {
            add_list(L, b, item, depth + 1);
        } else {
            if (!array->dimensions) array->dimensions = depth + 1;
            if (array->dimensions != depth + 1) refuse(L, b, "that has tables beside values");
            add_item(L, b, item);
        }
        lua_pop(L, 1);
    }
}

static void array_value(lua_State *L, int index, int number, weir_value *value) {
    builder b = {.number = number};
    b.array = lua_newuserdata(L, sizeof *b.array);
    *b.array = (weir_array){0};
    for (int i = 0; i < WEIR_ARRAY_DIMENSIONS; i++) {
        b.array->lengths[i] = -1;
        b.array->lower[i] = 1;
    }
    lua_pushnil(L);
    b.memory = lua_gettop(L);
    lua_newtable(L);
    b.anchors = b.memory + 1;
    add_list(L, &b, index, 0);
    if (b.array->count && b.array->dimensions != b.deepest) refuse(L, &b, "that has tables beside values");
    b.array->items = b.items;
    *value = (weir_value){.type = WEIR_TYPE_ARRAY, .as.array = b.array};
}

static void read_bound(lua_State *L, int index, const char *name, int number, weir_value *out) {
    lua_getfield(L, index, name); /* stays: the value may be borrowed from it */
    int at = lua_gettop(L);
    if (is_inner(L, at) || !weir__lua_to_value(L, at, number, out))
        weir__lua_misuse(L, "parameter %d: a %s cannot be a range's %s", number, luaL_typename(L, at), name);
}

static bool read_flag(lua_State *L, int index, const char *name) {
    lua_getfield(L, index, name);
    bool flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

static void range_value(lua_State *L, int index, int number, weir_value *value) {
    weir_range *range = lua_newuserdata(L, sizeof *range);
    *range = (weir_range){.empty = read_flag(L, index, "empty"),
                          .lower_inc = read_flag(L, index, "lower_inc"),
                          .upper_inc = read_flag(L, index, "upper_inc")};
    luaL_checkstack(L, 8, "a range");
    read_bound(L, index, "lower", number, &range->lower);
    read_bound(L, index, "upper", number, &range->upper);
    *value = (weir_value){.type = WEIR_TYPE_RANGE, .as.range = range};
}

bool weir__lua_to_nested(lua_State *L, int index, int number, weir_value *value) {
    if (weir__lua_has_metatable(L, index, "array"))
        array_value(L, index, number, value);
    else if (weir__lua_has_metatable(L, index, "range"))
        range_value(L, index, number, value);
    else
        return false;
    return true;
}
