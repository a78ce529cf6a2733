// SPDX-License-Identifier: MIT OR Apache-2.0
//! The USB adapter with the simulated bus. The test plays the kernel, with control transfers as its driver
//! `i2c-tiny-usb` makes them. With a real kernel: `tests/abi/unplugged.rs` in `scripts/test-kernel.sh`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use atecc608_sim::{usbip, SimBus, SimChip, Timing};
use atecc608_testkit::master::*;

const STALL: i32 = -32;
/// Kinds of requests: from the device to the driver, and to the device.
const READ: u8 = 0xC1;
const WRITE: u8 = 0x41;
/// The messages of the driver, with its flags for the first and the last.
const MIDDLE: u8 = 4;
const FIRST: u8 = 5;
const LAST: u8 = 6;
const ONLY: u8 = 7;
const GET_STATUS: u8 = 3;
const ACKNOWLEDGED: u8 = 1;
const NOT_ACKNOWLEDGED: u8 = 2;
/// I2C_M_RD.
const MESSAGE_READS: u16 = 1;

struct Kernel {
    stream: UnixStream,
    sequence: u32,
    adapter: JoinHandle<std::io::Result<()>>,
    bus: SimBus,
}

impl Kernel {
    /// With an adapter whose bus has a blank ATECC608B at 0x60.
    fn with_a_chip() -> Self {
        let bus = SimBus::with_timing(100_000, Timing::Fast);
        bus.add_chip(SimChip::from_image(tls_image(false, false)));
        let (stream, adapters) = UnixStream::pair().unwrap();
        let served = bus.clone();
        Self { stream, sequence: 0, adapter: thread::spawn(move || usbip::serve(adapters, served)), bus }
    }

    /// Sends a header and what follows it; returns the reply's header as numbers.
    fn exchange(&mut self, fields: [u32; 10], setup: [u8; 8], data: &[u8]) -> [u32; 12] {
        let mut message: Vec<u8> = fields.iter().flat_map(|field| field.to_be_bytes()).collect();
        message.extend(setup);
        message.extend(data);
        self.stream.write_all(&message).unwrap();
        let mut head = [0; 48];
        self.stream.read_exact(&mut head).unwrap();
        std::array::from_fn(|i| u32::from_be_bytes(std::array::from_fn(|byte| head[4 * i + byte])))
    }

    /// One transfer of `room` bytes at an endpoint; returns the data, or the status.
    fn transfer(&mut self, endpoint: u32, room: u32, setup: [u8; 8], data: &[u8]) -> Result<Vec<u8>, i32> {
        self.sequence += 1;
        let inwards = setup[0] >> 7;
        let fields = [1, self.sequence, 0x1_0002, inwards.into(), endpoint, 0x200, room, 0, 0, 0];
        let reply = self.exchange(fields, setup, data);
        assert_eq!(reply[..5], [3, self.sequence, 0, 0, 0]);
        if reply[5] != 0 {
            assert_eq!(reply[6], 0, "a stall has no data");
            return Err(reply[5] as i32);
        }
        assert!(reply[6] <= room);
        let mut answer = vec![0; if inwards == 1 { reply[6] as usize } else { 0 }];
        self.stream.read_exact(&mut answer).unwrap();
        Ok(answer)
    }

    fn control(
        &mut self,
        kind: u8,
        request: u8,
        value: u16,
        index: u16,
        len: u16,
        data: &[u8],
    ) -> Result<Vec<u8>, i32> {
        let [v, i, l] = [value, index, len].map(u16::to_le_bytes);
        self.transfer(0, len.into(), [kind, request, v[0], v[1], i[0], i[1], l[0], l[1]], data)
    }

    /// A message that writes, and the adapter's status after it.
    fn write(&mut self, request: u8, address: u16, data: &[u8]) -> u8 {
        self.control(WRITE, request, 0, address, data.len() as u16, data).unwrap();
        self.status()
    }

    /// A message that reads, and the adapter's status after it.
    fn read(&mut self, request: u8, address: u16, len: u16) -> (u8, Vec<u8>) {
        let data = self.control(READ, request, MESSAGE_READS, address, len, &[]).unwrap();
        assert_eq!(data.len(), usize::from(len), "fewer are EREMOTEIO to the driver, before it asks for the status");
        (self.status(), data)
    }

    fn status(&mut self) -> u8 {
        let status = self.control(READ, GET_STATUS, 0, 0, 1, &[]).unwrap();
        status[0]
    }

