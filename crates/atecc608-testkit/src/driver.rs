// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver on a simulated bus, in virtual time.

use std::time::Duration;

use atecc608::i2c::I2cTransport;
use atecc608::Chip;
use atecc608_sim::SimBus;

/// A chip on a simulated bus.
pub type Simulated<B = SimBus> = I2cTransport<B, SimBus, Box<dyn Fn() -> Duration + Send>>;

/// The driver for the chip at this address.
pub fn on(bus: &SimBus, address: u8) -> Chip<Simulated> {
    Chip::new(transport(bus, bus.clone(), address), host_random)
}

/// The transport to the chip at this address, with `between` between driver and bus.
pub fn transport<B: embedded_hal::i2c::I2c>(bus: &SimBus, between: B, address: u8) -> Simulated<B> {
    let clock = bus.clone();
    I2cTransport::new(between, bus.clone(), Box::new(move || clock.now()), address)
}

/// The host's random numbers.
pub fn host_random(bytes: &mut [u8]) -> Result<(), String> {
    getrandom::fill(bytes).map_err(|error| error.to_string())
}
