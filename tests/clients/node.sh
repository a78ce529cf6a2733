#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Node.js: graphene-pk11 (on pkcs11js), checked with Node's own crypto.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

# Another installed Node.js is kept. pkcs11js is compiled at its installation.
command -v npm >/dev/null || need_packages nodejs npm libnode-dev
need_packages g++ make python3
fresh_token node
run "cp $ROOT/tests/clients/node/* ."
run 'npm install --no-audit --no-fund --no-package-lock --loglevel=error > npm.log 2>&1 || { cat npm.log; false; }'
# A newer npm asks before it compiles a package.
run '[ -e node_modules/pkcs11js/build/Release/pkcs11.node ] || npm rebuild --foreground-scripts > npm.log 2>&1 || { cat npm.log; false; }'
run_in_chip Sign 'node token.js $MODULE gateway dev-key' 4
