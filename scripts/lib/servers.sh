# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Servers on loopback, stopped by their process id, and the folder of a run.

SERVERS=()

# open_work_folder PREFIX FOLDER KEEP: a new temporary folder in WORK, or the given one if FOLDER is not empty; removed
# whenever the script ends, unless KEEP is yes.
open_work_folder() {
    KEEP=$3
    if [ -n "$2" ]; then
        WORK=$2 KEEP=yes
        mkdir -p "$WORK"
        [ -z "$(ls -A "$WORK")" ] || die "$WORK is not empty"
        WORK=$(cd "$WORK" && pwd)
    else
        WORK=$(mktemp -d "${TMPDIR:-/tmp}/$1.XXXXXX")
    fi
    trap close_work_folder EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

close_work_folder() {
    local status=$?
    trap - EXIT
    stop_servers
    if [ "$KEEP" = yes ]; then
        printf 'The files are in %s\n' "$WORK"
    elif [ $status -ne 0 ]; then
        printf 'Failed. The files are left in %s\n' "$WORK" >&2
    else
        cd / && rm -rf "$WORK"
    fi
    exit $status
}

# start_server LOG 'command line': print it, run it in the background, remember its process id.
start_server() {
    printf '%s$ %s > %s 2>&1 &%s\n' "$BOLD" "$2" "$1" "$PLAIN"
    bash -c "exec $2" >"$1" 2>&1 </dev/null &
    SERVERS+=($!)
}

# Stop the last server that was started. It has ten seconds to end by itself.
stop_last_server() {
    local pid=${SERVERS[-1]} i
    unset 'SERVERS[-1]'
    kill "$pid" 2>/dev/null || true
    for ((i = 0; i < 100; i++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

stop_servers() {
    while [ ${#SERVERS[@]} -gt 0 ]; do
        stop_last_server
    done
}

# A free TCP port on loopback. python3 may not be installed yet when this file is read, but is by now.
free_port() {
    /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_for 'what' LOG command...: until the command succeeds, ten seconds at most, or the last server has died.
wait_for() {
    local what=$1 log=$2 i
    shift 2
    for ((i = 0; i < 200; i++)); do
        if "$@"; then return; fi
        kill -0 "${SERVERS[-1]}" 2>/dev/null || break
        sleep 0.05
    done
    tail -n 20 "$log" >&2
    die "$what did not start"
}

# Is a server listening on this port of loopback? Read from the kernel: to connect would use up a connection.
listening() {
    grep -q "0100007F:$(printf '%04X' "$1") 00000000:0000 0A" /proc/net/tcp
}
