#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs every command of the documentation as a reader would type it: each page's `sh` blocks in order, on a machine of
# its own with the package installed and a fresh simulated chip on /dev/i2c-1. tests/docs/page.py has the rules.
#
#   tests/clients/docs.sh [PAGE...]     all pages, or those

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"

PAGE_LOGS=$LOGS/docs
# One page, with everything it starts, may take this long.
LIMIT=180

# Page names are relative to the root of the repository, in any folder.
pages() { (cd "$ROOT" && /usr/bin/python3 tests/docs/page.py "$@"); }

# run_page PAGE: the commands on a machine made for them. Returns the status of the first that failed.
run_page() {
    local name=${1//\//-} chip log status=0
    log=$PAGE_LOGS/${name%.md}.log
    if pages check "$1" | grep -q ': 0 blocks are run,'; then
        printf 'no commands to run\n' | tee "$log"
        return
    fi
    chip=$(pages chip "$1") && pages script "$1" >page.sh || return
    rm -rf place bus chip.eeprom
    mkdir place && mkdir -m 1777 bus || return
    start_server sim.log "atecc608-sim serve --socket bus/1 --state chip.eeprom --profile $chip --timing fast" >"$log"
    wait_for 'the simulated chip' sim.log test -S bus/1
    chmod 666 bus/1
    as_root env PLACE="$WORK/place" BUS="$WORK/bus" SHIM="$WORK/i2c_shim.so" \
        PACKAGE="$PACKAGE" SIM_PACKAGE="$SIM_PACKAGE" RELEASE="$TARGET/release" SOURCE="$ROOT" \
        timeout --kill-after=5 $LIMIT unshare --mount --net --pid --fork --kill-child "$ROOT/tests/docs/machine.sh" page.sh \
        >>"$log" 2>&1 </dev/null || status=$?
    stop_last_server
    if [ $status -ne 0 ]; then
        tail -n 40 "$log" | sed 's/^/    | /'
        printf 'exit status %d, whole output: %s\n' $status "$log"
    fi
    return $status
}

PAGES=()
for page in "$@"; do
    PAGES+=("$(realpath --relative-to="$ROOT" "$page")")
done
cd "$ROOT"
[ $# -gt 0 ] || PAGES=(README.md docs/*.md)

install_stock_software

heading 'Blocks that are run, and blocks that are not'
(cd tests/docs && PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m unittest -q page_test)
pages check "${PAGES[@]}"
pages not-run "${PAGES[@]}" | sed 's/^/not tested: /'

# shellcheck disable=SC2046  # a list of names
need_packages acl adduser gcc iproute2 libc6-dev patchelf sudo util-linux $(pages packages "${PAGES[@]}")

open_work_folder docs '' no
cd "$WORK"
export PATH=$TARGET/release:$PATH
mkdir -p "$PAGE_LOGS"
run "cc -std=gnu11 -O2 -Wall -Wextra -Werror -shared -fPIC -o i2c_shim.so $ROOT/tests/vendor/i2c_shim.c -ldl"
mkdir -p "$TARGET/debian"
package() { find "$TARGET/debian" -name "$1_*_$(dpkg --print-architecture).deb" | sort -V | tail -n 1; }
PACKAGE=$(package atecc608-pkcs11)
SIM_PACKAGE=$(package atecc608-sim)
[ -n "$SIM_PACKAGE" ] || PACKAGE=''
note "the module and the tool on these machines: ${PACKAGE:-$TARGET/release, since scripts/package.sh has not run}"
FAILED=()
for page in "${PAGES[@]}"; do
    began=$SECONDS
    if run_page "$page"; then
        printf '%s: passed, %d s\n' "$page" $((SECONDS - began))
    else
        FAILED+=("$page")
        printf '%s: FAILED\n' "$page"
    fi
done
[ ${#FAILED[@]} -eq 0 ] || die "failed: ${FAILED[*]}"
