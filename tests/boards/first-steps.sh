#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The first steps of a board's user, with Debian's own programs, as root on a board with the package installed: a chip
# is found on a USB adapter (simulated by atecc608-sim), provisioned, and generates a key; OpenSSL checks requests and
# signatures.

set -euo pipefail

say() { printf '\nboard: %s, %s s after the start\n' "$1" "$(cut -d ' ' -f 1 /proc/uptime)"; }

say "$(uname -srm)"
cd "$(mktemp -d)"
atecc608-sim usbip --state chip.eeprom >sim.log 2>&1 &
adapter=$!
trap 'kill $adapter' EXIT
until NODE=$(grep -o -m 1 '/dev/i2c-[0-9]*' sim.log); do
    kill -0 $adapter || { cat sim.log && exit 1; }
    sleep 0.5
done
say "the node is $NODE"
mkdir -p state
printf 'state_dir = "%s/state"\n[[token]]\nbus = "%s"\nlabel = "board"\n' "$PWD" "$NODE" >config.toml
export ATECC608_PKCS11_CONF=$PWD/config.toml
MODULE=$(echo /usr/lib/*/pkcs11/libatecc608_pkcs11.so)
KEY='pkcs11:token=board;object=dev-key;type=private'

atecc608 scan
atecc608 provision tls --lock-forever --unproven
say 'provisioned'
pkcs11-tool --module "$MODULE" --keypairgen --key-type EC:prime256v1 --label dev-key --id 01
pkcs11-tool --module "$MODULE" --list-objects
say 'a key'
printf 'a message\n' >message
pkcs11-tool --module "$MODULE" --sign -m ECDSA-SHA256 --id 01 --signature-format openssl -i message -o signature
pkcs11-tool --module "$MODULE" --read-object --type pubkey --id 01 -o public.der
openssl dgst -sha256 -verify public.der -keyform DER -signature signature message
cat >engine.cnf <<END
openssl_conf = openssl_init
[openssl_init]
engines = engine_section
[engine_section]
pkcs11 = pkcs11_section
[pkcs11_section]
engine_id = pkcs11
MODULE_PATH = $MODULE
init = 0
[req]
distinguished_name = dn
[dn]
END
OPENSSL_CONF=engine.cnf openssl req -new -engine pkcs11 -keyform engine -key "$KEY" -subj /CN=board -out board.csr
openssl req -in board.csr -noout -verify -subject
say 'a request'
p11tool --provider "$MODULE" --list-all 'pkcs11:token=board'
p11tool --provider "$MODULE" --test-sign "$KEY"
say 'the end'
