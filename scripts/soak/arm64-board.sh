#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A whole arm64 machine, emulated: Debian 12's kernel and programs, the packages, a USB adapter with the simulated chip
# behind it, and on it the first steps of a board's user (tests/boards/first-steps.sh). Needs root.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=scripts/lib/root.sh
. "$ROOT/scripts/lib/root.sh"
# shellcheck source=scripts/lib/at_once.sh
. "$ROOT/scripts/lib/at_once.sh"
# shellcheck source=scripts/lib/guest.sh
. "$ROOT/scripts/lib/guest.sh"

# Seconds for the guest, from its start to its end.
LIMIT=1800
PACKAGES=(bash busybox-static coreutils dash gnutls-bin grep libengine-pkcs11-openssl linux-image-arm64 opensc openssl)

heading 'The packages for arm64'
"$ROOT/scripts/package.sh" arm64

heading 'The root file system'
# Only unpacked: no program of it can run here.
make_root board-arm64 arm64 "$(IFS=, && echo "${PACKAGES[*]}")" --variant=extract
package() { find "$TARGET/debian" -name "$1_*_arm64.deb" | sort -V | tail -n 1; }
dpkg-deb -x "$(package atecc608-pkcs11)" "$ROOT_FOLDER"
# The module and the tool are the gateway's own builds.
dpkg-deb --fsys-tarfile "$(package atecc608-sim)" | tar -x -C "$ROOT_FOLDER" ./usr/bin/atecc608-sim
install -D -m 755 -t "$ROOT_FOLDER/usr/local/bin" "$ROOT/tests/boards/first-steps.sh"
printf 'root:x:0:0:root:/root:/bin/bash\n' >"$ROOT_FOLDER/etc/passwd"
printf 'root:x:0:\n' >"$ROOT_FOLDER/etc/group"

heading 'The guest'
# guest.sh reads them.
# shellcheck disable=SC2034
GUEST_ARCH=arm64 GUEST_ROOT=$ROOT_FOLDER
prepare_guest
boot_guest $LIMIT first-steps.sh
