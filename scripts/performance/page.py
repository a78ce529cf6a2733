#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""docs/performance.md, docs/performance.json and docs/pictures from what measure.py and bench.py wrote.

    page.py RESULTS FOLDER
"""

import json
import statistics
import sys
from pathlib import Path

import pictures

OURS = "atecc608-pkcs11"
# The vendor's PKCS#11 module, where it can't be measured: (commands, chip ms), at the maximum execution times, as recorded.
RECORDED = {
    "openssl req -new through pkcs11-provider": (15, 456),
    "p11tool --list-all, Trust&GO, the very first time": (71, 2115),
    "p11tool --list-all, Trust&GO, warm": (71, 2115),
}
# It has no cache beyond the process: its first run costs as much as every other.
SAME_WORK = {"p11tool --list-all, the very first time": "p11tool --list-all, one key pair"}
# The goals (commands, chip ms) with root's kept configuration.
GOALS = {
    "C_Initialize, C_GetSlotList, C_GetTokenInfo": (3, 15),
    "p11tool --list-all, one key pair": (7, 35),
    "openssl req -new through pkcs11-provider": (8, 205),
}
RECORDED_ON = """with cryptoauthlib 3.7.8, one commit after the tag 20250530. The notes that have them do not give the day; it is
  inferred from the history of these notes to be before 28 November 2026"""


class Results:
    def __init__(self, folder):
        self.all = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(folder).glob("*.json"))}
        self.versions = dict(
            line.split("|", 1) for line in Path(folder, "versions").read_text(encoding="utf-8").splitlines() if line
        )

    def __getitem__(self, name):
        return self.all[name]


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def number(value, digits=0):
    return "-" if value is None else f"{value:,.{digits}f}"


def ratio(ours, theirs):
    """Returns the ratio, marked if the module is not better."""
    if ours is None or theirs is None or ours == theirs == 0:
        return "-"
    if theirs == 0:
        return "**more**"
    return f"{ours / theirs:.2f}" if ours <= theirs else f"**{ours / theirs:.2f}**"


def about(results):
    v = results.versions
    rest = [f"{name} {value}" for name, value in v.items() if name not in ("started", "load before", "load after", "processors", "kernel", "gateway bytes")]
    return f"""# Performance

What the module costs the chip and the host, beside what users would pick instead. `scripts/bench.sh performance` makes this page, its
pictures and [performance.json](performance.json) in one run. Don't edit it: `scripts/performance/page.py` has the text.

- Measured: {v["started"]}, {v["kernel"]}, {v["processors"]} processors. Load average before the run {v["load before"]}, after it {v["load after"]}:
  above the number of processors, times of the host are those of a busy machine. Commands, wakes, bytes and instructions do not depend on it.
- Versions: {", ".join(rest)}.
- The chip is simulated: its times are drawn between the typical and the maximum of the data sheet, on a bus of 100 kHz.
- The vendor's PKCS#11 module and Microchip's driver below it are cryptoauthlib of PyPI, the module built from its source distribution
  by `scripts/performance/vendor_module.sh`. The distribution lacks the files of CMake's in `lib/*/cmake`, `lib/pkcs11/pkcs11_config.h.in` and the folder
  `app/pkcs11`. So the options are this project's (`tests/vendor/pkcs11`), and the module has no certificates of chips as sold.
- Figures marked *recorded* were **not measured in this run, but recorded** {RECORDED_ON}.
  They are counted the same way: maximum execution times at the chip's clock divider M0. `openssl req` was recorded with the module's
  defect in CKA_ALWAYS_AUTHENTICATE repaired, Trust&GO with empty certificate slots.
- A ratio is ours divided by theirs. Bold ratios are above 1: not won.
"""


def of_the_vendor(results, work):
    """Commands and chip ms of the vendor's module, and a word where they are not measured."""
    measured = {row["work"]: row for row in results["costs-vendor"]["rows"]}.get(SAME_WORK.get(work, work))
    if measured:
        return measured["commands"], measured["chip_ms"], ""
    return (*RECORDED[work], " *recorded*") if work in RECORDED else None


