#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Run the tests as `cargo test` does, but several processes at once, each with a time limit.

    test_programs.py [--cargo COMMAND] [--minutes N] [--run-with PREFIX] [--only MODULES | --but MODULES]
                     [argument of cargo build...]
    test_programs.py --no-run [--cargo COMMAND] [argument of cargo build...]

    --no-run           only build, and print where things are, NAME=PATH a line: what tests are told of, and each test program
                       under the name of its folder: ATECC608_CLI_TESTS_IT for crates/atecc608-cli/tests/it
    --cargo COMMAND    instead of "cargo": words divided by blanks
    --minutes N        the time that one process has, 10 if not given; then it is stopped and counts as failed
    --run-with PREFIX  what a program is started with, words divided by blanks
    --only MODULES     of the test programs only these modules, divided by commas
    --but MODULES      of the test programs all modules but these

What is built is the whole workspace with its tests, unless the arguments select something: then they have to select all
that is wanted (`-p atecc608-pkcs11 --lib --test abi`). The module, the simulator and the tool that were built are named to the tests in
the environment (crates/atecc608-testkit/src/built.rs): one build for all of it.

The tests of a module (a file) of a test program are run by a process of their own; the unit tests of a crate by one. Each
process's output is printed whole when it has ended, in the order of their ends; at last, where the time went. Most tests wait
for a chip's times or take turns for the module of their process, so that a process uses a part of a core only.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The programs whose paths the tests get, if built: the variable, by kind and name of the target.
BUILT = {
    ("cdylib", "atecc608_pkcs11"): "ATECC608_TEST_MODULE",
    ("bin", "atecc608-sim"): "ATECC608_TEST_SIMULATOR",
    ("bin", "atecc608"): "ATECC608_TEST_TOOL",
}
EVERYTHING = ["--workspace", "--lib", "--bins", "--tests"]
SLOWEST = 12
MEMORY = "/dev/shm"
# Bytes: far more than all tests together need at once.
ROOM = 1 << 30


def build(cargo, arguments):
    """Builds; returns the test programs as [(kind of target, source file, executable)] in cargo's order."""
    selects = any(word.split("=")[0] in ("-p", "--package", "--lib", "--bins", "--test", "--tests") for word in arguments)
    command = [*cargo, "build", "--message-format=json-render-diagnostics", *arguments, *([] if selects else EVERYTHING)]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit(built.returncode)
    programs = []
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] != "compiler-artifact":
            continue
        target, [kind, *_] = message["target"], message["target"]["kind"]
        if message["profile"]["test"]:
            if message["executable"]:
                programs.append((kind, str(Path(target["src_path"]).relative_to(ROOT)), message["executable"]))
        elif (kind, target["name"]) in BUILT:
            os.environ[BUILT[kind, target["name"]]] = message["filenames"][0]
    return programs


def places(programs):
    """The paths of the built programs, after build(): lines NAME=PATH."""
    found = {name: os.environ[name] for name in BUILT.values() if name in os.environ}
    for kind, source, executable in programs:
        if kind == "test":
            folder = source.removeprefix("crates/").removesuffix("/main.rs")
            found[re.sub(r"\W", "_", folder).upper()] = executable
    return [f"{name}={path}" for name, path in found.items()]


def groups(programs, prefix, only, but):
    """The runs, one process each: [(name, command)]."""
    found, modules = [], set()
    for kind, source, executable in programs:
        command = [*prefix, executable]
        if kind != "test":
            found.append((source, command))
            continue
        listed = subprocess.run([*command, "--list", "--format=terse"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        tests = {}
        for line in listed.stdout.splitlines():
            name, _, what = line.rpartition(": ")
            if what == "test":
                tests.setdefault(name.split("::")[0], []).append(name)
        modules |= tests.keys()
        for module, names in tests.items():
            if module not in but and (not only or module in only):
                found.append((f"{source} {module}", [*command, "--exact", *names]))
    if unknown := {*only, *but} - modules:
        sys.exit(f"no test program has a module {', '.join(sorted(unknown))}")
    return found


def stop(process):
    """Ends a process with its helpers and children, which are its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def run(group, seconds, running):
    """Runs one process, in the list `running` meanwhile; returns (passed, seconds, what it printed)."""
    name, command = group
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
    )  # fmt: skip
    running.append(process)
    ended = ""
    try:
        output, _ = process.communicate(timeout=seconds)
        if process.returncode != 0:
            ended = f"{name}: exit status {process.returncode}\n"
    except subprocess.TimeoutExpired:
        stop(process)
        output, _ = process.communicate()
        ended = f"{name}: stopped, it ran for more than {seconds} s\n"
    running.remove(process)
    elapsed = time.monotonic() - began
    return ended == "", elapsed, f"     Running {name}, {elapsed:.1f} s\n{output}{ended}"


def folder_in_memory(stack):
    """Puts the tests' temporary files into memory if possible: they are synced all the time, and no test is about the
    disk itself. Programs that tests make must run there, setgid ones too."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return
    memory = os.statvfs(MEMORY)
    if memory.f_flag & (os.ST_NOEXEC | os.ST_NOSUID) or memory.f_bavail * memory.f_frsize < ROOM:
        return
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="atecc608-tests.", dir=MEMORY))
    # Some tests run as another user.
    os.chmod(folder, 0o711)
    os.environ["TMPDIR"] = folder


def words(text):
    return [word for word in text.split(",") if word]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS, allow_abbrev=False
    )
    parser.add_argument("--no-run", action="store_true")
    parser.add_argument("--cargo", default="cargo")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--run-with", default="")
    parser.add_argument("--only", type=words, default=[])
    parser.add_argument("--but", type=words, default=[])
    options, arguments = parser.parse_known_args()

    began = time.monotonic()
    programs = build(options.cargo.split(), arguments)
    if options.no_run:
        print(*places(programs), sep="\n")
        return
    started = time.monotonic()
    to_run = groups(programs, options.run_with.split(), options.only, options.but)
    failed, running, times = [], [], []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        folder_in_memory(stack)
        runs = {pool.submit(run, each, options.minutes * 60, running): each for each in to_run}
        try:
            for done in as_completed(runs):
                passed, elapsed, output = done.result()
                print(output, flush=True)
                times.append((elapsed, runs[done][0]))
                if not passed:
                    failed.append(runs[done][0])
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                stop(process)
            sys.exit(130)
    print("the longest:", *(f"{elapsed:6.1f} s  {name}" for elapsed, name in sorted(times, reverse=True)[:SLOWEST]), sep="\n  ")
    print(f"built in {started - began:.0f} s, run in {time.monotonic() - started:.0f} s")
    print(f"{len(programs)} test programs, {len(to_run)} processes, {len(failed)} failed", *failed)
    sys.exit(1 if failed or not to_run else 0)


main()
