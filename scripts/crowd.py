#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A crowd on one chip: many processes with several threads each, all mechanisms mixed, some killed, some forking.

    crowd.py keys MODULE TOKEN FOLDER
    crowd.py MODULE TOKEN FOLDER PROCESSES THREADS SECONDS BOUND [--users GROUP] [--containers] [--kill-every SECONDS]

The first form puts two secret keys into the chip, and their values into FOLDER, which also has dev-pub.der, the public key of the
token's key pair dev-key. Each process runs THREADS threads; each thread does one thing after the other, and each result is checked with
another implementation. With --users the processes are of four different users of that group, with --containers half of them
have a /dev of their own, with --kill-every one is killed each so many seconds, whatever it is doing, and another one started in
its place. Every process forks a child each second, which outlives its parent's turn; in one process of four, the child initialises the
module and signs, one child at a time.

A wait is counted in turns, the operations of others that end while a call waits: this does not depend on how busy the machine
is, as milliseconds do. The queue is one turn for each thread. BOUND is the part of the calls, in percent, that may wait for no
more than LONGEST_IN_QUEUES queues (100: all). Exits with 1 if one waits for longer, if a result is wrong, or if a call fails.
"""

import argparse
import bisect
import collections
import ctypes
import hashlib
import hmac
import os
import random
import signal
import subprocess
import sys
import threading
import time
from ctypes import byref, c_ubyte, c_ulong
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import cmac, hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from cryptoki import (
    CKA_CLASS,
    CKA_LABEL,
    CKA_VALUE,
    CKF_SERIAL_SESSION,
    CKM_ECDSA,
    CKR_OK,
    Attribute,
    Mechanism,
    code,
)
from fairness import LONGEST_IN_QUEUES, distribution, goal, heading, missed, start_module

CKO_SECRET_KEY = 0x04
CKA_TOKEN, CKA_KEY_TYPE, CKA_SENSITIVE, CKA_SIGN, CKA_EXTRACTABLE = 0x01, 0x100, 0x103, 0x108, 0x162
CKK_GENERIC_SECRET, CKK_AES = 0x10, 0x1F
CKF_RW_SESSION = 0x02
CKM_SHA256_HMAC, CKM_AES_CMAC, CKM_ECDH1_DERIVE = 0x251, 0x108A, 0x1050
CKD_NULL = 1
# A child that outlives its parent, and so the parent's turn.
CHILD_SECONDS = 2
FIRST_USER, USERS = 61200, 4
WRONG = -1

OWN_DEVICES = """
mount -t tmpfs devices "$1"
cp -a /dev/null /dev/zero /dev/random /dev/urandom "$1"
mknod -m 666 "$1/i2c-1" c 89 1
mkdir "$1/shm"
mount --bind /dev/shm "$1/shm"
mount --move "$1" /dev
shift
exec "$@"
"""


class DeriveParams(ctypes.Structure):
    """CK_ECDH1_DERIVE_PARAMS"""

    _fields_ = [
        ("kdf", c_ulong),
        ("shared_len", c_ulong),
        ("shared", ctypes.c_void_p),
        ("public_len", c_ulong),
        ("public", ctypes.c_void_p),
    ]


class Failure(Exception):
    """A call that did not return CKR_OK, or returned something wrong."""

    def __init__(self, rv):
        super().__init__(rv)
        self.rv = rv


class Thread:
    """One session that makes one call after the other."""

    def __init__(self, module, slot, folder, seed):
        self.module, self.random = module, random.Random(seed)
        self.session = module.open_session(slot)
        self.private = module.private_key(self.session, "dev-key")
        self.hmac_key = module.key(self.session, CKO_SECRET_KEY, "hmac")
        self.aes_key = module.key(self.session, CKO_SECRET_KEY, "aes")
        self.public = serialization.load_der_public_key((folder / "dev-pub.der").read_bytes())
        self.hmac_value = (folder / "hmac.key").read_bytes()
        self.aes_value = (folder / "aes.key").read_bytes()

    def must(self, name, *args):
        rv = self.module.ask(name, self.session, *args)
        if rv != CKR_OK:
            raise Failure(rv)

    def signed(self, mechanism, key, message, room):
        data, out, length = (c_ubyte * len(message))(*message), (c_ubyte * room)(), c_ulong(room)
        self.must("C_SignInit", byref(Mechanism(mechanism, None, 0)), key)
        self.must("C_Sign", data, c_ulong(len(message)), out, byref(length))
        return bytes(out[: length.value])

    def sign(self):
        digest = self.random.randbytes(32)
        made = self.signed(CKM_ECDSA, self.private, digest, 64)

        def check():
            r, s = int.from_bytes(made[:32], "big"), int.from_bytes(made[32:], "big")
            signature = utils.encode_dss_signature(r, s)
            self.public.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))

        return check

    def hmac(self):
        message = self.random.randbytes(40)
        made = self.signed(CKM_SHA256_HMAC, self.hmac_key, message, 32)
        return lambda: same(made, hmac.digest(self.hmac_value, message, hashlib.sha256))

    def cmac(self):
        message = self.random.randbytes(40)
        made = self.signed(CKM_AES_CMAC, self.aes_key, message, 16)

        def check():
            expected = cmac.CMAC(AES(self.aes_value))
            expected.update(message)
            same(made, expected.finalize())

        return check

    def derive(self):
        theirs = ec.generate_private_key(ec.SECP256R1())
        point = theirs.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        public = (c_ubyte * len(point))(*point)
        params = DeriveParams(CKD_NULL, 0, None, len(point), ctypes.addressof(public))
        mechanism = Mechanism(CKM_ECDH1_DERIVE, ctypes.addressof(params), ctypes.sizeof(params))
        no, yes, derived = c_ubyte(0), c_ubyte(1), c_ulong()
        template = (Attribute * 2)(
            Attribute(CKA_SENSITIVE, ctypes.addressof(no), 1), Attribute(CKA_EXTRACTABLE, ctypes.addressof(yes), 1)
        )
        self.must("C_DeriveKey", byref(mechanism), self.private, template, c_ulong(2), byref(derived))
        _, length, value = self.module.attribute(self.session, derived, CKA_VALUE, 32)
        self.must("C_DestroyObject", derived)
        return lambda: same(value[:length], theirs.exchange(ec.ECDH(), self.public))

    def random_bytes(self):
        out = (c_ubyte * 32)()
        self.must("C_GenerateRandom", out, c_ulong(32))
        return lambda: None if any(out) else same(b"", b"0")

    KINDS = (sign, sign, hmac, cmac, derive, random_bytes)

    def once(self, kind):
        """One operation: its name, when it began and ended, and what it returned."""
        began = time.monotonic()
        try:
            check = kind(self)
            rv = CKR_OK
        except Failure as failure:
            rv, check = failure.rv, None
        ended = time.monotonic()
        if check:
            try:
                check()
            except InvalidSignature:
                rv = WRONG
        return f"{kind.__name__} {began!r} {ended!r} {rv}\n"


def same(made, expected):
    if made != expected:
        raise InvalidSignature


def work(path, token, folder, threads, end, has_children):
    """One process of the crowd. Each operation is a line on its output, written at once, because the process may be
    killed at any moment."""
    folder, end = Path(folder), float(end)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    module, slot = start_module(path, token)
    workers = [Thread(module, slot, folder, random.randrange(1 << 60)) for _ in range(int(threads))]

    def work_until_the_end(worker):
        while time.monotonic() < end:
            os.write(1, worker.once(worker.random.choice(Thread.KINDS)).encode())

    running = [threading.Thread(target=work_until_the_end, args=[worker]) for worker in workers]
    for thread in running:
        thread.start()
    signing = 0
    while time.monotonic() < end - CHILD_SECONDS:
        time.sleep(1)
        signs = has_children == "yes" and not is_running(signing)
        child = os.fork()
        if child == 0:
            live_as_child(path, token, folder, signs)
        if signs:
            signing = child
    for thread in running:
        thread.join()


def is_running(process):
    try:
        if process:
            os.kill(process, 0)
        return process != 0
    except ProcessLookupError:
        return False


def make_keys(path, token, folder):
    """Puts two secret keys into the chip, and their values into the folder."""
    module, slot = start_module(path, token)
    session = module.open_session(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION)
    for name, kind, size in (("hmac", CKK_GENERIC_SECRET, 32), ("aes", CKK_AES, 16)):
        value = os.urandom(size)
        Path(folder, f"{name}.key").write_bytes(value)
        yes, label = c_ubyte(1), name.encode()
        fields = {
            CKA_CLASS: c_ulong(CKO_SECRET_KEY),
            CKA_KEY_TYPE: c_ulong(kind),
            CKA_TOKEN: yes,
            CKA_SIGN: yes,
            CKA_LABEL: (c_ubyte * len(label))(*label),
            CKA_VALUE: (c_ubyte * size)(*value),
        }
        template = (Attribute * len(fields))(
            *(Attribute(at, ctypes.addressof(field), ctypes.sizeof(field)) for at, field in fields.items())
        )
        module.must("C_CreateObject", session, template, c_ulong(len(fields)), byref(c_ulong()))


def live_as_child(path, token, folder, signs):
    """A forked child: sleeps beyond its parent's turn, or uses the module itself."""
    line = "slept 0 0 0\n"
    try:
        if signs:
            module, slot = start_module(path, token)
            line = "child_" + Thread(module, slot, folder, 1).once(Thread.sign)
        else:
            time.sleep(CHILD_SECONDS)
    except BaseException as error:
        # After any error: the child must not continue as its parent.
        print(f"a child: {error!r}", file=sys.stderr)
        line = f"child_sign 0 0 {WRONG}\n"
    os.write(1, line.encode())
    os._exit(0)


