//! What the state folder keeps of the authorisation secret: it XOR a key made of the PIN.

use argon2::{Algorithm, Argon2, Params, Version};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::memory::{Argon2Memory, LockedSecret};
use crate::process::PerProcess;

/// The authorisation secret, while it is on its way.
pub type Secret = Zeroizing<[u8; 32]>;

/// Memory of one Argon2id, in KiB.
const MEMORY: u32 = 19 * 1024;
/// Passes over it: more than what OWASP asks for at least, and less than a second of a Raspberry Pi 3.
const PASSES: u32 = 3;

/// The authorisation secret under a PIN. Any PIN opens it to some 32 bytes; only the chip knows the right ones.
///
/// The cost is not written beside it: whoever could lower it there and listened on the bus would have cheap guesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinBlob {
    /// Salt of Argon2id.
    pub salt: [u8; 16],
    /// The secret XOR Argon2id(PIN, salt).
    pub blob: [u8; 32],
}

/// A PIN with the salt it is to be used with: the costly part of making a [`PinBlob`].
pub struct StretchedPin {
    salt: [u8; 16],
    key: LockedSecret,
}

impl StretchedPin {
    /// Stretches a PIN with a new salt.
    ///
    /// # Errors
    /// [`Error::DeviceError`] if the system has no random numbers, [`Error::HostMemory`].
    pub fn new(pin: &[u8]) -> Result<Self> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)
            .map_err(|error| Error::DeviceError(format!("the system gives no random bytes: {error}").into()))?;
        Ok(Self { salt, key: stretch(pin, &salt)? })
    }

    /// The secret under this PIN.
    pub fn seal(&self, secret: &[u8; 32]) -> PinBlob {
        PinBlob { salt: self.salt, blob: std::array::from_fn(|i| secret[i] ^ self.key[i]) }
    }
}

impl PinBlob {
    /// What this PIN makes of it.
    ///
    /// # Errors
    /// [`Error::HostMemory`].
    pub fn open(&self, pin: &[u8]) -> Result<LockedSecret> {
        let mut secret = stretch(pin, &self.salt)?;
        secret.iter_mut().zip(&self.blob).for_each(|(byte, hidden)| *byte ^= hidden);
        Ok(secret)
    }
}

/// Argon2id version 1.3 (RFC 9106), one lane. One thread at a time: eight of them would need 152 MiB at once.
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
