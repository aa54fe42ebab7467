#!/bin/sh
# The rock, as luarocks builds it from the rockspec, for Lua 5.4 and for LuaJIT: installed into a fresh prefix each, where
# examples/quickstart.lua runs. In the build tree of the C library (tests/consumer/run.sh), whose objects are the same.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

variables() { # the rockspec's, as options of cmake, one a line
  LIBDIR=$libdir LUADIR=$luadir LUA_INCDIR=$incdir lua5.4 -e '
    dofile "weirpool-dev-1.rockspec"
    for name, value in pairs(build.variables) do print(("-D%s=%s"):format(name, value:gsub("%$%((.-)%)", os.getenv))) end'
}

for lua in lua5.4 luajit; do
  prefix=$work/$lua libdir=$work/$lua/lib/lua luadir=$work/$lua/share/lua
  incdir=$(pkg-config --cflags-only-I "$lua" | sed 's/^-I//; s/ *$//')
  variables | xargs cmake --preset library >"$work/log" || { cat "$work/log"; exit 1; }
  cmake --build --preset library >"$work/log" || { cat "$work/log"; exit 1; }
  cmake --install build/library --prefix "$prefix" >"$work/log"
  LUA_PATH="$luadir/?.lua;$luadir/?/init.lua" LUA_CPATH="$libdir/?.so" \
    sh tests/says.sh "$(printf '1\tweir\n2\tpool\n2\trows')" "$lua" examples/quickstart.lua
done
echo "the rock serves Lua 5.4 and LuaJIT"
