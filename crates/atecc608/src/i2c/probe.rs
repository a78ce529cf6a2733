// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looks for chips on a bus: one wake pulse, and a read of four bytes at each address to check.
//!
//! Other devices may be at these addresses. The transfers are safe for them: the pulse is a general call with the
//! second byte 00, which the I2C specification (UM10204, 3.1.13) reserves without a meaning (06 and 04 are resets), and
//! a read as `i2cdetect -r` makes it. Nothing is written to an address before it has responded to the pulse as only
//! this family does.

use alloc::vec::Vec;
use core::time::Duration;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use super::I2cTransport;
use crate::error::Text;
use crate::transport::{Fault, Transport};
use atecc608_wire::frame::decode_response;
use atecc608_wire::timing::{WAKE_HIGH_SELF_TEST_US, WAKE_HIGH_US, WATCHDOG_MAX_MS};
use atecc608_wire::{Status, WAKE_RESPONSE};

/// The 7-bit addresses of chips of this family as sold (fact sheet section 1.1): blank, Trust&GO, TrustFLEX, Trust&GO
/// for Azure, the NervesKey, LoRaWAN, and the ATSHA204A.
pub const USUAL_ADDRESSES: [u8; 7] = [0x60, 0x35, 0x36, 0x38, 0x58, 0x59, 0x64];

/// The response of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No acknowledge.
    Nothing,
    /// The response of this family to a wake pulse; no other device gives it.
    Woken,
    /// The response of such a chip after a failed self-test.
    SelfTestFailed,
    /// Other bytes: another device.
    Other([u8; 4]),
    /// The bus failed.
    Failed(Text),
}

/// Wakes every chip of the family on the bus of `transport`, and reads the responses at these 7-bit addresses. The
/// chips found stay awake until the next sleep command, or until their watchdog expires. The caller holds the bus lock.
pub fn ask<B, D, C>(transport: &mut I2cTransport<B, D, C>, addresses: &[u8]) -> Vec<(u8, Answer)>
where
    B: I2c,
    D: DelayNs,
    C: Fn() -> Duration,
{
    let mut answers: Vec<(u8, Answer)> = Vec::new();
    pulse_and_read(transport, addresses, &mut answers);
    // A chip that another program has left awake does not respond to the pulse. After its watchdog has put it to sleep,
    // it does.
    let again: Vec<u8> = answers.iter().filter(|(_, answer)| matches!(answer, Answer::Other(_))).map(|a| a.0).collect();
    if !again.is_empty() {
        transport.delay(Duration::from_millis(WATCHDOG_MAX_MS + 100));
        let mut second = Vec::new();
        pulse_and_read(transport, &again, &mut second);
        for (address, answer) in second {
            if matches!(answer, Answer::Woken | Answer::SelfTestFailed) {
                answers.iter_mut().filter(|(known, _)| *known == address).for_each(|entry| entry.1 = answer.clone());
            }
        }
    }
    answers
}

fn pulse_and_read<B: I2c, D: DelayNs, C: Fn() -> Duration>(
    transport: &mut I2cTransport<B, D, C>,
    addresses: &[u8],
    answers: &mut Vec<(u8, Answer)>,
) {
    transport.pulse();
    transport.delay(Duration::from_micros(WAKE_HIGH_US));
    answers.extend(addresses.iter().map(|address| (*address, answer(transport, *address))));
    if answers.iter().any(|(_, answer)| *answer == Answer::Nothing) {
        // A chip with a self-test at each wake responds later.
        transport.delay(Duration::from_micros(WAKE_HIGH_SELF_TEST_US + 5_000));
        for entry in answers.iter_mut().filter(|(_, answer)| *answer == Answer::Nothing) {
            entry.1 = answer(transport, entry.0);
        }
    }
}

fn answer<B: I2c, D: DelayNs, C: Fn() -> Duration>(transport: &mut I2cTransport<B, D, C>, address: u8) -> Answer {
    let mut bytes = [0; 4];
    match transport.read_from(address, &mut bytes) {
        Ok(()) if bytes == WAKE_RESPONSE => Answer::Woken,
        // What silicon returns after a failed self-test is not proven: the vendor's library expects the second value,
        // whose CRC is wrong (fact sheet section 1.4).
        Ok(()) if is_self_test_failure(&bytes) || bytes == [0x04, 0x07, 0xC4, 0x40] => Answer::SelfTestFailed,
        Ok(()) => Answer::Other(bytes),
        Err(Fault::Nack) => Answer::Nothing,
        Err(Fault::Failed(text)) => Answer::Failed(text),
    }
}

