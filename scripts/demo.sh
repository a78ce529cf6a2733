#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Demonstrates the module on a simulated chip, with stock software only: a blank chip is provisioned, a key pair is
# generated in it, and that key becomes the identity of a TLS and MQTT client.
#
#   scripts/demo.sh [--real-time] [--keep] [--work FOLDER]
#
#   --real-time    the chip takes the time of silicon (by default it responds at once; the cost is counted anyway)
#   --keep         leave the work folder in place at the end
#   --work FOLDER  work there instead of in a new temporary folder, and keep it
#
# Each command is printed before it runs and can be repeated by hand, in the same order, in the same folder.
# Debian 12 or newer, as root or as a user with sudo (used to install packages and for nothing else).

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/daemons.sh
. "$ROOT/scripts/lib/daemons.sh"

usage() { sed -n '2,/^$/{/SPDX/d;s/^# \{0,1\}//p}' "$0"; }

TIMING=fast FOLDER='' KEEP_FOLDER=no
while [ $# -gt 0 ]; do
    case $1 in
        --real-time) TIMING=real ;;
        --keep) KEEP_FOLDER=yes ;;
        --work)
            FOLDER=${2:?--work needs a folder}
            shift
            ;;
        -h | --help) usage && exit 0 ;;
        *) usage >&2 && exit 2 ;;
    esac
    shift
done

# The commands of the chip since the last call, under the name of the step: the simulator counts.
cost() { run "atecc608-sim stats --socket chip.sock --reset > costs/$1.json"; }

install_and_build() {
    heading '1. Stock software, and the release build'
    getent ahosts localhost >/dev/null || die 'localhost has no address here: /etc/hosts lacks "127.0.0.1 localhost"'
    install_stock_software
    need_cargo
    need_python_venv demo "$ROOT/scripts/requirements.txt"
    run "cd $ROOT"
    run "cargo build --release --locked"
}

blank_chip() {
    heading '2. A blank chip'
    run "cd $WORK"
    run "export PATH=$TARGET/release:\$PATH"
    run "export MODULE=$TARGET/release/libatecc608_pkcs11.so"
    run 'export ATECC608_PKCS11_CONF=$PWD/config.toml'
    run 'mkdir -p state costs'
    write_file config.toml <<END
state_dir = "$WORK/state"

[[token]]
bus = "unix:$WORK/chip.sock"
address = 0x60
label = "gateway"
END
    start_server sim.log "atecc608-sim serve --socket chip.sock --state chip.eeprom --timing $TIMING"
    wait_for 'the simulated chip' sim.log test -S chip.sock
    run 'atecc608 info'
    cost 01-info-of-the-blank-chip
}

provision() {
    heading '3. Provision it: look first, then lock'
    run 'atecc608 provision tls'
    cost 02-provision-only-shown
    run 'atecc608 provision tls --lock-forever'
    cost 03-provision-and-lock
    run 'atecc608 info'
    cost 04-info
    run 'atecc608 doctor'
    cost 05-doctor
}

generate_keys() {
    heading '4. Two key pairs, born in the chip'
    run 'pkcs11-tool --module $MODULE --token-label gateway --keypairgen --key-type EC:prime256v1 --id 01 --label dev-key'
    cost 06-key-pair-with-pkcs11-tool
    run 'p11tool --provider $MODULE --generate-ecc --curve secp256r1 --id 02 --label second-key --outfile second-key.pub "pkcs11:token=gateway"'
    cost 07-key-pair-with-p11tool
}

make_ca() {
    heading '5. A certificate authority, and a certificate for the servers (no chip here)'
    run 'openssl ecparam -name prime256v1 -genkey -out ca.key'
    run 'head -n 1 ca.key'
    run 'openssl req -new -key ca.key -subj "/CN=Demo CA" -out ca.csr'
    write_file ca.ext <<'END'
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
    run 'openssl x509 -req -in ca.csr -signkey ca.key -days 3650 -extfile ca.ext -out ca.pem'
    run 'openssl ecparam -name prime256v1 -genkey -noout -out server.key'
    run 'openssl req -new -key server.key -subj /CN=localhost -out server.csr'
    write_file server.ext <<'END'
subjectAltName = DNS:localhost, IP:127.0.0.1
extendedKeyUsage = serverAuth
END
    run 'openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile server.ext -out server.pem'
}

