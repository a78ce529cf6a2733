// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel's I2C for the unmodified tool: tests/c/i2c_dev.c, preloaded, over a simulated bus.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use super::{on_a_socket, serve, served, served_at, Bench, Server};

pub struct Kernel {
    pub bench: Bench,
    server: Server,
    library: PathBuf,
    /// The numbers of the buses that are the wires of this one.
    channels: Vec<u32>,
    driven: Vec<String>,
    foreign: Vec<String>,
}

impl Kernel {
    /// A blank chip at 0x60 on /dev/i2c-1, and a configuration that names it.
    pub fn new() -> Self {
        Self::with_bus(served())
    }

    fn with_bus((bench, server): (Bench, Server)) -> Self {
        let library = bench.path("i2c_dev.so");
        let compiled = Command::new("cc")
            .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/c/i2c_dev.c"))
            .arg("-ldl")
            .status()
            .expect("a C compiler");
        assert!(compiled.success());
        std::fs::create_dir_all(bench.path("root/dev")).unwrap();
        let kernel = Self { bench, server, library, channels: Vec::new(), driven: Vec::new(), foreign: Vec::new() };
        kernel.configure("bus = \"/dev/i2c-1\"\n");
        kernel.adapter(1, "bcm2835 (i2c@7e804000)");
        kernel
    }

    /// With a serial number that simulated chips do not have: the tool takes it for a real chip.
    pub fn with_a_real_serial_number() -> Self {
        let bench = on_a_socket();
        bench.tamper(|config| config[2] ^= 0x01);
        let server = serve(&bench, &[]);
        Self::with_bus((bench, server))
    }

    /// With another bus clock, which the device tree reports.
    pub fn at(i2c_hz: u32) -> Self {
        let kernel = Self::with_bus(served_at(i2c_hz));
        kernel.sysfs("i2c-1/of_node/clock-frequency", i2c_hz.to_be_bytes());
        kernel
    }

    /// The process that simulates the bus.
    pub fn server(&self) -> u32 {
        self.server.id()
    }

    pub fn configure(&self, token: &str) {
        let state = self.bench.path("state");
        let text = format!("state_dir = \"{}\"\n[[token]]\n{token}", state.display());
        std::fs::write(self.bench.path("config.toml"), text).unwrap();
    }

    /// The same with the IO protection key in the test's folder: that of a real bus is below /etc.
    pub fn configure_with_io_key(&self) {
        self.configure(&format!("bus = \"/dev/i2c-1\"\nio_key_file = \"{}\"\n", self.bench.path("io.key").display()));
    }

    /// An adapter as the kernel lists it.
    pub fn adapter(&self, number: u32, name: &str) {
        std::fs::write(self.bench.path(&format!("root/dev/i2c-{number}")), "").unwrap();
        self.sysfs(&format!("i2c-{number}/name"), format!("{name}\n"));
    }

    /// A channel of a multiplexer on /dev/i2c-1, which is switched to it: the chip is on both.
    pub fn channel(&mut self, number: u32) {
        let devices = self.bench.path("root/sys/bus/i2c/devices");
        let place = format!("soc/i2c-1/i2c-{number}");
        let device = self.bench.path("root/sys/devices").join(&place);
        std::fs::create_dir_all(&device).unwrap();
        symlink(format!("../../../devices/{place}"), devices.join(format!("i2c-{number}"))).unwrap();
        self.adapter(number, &format!("i2c-1-mux (chan_id {})", self.channels.len()));
        self.channels.push(number);
    }

    /// A file in /sys/bus/i2c/devices.
    pub fn sysfs(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.bench.path("root/sys/bus/i2c/devices").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }

    /// Binds a kernel driver to an address of /dev/i2c-1.
    pub fn bind(&mut self, address: u8, driver: &str) {
        let device = self.bench.path(&format!("root/sys/bus/i2c/devices/1-{address:04x}"));
        std::fs::create_dir_all(&device).unwrap();
        symlink(format!("../../../../bus/i2c/drivers/{driver}"), device.join("driver")).unwrap();
        self.driven.push(format!("1-{address:02x}"));
    }

    /// Puts another device on /dev/i2c-1.
    pub fn foreign(&mut self, address: u8) {
        self.foreign.push(format!("1-{address:02x}"));
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(arguments);
        let socket = self.bench.path("socket");
        let sockets = [1].iter().chain(&self.channels).map(|number| format!("{number}={}", socket.display()));
        command
            .env("LD_PRELOAD", &self.library)
            .env("I2C_DEV_SOCKETS", sockets.collect::<Vec<_>>().join(":"))
            .env("I2C_DEV_ROOT", self.bench.path("root"))
            .env("I2C_DEV_DRIVEN", self.driven.join(":"))
            .env("I2C_DEV_FOREIGN", self.foreign.join(":"))
            .env("I2C_DEV_LOG", self.bench.path("messages"));
        command
    }

    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.command(&[arguments, &["--json"]].concat()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// The messages on the bus to this address since the beginning: "read 4", "write 00".
    pub fn messages(&self, address: u8) -> Vec<String> {
        let log = std::fs::read_to_string(self.bench.path("messages")).unwrap_or_default();
        let to = format!("1-{address:02x} ");
        log.lines().filter_map(|line| Some(line.strip_prefix(&to)?.to_owned())).collect()
    }
}
