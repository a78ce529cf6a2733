// SPDX-License-Identifier: MIT OR Apache-2.0
//! The chip behind an I2C adapter of Linux, `/dev/i2c-N`, through i2c-dev's I2C_RDWR.
//!
//! From the first transfer of a turn to its end two handles are open: one for the chip, one for address 0, where the
//! wake pulse goes; more only while a bus is scanned. Between turns no handle is open, because the kernel delays the
//! removal of an adapter until its node is closed. (linux-embedded-hal's own `I2cdev` reopens the node whenever the
//! address changes, and drops the count of completed messages.)

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use i2cdev::core::I2CTransfer;
use i2cdev::linux::{I2CMessage, LinuxI2CDevice, LinuxI2CError, LinuxI2CMessage};
use nix::errno::Errno;
use parking_lot::Mutex;
use rustix::process::{getegid, geteuid, getgroups};

use super::lengths::Lengths;
use super::lock::AtEnd;
use super::lock_file::Registration;
use super::{clock, BusError, Link, OpenError, Wires};
use crate::process;

/// The address of the wake pulse: eight low bits.
pub(super) const WAKE_ADDRESS: u8 = 0x00;

/// An ambiguous error that comes sooner than this is a NACK, not a hanging bus.
const NACK_TIME: Duration = Duration::from_millis(100);

