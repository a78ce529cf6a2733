#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Microchip's own driver (cryptoauthlib, PyPI) does the chip's work of a TLS 1.3 handshake and of a signature.

    vendor.py BUS SIGNATURES [SOCKET]

Needs tests/vendor in PYTHONPATH, and its shim preloaded. Prints JSON: the version, when the handshake's work began and ended, and of each
further signature the milliseconds and the counters of the simulator at SOCKET.
"""

import json
import os
import subprocess
import sys
import time
from importlib.metadata import version

from driver import Chip, Out


def must(result):
    """Fails on an error: otherwise a chip that refuses would be the fastest."""
    if not isinstance(result, (bytes, tuple)):
        sys.exit(f"the driver failed: {result!r}")
    return result


def counted(socket):
    command = ["atecc608-sim", "stats", "--socket", socket, "--reset"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main():
    bus, number = int(sys.argv[1]), int(sys.argv[2])
    began = time.monotonic()
    with Chip(bus) as chip:
        # The calls of a PKCS#11 module: identify the chip, pass the client's own random bytes, sign.
        must(chip("atcab_read_config_zone", Out(128)))
        must(chip("atcab_info", Out(4)))
        must(chip("atcab_random", Out(32)))
        must(chip("atcab_sign", 0, os.urandom(32), Out(64)))
        ended = time.monotonic()
        signatures = []
        for _ in range(number):
            counted(sys.argv[3])
            start = time.monotonic()
            must(chip("atcab_sign", 0, os.urandom(32), Out(64)))
            ms = (time.monotonic() - start) * 1000
            signatures.append((ms, counted(sys.argv[3])))
    print(json.dumps({"version": version("cryptoauthlib"), "began": began, "ended": ended, "signatures": signatures}))


if __name__ == "__main__":
    main()
