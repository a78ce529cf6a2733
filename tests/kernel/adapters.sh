#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# An adapter that reports as other drivers do (tests/kernel/twist), in front of a USB adapter, on a real kernel.

set -euo pipefail

output=$(mktemp)
"$TESTS_ABI" --nocapture --test-threads 1 real_adapters:: | tee "$output"
# Without a skipped one, and at least one.
grep -q '^test result: ok\. [1-9]' "$output"
if grep 'not tested:' "$output"; then exit 1; fi
