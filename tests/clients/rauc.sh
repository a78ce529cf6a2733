#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# RAUC: update bundles that are signed with the key in the chip.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages rauc squashfs-tools libengine-pkcs11-openssl
fresh_token rauc
software_ca
device_certificate
run 'export RAUC_PKCS11_MODULE=$MODULE KEY="pkcs11:token=gateway;object=dev-key;type=private"'
run 'mkdir content; head -c 100000 /dev/urandom > content/rootfs.img'

for format in plain verity; do
    heading "Bundle format $format"
    write_file content/manifest.raucm <<END
[update]
compatible=board
version=1

[bundle]
format=$format

[image.rootfs]
filename=rootfs.img
END
    run_in_chip Sign "rauc bundle --cert=device.pem --key=\"\$KEY\" --keyring=ca.pem content $format.raucb"
    run "RAUC_PKCS11_MODULE= rauc --keyring=ca.pem info $format.raucb | grep -F 'CN = device-001'"
    run_refused 'signature verification failed' "rauc --keyring=server.pem info $format.raucb"
done

heading 'Changed bundle: refused'
# One byte of what is signed.
run 'cp plain.raucb changed.raucb; printf x | dd of=changed.raucb bs=1 seek=2000 conv=notrunc status=none; not cmp -s plain.raucb changed.raucb'
run_refused 'signature verification failed' 'rauc --keyring=ca.pem info changed.raucb'
