# SPDX-License-Identifier: MIT OR Apache-2.0
"""Chips of one topic: a server and a bus for each, and their contents, written by the library."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time

import host
from driver import DATA, OK, Chip, Out, Server

FIRST_BUS = 40
# The simulator waits for the disk after every written block: temporary images are kept in memory.
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


class Bench:
    def __init__(self, timing):
        self.timing = timing
        self.buses = 0
        # The names of all commands that the chips have executed.
        self.commands = set()

    @contextlib.contextmanager
    def chip(self, profile="blank-608b", address=0x60):
        """A new chip on a bus of its own: the library opened on it, and its server."""
        bus = FIRST_BUS + self.buses
        self.buses += 1
        path = f"{self.timing}-{bus}.sock"
        os.environ["I2C_SHIM"] += f":{bus}={path}"
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder, subprocess.Popen(
                ["atecc608-sim", "serve", "--socket", path, "--state", f"{folder}/eeprom", "--profile", profile,
                 "--address", f"0x{address:02X}", "--timing", self.timing], env=environment) as server:
            try:
                wait_for(path, server)
                # A server without a chip's timing needs no time to wake.
                delay = 1500 if self.timing == "real" else 10
                with Chip(bus, address, wake_delay=delay, lock_state=0 if profile.startswith("blank") else 2) as chip:
                    yield chip, Server(path)
                self.commands |= set(Server(path).control(Server.STATS)["commands"])
            finally:
                server.terminate()


def wait_for(path, server):
    for _ in range(500):
        with socket.socket(socket.AF_UNIX) as stream:
            if stream.connect_ex(path) == 0:
                return
        if server.poll() is not None:
            break
        time.sleep(0.01)
    raise RuntimeError(f"no simulated chip at {path}")


def patched(config, changes):
    """The configuration with other bytes at some offsets."""
    config = bytearray(config)
    for at, new in changes.items():
        config[at:at + len(new)] = new
    return bytes(config)


def slots(policies):
    """SlotConfig and KeyConfig of some slots, as changes of the configuration."""
    changes = {}
    for slot, (slot_config, key_config) in policies.items():
        changes[20 + 2 * slot] = slot_config.to_bytes(2, "little")
        changes[96 + 2 * slot] = key_config.to_bytes(2, "little")
    return changes


def configure(chip, changes):
    """Writes a blank chip's configuration with these changes and locks it. Returns all 128 bytes."""
    wanted = patched(chip("atcab_read_config_zone", Out(128)), changes)
    done(chip("atcab_write_config_zone", wanted), "write the configuration")
    done(chip("atcab_lock_config_zone_crc", host.crc(wanted)), "lock the configuration")
    return wanted


def fill(chip, contents, otp=None):
    """Writes slots (and OTP) between the locks, and locks the data."""
    for slot, data in contents.items():
        write_blocks(chip, DATA, slot, data)
    if otp:
        write_blocks(chip, 1, 0, otp)
    done(chip("atcab_lock_data_zone"), "lock the data")


def write_blocks(chip, zone, slot, data):
    for at in range(0, len(data), 32):
        done(chip("atcab_write_zone", zone, slot, at // 32, 0, data[at:at + 32].ljust(32, b"\0"), 32),
             f"write block {at // 32} of slot {slot}")


def done(status, what):
    """Checks a preparation, which is no comparison: without it the topic cannot continue."""
    if status != OK:
        raise RuntimeError(f"could not {what}: {status!r}")
