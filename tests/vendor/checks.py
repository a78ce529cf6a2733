# SPDX-License-Identifier: MIT OR Apache-2.0
"""Prints one line per comparison, and the count at the end."""

import traceback


class Checks:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def equal(self, what, actual, wanted):
        self.record(what, type(actual) is type(wanted) and actual == wanted,
                    f"{shown(actual)}, not {shown(wanted)}")

    def true(self, what, condition, found=""):
        self.record(what, bool(condition), f"it is not so: {shown(found)}")

    def record(self, what, good, problem):
        self.passed += good
        self.failed += not good
        print(f"  {'ok  ' if good else 'FAIL'}  {what}" + ("" if good else f": {problem}"), flush=True)

    def run(self, topic, *arguments):
        """A topic is a function whose name says what it is about. If it breaks off, that is a failure."""
        print(topic.__name__.replace("_", " "))
        try:
            topic(self, *arguments)
        except Exception:
            traceback.print_exc()
            self.record("the topic runs to its end", False, "see above")

    def summary(self, more):
        """In the form that scripts/test.sh shows of every log."""
        good = self.passed and not self.failed
        print(f"test result: {'ok' if good else 'FAILED'}. {self.passed} passed; {self.failed} failed; {more}")
        return 0 if good else 1


def shown(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return "(" + ", ".join(map(shown, value)) + ")"
    return repr(value)
