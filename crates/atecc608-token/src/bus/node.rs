// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bus node, the first of the locked files. It is open only during a turn: the kernel delays the removal of an
//! adapter until its node is closed, so an idle process must not keep it open.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::linux;
use super::lock_file::RegisteredFile;
use super::wires::Kernel;
use super::OpenError;

/// The node of one bus. It is never created here, and a link to it is followed.
pub(super) struct Node {
    path: PathBuf,
    kernel: Kernel,
    opened: Option<Identity>,
}

/// The identity of a node. Another node at the same path has another one, and so does a node that was removed and
/// created again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    file: (u64, u64),
    device: u64,
    changed: (i64, i64),
}

impl Node {
    /// Opens nothing.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), kernel: Kernel::default(), opened: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the node of the adapter at the root, if this one is a multiplexer's channel. Another adapter may be here
    /// in the next turn.
    pub(super) fn root(&self) -> Option<PathBuf> {
        self.kernel.root_of(&self.path)
    }

    /// Opens a root node for one turn. Returns `None` if this user may not: `doctor` then warns.
    pub(super) fn open_root(root: &Path) -> Option<Arc<RegisteredFile>> {
        let opened = File::open(root).and_then(RegisteredFile::new);
        opened
            .map(Arc::new)
            .inspect_err(|error| log::debug!("{}: {error}; locking the channel only", root.display()))
            .ok()
    }

