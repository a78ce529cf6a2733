#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# `atecc608 aws claim`: fleet provisioning by claim, through mosquitto, with a stand-in for AWS behind it
# (tests/clients/python/provisioning.py). Each possible failure, and a kill at each step. docs/aws-iot.md lists the
# differences from AWS.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/daemons.sh
. "$ROOT/scripts/lib/daemons.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages faketime mosquitto opensc openssl python3 python3-venv strace
need_python_venv aws-claim "$ROOT/tests/clients/python/requirements-claim.txt"
served_chip aws-claim
# The tool's most detailed log, for the search at the end.
export ATECC608_LOG=trace:$WORK/trace.log PYTHONDONTWRITEBYTECODE=1

# A certificate for $1 (a CSR), by the CA, in $2; options of openssl follow.
sign() { openssl x509 -req -in "$1" -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -out "$2" "${@:3}" 2>/dev/null; }

heading 'Preparation: claim certificate, broker, stand-in for AWS'
software_ca
run 'openssl ecparam -name prime256v1 -genkey -noout -out claim.key && chmod 600 claim.key'
run 'openssl req -new -key claim.key -subj "/CN=claim" -out claim.csr && sign claim.csr claim.pem'
run 'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -subj "/CN=Another CA" -out other.pem 2>/dev/null'
port=$(free_port)
plain=$(free_port)
# The stand-in for AWS has a listener of its own. The user "listener" may not publish.
write_file acl <<'END'
user claim
topic readwrite $aws/#
user in-chip
topic readwrite $aws/#
user listener
topic read $aws/#
END
write_file acl-aws <<'END'
topic readwrite $aws/#
END
mqtt_broker "$port" ca.pem server.pem server.key '' "acl_file $WORK/acl
listener $plain 127.0.0.1
allow_anonymous true
acl_file $WORK/acl-aws"
run 'mv broker.log broker-claim.log'
start_server aws.log "$VENV/bin/python $ROOT/tests/clients/python/provisioning.py --port $plain --ca $WORK/aws-ca.pem"
wait_for 'the stand-in for AWS' aws.log grep -q ready aws.log

CLAIM="--claim-cert claim.pem --claim-key claim.key"
SERIAL='--parameter SerialNumber={serial}'
# claim KEY OPTIONS: for a key of that label and a folder of that name; TEMPLATE, ENDPOINT, PORT, ROOT_CA and FOLDER change the rest.
claim() {
    printf '%s' "atecc608 aws claim --template ${TEMPLATE:-fleet} --endpoint ${ENDPOINT:-localhost} --port ${PORT:-$port}" \
        " --root-ca ${ROOT_CA:-ca.pem} --key $1 --dir \$WORK/${FOLDER:-$1} $2"
}

heading 'Local errors: no request is sent'
run_refused 'the chip is not provisioned' "$(claim one "$CLAIM $SERIAL")"
run 'atecc608 provision tls --lock-forever 2>provision.log'
run_refused 'list-provisioning-templates' "$(TEMPLATE=a/b claim one "$CLAIM")"
run_refused 'without https://' "$(ENDPOINT=https://localhost claim one "$CLAIM")"
run_refused 'NAME=VALUE' "$(claim one "$CLAIM --parameter SerialNumber")"
run_refused 'is not the certificate of the key' "$(claim one '--claim-cert claim.pem --claim-key server.key')"
run_refused 'needs its certificate' "$(claim one '--claim-key claim.key')"
run_refused 'No such file' "$(claim one '--claim-cert claim.pem --claim-key none.key')"
run_refused 'is not supported; object' "$(claim one '--claim-key pkcs11:id=%01')"
run_refused 'holds no key|none|no private key' "$(claim one '--claim-key pkcs11:object=none')"
run_refused 'timedatectl' "faketime -f +10y $(claim one "$CLAIM")"
run "$(claim one "$CLAIM $SERIAL --dry-run") | tee dry.txt"
run 'grep -x "  RegisterThing  *\$aws/provisioning-templates/fleet/provision/json" dry.txt && grep "parameter  *SerialNumber=0123[0-9A-Fa-f]\{14\}$" dry.txt'
run 'not grep -E "^(certificate|registration)" aws.log && not test -e one/device.pem'

