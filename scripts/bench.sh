#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Measures what the module's calls cost the chip, counted by the simulator, against the budget of the design; and the
# time of the calls that need no chip, against SoftHSM2. Exits with 1 if a call is over its budget, or slower.
#
#   scripts/bench.sh               the budgets
#   scripts/bench.sh clients       instead, what a typical use by each stock client costs
#   scripts/bench.sh performance   instead, writes docs/performance.md (scripts/performance.sh)

# Lines are shell text for `run`.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
case ${1:-} in
    clients) exec "$ROOT/scripts/bench_clients.sh" ;;
    performance) exec "$ROOT/scripts/performance.sh" "${@:2}" ;;
esac
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

fresh_token bench
export STATE_DIR=$WORK/state PROVIDER_CONF=$ROOT/conf/openssl-pkcs11.cnf
heading 'Cost on the chip'
STATUS=0
run "/usr/bin/python3 $ROOT/scripts/bench.py \$MODULE gateway dev-key chip.sock" || STATUS=$?

# The calls that need no chip must not be slower than SoftHSM2's, which never needs one. Both tokens hold a key pair and
# a certificate. Slower means: by more than a tenth, and by more than half a microsecond. Two runs of one module differ
# by a tenth here; half a microsecond is less than a caller's own work around any call.
compare_with_softhsm() {
    heading 'Calls without the chip, compared with SoftHSM2'
    need_packages softhsm2 gcc libc6-dev libp11-kit-dev
    software_ca >/dev/null
    device_certificate >/dev/null
    mkdir softhsm
    printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$WORK/softhsm" >softhsm2.conf
    export SOFTHSM2_CONF=$WORK/softhsm2.conf SOFTHSM=/usr/lib/softhsm/libsofthsm2.so
    run 'softhsm2-util --init-token --free --label soft --pin 1234 --so-pin 1234'
    run 'S="pkcs11-tool --module $SOFTHSM --token-label soft --login --pin 1234"'
    run '$S --keypairgen --key-type EC:prime256v1 --id 01 --label dev-key'
    run '$S --write-object device.der --type cert --id 01 --label dev-key'
    run "cc -O2 -I /usr/include/p11-kit-1 -o speed $ROOT/scripts/speed.c -ldl"
    run './speed $MODULE gateway 1234 > ours.txt'
    run './speed $SOFTHSM soft 1234 > theirs.txt'
    paste ours.txt theirs.txt | awk -F '\t' '
        BEGIN { printf "%-40s %12s %12s\n", "work", "ours, us", "SoftHSM2, us" }
        {
            slower = $2 > 1.1 * $4 && $2 > $4 + 0.5
            failed += slower
            printf "%-40s %12.2f %12.2f   %s\n", $1, $2, $4, slower ? "SLOWER" : "ok"
        }
        END { exit failed || NR != 4 }'
}
compare_with_softhsm
exit $STATUS
