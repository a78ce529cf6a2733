"""The simulated chip, driven by Microchip's own library through the kernel's I2C interface (tests/clients/vendor.sh).

    python suite.py BUS SOCKET fast|real

Every line compares one answer with the fact sheet, with the library's host-side computation, or with Python's
cryptography; never with what the simulator happens to do. Where the fact sheet is not certain ("unverified"), what
is wanted is the strict reading that src/sim/switches.rs names. The chip must be new: it is configured and locked.
`real` is for a server with the chip's timing: fewer calls, and those about time.
"""

import os
import sys

import blank
import bus
import configured
import host
import locked
import shared_secrets
from checks import Checks
from driver import Chip, Server


class Keys:
    """What the suite knows of the chip's secrets, and the peer's key pair."""

    def __init__(self):
        self.io_key = os.urandom(32)
        self.software = host.SoftwareKey()
        self.public = {}
        self.attest = None
        self.slots = {}


def all_states(checks, chip, keys, server):
    for topic in blank.TOPICS + configured.TOPICS:
        checks.run(topic, chip)
    for topic in configured.KEY_TOPICS + locked.TOPICS + shared_secrets.TOPICS:
        checks.run(topic, chip, keys)
    checks.run(bus.sleep_idle_and_power, chip, server)
    checks.run(bus.nobody_answers_elsewhere, chip)


def in_real_time(checks, chip, keys, server):
    for topic in (blank.identity_of_a_blank_608b, blank.configuration_is_read_back_as_it_was_written,
                  blank.locking_the_configuration):
        checks.run(topic, chip)
    for topic in configured.KEY_TOPICS + locked.REAL_TIME_TOPICS + shared_secrets.REAL_TIME_TOPICS:
        checks.run(topic, chip, keys)
    checks.run(bus.the_library_polls_while_the_chip_is_busy, chip, server)
    checks.run(bus.the_watchdog_is_stopped_by_idle_only, chip)
    checks.run(bus.sleep_idle_and_power, chip, server)


def main(number, path, timing):
    checks = Checks()
    with Chip(int(number)) as chip:
        {"fast": all_states, "real": in_real_time}[timing](checks, chip, Keys(), Server(path))
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
