#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measures how long callers wait for a chip that many use at once, against the goals.

    fairness.py MODULE TOKEN-LABEL KEY-LABEL LOCK-FILE [short]

Needs a token with this key on a simulated chip that takes the time of a real one (`atecc608-sim serve --timing real`), and
`lock_timeout = 30` in the configuration. LOCK-FILE is the one that the module locks for this chip (SOCKET.lock). Measures

1. many processes with several threads each that sign all the time: errors, and the longest call;
2. one process with several threads: the longest C_SignInit, which asks nothing of the chip;
3. while another process has the bus: the calls that only need what is known already.

Prints the distributions. The exit status is 1 if a goal is missed.
"""

import collections
import ctypes
import fcntl
import json
import subprocess
import sys
import threading
import time
from ctypes import byref, c_ubyte, c_ulong, c_void_p

from cryptoki import CKA_LABEL, CKF_SERIAL_SESSION, CKM_ECDSA, CKR_OK, Attribute, Mechanism, Module, code

CKF_OS_LOCKING_OK = 0x02
# The limit for the longest call, as a multiple of the time of all signatures before it.
LONGEST_IN_QUEUES = 1.5
# The limit for calls that need no chip; and in the short run, on a machine that may be busy.
AT_ONCE_MS, AT_ONCE_SHORT_MS = 20, 100

missed = []


class InitializeArgs(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS: threads are used, with the system's locks."""

    _fields_ = [("mutexes", c_void_p * 4), ("flags", c_ulong), ("reserved", c_void_p)]


def start_module(path, token):
    """The module, initialized for threads, and the token's slot."""
    # Otherwise a thread that returns from a call waits up to 5 ms for another Python thread.
    sys.setswitchinterval(0.0005)
    module = Module(path)
    module.must("C_Initialize", byref(InitializeArgs(flags=CKF_OS_LOCKING_OK)))
    return module, module.slot_of(token)


class Signer:
    """One session that signs."""

    def __init__(self, module, slot, label):
        self.module = module
        self.session = module.open_session(slot)
        self.key = module.private_key(self.session, label)
        self.mechanism = Mechanism(CKM_ECDSA, None, 0)

    def init(self):
        return self.module.ask("C_SignInit", self.session, byref(self.mechanism), self.key)

    def sign(self):
        digest, signature, length = (c_ubyte * 32)(7), (c_ubyte * 64)(), c_ulong(64)
        return self.module.ask("C_Sign", self.session, digest, c_ulong(32), signature, byref(length))


def timed(work):
    """Returns the function's result, and the milliseconds that it took."""
    began = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - began) * 1000


def work_as_one_of_many(path, token, label, threads):
    """A process of the first two measurements: reports that it is ready, reads a number of seconds, signs for that
    time, and prints the time of each call."""
    module, slot = start_module(path, token)
    signers = [Signer(module, slot, label) for _ in range(int(threads))]
    print("ready", flush=True)
    seconds = float(sys.stdin.readline())
    results = []

    def sign_all_the_time(signer):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rv, init_ms = timed(signer.init)
            sign_ms = 0.0
            if rv == CKR_OK:
                rv, sign_ms = timed(signer.sign)
            results.append((rv, init_ms, sign_ms))

    running = [threading.Thread(target=sign_all_the_time, args=[signer]) for signer in signers]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    json.dump(results, sys.stdout)


def run_at_once(processes, threads, seconds, tokens=()):
    """One list of results for each process. With tokens each process signs with one of them, in turn."""
    path, token, label = ARGUMENTS[:3]
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, "worker", path, (tokens or [token])[n % len(tokens or [token])], label, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="ascii",
        )
        for n in range(processes)
    ]
    for worker in workers:
        if worker.stdout.readline() != "ready\n":
            sys.exit("a process did not come to sign")
    for worker in workers:
        worker.stdin.write(f"{seconds}\n")
        worker.stdin.flush()
    results = [json.loads(worker.communicate()[0]) for worker in workers]
    if any(worker.returncode for worker in workers):
        sys.exit("a process failed")
    return results


def distribution(name, values):
    values = sorted(values)
    at = [values[min(int(len(values) * part), len(values) - 1)] for part in (0, 0.5, 0.9, 0.99, 1)]
    print(f"{name:<34} {len(values):>6} " + " ".join(f"{value:>9.2f}" for value in at))
    return values[-1]


def goal(what, value, limit, unit=""):
    met = value <= limit
    print(f"    {what}: {value:.1f}{unit}, at most {limit:.1f}{unit}: {'ok' if met else 'MISSED'}")
    if not met:
        missed.append(what)


def heading(text):
    print(f"\n{text}")
    print(f"{'milliseconds':<34} {'calls':>6} {'min':>9} {'median':>9} {'p90':>9} {'p99':>9} {'max':>9}")


