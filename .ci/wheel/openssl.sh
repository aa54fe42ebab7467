#!/bin/sh
# OpenSSL, static, from the sources that wheel.sh brought: libssl.a, libcrypto.a and the headers into $WEIR_DEP.
set -eu
cd "$WEIR_WORK"
rm -rf openssl
mkdir -p openssl "$WEIR_DEP/lib" "$WEIR_DEP/include"
cd openssl
# --openssldir: Debian's, where `sslrootcert=system` finds the certificates; --prefix is used for nothing
perl ../src/openssl-src/openssl/Configure linux-x86_64 no-shared no-module no-tests no-apps no-docs no-legacy no-comp \
  no-dtls no-srp no-psk no-ui-console no-quic --prefix=/usr --libdir=lib --openssldir=/etc/ssl
make -s -j"$(nproc)" build_libs
make -s install_dev DESTDIR="$PWD/out"
cp out/usr/lib/libssl.a out/usr/lib/libcrypto.a "$WEIR_DEP/lib"
cp -r out/usr/include/openssl "$WEIR_DEP/include"
cd ..
rm -rf openssl # 200 MB
