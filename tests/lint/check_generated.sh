#!/bin/sh
# weirpool/sqlstate.def.h is what sqlstate.py makes of PostgreSQL's errcodes.txt: check_generated.sh [ERRCODES]
# The checked-in file was made from PostgreSQL 15, which is looked for first; later versions add rows.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
checked_in=core/include/weirpool/sqlstate.def.h

find_errcodes() {
    for path in /usr/share/postgresql/15/errcodes.txt "$(pg_config --sharedir 2>/dev/null)/errcodes.txt" \
        /usr/share/postgresql/*/errcodes.txt; do
        [ -f "$path" ] && echo "$path" && return
    done
}

errcodes=${1:-$(find_errcodes)}
if [ ! -f "$errcodes" ]; then
    echo "check_generated: no errcodes.txt (${errcodes:-not from pg_config, not in /usr/share/postgresql})" >&2
    exit 1
fi
fresh=$(mktemp) || exit 1
trap 'rm -f "$fresh"' EXIT
python3 "$root/core/src/base/sqlstate.py" "$errcodes" >"$fresh" || exit 1
if ! diff -u "$root/$checked_in" "$fresh"; then
    echo "$checked_in is not what core/src/base/sqlstate.py makes of $errcodes" >&2
    exit 1
fi
echo "$checked_in is up to date with $errcodes"
