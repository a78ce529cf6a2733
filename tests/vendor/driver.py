"""Microchip's compiled library, called as C programs call it, over the simulator's bus."""

import ctypes
import json
import socket
import struct

import cryptoauthlib
from cryptoauthlib.library import get_cryptoauthlib


class Status(int):
    """What a function of the library returned, when that is not success (fact sheet section 2.4)."""

    NAMES = {0: "OK", -12: "EXECUTION (0F)", -46: "PARSE (03)", -47: "MISCOMPARE (01)", -42: "ECC (05)",
             -41: "SELF TEST (07)", -44: "CRC (FF)", -48: "WAKE FAILED", -30: "BAD PARAMETER"}

    def __repr__(self):
        return self.NAMES.get(int(self), f"status {int(self)}")


OK, EXECUTION, PARSE, MISCOMPARE = Status(0), Status(-12), Status(-46), Status(-47)

CONFIG, OTP, DATA = 0, 1, 2


if not get_cryptoauthlib():
    cryptoauthlib.load_cryptoauthlib()
DEFAULT = cryptoauthlib.cfg_ateccx08a_i2c_default()


class Out:
    """Room for this many bytes that the library fills in."""

    def __init__(self, size):
        self.bytes = (ctypes.c_uint8 * size)()


class Chip:
    """The library, opened on one bus. Call it with a function's name and arguments."""

    def __init__(self, bus, address=0x60, retries=20):
        # A copy: the library's default is one and the same for everybody.
        config = type(DEFAULT).from_buffer_copy(DEFAULT)
        config.devtype = 3
        config.cfg.atcai2c.bus = bus
        config.cfg.atcai2c.address = address << 1
        config.cfg.atcai2c.baud = 100_000
        config.rx_retries = retries
        self.config = config

    def __enter__(self):
        status = get_cryptoauthlib().atcab_init(ctypes.byref(self.config))
        if status:
            raise RuntimeError(f"atcab_init: {Status(status)!r}")
        return self

    def __exit__(self, *_):
        get_cryptoauthlib().atcab_release()

    def __call__(self, name, *arguments):
        """What the function put into its Outs (one: the bytes; several: a tuple; none: OK), or its Status."""
        status = Status(getattr(get_cryptoauthlib(), name)(*map(c_argument, arguments)))
        outs = [bytes(a.bytes) for a in arguments if isinstance(a, Out)]
        if status != OK or not outs:
            return status
        return outs[0] if len(outs) == 1 else tuple(outs)


def put_to_sleep(chip):
    """Sleep is a word address like any other: an idle chip would not hear it, and the library leaves the chip idle."""
    chip("atcab_wakeup")
    return chip("atcab_sleep")


def c_argument(argument):
    if isinstance(argument, Status):
        # What was to be an answer of the chip is a refusal: as an address it would end us.
        raise TypeError(f"{argument!r} as an argument")
    if isinstance(argument, Out):
        return argument.bytes
    if isinstance(argument, int):
        return ctypes.c_size_t(argument)
    if isinstance(argument, (ctypes.Structure, ctypes.c_uint32)):
        return ctypes.byref(argument)
    return argument


class Server:
    """The front panel of the simulator: its control requests."""

    RESET, POWER_OFF, POWER_ON, PULL, INSERT = 1, 2, 3, 4, 5

    def __init__(self, path):
        self.path = path

    def control(self, verb):
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(self.path)
            stream.sendall(struct.pack("<BBI", 0, verb, 2) + b"{}")
            (length,) = struct.unpack("<I", stream.recv(4, socket.MSG_WAITALL))
            return json.loads(stream.recv(length, socket.MSG_WAITALL))

    def take_stats(self):
        return self.control(self.RESET)

    def power_cycle(self):
        self.control(self.POWER_OFF)
        self.control(self.POWER_ON)
