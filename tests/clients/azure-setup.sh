#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# `atecc608 azure setup`, and what it wrote: the certificate and the key's file with openssl, and the real Azure IoT SDK
# for Python, which connects to a broker on loopback. Azure itself is not involved: docs/azure-iot.md says what that
# leaves untested.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/daemons.sh
. "$ROOT/scripts/lib/daemons.sh"
# shellcheck source=scripts/lib/network.sh
. "$ROOT/scripts/lib/network.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages iproute2 mosquitto openssl python3 python3-venv
install_pkcs11_provider
need_python_venv azure "$ROOT/tests/clients/python/requirements-azure.txt"
# The SDK knows one port only, 8883.
own_network --net
served_chip azure-setup
export P11=$ROOT/conf/openssl-pkcs11.cnf PKCS11_PROVIDER_MODULE=$MODULE PYTHONDONTWRITEBYTECODE=1

heading 'Local errors: nothing is changed'
run_refused 'the chip is not provisioned' 'atecc608 azure setup --offline --device gateway-1 --hub acme --dir $WORK/hub'
run 'atecc608 provision tls --lock-forever 2>provision.log'
run_refused "' ' is not allowed" 'atecc608 azure setup --device "gateway 1" --hub acme'
run_refused 'hub|dps' 'atecc608 azure setup --device gateway-1'
run_refused 'az.*can.t be run.*use --offline' 'PATH=$TARGET/release atecc608 azure setup --device gateway-1 --hub acme --dir $WORK/online'
run 'not test -e online && atecc608 key list | tee keys.txt && not grep gateway-1 keys.txt'

heading 'Dry run: prints commands and files, writes nothing'
run 'atecc608 azure setup --device gateway-1 --hub acme --dir $WORK/hub --dry-run >dry.txt'
run 'grep -E "^  az iot hub device-identity create .*THUMBPRINT" dry.txt && grep "planned .*enrol.sh" dry.txt && not test -e hub'
run 'atecc608 key list | tee keys.txt && not grep gateway-1 keys.txt'

heading 'IoT Hub: self-signed certificate'
run 'atecc608 azure setup --offline --device gateway-1 --hub acme --dir $WORK/hub --json >hub.json'
run 'openssl verify -CAfile hub/device.pem hub/device.pem'
run 'openssl x509 -in hub/device.pem -noout -subject | grep "CN *= *gateway-1"'
run 'openssl x509 -in hub/device.pem -noout -fingerprint -sha256 | tr -d : | sed "s/.*=//" | tee thumbprint.txt'
run 'grep "device-identity create --hub-name acme --device-id gateway-1 --auth-method x509_thumbprint --primary-thumbprint $(cat thumbprint.txt)" hub/enrol.sh'
run 'sh -n hub/enrol.sh'

heading 'Second run: the same certificate'
run 'cp hub/device.pem first.pem && atecc608 azure setup --offline --device gateway-1 --hub acme --dir $WORK/hub --json >again.json && cmp first.pem hub/device.pem'
run 'not grep -E "\"(written|replaced|kept)\"" again.json'

heading 'The key as a file'
run 'OPENSSL_CONF=$P11 openssl pkey -in hub/device-key.pem -pubout | cmp - <(openssl x509 -in hub/device.pem -noout -pubkey)'

heading 'Certificate of a CA: IoT Hub and DPS, with the IoT Edge configuration'
software_ca
run 'atecc608 azure setup --offline --device gateway-2 --hub acme.azure-devices.net --ca-cert ca.pem --ca-key ca.key --ca-name acme-ca --edge --dir $WORK/ca'
run 'openssl verify -CAfile ca.pem ca/device.pem && grep "x509_ca --edge-enabled true" ca/enrol.sh && grep "certificate create .*--name acme-ca .*--verified true" ca/enrol.sh'
run 'atecc608 azure setup --offline --device gateway-3 --dps acme-dps --resource-group iot --scope 0ne000AB --edge --dir $WORK/dps'
run 'grep "dps enrollment create --dps-name acme-dps --resource-group iot --enrollment-id gateway-3 .*--certificate-path $WORK/dps/device.pem" dps/enrol.sh'
write_file toml.py <<'END'
import sys
try:
    import tomllib
except ImportError:
    sys.exit("Python 3.11 or newer reads TOML")
hub, dps = (tomllib.load(open(name + "/edge-config.toml", "rb")) for name in ("ca", "dps"))
assert hub["provisioning"]["iothub_hostname"] == "acme.azure-devices.net", hub
assert hub["provisioning"]["authentication"]["identity_pk"] == "pkcs11:token=gateway;object=gateway-2", hub
assert dps["provisioning"]["id_scope"] == "0ne000AB" and dps["provisioning"]["attestation"]["registration_id"] == "gateway-3", dps
assert dps["aziot_keys"]["pkcs11_lib_path"].endswith("/libatecc608_pkcs11.so"), dps
END
run '/usr/bin/python3 toml.py'
run_refused 'is another certificate' 'atecc608 azure setup --offline --device gateway-3 --key gateway-1 --hub acme --dir $WORK/dps'

heading 'The generated programs compile'
run '/usr/bin/python3 -m py_compile hub/sdk_connect.py ca/sdk_connect.py dps/sdk_connect.py'

heading 'The Azure IoT SDK for Python connects with the key in the chip (its port is fixed: 8883)'
run 'cat hub/device.pem dps/device.pem >>ca.pem'
run 'printf "subjectAltName = DNS:localhost, DNS:global.azure-devices-provisioning.net\n" >server.ext'
run 'openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile server.ext -out server.pem'
mqtt_broker 8883 ca.pem server.pem server.key
run 'OPENSSL_CONF=$P11 "$VENV/bin/python" hub/sdk_connect.py --hub localhost --server-ca ca.pem'
run 'OPENSSL_CONF=$P11 "$VENV/bin/python" ca/sdk_connect.py --hub localhost --server-ca ca.pem'
run 'grep "devices/gateway-1/messages/events/" broker.log && grep "devices/gateway-2/messages/events/" broker.log'

heading 'DPS: the SDK sends its registration to the same broker, which never responds'
write_file at_localhost.py <<'END'
import runpy, socket, sys
resolve = socket.getaddrinfo
def at_localhost(host, *more, **named):
    return resolve("localhost" if host == "global.azure-devices-provisioning.net" else host, *more, **named)
socket.getaddrinfo = at_localhost
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
END
status=0
run 'OPENSSL_CONF=$P11 timeout 15 "$VENV/bin/python" at_localhost.py dps/sdk_connect.py --server-ca ca.pem' || status=$?
run "[ $status = 124 ] && grep 'gateway-3 .*dps/registrations/PUT/iotdps-register' broker.log"
