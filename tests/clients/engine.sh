#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# libp11's OpenSSL engine: CSR, TLS, curl, mosquitto, nginx and stunnel by URI.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/daemons.sh
. "$ROOT/scripts/lib/daemons.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages libengine-pkcs11-openssl curl mosquitto mosquitto-clients nginx-light stunnel4
fresh_token engine
software_ca
device_certificate
run 'openssl x509 -req -in device.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile server.ext -out chip.pem'
run 'export URI="pkcs11:token=gateway;object=dev-key;type=private"'
engine_configuration engine.cnf
run "export ENGINE=$WORK/engine.cnf"

heading 'openssl: a CSR, a signature, TLS'
run_in_chip Sign 'OPENSSL_CONF=$ENGINE openssl req -new -engine pkcs11 -keyform engine -key "$URI" -subj /CN=engine -out engine.csr'
run 'openssl req -in engine.csr -noout -verify'
run 'openssl req -in engine.csr -noout -pubkey | cmp - dev-pub.pem'
run_in_chip Sign 'OPENSSL_CONF=$ENGINE openssl pkeyutl -engine pkcs11 -keyform engine -sign -inkey "$URI" -in msg.sha -out msg.sig'
run 'openssl pkeyutl -verify -pubin -inkey dev-pub.pem -in msg.sha -sigfile msg.sig'
port=$(free_port)
start_server s_server.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -www"
wait_for s_server s_server.log listening "$port"
for version in tls1_2 tls1_3; do
    run_in_chip Sign "printf 'GET / HTTP/1.0\r\n\r\n' | OPENSSL_CONF=\$ENGINE openssl s_client -connect localhost:$port -CAfile ca.pem -verify_return_error -engine pkcs11 -keyform engine -key \"\$URI\" -cert device.pem -$version -quiet -ign_eof 2>$version.log | grep -a 'CN *= *device-001'"
done

heading 'curl: a URI chooses the engine by itself'
run_in_chip Sign "OPENSSL_CONF=\$ENGINE curl -sS --cacert ca.pem --key \"\$URI\" --cert device.pem https://localhost:$port/ | grep -a 'CN *= *device-001'"
run_in_chip Sign "OPENSSL_CONF=\$ENGINE curl -sS --engine pkcs11 --key-type ENG --cacert ca.pem --key \"\$URI\" --cert 'pkcs11:token=gateway;object=dev-key;type=cert' https://localhost:$port/ | grep -a 'CN *= *device-001'"
stop_last_server

heading 'mosquitto: broker and client'
port=$(free_port)
mqtt_broker "$port" ca.pem chip.pem "$URI" "env OPENSSL_CONF=$ENGINE" 'tls_keyform engine
tls_engine pkcs11'
# mosquitto_pub makes an engine of its own, past the configuration of OpenSSL: the environment names the module.
# mosquitto_pub 2.0.11 looks for the key as a file before it looks at --keyform: an empty one with the URI's name will do.
run ': > "$URI"'
run_in_chip Sign "PKCS11_MODULE_PATH=\$MODULE mosquitto_pub -h localhost -p $port --cafile ca.pem --cert device.pem --keyform engine --tls-engine pkcs11 --key \"\$URI\" -t up/engine -m one -q 1" 2
run 'grep -E "New client connected .* u.device-001" broker.log'
stop_last_server

heading 'nginx: each worker initialises the engine again'
# nginx loads the key without having initialised the engine, which OpenSSL 3.5 refuses: the configuration does it.
run 'sed "s/^init = 0/init = 1/" engine.cnf > nginx-engine.cnf'
nginx_workers "\"engine:pkcs11:$URI\"" "$WORK/nginx-engine.cnf" 'ssl_engine pkcs11;'

heading 'stunnel'
plain=$(free_port)
start_server plain.log "/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory $WORK $plain"
wait_for 'the plain server' plain.log listening "$plain"
port=$(free_port)
write_file stunnel.conf <<END
foreground = yes
pid =
engine = pkcs11
engineCtrl = MODULE_PATH:$MODULE
[https]
accept = 127.0.0.1:$port
connect = 127.0.0.1:$plain
cert = $WORK/chip.pem
engineId = pkcs11
key = $URI
END
start_server stunnel.log "stunnel4 $WORK/stunnel.conf"
wait_for stunnel stunnel.log listening "$port"
run_in_chip Sign "curl -sS --cacert ca.pem https://localhost:$port/msg | cmp - msg"
