#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Checks a real chip: the driver's contract tests on it, then a report to attach to a bug, then its differences from the
# simulated chip. docs/hardware-check.md describes the checks and how to read the report.
#
#   scripts/hardware-check.sh BUS ADDRESS [--output FILE] [--with-serial] [--i2c-hz HZ] [--sacrifice [SERIAL]]
#   scripts/hardware-check.sh --compare REPORT [OTHER-REPORT] [--switches SWITCHES]
#
#   BUS ADDRESS  such as /dev/i2c-1 0x60, or unix:/run/chip.sock 0x60 for atecc608-sim. Nothing else may use the chip
#                meanwhile. It takes half a minute. Nothing is written into the chip and nothing is counted
#   --output     where the report goes: hardware-report.json if not given
#   --with-serial  the whole serial number in the report; its own digits are masked otherwise
#   --i2c-hz     the bus clock, if the kernel does not say it and the measured one is wrong
#   --sacrifice  SPENDS A BLANK CHIP: configures it for tests and locks it FOR GOOD, for the checks that no other chip
#                allows. Its serial number (18 hex digits) is the consent; without it, the script asks for it
#   --compare    the report against a fresh simulated chip in the same state, or against another report
#   --switches   the simulated chip's switches, as the report's own line of that name has them
#
# Exits with 1 if the chip breaks the driver's contract or behaves differently, with 2 if it could not be reached.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

usage() {
    sed -n '2,/^$/{/SPDX/d;s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}

report_program() {
    need_cargo
    quietly "$LOGS/hardware-check.log" cargo build --locked --manifest-path "$ROOT/Cargo.toml" -p atecc608-token \
        --example hardware_report
    REPORT_PROGRAM=$TARGET/debug/examples/hardware_report
}

case ${1:-} in
    '' | -h | --help) usage ;;
    --compare)
        [ $# -ge 2 ] || usage
        report_program
        exec "$REPORT_PROGRAM" "$@"
        ;;
    -*) usage ;;
esac

[ $# -ge 2 ] || usage
BUS=$1 ADDRESS=$2
shift 2
# cargo runs the tests in the repository's folder: a relative name would mean something else there.
case $BUS in
    unix:[!/]* | sim:[!/]*) BUS=${BUS%%:*}:$PWD/${BUS#*:} ;;
esac
OUTPUT=hardware-report.json
OPTIONS=()
SACRIFICE=()
while [ $# -gt 0 ]; do
    case $1 in
        --output)
            [ $# -ge 2 ] || usage
            OUTPUT=$2
            shift
            ;;
        --i2c-hz)
            [ $# -ge 2 ] || usage
            OPTIONS+=("$1" "$2")
            shift
            ;;
        --with-serial) OPTIONS+=("$1") ;;
        --sacrifice)
            SACRIFICE=("$1")
            if [[ ${2:-} =~ ^[0-9A-Fa-f]{18}$ ]]; then
                SACRIFICE+=("$2")
                shift
            fi
            ;;
        *) usage ;;
    esac
    shift
done

STATUS=0
report_program

heading "The driver's contract with the chip at $ADDRESS on $BUS"
# In a subshell: relative file names are the caller's.
(
    cd "$ROOT"
    ATECC608_HARDWARE=$BUS@$ADDRESS cargo test --locked -p atecc608-token --test it hardware:: -- --show-output
) || STATUS=1

heading 'Behaviour of the chip'
"$REPORT_PROGRAM" "$BUS@$ADDRESS" --output "$OUTPUT" "${OPTIONS[@]}" "${SACRIFICE[@]}"
note "the report is in $OUTPUT"

heading 'Differences from the simulated chip'
"$REPORT_PROGRAM" --compare "$OUTPUT" || STATUS=1
exit $STATUS
