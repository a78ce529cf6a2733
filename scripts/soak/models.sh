#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The models of the queue and of the posted snapshot (crates/atecc608-token/src/models) in many interleavings: a hundred
# thousand of each kind for each model, optimised. `cargo test` runs some hundreds.
#
#   scripts/soak/models.sh [INTERLEAVINGS]
#
# A failure prints the schedule that leads to it, for shuttle::replay.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

export ATECC608_TEST_INTERLEAVINGS=${1:-100000}
# The release profile optimises for size, and across crates: that takes longer to build than it saves.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=3 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo test --release --locked -p atecc608-token --lib --target-dir "$TARGET/soak" -- models::
