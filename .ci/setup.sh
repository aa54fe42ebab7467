#!/bin/sh
# Installs what is missing, and asks for nothing: `setup.sh demo` what a build of the Python package needs, `setup.sh
# tests` what all the tests need. Then a virtual environment in build/venv. Called by examples/demo.sh and tests/run.sh.
set -eu
cd "$(dirname "$0")/.."
what=${1:?demo or tests}

if [ "$(uname -s)" != Linux ]; then
  echo "setup.sh: Linux only (tested on Debian 12, x86-64); elsewhere install what .ci/setup.sh names by hand" >&2
  exit 1
fi

packages="gcc libc6-dev libpq-dev libsqlite3-dev"
if [ "$what" = tests ]; then
  packages="$packages g++ cmake ninja-build pkg-config check postgresql postgresql-contrib pgbouncer
    lua5.4 liblua5.4-dev luajit2 libluajit2-5.1-dev lua-busted lua-check clang-14 clang-format-14 prometheus"
fi
python3 .ci/builds.py 2>/dev/null || packages="$packages python3 python3-venv python3-dev"

missing=
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
# shellcheck disable=SC2086 # a list of words
[ -z "$missing" ] || sh .ci/install.sh $missing

python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  { echo "setup.sh: Python 3.10 or newer is wanted, python3 is $(python3 -V)" >&2; exit 1; }
[ -x build/venv/bin/python ] || python3 -m venv build/venv
if [ "$what" = tests ]; then
  build/venv/bin/pip install -q --disable-pip-version-check -r tests/requirements.txt
fi
