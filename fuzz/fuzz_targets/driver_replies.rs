// SPDX-License-Identifier: MIT OR Apache-2.0
//! A chip that returns any bytes: each operation of the driver ends, in bounded time and transfers, and puts the chip
//! to sleep.
#![no_main]

use std::time::Duration;

use atecc608::transport::{Fault, Transport};
use atecc608::wire::frame::encode_response;
use atecc608::wire::{Slot, WAKE_RESPONSE};
use atecc608::Chip;
use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;

/// Longer than any operation: each of its commands has four attempts in three conversations, and a stuck chip takes 2 s
/// for each.
const MOST_TIME: Duration = Duration::from_secs(600);
const MOST_TRANSFERS: u32 = 200_000;

/// A chip that behaves as the bytes of the input say.
struct Hostile<'u> {
    script: Unstructured<'u>,
    buffer: Vec<u8>,
    read: usize,
    asleep: bool,
    /// Whether it acknowledged anything since the wake: else nothing can put it to sleep.
    acknowledged: bool,
    time: Duration,
    transfers: u32,
}

impl Hostile<'_> {
    fn transfer(&mut self) -> std::result::Result<(), Fault> {
        self.transfers += 1;
        self.time += Duration::from_micros(100);
        assert!(self.transfers < MOST_TRANSFERS && self.time < MOST_TIME, "the driver does not give up");
        match self.script.arbitrary::<u8>().unwrap_or(0) {
            0xFE => Err(Fault::Nack),
            0xFF => Err(Fault::Failed("the bus failed".into())),
            _ => Ok(()),
        }
    }

    fn answer(&mut self, usual: &[u8]) -> Result<Vec<u8>> {
        let len = [1, 4, 7, 16, 32, 35, 64, 80][usize::from(self.script.arbitrary::<u8>()? & 7)];
        Ok(match self.script.arbitrary::<u8>()? & 7 {
            0 => usual.to_vec(),
            1 => self.script.bytes(len.min(self.script.len()))?.to_vec(),
            _ => match self.script.bytes(len.min(self.script.len()))? {
                [] => usual.to_vec(),
                payload => encode_response(payload),
            },
        })
    }
}

impl Transport for Hostile<'_> {
    fn name(&self) -> String {
        "fuzzed".to_owned()
    }

    fn absence(&self) -> String {
        "absent".to_owned()
    }

    fn wake(&mut self) -> std::result::Result<(), Fault> {
        // A pulse is never acknowledged, but wakes.
        self.asleep = false;
        self.acknowledged = false;
        self.transfer()?;
        self.read = 0;
        self.buffer = WAKE_RESPONSE.to_vec();
        if self.script.arbitrary::<u8>().unwrap_or(0) > 0xF0 {
            self.buffer = self.answer(&WAKE_RESPONSE).unwrap_or_default();
        }
        Ok(())
    }

    fn send(&mut self, packet: &[u8]) -> std::result::Result<(), Fault> {
        assert!((7..=155).contains(&packet.len()));
        assert!(!self.asleep, "a command is sent to a chip that sleeps");
        self.transfer()?;
        self.read = 0;
        self.buffer = self.answer(&encode_response(&[0])).unwrap_or_default();
        Ok(())
    }

    fn receive(&mut self, bytes: &mut [u8]) -> std::result::Result<(), Fault> {
        assert!(!bytes.is_empty());
        self.transfer()?;
        self.acknowledged = true;
        for byte in bytes {
            *byte = self.buffer.get(self.read).copied().unwrap_or(0xFF);
            self.read += 1;
        }
        Ok(())
    }

    fn reset(&mut self) -> std::result::Result<(), Fault> {
        self.transfer()?;
        self.read = 0;
        Ok(())
    }

    fn sleep(&mut self) -> std::result::Result<(), Fault> {
        self.asleep = true;
        self.transfer()
    }

    fn idle(&mut self) -> std::result::Result<(), Fault> {
        self.transfer()
    }

    fn now(&self) -> Duration {
        self.time
    }

    fn delay(&mut self, time: Duration) {
        self.time += time;
    }
}

fuzz_target!(|input: &[u8]| {
    let mut script = Unstructured::new(input);
    let Ok([what, slot]) = <[u8; 2]>::arbitrary(&mut script) else { return };
    let slot = Slot::new(slot & 15).expect("16 slots");
    let hostile = Hostile {
        script,
        buffer: Vec::new(),
        read: 0,
        asleep: true,
        acknowledged: false,
        time: Duration::ZERO,
        transfers: 0,
    };
    let mut chip = Chip::new(hostile, |bytes: &mut [u8]| {
        bytes.fill(0x5A);
        Ok(())
    });
    let done = match what % 12 {
        0 => chip.converse(|awake| awake.read_config()).map(drop),
        1 => chip.converse(|awake| awake.read_config().and_then(|zone| awake.identify(&zone))).map(drop),
        2 => chip.converse(|awake| awake.key_valid(slot)).map(drop),
        3 => chip.converse(|awake| awake.public_key(slot)).map(drop),
        4 => chip.converse(|awake| awake.random()).map(drop),
        5 => chip.converse(|awake| awake.sign_digest(slot, &[7; 32])).map(drop),
        6 => chip.converse(|awake| awake.ecdh(slot, &[9; 64])).map(drop),
        7 => {
            chip.converse(|awake| awake.read_slot(slot, slot.size())).map(|bytes| assert_eq!(bytes.len(), slot.size()))
        }
        8 => chip.slot_before_generation(slot).and_then(|before| chip.generate_key(slot, before)).map(drop),
        9 => chip.increment_counter(slot.number() & 1).map(drop),
        10 => chip.attest(slot, &[3; 20]).map(drop),
        _ => chip.write_slot(slot, &[1; 32]),
    };
    let chip = chip.transport_mut();
    assert!(chip.asleep || !chip.acknowledged, "the chip was left awake: {done:?}");
});
