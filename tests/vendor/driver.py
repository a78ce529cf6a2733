# SPDX-License-Identifier: MIT OR Apache-2.0
"""Microchip's compiled library, called as C programs call it, over the simulator's bus."""

import collections
import contextlib
import ctypes
import json
import socket
import struct

import cryptoauthlib
from cryptoauthlib.library import get_cryptoauthlib


class Status(int):
    """What a function of the library returned, when that is not success (fact sheet section 2.4)."""

    NAMES = {0: "OK", -12: "EXECUTION (0F)", -46: "PARSE (03)", -47: "MISCOMPARE (01)", -42: "ECC (05)",
             -41: "SELF TEST (07)", -44: "CRC (FF)", -48: "WAKE FAILED", -30: "BAD PARAMETER", -6: "HEALTH TEST (08)",
             -31: "FAILURE", -27: "ANSWER'S CRC", -19: "SMALL BUFFER", -16: "NO COMMUNICATION", -25: "NO RESPONSE"}

    def __repr__(self):
        return self.NAMES.get(int(self), f"status {int(self)}")


OK, EXECUTION, PARSE, MISCOMPARE = Status(0), Status(-12), Status(-46), Status(-47)

CONFIG, OTP, DATA = 0, 1, 2

# What each function of the library that was called has returned: the coverage the suite proves in the end.
CALLED = collections.defaultdict(set)
# How many calls went to chips with nothing locked, the configuration locked, and both zones locked.
CALLS = collections.Counter()
LOCK_STATES = ("nothing locked", "configuration locked", "both zones locked")

if not get_cryptoauthlib():
    cryptoauthlib.load_cryptoauthlib()
DEFAULT = cryptoauthlib.cfg_ateccx08a_i2c_default()


def call(name, *arguments, restype=ctypes.c_int):
    """Calls a function of the library as C does, and remembers what it returned."""
    function = getattr(get_cryptoauthlib(), name)
    function.restype = restype
    result = function(*arguments)
    CALLED[name].add(result if restype is ctypes.c_int else 0)
    return result


class Out:
    """Room for this many bytes that the library fills in."""

    def __init__(self, size):
        self.bytes = (ctypes.c_uint8 * size)()


class Context:
    """A context that only the library looks into: more room than any of its contexts needs."""

    def __init__(self):
        self.room = (ctypes.c_uint64 * 128)()


class Chip:
    """The library, opened on one bus. Call it with a function's name and arguments."""

    def __init__(self, bus, address=0x60, retries=20, wake_delay=1500, lock_state=0):
        # A copy: the library's default is shared.
        config = type(DEFAULT).from_buffer_copy(DEFAULT)
        config.devtype = 3
        config.cfg.atcai2c.bus = bus
        config.cfg.atcai2c.address = address << 1
        config.cfg.atcai2c.baud = 100_000
        config.rx_retries = retries
        config.wake_delay = wake_delay
        self.config = config
        # An index of LOCK_STATES.
        self.lock_state = lock_state

    def __enter__(self):
        status = call("atcab_init", ctypes.byref(self.config))
        if status:
            raise RuntimeError(f"atcab_init: {Status(status)!r}")
        return self

    def __exit__(self, *_):
        call("atcab_release")

    def __call__(self, name, *arguments):
        """What the function put into its Outs (one: the bytes; several: a tuple; none: OK), or its Status."""
        CALLS[LOCK_STATES[self.lock_state]] += 1
        status = Status(call(name, *map(c_argument, arguments)))
        if status == OK and name.startswith("atcab_lock_config_zone"):
            self.lock_state = 1
        elif status == OK and name.startswith("atcab_lock_data_zone"):
            self.lock_state = 2
        outs = [bytes(a.bytes) for a in arguments if isinstance(a, Out)]
        if status != OK or not outs:
            return status
        return outs[0] if len(outs) == 1 else tuple(outs)


    def device(self):
        """The device behind the functions without one, for those that take it as an argument (`_ext`)."""
        return ctypes.c_void_p(call("atcab_get_device", restype=ctypes.c_void_p))

    @contextlib.contextmanager
    def second_device(self):
        """The chip opened a second time, beside the library's own device."""
        device = ctypes.c_void_p()
        status = call("atcab_init_ext", ctypes.byref(device), ctypes.byref(self.config))
        if status:
            raise RuntimeError(f"atcab_init_ext: {Status(status)!r}")
        try:
            yield device
        finally:
            call("atcab_release_ext", ctypes.byref(device))


def put_to_sleep(chip):
    """Sleep is a word address like any other: an idle chip would not hear it, and the library leaves the chip idle."""
    chip("atcab_wakeup")
    return chip("atcab_sleep")


def c_argument(argument):
    if isinstance(argument, Status):
        # The chip's response is a refusal: used as an address it would crash this process.
        raise TypeError(f"{argument!r} as an argument")
    if isinstance(argument, Out):
        return argument.bytes
    if isinstance(argument, Context):
        return ctypes.byref(argument.room)
    if isinstance(argument, int):
        return ctypes.c_size_t(argument)
    if isinstance(argument, (ctypes.Structure, ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_size_t)):
        return ctypes.byref(argument)
    return argument


class Server:
    """The control requests of the simulator."""

    STATS, RESET, POWER_OFF, POWER_ON, PULL, INSERT, FAULTS = range(7)

    def __init__(self, path):
        self.path = path

    def control(self, verb, request=b"{}"):
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(self.path)
            stream.sendall(struct.pack("<BBI", 0, verb, len(request)) + request)
            (length,) = struct.unpack("<I", stream.recv(4, socket.MSG_WAITALL))
            return json.loads(stream.recv(length, socket.MSG_WAITALL))

    def plan(self, faults):
        """Faults to come, in place of those planned before (src/sim/faults.rs)."""
        answer = self.control(self.FAULTS, json.dumps({"spec": faults}).encode())
        if "error" in answer:
            raise ValueError(answer["error"])

    def take_stats(self):
        return self.control(self.RESET)

    def power_cycle(self):
        self.control(self.POWER_OFF)
        self.control(self.POWER_ON)
