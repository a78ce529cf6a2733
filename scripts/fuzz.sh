#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Coverage-guided fuzzing with libFuzzer: the targets in fuzz/fuzz_targets, each on its corpus in fuzz/corpus.
#
#   scripts/fuzz.sh [--seconds N] [--keep] [TARGET...]
#
#   --seconds N   fuzz each target for N seconds after its corpus was replayed (10); 0 only replays
#   --keep        add the inputs that cover more to fuzz/corpus, the smallest ones that do
#
# An input that fails is written to target/fuzz/artifacts. The compiler is the one that builds everything else: coverage needs no
# nightly. `cargo fuzz run --sanitizer none TARGET` does the same with a nightly compiler.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/at_once.sh
. "$ROOT/scripts/lib/at_once.sh"

SECONDS_EACH=10 KEEP=no targets=()
while [ $# -gt 0 ]; do
    case $1 in
        --seconds) SECONDS_EACH=${2:?--seconds N} && shift ;;
        --keep) KEEP=yes ;;
        -*) sed -n '2,/^$/{/SPDX/d;s/^# \{0,1\}//p}' "$0" >&2 && exit 2 ;;
        *) targets+=("$1") ;;
    esac
    shift
done
cd "$ROOT"
for file in fuzz/fuzz_targets/*.rs; do
    name=$(basename "$file" .rs)
    all+=("$name")
done
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")
for name in "${targets[@]}"; do
    [ -e "fuzz/fuzz_targets/$name.rs" ] || die "there is no fuzz/fuzz_targets/$name.rs; there are: ${all[*]}"
done

need_cargo
# libFuzzer itself is C++.
need_packages g++
HOST=$(rustc -vV | sed -n 's/^host: //p')
FOLDER=$TARGET/fuzz
PROGRAMS=$FOLDER/$HOST/debug

# What `cargo fuzz --sanitizer none` sets.
coverage=(
    --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 -Ccodegen-units=1
)
heading "Build: ${targets[*]}"
RUSTFLAGS=${coverage[*]} CARGO_TARGET_DIR=$FOLDER run \
    "cargo build --manifest-path fuzz/Cargo.toml --locked --target $HOST ${targets[*]/#/--bin }"

# The targets' files are in memory if possible, and are removed with this script.
FILES=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "$FOLDER")" fuzz.XXXXXX)
trap 'rm -rf "$FILES"' EXIT
mkdir -p "$FOLDER/artifacts" "$LOGS/fuzz"

# fuzz TARGET: replay, fuzz, keep. An input may take 20 s and a GiB.
# run_at_once calls it.
# shellcheck disable=SC2317
fuzz() {
    local name=$1 grown=$FOLDER/corpus/$1 time=(-runs=0)
    local options=(-timeout=20 -rss_limit_mb=1024 -max_len=4096 -len_control=0 -close_fd_mask=1 "-artifact_prefix=$FOLDER/artifacts/$1-")
    mkdir -p "$grown" "fuzz/corpus/$name"
    [ "$SECONDS_EACH" = 0 ] || time=("-max_total_time=$SECONDS_EACH" -print_final_stats=1)
    TMPDIR=$FILES "$PROGRAMS/$name" "${options[@]}" "${time[@]}" "$grown" "fuzz/corpus/$name" || return
    if [ $KEEP = yes ]; then
        TMPDIR=$FILES "$PROGRAMS/$name" "${options[@]}" -merge=1 "fuzz/corpus/$name" "$grown"
    fi
}

heading "Replay and fuzz, $SECONDS_EACH s each"
run_at_once "$(nproc)" "$LOGS/fuzz" fuzz "${targets[@]}"
