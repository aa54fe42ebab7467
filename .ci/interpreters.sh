#!/bin/sh
# The executables of the CPythons from 3.10 on, with headers, that this machine has: one a version, one a line.
#   .ci/interpreters.sh [VERSION…]      of these versions only: .ci/interpreters.sh 3.11
set -eu
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
  case " ${*:-$version} " in *" $version "*) ;; *) continue ;; esac
  "$executable" "$(dirname "$0")/builds.py" 2>/dev/null || continue
  found="$found $version"
  echo "$executable"
done
