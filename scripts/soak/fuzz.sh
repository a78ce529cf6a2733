#!/usr/bin/env bash
# Each fuzz target for ten minutes (scripts/fuzz.sh).

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

"$ROOT/scripts/fuzz.sh" --seconds 600
