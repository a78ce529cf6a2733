#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Build the Debian packages atecc608-pkcs11 and atecc608-sim, check them (lintian), and run what is in them.
#
#   scripts/package.sh [--test] [ARCH...]      amd64, arm64, armhf; all three if none is named
#   scripts/package.sh [--test] riscv64        for Debian 13, the first release that has it
#
#   --test   not optimised, and the simulated chip's package only for this machine's architecture: a quarter of the time.
#            Such packages are good enough to try their installation; they are large, and not for distribution
#
# They are built in a Debian root (mmdebstrap) under target/roots, with the compiler of the oldest release that they are
# for; only mmdebstrap is installed on this machine. The packages come to target/debian. Needs root; on another machine
# than amd64 only that machine's architecture is built.
#
# The same commit and the same MAINTAINER give the same packages (scripts/soak/reproducible.sh), while Debian's compiler is the same.
# Each package has a bill of materials (scripts/sbom.py), which is checked at the end (scripts/check_sbom.py).
#
# MAINTAINER='Name <address>' is responsible for the packages, if you distribute them.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/root.sh
. "$ROOT/scripts/lib/root.sh"

# shellcheck source=scripts/lib/architectures.sh
. "$ROOT/scripts/lib/architectures.sh"
# shellcheck source=scripts/lib/build_root.sh
. "$ROOT/scripts/lib/build_root.sh"

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
    choose "$arch"
    [ -z "$QEMU" ] || [ "$MACHINE" = amd64 ] || die "$arch: this machine is $MACHINE, and cross-builds are done on amd64"
done
[[ " ${ARCHITECTURES[*]} " != *' riscv64 '* ]] || [ ${#ARCHITECTURES[@]} = 1 ] ||
    die "riscv64 is built for Debian 13, the others for Debian 12: name it alone"

# Made here and not in the root: with the features of the whole workspace, the tests' build has made most of the program.
make_manual() {
    local date=$1 folder=$ROOT_FOLDER/build/manual
    rm -rf "$folder"
    quietly "$LOGS/package.log" cargo build --locked --workspace --example manual
    "$TARGET/debug/examples/manual" "$folder" "$date"
}

cd "$ROOT"
need_cargo
need_packages git python3
make_build_root "${ARCHITECTURES[@]}"
mkdir -p "$ROOT_FOLDER/build"
copy_sources_to "$ROOT_FOLDER/build/src"
mkdir -p "$ROOT_FOLDER/build/src/target/package"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
make_manual "$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)"
rm -rf "$ROOT_FOLDER/build/debian" "$TARGET/debian/rustc"
in_root "$ROOT_FOLDER" env SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" MAINTAINER="$MAINTAINER" SIMS="$SIMS" OPTIMISED=$OPTIMISED \
    bash /build/src/scripts/lib/package_in_root.sh "${ARCHITECTURES[@]}"
mkdir -p "$TARGET/debian"
cp "$ROOT_FOLDER"/build/debian/*.deb "$TARGET/debian/"
# The compiler's version, for scripts/msrv.sh.
cp "$ROOT_FOLDER/build/rustc" "$TARGET/debian/"
heading 'Software bills of materials'
need_python_venv sbom scripts/requirements-sbom.txt
"$VENV/bin/python" scripts/check_sbom.py Cargo.lock "$ROOT_FOLDER"/build/debian/*.deb
heading 'The packages'
(cd "$TARGET/debian" && ls -l -- *.deb)