heading 'Failed or interrupted connection: nothing is stored'
run_refused 'host has no address.*Check the network' "$(ENDPOINT=nowhere.invalid claim one "$CLAIM")"
run_refused 'no connection: .*refused.*network' "$(PORT=1 claim one "$CLAIM")"
run_refused 'certificate is not signed by a trusted CA.*--root-ca' "$(ROOT_CA=other.pem claim one "$CLAIM")"
run 'printf "subjectAltName = DNS:elsewhere.example\n" >elsewhere.ext && sign server.csr elsewhere.pem -extfile elsewhere.ext'
run 'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout stranger.key -subj "/CN=stranger" -out stranger.pem 2>/dev/null'
run_refused 'refuses this client.s certificate.*registered and active' "$(claim one '--claim-cert stranger.pem --claim-key stranger.key')"
# bad MODE CERTIFICATE PATTERN: the tool's message about a bad broker.
bad() {
    local bad
    bad=$(free_port)
    start_server "bad-$1.log" "$VENV/bin/python $ROOT/tests/clients/python/bad_broker.py $1 --port $bad --cert $2 --key server.key"
    wait_for 'the bad broker' "bad-$1.log" listening "$bad"
    run_refused "$3.*atecc608 aws claim. continues" "${4:-} $(PORT=$bad claim one "$CLAIM --timeout 1")"
    stop_last_server
}
bad silent server.pem 'within 1 s .--timeout. while waiting for the TLS handshake'
bad mute server.pem 'within 1 s .--timeout. while waiting for the response to CONNECT'
bad drip server.pem 'within 1 s .--timeout. while waiting for the response to CONNECT'
bad garbage server.pem 'is not MQTT'
bad huge server.pem 'is not MQTT instead of .*: a packet of 268435455 bytes'
bad close server.pem 'closed the connection while this tool waited for the response to CONNECT.*iot:Connect as the client 0123'
bad refused server.pem 'refused the connection .NotAuthorized'
bad close elsewhere.pem 'is for another name.*--endpoint'
run 'sign server.csr short.pem -extfile server.ext -days 1'
bad close short.pem 'not valid at the time that this machine.s clock shows.*timedatectl' 'faketime -f +2d'

heading 'Claim certificate without the required permissions'
run 'openssl req -new -key claim.key -subj "/CN=listener" -out listener.csr && sign listener.csr listener.pem'
bad denied server.pem 'refused the subscription to .aws/certificates.*iot:Subscribe'
bad forbidden server.pem 'closed the connection while this tool waited for the subscription to .aws/certificates.*iot:Subscribe'
run 'not grep -E "^(certificate|registration)" aws.log && not test -e one/device.pem'
run 'atecc608 key list | tee keys.txt && not grep "\"one\"" keys.txt'
# mosquitto silently drops messages that may not be published.
run_refused 'within 1 s .--timeout. while waiting for the response to .aws/certificates.*iot:Publish' "$(claim one '--claim-cert listener.pem --claim-key claim.key --timeout 1')"

