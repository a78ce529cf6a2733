#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The measurements of scripts/performance.sh. Each writes results/NAME.json in the current folder, with the command behind it.

    measure.py host            instructions, load time, first signature, memory: the module and its peers
    measure.py objects NUMBER  a search over all objects, of each module whose token holds so many
    measure.py sessions        a session that is opened and closed while others are open
    measure.py sign            C_Sign in a chip's time, beside what chip, bus and wake take
    measure.py sign_vendor     the same of the vendor's module, VENDOR_MODULE
    measure.py sign_driver FILE         the same of Microchip's driver, from what vendor.py printed
    measure.py timeline ours PORT       a handshake's work on the wire, and beside it: openssl s_client with a server on this port
    measure.py timeline driver PYTHON   the same work by Microchip's driver: vendor.py
    measure.py handshakes PORT TLS 1.3 handshakes a minute with a server on this port
    measure.py crowd           waits of 8 processes with 2 threads on one chip
    measure.py scale           signatures a second: threads, processes, chips on a bus, buses

What it needs of the shell: MODULE, VENDOR_MODULE, VENDOR_SHIM, and PEERS, lines of NAME|MODULE|TOKEN|PIN, ours first. The simulated chip is at chip.sock, and at
wire.sock behind a wire that writes `record` (bus.py).
"""

import json
import os
import re
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import fairness  # noqa: E402

OPCODES = {
    0x02: "Read", 0x08: "MAC", 0x12: "Write", 0x15: "GenDig", 0x16: "Nonce", 0x17: "Lock", 0x1B: "Random", 0x24: "Counter",
    0x28: "CheckMac", 0x30: "Info", 0x40: "GenKey", 0x41: "Sign", 0x43: "ECDH", 0x45: "Verify", 0x47: "SHA", 0x51: "AES",
    0x56: "KDF", 0x77: "SelfTest",
}
WAKE_MS = 1.5
# An address without an acknowledge, with START and STOP, at 100 kHz.
POLL_US = 110
RUNS = 9
SIGNATURES = 20
SECONDS, HANDSHAKE_SECONDS = 5, 15


def save(name, command, **figures):
    Path("results").mkdir(exist_ok=True)
    Path(f"results/{name}.json").write_text(json.dumps({"command": command, **figures}), encoding="utf-8")


def peers():
    return [line.split("|") for line in os.environ["PEERS"].strip().splitlines()]


def output(*command):
    """Returns its output, or None if it fails: a peer may lack the function."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def instructions(peer, work, times):
    _, module, token, pin = peer
    tool = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "./speed", module, token, pin, work, str(times))
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    counted = re.search(r"Collected : (\d+)", done.stderr)
    return int(counted[1]) if done.returncode == 0 and counted else None


def each(peer, work, more):
    """Instructions of one: from the difference between two counts."""
    few, many = instructions(peer, work, 1), instructions(peer, work, 1 + more)
    return None if few is None or many is None else (many - few) / more


def wall_ms(*command):
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        if output(*command) is None:
            return None
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def on_vendors_bus(socket_name):
    """The environment in which this simulated chip is /dev/i2c-20."""
    return {**os.environ, "I2C_SHIM": "20=" + os.path.abspath(socket_name), "LD_PRELOAD": os.environ["VENDOR_SHIM"]}


def host():
    works = {"C_Initialize and C_Finalize": ("initialize", 4), "C_OpenSession and C_CloseSession": ("sessions", 20),
             "C_FindObjects over 30 objects": ("find", 20), "C_GetAttributeValue of 4 attributes": ("attributes", 20),
             "C_SignInit and C_Sign": ("sign", 8)}
    figures = {}
    for peer in peers():
        name, *arguments = peer
        loads = [output("./speed", *arguments, "load", "1") for _ in range(15)]
        memory = output("./speed", *arguments, "resident", "1000")
        figures[name] = {
            "instructions": {work: each(peer, *how) for work, how in works.items()},
            "load_us": statistics.median(map(float, loads)),
            "first_ms": wall_ms("./speed", *arguments, "sign", "1"),
            "resident_kb": memory and list(map(int, memory.split())),
            "bytes": os.stat(arguments[0]).st_size,
        }
    _, *arguments = peers()[0]
    counted()
    output("./speed", *arguments, "sign", "1")
    figures[peers()[0][0]]["typical_ms"] = counted()["chip_us_typ"] / 1000
    vendor = subprocess.run(["./speed", os.environ["VENDOR_MODULE"], "gateway", "1234", "resident", "1"], env=on_vendors_bus("chip.sock"),
                            capture_output=True, text=True, check=True)
    before, initialized, *_ = map(int, vendor.stdout.split())
    save("host", "valgrind --tool=callgrind ./speed MODULE TOKEN PIN WORK TIMES; ./speed ... load, sign, resident", modules=figures,
         vendor_resident_kb=initialized - before)


