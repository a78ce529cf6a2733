#!/usr/bin/env bash
# Azure's key service: its calls, by a program that makes them as the service's PKCS#11 library does. The service itself is in no
# package of Debian's.

# The printed lines are shell text: their variables are meant for the moment the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages gcc libc6-dev libp11-kit-dev xxd
fresh_token azure-keys
run "cc -std=gnu11 -O2 -Wall -Wextra -Werror -I /usr/include/p11-kit-1 -o service $ROOT/tests/clients/azure/keys.c -ldl -lpthread"

# judged: openssl verifies the signature with the point.
judged() {
    { printf 3059301306072a8648ce3d020106082a8648ce3d030107034200 | xxd -r -p && cat point; } >point.der
    printf 'asn1=SEQUENCE:s\n[s]\nr=INTEGER:0x%s\ns=INTEGER:0x%s\n' "$(head -c 32 signature | xxd -p -c 32)" \
        "$(tail -c 32 signature | xxd -p -c 32)" >signature.cnf
    openssl asn1parse -genconf signature.cnf -noout -out signature.der
    openssl pkeyutl -verify -pubin -keyform DER -inkey point.der -in msg.sha -sigfile signature.der
}

heading 'A key for a device, made and used'
run_in_chip GenKey './service $MODULE gateway identity msg.sha point signature'
run 'judged'
run 'cp point first'

heading 'Renewed: the service destroys the public key, then the private one, and makes a pair of the same label'
run_in_chip Sign './service $MODULE gateway identity msg.sha point signature'
run 'judged; not cmp -s point first'
run '[ "$(pkcs11-tool --module $MODULE --token-label gateway -O --type privkey 2>/dev/null | grep -c "label: *identity")" = 1 ]'

heading 'With a PIN in the configuration of the service, although the chip has none'
run './service $MODULE gateway identity msg.sha point signature 1234'
run 'judged'
