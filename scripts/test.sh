#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs everything that CI runs, step by step. Exits with 0 only if every step passed.
#
#   scripts/test.sh [--quick]
#
#   --quick   for a developer before a commit: format, lints, tests
#
# The whole output of a step goes to target/logs/test/; shown are its result, its last lines if it failed, and at the
# end the times. Two lanes of steps run in parallel: one compiles and tests, the other makes the packages and tries them
# with stock programs. Steps that measure times come last, when nothing else runs.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/at_once.sh
. "$ROOT/scripts/lib/at_once.sh"

STEP_LOGS=$LOGS/test
# A line for each step that has ended: seconds, seconds of a processor, passed or FAILED, what it is.
RESULTS=$STEP_LOGS/results

# step 'what it is' command...
step() {
    local what=$1 log status=0 result=passed began=$SECONDS running processor
    shift
    log=$STEP_LOGS/$(tr -cs 'a-zA-Z0-9\n' '-' <<<"$what" | sed 's/-$//').log
    printf '      begins: %s\n' "$what"
    # A shell of its own: -e must work inside the step, and a step that exits must not end the run. And a process group
    # of its own, so that stopping the run stops the whole step.
    set -m
    (
        set +m -e
        trap 'times >"$log.times"' EXIT
        "$@"
    ) >"$log" 2>&1 </dev/null &
    running=$!
    set +m
    # shellcheck disable=SC2064  # this process id, now
    trap "kill -- -$running; exit 130" INT TERM
    wait $running || status=$?
    trap - INT TERM
    [ $status = 0 ] || result=FAILED
    processor=$(tr 'ms' '  ' <"$log.times" | awk '{ sum += 60 * $1 + $2 + 60 * $3 + $4 } END { printf "%d", sum }')
    printf '%d\t%d\t%s\t%s\n' $((SECONDS - began)) "$processor" $result "$what" >>"$RESULTS"
    # In one piece: the other lane prints, too.
    printf '%s\n' "$(
        printf '%s, %d s: %s\n' $result $((SECONDS - began)) "$what"
        show_results "$log"
        if [ $status != 0 ]; then
            tail -n 60 "$log" | sed 's/^/    | /'
            printf '    exit status %d, whole output: %s\n' $status "$log"
        fi
    )"
}

# lanes FUNCTION...: each runs its steps one after the other, all at once.
lanes() {
    local lane running=()
    for lane in "$@"; do
        "$lane" &
        running+=($!)
    done
    # shellcheck disable=SC2064  # these process ids, now
    trap "kill ${running[*]} 2>/dev/null; wait; exit 130" INT TERM
    wait
    trap - INT TERM
}

# The lines of a log that are shown even after success: the closing lines of the test programs, with what they ran, and
# what was not run.
show_results() {
    grep -E '^ *(Running|Doc-tests|not tested:|under AddressSanitizer:|i686:|guest:) |^test result: ' "$1" || true
}

# --- the steps -----------------------------------------------------------------------------------------------------

install_everything() {
    install_stock_software
    # pkcs11.h, for the C programs that the Rust tests compile; shellcheck for these scripts.
    need_packages libp11-kit-dev shellcheck
    need_cargo
    need_rust_linters
}

