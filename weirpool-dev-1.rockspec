rockspec_format = "3.0"
package = "weirpool"
version = "dev-1"
source = { url = "git+https://example.org/weirpool.git" }
description = {
    summary = "Database connection pool with a C core, for PostgreSQL and SQLite",
    detailed = [[
A pool of connections to PostgreSQL or SQLite: bounded, with deadlines for everything, sessions that commit or roll
back and always come back, and measures. The same core serves C, Python and Lua.]],
    labels = { "database", "postgresql", "sqlite" },
}
dependencies = { "lua >= 5.1, < 5.5" }
external_dependencies = {
    PQ = { header = "postgresql/libpq-fe.h" },
    SQLITE = { header = "sqlite3.h" },
}
build = {
    type = "cmake",
    variables = {
        CMAKE_BUILD_TYPE = "Release",
        WEIRPOOL_PYTHON = "OFF",
        WEIRPOOL_TESTS = "OFF",
        WEIRPOOL_LUA = "ROCK",
        WEIR_ROCK_LUA_INCDIR = "$(LUA_INCDIR)",
        WEIR_ROCK_LIBDIR = "$(LIBDIR)",
        WEIR_ROCK_LUADIR = "$(LUADIR)",
    },
}
