#!/bin/sh
# The package as users get it: pip builds and installs it into a fresh environment for each CPython from 3.10 on that
# this machine has, and the Python tests run against that, two interpreters at a time.
set -eu
cd "$(dirname "$0")/.."

install() { # executable, version
  printf '\n== CPython %s: pip install .\n' "$2"
  [ -x "build/venv-$2/bin/python" ] || "$1" -m venv "build/venv-$2"
  "build/venv-$2/bin/pip" install -q --disable-pip-version-check -r tests/requirements.txt
  "build/venv-$2/bin/pip" install -q --disable-pip-version-check .
}

check() { # version; away from the source tree, so that it is the installed package that is tested
  environment=$PWD/build/venv-$1 tests=$PWD/tests/python log=$PWD/build/venv-$1.log
  (cd / && "$environment/bin/python" -m pytest -q -p no:cacheprovider --basetemp="$environment/tmp" "$tests") >"$log" 2>&1
}

found='' running='' failed=''
finish() {
  for version in $running; do
    eval "wait \$pid_$(echo "$version" | tr . _)" || failed="$failed $version"
    printf '\n== CPython %s: the tests\n' "$version"
    cat "build/venv-$version.log"
  done
  running=''
}
for executable in $(.ci/interpreters.sh); do
  version=$("$executable" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  found="$found $version"
  install "$executable" "$version"
done
for version in $found; do
  check "$version" &
  eval "pid_$(echo "$version" | tr . _)=$!"
  running="$running $version"
  case $running in *' '*' '*) finish ;; esac
done
finish
[ -n "$found" ] || { echo "interpreters.sh: no CPython 3.10 or newer with headers" >&2; exit 1; }
[ -z "$failed" ] || { echo "interpreters.sh: failed on CPython$failed" >&2; exit 1; }
printf '\n== tested on CPython%s\n' "$found"
