#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Each fuzz target for ten minutes (scripts/fuzz.sh).

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

"$ROOT/scripts/fuzz.sh" --seconds 600
