#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The chip vendor's own driver: Microchip's compiled library on the simulated chip, through the kernel's I2C interface
# as a preloaded shim gives it (tests/vendor).

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"

need_packages binutils gcc libc6-dev python3 python3-venv
need_python_venv vendor "$ROOT/tests/vendor/requirements.txt"

open_work_folder vendor '' no
cd "$WORK"
export PATH=$TARGET/release:$PATH
export SUITE=$ROOT/tests/vendor
export PYTHON=$VENV/bin/python
# Nothing is written next to the sources.
export PYTHONDONTWRITEBYTECODE=1

heading 'Simulated kernel nodes: /dev/i2c-20 and /dev/i2c-21'
run 'cc -std=gnu11 -O2 -Wall -Wextra -Werror -shared -fPIC -o i2c_shim.so "$SUITE/i2c_shim.c" -ldl'
run 'export I2C_SHIM=20=fast.sock:21=real.sock'

# drive_with_library TIMING BUS: a new chip, and the suite on it.
drive_with_library() {
    local timing=$1 bus=$2
    start_server "$timing.log" "atecc608-sim serve --socket $timing.sock --state $timing.eeprom --timing $timing"
    wait_for 'the simulated chip' "$timing.log" test -S "$timing.sock"
    run "LD_PRELOAD=./i2c_shim.so \"\$PYTHON\" \"\$SUITE/suite.py\" $bus $timing.sock $timing"
    stop_last_server
}

heading 'Every lock state, no execution times'
drive_with_library fast 20

heading 'Real execution times: polling, idle, watchdog'
drive_with_library real 21
