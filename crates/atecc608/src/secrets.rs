// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations with a secret that chip and host share: encrypted writes, and results that cross the bus encrypted.

use alloc::format;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::ops::Before;
use super::{Awake, Chip, Error, Result, Transport};
use atecc608_wire::commands::*;
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::messages::{self, GenDigInput};
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{Command, Opcode, ResponseError, Slot, Status};

/// Attempts at a write whose reply is lost.
const WRITES: u32 = 3;
/// Longest message that KDF takes, in bytes.
pub const KDF_MESSAGE_LEN: usize = 128;
/// Bytes that one SHA command takes.
const SHA_STEP: usize = 64;

/// A secret of 32 bytes that a slot of the chip holds and the host knows.
pub struct SharedSecret<'s> {
    /// The slot.
    pub slot: Slot,
    /// Its first 32 bytes.
    pub value: &'s [u8; 32],
}

impl<P: Transport> Awake<'_, P> {
    /// Writes 32 bytes of a slot encrypted: Nonce (random), GenDig with the slot's write key, Write with its MAC (fact
    /// sheet section 3.22). Writing the same bytes twice is harmless, so the write may be repeated.
    ///
    /// # Errors
    /// As [`Awake::execute`] and [`Awake::confirm`]; [`Error::Status`] with 0F if the chip's write key differs from the
    /// host's.
    pub fn write_encrypted(
        &mut self,
        serial: &SerialNumber,
        write_key: &SharedSecret<'_>,
        address: Address,
        plaintext: &[u8; 32],
    ) -> Result<()> {
        let session_key = self.session_key(serial, write_key)?;
        let mut data = Zeroizing::new(plaintext.to_vec());
        data.iter_mut().zip(session_key.iter()).for_each(|(byte, key)| *byte ^= key);
        let mut write = Write { zone: Zone::Data, address, data: data.to_vec(), mac: Some([0; 32]) };
        write.mac = Some(messages::write_mac(&session_key, &write, serial, plaintext));
        self.execute(&write)
    }

    /// Reads 32 bytes of a slot encrypted: Nonce (random), GenDig with the slot's read key, Read (fact sheet section
    /// 3.15). The bytes have no MAC: with a wrong read key they are garbage. [`Awake::proves`] checks the key.
    ///
    /// # Errors
    /// As [`Awake::execute`], but never [`Error::Uncertain`]; [`Error::Status`] with 0F if the slot's rules forbid it.
    pub fn read_encrypted(
        &mut self,
        serial: &SerialNumber,
        read_key: &SharedSecret<'_>,
        address: Address,
    ) -> Result<Zeroizing<[u8; 32]>> {
        self.confirm()?;
        let session_key = self.session_key(serial, read_key).map_err(|error| match error {
            // The commands change nothing.
            Error::Uncertain { cause, .. } => *cause,
            error => error,
        })?;
        let cipher = Zeroizing::new(self.execute(&Read { zone: Zone::Data, address, block: true })?);
        let mut plain = session_key;
        plain.iter_mut().zip(cipher.iter()).for_each(|(plain, cipher)| *plain ^= cipher);
        Ok(plain)
    }

    /// Writes a private key that was generated outside the chip to a slot, encrypted: Nonce (random), GenDig with the
    /// slot's write key, PrivWrite with its MAC (fact sheet section 3.13). `scalar` is the P-256 key, 32 bytes
    /// big-endian.
    ///
    /// # Errors
    /// As [`Awake::execute`]; [`Error::Status`] with 0F if the chip's write key differs from the host's.
    pub fn priv_write(
        &mut self,
        serial: &SerialNumber,
        write_key: &SharedSecret<'_>,
        slot: Slot,
        scalar: &[u8; 32],
    ) -> Result<()> {
        let session_key = self.session_key(serial, write_key)?;
        let mut plaintext = Zeroizing::new([0; 36]);
        plaintext[4..].copy_from_slice(scalar);
        let mut write = PrivWrite { slot, encrypted: true, key: *plaintext, mac: [0; 32] };
        write.mac = messages::priv_write_mac(&session_key, &write, serial, &plaintext);
        let stream = messages::priv_write_key_stream(&session_key);
        write.key.iter_mut().zip(stream.iter()).for_each(|(byte, key)| *byte ^= key);
        self.execute(&write)
    }

    /// Writes a private key that was generated outside the chip to a slot, in clear: one PrivWrite. Chips accept it
    /// only while the data zone is not locked (fact sheet section 5.7). `scalar` is the P-256 key, 32 bytes big-endian.
    ///
    /// # Errors
    /// As [`Awake::execute`]; [`Error::Status`] with 0F once the data zone is locked.
    pub fn priv_write_in_clear(&mut self, slot: Slot, scalar: &[u8; 32]) -> Result<()> {
        let mut write = PrivWrite { slot, encrypted: false, key: [0; 36], mac: [0; 32] };
        write.key[4..].copy_from_slice(scalar);
        self.execute(&write)
    }

    /// Sets TempKey from a fresh random number and a shared secret, and returns it as computed on the host.
    fn session_key(&mut self, serial: &SerialNumber, secret: &SharedSecret<'_>) -> Result<Zeroizing<[u8; 32]>> {
        let nonce = self.random_nonce()?;
        let gen_dig = GenDig::slot(secret.slot);
        self.execute(&gen_dig)?;
        let input = GenDigInput::Block(Zeroizing::new(*secret.value));
        Ok(Zeroizing::new(messages::gen_dig(&nonce, &gen_dig, &input, serial)))
    }

    /// Returns 32 random bytes that are as good as the better of two sources: SHA-256 over the chip's random numbers,
    /// which cross the bus in clear and can be replaced there, and the host's, drawn afterwards. One Random.
    ///
    /// # Errors
    /// As [`Awake::execute`]; [`Error::HostRandom`] if the host's source fails.
    pub fn fresh_secret(&mut self) -> Result<Zeroizing<[u8; 32]>> {
        let from_chip = Zeroizing::new(self.random()?);
        let mut from_host = Zeroizing::new([0; 32]);
        self.fill_random(&mut from_host[..])?;
        Ok(Zeroizing::new(Sha256::new().chain_update(&from_chip[..]).chain_update(&from_host[..]).finalize().into()))
    }

    /// Loads TempKey with a random nonce (Nonce) and returns TempKey, 32 bytes. The host's 20 bytes are random, too:
    /// neither side alone chooses the nonce.
    ///
    /// # Errors
    /// As [`Awake::execute`]; [`Error::HostRandom`] if the host's source fails.
    pub fn random_nonce(&mut self) -> Result<[u8; 32]> {
        let mut num_in = [0; 20];
        self.fill_random(&mut num_in)?;
        let nonce = Nonce::Random { update_seed: true, num_in };
        match self.execute(&nonce)? {
            NonceResponse::Value(rand_out) => Ok(messages::nonce(&rand_out, &num_in, nonce.packet().param1)),
            NonceResponse::Stored => {
                Err(Error::Response(ResponseError { opcode: Opcode::NONCE, got: 1, expected: 32 }))
            }
        }
    }

    /// Returns whether the chip holds this secret, checked with a fresh nonce: [`Awake::confirm`], Nonce (random),
    /// CheckMac (mode 01; fact sheet section 3.2). If so, the slots that name this one as their AuthKey are authorised
    /// until the conversation ends.
    ///
    /// # Errors
    /// As [`Awake::execute`] and [`Awake::confirm`]; [`Error::Status`] with 0F if the slot's rules forbid it.
    pub fn proves(&mut self, serial: &SerialNumber, secret: &SharedSecret<'_>) -> Result<bool> {
        self.confirm()?;
        self.check_mac(serial, secret)
    }

    /// As [`Awake::proves`], without checking which chip it is.
    pub(super) fn check_mac(&mut self, serial: &SerialNumber, secret: &SharedSecret<'_>) -> Result<bool> {
        let nonce = self.random_nonce()?;
        let mut check = CheckMac {
            slot: secret.slot,
            temp_key_second: true,
            temp_key_first: false,
            source_fixed: false,
            otp: false,
            challenge: [0; 32],
            response: [0; 32],
            other_data: [0; 13],
        };
        // In the message of a MAC command on another chip, these are the command's bytes.
        check.other_data[..3].copy_from_slice(&[Opcode::MAC.0, 0, secret.slot.number()]);
        check.response = messages::check_mac(secret.value, &nonce, &check, &[0; 11], serial);
        match self.execute(&check) {
            Ok(()) => Ok(true),
            Err(error) if error.has_status(Status::MISCOMPARE) => Ok(false),
            Err(Error::Uncertain { cause, .. }) if cause.has_status(Status::MISCOMPARE) => Ok(false),
            // The check changes nothing: the conversation may be repeated.
            Err(Error::Uncertain { cause, .. }) => Err(*cause),
            Err(error) => Err(error),
        }
    }

    /// As [`Awake::ecdh`], with the result encrypted under the IO protection key (32 bytes) on the bus.
    ///
    /// # Errors
    /// As [`Awake::ecdh`].
    pub fn ecdh_encrypted(
        &mut self,
        slot: Slot,
        public_key: &[u8; 64],
        io_key: &[u8; 32],
    ) -> Result<Zeroizing<[u8; 32]>> {
        let ecdh =
            Ecdh { key: EcdhKey::Slot(slot), target: EcdhTarget::Output, encrypted: true, public_key: *public_key };
        self.before_use(slot)?;
        match self.execute(&ecdh)? {
            EcdhResponse::Encrypted { secret, nonce } => {
                let mut clear = Zeroizing::new(secret);
                let stream = Zeroizing::new(messages::io_key_stream(io_key, &nonce));
                clear.iter_mut().zip(stream.iter()).for_each(|(byte, key)| *byte ^= key);
                Ok(clear)
            }
            _ => Err(Error::Mismatch(format!("slot {slot} does not return ECDH results encrypted").into())),
        }
    }

    /// Returns the HMAC-SHA-256, 32 bytes, of at most [`KDF_MESSAGE_LEN`] bytes under the first 32 bytes of a slot,
    /// encrypted under the IO protection key on the bus: KDF in its HKDF form (fact sheet section 3.9). The message
    /// crosses the bus in clear.
    ///
    /// # Errors
    /// As [`Awake::execute`] and [`Awake::before_use`]; [`Error::Status`] with 0F if the slot's rules or ChipOptions
    /// forbid it.
    pub fn hmac_encrypted(&mut self, slot: Slot, message: &[u8], io_key: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>> {
        let kdf = Kdf {
            source: KdfSource::Slot(slot),
            target: KdfTarget::OutputEncrypted,
            algorithm: KdfAlgorithm::Hkdf { message: HkdfMessage::Input, zero_key: false },
            message: message.to_vec(),
        };
        self.before_use(slot)?;
        match self.execute(&kdf)? {
            KdfResponse::Encrypted { ref data, ref nonce } if data.len() == 32 => {
                let stream = Zeroizing::new(messages::io_key_stream(io_key, nonce));
                let mut clear = Zeroizing::new([0; 32]);
                clear.iter_mut().zip(data).zip(stream.iter()).for_each(|((clear, byte), key)| *clear = byte ^ key);
                Ok(clear)
            }
            _ => Err(Error::Mismatch(format!("slot {slot} does not return KDF results encrypted").into())),
        }
    }

    /// Returns the HMAC-SHA-256, 32 bytes, of a message of any length under the first 32 bytes of a slot: SHA in its
    /// HMAC form, one command for each 64 bytes (fact sheet section 3.18). Message and result cross the bus in clear.
    ///
    /// # Errors
    /// As [`Awake::execute`] and [`Awake::before_use`]; [`Error::Status`] with 0F if the slot's rules forbid it.
    pub fn hmac(&mut self, slot: Slot, message: &[u8]) -> Result<[u8; 32]> {
        let (steps, rest) = message.split_at(message.len() - message.len() % SHA_STEP);
        self.before_use(slot)?;
        self.execute(&Sha::HmacStart(KeyLocation::Slot(slot)))?;
        for step in steps.chunks(SHA_STEP) {
            self.execute(&Sha::Update(step.to_vec()))?;
        }
        match self.execute(&Sha::End { rest: rest.to_vec(), target: DigestTarget::Output })? {
            ShaResponse::Digest(digest) => Ok(digest),
            _ => Err(Error::Mismatch("SHA returned something else than a digest".into())),
        }
    }
}

