// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's data about I2C adapters and the devices on them: nodes in `/dev`, the rest in sysfs.

use std::fmt;
use std::path::{Path, PathBuf};

use atecc608_token::config::node_name;

/// The folders with the kernel's data.
#[derive(Clone, Debug)]
pub struct Kernel {
    dev: PathBuf,
    sys: PathBuf,
}

/// An I2C adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Its node, `/dev/i2c-N`.
    pub node: PathBuf,
    /// The driver's name of it; empty if unknown.
    pub name: String,
}

/// An adapter's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// In Hz; for two GPIO lines the highest possible.
    pub hz: u32,
    /// The setting that determines it.
    pub set_by: SetBy,
}

/// The setting that determines an adapter's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// `clock-frequency` in the device tree, or the driver's default without it.
    DeviceTree,
    /// `i2c-gpio,delay-us` in the device tree.
    GpioDelay,
    /// The driver, which supports one clock only.
    Driver,
}

/// A kernel driver that has claimed a device's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// The device in sysfs: bus and address, `1-0060`.
    pub device: String,
    /// The driver's name.
    pub name: String,
}

/// The clock of the driver hid-mcp2221 (Linux 6.12).
const MCP2221_HZ: u32 = 400_000;

/// Parts of the names of adapters for the board's own devices: memory modules, power supplies, monitors.
const OF_THE_BOARD: [&str; 9] = ["SMBus", "i915", "gmbus", "AMDGPU", "Radeon", "NVIDIA", "nvkm", "DDC", "AUX"];

impl Default for Kernel {
    fn default() -> Self {
        Self { dev: "/dev".into(), sys: "/sys".into() }
    }
}

impl Kernel {
    /// Returns the adapters with nodes, by number.
    pub fn adapters(&self) -> Vec<Adapter> {
        let entries = std::fs::read_dir(&self.dev).into_iter().flatten().flatten();
        let mut numbers: Vec<u32> =
            entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("i2c-")?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|number| self.adapter(&self.dev.join(format!("i2c-{number}")))).collect()
    }

    /// Returns the adapter of a node.
    pub fn adapter(&self, node: &Path) -> Adapter {
        let name = std::fs::read_to_string(self.devices().join(node_name(node)).join("name")).unwrap_or_default();
        Adapter { node: node.to_owned(), name: name.trim().to_owned() }
    }

    /// Returns the adapter's clock, if known: from the device tree (a channel of a multiplexer has its parent's), or
    /// from a driver with a fixed one. With ACPI the kernel does not publish the clock.
    pub fn clock(&self, node: &Path) -> Option<Clock> {
        let mut device = self.devices().join(node_name(node));
        if self.adapter(node).name.starts_with("MCP2221") {
            return Some(Clock { hz: MCP2221_HZ, set_by: SetBy::Driver });
        }
        loop {
            if let Some(clock) = clock_of(&device.join("of_node")) {
                return Some(clock);
            }
            // Only adapters have this file.
            if !device.join("new_device").exists() {
                return None;
            }
            device.push("..");
        }
    }

    /// Returns the driver that has claimed this address, if any.
    pub fn driver(&self, node: &Path, address: u8) -> Option<Driver> {
        let number = node_name(node).strip_prefix("i2c-")?.to_owned();
        let device = format!("{number}-{address:04x}");
        let link = std::fs::read_link(self.devices().join(&device).join("driver")).ok()?;
        Some(Driver { device, name: link.file_name()?.to_string_lossy().into_owned() })
    }

    fn devices(&self) -> PathBuf {
        self.sys.join("bus/i2c/devices")
    }
}

/// Returns the clock of an adapter in a node of the device tree. The defaults are those of the drivers (Linux 6.12).
fn clock_of(of_node: &Path) -> Option<Clock> {
    let number = |name: &str| {
        let property = std::fs::read(of_node.join(name)).ok()?;
        Some(u32::from_be_bytes(property.try_into().ok()?)).filter(|number| *number > 0)
    };
    let compatible = std::fs::read(of_node.join("compatible")).unwrap_or_default();
    let is = |name: &str| compatible.split(|byte| *byte == 0).any(|entry| entry == name.as_bytes());
    if is("i2c-gpio") {
        // i2c-algo-bit waits twice this for each bit, and the GPIO lines add their own time.
        let default = if of_node.join("i2c-gpio,scl-output-only").exists() { 50 } else { 5 };
        let delay_us = number("i2c-gpio,delay-us").unwrap_or(default);
        return Some(Clock { hz: 500_000 / delay_us, set_by: SetBy::GpioDelay });
    }
    let default = is("snps,designware-i2c").then_some(400_000);
    number("clock-frequency").or(default).map(|hz| Clock { hz, set_by: SetBy::DeviceTree })
}

