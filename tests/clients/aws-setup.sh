#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# `atecc608 aws setup` with the real AWS CLI, against moto (PyPI), which simulates AWS; and MQTT, with the files it
# wrote, to a broker that trusts moto's CA. docs/aws-iot.md lists what moto lacks.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/daemons.sh
. "$ROOT/scripts/lib/daemons.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages ca-certificates curl faketime mosquitto opensc openssl python3 python3-venv strace
need_python_venv aws-setup "$ROOT/tests/clients/python/requirements-aws.txt"
served_chip aws-setup
export PATH=$VENV/bin:$PATH PYTHONDONTWRITEBYTECODE=1
MOTO="$VENV/bin/python $ROOT/tests/clients/python/moto_server.py"

# No profile of this machine and no metadata service is used.
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
unset AWS_PROFILE AWS_REGION AWS_DEFAULT_PROFILE AWS_ENDPOINT_URL AWS_SESSION_TOKEN
set_credentials() { export AWS_ACCESS_KEY_ID=testing AWS_SECRET_ACCESS_KEY=testing AWS_DEFAULT_REGION=eu-central-1; }
set_credentials

# moto draws another endpoint at each call; from the same seed it is the same, as an account's is.
same_endpoint() { curl -sf -X POST "$AWS_ENDPOINT_URL/moto-api/seed?a=608" >/dev/null; }

# Whether the last output of `aws` has this value for the key: has FILE KEY VALUE
has() { "$VENV/bin/python" -c 'import json, sys; assert json.load(open(sys.argv[1]))[sys.argv[2]] == sys.argv[3]' "$@"; }

heading 'Local errors: nothing is changed'
run_refused 'the chip is not provisioned' 'atecc608 aws setup --thing gateway-1 --dir $WORK/gateway-1'
run 'atecc608 provision tls --lock-forever 2>provision.log'
run_refused "'/' is not allowed.*a-z A-Z 0-9 : _ -" 'atecc608 aws setup --thing gateway/1'
run_refused 'is not installed.*apt install awscli' 'PATH=$TARGET/release atecc608 aws setup --thing gateway-1'
run_refused 'no credentials: .aws configure' 'env -u AWS_ACCESS_KEY_ID atecc608 aws setup --thing gateway-1'
run_refused 'use --region' 'env -u AWS_DEFAULT_REGION atecc608 aws setup --thing gateway-1'
run_refused 'check the network' 'AWS_ENDPOINT_URL=http://127.0.0.1:1 atecc608 aws setup --thing gateway-1'

heading 'Dry run: prints calls and files, sends no request'
run 'AWS_ENDPOINT_URL=http://127.0.0.1:1 atecc608 aws setup --thing gateway-1 --feature jobs --dir $WORK/dry --dry-run >dry.txt'
run 'grep -E "^  aws iot create-certificate-from-csr .*device.csr" dry.txt && grep "client/gateway-1" dry.txt && not test -e dry'
run 'atecc608 key list | tee keys.txt && not grep gateway-1 keys.txt'

heading 'Unmodified moto: a certificate for another key is refused'
port=$(free_port)
export AWS_ENDPOINT_URL=http://127.0.0.1:$port
start_server moto.log "$MOTO --port $port"
wait_for 'moto' moto.log listening "$port"
run_refused 'a certificate .* for another key than the one in the chip' 'atecc608 aws setup --thing gateway-1 --dir $WORK/gateway-1'
run 'not test -e gateway-1/device.pem'
run 'aws iot list-certificates --query "certificates[].status" --output text | tee status.txt && grep -x INACTIVE status.txt'

heading 'Invalid credentials, and missing IAM permissions'
run 'aws iam create-user --user-name nobody >user.json'
run 'aws iam create-access-key --user-name nobody --query "AccessKey.[AccessKeyId,SecretAccessKey]" --output text >access.txt'
# From the N-th call on moto asks who it is.
asks_after() { printf '%s' "$1" | curl -sf -H content-type:text/plain --data-binary @- "$AWS_ENDPOINT_URL/moto-api/reset-auth" >/dev/null; }
asks_after 0
run_refused 'log in again' 'atecc608 aws setup --thing denied --key gateway-1 --dir $WORK/denied'
asks_after 2
run_refused 'CreateCertificateFromCsr.*IAM permissions' 'read -r id secret <access.txt; AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret atecc608 aws setup --thing denied --key gateway-1 --dir $WORK/denied'
stop_last_server