fn is_self_test_failure(bytes: &[u8; 4]) -> bool {
    matches!(decode_response(bytes), Ok([status]) if *status == Status::SELF_TEST_ERROR.0)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::vec;

    use embedded_hal::i2c::{ErrorKind, ErrorType, NoAcknowledgeSource, Operation};

    use super::*;

    /// A bus with devices that return fixed bytes to reads. Records every transfer.
    #[derive(Default)]
    struct Recorder {
        devices: Vec<(u8, [u8; 4])>,
        /// The first device's response after its watchdog has put it to sleep.
        after_watchdog: Option<[u8; 4]>,
        transfers: Transfers,
        time: Rc<Cell<Duration>>,
    }

    /// Address and written bytes of each transfer; `None` for a read.
    type Transfers = Vec<(u8, Option<Vec<u8>>)>;

    struct Delay(Rc<Cell<Duration>>);

    impl ErrorType for Recorder {
        type Error = Nack;
    }

    #[derive(Clone, Debug, thiserror::Error)]
    #[error("no acknowledgement")]
    struct Nack;

    impl embedded_hal::i2c::Error for Nack {
        fn kind(&self) -> ErrorKind {
            ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)
        }
    }

    impl I2c for Recorder {
        fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Nack> {
            for operation in operations {
                match operation {
                    Operation::Write(bytes) => self.transfers.push((address, Some(bytes.to_vec()))),
                    Operation::Read(buffer) => {
                        self.transfers.push((address, None));
                        let device = self.devices.iter().find(|(known, _)| *known == address).ok_or(Nack)?;
                        let asleep = self.time.get() > Duration::from_millis(WATCHDOG_MAX_MS);
                        buffer.copy_from_slice(&self.after_watchdog.filter(|_| asleep).unwrap_or(device.1));
                    }
                }
            }
            if address == 0 {
                Err(Nack)
            } else {
                Ok(())
            }
        }
    }

    impl DelayNs for Delay {
        fn delay_ns(&mut self, ns: u32) {
            self.0.set(self.0.get() + Duration::from_nanos(ns.into()));
        }
    }

    /// Returns the responses at these addresses, and the transfers.
    fn asked(bus: Recorder, addresses: &[u8]) -> (Vec<(u8, Answer)>, Transfers) {
        let time = bus.time.clone();
        let mut transport = I2cTransport::new(bus, Delay(time.clone()), move || time.get(), 0x60);
        let answers = ask(&mut transport, addresses);
        (answers, core::mem::take(&mut transport.bus_mut().transfers))
    }

    #[test]
    fn other_devices_see_a_read_and_a_general_call_that_means_nothing() {
        let bus = Recorder { devices: vec![(0x36, [0xA5; 4]), (0x60, WAKE_RESPONSE)], ..Recorder::default() };
        let (answers, transfers) = asked(bus, &USUAL_ADDRESSES);
        let of = |address: u8| answers.iter().find(|(known, _)| *known == address).unwrap().1.clone();
        assert_eq!((of(0x60), of(0x36), of(0x35)), (Answer::Woken, Answer::Other([0xA5; 4]), Answer::Nothing));
        for (address, written) in &transfers {
            match written {
                Some(bytes) => assert_eq!((*address, bytes.as_slice()), (0x00, &[0x00][..]), "nothing else is written"),
                None => assert!(USUAL_ADDRESSES.contains(address), "{address:#04x} was not to be asked"),
            }
        }
    }

    #[test]
    fn a_chip_that_was_left_awake_is_found_when_its_watchdog_has_bitten() {
        let devices = vec![(0x60, [0xFF; 4])];
        let bus = Recorder { devices, after_watchdog: Some(WAKE_RESPONSE), ..Recorder::default() };
        assert_eq!(asked(bus, &[0x60]).0, [(0x60, Answer::Woken)]);
    }

    #[test]
    fn a_failed_self_test_is_told_apart() {
        for answer in [[0x04, 0x07, 0x40, 0xC2], [0x04, 0x07, 0xC4, 0x40]] {
            let bus = Recorder { devices: vec![(0x60, answer)], ..Recorder::default() };
            assert_eq!(asked(bus, &[0x60]).0, [(0x60, Answer::SelfTestFailed)]);
        }
    }
}
