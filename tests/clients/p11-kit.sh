#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# p11-kit: the module file of conf/, the proxy module, and a token used from another process.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"
# shellcheck source=scripts/lib/p11_kit.sh
. "$ROOT/scripts/lib/p11_kit.sh"

need_packages systemd util-linux
own_mounts
fresh_token p11-kit
libraries=/usr/lib/$(gcc -print-multiarch)

heading 'The module file of conf/'
install_module_file
run 'p11-kit list-modules > modules.txt'
run 'grep -A 6 "atecc608-test" modules.txt'
run 'grep "token: gateway" modules.txt'
run 'p11tool --list-token-urls | grep "token=gateway"'
run_in_chip Sign 'p11tool --test-sign "pkcs11:token=gateway;object=dev-key;type=private"'

heading 'The proxy module, for programs that load one module only'
run_in_chip Sign "pkcs11-tool --module $libraries/p11-kit-proxy.so --token-label gateway --sign -m ECDSA --id 01 -i msg.sha -o proxy.sig --signature-format openssl"
run 'openssl pkeyutl -verify -pubin -inkey dev-pub.pem -in msg.sha -sigfile proxy.sig'

heading 'p11-kit server: use from another process'
run "p11-kit server --provider \$MODULE -n \$PWD/p11.sock 'pkcs11:token=gateway' > server.env"
run '. ./server.env'
SERVERS+=("$P11_KIT_SERVER_PID")
run_in_chip Sign "pkcs11-tool --module $libraries/pkcs11/p11-kit-client.so --token-label gateway --sign -m ECDSA --id 01 -i msg.sha -o served.sig --signature-format openssl"
run 'openssl pkeyutl -verify -pubin -inkey dev-pub.pem -in msg.sha -sigfile served.sig'

heading 'Two applications in parallel, one through the server'
run "remotely() { pkcs11-tool --module $libraries/pkcs11/p11-kit-client.so --token-label gateway --sign -m ECDSA --id 01 -i msg.sha -o both.sig --signature-format openssl 2>/dev/null; }"
run_in_chip Sign 'for i in $(seq 20); do p11tool --test-sign "pkcs11:token=gateway;object=dev-key;type=private" > /dev/null || die "p11tool failed"; done & OTHER=$!
for i in $(seq 20); do remotely && openssl pkeyutl -verify -pubin -inkey dev-pub.pem -in msg.sha -sigfile both.sig > /dev/null || die "the remote one failed"; done
wait $OTHER' 40

heading 'The systemd units'
# The program that the unit names has to be there; the rest is checked by systemd itself.
run "systemd-analyze verify $ROOT/conf/systemd/*"
run "systemd-analyze security --offline=true --threshold=20 $ROOT/conf/systemd/atecc608-p11-kit@.service | tail -n 1"
run "systemd-analyze verify $ROOT/conf/examples/*.service"
run "systemd-analyze security --offline=true --threshold=20 $ROOT/conf/examples/atecc608-client.service | tail -n 1"
