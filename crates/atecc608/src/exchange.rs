//! Send, wait, poll, read again: one command and its reply (fact sheet sections 1.5, 1.6 and 2).

use std::time::Duration;

use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};

use zeroize::Zeroizing;

use super::{Error, Result, Transport};
use atecc608_wire::frame::decode_response;
use atecc608_wire::timing::{self, ClockDivider};
use atecc608_wire::{word_address, CommandPacket, FrameError, Opcode, Status, MIN_RESPONSE};

/// Between two polls of a busy chip.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// Added to a maximum execution time before a chip counts as stuck.
const GRACE: Duration = Duration::from_millis(20);
/// How often a damaged reply is read again, and a damaged command sent again.
const ATTEMPTS: u32 = 4;

/// How a transfer failed.
pub(super) enum Fault {
    /// Nobody acknowledged: the chip is asleep, idle, busy or absent.
    Nack,
    /// Anything else.
    Bus(String),
}

impl Fault {
    /// As an error of the command that was being exchanged.
    fn during(self, opcode: Opcode) -> Error {
        match self {
            Fault::Nack => Error::Lost(opcode),
            Fault::Bus(detail) => Error::Bus(detail),
        }
    }
}

fn classify<E: embedded_hal::i2c::Error + std::fmt::Display>(error: E) -> Fault {
    match error.kind() {
        ErrorKind::NoAcknowledge(
            NoAcknowledgeSource::Address | NoAcknowledgeSource::Data | NoAcknowledgeSource::Unknown,
        ) => Fault::Nack,
        _ => Fault::Bus(error.to_string()),
    }
}

pub(super) fn write<P: Transport>(port: &mut P, address: u8, bytes: &[u8]) -> Result<(), Fault> {
    port.write(address, bytes).map_err(classify)
}

pub(super) fn read<P: Transport>(port: &mut P, address: u8, bytes: &mut [u8]) -> Result<(), Fault> {
    port.read(address, bytes).map_err(classify)
}

/// Exchanges one command for the payload of its reply. Only envelopes and status FF are looked at here.
///
/// # Errors
/// [`Error::Bus`], [`Error::Lost`], [`Error::Timeout`], [`Error::Damaged`], or [`Error::Status`] with FF.
pub(super) fn exchange<P: Transport>(
    port: &mut P,
    address: u8,
    divider: ClockDivider,
    packet: &CommandPacket,
) -> Result<Zeroizing<Vec<u8>>> {
    let opcode = packet.opcode;
    let frame = Zeroizing::new(packet.encode());
    let group = Zeroizing::new([&[word_address::COMMAND], frame.as_slice()].concat());
    for _ in 0..ATTEMPTS {
        trace_command(address, packet);
        write(port, address, &group).map_err(|fault| fault.during(opcode))?;
        let payload = receive(port, address, divider, opcode)?;
        // Nothing was executed: send it again, whatever it is.
        if payload.as_slice() != [Status::CRC_ERROR.0] {
            trace_reply(address, packet, &payload);
            return Ok(payload);
        }
        log::debug!("chip {address:#04x}: {opcode} arrived damaged, sending it again");
    }
    Err(Error::Status { opcode, status: Status::CRC_ERROR })
}

/// Waits for a reply and reads it; a damaged one is read again.
fn receive<P: Transport>(
    port: &mut P,
    address: u8,
    divider: ClockDivider,
    opcode: Opcode,
) -> Result<Zeroizing<Vec<u8>>> {
    let start = port.now();
    let limit = timing::maximum(opcode, divider) + GRACE;
    delay(port, timing::typical(opcode, divider));
    let mut damage = FrameError::Short { got: 0, expected: MIN_RESPONSE };
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            log::debug!("chip {address:#04x}: reply to {opcode}: {damage}; reading it again");
            // A NACK here means that the chip went away meanwhile; the read below finds out.
            match write(port, address, &[word_address::RESET]) {
                Ok(()) | Err(Fault::Nack) => {}
                Err(fault) => return Err(fault.during(opcode)),
            }
        }
        let reply = loop {
            match read_reply(port, address) {
                Ok(reply) => break reply,
                Err(Fault::Bus(detail)) => return Err(Error::Bus(detail)),
                Err(Fault::Nack) if port.now().saturating_sub(start) < limit => delay(port, POLL_INTERVAL),
                Err(Fault::Nack) => return Err(Error::Timeout { opcode, millis: limit.as_millis() as u64 }),
            }
        };
        match decode_response(&reply) {
            Ok(payload) => return Ok(Zeroizing::new(payload.to_vec())),
            Err(error) => damage = error,
        }
    }
    Err(Error::Damaged { opcode, cause: damage })
}

/// Reads as many bytes as the count says. The chip's read pointer goes on across transactions, so the first
/// read takes what every reply has, the second one the rest.
fn read_reply<P: Transport>(port: &mut P, address: u8) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut reply = Zeroizing::new(vec![0; MIN_RESPONSE]);
    read(port, address, &mut reply)?;
    let count = usize::from(reply[0]);
    if count > MIN_RESPONSE && count != 0xFF {
        let mut whole = Zeroizing::new(vec![0; count]);
        whole[..MIN_RESPONSE].copy_from_slice(&reply);
        read(port, address, &mut whole[MIN_RESPONSE..])?;
        reply = whole;
    }
    Ok(reply)
}

pub(super) fn delay<P: Transport>(port: &mut P, time: Duration) {
    port.delay_us(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
}

/// Whether packets of this command hold nothing that must stay out of a log. Read and Write do only in the
/// configuration zone (param1 bits 1..0 = 0).
fn is_public(packet: &CommandPacket) -> bool {
    match packet.opcode {
        Opcode::INFO
        | Opcode::LOCK
        | Opcode::GEN_KEY
        | Opcode::SIGN
        | Opcode::VERIFY
        | Opcode::SELF_TEST
        | Opcode::COUNTER
        | Opcode::UPDATE_EXTRA => true,
        Opcode::READ | Opcode::WRITE => packet.param1 & 0x03 == 0,
        _ => false,
    }
}

fn trace_command(address: u8, packet: &CommandPacket) {
    log::trace!(
        "chip {address:#04x} <- {} param1 {:02X} param2 {:04X} data {}",
        packet.opcode,
        packet.param1,
        packet.param2,
        shown(&packet.data, is_public(packet))
    );
}

fn trace_reply(address: u8, packet: &CommandPacket, payload: &[u8]) {
    match payload {
        [status] => log::trace!("chip {address:#04x} -> {}: {}", packet.opcode, Status(*status)),
        data => log::trace!("chip {address:#04x} -> {}: {}", packet.opcode, shown(data, is_public(packet))),
    }
}

fn shown(bytes: &[u8], public: bool) -> String {
    if public && !bytes.is_empty() {
        format!("{bytes:02X?}")
    } else {
        format!("({} bytes)", bytes.len())
    }
}
