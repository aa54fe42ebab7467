#!/bin/sh
# Runs the first program that a page shows in a language, in a folder of its own: page.sh PAGE LANGUAGE INTERPRETER
set -eu
page=$(cd "$(dirname "$0")/.." && pwd)/$1
language=$2 interpreter=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
sed -n "/^\`\`\`$language\$/,/^\`\`\`\$/{/^\`\`\`\$/q;/^\`\`\`/d;p}" "$page" >program
[ -s program ] || { echo "$page: no program in $language" >&2; exit 1; }
"$interpreter" program
