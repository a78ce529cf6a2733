#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A Trust&GO chip as it is sold, with nothing but its bus and address in the configuration: stock software lists its
# certificates, verifies them up to the root, and makes TLS connections with its key and chain, on either side.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

heading 'Trust&GO chip as sold'
served_chip trust-and-go tngtls 'address = 0x35'
run 'atecc608-sim root > known-root.pem'
run "export P11=$ROOT/conf/openssl-pkcs11.cnf"
run 'export PKCS11_PROVIDER_MODULE=$MODULE'

heading 'Objects listed by each client'
run 'p11tool --provider $MODULE --list-all pkcs11:model=ATECC608-SIM > p11tool.txt'
run 'grep -E "Label|Type" p11tool.txt'
run '[ "$(grep -c "Type: X.509 Certificate" p11tool.txt)" = 3 ]'
run 'pkcs11-tool --module $MODULE --list-objects > pkcs11-tool.txt'
run '[ "$(grep -c "^Certificate Object" pkcs11-tool.txt)" = 3 ]'
run 'OPENSSL_CONF=$P11 openssl storeutl -noout -text pkcs11:model=ATECC608-SIM > store.txt'
run '[ "$(grep -c "^[0-9]*: Certificate" store.txt)" = 3 ]'
run 'grep -E "Subject:|eui48" store.txt'

heading 'Certificate chain, verified by openssl up to the known root'
for name in device signer root; do
    run "OPENSSL_CONF=\$P11 openssl x509 -in 'pkcs11:object=$name;type=cert' -out $name.pem"
done
run 'cmp root.pem known-root.pem'
run 'openssl verify -CAfile known-root.pem -untrusted signer.pem device.pem'
# GnuTLS follows only issuers with CKA_TRUSTED=true, which the module never sets: p11tool's chain is the device's
# certificate only.
run 'p11tool --provider $MODULE --export-chain "pkcs11:object=device;type=cert" --outfile exported.pem'
run '[ "$(grep -c BEGIN exported.pem)" = 1 ] && openssl x509 -in exported.pem | cmp - device.pem'
run 'for name in device signer root; do p11tool --provider $MODULE --export "pkcs11:object=$name;type=cert" --outfile one.pem; openssl x509 -in one.pem | cmp - $name.pem; done'
run 'cat device.pem signer.pem > chain.pem'
run 'export KEY="pkcs11:object=device;type=private"'
run 'OPENSSL_CONF=$P11 openssl pkey -in "$KEY" -pubout -out key.pem'
run 'openssl x509 -in device.pem -noout -pubkey | cmp - key.pem'

heading 'The certificates cannot be deleted'
run_refused 'CKA_DESTROYABLE of the object is false' 'pkcs11-tool --module $MODULE --delete-object --type cert --label signer'

software_ca
heading 'TLS client with the key and its chain: openssl'
port=$(free_port)
start_server s_server.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile known-root.pem -Verify 3 -verify_return_error -brief -rev"
wait_for 's_server' s_server.log listening "$port"
for version in tls1_2 tls1_3; do
    run_in_chip Sign "printf 'hello\nCLOSE\n' | OPENSSL_CONF=\$P11 openssl s_client -connect localhost:$port -CAfile ca.pem -verify_return_error -$version -cert device.pem -cert_chain signer.pem -key \"\$KEY\" -brief -ign_eof > $version.txt 2>&1"
    run "grep olleh $version.txt"
done
run 'grep -E "Peer certificate: .*CN *= *sn0123" s_server.log'

heading 'TLS client with the key and its chain: gnutls'
for version in 1.2 1.3; do
    # gnutls-cli ends with its input: it is kept open until the answer has come.
    run_in_chip Sign "{ printf 'hello\n'; sleep 1; } | gnutls-cli --provider \$MODULE --priority NORMAL:-VERS-ALL:+VERS-TLS$version --x509cafile ca.pem --x509certfile chain.pem --x509keyfile \"\$KEY\" -p $port localhost > cli-$version.txt 2>&1"
    run "grep olleh cli-$version.txt"
done

heading 'TLS server with the key and its chain'
port=$(free_port)
start_server trust_server.log "env OPENSSL_CONF=$P11 openssl s_server -accept 127.0.0.1:$port -cert device.pem -cert_chain signer.pem -key '$KEY' -brief -rev"
wait_for 's_server' trust_server.log listening "$port"
run_in_chip Sign "printf 'hello\nCLOSE\n' | openssl s_client -connect localhost:$port -CAfile known-root.pem -verify_return_error -brief -ign_eof > server-side.txt 2>&1"
run 'grep "Verification: OK" server-side.txt && grep olleh server-side.txt'

heading 'Behind an I2C node: the serial number identifies a simulated chip'
need_packages gcc libc6-dev
run 'cc -std=gnu11 -O2 -Wall -Wextra -Werror -shared -fPIC -o i2c_shim.so $ROOT/tests/vendor/i2c_shim.c -ldl'
# behind_a_node NAME SOCKET: what pkcs11-tool lists in NAME.txt, the log in NAME.log.
behind_a_node() {
    run "sed 's|unix:.*sock|/dev/i2c-20|; s|/state|/$1-state|' config.toml > $1.toml && mkdir $1-state"
    run "ATECC608_PKCS11_CONF=\$WORK/$1.toml I2C_SHIM=20=$2 LD_PRELOAD=./i2c_shim.so pkcs11-tool --module \$MODULE --list-objects > $1.txt 2> $1.log"
    run "[ \"\$(grep -c '^Private Key Object' $1.txt)\" = 4 ]"
}
behind_a_node node chip.sock
run '[ "$(grep -c "^Certificate Object" node.txt)" = 3 ] && grep "is simulated" node.log'

heading 'Serial number of a real chip: the simulated certificates are not shown'
write_file renumber.py <<'END'
import hashlib

with open("chip.eeprom", "rb") as file:
    image = bytearray(file.read())
# SN[2] in the configuration zone; the checksum at the end.
image[16 + 2] ^= 1
image[1416:] = hashlib.sha256(image[:1416]).digest()
with open("real.eeprom", "wb") as file:
    file.write(image)
END
run '/usr/bin/python3 renumber.py'
start_server real.log 'atecc608-sim serve --socket real.sock --state real.eeprom --timing fast'
wait_for 'the simulated chip' real.log test -S real.sock
behind_a_node real real.sock
run '[ "$(grep -c "^Certificate Object" real.txt)" = 0 ] && ! grep "is simulated" real.log'
run 'grep "the signer.s certificate is not shown" real.log'
