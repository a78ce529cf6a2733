// SPDX-License-Identifier: MIT OR Apache-2.0
//! A USB adapter of the kind `i2c-tiny-usb` (0403:c631): converts control transfers to transactions on the bus.
//!
//! The driver sends each message of an I2C transfer as a control transfer of its own, with flags for the first and the
//! last, and asks for the status after each. The simulated bus takes a transaction as a whole. So writes before the
//! last message are collected until a read, or the last message: they are one transaction, with repeated STARTs.
//! Messages after a read are a transaction of their own.

use super::protocol::{Stall, Submit};
use crate::bus::SimBus;
use crate::transfer::{Segment, TransferFault, MAX_SEGMENTS};

/// USB 1.1, vendor's class, 8 bytes in endpoint 0, 0403:c631, release 2.0, string 1 for the product, one configuration.
const DEVICE: [u8; 18] = [18, 1, 0x10, 1, 0xFF, 0, 0, 8, 0x03, 0x04, 0x31, 0xC6, 0, 2, 0, 1, 0, 1];
/// One configuration with one interface without endpoints; powered by the bus, 100 mA.
const CONFIGURATION: [u8; 18] = [9, 2, 18, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 0, 0xFF, 0, 0, 0];
/// American English.
const LANGUAGES: [u8; 4] = [4, 3, 0x09, 0x04];
const PRODUCT: &str = "atecc608-sim";

/// The adapter's functions (I2C_FUNCS): I2C, and SMBus by the kernel's emulation, as of a real one.
const FUNCTIONS: u32 = 0x0EFF_0001;

/// Kinds of requests (bmRequestType).
const KIND: u8 = 0x60;
const STANDARD: u8 = 0x00;
const VENDOR: u8 = 0x40;
const FROM_DEVICE: u8 = 0x80;

/// Standard requests.
mod standard {
    pub(super) const GET_STATUS: u8 = 0;
    pub(super) const CLEAR_FEATURE: u8 = 1;
    pub(super) const SET_ADDRESS: u8 = 5;
    pub(super) const GET_DESCRIPTOR: u8 = 6;
    pub(super) const GET_CONFIGURATION: u8 = 8;
    pub(super) const SET_CONFIGURATION: u8 = 9;
    pub(super) const SET_INTERFACE: u8 = 11;
}

/// Requests of the driver.
mod driver {
    pub(super) const ECHO: u8 = 0;
    pub(super) const GET_FUNCTIONS: u8 = 1;
    pub(super) const SET_DELAY: u8 = 2;
    pub(super) const GET_STATUS: u8 = 3;
    /// A message; its flags are in the lowest two bits.
    pub(super) const MESSAGE: u8 = 4;
    pub(super) const LAST_MESSAGE: u8 = 7;
    pub(super) const BEGIN: u8 = 1;
    pub(super) const END: u8 = 2;
}

/// The status of the last message.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Status {
    Idle = 0,
    Acknowledged = 1,
    NotAcknowledged = 2,
}

/// The adapter.
pub(super) struct Adapter {
    bus: SimBus,
    /// Writes that wait for the rest of their transaction.
    waiting: Vec<Segment>,
    status: Status,
}

impl Adapter {
    /// An adapter with this bus.
    pub(super) fn new(bus: SimBus) -> Self {
        Self { bus, waiting: Vec::new(), status: Status::Idle }
    }

    /// Executes a transfer; returns the device's data.
    ///
    /// # Errors
    /// [`Stall`] for a request that the device does not know, and for a fault of the bus that it has no status for.
    pub(super) fn submit(&mut self, submit: &Submit) -> Result<Vec<u8>, Stall> {
        if submit.endpoint != 0 {
            return Err(Stall);
        }
        let [kind, request, value @ .., index_low, index_high, length_low, length_high] = submit.setup;
        let (index, length) =
            (u16::from_le_bytes([index_low, index_high]), u16::from_le_bytes([length_low, length_high]));
        let mut answer = match kind & KIND {
            STANDARD => standard(request, value)?,
            VENDOR => self.vendor(kind, request, value, index, length, &submit.data)?,
            _ => return Err(Stall),
        };
        answer.truncate(length.into());
        Ok(answer)
    }

    fn vendor(
        &mut self,
        kind: u8,
        request: u8,
        value: [u8; 2],
        index: u16,
        length: u16,
        data: &[u8],
    ) -> Result<Vec<u8>, Stall> {
        match request {
            driver::ECHO => Ok(value.to_vec()),
            driver::GET_FUNCTIONS => Ok(FUNCTIONS.to_le_bytes().to_vec()),
            // The clock of the bus is set on the simulator's command line.
            driver::SET_DELAY => Ok(Vec::new()),
            driver::GET_STATUS => Ok(vec![self.status as u8]),
            driver::MESSAGE..=driver::LAST_MESSAGE => {
                let address = u8::try_from(index).map_err(|_| Stall)?;
                let segment = if kind & FROM_DEVICE != 0 {
                    Segment::Read { address, len: length }
                } else if data.len() == usize::from(length) {
                    Segment::Write { address, data: data.to_vec() }
                } else {
                    return Err(Stall);
                };
                self.message(request & driver::BEGIN != 0, request & driver::END != 0, segment)
            }
            _ => Err(Stall),
        }
    }

    fn message(&mut self, begins: bool, ends: bool, segment: Segment) -> Result<Vec<u8>, Stall> {
        if begins {
            // After a failure the driver ends the transfer without its last message.
            self.waiting.clear();
        }
        let len = match &segment {
            Segment::Read { len, .. } => Some(*len),
            Segment::Write { .. } => None,
        };
        self.waiting.push(segment);
        self.status = Status::Acknowledged;
        if len.is_none() && !ends && self.waiting.len() < MAX_SEGMENTS {
            return Ok(Vec::new());
        }
        match self.bus.transfer(&std::mem::take(&mut self.waiting)) {
            // At most one segment reads.
            Ok(mut reads) => Ok(reads.pop().unwrap_or_default()),
            Err((TransferFault::AddressNack, _)) => {
                self.status = Status::NotAcknowledged;
                // A short response would be another error for the driver, before it requests the status.
                Ok(vec![0; len.unwrap_or_default().into()])
            }
            Err((TransferFault::DataNack | TransferFault::Bus, _)) => Err(Stall),
        }
    }
}

fn standard(request: u8, [index, kind]: [u8; 2]) -> Result<Vec<u8>, Stall> {
    match request {
        standard::GET_DESCRIPTOR => descriptor(kind, index).ok_or(Stall),
        standard::GET_STATUS => Ok(vec![0; 2]),
        standard::GET_CONFIGURATION => Ok(vec![1]),
        standard::CLEAR_FEATURE | standard::SET_ADDRESS | standard::SET_CONFIGURATION | standard::SET_INTERFACE => {
            Ok(Vec::new())
        }
        _ => Err(Stall),
    }
}

fn descriptor(kind: u8, index: u8) -> Option<Vec<u8>> {
    match (kind, index) {
        (1, 0) => Some(DEVICE.to_vec()),
        (2, 0) => Some(CONFIGURATION.to_vec()),
        (3, 0) => Some(LANGUAGES.to_vec()),
        (3, 1) => {
            let text: Vec<u8> = PRODUCT.encode_utf16().flat_map(u16::to_le_bytes).collect();
            Some([&[text.len() as u8 + 2, 3], &text[..]].concat())
        }
        _ => None,
    }
}
