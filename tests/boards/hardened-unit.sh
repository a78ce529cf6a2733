#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The service with few rights that the package has as an example, as root on a machine with systemd, udev and the
# package: it signs with a key of the chip. Without access to I2C adapters it fails, which proves that the restrictions
# are in force.

set -euo pipefail
UNIT=atecc608-client.service

say() { printf '\nboard: %s, %s s after the start\n' "$1" "$(cut -d ' ' -f 1 /proc/uptime)"; }
fail() {
    printf 'board: %s\n' "$1" >&2
    journalctl --no-pager --unit $UNIT | tail -n 30
    exit 1
}

say "$(systemctl --version | head -n 1), $(uname -sr)"
cd "$(mktemp -d)"
# plug NODE: an adapter with a chip, whose node must be this one.
plug() {
    local log=${1##*/}.log
    atecc608-sim usbip --state "${1##*/}.eeprom" >"$log" 2>&1 &
    until grep -qx "$1" "$log"; do
        kill -0 $! || fail "no adapter: $(cat "$log")"
        sleep 0.5
    done
}
# Another bus first: the package's configuration and its udev rule name /dev/i2c-1.
plug /dev/i2c-0
plug /dev/i2c-1
udevadm settle
say 'the udev rule of the package'
getfacl -cp /dev/i2c-1 | grep -x 'group:atecc608:rw-' || fail 'the group has no right to /dev/i2c-1'

sed -i 's|^label = .*|label = "gateway"|' /etc/atecc608-pkcs11/config.toml
atecc608 provision tls --lock-forever --unproven | tail -n 3
atecc608 key generate --label dev-key
say 'a key'

cp /usr/share/doc/atecc608-pkcs11/examples/$UNIT /etc/systemd/system/
systemctl daemon-reload
systemctl start $UNIT || fail 'the service failed'
journalctl --no-pager --unit $UNIT | tee service.log
grep -q 'Verifying against public key in the token... ok' service.log || fail 'the service did not sign'
systemctl show $UNIT --property=DynamicUser,DevicePolicy,DeviceAllow,Result

say 'without the right to I2C adapters'
mkdir -p /etc/systemd/system/$UNIT.d
printf '[Service]\nDeviceAllow=\n' >/etc/systemd/system/$UNIT.d/closed.conf
systemctl daemon-reload
! systemctl start $UNIT || fail 'the service opened the bus, and should not have'
journalctl --no-pager --unit $UNIT | grep 'in a systemd unit write DeviceAllow=char-i2c rw' || fail 'the refusal is not in the journal'
say 'the end'