heading 'Failed or invalid response: no certificate is stored, the next run uses the same key'
# fault CALL MODE PATTERN
fault() {
    run "echo $1 $2 >fault"
    run_refused "$3" "$(claim one "$CLAIM $SERIAL --timeout 1")"
    run 'rm fault && not test -e one/device.pem && not test -e one/claim.json'
}
fault certificate never 'within 1 s .--timeout. while waiting for the response to .aws/certificates/create-from-csr/json'
fault certificate garbage 'response to CreateCertificateFromCsr is not in AWS.s format: it is not JSON'
fault certificate rejected 'rejected CreateCertificateFromCsr: AccessDenied .403.: The pre-provisioning hook said no.n'
fault certificate other-key 'for another key than the one in the chip'
fault certificate no-chain 'not a chain, each signed by the next'
run 'not grep ^registration aws.log'
fault registration never 'within 1 s .* the response to .*/fleet/provision/json'
fault registration garbage 'response to RegisterThing is not in AWS.s format'
fault registration rejected 'rejected RegisterThing: AccessDenied .403..*pre-provisioning hook'
fault registration odd-thing 'fleet/../1. can.t be a thing.s name'
run_refused 'rejected RegisterThing: InvalidParameters .400.: Parameter SerialNumber is missing.*--parameter' "$(claim one "$CLAIM")"
run 'atecc608 key list | tee keys.txt && [ "$(grep -c "\"one\"" keys.txt)" = 1 ]'

heading 'Claim with one command'
run 'echo certificate slow >fault'
run_in_chip Sign "$(claim one "$CLAIM $SERIAL --parameter Site=Berlin --feature jobs --json >first.json")"
run 'rm fault && grep "\"claimed\": true" first.json && grep "\"Site\": \"Berlin\"" first.json'
run 'openssl verify -CAfile aws-ca.pem one/device.pem'
run 'openssl x509 -in one/device.pem -outform DER | sha256sum | cut -d" " -f1 | tee id.txt && grep $(cat id.txt) first.json one/claim.json'
run 'stat -c "%a %n" one one/* | tee modes.txt && grep -x "700 one" modes.txt && grep -x "644 one/device.pem" modes.txt && grep -x "640 one/libatecc608_pkcs11.so" modes.txt'
run 'THING=fleet-$(sed -n "s/.*\"serial_number\": *\"\(.*\)\".*/\1/p" first.json) && grep "\"thing-name\": \"$THING\"" one/device-client.json'
run 'pkcs11-tool --module $MODULE --token-label gateway --read-object --type cert --label one | cmp - <(openssl x509 -in one/device.pem -outform DER)'

heading 'Clients connect with the certificate'
devices=$(free_port)
run 'cat ca.pem aws-ca.pem >clients-ca.pem'
mqtt_broker "$devices" clients-ca.pem server.pem server.key
run_in_chip Sign "$VENV/bin/python one/sdk_connect.py --host localhost --port $devices"
run_in_chip Sign "$VENV/bin/python $ROOT/tests/clients/python/device_client.py one/device-client.json --host localhost --port $devices"
stop_last_server

heading 'Second run: no request is sent, missing files are written again'
run "before=\$(wc -l <aws.log) && rm one/device-client.json && mv claim.key gone.key"
run "$(PORT=1 claim one "$CLAIM $SERIAL --feature jobs --json >again.json")"
run 'mv gone.key claim.key && grep "\"claimed\": false" again.json && [ "$(wc -l <aws.log)" = "$before" ] && grep fleet- one/device-client.json'
run_refused 'is for another key than .two. in the chip' "$(FOLDER=one claim two "$CLAIM $SERIAL")"
run 'atecc608 key list | tee keys.txt && not grep two keys.txt'

heading 'Two runs in one folder: the second is refused'
run 'echo certificate slow >fault'
run "$(FOLDER=twice claim one "$CLAIM $SERIAL --json >twice.json") & first=\$!"
run 'while ! [ -e twice ]; do sleep 0.05; done'
run_refused 'another set-up is working in .*/twice' "$(FOLDER=twice claim one "$CLAIM $SERIAL")"
run 'wait $first && rm fault && grep "\"claimed\": true" twice.json'

