//! The driver: one ATECC608 behind any [`Transport`]; the first one is I2C over `embedded-hal` ([`i2c`]).
//!
//! Work is done in conversations ([`Chip::converse`]): sleep, wake, commands, sleep. The chip is usable only
//! through [`Awake`], which puts it to sleep when it goes, so nothing volatile (TempKey, digest buffer,
//! authorisation) outlives a conversation. The caller holds the bus lock meanwhile (`atecc608_token::bus::lock`).

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod attest;
pub mod authorise;
pub mod awake;
pub mod error;
mod exchange;
pub mod i2c;
pub mod ops;
pub mod provision;
pub mod secrets;
pub mod transport;

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

pub use awake::Awake;
pub use error::{Error, Result};
pub use transport::Transport;

use atecc608_wire::timing::{self, ClockDivider};
use atecc608_wire::ConfigZone;

/// How often a conversation is held before its failure is reported.
const CONVERSATIONS: u32 = 3;

/// Where the host's random numbers come from: fills the bytes, or returns why it can't.
type HostRandom = Box<dyn FnMut(&mut [u8]) -> Result<(), String> + Send>;

/// One chip behind a [`Transport`].
pub struct Chip<P> {
    transport: P,
    random: HostRandom,
    divider: ClockDivider,
    wake_delay: Duration,
    /// A command did not end in time: the chip may be stuck until its watchdog bites.
    stuck: bool,
    gate: Option<authorise::Gate>,
}

impl<P: Transport> Chip<P> {
    /// A chip behind `transport`. Sends nothing.
    ///
    /// `random` fills a buffer with random bytes from a generator fit for cryptography, or returns why it can't. They are the
    /// host's part of each nonce, so that neither chip nor host alone chooses it.
    pub fn new(transport: P, random: impl FnMut(&mut [u8]) -> Result<(), String> + Send + 'static) -> Self {
        Self {
            transport,
            random: Box::new(random),
            divider: ClockDivider::M0,
            wake_delay: Duration::from_micros(timing::WAKE_HIGH_US),
            stuck: false,
            gate: None,
        }
    }

    /// Returns the transport.
    pub fn transport_mut(&mut self) -> &mut P {
        &mut self.transport
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
                    let name = self.transport.name();
                    log::debug!("chip {name}: {error}; conversation {conversation} starts again");
                    conversation += 1;
                }
                other => return other,
            }
        }
    }
}

impl<P: fmt::Debug> fmt::Debug for Chip<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chip").field("transport", &self.transport).field("gate", &self.gate).finish_non_exhaustive()
    }
}
