#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The measurements of docs/performance.md on this machine (scripts/performance.sh), into target/performance, and prints
# the page with its ratios. It only checks that each measurement ends.
#
#   scripts/soak/performance.sh

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

(cd "$ROOT" && cargo build --release --locked --workspace)
"$ROOT/scripts/performance.sh" "$TARGET/performance"
cat "$TARGET/performance/performance.md"
