// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which nodes lead to the same wires: each channel of an I2C multiplexer has a node, in addition to that of the parent
//! adapter.

use std::path::{Path, PathBuf};

use crate::config::node_name;

/// The kernel's files about adapters.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    dev: PathBuf,
    sys: PathBuf,
}

impl Default for Kernel {
    fn default() -> Self {
        Self { dev: "/dev".into(), sys: "/sys".into() }
    }
}

impl Kernel {
    /// Returns the node of the adapter at the root of a multiplexer's channel; `None` for a node that is not a channel.
    pub(super) fn root_of(&self, node: &Path) -> Option<PathBuf> {
        // ../../../devices/platform/soc/fe804000.i2c/i2c-1/i2c-10: a channel is a child of its adapter. An adapter
        // behind another device on the bus (i2c-1/1-0050/i2c-5) has its own wires.
        let device = std::fs::read_link(self.sys.join("bus/i2c/devices").join(node_name(node))).ok()?;
        let names = device.iter().rev().map_while(|name| name.to_str().filter(|name| is_adapter(name)));
        names.skip(1).last().map(|root| self.dev.join(root))
    }
}

/// Returns the node of the adapter at the root of an I2C multiplexer's channel; `None` for a node that is not a
/// channel. A conversation on one of them disturbs those on all others.
pub fn root_of_channel(node: &Path) -> Option<PathBuf> {
    Kernel::default().root_of(node)
}

fn is_adapter(name: &str) -> bool {
    name.strip_prefix("i2c-").is_some_and(|number| number.parse::<u32>().is_ok())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A kernel in a folder of the test.
    pub(in super::super) fn kernel(folder: &Path) -> Kernel {
        std::fs::create_dir_all(folder.join("dev")).unwrap();
        Kernel { dev: folder.join("dev"), sys: folder.join("sys") }
    }

    /// Adds an adapter with a node, at this place below /sys/devices.
    pub(in super::super) fn add(folder: &Path, place: &str) -> PathBuf {
        let (name, devices) = (Path::new(place).file_name().unwrap(), folder.join("sys/bus/i2c/devices"));
        std::fs::create_dir_all(&devices).unwrap();
        std::os::unix::fs::symlink(Path::new("../../../devices").join(place), devices.join(name)).unwrap();
        let node = folder.join("dev").join(name);
        std::fs::write(&node, "").unwrap();
        node
    }

    #[test]
    fn the_root_of_a_channel_is_the_adapter_that_all_its_multiplexers_hang_on() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = kernel(dir.path());
        let root = add(dir.path(), "platform/soc/fe804000.i2c/i2c-1");
        for (place, found) in [
            ("platform/soc/fe804000.i2c/i2c-1/i2c-10", Some(&root)),
            ("platform/soc/fe804000.i2c/i2c-1/i2c-10/i2c-12", Some(&root)),
            ("pci0000:00/usb1/1-1/i2c-3", None),
            ("platform/soc/fe804000.i2c/i2c-1/1-0050/i2c-5", None),
            ("platform/i2c-gpio/i2c-6", None),
        ] {
            assert_eq!(kernel.root_of(&add(dir.path(), place)).as_ref(), found, "{place}");
        }
        assert_eq!(kernel.root_of(&root), None);
        assert_eq!(kernel.root_of(Path::new("/dev/null")), None);
    }
}
