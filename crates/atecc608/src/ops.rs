// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys, signatures, ECDH, counters and reads, named as in the datasheet.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::{Awake, Chip, Error, Result, Transport, CONVERSATIONS};
use atecc608_wire::commands::*;
use atecc608_wire::config_zone::{Model, SerialNumber};
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{ConfigZone, Opcode, Slot, Status};

/// The model of a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identified {
    /// Its model.
    pub model: Model,
    /// The status with which the chip refused Info(Revision); the model then comes from its configuration zone.
    pub refused: Option<Status>,
}

impl<P: Transport> Awake<'_, P> {
    /// Reads the configuration zone, 128 bytes: four Reads.
    ///
    /// # Errors
    /// As [`Awake::execute`].
    pub fn read_config(&mut self) -> Result<ConfigZone> {
        let mut bytes = [0; ConfigZone::LEN];
        for (block, chunk) in bytes.chunks_exact_mut(32).enumerate() {
            let address = Address::block(block as u8, 0);
            chunk.copy_from_slice(&self.execute(&Read { zone: Zone::Config, address, block: true })?);
        }
        let zone = ConfigZone::new(bytes);
        self.note_serial(zone.serial_number());
        Ok(zone)
    }

    /// Reads blocks 0 and 2 of the configuration zone, and blocks 1 and 3 unless `kept` returns the zone of a chip with
    /// this serial number: two Reads instead of four. Returns the zone, and whether it is partly the kept one. Its
    /// counters are then zeros.
    ///
    /// The kept zone is used only if both zones of the chip are locked and the blocks that were read match it.
    ///
    /// # Errors
    /// As [`Awake::execute`].
    pub fn read_config_but_kept(
        &mut self,
        kept: impl FnOnce(&SerialNumber) -> Option<ConfigZone>,
    ) -> Result<(ConfigZone, bool)> {
        let mut bytes = [0; ConfigZone::LEN];
        let read = |awake: &mut Self, bytes: &mut [u8; ConfigZone::LEN], block: u8| {
            let read = Read { zone: Zone::Config, address: Address::block(block, 0), block: true };
            awake.execute(&read).map(|read| bytes[32 * usize::from(block)..][..32].copy_from_slice(&read))
        };
        read(self, &mut bytes, 0)?;
        read(self, &mut bytes, 2)?;
        let seen = ConfigZone::new(bytes);
        self.note_serial(seen.serial_number());
        if seen.config_locked() && seen.data_locked() {
            if let Some(zone) = kept(&seen.serial_number()).and_then(|kept| seen.completed_by(&kept)) {
                return Ok((zone, true));
            }
        }
        read(self, &mut bytes, 1)?;
        read(self, &mut bytes, 3)?;
        Ok((ConfigZone::new(bytes), false))
    }

    /// Returns the chip's model: one Info(Revision), the only reliable source (AN3539, section 1.2.4). If the chip
    /// refuses that command, the model is taken from the configuration zone.
    ///
    /// # Errors
    /// As [`Awake::execute`], except for a refusal.
    pub fn identify(&mut self, zone: &ConfigZone) -> Result<Identified> {
        match self.execute(&Info::Revision) {
            Ok(revision) => Ok(Identified { model: Model::from_revision(revision), refused: None }),
            Err(error) => {
                let refused = Some(error.refusal().ok_or_else(|| error.clone())?);
                let number = zone.revision();
                log::warn!(
                    "the chip refuses to report its revision ({error}); its configuration zone says {number:02X?}"
                );
                Ok(Identified { model: Model::from_revision(number), refused })
            }
        }
    }

    /// Reads the first 32 bytes of the configuration zone, with the serial number: one Read, enough to identify the
    /// chip.
    ///
    /// # Errors
    /// As [`Awake::execute`].
    pub fn read_identity(&mut self) -> Result<[u8; 32]> {
        let read = Read { zone: Zone::Config, address: Address::block(0, 0), block: true };
        let mut identity = [0; 32];
        identity.copy_from_slice(&self.execute(&read)?);
        Ok(identity)
    }

    /// Returns whether the slot holds a valid ECC key: one Info.
    ///
    /// # Errors
    /// As [`Awake::execute`].
    pub fn key_valid(&mut self, slot: Slot) -> Result<bool> {
        Ok(Info::says_valid(self.execute(&Info::KeyValid(slot))?))
    }

    /// Computes the public key X ‖ Y (big-endian) of the private key in the slot: one GenKey. Returns `None` if the slot holds no
    /// key, or its rules keep the public key in the chip.
    ///
    /// # Errors
    /// As [`Awake::execute`].
    pub fn public_key(&mut self, slot: Slot) -> Result<Option<[u8; 64]>> {
        self.before_use(slot)?;
        match self.execute(&GenKey::public(slot)) {
            Ok(public_key) => Ok(public_key),
            Err(error) if error.has_status(Status::EXECUTION_ERROR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns 32 random bytes: one Random. A chip whose configuration is not locked returns a constant pattern
    /// ([`Random::UNLOCKED_PATTERN`]).
    ///
    /// # Errors
    /// As [`Awake::execute`].
    pub fn random(&mut self) -> Result<[u8; 32]> {
        self.execute(&Random { update_seed: true })
    }

    /// Signs a digest of 32 bytes (ECDSA, P-256): Random (new seed), Nonce into the digest buffer, Sign. Returns r ‖ s,
    /// big-endian. For a key that requires an authorisation, the random Nonce of the authorisation replaces the Random
    /// and comes after the digest is loaded: a Nonce may end an authorisation, while CheckMac does not change the
    /// digest buffer.
    ///
    /// # Errors
    /// As [`Awake::execute`] and [`Awake::before_use`]; [`Error::Status`] with 0F if the slot holds no key or its rules
    /// forbid signing.
    pub fn sign_digest(&mut self, slot: Slot, digest: &[u8; 32]) -> Result<[u8; 64]> {
        if self.gate_of(slot).is_none() {
            self.random()?;
        }
        self.execute(&Nonce::digest(digest))?;
        // The caller verifies the signature, so the chip's identity is not checked.
        self.authorise(slot)?;
        let sign = Sign::External { source: DigestSource::MessageDigestBuffer, slot };
        match self.execute(&sign) {
            // The digest buffer survives a fault of the ECC engine.
            Err(error) if error.has_status(Status::ECC_FAULT) => self.execute(&sign),
            other => other,
        }
    }

    /// Returns the X coordinate, 32 bytes big-endian, that the key in the slot shares with `public_key` (X ‖ Y): one ECDH. The
    /// result crosses the bus in clear.
    ///
    /// # Errors
    /// As [`Awake::execute`] and [`Awake::before_use`]; [`Error::Mismatch`] if the slot's rules keep the result in the chip.
    pub fn ecdh(&mut self, slot: Slot, public_key: &[u8; 64]) -> Result<[u8; 32]> {
        let ecdh = Ecdh {
            key: EcdhKey::Slot(slot),
            target: EcdhTarget::Compatible,
            encrypted: false,
            public_key: *public_key,
        };
        self.before_use(slot)?;
        match self.execute(&ecdh)? {
            EcdhResponse::Clear(secret) => Ok(secret),
            _ => Err(Error::Mismatch(format!("slot {slot} keeps ECDH results in the chip").into())),
        }
    }

    /// Reads the first `len` bytes, at most the slot's size, of a slot that can be read in clear: one Read for each 32 bytes.
    ///
    /// # Errors
    /// As [`Awake::execute`]; [`Error::Status`] with 0F if the slot can't be read in clear.
    pub fn read_slot(&mut self, slot: Slot, len: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len.next_multiple_of(32));
        for block in 0..len.min(slot.size()).div_ceil(32) {
            let address = Address::slot(slot, block as u8, 0);
            bytes.extend(self.execute(&Read { zone: Zone::Data, address, block: true })?);
        }
        bytes.truncate(len.min(slot.size()));
        Ok(bytes)
    }
}

/// The contents of a slot before GenKey(create) is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// No key, according to Info.
    Empty,
    /// The key with this public key.
    Holds([u8; 64]),
}

