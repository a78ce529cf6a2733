// SPDX-License-Identifier: MIT OR Apache-2.0
//! I2C adapters of this machine's kernel: a USB one that `atecc608-sim usbip` simulates, with a simulated chip on it,
//! and in front of it one that reports errors as other drivers do (`tests/kernel/twist`).
//!
//! A guest of scripts/test-kernel.sh has the kernel modules. There is one adapter of each, so a test takes its turn
//! ([`super::module::Module`]) before it makes one.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use atecc608_testkit::built;

/// Names the file of the kernel module `twist`.
const TWIST: &str = "ATECC608_TEST_TWIST";
const PARAMETERS: &str = "/sys/module/twist/parameters";
const ADAPTERS: &str = "/sys/bus/i2c/devices";

/// A USB adapter. Dropping it unplugs it.
pub struct Adapter {
    program: Child,
    pub node: PathBuf,
}

impl Adapter {
    /// Whether this kernel supports them.
    pub fn is_possible() -> bool {
        Path::new("/sys/devices/platform/vhci_hcd.0/attach").exists()
    }

    /// Plugs it in with the chip in this file, created if it does not exist. Its driver has to come up.
    pub fn plug(state: &Path) -> Self {
        Self::plug_at(state, 100_000)
    }

    /// The same with another clock of the chip's bus, in Hz.
    pub fn plug_at(state: &Path, clock: u32) -> Self {
        let mut program = Command::new(built::simulator())
            .args(["usbip", "--timing", "fast", "--state"])
            .arg(state)
            .args(["--i2c-hz", &clock.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let adapter = Self { program, node: line.trim_end().into() };
        assert!(adapter.node.starts_with("/dev") && adapter.node.exists(), "{line}");
        adapter
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
        let start = Instant::now();
        while self.node.exists() && start.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// An adapter in front of another one. It reports as that one does unless changed. Dropping it removes it.
pub struct Twist {
    pub node: PathBuf,
    /// The channel of the multiplexer on it.
    pub channel: PathBuf,
    // Dropped after the kernel module, which uses it, is removed.
    _below: Adapter,
}

impl Twist {
    pub fn is_possible() -> bool {
        std::env::var_os(TWIST).is_some()
    }

    /// Loads the kernel module.
    pub fn before(below: Adapter) -> Self {
        let number = below.node.to_str().unwrap().rsplit('-').next().unwrap();
        run("insmod", &[&std::env::var(TWIST).unwrap(), &format!("parent={number}")]);
        let node = node_named(|name| name == "twist");
        let channel = node_named(|name| name.contains("-mux (chan_id"));
        Self { node, channel, _below: below }
    }

    /// Sets a parameter of the kernel module.
    pub fn set(&self, parameter: &str, value: impl ToString) {
        fs::write(Path::new(PARAMETERS).join(parameter), value.to_string()).unwrap();
    }

    /// Returns a parameter of the kernel module.
    pub fn get(&self, parameter: &str) -> String {
        fs::read_to_string(Path::new(PARAMETERS).join(parameter)).unwrap().trim_end().to_owned()
    }
}

impl Drop for Twist {
    fn drop(&mut self) {
        run("rmmod", &["twist"]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

fn node_named(is_it: impl Fn(&str) -> bool) -> PathBuf {
    let mut adapters = fs::read_dir(ADAPTERS).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| fs::read_to_string(path.join("name")).is_ok_and(|name| is_it(name.trim_end()));
    let adapter = adapters.find(named).unwrap();
    Path::new("/dev").join(adapter.file_name().unwrap())
}
