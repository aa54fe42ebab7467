#!/bin/sh
# Each wheel that .ci/wheel.sh made for this machine, as a user gets it: into a fresh environment without a compiler and
# without an index, beside other packages that carry a libpq or an OpenSSL. Then what it exports and links, SQLite, TLS
# to a PostgreSQL of our own, and the tests of the package's interface.
#   tests/wheel/run.sh [WHEEL…]      default: all of dist/
set -eu
cd "$(dirname "$0")/../.."
sh .ci/setup.sh tests
root=$PWD
[ $# -gt 0 ] || set -- dist/weirpool-*manylinux*.whl
[ -f "$1" ] || { echo "tests/wheel/run.sh: no wheel in dist/: run .ci/wheel.sh first" >&2; exit 1; }
fail() { echo "tests/wheel/run.sh: $*" >&2; exit 1; }
begun=$(date +%s)
step() { printf '== %s (%s s)\n' "$*" "$(($(date +%s) - begun))"; }

temporary=$(mktemp -d)
chmod 755 "$temporary" # the server's user walks through it
trap 'tests/support/pg.sh stop "$temporary/server" || :; rm -rf "$temporary"' EXIT
trap 'exit 1' HUP INT TERM

make_certificate() { # name of the authority, of the files: one for "localhost", signed by it
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -keyout "$temporary/$2-ca.key" \
    -out "$temporary/$2-ca.crt" -addext basicConstraints=critical,CA:TRUE
  openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$temporary/$2.key" -out "$temporary/$2.csr"
  echo subjectAltName=DNS:localhost >"$temporary/$2.extensions"
  openssl x509 -req -days 2 -in "$temporary/$2.csr" -CA "$temporary/$2-ca.crt" -CAkey "$temporary/$2-ca.key" \
    -CAcreateserial -extfile "$temporary/$2.extensions" -out "$temporary/$2.crt"
}
start_server() { # with TLS; the user "scram" must bind his password to the TLS channel
  url=$(tests/support/pg.sh start "$temporary/server")
  make_certificate "Test authority" server >"$temporary/openssl.log" 2>&1 || { cat "$temporary/openssl.log"; exit 1; }
  make_certificate "Other authority" other >"$temporary/openssl.log" 2>&1 || { cat "$temporary/openssl.log"; exit 1; }
  data=$temporary/server/data
  cp "$temporary/server.crt" "$temporary/server.key" "$data"
  chmod 600 "$data/server.key"
  { echo "hostssl all scram localhost scram-sha-256" && cat "$data/pg_hba.conf"; } >"$temporary/pg_hba.conf"
  cat "$temporary/pg_hba.conf" >"$data/pg_hba.conf"
  [ "$(id -u)" != 0 ] || chown postgres: "$data/server.crt" "$data/server.key"
  psql -X -q -v ON_ERROR_STOP=1 "$url" -c "create role scram login password 'secret'" -c "alter system set ssl = on" \
    -c "select pg_reload_conf()" >/dev/null
}

check_binary() { # module
  exported=$(nm -D --defined-only "$1" | awk '{ print $3 }')
  [ "$exported" = PyInit__core ] || fail "$1 exports $exported"
  ldd "$1"
  for library in $(ldd "$1" | awk '{ print $1 }'); do
    case $library in
    linux-vdso.so.1 | libc.so.6 | libm.so.6 | libpthread.so.0 | libdl.so.2 | */ld-linux-x86-64.so.2) ;;
    *) fail "$1 is linked to $library" ;;
    esac
  done
  # what an older glibc lacks is undefined without a version: weak, or it is a mistake
  unknown=$(nm -D --undefined-only "$1" | awk '$1 == "U" && $2 !~ /@|^_?Py/ { print $2 }')
  [ -z "$unknown" ] || fail "$1 wants $unknown"
  newest=$(nm -D "$1" | sed -n 's/.*@GLIBC_\([0-9.]*\)$/\1/p' | sort -V | tail -n 1)
  [ "$(printf '%s\n2.17\n' "$newest" | sort -V | tail -n 1)" = 2.17 ] || fail "$1 wants glibc $newest"
  if grep -q -F "$root" "$1"; then fail "$1 names the folder it was built in"; fi
}

step "a PostgreSQL with TLS"
start_server
for wheel; do
  tag=$(basename "$wheel" | cut -d - -f 3)
  version=$(echo "$tag" | sed 's/^cp\(.\)/\1./')
  python=$(.ci/interpreters.sh "$version")
  [ -n "$python" ] || fail "no CPython $version for $wheel"
  environment=$temporary/$tag
  step "CPython $version: $(du -h "$wheel" | cut -f 1) $(basename "$wheel")"
  "$python" -m venv "$environment"
  "$environment/bin/pip" install -q --disable-pip-version-check -r tests/wheel/requirements.txt
  PATH=$temporary/empty "$environment/bin/python" -m pip install -q --disable-pip-version-check --no-index "$wheel"
  check_binary "$(cd / && "$environment/bin/python" -c 'import weirpool._core as c; print(c.__file__)')"
  cp tests/wheel/check.py "$temporary"
  sh tests/page.sh README.md python cat >"$temporary/readme.py"
  for program in readme.py "check.py $url $temporary/server-ca.crt $temporary/other-ca.crt"; do
    # shellcheck disable=SC2086 # a program and its arguments
    (cd "$temporary" && env PATH="$temporary/empty" "$environment/bin/python" $program)
  done
  (cd / && "$environment/bin/python" -m pytest -q -p no:cacheprovider "$root/tests/python/test_api.py")
done
step "done"
