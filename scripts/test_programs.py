#!/usr/bin/env python3
"""Run the tests of this package as `cargo test` does, but several test programs at once, and none for ever.

    test_programs.py [--cargo COMMAND] [--minutes N] [--run-with PREFIX] [argument of cargo test...]

    --cargo COMMAND    instead of "cargo": words divided by blanks
    --minutes N        the time that one program has, 10 if not given; then it is stopped and counts as failed
    --run-with PREFIX  what a program is started with, words divided by blanks

Each program's output is printed whole when it has ended, in the order of their ends. Most tests wait for a chip's times or
take turns for the module of their process, so that a program uses a part of a core only.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build(cargo, arguments):
    """Builds the test programs; returns [(source file, executable)] in cargo's order."""
    command = [*cargo, "test", "--no-run", "--message-format=json-render-diagnostics", *arguments]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit(built.returncode)
    programs = []
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            source = Path(message["target"]["src_path"]).relative_to(ROOT)
            programs.append((str(source), message["executable"]))
    return programs


def stop(process):
    """Ends a program with its helpers and children, which are its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def run(program, prefix, seconds, running):
    """Runs one program, in the list `running` meanwhile; returns (passed, what it printed)."""
    source, executable = program
    began = time.monotonic()
    process = subprocess.Popen(
        [*prefix, executable], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
    )  # fmt: skip
    running.append(process)
    ended = ""
    try:
        output, _ = process.communicate(timeout=seconds)
        if process.returncode != 0:
            ended = f"{source}: exit status {process.returncode}\n"
    except subprocess.TimeoutExpired:
        stop(process)
        output, _ = process.communicate()
        ended = f"{source}: stopped, it ran for more than {seconds} s\n"
    running.remove(process)
    elapsed = time.monotonic() - began
    return ended == "", f"     Running {source} ({Path(executable).name}), {elapsed:.1f} s\n{output}{ended}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS, allow_abbrev=False
    )
    parser.add_argument("--cargo", default="cargo")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--run-with", default="")
    options, arguments = parser.parse_known_args()

    programs = build(options.cargo.split(), arguments)
    failed, running = [], []
    prefix, seconds = options.run_with.split(), options.minutes * 60
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        runs = {pool.submit(run, each, prefix, seconds, running): each for each in programs}
        try:
            for done in as_completed(runs):
                passed, output = done.result()
                print(output, flush=True)
                if not passed:
                    failed.append(runs[done][0])
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                stop(process)
            sys.exit(130)
    print(f"{len(programs)} test programs, {len(failed)} failed", *failed)
    sys.exit(1 if failed or not programs else 0)


main()
