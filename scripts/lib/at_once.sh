# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Commands with a time limit, and several at once, each with a log of its own.

# limited SECONDS command...: it and its children are stopped after that time, so that a hang fails its own step.
limited() {
    timeout --kill-after 30 "$@" &
    # timeout and its command are a process group of their own, which a terminal's Ctrl-C does not reach.
    # shellcheck disable=SC2064  # this process id, now
    trap "kill $!; exit 130" INT TERM
    wait $!
}

# run_at_once MOST FOLDER COMMAND NAME...: `COMMAND NAME` for each name, in this order, at most MOST of them at a time.
# The output of each is in FOLDER/NAME.log; when one has ended, a line says how. All are run, also after a failure.
# Returns 1 if one failed. Stopping this function stops the running commands.
run_at_once() {
    local most=$1 folder=$2 command=$3 pid status failed=()
    local -A name_of=() began_at=()
    shift 3
    trap 'kill "${!name_of[@]}" 2>/dev/null; wait; exit 130' INT TERM
    while [ $# -gt 0 ] || [ ${#name_of[@]} -gt 0 ]; do
        if [ $# -gt 0 ] && [ ${#name_of[@]} -lt "$most" ]; then
            "$command" "$1" >"$folder/$1.log" 2>&1 </dev/null &
            name_of[$!]=$1 began_at[$!]=$SECONDS
            shift
            continue
        fi
        status=0
        wait -n -p pid "${!name_of[@]}" || status=$?
        if [ $status = 0 ]; then
            printf '%-16s passed, %d s\n' "${name_of[$pid]}" $((SECONDS - began_at[$pid]))
            # Shown also after success.
            grep '^ *not tested:' "$folder/${name_of[$pid]}.log" || true
        else
            failed+=("${name_of[$pid]}")
            tail -n 40 "$folder/${name_of[$pid]}.log" | sed 's/^/    | /'
            printf '%-16s FAILED (exit status %d), %d s, whole output: %s\n' "${name_of[$pid]}" $status \
                $((SECONDS - began_at[$pid])) "$folder/${name_of[$pid]}.log"
        fi
        unset "name_of[$pid]"
    done
    trap - INT TERM
    [ ${#failed[@]} -eq 0 ] || printf 'failed: %s\n' "${failed[*]}"
    [ ${#failed[@]} -eq 0 ]
}
