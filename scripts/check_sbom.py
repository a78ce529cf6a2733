#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Check the bill of materials in each Debian package (scripts/sbom.py).

    check_sbom.py Cargo.lock PACKAGE.deb...

It is CycloneDX 1.6 (judged by cyclonedx-python-lib with the schema of the standard), it describes that package, each Rust package in
it has the version and the checksum of Cargo.lock, and each Rust package that the programs name is in it. A program names the
source files of what is linked where a panic reports its place.
"""

import io
import json
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

# scripts/lib/package_in_root.sh names the folder of the registry "crates".
SOURCE = re.compile(rb"crates/([A-Za-z0-9_-]+?)-(\d+\.\d+\.\d+[A-Za-z0-9.+-]*)/src/")


def files(package):
    """The files of a package, by their paths."""
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def field(package, name):
    output = subprocess.run(["dpkg-deb", "--field", package, name], check=True, stdout=subprocess.PIPE, text=True)
    return output.stdout.strip()


def named_in(contents):
    """The Rust packages that the programs among these files name: name and version."""
    found = set()
    for data in contents.values():
        if data.startswith(b"\x7fELF"):
            found |= {(name.decode(), version.decode()) for name, version in SOURCE.findall(data)}
    return found


def problems(package, locked):
    """Returns the errors, and the number of Rust packages in the bill and in the programs."""
    name, contents = field(package, "Package"), files(package)
    text = contents[f"./usr/share/doc/{name}/sbom.cdx.json"].decode()
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        return [f"is not CycloneDX 1.6: {error!r}"], 0, 0
    bill = json.loads(text)
    found = []
    itself = bill["metadata"]["component"]
    if (itself["name"], itself["version"]) != (name, field(package, "Version")):
        found.append(f"describes {itself['name']} {itself['version']}")
    if not itself["purl"].endswith(f"?arch={field(package, 'Architecture')}"):
        found.append(f"describes another architecture: {itself['purl']}")
    listed = {}
    for component in bill["components"]:
        if component.get("purl", "").startswith("pkg:cargo/"):
            hashes = [entry["content"] for entry in component.get("hashes", [])]
            listed[component["name"], component["version"]] = hashes[0] if hashes else None
    for what, checksum in listed.items():
        if what not in locked:
            found.append(f"lists {' '.join(what)}, which is not in Cargo.lock")
        elif locked[what] != checksum:
            found.append(f"has another checksum of {' '.join(what)} than Cargo.lock")
    named = named_in(contents)
    found += [f"lacks {' '.join(what)}, which is linked in" for what in sorted(named - set(listed))]
    if not named:
        found.append("can't be compared: the programs name no Rust package")
    references = {component["bom-ref"] for component in [itself, *bill["components"]]}
    if {entry["ref"] for entry in bill["dependencies"]} != references:
        found.append("has other packages among its dependencies than among its components")
    return found, len(listed), len(named)


def main():
    with open(sys.argv[1], "rb") as file:
        locked = {(p["name"], p["version"]): p.get("checksum") for p in tomllib.load(file)["package"]}
    bad = False
    for package in sys.argv[2:]:
        found, listed, named = problems(package, locked)
        bad = bad or bool(found)
        for problem in found:
            print(f"{Path(package).name}: the bill of materials {problem}")
        if not found:
            print(f"{Path(package).name}: {listed} Rust packages, as Cargo.lock has them; the programs name {named} of them")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
