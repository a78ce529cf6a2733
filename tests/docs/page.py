#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The commands in a page of the documentation.

    page.py check PAGE...      whether every block of the pages follows the rules below
    page.py packages PAGE...   the Debian packages that their commands install
    page.py chip PAGE          the profile of the chip that the page needs (the simulator's name for it)
    page.py script PAGE        its commands as one shell script, in order
    page.py not-run PAGE       the blocks that are not run, each with the reason

A command that a reader types is in a fenced block with the info string `sh`. All blocks of a page run in one shell, in
order, under `set -e`. One that can't run in a test says why: ```sh not-run="needs a Raspberry Pi". What the reader has
before the page begins, or what systemd does for the reader, is shell in a comment:

    <!-- test-setup
    atecc608 provision tls --lock-forever --unproven
    -->

`<!-- test-chip tngtls -->` puts another chip than a blank ATECC608B on the bus. Everything else in a fenced block (output,
files) has another info string, and there are no indented blocks: nothing that looks like a command can be left out unseen.
"""

import re
import sys
from dataclasses import dataclass

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`]*)$")
NOT_RUN = re.compile(r'^sh not-run="(?P<reason>[^"]+)"$')
CHIP = re.compile(r"^<!-- test-chip (?P<profile>[a-z0-9-]+) -->$")
SETUP = "<!-- test-setup"
INSTALL = re.compile(r"\bapt(?:-get)? install +(?P<words>[^\n|&;#]+)")


class Wrong(Exception):
    """The page breaks a rule."""


@dataclass
class Block:
    """One piece of shell: `line` is where it begins in the page."""

    line: int
    text: str
    reason: str = ""
    setup: bool = False


@dataclass
class Page:
    """A page's shell, in order."""

    path: str
    blocks: list
    chip: str = "blank-608b"

    @classmethod
    def read(cls, path):
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        page, at = cls(path, []), 0
        while at < len(lines):
            line = lines[at]
            if fence := FENCE.match(line):
                at = page.fenced(lines, at, fence)
            elif line.startswith(SETUP):
                if line != SETUP:
                    raise Wrong(f"{path}:{at + 1}: {SETUP} stands alone on its line")
                end = find(lines, at, lambda text: text == "-->", f"{path}:{at + 1}: the comment does not end")
                page.blocks.append(Block(at + 1, "\n".join(lines[at + 1 : end]), setup=True))
                at = end + 1
            elif "<!-- test-" in line and not CHIP.match(line):
                raise Wrong(f"{path}:{at + 1}: neither `{SETUP}` nor `<!-- test-chip PROFILE -->`")
            else:
                page.chip = chip["profile"] if (chip := CHIP.match(line)) else page.chip
                if line.startswith("    ") and line.strip() and not within_list(lines, at):
                    raise Wrong(f"{path}:{at + 1}: an indented block: use a fence with an info string")
                at += 1
        return page

    def fenced(self, lines, at, fence):
        """Reads one fenced block; returns the line after it."""
        place, info = f"{self.path}:{at + 1}", fence["info"].strip()
        closing = fence["indent"] + "```"
        end = find(lines, at, lambda text: text.rstrip() == closing, f"{place}: the block does not end")
        text = "\n".join(line.removeprefix(fence["indent"]) for line in lines[at + 1 : end])
        reason = NOT_RUN.match(info)
        if not info:
            raise Wrong(f"{place}: a block without an info string: sh for commands, text for output, toml, ...")
        if info == "sh" or reason:
            self.blocks.append(Block(at + 1, text, reason["reason"] if reason else ""))
        elif info.split()[0] in ("sh", "bash", "shell", "console", "shell-session"):
            raise Wrong(f'{place}: ```{info}: commands are ```sh or ```sh not-run="reason"')
        return end + 1

    def run(self):
        return [block for block in self.blocks if not block.reason]


def find(lines, at, wanted, otherwise):
    for number in range(at + 1, len(lines)):
        if wanted(lines[number]):
            return number
    raise Wrong(otherwise)


def within_list(lines, at):
    """Whether an indented line goes on with a list's item or with a paragraph, and so is no block of code."""
    for line in reversed(lines[:at]):
        if re.match(r" *([-*]|\d+\.) ", line):
            return True
        if line and not line.startswith(" "):
            return lines[at - 1] != ""
    return False


def script(page):
    parts = ["set -e"]
    for block in page.run():
        kind = "set-up" if block.setup else "commands"
        parts.append(f"\n# {page.path}:{block.line}: {kind}\n{block.text}")
    return "\n".join(parts) + f"\n\n# {page.path}: the end\n"


def packages(page):
    names = set()
    for block in page.run():
        for match in INSTALL.finditer(block.text.replace("\\\n", " ")):
            words = match["words"].split()
            # A package from another suite, or in a file, can't be installed by name.
            if not {"-t", "--target-release"} & set(words):
                names.update(word for word in words if not word.startswith(("-", "./", "/", "$")))
    return names


def main(command, paths):
    pages, wrong = [], []
    for path in paths:
        try:
            pages.append(Page.read(path))
        except Wrong as error:
            wrong.append(str(error))
    if wrong:
        sys.exit("\n".join(wrong))
    if command == "packages":
        print(" ".join(sorted(set().union(*map(packages, pages)))))
    for page in pages:
        if command == "check":
            run, not_run = len(page.run()), len(page.blocks) - len(page.run())
            print(f"{page.path}: {run} blocks are run, {not_run} are not")
        elif command == "chip":
            print(page.chip)
        elif command == "script":
            sys.stdout.write(script(page))
        elif command == "not-run":
            for block in page.blocks:
                if block.reason:
                    print(f"{page.path}:{block.line}: {block.reason}")


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("check", "packages", "chip", "script", "not-run"):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
