// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lock (fact sheet section 3.10).

use crate::command::{require, success, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// What Lock locks; irreversible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockZone {
    /// The configuration zone.
    Config,
    /// Data and OTP zones.
    Data,
    /// One slot.
    Slot(Slot),
}

/// Lock: irreversible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// What to lock.
    pub zone: LockZone,
    /// CRC-16 over the zone's contents, checked by the chip; `None` skips the check (mode bit 7). Always `None` for a
    /// slot.
    pub summary: Option<[u8; 2]>,
}

impl Command for Lock {
    const OPCODE: Opcode = Opcode::LOCK;
    type Response = ();

    fn packet(&self) -> CommandPacket {
        let zone = match self.zone {
            LockZone::Config => 0,
            LockZone::Data => 1,
            LockZone::Slot(slot) => 2 | slot.number() << 2,
        };
        let unchecked = match (self.zone, self.summary) {
            (LockZone::Slot(_), _) | (_, Some(_)) => 0,
            (_, None) => 0x80,
        };
        CommandPacket::new(Self::OPCODE, zone | unchecked, u16::from_le_bytes(self.summary.unwrap_or_default()))
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.data.is_empty(), "data")?;
        require(packet.param1 & 0x40 == 0, "param1")?;
        let unchecked = packet.param1 & 0x80 != 0;
        let slot = packet.param1 >> 2 & 0x0F;
        let zone = match packet.param1 & 3 {
            0 if slot == 0 => LockZone::Config,
            1 if slot == 0 => LockZone::Data,
            2 => LockZone::Slot(Slot::from_nibble(slot)),
            _ => return Err(ParseError("param1")),
        };
        let has_summary = !unchecked && !matches!(zone, LockZone::Slot(_));
        require(has_summary || packet.param2 == 0, "param2")?;
        Ok(Self { zone, summary: has_summary.then(|| packet.param2.to_le_bytes()) })
    }

    fn response(&self, payload: &[u8]) -> Result<(), ResponseError> {
        success(Self::OPCODE, payload)
    }

    fn repeatable(&self) -> bool {
        false
    }
}
