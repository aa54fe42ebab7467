#!/bin/sh
# The main job on SQLite, no server: installs what is missing, builds the package, runs examples/demo.py. --json for
# numbers only.
set -eu
cd "$(dirname "$0")/.."
echo "installing what is missing and building the package: half a minute" >&2
sh .ci/setup.sh demo >&2
build/venv/bin/pip install -q --disable-pip-version-check . >&2
exec build/venv/bin/python examples/demo.py "$@"
