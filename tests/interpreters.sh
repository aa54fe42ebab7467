#!/bin/sh
# The package as users get it: pip builds and installs it into a fresh environment for each CPython from 3.10 on that
# this machine has, and the Python tests run against that.
set -eu
cd "$(dirname "$0")/.."

candidates() {
  for minor in 10 11 12 13 14 15 16; do
    command -v "python3.$minor" || true
    ls "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python3 2>/dev/null || true
  done
}
found=
for python in $(candidates); do
  # a shim may stand for a version that is not installed, or not selected
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null) || continue
  executable=${version#* } version=${version%% *}
  case " $found " in *" $version "*) continue ;; esac
  # headers are needed to build: a bare interpreter cannot
  "$executable" -c 'import os, sys, sysconfig, venv, ensurepip
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' 2>/dev/null || continue
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