heading 'Claim key in the chip, TLS 1.3 and 1.2'
run 'atecc608 key generate --label in-chip && atecc608 csr --key in-chip --subject /CN=in-chip -o in-chip.csr'
run_refused 'the token has no certificate for this key' "$(claim two "--claim-key 'pkcs11:object=in-chip;type=private' $SERIAL")"
run 'sign in-chip.csr in-chip.pem && atecc608 cert import in-chip.pem'
# The handshake, and the request.
run_in_chip Sign "$(claim two "--claim-key 'pkcs11:token=gateway;object=in-chip;type=private' $SERIAL --json >two.json")" 2
run 'grep "u.in-chip." broker-claim.log && grep "\"claimed\": true" two.json'
write_file tls12.cnf <<'END'
openssl_conf = start
[start]
ssl_conf = ssl
[ssl]
system_default = only
[only]
MaxProtocol = TLSv1.2
END
old=$(free_port)
run 'rm -rf two'
mqtt_broker "$old" ca.pem server.pem server.key "env OPENSSL_CONF=$WORK/tls12.cnf"
run "openssl s_client -connect localhost:$old -CAfile ca.pem </dev/null >tls12.txt 2>&1 || true && grep '^New, TLSv1.2' tls12.txt"
# There is no AWS behind this one.
run_in_chip Sign "run_refused 'within 1 s .*create-from-csr' \"\$(PORT=$old claim two '--claim-key pkcs11:object=in-chip $SERIAL --timeout 1')\"" 2
run 'grep "u.in-chip." broker.log'
stop_last_server

heading 'Killed at each step: the next run completes with the same key'
# killed_at STEP OPTIONS: before the file number STEP gets to its place; the exit status is in "status".
killed_at() {
    run "status=0; strace -f -qq -o /dev/null -e trace=renameat2,renameat,rename -e inject=renameat2,renameat,rename:signal=KILL:when=$1 $(claim killed "$CLAIM $SERIAL >step.json 2>step.log") || status=\$?"
}
strace -o /dev/null true 2>strace.log && traced=yes || traced=no
if [ "$traced" = yes ]; then
    # Before and after the chip generates the key: the intent, what became of it.
    for step in 1 2; do
        killed_at "$step"
        run '[ "$status" = 137 ] && not test -e killed/device.pem'
    done
    run 'grep "generating the key" step.log'
fi
for call in certificate registration; do
    run "echo $call kill >fault"
    run "$(claim killed "$CLAIM $SERIAL") & echo \$! >tool.pid; wait \$! || [ \$? = 137 ]"
    run 'tail -n 1 aws.log | grep "^killed '"$call"'" && rm fault && not test -e killed/device.pem'
done
run "$(claim killed "$CLAIM $SERIAL --json >killed.json")"
run 'grep "\"claimed\": true" killed.json && atecc608 key list | tee keys.txt && [ "$(grep -c "\"killed\"" keys.txt)" = 1 ]'
if [ "$traced" = yes ]; then
    # The record, the certificate, the token's state, the clients' files.
    for ((step = 1; step <= 30; step++)); do
        run 'rm -rf killed'
        killed_at "$step"
        [ "$status" = 137 ] || break
        run "$(claim killed "$CLAIM $SERIAL --json >killed.json 2>step.log") && grep fleet- killed/device-client.json && not grep -E '\"(failed|kept)\"' killed.json"
    done
    run '[ "$status" = 0 ] && [ "$step" -gt 6 ]'
    run 'atecc608 key list | tee keys.txt && [ "$(grep -c "\"killed\"" keys.txt)" = 1 ]'
else
    note "not tested: a kill before each file is renamed: $(tail -n 1 strace.log)"
fi

heading 'No free slot: no request is sent'
run 'while atecc608 key generate >/dev/null 2>full.txt; do :; done; cat full.txt'
run 'before=$(wc -l <aws.log)'
run_refused 'free' "$(claim full "$CLAIM $SERIAL")"
run '[ "$(wc -l <aws.log)" = "$before" ]'

heading 'No ownership token in any file'
run '[ "$(grep -c ^certificate aws.log)" -gt 5 ] && [ -s trace.log ]'
run 'not grep -rl --binary-files=text ownership-token- .'
