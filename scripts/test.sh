#!/usr/bin/env bash
# Everything that CI runs, step by step. Exits with 0 only if every step passed.
#
#   scripts/test.sh [--quick]
#
#   --quick   what a developer wants before a commit: format, lints, tests
#
# The whole output of a step goes to target/logs/test/; what is shown here is its result, and its last lines if it failed.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

STEP_LOGS=$LOGS/test
STEP=0
PASSED=0
FAILED=()

# step 'what it is' command...
step() {
    local what=$1 log status=0 began=$SECONDS
    shift
    STEP=$((STEP + 1))
    log=$STEP_LOGS/$(printf '%02d-%s' $STEP "$(tr -cs 'a-zA-Z0-9\n' '-' <<<"$what" | sed 's/-$//')").log
    printf '%2d. %s\n' $STEP "$what"
    # A subshell of its own: -e must work inside the step, and a step that exits must not end the run.
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1 </dev/null
    status=$?
    set -e
    show_results "$log"
    if [ $status = 0 ]; then
        PASSED=$((PASSED + 1))
        printf '    passed, %d s\n' $((SECONDS - began))
    else
        FAILED+=("$STEP. $what")
        tail -n 60 "$log" | sed 's/^/    | /'
        printf '    FAILED (exit status %d), %d s, whole output: %s\n' $status $((SECONDS - began)) "$log"
    fi
}

# limited SECONDS command...: it and what it started are stopped after that time: a hang fails the step that hangs.
limited() {
    timeout --kill-after 30 "$@" &
    # timeout and its command are a process group of their own, which a terminal's Ctrl-C does not reach.
    # shellcheck disable=SC2064  # this process id, now
    trap "kill $!; exit 130" INT TERM
    wait $!
}

# The lines of a log that a reader wants even if all went well: the closing lines of the test programs, with what they ran,
# and what was not run.
show_results() { grep -E '^ *(Running|Doc-tests|not tested:|under AddressSanitizer:|i686:) |^test result: ' "$1" || true; }

# --- the steps -----------------------------------------------------------------------------------------------------

install_everything() {
    install_stock_software
    # pkcs11.h, for the C programs that the Rust tests compile; shellcheck for these scripts.
    need_packages libp11-kit-dev shellcheck
    need_cargo
    need_rust_linters
}

check_scripts() {
    shellcheck -x scripts/*.sh scripts/lib/package_in_root.sh tests/clients/*.sh tests/docs/*.sh conf/debian/*/p*st* \
        conf/debian/*/preinst .ci/run
}

format() { cargo fmt --check; }

lint() { cargo clippy --all-targets --all-features --locked -- -D warnings; }

# As packages for gateways are built: no simulator in it.
lint_without_simulator() { cargo clippy --all-targets --locked --no-default-features -- -D warnings; }

docs() { RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --locked; }

build() { scripts/build.sh; }

tests() {
    scripts/test_programs.py --locked
    cargo test --locked --doc
}

budgets() {
    limited 600 scripts/bench.sh
    limited 600 scripts/bench.sh clients
    limited 300 scripts/fairness.sh short
}

licences() {
    cargo metadata --locked --all-features --format-version 1 | /usr/bin/python3 scripts/check_licences.py deny.toml
}

# One client's trouble must not hide another's: all are run, none for longer than a quarter of an hour, then the failed
# ones are named.
client_tests() {
    local file failed=()
    for file in tests/clients/*.sh; do
        printf '\n##### %s\n' "$file"
        limited 900 bash "$file" || failed+=("$file (exit status $?)")
    done
    [ ${#failed[@]} -eq 0 ] || printf '\nfailed: %s\n' "${failed[@]}"
    [ ${#failed[@]} -eq 0 ]
}

# --- the run -------------------------------------------------------------------------------------------------------

summary() {
    printf '\n%d steps in %d min %d s\n' $STEP $((SECONDS / 60)) $((SECONDS % 60))
    if [ ${#FAILED[@]} -gt 0 ]; then
        printf 'failed: %s\n' "${FAILED[@]}"
    fi
    printf 'steps: %d passed, %d failed\n' "$PASSED" ${#FAILED[@]}
    [ ${#FAILED[@]} -eq 0 ]
}

QUICK=no
case ${1:-} in
    '') ;;
    --quick) QUICK=yes ;;
    *) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac

cd "$ROOT"
rm -rf "$STEP_LOGS"
mkdir -p "$STEP_LOGS"

step 'install what is missing' install_everything
# The step ran in a subshell: what it found out is needed here too.
need_cargo >/dev/null
step 'format (cargo fmt)' format
step 'lints (cargo clippy)' lint
if [ $QUICK = no ]; then
    step 'lints without the simulator' lint_without_simulator
    step 'lints of the scripts (shellcheck)' check_scripts
    step 'licences of the dependencies' licences
    step 'documentation (cargo doc)' docs
    step 'release build' build
fi
step 'tests (cargo test)' tests
if [ $QUICK = no ]; then
    step 'the C interface under AddressSanitizer' limited 1800 scripts/asan.sh
    step 'the C interface with 32-bit numbers (i686)' limited 1800 scripts/i686.sh
    # Before the clients: one of them installs the packages.
    step 'Debian packages for amd64, arm64 and armhf (scripts/package.sh)' limited 1800 scripts/package.sh --test
    step 'clients' client_tests
    step 'demo' limited 900 scripts/demo.sh
    step 'cost budget, speed without the chip, fairness (scripts/bench.sh, scripts/fairness.sh)' budgets
    step "oldest Rust, $(rust_version)" limited 1800 scripts/msrv.sh
fi
summary
