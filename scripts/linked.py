# SPDX-License-Identifier: MIT OR Apache-2.0
"""The packages that cargo links into the programs of a package: for scripts/third_party.py and scripts/sbom.py.

No tests' dependencies, no build scripts, no procedural macros, and only the features of that build.
"""

import json
import subprocess


def add_arguments(parser):
    """The options of the build, as for cargo."""
    parser.add_argument("--target", required=True, help="Rust's name of the architecture")
    parser.add_argument("--no-default-features", action="store_true")
    parser.add_argument("crates", nargs="+", metavar="CRATE", help="a package of the workspace that is built")


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(build):
    """The packages as `cargo metadata` describes them, sorted, with the workspace's own; and which of them uses which.

    Cargo's tree lists the packages of the build, the metadata describes them: the metadata alone has the features of
    the tests, too.
    """
    features = ["--no-default-features"] if build.no_default_features else []
    chosen = [word for crate in build.crates for word in ("--package", crate)]
    tree = cargo(
        "tree", "--locked", "--target", build.target, "--edges", "normal,no-proc-macro", "--prefix", "none", "--no-dedupe",
        *features, *chosen,
    )  # fmt: skip
    # "der v0.7.10", and for the workspace's own a folder after it.
    names = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", build.target))
    packages = {p["id"]: p for p in metadata["packages"] if (p["name"], f"v{p['version']}") in names}
    if len(packages) != len(names):
        raise SystemExit(f"linked.py: cargo tree names {len(names)} packages, of which cargo metadata has {len(packages)}")
    uses = {}
    for node in metadata["resolve"]["nodes"]:
        normal = (d["pkg"] for d in node["deps"] if any(kind["kind"] is None for kind in d["dep_kinds"]))
        uses[node["id"]] = sorted(name for name in normal if name in packages)
    return sorted(packages.values(), key=lambda package: (package["name"], package["version"])), uses
