#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Build with the oldest Rust that Cargo.toml promises (rust-version), also if this machine uses a newer one: with the
# simulated chip, and as for gateways.
#
#   scripts/msrv.sh [--unless-packaged]
#
#   --unless-packaged   not if scripts/package.sh, which builds both too, has just done it with that version
#
# That version is what a Debian release ships. Its packages are downloaded and unpacked under target/msrv, not
# installed: nothing else on the machine changes.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

OLDEST=$(rust_version)
HOME_OF_OLDEST=$TARGET/msrv
UNPACKED=$HOME_OF_OLDEST/$OLDEST

# The newest Debian version of a package that is Rust $OLDEST, if apt knows one.
debian_version() { apt-cache madison "$1" | awk -v oldest="$OLDEST." 'index($3, oldest) == 1 { print $3; exit }'; }

# Prints NAME=VERSION for rustc, cargo and the standard library. Debian 12 calls them -web.
toolchain_packages() {
    local suffix version
    for suffix in -web ''; do
        version=$(debian_version "rustc$suffix")
        if [ -n "$version" ] && [ -n "$(debian_version "cargo$suffix")" ]; then
            printf '%s\n' "rustc$suffix=$version" "cargo$suffix=$(debian_version "cargo$suffix")" \
                "libstd-rust$suffix-dev=$version" "libstd-rust$suffix-$OLDEST=$version"
            return
        fi
    done
}

# What apt would install for them, libraries included: one NAME=VERSION a line. Only simulated; needs no root.
with_dependencies() {
    apt-get install --simulate --no-install-recommends --allow-downgrades "$@" |
        sed -n 's/^Inst \([^ ]*\) \(\[[^]]*\] \)\{0,1\}(\([^ ]*\) .*/\1=\3/p'
}

unpack() {
    local packages wanted archive
    mapfile -t packages < <(toolchain_packages)
    if [ ${#packages[@]} -eq 0 ]; then
        apt_update
        mapfile -t packages < <(toolchain_packages)
    fi
    [ ${#packages[@]} -gt 0 ] || die "no Debian package of Rust $OLDEST: apt-cache madison rustc-web rustc"
    mapfile -t wanted < <(with_dependencies "${packages[@]}")
    [ ${#wanted[@]} -gt 0 ] || wanted=("${packages[@]}")
    note "downloading ${wanted[*]}"
    rm -rf "$HOME_OF_OLDEST/download" "$UNPACKED.part"
    mkdir -p "$HOME_OF_OLDEST/download" "$UNPACKED.part"
    (cd "$HOME_OF_OLDEST/download" && quietly "$INSTALL_LOG" apt-get download -q "${wanted[@]}")
    for archive in "$HOME_OF_OLDEST"/download/*.deb; do
        dpkg-deb -x "$archive" "$UNPACKED.part"
    done
    rm -rf "$HOME_OF_OLDEST/download"
    # The last step, so that an incomplete toolchain is never taken for a complete one.
    mv "$UNPACKED.part" "$UNPACKED"
}

use_unpacked() {
    [ -d "$UNPACKED" ] || unpack
    export PATH=$UNPACKED/usr/bin:$PATH
    # Some older packages put their libraries under /lib, the others under /usr/lib.
    local arch
    arch=$(gcc -print-multiarch)
    export LD_LIBRARY_PATH=$UNPACKED/usr/lib/$arch:$UNPACKED/lib/$arch
    # rustup's proxies and a developer's wrappers must not interfere.
    unset RUSTUP_TOOLCHAIN RUSTC RUSTC_WRAPPER
}

if [ "${1:-}" = --unless-packaged ] && grep -q "^rustc $OLDEST\." "$TARGET/debian/rustc"; then
    note "the packages were built with $(cat "$TARGET/debian/rustc")"
    exit
fi
need_packages gcc libc6-dev
if [[ $(rustc --version 2>/dev/null) != "rustc $OLDEST."* ]]; then
    use_unpacked
fi
rustc --version
cargo --version
[[ $(cargo --version) == "cargo $OLDEST."* ]] || die "this is not cargo $OLDEST"
cd "$ROOT"
run "cargo build --locked --target-dir $HOME_OF_OLDEST/build"
run "cargo build --locked --target-dir $HOME_OF_OLDEST/build -p atecc608-pkcs11 -p atecc608-cli --no-default-features"
