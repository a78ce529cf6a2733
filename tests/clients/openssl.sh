#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The openssl command through pkcs11-provider, with the configuration of conf/.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

fresh_token openssl
software_peer
software_ca
device_certificate
run "export P11=$ROOT/conf/openssl-pkcs11.cnf"
run 'export PKCS11_PROVIDER_MODULE=$MODULE'
run 'export KEY="pkcs11:token=gateway;object=dev-key;type=private"'
run 'export PUB="pkcs11:token=gateway;object=dev-key;type=public"'
run 'export CERT="pkcs11:token=gateway;object=dev-key;type=cert"'

heading 'Sign with each openssl command'
run_in_chip Sign 'OPENSSL_CONF=$P11 openssl dgst -sha256 -sign "$KEY" -out dgst.sig msg'
run 'openssl dgst -sha256 -verify dev-pub.pem -signature dgst.sig msg'
run_in_chip Sign 'OPENSSL_CONF=$P11 openssl dgst -sha384 -sign "$KEY" -out dgst384.sig msg'
run 'openssl dgst -sha384 -verify dev-pub.pem -signature dgst384.sig msg'
run_in_chip Sign 'OPENSSL_CONF=$P11 openssl pkeyutl -sign -inkey "$KEY" -in msg.sha -out pkeyutl.sig'
run 'openssl pkeyutl -verify -pubin -inkey dev-pub.pem -in msg.sha -sigfile pkeyutl.sig'
run_in_chip Sign 'OPENSSL_CONF=$P11 openssl pkeyutl -sign -inkey "$KEY" -rawin -digest sha256 -in msg -out rawin.sig'
run 'openssl dgst -sha256 -verify dev-pub.pem -signature rawin.sig msg'
run 'OPENSSL_CONF=$P11 openssl pkeyutl -verify -pubin -inkey "$PUB" -in msg.sha -sigfile pkeyutl.sig'

heading 'Read public objects'
run 'OPENSSL_CONF=$P11 openssl pkey -in "$PUB" -pubin -pubout -out pub1.pem'
run 'OPENSSL_CONF=$P11 openssl pkey -in "$KEY" -pubout -out pub2.pem'
run 'cmp pub1.pem dev-pub.pem && cmp pub2.pem dev-pub.pem'
run 'OPENSSL_CONF=$P11 openssl x509 -in "$CERT" -noout -subject | grep -E -x "subject=CN ?= ?device-001"'
run 'OPENSSL_CONF=$P11 openssl storeutl -noout -text "pkcs11:token=gateway" > store.txt'
# The key, its public key and the certificate.
run 'grep -E "^[0-9]+: |^Total" store.txt; [ "$(grep -c -E "^[0-9]+: " store.txt)" = 3 ]'

heading 'ECDH, both ends'
run_in_chip ECDH 'OPENSSL_CONF=$P11 openssl pkeyutl -derive -inkey "$KEY" -peerkey peer-pub.pem -out secret.chip'
run 'openssl pkeyutl -derive -inkey peer.key -peerkey dev-pub.pem -out secret.peer'
run 'cmp secret.chip secret.peer'

heading 'Certificates issued with the key in the chip; CMS signature'
run_in_chip Sign 'OPENSSL_CONF=$P11 openssl req -x509 -new -key "$KEY" -subj /CN=self -days 30 -addext basicConstraints=critical,CA:TRUE -out self.pem'
run 'openssl verify -CAfile self.pem self.pem'
run_in_chip Sign 'OPENSSL_CONF=$P11 openssl x509 -req -in server.csr -CA self.pem -CAkey "$KEY" -set_serial 7 -days 3 -out leaf.pem'
run 'openssl verify -CAfile self.pem leaf.pem'
run_in_chip Sign 'OPENSSL_CONF=$P11 openssl cms -sign -binary -in msg -signer device.pem -inkey "$KEY" -md sha256 -outform DER -out msg.p7s'
run 'openssl cms -verify -binary -inform DER -in msg.p7s -content msg -CAfile ca.pem -purpose any -out /dev/null'

heading 'CMS decryption: ECDH with the X9.63 key derivation function'
for digest in sha1 sha256 sha512; do
    run "openssl cms -encrypt -binary -in msg -aes-256-cbc -recip device.pem -keyopt ecdh_kdf_md:$digest -outform DER -out msg.$digest.p7m"
    run_in_chip ECDH "OPENSSL_CONF=\$P11 openssl cms -decrypt -binary -inform DER -in msg.$digest.p7m -recip device.pem -inkey \"\$KEY\" | cmp - msg"
done

