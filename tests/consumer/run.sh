#!/bin/sh
# Installs the C library from a build tree into a fresh prefix, and builds examples/hello.c against it twice: by the
# CMake package (shared and static), and by pkg-config. Each program is run.
set -eu
cd "$(dirname "$0")/../.."
build=${1:?a build tree}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for component in runtime dev; do
  cmake --install "$build" --prefix "$work/prefix" --component "$component" >/dev/null
done
cmake -S tests/consumer -B "$work/cmake" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/cmake" >/dev/null
library=$(dirname "$(find "$work/prefix" -name 'libweirpool.so')")
export LD_LIBRARY_PATH="$library"
PKG_CONFIG_PATH=$library/pkgconfig
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # flags are words
cc examples/hello.c -o "$work/by-pkg-config" $(pkg-config --cflags --libs weirpool)
for program in "$work/cmake/by-shared" "$work/cmake/by-static" "$work/by-pkg-config"; do
  said=$("$program")
  [ "$said" = "hello from SQLite: 42" ] || { echo "$program said: $said" >&2; exit 1; }
done
echo "the installed library serves CMake (shared, static) and pkg-config"
