#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Azure's key service: its calls, with the configuration that `azure setup --edge` writes, by a program that makes them as the
# service's PKCS#11 library does. The service itself is in no package of Debian's.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages gcc libc6-dev libp11-kit-dev openssl python3 xxd
fresh_token azure-keys
run "cc -std=gnu11 -O2 -Wall -Wextra -Werror -I /usr/include/p11-kit-1 -o service $ROOT/tests/clients/azure/keys.c -ldl -lpthread"
export PYTHONDONTWRITEBYTECODE=1

# judged: openssl verifies the signature with the point.
judged() {
    { printf 3059301306072a8648ce3d020106082a8648ce3d030107034200 | xxd -r -p && cat point; } >point.der
    printf 'asn1=SEQUENCE:s\n[s]\nr=INTEGER:0x%s\ns=INTEGER:0x%s\n' "$(head -c 32 signature | xxd -p -c 32)" \
        "$(tail -c 32 signature | xxd -p -c 32)" >signature.cnf
    openssl asn1parse -genconf signature.cnf -noout -out signature.der
    openssl pkeyutl -verify -pubin -keyform DER -inkey point.der -in msg.sha -sigfile signature.der
}
# pairs LABEL: how many private keys have it. A PIN is taken from the variable PIN.
pairs() {
    pkcs11-tool --module "$MODULE" --token-label gateway ${PIN:+--login --pin "$PIN"} -O --type privkey 2>/dev/null | grep -c "label: *$1\$" || true
}

heading 'Generate and use a device key'
run_in_chip GenKey './service $MODULE gateway create identity'
run 'judged && cp point first'

heading 'Second request: the existing key is used'
run './service $MODULE gateway create identity && judged && cmp point first'
run './service $MODULE gateway load identity && judged && cmp point first'

heading 'Renewal: the service destroys the public key, then the private key, and generates a pair with the same label'
run_in_chip Sign './service $MODULE gateway renew identity'
run 'judged; not cmp -s point first'
run '[ "$(pairs identity)" = 1 ]'

heading 'Renewal under a temporary label: the service renames the public key first, then the private key'
run './service $MODULE gateway create identity-temp && judged && cp point renewed'
run './service $MODULE gateway move identity-temp identity'
run './service $MODULE gateway load identity && judged && cmp point renewed'
run 'status=0; ./service $MODULE gateway load identity-temp || status=$?; [ $status = 3 ] && [ "$(pairs identity)" = 1 ]'

heading 'PIN in the service configuration, chip without a PIN'
run './service $MODULE gateway load identity 1234'
run 'judged'

# setup_edge FOLDER OPTIONS: the configuration that `azure setup --edge` writes, and what the service takes from it.
setup_edge() {
    run "atecc608 azure setup --offline --edge --module $MODULE --dir \$WORK/$1 $2 >$1.txt"
    run "/usr/bin/python3 $ROOT/tests/clients/azure/edge_config.py $1/edge-config.toml >$1.env && . ./$1.env && [ \"\$MODULE_PATH\" = $MODULE ]"
}
# is_of CERTIFICATE: the public key that the service read is that of the certificate.
is_of() { openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER | tail -c 65 | cmp - point; }
SERVICE='./service "$MODULE_PATH" "$TOKEN"'

heading 'Configuration of azure setup --edge: the service finds the existing key and signs'
setup_edge hub '--device "edge-1(a)" --hub acme'
run 'atecc608-sim stats --socket chip.sock --reset >/dev/null'
run "$SERVICE load \"\$KEY\" \"\$PIN\" && judged && is_of hub/device.pem"
run "$SERVICE create \"\$KEY\" \"\$PIN\" && judged && is_of hub/device.pem"
run '[ "$(chip_did GenKey)" = 0 ]'
setup_edge dps '--device edge-2 --key identity --dps acme-dps --resource-group iot --scope 0ne000AB'
run "$SERVICE load \"\$KEY\" \"\$PIN\" && judged && is_of dps/device.pem && cmp point renewed"

heading 'Configured key that does not exist: the service generates it, until no slot is free'
run "$SERVICE create edge-ca && judged && [ \"\$(pairs edge-ca)\" = 1 ]"
run 'atecc608 key list'
run_refused 'no slot is free: slot 0 holds "dev-key"' "$SERVICE create one-more 2>&1"
run_refused 'C_GenerateKeyPair: 0x31' "$SERVICE create one-more 2>&1"
run "$SERVICE load \"\$KEY\" && judged && is_of dps/device.pem"

heading 'Deletion of a key pair by the identity service: refused if the slot is locked'
run 'atecc608 lock slot 3 --lock-forever'
run_refused 'DestroyObject.*: 0x1b' "$SERVICE delete \"\$KEY\" 2>&1"
run "$SERVICE load \"\$KEY\" && judged && is_of dps/device.pem"
run ". ./hub.env; $SERVICE delete \"\$KEY\"; status=0; $SERVICE load \"\$KEY\" || status=\$?; [ \$status = 3 ]"
stop_last_server

heading 'Chip with a PIN (tls-pin): the user enters it in the configuration'
rm -rf state chip.sock && mkdir state
start_server sim-pin.log 'atecc608-sim serve --socket chip.sock --state pin.eeprom --timing fast'
wait_for 'the simulated chip' sim-pin.log test -S chip.sock
run 'printf "correct & horse" >user.pin && atecc608 provision tls-pin --lock-forever --pin-file user.pin --recovery-code-file code'
setup_edge pin '--device edge-3 --hub acme --pin-file user.pin'
run '[ "$PIN" = ENTER-THE-PIN-OF-THE-TOKEN ] && [ "$(stat -c %a pin/edge-config.toml)" = 600 ]'
run_refused 'C_Login: 0xa0' "$SERVICE load \"\$KEY\" \"\$PIN\" 2>&1"
run 'sed -i "s/ENTER-THE-PIN-OF-THE-TOKEN/correct%20%26%20horse/" pin/edge-config.toml'
run "/usr/bin/python3 $ROOT/tests/clients/azure/edge_config.py pin/edge-config.toml >pin.env && . ./pin.env && [ \"\$PIN\" = 'correct & horse' ]"
run 'atecc608-sim stats --socket chip.sock --reset >/dev/null'
run "$SERVICE load \"\$KEY\" \"\$PIN\" && judged && is_of pin/device.pem"
run "$SERVICE create \"\$KEY\" \"\$PIN\" && judged && is_of pin/device.pem && [ \"\$(chip_did GenKey)\" = 0 ]"
run "$SERVICE create edge-ca \"\$PIN\" && judged && [ \"\$(pairs edge-ca)\" = 1 ]"