    /// Opens it for one turn.
    ///
    /// # Errors
    /// [`OpenError`] if it can't be opened.
    pub(super) fn open(&mut self) -> Result<Arc<RegisteredFile>, OpenError> {
        let (file, identity) = self.try_open().map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            linux::open_error(&self.path, linux::WAKE_ADDRESS, errno)
        })?;
        self.opened = Some(identity);
        Ok(file)
    }

    fn try_open(&self) -> io::Result<(Arc<RegisteredFile>, Identity)> {
        let file = File::open(&self.path)?;
        // Of the opened file: another node may be at the path by now.
        let identity = Identity::of(&file.metadata()?);
        Ok((Arc::new(RegisteredFile::new(file)?), identity))
    }

    /// Returns the node that was opened last.
    pub(super) fn opened(&self) -> Option<Identity> {
        self.opened
    }

    /// Whether another node is at its path now: processes with that node do not see a lock on this one. Without a node
    /// at the path the adapter was unplugged, which the transfer reports.
    pub(super) fn is_replaced(&self) -> bool {
        let there = self.path.metadata().map(|metadata| Identity::of(&metadata).file);
        there.is_ok_and(|there| self.opened.is_none_or(|opened| opened.file != there))
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            device: metadata.rdev(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use atecc608::transport::Transport;
    use embedded_hal::i2c::Operation;

    use super::*;
    use crate::bus::linux::{Handle, LinuxBus};
    use crate::bus::{clock, link, linux_lock, wires, Bus, LockError};
    use crate::config::BusLocation;
    use crate::deadline::Deadline;

    /// A file that stands in for a node, on a bus where every transfer succeeds.
    struct Opened(#[allow(dead_code, reason = "it is only open")] File);

    impl Handle for Opened {
        fn open(path: &Path, _: u8) -> Result<Self, OpenError> {
            File::open(path).map(Self).map_err(|error| OpenError::NotFound(error.to_string()))
        }

        fn transfer(&mut self, operations: &mut [Operation<'_>]) -> Result<u32, i32> {
            Ok(operations.len() as u32)
        }
    }

    /// A folder with a node in it, and the bus.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let node = dir.path().canonicalize().unwrap().join("node");
        std::fs::write(&node, "").unwrap();
        (dir, node)
    }

    fn bus_on(node: &Path) -> Bus {
        let wires = LinuxBus::<Opened>::open(node, 0x60).unwrap();
        Bus {
            location: BusLocation::Linux(node.to_owned()),
            link: link(wires, linux_embedded_hal::Delay, clock(), 0x60),
            lock: linux_lock(node, node.parent().unwrap()).unwrap(),
        }
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_millis(20))
    }

    /// Returns how many descriptors of this process refer to the node.
    fn open_descriptors(node: &Path) -> usize {
        let all = std::fs::read_dir("/proc/self/fd").unwrap();
        all.filter(|entry| std::fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|path| path == node)).count()
    }

    #[test]
    fn the_node_is_open_during_a_turn_only() {
        let (_dir, node) = place();
        let mut bus = bus_on(&node);
        assert_eq!(open_descriptors(&node), 0, "before the first turn");
        for _ in 0..2 {
            let turn = bus.lock(soon()).unwrap();
            bus.wake().unwrap();
            bus.receive(&mut [0; 4]).unwrap();
            assert_eq!(open_descriptors(&node), 3, "one for the lock, one for the pulse, one for the chip");
            drop(turn);
            assert_eq!(open_descriptors(&node), 0, "between turns");
        }
    }

    #[test]
    fn who_waits_for_the_bus_does_not_keep_the_node_open() {
        let (_dir, node) = place();
        let (mut bus, mut other) = (bus_on(&node), bus_on(&node));
        let turn = bus.lock(soon()).unwrap();
        assert!(matches!(other.lock(soon()), Err(LockError::Held { path, .. }) if path == node));
        assert!(other.try_lock().unwrap().is_none());
        assert_eq!(open_descriptors(&node), 1, "the holder's");
        drop(turn);
        drop(other.lock(soon()).unwrap());
        assert_eq!(open_descriptors(&node), 0);
    }

    #[test]
    fn the_node_itself_is_locked() {
        let (_dir, node) = place();
        let somebody = File::open(&node).unwrap();
        rustix::fs::flock(&somebody, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let mut bus = bus_on(&node);
        assert!(matches!(bus.lock(soon()), Err(LockError::Held { path, holder, .. })
            if path == node && holder.contains(&std::process::id().to_string())));
        drop(somebody);
        assert!(bus.lock(soon()).is_ok());
    }

    /// The bus behind a node of a kernel in this folder.
    fn bus_in(folder: &Path, node: &Path) -> Bus {
        let node_of = Node { kernel: wires::tests::kernel(folder), ..Node::new(node) };
        let bus = bus_on(node);
        Bus { lock: bus.lock.with_node(node_of), ..bus }
    }

    #[test]
    fn the_channels_of_a_multiplexer_and_their_adapter_take_turns() {
        let (dir, _) = place();
        let folder = dir.path().canonicalize().unwrap();
        wires::tests::kernel(&folder);
        let nodes =
            ["soc/i2c-1", "soc/i2c-1/i2c-10", "soc/i2c-1/i2c-11"].map(|place| wires::tests::add(&folder, place));
        let [mut root, mut one, mut other] = nodes.each_ref().map(|node| bus_in(&folder, node));
        let turn = one.lock(soon()).unwrap();
        assert_eq!(nodes.each_ref().map(|node| open_descriptors(node)), [1, 1, 0], "the root's node, then its own");
        for bus in [&mut root, &mut other] {
            assert!(matches!(bus.lock(soon()), Err(LockError::Held { path, holder, .. })
                if path == nodes[0] && holder.contains(&std::process::id().to_string())));
        }
        drop(turn);
        assert_eq!(nodes.each_ref().map(|node| open_descriptors(node)), [0; 3], "between turns");
        let turn = root.lock(soon()).unwrap();
        assert!(one.try_lock().unwrap().is_none());
        drop(turn);
        drop(other.lock(soon()).unwrap());
    }

    #[test]
    fn a_channel_whose_adapters_node_cannot_be_opened_is_locked_alone() {
        let (dir, _) = place();
        let folder = dir.path().canonicalize().unwrap();
        wires::tests::kernel(&folder);
        let [root, node] = ["soc/i2c-1", "soc/i2c-1/i2c-10"].map(|place| wires::tests::add(&folder, place));
        std::fs::remove_file(root).unwrap();
        let (mut bus, mut other) = (bus_in(&folder, &node), bus_in(&folder, &node));
        let _turn = bus.lock(soon()).unwrap();
        assert!(matches!(other.lock(soon()), Err(LockError::Held { path, .. }) if path == node));
    }

    #[test]
    fn a_node_that_was_made_anew_is_told_from_the_one_that_is_still_there() {
        let (dir, node) = place();
        let mut bus = bus_on(&node);
        let mut turn = || {
            drop(bus.lock(soon()).unwrap());
            bus.node().unwrap()
        };
        let first = turn();
        assert_eq!(turn(), first);
        std::fs::write(dir.path().join("new"), "").unwrap();
        std::fs::rename(dir.path().join("new"), &node).unwrap();
        assert_ne!(turn(), first);
    }

    #[test]
    fn a_node_that_is_gone_is_no_bus_that_somebody_has() {
        let (_dir, node) = place();
        let mut bus = bus_on(&node);
        drop(bus.lock(soon()).unwrap());
        std::fs::remove_file(&node).unwrap();
        assert!(matches!(bus.lock(soon()), Err(LockError::Node(OpenError::NotFound(_)))));
        std::fs::write(&node, "").unwrap();
        assert!(bus.lock(soon()).is_ok());
    }
}
