# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Shared by the scripts. Source it first:
#
#     . "$(dirname "$0")/lib.sh"
#
# It sets ROOT (the repository), TARGET (cargo's target folder) and LOGS, and loads the helpers of scripts/lib/.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TARGET=$ROOT/target
if [ -n "${CARGO_TARGET_DIR:-}" ]; then
    TARGET=$(realpath -m "$CARGO_TARGET_DIR")
    export CARGO_TARGET_DIR=$TARGET
fi
LOGS=$TARGET/logs
mkdir -p "$LOGS"

# Messages are compared and read by people: the same text on every machine.
export LC_ALL=C.UTF-8

# shellcheck source=scripts/lib/show.sh
. "$ROOT/scripts/lib/show.sh"
# shellcheck source=scripts/lib/packages.sh
. "$ROOT/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/toolchain.sh
. "$ROOT/scripts/lib/toolchain.sh"
# shellcheck source=scripts/lib/servers.sh
. "$ROOT/scripts/lib/servers.sh"
