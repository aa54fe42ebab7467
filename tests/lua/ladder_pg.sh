#!/bin/sh
# ladder_pg.sh command …: runs it with the URL of a PostgreSQL of its own, or that of WEIR_TEST_PG_URL, at its end.
set -eu
preload=${LD_PRELOAD:-} # a sanitizer's runtime, for the command alone
unset LD_PRELOAD
pg=$(dirname "$0")/../support/pg.sh
url=${WEIR_TEST_PG_URL:-}
if [ -z "$url" ]; then
    dir=$(mktemp -d)
    trap '"$pg" stop "$dir"' EXIT
    url=$("$pg" start "$dir")
fi
LD_PRELOAD=$preload "$@" "$url"
