#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Go: crypto11 on miekg/pkcs11, as Debian packages them, checked with Go's own crypto.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages golang-go golang-github-thalesignite-crypto11-dev golang-github-miekg-pkcs11-dev gcc libc6-dev
fresh_token go
software_ca
device_certificate
# Debian's packages are sources in this GOPATH; nothing is downloaded.
run 'export GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$WORK/cache GOFLAGS=-p=2'
run "/usr/bin/go build -o client $ROOT/tests/clients/go/main.go"
port=$(free_port)
start_server s_server.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -www"
wait_for s_server s_server.log listening "$port"
run_in_chip Sign "./client \$MODULE gateway dev-key device.pem https://localhost:$port/ ca.pem" 5
