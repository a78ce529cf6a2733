#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs third-party PKCS#11 test suites against the module on simulated chips. Writes docs/conformance.md.
#
#   scripts/conformance.sh [SUITE...]     all of them, or only those named, whose table is printed:
#                                         cryptoki go-pkcs11 gnutls p11test pkcs11-check pykcs11 python-pkcs11
#
# Needs root, for packages. The suites come from PyPI, crates.io and Debian's sources, into target/conformance; they are
# not part of the project. scripts/conformance.toml has the reason for each test that does not pass: a failure without a
# reason makes this script fail. Not part of scripts/test.sh.

# Lines of a suite are shell text for `run`.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"
# shellcheck source=scripts/lib/at_once.sh
. "$ROOT/scripts/lib/at_once.sh"
# shellcheck source=scripts/lib/root.sh
. "$ROOT/scripts/lib/root.sh"

# The longest first, so that it does not run alone at the end.
SUITES=(pkcs11-check cryptoki gnutls p11test pykcs11 python-pkcs11 go-pkcs11)
LIMIT=3600
PKCS11_CHECK=0.2.3
PYKCS11=1.5.20
PYTHON_PKCS11=0.10.1

PLACE=$TARGET/conformance
REPORT=$ROOT/scripts/conformance.py

# result SUITE VERSION FORMAT FILE...: what the suite printed, as the report reads it.
result() {
    local suite=$1
    /usr/bin/python3 "$REPORT" collect "$PLACE/results/$suite.json" "$@"
}

# fresh_folder NAME: an empty folder of the suite's own, in FOLDER.
fresh_folder() {
    FOLDER=$PLACE/$1
    rm -rf "$FOLDER"
    mkdir -p "$FOLDER"
}

# pypi_source NAME VERSION: the source package, unpacked in FOLDER.
pypi_source() {
    fresh_folder "$1"
    quietly "$INSTALL_LOG" "$VENV/bin/pip" download --disable-pip-version-check --no-deps --no-binary "$1" \
        --dest "$FOLDER" "$1==$2"
    tar -xzf "$FOLDER"/*.tar.gz -C "$FOLDER" --strip-components 1
}

# venv NAME PYTHON PACKAGE...: in VENV.
venv() {
    local name=$1 python=$2
    shift 2
    mkdir -p "$PLACE"
    printf '%s\n' "$@" >"$PLACE/$name.txt"
    need_python_venv "conformance-$name" "$PLACE/$name.txt" "$python"
}

# python_from_3_12: the path of one. Debian 12's is too old for pkcs11-check.
python_from_3_12() {
    local python
    for python in /usr/bin/python3 python3.{14,13,12} "${HOME:-/root}"/.pyenv/versions/3.1[2-9].*/bin/python3; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    die 'pkcs11-check needs Python 3.12 or newer, which was not found. Debian 13 has it'
}

