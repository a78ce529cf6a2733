#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# OpenSC's pkcs11-tool: all its functions that this token supports.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

fresh_token pkcs11-tool
software_peer
run 'P="pkcs11-tool --module $MODULE --token-label gateway"'

heading 'Module, slot, token and mechanisms'
run 'pkcs11-tool --module $MODULE -I'
run 'pkcs11-tool --module $MODULE -L'
run 'pkcs11-tool --module $MODULE -T | grep "token label *: gateway"'
run '$P -M | grep -E "ECDSA, keySize"'

heading 'Through pkcs11-spy, which writes to the interface it gets'
run 'PKCS11SPY=$MODULE pkcs11-tool --module "$(ls /usr/lib/*/pkcs11-spy.so)" -L | grep "token label *: gateway"'

heading 'Sign, verify with openssl'
run_in_chip Sign '$P --sign -m ECDSA --id 01 -i msg.sha -o ecdsa.sig --signature-format openssl'
run 'openssl pkeyutl -verify -pubin -inkey dev-pub.pem -in msg.sha -sigfile ecdsa.sig'
run_in_chip Sign '$P --sign -m ECDSA-SHA256 --id 01 -i msg -o sha256.sig --signature-format openssl'
run 'openssl dgst -sha256 -verify dev-pub.pem -signature sha256.sig msg'
run_in_chip Sign '$P --sign -m ECDSA --id 01 -i msg.sha -o raw.sig'
run '$P --verify -m ECDSA --id 01 -i msg.sha --signature-file raw.sig'
run 'printf "another message" > other; openssl dgst -sha256 -binary -out other.sha other'
# It says so, and exits with 0 (0.23).
run_says 'Invalid signature|CKR_SIGNATURE_INVALID' '$P --verify -m ECDSA --id 01 -i other.sha --signature-file raw.sig'

heading 'ECDH, both ends'
run_in_chip ECDH '$P --derive -m ECDH1-DERIVE --id 01 -i peer-pub.der -o secret.chip'
run 'openssl pkeyutl -derive -inkey peer.key -peerkey dev-pub.pem -out secret.peer'
run 'cmp secret.chip secret.peer'

heading 'Digest and random numbers'
run '$P --hash -m SHA256 -i msg -o msg.sha.token'
run 'cmp msg.sha msg.sha.token'
run '$P --generate-random 32 | wc -c | grep -x 32'

heading 'Objects: certificate, data, labels, deletion of a key'
software_ca
device_certificate
run '$P --read-object --type cert --id 01 -o read.der'
run 'cmp read.der device.der'
run 'printf "some data" > data'
run '$P --write-object data --type data --label note --application-label test'
run '$P --read-object --type data --label note -o data.read'
run 'cmp data data.read'
run_in_chip GenKey '$P --keypairgen --key-type EC:prime256v1 --usage-sign --id 31 --label k31'
run '$P --type privkey --id 31 --set-id 32'
run '$P -O --type privkey | grep -E "ID: +(32|50 .0x32.)"'
# The tool ignores the label when it signs, and takes the first private key: the id names one.
run '$P --read-object --type pubkey --label k31 | openssl pkey -pubin -inform DER -out k31.pem'
run '$P --sign -m ECDSA --id 32 -i msg.sha -o k31.sig --signature-format openssl'
run 'openssl pkeyutl -verify -pubin -inkey k31.pem -in msg.sha -sigfile k31.sig'
run '$P --sign -m ECDSA --label k31 -i msg.sha -o first.sig --signature-format openssl'
run 'openssl pkeyutl -verify -pubin -inkey dev-pub.pem -in msg.sha -sigfile first.sig'
run '$P --delete-object --type privkey --label k31'
run_refused 'Private(/secret)? key not found' '$P --sign -m ECDSA --id 32 -i msg.sha -o gone.sig'

heading 'Import a private key'
run '$P --write-object peer.key --type privkey --id 40 --label imported'
run_in_chip Sign '$P --sign -m ECDSA --id 40 -i msg.sha -o imported.sig --signature-format openssl'
run 'openssl pkeyutl -verify -pubin -inkey peer-pub.pem -in msg.sha -sigfile imported.sig'
run '$P --read-object --type pubkey --id 40 -o imported.der'
run 'cmp imported.der peer-pub.der'
# There is room for one, and it is not written over.
run_refused 'CKR_DEVICE_MEMORY' '$P --write-object peer.key --type privkey --id 41 --label second'
run '$P --delete-object --type privkey --id 40'
run_refused 'Private(/secret)? key not found' '$P --sign -m ECDSA --id 40 -i msg.sha -o gone.sig'

