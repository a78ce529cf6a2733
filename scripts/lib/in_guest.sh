#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The part of scripts/test-kernel.sh that runs in the guest: tests/kernel/NAME.sh for each NAME, in this order, with a
# verdict for each. Times are the guest's.
#
#   in_guest.sh NAME...

set -euo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=scripts/lib/at_once.sh
. "$ROOT/scripts/lib/at_once.sh"

# Seconds for one test.
LIMIT=300

mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
# Not /tmp: the tested programs may be there.
export TMPDIR=/run/tests
mkdir -m 1777 "$TMPDIR"
cd "$ROOT"
printf 'guest: Linux %s, up after %s s\n' "$(uname -r)" "$(cut -d ' ' -f 1 /proc/uptime)"

verdict=0
for name in "$@"; do
    began=$SECONDS status=0
    printf '\nguest: %s begins\n' "$name"
    limited $LIMIT bash "tests/kernel/$name.sh" || status=$?
    if [ $status = 0 ]; then
        printf 'guest: %s passed, %d s\n' "$name" $((SECONDS - began))
    else
        printf 'guest: %s FAILED (exit status %d), %d s\n' "$name" $status $((SECONDS - began))
        verdict=1
    fi
done
exit $verdict
