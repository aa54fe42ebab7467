#!/bin/sh
# The package as users get it: pip builds and installs it into a fresh environment for each CPython from 3.10 on that
# this machine has, and the Python tests run against that.
set -eu
cd "$(dirname "$0")/.."

found=
for executable in $(.ci/interpreters.sh); do
  version=$("$executable" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  found="$found $version"
  environment=build/venv-$version
  printf '\n== CPython %s: pip install ., then the tests\n' "$version"
  [ -x "$environment/bin/python" ] || "$executable" -m venv "$environment"
  "$environment/bin/pip" install -q --disable-pip-version-check -r tests/requirements.txt
  "$environment/bin/pip" install -q --disable-pip-version-check .
  # away from the source tree, so that it is the installed package that is tested
  (tests=$PWD/tests/python environment=$PWD/$environment && cd / &&
    "$environment/bin/python" -m pytest -q -p no:cacheprovider "$tests")
done
[ -n "$found" ] || { echo "interpreters.sh: no CPython 3.10 or newer with headers" >&2; exit 1; }
printf '\n== tested on CPython%s\n' "$found"
