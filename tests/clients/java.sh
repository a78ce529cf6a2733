#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Java's SunPKCS11, as Greengrass uses it: keytool, and a TLS client that finds key and certificate by their equal id.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages default-jdk-headless
fresh_token java
software_ca
device_certificate
# Key and certificate belong together by their id: their labels differ, and the key with the certificate's label is another one.
run 'P11TOOL="pkcs11-tool --module $MODULE --token-label gateway"'
run '$P11TOOL --delete-object --type cert --id 01'
run '$P11TOOL --write-object device.der --type cert --id 01 --label joined'
run '$P11TOOL --keypairgen --key-type EC:prime256v1 --id 02 --label joined'
run '$P11TOOL --list-objects'
JDK=$(dirname "$(readlink -f /usr/bin/javac)")
export JDK TLS="$ROOT/tests/clients/java/Tls.java"
write_file p11.cfg <<END
name = atecc608
library = $MODULE
slot = 0
END
# keytool would otherwise make a session key and copy it: a key that is born in the chip is a token object from the start.
write_file generate.cfg <<END
name = atecc608
library = $MODULE
slot = 0
attributes(generate, CKO_PRIVATE_KEY, CKK_EC) = {
  CKA_TOKEN = true
  CKA_PRIVATE = true
  CKA_SIGN = true
}
attributes(generate, CKO_PUBLIC_KEY, CKK_EC) = {
  CKA_TOKEN = true
  CKA_VERIFY = true
}
END
run 'KEYTOOL="$JDK/keytool -keystore NONE -storetype PKCS11 -storepass 1234 -providerClass sun.security.pkcs11.SunPKCS11 -providerArg"'

heading 'keytool: list the objects, create a certificate request'
run '$KEYTOOL p11.cfg -list | tee list; grep "^joined, PrivateKeyEntry" list && [ "$(grep -c Entry list)" = 1 ]'
run_in_chip Sign '$KEYTOOL p11.cfg -certreq -alias joined -file java.csr'
run 'openssl req -in java.csr -noout -verify && openssl req -in java.csr -noout -pubkey | cmp - dev-pub.pem'

heading 'A TLS client'
port=$(free_port)
start_server s_server.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -www"
wait_for s_server s_server.log listening "$port"
for protocol in TLSv1.2 TLSv1.3; do
    # Two signatures of its own, and the handshake's.
    run_in_chip Sign "\$JDK/java \$TLS p11.cfg joined ca.pem $port $protocol > $protocol.txt" 3
    run "grep '^$protocol with' $protocol.txt && grep -a 'CN *= *device-001' $protocol.txt"
done
# With a PIN, which a token without one ignores, as Greengrass's userPin is.
run_in_chip Sign "\$JDK/java \$TLS p11.cfg joined ca.pem $port TLSv1.3 1234 | grep -a 'CN *= *device-001'"

heading 'keytool: generate a key in the chip, delete it'
run_in_chip GenKey '$KEYTOOL generate.cfg -genkeypair -alias java-key -keyalg EC -groupname secp256r1 -dname CN=java'
run '$KEYTOOL p11.cfg -list | grep "^java-key, PrivateKeyEntry"'
run '$KEYTOOL p11.cfg -exportcert -rfc -alias java-key -file java.pem; openssl verify -CAfile java.pem java.pem'
run 'pkcs11-tool --module $MODULE --token-label gateway -O --type privkey | grep -c "local"'
run '$KEYTOOL p11.cfg -delete -alias java-key'
run '$KEYTOOL p11.cfg -list > list && not grep java-key list'
