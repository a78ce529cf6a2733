// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the zones of a blank chip and locks them. Functions named `permanently_...` can't be undone.

use alloc::format;
use alloc::vec::Vec;

use zeroize::Zeroize;

use super::{Chip, Error, Result, Transport};
use atecc608_wire::commands::{Lock, LockZone, UpdateExtra, Write};
use atecc608_wire::config_zone::offset;
use atecc608_wire::crc::{crc16, crc16_update};
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{ConfigZone, Slot};

/// The contents of the data and OTP zones before they are locked, over which the Lock command's checksum is computed.
/// Parts are secret.
#[derive(Clone, Zeroize)]
pub struct DataContents {
    /// The bytes of each slot, in the slot's size; `None` for private keys, which the checksum skips.
    pub slots: [Option<Vec<u8>>; 16],
    /// The OTP zone.
    pub otp: [u8; 64],
}

impl DataContents {
    /// Returns the CRC-16 that Lock(data) checks, low byte first: over slots 0 to 15 without those of private keys,
    /// then OTP.
    pub fn summary(&self) -> [u8; 2] {
        let register = self.slots.iter().flatten().fold(0, |register, slot| crc16_update(register, slot));
        crc16_update(register, &self.otp).to_le_bytes()
    }
}

/// Offsets of the 4-byte words that Write may change while the configuration is unlocked: not the serial number,
/// not the word with UserExtra and the lock bytes.
pub fn writable_config_words() -> impl Iterator<Item = usize> {
    (offset::I2C_ADDRESS..ConfigZone::LEN).step_by(4).filter(|at| *at != offset::USER_EXTRA)
}

impl<P: Transport> Chip<P> {
    /// Writes those words of `wanted` that differ from what the chip holds, then reads all 128 bytes back.
    ///
    /// # Errors
    /// As [`Chip::converse`]; [`Error::Mismatch`] if a word reads back different.
    pub fn write_config(&mut self, wanted: &ConfigZone) -> Result<ConfigZone> {
        let written = self.converse(|awake| {
            let now = awake.read_config()?;
            for at in writable_config_words() {
                let word = word(wanted, at);
                if self::word(&now, at) != word {
                    let address = Address::block((at / 32) as u8, (at % 32 / 4) as u8);
                    awake.execute(&Write::word(Zone::Config, address, word))?;
                }
            }
            awake.read_config()
        })?;
        match writable_config_words().find(|at| word(&written, *at) != word(wanted, *at)) {
            Some(at) => Err(Error::Mismatch(
                format!(
                    "configuration bytes {at} to {}: wrote {:02X?}, read back {:02X?}",
                    at + 3,
                    word(wanted, at),
                    word(&written, at)
                )
                .into(),
            )),
            None => Ok(written),
        }
    }

    /// Locks the configuration zone **for good**, if the chip still holds exactly `expected`.
    ///
    /// # Errors
    /// As [`Chip::converse`] and [`Awake::confirm`](crate::Awake::confirm); [`Error::Status`] with 0F if the chip's
    /// contents differ; [`Error::Mismatch`] if the chip is not locked after two attempts.
    pub fn permanently_lock_config(&mut self, expected: &ConfigZone) -> Result<()> {
        let lock = Lock { zone: LockZone::Config, summary: Some(crc16(expected.as_bytes())) };
        self.lock(lock, ConfigZone::config_locked)
    }

    /// Locks the data and OTP zones **for good**, if they hold exactly `contents`.
    ///
    /// # Errors
    /// As [`Chip::converse`] and [`Awake::confirm`](crate::Awake::confirm); [`Error::Status`] with 0F if the chip's
    /// contents differ; [`Error::Mismatch`] if the chip is not locked after two attempts.
    pub fn permanently_lock_data(&mut self, contents: &DataContents) -> Result<()> {
        self.lock(Lock { zone: LockZone::Data, summary: Some(contents.summary()) }, ConfigZone::data_locked)
    }

