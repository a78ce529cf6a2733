// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets, commands and configuration zone of the secure elements ATECC608A and ATECC608B (Microchip), as types.
//!
//! No I/O, no clock, no state: both ends of the wire, a driver and a simulated chip, are built on it, so each type encodes and
//! decodes. One exchange on the bus:
//!
//! ```text
//! master writes   [03] [count][opcode][param1][param2 lo][param2 hi][data ...][crc lo][crc hi]
//! chip executes   (does not acknowledge its address meanwhile)
//! master reads    [count][payload ...][crc lo][crc hi]
//! ```
//!
//! Multi-byte integers are little-endian; keys, coordinates and signatures are big-endian, as in the datasheet.
//!
//! # Reading order
//!
//! 1. [`frame`]: count and CRC ([`crc`]) around commands and responses.
//! 2. [`opcode`], [`status`], [`slot`], [`zone`]: the small types.
//! 3. [`command`]: what a command type does; [`commands`]: one for each of the chip's 22.
//! 4. [`config_zone`]: the 128 bytes that say what each slot may do.
//! 5. [`messages`]: what chip and host digest; [`timing`]: how long commands take.
//!
//! "Fact sheet" in the comments means the project's digest of the datasheets. The codec is pinned by vectors from outside
//! (Microchip's library), never by its own output.

#![no_std]

extern crate alloc;

pub mod command;
pub mod commands;
pub mod config_zone;
pub mod crc;
mod fixed;
pub mod frame;
pub mod messages;
pub mod opcode;
pub mod slot;
pub mod status;
pub mod timing;
pub mod zone;

pub use command::{Command, ParseError, ResponseError};
pub use config_zone::ConfigZone;
pub use frame::{CommandPacket, FrameError};
pub use opcode::Opcode;
pub use slot::Slot;
pub use status::Status;

/// The first data byte of a write transaction, which selects the meaning of the rest (fact sheet section 1.5).
pub mod word_address {
    /// Reset the output buffer's address counter: the next read starts at its first byte.
    pub const RESET: u8 = 0x00;
    /// Enter sleep: all SRAM is lost.
    pub const SLEEP: u8 = 0x01;
    /// Enter idle: TempKey, digest buffer and SHA context are kept, the watchdog stops.
    pub const IDLE: u8 = 0x02;
    /// The following bytes go to the input buffer.
    pub const COMMAND: u8 = 0x03;
}

/// Payload of the wake response (one status byte) after a good wake.
pub const AFTER_WAKE: u8 = 0x11;
/// The wake response as it is on the wire: `04 11 33 43` (fact sheet section 1.4).
pub const WAKE_RESPONSE: [u8; 4] = [0x04, 0x11, 0x33, 0x43];
/// Largest packet that the chip accepts, in bytes, count and CRC included (fact sheet sections 2.1 and 8.28).
pub const MAX_PACKET: usize = 155;
/// Smallest command packet: count, opcode, three parameter bytes, CRC.
pub const MIN_PACKET: usize = 7;
/// Smallest response packet: count, one byte, CRC.
pub const MIN_RESPONSE: usize = 4;
/// Bytes in an uncompressed P-256 public key without the leading 04: X, Y big-endian.
pub const PUBLIC_KEY_LEN: usize = 64;
/// Bytes in a signature: R, S big-endian.
pub const SIGNATURE_LEN: usize = 64;

/// The example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
