#!/bin/sh
# Wheels for each CPython from 3.10 on that this machine has, in dist/: for x86-64 Linux with glibc 2.17 or newer, with
# libpq, OpenSSL and SQLite inside. Installs what is missing and asks for nothing; zig is the compiler, since it links
# against an old glibc without an old system. Everything is made in build/wheel, where OpenSSL and libpq are kept.
#   .ci/wheel.sh [VERSION…]     for these CPythons only: .ci/wheel.sh 3.11
set -eu
cd "$(dirname "$0")/.."
root=$PWD
glibc=2.17
work=$root/build/wheel
dep=$work/dep
begun=$(date +%s)
step() { printf '== %s (%s s)\n' "$*" "$(($(date +%s) - begun))"; }
logged() { # log file, command …
  log=$1
  shift
  "$@" >"$log" 2>&1 || { tail -n 60 "$log" >&2; echo "wheel.sh: failed, see $log" >&2; exit 1; }
}

[ "$(uname -sm)" = "Linux x86_64" ] || { echo "wheel.sh: Linux on x86-64 only" >&2; exit 1; }
mkdir -p "$work/bin" "$dep" dist
unset CFLAGS CPPFLAGS LDFLAGS

install_missing() {
  missing=
  command -v perl >/dev/null || missing="$missing perl"
  command -v make >/dev/null || missing="$missing make"
  command -v cargo >/dev/null || missing="$missing cargo-web" # Debian 12's cargo is too old for the sources' manifests
  python3 .ci/builds.py 2>/dev/null || missing="$missing python3 python3-venv python3-dev"
  # shellcheck disable=SC2086 # a list of words
  [ -z "$missing" ] || sh .ci/install.sh $missing
}

tools() { # zig under the names of a compiler's tools, in one folder on PATH: no build's output names where it was
  [ -x "$work/tools/bin/python" ] || python3 -m venv "$work/tools"
  "$work/tools/bin/pip" install -q --disable-pip-version-check -r .ci/wheel/requirements.txt
  zig=$("$work/tools/bin/python" -c 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))')
  wrap() { printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$zig" "$2" >"$work/bin/$1" && chmod +x "$work/bin/$1"; }
  wrap zigcc "cc -target x86_64-linux-gnu.$glibc -ffile-prefix-map=$root=."
  wrap zigar ar
  wrap zigranlib ranlib
  PATH=$work/bin:$PATH CC=zigcc AR=zigar RANLIB=zigranlib
  ZIG_GLOBAL_CACHE_DIR=$work/zig ZIG_LOCAL_CACHE_DIR=$work/zig
  # zig keeps what it compiled, so that SQLite and the core are compiled for the first interpreter only; but not where
  # it has to list dependencies, as it always has for ninja
  CMAKE_GENERATOR="Unix Makefiles" CMAKE_BUILD_PARALLEL_LEVEL=$(nproc)
  export PATH CC AR RANLIB ZIG_GLOBAL_CACHE_DIR ZIG_LOCAL_CACHE_DIR CMAKE_GENERATOR CMAKE_BUILD_PARALLEL_LEVEL
}

bring_sources() { # by the hashes in Cargo.lock
  cargo vendor --locked --manifest-path .ci/wheel/Cargo.toml "$work/src"
}

