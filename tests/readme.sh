#!/bin/sh
# Runs the first program that README.md shows in a language, in a folder of its own: readme.sh LANGUAGE INTERPRETER
set -eu
language=$1 interpreter=$2
readme=$(cd "$(dirname "$0")/.." && pwd)/README.md
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
sed -n "/^\`\`\`$language\$/,/^\`\`\`\$/{/^\`\`\`\$/q;/^\`\`\`/d;p}" "$readme" >program
[ -s program ] || { echo "$readme: no program in $language" >&2; exit 1; }
"$interpreter" program
