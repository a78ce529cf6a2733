# shellcheck shell=bash
# Commands with a time limit, and several at once, each with a log of its own.

# limited SECONDS command...: it and what it started are stopped after that time: a hang fails the step that hangs.
limited() {
    timeout --kill-after 30 "$@" &
    # timeout and its command are a process group of their own, which a terminal's Ctrl-C does not reach.
    # shellcheck disable=SC2064  # this process id, now
    trap "kill $!; exit 130" INT TERM
    wait $!
}

# run_at_once MOST FOLDER COMMAND NAME...: `COMMAND NAME` for each name, in this order, at most MOST of them at a time. The
# output of each is in FOLDER/NAME.log; when one has ended, a line says how, and FOLDER/seconds gets "SECONDS NAME". One's
# failure does not hide another's: all are run. Returns 1 if one failed. Whoever stops this stops what runs.
run_at_once() {
    local most=$1 folder=$2 command=$3 pid status failed=()
    local -A name=() began=()
    shift 3
    trap 'kill "${!name[@]}" 2>/dev/null; wait; exit 130' INT TERM
    while [ $# -gt 0 ] || [ ${#name[@]} -gt 0 ]; do
        if [ $# -gt 0 ] && [ ${#name[@]} -lt "$most" ]; then
            "$command" "$1" >"$folder/$1.log" 2>&1 </dev/null &
            name[$!]=$1 began[$!]=$SECONDS
            shift
            continue
        fi
        status=0
        wait -n -p pid "${!name[@]}" || status=$?
        printf '%d %s\n' $((SECONDS - began[$pid])) "${name[$pid]}" >>"$folder/seconds"
        if [ $status = 0 ]; then
            printf '%-16s passed, %d s\n' "${name[$pid]}" $((SECONDS - began[$pid]))
        else
            failed+=("${name[$pid]}")
            tail -n 40 "$folder/${name[$pid]}.log" | sed 's/^/    | /'
            printf '%-16s FAILED (exit status %d), %d s, whole output: %s\n' "${name[$pid]}" $status \
                $((SECONDS - began[$pid])) "$folder/${name[$pid]}.log"
        fi
        unset "name[$pid]"
    done
    trap - INT TERM
    [ ${#failed[@]} -eq 0 ] || printf 'failed: %s\n' "${failed[*]}"
    [ ${#failed[@]} -eq 0 ]
}
