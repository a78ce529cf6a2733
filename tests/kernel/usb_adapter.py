#!/usr/bin/env python3
"""Play a USB adapter of the kind i2c-tiny-usb to the running kernel, over USB/IP, in front of a simulated bus.

    usb_adapter.py PORT SOCKET

PORT is a free port of vhci-hcd, SOCKET the bus of an atecc608-sim. Needs root, and the modules vhci-hcd and
i2c-tiny-usb. The adapter is plugged in until the program ends.
"""

import socket
import struct
import sys

DEVICE = bytes([18, 1, 0x10, 1, 0xFF, 0, 0, 8, 0x03, 0x04, 0x31, 0xC6, 0, 2, 0, 0, 0, 1])
CONFIGURATION = bytes([9, 2, 18, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 0, 0xFF, 0, 0, 0])
FUNCTIONS = 0x0EFF0001
SUBMIT, UNLINK = 1, 2
EPIPE = 32
ACKNOWLEDGED, NOT_ACKNOWLEDGED = 1, 2


def exactly(stream: socket.socket, length: int) -> bytes:
    """Read so many bytes; fewer are the end of the program."""
    data = b""
    while len(data) < length:
        more = stream.recv(length - len(data))
        if not more:
            sys.exit(0)
        data += more
    return data


class Adapter:
    """What the device answers; None is a stall."""

    def __init__(self, path: str) -> None:
        self.path, self.bus, self.status = path, None, 0

    def control(self, setup: bytes, out: bytes) -> bytes | None:
        """Answer one control transfer."""
        kind, request, value, index, length = struct.unpack("<BBHHH", setup)
        match kind & 0x60, request:
            case 0x00, 6:
                return {1: DEVICE, 2: CONFIGURATION}.get(value >> 8)
            case 0x00, 0:
                return bytes(2)
            case 0x40, 1:
                return struct.pack("<I", FUNCTIONS)
            case 0x40, 3:
                return bytes([self.status])
            case 0x40, 4 | 5 | 6 | 7:
                return self.message(bool(value & 1), index, length, out)
        return b""

    def message(self, read: bool, address: int, length: int, out: bytes) -> bytes | None:
        """Do one message as a transfer of its own on the simulated bus."""
        if self.bus is None:
            self.bus = socket.socket(socket.AF_UNIX)
            self.bus.connect(self.path)
        self.bus.sendall(struct.pack("<BBBH", 1, read, address, length) + out)
        result = exactly(self.bus, 2)[0]
        data = exactly(self.bus, length) if read and result == 0 else bytes(length if read else 0)
        if result > 1:
            return None
        self.status = NOT_ACKNOWLEDGED if result else ACKNOWLEDGED
        return data


def main() -> None:
    """Plug it in, and answer the kernel."""
    port, path = sys.argv[1:]
    ours, kernels = socket.socketpair()
    with open("/sys/devices/platform/vhci_hcd.0/attach", "w", encoding="ascii") as attach:
        # Bus 1, device 2; full speed.
        attach.write(f"{port} {kernels.fileno()} 65538 2")
    kernels.close()
    adapter = Adapter(path)
    while True:
        head = exactly(ours, 48)
        command, _, _, inwards, _, _, length = struct.unpack(">7I", head[:28])
        reply = bytearray(48)
        reply[4:8] = head[4:8]
        data = b""
        if command == SUBMIT:
            reply[3] = 3
            answer = adapter.control(head[40:48], b"" if inwards else exactly(ours, length))
            if answer is None:
                status, actual = -EPIPE, 0
            elif inwards:
                data = answer[:length]
                status, actual = 0, len(data)
            else:
                status, actual = 0, length
            reply[20:28] = struct.pack(">iI", status, actual)
        elif command == UNLINK:
            # All was answered already.
            reply[3] = 4
        ours.sendall(bytes(reply) + data)


main()