check_scripts() {
    shellcheck -x scripts/*.sh scripts/soak/*.sh scripts/lib/{guest_init,in_guest,package_in_root}.sh \
        tests/{boards,clients,docs,kernel}/*.sh conf/debian/*/p*st* conf/debian/*/preinst .ci/run
}

format() { cargo fmt --all --check && cargo fmt --manifest-path fuzz/Cargo.toml --check; }

lint() { cargo clippy --workspace --all-targets --all-features --locked -- -D warnings; }

# As for gateway packages: without the simulator.
lint_without_simulator() {
    cargo clippy --locked -p atecc608-pkcs11 -p atecc608-cli --no-default-features -- -D warnings
}

docs() { RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked; }

tests() {
    ATECC608_TEST_OPERATIONS=50000 scripts/test_programs.py --locked
    cargo test --locked --workspace --doc
}

kernel() {
    if [ "$(dpkg --print-architecture)" != amd64 ]; then
        note 'not tested: the guest of scripts/test-kernel.sh is for amd64 only'
        return
    fi
    limited 1200 scripts/test-kernel.sh
}

budgets() {
    limited 600 scripts/bench.sh
    limited 600 scripts/bench.sh clients
    limited 300 scripts/fairness.sh short
    limited 300 scripts/soak/crowd.sh short
}

licences() {
    local manifest
    for manifest in Cargo.toml fuzz/Cargo.toml; do
        cargo metadata --locked --all-features --format-version 1 --manifest-path $manifest |
            /usr/bin/python3 scripts/check_licences.py deny.toml
    done
}

advisories() {
    /usr/bin/python3 scripts/check_advisories.py deny.toml scripts/advisories.toml Cargo.lock fuzz/Cargo.lock
}

# --- the lanes -----------------------------------------------------------------------------------------------------

what_developers_see() {
    step 'format (cargo fmt)' format
    step 'lints (cargo clippy)' lint
    if [ $QUICK = no ]; then
        step 'lints without the simulator' lint_without_simulator
        step 'lints of the scripts (shellcheck)' check_scripts
        step 'licences of the dependencies' licences
        step 'copyright and licence of each file (scripts/spdx.sh)' limited 300 scripts/spdx.sh
        step 'advisories for the dependencies (a dated copy)' advisories
        step 'documentation (cargo doc)' docs
        step 'documentation site (scripts/docs-site.sh)' limited 300 scripts/docs-site.sh
    fi
    step 'tests (cargo test)' tests
    if [ $QUICK = no ]; then
        step 'a Debian kernel, in a guest (scripts/test-kernel.sh)' kernel
        step 'a C program under valgrind (scripts/valgrind.sh)' limited 300 scripts/valgrind.sh
        step 'the C interface under AddressSanitizer' limited 1800 scripts/asan.sh
        step 'fuzzing, 10 s for each target (scripts/fuzz.sh)' limited 1200 scripts/fuzz.sh
        step 'the C interface with 32-bit numbers (i686)' limited 1800 scripts/i686.sh
    fi
}

what_users_get() {
    step 'release build' cargo build --release --locked
    # Before the clients: one of them installs the packages.
    step 'Debian packages for amd64, arm64 and armhf (scripts/package.sh)' limited 1800 scripts/package.sh --test
    step "oldest Rust, $(rust_version)" limited 1800 scripts/msrv.sh --unless-packaged
    step 'clients' limited 2700 scripts/clients.sh --together
}

what_measures_times() {
    step 'clients in real time' limited 2700 scripts/clients.sh --alone
    step 'demo' limited 900 scripts/demo.sh
    step 'cost budget, speed without the chip, fairness (scripts/bench.sh, scripts/fairness.sh, scripts/soak/crowd.sh)' budgets
}

# --- the run -------------------------------------------------------------------------------------------------------

# Sorted by time; the clients' times, which are many steps in one, too.
summary() {
    local failed
    printf '\n%9s %10s  step\n' seconds processor
    sort -rn "$RESULTS" | awk -F '\t' '{ printf "%9d %10d  %s%s\n", $1, $2, $4, ($3 == "passed" ? "" : ": FAILED") }'
    if [ $QUICK = no ]; then
        sed -n 's/^\([a-z0-9-]*\)  *passed, \([0-9]*\) s$/\2 \1/p' "$STEP_LOGS"/clients*.log | sort -rn |
            awk '{ text = text sep $2 " " $1; sep = ", " } END { print "the clients: " text }' | fold -s -w 120
    fi
    failed=$(grep -c "$(printf '\tFAILED\t')" "$RESULTS" || true)
    printf 'all of it: %d min %d s\n' $((SECONDS / 60)) $((SECONDS % 60))
    printf 'steps: %d passed, %d failed\n' $(($(wc -l <"$RESULTS") - failed)) "$failed"
    [ "$failed" = 0 ]
}

QUICK=no
case ${1:-} in
    '') ;;
    --quick) QUICK=yes ;;
    *) sed -n '2,/^$/{/SPDX/d;s/^# \{0,1\}//p}' "$0" >&2 && exit 2 ;;
esac

cd "$ROOT"
rm -rf "$STEP_LOGS"
mkdir -p "$STEP_LOGS"

step 'install what is missing' install_everything
# The step ran in a shell of its own: its variables are needed here too.
need_cargo >/dev/null
if [ $QUICK = yes ]; then
    what_developers_see
else
    # Everything is built once: incremental compilation is of no use.
    export CARGO_INCREMENTAL=0
    lanes what_developers_see what_users_get
    what_measures_times
fi
summary
