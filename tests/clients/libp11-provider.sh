#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# libp11's OpenSSL provider (pkcs11prov), which takes the place of its engine: OpenSSL 4 has no engines.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages openssl libengine-pkcs11-openssl
PROVIDER=$(openssl version -m | cut -d '"' -f 2)/pkcs11prov.so
if [ ! -e "$PROVIDER" ]; then
    note "not tested: libp11's provider, which is in libp11 0.4.20 and newer (Debian forky)"
    exit
fi
fresh_token libp11-provider
software_peer
software_ca
device_certificate
write_file provider.cnf <<END
openssl_conf = openssl_init
[openssl_init]
providers = provider_section
[provider_section]
default = default_section
pkcs11prov = pkcs11_section
[default_section]
activate = 1
[pkcs11_section]
identity = pkcs11prov
module = $PROVIDER
pkcs11_module = $MODULE
debug_level = 3
activate = 1
[req]
distinguished_name = dn
[dn]
END
run "export KEY='pkcs11:token=gateway;object=dev-key;type=private' PROV=$WORK/provider.cnf"

heading 'A CSR, a signature, a certificate, a shared secret'
run_in_chip Sign 'OPENSSL_CONF=$PROV openssl req -new -key "$KEY" -subj /CN=provider -out provider.csr'
run 'openssl req -in provider.csr -noout -verify && openssl req -in provider.csr -noout -pubkey | cmp - dev-pub.pem'
run_in_chip Sign 'OPENSSL_CONF=$PROV openssl dgst -sha256 -sign "$KEY" -out msg.sig msg'
run 'openssl dgst -sha256 -verify dev-pub.pem -signature msg.sig msg'
run 'OPENSSL_CONF=$PROV openssl x509 -in "pkcs11:token=gateway;object=dev-key;type=cert" -outform DER -out read.der'
run 'cmp read.der device.der'
run_in_chip ECDH 'OPENSSL_CONF=$PROV openssl pkeyutl -derive -inkey "$KEY" -peerkey peer-pub.pem -out secret'
run 'openssl pkeyutl -derive -inkey peer.key -peerkey dev-pub.pem | cmp - secret'

heading 'TLS 1.2 client (in TLS 1.3 OpenSSL does not accept keys of this provider)'
port=$(free_port)
start_server s_server.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -www"
wait_for s_server s_server.log listening "$port"
client() { printf 'GET / HTTP/1.0\r\n\r\n' | OPENSSL_CONF=$PROV openssl s_client -connect "localhost:$port" -CAfile ca.pem -verify_return_error -key "$KEY" -cert device.pem "$1" -quiet -ign_eof; }
run_in_chip Sign 'client -tls1_2 | grep -a "CN *= *device-001"'
run_refused 'alert certificate required' 'client -tls1_3'