impl<P: Transport> Chip<P> {
    /// Returns what the slot holds now.
    ///
    /// # Errors
    /// As [`Chip::converse`]; [`Error::KeyNotTold`] if the chip refuses to tell whether the slot holds a key;
    /// [`Error::PublicKeyNotTold`] if it holds one whose public key can't be read.
    pub fn slot_before_generation(&mut self, slot: Slot) -> Result<Before> {
        self.converse(|awake| awake.state_of(slot))
    }

    /// Creates a private key in `slot`, destroying the one described by `before`. Returns its public key X ‖ Y,
    /// big-endian.
    ///
    /// GenKey takes effect at most once: `before` is compared with the chip in the same conversation, and if a reply is
    /// lost, the slot's public key shows whether there is a new key.
    ///
    /// # Errors
    /// As [`Chip::converse`]; [`Error::Mismatch`], with nothing done, if the slot does not hold what `before` says;
    /// [`Error::Uncertain`] if the reply is lost and the public key can't be read.
    pub fn generate_key(&mut self, slot: Slot, before: Before) -> Result<[u8; 64]> {
        let attempt = self.converse(|awake| {
            if awake.state_of(slot)? != before {
                return Err(Error::Mismatch(format!("slot {slot} has unexpected contents; it is not changed").into()));
            }
            awake.create_key(slot)
        });
        let Err(Error::Uncertain { opcode, cause }) = attempt else {
            return attempt;
        };
        match self.made_meanwhile(slot, before, opcode, cause)? {
            Some(new) => Ok(new),
            None => self.converse(|awake| awake.create_key(slot)),
        }
    }

