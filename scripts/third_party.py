#!/usr/bin/env python3
"""List the Rust libraries that are linked into what the named packages of the workspace build, with the text of a licence
of each.

    cargo metadata --locked --format-version 1 --filter-platform TARGET | third_party.py PACKAGE...

Whoever passes a binary on has to pass these texts on with it. Only what is linked is listed: no tests' dependencies, no
build scripts, no procedural macros, no package of the workspace itself.
"""

import json
import re
import sys
from pathlib import Path

LICENCE_FILE = re.compile(r"^(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.IGNORECASE)


def linked(metadata, names):
    """The packages that the named ones link, directly or through others, without the workspace's own."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    ours = set(metadata["workspace_members"])
    waiting = [name for name in ours if packages[name]["name"] in names]
    if len(waiting) != len(names):
        sys.exit(f"third_party.py: not all of these are packages of the workspace: {' '.join(names)}")
    seen = set(waiting)
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            name = dependency["pkg"]
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            macro = any("proc-macro" in target["kind"] for target in packages[name]["targets"])
            if normal and not macro and name not in seen:
                seen.add(name)
                waiting.append(name)
    return sorted((packages[name] for name in seen - ours), key=lambda package: (package["name"], package["version"]))


def texts(package):
    """The licence files: MIT's alone where there is a choice, since it is the shortest."""
    folder = Path(package["manifest_path"]).parent
    files = sorted(file for file in folder.iterdir() if file.is_file() and LICENCE_FILE.match(file.name))
    mit = [file for file in files if "MIT" in file.name.upper()]
    if mit and " AND " not in package["license"]:
        files = mit
    return [file.read_text(errors="replace").strip() for file in files]


def main():
    packages = linked(json.load(sys.stdin), set(sys.argv[1:]))
    if not packages:
        sys.exit("third_party.py: no package is linked: is this the output of cargo metadata?")
    for package in packages:
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
