#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A million operations on a bad bus, on the simulator's virtual clock: tests/abi/bad_bus.rs, optimised.
#
#   scripts/soak/bad-bus.sh [OPERATIONS] [SEED]
#
# The last lines give the number of operations, the last seed, and the return values.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

export ATECC608_TEST_OPERATIONS=${1:-1000000} ATECC608_TEST_SEED=${2:-1}
# Every change of the chip's image is synced: not to a disk.
[ ! -d /dev/shm ] || export TMPDIR=/dev/shm
# The release profile optimises for size, and across crates: that takes longer to build than it saves.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=3 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo test --release --locked -p atecc608-pkcs11 --test abi --target-dir "$TARGET/soak" -- bad_bus --nocapture