impl Clock {
    /// Returns how to set 100 kHz.
    pub fn remedy(&self) -> &'static str {
        match self.set_by {
            SetBy::DeviceTree => {
                "dtparam=i2c_arm_baudrate=100000 in /boot/firmware/config.txt (or clock-frequency in the device tree), reboot"
            }
            SetBy::GpioDelay => {
                "dtoverlay=i2c-gpio,i2c_gpio_delay_us=5 in /boot/firmware/config.txt (or i2c-gpio,delay-us in the device \
                 tree), reboot"
            }
            SetBy::Driver => {
                "wire the chip to another adapter: the driver hid-mcp2221 has no setting for its clock (docs/adapters.md)"
            }
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.set_by {
            SetBy::GpioDelay => write!(f, "at most {} Hz", self.hz),
            SetBy::DeviceTree | SetBy::Driver => write!(f, "{} Hz", self.hz),
        }
    }
}

impl Adapter {
    /// Whether it carries the board's own devices, and no chip wired by a user.
    pub fn is_of_the_board(&self) -> bool {
        OF_THE_BOARD.iter().any(|part| self.name.contains(part))
    }
}

impl Driver {
    /// Returns the command that releases the chip from the driver.
    pub fn unbind(&self) -> String {
        format!(
            "echo {} | sudo tee /sys/bus/i2c/drivers/{}/unbind     (and for good: take the chip out of the device tree, or \
             echo 'blacklist {}' | sudo tee /etc/modprobe.d/atecc608-pkcs11.conf)",
            self.device,
            self.name,
            self.name.replace('-', "_")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel made of a test's two folders.
    pub fn fake(folder: &Path) -> Kernel {
        Kernel { dev: folder.join("dev"), sys: folder.join("sys") }
    }

    fn write(path: PathBuf, bytes: impl AsRef<[u8]>) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn adapters_come_in_the_order_of_their_numbers_with_their_names() {
        let dir = tempfile::tempdir().unwrap();
        for node in ["i2c-10", "i2c-2", "i2c-x", "null"] {
            write(dir.path().join("dev").join(node), "");
        }
        write(dir.path().join("sys/bus/i2c/devices/i2c-2/name"), "bcm2835 (i2c@7e804000)\n");
        write(dir.path().join("sys/bus/i2c/devices/i2c-10/name"), "SMBus I801 adapter at efa0\n");
        let adapters = fake(dir.path()).adapters();
        let names: Vec<(&str, bool)> = adapters.iter().map(|a| (a.name.as_str(), a.is_of_the_board())).collect();
        assert_eq!(names, [("bcm2835 (i2c@7e804000)", false), ("SMBus I801 adapter at efa0", true)]);
        assert_eq!(adapters[0].node, dir.path().join("dev/i2c-2"));
        assert!(fake(&dir.path().join("nowhere")).adapters().is_empty());
    }

    #[test]
    fn the_clock_is_that_of_the_device_tree() {
        let dir = tempfile::tempdir().unwrap();
        let of_node = dir.path().join("sys/bus/i2c/devices/i2c-1/of_node");
        let clock = || fake(dir.path()).clock(Path::new("/dev/i2c-1"));
        write(of_node.join("compatible"), "brcm,bcm2711-i2c\0brcm,bcm2835-i2c\0");
        assert_eq!(clock(), None, "most drivers have a default, but not the same");
        write(of_node.join("clock-frequency"), 100_000_u32.to_be_bytes());
        assert_eq!(clock(), Some(Clock { hz: 100_000, set_by: SetBy::DeviceTree }));
        assert_eq!(clock().unwrap().to_string(), "100000 Hz");
        std::fs::remove_file(of_node.join("clock-frequency")).unwrap();
        write(of_node.join("compatible"), "raspberrypi,x\0snps,designware-i2c\0");
        assert_eq!(clock().unwrap().to_string(), "400000 Hz", "that driver's default");
    }

    #[test]
    fn the_clock_of_gpio_lines_is_at_most_what_their_delay_allows() {
        let dir = tempfile::tempdir().unwrap();
        let of_node = dir.path().join("sys/bus/i2c/devices/i2c-3/of_node");
        let clock = || fake(dir.path()).clock(Path::new("/dev/i2c-3")).unwrap();
        write(of_node.join("compatible"), "i2c-gpio\0");
        assert_eq!(clock().to_string(), "at most 100000 Hz", "the driver's default: 5 us");
        // The overlay of the Raspberry Pi: a bit takes 2 + 2 us, and the lines' own time.
        for (delay_us, hz) in [(2_u32, 250_000), (4, 125_000), (5, 100_000)] {
            write(of_node.join("i2c-gpio,delay-us"), delay_us.to_be_bytes());
            assert_eq!(clock(), Clock { hz, set_by: SetBy::GpioDelay });
        }
        assert!(clock().remedy().starts_with("dtoverlay=i2c-gpio,i2c_gpio_delay_us=5 "));
        std::fs::remove_file(of_node.join("i2c-gpio,delay-us")).unwrap();
        write(of_node.join("i2c-gpio,scl-output-only"), "");
        assert_eq!(clock().hz, 10_000);
    }

    #[test]
    fn a_channel_of_a_multiplexer_has_the_clock_of_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("sys/devices/soc/fe804000.i2c");
        write(device.join("of_node/clock-frequency"), 400_000_u32.to_be_bytes());
        // Devices above the adapter have their own clocks.
        write(dir.path().join("sys/devices/soc/of_node/clock-frequency"), 50_000_000_u32.to_be_bytes());
        for adapter in ["i2c-1", "i2c-1/i2c-7"] {
            write(device.join(adapter).join("new_device"), "");
        }
        write(device.join("i2c-1/i2c-7/of_node/reg"), [0; 4]);
        let devices = dir.path().join("sys/bus/i2c/devices");
        std::fs::create_dir_all(&devices).unwrap();
        for (link, adapter) in [("i2c-1", "i2c-1"), ("i2c-7", "i2c-1/i2c-7")] {
            std::os::unix::fs::symlink(device.join(adapter), devices.join(link)).unwrap();
            let clock = fake(dir.path()).clock(&Path::new("/dev").join(link));
            assert_eq!(clock, Some(Clock { hz: 400_000, set_by: SetBy::DeviceTree }), "{link}");
        }
        std::fs::remove_dir_all(device.join("of_node")).unwrap();
        assert_eq!(fake(dir.path()).clock(Path::new("/dev/i2c-7")), None);
    }

    #[test]
    fn a_driver_with_one_clock_is_known_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path().join("sys/bus/i2c/devices/i2c-4/name"), "MCP2221 usb-i2c bridge\n");
        let clock = fake(dir.path()).clock(Path::new("/dev/i2c-4")).unwrap();
        assert_eq!((clock.to_string().as_str(), clock.set_by), ("400000 Hz", SetBy::Driver));
        assert!(clock.remedy().contains("another adapter"));
    }

    #[test]
    fn the_driver_that_has_an_address_is_named_with_what_takes_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("sys/bus/i2c/devices/1-0060");
        std::fs::create_dir_all(&device).unwrap();
        let kernel = fake(dir.path());
        assert_eq!(kernel.driver(Path::new("/dev/i2c-1"), 0x60), None, "a device without a driver is no obstacle");
        std::os::unix::fs::symlink("../../../../bus/i2c/drivers/atmel-ecc", device.join("driver")).unwrap();
        let driver = kernel.driver(Path::new("/dev/i2c-1"), 0x60).unwrap();
        assert!(driver.unbind().starts_with("echo 1-0060 | sudo tee /sys/bus/i2c/drivers/atmel-ecc/unbind "));
        assert_eq!(kernel.driver(Path::new("/dev/i2c-1"), 0x35), None);
    }
}