/// A way to transfer messages to one address: an open handle of i2c-dev, or a fake in the tests.
pub(super) trait Handle: Sized + Send + 'static {
    /// Opens the node for one address.
    ///
    /// # Errors
    /// [`OpenError`], with the remedy, if the node can't be opened or the address is in use.
    fn open(path: &Path, address: u8) -> Result<Self, OpenError>;

    /// Executes one I2C_RDWR; returns how many messages succeeded, or the errno.
    fn transfer(&mut self, operations: &mut [Operation<'_>]) -> Result<u32, i32>;
}

/// A handle that is closed in a forked child.
pub(super) struct Device {
    // Dropped in this order.
    _registration: Registration,
    device: LinuxI2CDevice,
}

impl Handle for Device {
    fn open(path: &Path, address: u8) -> Result<Self, OpenError> {
        let device = open_handle(path, address)?;
        let identity = process::identity_of(device.as_raw_fd()).unwrap_or_default();
        Ok(Self { _registration: Registration::new(device.as_raw_fd(), identity), device })
    }

    fn transfer(&mut self, operations: &mut [Operation<'_>]) -> Result<u32, i32> {
        let mut messages: Vec<LinuxI2CMessage<'_>> = operations
            .iter_mut()
            .map(|operation| match operation {
                Operation::Read(buffer) => LinuxI2CMessage::read(buffer),
                Operation::Write(bytes) => LinuxI2CMessage::write(bytes),
            })
            .collect();
        // Some drivers wait interruptibly (hid-cp2112, i2c-virtio): a signal makes them abandon a transfer that
        // continues on the bus.
        let _signals = process::HeldSignals::new();
        I2CTransfer::transfer(&mut self.device, &mut messages).map_err(|error| match error {
            LinuxI2CError::Errno(errno) => errno,
            LinuxI2CError::Io(error) => error.raw_os_error().unwrap_or(libc::EIO),
        })
    }
}

/// An adapter with a handle for each address that is used in a turn.
pub(super) struct LinuxBus<H = Device> {
    path: PathBuf,
    /// The addresses that could be opened.
    addresses: Vec<u8>,
    /// The open handles.
    handles: Arc<Mutex<Vec<(u8, H)>>>,
    /// The message lengths of the adapter.
    lengths: Lengths,
    /// The last transfer found no adapter.
    gone: bool,
}

impl<H: Handle> LinuxBus<H> {
    /// An adapter with the chip at `address`. Opens the node once as a check, and closes it again.
    ///
    /// # Errors
    /// [`OpenError`], with the remedy, if the node can't be opened or the address is in use.
    pub fn open(path: &Path, address: u8) -> Result<Self, OpenError> {
        let addresses = vec![address, WAKE_ADDRESS];
        addresses.iter().try_for_each(|address| H::open(path, *address).map(drop))?;
        Ok(Self::new(path, addresses))
    }

    /// The same for several addresses. Addresses in use by a kernel driver are left out.
    ///
    /// # Errors
    /// [`OpenError`] if the node itself can't be opened.
    pub fn open_several(path: &Path, addresses: &[u8]) -> Result<Self, OpenError> {
        drop(H::open(path, WAKE_ADDRESS)?);
        let mut free = vec![WAKE_ADDRESS];
        for address in addresses {
            match H::open(path, *address) {
                Ok(_) => free.push(*address),
                Err(OpenError::InUse(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self::new(path, free))
    }

    fn new(path: &Path, addresses: Vec<u8>) -> Self {
        Self { path: path.to_owned(), addresses, handles: Arc::default(), lengths: Lengths::default(), gone: false }
    }

    /// One I2C_RDWR to an address, whose handle is opened if necessary: returns how many messages succeeded, or the
    /// errno.
    fn transfer(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<Result<u32, i32>, OpenError> {
        let mut handles = self.handles.lock();
        if !handles.iter().any(|(open, _)| *open == address) && self.addresses.contains(&address) {
            let handle = H::open(&self.path, address).inspect_err(|error| {
                self.gone = matches!(error, OpenError::NotFound(_));
            })?;
            if handles.is_empty() {
                self.lengths.reopened();
            }
            handles.push((address, handle));
        }
        let Some((_, handle)) = handles.iter_mut().find(|(open, _)| *open == address) else {
            return Err(OpenError::Other(format!("address {address:#04x} was not opened")));
        };
        let done = self.lengths.transfer(operations, |operations| handle.transfer(operations));
        self.gone = matches!(done, Err(libc::ENODEV | libc::ESHUTDOWN));
        Ok(done)
    }
}

/// The chip at `address` of an adapter.
pub(super) fn link(bus: LinuxBus, address: u8) -> Box<dyn Link> {
    super::link(bus, linux_embedded_hal::Delay, clock(), address)
}

fn open_handle(path: &Path, address: u8) -> Result<LinuxI2CDevice, OpenError> {
    let handle = LinuxI2CDevice::new(path, address.into()).map_err(|error| {
        let errno = match error {
            LinuxI2CError::Errno(errno) => errno,
            LinuxI2CError::Io(error) => error.raw_os_error().unwrap_or(libc::EIO),
        };
        open_error(path, address, errno)
    })?;
    match process::i2c_functions(&handle) {
        Ok(functions) => check_functions(path, functions)?,
        Err(error) => return Err(open_error(path, address, error.raw_os_error().unwrap_or(libc::EIO))),
    }
    Ok(handle)
}

/// Checks that the adapter supports I2C_RDWR.
fn check_functions(path: &Path, functions: libc::c_ulong) -> Result<(), OpenError> {
    /// linux/i2c.h
    const I2C_FUNC_I2C: libc::c_ulong = 1;
    if functions & I2C_FUNC_I2C != 0 {
        return Ok(());
    }
    Err(OpenError::SmbusOnly(format!(
        "{} is an adapter for SMBus only, and the chip needs plain I2C transfers: wire it to the board's own I2C bus, to two GPIO \
         lines with the kernel module i2c-gpio, or to a USB bridge that the driver i2c-tiny-usb serves",
        path.display()
    )))
}

impl<H: Handle> Wires for LinuxBus<H> {
    /// Whether the address could be opened.
    fn reaches(&self, address: u8) -> bool {
        self.addresses.contains(&address)
    }

    fn is_gone(&self) -> bool {
        self.gone
    }

    /// Closes the node.
    fn at_end(&self) -> Option<AtEnd> {
        let handles = Arc::clone(&self.handles);
        Some(Box::new(move || handles.lock().clear()))
    }
}

impl<H> ErrorType for LinuxBus<H> {
    type Error = BusError;
}

impl<H: Handle> I2c for LinuxBus<H> {
    /// One transfer, START to STOP, to an address in `addresses`, or to address 0.
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        let (wanted, start) = (operations.len(), Instant::now());
        let done = self.transfer(address, operations);
        match done.map_err(|error| BusError::new(ErrorKind::Other, error.to_string()))? {
            Ok(done) if done as usize == wanted => Ok(()),
            // Some adapters report a NACK by a lower count of messages: the data read is then invalid.
            Ok(done) => Err(BusError::new(
                ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown),
                format!("{}: {done} of {wanted} messages were transferred", self.path.display()),
            )),
            Err(errno) => Err(BusError::new(
                error_kind(address, errno, start.elapsed()),
                format!("{}: {}", self.path.display(), Errno::from_raw(errno)),
            )),
        }
    }
}

/// Returns the meaning of an errno of I2C_RDWR after this time: the kernel's Documentation/i2c/fault-codes, and the
/// errors of real drivers for a NACK. The USB bridge CP2112 reports a time-out, others a lost arbitration or a busy
/// adapter, and some an invalid argument or an unsupported operation. For address 0 the latter are errors: such an
/// adapter sends no wake pulse.
fn error_kind(address: u8, errno: i32, took: Duration) -> ErrorKind {
    match errno {
        libc::ENXIO | libc::EREMOTEIO | libc::EIO => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown),
        libc::ETIMEDOUT | libc::EAGAIN | libc::EBUSY if took < NACK_TIME => {
            ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown)
        }
        libc::EINVAL | libc::EOPNOTSUPP if address != WAKE_ADDRESS => {
            ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown)
        }
        libc::EAGAIN => ErrorKind::ArbitrationLoss,
        libc::ETIMEDOUT | libc::EBUSY | libc::EPROTO => ErrorKind::Bus,
        _ => ErrorKind::Other,
    }
}

/// Returns why a node can't be opened, and what to do.
pub(super) fn open_error(path: &Path, address: u8, errno: i32) -> OpenError {
    let node = path.display();
    match errno {
        libc::ENOENT | libc::ENXIO | libc::ENODEV => OpenError::NotFound(format!(
            "{node} does not exist: is the I2C adapter enabled (Raspberry Pi: dtparam=i2c_arm=on in config.txt) and the \
             module i2c-dev loaded (modprobe i2c-dev)? `ls /dev/i2c-*` lists the adapters"
        )),
        // The cgroup's device rules.
        libc::EPERM => OpenError::NotPermitted(format!(
            "{node} is a device that this service or container may not use: in a systemd unit write DeviceAllow=char-i2c rw, \
             give a container --device {node}"
        )),
        libc::EACCES => OpenError::NotPermitted(format!(
            "cannot open {node}: permission denied. Add the user to the group atecc608, to which 60-atecc608.rules \
             gives access (sudo usermod -aG atecc608 USER), and log in again. {}",
            who(path)
        )),
        libc::EBUSY => OpenError::InUse(format!(
            "address {address:#04x} on {node} is in use by a kernel driver (atmel-ecc?): unbind it, or remove it from \
             the device tree"
        )),
        libc::ENOTTY | libc::EINVAL => OpenError::Other(format!("{node} is not an I2C adapter's node")),
        _ => OpenError::Other(format!("{node}: {}", std::io::Error::from_raw_os_error(errno))),
    }
}

/// Returns the present user of this process, and the owner of the node: a program may have changed its user.
fn who(path: &Path) -> String {
    let mut groups: Vec<u32> = getgroups().unwrap_or_default().into_iter().map(|group| group.as_raw()).collect();
    groups.push(getegid().as_raw());
    groups.sort_unstable();
    groups.dedup();
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    let process = format!("The process runs as user {} with the groups {}", geteuid().as_raw(), groups.join(", "));
    match path.metadata() {
        Ok(node) => {
            let mode = node.mode() & 0o777;
            format!("{process}; the node belongs to user {} and group {}, with mode {mode:o}", node.uid(), node.gid())
        }
        Err(_) => process,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atecc608::transport::Fault;

    /// A handle with prepared results that records its calls.
    #[derive(Default)]
    struct Fake {
        answer: Option<Result<u32, i32>>,
        transfers: Vec<Vec<u8>>,
    }

    impl Handle for Fake {
        fn open(_: &Path, _: u8) -> Result<Self, OpenError> {
            Ok(Self::default())
        }

        fn transfer(&mut self, operations: &mut [Operation<'_>]) -> Result<u32, i32> {
            for operation in operations.iter_mut() {
                match operation {
                    Operation::Write(bytes) => self.transfers.push(bytes.to_vec()),
                    Operation::Read(buffer) => buffer.fill(0xA5),
                }
            }
            self.answer.unwrap_or(Ok(operations.len() as u32))
        }
    }

    fn bus(answer: Option<Result<u32, i32>>) -> LinuxBus<Fake> {
        let handles = [0x60, WAKE_ADDRESS].map(|address| (address, Fake { answer, ..Fake::default() }));
        with(handles.into())
    }

    fn with<H: Handle>(handles: Vec<(u8, H)>) -> LinuxBus<H> {
        let addresses = handles.iter().map(|(address, _)| *address).collect();
        LinuxBus { handles: Arc::new(Mutex::new(handles)), ..LinuxBus::new(Path::new("/dev/i2c-7"), addresses) }
    }

    #[test]
    fn the_wake_pulse_and_the_chip_have_a_handle_each() {
        let mut bus = bus(None);
        bus.transaction(0x00, &mut [Operation::Write(&[0])]).unwrap();
        bus.transaction(0x60, &mut [Operation::Write(&[1])]).unwrap();
        let handles = bus.handles.lock();
        let transfers: Vec<_> = handles.iter().map(|(address, handle)| (*address, &handle.transfers[..])).collect();
        assert_eq!(transfers, [(0x60, &[vec![1]][..]), (0x00, &[vec![0]][..])]);
    }

    #[test]
    fn an_address_that_was_not_opened_is_refused() {
        assert!(bus(None).transaction(0x61, &mut [Operation::Write(&[1])]).is_err());
    }

    #[test]
    fn fewer_messages_than_asked_are_a_nack_not_an_answer() {
        let mut buffer = [0; 4];
        let error = bus(Some(Ok(0))).transaction(0x60, &mut [Operation::Read(&mut buffer)]).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::NoAcknowledge(_)), "{error:?}");
    }

    #[test]
    fn the_read_after_a_wake_pulse_is_no_answer_either_if_it_was_not_done() {
        /// A handle that leaves the buffer unchanged, which held the response to a wake.
        struct Short;
        impl Handle for Short {
            fn open(_: &Path, _: u8) -> Result<Self, OpenError> {
                Ok(Self)
            }

            fn transfer(&mut self, operations: &mut [Operation<'_>]) -> Result<u32, i32> {
                if let [Operation::Read(buffer)] = operations {
                    buffer.copy_from_slice(&atecc608_wire::WAKE_RESPONSE);
                }
                Ok(0)
            }
        }
        let bus = with(vec![(0x60, Short), (WAKE_ADDRESS, Short)]);
        let mut link = super::super::link(bus, linux_embedded_hal::Delay, clock(), 0x60);
        assert_eq!(link.wake(), Ok(()));
        assert_eq!(link.receive(&mut [0; 4]), Err(Fault::Nack));
        assert!(link.absence().contains("/dev/i2c-7: 0 of 1 messages were transferred"), "{}", link.absence());
    }

    #[test]
    fn an_adapter_that_refuses_the_wake_pulse_is_told_and_one_that_so_reports_a_nack_is_not() {
        for errno in [libc::EINVAL, libc::EOPNOTSUPP] {
            let mut link = super::super::link(bus(Some(Err(errno))), linux_embedded_hal::Delay, clock(), 0x60);
            assert_eq!(link.wake(), Ok(()), "the read decides");
            assert_eq!(link.receive(&mut [0; 4]), Err(Fault::Nack), "the chip may be coming up");
            let name = format!("{:?}", Errno::from_raw(errno));
            let told = format!("The adapter reported: /dev/i2c-7: {name}");
            assert!(link.absence().contains(&told), "{}", link.absence());
            assert!(link.absence().contains(&format!("to the wake pulse: /dev/i2c-7: {name}")), "{}", link.absence());
        }
    }

    #[test]
    fn each_errno_has_its_cause() {
        for (errno, kind) in [
            (libc::ENXIO, ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown)),
            (libc::EREMOTEIO, ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown)),
            (libc::EIO, ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown)),
            (libc::EPROTO, ErrorKind::Bus),
            (libc::EINVAL, ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown)),
            (libc::EOPNOTSUPP, ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown)),
            (libc::EPERM, ErrorKind::Other),
        ] {
            let error = bus(Some(Err(errno))).transaction(0x60, &mut [Operation::Write(&[1])]).unwrap_err();
            assert_eq!(error.kind, kind, "errno {errno}");
            let name = format!("/dev/i2c-7: {:?}: ", Errno::from_raw(errno));
            assert!(error.detail.starts_with(&name), "{error}");
        }
    }

    #[test]
    fn an_adapter_that_went_is_told_from_a_chip_that_did_not_answer() {
        for (errno, gone) in [(libc::ENODEV, true), (libc::ESHUTDOWN, true), (libc::ENXIO, false), (libc::EIO, false)] {
            let mut bus = bus(Some(Err(errno)));
            bus.transaction(0x60, &mut [Operation::Write(&[1])]).unwrap_err();
            assert_eq!(bus.is_gone(), gone, "errno {errno}");
        }
    }

    #[test]
    fn what_may_be_a_nack_or_a_bus_that_hangs_is_told_apart_by_its_time() {
        for (errno, slow) in [
            (libc::ETIMEDOUT, ErrorKind::Bus),
            (libc::EBUSY, ErrorKind::Bus),
            (libc::EAGAIN, ErrorKind::ArbitrationLoss),
        ] {
            let kinds = [99, 100].map(|millis| error_kind(0x60, errno, Duration::from_millis(millis)));
            assert_eq!(kinds, [ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown), slow], "errno {errno}");
        }
    }

    #[test]
    fn an_adapter_without_plain_transfers_is_named_with_what_to_use_instead() {
        let path = Path::new("/dev/i2c-7");
        // i2c-stub, and i2c-tiny-usb (linux/i2c.h).
        assert!(matches!(
            check_functions(path, 0x0c7f_0000),
            Err(OpenError::SmbusOnly(text)) if text.contains("/dev/i2c-7 is an adapter for SMBus only") && text.contains("i2c-gpio")
        ));
        assert_eq!(check_functions(path, 0x0eff_0001), Ok(()));
    }

    #[test]
    fn a_node_that_does_not_open_says_what_to_do() {
        let path = Path::new("/dev/i2c-7");
        assert!(
            matches!(open_error(path, 0x60, libc::ENOENT), OpenError::NotFound(text) if text.contains("i2c_arm=on"))
        );
        assert!(
            matches!(open_error(path, 0x60, libc::EACCES), OpenError::NotPermitted(text) if text.contains("group"))
        );
        assert!(
            matches!(open_error(path, 0x60, libc::EPERM), OpenError::NotPermitted(text) if text.contains("DeviceAllow=char-i2c rw"))
        );
        let own = format!("The process runs as user {} with the groups ", geteuid().as_raw());
        assert!(matches!(open_error(Path::new("/dev/null"), 0x60, libc::EACCES), OpenError::NotPermitted(text)
                if text.contains(&own) && text.ends_with("; the node belongs to user 0 and group 0, with mode 666")));
        assert!(
            matches!(open_error(path, 0x60, libc::EBUSY), OpenError::InUse(text) if text.contains("kernel driver"))
        );
        let missing = LinuxBus::<Device>::open(Path::new("/dev/i2c-does-not-exist"), 0x60);
        assert!(matches!(missing, Err(OpenError::NotFound(_))));
    }
}
