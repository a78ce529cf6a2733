#!/usr/bin/env bash
# Build the Debian packages atecc608-pkcs11 and atecc608-sim, check them (lintian), and run what is in them.
#
#   scripts/package.sh [--test] [ARCH...]      amd64, arm64, armhf; all three if none is named
#
#   --test   not optimised, and the simulated chip's package only for this machine's architecture: a quarter of the time.
#            Such packages are as good for trying how they install; they are large, and not to be passed on
#
# They are built in a Debian root (mmdebstrap) under target/roots, with the compiler of the oldest release that they are
# for: nothing is installed on this machine but mmdebstrap. The packages come to target/debian. Needs root; on another
# machine than amd64 only that machine's architecture is built.
#
# MAINTAINER='Name <address>' is who answers for the packages, if you pass them on.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/root.sh
. "$ROOT/scripts/lib/root.sh"

# What reads and writes the packages, and what builds for the machine itself.
HERE=(ca-certificates cargo-web gcc libc6-dev libp11-kit-dev lintian qemu-user rustc-web xz-utils)
export MAINTAINER=${MAINTAINER:-the atecc608-pkcs11 authors <atecc608-pkcs11@localhost>}

MACHINE=$(dpkg --print-architecture)
SIMS='amd64 arm64 armhf' OPTIMISED=yes
if [ "${1:-}" = --test ]; then
    SIMS=$MACHINE OPTIMISED=no
    shift
fi
ARCHITECTURES=("$@")
if [ $# = 0 ]; then
    ARCHITECTURES=("$MACHINE")
    [ "$MACHINE" != amd64 ] || ARCHITECTURES=(amd64 arm64 armhf)
fi
for arch in "${ARCHITECTURES[@]}"; do
    case $arch in
        amd64 | arm64 | armhf) ;;
        *) die "$arch: the architectures are amd64, arm64 and armhf" ;;
    esac
    [ "$arch" = "$MACHINE" ] || [ "$MACHINE" = amd64 ] || die "$arch: this machine is $MACHINE, and cross-builds are done on amd64"
done

rust_target() {
    case $1 in
        amd64) echo x86_64-unknown-linux-gnu ;;
        arm64) echo aarch64-unknown-linux-gnu ;;
        armhf) echo armv7-unknown-linux-gnueabihf ;;
    esac
}

# The root, with the cross-compilers of all architectures asked for. Of the standard libraries for ARM only the libraries
# are unpacked: their packages want LLVM for ARM, which the compiler has for this machine.
make_build_root() {
    local arch known=$MACHINE packages=("${HERE[@]}") hooks=()
    for arch in "${ARCHITECTURES[@]}"; do
        [ "$arch" != "$MACHINE" ] || continue
        known+=,$arch
        packages+=("libc6-dev:$arch" "libgcc-s1:$arch")
        case $arch in
            arm64) packages+=(gcc-aarch64-linux-gnu) ;;
            armhf) packages+=(gcc-arm-linux-gnueabihf) ;;
        esac
        hooks+=("--customize-hook=chroot \"\$1\" sh -euc 'cd /tmp && apt-get download -q libstd-rust-web-dev:$arch && dpkg-deb -x libstd-rust-web-dev_*_$arch.deb / && rm libstd-rust-web-dev_*'")
    done
    make_root build "$known" "$(IFS=, && echo "${packages[*]}")" --variant=apt "${hooks[@]}"
}

# Made here and not in the root: with the features of the whole workspace, the tests' build has made most of the program.
make_manual() {
    local date=$1 folder=$ROOT_FOLDER/build/manual
    rm -rf "$folder"
    quietly "$LOGS/package.log" cargo build --locked --workspace --example manual
    "$TARGET/debug/examples/manual" "$folder" "$date"
}

# Which libraries are in each build: the licences want it told.
list_libraries() {
    local arch
    for arch in "${ARCHITECTURES[@]}"; do
        cargo metadata --locked --format-version 1 --filter-platform "$(rust_target "$arch")" 2>>"$LOGS/package.log" |
            /usr/bin/python3 scripts/third_party.py atecc608-pkcs11 atecc608-cli atecc608-sim >"$ROOT_FOLDER/build/third-party-$arch.txt"
    done
}

cd "$ROOT"
need_cargo
need_packages git python3
make_build_root
mkdir -p "$ROOT_FOLDER/build"
copy_sources_to "$ROOT_FOLDER/build/src"
mkdir -p "$ROOT_FOLDER/build/src/target/package"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
make_manual "$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)"
list_libraries
rm -rf "$ROOT_FOLDER/build/debian" "$TARGET/debian/rustc"
in_root "$ROOT_FOLDER" env SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" MAINTAINER="$MAINTAINER" SIMS="$SIMS" OPTIMISED=$OPTIMISED \
    bash /build/src/scripts/lib/package_in_root.sh "${ARCHITECTURES[@]}"
mkdir -p "$TARGET/debian"
cp "$ROOT_FOLDER"/build/debian/*.deb "$TARGET/debian/"
# What they were built with, for scripts/msrv.sh.
cp "$ROOT_FOLDER/build/rustc" "$TARGET/debian/"
heading 'The packages'
(cd "$TARGET/debian" && ls -l -- *.deb)
