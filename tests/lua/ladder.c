/*
 * Failing allocations of Lua's: runs a script again and again, in a fresh state each time, whose allocator
 * refuses the first, second, third … request from the script's call of ladder() on. The script may fail with
 * "not enough memory", but must leave nothing behind: the sanitizers look after that, and after that
 * everything must still work.
 *
 *     ladder script.lua cpath lpath [arguments of the script …]
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long countdown; /* requests until one is refused; 0: never */
static long start;     /* what ladder() sets it to */
static bool refused;
static bool again; /* Lua collects garbage after a refusal and asks once more: refused, too */

static void *allocate(void *context, void *block, size_t old, size_t new) {
    (void)context;
    (void)old;
    if (!new) {
        free(block);
        return NULL;
    }
    if ((!block || new > old) && (again || (countdown && --countdown == 0))) { /* shrinking must not fail */
        again = !again;
        refused = true;
        return NULL;
    }
    return realloc(block, new);
}

static int ladder(lua_State *L) {
    (void)L;
    countdown = start;
    return 0;
}

static int whole(lua_State *L) {
    (void)L;
    countdown = 0;
    return 0;
}

static int run(lua_State *L) {
    char **argv = lua_touserdata(L, 1);
    luaL_openlibs(L);
    lua_register(L, "ladder", ladder);
    lua_register(L, "whole", whole);
    lua_getglobal(L, "package");
    lua_pushstring(L, argv[2]);
    lua_setfield(L, -2, "cpath");
    lua_pushstring(L, argv[3]);
    lua_setfield(L, -2, "path");
    if (luaL_loadfile(L, argv[1])) return lua_error(L);
    int arguments = 0;
    for (char **argument = argv + 4; *argument; argument++, arguments++) lua_pushstring(L, *argument);
    lua_call(L, arguments, 0);
    return 0;
}

/* 0: it came to its end; 1: it ran out of memory; 2: it failed otherwise. */
static int step(char **argv) {
    countdown = 0;
    refused = again = false;
    lua_State *L = lua_newstate(allocate, NULL);
    if (!L) return 2;
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, argv);
    int code = lua_pcall(L, 1, 0, 0) ? 1 : 0;
    countdown = 0;
    const char *message = code ? lua_tostring(L, -1) : NULL;
    if (code && (!refused || !message || !strstr(message, "not enough memory"))) {
        fprintf(stderr, "after %ld allocations: %s\n", start, luaL_tolstring(L, -1, NULL));
        code = 2;
    }
    lua_close(L);
    return code;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "ladder script.lua cpath lpath [arguments …]\n");
        return 2;
    }
    long steps = 0, failures = 0;
    for (start = 1;; start++) {
        int code = step(argv);
        if (code == 2) return 1;
        if (!refused) break;
        steps++;
        failures += code;
    }
    printf("%ld allocations refused, one at a time; the script failed %ld times\n", steps, failures);
    return failures > 0 ? 0 : 1;
}
