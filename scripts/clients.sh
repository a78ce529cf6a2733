#!/usr/bin/env bash
# The tests with stock clients (tests/clients), several at once. Exits with 0 only if all of them passed.
#
#   scripts/clients.sh [NAME...]     all of them, or those named (openssl, openssh, ...)
#
# They need the release build, and some the packages (scripts/package.sh). The output of each is in target/logs/clients.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/at_once.sh
. "$ROOT/scripts/lib/at_once.sh"

# None runs for longer than a quarter of an hour.
LIMIT=900
# Most of the time they wait: for a chip, for a server, for each other.
AT_ONCE=$(($(nproc) + 1))
# The long ones are started first, so that nobody waits for one at the end.
FIRST=(docs package)
# They measure times, or judge them: nothing else runs meanwhile.
QUIET=(hardware-check many vendor)

client() { limited $LIMIT bash "$ROOT/tests/clients/$1.sh"; }

names=("$@")
if [ $# = 0 ]; then
    names=("${FIRST[@]}")
    for file in "$ROOT"/tests/clients/*.sh; do
        name=$(basename "$file" .sh)
        [[ " ${FIRST[*]} " == *" $name "* ]] || names+=("$name")
    done
fi
crowd=() quiet=()
for name in "${names[@]}"; do
    [ -e "$ROOT/tests/clients/$name.sh" ] || die "there is no tests/clients/$name.sh"
    if [[ " ${QUIET[*]} " == *" $name "* ]]; then quiet+=("$name"); else crowd+=("$name"); fi
done

rm -rf "$LOGS/clients"
mkdir -p "$LOGS/clients"
status=0
run_at_once "$AT_ONCE" "$LOGS/clients" client "${crowd[@]}" || status=1
run_at_once 1 "$LOGS/clients" client "${quiet[@]}" || status=1
# What a reader wants to know even if all went well.
grep -h '^ *not tested:' "$LOGS"/clients/*.log || true
exit $status
