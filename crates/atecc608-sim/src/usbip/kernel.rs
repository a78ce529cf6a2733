// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interface to the running kernel: attaches USB devices (sysfs of `vhci-hcd`), and finds their node.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

const CONTROLLER: &str = "devices/platform/vhci_hcd.0";
const DRIVER: &str = "bus/usb/drivers/i2c-tiny-usb";
const NODES: &str = "class/i2c-dev";
/// Device 2 on bus 1. The kernel only displays it.
const DEVICE: u32 = 0x0001_0002;
/// The kernel's number for full speed.
const FULL_SPEED: u32 = 2;
/// States of a port.
const FREE: &str = "004";
const USED: &str = "006";
/// The time limit from plugging the adapter in until its node exists. Drivers may have to be loaded.
const NODE_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Why the adapter can't be plugged in.
#[derive(Debug, thiserror::Error)]
pub enum PlugError {
    /// `vhci-hcd` is not loaded.
    #[error(
        "this kernel has no USB/IP host controller ({} does not exist). Load it: sudo modprobe vhci-hcd",
        .0.display()
    )]
    NoController(PathBuf),
    /// `i2c-dev` is not loaded.
    #[error("this kernel has no I2C nodes ({} does not exist). Load the driver: sudo modprobe i2c-dev", .0.display())]
    NoNodes(PathBuf),
    /// The process may not attach devices.
    #[error("cannot write {}: permission denied. Run the command as root, with sudo", .0.display())]
    NotPermitted(PathBuf),
    /// Every port is in use.
    #[error(
        "no port is free in {}: each has a device. Stop another `atecc608-sim usbip`, or detach a device (usbip port \
         lists them)",
        .0.display()
    )]
    NoFreePort(PathBuf),
    /// Another I/O error.
    #[error("cannot use {}: {source}. The kernel's log may have the reason: sudo dmesg", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// A pair of sockets can't be created.
    #[error("cannot create a pair of sockets: {0}")]
    Socket(io::Error),
    /// `i2c-tiny-usb` is not loaded.
    #[error(
        "the kernel has no driver for the adapter ({} does not exist). Load it: sudo modprobe i2c-tiny-usb",
        .0.display()
    )]
    NoDriver(PathBuf),
    /// The kernel unplugged the adapter.
    #[error("the kernel unplugged the adapter before it created a node. The kernel's log has the reason: sudo dmesg")]
    Unplugged,
    /// The node does not appear for another reason.
    #[error(
        "the adapter has no node after {} s. The kernel's log may have the reason: sudo dmesg",
        NODE_LIMIT.as_secs()
    )]
    NoNode,
}

/// A kernel, accessed through its file systems.
#[derive(Debug)]
pub struct Kernel {
    /// The file that attaches devices.
    attach: File,
    sys: PathBuf,
    dev: PathBuf,
}

impl Kernel {
    /// Returns the running kernel.
    ///
    /// # Errors
    /// [`PlugError::NoController`] or [`PlugError::NoNodes`] if a driver is missing that is not loaded automatically;
    /// [`PlugError::NotPermitted`] if the process may not attach devices; [`PlugError::Refused`] on another I/O error.
    pub fn running() -> Result<Self, PlugError> {
        Self::at(Path::new("/sys"), Path::new("/dev"))
    }

