# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Output for the user: headings, the command before it runs, the log when it fails.

if [ -t 1 ]; then
    BOLD=$(printf '\033[1m') PLAIN=$(printf '\033[0m')
else
    BOLD='' PLAIN=''
fi

heading() { printf '\n%s== %s%s\n' "$BOLD" "$*" "$PLAIN"; }
note() { printf '   %s\n' "$*"; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Print a line of shell, then run it in this shell. Everything it needs is in the line or was exported by an earlier
# printed line, so that a user can copy it.
run() {
    printf '%s$ %s%s\n' "$BOLD" "$1" "$PLAIN"
    eval "$1"
}

# Print a line, run it, and show its output: $1 is an extended regular expression that the output must match. The exit
# status is left in STATUS, for programs that refuse and yet exit with 0.
run_says() {
    local output
    STATUS=0
    printf '%s$ %s%s\n' "$BOLD" "$2" "$PLAIN"
    output=$(eval "$2" 2>&1) || STATUS=$?
    printf '%s\n' "$output"
    grep -Eq -- "$1" <<<"$output" || die "the output does not match $1 (exit status $STATUS): $2"
}

# The same with a line that must fail. The output is checked because a failure for another reason (a typing mistake,
# say) is not the expected refusal, and the exit status because a successful run may print the same words.
run_refused() {
    run_says "$1" "$2"
    [ "$STATUS" != 0 ] || die "this should have failed, and succeeded: $2"
}

# not COMMAND...: it must fail. `set -e` does not heed a negated command, so `! command` in a line for `run` proves nothing.
not() {
    if "$@"; then die "this should have failed: $*"; fi
}

# Print and write a file: `write_file NAME <<'END' ... END`.
write_file() {
    local text
    text=$(cat)
    printf "%s\$ cat > %s <<'END'%s\n%s\nEND\n" "$BOLD" "$1" "$PLAIN" "$text"
    printf '%s\n' "$text" >"$1"
}

# Run a noisy command with its output in a log; show the end of the log only when it fails.
quietly() {
    local log=$1
    shift
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        printf '%s\n' "failed: $*" "the last lines of $log:" >&2
        tail -n 40 "$log" >&2
        return 1
    fi
}
