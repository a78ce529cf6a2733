# SPDX-License-Identifier: MIT OR Apache-2.0
"""The simulated chip, driven by Microchip's own library through the kernel's I2C interface (tests/clients/vendor.sh).

    python suite.py BUS SOCKET fast|real

Every line compares one answer with the fact sheet, with the library's host-side computation, or with Python's
cryptography; never with what the simulator happens to do. Where the fact sheet is not certain ("unverified"), the
expected result is the strict reading that src/sim/switches.rs names. The chip must be new: it is configured and locked.
Other topics start chips of their own (bench.py). `real` is for a server with the chip's timing: the same, and what
there is to say about time.
"""

import os
import sys

import aes_modes
import authorisation
import blank
import bus
import certificates
import certificates_written
import configured
import coverage
import devices
import failures
import host
import kdf
import lock_states
import locked
import private_keys
import secure_boot
import shared_secrets
import vendor_tests
from bench import Bench
from checks import Checks
from driver import Chip, Server


class Keys:
    """The chip's secrets that the suite knows, and the peer's key pair."""

    def __init__(self):
        self.io_key = os.urandom(32)
        self.software = host.SoftwareKey()
        self.public = {}
        self.attest = None
        self.slots = {}


def one_chip_from_blank_to_service(checks, chip, server, timing):
    keys = Keys()
    for topic in blank.TOPICS + configured.TOPICS:
        checks.run(topic, chip)
    for topic in configured.KEY_TOPICS + locked.TOPICS + private_keys.TOPICS + shared_secrets.TOPICS:
        checks.run(topic, chip, keys)
    if timing == "real":
        checks.run(bus.the_library_polls_while_the_chip_is_busy, chip, server)
        checks.run(bus.the_watchdog_is_stopped_by_idle_only, chip)
    checks.run(bus.sleep_idle_and_power, chip, server)
    checks.run(bus.nobody_answers_elsewhere, chip)


def main(number, path, timing):
    checks, bench = Checks(), Bench(timing)
    with Chip(int(number)) as chip:
        one_chip_from_blank_to_service(checks, chip, Server(path), timing)
    for module in (lock_states, vendor_tests, authorisation, aes_modes, kdf, secure_boot, certificates,
                   certificates_written, devices, failures):
        module.run(checks, bench)
    checks.run(coverage.every_command_was_executed, bench)
    checks.run(coverage.every_function_was_called)
    checks.run(coverage.the_library_was_called_in_every_lock_state)
    return checks.summary(coverage.calls())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
