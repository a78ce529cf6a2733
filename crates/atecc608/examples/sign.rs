// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signs a digest with the key in slot 0 of a chip on a mock bus: a script of the expected transfers.
//!
//! ```text
//! cargo run -p atecc608 --example sign
//! ```
//!
//! With hardware, the bus and the delay are those of a board support crate (on Linux: linux-embedded-hal), the clock is
//! a timer of it, and the random bytes are those of its generator.

use std::cell::Cell;
use std::collections::VecDeque;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use atecc608::i2c::I2cTransport;
use atecc608::wire::commands::{Nonce, Random};
use atecc608::wire::frame::encode_response;
use atecc608::wire::{Command, Slot};
use atecc608::Chip;
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};

const CHIP: u8 = 0x60;
const DIGEST: [u8; 32] = [0x5A; 32];

/// One expected transfer.
enum Step {
    /// These bytes are written to this address, and acknowledged.
    Write(u8, Vec<u8>),
    /// These bytes are written to this address and not acknowledged.
    WriteNack(u8, Vec<u8>),
    /// The chip is read while it is busy.
    ReadNack,
    /// The chip is read and returns these bytes.
    Read(Vec<u8>),
}

/// A bus that checks each transfer against the script.
struct ScriptedBus(VecDeque<Step>);

impl ErrorType for ScriptedBus {
    type Error = ErrorKind;
}

impl I2c for ScriptedBus {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        let nack = Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
        match (operations, self.0.pop_front()) {
            ([Operation::Write(bytes)], Some(Step::Write(at, expected)))
                if (at, *bytes) == (address, &expected[..]) =>
            {
                Ok(())
            }
            ([Operation::Write(bytes)], Some(Step::WriteNack(at, expected)))
                if (at, *bytes) == (address, &expected[..]) =>
            {
                nack
            }
            ([Operation::Read(_)], Some(Step::ReadNack)) if address == CHIP => nack,
            ([Operation::Read(buffer)], Some(Step::Read(bytes))) if buffer.len() == bytes.len() && address == CHIP => {
                buffer.copy_from_slice(&bytes);
                Ok(())
            }
            // The transfer differs from the script.
            _ => Err(ErrorKind::Other),
        }
    }
}

/// The time on the mock bus. It passes only when the driver waits.
#[derive(Clone, Default)]
struct Time(Rc<Cell<Duration>>);

impl DelayNs for Time {
    fn delay_ns(&mut self, ns: u32) {
        self.0.set(self.0.get() + Duration::from_nanos(ns.into()));
    }
}

/// A command and its reply, which is read in two pieces if it is longer than the minimum.
fn exchange(script: &mut VecDeque<Step>, packet: Vec<u8>, payload: &[u8]) {
    script.push_back(Step::Write(CHIP, [vec![0x03], packet].concat()));
    script.push_back(Step::ReadNack);
    let reply = encode_response(payload);
    script.push_back(Step::Read(reply[..4].to_vec()));
    if reply.len() > 4 {
        script.push_back(Step::Read(reply[4..].to_vec()));
    }
}

fn script(signature: &[u8; 64]) -> VecDeque<Step> {
    let mut script = VecDeque::from([
        // Sleep fails because the chip is asleep. Then the wake pulse and its response.
        Step::WriteNack(CHIP, vec![0x01]),
        Step::WriteNack(0x00, vec![0x00]),
        Step::Read(vec![0x04, 0x11, 0x33, 0x43]),
    ]);
    // Random updates the seed of the chip's generator, Nonce loads the digest, Sign signs it.
    exchange(&mut script, Random { update_seed: true }.packet().encode(), &[0xA5; 32]);
    exchange(&mut script, Nonce::digest(&DIGEST).packet().encode(), &[0x00]);
    exchange(&mut script, vec![0x07, 0x41, 0xA0, 0x00, 0x00, 0x7B, 0x85], signature);
    // The conversation ends.
    script.push_back(Step::Write(CHIP, vec![0x01]));
    script
}

/// Signs, prints the signature, and checks that the whole script was used.
///
/// # Errors
/// The driver's [`atecc608::Error`], or a text if expected transfers are missing.
pub fn main() -> Result<(), Box<dyn Error>> {
    let expected: [u8; 64] = std::array::from_fn(|i| i as u8);
    let time = Time::default();
    let clock = time.clone();
    let bus = ScriptedBus(script(&expected));
    let transport = I2cTransport::new(bus, time, move || clock.0.get(), CHIP);
    // Signing uses no random bytes of the host.
    let mut chip = Chip::new(transport, |_| Err("this example has no random bytes".to_owned()));

    let signature = chip.converse(|awake| awake.sign_digest(Slot::from_nibble(0), &DIGEST))?;

    println!("r = {:02x?}\ns = {:02x?}", &signature[..32], &signature[32..]);
    if signature != expected || !chip.transport_mut().bus().0.is_empty() {
        return Err("the script was not followed to its end".into());
    }
    Ok(())
}