crate_version() { sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$work/src/$1/Cargo.toml"; }

kept() { # name, what it depends on beside the recipe: builds it unless it was built from the same
  name=$1
  shift
  stamp=$({ echo "$@" && cat ".ci/wheel/$name.sh" .ci/wheel/requirements.txt; } | cksum)
  if [ "$(cat "$dep/$name.stamp" 2>/dev/null)" = "$stamp" ]; then
    step "$name: kept from before"
    return 0
  fi
  step "$name"
  rm -f "$dep/$name.stamp"
  logged "$work/$name.log" env WEIR_WORK="$work" WEIR_DEP="$dep" sh ".ci/wheel/$name.sh"
  echo "$stamp" >"$dep/$name.stamp"
}

# What goes into the wheel's .dist-info beside the package's own: what is bundled (as PEP 770 has it), and its licences.
describe() {
  rm -rf "$dep/metadata"
  mkdir -p "$dep/metadata/sboms" "$dep/metadata/licenses"
  cp "$work/src/openssl-src/openssl/LICENSE.txt" "$dep/metadata/licenses/OpenSSL-LICENSE.txt"
  cp .ci/wheel/PostgreSQL-COPYRIGHT.txt "$dep/metadata/licenses/"
  python3 - "$dep/metadata/sboms/weirpool.cdx.json" "libpq=$libpq=PostgreSQL" "openssl=$openssl=Apache-2.0" \
    "sqlite=$sqlite=blessing" <<'END'
import json
import sys

parts = [part.split("=") for part in sys.argv[2:]]
components = [
    {"type": "library", "name": name, "version": version, "licenses": [{"license": {"id": licence}}],
     "purl": f"pkg:generic/{name}@{version}"}
    for name, version, licence in parts
]  # fmt: skip
bill = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}
with open(sys.argv[1], "w") as file:
    json.dump(bill, file, indent=1)
    file.write("\n")
END
}

wheel() { # an interpreter
  tag=$("$1" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
  rm -rf "$work/raw/$tag" && mkdir -p "$work/raw/$tag"
  [ -x "$work/venv-$tag/bin/python" ] || "$1" -m venv "$work/venv-$tag"
  set -- build-dir="build/wheel/cmake-$tag" install.strip=false \
    cmake.define.CMAKE_C_COMPILER_AR="$work/bin/zigar" cmake.define.CMAKE_C_COMPILER_RANLIB="$work/bin/zigranlib" \
    cmake.define.CMAKE_AR="$work/bin/zigar" cmake.define.CMAKE_RANLIB="$work/bin/zigranlib" \
    cmake.define.CMAKE_MODULE_LINKER_FLAGS=-s cmake.define.CMAKE_DEPENDS_USE_COMPILER=OFF \
    cmake.define.WEIRPOOL_LIBPQ_ROOT="$dep" \
    cmake.define.WEIRPOOL_SQLITE_AMALGAMATION="$work/src/libsqlite3-sys/sqlite3"
  for setting; do # the option's short name is not in the pip that came with CPython 3.10
    set -- "$@" --config-settings="$setting"
    shift
  done
  logged "$work/$tag.log" "$work/venv-$tag/bin/pip" wheel -v . --no-deps --disable-pip-version-check \
    -w "$work/raw/$tag" "$@"
  rm -f dist/weirpool-*-"$tag"-"$tag"-manylinux*.whl
  logged "$work/$tag-repair.log" env PATH="$work/tools/bin:$PATH" auditwheel repair \
    --plat "manylinux_$(echo "$glibc" | tr . _)_x86_64" --only-plat -w dist "$work/raw/$tag"/*.whl
}

install_missing
tools
step sources
logged "$work/sources.log" bring_sources
libpq=$(crate_version pq-src) openssl=$(crate_version openssl-src)
libpq=${libpq#*+libpq-} openssl=${openssl#*+}
sqlite=$(sed -n 's/^#define SQLITE_VERSION  *"\(.*\)"$/\1/p' "$work/src/libsqlite3-sys/sqlite3/sqlite3.h")
kept openssl "$openssl" "$glibc"
kept libpq "$libpq" "$openssl" "$glibc" "$(cat .ci/wheel/pg/*)"
describe

built=
for python in $(.ci/interpreters.sh "$@"); do
  step "wheel for $("$python" -V)"
  wheel "$python"
  built=yes
done
[ -n "$built" ] || { echo "wheel.sh: no CPython 3.10 or newer with headers" >&2; exit 1; }
step "done: libpq $libpq, OpenSSL $openssl, SQLite $sqlite"
ls -l dist/*manylinux*.whl
