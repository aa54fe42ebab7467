#!/bin/sh
# Every C file is as .clang-format says. `tests/lint/format.sh --fix` writes it so.
set -eu
cd "$(dirname "$0")/../.."
if [ "${1:-}" = --fix ]; then
  set -- -i
else
  set -- --dry-run -Werror
fi
# not `git ls-files`: a release has no repository
find core bindings examples tests -name '*.[ch]' -print0 | xargs -0 clang-format-14 "$@"
