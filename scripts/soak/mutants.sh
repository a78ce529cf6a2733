#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Mutation testing with cargo-mutants (crates.io): each change of an operator, a condition or a return value in the files below is to
# make a test fail.
#
#   scripts/soak/mutants.sh [--shard K/N] [AREA...]     areas: locks, pin, state, pointers; all by default
#
#   --shard K/N   only each Nth mutant, from the Kth (0 to N-1)
#
# An area's mutants are tried on the unit tests first, and the survivors on the tests of the C interface that are about the area. Those
# that can't change what a caller sees are excluded in scripts/soak/mutants.toml, with the reason. Exits with 1 if another one survives.
# Lists and logs are in target/mutants.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

VERSION=27.1.0
SHARD=() areas=()
while [ $# -gt 0 ]; do
    case $1 in
        --shard) SHARD=(--shard "${2:?--shard K/N}") && shift ;;
        locks | pin | state | pointers) areas+=("$1") ;;
        *) sed -n '2,/^$/{/SPDX/d;s/^# \{0,1\}//p}' "$0" >&2 && exit 2 ;;
    esac
    shift
done
[ ${#areas[@]} -gt 0 ] || areas=(locks pin state pointers)

need_cargo
need_packages gcc libc6-dev
if ! "$TARGET/tools/bin/cargo-mutants" mutants --version 2>/dev/null | grep -q " $VERSION$"; then
    run "cargo install --locked cargo-mutants --version $VERSION --root \"\$TARGET/tools\""
fi
# Line tables and big folders on a disk are time that no mutant needs.
export CARGO_PROFILE_DEV_DEBUG=0
[ ! -d /dev/shm ] || export TMPDIR=/dev/shm

# mutants AREA argument...: 2 and 3 (missed, timed out) are not errors yet.
mutants() {
    local area=$1 status=0
    shift
    "$TARGET/tools/bin/cargo-mutants" mutants --dir "$ROOT" --workspace --config "$ROOT/scripts/soak/mutants.toml" --output "$TARGET/mutants/$area" \
        --file "${sources[$area]}" --jobs "${JOBS:-$(nproc)}" --colors never --no-times --build-timeout 900 --minimum-test-timeout 60 "${SHARD[@]}" "$@" || status=$?
    case $status in 0 | 2 | 3) ;; *) die "cargo-mutants failed: exit status $status" ;; esac
}

TOKEN=crates/atecc608-token/src
declare -A package=([locks]=atecc608-token [pin]=atecc608-token [state]=atecc608-token [pointers]=atecc608-pkcs11)
declare -A sources=(
    [locks]="$TOKEN/{fair,posted,bus/lock,bus/lock_file,bus/arrival}.rs"
    [pin]="$TOKEN/pin/*.rs"
    [state]="$TOKEN/{document,intents,state,state_access,state_dir,state_file,store}.rs"
    [pointers]='src/{ptr,ptr/parameters}.rs'
)
# Modules of tests/abi that take seconds.
declare -A tests=(
    [locks]='processes waiting signals'
    [pin]='pin:: pin_attacks'
    [state]='state:: interrupted changed_keys damaged_state'
    [pointers]='arguments attributes messages sign:: general:: wrap cipher'
)

for area in "${areas[@]}"; do
    heading "$area: unit tests"
    rm -rf "$TARGET/mutants/$area"
    mkdir -p "$TARGET/mutants/$area"
    mutants "$area" -- --package "${package[$area]}" --lib
done
for area in "${areas[@]}"; do
    [ -s "$TARGET/mutants/$area/mutants.out/missed.txt" ] || continue
    heading "$area: surviving mutants, tests of the C interface"
    read -ra modules <<<"${tests[$area]}"
    mutants "$area" --iterate -- --package atecc608-pkcs11 --test abi -- "${modules[@]}"
done

heading 'Score'
missed=0
for area in "${areas[@]}"; do
    out=$TARGET/mutants/$area/mutants.out
    count() { cat "${@/#/$out/}" 2>/dev/null | sort -u | wc -l; }
    survivors=$(count missed.txt)
    missed=$((missed + survivors))
    # The list of a first pass has those that do not compile, too.
    printf '%-8s %4d caught or not compiled, %3d timed out, %3d missed\n' "$area" \
        "$(count caught.txt previously_caught.txt unviable.txt)" "$(count timeout.txt)" "$survivors"
    cat "$out/missed.txt"
done
[ "$missed" = 0 ] || die "$missed mutants survived: kill them with a test, or name them in scripts/soak/mutants.toml with the reason"
