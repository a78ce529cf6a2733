#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs the tests that need a kernel of their own (tests/kernel): in a guest with a stock Debian kernel, under QEMU.
# Exits with 0 only if all of them passed.
#
#   scripts/test-kernel.sh [NAME...]     all of them, or those named (neighbours, ...)
#
# QEMU is installed if it is missing; the kernel and its headers are unpacked under target/guest. The tested programs
# and a kernel module (tests/kernel/twist) are built here, before the guest starts.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/at_once.sh
. "$ROOT/scripts/lib/at_once.sh"
# shellcheck source=scripts/lib/guest.sh
. "$ROOT/scripts/lib/guest.sh"

# Seconds for the guest, from its start to its end.
LIMIT=600

names=("$@")
if [ $# = 0 ]; then
    for file in "$ROOT"/tests/kernel/*.sh; do
        names+=("$(basename "$file" .sh)")
    done
fi
for name in "${names[@]}"; do
    [ -e "$ROOT/tests/kernel/$name.sh" ] || die "there is no tests/kernel/$name.sh"
done

need_cargo
install_stock_software
# For tests that compile in the guest, and for the page's reader.
need_packages acl adduser gcc iproute2 libc6-dev sudo
prepare_guest
build_module "$ROOT/tests/kernel/twist"
cd "$ROOT"
# All of it, like in scripts/test.sh, so that nothing is built twice.
built=$(scripts/test_programs.py --no-run --locked)
mapfile -t environment <<<"$built"
environment+=("ATECC608_TEST_TWIST=$GUEST/twist.ko")
status=0
boot_guest "$LIMIT" env "${environment[@]}" bash "$ROOT/scripts/lib/in_guest.sh" "${names[@]}" || status=$?
[ $status = 0 ] || die "failed in the guest: the whole output is in $LOGS/guest.log"