def chip_work(results):
    rows = []
    plain = {row["work"]: row for row in results["costs-plain"]}
    for row in results["costs-kept"]:
        other, vendor = plain[row["work"]], of_the_vendor(results, row["work"])
        rows.append([
            row["work"], row["commands"], row["wakes"], row["bytes"], number(row["chip_ms"]), f"{other['commands']}, {number(other['chip_ms'])}",
            f"{vendor[0]}, {number(vendor[1])}{vendor[2]}" if vendor else "-", ratio(row["chip_ms"], vendor and vendor[1]),
        ])
    failed = [f"`{work.split(' through')[0]}` fails with it as it is (`{' '.join(said).strip()}`)" for work, said in results["costs-vendor"]["failures"].items()]
    goals = []
    for row in results["costs-kept"]:
        if row["work"] in GOALS:
            commands, ms = GOALS[row["work"]]
            met = row["commands"] <= commands and row["chip_ms"] <= ms
            goals.append(f"- {row['work']}: {row['commands']} commands, {row['chip_ms']:.0f} ms; goal {commands}, {ms} ms: {'met' if met else '**missed**'}")
    over = []
    for row in results["costs-kept"] + results["costs-plain"]:
        commands, ms = (int(part.split()[0]) for part in row["budget"].split(", ")[:2])
        if row["commands"] > commands or row["chip_ms"] > ms:
            over.append(f"{row['work']} ({row['commands']} commands, {row['chip_ms']:.0f} ms; at most {row['budget']})")
    listed = "\n".join(goals)
    head = ["work", "commands", "wakes", "bytes", "chip ms", "without root's file", "vendor's module", "ratio of ms"]
    return f"""## Work of the chip

Commands, wakes, bytes on the bus and milliseconds at the chip's maximum execution times, with
[root's kept configuration](state.md#the-kept-configuration); without it (and with the vendor's module) commands and milliseconds.
Commands: `scripts/bench.py MODULE gateway dev-key chip.sock FILE`, for the vendor's module `scripts/performance/vendor_costs.py`. Ours are pinned by
tests/abi/costs.rs and `scripts/bench.sh`. {"The vendor's module: " + "; ".join(failed) + "." if failed else ""}

{table(head, rows)}
Goals with the kept configuration:

{listed}

Over the budget of `scripts/bench.sh` in this run: {"; ".join(f"**{work}**" for work in over) or "none"}.
Before the module reads a public key from the chip, as the very first listing does, it reads all of the configuration, also where root has kept it.
"""


def signature(results):
    rows = []
    for name, title in (("sign", f"C_Sign, {OURS}"), ("sign-vendor", "C_Sign, the vendor's module"), ("sign-driver", "atcab_sign, Microchip's driver")):
        each = results[name]["each"]
        mean = {key: statistics.mean(one[key] for one in each) for key in each[0]}
        expected = [one["chip_ms"] + one["bus_ms"] + one["wake_ms"] for one in each]
        rest = [one["wall_ms"] - chip for one, chip in zip(each, expected)]
        met = sum(one["wall_ms"] <= 1.03 * chip + 5 for one, chip in zip(each, expected))
        rows.append([title, *(number(mean[key], 1) for key in ("wall_ms", "chip_ms", "bus_ms", "wake_ms")), f"{statistics.median(rest):.1f} ({min(rest):.1f})", number(mean["commands"]),
                     number(mean["wakes"], 1), number(mean["bytes"]), number(mean["polls"], 1), met if met == len(each) else f"**{met}**"])
    head = ["one signature", "wall ms", "chip", "bus", "wake", "the rest, median (least)", "commands", "wakes", "bytes", "polls", "within 1.03 x (chip + bus + wake) + 5 ms"]
    handshake = []
    for title, lane in ((f"openssl s_client, {OURS}", results["timeline-ours"]), ("the same work, Microchip's driver", results["timeline-driver"])):
        runs = lane["runs_ms"]
        handshake.append([title, f"{statistics.median(runs):.0f} ({min(runs):.0f} to {max(runs):.0f})", f"{lane['wires_own_ms']:.0f}",
                          len(lane["bars"]), len(lane["wakes"]), lane["bytes"], len(lane["polls"])])
    return f"""## A signature and a handshake in real time

Means of {len(results["sign"]["each"])} signatures of one process, from its second on. "Chip" is the time that the simulator drew for the commands, "bus" what it counted
without the polls while the chip is busy, and "wake" the 1.5 ms after each. "The rest" is all else: from the moment that the chip is ready
to the poll that finds it so, the host's own work, and the simulator, a process of its own behind a socket. Nothing else is in between. The last column
has the number of signatures that met the goal.
Command: `{results["sign"]["command"]}`.

{table(head, rows)}
A process from its start to its end, with one signature in between: {number(results["sign"].get("first_ms"))} ms (`./speed MODULE TOKEN PIN sign 1`, median of 9).

![The bus during one handshake: ours above the vendor's driver](pictures/handshake.svg)

TLS 1.3 handshakes with the chip's key as the client's, {len(results["timeline-ours"]["runs_ms"])} processes each. The driver does by hand what the client asks of a module: it
identifies the chip, gives 32 random bytes, and signs. Milliseconds are from the first transfer to the last response: median, least and most.
Counts and the picture are of the median. They cross a wire that records each transfer (`scripts/performance/bus.py`). "The wire's own" is
what they take longer than as many handshakes without it, the times that the chip drew apart.

{table(["handshake", "ms", "of it the wire's own", "commands", "wakes", "bytes", "polls"], handshake)}
"""


