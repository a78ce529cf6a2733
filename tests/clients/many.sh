#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Many at once: a TLS server, an MQTT client, p11tool and ssh on one chip, in the chip's own time, for two minutes.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/daemons.sh
. "$ROOT/scripts/lib/daemons.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages openssh-client openssh-server mosquitto mosquitto-clients curl
TIMING=real
fresh_token many
software_ca
device_certificate
run 'openssl x509 -req -in device.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile server.ext -out chip.pem'
run "export P11=$ROOT/conf/openssl-pkcs11.cnf PKCS11_PROVIDER_MODULE=\$MODULE ATECC608_LOG=error"
uri_pem 'pkcs11:token=gateway;object=dev-key;type=private' key.pem

heading 'The servers'
HTTPS=$(free_port)
start_server https.log "env OPENSSL_CONF=$P11 openssl s_server -accept 127.0.0.1:$HTTPS -cert chip.pem -key key.pem -www"
wait_for 's_server' https.log listening "$HTTPS"
BROKER=$(free_port)
mqtt_broker "$BROKER" ca.pem server.pem server.key
SSH_PORT=$(free_port)
[ -d /run/sshd ] || as_root mkdir -p /run/sshd
run 'ssh-keygen -q -t ed25519 -N "" -f host_key; ssh-keygen -D $MODULE -e > authorized_keys'
write_file sshd_config <<END
ListenAddress 127.0.0.1:$SSH_PORT
HostKey $WORK/host_key
PidFile $WORK/sshd.pid
AuthorizedKeysFile $WORK/authorized_keys
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
MaxStartups 100
END
start_server sshd.log "/usr/sbin/sshd -D -e -f $WORK/sshd_config"
wait_for sshd sshd.log listening "$SSH_PORT"
run "printf '[127.0.0.1]:%s %s\n' $SSH_PORT \"\$(cat host_key.pub)\" > known_hosts"
export HTTPS BROKER SSH_PORT

heading 'Load: four clients in parallel for 2 minutes'
atecc608-sim stats --socket chip.sock --reset >/dev/null
run '/usr/bin/python3 $ROOT/tests/clients/many/run.py 120 chip.sock \
    https="curl -sS --cacert ca.pem https://localhost:$HTTPS/ | grep -q -a TLSv1.3" \
    mqtt="OPENSSL_CONF=$P11 mosquitto_pub -h localhost -p $BROKER --cafile ca.pem --cert device.pem --key key.pem -t t -m hello -q 1" \
    p11tool="p11tool --provider $MODULE --list-all pkcs11:token=gateway | grep -c URL: | grep -qx 3 && p11tool --provider $MODULE --test-sign \"pkcs11:token=gateway;object=dev-key;type=private\" 2>&1 | grep -q ok" \
    ssh="[ \$(ssh -F /dev/null -I $MODULE -o UserKnownHostsFile=known_hosts -o BatchMode=yes -o IdentityFile=none -p $SSH_PORT $(id -un)@127.0.0.1 echo in) = in ]"'

heading 'Comparison with the counts of broker, sshd and chip'
run 'tail *.runs'
# Of the broker, of sshd and of the chip: each run of a client is one there, with this device's key, and signed by the chip.
run '[ "$(grep -c "New client connected .*u.device-001" broker.log)" = "$(cat mqtt.runs)" ]'
run '[ "$(grep -c "Accepted publickey for $(id -un) .* ECDSA " sshd.log)" = "$(cat ssh.runs)" ]'
SIGNED=$(chip_did Sign) RUNS=$(($(cat https.runs) + $(cat mqtt.runs) + $(cat p11tool.runs) + $(cat ssh.runs)))
note "$SIGNED signatures in $RUNS runs"
[ "$SIGNED" -ge "$RUNS" ] || die 'the chip made fewer signatures than there were runs'
