#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Print a table of the chip's commands: one line per file that `atecc608-sim stats` wrote.

The name of a file is the name of its step: costs/07-csr-with-openssl-req.json is "csr with openssl req".
"""

import json
import re
import sys
from pathlib import Path

HEAD = ("step", "wakes", "bus bytes", "bus ms", "chip ms typ", "max", "commands")
FORM = "{:<36} {:>5} {:>9} {:>7} {:>11} {:>6}  {}"


def title(path):
    return re.sub(r"^\d+-", "", path.stem).replace("-", " ")


def commands(counts):
    """`Read 9, Sign 1`, most frequent first."""
    often_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {n}" for name, n in often_first if n) or "none"


def line(name, stats):
    return FORM.format(
        name,
        stats["wakes"],
        stats["bytes_written"] + stats["bytes_read"],
        round(stats["bus_us"] / 1000),
        round(stats["chip_us_typ"] / 1000),
        round(stats["chip_us_max"] / 1000),
        commands(stats["commands"]),
    )


def total(all_stats):
    keys = ("wakes", "bytes_written", "bytes_read", "bus_us", "chip_us_typ", "chip_us_max")
    result = {key: sum(stats[key] for stats in all_stats) for key in keys}
    result["commands"] = {"in all": sum(sum(stats["commands"].values()) for stats in all_stats)}
    return result


def main():
    paths = [Path(name) for name in sys.argv[1:]]
    all_stats = [json.loads(path.read_text()) for path in paths]
    print(FORM.format(*HEAD))
    for path, stats in zip(paths, all_stats):
        print(line(title(path), stats))
    print(line("total", total(all_stats)))


if __name__ == "__main__":
    main()