def host(results):
    modules, vendor = results["host"]["modules"], results["costs-vendor"]
    names = list(modules)
    rows = []

    def row(what, values, digits=0):
        ours, *others = values
        rows.append([what, *(number(value, digits) for value in values), *(ratio(ours, other) for other in others)])

    for work in modules[OURS]["instructions"]:
        row(f"{work}, instructions", [modules[name]["instructions"][work] for name in names])
    row("load (dlopen, C_GetFunctionList), us", [modules[name]["load_us"] for name in names])
    first = [modules[name]["first_ms"] for name in names]
    row("process start to the end after one signature, ms", first, 1)
    typical = modules[OURS]["typical_ms"]
    row("the same without the wait for the chip's typical times", [first[0] - typical, *first[1:]], 1)
    memory = [modules[name]["resident_kb"] or [None] * 4 for name in names]
    for at, what in ((1, "C_Initialize"), (2, "1,000 sessions"), (3, "1,000 logins, the sessions closed")):
        row(f"resident memory after {what}, kB more than before loading", [kb[at] and kb[at] - kb[0] for kb in memory])
    row("the library, bytes (ours: of this repository's release, with the simulator)", [modules[name]["bytes"] for name in names])
    return f"""## Work of the host

Beside modules that need no chip, each with 30 objects. Instructions are callgrind's: of more calls, less those of fewer. The simulated chip
takes no time here, but the instructions of talking to it count as ours. What swtpm executes does not count as tpm2-pkcs11's.
Command: `{results["host"]["command"]}`.
The first poll of a command comes after its typical execution time, though this simulated chip is never busy: that wait is {typical:.0f} ms of a process with
one signature. C_Sign verifies the signature with the public key before it leaves the module, so that neither a fault on the bus nor one in the chip gets a
wrong signature out: that is nearly all of its instructions ([architecture.md](architecture.md#work-of-the-host)).

{table(["", *names, *(f"ratio to {name}" for name in names[1:])], rows)}
The library for gateways, without the simulator, has **{number(int(results.versions["gateway bytes"]))} bytes**
(`cargo build --release -p atecc608-pkcs11 --no-default-features`); the vendor's module, as built here, has {number(vendor["bytes"])}. The resident memory after
C_Initialize of the vendor's module is {number(results["host"]["vendor_resident_kb"])} kB more than before loading.
"""


def tls(results):
    rows = [[row["clients"], number(row["a_minute"]), number(row["median_ms"]), number(row["longest_ms"]), row["failed"]] for row in results["handshakes"]["rows"]]
    waits = results["crowd"]["waits_ms"]
    return f"""## Servers and crowds

TLS 1.3 handshakes with a server whose key is in one chip ({results["handshakes"]["command"]}).

{table(["clients at once", "handshakes a minute", "median ms", "longest ms", "failed"], rows)}
![Waits in a crowd](pictures/crowd.svg)

{len(waits)} signatures by 8 processes with 2 threads each in 20 s ({results["crowd"]["failed"]} failed): median {statistics.median(waits):.0f} ms, longest {max(waits):.0f} ms.
The queue is fair: nobody waits much longer than the 16 callers' turns. Command: `{results["crowd"]["command"]}`.
"""


def by_module(points, key):
    curves = {}
    for point in points:
        if point["us"]:
            curves.setdefault(point["module"], []).append((point[key], point["us"]))
    return curves


def point_table(points, key):
    names = list(dict.fromkeys(point["module"] for point in points))
    at = {(point["module"], point[key]): point["us"] for point in points}
    rows = []
    for value in sorted({point[key] for point in points}):
        times = [at.get((name, value)) for name in names]
        rows.append([value, *(number(time, 2) for time in times), *(ratio(times[0], time) for time in times[1:])])
    return table([key, *(f"{name}, us" for name in names), *(f"ratio to {name}" for name in names[1:])], rows)


