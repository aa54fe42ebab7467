#!/bin/sh
# A PostgreSQL of one's own for tests.
#   pg.sh start DIR   makes a cluster in DIR (empty, or not there yet), starts it on a free port, prints its URL
#   pg.sh url DIR     prints the URL again
#   pg.sh stop DIR    stops it at once and removes DIR; no error when it is gone already
#   pg.sh kill DIR    as the machine's power going; pg.sh again DIR starts it once more, where it was
#   pg.sh pause DIR   it takes connections, and says nothing, until pg.sh resume DIR
# Runs as the user postgres when called by root, whom PostgreSQL refuses. All local users are trusted but one called
# locked, who needs a password; nothing is synced.
set -eu
unset LD_PRELOAD # a sanitizer's runtime, which servers do not get along with
[ $# -eq 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
action=$1
dir=$2
data=$dir/data

bin=${WEIR_PG_BIN:-}
if [ -z "$bin" ]; then
    bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n | tail -n 1)
    [ -n "$bin" ] || bin=$(pg_config --bindir)
fi

as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups env HOME="$dir" "$@"
    else
        "$@"
    fi
}

free_port() { # below the range that the kernel hands out by itself
    echo $((20000 + $(od -An -N2 -tu2 /dev/urandom) % 12000))
}

start() {
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    data=$dir/data
    [ "$(id -u)" -ne 0 ] || chown postgres: "$dir"
    cd "$dir"
    as_postgres "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C --no-sync \
        >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; exit 1; }
    sed -i '1i host all locked all scram-sha-256' "$data/pg_hba.conf"
    for _ in 1 2 3 4 5 6 7 8; do
        port=$(free_port)
        settings="-p $port -k $dir -c listen_addresses=127.0.0.1 -c fsync=off"
        settings="$settings -c max_connections=100 -c max_prepared_transactions=4"
        # its output must not stay on our caller's pipe
        if as_postgres "$bin/pg_ctl" -D "$data" -w -t 60 -l "$dir/server.log" -o "$settings" start \
            >/dev/null 2>&1; then
            echo "$settings" >"$dir/settings"
            echo "postgresql://postgres@127.0.0.1:$port/postgres" >"$dir/url"
            cat "$dir/url"
            return 0
        fi
    done
    cat "$dir/server.log" >&2
    exit 1
}

stop() {
    [ -d "$data" ] || return 0
    cd /
    as_postgres "$bin/pg_ctl" -D "$data" -m immediate -w stop >/dev/null 2>&1 || :
    rm -rf "$dir"
}

signal() { # to the postmaster and its children
    pid=$(head -n 1 "$data/postmaster.pid")
    # shellcheck disable=SC2046 # a list of numbers
    kill "-$1" "$pid" $(cat "/proc/$pid/task/$pid/children")
}

power_off() {
    signal KILL
    while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
    rm "$data/postmaster.pid"
}

again() {
    cd "$dir"
    as_postgres "$bin/pg_ctl" -D "$data" -w -t 60 -l "$dir/server.log" -o "$(cat "$dir/settings")" start >/dev/null 2>&1
}

case $action in
kill) power_off ;;
again) again ;;
pause) signal STOP ;;
resume) signal CONT ;;
start) start ;;
url) cat "$dir/url" ;;
stop) stop ;;
*) echo "pg.sh: start, url, stop, kill, again, pause or resume, not $action" >&2; exit 2 ;;
esac
