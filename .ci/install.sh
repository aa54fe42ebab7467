#!/bin/sh
# Installs these packages, and asks for nothing: install.sh PACKAGE…
set -eu
sudo=
[ "$(id -u)" = 0 ] || sudo="sudo -n -E"
if ! $sudo apt-get --version >/dev/null 2>&1; then
  echo "install.sh: there is no apt-get that runs without a password: install these packages first: $*" >&2
  exit 1
fi
echo "install.sh: installing $*"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
