#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# scripts/hardware-check.sh, on simulated chips in their own time: a provisioned one and a blank one, which it must not
# change; the blank one again, to be used up; and one that behaves differently, which the comparison must report.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"

open_work_folder hardware-check '' no
cd "$WORK"
export PATH=$TARGET/release:$ROOT/scripts:$PATH
need_cargo

# serve NAME [options]: a blank chip in NAME.eeprom at unix:$WORK/NAME.sock.
serve() {
    local name=$1
    shift
    start_server "$name.log" "atecc608-sim serve --socket $name.sock --state $name.eeprom --timing real $*"
    wait_for 'the simulated chip' "$name.log" test -S "$name.sock"
}

heading 'Chip in use: nothing is changed'
serve tls
mkdir state
export ATECC608_PKCS11_CONF=$WORK/config.toml
write_file config.toml <<END
state_dir = "$WORK/state"

[[token]]
bus = "unix:$WORK/tls.sock"
END
run 'atecc608 provision tls --lock-forever 2>provision.log'
run 'cp tls.eeprom before.eeprom'
run 'hardware-check.sh unix:$WORK/tls.sock 0x60 --output tls.json'
run 'cmp tls.eeprom before.eeprom'
stop_last_server

heading 'Blank chip: nothing is changed'
serve blank
run 'cp blank.eeprom before.eeprom'
run 'hardware-check.sh unix:$WORK/blank.sock 0x60 --output blank.json --with-serial'
run 'cmp blank.eeprom before.eeprom'
run 'SERIAL=$(sed -n "s/.*\"serial\": \"\(.*\)\".*/\1/p" blank.json)'

heading '--sacrifice requires the serial number'
export REPORT=$TARGET/debug/examples/hardware_report
run_refused 'needs the chip.s serial number' 'hardware-check.sh unix:$WORK/blank.sock 0x60 --sacrifice </dev/null'
run_refused 'nothing was done to it' 'hardware-check.sh unix:$WORK/blank.sock 0x60 --sacrifice 0123000000000000EE'
run 'cmp blank.eeprom before.eeprom'
run 'hardware-check.sh unix:$WORK/blank.sock 0x60 --sacrifice $SERIAL --output spent.json'
run 'hardware-check.sh --compare spent.json'
run_refused 'is locked already' '"$REPORT" unix:$WORK/blank.sock@0x60 --sacrifice $SERIAL'
stop_last_server

heading 'Chip with other behaviour: the report names the differences'
SWITCHES=check_mac_copies=off,ecdh_bad_point=05,sha_digest_is_fixed=off
serve other --switches $SWITCHES
run '"$REPORT" unix:$WORK/other.sock@0x60 --with-serial --rounds 1 --output other.json'
run 'SERIAL=$(sed -n "s/.*\"serial\": \"\(.*\)\".*/\1/p" other.json)'
run '"$REPORT" unix:$WORK/other.sock@0x60 --sacrifice $SERIAL --rounds 2 --output other.json'
run_refused "serve --switches $SWITCHES" 'hardware-check.sh --compare other.json'
run_refused 'ecdh_bad_point would have to be 05 instead of 0F' 'hardware-check.sh --compare other.json'
run_refused 'asked of the first only|different: check_mac_copies' 'hardware-check.sh --compare spent.json other.json'
run "hardware-check.sh --compare other.json --switches $SWITCHES"
