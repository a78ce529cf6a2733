//! The driver: one ATECC608 behind any `embedded-hal` I2C bus.
//!
//! Work is done in conversations ([`Chip::converse`]): sleep, wake, commands, sleep. The chip is usable only
//! through [`Awake`], which puts it to sleep when it goes, so nothing volatile (TempKey, digest buffer,
//! authorisation) outlives a conversation. The caller holds the bus lock meanwhile (`atecc608_token::bus::lock`).

pub mod attest;
pub mod authorise;
pub mod awake;
pub mod error;
mod exchange;
pub mod locked;
pub mod ops;
pub mod probe;
pub mod provision;
pub mod secrets;

use std::fmt::Display;
use std::time::Duration;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorType, I2c};

pub use awake::Awake;
pub use error::{Error, Result};

use atecc608_wire::timing::{self, ClockDivider};
use atecc608_wire::ConfigZone;

/// What the driver needs of a bus: transfers, delays, and the time that passes meanwhile.
pub trait Transport: I2c + DelayNs + ErrorType<Error: Display> {
    /// Time since some fixed point; never goes back.
    fn now(&self) -> Duration;
}

impl<P: Transport> Transport for &mut P {
    fn now(&self) -> Duration {
        P::now(self)
    }
}

/// How often a conversation is held before its failure is reported.
const CONVERSATIONS: u32 = 3;

/// One chip at one address.
#[derive(Debug)]
pub struct Chip<P> {
    port: P,
    address: u8,
    divider: ClockDivider,
    wake_delay: Duration,
    /// A command did not end in time: the chip may be stuck until its watchdog bites.
    stuck: bool,
    gate: Option<authorise::Gate>,
}

impl<P: Transport> Chip<P> {
    /// A chip at this 7-bit address; nothing is sent yet.
    pub fn new(port: P, address: u8) -> Self {
        Self {
            port,
            address,
            divider: ClockDivider::M0,
            wake_delay: Duration::from_micros(timing::WAKE_HIGH_US),
            stuck: false,
            gate: None,
        }
    }

    /// Its 7-bit address.
    pub fn address(&self) -> u8 {
        self.address
    }

    /// The bus it is on.
    pub fn transport_mut(&mut self) -> &mut P {
        &mut self.port
    }

    /// Takes the chip's execution and wake times from its configuration.
    pub fn apply_timing(&mut self, zone: &ConfigZone) {
        self.divider = zone.clock_divider();
        self.wake_delay = Duration::from_micros(if zone.chip_options().power_on_self_test() {
            timing::WAKE_HIGH_SELF_TEST_US
        } else {
            timing::WAKE_HIGH_US
        });
    }

    /// Holds one conversation and does not try again: for keys whose uses are counted for good.
    ///
    /// # Errors
    /// Those of the wake and of the work.
    pub fn converse_once<T>(&mut self, work: impl FnOnce(&mut Awake<'_, P>) -> Result<T>) -> Result<T> {
        work(&mut Awake::wake(self)?)
    }

    /// Holds one conversation: wakes the chip, does the work, puts it to sleep.
    ///
    /// The work is done again from its beginning when the chip got lost on the way (a damaged bus, the
    /// watchdog, a pulled and reinserted chip), so it must not rely on what an earlier try did. Commands that may
    /// take effect only once answer [`Error::Uncertain`] instead, which is never tried again here.
    ///
    /// # Errors
    /// The last try's.
    pub fn converse<T>(&mut self, mut work: impl FnMut(&mut Awake<'_, P>) -> Result<T>) -> Result<T> {
        // Compiled once for all kinds of work: there are many.
        let mut answer = None;
        self.do_converse(&mut |awake| {
            answer = Some(work(awake)?);
            Ok(())
        })?;
        answer.ok_or_else(|| Error::Mismatch("nothing was done".to_owned()))
    }

    fn do_converse(&mut self, work: &mut dyn FnMut(&mut Awake<'_, P>) -> Result<()>) -> Result<()> {
        let mut conversation = 1;
        loop {
            match self.converse_once(&mut *work) {
                Err(error) if error.is_recoverable() && conversation < CONVERSATIONS => {
                    log::debug!("chip {:#04x}: {error}; conversation {conversation} starts again", self.address);
                    conversation += 1;
                }
                other => return other,
            }
        }
    }
}