heading 'Setup with one command (moto signs for the key of the request)'
port=$(free_port)
export AWS_ENDPOINT_URL=http://127.0.0.1:$port
start_server moto.log "$MOTO --port $port --sign-requests $WORK/moto-ca.pem"
wait_for 'moto' moto.log listening "$port"
software_ca
same_endpoint
run_in_chip Sign 'atecc608 aws setup --thing gateway-1 --dir $WORK/gateway-1 --root-ca ca.pem --json >first.json'
run 'openssl verify -CAfile moto-ca.pem gateway-1/device.pem'
run 'openssl req -in gateway-1/device.csr -noout -verify -subject | grep "CN *= *gateway-1"'

heading 'Resources at AWS'
run 'openssl x509 -in gateway-1/device.pem -outform DER | sha256sum | cut -d" " -f1 | tee id.txt'
run 'aws iot describe-certificate --certificate-id $(cat id.txt) --query certificateDescription >certificate.json && has certificate.json status ACTIVE'
run 'aws iot list-thing-principals --thing-name gateway-1 --output text | grep ":cert/$(cat id.txt)"'
run 'aws iot list-attached-policies --target $(aws iot list-thing-principals --thing-name gateway-1 --query "principals[0]" --output text) --output text | grep atecc608-gateway-1'
run 'aws iot get-policy --policy-name atecc608-gateway-1 --query policyDocument --output text >policy.json'
run '"$VENV/bin/python" -c "import json; assert json.load(open(\"policy.json\")) == json.load(open(\"gateway-1/policy.json\"))"'
run 'not grep -E "iot:\*|\"\*\"" gateway-1/policy.json'

heading 'File modes that AWS IoT Device Client requires'
run 'stat -c "%a %n" gateway-1 gateway-1/* | tee modes.txt'
run 'grep -x "700 gateway-1" modes.txt && grep -x "640 gateway-1/libatecc608_pkcs11.so" modes.txt'
run 'grep -x "644 gateway-1/device.pem" modes.txt && grep -x "644 gateway-1/root-ca.pem" modes.txt && grep -x "640 gateway-1/device-client.json" modes.txt'
run 'cmp gateway-1/libatecc608_pkcs11.so $MODULE'

heading 'systemd accepts the unit'
# The client is not on this machine, and a simulated chip has no node.
run 'sed "s|^ExecStart=[^ ]*|ExecStart=/bin/true|" gateway-1/aws-iot-device-client.service >device-client-test.service'
run 'systemd-analyze verify ./device-client-test.service'
run 'systemd-analyze security --offline=true --threshold=25 ./device-client-test.service | tail -n 1'

heading 'aws check, without a network: errors with the client messages'
look='AWS_ENDPOINT_URL=http://127.0.0.1:1 atecc608 aws check --dir gateway-1'
run "$look"
for wrong in '755 gateway-1/libatecc608_pkcs11.so|PKCS#11 library file' '755 gateway-1|PKCS#11 library file' \
    '600 gateway-1/device.pem|public cert file' '600 gateway-1/root-ca.pem|Root CA file'; do
    path=${wrong%%|*}
    run "stat -c 'chmod %a %n' ${path#* } >back.sh && chmod $path"
    run_refused "Incorrect permissions on ${wrong#*|}" "$look"
    case $path in
    *.so) run_refused 'its mode is not 640' 'atecc608 aws refresh --check --dir gateway-1' ;;
    *gateway-1) run_refused 'has mode 755' 'atecc608 aws refresh --check --dir gateway-1' ;;
    esac
    run 'sh back.sh'
done
# told KEY... VALUE: the Device Client's configuration, with another value.
told() {
    "$VENV/bin/python" -c 'import functools, json, sys
*keys, last, value = sys.argv[1:]
with open("gateway-1/device-client.json", "r+") as file:
    told = json.load(file)
    functools.reduce(dict.get, keys, told)[last] = json.loads(value)
    file.seek(0)
    file.truncate()
    json.dump(told, file)' "$@"
}
run 'cp -p gateway-1/device-client.json right.json'
for wrong in 'secure-element secure-element-key-label \"another\"|AWS_ERROR_PKCS11_KEY_NOT_FOUND' \
    'secure-element secure-element-token-label \"elsewhere\"|AWS_ERROR_PKCS11_TOKEN_NOT_FOUND' \
    'secure-element secure-element-pin \"\"|Secure Element Pin field must be specified' \
    'cert \"/elsewhere.pem\"|cert is "/elsewhere.pem"' 'thing-name \"\"|thing-name is missing'; do
    run "told ${wrong%|*}"
    run_refused "${wrong##*|}" "$look"
    run 'cp -p right.json gateway-1/device-client.json'
