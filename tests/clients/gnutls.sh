#!/usr/bin/env bash
# GnuTLS: p11tool, certtool, gnutls-cli.

# The printed lines are shell text: their variables are meant for the moment the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

fresh_token gnutls
software_ca
device_certificate
run 'export U="pkcs11:token=gateway"'
run 'export KEY="pkcs11:token=gateway;object=dev-key;type=private"'
run 'export CERT="pkcs11:token=gateway;object=dev-key;type=cert"'

heading 'p11tool'
run 'p11tool --provider $MODULE --list-tokens | grep "token=gateway"'
run 'p11tool --provider $MODULE --list-mechanisms "$U" | grep CKM_ECDSA'
run 'p11tool --provider $MODULE --generate-ecc --curve secp256r1 --label gk --id 20 --outfile gk.pub "$U"'
run 'p11tool --provider $MODULE --test-sign "$U;object=gk;type=private"'
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

heading 'p11tool: a key that was made elsewhere'
run 'p11tool --provider $MODULE --write --load-privkey server.key --label imported --id 40 "$U"'
run 'p11tool --provider $MODULE --test-sign "$U;object=imported;type=private"'
run 'p11tool --provider $MODULE --export-pubkey "$U;object=imported;type=private" --outfile imported.pub'
run 'openssl pkey -in server.key -pubout | cmp - imported.pub'
run 'p11tool --provider $MODULE --delete "$U;object=imported;type=private" --batch'
run 'openssl pkcs8 -topk8 -nocrypt -in server.key -out server.pk8'
run 'p11tool --provider $MODULE --write --load-privkey server.pk8 --label imported "$U"'
run 'p11tool --provider $MODULE --test-sign "$U;object=imported;type=private"'

heading 'certtool'
run 'printf "cn = device-002\ntls_www_client\nsigning_key\n" > ct.cfg'
run 'certtool --provider $MODULE --generate-request --load-privkey "$KEY" --template ct.cfg --outfile ct.csr'
run 'openssl req -in ct.csr -noout -verify'

heading 'gnutls-cli, TLS 1.2 and 1.3 (gnutls-serv cannot be kept to loopback: the server is openssl)'
port=$(free_port)
start_server s_server.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -brief -rev"
wait_for 's_server' s_server.log listening "$port"
for version in 1.2 1.3; do
    # gnutls-cli ends with its input: it is kept open until the answer has come.
    run "{ printf 'hello\n'; sleep 1; } | gnutls-cli --provider \$MODULE --priority NORMAL:-VERS-ALL:+VERS-TLS$version --x509cafile ca.pem --x509certfile \"\$CERT\" --x509keyfile \"\$KEY\" -p $port localhost > cli-$version.txt 2>&1"
    run "grep -E 'Description:|Handshake was completed' cli-$version.txt"
    run "grep olleh cli-$version.txt"
done