def scale(results):
    rows = results["scale"]["rows"]
    kinds = list(rows)
    lines = [[rows[kinds[0]][n]["number"], *(f"{rows[kind][n]['a_second']:.1f}" for kind in kinds)] for n in range(len(rows[kinds[0]]))]
    failed = sum(row["failed"] for kind in rows.values() for row in kind)
    one = max(row["a_second"] for row in rows["processes"])
    overhead = statistics.mean(one["bus_ms"] + one["wake_ms"] for one in results["sign"]["each"])
    best = max(row["a_minute"] for row in results["handshakes"]["rows"]) / 60
    needed = [[count, f"{-(-count // best):.0f}"] for count in (1, 5, 10, 50, 100)]
    return f"""## Scale

### Objects

A search over all objects, and the cost of the chip: after the first search none, whatever their number.
Command: `{results["objects"]["command"]}`.

![Cost against the number of objects](pictures/objects.svg)

{point_table(results["objects"]["points"], "objects")}
### Sessions

A session that is opened and closed while so many others are open. Command: `{results["sessions"]["command"]}`.

{point_table(results["sessions"]["points"], "sessions")}
### Threads, processes, chips and buses

Signatures a second. One row is so many threads of one process on one chip; processes on one chip; chips on one bus, each with a
process; chips on buses of their own, each with a process. Failed: {failed}. Command: `{results["scale"]["command"]}`.

![Signatures a second against threads, processes, chips and buses](pictures/scale.svg)

{table(["number", *kinds], lines)}
- **One chip** makes one signature at a time: 42 to 115 ms of Sign, with Random, Nonce and the bus {1000 / one:.0f} ms in the mean here. More threads
  and processes only wait longer. The physical limit, bus and wake included, is {1000 / (43.1 + overhead):.1f} signatures a second at the typical times
  of the data sheet (43 ms) and {1000 / (158 + overhead):.1f} at the maximum (158 ms).
- **Chips on one bus** share its lock, since a wake pulse wakes every chip on the bus: one conversation has the bus to itself. More chips on
  one bus give more keys, not more signatures.
- **Buses** do not know of each other: signatures grow with their number, until the host's processors are the limit. Channels of one
  multiplexer are one bus.

### Chips for a server

One chip serves {best:.1f} TLS 1.3 handshakes a second with full handshakes only, as measured above. Each chip on a bus of its own:

{table(["handshakes a second", "chips"], needed)}
A key can't leave its chip, so a server that spreads its load has a key and a certificate for each chip. Stock servers do not take turns
between certificates of one type: nginx, Apache and HAProxy choose by the client's SNI and signature algorithms, and hold one P-256 certificate
for a name. What works: a server process for each chip, each with its own certificate for the same name, behind a balancer of TCP connections
(HAProxy `mode tcp`, nginx `stream`, IPVS), or a DNS name with several addresses. Session resumption (tickets) needs no signature: share the
ticket key between the processes, and most connections of returning clients cost the chip nothing. Where that is not enough, a key in the
server's memory, with a short-lived certificate whose renewal the chip's key authorises, is the right design.
"""


def write_pictures(results, folder):
    folder.mkdir(parents=True, exist_ok=True)
    lanes = ((OURS, results["timeline-ours"]), ("vendor's driver", results["timeline-driver"]))
    pictures.timeline(folder / "handshake.svg", lanes)
    pictures.histogram(folder / "crowd.svg", "Waits of 16 callers for one chip", results["crowd"]["waits_ms"])
    pictures.curves(folder / "objects.svg", "A search over all objects", "objects", "us", by_module(results["objects"]["points"], "objects"))
    rows = results["scale"]["rows"]
    named = {kind: [(row["number"], row["a_second"]) for row in rows[kind]] for kind in rows}
    pictures.curves(folder / "scale.svg", "Signatures a second", "threads, processes, chips or buses", "a second", named, logarithmic=False)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    results, folder = Results(sys.argv[1]), Path(sys.argv[2])
    write_pictures(results, folder / "pictures")
    parts = (about, chip_work, signature, host, tls, scale)
    text = "\n".join(part(results).rstrip("\n") + "\n" for part in parts)
    (folder / "performance.md").write_text(text, encoding="utf-8")
    kept = {"versions": results.versions, **results.all}
    (folder / "performance.json").write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
