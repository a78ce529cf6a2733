// SPDX-License-Identifier: MIT OR Apache-2.0
//! Send, wait, poll, read again: one command and its reply (fact sheet sections 1.5, 1.6 and 2).

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use zeroize::Zeroizing;

use super::pace::Paces;
use super::transport::{Fault, Transport};
use super::{Error, Result};
use atecc608_wire::frame::decode_response;
use atecc608_wire::timing::{self, ClockDivider};
use atecc608_wire::{CommandPacket, FrameError, Opcode, Status, MIN_RESPONSE};

/// Added to [`longest`] before a chip counts as stuck.
const GRACE: Duration = Duration::from_millis(20);
/// How often a damaged reply is read again, and a damaged command sent again.
const ATTEMPTS: u32 = 4;

/// Sends one command and returns the payload of its reply. Checks only the envelope and status FF.
///
/// # Errors
/// - [`Error::Bus`]: the transport failed.
/// - [`Error::Lost`]: the chip stopped acknowledging. [`Error::Timeout`]: it stayed busy.
/// - [`Error::Damaged`]: the reply is damaged after all attempts.
/// - [`Error::Status`] with FF: the chip received a damaged command in all attempts.
pub(super) fn exchange<P: Transport>(
    transport: &mut P,
    paces: &mut Paces,
    divider: ClockDivider,
    packet: &CommandPacket,
) -> Result<Zeroizing<Vec<u8>>> {
    let opcode = packet.opcode;
    let frame = Zeroizing::new(packet.encode());
    for _ in 0..ATTEMPTS {
        trace_command(transport, packet);
        transport.send(&frame).map_err(|fault| during(opcode, fault))?;
        let payload = receive(transport, paces, divider, packet)?;
        // Nothing was executed: any command can be sent again.
        if payload.as_slice() != [Status::CRC_ERROR.0] {
            trace_reply(transport, packet, &payload);
            return Ok(payload);
        }
        log::debug!("chip {}: {opcode} arrived damaged, sending it again", transport.name());
    }
    Err(Error::Status { opcode, status: Status::CRC_ERROR })
}

/// 1.5 times the maximum of the revisions whose times are published. The ATECC608C differs in "minor" ways (AN5078),
/// and a slow chip must not count as stuck.
fn longest(opcode: Opcode, divider: ClockDivider) -> Duration {
    timing::maximum(opcode, divider) * 3 / 2
}

/// Waits for a reply and reads it; a damaged one is read again.
fn receive<P: Transport>(
    transport: &mut P,
    paces: &mut Paces,
    divider: ClockDivider,
    packet: &CommandPacket,
) -> Result<Zeroizing<Vec<u8>>> {
    let (opcode, pace) = (packet.opcode, paces.of(packet, divider));
    let start = transport.now();
    let limit = longest(opcode, divider) + GRACE;
    transport.delay(pace.first);
    let mut busy = None;
    let mut damage = FrameError::Short { got: 0, expected: MIN_RESPONSE as u16 };
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            log::debug!("chip {}: reply to {opcode}: {damage}; reading it again", transport.name());
            // A NACK here means that the chip disappeared meanwhile; the read below detects that.
            match transport.reset() {
                Ok(()) | Err(Fault::Nack) => {}
                Err(fault) => return Err(during(opcode, fault)),
            }
        }
        let (reply, ready) = loop {
            let polled = transport.now().saturating_sub(start);
            match read_reply(transport) {
                Ok(reply) => break (reply, polled),
                Err(Fault::Failed(text)) => return Err(Error::Bus(text)),
                Err(Fault::Nack) if polled < limit => {
                    busy = Some(polled);
                    let passed = transport.now().saturating_sub(start);
                    transport.delay((polled + pace.interval(polled)).saturating_sub(passed));
                }
                Err(Fault::Nack) => return Err(Error::Timeout { opcode, millis: limit.as_millis() as u64 }),
            }
        };
        match decode_response(&reply) {
            Ok(payload) => {
                // A refusal ends earlier than the command.
                if attempt == 0 && !matches!(payload, [status] if *status != Status::SUCCESS.0) {
                    paces.learn(packet, pace, busy, ready);
                }
                return Ok(Zeroizing::new(payload.to_vec()));
            }
            Err(error) => damage = error,
        }
    }
    Err(Error::Damaged { opcode, cause: damage })
}

/// Reads as many bytes as the count says. The chip's read pointer continues across transactions: the first read gets
/// the length of the shortest reply, the second one the rest.
fn read_reply<P: Transport>(transport: &mut P) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut reply = Zeroizing::new(vec![0; MIN_RESPONSE]);
    transport.receive(&mut reply)?;
    let count = usize::from(reply[0]);
    if count > MIN_RESPONSE && count != 0xFF {
        let mut whole = Zeroizing::new(vec![0; count]);
        whole[..MIN_RESPONSE].copy_from_slice(&reply);
        transport.receive(&mut whole[MIN_RESPONSE..])?;
        reply = whole;
    }
    Ok(reply)
}

/// Converts a fault to an error of the command.
fn during(opcode: Opcode, fault: Fault) -> Error {
    match fault {
        Fault::Nack => Error::Lost(opcode),
        Fault::Failed(text) => Error::Bus(text),
    }
}

/// Whether packets of this command contain nothing secret, so that they may be logged. Read and Write only in the
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

fn trace_command<P: Transport>(transport: &P, packet: &CommandPacket) {
    log::trace!(
        "chip {} <- {} param1 {:02X} param2 {:04X} data {}",
        transport.name(),
        packet.opcode,
        packet.param1,
        packet.param2,
        shown(&packet.data, is_public(packet))
    );
}

fn trace_reply<P: Transport>(transport: &P, packet: &CommandPacket, payload: &[u8]) {
    match payload {
        [status] => log::trace!("chip {} -> {}: {}", transport.name(), packet.opcode, Status(*status)),
        data => log::trace!("chip {} -> {}: {}", transport.name(), packet.opcode, shown(data, is_public(packet))),
    }
}

fn shown(bytes: &[u8], public: bool) -> String {
    if public && !bytes.is_empty() {
        format!("{bytes:02X?}")
    } else {
        format!("({} bytes)", bytes.len())
    }
}
