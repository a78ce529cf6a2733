#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Changes under bad conditions: every change killed at every step, with the disk full and read-only from every step on,
# and killed at random moments; a sample of every damage to the state. The tests are tests/abi/bad_days.rs,
# tests/abi/damaged_state.rs and crates/atecc608-cli/tests/it/bad_days.rs.
#
#   scripts/soak/bad-days.sh [MOMENTS]     random moments in all, 1,000 by default

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

# Each of the 16 calls gets its share.
export ATECC608_TEST_STEPS=all ATECC608_TEST_MOMENTS=$(((${1:-1000} + 15) / 16))
# Every change of the state is synced: not to a disk.
[ ! -d /dev/shm ] || export TMPDIR=/dev/shm
export CARGO_PROFILE_RELEASE_OPT_LEVEL=3 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
soak() { cargo test --release --locked --target-dir "$TARGET/soak" "$@" --nocapture; }
soak -p atecc608-pkcs11 --test abi -- bad_days damaged_state
soak -p atecc608-cli --test it -- bad_days