heading 'Generate secret keys in the chip'
# The tool asks for CKA_SENSITIVE=false unless it is told otherwise, and for CKA_PRIVATE=false.
run_refused 'CKR_TEMPLATE_INCONSISTENT' '$P --keygen --key-type AES:16 --id 50 --label aes'
run_in_chip Write '$P --keygen --key-type AES:16 --id 50 --label aes --sensitive'
run_in_chip Write '$P --keygen --key-type GENERIC:32 --id 51 --label mac --sensitive'
run '$P -O --type secrkey | tee secret.txt; [ "$(grep -c "Access: *sensitive" secret.txt)" = 2 ]'
run_refused 'CKR_ATTRIBUTE_SENSITIVE' '$P --read-object --type secrkey --id 50'
run 'openssl rand 61 > plain; IV=000102030405060708090a0b0c0d0e0f'
# Four blocks: each of them is a command.
run_in_chip AES '$P --encrypt -m AES-CBC-PAD --iv $IV --id 50 -i plain -o encrypted' 4
run 'not cmp -s plain encrypted'
run_in_chip AES '$P --decrypt -m AES-CBC-PAD --iv $IV --id 50 -i encrypted | cmp - plain' 4
run_in_chip SHA '$P --sign -m SHA256-HMAC --id 51 -i msg -o msg.mac'
run_in_chip SHA '$P --verify -m SHA256-HMAC --id 51 -i msg --signature-file msg.mac | grep "Signature is valid"'
run_says 'Invalid signature|CKR_SIGNATURE_INVALID' '$P --verify -m SHA256-HMAC --id 51 -i other --signature-file msg.mac'
run '$P --sign -m SHA256-HMAC --id 51 -i other | not cmp -s - msg.mac'

heading 'Import secret keys, compare with openssl'
run 'openssl rand 16 > aes.key; openssl rand 32 > mac.key; hex() { od -An -v -tx1 "$1" | tr -d " \n"; }'
run '$P --write-object aes.key --type secrkey --key-type AES:16 --id 52 --label aes-elsewhere --sensitive'
run_in_chip AES '$P --encrypt -m AES-CBC-PAD --iv $IV --id 52 -i plain -o encrypted' 4
run 'openssl enc -aes-128-cbc -K "$(hex aes.key)" -iv $IV -in plain | cmp - encrypted'
run 'openssl enc -aes-128-ecb -nopad -K "$(hex aes.key)" -in msg.sha -out encrypted'
run_in_chip AES '$P --decrypt -m AES-ECB --id 52 -i encrypted | cmp - msg.sha' 2
# The profile has one slot for a generic secret. The tool makes one where it is not told a key type (and knows AES and DES3 only).
run '$P --delete-object --type secrkey --id 51'
run '$P --write-object mac.key --type secrkey --id 53 --label mac-elsewhere --sensitive'
run_in_chip SHA '$P --sign -m SHA256-HMAC --id 53 -i msg -o msg.mac'
run 'openssl dgst -sha256 -mac HMAC -macopt hexkey:"$(hex mac.key)" -binary msg | cmp - msg.mac'

heading 'A second key with the same label is refused (AWS clients would use neither)'
run_refused 'CKR_ATTRIBUTE_VALUE_INVALID' '$P --keypairgen --key-type EC:prime256v1 --id 33 --label dev-key'

heading 'Unsupported curve: standard return code'
# pkcs11-tool 0.23 has no name for CKR_CURVE_NOT_SUPPORTED.
run_refused 'CKR_CURVE_NOT_SUPPORTED|rv = .*0x140' \
    '$P --keypairgen --key-type EC:secp384r1 --id 34 --label big'

# Its own tests always exit with 0: their output decides.
heading 'pkcs11-tool --test'
run '$P --test > test.log 2>&1; cat test.log'
run 'grep -x "No errors" test.log'
run '$P --login --pin 1234 --test > login.log 2>&1; cat login.log'
run 'grep -x "No errors" login.log'
# --write-object makes the session of --test-ec a read-write one, which it needs and does not ask for.
run_in_chip Sign '$P --login --pin 1234 --write-object data --type data --label scratch --test-ec --id 55 --key-type EC:prime256v1 2>&1 | tee ec.log'
run 'grep "Deleting the private and the public key again" ec.log'
run '! grep -iE "error|failed|aborting|CKR_" ec.log'
run '$P --delete-object --type data --label scratch'
run '$P --test-fork'
run '$P --test-threads INGISLT0 --test-threads ILGISLT0 --test-threads INP0GISLT0GISLT0 > threads.log 2>&1; cat threads.log'
# Versions 0.23 and 0.26 word it differently.
run '[ "$(grep -c -E "returning rv( = 0|:CKR_OK)" threads.log)" = 3 ]'
