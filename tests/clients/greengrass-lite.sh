#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Greengrass nucleus lite: the files that `atecc608 aws setup --client greengrass-lite` writes, installed as it says, and a program that
# loads key and certificate with them and connects as the nucleus does. The nucleus itself is in no package of Debian's.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/daemons.sh
. "$ROOT/scripts/lib/daemons.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"
# shellcheck source=scripts/lib/network.sh
. "$ROOT/scripts/lib/network.sh"

need_packages gcc libc6-dev libssl-dev mosquitto opensc openssl python3 python3-yaml
# The nucleus's port and folder are fixed: a network and mounts of this test's own.
own_network --net --mount

# What AWS IoT's endpoint is called, and this machine in its place.
HOST=a1b2c3d4e5f6g7-ats.iot.eu-central-1.amazonaws.com
LITE=$ROOT/tests/clients/aws/greengrass_lite.c
served_chip greengrass-lite
run 'unset OPENSSL_CONF'
run "cc -std=gnu11 -O2 -Wall -Wextra -Werror -o lite $LITE -lssl -lcrypto"
software_ca
run "printf 'subjectAltName = DNS:$HOST\n' > endpoint.ext"
run 'openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile endpoint.ext -out server.pem'
run 'mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work'
run 'mount -t overlay none -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc'
run "echo 127.0.0.1 localhost $HOST > /etc/hosts"
mqtt_broker 8883 ca.pem server.pem server.key '' 'tls_version tlsv1.3'

# set_up THING MORE: as docs/aws-iot.md has it, with an own CA; then what it prints as the next steps, as far as it installs files.
set_up() {
    run "atecc608 aws setup --thing $1 --client greengrass-lite --role-alias Exchange --endpoint $HOST --region eu-central-1 \
        --credentials-endpoint c1.credentials.iot.eu-central-1.amazonaws.com --ca-cert ca.pem --ca-key ca.key --root-ca ca.pem \
        --module \$MODULE --dir \$WORK/$1 $2 > $1.txt || { cat $1.txt; false; }"
    run "sed -n '/Greengrass lite: sudo/,\$s/.*sudo \(install .*-m 644 .*\)/\1/p' $1.txt > install.sh && bash -eux install.sh"
    run 'export OPENSSL_CONF=$(sed -n "s/^Environment=OPENSSL_CONF=//p" /etc/systemd/system/ggl.core.iotcored.service.d/atecc608.conf)'
    run "python3 $ROOT/tests/clients/python/greengrass_lite.py $1 $HOST > $1.sh && . ./$1.sh"
    run 'ls /etc/systemd/system/ggl.core.{iotcored,tesd,ggdeploymentd}.service.d/atecc608.conf'
}

heading 'Setup, installation, connection with TLS 1.3'
run 'atecc608 provision tls --lock-forever'
run_refused 'and Greengrass lite accepts 127: give the key a shorter label' \
    'atecc608 aws setup --thing core-1 --client greengrass-lite --role-alias Exchange --endpoint $HOST --credentials-endpoint c1.x --ca-cert ca.pem --ca-key ca.key --root-ca ca.pem --dir $WORK/none --key $(printf "k%.0s" {1..99})'
set_up core-1 ''
run 'grep "Greengrass lite.s key  *OpenSSL finds pkcs11:token=gateway;object=core-1;type=private" core-1.txt'
run_in_chip Sign './lite connect "$KEY" "$CERTIFICATE" "$ROOT_CA" $HOST "$THING" 3 > connected.txt' 3
run '[ "$(grep -cx "core-1: connected, TLSv1.3" connected.txt)" = 3 ] && grep "as core-1 .*u.core-1" broker.log'
run_refused 'hostname mismatch' './lite connect "$KEY" "$CERTIFICATE" "$ROOT_CA" localhost "$THING" 1'

heading 'Every form of URI'
SERIAL=$(pkcs11-tool --module "$MODULE" --list-slots 2>/dev/null | sed -n 's/^ *serial num *: //p')
ID=$(pkcs11-tool --module "$MODULE" --list-objects --type privkey 2>/dev/null | sed -n 's/^ *ID: *//p' | sed 's/../%&/g')
for name in 'token=gateway;object=core-1' 'object=core-1' "id=$ID" "token=gateway;id=$ID" "serial=$SERIAL;object=core-1" \
    'token=gate%77ay;object=core%2D1' "slot-id=0;object=core-1" 'manufacturer=Microchip%20Technology%20Inc;object=core-1'; do
    run "./lite load 'pkcs11:$name;type=private' 'pkcs11:$name;type=cert'"
done
run './lite load "pkcs11:object=core-1" "pkcs11:object=core-1"'
run "./lite load 'pkcs11:object=core-1;type=private?module-path=$MODULE' core-1/device.pem"

heading 'Failures, and the messages of the nucleus'
run_refused 'Failed to extract certificate' './lite load "$KEY" "pkcs11:object=other;type=cert"'
run_refused 'Failed to load key info' './lite load "pkcs11:object=other;type=private" "$CERTIFICATE"'
run_refused 'Failed to extract certificate' './lite load "pkcs11:token=other;object=core-1;type=private" "pkcs11:token=other;object=core-1;type=cert"'
run_refused 'Failed to open cert store' 'env -u OPENSSL_CONF ./lite load "$KEY" "$CERTIFICATE"'

heading 'aws check'
run 'atecc608 aws check --dir core-1 --module $MODULE | grep "Greengrass lite configuration  *$WORK"'
run_refused 'OpenSSL does not find pkcs11:token=gateway;object=core-1;type=private: .*Failed to open cert store' \
    'PKCS11_PROVIDER_MODULE=/nowhere.so atecc608 aws check --dir core-1 --module $MODULE'
run 'sed -i "s|/libatecc608|/other|" core-1/openssl-greengrass.cnf'
run_refused 'openssl-greengrass.cnf lacks pkcs11-module-path' 'atecc608 aws check --dir core-1 --module $MODULE'

heading 'Token with a PIN in a separate file'
stop_last_server
stop_last_server
run 'rm -r chip.eeprom chip.sock state/*'
start_server sim.log 'atecc608-sim serve --socket chip.sock --state chip.eeprom --timing fast'
wait_for 'the simulated chip' sim.log test -S chip.sock
mqtt_broker 8883 ca.pem server.pem server.key '' 'tls_version tlsv1.3'
run 'printf "correct horse\n" > pin'
run 'atecc608 provision tls-pin --lock-forever --pin-file pin --recovery-code-file code'
set_up core-2 '--pin-file pin'
run 'not grep -r "correct horse" core-2 /etc/greengrass'
run_refused 'fopen.*/token-pin' './lite load "$KEY" "$CERTIFICATE"'
run 'grep "install -m 640 -g ggcore PIN-FILE /etc/greengrass/token-pin" core-2.txt && install -m 640 pin /etc/greengrass/token-pin'
run_in_chip Sign './lite connect "$KEY" "$CERTIFICATE" "$ROOT_CA" $HOST "$THING" 2 > connected.txt' 2
run '[ "$(grep -cx "core-2: connected, TLSv1.3" connected.txt)" = 2 ]'
run 'echo wrong-pin > /etc/greengrass/token-pin'
run_refused 'Failed to load key info' './lite load "$KEY" "$CERTIFICATE"'
