// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared by the tests of the tool: a folder with a configuration and a simulated chip, and the tool as a command.

pub mod attested;
pub mod kernel;
pub mod x509;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use atecc608::Chip;
use atecc608_sim::{Profile, SimBus, SimChip};
use atecc608_testkit::built;
use atecc608_token::bus::{host_random, Bus};
use rustix::process::{kill_process, Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

pub const TOOL: &str = env!("CARGO_BIN_EXE_atecc608");

/// Where the zones are in an image file (crates/atecc608-sim/src/image.rs).
const CONFIG: usize = 16;
const OTP: usize = CONFIG + 128;
const SLOTS: usize = OTP + 64;

pub struct Bench {
    pub dir: TempDir,
}

impl Bench {
    /// A blank ATECC608B.
    pub fn new() -> Self {
        Self::with_chip(Profile::Blank608B)
    }

    pub fn with_chip(profile: Profile) -> Self {
        let bench =
            Self::with_config(|dir| format!("bus = \"sim:{}\"\nlabel = \"gateway\"\n", dir.join("chip").display()));
        SimChip::open_profile(&bench.chip_file(), 0x60, profile).unwrap();
        bench
    }

    /// No chip yet; one `[[token]]` with these lines.
    pub fn with_config(token: impl FnOnce(&Path) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(dir.path().join("state")).unwrap();
        let text = format!("state_dir = \"{}\"\n[[token]]\n{}", dir.path().join("state").display(), token(dir.path()));
        std::fs::write(dir.path().join("config.toml"), text).unwrap();
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn chip_file(&self) -> PathBuf {
        self.path("chip")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(TOOL);
        command
            .args(arguments)
            .env("ATECC608_PKCS11_CONF", self.path("config.toml"))
            .env_remove("ATECC608_LOG")
            .current_dir(self.dir.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The JSON of a command, whatever its exit status.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Provisions the chip with `tls`.
    pub fn provision(&self) {
        let output = self.run(&["provision", "tls", "--lock-forever"]);
        assert!(output.status.success(), "{output:?}");
    }

    pub fn image(&self) -> ImageFile {
        ImageFile(std::fs::read(self.chip_file()).unwrap())
    }

    /// Changes the configuration zone by hand.
    pub fn tamper(&self, change: impl FnOnce(&mut [u8])) {
        self.change(|image| change(image.part_mut(atecc608_sim::image::Part::Config)));
    }

    /// Changes the chip by hand, beyond what commands can do.
    pub fn change(&self, change: impl FnOnce(&mut atecc608_sim::Image)) {
        let (_, sim) = self.simulated();
        let mut image = sim.image(0).unwrap();
        change(&mut image);
        sim.set_image(0, image).unwrap();
    }

    /// The driver for the chip, and the bus that it is on.
    pub fn simulated(&self) -> (Chip<Bus>, SimBus) {
        let (bus, sim) = Bus::open_simulated(&self.chip_file(), 0x60).unwrap();
        (Chip::new(bus, host_random), sim)
    }

    pub fn chip(&self) -> Chip<Bus> {
        self.simulated().0
    }

    pub fn serial(&self) -> String {
        let image = self.image();
        let config = image.config();
        [&config[..4], &config[8..13]].concat().iter().map(|byte| format!("{byte:02X}")).collect()
    }

    pub fn key_file(&self) -> PathBuf {
        self.path("keys").join(self.serial())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile(Vec<u8>);

impl ImageFile {
    pub fn config(&self) -> &[u8] {
        &self.0[CONFIG..OTP]
    }

    pub fn otp(&self) -> &[u8] {
        &self.0[OTP..SLOTS]
    }

    pub fn slot(&self, slot: usize) -> &[u8] {
        let size = |slot: usize| match slot {
            0..=7 => 36,
            8 => 416,
            _ => 72,
        };
        let start = SLOTS + (0..slot).map(size).sum::<usize>();
        &self.0[start..start + size(slot)]
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn hex(text: &str) -> Vec<u8> {
    base16ct::mixed::decode_vec(text.replace(' ', "")).unwrap()
}

/// A slot by its number.
pub fn slot(number: u8) -> atecc608_wire::Slot {
    atecc608_wire::Slot::new(number).unwrap()
}

/// The same command, such that Ctrl-C ends it: what is started in the background (`scripts/test.sh &`) ignores SIGINT,
/// and so do its children.
pub fn interruptible(command: &Command) -> Command {
    let mut interruptible = Command::new("env");
    interruptible.arg("--default-signal=INT").arg(command.get_program());
    continued(interruptible, command)
}

/// The same command of the tool, run by another user, which only root can do. That user must be allowed to open its
/// files.
pub fn run_as(bench: &Bench, command: &Command, user: u32, group: u32) -> Output {
    let mut theirs = continued(Command::new(copy_for_others(bench)), command);
    output_of_copy(theirs.uid(user).gid(group))
}

/// A copy of the tool: cargo's folder may be closed to others.
pub fn copy_for_others(bench: &Bench) -> PathBuf {
    let copy = bench.path("atecc608");
    if !copy.exists() {
        std::fs::copy(TOOL, &copy).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    copy
}

/// Adds arguments, environment and folder of another command.
pub fn continued(mut command: Command, other: &Command) -> Command {
    command.args(other.get_args());
    for (name, value) in other.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(other.get_current_dir().expect("a folder of the test's own"));
    command
}

/// Presses Ctrl-C. The process may have ended already.
pub fn interrupt(child: &Child) {
    let _ = kill_process(Pid::from_child(child), Signal::INT);
}

/// A simulator's process.
pub struct Server(Child);

impl Server {
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A blank chip on its own bus.
pub fn served() -> (Bench, Server) {
    served_at(100_000)
}

/// A bench for [`serve`].
pub fn on_a_socket() -> Bench {
    Bench::with_config(|dir| format!("bus = \"unix:{}/socket\"\n", dir.display()))
}

/// The same with another bus clock.
pub fn served_at(i2c_hz: u32) -> (Bench, Server) {
    let bench = on_a_socket();
    let server = serve(&bench, &["--i2c-hz", &i2c_hz.to_string()]);
    (bench, server)
}

/// Serves the bench's chip at its socket, with more options of the simulator.
pub fn serve(bench: &Bench, options: &[&str]) -> Server {
    let socket = bench.path("socket");
    let mut serve = Command::new(built::simulator());
    serve
        .args(["serve", "--timing", "fast", "--socket"])
        .arg(&socket)
        .arg("--state")
        .arg(bench.chip_file())
        .args(options);
    let server = Server(serve.stdout(Stdio::null()).spawn().unwrap());
    while UnixStream::connect(&socket).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    server
}

/// Runs a program that this process has just copied. A process that another test is starting may have the copy open for
/// writing until its exec.
pub fn output_of_copy(command: &mut Command) -> Output {
    loop {
        match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}

/// Sends a command about the chip to the simulator of [`served`].
pub fn control(bench: &Bench, action: &[&str]) {
    let status =
        Command::new(built::simulator()).args(["control", "--socket"]).arg(bench.path("socket")).args(action).status();
    assert!(status.unwrap().success());
}
