#!/bin/sh
# The benchmark: a PostgreSQL of its own, the package as pip builds it, the peers beside it. Arguments go to bench.py.
# Measure on a quiet machine.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
sh .ci/setup.sh tests
PATH=$root/build/venv/bin:$PATH
export PATH
cmake --preset release -DPython_EXECUTABLE="$root/build/venv/bin/python" >/dev/null
cmake --build --preset release --target bench_core >/dev/null
[ -x build/venv-bench/bin/python ] || python -m venv build/venv-bench
build/venv-bench/bin/pip install -q --disable-pip-version-check -r tests/bench/requirements.txt .

dir=$(mktemp -d)
trap 'sh tests/support/pg.sh stop "$dir/pg"; rm -rf "$dir"' EXIT
chmod 755 "$dir"
server=$(sh tests/support/pg.sh start "$dir/pg")
PGPORT=${server##*:} PGPORT=${PGPORT%%/*} PGHOST=$dir/pg
export PGPORT PGHOST
PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin | sort -t/ -k5 -n | tail -n 1)
createdb -U postgres bench
pgbench -U postgres -i -q -s 10 bench >/dev/null 2>&1
cd "$dir" # so that the installed package is the one that is imported
"$root/build/venv-bench/bin/python" "$root/tests/bench/bench.py" --core "$root/build/release/tests/bench_core" "$@"
