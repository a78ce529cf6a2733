#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measures what the module's calls cost the chip, against the budget of the design. Counts, not seconds.

    bench.py MODULE TOKEN-LABEL KEY-LABEL SOCKET [RESULTS]

Needs `atecc608-sim` serving at SOCKET, a token with one key pair and the certificate tools on the PATH. Prints one
line per kind of work, and writes the figures to the JSON file RESULTS; the exit status is 1 if one of them is over its budget.
"""

import ctypes
import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from ctypes import byref, c_ubyte, c_ulong

from cryptoki import CKA_EC_POINT, CKA_ID, CKM_ECDSA, CKM_SHA256, CKO_PUBLIC_KEY, Mechanism, Module

# The limit for the module with the simulator, in bytes. The design's 1,000,000 held for ECDSA and ECDH (944 kB). What
# was added since, with the size that it led to: secret keys, the PIN with its Argon2, import, messages and events
# (1,225 kB); the chips' own certificates and templates for the user's own kinds (1,310 kB); the split into crates
# (1,335 kB; a plain build had 1,760 kB without it); the latch, and chips that refuse queries (1,372 kB); proofs of
# keys, check values, protected memory and visible text (1,474 kB); messages in parts, all of SHA-2 for session secrets,
# and objects in slots that the configuration names (1,507 kB); a node that is opened for each turn (1,522 kB); adapters
# for short messages and channels of multiplexers (1,527 kB); the faults of a simulated chip beside its file, which
# gateways do not have (their module had 1,398 kB then) (1,539 kB); the kept configuration and the pace of a chip (this
# limit).
MODULE_SIZE = 1_560_000

FORM = "{:<58} {:>8} {:>6} {:>6}   {:<28} {}"
MODULE, TOKEN, KEY, SOCKET, RESULTS = (sys.argv[1:] + [None])[:5] if len(sys.argv) in (5, 6) else sys.exit(__doc__)
over_budget = []
results = []


def counted():
    """The counters since the last call, set to zero again."""
    command = ["atecc608-sim", "stats", "--socket", SOCKET, "--reset"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def row(work, commands, chip_ms, wakes=None):
    """Prints the commands since the last row, and the budget."""
    stats = counted()
    used = sum(stats["commands"].values())
    used_ms = stats["chip_us_max"] / 1000
    fits = used <= commands and used_ms <= chip_ms and (wakes is None or stats["wakes"] <= wakes)
    budget = f"{commands} commands, {chip_ms} ms" + ("" if wakes is None else f", {wakes} wake")
    line(work, used, f"{used_ms:.0f}", stats["wakes"], budget, fits)
    transferred = stats["bytes_written"] + stats["bytes_read"]
    results.append(
        {"work": work, "commands": used, "wakes": stats["wakes"], "bytes": transferred, "chip_ms": used_ms, "budget": budget}
    )


def line(work, commands, chip_ms, wakes, budget, fits):
    print(FORM.format(work, commands, chip_ms, wakes, budget, "ok" if fits else "OVER BUDGET"))
    if not fits:
        over_budget.append(work)


def resident_kb():
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(entry.split()[1]) for entry in status if entry.startswith("VmRSS"))


def initialized(_):
    module = Module(MODULE)
    before = resident_kb()
    module.must("C_Initialize", None)
    return resident_kb() - before


def added_by_initialize():
    """In kB, the least of five processes: with a page of the module the kernel maps neighbours, as the page cache has them."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return min(pool.map(initialized, range(5), chunksize=1))


def tool(*command, **environment):
    """Runs a stock tool as a user would, in a process of its own."""
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})