    /// Returns the kernel with these file systems: for tests.
    ///
    /// # Errors
    /// As [`Kernel::running`].
    pub fn at(sys: &Path, dev: &Path) -> Result<Self, PlugError> {
        let (controller, nodes) = (sys.join(CONTROLLER), sys.join(NODES));
        if !controller.exists() {
            return Err(PlugError::NoController(controller));
        }
        if !nodes.exists() {
            return Err(PlugError::NoNodes(nodes));
        }
        let path = controller.join("attach");
        match OpenOptions::new().write(true).open(&path) {
            Ok(attach) => Ok(Self { attach, sys: sys.to_owned(), dev: dev.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(PlugError::NotPermitted(path)),
            Err(source) => Err(PlugError::Refused { path, source }),
        }
    }

    /// Attaches a device at the other end of this socket to a free port, and returns the port.
    ///
    /// # Errors
    /// [`PlugError::NoFreePort`] if every port is in use; [`PlugError::Refused`] on an I/O error.
    pub(super) fn attach(&self, socket: impl AsFd) -> Result<u32, PlugError> {
        let socket = socket.as_fd().as_raw_fd();
        for port in self.ports()?.into_iter().filter(|port| port.state == FREE) {
            // The controller requires the request in one write.
            match (&self.attach).write_all(format!("{} {socket} {DEVICE} {FULL_SPEED}", port.number).as_bytes()) {
                Ok(()) => return Ok(port.number),
                // Another process took it meanwhile.
                Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {}
                Err(source) => {
                    return Err(PlugError::Refused { path: self.sys.join(CONTROLLER).join("attach"), source })
                }
            }
        }
        Err(PlugError::NoFreePort(self.status()))
    }

    /// Waits for the node of the adapter at this port, and returns its path.
    ///
    /// # Errors
    /// [`PlugError::NoDriver`] or [`PlugError::NoNode`] if there is none in time; [`PlugError::Unplugged`] if the
    /// kernel unplugged the adapter.
    pub(super) fn wait_for_node(&self, port: u32, unplugged: impl Fn() -> bool) -> Result<PathBuf, PlugError> {
        let start = Instant::now();
        loop {
            if let Some(node) = self.node_at(port)? {
                return Ok(node);
            }
            if unplugged() {
                return Err(PlugError::Unplugged);
            }
            if start.elapsed() > NODE_LIMIT {
                return Err(self.why_no_node());
            }
            thread::sleep(PAUSE);
        }
    }

    fn why_no_node(&self) -> PlugError {
        let driver = self.sys.join(DRIVER);
        if driver.exists() {
            PlugError::NoNode
        } else {
            PlugError::NoDriver(driver)
        }
    }

    /// The node of the adapter at this port, if there is one yet.
    fn node_at(&self, port: u32) -> Result<Option<PathBuf>, PlugError> {
        let ports = self.ports()?;
        let Some(device) = ports.iter().find(|row| row.number == port && row.state == USED) else { return Ok(None) };
        let interface = format!("bus/usb/devices/{0}/{0}:1.0", device.name);
        // The folder does not exist before the kernel has read the descriptors.
        let Ok(entries) = fs::read_dir(self.sys.join(interface)) else { return Ok(None) };
        let name = entries.flatten().map(|entry| entry.file_name()).find(|name| {
            let number = name.to_str().and_then(|name| name.strip_prefix("i2c-"));
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        });
        Ok(name.map(|name| self.dev.join(name)).filter(|node| node.exists()))
    }

    fn status(&self) -> PathBuf {
        self.sys.join(CONTROLLER).join("status")
    }

    /// The ports for devices of full speed, from lines such as `hs  0000 006 002 00010002 000003 1-1`: hub, port, state,
    /// speed, device, socket, name.
    fn ports(&self) -> Result<Vec<Port>, PlugError> {
        let path = self.status();
        let text = fs::read_to_string(&path).map_err(|source| PlugError::Refused { path, source })?;
        let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let ports = rows.filter_map(|row| match row[..] {
            ["hs", number, state, _, _, _, name] => {
                Some(Port { number: number.parse().ok()?, state: state.to_owned(), name: name.to_owned() })
            }
            _ => None,
        });
        Ok(ports.collect())
    }
}

/// A port of the controller.
struct Port {
    number: u32,
    state: String,
    name: String,
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    const HEAD: &str = "hub port sta spd dev      sockfd local_busid\n";

    /// A kernel with these rows in the controller's status.
    fn kernel(rows: &str) -> (tempfile::TempDir, Kernel) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        for name in ["devices/platform/vhci_hcd.0", "class/i2c-dev", "dev", "bus/usb/devices/1-2/1-2:1.0/i2c-7"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::write(path("devices/platform/vhci_hcd.0/status"), [HEAD, rows].concat()).unwrap();
        fs::write(path("devices/platform/vhci_hcd.0/attach"), "").unwrap();
        let kernel = Kernel::at(folder.path(), &path("dev")).unwrap();
        (folder, kernel)
    }

    #[test]
    fn the_first_free_port_of_full_speed_gets_the_socket() {
        let rows = "hs  0000 006 002 00010002 000003 1-1\nhs  0011 004 000 00000000 000000 0-0\n\
                    hs  0012 004 000 00000000 000000 0-0\nss  0016 004 000 00000000 000000 0-0\n";
        let (folder, kernel) = kernel(rows);
        let (socket, _other) = UnixStream::pair().unwrap();
        assert_eq!(kernel.attach(&socket).unwrap(), 11);
        let written = fs::read_to_string(folder.path().join("devices/platform/vhci_hcd.0/attach")).unwrap();
        assert_eq!(written, format!("11 {} 65538 2", socket.as_raw_fd()));
    }

    #[test]
    fn each_thing_that_is_missing_is_named_with_its_remedy() {
        let (folder, kernel) = kernel("hs  0000 006 002 00010002 000003 1-1\nss  0008 004 000 00000000 000000 0-0\n");
        let (socket, _other) = UnixStream::pair().unwrap();
        let text = kernel.attach(&socket).unwrap_err().to_string();
        assert!(text.contains("vhci_hcd.0/status") && text.contains("no port is free"), "{text}");

        let text = kernel.why_no_node().to_string();
        assert!(text.contains("sudo modprobe i2c-tiny-usb"), "{text}");
        fs::create_dir_all(folder.path().join(DRIVER)).unwrap();
        let text = kernel.why_no_node().to_string();
        assert!(text.contains("no node after 10 s") && text.contains("dmesg"), "{text}");

        fs::remove_dir(folder.path().join(NODES)).unwrap();
        let at = |sys: &Path| Kernel::at(sys, sys).unwrap_err().to_string();
        assert!(at(folder.path()).contains("sudo modprobe i2c-dev"));
        assert!(at(&folder.path().join("dev")).contains("sudo modprobe vhci-hcd"));
    }

    #[test]
    fn the_node_is_that_of_the_port_and_counts_when_it_is_there() {
        let (folder, kernel) = kernel("hs  0000 006 002 00010002 000003 1-1\nhs  0001 006 002 00010002 000005 1-2\n");
        assert_eq!(kernel.node_at(1).unwrap(), None, "the driver lists the node, /dev does not have it");
        assert!(matches!(kernel.wait_for_node(1, || true), Err(PlugError::Unplugged)));
        let node = folder.path().join("dev/i2c-7");
        fs::write(&node, "").unwrap();
        assert_eq!(kernel.wait_for_node(1, || false).unwrap(), node);
        assert_eq!(kernel.node_at(0).unwrap(), None, "the node of another adapter");
    }
}