    /// Returns X ‖ Y of the new key if a GenKey whose reply is lost took effect; `None` if it did not, so that it may
    /// be sent once more.
    ///
    /// # Errors
    /// The given [`Error::Uncertain`] if the chip no longer responds.
    pub(super) fn made_meanwhile(
        &mut self,
        slot: Slot,
        before: Before,
        opcode: Opcode,
        cause: Box<Error>,
    ) -> Result<Option<[u8; 64]>> {
        log::warn!("GenKey on slot {slot}: {cause}; asking the chip whether it took effect");
        match self.converse(|awake| awake.state_of(slot)) {
            Ok(Before::Holds(new)) if before != Before::Holds(new) => Ok(Some(new)),
            Ok(_) => Ok(None),
            Err(_) => Err(Error::Uncertain { opcode, cause }),
        }
    }
}

impl<P: Transport> Chip<P> {
    /// Increments a monotonic counter (0 or 1) and returns its new value, at most 2 097 151. The counter is read first,
    /// so that it moves exactly once even if a reply is lost.
    ///
    /// # Errors
    /// As [`Chip::converse`] and [`Awake::confirm`]; [`Error::Status`] with 0F at the counter's end;
    /// [`Error::Uncertain`] if the reply is lost and the counter can't be read.
    pub fn increment_counter(&mut self, number: u8) -> Result<u32> {
        let read = Counter { number, increment: false };
        let before = self.converse(|awake| awake.execute(&read))?;
        let mut tries = 1;
        loop {
            let increment = |awake: &mut Awake<'_, P>| {
                awake.confirm()?;
                awake.execute(&Counter { number, increment: true })
            };
            let (opcode, cause) = match self.converse(increment) {
                Err(Error::Uncertain { opcode, cause }) => (opcode, cause),
                other => return other,
            };
            match self.converse(|awake| awake.execute(&read)) {
                Ok(now) if now != before => return Ok(now),
                Ok(_) if tries < CONVERSATIONS => {
                    log::debug!("{opcode}: {cause}; the counter has not changed, trying again")
                }
                _ => return Err(Error::Uncertain { opcode, cause }),
            }
            tries += 1;
        }
    }
}

impl<P: Transport> Awake<'_, P> {
    pub(super) fn state_of(&mut self, slot: Slot) -> Result<Before> {
        if !self.key_valid_for_certain(slot)? {
            return Ok(Before::Empty);
        }
        self.public_key(slot)?.map(Before::Holds).ok_or(Error::PublicKeyNotTold(slot))
    }

    fn create_key(&mut self, slot: Slot) -> Result<[u8; 64]> {
        self.before_use(slot)?;
        self.execute(&GenKey::create(slot))?.ok_or(Error::Response(atecc608_wire::ResponseError {
            opcode: Opcode::GEN_KEY,
            got: 1,
            expected: 64,
        }))
    }
}
