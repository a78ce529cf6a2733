#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The tests of the C interface where a CK_ULONG has 32 bits, as on every 32-bit gateway: built for i686, and run here.
#
# The standard library for i686 is rustup's, or Debian's of the very version of its rustc, unpacked under target/i686
# and not installed. If neither is available, or the machine can't run i686 programs (arm64), a line "not tested" says
# so; scripts/test.sh shows it.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

I686=i686-unknown-linux-gnu
# The tests that depend on the width: structures, lengths, templates, handles; and the C programs. Not those of the
# chip, other processes, times and power.
TESTS=(arguments attribute_tables attributes cipher derive dual features general generate header hostile import kdf messages
    objects pin secret_keys sessions sign token vectors wrap)

case $(uname -m) in
    x86_64 | i?86) ;;
    *) note "not tested: $(uname -m) can't run programs for i686" && exit 0 ;;
esac
need_cargo
need_packages gcc libc6-dev gcc-multilib libp11-kit-dev
export CARGO_TARGET_DIR=$TARGET/i686

# The file of the standard library that a target's folder must have.
has_std() { compgen -G "$1/lib/rustlib/$I686/lib/libstd-*.rlib" >/dev/null; }

# Debian's standard library for i386, of the version of its rustc: found by apt with i386 as another architecture, in folders
# of its own, so that nothing on the machine changes.
unpack_debian_std() {
    local apt=$CARGO_TARGET_DIR/apt suffix version options archive
    suffix=
    ! installed rustc-web || suffix=-web
    version=$(dpkg-query -W -f '${Version}' "libstd-rust$suffix-dev") || return 1
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    options=(-q -o APT::Architectures=amd64 -o APT::Architectures::=i386 -o "Dir::State::lists=$apt/lists"
        -o "Dir::Cache=$apt/cache")
    quietly "$INSTALL_LOG" apt-get "${options[@]}" update || true
    (cd "$apt" && quietly "$INSTALL_LOG" apt-get "${options[@]}" download "libstd-rust$suffix-dev:i386=$version") || return 1
    rm -rf "$CARGO_TARGET_DIR/std"
    for archive in "$apt"/libstd-rust*_i386.deb; do
        dpkg-deb -x "$archive" "$CARGO_TARGET_DIR/std"
    done
    has_std "$CARGO_TARGET_DIR/std/usr" || return 1
    # With --target, cargo gives these to what is built for the target only; build scripts keep the host's.
    export RUSTFLAGS="--sysroot $CARGO_TARGET_DIR/std/usr"
}

if has_std "$(rustc --print sysroot)"; then
    note "i686: the standard library is in $(rustc --print sysroot)"
elif command -v rustup >/dev/null; then
    quietly "$INSTALL_LOG" rustup target add "$I686" || die "rustup has no $I686"
    note "i686: the standard library is rustup's"
elif unpack_debian_std; then
    note "i686: the standard library is Debian's libstd-rust for i386, unpacked in $CARGO_TARGET_DIR/std"
else
    note "not tested: no standard library for i686, neither rustup's nor a Debian package for $(rustc --version)"
    exit 0
fi

cd "$ROOT"
run "scripts/test_programs.py --only $(IFS=, && echo "${TESTS[*]}") --locked --target $I686 \
    -p atecc608-pkcs11 --lib --test abi"
# The tool, whose numbers have 32 bits there, too.
run "cargo check --locked --target $I686 -p atecc608-cli"
# The state format, whose tests are beside it.
run "cargo test --locked --target $I686 -p atecc608-token --lib"
