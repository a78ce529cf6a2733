//! What the kernel tells about I2C adapters and the devices on them: nodes in `/dev`, the rest in sysfs.

use std::path::{Path, PathBuf};

use atecc608_token::config::node_name;

/// Where to look.
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
    /// What its driver calls it; empty if the kernel does not tell.
    pub name: String,
}

/// A kernel driver that has taken a device's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// The device in sysfs: bus and address, `1-0060`.
    pub device: String,
    /// The driver's name.
    pub name: String,
}

/// Parts of the names of adapters whose devices are the board's own: memory modules, power supplies, monitors.
const OF_THE_BOARD: [&str; 9] = ["SMBus", "i915", "gmbus", "AMDGPU", "Radeon", "NVIDIA", "nvkm", "DDC", "AUX"];

impl Default for Kernel {
    fn default() -> Self {
        Self { dev: "/dev".into(), sys: "/sys".into() }
    }
}

impl Kernel {
    /// The adapters that have nodes, by their numbers.
    pub fn adapters(&self) -> Vec<Adapter> {
        let entries = std::fs::read_dir(&self.dev).into_iter().flatten().flatten();
        let mut numbers: Vec<u32> =
            entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("i2c-")?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|number| self.adapter(&self.dev.join(format!("i2c-{number}")))).collect()
    }

    /// The adapter behind a node.
    pub fn adapter(&self, node: &Path) -> Adapter {
        let name = std::fs::read_to_string(self.devices().join(node_name(node)).join("name")).unwrap_or_default();
        Adapter { node: node.to_owned(), name: name.trim().to_owned() }
    }

    /// The adapter's clock in Hz, where the device tree tells it.
    pub fn clock_hz(&self, node: &Path) -> Option<u32> {
        let property = std::fs::read(self.devices().join(node_name(node)).join("of_node/clock-frequency")).ok()?;
        Some(u32::from_be_bytes(property.try_into().ok()?))
    }

    /// The driver that has taken this address, if one has.
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

impl Adapter {
    /// Whether devices of the board are on it, and no chip that a user has wired to it.
    pub fn is_of_the_board(&self) -> bool {
        OF_THE_BOARD.iter().any(|part| self.name.contains(part))
    }
}

impl Driver {
    /// What to type to take the chip back from the driver.
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

    /// A kernel with what a test puts into two folders.
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
