#!/bin/sh
# The benchmark: a PostgreSQL of its own, the package, the peers beside it. Measure on a quiet machine.
#   run.sh [--wheel FILE | --tree] [--help] [options and parts of bench.py]
# Without --wheel it builds one as users get it, with libpq 18 inside (.ci/wheel.sh: minutes at the first
# time); --tree has pip build the package with the system's libpq instead. Of what is missing it installs all
# but cargo, without which there is no comparison with tokio-postgres.
set -eu
here=$PWD
cd "$(dirname "$0")/../.."
root=$PWD
work=$root/build/bench
programs=$root/build/release/tests
json=$root/build/bench.json
wheel=
tree=
fail() { echo "run.sh: $*" >&2; exit 1; }
absolute() { case $1 in /*) echo "$1" ;; *) echo "$here/$1" ;; esac; }

count=$#
while [ "$count" -gt 0 ]; do # our own options out, the others back to the end of the line
  option=$1
  shift
  count=$((count - 1))
  case $option in
  --tree) tree=yes ;;
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' tests/bench/run.sh
    sed -n '1s/^"""//;/^{parts}/q;p' tests/bench/bench.py
    sed -n 's/^    "\(.*\)":.*/    \1/p' tests/bench/parts/__init__.py
    exit 0
    ;;
  --wheel=*) wheel=$(absolute "${option#*=}") ;;
  --json=*) json=$(absolute "${option#*=}") ;;
  --wheel | --json)
    [ "$count" -gt 0 ] || fail "$option wants a file"
    if [ "$option" = --wheel ]; then wheel=$(absolute "$1"); else json=$(absolute "$1"); fi
    shift
    count=$((count - 1))
    ;;
  *) set -- "$@" "$option" ;;
  esac
done
[ -z "$wheel" ] || [ -f "$wheel" ] || fail "there is no wheel $wheel"
commit=$(git describe --always --dirty 2>/dev/null || echo "without git")
package=${wheel:+$(basename "$wheel")}

sh .ci/setup.sh tests >&2
mkdir -p "$work"
if [ -n "$wheel" ]; then
  version=$(basename "$wheel" | sed -n 's/^weirpool-.*-cp3\([0-9]*\)-cp3.*\.whl$/3.\1/p')
  python=$(.ci/interpreters.sh "${version:-none}")
  [ -n "$python" ] || fail "no CPython with headers for $wheel"
else
  python=$(build/venv/bin/python -c 'import sys; print(sys._base_executable)')
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  package="tree $commit, the system's libpq"
  if [ -z "$tree" ]; then
    .ci/wheel.sh "$version" >&2
    wheel=$(ls dist/weirpool-*-cp3"${version#3.}"-cp3*manylinux*.whl)
    package="wheel of $commit"
  fi
fi
venv=$work/venv-$version
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/pip" install -q --disable-pip-version-check "$@" >&2; }
pip -U -r tests/bench/requirements.txt
pip --force-reinstall --no-deps "${wheel:-.}"

(
  PATH=$root/build/venv/bin:$PATH
  cmake --preset release -DPython_EXECUTABLE="$root/build/venv/bin/python"
  cmake --build --preset release --target bench_core bench_histogram bench_breaker bench_metrics bench_delay
) >"$work/cmake.log"
tokio='' no_tokio='no cargo'
if command -v cargo >/dev/null; then
  no_tokio="cargo could not build it, see $work/cargo.log"
  CARGO_TARGET_DIR=$work/tokio cargo build --release --locked --manifest-path tests/bench/tokio/Cargo.toml \
    >"$work/cargo.log" 2>&1 && tokio=$work/tokio/release/weirpool-bench-tokio
fi
lock=tests/bench/tokio/Cargo.lock
tokio_version=$(sed -n '/^name = "tokio-postgres"/{n;s/version = "\(.*\)"/\1/p;}' "$lock")

dir=$(mktemp -d)
trap 'cd /; sh "$root/tests/support/pg.sh" stop "$dir/pg"; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$dir"
server=$(sh tests/support/pg.sh start "$dir/pg")
PGPORT=${server##*:} PGPORT=${PGPORT%%/*} PGHOST=$dir/pg
export PGPORT PGHOST
PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin | sort -t/ -k5 -n | tail -n 1)
createdb -U postgres bench
pgbench -U postgres -i -q -s 10 bench >"$work/pgbench.log" 2>&1
cd "$dir" # so that the installed package is the one that is imported
PYTHONPATH='' "$venv/bin/python" "$root/tests/bench/bench.py" --json "$json" --package "$package" \
  --core "$programs/bench_core" --histogram "$programs/bench_histogram" --breaker "$programs/bench_breaker" \
  --metrics "$programs/bench_metrics" --delay "$programs/bench_delay" \
  --tokio "$tokio" --tokio-version "${tokio:+$tokio_version}" --no-tokio "$no_tokio" "$@"
