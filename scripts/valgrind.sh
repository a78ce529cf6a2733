#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs a C program that uses the module (tests/c/life.c) under valgrind: checks memory accesses, and leaks after
# C_Finalize. The module is the one that `cargo build` makes, with line numbers; the simulated chip is another process.
# First valgrind must find a planted overrun in the module, which proves that it checks it.
#
# Not helgrind or DRD: the module's locks are parking_lot's, which call futex themselves. Those tools see only pthread's, so all that a lock
# of the module protects is a race to them (more than 200 places).

# Lines are shell text for `run`.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_cargo
need_packages valgrind gcc libc6-dev libp11-kit-dev

(cd "$ROOT" && cargo build --locked)
BUILT=debug
served_chip valgrind
export ATECC608_LOG=error ROOT
run 'printf "correct horse" > pin'
run 'atecc608 provision tls-pin --lock-forever --pin-file pin --recovery-code-file code'
for program in life overrun; do
    run "gcc -std=gnu11 -g -O1 -I /usr/include/p11-kit-1 -o $program $ROOT/tests/c/$program.c $ROOT/tests/c/hostile.c -ldl -lpthread"
done

heading 'A planted overrun is detected'
run 'export MEMCHECK="valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite"'
run_refused 'Invalid read' '$MEMCHECK ./overrun $MODULE'

heading 'Initialise, use, finalise: two cycles with four threads'
run '$MEMCHECK ./life $MODULE "$(cat pin)" 4 1'
