#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A bus between clients and simulated chips: joins several servers to one bus, and records its transfers.

    bus.py SOCKET RECORD ADDRESS=SOCKET...

Listens at SOCKET as `atecc608-sim serve` does (crates/atecc608-sim/src/transfer.rs has the protocol) and passes each transfer on to the
server whose chip has its address (ADDRESS as 0x60); a transfer to address 00, which a wake pulse is, goes to all of them. Writes
a line of JSON for each to RECORD: begin and end in seconds, direction, 7-bit address, the first bytes that are written, the number of
bytes, and the result (0 done, else a NACK). One transfer at a time: it is one bus.
"""

import json
import socket
import struct
import sys
import threading
import time

# Word address, length, opcode, mode: enough to identify a write.
SHOWN = 4


def receive(stream, length):
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


class Chip:
    """One server, reached over one connection."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rb")

    def reply(self, reads):
        head = receive(self.stream, 2)
        return head, receive(self.stream, sum(reads)) if head[0] == 0 else b""


class Bus:
    def __init__(self, record, chips):
        self.record = record
        self.chips = chips
        self.lock = threading.Lock()

    def transfer(self, request, segments):
        """The reply to one request, and what to record of it; segments are (is a read, address, length, data)."""
        reads = [length for is_read, _, length, _ in segments if is_read]
        address = segments[0][1]
        with self.lock:
            began = time.monotonic()
            asked = list(self.chips.values()) if address == 0 else [self.chips[address]] if address in self.chips else []
            # Sent to all before the first reply is awaited: a wake pulse reaches all chips at once.
            for chip in asked:
                chip.socket.sendall(request)
            replies = [chip.reply(reads) for chip in asked]
            head, data = replies[0] if replies else (b"\x01\x00", b"")
            first = next((bytes_ for is_read, _, _, bytes_ in segments if not is_read), b"")
            ended = time.monotonic()
        line = {
            "begin": began,
            "end": ended,
            "read": segments[-1][0],
            "address": address,
            "first": first[:SHOWN].hex(),
            "bytes": sum(length for _, _, length, _ in segments) + len(segments),
            "result": head[0],
        }
        return head + data, line

    def serve(self, client):
        stream = client.makefile("rb")
        try:
            while True:
                (count,) = receive(stream, 1)
                if count == 0:
                    raise EOFError("control requests go to the chips' own servers")
                request, segments = bytes([count]), []
                for _ in range(count):
                    head = receive(stream, 4)
                    flags, address, length = struct.unpack("<BBH", head)
                    data = b"" if flags & 1 else receive(stream, length)
                    request += head + data
                    segments.append((bool(flags & 1), address, length, data))
                reply, line = self.transfer(request, segments)
                client.sendall(reply)
                # Only now, so that the client does not wait for it.
                with self.lock:
                    self.record.write(json.dumps(line) + "\n")
        except (EOFError, OSError):
            client.close()


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    path, record, *names = sys.argv[1:]
    # Threads that wait for each other must not wait for Python's own turns of 5 ms.
    sys.setswitchinterval(0.0005)
    chips = {int(address, 16): Chip(server) for address, server in (name.split("=", 1) for name in names)}
    with open(record, "w", encoding="ascii", buffering=1) as lines, socket.socket(socket.AF_UNIX) as listener:
        bus = Bus(lines, chips)
        listener.bind(path)
        listener.listen(64)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=bus.serve, args=[client], daemon=True).start()


if __name__ == "__main__":
    main()
