// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands that change something, under bad conditions: the tool is killed before each system call that changes a
//! file, including the simulated chip's EEPROM, or the disk is full or read-only from there on. The same command again
//! gives the result of an undisturbed one.
//!
//! A sample of the steps runs at each change; its seed is printed. scripts/soak/bad-days.sh runs all of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use atecc608_testkit::stop_at::{Disturbance, Sample, StopAt, KILLED};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::x509::{authority, ecparam_key, ok};
use crate::support::{continued, stderr, Bench};

/// A command that changes something.
struct Change {
    arguments: &'static [&'static str],
    /// The bench before it.
    begin: fn() -> Bench,
    /// A part of the message of the same command if it had taken effect before and then fails.
    again: Option<&'static str>,
}

/// A recovery code of an interrupted run is void: the next run has another file.
const CODE_FILE: &str = "code-RUN";

const ALL: [Change; 15] = [
    Change { arguments: &["key", "generate", "--label", "a"], begin: with_key, again: Some("a") },
    Change { arguments: &["key", "destroy", "--key", "kept", "--yes"], begin: with_key, again: Some("kept") },
    Change { arguments: &["key", "import", "ca.key", "--label", "a"], begin: with_authority, again: Some("slot 4") },
    Change {
        arguments: &["cert", "self-sign", "--key", "kept", "--subject", "/CN=x", "--store"],
        begin: with_key,
        again: Some("--replace"),
    },
    Change { arguments: &["cert", "import", "ca.pem"], begin: with_authority, again: None },
    Change {
        arguments: &["cert", "remove", "--label", "Acme-CA"],
        begin: with_certificate,
        again: Some("no such certificate"),
    },
    Change { arguments: &["provision", "tls", "--lock-forever"], begin: Bench::new, again: None },
    Change {
        arguments: &["provision", "tls-pin", "--lock-forever", "--pin-file", "pin", "--recovery-code-file", CODE_FILE],
        begin: with_pin_file,
        // The other file gets no code.
        again: Some("is provisioned already"),
    },
    Change {
        arguments: &["provision", "tls", "--lock-forever", "--batch", "config.toml", "--manifest", "manifest"],
        begin: Bench::new,
        again: None,
    },
    Change {
        arguments: &[
            "aws",
            "setup",
            "--thing",
            "gateway-1",
            "--endpoint",
            "a1b2-ats.iot.eu-central-1.amazonaws.com",
            "--dir",
            "gateway-1",
            "--ca-cert",
            "ca.pem",
            "--ca-key",
            "ca.key",
            "--root-ca",
            "ca.pem",
            "--module",
            "module.so",
        ],
        begin: with_authority,
        again: None,
    },
    Change {
        arguments: &["azure", "setup", "--device", "gateway-1", "--hub", "acme", "--dir", "gateway-1", "--offline"],
        begin: with_key,
        again: None,
    },
    Change { arguments: &["key", "empty", "--slot", "5"], begin: without_state, again: None },
    Change { arguments: &["data", "write", "data", "--slot", "10"], begin: with_authority, again: None },
    Change { arguments: &["trust"], begin: with_key, again: None },
    Change { arguments: &["address", "set", "0x61"], begin: Bench::new, again: None },
];

fn with_key() -> Bench {
    let bench = Bench::new();
    bench.provision();
    ok(&bench.run(&["key", "generate", "--label", "kept"]));
    bench
}

fn with_authority() -> Bench {
    let bench = with_key();
    ecparam_key(bench.dir.path(), "ca.key");
    authority(bench.dir.path(), "ca.key", "ca.pem");
    fs::write(bench.path("module.so"), "a module").unwrap();
    fs::write(bench.path("data"), "sixteen bytes of").unwrap();
    bench
}

fn with_certificate() -> Bench {
    let bench = with_authority();
    ok(&bench.run(&["cert", "import", "ca.pem"]));
    bench
}

fn with_pin_file() -> Bench {
    let bench = Bench::new();
    fs::write(bench.path("pin"), "correct horse\n").unwrap();
    bench
}

fn without_state() -> Bench {
    let bench = with_key();
    fs::remove_dir_all(bench.path("state")).unwrap();
    fs::create_dir(bench.path("state")).unwrap();
    bench
}

/// A bench before a change, which can be restored.
struct Scene {
    change: &'static Change,
    bench: Bench,
    elsewhere: TempDir,
    stop_at: StopAt,
    after: World,
}

/// What must not depend on the number of interruptions.
#[derive(Debug, PartialEq, Eq, Default)]
struct World {
    /// The names of all files except locks, recovery codes and temporary files: the next writer of a file removes
    /// those.
    files: BTreeSet<String>,
    /// Rules, locks and address of the chip.
    config: Vec<u8>,
    /// Slots and labels of the keys.
    keys: BTreeSet<(u64, String)>,
    certificates: BTreeSet<String>,
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap().success());
}

fn files_in(folder: &Path, names: &mut BTreeSet<String>, root: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files_in(&path, names, root);
        } else if ![".lock", ".queue", ".new"].iter().any(|end| name.ends_with(end)) && !name.starts_with("code-") {
            names.insert(name);
        }
    }
}