class Crowd:
    """The processes, in the one that started them."""

    def __init__(self, options):
        self.options = options
        self.end = time.monotonic() + options.seconds
        self.folder = Path(options.folder)
        self.outputs, self.kills, self.started = [], 0, 0
        self.running = [self.start(place) for place in range(options.processes)]

    def start(self, place):
        options = self.options
        output = self.folder / f"process.{self.started}"
        self.outputs.append(output)
        command = [sys.executable, __file__, "worker", options.module, options.token, options.folder]
        command += [str(options.threads), repr(self.end), "yes" if place < options.children else "no"]
        if options.users:
            user = FIRST_USER + place % USERS
            # Not with subprocess' user=: a process that makes a container is still root.
            privileges = ["--reuid", str(user), "--regid", str(user), "--groups", str(options.users)]
            command = ["setpriv", *privileges, "--", *command]
        if options.containers and place % 2:
            devices = self.folder / f"devices.{self.started}"
            devices.mkdir()
            command = ["unshare", "--mount", "sh", "-euc", OWN_DEVICES, "sh", str(devices), *command]
        self.started += 1
        return subprocess.Popen(command, stdout=output.open("ab"), cwd=self.folder)

    def live(self):
        every = self.options.kill_every
        next_kill = time.monotonic() + every if every else self.end
        while next_kill < self.end - CHILD_SECONDS:
            time.sleep(max(0.0, next_kill - time.monotonic()))
            place = random.randrange(len(self.running))
            self.running[place].kill()
            self.running[place].wait()
            self.kills += 1
            self.running[place] = self.start(place)
            next_kill += every * random.uniform(0.5, 1.5)
        statuses = [process.wait() for process in self.running]
        # Children outlive their parents, by a second turn in the queue at most.
        time.sleep(CHILD_SECONDS)
        if any(statuses):
            missed.append(f"a process ended with {statuses}")

    def calls(self):
        """Each operation; of each process."""
        for output in self.outputs:
            # A killed process may leave half a line.
            for line in output.read_text().splitlines():
                fields = line.split(" ")
                if len(fields) == 4:
                    yield output.name, fields[0], float(fields[1]), float(fields[2]), fields[3]


