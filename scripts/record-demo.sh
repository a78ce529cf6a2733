#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs scripts/demo.sh and draws its output as an animated picture: docs/pictures/demo.svg.
#
#   scripts/record-demo.sh
#
# Run it after a change of the demo's output. The simulated chip has the times of silicon. Waits are shortened, bursts
# of lines are slowed down, and this machine's folders are shown as those of /home/me; the rest is as printed.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
# The first run installs and builds what is missing; the second one is recorded.
"$ROOT/scripts/demo.sh" --work "$FOLDER/first" >"$LOGS/record-demo.log" 2>&1 || die "the demo failed: see $LOGS/record-demo.log"

# In a pipe no program overwrites a line with its progress.
"$ROOT/scripts/demo.sh" --real-time --work "$FOLDER/demo" 2>&1 |
    /usr/bin/python3 "$ROOT/scripts/draw_recording.py" "$FOLDER/demo=/home/me/demo" "$ROOT=/home/me/atecc608-pkcs11" >"$FOLDER/demo.svg"
mv "$FOLDER/demo.svg" "$ROOT/docs/pictures/demo.svg"
note "docs/pictures/demo.svg has $(stat -c %s "$ROOT/docs/pictures/demo.svg") bytes"
