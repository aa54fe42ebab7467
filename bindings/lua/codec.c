/* Values that the user's codecs read and write: the pool's host function calls them (weirpool/codec.lua). */
#include "weir_lua.h"

void weir__lua_decode(lua_State *L, const weir_value *value) {
    const weir_lua_call *call = weir__lua_call(L);
    luaL_checkstack(L, 6, "values are nested too deep");
    lua_pushvalue(L, call->host);
    lua_pushliteral(L, "decode");
    lua_pushinteger(L, (lua_Integer)value->codec + 1);
    lua_pushlstring(L, value->as.bytes.data, value->as.bytes.length);
    lua_pushboolean(L, value->binary);
    lua_call(L, 4, 1);
}

bool weir__lua_encode(lua_State *L, int index, int number, weir_value *value) {
    const weir_lua_call *call = weir__lua_call(L);
    if (!call->home->codecs) return false;
    luaL_checkstack(L, 6, "a parameter");
    lua_pushvalue(L, call->host);
    lua_pushliteral(L, "encode");
    lua_pushvalue(L, index);
    lua_pushinteger(L, number);
    lua_call(L, 3, 3);
    int codec = (int)lua_tointeger(L, -3);
    bool binary = lua_toboolean(L, -2);
    lua_replace(L, -3);
    lua_pop(L, 1); /* the text is left */
    *value = (weir_value){.type = WEIR_TYPE_NULL};
    if (!codec || lua_isnil(L, -1)) return codec;
    value->type = WEIR_TYPE_RAW;
    value->codec = (uint16_t)(codec - 1);
    value->binary = binary;
    value->as.bytes.data = lua_tolstring(L, -1, &value->as.bytes.length);
    return true;
}
