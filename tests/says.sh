#!/bin/sh
# Runs a program, which must print just that, and succeed: says.sh TEXT PROGRAM [ARGUMENT ...]
set -u
text=$1
shift
said=$("$@")
status=$?
[ "$status" = 0 ] && [ "$said" = "$text" ] && exit
printf '%s: exit status %s, and it said:\n%s\n' "$*" "$status" "$said" >&2
exit 1
