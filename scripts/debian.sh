#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs the tests with stock clients on another Debian suite than this machine's: Debian 13 (trixie) has OpenSSL 3.5,
# pkcs11-provider in main and a Rust of its own; forky and sid have nginx with keys from a store, and libp11's own
# OpenSSL provider.
#
#   scripts/debian.sh SUITE [TEST...]     all of tests/clients that are about clients and the Rust crate cryptoki, or those
#                                         named (openssl, openssh, cryptoki, ...)
#
# In a Debian root (mmdebstrap) under target/roots, in which the sources are copied, built and tried; nothing is installed on this
# machine but mmdebstrap. Needs root.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/root.sh
. "$ROOT/scripts/lib/root.sh"

# Not about clients, or about what Debian 12 builds: the vendor's driver on the simulator, hardware checks, a factory's disk,
# packages, manual pages, and the pages of the documentation.
LEFT_OUT=(docs factory hardware-check manual package vendor)

[[ $# -gt 0 && $1 != -* ]] || { sed -n '2,/^$/{/SPDX/d;s/^# \{0,1\}//p}' "$0" >&2 && exit 2; }
SUITE=$1
shift
clients=() cryptoki=no
if [ $# = 0 ]; then
    cryptoki=yes
    for file in "$ROOT"/tests/clients/*.sh; do
        name=$(basename "$file" .sh)
        [[ " ${LEFT_OUT[*]} " == *" $name "* ]] || clients+=("$name")
    done
fi
for name in "$@"; do
    if [ "$name" = cryptoki ]; then cryptoki=yes; else clients+=("$name"); fi
done

make_root "debian-$SUITE" "$(dpkg --print-architecture)" \
    ca-certificates,cargo,gcc,git,iproute2,libc6-dev,mount,procps,rustc --variant=apt
heading 'Build in the Debian root'
copy_sources_to "$ROOT_FOLDER/src"
# Built outside of the sources, which are copied anew each time.
there() {
    in_root "$ROOT_FOLDER" env CARGO_TARGET_DIR=/target bash -euc "
        # What a terminal and a tunnel need.
        mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts
        mkdir -p /dev/net
        [ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
        cd /src
        $1"
}
there '. scripts/lib.sh; install_stock_software; need_cargo; cargo build --release --locked; openssl version; cargo --version'
heading 'The tests'
status=0
[ ${#clients[@]} = 0 ] || there "scripts/clients.sh ${clients[*]}" || status=1
if [ $cryptoki = yes ]; then
    there '. scripts/lib.sh; need_cargo
        scripts/test_programs.py --only cryptoki_crate --locked -p atecc608-pkcs11 --lib --test abi' || status=1
fi
[ $status = 0 ] || die "failed on $SUITE: the whole output is in $ROOT_FOLDER/target/logs"