impl Scene {
    fn new(change: &'static Change, stop_at: &StopAt) -> Self {
        let (bench, elsewhere) = ((change.begin)(), tempfile::tempdir().unwrap());
        fs::create_dir(elsewhere.path().join("before")).unwrap();
        copy(bench.dir.path(), &elsewhere.path().join("before"));
        let stop_at = StopAt { folders: vec![bench.dir.path().to_owned()], ..stop_at.clone() };
        let mut scene = Self { change, bench, elsewhere, stop_at, after: World::default() };
        let output = scene.run(1);
        assert!(output.status.success(), "{:?}: {output:?}", change.arguments);
        scene.after = scene.world();
        scene
    }

    fn put_back(&self) {
        for entry in fs::read_dir(self.bench.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
        copy(&self.elsewhere.path().join("before"), self.bench.dir.path());
    }

    fn command(&self, run: u32) -> Command {
        let arguments: Vec<String> =
            self.change.arguments.iter().map(|word| word.replace("RUN", &run.to_string())).collect();
        let mut command = self.bench.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        // Without AWS's and other third-party tools.
        command.env("PATH", "/nowhere");
        command
    }

    fn run(&self, run: u32) -> Output {
        self.command(run).output().unwrap()
    }

    fn run_disturbed(&self, disturbance: Disturbance, step: usize) -> Output {
        let tool = self.command(1);
        let mut stop_at = self.stop_at.command(disturbance, step);
        stop_at.arg(tool.get_program());
        continued(stop_at, &tool).output().unwrap()
    }

    fn world(&self) -> World {
        let mut world = World { config: self.bench.image().config().to_vec(), ..World::default() };
        files_in(self.bench.dir.path(), &mut world.files, self.bench.dir.path());
        if self.bench.image().config()[86..88] == [0, 0] {
            let list = |what: &[&str], name: &str| match self.bench.json(what) {
                Value::Object(mut object) => object.remove(name).and_then(|list| list.as_array().cloned()),
                _ => None,
            };
            for key in list(&["key", "list"], "slots").into_iter().flatten() {
                if let Some(label) = key["label"].as_str().filter(|_| key["holds"] == "key") {
                    world.keys.insert((key["slot"].as_u64().unwrap(), label.to_owned()));
                }
            }
            for certificate in list(&["cert", "list"], "certificates").into_iter().flatten() {
                world.certificates.insert(certificate["label"].as_str().unwrap_or_default().to_owned());
            }
        }
        world
    }

    fn disturb(&self, disturbance: Disturbance, step: usize) {
        self.put_back();
        let output = self.run_disturbed(disturbance, step);
        let steps = self.stop_at.steps();
        let what = steps.last().map_or("nothing", String::as_str);
        let case = format!("{:?}, {disturbance:?} at step {step} ({what})", self.change.arguments);
        let done = output.status.success();
        match disturbance {
            Disturbance::Kill => assert!(done || output.status.code() == Some(KILLED), "{case}: {output:?}"),
            Disturbance::Full => assert_told(&case, &output, "No space left"),
            Disturbance::ReadOnly => assert_told(&case, &output, "Read-only file system"),
        }

        let again = self.run(2);
        let said = stderr(&again);
        let is_expected = again.status.success() || self.change.again.is_some_and(|part| said.contains(part));
        assert!(is_expected, "{case}: again: {again:?}");
        let mut world = self.world();
        if self.change.arguments.contains(&"destroy") {
            // The random key in a destroyed key's place may be shown, under the slot's name (docs/state.md).
            world.keys.remove(&(0, "device".to_owned()));
        }
        assert_eq!(world, self.after, "{case}: again: {again:?}, first: {output:?}");
    }
}

/// The command did its work, or says why not.
fn assert_told(case: &str, output: &Output, why: &str) {
    let code = output.status.code();
    assert!(code == Some(0) || code == Some(1) && stderr(output).contains(why), "{case}: {output:?}");
}

/// Tries this many steps of each change.
fn at_some_steps(some: usize, spared: &'static str, disturbances: &[Disturbance]) {
    let (mut sample, folder) = (Sample::new(), tempfile::tempdir().unwrap());
    let stop_at = StopAt { spared, ..StopAt::compile(folder.path()) };
    for change in &ALL {
        let scene = Scene::new(change, &stop_at);
        for disturbance in disturbances {
            scene.put_back();
            scene.run_disturbed(*disturbance, 0);
            let last = scene.stop_at.steps().len();
            let tried = sample.of(last, some);
            println!("{:?}: {disturbance:?} at {tried:?} of {last} steps", change.arguments);
            tried.iter().for_each(|step| scene.disturb(*disturbance, *step));
        }
    }
}

#[test]
fn a_tool_killed_at_any_write_is_finished_by_the_same_command() {
    at_some_steps(2, "-", &[Disturbance::Kill]);
}

#[test]
fn a_tool_whose_disk_is_full_or_read_only_says_so_and_the_same_command_finishes_later() {
    // The chip's EEPROM is on no disk.
    at_some_steps(1, "chip", &[Disturbance::Full, Disturbance::ReadOnly]);
}