done
run 'told config-shadow enabled true'
run "$look | grep 'config-shadow lets the cloud'"
run 'cp -p right.json gateway-1/device-client.json'
run 'mv gateway-1/device.pem right.pem && cp -p ca.pem gateway-1/device.pem'
run_refused 'is not for the key .*TLS_ERROR_NEGOTIATION_FAILURE' "$look"
run 'mv right.pem gateway-1/device.pem'
run_refused 'was valid until .*TLS_ERROR_NEGOTIATION_FAILURE' "faketime -f +40y env $look"
run_refused 'on, and this machine.s clock shows' "faketime -f -10y env $look"
run "$look"

heading 'MQTT: the generated program, and the SDK with the Device Client configuration'
port=$(free_port)
run 'cat moto-ca.pem ca.pem >clients-ca.pem'
mqtt_broker "$port" clients-ca.pem server.pem server.key
run_in_chip Sign "$VENV/bin/python gateway-1/sdk_connect.py --host localhost --port $port"
run 'grep "u.gateway-1." broker.log'
run_in_chip Sign "$VENV/bin/python $ROOT/tests/clients/python/device_client.py gateway-1/device-client.json --host localhost --port $port"

heading 'Chip with a PIN: written to the configuration only with --write-pin'
write_file pin.toml <<END
state_dir = "$WORK/state"

[[token]]
bus = "sim:$WORK/pin.eeprom"
label = "pinned"
END
run 'printf "correct horse\n" >pin && mkdir -p keys'
run 'atecc608 --config pin.toml provision tls-pin --lock-forever --pin-file pin --recovery-code-file code 2>provision-pin.log'
same_endpoint
run 'ATECC608_PKCS11_CONF=pin.toml atecc608 aws setup --thing pinned --dir $WORK/pinned --root-ca ca.pem --pin-file pin'
run 'not grep -r "correct horse" pinned && grep ENTER-THE-PIN pinned/device-client.json'
# The client prints its configuration when it starts: into a file of its own.
run 'grep "\"type\": \"FILE\"" pinned/device-client.json'
run 'ATECC608_PKCS11_CONF=pin.toml atecc608 aws check --dir pinned --module $MODULE | grep "needs the token.s PIN as secure-element-pin"'
same_endpoint
run 'ATECC608_PKCS11_CONF=pin.toml atecc608 aws setup --thing pinned --dir $WORK/pinned --root-ca ca.pem --pin-file pin --write-pin --replace'
run 'grep -rl "correct horse" pinned | tee with-pin.txt && grep -x pinned/device-client.json with-pin.txt && [ "$(wc -l <with-pin.txt)" = 1 ]'
run "ATECC608_PKCS11_CONF=\$WORK/pin.toml $VENV/bin/python $ROOT/tests/clients/python/device_client.py pinned/device-client.json --host localhost --port $port"
stop_last_server

heading 'Second run: nothing is created again'
same_endpoint
run 'atecc608 aws setup --thing gateway-1 --dir $WORK/gateway-1 --root-ca ca.pem --json >again.json'
run 'has again.json certificate_id $(cat id.txt) && not grep -E "create-|attach-|update-|\"(written|kept|replaced)\"" again.json'

heading 'Stopped after each call that changes something, response lost: the next run continues'
run 'mkdir stopping && ln -s "$VENV/bin/aws" stopping/real-aws'
write_file stopping/aws <<'END'
#!/bin/sh
case "$2" in
create-* | attach-* | update-*)
    echo "$2" >>"$STOPPING/calls"
    [ -e "$STOPPING/done-$2" ] && exec "$STOPPING/real-aws" "$@"
    touch "$STOPPING/done-$2"
    "$STOPPING/real-aws" "$@" >/dev/null && echo "answer lost" >&2
    exit 137
    ;;
esac
exec "$STOPPING/real-aws" "$@"
END
run 'chmod +x stopping/aws && export STOPPING=$WORK/stopping'
for call in create-certificate-from-csr create-thing create-policy attach-policy attach-thing-principal update-certificate; do
    same_endpoint
    run_refused 'answer lost' 'PATH=$STOPPING:$PATH atecc608 aws setup --thing gateway-2 --dir $WORK/gateway-2 --root-ca ca.pem'
    run "tail -n 1 stopping/calls | grep -x $call"
done
same_endpoint
run 'PATH=$STOPPING:$PATH atecc608 aws setup --thing gateway-2 --dir $WORK/gateway-2 --root-ca ca.pem --json >second.json'
# The certificate whose response was lost is inactive and unattached; everything else was created once.
run 'sort stopping/calls | uniq -c | tee counts.txt && grep -q " 2 create-certificate-from-csr" counts.txt && [ "$(grep -c " 1 " counts.txt)" = 5 ]'
run 'aws iot list-thing-principals --thing-name gateway-2 --query "length(principals)" | grep -x 1'
run 'aws iot list-certificates --query "certificates[?status==\`ACTIVE\`] | length(@)" | grep -x 3'

