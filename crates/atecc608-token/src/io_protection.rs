// SPDX-License-Identifier: MIT OR Apache-2.0
//! Results that cross the bus encrypted: whether chip and host share an IO protection key, and whether KDF is an HMAC.
//! The chip is queried once in a process.

use super::error::{Error, Result};
use super::io_key::IoKey;
use super::turn::Turn;
use atecc608 as chip;
use atecc608::secrets::SharedSecret;
use atecc608_wire::{Slot, Status};

/// The known facts.
#[derive(Debug, Default)]
pub(crate) struct IoProtection {
    /// Whether the key in the file is the chip's; `None` until checked.
    key_is_right: Option<bool>,
    /// Whether KDF with the key of each slot is an HMAC; `None` until checked.
    kdf_is_hmac: [Option<bool>; 16],
}

/// Returns the IO protection key, if chip and host share one. Two commands once in a process; with a wrong or missing
/// key only the secrecy on the bus is lost. If the configuration requires a key: two commands each time, because the
/// chip's key may have been replaced meanwhile.
///
/// # Errors
/// [`Error::ActionProhibited`] if the configuration requires a key, and there is none; [`Error::Device`] if the chip or
/// the bus fails, so that the result is unknown.
pub(crate) fn shared_key(turn: &mut Turn<'_>) -> Result<Option<IoKey>> {
    let required = turn.notes.requires_io_protection();
    if required {
        turn.io_protection.key_is_right = None;
    }
    let key = preferred_key(turn)?;
    if key.is_some() || !required {
        return Ok(key);
    }
    let known = turn.known();
    Err(refused(&format!(
        "the chip {} did not prove that it has the key in {}. Find out who wrote another key; `atecc608 pair \
         --replace` writes this host's key, if the chip permits it",
        known.zone().serial_number(),
        known.identity.io_key.path().display()
    )))
}

/// The error of `io_protection = "required"`: the reason, with the remedy.
pub(crate) fn refused(reason: &str) -> Error {
    Error::ActionProhibited(
        format!("a secret would cross the bus in clear, which io_protection = \"required\" forbids: {reason}").into(),
    )
}

/// Returns the consequence of missing protection, for the log.
fn consequence(turn: &Turn<'_>) -> &'static str {
    if turn.notes.requires_io_protection() {
        ": results are refused"
    } else {
        ": results cross the bus in clear"
    }
}

fn preferred_key(turn: &mut Turn<'_>) -> Result<Option<IoKey>> {
    let known = turn.known();
    let options = known.zone().chip_options();
    if !options.io_protection() || turn.io_protection.key_is_right == Some(false) {
        return Ok(None);
    }
    let key = known.identity.io_key.load().unwrap_or_else(|error| {
        log::warn!("{error}");
        None
    });
    let Some(key) = key else { return Ok(None) };
    if turn.io_protection.key_is_right.is_none() {
        let secret = SharedSecret { slot: options.io_key(), value: &key };
        let serial = known.zone().serial_number();
        match turn.chip.converse(|awake| awake.proves(&serial, &secret)) {
            Ok(right) => turn.io_protection.key_is_right = Some(right),
            // The next use checks again.
            Err(error) if is_forbidden(&error) => {
                log::debug!("the IO protection key was not checked: {error}");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        if turn.io_protection.key_is_right == Some(false) {
            log::warn!(
                "{} is not the IO protection key of the chip {serial}{}",
                known.identity.io_key.path().display(),
                consequence(turn)
            );
            return Ok(None);
        }
    }
    Ok(Some(key))
}

/// Whether the chip's rules forbid a command, or it does not have it. Its other statuses are temporary, like a failure
/// of the bus.
fn is_forbidden(error: &chip::Error) -> bool {
    error.has_status(Status::EXECUTION_ERROR) || error.has_status(Status::PARSE_ERROR)
}

/// Whether KDF in its HKDF form returns an HMAC-SHA-256 (fact sheet section 3.9: not confirmed by a public vector).
/// Compares both for a dummy message, once in a process for each slot.
///
/// # Errors
/// [`Error::Device`] if the chip or the bus fails, except that the chip refuses KDF.
pub(crate) fn kdf_is_hmac(turn: &mut Turn<'_>, slot: Slot, io_key: &IoKey) -> Result<bool> {
    if let Some(known) = turn.io_protection.kdf_is_hmac[slot.index()] {
        return Ok(known);
    }
    let message = b"atecc608-pkcs11: is KDF an HMAC?";
    let answer = turn.converse(|awake| {
        let hash = match awake.hmac_encrypted(slot, message, io_key) {
            Err(error) if is_forbidden(&error) => return Ok(false),
            other => other?,
        };
        Ok(*hash == awake.hmac(slot, message)?)
    })?;
    if !answer {
        log::warn!("slot {slot}: this chip's KDF does not compute an HMAC{}", consequence(turn));
    }
    turn.io_protection.kdf_is_hmac[slot.index()] = Some(answer);
    Ok(answer)
}

/// Returns the key in `key_slot`, the write key of `slot`, and its slot.
///
/// # Errors
/// [`Error::ActionProhibited`] if this host does not have it.
pub(crate) fn transport_key(turn: &Turn<'_>, slot: Slot, key_slot: Slot) -> Result<(Slot, IoKey)> {
    let known = turn.known();
    if key_slot != known.zone().chip_options().io_key() {
        return Err(Error::ActionProhibited(
            format!(
                "writes to slot {slot} are encrypted with the key in slot {key_slot}, which this host does not have"
            )
            .into(),
        ));
    }
    let file = &known.identity.io_key;
    let key = file.load().map_err(|error| Error::ActionProhibited(error.to_string().into()))?;
    let key = key.ok_or_else(|| {
        Error::ActionProhibited(
            format!(
            "writes to slot {slot} are encrypted with the IO protection key, which is not on this host: {} is missing. \
             `atecc608 provision` wrote it: restore it from a backup",
            file.path().display()
        )
            .into(),
        )
    })?;
    Ok((key_slot, key))
}

/// The error of an encrypted write: a refusal means that the keys differ, or that the slot requires a login, which may
/// not survive the nonce of such a write (unknown for silicon).
pub(crate) fn write_refused(turn: &Turn<'_>, slot: Slot, error: chip::Error) -> Error {
    if !error.has_status(Status::EXECUTION_ERROR) {
        return error.into();
    }
    let known = turn.known();
    let file = known.identity.io_key.path().display();
    if known.identity.scheme.is_some_and(|scheme| scheme.guards(slot)) {
        return Error::ActionProhibited(
            format!(
                "slot {slot}: the chip refused the write: {file} does not hold this chip's IO protection key, or its \
                 authorisation ends with a Nonce, and then a slot that needs the PIN accepts no encrypted write \
                 (docs/security.md): generate keys in the chip instead"
            )
            .into(),
        );
    }
    Error::DeviceError(
        format!("slot {slot}: the chip refused the write; does {file} hold this chip's IO protection key?").into(),
    )
}
