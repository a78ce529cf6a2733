// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 provision --batch`: many chips, one manifest, and failures at every point.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::support::{interrupt, interruptible, stderr, stdout, TOOL};
use atecc608_sim::{Profile, SimChip};
use serde_json::Value;
use tempfile::TempDir;

/// A factory's bench: a folder with `station.toml`, one bus for each chip, and what the runs write.
pub struct Station {
    pub dir: TempDir,
}

impl Station {
    /// This many blank chips, each on its own bus.
    pub fn new(chips: usize) -> Self {
        let station = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(station.path("state")).unwrap();
        let buses: Vec<String> = (0..chips).map(|number| format!("sim:{}", station.chip(number).display())).collect();
        station.configure(&buses);
        for number in 0..chips {
            SimChip::open_profile(&station.chip(number), 0x60, Profile::Blank608B).unwrap();
        }
        station
    }

    fn configure(&self, buses: &[String]) {
        let mut text = format!("state_dir = \"{}\"\n", self.path("state").display());
        for bus in buses {
            text += &format!("[[token]]\nbus = \"{bus}\"\n");
        }
        std::fs::write(self.path("station.toml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn chip(&self, number: usize) -> PathBuf {
        self.path(&format!("chip{number}"))
    }

    fn image(&self, number: usize) -> Vec<u8> {
        std::fs::read(self.chip(number)).unwrap()
    }

    /// `atecc608 provision tls --batch station.toml --manifest manifest` and more.
    fn batch(&self, more: &[&str]) -> Command {
        let mut command = self.tool(&["provision", "tls", "--batch", "station.toml", "--manifest", "manifest"]);
        command.args(more);
        command
    }

    pub fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(TOOL);
        command.args(arguments).current_dir(self.dir.path()).env_remove("ATECC608_LOG");
        command
    }

    /// Runs the batch without `--dry-run`.
    fn run(&self, more: &[&str]) -> Output {
        self.batch(&[&["--lock-forever"], more].concat()).output().unwrap()
    }

    /// Runs it, and requires success.
    pub fn complete(&self, more: &[&str]) -> Value {
        let output = self.run(&[&["--json"], more].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The lines of the manifest.
    pub fn manifest(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("manifest")).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns one line for each of this many chips, with the keys that are in them.
    fn assert_complete(&self, chips: usize) {
        let manifest = self.manifest();
        let mut serials: Vec<&str> = manifest.iter().map(|line| line["serial_number"].as_str().unwrap()).collect();
        serials.sort_unstable();
        let mut there: Vec<String> = (0..chips).map(|number| serial(&self.image(number))).collect();
        there.sort_unstable();
        assert_eq!(serials, there);
        // The tool itself compares each line with its chip.
        let again = self.complete(&[]);
        for chip in again["chips"].as_array().unwrap() {
            assert_eq!(chip["result"], "in-manifest", "{again:#}");
        }
        assert_eq!(self.manifest(), manifest);
    }

    pub fn openssl(&self, arguments: &[&str]) -> Output {
        let output = Command::new("openssl").args(arguments).current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "openssl {arguments:?}: {}", stderr(&output));
        output
    }

    pub fn make_ca(&self) {
        self.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-out", "ca.key"]);
        let arguments =
            ["req", "-x509", "-key", "ca.key", "-subj", "/CN=Factory CA", "-days", "3650", "-out", "ca.pem"];
        self.openssl(&arguments);
    }
}

pub const CA: [&str; 4] = ["--ca", "ca.pem", "--ca-key", "ca.key"];

fn serial(image: &[u8]) -> String {
    let config = &image[16..16 + 128];
    [&config[..4], &config[8..13]].concat().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// A simulator that can be killed.
struct Simulator(Child);

impl Simulator {
    fn start(socket: &Path, state: &Path, faults: &str) -> Self {
        let _ = std::fs::remove_file(socket);
        let mut serve = Command::new(atecc608_testkit::built::simulator());
        serve.args(["serve", "--timing", "fast", "--faults", faults, "--socket"]).arg(socket).arg("--state").arg(state);
        let child = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !socket.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Self(child)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let station = Station::new(2);
    let before = [station.image(0), station.image(1)];
    let output = station.batch(&[]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stdout(&output).matches("would-provision").count(), 2);
    assert!(stdout(&output).contains("Nothing was changed"));
    assert_eq!([station.image(0), station.image(1)], before);
    for name in ["manifest", "manifest.begun", "keys"] {
        assert!(!station.path(name).exists(), "{name}");
    }
}

#[test]
fn every_chip_gets_its_keys_a_request_and_a_certificate_that_others_accept() {
    let station = Station::new(3);
    station.make_ca();
    let report = station.complete(&[&CA[..], &["--subject", "/O=Acme/CN=gw-{serial}"]].concat());
    assert_eq!((&report["in_manifest"], &report["failed"]), (&3.into(), &0.into()));
    for (number, line) in station.manifest().iter().enumerate() {
        assert_eq!(
            (&line["profile"], &line["adopted"], &line["simulated"]),
            (&"tls".into(), &false.into(), &true.into())
        );
        for (member, file) in [("csr", "device.csr"), ("certificate", "device.pem")] {
            std::fs::write(station.path(file), line[member].as_str().unwrap()).unwrap();
        }
        let request = station.openssl(&["req", "-in", "device.csr", "-noout", "-verify", "-pubkey", "-subject"]);
        let key = line["key"]["public_key_pem"].as_str().unwrap();
        assert!(stdout(&request).starts_with(key), "{number}: {}", stdout(&request));
        let name = format!("CN = gw-{}", line["serial_number"].as_str().unwrap());
        assert!(stdout(&request).contains(&name), "{number}: {}", stdout(&request));
        station.openssl(&["verify", "-CAfile", "ca.pem", "-purpose", "sslclient", "device.pem"]);
        let public = station.openssl(&["x509", "-in", "device.pem", "-noout", "-pubkey"]);
        assert_eq!(stdout(&public), key);
        assert_ne!(line["attestation"]["public_key"], line["key"]["public_key"]);
    }
    station.assert_complete(3);
}

#[test]
fn a_line_of_the_manifest_is_what_statements_are_verified_with() {
    let station = Station::new(1);
    station.complete(&[]);
    let challenge = "00112233445566778899aabbccddeeff00112233";
    let attest =
        ["attest", "--key", "device", "--challenge", challenge, "--output", "s.json", "--config", "station.toml"];
    let output = station.tool(&attest).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let verify = ["verify-attestation", "s.json", "--attestation-key", "manifest", "--challenge", challenge, "--json"];
    let output = station.tool(&verify).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["public_key_pem"], station.manifest()[0]["key"]["public_key_pem"]);
}

#[test]
fn a_folder_of_configurations_is_one_batch() {
    let station = Station::new(2);
    std::fs::create_dir(station.path("buses")).unwrap();
    for number in 0..2 {
        let text = format!(
            "state_dir = \"{}\"\n[[token]]\nbus = \"sim:{}\"\n",
            station.path("state").display(),
            station.chip(number).display()
        );
        std::fs::write(station.path(&format!("buses/{number}.toml")), text).unwrap();
    }
    std::fs::write(station.path("buses/notes.txt"), "not a configuration").unwrap();
    let arguments = ["provision", "tls", "--batch", "buses", "--manifest", "manifest", "--lock-forever"];
    let output = station.tool(&arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    station.assert_complete(2);
}

#[test]
fn killed_after_any_line_it_goes_on_where_it_was() {
    let mut with_key = 0;
    for lines in [1, 2, 4, 6, 9, 15, 20, 21, 22, 23, 24] {
        let station = Station::new(1);
        station.make_ca();
        let mut child = station.batch(&[&["--lock-forever"], &CA[..]].concat());
        let mut child = child.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let read = BufReader::new(child.stderr.take().unwrap()).lines().take(lines).count();
        assert_eq!(read, lines, "it says less than that");
        let _ = child.kill();
        child.wait().unwrap();
        let key = station.image(0)[208..208 + 36].to_vec();
        let has_key = key[4..] != [0xFF; 32] && key[4..] != [0; 32];
        station.complete(&CA);
        if has_key {
            with_key += 1;
            assert_eq!(station.image(0)[208..208 + 36], key, "after {lines} lines: the key pair was made twice");
        }
        station.assert_complete(1);
    }
    assert!(with_key > 0, "it was never killed after it had made the key pair");
}

#[test]
fn ctrl_c_in_the_middle_and_again() {
    for lines in [2, 12, 21, 30, 45, 60] {
        let station = Station::new(3);
        let mut batch = interruptible(&station.batch(&["--lock-forever"]));
        let mut child = batch.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        assert_eq!(said.by_ref().take(lines).count(), lines, "it says less than that");
        interrupt(&child);
        // The pipe stays open: the signal stops the tool, not a missing reader.
        let rest = said.count();
        let status = child.wait().unwrap();
        assert!(!status.success(), "{lines} lines and {rest} more: it was done before the signal");
        let before = std::fs::read(station.path("manifest")).unwrap();
        station.complete(&[]);
        // An incomplete line is written again.
        let finished = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        assert!(std::fs::read(station.path("manifest")).unwrap().starts_with(&before[..finished]));
        station.assert_complete(3);
    }
}

#[test]
fn killed_with_its_simulator_in_any_write_it_is_finished_by_the_next_run() {
    for (write, moment) in [(1, "before"), (3, "half"), (12, "renamed"), (30, "synced"), (45, "half"), (60, "renamed")]
    {
        let station = Station::new(1);
        let socket = station.path("bus");
        station.configure(&[format!("unix:{}", socket.display())]);
        let simulator = Simulator::start(&socket, &station.chip(0), &format!("kill@{write}:{moment}"));
        let output = station.run(&[]);
        let died = !output.status.success();
        drop(simulator);
        let _simulator = Simulator::start(&socket, &station.chip(0), "none");
        station.complete(&[]);
        station.assert_complete(1);
        assert!(died, "{write}:{moment} never came");
    }
}

#[test]
fn one_failing_chip_does_not_stop_the_others_and_the_exit_status_reports_it() {
    let station = Station::new(2);
    let silent = station.path("silent");
    // A bus that does not exist, one without a chip at that address, and a chip of another kind.
    SimChip::open_profile(&station.path("other"), 0x60, Profile::MongooseOs).unwrap();
    let buses = [
        format!("sim:{}", station.chip(0).display()),
        "/dev/i2c-no-such-bus".to_owned(),
        format!("unix:{}", silent.display()),
        format!("sim:{}", station.path("other").display()),
        format!("sim:{}", station.chip(1).display()),
    ];
    station.configure(&buses);
    let before = std::fs::read(station.path("other")).unwrap();
    let output = station.run(&["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let results: Vec<&str> =
        report["chips"].as_array().unwrap().iter().map(|chip| chip["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["done", "failed", "failed", "failed", "done"]);
    let problem = |number: usize| report["chips"][number]["problem"].as_str().unwrap().to_owned();
    assert!(problem(1).contains("/dev/i2c-no-such-bus does not exist"), "{}", problem(1));
    assert!(problem(3).contains("a locked configuration can't be changed: nothing was done"), "{}", problem(3));
    assert_eq!(std::fs::read(station.path("other")).unwrap(), before);
    assert_eq!(station.manifest().len(), 2);
}

#[test]
fn chips_on_one_bus_are_done_in_turn_and_a_silent_one_does_not_stop_the_other() {
    let station = Station::new(1);
    let socket = station.path("bus");
    let _simulator = Simulator::start(&socket, &station.chip(0), "none");
    let bus = format!("bus = \"unix:{}\"", socket.display());
    let state = station.path("state");
    let text = format!(
        "state_dir = \"{}\"\n[[token]]\n{bus}\naddress = 0x61\n[[token]]\n{bus}\naddress = 0x60\n",
        state.display()
    );
    std::fs::write(station.path("station.toml"), text).unwrap();
    let output = station.run(&["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["chips"][0]["result"], "failed");
    assert_eq!(report["chips"][1]["result"], "done");
}

#[test]
fn a_bus_that_is_busy_does_not_keep_the_others_waiting() {
    let station = Station::new(2);
    let text = std::fs::read_to_string(station.path("station.toml")).unwrap();
    std::fs::write(station.path("station.toml"), format!("lock_timeout = 3\n{text}")).unwrap();
    let lock = std::fs::File::create(station.path("chip0.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let output = station.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    let at = |part: &str| said.find(part).unwrap_or_else(|| panic!("{part:?} is not in {said}"));
    assert!(at("is done") < at("has been locked for"), "the second bus waited for the first: {said}");
    drop(lock);
    station.complete(&[]);
    station.assert_complete(2);
}

#[test]
fn a_chip_provisioned_elsewhere_is_included_only_on_request() {
    let station = Station::new(1);
    let single = ["provision", "tls", "--lock-forever", "--config", "station.toml"];
    assert!(station.tool(&single).output().unwrap().status.success());
    for dry in [true, false] {
        let output = if dry { station.batch(&[]).output().unwrap() } else { station.run(&[]) };
        assert_eq!(output.status.code(), Some(1));
        assert!(stdout(&output).contains("--adopt"), "{}", stdout(&output));
    }
    station.complete(&["--adopt"]);
    assert_eq!(station.manifest()[0]["adopted"], true);
    station.assert_complete(1);
}

#[test]
fn a_key_that_was_replaced_since_is_noticed() {
    let station = Station::new(1);
    station.complete(&[]);
    let destroy = ["key", "destroy", "--key", "device", "--yes", "--config", "station.toml"];
    let output = station.tool(&destroy).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let output = station.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("is not the one that the manifest has"), "{}", stdout(&output));
}

#[test]
fn a_full_disk_stops_the_batch_with_nothing_lost_and_the_next_run_goes_on() {
    let station = Station::new(2);
    // Lines of other chips, so that the manifest is the only file that reaches the limit.
    let other = Station::new(6);
    other.complete(&[]);
    std::fs::copy(other.path("manifest"), station.path("manifest")).unwrap();
    let before = std::fs::read(station.path("manifest")).unwrap();
    let blocks = before.len() / 512 + 2;
    assert!(blocks * 512 > 8 * 1024, "the limit is above all other files");
    let line = format!(
        "trap '' XFSZ; ulimit -f {blocks}; exec {TOOL} provision tls --batch station.toml --manifest manifest --lock-forever"
    );
    let output = Command::new("dash").args(["-c", &line]).current_dir(station.dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = stdout(&output);
    assert!(text.contains("is provisioned, but not in the manifest"), "{text}");
    assert!(text.contains("nothing is done twice"), "{text}");
    assert_eq!(std::fs::read(station.path("manifest")).unwrap(), before, "no half line is left");
    let keys: Vec<Vec<u8>> = (0..2).map(|number| station.image(number)[208..244].to_vec()).collect();

    let report = station.complete(&[]);
    assert_eq!(report["in_manifest"], 8);
    for (number, key) in keys.iter().enumerate() {
        if key[4..] != [0xFF; 32] && key[4..] != [0; 32] {
            assert_eq!(station.image(number)[208..244], key[..]);
        }
    }
}

#[test]
fn a_chip_that_cannot_be_recorded_in_the_manifest_is_not_touched() {
    let station = Station::new(1);
    let before = station.image(0);
    let line = "{\"serial_number\":\"012353494D00000000\"}\n";
    std::fs::write(station.path("manifest.begun"), line.repeat(600)).unwrap();
    let blocks = 600 * line.len() / 512;
    let command = format!(
        "trap '' XFSZ; ulimit -f {blocks}; exec {TOOL} provision tls --batch station.toml --manifest manifest --lock-forever"
    );
    let output = Command::new("dash").args(["-c", &command]).current_dir(station.dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stdout(&output).contains("manifest.begun: a line can't be written"), "{}", stdout(&output));
    assert_eq!(station.image(0), before);
    station.complete(&[]);
    station.assert_complete(1);
}

#[test]
fn a_torn_last_line_is_written_anew() {
    let station = Station::new(2);
    station.complete(&[]);
    let path = station.path("manifest");
    let whole = std::fs::read(&path).unwrap();
    let lines = station.manifest();
    std::fs::write(&path, &whole[..whole.len() - 30]).unwrap();
    let dry = station.batch(&[]).output().unwrap();
    assert!(stderr(&dry).contains("would be removed"), "{}", stderr(&dry));
    assert_eq!(std::fs::read(&path).unwrap().len(), whole.len() - 30);
    let output = station.run(&[]);
    assert!(output.status.success(), "{output:?}");
    assert!(stderr(&output).contains("its last line was incomplete"), "{}", stderr(&output));
    let mut again = station.manifest();
    for (old, new) in lines.iter().zip(&mut again) {
        // ECDSA signatures differ, and so may the time.
        new["csr"] = old["csr"].clone();
        new["time"] = old["time"].clone();
        // The report on a provisioned chip equals that of its provisioning.
        assert_eq!(old, new);
    }
}

#[test]
fn a_manifest_that_is_damaged_or_in_use_is_refused_before_a_chip_is_touched() {
    let station = Station::new(1);
    let before = station.image(0);
    let refused = |part: &str| {
        let output = station.run(&[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains(part), "{part:?} is not in {}", stderr(&output));
        assert_eq!(station.image(0), before);
    };
    std::fs::write(station.path("manifest"), "{\"format\": \"something\"}\n").unwrap();
    refused("line 1: ");
    std::fs::remove_file(station.path("manifest")).unwrap();
    std::fs::create_dir(station.path("manifest")).unwrap();
    refused("manifest: ");
    std::fs::remove_dir(station.path("manifest")).unwrap();
    let file = std::fs::File::create(station.path("manifest")).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    refused("another run is writing to it");
}

#[test]
fn what_is_wrong_for_every_chip_is_refused_before_one_is_touched() {
    let station = Station::new(1);
    station.make_ca();
    station.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-out", "other.key"]);
    let before = station.image(0);
    for (more, part) in [
        (&["--subject", "/CN=same"][..], "is the same for every chip"),
        (&["--subject", "CN{serial}"], "CN"),
        (&["--ca", "ca.pem", "--ca-key", "other.key"], "different pairs"),
        (&["--ca", "missing.pem", "--ca-key", "ca.key"], "missing.pem"),
        (&["--token", "0"], "leave it out"),
    ] {
        let output = station.run(more);
        assert_eq!(output.status.code(), Some(1), "{more:?}");
        assert!(stderr(&output).contains(part), "{part:?} is not in {}", stderr(&output));
        assert_eq!(station.image(0), before);
    }
    let pin = ["provision", "tls-pin", "--batch", "station.toml", "--manifest", "m", "--lock-forever"];
    let output = station.tool(&pin).output().unwrap();
    assert!(stderr(&output).contains("provision such chips individually"), "{output:?}");
    let alone = ["provision", "tls", "--batch", "station.toml"];
    assert_eq!(station.tool(&alone).output().unwrap().status.code(), Some(2), "--batch wants --manifest");

    let text = std::fs::read_to_string(station.path("station.toml")).unwrap();
    std::fs::write(station.path("station.toml"), format!("{text}io_key_file = \"/tmp/k\"\n")).unwrap();
    let output = station.run(&[]);
    assert!(stderr(&output).contains("the same IO protection key"), "{}", stderr(&output));
    assert_eq!(station.image(0), before);
}
