# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# The names of the packages' architectures in Rust, gcc and QEMU.

# choose ARCH: sets RUST_TARGET, TRIPLET and QEMU for a Debian architecture. QEMU is empty for the machine's own.
# The sourcing scripts use them.
# shellcheck disable=SC2034
choose() {
    case $1 in
        amd64) RUST_TARGET=x86_64-unknown-linux-gnu TRIPLET=x86_64-linux-gnu QEMU=qemu-x86_64 ;;
        arm64) RUST_TARGET=aarch64-unknown-linux-gnu TRIPLET=aarch64-linux-gnu QEMU=qemu-aarch64 ;;
        armhf) RUST_TARGET=armv7-unknown-linux-gnueabihf TRIPLET=arm-linux-gnueabihf QEMU=qemu-arm ;;
        riscv64) RUST_TARGET=riscv64gc-unknown-linux-gnu TRIPLET=riscv64-linux-gnu QEMU=qemu-riscv64 ;;
        *) die "$1: the architectures are amd64, arm64, armhf and riscv64" ;;
    esac
    [ "$1" != "$(dpkg --print-architecture)" ] || QEMU=
}

# cross_link: makes cargo link for the chosen architecture with that one's gcc.
cross_link() {
    local variable
    [ -n "$QEMU" ] || return 0
    variable=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$RUST_TARGET")_LINKER
    export "$variable=$TRIPLET-gcc"
}
