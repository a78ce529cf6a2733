#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The part of scripts/package.sh that runs inside the Debian root: builds, packs, checks, runs and uses the packages for the
# architectures named; the simulated chip's for those in SIMS; OPTIMISED is yes or no. The sources are in /build/src, the
# packages come to /build/debian.

set -euo pipefail
cd /build/src
# shellcheck source=scripts/lib/show.sh
. scripts/lib/show.sh
# shellcheck source=scripts/lib/servers.sh
. scripts/lib/servers.sh
# shellcheck source=scripts/lib/architectures.sh
. scripts/lib/architectures.sh
# shellcheck source=scripts/lib/stage.sh
. scripts/lib/stage.sh

# The newest that builds with Rust 1.85: 3.7.0 and 3.8.0 claim to, but do not.
CARGO_DEB=3.6.4
MACHINE=$(dpkg --print-architecture)
MANUAL=/build/manual
DEBIAN=/build/debian
# Built for a gateway; the simulator's package has atecc608-sim, too.
GATEWAY=(atecc608-pkcs11 atecc608-cli)
DATE=$(date -u -R -d "@$SOURCE_DATE_EPOCH")
if [ "$OPTIMISED" = no ]; then
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
fi
LOG=/build/package.log
export CARGO_TARGET_DIR=/build/target-$OPTIMISED
rm -rf /build/*.log /build/built

# Is the simulated chip packed for this architecture?
# shellcheck disable=SC2153  # scripts/package.sh sets it
with_sim() { [[ " $SIMS " == *" $1 "* ]]; }

# cargo-deb, in the root since it is linked with the root's libraries. It packs a few megabytes, so it is built without
# optimisation. Without its own xz it calls the one of xz-utils.
install_cargo_deb() {
    [ "$(/build/tools/bin/cargo-deb --version 2>/dev/null)" != "cargo-deb $CARGO_DEB" ] || return 0
    note "installing cargo-deb $CARGO_DEB"
    quietly "$LOG" env -u RUSTFLAGS CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo install --locked --no-default-features --root /build/tools \
        --target-dir /build/tools/target "cargo-deb@$CARGO_DEB"
    rm -rf /build/tools/target
}

# No path of the build in the packages, nor the name that cargo gives the folder of the registry: it depends on cargo's version, and
# on the mirror that the machine uses.
leave_out_paths() {
    local folder
    choose "$MACHINE"
    quietly "$LOG" cargo fetch --locked --target "$RUST_TARGET"
    RUSTFLAGS=--remap-path-prefix=/build/src=.
    for folder in /cargo/registry/src/*; do
        RUSTFLAGS+=" --remap-path-prefix=$folder=crates"
    done
    export RUSTFLAGS
}

# build VARIANT 'ARCH...' [cargo's options]: the module and the programs into /build/built/ARCH/VARIANT. One cargo for all
# architectures: it builds once what runs while building, and links one while it compiles another.
build() {
    local variant=$1 architectures=$2 arch folder targets=()
    shift 2
    for arch in $architectures; do
        choose "$arch"
        cross_link
        targets+=(--target "$RUST_TARGET")
    done
    note "building ($variant): $architectures"
    quietly "$LOG" cargo build --release --locked "${targets[@]}" "$@"
    for arch in $architectures; do
        choose "$arch"
        folder=/build/built/$arch/$variant
        mkdir -p "$folder"
        find "$CARGO_TARGET_DIR/$RUST_TARGET/release" -maxdepth 1 \( -name atecc608 -o -name atecc608-sim -o -name '*.so' \) \
            -exec cp -t "$folder" {} +
    done
}

# pack [cargo deb's options]
pack() {
    quietly "$LOG" /build/tools/bin/cargo-deb deb --no-build --no-strip --locked --compress-system --target "$RUST_TARGET" \
        --maintainer "$MAINTAINER" --output "$DEBIAN/" "$@"
}

# The scripts that dpkg runs, with the architecture's folder in them.
stage_scripts() {
    local file
    mkdir -p "target/package/$1-scripts"
    for file in "conf/debian/$1"/*; do
        sed "s|@TRIPLET@|$TRIPLET|" "$file" >"target/package/$1-scripts/$(basename "$file")"
    done
}

# The linked libraries: the licences require the texts, and a search for advisories needs the list. `list_libraries
# PACKAGE TREE [build's options]`
list_libraries() {
    local name=$1 folder=$2/usr/share/doc/$1
    shift 2
    scripts/third_party.py --target "$RUST_TARGET" "$@" >/build/third-party.txt
    put_compressed /build/third-party.txt "$folder/third-party.txt"
    # Not compressed: the programs that read such files look for this name.
    scripts/sbom.py --package "$name" --architecture "$ARCH" --rust "$(rustc --version | cut -d ' ' -f 2)" \
        --target "$RUST_TARGET" "$@" >"$folder/sbom.cdx.json"
}

package() {
    ARCH=$1
    choose "$ARCH"
    rm -rf target/package
    stage_gateway target/package/gateway "$TRIPLET" "/build/built/$ARCH/gateway" "$MANUAL"
    list_libraries atecc608-pkcs11 target/package/gateway --no-default-features "${GATEWAY[@]}"
    stage_scripts gateway
    pack --variant gateway
    with_sim "$ARCH" || return 0
    stage_sim target/package/sim "$TRIPLET" "/build/built/$ARCH/sim" "$MANUAL"
    list_libraries atecc608-sim target/package/sim "${GATEWAY[@]}" atecc608-sim
    stage_scripts sim
    pack --variant sim
}

# The files of the packages, run: natively or under qemu-user. `run_packed PACKAGE`
run_packed() {
    local files=/build/unpacked/$ARCH-$1 compiler=gcc
    rm -rf "$files"
    mkdir -p "$files"
    dpkg-deb -x "$DEBIAN/$1"_*_"$ARCH".deb "$files"
    [ -z "$QEMU" ] || compiler=$TRIPLET-gcc
    "$compiler" -O1 -Wall -Wextra -Werror -I/usr/include/p11-kit-1 -o "/build/load_module-$ARCH" scripts/load_module.c -ldl
    run "$QEMU $files/usr/bin/atecc608 --version"
    run "$QEMU /build/load_module-$ARCH $files/usr/lib/$TRIPLET/pkcs11/libatecc608_pkcs11.so"
}

# on_board command...: run a program of ARCH on a machine that has a chip on /dev/i2c-1: tests/vendor/i2c_shim.c.
on_board() { if [ -n "$QEMU" ]; then "$QEMU" -E "LD_PRELOAD=$SHIM" "$@"; else LD_PRELOAD=$SHIM "$@"; fi; }

# The first steps of a board's user, with the files of the package and Debian's own pkcs11-tool, all of that
# architecture. The chip is this machine's simulator; OpenSSL of this machine checks the signature. The printed lines
# are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
use_packed() {
    local compiler=gcc
    export FILES=/build/unpacked/$ARCH-atecc608-pkcs11 ATECC608_PKCS11_CONF=board.toml SHIM=$WORK/i2c_shim-$ARCH.so
    export MODULE=$FILES/usr/lib/$TRIPLET/pkcs11/libatecc608_pkcs11.so PKCS11_TOOL=/usr/bin/pkcs11-tool
    [ -z "$QEMU" ] || compiler=$TRIPLET-gcc PKCS11_TOOL=/opt/$ARCH/usr/bin/pkcs11-tool
    "$compiler" -std=gnu11 -O2 -shared -fPIC -o "$SHIM" /build/src/tests/vendor/i2c_shim.c -ldl
    rm -rf /dev/i2c-1 /run/i2c-shim
    mknod -m 600 /dev/i2c-1 c 89 1 && mkdir /run/i2c-shim
    mkdir "$WORK/$ARCH" && cd "$WORK/$ARCH"
    mkdir -m 700 state
    printf 'state_dir = "%s"\n[[token]]\nbus = "/dev/i2c-1"\nlabel = "board"\n' "$PWD/state" >board.toml
    start_server sim.log "/build/built/$MACHINE/sim/atecc608-sim serve --socket /run/i2c-shim/1 --state chip.eeprom --timing fast"
    wait_for 'the simulated chip' sim.log test -S /run/i2c-shim/1
    run 'on_board $FILES/usr/bin/atecc608 provision tls --lock-forever --unproven | tail -n 3'
    run 'on_board $PKCS11_TOOL --module $MODULE --list-slots'
    run 'on_board $PKCS11_TOOL --module $MODULE --keypairgen --key-type EC:prime256v1 --label dev-key --id 01'
    run 'on_board $PKCS11_TOOL --module $MODULE --list-objects | tee objects.txt'
    [ "$(grep -c 'label: *dev-key' objects.txt)" = 2 ] || die 'pkcs11-tool does not list the key pair'
    run 'printf "a message\n" > message'
    run 'on_board $PKCS11_TOOL --module $MODULE --sign -m ECDSA-SHA256 --id 01 --signature-format openssl -i message -o signature'
    # OpenSC 0.23 reads no public key on 32-bit ARM (its issue 3200).
    run 'on_board $FILES/usr/bin/atecc608 key public --key dev-key > public.pem'
    run 'openssl dgst -sha256 -verify public.pem -signature signature message'
    stop_last_server
    unset ATECC608_PKCS11_CONF
    cd /build/src
}

# Every warning is an error; exceptions are in conf/debian/*.lintian-overrides, with the reason.
check() {
    run "lintian --allow-root --fail-on error,warning $DEBIAN/*_$ARCH.deb"
}

open_work_folder board '' no
heading 'Building'
rustc --version | tee /build/rustc
install_cargo_deb
sims=
for architecture in "$@"; do
    ! with_sim "$architecture" || sims+="$architecture "
done
leave_out_paths
build gateway "$*" "${GATEWAY[@]/#/--package=}" --no-default-features
# This machine's is also the chip of the trials.
[[ "$sims" == *"$MACHINE"* ]] || sims+=$MACHINE
build sim "$sims" "${GATEWAY[@]/#/--package=}" --package=atecc608-sim

mkdir -p "$DEBIAN"
for architecture in "$@"; do
    heading "$architecture"
    package "$architecture"
    check
    run_packed atecc608-pkcs11
    use_packed
    ! with_sim "$architecture" || run_packed atecc608-sim
done
