# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# The Debian root in which packages are built, and tests for other architectures. After scripts/lib/root.sh and
# scripts/lib/architectures.sh:
#
#     make_build_root ARCH...      sets ROOT_FOLDER

# The packages that build, run and try programs.
HERE=(ca-certificates gcc libc6-dev libp11-kit-dev lintian opensc openssl python3 qemu-user xz-utils)

# With the cross-compilers of the architectures. Of Rust's standard library for another one only the libraries are
# unpacked: its package depends on LLVM for that one, which the compiler has for this machine. pkcs11-tool for another
# one is unpacked beside the machine's own, in /opt/ARCH: only one can be installed.
make_build_root() {
    local arch name=build rust=-web known packages hooks=()
    known=$(dpkg --print-architecture)
    packages=("${HERE[@]}")
    # Debian 13 is the first release that has riscv64. In Debian 12, Rust of the version that Cargo.toml promises is called -web.
    if [[ " $* " == *' riscv64 '* ]]; then
        SUITE=trixie name=build-trixie rust=
    fi
    for arch in "$@"; do
        choose "$arch"
        [ -n "$QEMU" ] || continue
        known+=,$arch
        packages+=("gcc-$TRIPLET" "libc6-dev:$arch" "libgcc-s1:$arch" "opensc-pkcs11:$arch")
        hooks+=("--customize-hook=chroot \"\$1\" sh -euc 'cd /tmp && apt-get download -q libstd-rust$rust-dev:$arch opensc:$arch \
            && dpkg-deb -x libstd-rust*_$arch.deb / && dpkg-deb -x opensc_*_$arch.deb /opt/$arch && rm ./*_$arch.deb'")
    done
    packages+=("cargo$rust" "rustc$rust")
    make_root "$name" "$known" "$(IFS=, && echo "${packages[*]}")" --variant=apt "${hooks[@]}"
}
