#!/usr/bin/env bash
# Python's two wrappers: what each of them offers that this token has, checked with Python's own code or openssl.

# The printed lines are shell text: their variables are meant for the moment the line runs.
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
