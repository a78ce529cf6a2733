#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A token with a PIN (profile tls-pin): OpenSC's pkcs11-tool, GnuTLS's p11tool and openssl log in, change and reset it.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages bsdutils
served_chip pin
run 'printf "correct horse" > pin; printf "battery staple" > pin2'
run 'atecc608 provision tls-pin --lock-forever --pin-file pin --recovery-code-file code'
run 'P="pkcs11-tool --module $MODULE --token-label gateway"'
run 'printf "a message" > msg; openssl dgst -sha256 -binary -out msg.sha msg'

heading 'The token requires login to generate and use keys'
run 'pkcs11-tool --module $MODULE -L | grep -E "token flags.*login required.*PIN initialized"'
run_refused 'CKR_USER_NOT_LOGGED_IN' '$P --keypairgen --key-type EC:prime256v1 --id 01 --label dev-key'
run_refused 'CKR_PIN_INCORRECT' '$P --login --pin "wrong horse" --keypairgen --key-type EC:prime256v1 --id 01 --label dev-key'
run_in_chip GenKey '$P --login --pin "$(cat pin)" --keypairgen --key-type EC:prime256v1 --id 01 --label dev-key'
run '$P --read-object --type pubkey --id 01 | openssl pkey -pubin -inform DER -out dev-pub.pem'
run_in_chip Sign '$P --login --pin "$(cat pin)" --sign -m ECDSA --id 01 -i msg.sha -o msg.sig --signature-format openssl'
run 'openssl pkeyutl -verify -pubin -inkey dev-pub.pem -in msg.sha -sigfile msg.sig'
run 'test "$($P -O --type privkey | grep -c "Private Key")" = 0'

heading 'PIN change by the user, if the chip can renew the secret'
run_refused 'CKR_FUNCTION_FAILED' '$P --change-pin --pin "$(cat pin)" --new-pin "$(cat pin2)"'
run_in_chip Sign '$P --login --pin "$(cat pin)" --sign -m ECDSA --id 01 -i msg.sha -o msg.sig --signature-format openssl'
stop_last_server
start_server sim.log 'atecc608-sim serve --socket chip.sock --state chip.eeprom --timing fast --switches derive_key_rolls_no_mac=on'
wait_for 'the simulated chip' sim.log test -S chip.sock
run '$P --change-pin --pin "$(cat pin)" --new-pin "$(cat pin2)"'
run_refused 'CKR_PIN_INCORRECT' '$P --login --pin "$(cat pin)" --sign -m ECDSA --id 01 -i msg.sha -o no.sig'
run 'export U="pkcs11:token=gateway" GNUTLS_PIN="$(cat pin2)"'
run 'p11tool --provider $MODULE --login --list-privkeys "$U" | grep "object=dev-key"'
run_in_chip Sign 'p11tool --provider $MODULE --login --test-sign "$U;object=dev-key;type=private"'

heading 'openssl: PIN in the URI'
run_in_chip Sign 'OPENSSL_CONF=$ROOT/conf/openssl-pkcs11.cnf PKCS11_PROVIDER_MODULE=$MODULE openssl req -new -key "pkcs11:token=gateway;object=dev-key;type=private?pin-value=battery%20staple" -subj /CN=device-001 -out device.csr'
run 'openssl req -in device.csr -noout -verify'

heading 'PIN reset by the security officer, with the recovery code'
run '$P --login --login-type so --so-pin "$(cat code)" --init-pin --new-pin "$(cat pin)"'
run_in_chip Sign '$P --login --pin "$(cat pin)" --sign -m ECDSA --id 01 -i msg.sha -o msg.sig --signature-format openssl'
run 'openssl pkeyutl -verify -pubin -inkey dev-pub.pem -in msg.sha -sigfile msg.sig'
run 'GNUTLS_SO_PIN="$(cat code)" GNUTLS_NEW_PIN="$(cat pin2)" p11tool --provider $MODULE --initialize-pin "$U" --batch'
run '$P --login --pin "$(cat pin2)" -O --type privkey | grep dev-key'

heading 'openssl: PIN from a file, and from the terminal'
run 'export OPENSSL_CONF=$ROOT/conf/openssl-pkcs11.cnf PKCS11_PROVIDER_MODULE=$MODULE KEY="pkcs11:token=gateway;object=dev-key;type=private"'
run_in_chip Sign 'openssl pkeyutl -sign -inkey "$KEY?pin-source=file:$WORK/pin2" -in msg.sha -out file.sig'
run 'OPENSSL_CONF=/dev/null openssl pkeyutl -verify -pubin -inkey dev-pub.pem -in msg.sha -sigfile file.sig'
run_in_chip Sign '{ sleep 1; cat pin2; echo; sleep 2; } | script -qec "openssl pkeyutl -sign -inkey \"$KEY\" -in msg.sha -out asked.sig" /dev/null'
run 'OPENSSL_CONF=/dev/null openssl pkeyutl -verify -pubin -inkey dev-pub.pem -in msg.sha -sigfile asked.sig'
run_refused 'PIN|Could not' 'openssl pkeyutl -sign -inkey "$KEY?pin-value=wrong" -in msg.sha -out no.sig </dev/null'
run 'unset OPENSSL_CONF'

heading 'openssl: PEM file with the URI, PIN from a file, and from a prompt'
run 'export P11=$ROOT/conf/openssl-pkcs11.cnf'
uri_pem "$KEY?pin-source=file:$WORK/pin2" sourced.pem
uri_pem "$KEY" asking.pem
run_in_chip Sign 'OPENSSL_CONF=$P11 openssl dgst -sha256 -sign sourced.pem -out sourced.sig msg'
run 'openssl dgst -sha256 -verify dev-pub.pem -signature sourced.sig msg'
run_in_chip Sign '{ sleep 1; cat pin2; echo; sleep 2; } | OPENSSL_CONF=$P11 script -qec "openssl dgst -sha256 -sign asking.pem -out asked.sig msg" /dev/null'
run 'openssl dgst -sha256 -verify dev-pub.pem -signature asked.sig msg'
uri_pem "$KEY?pin-source=file:$WORK/pin" stale.pem
run_refused 'Could not (read|find) private key' 'OPENSSL_CONF=$P11 setsid -w openssl dgst -sha256 -sign stale.pem -out no.sig msg </dev/null'

heading 'p11tool initialises the token: certificates are deleted, keys stay, the user PIN is set again'
run 'openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -subj /CN=other -out other.pem'
run 'GNUTLS_PIN="$(cat pin2)" p11tool --provider $MODULE --login --write --load-certificate other.pem --label other "$U" --batch'
run 'p11tool --provider $MODULE --list-all-certs "$U" | grep "object=other"'
run 'GNUTLS_SO_PIN="$(cat code)" p11tool --provider $MODULE --initialize --label gateway "$U" --batch'
run '! p11tool --provider $MODULE --list-all-certs "$U" | grep "object=other"'
run 'p11tool --provider $MODULE --initialize-pin --set-so-pin "$(cat code)" --set-pin "$(cat pin)" "$U" --batch'
run_in_chip Sign '$P --login --pin "$(cat pin)" --sign -m ECDSA --id 01 -i msg.sha -o msg.sig --signature-format openssl'
run 'openssl pkeyutl -verify -pubin -inkey dev-pub.pem -in msg.sha -sigfile msg.sig'
