// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attestation: generates or finds keys, and makes the chip's statement about them. For the command-line tool; not
//! reachable through PKCS#11.

use super::error::{Error, Result};
use super::keygen::{self, KeyPairRequest};
use super::point::Point;
use super::state::SlotState;
use super::token::Token;
use super::turn::Turn;
use super::{latch, learn};
use crate::bus::Bus;
use atecc608::attest::{attester_problem, subject_problem, Evidence, ATTESTER, CHALLENGE_LEN};
use atecc608::presence::Held;
use atecc608::{self as chip, Chip};
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::{Slot, Status};

/// The name of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyName {
    /// The private key of this CKA_LABEL.
    Label(String),
    /// The private key in this slot.
    Slot(Slot),
}

/// A key that was generated to be attested.
#[derive(Debug)]
pub struct BornKey {
    /// Its slot.
    pub slot: Slot,
    /// Its present label.
    pub label: String,
    /// Its public key.
    pub point: Point,
    /// The chip's statement, verified; or why there is none. It can't be made later, but the key exists in any case.
    pub evidence: Result<Evidence>,
    /// The error, if the state folder could not be updated with the key: it will be at the next contact.
    pub not_noted: Option<Error>,
}

/// Returns the chip's serial number and the public key of its attestation key, read from the chip.
///
/// # Errors
/// [`Error::ActionProhibited`] if it has no usable attestation key; the [turn errors](Error#turn-errors).
pub fn attestation_key(token: &Token) -> Result<(SerialNumber, Point)> {
    token.turn(token.deadline(), |turn| Ok((turn.known().zone().serial_number(), attester(turn)?)))
}

/// Generates a key pair as C_GenerateKeyPair does, and makes the chip state that it was generated there.
///
/// # Errors
/// As [`Token::generate_key_pair`]; [`Error::ActionProhibited`] if it is not permitted; without generating a key, if
/// the chip has no usable attestation key. `Ok` if there certainly is a new key; its statement may be missing.
pub fn generate_attested_key(
    token: &Token,
    label: Option<String>,
    slot: Option<Slot>,
    challenge: &[u8; CHALLENGE_LEN],
) -> Result<BornKey> {
    let deadline = token.deadline();
    token.known(deadline)?.check_may_make_private()?;
    token.turn(deadline, |turn| {
        let attester = attester(turn)?;
        rehearse(turn)?;
        let known = turn.known();
        let mut born = None;
        let generated = keygen::generate(turn, KeyPairRequest::named(label, slot), &mut |chip, slot, before| {
            if let Some(problem) = subject_problem(known.zone(), slot) {
                return Err(chip::Error::Mismatch(format!("slot {slot}: {problem}").into()));
            }
            let key = chip.generate_attested_key(slot, before, challenge)?;
            let public_key = key.public_key;
            born = Some((slot, key));
            Ok(public_key)
        });
        let (slot, key, not_noted) = match (generated, born) {
            (Ok(_), Some((slot, key))) => (slot, key, None),
            // A generation can't be repeated: its result must not be lost because of the state folder.
            (Err(error), Some((slot, key))) => (slot, key, Some(error)),
            (Err(error), None) => return Err(error),
            (Ok(slot), None) => return Err(Error::State(format!("slot {slot}: a key without a birth").into())),
        };
        let evidence = key.evidence.map_err(Error::from);
        Ok(BornKey {
            slot,
            label: turn.known().pair(slot).map(|pair| pair.label().to_owned()).unwrap_or_default(),
            point: Point::from_xy(&key.public_key)
                .ok_or_else(|| Error::DeviceError(format!("slot {slot}: the public key is not on P-256").into()))?,
            evidence: evidence.and_then(|evidence| checked(evidence, turn, &attester)),
            not_noted,
        })
    })
}

/// Makes the chip state that this key is in it.
///
/// # Errors
/// [`Error::KeyHandleInvalid`] if there is no such key; [`Error::ActionProhibited`] if the chip can't attest it; the
/// [turn errors](Error#turn-errors).
pub fn attest_key(token: &Token, key: &KeyName, challenge: &[u8; CHALLENGE_LEN]) -> Result<Evidence> {
    token.turn(token.deadline(), |turn| {
        let attester = attester(turn)?;
        let slot = find(turn, key)?;
        let evidence =
            turn.chip.attest(slot, challenge).map_err(|error| match latch::explained(turn, slot, error) {
                Error::Device(error) => refused(turn.chip, *error),
                other => other,
            })?;
        checked(evidence, turn, &attester)
    })
}