    fn wake(&mut self) {
        assert_eq!(self.write(ONLY, 0, &[0]), NOT_ACKNOWLEDGED, "nobody answers to address 0");
    }

    /// Closes the socket as the kernel does when it unplugs the adapter; returns how the adapter's side ended.
    fn unplug(self) -> std::io::Result<()> {
        drop(self.stream);
        self.adapter.join().unwrap()
    }
}

#[test]
fn the_kernel_finds_an_i2c_tiny_usb_adapter() {
    let mut kernel = Kernel::with_a_chip();
    let device = kernel.control(0x80, 6, 0x0100, 0, 18, &[]).unwrap();
    assert_eq!((device.len(), &device[..2], &device[8..12]), (18, &[18, 1][..], &[0x03, 0x04, 0x31, 0xC6][..]));
    // The kernel first requests as much as it has room for.
    assert_eq!(kernel.control(0x80, 6, 0x0100, 0, 8, &[]).unwrap(), device[..8]);
    assert_eq!(kernel.control(0x80, 6, 0x0100, 0, 64, &[]).unwrap(), device);
    let configuration = kernel.control(0x80, 6, 0x0200, 0, 255, &[]).unwrap();
    assert_eq!(u16::from_le_bytes([configuration[2], configuration[3]]), configuration.len() as u16);
    assert_eq!(kernel.control(0x00, 9, 1, 0, 0, &[]), Ok(vec![]), "SET_CONFIGURATION");
    let product = kernel.control(0x80, 6, 0x0300 | u16::from(device[15]), 0x0409, 255, &[]).unwrap();
    assert_eq!(usize::from(product[0]), product.len());
    let text: Vec<u16> = product[2..].chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    assert_eq!(String::from_utf16(&text).unwrap(), "atecc608-sim");
    // I2C and all of the emulated SMBus without packet error codes.
    assert_eq!(kernel.control(READ, 1, 0, 0, 4, &[]), Ok(vec![0x01, 0x00, 0xFF, 0x0E]));
    assert_eq!(kernel.control(READ, 0, 0xABCD, 0, 2, &[]), Ok(vec![0xCD, 0xAB]), "echo");
    assert_eq!(kernel.control(WRITE, 2, 10, 0, 0, &[]), Ok(vec![]), "set the delay");
    kernel.unplug().unwrap();
}

#[test]
fn a_chip_is_woken_asked_and_put_to_sleep() {
    let mut kernel = Kernel::with_a_chip();
    assert_eq!(kernel.read(ONLY, 0x60, 4), (NOT_ACKNOWLEDGED, vec![0; 4]), "it sleeps");
    kernel.wake();
    assert_eq!(kernel.read(ONLY, 0x60, 4), (ACKNOWLEDGED, hex("04 11 33 43")));
    assert_eq!(kernel.write(ONLY, 0x60, &hex("03 07 30 00 00 00 03 5D")), ACKNOWLEDGED);
    assert_eq!(kernel.read(ONLY, 0x60, 7), (ACKNOWLEDGED, hex("07 00 00 60 03 83 BB")));
    assert_eq!(kernel.read(ONLY, 0x61, 1).0, NOT_ACKNOWLEDGED);
    assert_eq!(kernel.write(ONLY, 0x60, &[]), ACKNOWLEDGED, "a write of no bytes asks for the address");
    assert_eq!(kernel.write(ONLY, 0x61, &[]), NOT_ACKNOWLEDGED);
    assert_eq!(kernel.write(ONLY, 0x60, &[1]), ACKNOWLEDGED, "sleep");
    assert_eq!(kernel.read(ONLY, 0x60, 1).0, NOT_ACKNOWLEDGED);
    kernel.unplug().unwrap();
}

#[test]
fn messages_from_the_first_to_the_last_are_one_transaction() {
    let mut kernel = Kernel::with_a_chip();
    kernel.wake();
    kernel.bus.take_stats();
    assert_eq!(kernel.write(FIRST, 0x60, &hex("03 07 30 00 00 00 03 5D")), ACKNOWLEDGED);
    assert_eq!(kernel.bus.stats().transfers, 0);
    assert_eq!(kernel.read(LAST, 0x60, 7), (ACKNOWLEDGED, hex("07 00 00 60 03 83 BB")));
    assert_eq!(kernel.bus.take_stats().transfers, 1);

    // Word address 0 resets the counter of the output buffer.
    kernel.write(FIRST, 0x60, &[]);
    kernel.write(MIDDLE, 0x60, &[0]);
    assert_eq!(kernel.read(LAST, 0x60, 1), (ACKNOWLEDGED, vec![7]));
    assert_eq!(kernel.bus.take_stats().transfers, 1);

    // No device acknowledges the first message: the transfer failed.
    kernel.write(FIRST, 0x61, &[0]);
    assert_eq!(kernel.read(LAST, 0x60, 1).0, NOT_ACKNOWLEDGED);
    // Rests of a transfer that the driver aborted are not part of the next one.
    kernel.write(FIRST, 0x61, &[0]);
    assert_eq!(kernel.write(ONLY, 0x60, &[]), ACKNOWLEDGED);
    kernel.unplug().unwrap();
}

