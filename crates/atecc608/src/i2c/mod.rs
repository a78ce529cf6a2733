// SPDX-License-Identifier: MIT OR Apache-2.0
//! I2C: the [`Transport`] over `embedded-hal` 1.0, and [`probe`], which looks for chips on a bus.

use alloc::format;
use alloc::string::String;
use alloc::string::ToString;

pub mod probe;

use core::time::Duration;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{Error as _, ErrorKind, I2c, NoAcknowledgeSource};
use zeroize::Zeroizing;

use crate::transport::{Fault, Transport};
use atecc608_wire::word_address;

/// A chip at an address of an I2C bus.
///
/// `B` is the bus, `D` waits, and `C` is the clock, which `embedded-hal` has no trait for: a function that returns the
/// time since a fixed moment and never goes back.
///
/// The wake pulse is a write of one byte 00 to address 0: the address byte holds SDA low for eight bits, which are 80
/// us at 100 kHz. Above about 133 kHz that is too short. (The data byte is for adapters that refuse an empty write.)
/// The bus error of the pulse is ignored: address 0 is never acknowledged, and adapters report that in different ways.
/// The read after it decides.
#[derive(Debug)]
pub struct I2cTransport<B: I2c, D, C> {
    bus: B,
    delay: D,
    clock: C,
    address: u8,
    describe: fn(&B::Error) -> String,
    /// The last error.
    last: Option<B::Error>,
    /// The bus error of the last wake pulse, unless it was a missing acknowledge.
    pulse: Option<B::Error>,
}

impl<B: I2c, D: DelayNs, C: Fn() -> Duration> I2cTransport<B, D, C> {
    /// Creates a transport to the chip at this 7-bit address (factory default: 0x60). Sends nothing.
    pub fn new(bus: B, delay: D, clock: C, address: u8) -> Self {
        Self { bus, delay, clock, address, describe: |error| error.kind().to_string(), last: None, pulse: None }
    }

    /// Sets how bus errors are described in messages. The default names only their [`ErrorKind`], because
    /// `embedded-hal` requires no more.
    #[must_use]
    pub fn describe_errors(mut self, describe: fn(&B::Error) -> String) -> Self {
        self.describe = describe;
        self
    }

    /// Returns the bus, for transfers that bypass the driver.
    pub fn bus_mut(&mut self) -> &mut B {
        &mut self.bus
    }

    /// Returns the bus.
    pub fn bus(&self) -> &B {
        &self.bus
    }

    /// Sends a wake pulse to every chip on the bus.
    fn pulse(&mut self) {
        self.pulse = self.bus.write(0x00, &[0x00]).err().filter(|error| !is_nack(error));
    }

    fn read_from(&mut self, address: u8, bytes: &mut [u8]) -> Result<(), Fault> {
        let done = self.bus.read(address, bytes);
        self.noted(done)
    }

    /// Writes `bytes` to the chip.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let done = self.bus.write(self.address, bytes);
        self.noted(done).map_err(named)
    }

    /// Remembers an error, for the message about a chip that does not respond.
    fn noted(&mut self, done: Result<(), B::Error>) -> Result<(), Fault> {
        done.map_err(|error| {
            let fault = if is_nack(&error) { Fault::Nack } else { Fault::Failed((self.describe)(&error).into()) };
            self.last = Some(error);
            fault
        })
    }
}

impl<B: I2c, D: DelayNs, C: Fn() -> Duration> Transport for I2cTransport<B, D, C> {
    fn name(&self) -> String {
        format!("{:#04x}", self.address)
    }

    fn absence(&self) -> String {
        format!(
            "no chip responds at address {:#04x}: run `atecc608 scan`, or `atecc608 scan --all-addresses` for a chip at another \
             address; check supply and wiring, and that the bus clock is at most 100 kHz: at 400 kHz the wake pulse \
             is too short{}{}",
            self.address,
            self.last
                .as_ref()
                .map_or_else(String::new, |error| format!(". The adapter reported: {}", (self.describe)(error))),
            self.pulse
                .as_ref()
                .map_or_else(String::new, |error| format!("; to the wake pulse: {}", (self.describe)(error))),
        )
    }

    fn wake(&mut self) -> Result<(), Fault> {
        self.pulse();
        Ok(())
    }

    fn send(&mut self, packet: &[u8]) -> Result<(), Fault> {
        let group = Zeroizing::new([&[word_address::COMMAND], packet].concat());
        self.write(&group)
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        self.read_from(self.address, bytes).map_err(named)
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.write(&[word_address::RESET])
    }

    fn sleep(&mut self) -> Result<(), Fault> {
        self.write(&[word_address::SLEEP])
    }

    fn idle(&mut self) -> Result<(), Fault> {
        self.write(&[word_address::IDLE])
    }

    fn now(&self) -> Duration {
        (self.clock)()
    }

    fn delay(&mut self, time: Duration) {
        self.delay.delay_us(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }
}

fn is_nack<E: embedded_hal::i2c::Error>(error: &E) -> bool {
    use NoAcknowledgeSource::{Address, Data, Unknown};
    matches!(error.kind(), ErrorKind::NoAcknowledge(Address | Data | Unknown))
}

/// Adds the bus error to a fault.
fn named(fault: Fault) -> Fault {
    match fault {
        Fault::Failed(text) => Fault::Failed(format!("the I2C bus failed: {text}").into()),
        Fault::Nack => Fault::Nack,
    }
}
