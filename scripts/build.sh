#!/usr/bin/env bash
# Build the release: target/release/libatecc608_pkcs11.so, atecc608, atecc608-sim.
#
#   scripts/build.sh [cargo's options, for example --no-default-features]

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$ROOT"
need_cargo
build_release "$@"
