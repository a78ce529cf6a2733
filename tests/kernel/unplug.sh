#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A USB adapter under an open session, on a real kernel: it can be unplugged while the session does nothing, and works
# again under another number.

set -euo pipefail

output=$(mktemp)
"$TESTS_ABI" --nocapture unplugged:: | tee "$output"
# Without a skipped one, and at least one.
grep -q '^test result: ok\. [1-9]' "$output"
if grep 'not tested:' "$output"; then exit 1; fi
