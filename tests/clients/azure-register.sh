#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# `atecc608 azure register`: a certificate issued by DPS for a request in the registration, through mosquitto, with a
# stand-in for DPS behind it (tests/clients/python/dps.py). Azure itself is not involved: docs/azure-iot.md says what
# that leaves untested.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/daemons.sh
. "$ROOT/scripts/lib/daemons.sh"
# shellcheck source=scripts/lib/network.sh
. "$ROOT/scripts/lib/network.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages iproute2 mosquitto openssl python3 python3-venv
install_pkcs11_provider
need_python_venv azure "$ROOT/tests/clients/python/requirements-azure.txt"
export SDK=$VENV
# Of the packages for the claim cryptography and paho-mqtt are needed.
need_python_venv aws-claim "$ROOT/tests/clients/python/requirements-claim.txt"
# The SDK knows one port only, 8883.
own_network --net
served_chip azure-register
export P11=$ROOT/conf/openssl-pkcs11.cnf PKCS11_PROVIDER_MODULE=$MODULE PYTHONDONTWRITEBYTECODE=1

heading 'Preparation: enrolled device, broker, stand-in for DPS'
run 'atecc608 provision tls --lock-forever 2>provision.log'
software_ca
run 'atecc608 azure setup --device gateway-1 --dps acme --resource-group iot --scope 0ne000AB --dir $WORK/gateway-1 --offline >setup.txt'
run 'cat ca.pem gateway-1/device.pem >clients-ca.pem'
port=$(free_port)
plain=$(free_port)
# Devices have a listener that takes their user names, which are part of the protocol; the stand-in has one of its own.
mqtt_broker "$(free_port)" clients-ca.pem server.pem server.key '' "listener $port 127.0.0.1
cafile clients-ca.pem
certfile server.pem
keyfile server.key
require_certificate true
allow_anonymous true
listener $plain 127.0.0.1
allow_anonymous true"
run 'mv broker.log broker-dps.log'
start_server dps.log "$VENV/bin/python $ROOT/tests/clients/python/dps.py --port $plain --ca $WORK/dps-ca.pem"
wait_for 'the stand-in for DPS' dps.log grep -q ready dps.log
# register OPTIONS: SCOPE, ROOT_CA, PORT and FOLDER change the rest.
register() {
    printf '%s' "atecc608 azure register --device gateway-1 --scope ${SCOPE:-0ne000AB} --endpoint localhost --port ${PORT:-$port}" \
        " --root-ca ${ROOT_CA:-ca.pem} --dir \$WORK/${FOLDER:-gateway-1} --timeout 2 ${1:-}"
}

heading 'Local and connection errors: no request is sent'
run_refused 'letters and digits only' "$(SCOPE=0ne/x register)"
run_refused 'device.pem is missing: run .atecc608 azure setup --dps. first' "$(FOLDER=none register)"
run 'not test -e none'
run 'mkdir other && cp ca.pem other/device.pem'
run_refused 'is not for a key of this chip' "$(FOLDER=other register)"
run_refused 'no connection: .*network.*atecc608 azure register. continues' "$(PORT=1 register)"
run_refused 'certificate is not signed by a trusted CA.*--root-ca' "$(ROOT_CA=gateway-1/device.pem register)"
run 'not grep PUT dps.log && atecc608 key list | tee keys.txt && not grep gateway-1-hub keys.txt'

heading 'Rejected or invalid response, or none: no certificate is stored, the next run uses the same key'
# fault MODE PATTERN
fault() {
    run "echo $1 >fault"
    run_refused "$2" "$(register)"
    run 'rm fault && not test -e gateway-1/hub.pem && not test -e gateway-1/hub.json'
}
fault unauthorized 'rejected the registration .401, error 401002.: Unauthorized. Enrol the device with this certificate'
fault garbage 'is not in DPS.s format: it is not the expected JSON'
fault odd-id 'its operationId can.t be used'
fault failed 'error 400209.: No hub is linked'
fault no-issuer 'issued no certificate: the enrolment needs a certificate policy'
fault other-key 'for another key than the one in the chip'
fault no-chain 'not a chain, each signed by the next'
fault odd-hub 'assignedHub is not a host'
fault never 'has not assigned the device .its last status is 202, .*--timeout is 2 s'

