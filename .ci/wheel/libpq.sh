#!/bin/sh
# libpq, static, from the sources that wheel.sh brought: libpq.a and its headers into $WEIR_DEP. They come without
# configure and makefile: pg/pg_config.h stands for the one, the list below for the other.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$WEIR_WORK"
rm -rf pq
mkdir -p pq "$WEIR_DEP/lib" "$WEIR_DEP/include"
cp -r src/pq-src/source/src pq/src
cd pq
version=$(sed -n 's/^version = ".*+libpq-\([0-9.]*\)"$/\1/p' ../src/pq-src/Cargo.toml)
major=${version%%.*} minor=${version#*.}

manual=src/include/pg_config_manual.h # the socket's folder: the distributions', not the sources' /tmp
sed -i 's|\(define DEFAULT_PGSOCKET_DIR *\)"/tmp"|\1"/var/run/postgresql"|' "$manual"
grep -q '"/var/run/postgresql"' "$manual"

# One file a call: zig makes one object of many.
for file in src/interfaces/libpq/*.c src/common/*.c src/port/*.c; do
  case $file in # other systems' parts, those that OpenSSL stands in for, and what is for programs
  */win32*.c | */pthread-win32.c | */dirmod.c | */open.c | */inet_aton.c) ;;
  */common/logging.c | */common/cryptohash.c | */common/hmac.c | */common/md5.c | */common/sha1.c | */common/sha2.c) ;;
  *) echo "$file" ;;
  esac
done | xargs -P "$(nproc)" -n 1 "$CC" -c -O2 -flto -fPIC -fvisibility=hidden -Wno-everything \
  -Werror=implicit-function-declaration \
  -DFRONTEND -D_GNU_SOURCE "-DPG_VERSION=\"$version\"" "-DPG_VERSION_STR=\"PostgreSQL $version\"" \
  "-DPG_MAJORVERSION=\"$major\"" "-DPG_MAJORVERSION_NUM=$major" "-DPG_MINORVERSION_NUM=$minor" \
  "-DPG_VERSION_NUM=$((major * 10000 + minor))" \
  -I"$here/pg" -Isrc/include -Isrc/interfaces/libpq -Isrc/port -I"$WEIR_DEP/include"
rm -f "$WEIR_DEP/lib/libpq.a"
"$AR" rcs "$WEIR_DEP/lib/libpq.a" ./*.o
cp src/interfaces/libpq/libpq-fe.h src/interfaces/libpq/libpq-events.h src/include/postgres_ext.h \
  "$here/pg/pg_config_ext.h" "$WEIR_DEP/include"
