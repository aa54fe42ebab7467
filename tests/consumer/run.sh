#!/bin/sh
# Builds and installs the C library as README.md says, into a fresh prefix, and builds examples/hello.c against it by the
# CMake package (shared and static), and by pkg-config. Each program is run.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --preset library >/dev/null
cmake --build --preset library >/dev/null
cmake --install build/library --prefix "$work/prefix" >/dev/null
cmake -S tests/consumer -B "$work/cmake" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/cmake" >/dev/null
library=$(dirname "$(find "$work/prefix" -name 'libweirpool.so')")
export LD_LIBRARY_PATH="$library"
PKG_CONFIG_PATH=$library/pkgconfig
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # flags are words
cc examples/hello.c -o "$work/by-pkg-config" $(pkg-config --cflags --libs weirpool)
for program in "$work/cmake/by-shared" "$work/cmake/by-static" "$work/by-pkg-config"; do
  sh tests/says.sh "hello from SQLite: 42" "$program"
done
echo "the installed library serves CMake (shared, static) and pkg-config"
