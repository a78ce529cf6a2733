#!/usr/bin/env python3
"""Microchip's own driver (cryptoauthlib, PyPI) does the chip's work of a TLS 1.3 handshake and of a signature.

    vendor.py BUS SIGNATURES [SOCKET]

Needs tests/vendor in PYTHONPATH, and its shim preloaded. Prints JSON: the version, when the handshake's work began and ended, and
the milliseconds of each further signature; with the simulator's SOCKET also its counters of these.
"""

import json
import os
import subprocess
import sys
import time
from importlib.metadata import version

from driver import Chip, Out


def must(result):
    """Else a chip that refuses would be the fastest."""
    if not isinstance(result, (bytes, tuple)):
        sys.exit(f"the driver failed: {result!r}")
    return result


def counted(socket):
    command = ["atecc608-sim", "stats", "--socket", socket, "--reset"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main():
    bus, signatures, *socket = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
    began = time.monotonic()
    with Chip(bus) as chip:
        # As a PKCS#11 module is asked: identify the chip, give the client's own random bytes, sign.
        must(chip("atcab_read_config_zone", Out(128)))
        must(chip("atcab_info", Out(4)))
        must(chip("atcab_random", Out(32)))
        must(chip("atcab_sign", 0, os.urandom(32), Out(64)))
        ended = time.monotonic()
        times = []
        for path in socket:
            counted(path)
        for _ in range(signatures):
            start = time.monotonic()
            must(chip("atcab_sign", 0, os.urandom(32), Out(64)))
            times.append((time.monotonic() - start) * 1000)
        stats = [counted(path) for path in socket]
    figures = {"version": version("cryptoauthlib"), "began": began, "ended": ended, "sign_ms": times}
    print(json.dumps({**figures, "stats": stats[0] if stats else None}))


if __name__ == "__main__":
    main()
