#!/bin/sh
# Each public header compiles alone, as C11 and as C++17: headers.sh [ROOT]; CC and CXX name the compilers.
set -u
root=${1:-$(dirname "$0")/../..}
cd "$root/core/include" || exit 1
CC=${CC:-cc} CXX=${CXX:-c++}
failed=0 count=0

# A declaration follows the header, because ISO C wants one in each file and a header of macros has none.
compile() {
    printf '#include <weirpool/%s>\nextern int weir_lint;\n' "$header" |
        "$@" -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I . - ||
        { echo "core/include/weirpool/$header: does not compile alone ($*)" >&2; failed=1; }
}

for path in weirpool/*.h; do
    [ -f "$path" ] || { echo "core/include/weirpool: no header there" >&2; exit 1; }
    header=${path#weirpool/}
    # The compilers may be a command with options: they are split on purpose.
    # shellcheck disable=SC2086
    compile $CC -std=c11 -x c
    # shellcheck disable=SC2086
    compile $CXX -std=c++17 -x c++
    count=$((count + 1))
done
[ "$failed" = 0 ] && echo "$count public headers compile alone"
exit "$failed"