/// Returns the attestation key of a chip that has one.
fn attester(turn: &mut Turn<'_>) -> Result<Point> {
    let known = turn.known();
    known.identity.check_provisioned()?;
    let none = |problem: &str| {
        Error::ActionProhibited(
            format!("the chip {} has no attestation key in slot {ATTESTER}: {problem}", known.zone().serial_number())
                .into(),
        )
    };
    if let Some(problem) = attester_problem(known.zone()) {
        return Err(none(problem));
    }
    if known.state().slot(ATTESTER).is_some_and(SlotState::may_be_imported) {
        return Err(none(
            "its key was imported before the data lock, or may have been: anyone who has the file can sign such statements",
        ));
    }
    let xy = turn.converse(|awake| awake.public_key(ATTESTER))?;
    xy.as_ref().and_then(Point::from_xy).ok_or_else(|| none("it is empty, or does not tell its public key"))
}

/// If slot 1 requires an authorisation: checks that the chip signs statements at all, before a key is generated for
/// one. The statement, about slot 1 itself, is discarded.
fn rehearse(turn: &mut Turn<'_>) -> Result<()> {
    let chip = &mut *turn.chip;
    if chip.guards(ATTESTER) {
        chip.attest(ATTESTER, &[0; CHALLENGE_LEN]).map_err(|error| refused(chip, error))?;
    }
    Ok(())
}

/// Returns why the chip made no statement.
fn refused(chip: &Chip<Bus>, error: chip::Error) -> Error {
    if chip.guards(ATTESTER) && error.has_status(Status::EXECUTION_ERROR) {
        return Error::ActionProhibited(format!(
            "{error}: slot {ATTESTER} asks for the PIN, and on this chip its authorisation does not outlive the Nonce that a \
             statement begins with: it can't attest anything (docs/attestation.md)"
        ).into());
    }
    error.into()
}

/// Returns the slot of an existing key.
fn find(turn: &mut Turn<'_>, key: &KeyName) -> Result<Slot> {
    let known = turn.known();
    if let KeyName::Slot(slot) = key {
        if let Some(problem) = subject_problem(known.zone(), *slot) {
            return Err(Error::ActionProhibited(format!("slot {slot}: {problem}").into()));
        }
    }
    let is_meant = |slot: &Slot| match key {
        KeyName::Slot(wanted) => slot == wanted,
        KeyName::Label(label) => known.pair(*slot).is_some_and(|pair| pair.label() == label),
    };
    let slots: Vec<Slot> = known.identity.keys.iter().map(|key| key.slot).filter(is_meant).collect();
    learn::presence(turn, &slots)?;
    let there = slots.iter().copied().find(|slot| turn.known().known_presence(*slot) == Some(Held::Key));
    let slot = there.ok_or_else(|| {
        Error::KeyHandleInvalid(match key {
            KeyName::Slot(slot) if turn.known().known_presence(*slot) == Some(Held::Unknown) => {
                format!("slot {slot}: the chip refuses to report whether it holds a key (`atecc608 doctor`)").into()
            }
            KeyName::Slot(slot) => format!("slot {slot} holds no key").into(),
            KeyName::Label(label) => {
                format!("no private key has the label \"{label}\": `atecc608 key list` lists the keys").into()
            }
        })
    })?;
    match subject_problem(known.zone(), slot) {
        Some(problem) => Err(Error::ActionProhibited(format!("slot {slot}: {problem}").into())),
        None => Ok(slot),
    }
}

/// Returns a statement after verifying the chip's signature, so that neither a bus fault nor another chip gets a wrong
/// one out.
fn checked(evidence: Evidence, turn: &Turn<'_>, attester: &Point) -> Result<Evidence> {
    if evidence.zone.serial_number() != turn.known().zone().serial_number() {
        return Err(Error::DeviceError("another chip answered on the way".into()));
    }
    attester.verify(&evidence.digest(), &evidence.signature).map_err(|_| {
        Error::DeviceError(
            "the chip's signature is not one over this statement: bus or chip is faulty, or the chip digests something \
             else than its documents say".into(),
        )
    })?;
    Ok(evidence)
}
