# SPDX-License-Identifier: MIT OR Apache-2.0
"""Behaviour on the bus: sleep, idle, the watchdog, and missing responses (fact sheet sections 1.1, 1.3 to 1.6 and
8)."""

import os
import time

import host
from driver import EXECUTION, OK, Chip, Out, put_to_sleep
from locked import EPHEMERAL, expected_hmac, hmac_with, temp_key_state


def sleep_idle_and_power(checks, chip, server):
    value = os.urandom(32)
    for what, ends in (("sleep", lambda: put_to_sleep(chip)), ("a power cycle", server.power_cycle)):
        chip("atcab_nonce", value)
        checks.equal(f"before {what} TempKey is valid", temp_key_state(chip), "1080")
        ends()
        checks.equal(f"{what} clears TempKey", temp_key_state(chip), "0000")
    chip("atcab_nonce", value)
    checks.equal("wake", chip("atcab_wakeup"), OK)
    checks.equal("idle", chip("atcab_idle"), OK)
    checks.equal("TempKey is still what it was", hmac_with(chip, EPHEMERAL), expected_hmac(value))
    chip("atcab_sha_start")
    put_to_sleep(chip)
    checks.equal("sleep ends a hash that was begun: SHA(update)", chip("atcab_sha_update", bytes(64)), EXECUTION)
    server.take_stats()
    chip("atcab_random", Out(32))
    stats = server.take_stats()
    checks.equal("one command is one wake and one idle", (stats["wakes"], stats["idles"], stats["commands"]),
                 (1, 1, {"Random": 1}))
    server.control(server.PULL)
    status = chip("atcab_random", Out(32))
    checks.true("no chip, no answer", not isinstance(status, bytes), status)
    server.control(server.INSERT)
    checks.true("it comes back", isinstance(chip("atcab_random", Out(32)), bytes))


def nobody_answers_elsewhere(checks, chip):
    bus = chip.config.cfg.atcai2c.bus
    chip.__exit__()
    for address in (0x35, 0x36, 0x38):
        with Chip(bus, address, retries=2) as other:
            status = other("atcab_info", Out(4))
            checks.true(f"a library at address {address:02X} finds no chip", not isinstance(status, bytes), status)
    chip.__enter__()
    checks.equal("it is where it was", chip("atcab_info", Out(4)), bytes.fromhex("00006003"))


def the_library_polls_while_the_chip_is_busy(checks, chip, server):
    chip("atcab_random", Out(32))
    server.take_stats()
    began = time.monotonic()
    public = chip("atcab_genkey", 0, Out(64))
    took = time.monotonic() - began
    nacks = server.take_stats()["nacks"]
    checks.true("GenKey(create) answers a point", isinstance(public, bytes) and host.on_curve(public), public)
    checks.true("the library was not acknowledged meanwhile, and asked again", nacks > 2, nacks)
    checks.true("it took the time of a chip: more than 10 ms", took > 0.010, took)
    checks.true("and less than the maximum of 115 ms and what the bus adds", took < 0.5, took)


def the_watchdog_is_stopped_by_idle_only(checks, chip):
    value = os.urandom(32)
    chip("atcab_nonce", value)
    time.sleep(1.8)
    checks.equal("idle for 1.8 s: TempKey is kept", hmac_with(chip, EPHEMERAL), expected_hmac(value))
    chip("atcab_nonce", value)
    checks.equal("awake", chip("atcab_wakeup"), OK)
    time.sleep(1.8)
    checks.equal("for 1.8 s, more than the watchdog's 1.7: TempKey is gone", temp_key_state(chip), "0000")
