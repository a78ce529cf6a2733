#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Python's two wrappers: all their functions that this token supports, checked with Python's own code or openssl. And
# Python's own TLS, whose key is a PEM file that holds a URI.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages python3 python3-venv
need_python_venv wrappers "$ROOT/tests/clients/python/requirements.txt"

fresh_token python
export PYTHON=$VENV/bin/python
export SCRIPTS=$ROOT/tests/clients/python
# Nothing is written next to the sources.
export PYTHONDONTWRITEBYTECODE=1
software_ca
device_certificate

heading 'python-pkcs11'
run_in_chip Sign '"$PYTHON" "$SCRIPTS/python_pkcs11.py" "$MODULE" gateway device.der dev-pub.pem'

heading 'PyKCS11'
run_in_chip Sign '"$PYTHON" "$SCRIPTS/pykcs11.py" "$MODULE" gateway device.der dev-pub.pem'

heading 'Python ssl module, PEM file with the URI of the key'
uri_pem 'pkcs11:token=gateway;object=dev-key;type=private' key.pem
run "export P11=$ROOT/conf/openssl-pkcs11.cnf PKCS11_PROVIDER_MODULE=\$MODULE"
port=$(free_port)
start_server s_server.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -brief -rev"
wait_for s_server s_server.log listening "$port"
for version in TLSv1_2 TLSv1_3; do
    run_in_chip Sign "OPENSSL_CONF=\$P11 /usr/bin/python3 \"\$SCRIPTS/tls_client.py\" $port $version ca.pem device.pem key.pem"
done
run '[ "$(grep -c "Peer certificate: CN *= *device-001" s_server.log)" = 2 ]'
