#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Measures what a typical use by each client costs the chip, counted by the simulator: commands, and milliseconds at the
# maximum execution times. Exits with 1 if a use is over the design's budget for it, or differs from docs/clients.md.
#
#   scripts/bench.sh clients

# Lines are shell text for `run`.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/daemons.sh
. "$ROOT/scripts/lib/daemons.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

install_stock_software
need_packages curl default-jdk-headless libengine-pkcs11-openssl libnss3-tools mosquitto-clients openssh-client
need_python_venv wrappers "$ROOT/tests/clients/python/requirements.txt"
export WRAPPERS=$VENV
need_python_venv aws "$ROOT/tests/clients/aws/requirements.txt"
fresh_token bench-clients
software_ca >/dev/null
device_certificate >/dev/null
export P11=$ROOT/conf/openssl-pkcs11.cnf PKCS11_PROVIDER_MODULE=$MODULE ATECC608_LOG=error
uri_pem 'pkcs11:token=gateway;object=dev-key;type=private' key.pem >/dev/null

TLS=$(free_port)
start_server s_server.log "openssl s_server -accept 127.0.0.1:$TLS -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -www"
wait_for s_server s_server.log listening "$TLS"
MQTT=$(free_port)
mqtt_broker "$MQTT" ca.pem server.pem server.key
printf 'name = atecc608\nlibrary = %s\nslot = 0\n' "$MODULE" >p11.cfg

engine_configuration engine.cnf >/dev/null
cat >python_pkcs11.py <<'END'
import sys, pkcs11
with pkcs11.lib(sys.argv[1]).get_token(token_label="gateway").open() as session:
    key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label="dev-key")
    assert len(key.sign(bytes(32), mechanism=pkcs11.Mechanism.ECDSA)) == 64
END
cat >pykcs11.py <<'END'
import sys, PyKCS11 as p
module = p.PyKCS11Lib()
module.load(sys.argv[1])
session = module.openSession(module.getSlotList(tokenPresent=True)[0])
[key] = session.findObjects([(p.CKA_CLASS, p.CKO_PRIVATE_KEY), (p.CKA_LABEL, "dev-key")])
assert len(session.sign(key, bytes(32), p.Mechanism(p.CKM_ECDSA))) == 64
session.closeSession()
END
CLIENT_MODULE=/usr/lib/$(gcc -print-multiarch)/pkcs11/p11-kit-client.so
export CLIENT_MODULE

