# SPDX-License-Identifier: MIT OR Apache-2.0
"""A chip and a bus that fail: the library reports what happened, nothing is done twice or partially, and the next call
works (fact sheet sections 1.3 to 1.6, 2.4 and 3.17; the faults are those of src/sim/faults.rs)."""

import os
import time

from bench import configure, fill
from driver import DATA, OK, Out, Status
from raw import Awake
from shared_secrets import counter

# -13 is the response to a wake: to poll address 60 is a low pulse long enough to wake a chip that fell asleep (section
# 11).
NO_ANSWER = (Status(-13), Status(-16), Status(-19), Status(-25), Status(-26))
POLLING = 2.5  # seconds that the library polls


def run(checks, bench):
    timed = bench.timing == "real"
    stuck = the_watchdog_ends_a_stuck_command if timed else a_stuck_chip_needs_its_power_cycled
    with bench.chip() as (chip, server):
        configure(chip, {})
        fill(chip, {8: bytes(416)})
        for topic in (every_status_has_its_error, a_damaged_answer_is_noticed, a_damaged_length_is_read_again,
                      a_damaged_command_is_not_executed, a_lost_answer_is_no_answer, a_chip_that_dozes_off_is_woken,
                      stuck, a_lost_wake_pulse_is_repeated, a_command_that_is_not_heard, power_is_lost_in_a_write,
                      a_failed_self_test_stops_the_chip, *((a_slow_chip_is_waited_for,) if timed else ())):
            checks.run(topic, chip, server)
    with bench.chip() as (chip, server):
        configure(chip, {90: b"\1"})
        checks.run(a_chip_that_fails_when_it_wakes, chip, server)


def works_again(checks, chip):
    numbers = {chip("atcab_random", Out(32)) for _ in range(2)}
    checks.true("the next calls work", len(numbers) == 2 and all(isinstance(n, bytes) for n in numbers), tuple(numbers))


def every_status_has_its_error(checks, chip, server):
    for status, error in ((0x01, -47), (0x03, -46), (0x05, -42), (0x07, -41), (0x08, -6), (0x0F, -12), (0xEE, -31),
                          (0xF0, -31), (0xFF, -44)):
        server.plan(f"status@1:{status:02X}")
        checks.equal(f"status {status:02X}", chip("atcab_random", Out(32)), Status(error))
    server.plan("none")
    works_again(checks, chip)


def a_damaged_answer_is_noticed(checks, chip, server):
    before = counter(chip, "atcab_counter_read", 1)
    # Random answers 35 bytes: a bit of the number, the last of it, one of each byte of the CRC.
    for bit in (8, 8 * 32 + 7, 8 * 33, 8 * 34 + 7):
        server.plan(f"flip@1:{bit}")
        checks.equal(f"bit {bit} of Random's answer is wrong", chip("atcab_random", Out(32)), Status(-27))
    server.plan("flip@1:9")
    checks.equal("a bit of Counter's answer", counter(chip, "atcab_counter_increment", 1), Status(-27))
    server.plan("none")
    checks.equal("which was counted, once", counter(chip, "atcab_counter_read", 1), before + 1)
    works_again(checks, chip)


def a_damaged_length_is_read_again(checks, chip, server):
    server.plan("flip@1:5")  # 23 becomes 03, shorter than any answer.
    number = chip("atcab_random", Out(32))
    checks.true("the library reads again and has the answer", isinstance(number, bytes), number)
    server.plan("none")


def a_damaged_command_is_not_executed(checks, chip, server):
    before = counter(chip, "atcab_counter_read", 1)
    for bit in (8, 16, 24, 8 * 5):
        server.plan(f"garble@1:{bit}")
        checks.equal(f"bit {bit} of the command is wrong: FF", counter(chip, "atcab_counter_increment", 1), Status(-44))
    server.plan("none")
    checks.equal("nothing was counted", counter(chip, "atcab_counter_read", 1), before)
    new = os.urandom(32)
    server.plan("garble@1:100")
    checks.equal("a bit of the data of Write", chip("atcab_write_zone", DATA, 8, 0, 0, new, 32), Status(-44))
    checks.equal("nothing was written", chip("atcab_read_zone", DATA, 8, 0, 0, Out(32), 32), bytes(32))


def a_lost_answer_is_no_answer(checks, chip, server):
    before = counter(chip, "atcab_counter_read", 1)
    server.plan("drop@1")
    status = counter(chip, "atcab_counter_increment", 1)
    checks.true("the answer is lost", status in NO_ANSWER, status)
    server.plan("none")
    checks.equal("it was counted, once", counter(chip, "atcab_counter_read", 1), before + 1)