#[test]
fn what_the_adapter_can_not_do_is_a_stall_and_the_next_request_works() {
    let mut kernel = Kernel::with_a_chip();
    for (kind, request, value) in [(0x80, 6, 0x0F00), (0x80, 6, 0x0302), (0x80, 10, 0), (READ, 8, 0), (0x20, 0, 0)] {
        assert_eq!(kernel.control(kind, request, value, 0, 0, &[]), Err(STALL), "{kind:x} {request} {value:x}");
    }
    assert_eq!(kernel.control(WRITE, ONLY, 0, 0x160, 1, &[0]), Err(STALL), "an address of 9 bits");
    assert_eq!(kernel.control(READ, ONLY, 1, 0x80, 1, &[]), Err(STALL), "an address of 8 bits is an error of the bus");
    // An endpoint that the adapter does not have.
    assert_eq!(kernel.transfer(1, 1, [READ, GET_STATUS, 0, 0, 0, 0, 1, 0], &[]), Err(STALL));
    // Setup and data disagree on the length.
    assert_eq!(kernel.transfer(0, 1, [WRITE, ONLY, 0, 0, 0x60, 0, 2, 0], &[0]), Err(STALL));
    // A chip that sleeps after the first byte does not acknowledge the second. The driver reports EREMOTEIO.
    kernel.wake();
    assert_eq!(kernel.control(WRITE, ONLY, 0, 0x60, 2, &[1, 0]), Err(STALL));
    assert_eq!(kernel.control(READ, 1, 0, 0, 4, &[]).unwrap().len(), 4);
    kernel.unplug().unwrap();
}

#[test]
fn the_longest_requests_are_answered_within_their_room() {
    let mut kernel = Kernel::with_a_chip();
    kernel.wake();
    let read = [READ, ONLY, 1, 0, 0x60, 0, 0xFF, 0xFF];
    assert_eq!(kernel.transfer(0, 65_535, read, &[]).unwrap().len(), 65_535);
    assert_eq!(kernel.transfer(0, 3, read, &[]).unwrap().len(), 3, "less room than the setup has");
    assert_eq!(kernel.transfer(0, u32::MAX, [READ, 1, 0, 0, 0, 0, 4, 0], &[]).unwrap().len(), 4);
    assert_eq!(kernel.transfer(0, u32::MAX, [READ, 1, 0, 0, 0, 0, 2, 0], &[]).unwrap().len(), 2, "the setup's length");
    // More messages than a transaction of the bus can have: the adapter does not collect them all.
    for _ in 0..100 {
        kernel.write(MIDDLE, 0x60, &[]);
    }
    kernel.unplug().unwrap();
}

#[test]
fn an_unlink_finds_its_request_answered() {
    let mut kernel = Kernel::with_a_chip();
    kernel.wake();
    let last = kernel.sequence;
    let reply = kernel.exchange([2, last + 1, 0x1_0002, 0, 0, last, 0, 0, 0, 0], [0; 8], &[]);
    assert_eq!(reply, [4, last + 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    kernel.unplug().unwrap();
}

#[test]
fn a_request_that_breaks_the_protocol_unplugs_the_adapter() {
    for (command, length, packets, problem) in
        [(9, 0, 0, "unknown command 0x9"), (1, u32::MAX, 0, "at most 65535"), (1, 8, 3, "isochronous")]
    {
        let mut kernel = Kernel::with_a_chip();
        let fields = [command, 1, 0x1_0002, 0, 0, 0, length, 0, packets, 0];
        let message: Vec<u8> = fields.iter().flat_map(|field: &u32| field.to_be_bytes()).chain([0; 8]).collect();
        kernel.stream.write_all(&message).unwrap();
        assert_eq!(kernel.stream.read(&mut [0]).unwrap(), 0, "the adapter closes its end");
        let error = kernel.unplug().unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
}