impl<P: Transport> Chip<P> {
    /// Writes 32 bytes of a slot, whether or not a clear Write reaches it: encrypted if `write_key` is given. After a
    /// lost reply the write is repeated from the nonce on: writing the same bytes twice is harmless.
    ///
    /// # Errors
    /// As [`Awake::write_encrypted`]; [`Error::Uncertain`] if an earlier attempt may have taken effect.
    pub fn write_secret(
        &mut self,
        serial: &SerialNumber,
        write_key: Option<&SharedSecret<'_>>,
        address: Address,
        plaintext: &[u8; 32],
    ) -> Result<()> {
        // The error of a write that may have taken effect.
        let mut open = None;
        for _ in 0..WRITES {
            let written = self.converse(|awake| {
                if let Some((slot, _)) = address.slot_block() {
                    awake.before_use(slot)?;
                }
                match write_key {
                    Some(key) => awake.write_encrypted(serial, key, address, plaintext),
                    None => awake.execute(&Write::block(Zone::Data, address, *plaintext)),
                }
            });
            match (written, open.take()) {
                (Err(error @ Error::Uncertain { .. }), _) => {
                    log::debug!("{error}; a secret is written again");
                    open = Some(error);
                }
                (Err(_), Some(uncertain)) => return Err(uncertain),
                (result, _) => return result,
            }
        }
        open.map_or(Ok(()), Err)
    }

