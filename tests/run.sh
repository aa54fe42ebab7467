#!/bin/sh
# All tests: installs what is missing, builds, runs. Release: C, Python, Lua, examples, lint; the C library and the rock,
# installed. Sanitizers: the C tests under ASan+UBSan and TSan, Python and Lua under ASan+UBSan. Then the package,
# installed by pip into an environment of its own, on every interpreter from 3.10 on that the machine has.
set -eu
cd "$(dirname "$0")/.."
sh .ci/setup.sh tests
root=$PWD
PATH=$root/build/venv/bin:$PATH
export PATH

step() { printf '\n== %s (%s s)\n' "$*" "$(($(date +%s) - begun))"; }
begun=$(date +%s)

build() { # preset, further cmake arguments
  preset=$1
  shift
  cmake --preset "$preset" -DPython_EXECUTABLE="$root/build/venv/bin/python" "$@" >"build/$preset.log" 2>&1 ||
    { cat "build/$preset.log"; exit 1; }
  cmake --build --preset "$preset" >>"build/$preset.log" 2>&1 || { cat "build/$preset.log"; exit 1; }
}

step "release: build and test everything"
build release
ctest --preset release -j 4

step "install: a consumer of the C library, by CMake and by pkg-config; the rock"
sh tests/consumer/run.sh
sh tests/rock.sh

step "asan: C, Python and Lua under AddressSanitizer and UBSan"
build asan
ctest --preset asan -j 4 -L 'core|python|lua'

step "tsan: C under ThreadSanitizer"
build tsan -DWEIRPOOL_PYTHON=OFF -DWEIRPOOL_LUA=OFF
ctest --preset tsan -j 4 -L core

sh tests/interpreters.sh

step "done"
