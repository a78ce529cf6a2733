#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Check lock files against a dated copy of security advisories (scripts/advisories.toml).

    check_advisories.py deny.toml scripts/advisories.toml Cargo.lock...

Prints the date of the copy, and fails if a locked version is affected by an advisory that deny.toml does not ignore. It
detects a return to a version that is known to be bad, but no advisory that came after the date: that takes the
database, which `cargo deny check advisories` downloads. Needs Python 3.11, for tomllib.
"""

import operator
import re
import sys
import tomllib

COMPARATOR = re.compile(r"\s*(<=|>=|<|>|=)\s*(\d+)\.(\d+)\.(\d+)\s*")
COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}


def numbers(version):
    """The three numbers of a version. A suffix (pre-release, build) is ignored."""
    return tuple(int(number) for number in re.match(r"(\d+)\.(\d+)\.(\d+)", version).groups())


def holds(text, version):
    """Whether all comparators of a range, such as ">= 1.0.0, < 1.6.1", hold for a version."""
    for part in text.split(","):
        found = COMPARATOR.fullmatch(part)
        if not found:
            sys.exit(f"check_advisories.py: {part!r} is not a comparator such as \">= 1.2.3\"")
        if not COMPARE[found[1]](numbers(version), tuple(int(number) for number in found.groups()[1:])):
            return False
    return True


def load(path):
    with open(path, "rb") as file:
        return tomllib.load(file)


def main():
    deny, copy = (load(path) for path in sys.argv[1:3])
    ignored = {entry["id"]: entry["reason"] for entry in deny["advisories"]["ignore"]}
    locked = (package for path in sys.argv[3:] for package in load(path)["package"])
    packages = sorted({(package["name"], package["version"]) for package in locked if "source" in package})
    bad = 0
    for name, version in packages:
        for advisory in copy["advisories"]:
            if advisory["crate"] != name or not any(holds(text, version) for text in advisory["affected"]):
                continue
            if advisory["id"] in ignored:
                print(f"{name} {version}: {advisory['id']} is ignored: {ignored[advisory['id']]}")
            else:
                print(f"{name} {version}: {advisory['id']}: update it, or ignore it in deny.toml with the reason")
                bad += 1
    print(
        f"{len(packages)} packages against {len(copy['advisories'])} advisories, {bad} apply. The advisories are a copy of "
        f"{copy['date']}: newer ones are not known here (`cargo deny check advisories` asks the database)"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