def a_chip_that_dozes_off_is_woken(checks, chip, server):
    chip("atcab_nonce", bytes(32))
    server.plan("doze@1")
    status = chip("atcab_random", Out(32))
    checks.true("no answer of a chip that fell asleep", status in NO_ANSWER, status)
    server.plan("none")
    checks.equal("it lost TempKey", chip("atcab_info_base", 2, 0, Out(4)), bytes(4))
    works_again(checks, chip)


def a_stuck_chip_needs_its_power_cycled(checks, chip, server):
    server.plan("busy@1")
    began = time.monotonic()
    status = chip("atcab_random", Out(32))
    checks.true("no answer of a stuck chip", status in NO_ANSWER, status)
    checks.true("the library has polled for it", time.monotonic() - began > POLLING, time.monotonic() - began)
    server.plan("none")
    server.power_cycle()
    works_again(checks, chip)


def a_lost_wake_pulse_is_repeated(checks, chip, server):
    chip("atcab_random", Out(32))
    # The pulse, then the read of the wake response, which is not acknowledged the first times.
    server.plan("nack@2*2")
    number = chip("atcab_random", Out(32))
    checks.true("the library wakes again", isinstance(number, bytes), number)
    server.plan("none")


def a_command_that_is_not_heard(checks, chip, server):
    before = counter(chip, "atcab_counter_read", 1)
    server.plan("nack@3")  # The pulse, the wake response, the command.
    status = counter(chip, "atcab_counter_increment", 1)
    server.plan("none")
    after = counter(chip, "atcab_counter_read", 1)
    checks.true("a command that was not acknowledged is repeated or an error, never half of each",
                (status, after) == (before + 1, before + 1) or status in NO_ANSWER and after == before, (status, after))
    works_again(checks, chip)


def power_is_lost_in_a_write(checks, chip, server):
    old, new = os.urandom(32), os.urandom(32)
    chip("atcab_write_zone", DATA, 8, 1, 0, old, 32)
    server.plan("power@7")
    status = chip("atcab_write_zone", DATA, 8, 1, 0, new, 32)
    checks.true("no answer of a chip without power", status in NO_ANSWER, status)
    server.plan("none")
    server.control(server.POWER_ON)
    checks.equal("the block is what it was", chip("atcab_read_zone", DATA, 8, 1, 0, Out(32), 32), old)
    checks.equal("and is written now", chip("atcab_write_zone", DATA, 8, 1, 0, new, 32), OK)
    checks.equal("as it reads back", chip("atcab_read_zone", DATA, 8, 1, 0, Out(32), 32), new)


def a_failed_self_test_stops_the_chip(checks, chip, server):
    server.plan("selftest:04")
    checks.equal("the library hands over what failed", chip("atcab_selftest", 0x3D, 0, Out(1)), b"\4")
    with Awake(chip) as bus:
        checks.equal("SelfTest(ECDSA)", bus(0x77, 0x04, 0), b"\4")
        checks.equal("Random in the failure state: 07", bus(0x1B, 0, 0), b"\7")
        checks.equal("Sign", bus(0x41, 0x80, 0), b"\7")
        checks.equal("Read of the configuration goes on", len(bus(0x02, 0x80, 0)), 32)
        checks.equal("SelfTest(what failed)", bus(0x77, 0x00, 0), b"\4")
        server.plan("none")
        checks.equal("once the test passes", bus(0x77, 0x04, 0), b"\0")
        checks.equal("Random works", len(bus(0x1B, 0, 0)), 32)
    works_again(checks, chip)


def a_chip_that_fails_when_it_wakes(checks, chip, server):
    checks.equal("a chip with a self-test at power-up wakes", chip("atcab_wakeup"), OK)
    chip("atcab_idle")
    server.plan("selftest:20")
    server.power_cycle()
    status = chip("atcab_wakeup")
    checks.true("one that fails it does not, for the library", status in (Status(-48), Status(-41)), status)
    server.plan("none")
    server.power_cycle()
    checks.equal("until it passes", chip("atcab_wakeup"), OK)
    chip("atcab_idle")
    works_again(checks, chip)


def a_slow_chip_is_waited_for(checks, chip, server):
    server.plan("busy@1:400")
    began = time.monotonic()
    number = chip("atcab_random", Out(32))
    checks.true("the library polls until the chip answers", isinstance(number, bytes), number)
    checks.true("which took 400 ms more", 0.4 < time.monotonic() - began < 1.0, time.monotonic() - began)


def the_watchdog_ends_a_stuck_command(checks, chip, server):
    server.plan("busy@1")
    status = chip("atcab_random", Out(32))
    checks.true("no answer of a stuck chip", status in NO_ANSWER, status)
    server.plan("none")
    # Its watchdog has put it to sleep while the library polled.
    works_again(checks, chip)
