// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attestation: the chip states, under a verifier's challenge, that one of its keys was generated in it or is in it.
//! [`Evidence`] is the statement; a verifier checks it without the chip.

use alloc::format;

mod evidence;

pub use evidence::{attester_problem, steps, subject_problem, Evidence, Kind, ATTESTER, CHALLENGE_LEN};

use super::ops::Before;
use super::{Awake, Chip, Error, Result, Transport};
use atecc608_wire::commands::NonceResponse;
use atecc608_wire::{ConfigZone, Opcode, ResponseError, Slot, Status};

/// A key that was generated to be attested.
#[derive(Debug)]
pub struct Born {
    /// Its public key, X ‖ Y.
    pub public_key: [u8; 64],
    /// The chip's statement, or why there is none. It can't be made later: a key is generated only once.
    pub evidence: Result<Evidence>,
}

/// The contents of TempKey before the key itself.
struct Opening {
    zone: ConfigZone,
    random: [u8; 32],
}

impl<P: Transport> Awake<'_, P> {
    /// Digests the challenge and the configuration into TempKey.
    fn open_statement(&mut self, challenge: &[u8; CHALLENGE_LEN]) -> Result<Opening> {
        let zone = self.read_config()?;
        // If slot 1 requires an authorisation, it must be given before the nonce: both need TempKey, one after the
        // other.
        self.before_use(ATTESTER)?;
        let random = match self.execute(&steps::nonce(challenge))? {
            NonceResponse::Value(random) => random,
            NonceResponse::Stored => {
                return Err(Error::Response(ResponseError { opcode: Opcode::NONCE, got: 1, expected: 32 }))
            }
        };
        for step in steps::configuration() {
            // TempKey may or may not have changed; the conversation begins again, with another nonce.
            self.execute(&step).map_err(|error| match error {
                Error::Uncertain { cause, .. } => *cause,
                other => other,
            })?;
        }
        Ok(Opening { zone, random })
    }

    /// Sends GenKey with its digest. For a creation this is the point of no return.
    fn digest_key(&mut self, kind: Kind, slot: Slot) -> Result<[u8; 64]> {
        let missing = Error::Response(ResponseError { opcode: Opcode::GEN_KEY, got: 1, expected: 64 });
        self.execute(&steps::key(kind, slot))?.ok_or(missing)
    }

    fn sign_statement(&mut self) -> Result<[u8; 64]> {
        match self.execute(&steps::sign()) {
            Err(error) if error.has_status(Status::ECC_FAULT) => self.execute(&steps::sign()),
            other => other,
        }
    }
}

impl<P: Transport> Chip<P> {
    /// Makes the chip state that the private key in `slot` is in it: Nonce, five GenDig, GenKey (public), Sign.
    ///
    /// # Errors
    /// As [`Chip::converse`] and [`Awake::before_use`]; [`Error::Status`] with 0F if the slot holds no key, or its
    /// rules forbid the commands.
    pub fn attest(&mut self, slot: Slot, challenge: &[u8; CHALLENGE_LEN]) -> Result<Evidence> {
        self.converse(|awake| {
            let Opening { zone, random } = awake.open_statement(challenge)?;
            let public_key = awake.digest_key(Kind::LivesHere, slot)?;
            let signature = awake.sign_statement()?;
            Ok(Evidence { kind: Kind::LivesHere, zone, slot, challenge: *challenge, random, public_key, signature })
        })
    }

    /// Generates a key as [`Chip::generate_key`] does, and makes the chip state that it was generated there. The key
    /// takes effect at most once; a failure after that costs the statement, not the key.
    ///
    /// # Errors
    /// As [`Chip::generate_key`]. A failure after the key was generated is in [`Born::evidence`].
    pub fn generate_attested_key(
        &mut self,
        slot: Slot,
        before: Before,
        challenge: &[u8; CHALLENGE_LEN],
    ) -> Result<Born> {
        let mut work = |awake: &mut Awake<'_, P>| {
            if awake.state_of(slot)? != before {
                return Err(Error::Mismatch(format!("slot {slot} has unexpected contents; it is not changed").into()));
            }
            let Opening { zone, random } = awake.open_statement(challenge)?;
            let public_key = awake.digest_key(Kind::BornHere, slot)?;
            // The conversation must not be repeated from here on: that would create another key.
            let evidence = awake.sign_statement().map(|signature| Evidence {
                kind: Kind::BornHere,
                zone,
                slot,
                challenge: *challenge,
                random,
                public_key,
                signature,
            });
            Ok(Born { public_key, evidence })
        };
        let attempt = self.converse(&mut work);
        let Err(Error::Uncertain { opcode, cause }) = attempt else {
            return attempt;
        };
        match self.made_meanwhile(slot, before, opcode, cause.clone())? {
            Some(public_key) => Ok(Born { public_key, evidence: Err(*cause) }),
            None => self.converse(work),
        }
    }
}
