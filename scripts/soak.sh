#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs the tests that take too long for scripts/test.sh, or need another Debian release: the parts in scripts/soak, one
# after the other. Exits with 0 only if all of them passed.
#
#   scripts/soak.sh [PART...]     all of them, or those named (arm-tests, riscv64, ...)
#
# A part has two hours. Its whole output goes to target/logs/soak; at the end there is a line for each. Needs root, and amd64.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/at_once.sh
. "$ROOT/scripts/lib/at_once.sh"

# Seconds for one part.
LIMIT=7200

# run_at_once calls it.
# shellcheck disable=SC2317
part() { limited $LIMIT bash "$ROOT/scripts/soak/$1.sh"; }

case ${1:-} in -*) sed -n '2,/^$/{/SPDX/d;s/^# \{0,1\}//p}' "$0" >&2 && exit 2 ;; esac
names=("$@")
if [ $# = 0 ]; then
    for file in "$ROOT"/scripts/soak/*.sh; do
        names+=("$(basename "$file" .sh)")
    done
fi
for name in "${names[@]}"; do
    [ -e "$ROOT/scripts/soak/$name.sh" ] || die "there is no scripts/soak/$name.sh"
done
[ "$(dpkg --print-architecture)" = amd64 ] || die 'cross-builds and guests are made on amd64'
mkdir -p "$LOGS/soak"
run_at_once 1 "$LOGS/soak" part "${names[@]}"
