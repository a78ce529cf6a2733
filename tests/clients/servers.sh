#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Servers that only know files and OpenSSL: nginx, stunnel, haproxy and mosquitto serve TLS with the chip's key through a PEM
# file that holds its URI; curl and mosquitto_pub use it as clients.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/daemons.sh
. "$ROOT/scripts/lib/daemons.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages nginx-light stunnel4 haproxy curl mosquitto mosquitto-clients
fresh_token servers
software_ca
device_certificate
# The chip's key as a server's: a certificate for localhost.
run 'openssl x509 -req -in device.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile server.ext -out chip.pem'
run "export P11=$ROOT/conf/openssl-pkcs11.cnf PKCS11_PROVIDER_MODULE=\$MODULE"
uri_pem 'pkcs11:token=gateway;object=dev-key;type=private' key.pem

heading 'curl as a client with the key in the chip'
port=$(free_port)
start_server s_server.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -www"
wait_for s_server s_server.log listening "$port"
for version in 1.2 1.3; do
    run_in_chip Sign "OPENSSL_CONF=\$P11 curl -sS --tlsv$version --tls-max $version --cacert ca.pem --cert device.pem --key key.pem https://localhost:$port/ | grep -a -A 40 'Client certificate' | grep 'CN *= *device-001'"
done
if at_least "$(curl --version | awk 'NR == 1 { print $2 }')" 8.12; then
    heading 'curl: key and certificate by URI, without files'
    run 'export KEY="pkcs11:token=gateway;object=dev-key;type=private" CERT="pkcs11:token=gateway;object=dev-key;type=cert"'
    run_in_chip Sign "OPENSSL_CONF=\$P11 curl -sS --cacert ca.pem --cert device.pem --key-type PROV --key \"\$KEY\" https://localhost:$port/ | grep -a -A 40 'Client certificate' | grep 'CN *= *device-001'"
    run_in_chip Sign "OPENSSL_CONF=\$P11 curl -sS --cacert ca.pem --cert-type PROV --cert \"\$CERT\" --key-type PROV --key \"\$KEY\" https://localhost:$port/ | grep -a -A 40 'Client certificate' | grep 'CN *= *device-001'"
else
    note 'not tested: curl --key-type PROV, which is in curl 8.12 and newer (Debian 13)'
fi
stop_last_server

heading 'nginx: its workers are forked from the process that loaded the key'
nginx_workers "$WORK/key.pem" "$P11" 'env PKCS11_PROVIDER_MODULE;'
if at_least "$(/usr/sbin/nginx -v 2>&1 | sed 's,.*nginx/\([0-9.]*\).*,\1,')" 1.29; then
    heading 'nginx: the same with a URI instead of a file'
    nginx_workers '"store:pkcs11:token=gateway;object=dev-key;type=private"' "$P11" 'env PKCS11_PROVIDER_MODULE;'
else
    note 'not tested: keys from a store, which nginx has from 1.29 on (Debian forky)'
fi

heading 'stunnel in front of a server without TLS'
port=$(free_port)
start_server plain.log "/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory $WORK $port"
wait_for 'the plain server' plain.log listening "$port"
PLAIN_PORT=$port
port=$(free_port)
write_file stunnel.conf <<END
foreground = yes
pid =
[https]
accept = 127.0.0.1:$port
connect = 127.0.0.1:$PLAIN_PORT
cert = $WORK/chip.pem
key = $WORK/key.pem
END
start_server stunnel.log "env OPENSSL_CONF=$P11 stunnel4 $WORK/stunnel.conf"
wait_for stunnel stunnel.log listening "$port"
run_in_chip Sign "curl -sS --cacert ca.pem https://localhost:$port/msg | cmp - msg"
stop_last_server

heading 'haproxy in front of the same server'
port=$(free_port)
# haproxy reads the key from the certificate's file, or from NAME.key beside it.
run 'cp chip.pem haproxy.pem; cp key.pem haproxy.pem.key'
write_file haproxy.cfg <<END
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend https
    bind 127.0.0.1:$port ssl crt $WORK/haproxy.pem
    default_backend plain
backend plain
    server one 127.0.0.1:$PLAIN_PORT
END
start_server haproxy.log "env OPENSSL_CONF=$P11 /usr/sbin/haproxy -db -f $WORK/haproxy.cfg"
wait_for haproxy haproxy.log listening "$port"
run_in_chip Sign "curl -sS --cacert ca.pem https://localhost:$port/msg | cmp - msg"
stop_last_server
stop_last_server

heading 'mosquitto: a broker with the key in the chip, a bridge to it, and a client'
port=$(free_port)
mqtt_broker "$port" ca.pem chip.pem key.pem "env OPENSSL_CONF=$P11"
BROKER=$port
port=$(free_port)
write_file bridge.conf <<END
user root
listener $port 127.0.0.1
allow_anonymous true
connection up
address 127.0.0.1:$BROKER
topic # out 1
bridge_cafile $WORK/ca.pem
bridge_certfile $WORK/device.pem
bridge_keyfile $WORK/key.pem
END
start_server bridge.log "env OPENSSL_CONF=$P11 /usr/sbin/mosquitto -v -c $WORK/bridge.conf"
wait_for 'the bridge' bridge.log listening "$port"
start_server sub.log "env OPENSSL_CONF=$P11 mosquitto_sub -h localhost -p $BROKER --cafile ca.pem --cert device.pem --key key.pem -t up/# -C 2 -W 30 -i subscriber -v"
wait_for 'the subscription' broker.log grep -q 'Sending SUBACK to subscriber' broker.log
# It ends by itself, with the second message.
SUBSCRIBER=${SERVERS[-1]}
unset 'SERVERS[-1]'
# The broker signs with the same chip.
run_in_chip Sign "OPENSSL_CONF=\$P11 mosquitto_pub -h localhost -p $BROKER --cafile ca.pem --cert device.pem --key key.pem -t up/direct -m one -q 1" 2
run "mosquitto_pub -h localhost -p $port -t up/bridged -m two -q 1"
run "wait $SUBSCRIBER"
run 'grep "up/direct one" sub.log && grep "up/bridged two" sub.log'
run 'grep -E "New client connected .* u.device-001" broker.log'