# wrong_name SELECTOR: dev-key by names of which this one is not its own.
wrong_name() {
    local names=() name
    for name in token=gateway id=%01 object=dev-key; do
        [ "${name%%=*}" = "${1%%=*}" ] || names+=("$name")
    done
    (IFS=';' && printf '%s' "${names[*]};$1")
}

heading 'Other URIs of the key, with a second key on the token'
run 'pkcs11-tool --module $MODULE --token-label gateway --keypairgen --key-type EC:prime256v1 --id 02 --label other-key'
run 'SERIAL=$(p11tool --provider $MODULE --list-tokens | sed -n "s/.*Serial: *//p")'
for uri in 'pkcs11:token=gateway;id=%01' 'pkcs11:serial=$SERIAL;object=dev-key' 'pkcs11:object=dev-key' \
    'pkcs11:manufacturer=Microchip%20Technology%20Inc;model=ATECC608-SIM;token=gateway;object=dev-key;type=private'; do
    run_in_chip Sign "OPENSSL_CONF=\$P11 openssl pkeyutl -sign -inkey \"$uri\" -in msg.sha -out named.sig"
    run 'openssl pkeyutl -verify -pubin -inkey dev-pub.pem -in msg.sha -sigfile named.sig'
done
for selector in token=elsewhere serial=0123456789ABCDEF id=%77 id=%02 object=nobody object=other-key model=ATECC508A manufacturer=Acme; do
    # Beside right names: an ignored selector would let dev-key sign.
    run_refused 'Could not (read|find|open)' \
        "OPENSSL_CONF=\$P11 openssl pkeyutl -sign -inkey 'pkcs11:$(wrong_name "$selector");type=private' -in msg.sha -out wrong.sig"
done
run 'not test -s wrong.sig'
uri_pem 'pkcs11:token=gateway;object=dev-key;type=private' key.pem
run_in_chip Sign 'OPENSSL_CONF=$P11 openssl dgst -sha256 -sign key.pem -out file.sig msg'
run 'openssl dgst -sha256 -verify dev-pub.pem -signature file.sig msg'

heading 'Generate: the key stays in the chip, the file holds its URI'
run_in_chip GenKey 'OPENSSL_CONF=$P11 openssl genpkey -propquery provider=pkcs11 -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt "pkcs11_uri:pkcs11:token=gateway;object=gen2;id=%11" -out gen2.pem'
run 'grep -x -e "-----BEGIN PKCS#11 PROVIDER URI-----" gen2.pem; [ "$(grep -c -e -BEGIN gen2.pem)" = 1 ]'
run_in_chip Sign 'OPENSSL_CONF=$P11 openssl req -new -key gen2.pem -subj /CN=g2 -out g2.csr'
run 'openssl req -in g2.csr -noout -verify'

run_in_chip GenKey 'OPENSSL_CONF=$P11 openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt "pkcs11_uri:pkcs11:token=gateway;object=gen3;id=%12" -propquery provider=pkcs11 -subj /CN=g3 -keyout gen3.pem -out g3.csr -nodes'
run 'openssl req -in g3.csr -noout -verify'

heading 'TLS with the key on the client side'
port=$(free_port)
start_server client_side.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -brief -rev"
wait_for 's_server' client_side.log listening "$port"
for version in tls1_2 tls1_3; do
    run_in_chip Sign "printf 'hello\nCLOSE\n' | OPENSSL_CONF=\$P11 openssl s_client -connect localhost:$port -CAfile ca.pem -verify_return_error -cert device.pem -key \"\$KEY\" -$version -brief -ign_eof 2>&1 | grep olleh"
done
run '[ "$(grep -c "Peer certificate: CN *= *device-001" client_side.log)" = 2 ]'
run '[ "$(grep -A 2 "version: TLSv1.2" client_side.log | grep -c "Ciphersuite: ECDHE-ECDSA-")" = 1 ]'

heading 'TLS with the key on the server side'
port=$(free_port)
start_server s_server.log "env OPENSSL_CONF=$P11 openssl s_server -accept 127.0.0.1:$port -cert '$CERT' -key '$KEY' -brief -rev"
wait_for 's_server' s_server.log listening "$port"
for version in tls1_2 tls1_3; do
    run_in_chip Sign "printf 'hello\nCLOSE\n' | openssl s_client -connect localhost:$port -CAfile ca.pem -verify_return_error -$version -brief -ign_eof > $version.txt 2>&1"
    run "grep -E 'Protocol version|Verification' $version.txt"
    run "grep olleh $version.txt"
done
run 'grep "Ciphersuite: ECDHE-ECDSA-" tls1_2.txt'
