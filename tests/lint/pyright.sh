#!/bin/sh
# Pyright's view of the package: every public symbol has a known type, and the examples use them rightly.
#   pyright.sh PYTHON      the package must be importable by that interpreter
set -eu
cd "$(dirname "$0")/../.."
python=${1:?an interpreter}
said=$("$python" -m pyright --pythonpath "$python" --ignoreexternal --verifytypes weirpool) || { echo "$said"; exit 1; }
echo "$said" | grep 'completeness score'
"$python" -m pyright --pythonpath "$python" examples/*.py
