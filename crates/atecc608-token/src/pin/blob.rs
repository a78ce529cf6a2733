// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state folder's part of the authorisation secret: the secret XOR a key derived from the PIN.

use argon2::{Algorithm, Argon2, Params, Version};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::memory::{Argon2Memory, LockedSecret};
use crate::process::PerProcess;

/// The authorisation secret, in transit.
pub type Secret = Zeroizing<[u8; 32]>;

/// Memory of one Argon2id, in KiB.
const MEMORY: u32 = 19 * 1024;
/// Passes over it: more than OWASP's minimum, and less than a second on a Raspberry Pi 3.
const PASSES: u32 = 3;

/// The authorisation secret, encrypted with a PIN. Any PIN decrypts it to 32 bytes; only the chip can tell whether they
/// are right.
///
/// The cost parameters are not stored with it: an attacker who lowered them and listened on the bus could guess
/// cheaply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinBlob {
    /// Salt of Argon2id.
    pub salt: [u8; 16],
    /// The secret XOR Argon2id(PIN, salt).
    pub blob: [u8; 32],
}

/// A PIN stretched with a salt: the expensive part of creating a [`PinBlob`].
pub struct StretchedPin {
    salt: [u8; 16],
    key: LockedSecret,
}

impl StretchedPin {
    /// Stretches a PIN with a new salt.
    ///
    /// # Errors
    /// [`Error::DeviceError`] if the system has no random numbers; [`Error::HostMemory`] if the host has no memory.
    pub fn new(pin: &[u8]) -> Result<Self> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)
            .map_err(|error| Error::DeviceError(format!("cannot get random bytes from the system: {error}").into()))?;
        Ok(Self { salt, key: stretch(pin, &salt)? })
    }

    /// Encrypts the secret with this PIN.
    pub fn seal(&self, secret: &[u8; 32]) -> PinBlob {
        PinBlob { salt: self.salt, blob: std::array::from_fn(|i| secret[i] ^ self.key[i]) }
    }
}

impl PinBlob {
    /// Decrypts the secret with this PIN, which may be wrong.
    ///
    /// # Errors
    /// [`Error::HostMemory`] if the host has no memory.
    pub fn open(&self, pin: &[u8]) -> Result<LockedSecret> {
        let mut secret = stretch(pin, &self.salt)?;
        secret.iter_mut().zip(&self.blob).for_each(|(byte, hidden)| *byte ^= hidden);
        Ok(secret)
    }
}

/// Argon2id version 1.3 (RFC 9106), one lane. One thread at a time: eight would need 152 MiB at once.
fn stretch(pin: &[u8], salt: &[u8; 16]) -> Result<LockedSecret> {
    static TURN: PerProcess<Mutex<()>> = PerProcess::new();
    let _turn = TURN.own_or_init(Mutex::default).lock();
    let failed = |error: argon2::Error| Error::DeviceError(format!("Argon2id: {error}").into());
    let params = Params::new(MEMORY, PASSES, 1, Some(32)).map_err(failed)?;
    let mut memory = Argon2Memory::new(params.block_count())?;
    let mut key = LockedSecret::zeros()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into_with_memory(pin, salt, &mut *key, &mut memory).map_err(failed)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_opens_a_blob_to_something_and_only_its_own_to_the_secret() {
        let secret = [0x5A; 32];
        let sealed = StretchedPin::new(b"a good PIN").unwrap().seal(&secret);
        assert_eq!(*sealed.open(b"a good PIN").unwrap(), secret);
        assert_ne!(*sealed.open(b"a good PIM").unwrap(), secret);
        let again = StretchedPin::new(b"a good PIN").unwrap().seal(&secret);
        assert_ne!((again.salt, again.blob), (sealed.salt, sealed.blob));
    }
}