# debian_source PACKAGE: Debian's source of SUITE, unpacked in FOLDER, its version in VERSION. With apt's lists in a folder of
# this script's own: the machine's sources stay as they are.
debian_source() {
    local apt=$PLACE/apt name=$1
    local options=(-q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/sources" -o Dir::State::lists="$apt/lists"
        -o Dir::Cache="$apt/cache" -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root)
    fresh_folder "$name"
    by_turns source_lists "$apt" "${options[@]}"
    (cd "$FOLDER" && quietly "$INSTALL_LOG" apt-get source "${options[@]}" "$name")
    VERSION=$(sed -n 's/^Version: *//p' "$FOLDER"/*.dsc | head -n 1)
    FOLDER=$(find "$FOLDER" -mindepth 1 -maxdepth 1 -type d)
}

source_lists() {
    local apt=$1 source
    shift
    [ -z "$(find "$apt/updated" -mmin -60 2>/dev/null)" ] || return 0
    mkdir -p "$apt/sources" "$apt/lists/partial" "$apt/cache/archives/partial"
    source=$(suite_source | sed 's/^Types: deb$/Types: deb-src/; s/^deb /deb-src /')
    if [[ $source == Types:* ]]; then
        printf '%s\n' "$source" >"$apt/sources/source.sources"
    else
        printf '%s\n' "$source" >"$apt/sources/source.list"
    fi
    quietly "$INSTALL_LOG" apt-get update "$@"
    touch "$apt/updated"
}

# provisioned SUITE [PIN]: a fresh token `gateway`, with the profile tls, or with tls-pin and that PIN; the recovery code is in the
# file `code` then.
provisioned() {
    served_chip "conformance-$1"
    export ATECC608_LOG=info:$WORK/module.log PYTHONDONTWRITEBYTECODE=1
    if [ -z "${2:-}" ]; then
        run 'atecc608 provision tls --lock-forever'
    else
        run "printf %s '$2' > pin"
        run 'atecc608 provision tls-pin --lock-forever --pin-file pin --recovery-code-file code'
    fi
}

suite_python-pkcs11() {
    need_packages python3 python3-venv openssl
    venv python-pkcs11 /usr/bin/python3 "python-pkcs11==$PYTHON_PKCS11" cryptography parameterized pytest
    pypi_source python-pkcs11 "$PYTHON_PKCS11"
    export TESTS=$FOLDER/tests PYTEST="$VENV/bin/python -m pytest -q -p no:cacheprovider"
    provisioned python-pkcs11
    run 'export PKCS11_MODULE=$MODULE PKCS11_TOKEN_LABEL=gateway PKCS11_TOKEN_PIN=1234'
    # Away from the sources beside them. Exit status 1: some failed.
    run 'cp -r "$TESTS" . && $PYTEST --junitxml=results.xml tests || [ $? = 1 ]'
    result python-pkcs11 "$PYTHON_PKCS11" junit results.xml
}

suite_pykcs11() {
    need_packages python3 python3-venv
    venv pykcs11 /usr/bin/python3 "pykcs11==$PYKCS11" pytest asn1crypto
    pypi_source pykcs11 "$PYKCS11"
    export TESTS=$FOLDER/test PYTEST="$VENV/bin/python -m pytest -q -p no:cacheprovider"
    provisioned pykcs11
    run 'export PYKCS11LIB=$MODULE'
    run 'cp -r "$TESTS" . && $PYTEST --collect-only test | grep :: > tests'
    # Each in a process of its own: a setUp that fails leaves its login behind, with which the next one fails.
    run 'n=0; while read -r test; do $PYTEST --junitxml="results-$((++n)).xml" "$test" </dev/null || [ $? = 1 ]; done < tests'
    result pykcs11 "$PYKCS11" junit results-*.xml
}

suite_pkcs11-check() {
    local python
    need_packages python3 python3-venv
    python=$(python_from_3_12)
    venv pkcs11-check "$python" "pkcs11-check==$PKCS11_CHECK"
    export CHECK=$VENV/bin/pkcs11-check
    provisioned pkcs11-check
    # Exit status 1: some failed. Third-party vectors that it downloads on request are not packaged: those tests are
    # skipped.
    run 'P11TEST_PIN=1234 $CHECK test --module $MODULE --skip-slow --output json --output-file report/results.json || [ $? = 1 ]'
    result pkcs11-check "$PKCS11_CHECK" reportlog report/report.jsonl
}

# Each test begins with C_InitToken and an officer's PIN of its own. The officer's PIN is the chip's recovery code here, and
# tokens are made by the tool: the line with C_InitToken is left out.
suite_cryptoki() {
    local version source
    need_cargo
    source=$(cargo metadata --manifest-path "$ROOT/Cargo.toml" --locked --format-version 1 |
        /usr/bin/python3 -c 'import json, sys; print(*(p["version"] + " " + p["manifest_path"]
            for p in json.load(sys.stdin)["packages"] if p["name"] == "cryptoki"))')
    version=${source%% *}
    fresh_folder cryptoki
    cp -r "$(dirname "${source#* }")/." "$FOLDER"
    # Its folder lies in this project's workspace, but is no member of it.
    printf '\n[workspace]\n' >>"$FOLDER/Cargo.toml"
    provisioned cryptoki fedcba123456
    export CRYPTOKI=$FOLDER
    run 'export CARGO_TARGET_DIR=$CRYPTOKI-target TEST_PKCS11_MODULE=$MODULE'
    run 'sed -i "s/abcdef654321/$(cat code)/; /init_token(slot/d" "$CRYPTOKI/tests/common/mod.rs"'
    run 'cargo test --manifest-path "$CRYPTOKI/Cargo.toml" --locked --no-run --tests 2> programs'
    # Each in a process of its own, 20 s at most: one waits for a token to be plugged in.
    # The crate's own tests (not in tests/) need no module.
    run 'sed -n "s|^  Executable tests/.* (\(.*\))$|\1|p" programs | while read -r program; do
        "$program" --list | sed -n "s/: test$//p" | while read -r test; do
            (cd "$CRYPTOKI" && timeout 20 "$program" --exact "$test" 2>&1 </dev/null) || [ $? != 124 ] || echo "test $test ... FAILED 20 s"
        done
    done > results.txt'
    result cryptoki "$version" cargo results.txt
}

# Its script with p11tool, on one of our tokens: it takes a file of functions for a card. A step that fails ends its
# function, not the script.
suite_gnutls() {
    need_packages gnutls-bin dpkg-dev datefudge
    debian_source gnutls28
    export TESTS=$FOLDER/tests
    provisioned gnutls
    run 'cp -r "$TESTS"/testpkcs11* "$TESTS"/scripts .'
    run 'sed -i "s/exit_error$/return 1/; s/exit 1$/return 1/; s/token=GnuTLS-Test/token=gateway/g
        s/^use_certificate_test/echo \"* Using PKCS #11 with gnutls-cli... skipped\"; false \&\& &/" testpkcs11.sh'
    write_file testpkcs11.atecc608 <<END
ADDITIONAL_PARAM="--provider $MODULE"
init_card () { :; }
END
    run 'export srcdir=. SKIP_DATEFUDGE_CHECK=1 P11TOOL=/usr/bin/p11tool CERTTOOL=/usr/bin/certtool SERV=/usr/bin/gnutls-serv CLI=/usr/bin/gnutls-cli'
    run 'bash ./testpkcs11.sh atecc608 > results.txt 2>&1 </dev/null || true'
    result gnutls "$VERSION" gnutls results.txt
}

suite_p11test() {
    need_packages gcc libc6-dev libcmocka-dev libssl-dev opensc dpkg-dev
    debian_source opensc
    export SOURCES=$FOLDER/src
    provisioned p11test
    run 'P="pkcs11-tool --module $MODULE --token-label gateway"'
    run '$P --keypairgen --key-type EC:prime256v1 --id 01 --label one'
    run '$P --keypairgen --key-type EC:prime256v1 --id 02 --label two'
    run '$P --keygen --key-type AES:16 --sensitive --id 50 --label aes'
    write_file config.h <<'END'
#define ENABLE_OPENSSL 1
END
    run 'gcc -O1 -w -DHAVE_CONFIG_H -I. -I"$SOURCES" "$SOURCES"/tests/p11test/*.c -o p11test -lcmocka -lcrypto -ldl'
    # Exit status: how many failed.
    run './p11test -m $MODULE -p 1234 > results.txt 2>&1 || [ $? -lt 100 ]'
    result p11test "$VERSION" cmocka results.txt
}

suite_go-pkcs11() {
    need_packages golang-go golang-github-miekg-pkcs11-dev gcc libc6-dev
    VERSION=$(dpkg-query -W -f '${Version}' golang-github-miekg-pkcs11-dev)
    provisioned go-pkcs11
    run 'export GO111MODULE=off GOPATH=$WORK/go GOCACHE=$WORK/cache SOFTHSM_LIB=$MODULE'
    # Debian's package has the tests beside the sources. They use files that lie there.
    run 'mkdir -p go/src/github.com/miekg && cp -rL /usr/share/gocode/src/github.com/miekg/pkcs11 go/src/github.com/miekg/'
    run 'cd go/src/github.com/miekg/pkcs11 && /usr/bin/go test -c -o "$WORK/tests"'
    # Each in a process of its own: an example that fails ends the program.
    run 'for test in $("$WORK/tests" -test.list .); do echo "=== PROGRAM $test"; "$WORK/tests" -test.v -test.run "^$test\$" || true; done > "$WORK/results.txt" 2>&1'
    run 'cd "$WORK"'
    result go-pkcs11 "$VERSION" go results.txt
}

# run_at_once calls it, in a process of its own for each suite.
# shellcheck disable=SC2317
suite() { limited "$LIMIT" bash "$ROOT/scripts/conformance.sh" --one "$1"; }

if [ "${1:-}" = --one ]; then
    mkdir -p "$PLACE/results"
    "suite_$2"
    exit
fi
names=("$@")
[ $# != 0 ] || names=("${SUITES[@]}")
for name in "${names[@]}"; do
    [[ " ${SUITES[*]} " == *" $name "* ]] || die "there is no suite $name: ${SUITES[*]}"
done
need_cargo
run 'cargo build --release --locked --manifest-path "$ROOT/Cargo.toml" --workspace'
mkdir -p "$LOGS/conformance" "$PLACE/results"
results=("${names[@]/#/$PLACE/results/}")
results=("${results[@]/%/.json}")
rm -f "${results[@]}"
run_at_once "$(nproc)" "$LOGS/conformance" suite "${names[@]}" || die 'a suite did not finish'
page=$ROOT/docs/conformance.md
[ $# = 0 ] || page=$PLACE/page.md
/usr/bin/python3 "$REPORT" page "$page" "$ROOT/scripts/conformance.toml" "${results[@]}"
