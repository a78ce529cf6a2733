// SPDX-License-Identifier: MIT OR Apache-2.0
//! The chip while it is awake (fact sheet sections 1.3 and 1.4).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use zeroize::Zeroizing;

use super::authorise::Gate;
use super::exchange::exchange;
use super::transport::{Fault, Transport};
use super::{Chip, Error, Result};
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::timing::{self, WATCHDOG_MAX_MS, WATCHDOG_MIN_MS};
use atecc608_wire::{frame, Command, CommandPacket, Opcode, Slot, Status, WAKE_RESPONSE};

/// A command is started only if it ends within this time after the wake: the watchdog may expire at 700 ms.
const WATCHDOG_BUDGET: Duration = Duration::from_millis(WATCHDOG_MIN_MS - 50);
/// Time between two attempts to wake a chip that may be busy.
const WAKE_INTERVAL: Duration = Duration::from_millis(5);
/// Time between two polls for a woken chip to respond.
const COMING_UP_INTERVAL: Duration = Duration::from_millis(2);
/// How long that may take: a power-on self-test may be enabled without the driver knowing yet.
const COMING_UP: Duration = Duration::from_micros(timing::WAKE_HIGH_SELF_TEST_US + 5_000);
/// Attempts to wake a chip that responds wrongly to a wake.
const WAKE_ATTEMPTS: u32 = 4;

/// Proof that the chip is awake and that its TempKey and buffers are this conversation's. Dropping it puts the
/// chip to sleep, which wipes them.
#[derive(Debug)]
pub struct Awake<'c, P: Transport> {
    chip: &'c mut Chip<P>,
    woken_at: Duration,
    /// A command has left something in TempKey, a buffer or the SHA context.
    holds_state: bool,
    /// CheckMac has authorised the use of the slots that ask for it.
    authorised: bool,
    /// The chip has returned the expected serial number.
    confirmed: bool,
}

impl<'c, P: Transport> Awake<'c, P> {
    /// Begins a conversation.
    pub(super) fn wake(chip: &'c mut Chip<P>) -> Result<Self> {
        let woken_at = sleep_and_wake(chip)?;
        Ok(Self { chip, woken_at, holds_state: false, authorised: false, confirmed: false })
    }

    /// Executes a command and decodes its reply. Waits for the command's typical execution time, then polls every 1 to
    /// 2 ms; once the last eight executions on this chip took about the same time, it starts polling shortly before
    /// that. A damaged reply is read again; a command that the chip reports as damaged (status FF) was not executed and
    /// is sent again.
    ///
    /// # Errors
    /// - [`Error::Status`]: the chip refuses the command.
    /// - [`Error::Lost`]: the chip stopped acknowledging. [`Error::Timeout`]: it is busy for longer than the command
    ///   may take.
    /// - [`Error::Damaged`], [`Error::Response`]: the reply is damaged, or does not fit this command.
    /// - [`Error::Bus`]: the transport failed.
    /// - As [`Awake::check_configuration`], before a command that changes something for good.
    /// - [`Error::Uncertain`], instead of any of these except a refusal: the command is not repeatable
    ///   ([`Command::repeatable`]), and it is not known whether it took effect.
    pub fn execute<C: Command>(&mut self, command: &C) -> Result<C::Response> {
        if changes_for_good(C::OPCODE) {
            self.check_configuration()?;
        }
        let result = self.exchange(&command.packet()).and_then(|payload| read_payload(command, &payload));
        result.map_err(|error| {
            if command.repeatable() || error.is_refusal() {
                error
            } else {
                Error::Uncertain { opcode: C::OPCODE, cause: Box::new(error) }
            }
        })
    }

    /// Executes a command; returns the payload of its reply.
    fn exchange(&mut self, packet: &CommandPacket) -> Result<Zeroizing<Vec<u8>>> {
        self.mind_the_watchdog(packet.opcode)?;
        let result = exchange(&mut self.chip.transport, &mut self.chip.paces, self.chip.divider, packet);
        if matches!(packet.opcode, Opcode::NONCE | Opcode::GEN_DIG | Opcode::SHA) {
            self.holds_state = true;
        }
        if packet.opcode == Opcode::NONCE {
            // The chip may drop the authorisation at this point.
            self.authorised = false;
        }
        self.chip.stuck = matches!(result, Err(Error::Timeout { .. }));
        result
    }

