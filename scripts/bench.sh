#!/usr/bin/env bash
# What the module's work costs the chip, counted by the simulator, beside the budget of the design. Exits with 1 if
# one kind of work is over its budget.

# Lines are shell text for `run`.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

fresh_token bench
export STATE_DIR=$WORK/state PROVIDER_CONF=$ROOT/conf/openssl-pkcs11.cnf
heading 'What the work costs'
run "/usr/bin/python3 $ROOT/scripts/bench.py \$MODULE gateway dev-key chip.sock"