def objects(number):
    path = Path("results/objects.json")
    known = json.loads(path.read_text(encoding="utf-8"))["points"] if path.exists() else []
    for name, *arguments in peers():
        took, found = (output("./speed", *arguments, "find", "40") or " 0").split(" ")
        if took and found != number:
            sys.exit(f"{name} found {found} objects, not {number}")
        known.append({"module": name, "objects": int(number), "us": float(took) if took else None})
    save("objects", "./speed MODULE TOKEN PIN find 40", points=known)


def sessions():
    points = []
    for name, *arguments in peers():
        for number in (1, 10, 100, 1000):
            took = output("./speed", *arguments, "many", str(number))
            points.append({"module": name, "sessions": number, "us": took and float(took)})
    save("sessions", "./speed MODULE TOKEN PIN many N", points=points)


def opcode(line):
    """The command of a write to word address 03, else None."""
    first = bytes.fromhex(line["first"])
    return OPCODES.get(first[2], f"{first[2]:02X}") if line["address"] and len(first) > 2 and first[0] == 3 else None


def counted():
    """The simulator's counters since the last call, set to zero again."""
    return json.loads(output("atecc608-sim", "stats", "--socket", "chip.sock", "--reset"))


def sign():
    _, *arguments = peers()[0]
    first = wall_ms("./speed", *arguments, "sign", "1")
    save_signatures("sign", signatures(os.environ["MODULE"]), first_ms=first)


def sign_vendor():
    save_signatures("sign-vendor", signatures(os.environ["VENDOR_MODULE"]))


def sign_driver(path):
    save_signatures("sign-driver", json.loads(Path(path).read_text(encoding="utf-8"))["signatures"])


def signatures(path):
    """Milliseconds and the simulator's counters of each signature of one process."""
    module, slot = fairness.start_module(path, "gateway")
    signer = fairness.Signer(module, slot, "dev-key")

    def one():
        signed, ms = fairness.timed(lambda: signer.init() or signer.sign())
        return ms if signed == 0 else sys.exit(f"a signature failed: {signed:#x}")

    # The first includes what the process reads once.
    one()
    counted()
    return [(one(), counted()) for _ in range(SIGNATURES)]


def save_signatures(name, signed, **more):
    def figures(ms, stats):
        # A busy chip's NACKs; also those of a sleeping one at the beginning of a conversation.
        polls = stats["nacks"] - stats["wakes"]
        return {"wall_ms": ms, "chip_ms": stats["chip_us_drawn"] / 1000, "bus_ms": (stats["bus_us"] - polls * POLL_US) / 1000,
                "wake_ms": stats["wakes"] * WAKE_MS, "polls": polls, "wakes": stats["wakes"], "commands": sum(stats["commands"].values()),
                "bytes": stats["bytes_written"] + stats["bytes_read"]}

    save(name, "measure.py sign, sign_vendor; vendor.py 20 20 chip.sock (atcab_sign)", each=[figures(*one) for one in signed], **more)


def conversation(lines):
    """Commands with when they were sent and when the chip was first seen ready; wakes, polls and bytes."""
    commands, wakes, polls, bytes_ = [], 0, 0, 0
    for line in lines:
        if line["address"] == 0:
            wakes += 1
            continue
        name = opcode(line)
        if line["result"] != 0:
            polls += 1
            continue
        bytes_ += line["bytes"]
        if name:
            commands.append({"name": name, "begin": line["begin"], "ready": None})
        elif line["read"] and commands and not commands[-1]["ready"]:
            commands[-1]["ready"] = line["begin"]
            commands[-1]["end"] = line["end"]
    return {"commands": commands, "wakes": wakes, "polls": polls, "bytes": bytes_}


def handshake_of_ours(port):
    """Does it over this configuration; returns milliseconds of the process."""
    options = ["-connect", f"localhost:{port}", "-CAfile", "ca.pem", "-verify_return_error", "-cert", "device.pem", "-tls1_3", "-quiet", "-ign_eof",
               "-key", "pkcs11:token=gateway;object=dev-key;type=private"]
    provider = {"OPENSSL_CONF": os.environ["PROVIDER_CONF"], "PKCS11_PROVIDER_MODULE": os.environ["MODULE"]}

    def once(socket_name):
        environment = {**os.environ, **provider, "ATECC608_PKCS11_CONF": "wire.toml" if socket_name == "wire.sock" else "config.toml"}
        began = time.monotonic()
        done = subprocess.run(["openssl", "s_client", *options], input=b"GET / HTTP/1.0\r\n\r\n", env=environment, capture_output=True, check=False)
        return (time.monotonic() - began) * 1000 if b"device-001" in done.stdout else sys.exit(f"the handshake failed: {done.stderr}")

    return once


def handshake_of_driver(python):
    """The same: milliseconds from the driver's first call to its last."""
    here = Path(__file__).parent

    def once(socket_name):
        environment = {**on_vendors_bus(socket_name), "PYTHONPATH": str(here.parent.parent / "tests/vendor")}
        done = subprocess.run([python, here / "vendor.py", "20", "0"], env=environment, capture_output=True, check=True)
        printed = json.loads(done.stdout)
        return (printed["ended"] - printed["began"]) * 1000

    return once


