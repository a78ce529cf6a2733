// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 provision`, stopped by its user or by others: after any step, the same command again finishes, or says why
//! not.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{interrupt, interruptible, served, stderr, stdout, Bench};
use atecc608_token::bus::Bus;
use atecc608_token::config::BusLocation;

/// The arguments. The recovery code of an interrupted run is void: the next one has another file.
fn command(profile: &str, run: u32) -> Vec<String> {
    let mut words: Vec<String> = ["provision", profile, "--lock-forever"].map(str::to_owned).into();
    if profile == "tls-pin" {
        words.extend(["--recovery-code-file".to_owned(), format!("code-{run}")]);
    }
    words
}

fn run(bench: &Bench, profile: &str, number: u32) -> std::process::Output {
    let words = command(profile, number);
    bench.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Presses Ctrl-C when the tool has printed that many lines of progress. Returns whether it was still running.
fn interrupt_after(bench: &Bench, profile: &str, lines: usize) -> bool {
    let words = command(profile, 1);
    let mut tool = interruptible(&bench.command(&words.iter().map(String::as_str).collect::<Vec<_>>()));
    let mut child = tool.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let read = said.by_ref().take(lines).count();
    interrupt(&child);
    // The pipe stays open: the signal stops the tool, not a missing reader.
    said.for_each(drop);
    let status = child.wait().unwrap();
    read == lines && !status.success()
}

fn assert_locked(bench: &Bench) {
    assert_eq!(bench.image().config()[86..88], [0, 0]);
}

/// Stops it there, and runs it again. Returns whether it was still running.
fn stop_and_go_on(profile: &str, lines: usize) -> bool {
    let bench = Bench::new();
    let interrupted = interrupt_after(&bench, profile, lines);
    let was_finished = bench.image().config()[86..88] == [0, 0];
    let again = run(&bench, profile, 2);
    if was_finished && profile == "tls-pin" {
        // There is no other recovery code for the other file.
        assert!(stderr(&again).contains("is provisioned already"), "{profile}, after {lines} lines: {again:?}");
    } else {
        assert!(again.status.success(), "{profile}, after {lines} lines: {again:?}");
    }
    assert_locked(&bench);
    let third = bench.run(&["provision", profile, "--lock-forever"]);
    assert!(stdout(&third).contains("already provisioned"), "{profile}, after {lines} lines: {third:?}");
    interrupted
}

#[test]
fn ctrl_c_at_every_step_and_again() {
    // They mostly wait for the disk: several at once.
    const AT_ONCE: usize = 6;
    for profile in ["tls", "tls-pin"] {
        let mut steps = 0;
        loop {
            let interrupted: Vec<bool> = std::thread::scope(|scope| {
                let start = |more| scope.spawn(move || stop_and_go_on(profile, steps + more));
                let runs: Vec<_> = (1..=AT_ONCE).map(start).collect();
                runs.into_iter().map(|run| run.join().unwrap()).collect()
            });
            steps += interrupted.iter().take_while(|interrupted| **interrupted).count();
            if interrupted.contains(&false) {
                break;
            }
        }
        assert!(steps >= 15, "{profile} was interrupted {steps} times only");
    }
}

#[test]
fn a_bus_that_is_busy_for_ten_seconds() {
    let (bench, _server) = served();
    let location = BusLocation::Unix(bench.path("socket"));
    let state = bench.path("state");
    let before = bench.image();
    let began = Instant::now();
    let (taken, is_taken) = std::sync::mpsc::channel();
    let holder = std::thread::spawn(move || {
        let mut bus = Bus::open(&location, 0x60, &state).unwrap();
        let guard = bus.lock(atecc608_token::deadline::Deadline::after(Duration::from_secs(1))).unwrap();
        taken.send(()).unwrap();
        std::thread::sleep(Duration::from_secs(10));
        drop(guard);
    });
    is_taken.recv().unwrap();
    let output = run(&bench, "tls", 1);
    assert_eq!(output.status.code(), Some(1));
    // lock_timeout is 8 s unless the configuration says otherwise.
    assert!((Duration::from_secs(8)..Duration::from_secs(10)).contains(&began.elapsed()), "{:?}", began.elapsed());
    let holder_is_named = format!("ms by process {}", std::process::id());
    assert!(stderr(&output).contains(&holder_is_named), "{}", stderr(&output));
    assert_eq!(bench.image(), before, "nothing was done");
    // A process that waits long enough gets its turn.
    let output = run(&bench, "tls", 2);
    assert!(output.status.success() && began.elapsed() > Duration::from_secs(10), "{output:?}");
    holder.join().unwrap();
    assert_locked(&bench);
}

#[test]
fn a_chip_that_has_another_profile_or_a_half_of_it_is_left_alone_and_is_told_apart() {
    let bench = Bench::new();
    assert!(run(&bench, "tls", 1).status.success());
    let image = bench.image();
    let output = run(&bench, "tls-pin", 2);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("is provisioned with the profile tls, and a locked configuration can't"),
        "{output:?}"
    );
    assert_eq!(bench.image(), image);

    // Another tool has locked a configuration of its own, and nothing else.
    let bench = Bench::new();
    let arguments = ["lock", "config", "--lock-forever", "--accept-dangers"];
    assert!(bench.run(&arguments).status.success());
    let image = bench.image();
    let output = run(&bench, "tls", 1);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(
        text.contains("is half provisioned with another configuration than tls") && text.contains("slot 0"),
        "{text}"
    );
    assert_eq!(bench.image(), image);
    // It can still be used, with `lock data`.
    assert!(bench.run(&["lock", "data"]).status.success());

    // Another tool has locked the configuration of `tls` itself: provisioning finishes it.
    let bench = Bench::new();
    assert!(bench.run(&["config", "set", "profile:tls"]).status.success());
    assert!(bench.run(&arguments).status.success());
    assert!(run(&bench, "tls", 1).status.success());
    assert_locked(&bench);
}
