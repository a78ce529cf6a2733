#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The results of third-party test suites, for scripts/conformance.sh.

    conformance.py collect OUT SUITE VERSION FORMAT FILE...   results in one of the FORMATs into OUT (JSON)
    conformance.py page PAGE REASONS OUT...                   the table of several, with the reasons of REASONS (TOML)

`page` exits with 1, and writes no page, if a test that did not pass has no reason, or a reason has no such test any more.
"""

import collections
import fnmatch
import json
import re
import sys
import tomllib
import xml.etree.ElementTree as ElementTree

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


def junit(text):
    """pytest's XML."""
    for case in ElementTree.fromstring(text).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        outcome, message = PASSED, ""
        for child in case:
            if child.tag in ("failure", "error"):
                outcome, message = FAILED, child.get("message", "")
            elif child.tag == "skipped":
                outcome, message = SKIPPED, child.get("message", "")
        yield name, outcome, message


def reportlog(text):
    """The lines of pkcs11-check: JSON objects. What it calls xfail, a difference that it expects of some modules, has failed."""
    for line in text.splitlines():
        entry = json.loads(line)
        if entry["$report_type"] != "TestReport" or (entry["when"] != "call" and entry["outcome"] == "passed"):
            continue
        said = entry.get("longrepr") or ""
        if isinstance(said, list):
            said = said[-1]
        elif isinstance(said, dict):
            said = said["reprcrash"]["message"]
        outcome = entry["outcome"]
        if "wasxfail" in entry:
            outcome, said = FAILED, entry["wasxfail"]
        yield entry["nodeid"].split("/testcases/")[-1], outcome, said


def cargo(text):
    """libtest's lines, each with what the test printed after it."""
    found = list(re.finditer(r"^test (\S+) \.\.\. (ok|FAILED|ignored)", text, re.M))
    for match, following in zip(found, found[1:] + [None]):
        said = text[match.end() : following.start() if following else None]
        yield match.group(1), {"ok": PASSED, "FAILED": FAILED, "ignored": SKIPPED}[match.group(2)], said


def cmocka(text):
    for word, name in re.findall(r"^\[ +(OK|FAILED|SKIPPED) +\] (\w+)$", text.split("test(s) run.")[0], re.M):
        yield name, {"OK": PASSED, "FAILED": FAILED, "SKIPPED": SKIPPED}[word], ""


def go(text):
    """`-test.v` of each test in a program of its own, after a line `=== PROGRAM NAME`. Subtests count with their test."""
    for part in text.split("=== PROGRAM ")[1:]:
        name = part.split(None, 1)[0]
        found = re.search(rf"^--- (PASS|FAIL|SKIP): {name} ", part, re.M)
        outcome = {"PASS": PASSED, "SKIP": SKIPPED}.get(found.group(1), FAILED) if found else FAILED
        yield name, outcome, part.split("\n", 1)[1].strip()


def gnutls(text):
    """Steps of its shell script: `* What it does... ok`. Repeated names are numbered."""
    times = collections.Counter()
    for name, word in re.findall(r"^\* (.*?)\.\.\. *(?:.*\n)?(ok|failed|skipped)\b", text, re.M):
        times[name] += 1
        yield f"{name} #{times[name]}", {"ok": PASSED, "skipped": SKIPPED}.get(word, FAILED), ""


FORMATS = {f.__name__: f for f in (junit, reportlog, cargo, cmocka, go, gnutls)}


def collect(out, suite, version, kind, files):
    tests = []
    for file in files:
        with open(file, encoding="utf-8", errors="replace") as source:
            tests += [list(test) for test in FORMATS[kind](source.read())]
    if not tests:
        sys.exit(f"{suite}: no test was executed")
    with open(out, "w", encoding="utf-8") as target:
        json.dump({"suite": suite, "version": version, "tests": tests}, target, indent=1)


def reason_of(test, reasons):
    """Returns the first of the suite's reasons with a pattern for this test's name, or its name and its output."""
    name, _, message = test
    for reason, patterns in reasons:
        for pattern in patterns:
            if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(f"{name}: {message}", pattern):
                return reason, pattern
    return None, None


def chapter(result, reasons, known, problems):
    """The suite's row of the first table, and its own table."""
    suite, counts = result["suite"], collections.Counter(test[1] for test in result["tests"])
    groups, used = collections.OrderedDict((reason, [0, 0]) for reason, _ in reasons), set()
    for test in result["tests"]:
        if test[1] == PASSED:
            continue
        reason, pattern = reason_of(test, reasons)
        if reason is None:
            problems.append(f"{suite}: no reason for {test[0]} ({test[1]}): {test[2][:200]!r}")
            continue
        used.add((reason, pattern))
        groups[reason][test[1] == SKIPPED] += 1
    for reason, patterns in reasons:
        for pattern in patterns:
            if (reason, pattern) not in used and reason not in known["of_the_machine"]:
                problems.append(f"{suite}: the reason `{reason}` has a pattern for nothing that did not pass: {pattern}")
    row = f"| {suite} | {result['version']} | {len(result['tests'])} | {counts[PASSED]} | {counts[FAILED]} | {counts[SKIPPED]} |"
    lines = [f"## {suite}", "", "| reason | failed | skipped |", "| --- | --- | --- |"]
    for reason, (failed, skipped) in groups.items():
        if failed or skipped:
            lines.append(f"| {known['reasons'][reason]} | {failed} | {skipped} |")
    return row, lines


def page(path, reasons_path, results):
    with open(reasons_path, "rb") as source:
        known = tomllib.load(source)
    rows, chapters = [], []
    used = {reason for suite in known["suite"].values() for reason in suite["reasons"]}
    problems = [f"the reason `{reason}` is of no suite" for reason in known["reasons"] if reason not in used]
    for file in results:
        with open(file, encoding="utf-8") as source:
            result = json.load(source)
        suite = known["suite"].get(result["suite"], {})
        reasons = [(reason, patterns) for reason, patterns in suite.get("reasons", {}).items()]
        row, lines = chapter(result, reasons, known, problems)
        rows.append(row)
        chapters.append("\n".join([lines[0], "", suite.get("about", ""), *lines[1:]]))
    head = known["page"]["text"].rstrip()
    table = "\n".join(["| suite | version | tests | passed | failed | skipped |", "| --- | --- | --- | --- | --- | --- |", *rows])
    text = f"{head}\n\n{table}\n\n" + "\n\n".join(chapters) + f"\n\n{known['page']['tail'].strip()}\n"
    print(table)
    if problems:
        sys.exit("\n".join(problems))
    with open(path, "w", encoding="utf-8") as target:
        target.write(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["collect"] and len(sys.argv) > 6:
        collect(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5], sys.argv[6:])
    elif sys.argv[1:2] == ["page"] and len(sys.argv) > 4:
        page(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        sys.exit(__doc__)