    /// Checks that the chip is the expected one ([`Chip::expect`]), before an operation that must not run on another
    /// chip: one Read, once in a conversation. Includes [`Awake::check_configuration`].
    ///
    /// # Errors
    /// As [`Awake::check_configuration`].
    pub fn confirm(&mut self) -> Result<()> {
        self.check_configuration()?;
        let Some(expected) = self.chip.expected.filter(|_| !self.confirmed) else { return Ok(()) };
        let found = SerialNumber::in_identity(&self.read_identity()?);
        self.note_serial(found);
        match self.confirmed {
            true => Ok(()),
            false => Err(Error::AnotherChip { expected, found }),
        }
    }

    /// Checks a configuration that was only partly read ([`Chip::expect_configuration`]), before an operation that
    /// depends on it: four Reads, once.
    ///
    /// # Errors
    /// As [`Awake::execute`]; [`Error::AnotherChip`] if the serial number differs from the expected one;
    /// [`Error::OtherConfiguration`] if the zone differs from the one that was kept.
    pub fn check_configuration(&mut self) -> Result<()> {
        let Some(kept) = self.chip.unread.clone() else { return Ok(()) };
        let zone = self.read_config()?;
        let (expected, found) = (kept.serial_number(), zone.serial_number());
        if found != expected {
            return Err(Error::AnotherChip { expected, found });
        }
        if zone.fixed() != kept.fixed() {
            return Err(Error::OtherConfiguration(found));
        }
        self.chip.unread = None;
        Ok(())
    }

    /// Notes that the chip has returned its serial number.
    pub(super) fn note_serial(&mut self, serial: SerialNumber) {
        self.confirmed = self.chip.expected == Some(serial);
    }

    /// Fills `bytes` with the host's random numbers.
    ///
    /// # Errors
    /// [`Error::HostRandom`] if the host's source fails.
    pub(super) fn fill_random(&mut self, bytes: &mut [u8]) -> Result<()> {
        (self.chip.random)(bytes).map_err(|text| Error::HostRandom(text.into()))
    }

    /// Returns the gate that guards the slot, if there is one.
    pub(super) fn gate_of(&self, slot: Slot) -> Option<&Gate> {
        self.chip.gate.as_ref().filter(|gate| gate.guards(slot))
    }

    pub(super) fn is_authorised(&self) -> bool {
        self.authorised
    }

    pub(super) fn set_authorised(&mut self) {
        self.authorised = true;
    }

    /// Runs `work`, which may take long, while the chip is idle and its watchdog stopped. TempKey and the digest buffer
    /// are kept; an authorisation may not be.
    ///
    /// # Errors
    /// [`Error::Lost`] if the chip does not wake up afterwards.
    pub fn pause<T>(&mut self, work: impl FnOnce() -> T) -> Result<T> {
        self.authorised = false;
        let _ = self.chip.transport.idle();
        let done = work();
        self.woken_at = pulse(self.chip).map_err(|_| Error::Lost(Opcode::NONCE))?;
        Ok(done)
    }

    /// Wakes the chip again if the command might not end before the watchdog expires: through idle if TempKey or a
    /// buffer is still needed.
    fn mind_the_watchdog(&mut self, opcode: Opcode) -> Result<()> {
        let elapsed = self.chip.transport.now().saturating_sub(self.woken_at);
        let needed = timing::maximum(opcode, self.chip.divider);
        // A command that needs more than the budget by itself gets a fresh wake and the whole time.
        if elapsed + needed <= WATCHDOG_BUDGET || elapsed <= self.chip.wake_delay + WAKE_INTERVAL {
            return Ok(());
        }
        log::trace!("chip {}: waking again before {opcode}", self.chip.transport.name());
        if self.authorised {
            // Sleep clears the authorisation, and idle may: the conversation is repeated.
            return Err(Error::Lost(opcode));
        }
        self.woken_at = if self.holds_state {
            let _ = self.chip.transport.idle();
            pulse(self.chip).map_err(|_| Error::Lost(opcode))?
        } else {
            sleep_and_wake(self.chip)?
        };
        Ok(())
    }
}

