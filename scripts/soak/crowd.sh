#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A crowd on one simulated chip (scripts/crowd.py): 16 processes with 4 threads, all mechanisms, some killed and some
# forking. Prints the waiting times, and exits with 1 if one is longer than the fair queue allows, a result is wrong, or
# a call fails.
#
#   scripts/soak/crowd.sh [short] [CROWD...]
#
#   short        5 processes with 2 threads, some seconds each, instead of 16 with 4 for minutes
#   real_time    in a real chip's time, processes of different users (needs root)
#   own_nodes    the same with device nodes of their own, half of the processes in containers (needs root)
#   no_time      on a chip that takes no time
#   in_process   on such a chip in a file, inside each process

# Lines are shell text for `run`.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages python3-cryptography opensc gcc libc6-dev
# A group without a name, as containers have them.
GROUP=61300
REAL=(16 4 180) NODES=(16 4 120) FAST=(16 4 60) KILL_EVERY=3
case ${1:-} in
    short) REAL=(5 2 10) NODES=(4 2 7) FAST=(5 2 4) KILL_EVERY=1 && shift ;;
    -*) sed -n '2,/^$/{/SPDX/d;s/^# \{0,1\}//p}' "$0" >&2 && exit 2 ;;
esac
[ $# -gt 0 ] || set -- real_time own_nodes no_time in_process
export ATECC608_LOG=error

# A token with a key pair and two secret keys. Other users may need the files in the folder: they are in the group.
crowded_token() {
    fresh_token crowd
    run 'sed -i "1i lock_timeout = 60" config.toml'
    run "cp \$MODULE $ROOT/scripts/{crowd,fairness,cryptoki}.py ."
    export MODULE=$WORK/libatecc608_pkcs11.so
    run '/usr/bin/python3 crowd.py keys $MODULE gateway .'
}

# Everything in the folder is the group's.
for_the_group() {
    run "chgrp -R $GROUP . && chmod 3771 state && chmod -R g+rX . && chmod 0666 chip.sock && chmod 0750 ."
    run 'find state -mindepth 1 -type d -exec chmod 2770 {} + -o -type f -exec chmod 0660 {} +; chmod 0660 chip.sock.*'
}

# crowd PROCESSES THREADS SECONDS BOUND OPTION...
crowd() { run "/usr/bin/python3 crowd.py \$MODULE gateway . $*"; }

real_time() {
    TIMING=real
    crowded_token
    heading 'Real execution times, different users'
    if [ "$(id -u)" = 0 ]; then
        for_the_group
        crowd "${REAL[@]}" 100 --kill-every $KILL_EVERY --users $GROUP
    else
        note 'not tested: different users, which need root'
        crowd "${REAL[@]}" 100 --kill-every $KILL_EVERY
    fi
}

# The nodes are sockets of their own for each process (tests/c/i2c_dev.c): the file in the state folder keeps them apart.
own_nodes() {
    local containers=(--containers)
    TIMING=real
    crowded_token
    heading 'Separate device nodes, half of them in containers'
    if ! unshare --mount true 2>/dev/null; then
        containers=()
        note 'not tested: containers, which need root'
    fi
    run "gcc -std=gnu11 -O1 -shared -fPIC -o i2c_dev.so $ROOT/tests/c/i2c_dev.c -ldl"
    run 'mkdir -p root/dev root/sys/bus/i2c/devices/i2c-1; touch root/dev/i2c-1; echo "bcm2835 (i2c@7e804000)" > root/sys/bus/i2c/devices/i2c-1/name'
    run "sed -i 's|^bus = .*|bus = \"/dev/i2c-1\"|' config.toml"
    run 'export I2C_DEV_SOCKETS=1=$WORK/chip.sock I2C_DEV_ROOT=$WORK/root LD_PRELOAD=$WORK/i2c_dev.so'
    crowd "${NODES[@]}" 100 --kill-every $KILL_EVERY "${containers[@]}"
}

# Without the chip's time a turn is shorter than a process may wait for the processor: one call of a hundred may be
# overtaken on its way to the queue.
no_time() {
    crowded_token
    heading 'No execution times'
    crowd "${FAST[@]}" 99 --kill-every $KILL_EVERY
}

in_process() {
    crowded_token
    heading 'Chip in a file (sim:), simulated in each process'
    stop_last_server
    run "sed -i \"s|^bus = .*|bus = \\\"sim:\$WORK/chip.eeprom\\\"|\" config.toml"
    crowd "${FAST[@]}" 99 --kill-every $KILL_EVERY
}

# Each in a shell of its own, with a folder and a chip of its own.
for crowd in "$@"; do
    ($crowd)
done