heading 'Resources and files of others are not changed'
run_refused 'belongs to the thing .gateway-1' 'atecc608 aws setup --thing other --key gateway-1 --dir $WORK/other --root-ca ca.pem'
run_refused ResourceNotFound 'aws iot describe-thing --thing-name other'
run_refused 'has a certificate for another key' 'atecc608 aws setup --thing gateway-1 --key another --dir $WORK/another --root-ca ca.pem'
run 'atecc608 key list | tee keys.txt && not grep another keys.txt'
run_refused '--update-policy' 'atecc608 aws setup --thing gateway-1 --feature jobs --dir $WORK/gateway-1 --root-ca ca.pem'
same_endpoint
run 'printf "{}" >gateway-1/device-client.json'
run_refused 'endpoint is nothing' 'atecc608 aws setup --thing gateway-1 --feature jobs,shadow --update-policy --dir $WORK/gateway-1 --root-ca ca.pem'
run 'grep -x "{}" gateway-1/device-client.json'
run 'atecc608 aws setup --thing gateway-1 --feature jobs,shadow --dir $WORK/gateway-1 --root-ca ca.pem --replace --json >replaced.json'
run 'grep -x "{}" gateway-1/device-client.json.old && grep "shadow/\*" gateway-1/policy.json'
run 'aws iot list-policy-versions --policy-name atecc608-gateway-1 --query "length(policyVersions)" | grep -x 2'

heading 'Lost files and state: the certificate is found at AWS'
run 'mv gateway-2 lost && mv state state.lost && mkdir state'
same_endpoint
run 'atecc608 key list'
run 'atecc608 aws setup --thing gateway-2 --key key-2 --dir $WORK/gateway-2 --root-ca ca.pem --json >found.json'
run 'cmp gateway-2/device.pem lost/device.pem'

heading 'Greengrass core device'
same_endpoint
run 'atecc608 aws setup --thing core-1 --feature greengrass --role-alias Exchange --dir $WORK/core-1 --root-ca ca.pem'
run "$VENV/bin/python $ROOT/tests/clients/python/greengrass.py core-1/greengrass.yaml"
run 'pkcs11-tool --module $MODULE --token-label gateway --read-object --type cert --label core-1 | openssl x509 -inform DER -noout -subject | grep core-1'

run 'atecc608 aws check --dir core-1 | grep "Greengrass configuration  *$WORK"'
run 'sed -i "s|^  rootpath:.*|  rootpath: \"/elsewhere\"|" core-1/greengrass.yaml'
run_refused 'lacks rootpath' 'atecc608 aws check --dir core-1'

heading 'Own CA: just-in-time registration, and --register'
run_refused 'is not the private key of ca.pem' 'atecc608 aws setup --thing gateway-4 --dir $WORK/gateway-4 --root-ca ca.pem --ca-cert ca.pem --ca-key server.key'
run 'not test -e gateway-4'
same_endpoint
run 'atecc608 aws setup --thing gateway-4 --dir $WORK/gateway-4 --root-ca ca.pem --ca-cert ca.pem --ca-key ca.key 2>own.txt && grep "does not know this CA" own.txt'
run 'openssl verify -CAfile ca.pem gateway-4/device.pem && grep -c BEGIN gateway-4/device.pem | grep -x 2'
run_refused ResourceNotFound 'aws iot describe-thing --thing-name gateway-4'
same_endpoint
run 'atecc608 aws setup --thing gateway-4 --dir $WORK/gateway-4 --root-ca ca.pem --ca-cert ca.pem --ca-key ca.key --register'
run 'aws iot list-thing-principals --thing-name gateway-4 --output text | grep $(openssl x509 -in gateway-4/device.pem -outform DER | sha256sum | cut -d" " -f1)'

heading 'Killed before each file is renamed: the next run completes'
if strace -o /dev/null true 2>strace.log; then
    setup='atecc608 aws setup --thing killed --key gateway-4 --dir $WORK/killed --root-ca ca.pem --ca-cert ca.pem --ca-key ca.key --endpoint localhost --json'
    for ((step = 1; step <= 30; step++)); do
        run 'rm -rf killed'
        run "status=0; strace -f -qq -o /dev/null -e trace=renameat2,renameat,rename -e inject=renameat2,renameat,rename:signal=KILL:when=$step $setup >step.json 2>step.log || status=\$?"
        [ "$status" = 137 ] || break
        run "$setup >killed.json && not grep -E '\"(failed|kept)\"' killed.json && openssl verify -CAfile ca.pem killed/device.pem"
    done
    run '[ "$status" = 0 ] && [ "$step" -gt 6 ]'