DOCUMENT=$ROOT/docs/clients.md
TABLE=$WORK/table
OVER=no
# The page's rows about the uses: `name|commands|ms` a line.
sed -n '/^| use | commands | ms |$/,/^$/{s/^| *\(.*\) | \([0-9]*\) | \([0-9]*\) |$/\1|\2|\3/p}' "$DOCUMENT" | tr -d '`' >documented
# use 'what it is' MOST-COMMANDS MOST-MS 'line': - means no budget.
use() {
    local commands ms verdict=''
    atecc608-sim stats --socket chip.sock --reset >/dev/null
    eval "$4" >use.log 2>&1 </dev/null || { cat use.log && die "this failed: $4"; }
    read -r commands ms < <(atecc608-sim stats --socket chip.sock | /usr/bin/python3 -c '
import json, sys
stats = json.load(sys.stdin)
print(sum(stats["commands"].values()), round(stats["chip_us_max"] / 1000))')
    if [ "$2" != - ]; then
        verdict="at most $2, $3 ms: ok"
        if [ "$commands" -gt "$2" ] || { [ "$3" != - ] && [ "$ms" -gt "$3" ]; }; then
            verdict="at most $2, $3 ms: OVER BUDGET"
            OVER=yes
        fi
    fi
    printf '%-58s %8d %6d   %s\n' "$1" "$commands" "$ms" "${verdict/, - ms/}" >>"$TABLE"
    printf '%s|%d|%d\n' "$1" "$commands" "$ms" >>measured
}

K='pkcs11:token=gateway;object=dev-key;type=private'
C='pkcs11:token=gateway;object=dev-key;type=cert'
export K C
use 'openssl req -new (pkcs11-provider)' 10 215 'OPENSSL_CONF=$P11 openssl req -new -key "$K" -subj /CN=x -out x.csr'
for version in 3 2; do
    use "openssl s_client, TLS 1.$version (pkcs11-provider)" 10 215 "printf 'GET / HTTP/1.0\r\n\r\n' | OPENSSL_CONF=\$P11 openssl s_client -connect localhost:$TLS -CAfile ca.pem -verify_return_error -cert device.pem -key \"\$K\" -tls1_$version -quiet -ign_eof | grep -q -a device-001"
done
use "openssl req -new (libp11's engine)" - - 'OPENSSL_CONF=engine.cnf openssl req -new -engine pkcs11 -keyform engine -key "$K" -subj /CN=x -out y.csr'
use 'curl (pkcs11-provider)' - - "OPENSSL_CONF=\$P11 curl -sS --cacert ca.pem --cert device.pem --key key.pem https://localhost:$TLS/"
use 'mosquitto_pub (pkcs11-provider)' - - "OPENSSL_CONF=\$P11 mosquitto_pub -h localhost -p $MQTT --cafile ca.pem --cert device.pem --key key.pem -t t -m x -q 1"
use 'p11tool --list-all, warm' 9 45 'p11tool --provider $MODULE --list-all "pkcs11:token=gateway"'
use 'p11tool --test-sign' - - 'p11tool --provider $MODULE --test-sign "$K"'
use 'gnutls-cli, TLS 1.3' - - "{ printf 'GET / HTTP/1.0\r\n\r\n'; sleep 1; } | gnutls-cli --provider \$MODULE --x509cafile ca.pem --x509certfile \"\$C\" --x509keyfile \"\$K\" -p $TLS localhost | grep -q -a device-001"
use 'pkcs11-tool --sign' - - 'pkcs11-tool --module $MODULE --token-label gateway --sign -m ECDSA --id 01 -i msg.sha -o x.sig'
use 'AWS SDK, MQTT connect' 9 - "$VENV/bin/python $ROOT/tests/clients/aws/mqtt.py sdk \$MODULE gateway dev-key device.pem ca.pem $MQTT"
use 'ssh-keygen -D' - - 'ssh-keygen -D $MODULE -e'
use 'keytool -certreq' - - 'keytool -certreq -alias dev-key -keystore NONE -storetype PKCS11 -storepass 1 -providerClass sun.security.pkcs11.SunPKCS11 -providerArg p11.cfg'
use 'python-pkcs11, a signature' - - '$WRAPPERS/bin/python python_pkcs11.py $MODULE'
use 'PyKCS11, a signature' - - '$WRAPPERS/bin/python pykcs11.py $MODULE'
p11-kit server --provider "$MODULE" -n "$WORK/p11.sock" 'pkcs11:token=gateway' >server.env 2>server.log
# shellcheck source=/dev/null
. ./server.env
SERVERS+=("$P11_KIT_SERVER_PID")
use 'pkcs11-tool --sign through p11-kit server' - - 'pkcs11-tool --module $CLIENT_MODULE --token-label gateway --sign -m ECDSA --id 01 -i msg.sha -o x.sig'
use 'certutil -L (NSS)' - - 'mkdir nss; certutil -N -d sql:nss --empty-password; modutil -dbdir sql:nss -add a -libfile $MODULE -force; certutil -L -d sql:nss -h gateway'

heading 'Cost of typical use on the chip'
printf '%-58s %8s %6s\n' use commands ms
cat "$TABLE"
[ $OVER = no ] || die 'over budget'
diff -u --label docs/clients.md --label measured documented measured || die 'docs/clients.md differs from the measurement'
