// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bus in this process as an `embedded-hal` I2C bus with its delay; [`SimBus::now`] is its clock.

use std::time::Duration;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation, SevenBitAddress};

use super::bus::SimBus;
use crate::transfer::{Segment, TransferFault};

impl ErrorType for SimBus {
    type Error = ErrorKind;
}

impl I2c<SevenBitAddress> for SimBus {
    /// Executes one transfer; adjacent operations of the same direction are one segment, as embedded-hal requires.
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        let mut segments: Vec<Segment> = Vec::new();
        for operation in operations.iter() {
            match (operation, segments.last_mut()) {
                (Operation::Write(bytes), Some(Segment::Write { data, .. })) => data.extend(*bytes),
                (Operation::Write(bytes), _) => segments.push(Segment::Write { address, data: bytes.to_vec() }),
                (Operation::Read(buffer), Some(Segment::Read { len, .. })) => {
                    *len = len.checked_add(length(buffer)?).ok_or(ErrorKind::Other)?;
                }
                (Operation::Read(buffer), _) => segments.push(Segment::Read { address, len: length(buffer)? }),
            }
        }
        if segments.is_empty() {
            return Ok(());
        }
        let reads = self.transfer(&segments).map_err(|(fault, _)| match fault {
            TransferFault::AddressNack => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            TransferFault::DataNack => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data),
            TransferFault::Bus => ErrorKind::Bus,
        })?;
        let mut bytes = reads.into_iter().flatten();
        for operation in operations {
            if let Operation::Read(buffer) = operation {
                buffer.iter_mut().zip(&mut bytes).for_each(|(target, byte)| *target = byte);
            }
        }
        Ok(())
    }
}

fn length(buffer: &[u8]) -> Result<u16, ErrorKind> {
    u16::try_from(buffer.len()).map_err(|_| ErrorKind::Other)
}

impl DelayNs for SimBus {
    fn delay_ns(&mut self, ns: u32) {
        self.advance(Duration::from_nanos(ns.into()));
    }

    fn delay_us(&mut self, us: u32) {
        self.advance(Duration::from_micros(us.into()));
    }

    fn delay_ms(&mut self, ms: u32) {
        self.advance(Duration::from_millis(ms.into()));
    }
}