else
    note "not tested: a kill before each file is renamed: $(tail -n 1 strace.log)"
fi

heading 'Trust&GO chip: its own certificate; another key for an existing thing (replaced board)'
run 'atecc608-sim new --profile tngtls --state sold.eeprom'
write_file sold.toml <<END
state_dir = "$WORK/state"

[[token]]
bus = "sim:$WORK/sold.eeprom"
address = 0x35
label = "sold"
END
export ATECC608_PKCS11_CONF=$WORK/sold.toml
same_endpoint
run_refused 'no key "sold-1".*atecc608 key list' 'atecc608 aws setup --thing sold-1 --key sold-1 --chip-certificate --dir $WORK/sold-1 --root-ca ca.pem'
run 'atecc608 aws setup --thing sold-1 --chip-certificate --dir $WORK/sold-1 --root-ca ca.pem'
run 'openssl x509 -in sold-1/device.pem -noout -issuer | grep "Microchip Technology Inc"'
run 'aws iot list-thing-principals --thing-name sold-1 --output text | grep $(openssl x509 -in sold-1/device.pem -outform DER | sha256sum | cut -d" " -f1)'
run_refused '--existing-thing' 'atecc608 aws setup --thing gateway-1 --key key-2 --feature jobs,shadow --dir $WORK/replaced --root-ca ca.pem'
run 'atecc608 aws setup --thing gateway-1 --key key-2 --feature jobs,shadow --dir $WORK/replaced --root-ca ca.pem --existing-thing'
run 'aws iot list-thing-principals --thing-name gateway-1 --query "length(principals)" | grep -x 2'

heading 'Module upgrade: the private copy is updated'
run 'atecc608 aws refresh --dir gateway-1 --dir gateway-2 --check'
run 'cp $MODULE upgraded.so && printf "another version" >>upgraded.so'
run_refused 'gateway-1.*old' 'atecc608 aws refresh --dir gateway-1 --module upgraded.so --check'
run 'atecc608 aws refresh --dir gateway-1 --dir gateway-2 --module upgraded.so'
run 'cmp gateway-1/libatecc608_pkcs11.so upgraded.so && stat -c %a gateway-1/libatecc608_pkcs11.so | grep -x 640'

heading 'Default folder, without --dir (/etc is an overlay in memory, in a separate namespace)'
write_file usual.toml <<END
state_dir = "$WORK/state"

[[token]]
bus = "sim:$WORK/usual.eeprom"
label = "usual"
END
export ATECC608_PKCS11_CONF=$WORK/usual.toml
run 'atecc608 provision tls --lock-forever 2>provision-usual.log'
run 'mkdir memory installed && cp $TARGET/release/atecc608 $MODULE installed'
write_file usual.sh <<'END'
set -euo pipefail
. ./environment.sh
set -x
mount -t tmpfs memory memory
mkdir memory/upper memory/work
mount -t overlay etc -o lowerdir=/etc,upperdir=memory/upper,workdir=memory/work /etc
PATH=$PWD/installed:$PATH
module=$PWD/installed/libatecc608_pkcs11.so
thing=/etc/atecc608-pkcs11/aws/usual-1
atecc608 aws setup --thing usual-1 --root-ca ca.pem
grep "\"$thing/libatecc608_pkcs11.so\"" "$thing/device-client.json"
cmp "$thing/libatecc608_pkcs11.so" "$module"
atecc608 aws refresh --check | grep -x "ok       $thing/libatecc608_pkcs11.so  current"
printf 'another version' >>"$module"
status=0
atecc608 aws refresh --check || status=$?
test $status = 3
atecc608 aws refresh | grep "^ok       $thing/libatecc608_pkcs11.so  renewed"
cmp "$thing/libatecc608_pkcs11.so" "$module"
stat -c '%a %n' "$thing" "$thing/libatecc608_pkcs11.so" | grep -c -e "^700 $thing$" -e "^640 $thing/" | grep -x 2
END
same_endpoint
# sudo keeps no environment.
run 'export -p | grep -E " (AWS_[A-Z_]*|ATECC608_PKCS11_CONF|PATH)=" >environment.sh && as_root unshare --mount bash usual.sh'
run 'not test -e /etc/atecc608-pkcs11/aws/usual-1'
