#!/usr/bin/env python3
"""Several programs on one chip at once, each again and again; who waits for how long.

    run.py SECONDS NAME=COMMAND...

Each COMMAND is shell text that exits with 0 if its result was right. Exits with 1 if one failed, if one waited much longer than
its share, or if one hardly got a turn.
"""

import subprocess
import sys
import threading
import time

# AWS's clients give up on a handshake after ten seconds; nobody here may come near to that.
LONGEST = 5.0
# Runs that each must have made: far fewer would be starving.
FEWEST = 10


class Client(threading.Thread):
    def __init__(self, name, command, until):
        super().__init__(name=name)
        self.command, self.until = command, until
        self.times, self.failures = [], []

    def run(self):
        while time.monotonic() < self.until:
            began = time.monotonic()
            done = subprocess.run(["bash", "-c", self.command], capture_output=True, text=True, check=False)
            self.times.append(time.monotonic() - began)
            if done.returncode != 0:
                self.failures.append(done.stdout + done.stderr)

    def judge(self):
        """What is wrong, if anything."""
        if self.failures:
            return f"{len(self.failures)} failures, the first: {self.failures[0][-2000:]}"
        if len(self.times) < FEWEST:
            return f"only {len(self.times)} runs"
        if max(self.times) > LONGEST:
            return f"one took {max(self.times):.1f} s"
        return None


def main():
    until = time.monotonic() + float(sys.argv[1])
    clients = [Client(*argument.split("=", 1), until) for argument in sys.argv[2:]]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    print(f"{'client':<12} {'runs':>5} {'median s':>9} {'longest s':>10}")
    wrong = False
    for client in clients:
        times = sorted(client.times)
        print(f"{client.name:<12} {len(times):>5} {times[len(times) // 2]:>9.2f} {times[-1]:>10.2f}")
        problem = client.judge()
        if problem:
            wrong = True
            print(f"    {problem}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
