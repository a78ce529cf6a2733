#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# wolfSSL: a TLS client with the key in the chip, through wolfSSL's own PKCS#11 device.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages gcc libc6-dev libwolfssl-dev
fresh_token wolfssl
software_ca
device_certificate
run "cc -std=gnu11 -O2 -Wall -Wextra -Werror -o client $ROOT/tests/clients/wolfssl/client.c -lwolfssl"
port=$(free_port)
start_server s_server.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -brief -rev"
wait_for s_server s_server.log listening "$port"
for version in 1.2 1.3; do
    run_in_chip Sign "./client \$MODULE gateway dev-key $version ca.pem device.pem $port"
done
run '[ "$(grep -c "Peer certificate: CN *= *device-001" s_server.log)" = 2 ]'
