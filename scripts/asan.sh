#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The tests of the C interface, the hostile C programs among them, under AddressSanitizer: the module and its callers
# are compiled with it, so a read or write outside of a caller's memory ends the test.
#
# The compiler is rustup's nightly if there is one, else the one that builds everything else: every rustc has the needed
# option, behind RUSTC_BOOTSTRAP=1. The runtime is gcc's libasan in both cases, since Debian's rustc ships none.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

need_cargo
need_packages gcc libc6-dev libp11-kit-dev

CARGO=(cargo)
if command -v rustup >/dev/null && rustup run nightly cargo --version >/dev/null 2>&1; then
    CARGO=(rustup run nightly cargo)
fi
HOST=$(rustc -vV | sed -n 's/^host: //p')
RUNTIME=$(gcc -print-file-name=libasan.so)
[ -e "$RUNTIME" ] || die "gcc has no libasan.so: install libasan8, or the one of your gcc"
FOLDER=$TARGET/asan
cd "$ROOT"
note "under AddressSanitizer: $("${CARGO[@]}" --version), $HOST, $(realpath "$RUNTIME")"

export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$FOLDER
export RUSTFLAGS='-Zsanitizer=address -Zexternal-clangrt -Clink-arg=-lasan'
export TEST_CFLAGS='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer'
# Leaks are detected in the C programs only (tests/abi/common/c_program.rs): the Rust tests leave threads running.
export ASAN_OPTIONS=detect_leaks=0

# The module, its tests, and the simulator that one of them kills.
WHAT=(--locked --target "$HOST" -p atecc608-pkcs11 -p atecc608-sim --lib --bins --test abi)

# Check that the module is instrumented: a planted defect in it must be found.
heading 'A planted overrun is detected'
run "${CARGO[*]} build ${WHAT[*]}"
MODULE=$FOLDER/$HOST/debug/libatecc608_pkcs11.so
mkdir -p "$FOLDER/c"
# shellcheck disable=SC2086  # several options
gcc -std=gnu11 -g $TEST_CFLAGS -I /usr/include/p11-kit-1 -o "$FOLDER/c/overrun" tests/c/overrun.c tests/c/hostile.c -ldl
SEEN=$("$FOLDER/c/overrun" "$MODULE" 2>&1) && die "AddressSanitizer did not report an overrun in the module"
grep -q 'AddressSanitizer: heap-buffer-overflow' <<<"$SEEN" || die "unexpected report of AddressSanitizer: $SEEN"
grep -q 'c_string_is\|C_GetInterface' <<<"$SEEN" || die "the reported overrun is not in the module: $SEEN"

heading 'The tests of the C interface'
LEFT_OUT=(
    # Long, and about the chip, not about a caller's memory.
    bad_days costs interrupted pin_interrupted vectors pin_attacks
    # About the file and the page, not about memory: the file links the sanitizer here.
    symbols page
    # Read all of a process's memory, which has terabytes under AddressSanitizer.
    pin_memory no_secret
    # Sets a handler for signals before the sanitizer is ready for it.
    signals
    # Limit or measure the memory of the process, most of which is the sanitizer's here.
    memory unload
    # In gcc 12's runtime (LLVM mended it with version 18) AddressSanitizer's own locks stay locked in a child that is forked
    # while another thread uses memory: the child waits for ever.
    fork raw_fork
)
run "scripts/test_programs.py --cargo '${CARGO[*]}' --run-with 'env LD_PRELOAD=$RUNTIME' \
    --but $(IFS=, && echo "${LEFT_OUT[*]}") ${WHAT[*]}"
