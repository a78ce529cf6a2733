// SPDX-License-Identifier: MIT OR Apache-2.0
//! A driver for the secure elements ATECC608A and ATECC608B (Microchip), without the standard library.
//!
//! A [`Chip`] is used in conversations ([`Chip::converse`]): sleep, wake, commands, sleep. During a conversation the
//! caller has an [`Awake`], the only type that executes commands. Dropping it puts the chip to sleep, so that no
//! volatile state (TempKey, digest buffer, authorisation) outlives a conversation. The driver retries what may be
//! repeated; after a lost reply to a command that may take effect only once, it reads from the chip what happened.
//!
//! The caller provides the transport ([`Transport`]; over `embedded-hal` it is [`i2c::I2cTransport`]) and random bytes,
//! and ensures exclusive use of the chip during a conversation.
//!
//! ```no_run
//! use atecc608::i2c::I2cTransport;
//! use atecc608::wire::Slot;
//! use atecc608::Chip;
//! # use core::time::Duration;
//! # fn example(
//! #     i2c: impl embedded_hal::i2c::I2c,
//! #     delay: impl embedded_hal::delay::DelayNs,
//! #     clock: fn() -> Duration,
//! #     random: fn(&mut [u8]) -> Result<(), String>,
//! #     digest: [u8; 32],
//! # ) -> atecc608::Result<()> {
//! let mut chip = Chip::new(I2cTransport::new(i2c, delay, clock, 0x60), random);
//! let slot = Slot::from_nibble(0);
//! let (public_key, signature) =
//!     chip.converse(|awake| Ok((awake.public_key(slot)?, awake.sign_digest(slot, &digest)?)))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Reading order
//!
//! 1. [`transport`]: the interface to the chip, and [`i2c`]: its implementation over I2C, with a probe of a bus.
//! 2. `exchange`: one command and its reply: send, wait, poll, read again; `pace`: when to poll.
//! 3. [`awake`]: wake, watchdog, execution; this file: conversations and their repetition.
//! 4. What a chip can do: [`ops`] (keys, signatures, ECDH, counters), [`presence`] (which slots hold keys), [`secrets`]
//!    (encrypted writes and results, HMAC), [`authorise`] (keys that need an authorisation), [`latch`] (keys that work
//!    only while it is set), [`attest`] (statements about keys), [`provision`] (zones and locks).
//! 5. [`error`]: the errors, and which of them allow a retry.
//!
//! Commands, packets and the configuration zone are types of [`atecc608_wire`], re-exported as [`wire`]. "Fact sheet"
//! in the comments means the project's digest of the datasheets; its section numbers are those of the tests, too.

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
pub mod latch;
pub mod ops;
mod pace;
pub mod presence;
pub mod provision;
pub mod secrets;
pub mod transport;

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

pub use awake::Awake;
pub use error::{Error, Result};
pub use transport::Transport;

pub use atecc608_wire as wire;

use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::timing::{self, ClockDivider};
use atecc608_wire::ConfigZone;

/// Attempts at a conversation before its failure is reported.
const CONVERSATIONS: u32 = 3;

/// The source of the host's random numbers: fills the bytes, or returns why it can't.
type HostRandom = Box<dyn FnMut(&mut [u8]) -> Result<(), String> + Send>;

/// One chip behind a [`Transport`].
pub struct Chip<P> {
    transport: P,
    random: HostRandom,
    divider: ClockDivider,
    wake_delay: Duration,
    /// The observed execution times of its commands.
    paces: pace::Paces,
    /// A command did not end in time: the chip may be stuck until its watchdog expires.
    stuck: bool,
    gate: Option<authorise::Gate>,
    /// The serial number that the chip must have.
    expected: Option<SerialNumber>,
    /// Its configuration, if that was only partly read.
    unread: Option<Box<ConfigZone>>,
}

impl<P: Transport> Chip<P> {
    /// Creates a driver for the chip behind `transport`. Sends nothing.
    ///
    /// `random` fills a buffer with random bytes from a cryptographic generator, or returns why it can't. They are the
    /// host's part of each nonce, so that neither chip nor host alone chooses it.
    pub fn new(transport: P, random: impl FnMut(&mut [u8]) -> Result<(), String> + Send + 'static) -> Self {
        Self {
            transport,
            random: Box::new(random),
            divider: ClockDivider::M0,
            wake_delay: Duration::from_micros(timing::WAKE_HIGH_US),
            paces: pace::Paces::default(),
            stuck: false,
            gate: None,
            expected: None,
            unread: None,
        }
    }

    /// Returns the transport.
    pub fn transport_mut(&mut self) -> &mut P {
        &mut self.transport
    }

    /// Sets the serial number that the chip must have; `None` accepts any. Conversations that use or change the
    /// contents of a slot, except signatures, then read the serial number first, once each ([`Awake::confirm`]).
    pub fn expect(&mut self, serial: Option<SerialNumber>) {
        self.expected = serial;
    }

    /// Sets a configuration that was only partly read ([`Awake::read_config_but_kept`]); `None`: it was read
    /// completely. The first command that makes a permanent change, and [`Awake::confirm`], then read all of it first,
    /// once: four Reads.
    pub fn expect_configuration(&mut self, zone: Option<&ConfigZone>) {
        self.unread = zone.cloned().map(Box::new);
    }

    /// Sets the chip's execution times (clock divider) and the wait after a wake (1.5 ms, or 20 ms with a power-on
    /// self-test) according to its configuration. The default is that of a chip from the factory.
    pub fn apply_timing(&mut self, zone: &ConfigZone) {
        self.divider = zone.clock_divider();
        self.paces.forget();
        self.wake_delay = Duration::from_micros(if zone.chip_options().power_on_self_test() {
            timing::WAKE_HIGH_SELF_TEST_US
        } else {
            timing::WAKE_HIGH_US
        });
    }

    /// Runs one conversation without repeating it: for keys with a limited number of uses.
    ///
    /// # Errors
    /// - [`Error::NotAnswering`], [`Error::WakeResponse`], [`Error::SelfTestFailed`], [`Error::Bus`]: the chip does not
    ///   wake.
    /// - What `work` returns; commands fail as [`Awake::execute`] says.
    pub fn converse_once<T>(&mut self, work: impl FnOnce(&mut Awake<'_, P>) -> Result<T>) -> Result<T> {
        work(&mut Awake::wake(self)?)
    }

    /// Runs one conversation: wakes the chip, does the work, puts the chip to sleep.
    ///
    /// If contact is lost on the way ([`Error::is_recoverable`]: a bus fault, the watchdog, a removed and reinserted
    /// chip), the work is run again from its beginning, at most three times in total, so it must not depend on an
    /// earlier attempt. Commands that may take effect only once fail with [`Error::Uncertain`] instead, which is not
    /// repeated here.
    ///
    /// # Errors
    /// As [`Chip::converse_once`], from the last attempt.
    pub fn converse<T>(&mut self, mut work: impl FnMut(&mut Awake<'_, P>) -> Result<T>) -> Result<T> {
        // Compiled once for all kinds of work: there are many.
        let mut answer = None;
        self.do_converse(&mut |awake| {
            answer = Some(work(awake)?);
            Ok(())
        })?;
        answer.ok_or_else(|| Error::Mismatch("nothing was done".into()))
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
