# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Sets up a machine for a reader of the pages. RELEASE is the folder of what cargo built, SOURCE the repository.

# put_files MACHINE: the most important files of the package at their places, where the package itself was not built.
put_files() {
    local machine=$1 libraries
    libraries=$machine/usr/lib/$(gcc -print-multiarch)
    chroot "$machine" groupadd --force --system atecc608
    install -D -m 644 -t "$libraries/pkcs11" "$RELEASE/libatecc608_pkcs11.so"
    install -m 755 -t "$machine/usr/bin" "$RELEASE/atecc608"
    install -D -m 644 -t "$machine/etc/atecc608-pkcs11" "$SOURCE/conf/config.toml" "$SOURCE/conf/openssl-pkcs11.cnf"
    install -D -m 644 -t "$machine/usr/lib/systemd/system" "$SOURCE"/conf/systemd/*
    install -D -m 644 -t "$machine/usr/share/p11-kit/modules" "$SOURCE/conf/atecc608.module"
    sed -i "s|^pkcs11-module-path.*|pkcs11-module-path = ${libraries#"$machine"}/pkcs11/libatecc608_pkcs11.so|" \
        "$machine/etc/atecc608-pkcs11/openssl-pkcs11.cnf"
    chroot "$machine" install -d -m 3770 -o root -g atecc608 /var/lib/atecc608-pkcs11
    chroot "$machine" install -d -m 2750 -o root -g atecc608 /etc/atecc608-pkcs11/keys
}

# make_reader MACHINE: the user "reader", with no password, but not locked, so that SSH accepts keys; and an apt without
# questions.
make_reader() {
    local machine=$1
    chroot "$machine" useradd --create-home --shell /bin/bash --groups atecc608 --password '*' reader
    echo 'reader ALL=(ALL) NOPASSWD: ALL' >"$machine/etc/sudoers.d/reader"
    echo 'APT::Get::Assume-Yes "true";' >"$machine/etc/apt/apt.conf.d/99reader"
    # The packages of the pages are installed already, and there is no network: apt must not look for newer versions.
    find "$machine/var/lib/apt/lists" -type f -delete
}