def many(processes, threads, seconds):
    heading("One signature after the other, nobody else there")
    alone = [init + sign for _, init, sign in run_at_once(1, 1, 4)[0]]
    distribution("C_SignInit and C_Sign", alone)
    one = sum(alone) / len(alone)

    heading(f"{processes} processes with {threads} threads that sign for {seconds} s")
    results = run_at_once(processes, threads, seconds)
    calls = [call for process in results for call in process]
    longest = distribution("C_SignInit and C_Sign", [init + sign for _, init, sign in calls])
    counts = sorted(len(process) for process in results)
    print(f"    signatures of each process: {counts[0]} to {counts[-1]}; {len(calls)} altogether")
    failed = collections.Counter(code(rv) for rv, _, _ in calls if rv != CKR_OK)
    print(f"    errors: {dict(failed) if failed else 'none'}")
    goal("errors", sum(failed.values()), 0)
    queue = processes * threads
    goal(f"the longest call, in queues of {queue} x {one:.0f} ms", longest / (queue * one), LONGEST_IN_QUEUES)


def one_process(threads, seconds, at_once_ms):
    heading(f"1 process with {threads} threads that sign for {seconds} s")
    calls = run_at_once(1, threads, seconds)[0]
    longest = distribution("C_SignInit", [init for _, init, _ in calls])
    distribution("C_Sign", [sign for _, _, sign in calls])
    goal("errors", sum(rv != CKR_OK for rv, _, _ in calls), 0)
    goal("the longest C_SignInit", longest, at_once_ms, " ms")


def bus_held_elsewhere(seconds, at_once_ms):
    heading(f"Another process has the bus for {seconds} s while one thread calls C_Sign")
    path, token, label, lock_file = ARGUMENTS
    module, slot = start_module(path, token)
    # A session each: the calls of one session wait for each other.
    signer, looker, finder = Signer(module, slot, label), Signer(module, slot, label), Signer(module, slot, label)
    info, text = ctypes.create_string_buffer(512), ctypes.create_string_buffer(64)
    asked = Attribute(CKA_LABEL, ctypes.addressof(text), len(text))

    def attribute():
        asked.length = len(text)
        return module.ask("C_GetAttributeValue", looker.session, looker.key, byref(asked), c_ulong(1))

    def open_session():
        return module.ask("C_OpenSession", c_ulong(slot), c_ulong(CKF_SERIAL_SESSION), None, None, byref(c_ulong()))

    def find():
        rv = module.ask("C_FindObjectsInit", finder.session, None, c_ulong(0))
        module.ask("C_FindObjectsFinal", finder.session)
        return rv

    calls = {
        "C_GetSlotInfo": lambda: module.ask("C_GetSlotInfo", c_ulong(slot), info),
        "C_GetTokenInfo": lambda: module.ask("C_GetTokenInfo", c_ulong(slot), info),
        "C_OpenSession": open_session,
        "C_GetAttributeValue(CKA_LABEL)": attribute,
        "C_FindObjectsInit": find,
    }
    times = {name: [] for name in calls}
    failed = []
    # The first calls read from the chip which slots have keys.
    for work in calls.values():
        work()

    def ask_all_the_time(name, work, end):
        while time.monotonic() < end:
            rv, ms = timed(work)
            times[name].append(ms)
            if rv != CKR_OK:
                failed.append(f"{name}: {code(rv)}")
            time.sleep(0.05)

    with subprocess.Popen(
        [sys.executable, __file__, "hold", lock_file, str(seconds)], stdout=subprocess.PIPE, encoding="ascii"
    ) as holder:
        if holder.stdout.readline() != "held\n":
            sys.exit("the bus could not be taken")
        end = time.monotonic() + seconds
        signed = []

        def sign():
            signer.init()
            signed.append(timed(signer.sign))

        running = [threading.Thread(target=sign)]
        running[0].start()
        # It waits for the bus now.
        time.sleep(0.2)
        running += [
            threading.Thread(target=ask_all_the_time, args=[name, work, end - 0.2]) for name, work in calls.items()
        ]
        for thread in running[1:]:
            thread.start()
        for thread in running:
            thread.join()
    longest = max([distribution(name, values) for name, values in times.items()])
    rv, ms = signed[0]
    print(f"    meanwhile C_Sign: {ms:.0f} ms, {code(rv)}")
    for failure in sorted(set(failed)):
        print(f"    {failure}")
    goal("errors", len(failed) + (rv != CKR_OK), 0)
    goal("the longest of these calls", longest, at_once_ms, " ms")


def hold(lock_file, seconds):
    """The other process: takes the bus as each version of the module does."""
    with open(lock_file, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        print("held", flush=True)
        time.sleep(float(seconds))


def main():
    if ARGUMENTS[:1] == ["worker"] and len(ARGUMENTS) == 5:
        return work_as_one_of_many(*ARGUMENTS[1:])
    if ARGUMENTS[:1] == ["hold"] and len(ARGUMENTS) == 3:
        return hold(*ARGUMENTS[1:])
    short = ARGUMENTS[4:] == ["short"]
    if len(ARGUMENTS) != 4 + short:
        sys.exit(__doc__)
    del ARGUMENTS[4:]
    at_once_ms = AT_ONCE_SHORT_MS if short else AT_ONCE_MS
    if short:
        many(8, 2, 10)
        one_process(4, 5, at_once_ms)
    else:
        many(16, 4, 90)
        one_process(4, 30, at_once_ms)
    bus_held_elsewhere(5, at_once_ms)
    for what in missed:
        print(f"missed: {what}")
    return sys.exit(1 if missed else 0)


ARGUMENTS = sys.argv[1:]
if __name__ == "__main__":
    main()
