#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Check the licence of every dependency against the list in deny.toml.

    cargo metadata --locked --all-features --format-version 1 [--manifest-path FILE] | check_licences.py deny.toml

The same list in the same format as cargo-deny's, and the same result as `cargo deny check licenses`, without the ten
minutes that building cargo-deny takes. Needs Python 3.11, for tomllib.
"""

import json
import re
import sys
import tomllib
from collections import defaultdict

TOKEN = re.compile(r"\(|\)|[^\s()]+")


class Expression:
    """An SPDX expression, evaluated while it is read: is there a choice that the allowed licences satisfy?

    AND binds tighter than OR. A licence with an exception is a name of its own, "A WITH E". Old manifests write
    "MIT/Apache-2.0" for OR.
    """

    def __init__(self, text, allowed):
        self.tokens = TOKEN.findall(text.replace("/", " OR "))
        self.allowed = allowed

    def satisfied(self):
        result = self.either()
        if self.tokens:
            raise ValueError(f"unexpected {self.tokens[0]!r}")
        return result

    def either(self):
        result = self.both()
        while self.next_is("OR"):
            # `both` first: it has to be parsed even if the result is known.
            result = self.both() or result
        return result

    def both(self):
        result = self.one()
        while self.next_is("AND"):
            result = self.one() and result
        return result

    def one(self):
        token = self.take()
        if token == "(":
            result = self.either()
            if self.take() != ")":
                raise ValueError("a parenthesis is not closed")
            return result
        if self.next_is("WITH"):
            token = f"{token} WITH {self.take()}"
        return token in self.allowed

    def next_is(self, word):
        if self.tokens and self.tokens[0].upper() == word:
            self.tokens.pop(0)
            return True
        return False

    def take(self):
        if not self.tokens:
            raise ValueError("it ends too early")
        return self.tokens.pop(0)


def complaint(package, allowed, exceptions):
    allowed = allowed | exceptions.get(package["name"], set())
    licence = package["license"]
    if not licence:
        return "names no licence"
    try:
        return None if Expression(licence, allowed).satisfied() else f"is {licence}: not in the list"
    except ValueError as error:
        return f"{licence!r} is not a licence expression: {error}"


def main():
    with open(sys.argv[1], "rb") as file:
        licences = tomllib.load(file)["licenses"]
    allowed = set(licences["allow"])
    exceptions = {entry["crate"]: set(entry["allow"]) for entry in licences.get("exceptions", [])}
    packages = json.load(sys.stdin)["packages"]
    by_licence = defaultdict(list)
    bad = 0
    for package in packages:
        name = f"{package['name']} {package['version']}"
        by_licence[package["license"]].append(name)
        if message := complaint(package, allowed, exceptions):
            print(f"{name} {message}")
            bad += 1
    for licence, names in sorted(by_licence.items(), key=lambda item: -len(item[1])):
        print(f"{len(names):4}  {licence}")
    print(f"{len(packages)} packages, {bad} with a licence that deny.toml does not allow")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
