#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The packages for riscv64, which Debian has from 13 on: built, checked, and used by Debian's pkcs11-tool under qemu-user.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

exec "$ROOT/scripts/package.sh" riscv64
