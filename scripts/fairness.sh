#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Measures how long callers wait for a chip that many processes and threads use at once, on a simulated chip with the
# times of a real one, against the goals. Exits with 1 if one is missed.
#
#   scripts/fairness.sh [short]     short: 8 processes with 2 threads for 10 s, instead of 16 with 4 for 90 s

# Lines are shell text for `run`.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

TIMING=real
export ATECC608_LOG=error
fresh_token fairness
run 'sed -i "1i lock_timeout = 30" config.toml'
heading 'Waiting times'
run "/usr/bin/python3 $ROOT/scripts/fairness.py \$MODULE gateway dev-key chip.sock.lock${1:+ $1}"
