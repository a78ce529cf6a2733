#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# TLS 1.3 with `default_properties = ?provider=pkcs11`: pkcs11-provider goes before OpenSSL's own provider wherever the token can do the
# work (docs/openssl.md). Its HKDF, its checks of signatures, and with newer providers its ciphers, too, then go through the module.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

# Of 1.0 X25519 is OpenSSL's. Newer ones ask the token for it, whatever the token lists, so that only P-256 is left: a slot each.
PROVIDER=$(dpkg-query -W -f '${Version}' pkcs11-provider)
NEWER=no
! dpkg --compare-versions "$PROVIDER" ge 1.1 || NEWER=yes
SUITES=(TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256)
GROUPS_OF_TLS=X25519
[ $NEWER = no ] || GROUPS_OF_TLS=P-256
PORT='' URI=''

served_chip provider-first
software_ca
write_file first.cnf <<END
.include $ROOT/conf/openssl-pkcs11.cnf
[openssl_init]
alg_section = algorithms
ssl_conf = tls
[algorithms]
default_properties = ?provider=pkcs11
[tls]
system_default = tls_default
[tls_default]
Groups = $GROUPS_OF_TLS
[pkcs11_sect]
pkcs11-module-block-operations = digest cipher
pkcs11-module-token-pin = file:$WORK/pin
END
run 'printf "correct horse" > pin'
run 'export PKCS11_PROVIDER_MODULE=$MODULE'

# key_and_certificate URI: the key of what follows, and device.pem for it, as client and as server.
key_and_certificate() {
    URI=$1
    run "OPENSSL_CONF=$ROOT/conf/openssl-pkcs11.cnf openssl req -new -key '$URI' -subj /CN=localhost -out device.csr"
    run 'openssl x509 -req -in device.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile server.ext -out device.pem'
}

# client_line SUITE: the client has the key in the chip, and whatever else the token can do, the module does for it.
client_line() {
    printf '%s' "printf 'hello\nCLOSE\n' | ATECC608_LOG=debug:calls.log OPENSSL_CONF=first.cnf openssl s_client -connect localhost:$PORT" \
        " -CAfile ca.pem -verify_return_error -cert device.pem -key '$URI' -tls1_3 -ciphersuites $1 -brief -ign_eof > client.txt 2>&1" \
        ' || { cat client.txt; false; }'
}

# A server with a software key, which asks for the client's certificate.
software_server() {
    PORT=$(free_port)
    start_server software.log "openssl s_server -accept 127.0.0.1:$PORT -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -groups $GROUPS_OF_TLS -brief -rev"
    wait_for 's_server' software.log listening "$PORT"
}

# server_side SUITE: the server has the key in the chip.
server_side() {
    PORT=$(free_port)
    start_server s_server.log "env OPENSSL_CONF=first.cnf openssl s_server -accept 127.0.0.1:$PORT -cert device.pem -key '$URI' -tls1_3 -ciphersuites $1 -brief -rev"
    wait_for 's_server' s_server.log listening "$PORT"
    run_in_chip Sign "printf 'hello\nCLOSE\n' | openssl s_client -connect localhost:$PORT -CAfile ca.pem -verify_return_error -groups $GROUPS_OF_TLS -brief -ign_eof > server.txt 2>&1 || { cat server.txt; false; }"
    run "grep olleh server.txt && grep -x 'Ciphersuite: $1' server.txt"
    stop_last_server
    after_handshake
}

# A newer provider's handshake leaves a key in the chip.
after_handshake() {
    [ $NEWER = yes ] || return 0
    local slot
    for slot in 2 3 4; do
        atecc608 key destroy --slot $slot --yes --pin-file pin >/dev/null 2>&1 || true
    done
}

heading 'Token with a PIN: full handshake as client and as server'
run 'atecc608 provision tls-pin --lock-forever --pin-file pin --recovery-code-file code'
run 'pkcs11-tool --module $MODULE --token-label gateway --login --pin "$(cat pin)" --keypairgen --key-type EC:prime256v1 --id 01 --label dev-key'
key_and_certificate "pkcs11:token=gateway;object=dev-key;type=private?pin-source=file:$WORK/pin"
software_server
for suite in "${SUITES[@]}"; do
    run_in_chip Sign "$(client_line "$suite")"
    run "grep olleh client.txt && grep -x 'Ciphersuite: $suite' client.txt"
    after_handshake
done
# The secrets of TLS, and the peer's signatures.
run 'test "$(grep -c "C_DeriveKey: CKR_OK" calls.log)" -ge 30 && grep -q "C_VerifyFinal: CKR_OK" calls.log'
run 'not grep -E "C_(DeriveKey|CreateObject|Verify[a-zA-Z]*): CKR_[^O]" calls.log'
stop_last_server
for suite in "${SUITES[@]}"; do
    server_side "$suite"
done
run 'test "$(atecc608 key list | grep -c " id ")" = 1'

heading 'The provider generates ephemeral P-256 keys on the token'
run_in_chip GenKey "OPENSSL_CONF=first.cnf openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ephemeral.pem"
run 'test "$(atecc608 key list | grep -c " id ")" = 2'

heading 'Token without a PIN: server that requests no certificate'
stop_last_server
run 'rm -r chip.eeprom chip.sock state/* && sed -i /token-pin/d first.cnf'
start_server sim.log 'atecc608-sim serve --socket chip.sock --state chip.eeprom --timing fast'
wait_for 'the simulated chip' sim.log test -S chip.sock
run 'atecc608 provision tls --lock-forever'
run 'pkcs11-tool --module $MODULE --token-label gateway --keypairgen --key-type EC:prime256v1 --id 01 --label dev-key'
key_and_certificate 'pkcs11:token=gateway;object=dev-key;type=private'
for suite in "${SUITES[@]}"; do
    server_side "$suite"
done
software_server
# To check a signature the provider uses the first slot with CKF_LOGIN_REQUIRED, or none.
run_refused 'certificate signature failure' "$(client_line TLS_AES_128_GCM_SHA256)"