def the_c_interface():
    module = Module(MODULE)
    module.must("C_Initialize", None)
    slot = module.slot_of(TOKEN)
    row("C_Initialize, C_GetSlotList, C_GetTokenInfo", 5, 25, wakes=1)

    info = ctypes.create_string_buffer(512)
    module.must("C_GetSlotInfo", c_ulong(slot), info)
    module.must("C_GetTokenInfo", c_ulong(slot), info)
    row("C_GetSlotInfo, C_GetTokenInfo again", 0, 0)

    session = module.open_session(slot)
    row("C_OpenSession", 0, 0)
    private, public = module.private_key(session, KEY), module.key(session, CKO_PUBLIC_KEY, KEY)
    row("C_FindObjects: a key pair by its label", 1, 5)
    for key, attribute in ((public, CKA_EC_POINT), (private, CKA_ID), (public, CKA_ID)) * 2:
        module.attribute(session, key, attribute, 128)
    row("CKA_EC_POINT, CKA_ID of a key, again", 0, 0)

    digest = hashlib.sha256(b"a message").digest()
    signature, length = ctypes.create_string_buffer(64), c_ulong(64)
    ecdsa = Mechanism(CKM_ECDSA, None, 0)
    for work in ("C_Sign, the first", "C_Sign, again"):
        module.must("C_SignInit", session, byref(ecdsa), private)
        module.must("C_Sign", session, digest, c_ulong(32), None, byref(length))
        module.must("C_Sign", session, digest, c_ulong(32), signature, byref(length))
        row(work, 3, 158, wakes=1)

    module.must("C_VerifyInit", session, byref(ecdsa), public)
    module.must("C_Verify", session, digest, c_ulong(32), signature, c_ulong(64))
    row("C_Verify", 0, 0)
    module.must("C_DigestInit", session, byref(Mechanism(CKM_SHA256, None, 0)))
    result, length = (c_ubyte * 32)(), c_ulong(32)
    module.must("C_Digest", session, bytes(1 << 20), c_ulong(1 << 20), result, byref(length))
    row("C_Digest of 1 MiB", 0, 0)
    module.must("C_Finalize", None)


def stock_tools():
    if shutil.which("p11tool") is None:
        sys.exit("p11tool is missing: apt-get install gnutls-bin")
    list_all()
    row("p11tool --list-all, one key pair", 9, 45)
    # The very first use finds an empty state folder: the key then has its slot's name.
    folder = os.path.join(os.environ["STATE_DIR"], os.listdir(os.environ["STATE_DIR"])[0])
    os.rename(folder, folder + ".aside")
    list_all()
    # With root's kept configuration: all of it is read before the first public key.
    row("p11tool --list-all, the very first time", 12, 170)
    shutil.rmtree(folder)
    os.rename(folder + ".aside", folder)
    certificate_request()
    row("openssl req -new through pkcs11-provider", 10, 215)


def list_all():
    tool("p11tool", "--provider", MODULE, "--list-all", f"pkcs11:token={TOKEN}")


def certificate_request():
    key = f"pkcs11:token={TOKEN};object={KEY};type=private"
    configuration = {"OPENSSL_CONF": os.environ["PROVIDER_CONF"], "PKCS11_PROVIDER_MODULE": MODULE}
    tool("openssl", "req", "-new", "-key", key, "-subj", "/CN=bench", "-out", os.devnull, **configuration)


def trust_and_go():
    """A chip with certificates, as it is sold: a simulator of its own, and a configuration that names only its bus."""
    global SOCKET
    SOCKET = os.path.abspath("trust.sock")
    subprocess.run(["atecc608-sim", "new", "--profile", "tngtls", "--state", "trust.eeprom"], check=True, capture_output=True)
    serve = ["atecc608-sim", "serve", "--socket", SOCKET, "--state", "trust.eeprom", "--timing", "fast"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        try:
            # "listening ..."
            server.stdout.readline()
            os.mkdir("trust-state")
            with open("trust.toml", "w", encoding="utf-8") as config:
                config.write(f'state_dir = "{os.path.abspath("trust-state")}"\n[[token]]\n')
                config.write(f'bus = "unix:{SOCKET}"\naddress = 0x35\nlabel = "trust"\n')
            own = {"ATECC608_PKCS11_CONF": os.path.abspath("trust.toml")}
            list_trust = ("p11tool", "--provider", MODULE, "--list-all", "pkcs11:token=trust")
            counted()
            tool(*list_trust, **own)
            row("p11tool --list-all, Trust&GO, the very first time", 28, 690)
            tool(*list_trust, **own)
            row("p11tool --list-all, Trust&GO, warm", 10, 50)
        finally:
            server.terminate()


def main():
    print(FORM.format("work", "commands", "ms", "wakes", "at most", ""))
    counted()
    after_initialize = added_by_initialize()
    the_c_interface()
    stock_tools()
    trust_and_go()
    size = os.stat(MODULE).st_size
    line(f"size of the module: {size} bytes", "", "", "", f"{MODULE_SIZE} bytes", size < MODULE_SIZE)
    line(f"resident memory added by C_Initialize: {after_initialize} kB", "", "", "", "1000 kB", after_initialize < 1000)
    if RESULTS:
        with open(RESULTS, "w", encoding="utf-8") as file:
            json.dump(results, file)
    if over_budget:
        sys.exit("over budget: " + "; ".join(over_budget))


if __name__ == "__main__":
    main()
