#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""List the Rust libraries that are linked into what the named packages of the workspace build, with the licence text of
each.

    third_party.py --target TARGET [--no-default-features] CRATE...

Distributing a binary requires distributing these texts. Only linked packages are listed (scripts/linked.py), without
the workspace's own.
"""

import argparse
import re
from pathlib import Path

import linked

LICENCE_FILE = re.compile(r"^(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.IGNORECASE)


def texts(package):
    """The licence files: only MIT's if there is a choice, because it is the shortest."""
    folder = Path(package["manifest_path"]).parent
    files = sorted(file for file in folder.iterdir() if file.is_file() and LICENCE_FILE.match(file.name))
    mit = [file for file in files if "MIT" in file.name.upper()]
    if mit and " AND " not in package["license"]:
        files = mit
    return [file.read_text(errors="replace").strip() for file in files]


def main():
    parser = argparse.ArgumentParser(description="List the linked libraries with their licences.")
    linked.add_arguments(parser)
    packages, _ = linked.linked(parser.parse_args())
    for package in packages:
        if not package["source"]:
            continue
        heading = f"{package['name']} {package['version']}: {package['license']}"
        print(heading, "=" * len(heading), sep="\n")
        if package["authors"]:
            print("Authors:", ", ".join(package["authors"]))
        if package["repository"]:
            print("Source:", package["repository"])
        for text in texts(package) or [f"The package has no licence file; its manifest says {package['license']}."]:
            print("", text, sep="\n")
        print("\n")


if __name__ == "__main__":
    main()