    /// Locks the data and OTP zones **for good**, whatever they hold: contents written by other software can't be read
    /// before the lock, so nothing can be compared.
    ///
    /// # Errors
    /// As [`Chip::converse`] and [`Awake::confirm`](crate::Awake::confirm); [`Error::Mismatch`] if the chip is not
    /// locked after two attempts.
    pub fn permanently_lock_data_unseen(&mut self) -> Result<()> {
        self.lock(Lock { zone: LockZone::Data, summary: None }, ConfigZone::data_locked)
    }

    /// Locks one slot **for good**: it stays as it is, whatever its configuration allows.
    ///
    /// # Errors
    /// As [`Chip::converse`] and [`Awake::confirm`](crate::Awake::confirm); [`Error::Status`] with 0F if the slot can't
    /// be locked individually, or the data zone is not locked; [`Error::Mismatch`] if the slot is not locked after two
    /// attempts.
    pub fn permanently_lock_slot(&mut self, slot: Slot) -> Result<()> {
        self.lock(Lock { zone: LockZone::Slot(slot), summary: None }, |zone| zone.slot_locked(slot))
    }

    /// Sends a Lock at most once; if its reply is lost, the lock bytes decide.
    fn lock(&mut self, lock: Lock, locked: impl Fn(&ConfigZone) -> bool) -> Result<()> {
        for _ in 0..2 {
            let sent = self.converse(|awake| {
                awake.confirm()?;
                awake.execute(&lock)
            });
            match sent {
                Err(Error::Uncertain { .. }) if locked(&self.converse(|awake| awake.read_config())?) => return Ok(()),
                Err(Error::Uncertain { .. }) => {}
                other => return other,
            }
        }
        Err(Error::Mismatch("the Lock command's reply was lost twice; the zone is not locked".into()))
    }

    /// Writes UserExtraAdd, byte 85 of the configuration, **for good**: the chip accepts it once, while the byte is 00,
    /// before and after the locks. With ChipMode bit 0 set, bits 7..1 of `value` are the chip's address from its next
    /// sleep on: the sleep that ends this conversation. The chip then no longer responds at the address of this
    /// transport.
    ///
    /// # Errors
    /// As [`Chip::converse`]; [`Error::AnotherChip`] if another chip responds; [`Error::Status`] with 0F if the byte is
    /// not 00; [`Error::Uncertain`] if the reply is lost: read the byte at the old and at the new address to find out.
    pub fn permanently_write_user_extra_add(&mut self, value: u8) -> Result<()> {
        self.converse(|awake| {
            awake.confirm()?;
            awake.execute(&UpdateExtra::UserExtraAdd(value))
        })
    }

    /// Writes a whole slot in clear, in blocks of 32 bytes; a short last block is padded with zeros that the chip does
    /// not store. `bytes` has the slot's size.
    ///
    /// # Errors
    /// As [`Chip::converse`] and [`Awake::confirm`](crate::Awake::confirm).
    pub fn write_slot(&mut self, slot: Slot, bytes: &[u8]) -> Result<()> {
        self.converse(|awake| {
            awake.confirm()?;
            for (block, chunk) in bytes.chunks(32).enumerate() {
                let mut data = [0; 32];
                data[..chunk.len()].copy_from_slice(chunk);
                awake.execute(&Write::block(Zone::Data, Address::slot(slot, block as u8, 0), data))?;
            }
            Ok(())
        })
    }

    /// Writes the OTP zone's 64 bytes.
    ///
    /// # Errors
    /// As [`Chip::converse`] and [`Awake::confirm`](crate::Awake::confirm).
    pub fn write_otp(&mut self, bytes: &[u8; 64]) -> Result<()> {
        self.converse(|awake| {
            awake.confirm()?;
            for (block, chunk) in bytes.chunks_exact(32).enumerate() {
                let mut data = [0; 32];
                data.copy_from_slice(chunk);
                awake.execute(&Write::block(Zone::Otp, Address::block(block as u8, 0), data))?;
            }
            Ok(())
        })
    }
}

fn word(zone: &ConfigZone, at: usize) -> [u8; 4] {
    let bytes = zone.as_bytes();
    [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
}