    /// Writes a private key that was generated outside the chip to `slot`, replacing what `before` describes: encrypted
    /// if `write_key` is given, else in clear. `expected` is its public key, X ‖ Y: after a lost reply, the public key
    /// read from the chip shows whether the write took effect.
    ///
    /// # Errors
    /// As [`Chip::slot_before_generation`]; [`Error::Mismatch`], with nothing done, if the slot holds neither what
    /// `before` says nor the new key; [`Error::Uncertain`] if it is not known whether the key was written.
    pub fn import_key(
        &mut self,
        serial: &SerialNumber,
        write_key: Option<&SharedSecret<'_>>,
        slot: Slot,
        before: Before,
        scalar: &[u8; 32],
        expected: &[u8; 64],
    ) -> Result<()> {
        // The error of a write that may have taken effect.
        let mut open = None;
        for _ in 0..WRITES {
            let mut unchanged = false;
            let attempt = self.converse(|awake| {
                unchanged = false;
                match awake.state_of(slot)? {
                    Before::Holds(now) if now == *expected => Ok(()),
                    now if now == before => {
                        unchanged = true;
                        awake.before_use(slot)?;
                        match write_key {
                            Some(key) => awake.priv_write(serial, key, slot, scalar),
                            None => awake.priv_write_in_clear(slot, scalar),
                        }
                    }
                    _ => Err(Error::Mismatch(format!("slot {slot} has unexpected contents; it is not changed").into())),
                }
            });
            match (attempt, open.take()) {
                (Err(error @ Error::Uncertain { .. }), _) => {
                    log::debug!("slot {slot}: {error}; asking the chip");
                    open = Some(error);
                }
                // The chip did not tell whether the earlier write took effect.
                (Err(_), Some(uncertain)) if !unchanged => return Err(uncertain),
                (result, _) => return result,
            }
        }
        open.map_or(Ok(()), Err)
    }
}

