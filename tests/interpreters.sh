#!/bin/sh
# The package as users get it: pip builds and installs it into a fresh environment for each CPython from 3.10 on that
# this machine has, and the Python tests run against that, on all of them at the same time: they wait more than they
# work. Into the build's own environment examples/demo.sh installs it, and runs; where the whole suite has run from the
# build's own tree already, on the same version, what an installation can break is enough. The properties of values,
# which are the core's, get fewer examples here, and the event loop is asyncio's, which each version has another one of.
set -eu
cd "$(dirname "$0")/.."

ours=$(build/venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

install() ( # executable, version
  set -e
  if [ "$2" = "$ours" ]; then
    printf '\n== CPython %s: examples/demo.sh --json\n' "$2"
    exec build/venv/bin/python tests/demo_json.py sh examples/demo.sh
  fi
  printf '\n== CPython %s: pip install .\n' "$2"
  [ -x "build/venv-$2/bin/python" ] || "$1" -m venv "build/venv-$2"
  "build/venv-$2/bin/pip" install -q --disable-pip-version-check -r tests/requirements.txt
  "build/venv-$2/bin/pip" install -q --disable-pip-version-check .
)

check() { # version; away from the source tree, so that it is the installed package that is tested
  environment=$PWD/build/venv-$1 tests=$PWD/tests/python
  [ "$1" != "$ours" ] || environment=$PWD/build/venv tests="$tests/test_api.py $tests/test_stubs.py"
  # shellcheck disable=SC2086
  (cd / && WEIR_EXAMPLES=10 WEIR_LOOPS=asyncio "$environment/bin/python" -m pytest -q -p no:cacheprovider --basetemp="$environment/tmp" $tests) \
    >"build/venv-$1.log" 2>&1
}

found='' failed=''
for executable in $(.ci/interpreters.sh); do
  version=$("$executable" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  found="$found $version"
  install "$executable" "$version" >"build/venv-$version.log" 2>&1 &
  eval "pid_$(echo "$version" | tr . _)=$!"
done
[ -n "$found" ] || { echo "interpreters.sh: no CPython 3.10 or newer with headers" >&2; exit 1; }
for version in $found; do
  eval "wait \$pid_$(echo "$version" | tr . _)" || failed="$failed $version"
  cat "build/venv-$version.log"
done
[ -z "$failed" ] || { echo "interpreters.sh: it could not be installed for CPython$failed" >&2; exit 1; }
for version in $found; do
  check "$version" &
  eval "pid_$(echo "$version" | tr . _)=$!"
done
for version in $found; do
  eval "wait \$pid_$(echo "$version" | tr . _)" || failed="$failed $version"
  printf '\n== CPython %s: the tests\n' "$version"
  cat "build/venv-$version.log"
done
[ -z "$failed" ] || { echo "interpreters.sh: failed on CPython$failed" >&2; exit 1; }
printf '\n== tested on CPython%s\n' "$found"
