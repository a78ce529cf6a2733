#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# GnuTLS: p11tool, certtool, gnutls-cli and gnutls-serv. (What needs a PIN is in pin.sh, a chain on the token in trust-and-go.sh.)

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"
# shellcheck source=scripts/lib/network.sh
. "$ROOT/scripts/lib/network.sh"

need_packages iproute2
fresh_token gnutls
software_ca
device_certificate
run 'export U="pkcs11:token=gateway"'
run 'export KEY="pkcs11:token=gateway;object=dev-key;type=private"'
run 'export CERT="pkcs11:token=gateway;object=dev-key;type=cert"'

heading 'p11tool'
run 'p11tool --provider $MODULE --list-tokens | grep "token=gateway"'
run 'p11tool --provider $MODULE --list-token-urls | grep "token=gateway"'
run 'p11tool --provider $MODULE --list-mechanisms "$U" | grep CKM_ECDSA'
run 'p11tool --provider $MODULE --list-all "$U" | tee all; [ "$(grep -c "URL:" all)" = 3 ]'
run 'for kind in all-certs certs keys privkeys; do p11tool --provider $MODULE --list-$kind "$U" | grep -q "object=dev-key" || die "--list-$kind shows nothing"; done'
run 'p11tool --provider $MODULE --info "$KEY" | tee info; grep "Type: Private key (EC/ECDSA" info; grep "CKA_PRIVATE; CKA_NEVER_EXTRACTABLE; CKA_SENSITIVE;" info'
run 'p11tool --provider $MODULE --export-chain "$CERT" --outfile chain.pem; openssl verify -CAfile ca.pem chain.pem'
run 'p11tool --provider $MODULE --generate-random 32 "$U" --outfile random1; p11tool --provider $MODULE --generate-random 32 "$U" --outfile random2; ! cmp -s random1 random2'
run_in_chip GenKey 'p11tool --provider $MODULE --generate-ecc --curve secp256r1 --label gk --id 20 --outfile gk.pub "$U"'
run_in_chip Sign 'p11tool --provider $MODULE --test-sign "$U;object=gk;type=private"'
run 'p11tool --provider $MODULE --export-pubkey "$U;object=gk;type=private" --outfile gk2.pub'
run 'cmp gk.pub gk2.pub'
run 'p11tool --provider $MODULE --write --load-certificate server.pem --label gkcert --id 20 "$U"'
run 'p11tool --provider $MODULE --export "$U;object=gkcert;type=cert" --outfile gkcert.pem'
run 'openssl x509 -in gkcert.pem -outform DER | cmp - <(openssl x509 -in server.pem -outform DER)'
run 'p11tool --provider $MODULE --set-label newlabel "$U;object=gk;type=private" --batch'
run 'p11tool --provider $MODULE --set-id 21 "$U;object=newlabel;type=private" --batch'
run 'p11tool --provider $MODULE --list-privkeys "$U" | grep "id=%21;object=newlabel"'
run 'p11tool --provider $MODULE --delete "$U;object=gkcert;type=cert" --batch'
run_refused 'does not exist|not available|No matching objects' 'p11tool --provider $MODULE --export "$U;object=gkcert;type=cert"'

heading 'p11tool: import a private key'
run 'p11tool --provider $MODULE --write --load-privkey server.key --label imported --id 40 "$U"'
run_in_chip Sign 'p11tool --provider $MODULE --test-sign "$U;object=imported;type=private"'
run 'p11tool --provider $MODULE --export-pubkey "$U;object=imported;type=private" --outfile imported.pub'
run 'openssl pkey -in server.key -pubout | cmp - imported.pub'
run 'p11tool --provider $MODULE --delete "$U;object=imported;type=private" --batch'
run 'openssl pkcs8 -topk8 -nocrypt -in server.key -out server.pk8'
run 'p11tool --provider $MODULE --write --load-privkey server.pk8 --label imported "$U"'
run_in_chip Sign 'p11tool --provider $MODULE --test-sign "$U;object=imported;type=private"'

heading 'certtool'
run 'printf "cn = device-002\ntls_www_client\nsigning_key\n" > ct.cfg'
run_in_chip Sign 'certtool --provider $MODULE --generate-request --load-privkey "$KEY" --template ct.cfg --outfile ct.csr'
run 'openssl req -in ct.csr -noout -verify'
run 'openssl req -in ct.csr -noout -pubkey | cmp - dev-pub.pem'

run 'printf "cn = self\nserial = 4\nexpiration_days = 30\nca\ncert_signing_key\n" > self.cfg'
run_in_chip Sign 'certtool --provider $MODULE --generate-self-signed --load-privkey "$KEY" --template self.cfg --outfile self.pem'
run 'openssl verify -CAfile self.pem self.pem'
run 'printf "cn = leaf\nserial = 5\nexpiration_days = 30\nsigning_key\n" > leaf.cfg'
run_in_chip Sign 'certtool --provider $MODULE --generate-certificate --template leaf.cfg --load-privkey server.key --load-ca-certificate self.pem --load-ca-privkey "$KEY" --outfile leaf.pem'
run 'openssl verify -CAfile self.pem leaf.pem'

heading 'gnutls-cli, TLS 1.2 and 1.3'
port=$(free_port)
start_server s_server.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -brief -rev"
wait_for 's_server' s_server.log listening "$port"
for version in 1.2 1.3; do
    # gnutls-cli ends with its input: it is kept open until the answer has come.
    run_in_chip Sign "{ printf 'hello\n'; sleep 1; } | gnutls-cli --provider \$MODULE --priority NORMAL:-VERS-ALL:+VERS-TLS$version --x509cafile ca.pem --x509certfile \"\$CERT\" --x509keyfile \"\$KEY\" -p $port localhost > cli-$version.txt 2>&1"
    run "grep -E 'Description:|Handshake was completed' cli-$version.txt"
    run "grep olleh cli-$version.txt"
done
run '[ "$(grep -c "Peer certificate: CN *= *device-001" s_server.log)" = 2 ]'

# gnutls-serv listens on every address of its host: it gets a host of its own.
heading 'gnutls-serv'
run 'openssl x509 -req -in device.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile server.ext -out chip.pem'
two_hosts
start_server serv.log "ip netns exec $HOST_A gnutls-serv --provider $MODULE --echo --port 5556 --x509cafile ca.pem --x509certfile chip.pem --x509keyfile '$KEY'"
wait_for gnutls-serv serv.log grep -q 'Echo Server listening on IPv4' serv.log
for version in 1.2 1.3; do
    run_in_chip Sign "{ printf 'hello\n'; sleep 1; } | ip netns exec \$HOST_B openssl s_client -connect $ADDRESS_A:5556 -servername localhost -verify_hostname localhost -CAfile ca.pem -verify_return_error -tls${version/./_} -quiet 2>serv-$version.log | grep hello"
done