impl<P: Transport> Drop for Awake<'_, P> {
    fn drop(&mut self) {
        // A NACK means that the watchdog expired first, or that the chip is gone.
        let _ = self.chip.transport.sleep();
    }
}

/// Whether the command, in one of its modes, makes a change that no later command undoes.
fn changes_for_good(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::COUNTER
            | Opcode::DERIVE_KEY
            | Opcode::GEN_KEY
            | Opcode::LOCK
            | Opcode::PRIV_WRITE
            | Opcode::SECURE_BOOT
            | Opcode::UPDATE_EXTRA
            | Opcode::WRITE
    )
}

fn read_payload<C: Command>(command: &C, payload: &[u8]) -> Result<C::Response> {
    match payload {
        [status] if !C::ONE_BYTE_IS_DATA && *status != Status::SUCCESS.0 => {
            Err(Error::Status { opcode: C::OPCODE, status: Status(*status) })
        }
        payload => Ok(command.response(payload)?),
    }
}

/// Why a wake failed.
enum WakeFault {
    /// No acknowledge: busy, or absent.
    Nack,
    /// Other bytes than the wake response.
    Other([u8; 4]),
    /// The bus failed, or the chip failed its self-test.
    Fatal(Error),
}

/// Puts the chip to sleep, whatever state a dead process left it in, and wakes it. Returns the time of the pulse.
///
/// A NACK to the sleep command means asleep (the usual case), idle, busy or absent. Only a busy chip also ignores the
/// wake pulse. So the wake is retried for the longest execution time, and for a chip that is stuck for the longest
/// watchdog time.
fn sleep_and_wake<P: Transport>(chip: &mut Chip<P>) -> Result<Duration> {
    let start = chip.transport.now();
    let patience = Duration::from_millis(50)
        + if chip.stuck { Duration::from_millis(WATCHDOG_MAX_MS) } else { timing::longest(chip.divider) };
    let mut strange = 0;
    loop {
        if let Err(Fault::Failed(text)) = chip.transport.sleep() {
            return Err(Error::Bus(text));
        }
        match pulse(chip) {
            Ok(woken_at) => {
                chip.stuck = false;
                return Ok(woken_at);
            }
            Err(WakeFault::Fatal(error)) => {
                // It may be awake.
                let _ = chip.transport.sleep();
                return Err(error);
            }
            Err(WakeFault::Other(response)) => {
                strange += 1;
                if strange == WAKE_ATTEMPTS {
                    let _ = chip.transport.sleep();
                    return Err(Error::WakeResponse { chip: chip.transport.name().into(), response });
                }
            }
            Err(WakeFault::Nack) => {
                if chip.transport.now().saturating_sub(start) > patience {
                    return Err(Error::NotAnswering(chip.transport.absence().into()));
                }
                chip.transport.delay(WAKE_INTERVAL);
            }
        }
    }
}

/// Sends one wake pulse and reads the response. Returns the time of the pulse.
fn pulse<P: Transport>(chip: &mut Chip<P>) -> Result<Duration, WakeFault> {
    let woken_at = chip.transport.now();
    if let Err(Fault::Failed(text)) = chip.transport.wake() {
        return Err(WakeFault::Fatal(Error::Bus(text)));
    }
    chip.transport.delay(chip.wake_delay);
    let mut response = [0; 4];
    loop {
        match chip.transport.receive(&mut response) {
            Ok(()) => break,
            Err(Fault::Nack) if chip.transport.now().saturating_sub(woken_at) < COMING_UP => {
                chip.transport.delay(COMING_UP_INTERVAL);
            }
            Err(Fault::Nack) => return Err(WakeFault::Nack),
            Err(Fault::Failed(text)) => return Err(WakeFault::Fatal(Error::Bus(text))),
        }
    }
    match frame::decode_response(&response) {
        _ if response == WAKE_RESPONSE => Ok(woken_at),
        Ok([status]) if *status == Status::SELF_TEST_ERROR.0 => Err(WakeFault::Fatal(Error::SelfTestFailed)),
        _ => Err(WakeFault::Other(response)),
    }
}