heading 'Registration: the chip logs in with one key and gets a certificate for another'
run 'echo busy >fault'
run_in_chip Sign "$(register '--json >first.json')" 2
run 'rm fault && grep "\"issued\": true" first.json && grep "\"hub\": \"acme.azure-devices.net\"" first.json'
run 'tail -n 4 dps.log | cut -d " " -f 1,2 | tr "\n" , | grep -x "iotdps-register 429,iotdps-register 202,iotdps-get-operationstatus 202,iotdps-get-operationstatus 200," || { cat dps.log; false; }'
run 'openssl verify -CAfile dps-ca.pem -untrusted gateway-1/hub.pem gateway-1/hub.pem'
run 'openssl x509 -in gateway-1/hub.pem -noout -subject | grep "CN *= *gateway-1" && [ "$(grep -c BEGIN gateway-1/hub.pem)" = 3 ]'
run 'OPENSSL_CONF=$P11 openssl pkey -in gateway-1/hub-key.pem -pubout | cmp - <(openssl x509 -in gateway-1/hub.pem -noout -pubkey)'
run 'not cmp -s <(openssl x509 -in gateway-1/hub.pem -noout -pubkey) <(openssl x509 -in gateway-1/device.pem -noout -pubkey)'
run '/usr/bin/python3 -m py_compile gateway-1/hub_connect.py && grep "acme.azure-devices.net" gateway-1/hub_connect.py'
run 'grep "as gateway-1 .*u.0ne000AB/registrations/gateway-1/api-version=2025-07-01-preview&ClientVersion=atecc608%2F" broker-dps.log'

heading 'The Azure IoT SDK for Python connects to a hub that trusts only the root of the issued certificate'
run 'cat ca.pem dps-ca.pem >hub-ca.pem'
mqtt_broker 8883 hub-ca.pem server.pem server.key
run_in_chip Sign 'OPENSSL_CONF=$P11 "$SDK/bin/python" gateway-1/hub_connect.py --hub localhost --server-ca ca.pem'
run 'grep "devices/gateway-1/messages/events/" broker.log'
stop_last_server

heading 'Second run: no request is sent'
run 'before=$(wc -l <dps.log) && cp gateway-1/hub.pem first.pem'
run "$(PORT=1 register '--json >again.json')"
run 'grep "\"issued\": false" again.json && cmp first.pem gateway-1/hub.pem && [ "$(wc -l <dps.log)" = "$before" ]'

heading 'Renewal with --renew, and automatic below a third of the validity: same key'
run 'echo old >fault'
run "$(register '--renew --json >renewed.json')"
run 'rm fault && not cmp -s first.pem gateway-1/hub.pem && cp gateway-1/hub.pem second.pem'
run "$(register '--json >itself.json')"
run 'grep "\"issued\": true" itself.json && not cmp -s second.pem gateway-1/hub.pem'
run 'cmp <(openssl x509 -in first.pem -noout -pubkey) <(openssl x509 -in gateway-1/hub.pem -noout -pubkey)'
run 'atecc608 key list | tee keys.txt && [ "$(grep -c "\"gateway-1" keys.txt)" = 2 ]'

heading 'Damaged file, and another key: the key file matches the certificate'
run 'echo garbage >gateway-1/hub.pem'
run "$(register '--json >damaged.json') && grep '\"issued\": true' damaged.json"
run "$(register '--key other --json >other.json') && grep '\"key\": \"other\"' other.json"
run 'OPENSSL_CONF=$P11 openssl pkey -in gateway-1/hub-key.pem -pubout | cmp - <(openssl x509 -in gateway-1/hub.pem -noout -pubkey)'
