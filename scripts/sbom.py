#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Print the bill of materials (CycloneDX 1.6, JSON) of a Debian package: the Rust packages that are linked into its programs.

    SOURCE_DATE_EPOCH=SECONDS sbom.py --package NAME --architecture ARCH --rust VERSION
        --target TARGET [--no-default-features] CRATE...

The same build gives the same bytes: there is no serial number, and the time is that of SOURCE_DATE_EPOCH. The checksums are
those of Cargo.lock, in the current folder. Needs Python 3.11, for tomllib.
"""

import argparse
import json
import os
import re
import tomllib
from datetime import datetime, timezone

import linked


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}".replace("+", "%2B")


def component(package, checksums):
    """One Rust package. The workspace's own have no checksum: their source is in the same repository."""
    result = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["description"]:
        result["description"] = " ".join(package["description"].split())
    if package["license"]:
        # Old manifests write "/" for OR.
        result["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}]
    if checksum := checksums.get((package["name"], package["version"])):
        result["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        result["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return result


def standard_library(version):
    """Rust's standard library, which comes with the compiler and is not in Cargo.lock."""
    return {
        "type": "library",
        "bom-ref": "rust-std",
        "name": "std",
        "version": version,
        "description": "The Rust Standard Library, with what it links itself",
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
    }


def main():
    parser = argparse.ArgumentParser(description="Print the bill of materials of a Debian package.")
    parser.add_argument("--package", required=True, help="the Debian package")
    parser.add_argument("--architecture", required=True, help="Debian's name of it")
    parser.add_argument("--rust", required=True, help="the compiler's version")
    linked.add_arguments(parser)
    build = parser.parse_args()
    packages, uses = linked.linked(build)
    with open("Cargo.lock", "rb") as file:
        checksums = {(p["name"], p["version"]): p.get("checksum") for p in tomllib.load(file)["package"]}
    with open("Cargo.toml", "rb") as file:
        manifest = tomllib.load(file)
    version = f"{manifest['workspace']['package']['version']}-{manifest['package']['metadata']['deb']['revision']}"
    itself = f"pkg:deb/{build.package}@{version}?arch={build.architecture}"
    names = {package["id"]: reference(package) for package in packages}
    built = [reference(package) for package in packages if package["name"] in build.crates]
    dependencies = [{"ref": itself, "dependsOn": [*built, "rust-std"]}, {"ref": "rust-std"}]
    dependencies += [{"ref": names[p["id"]], "dependsOn": [names[used] for used in uses[p["id"]]]} for p in packages]
    time = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), timezone.utc)
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": itself,
                "name": build.package,
                "version": version,
                "licenses": [{"expression": manifest["workspace"]["package"]["license"]}],
                "purl": itself,
            },
        },
        "components": [component(package, checksums) for package in packages] + [standard_library(build.rust)],
        "dependencies": dependencies,
    }
    print(json.dumps(document, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
