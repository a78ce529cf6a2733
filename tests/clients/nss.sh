#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# NSS, the library of Firefox: the module registered with modutil, keys listed, made and used for a CSR with certutil.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages libnss3-tools
fresh_token nss
software_ca
device_certificate
run 'export NSS=sql:$WORK/nss; mkdir nss; head -c 64 /dev/urandom > noise; echo unused > pin'

heading 'The module is registered'
run 'certutil -N -d $NSS --empty-password'
run 'modutil -dbdir $NSS -add atecc608 -libfile $MODULE -force'
run 'modutil -dbdir $NSS -list atecc608 | tee list; grep "Token Name: gateway" list; ! grep -i "could not initialize" list'

heading 'What is on the token is seen'
run 'certutil -K -d $NSS -h gateway -f pin | tee keylist; grep "dev-key" keylist'
run 'certutil -L -d $NSS -h gateway -f pin | tee certlist; grep "gateway:dev-key" certlist'
run 'certutil -L -d $NSS -h gateway -n gateway:dev-key -a | openssl x509 -outform DER | cmp - device.der'

heading 'A certificate request with the key in the chip'
run 'ID=$(sed -n "s/.* ec *\([0-9a-f]*\) *.*dev-key.*/\1/p" keylist); echo "key id $ID"'
run_in_chip Sign 'certutil -R -d $NSS -h gateway -f pin -k "$ID" -s CN=nss -a -o nss.csr'
run 'openssl req -in nss.csr -noout -verify && openssl req -in nss.csr -noout -pubkey | cmp - dev-pub.pem'

heading 'A key made by NSS: without label or id at first, both given later'
run_in_chip GenKey 'certutil -G -d $NSS -h gateway -f pin -k ec -q secp256r1 -z noise'
run 'certutil -K -d $NSS -h gateway -f pin | tee keylist; [ "$(grep -c " ec " keylist)" = 2 ]'
run 'pkcs11-tool --module $MODULE --token-label gateway -O --type privkey | grep -c "ID: .*[0-9a-f]\{40\}"'

heading 'A signed message'
run 'certutil -A -d $NSS -n ca -t CT,C,C -i ca.pem'
run_in_chip Sign 'cmsutil -S -d $NSS -f pin -N gateway:dev-key -i msg -o msg.p7 -T -H SHA256'
run 'openssl cms -verify -inform DER -in msg.p7 -content msg -CAfile ca.pem -purpose any -out /dev/null'