/// The result of rolling a key.
#[derive(Debug)]
pub enum Rolled {
    /// The slot now holds this key.
    To(Zeroizing<[u8; 32]>),
    /// The chip refuses to roll the key, and keeps the old one.
    Refused,
}

impl<P: Transport> Chip<P> {
    /// Rolls a key that the host also knows: Nonce (random), DeriveKey with its MAC (fact sheet section 3.4). `keep`
    /// gets the new key before the chip derives it, and returns whether to continue; afterwards CheckMac shows which
    /// key the chip holds.
    ///
    /// # Errors
    /// As [`Chip::converse`]; [`Error::Mismatch`] if `keep` returned `false`, or the chip holds neither key.
    pub fn roll_key(
        &mut self,
        serial: &SerialNumber,
        old: &SharedSecret<'_>,
        keep: &mut dyn FnMut(&[u8; 32]) -> bool,
    ) -> Result<Rolled> {
        let slot = old.slot;
        let mut last = Error::Lost(Opcode::DERIVE_KEY);
        for _ in 0..WRITES {
            let mut new = Zeroizing::new([0; 32]);
            let outcome = self.converse_once(|awake| {
                awake.confirm()?;
                let nonce = awake.random_nonce()?;
                let mut derive = DeriveKey { target: slot, source_fixed: false, mac: None };
                new = messages::derive_key(old.value, &nonce, &derive, serial);
                derive.mac = Some(messages::derive_key_mac(old.value, &derive, serial));
                // A write to a disk may take longer than the watchdog.
                if !awake.pause(|| keep(&new))? {
                    return Ok(false);
                }
                awake.execute(&derive).map(|()| true)
            });
            if let Ok(false) = outcome {
                return Err(Error::Mismatch(format!("slot {slot} is left as it was").into()));
            }
            let mut holds = |value: &[u8; 32]| {
                let secret = SharedSecret { slot, value };
                self.converse(|awake| awake.proves(serial, &secret))
            };
            if holds(&new)? {
                return Ok(Rolled::To(new));
            }
            if !holds(old.value)? {
                return Err(Error::Mismatch(format!("slot {slot} holds neither the old key nor the new one").into()));
            }
            match outcome {
                Err(Error::Uncertain { cause, .. })
                    if matches!(*cause, Error::Status { .. }) && !cause.is_recoverable() =>
                {
                    return Ok(Rolled::Refused)
                }
                Err(error @ Error::Status { .. }) if !error.is_recoverable() => return Ok(Rolled::Refused),
                Err(error) => last = error,
                Ok(_) => {}
            }
            log::debug!("slot {slot}: {last}; rolling the key again");
        }
        Err(last)
    }
}