def timeline(name, how):
    """RUNS handshakes over the wire, and as many without it by turns. What a handshake takes longer with the wire, its chip's time
    apart, is the wire's own."""
    once = {"ours": handshake_of_ours, "driver": handshake_of_driver}[name](how)
    runs, beside_the_chip = [], {"wire.sock": [], "chip.sock": []}
    for _ in range(RUNS):
        for socket_name, rest in beside_the_chip.items():
            seen, _ = Path("record").stat().st_size, counted()
            took = once(socket_name)
            rest.append(took - counted()["chip_us_drawn"] / 1000)
            if socket_name == "wire.sock":
                # The record's lines are ASCII.
                lines = Path("record").read_text(encoding="ascii")[seen:].splitlines()
                runs.append(on_the_bus([json.loads(line) for line in lines]))
    runs.sort(key=lambda run: run["took_ms"])
    wires_own = statistics.median(beside_the_chip["wire.sock"]) - statistics.median(beside_the_chip["chip.sock"])
    save(f"timeline-{name}", "the wire between client and chip: scripts/performance/bus.py", **runs[RUNS // 2],
         runs_ms=[run["took_ms"] for run in runs], wires_own_ms=wires_own)


def on_the_bus(lines):
    work = conversation(lines)
    start = lines[0]["begin"]
    bars = [{**command, **{at: (command[at] - start) * 1000 for at in ("begin", "ready", "end")}}
            for command in work["commands"] if command["ready"]]
    wakes = [(line["begin"] - start) * 1000 for line in lines if line["address"] == 0]
    polls = [(line["begin"] - start) * 1000 for line in lines if line["address"] and line["result"] != 0]
    return {"bars": bars, "wakes": wakes, "polls": polls, "bytes": work["bytes"], "took_ms": bars[-1]["end"]}


def handshakes(port):
    context = ssl.create_default_context(cafile="ca.pem")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    figures = []
    for clients in (1, 4, 16):
        times, failed = [], []
        end = time.monotonic() + HANDSHAKE_SECONDS

        def connect():
            while time.monotonic() < end:
                began = time.monotonic()
                try:
                    with socket.create_connection(("127.0.0.1", int(port))) as plain:
                        context.wrap_socket(plain, server_hostname="localhost").close()
                    times.append((time.monotonic() - began) * 1000)
                except OSError as error:
                    failed.append(str(error))

        started = time.monotonic()
        running = [threading.Thread(target=connect) for _ in range(clients)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        minutes = (time.monotonic() - started) / 60
        figures.append({"clients": clients, "a_minute": len(times) / minutes, "median_ms": statistics.median(times),
                        "longest_ms": max(times), "failed": len(failed)})
    save("handshakes", f"nginx with 4 workers; measure.py handshakes PORT, {HANDSHAKE_SECONDS} s each", rows=figures)


def crowd():
    fairness.ARGUMENTS = [os.environ["MODULE"], "gateway", "dev-key"]
    results = fairness.run_at_once(8, 2, 20)
    calls = [(rv, init + took) for process in results for rv, init, took in process]
    save("crowd", "measure.py crowd: fairness.run_at_once(8, 2, 20)", waits_ms=[ms for rv, ms in calls if rv == 0],
         failed=sum(rv != 0 for rv, _ in calls))


def a_second(processes, threads=1, tokens=()):
    results = fairness.run_at_once(processes, threads, SECONDS, tokens)
    calls = [rv for process in results for rv, *_ in process]
    # A call that began in time ends later.
    took = max(sum(init + sign for _, init, sign in process) / threads / 1000 for process in results)
    return {"a_second": sum(rv == 0 for rv in calls) / took, "failed": sum(rv != 0 for rv in calls)}


def scale():
    fairness.ARGUMENTS = [os.environ["MODULE"], "chip-0", "dev-key"]
    chips = [f"chip-{n}" for n in range(8)]
    rows = {"threads": [], "processes": [], "chips on one bus": [], "buses": []}

    def row(kind, number, config, *how):
        os.environ["ATECC608_PKCS11_CONF"] = os.path.abspath(config)
        rows[kind].append({"number": number, **a_second(*how)})

    for number in (1, 2, 4, 8):
        row("threads", number, "buses.toml", 1, number)
        row("processes", number, "buses.toml", number)
        row("chips on one bus", number, "bus.toml", number, 1, chips[:number])
        row("buses", number, "buses.toml", number, 1, chips[:number])
    save("scale", f"measure.py scale: fairness.run_at_once, {SECONDS} s each", rows=rows)


def main():
    works = (host, objects, sessions, sign, sign_vendor, sign_driver, timeline, handshakes, crowd, scale)
    for work in works:
        if sys.argv[1:2] == [work.__name__]:
            return work(*sys.argv[2:])
    return sys.exit(__doc__)


if __name__ == "__main__":
    main()
