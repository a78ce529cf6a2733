#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs several programs on one chip at once, each repeatedly, and measures how long they wait.

    run.py SECONDS SOCKET NAME=COMMAND...

Each COMMAND is shell text that exits with 0 if its result was right, and SOCKET is the simulated chip's. First each
runs alone, to measure the time of a run and its number of conversations with the chip; then all run at once, for
SECONDS. Exits with 1 if one failed, or if one waited longer than fair. The numbers of runs are left in NAME.runs.

Fair means: each conversation waits for at most one conversation of each other program. So a run takes the time that it
takes alone, and for each of its conversations a mean one of every other program.
"""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

# AWS's clients abort a handshake after ten seconds; no program here may come near to that.
LONGEST = 5.0
# After so many seconds a program is stopped, and has failed.
LIMIT = 20
ALONE = 3
# Nineteen runs of twenty may take this many times what is fair, and all of them this many times: it is not always the mean
# conversation that one waits for, the longest have a signature in them.
TIMES_95, TIMES = 2, 3
# They share the processor as well, and not only with each other.
HICCUP = 0.5


class Client(threading.Thread):
    def __init__(self, name, command):
        super().__init__(name=name)
        self.command, self.until = command, 0.0
        self.times, self.failures, self.runs = [], [], 0
        self.alone = self.conversations = self.conversation = 0.0

    def once(self):
        """The seconds that one run took."""
        began = time.monotonic()
        command = ["timeout", "--kill-after=1", str(LIMIT), "bash", "-c", self.command]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.runs += 1
        if done.returncode != 0:
            self.failures.append(f"exit status {done.returncode}: {done.stdout}{done.stderr}")
        return time.monotonic() - began

    def measure(self, socket):
        """Measures a run without other programs."""
        self.once()
        before = stats(socket)
        self.alone = sorted(self.once() for _ in range(ALONE))[ALONE // 2]
        after = stats(socket)
        wakes, chip = after["wakes"] - before["wakes"], after["chip_us_max"] - before["chip_us_max"]
        bus = after["bus_us"] - before["bus_us"]
        self.conversations = wakes / ALONE
        self.conversation = (chip + bus) / wakes / 1e6

    def run(self):
        while time.monotonic() < self.until:
            self.times.append(self.once())

    def fair(self, clients):
        """The seconds that a run may take."""
        others = sum(client.conversation for client in clients if client is not self)
        return self.alone + self.conversations * others

    def share(self, part):
        """The time that this part of the runs kept to."""
        times = sorted(self.times)
        return times[min(int(part * len(times)), len(times) - 1)]

    def judge(self, fair):
        """What is wrong, if anything."""
        if self.failures:
            return f"{len(self.failures)} failures, the first: {self.failures[0][-2000:]}"
        if self.share(0.95) > TIMES_95 * fair:
            return f"one run of twenty took more than {self.share(0.95):.2f} s"
        if max(self.times) > min(TIMES * fair + HICCUP, LONGEST):
            return f"one took {max(self.times):.2f} s"
        return None


def stats(socket):
    command = ["timeout", str(LIMIT), "atecc608-sim", "stats", "--socket", socket]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main():
    seconds, socket = float(sys.argv[1]), sys.argv[2]
    clients = [Client(*argument.split("=", 1)) for argument in sys.argv[3:]]
    for client in clients:
        client.measure(socket)
    until = time.monotonic() + seconds
    for client in clients:
        client.until = until
        client.start()
    for client in clients:
        client.join()
    head = ("client", "conversations", "alone s", "fair s", "runs", "median s", "95 % s", "longest s")
    print("{:<9} {:>13} {:>8} {:>7} {:>5} {:>9} {:>7} {:>9}".format(*head))
    wrong = False
    for client in clients:
        Path(client.name + ".runs").write_text(f"{client.runs}\n", encoding="utf-8")
        fair = client.fair(clients)
        print(
            f"{client.name:<9} {client.conversations:>13.1f} {client.alone:>8.2f} {fair:>7.2f} {len(client.times):>5} "
            f"{client.share(0.5):>9.2f} {client.share(0.95):>7.2f} {max(client.times):>9.2f}"
        )
        problem = client.judge(fair)
        if problem:
            wrong = True
            print(f"    {problem}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
