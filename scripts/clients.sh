#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs the tests with stock clients (tests/clients), several at once. Exits with 0 only if all of them passed.
#
#   scripts/clients.sh [--together | --alone] [NAME...]     all of them, or those named (openssl, openssh, ...)
#
#   --together   of them, those that may run beside others
#   --alone      of them, those that measure times, beside which nothing else may run
#
# They need the release build, and some the packages (scripts/package.sh). The output of each is in target/logs/clients.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/at_once.sh
. "$ROOT/scripts/lib/at_once.sh"

# The limit for one test: a quarter of an hour.
LIMIT=900
# Most of the time they wait: for a chip, for a server, for each other.
AT_ONCE=$(($(nproc) + 1))
# The long ones are started first, so that no long one runs alone at the end.
FIRST=(docs package)
# They measure times, or judge them: nothing else runs meanwhile.
ALONE=(hardware-check many vendor)

# run_at_once calls it.
# shellcheck disable=SC2317
client() { limited "$LIMIT" bash "$ROOT/tests/clients/$1.sh"; }

part=both
case ${1:-} in
    --together | --alone) part=$1 && shift ;;
    -*) sed -n '2,/^$/{/SPDX/d;s/^# \{0,1\}//p}' "$0" >&2 && exit 2 ;;
esac
names=("$@")
if [ $# = 0 ]; then
    names=("${FIRST[@]}")
    for file in "$ROOT"/tests/clients/*.sh; do
        name=$(basename "$file" .sh)
        [[ " ${FIRST[*]} " == *" $name "* ]] || names+=("$name")
    done
fi
together=() alone=()
for name in "${names[@]}"; do
    [ -e "$ROOT/tests/clients/$name.sh" ] || die "there is no tests/clients/$name.sh"
    if [[ " ${ALONE[*]} " == *" $name "* ]]; then alone+=("$name"); else together+=("$name"); fi
done

mkdir -p "$LOGS/clients"
status=0
[ "$part" = --alone ] || run_at_once "$AT_ONCE" "$LOGS/clients" client "${together[@]}" || status=1
[ "$part" = --together ] || run_at_once 1 "$LOGS/clients" client "${alone[@]}" || status=1
exit $status
