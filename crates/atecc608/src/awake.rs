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

/// A command is only begun if it ends within this time after the wake: the watchdog may bite at 700 ms.
const WATCHDOG_BUDGET: Duration = Duration::from_millis(WATCHDOG_MIN_MS - 50);
/// Between two tries to wake a chip that may be busy.
const WAKE_INTERVAL: Duration = Duration::from_millis(5);
/// Between two looks whether a woken chip has come up.
const COMING_UP_INTERVAL: Duration = Duration::from_millis(2);
/// How long that may take: a power-on self-test may be enabled and not known of yet.
const COMING_UP: Duration = Duration::from_micros(timing::WAKE_HIGH_SELF_TEST_US + 5_000);
/// Tries to wake a chip that answers, but not as it should after a wake.
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
    /// The chip has told the serial number that is expected.
    confirmed: bool,
}

impl<'c, P: Transport> Awake<'c, P> {
    /// Begins a conversation.
    pub(super) fn wake(chip: &'c mut Chip<P>) -> Result<Self> {
        let woken_at = sleep_and_wake(chip)?;
        Ok(Self { chip, woken_at, holds_state: false, authorised: false, confirmed: false })
    }

    /// Executes a command and decodes its reply. Waits for the command's typical execution time, then polls
    /// every 1 to 2 ms; once this chip was seen to take about the same time eight times, it begins shortly before that. A damaged reply is read again; a command that the chip reports as damaged (status FF) was not executed and is sent again.
    ///
    /// # Errors
    /// - [`Error::Status`]: the chip refuses the command.
    /// - [`Error::Lost`]: the chip stopped acknowledging. [`Error::Timeout`]: it is busy for longer than the command may take.
    /// - [`Error::Damaged`], [`Error::Response`]: the reply is damaged, or not one to this command.
    /// - [`Error::Bus`]: the transport failed.
    /// - As [`Awake::check_configuration`], before a command that changes something for good.
    /// - [`Error::Uncertain`], in the place of these but a refusal: the command is not repeatable
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

    /// Has a command executed; answers the payload of its reply.
    fn exchange(&mut self, packet: &CommandPacket) -> Result<Zeroizing<Vec<u8>>> {
        self.mind_the_watchdog(packet.opcode)?;
        let result = exchange(&mut self.chip.transport, &mut self.chip.paces, self.chip.divider, packet);
        if matches!(packet.opcode, Opcode::NONCE | Opcode::GEN_DIG | Opcode::SHA) {
            self.holds_state = true;
        }
        if packet.opcode == Opcode::NONCE {
            // A chip may end the authorisation there.
            self.authorised = false;
        }
        self.chip.stuck = matches!(result, Err(Error::Timeout { .. }));
        result
    }

    /// Checks that the chip is the one that is expected ([`Chip::expect`]), before anything that another chip in its place must not
    /// do: one Read, once in a conversation. Comes after [`Awake::check_configuration`].
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

    /// Checks a configuration that was not wholly read ([`Chip::expect_configuration`]), before anything that must not follow from a
    /// wrong one: four Reads, once.
    ///
    /// # Errors
    /// As [`Awake::execute`]; [`Error::AnotherChip`]; [`Error::OtherConfiguration`].
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

    /// The chip has told its serial number.
    pub(super) fn note_serial(&mut self, serial: SerialNumber) {
        self.confirmed = self.chip.expected == Some(serial);
    }

    /// Fills `bytes` with the host's random numbers.
    ///
    /// # Errors
    /// [`Error::HostRandom`].
    pub(super) fn fill_random(&mut self, bytes: &mut [u8]) -> Result<()> {
        (self.chip.random)(bytes).map_err(|text| Error::HostRandom(text.into()))
    }

    /// The gate that guards the slot, if one does.
    pub(super) fn gate_of(&self, slot: Slot) -> Option<&Gate> {
        self.chip.gate.as_ref().filter(|gate| gate.guards(slot))
    }

    pub(super) fn is_authorised(&self) -> bool {
        self.authorised
    }

    pub(super) fn set_authorised(&mut self) {
        self.authorised = true;
    }

    /// Does something that may take long while the chip is idle, where its watchdog stands still. TempKey and the digest buffer
    /// stay; an authorisation may not.
    ///
    /// # Errors
    /// [`Error::Lost`] if the chip does not wake up as it should.
    pub fn pause<T>(&mut self, work: impl FnOnce() -> T) -> Result<T> {
        self.authorised = false;
        let _ = self.chip.transport.idle();
        let done = work();
        self.woken_at = pulse(self.chip).map_err(|_| Error::Lost(Opcode::NONCE))?;
        Ok(done)
    }

    /// Wakes the chip anew if the command might not end before the watchdog bites: through idle where TempKey
    /// or a buffer is still needed.
    fn mind_the_watchdog(&mut self, opcode: Opcode) -> Result<()> {
        let elapsed = self.chip.transport.now().saturating_sub(self.woken_at);
        let needed = timing::maximum(opcode, self.chip.divider);
        // A command that needs more than the budget by itself gets a fresh wake and all there is.
        if elapsed + needed <= WATCHDOG_BUDGET || elapsed <= self.chip.wake_delay + WAKE_INTERVAL {
            return Ok(());
        }
        log::trace!("chip {}: waking anew before {opcode}", self.chip.transport.name());
        if self.authorised {
            // Neither sleep nor, perhaps, idle leaves the authorisation: the conversation begins again.
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
        // A NACK means that the watchdog was faster, or that the chip is gone.
        let _ = self.chip.transport.sleep();
    }
}

/// Whether the command, in one of its modes, changes what no later command undoes.
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

/// Why a wake pulse was not answered as it should be.
enum WakeFault {
    /// Nobody acknowledged: busy, or absent.
    Nack,
    /// Other bytes.
    Other([u8; 4]),
    /// The bus failed, or the chip failed its self-test.
    Fatal(Error),
}

/// Puts the chip to sleep, whatever state a dead holder left it in, and wakes it. Answers when the pulse was.
///
/// A NACK to the sleep order means asleep (the usual case), idle, busy or absent; only a busy chip also ignores
/// the wake pulse, so it is given the longest execution time, and one that is stuck the longest watchdog time.
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

/// One wake pulse and the chip's answer to it. Answers when the pulse was.
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
