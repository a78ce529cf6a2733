# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# A fresh simulated token for one client's test: blank chip, provisioned, one key "dev-key" with id 01 in it.

# Lines of a test are shell text for `run`.
# shellcheck disable=SC2016

# served_chip PREFIX [PROFILE LINES]: leaves the test in a new folder with MODULE, ATECC608_PKCS11_CONF and PATH set,
# and a blank chip, or one of that profile of the simulator's with these lines in the configuration beside its bus. With
# TIMING=real it has the times of a real one. With BUILT=debug the programs are those of `cargo build`, not of the
# release.
served_chip() {
    local profile=${2:-} lines=${3:-'label = "gateway"'}
    open_work_folder "$1" '' no
    cd "$WORK"
    export PATH=$TARGET/${BUILT:-release}:$PATH
    export MODULE=$TARGET/${BUILT:-release}/libatecc608_pkcs11.so
    export ATECC608_PKCS11_CONF=$WORK/config.toml
    mkdir state
    write_file config.toml <<END
state_dir = "$WORK/state"

[[token]]
bus = "unix:$WORK/chip.sock"
$lines
END
    [ -z "$profile" ] || run "atecc608-sim new --profile $profile --state chip.eeprom"
    start_server sim.log 'atecc608-sim serve --socket chip.sock --state chip.eeprom --timing '"${TIMING:-fast}"
    wait_for 'the simulated chip' sim.log test -S chip.sock
}

# fresh_token PREFIX: the same, provisioned, with a key.
fresh_token() {
    served_chip "$1"
    run 'atecc608 provision tls --lock-forever'
    run 'pkcs11-tool --module $MODULE --token-label gateway --keypairgen --key-type EC:prime256v1 --id 01 --label dev-key'
    run 'pkcs11-tool --module $MODULE --token-label gateway --read-object --type pubkey --id 01 --output-file dev-pub.der'
    run 'openssl pkey -pubin -inform DER -in dev-pub.der -out dev-pub.pem'
    run 'printf "a message" > msg'
    run 'openssl dgst -sha256 -binary -out msg.sha msg'
}

# A software key pair, and its public half for a peer.
software_peer() {
    run 'openssl ecparam -name prime256v1 -genkey -noout -out peer.key'
    run 'openssl pkey -in peer.key -pubout -out peer-pub.pem'
    run 'openssl pkey -in peer.key -pubout -outform DER -out peer-pub.der'
}

# A CA and a server certificate for localhost, in software.
software_ca() {
    run 'openssl ecparam -name prime256v1 -genkey -noout -out ca.key'
    run 'openssl req -x509 -new -key ca.key -subj "/CN=Test CA" -days 3650 -out ca.pem -addext keyUsage=critical,keyCertSign,cRLSign'
    run 'openssl ecparam -name prime256v1 -genkey -noout -out server.key'
    run 'openssl req -new -key server.key -subj /CN=localhost -out server.csr'
    run 'printf "subjectAltName = DNS:localhost, IP:127.0.0.1\n" > server.ext'
    run 'openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile server.ext -out server.pem'
}

# A certificate for dev-key, signed by that CA, in device.pem and on the token.
device_certificate() {
    run "OPENSSL_CONF=$ROOT/conf/openssl-pkcs11.cnf PKCS11_PROVIDER_MODULE=\$MODULE openssl req -new -key 'pkcs11:token=gateway;object=dev-key;type=private' -subj /CN=device-001 -out device.csr"
    run 'openssl x509 -req -in device.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -out device.pem'
    run 'openssl x509 -in device.pem -outform DER -out device.der'
    run 'pkcs11-tool --module $MODULE --token-label gateway --write-object device.der --type cert --id 01 --label dev-key'
}

# run_in_chip COMMAND 'line' [TIMES]: runs the line, and checks with the simulator's counters that the chip executed the
# command at least TIMES times.
run_in_chip() {
    local times
    atecc608-sim stats --socket "$WORK/chip.sock" --reset >/dev/null
    run "$2"
    times=$(chip_did "$1")
    [ "$times" -ge "${3:-1}" ] || die "the chip executed $1 $times times: the work was not done in the chip"
    note "the chip: $1, $times times"
}

# chip_did COMMAND: how often the chip executed it since the counters were reset.
chip_did() {
    local times
    times=$(atecc608-sim stats --socket "$WORK/chip.sock" | tr ',{' '\n\n' | sed -n "s/^ *\"$1\": *\([0-9]*\).*/\1/p")
    echo "${times:-0}"
}

# uri_pem URI FILE: a PEM file that holds a PKCS#11 URI, for programs that take a key only as a file (pkcs11-provider reads it).
uri_pem() {
    run "printf 'asn1=SEQUENCE:s\n[s]\nd=VISIBLESTRING:PKCS\\\\#11 Provider URI v1.0\nu=FORMAT:UTF8,UTF8String:%s\n' '$1' > uri.cnf"
    run 'openssl asn1parse -genconf uri.cnf -noout -out uri.der'
    run "{ echo '-----BEGIN PKCS#11 PROVIDER URI-----'; openssl base64 -in uri.der; echo '-----END PKCS#11 PROVIDER URI-----'; } > $2"
}

# engine_configuration FILE: OpenSSL's configuration for libp11's engine with the module.
engine_configuration() {
    write_file "$1" <<END
openssl_conf = openssl_init
[openssl_init]
engines = engine_section
[engine_section]
pkcs11 = pkcs11_section
[pkcs11_section]
engine_id = pkcs11
dynamic_path = $(openssl version -e | cut -d '"' -f 2)/pkcs11.so
MODULE_PATH = $MODULE
init = 0
[req]
distinguished_name = dn
[dn]
END
}
