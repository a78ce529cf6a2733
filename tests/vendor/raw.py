# SPDX-License-Identifier: MIT OR Apache-2.0
"""The chip without the library, over the same kernel interface: commands that the library does not send, or whose
effects it hides by idling after every command (fact sheet sections 1.4 to 1.6 and 2)."""

import fcntl
import os
import time

import host

I2C_SLAVE = 0x0703


class Awake:
    """The chip awake, for several commands in a row; idle in the end."""

    def __init__(self, chip):
        self.bus, self.address = chip.config.cfg.atcai2c.bus, chip.config.cfg.atcai2c.address >> 1

    def __enter__(self):
        self.file = os.open(f"/dev/i2c-{self.bus}", os.O_RDWR)
        fcntl.ioctl(self.file, I2C_SLAVE, 0)
        try:
            os.write(self.file, b"\1")
        except OSError:
            pass  # The wake pulse is not acknowledged.
        time.sleep(0.002)
        fcntl.ioctl(self.file, I2C_SLAVE, self.address)
        return self

    def __exit__(self, *_):
        os.write(self.file, b"\2")
        os.close(self.file)

    def __call__(self, opcode, param1, param2, data=b""):
        """The payload of the answer: a status is one byte."""
        packet = bytes([7 + len(data), opcode, param1]) + param2.to_bytes(2, "little") + data
        self.send(packet + host.crc(packet).to_bytes(2, "little"))
        return self.receive()

    def send(self, packet):
        os.write(self.file, b"\3" + packet)

    def receive(self):
        for _ in range(1000):
            try:
                os.write(self.file, b"\0")
                break
            except OSError:
                time.sleep(0.002)
        answer = os.read(self.file, 1)
        answer += os.read(self.file, answer[0] - 1)
        if host.crc(answer[:-2]) != int.from_bytes(answer[-2:], "little"):
            raise RuntimeError(f"damaged answer {answer.hex()}")
        return answer[1:-2]
