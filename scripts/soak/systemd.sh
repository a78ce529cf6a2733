#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A Debian 12 machine with systemd and udev, emulated, with the package installed: the service with few rights of
# conf/examples, on a USB adapter with the simulated chip behind it (tests/boards/hardened-unit.sh). Needs root.

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

heading 'The packages for amd64'
"$ROOT/scripts/package.sh" amd64

heading 'The root file system'
make_root board-systemd amd64 acl,adduser,dbus,gnutls-bin,systemd-sysv,udev --variant=minbase
package() { find "$TARGET/debian" -name "$1_*_amd64.deb" | sort -V | tail -n 1; }
cp "$(package atecc608-pkcs11)" "$ROOT_FOLDER/run/package.deb"
in_root "$ROOT_FOLDER" dpkg --install /run/package.deb
rm "$ROOT_FOLDER/run/package.deb"
# The module and the tool are the gateway's own builds.
dpkg-deb --fsys-tarfile "$(package atecc608-sim)" | tar -x -C "$ROOT_FOLDER" ./usr/bin/atecc608-sim
install -D -m 755 -t "$ROOT_FOLDER/usr/local/bin" "$ROOT/tests/boards/hardened-unit.sh"
cat >"$ROOT_FOLDER/etc/systemd/system/guest.service" <<'END'
[Unit]
Description=What the guest is for
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/bin/bash /run/guest
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
END
mkdir -p "$ROOT_FOLDER/etc/systemd/system/default.target.wants"
ln -sf ../guest.service "$ROOT_FOLDER/etc/systemd/system/default.target.wants/guest.service"

heading 'The guest'
# guest.sh reads them.
# shellcheck disable=SC2034
GUEST_ROOT=$ROOT_FOLDER GUEST_INIT=/lib/systemd/systemd
prepare_guest
boot_guest $LIMIT hardened-unit.sh