def histogram(values, unit, limit):
    """Ten bars up to the limit, and one for larger values."""
    counts = collections.Counter(min(int(10 * value / limit), 10) for value in values)
    widest = max(counts.values())
    for at in range(11):
        name = f"{limit * at / 10:>6.0f} to {limit * (at + 1) / 10:<6.0f}" if at < 10 else f"{limit:>6.0f} and more "
        print(f"    {name} {unit} {counts[at]:>6} {'#' * -(-50 * counts[at] // widest)}")


def judge(crowd, options):
    queue = (options.processes + options.children) * options.threads
    calls = list(crowd.calls())
    slept = sum(call[1] == "slept" for call in calls)
    calls = [call for call in calls if call[1] != "slept"]
    if not calls:
        sys.exit("no operation ended")
    names = sorted({call[1] for call in calls})
    for name in [*names, "all of them"]:
        distribution(name, [1000 * (end - begin) for _, kind, begin, end, _ in calls if name in (kind, "all of them")])
    ends = sorted(call[3] for call in calls)
    # Turns of others: its own end is one of those counted.
    turns = sorted(bisect.bisect_right(ends, end) - bisect.bisect_right(ends, begin) - 1 for _, _, begin, end, _ in calls)
    limit = LONGEST_IN_QUEUES * queue
    print(f"    turns of others during a call, in a queue of {queue}:")
    histogram(turns, "turns", limit)
    counts = sorted(collections.Counter(call[0] for call in calls).values())
    print(
        f"    operations: {len(calls)}, of a process {counts[0]} to {counts[-1]}; killed: {crowd.kills}; "
        f"children that slept: {slept}; load: {os.getloadavg()[0]:.1f}"
    )
    failed = collections.Counter(
        f"{kind}: {'a wrong result' if int(result) == WRONG else code(int(result))}"
        for _, kind, _, _, result in calls
        if int(result) != CKR_OK
    )
    print(f"    errors: {dict(failed) if failed else 'none'}")
    goal("errors", sum(failed.values()), 0)
    part = turns[min(int(len(turns) * options.bound / 100), len(turns) - 1)]
    goal(f"the longest wait of {options.bound:g} % of the calls, in queues", part / queue, LONGEST_IN_QUEUES)
    if (options.kill_every and not crowd.kills) or not slept:
        missed.append("nobody was killed, or nobody forked")


def main():
    if sys.argv[1:2] == ["worker"]:
        return work(*sys.argv[2:])
    if sys.argv[1:2] == ["keys"]:
        return make_keys(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("module", "token", "folder"):
        parser.add_argument(name)
    for name in ("processes", "threads"):
        parser.add_argument(name, type=int)
    for name in ("seconds", "bound"):
        parser.add_argument(name, type=float)
    parser.add_argument("--users", type=int)
    parser.add_argument("--containers", action="store_true")
    parser.add_argument("--kill-every", type=float, default=0.0)
    options = parser.parse_args()
    # The number of processes with children that sign.
    options.children = max(1, options.processes // 4)
    heading(f"{options.processes} processes with {options.threads} threads for {options.seconds:g} s")
    crowd = Crowd(options)
    crowd.live()
    judge(crowd, options)
    for what in missed:
        print(f"missed: {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