certify_device() {
    heading '6. A certificate for the key in the chip: openssl through pkcs11-provider'
    # The configuration is given to the single command that needs the token, so that nothing else of openssl changes.
    run "export P11=$ROOT/conf/openssl-pkcs11.cnf"
    run 'export PKCS11_PROVIDER_MODULE=$MODULE'
    run 'export KEY="pkcs11:token=gateway;object=dev-key;type=private"'
    run 'OPENSSL_CONF=$P11 openssl req -new -key "$KEY" -subj /CN=device-001 -sha256 -out device.csr'
    cost 08-csr-with-openssl-req
    run 'openssl req -in device.csr -noout -verify -subject'
    write_file device.ext <<'END'
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
END
    run 'openssl x509 -req -in device.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile device.ext -out device.pem'
    run 'openssl verify -CAfile ca.pem -purpose sslclient device.pem'
}

write_certificate() {
    heading '7. The certificate beside its key (same id, same label), and all that is on the token'
    run 'p11tool --provider $MODULE --write --load-certificate device.pem --id 01 --label dev-key "pkcs11:token=gateway"'
    cost 09-certificate-with-p11tool
    run 'p11tool --provider $MODULE --list-all "pkcs11:token=gateway"'
    cost 10-list-with-p11tool
    run 'pkcs11-tool --module $MODULE --token-label gateway -O'
    cost 11-list-with-pkcs11-tool
}

talk_mqtt() {
    heading '8. MQTT with the AWS SDK and its PKCS#11 mutual TLS'
    local port
    port=$(free_port)
    mqtt_broker "$port" ca.pem server.pem server.key
    note 'first a client without a certificate, which the broker must refuse:'
    run_refused 'certificate required|handshake failure' \
        "printf hello | openssl s_client -connect 127.0.0.1:$port -servername localhost -CAfile ca.pem -brief -ign_eof"
    run "$VENV/bin/python $ROOT/scripts/aws_mqtt.py --module \$MODULE --token gateway --key dev-key --cert device.pem --ca ca.pem --port $port | tee mqtt.txt"
    cost 12-mqtt-with-the-aws-sdk
    run 'grep "device-001" broker.log'
    stop_last_server
}

talk_tls() {
    heading '9. TLS 1.2 and TLS 1.3 with openssl s_client'
    local port file
    port=$(free_port)
    # -rev returns each line reversed, so an "olleh" can only come through the finished handshake.
    start_server s_server.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -brief -rev"
    wait_for 'openssl s_server' s_server.log listening "$port"
    run 'export CERT="pkcs11:token=gateway;object=dev-key;type=cert"'
    run "printf 'hello\nCLOSE\n' | OPENSSL_CONF=\$P11 openssl s_client -connect localhost:$port -servername localhost -CAfile ca.pem -verify_return_error -cert device.pem -key \"\$KEY\" -tls1_2 -brief -ign_eof > tls1_2.txt 2>&1"
    run 'grep -E "Protocol version|Verification|olleh" tls1_2.txt'
    cost 13-tls-1.2-with-s_client
    run "printf 'hello\nCLOSE\n' | OPENSSL_CONF=\$P11 openssl s_client -connect localhost:$port -servername localhost -CAfile ca.pem -verify_return_error -cert \"\$CERT\" -key \"\$KEY\" -tls1_3 -brief -ign_eof > tls1_3.txt 2>&1"
    run 'grep -E "Protocol version|Verification|olleh" tls1_3.txt'
    cost 14-tls-1.3-certificate-from-the-token
    run 'grep -E "Protocol version|Peer certificate|Verification" s_server.log'
    for file in tls1_2.txt tls1_3.txt; do
        grep -q olleh "$file" || die "the server did not answer: see $file"
    done
    stop_last_server
}

try_to_export() {
    heading '10. Try to take the private key out'
    run "/usr/bin/python3 $ROOT/scripts/try_export.py \$MODULE gateway dev-key | tee export.txt"
    cost 15-attempt-to-read-the-private-key
}

summary() {
    heading 'What was done'
    note 'a blank ATECC608B was provisioned with the profile "tls" and permanently locked'
    note 'two P-256 keys were born in it: pkcs11-tool asked for one, p11tool for the other'
    note "$(openssl verify -CAfile ca.pem device.pem), $(openssl x509 -in device.pem -noout -subject)"
    note "MQTT, AWS SDK:     $(grep -m 1 'received' mqtt.txt 2>/dev/null || true)"
    note "TLS 1.2, TLS 1.3:  $(grep -h 'Protocol version' tls1_2.txt tls1_3.txt | tr '\n' ' ')"
    printf '\n'
    "$VENV/bin/python" "$ROOT/scripts/cost_table.py" costs/*.json
    printf '\n'
    note 'the private key, asked for with C_GetAttributeValue:'
    grep -E 'CKA_VALUE|EXTRACTABLE' export.txt
}

open_work_folder atecc608-demo "$FOLDER" "$KEEP_FOLDER"
install_and_build
blank_chip
provision
generate_keys
make_ca
certify_device
write_certificate
talk_mqtt
talk_tls
try_to_export
summary
