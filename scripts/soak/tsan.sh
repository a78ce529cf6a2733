#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The unit tests of the token (queue, snapshot, state, locks on the bus) under ThreadSanitizer. All code that shares
# memory must be compiled with it, so the standard library is built, too: that needs its source (rustup's component
# rust-src) and the sanitizer's runtime, which rustup's rustc has and Debian's does not. If one is missing, nothing is
# tested, and the script says so.
#
# Not the tests through the C functions: the sanitizer does not see atomics of a module that is loaded at run time, and
# reports everything behind a lock as a race. Not the models, which switch stacks on one thread.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

need_cargo
LIBRARIES=$(rustc --print sysroot)/lib/rustlib
HOST=$(rustc -vV | sed -n 's/^host: //p')
if [ ! -d "$LIBRARIES/src/rust/library" ] || [ -z "$(find "$LIBRARIES/$HOST/lib" -name 'librustc-*_rt.tsan.a' 2>/dev/null)" ]; then
    note "not tested: ThreadSanitizer needs the source of the standard library (rust-src) and the runtime of rustup's rustc"
    exit 0
fi
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$TARGET/tsan CARGO_INCREMENTAL=0
# parking_lot then replaces its fences, which the sanitizer does not know.
export RUSTFLAGS='-Zsanitizer=thread --cfg tsan_enabled'
BUILD_STD=(-Zbuild-std --target "$HOST")

heading 'A planted race is detected'
PLANTED=$TARGET/tsan/planted
mkdir -p "$PLANTED/src"
write_file "$PLANTED/Cargo.toml" <<'END'
[package]
name = "planted"
edition = "2021"
[workspace]
END
write_file "$PLANTED/src/main.rs" <<'END'
static mut COUNT: u32 = 0;
fn count() {
    for _ in 0..1000 {
        unsafe { COUNT += 1 };
    }
}
fn main() {
    let other = std::thread::spawn(count);
    count();
    other.join().unwrap();
}
END
run_refused 'ThreadSanitizer: data race' "cargo run --manifest-path $PLANTED/Cargo.toml ${BUILD_STD[*]}"

heading 'The token'
cd "$ROOT"
run "cargo test --locked ${BUILD_STD[*]} -p atecc608-token --lib -- --skip models::"
