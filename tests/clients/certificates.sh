#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Certificates with the tool alone: a key generated in the chip, a certificate from the user's own authority whose key
# file `openssl ecparam -genkey` wrote (with its EC PARAMETERS block), kept on the token. Then stock programs use both
# for TLS.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

served_chip certificates
run 'atecc608 provision tls --lock-forever'

heading 'Key, request, certificate'
run_in_chip GenKey 'atecc608 key generate --label dev-key'
run 'openssl ecparam -name prime256v1 -genkey -out ca.key'
run 'grep -e "-BEGIN EC PARAMETERS-" ca.key'
run 'openssl req -x509 -new -key ca.key -subj "/O=Acme/CN=Acme Device CA" -days 7300 -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.pem'
run_in_chip Sign 'atecc608 csr --key dev-key --subject "/O=Acme/CN=Zürich-1" --output device.csr'
run 'openssl req -in device.csr -noout -verify'
run 'atecc608 cert issue --csr device.csr --ca ca.pem --ca-key ca.key --output device.pem'
run 'openssl verify -x509_strict -purpose sslclient -CAfile ca.pem device.pem'
run 'certtool --verify --verify-profile=medium --load-ca-certificate ca.pem --infile device.pem'
run 'atecc608 cert import device.pem'

heading 'Stock programs find key and certificate under one id'
run 'p11tool --provider $MODULE --list-all-certs "pkcs11:token=gateway" | grep "object=dev-key"'
run 'ID=$(atecc608 key public --json | sed -n "s/.*\"id\": \"\(.*\)\".*/\1/p")'
run 'test "$(pkcs11-tool --module $MODULE -O | grep -c "ID: *$ID")" = 3'

heading 'TLS with a client certificate'
run 'openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout server.key -subj /CN=localhost -out server.csr'
run 'atecc608 cert issue --csr server.csr --san DNS:localhost --server --ca ca.pem --ca-key ca.key --output server.pem'
port=$(free_port)
start_server s_server.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile ca.pem -Verify 2 -verify_return_error -brief -rev"
wait_for 's_server' s_server.log listening "$port"
run 'export U="pkcs11:token=gateway;object=dev-key" PKCS11_PROVIDER_MODULE=$MODULE'
run_in_chip Sign "printf 'hello\nCLOSE\n' | OPENSSL_CONF=$ROOT/conf/openssl-pkcs11.cnf openssl s_client -connect localhost:$port -cert \"\$U;type=cert\" -key \"\$U;type=private\" -CAfile ca.pem -verify_hostname localhost -verify_return_error -brief -ign_eof > openssl.txt 2>&1"
run 'grep olleh openssl.txt'
run_in_chip Sign "printf 'hello\nCLOSE\n' | gnutls-cli --provider \$MODULE --x509cafile ca.pem --x509keyfile \"\$U;type=private\" --x509certfile \"\$U;type=cert\" -p $port localhost > gnutls.txt 2>&1 || true"
run 'grep olleh gnutls.txt'
run 'grep -c "CN *= *Z.*rich-1" s_server.log'
