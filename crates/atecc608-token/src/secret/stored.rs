//! Secret keys in slots of the chip. The value is written there once and never read; what it is called, and that it is a
//! key at all, only the state knows: with the state lost it is a free place.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::ChipSecret;
use crate::create::unique_id;
use crate::error::{Error, Result};
use crate::io_key::IoKey;
use crate::io_protection::{transport_key, write_refused};
use crate::kept::Kept;
use crate::layout::{SecretAccess, SecretSlot};
use crate::snapshot::Known;
use crate::state::{PendingSecret, SecretKind, State, StoredSecret};
use crate::turn::Turn;
use atecc608::secrets::SharedSecret;
use atecc608_wire::commands::{Aes, KeyLocation};
use atecc608_wire::zone::Address;
use atecc608_wire::Slot;

/// Bytes of CKA_CHECK_VALUE.
const CHECK_LEN: usize = 3;

impl SecretKind {
    /// The kind that a key type needs.
    ///
    /// # Errors
    /// [`Error::AttributeValueInvalid`].
    pub fn of_key_type(key_type: CK_KEY_TYPE) -> Result<Self> {
        match key_type {
            CKK_AES => Ok(Self::Aes),
            CKK_GENERIC_SECRET | CKK_SHA256_HMAC => Ok(Self::Generic),
            other => Err(Error::AttributeValueInvalid(
                format!("CKA_KEY_TYPE: {other:#x}, where the chip keeps CKK_AES and CKK_GENERIC_SECRET").into(),
            )),
        }
    }

    /// CKA_KEY_TYPE.
    pub fn key_type(self) -> CK_KEY_TYPE {
        match self {
            Self::Aes => CKK_AES,
            Self::Generic => CKK_GENERIC_SECRET,
        }
    }

    /// Lengths of a value that the chip can keep, in bytes.
    pub fn lengths(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Aes => 16..=16,
            // HMAC pads shorter keys with zeros, as the slot does.
            Self::Generic => 1..=32,
        }
    }
}

impl StoredSecret {
    /// As operations know it.
    pub fn place(&self) -> ChipSecret {
        ChipSecret {
            unique_id: self.unique_id.clone(),
            slot: Slot::from_nibble(self.slot),
            block: self.block,
            key_type: self.kind.key_type(),
        }
    }

    /// Whether the attribute that stands for a use is true.
    pub fn may(&self, usage: CK_ATTRIBUTE_TYPE) -> bool {
        match self.kind {
            SecretKind::Aes => {
                matches!(usage, CKA_ENCRYPT | CKA_DECRYPT | CKA_SIGN | CKA_VERIFY | CKA_WRAP | CKA_UNWRAP)
            }
            SecretKind::Generic => matches!(usage, CKA_SIGN | CKA_VERIFY | CKA_DERIVE),
        }
    }
}

impl NewSecret {
    /// Checks that the chip can keep a value of this length.
    ///
    /// # Errors
    /// [`Error::KeySizeRange`].
    pub(crate) fn check_len(&self) -> Result<()> {
        let lengths = self.kind.lengths();
        if lengths.contains(&self.value.len()) {
            return Ok(());
        }
        Err(Error::KeySizeRange(
            format!(
                "CKA_VALUE_LEN: {}, where the chip keeps keys of {} to {} bytes",
                self.value.len(),
                lengths.start(),
                lengths.end()
            )
            .into(),
        ))
    }
}

/// A secret key to be kept in the chip.
pub struct NewSecret {
    /// What kind.
    pub kind: SecretKind,
    /// Its value, of a length that the kind has.
    pub value: Zeroizing<Vec<u8>>,
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID.
    pub id: Vec<u8>,
    /// Other attributes that are kept.
    pub kept: Kept,
    /// CKA_ATECC608_SLOT.
    pub slot: Option<Slot>,
}

/// Writes a key into a free place of the chip; returns its CKA_UNIQUE_ID. The state says that it is being written before it
/// is: a place that was begun and not committed is free again.
///
/// # Errors
/// [`Error::DeviceMemory`] if there is no free place, [`Error::ActionProhibited`] if the slot asked for takes no such key or
/// the key to write it with is not on this host, those of state folder and chip.
pub(crate) fn create(turn: &mut Turn<'_>, new: NewSecret) -> Result<String> {
    let NewSecret { kind, value, label, id, kept, slot } = new;
    let mut plaintext = Zeroizing::new([0; 32]);
    plaintext[..value.len()].copy_from_slice(&value);
    let (place, block) = free_place(&turn.known(), kind, slot)?;
    let write_key = write_key(turn, &place)?;
    let unique_id = unique_id()?;
    let mut secret = StoredSecret {
        unique_id: unique_id.clone(),
        slot: place.slot.number(),
        block,
        kind,
        len: value.len() as u8,
        label,
        id,
        kept,
        check: Vec::new(),
        pending: Some(PendingSecret::Write),
    };
    turn.change_state(|state| state.secrets.push(secret.clone()))?;
    let written = overwrite(turn, &secret.place(), write_key.as_ref(), &plaintext).and_then(|()| {
        if kind == SecretKind::Aes {
            secret.check = check_value(turn, &secret.place())?;
        }
        Ok(())
    });
    secret.pending = None;
    let kept = turn.change_state(|state| {
        state.secrets.retain(|known| known.unique_id != unique_id);
        if written.is_ok() {
            state.secrets.push(secret);
        }
    });
    written.and(kept).map(|()| unique_id)
}

/// Overwrites a key with random bytes.
///
/// # Errors
/// [`Error::ActionProhibited`] if the slot can't be written, those of state folder and chip.
pub(crate) fn destroy(turn: &mut Turn<'_>, secret: &ChipSecret) -> Result<()> {
    turn.check_secret(secret)?;
    let known = turn.known();
    let place = known.identity.secret_slot(secret.slot);
    let place = place.ok_or_else(|| Error::ActionProhibited(format!("slot {} keeps its key", secret.slot).into()))?;
    if let Some(stored) = known.state().secret(&secret.unique_id) {
        stored.kept.check_destroyable()?;
    }
    let write_key = write_key(turn, place)?;
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *random)
        .map_err(|error| Error::DeviceError(format!("the system gives no random bytes: {error}").into()))?;
    turn.change_state(|state| {
        if let Some(stored) = state.secrets.iter_mut().find(|stored| stored.unique_id == secret.unique_id) {
            stored.pending = Some(PendingSecret::Destroy);
        }
    })?;
    overwrite(turn, secret, write_key.as_ref(), &random)?;
    turn.change_state(|state| forget(state, &secret.unique_id))
}

fn forget(state: &mut State, unique_id: &str) {
    state.secrets.retain(|secret| secret.unique_id != unique_id);
}

/// The first place for a key of this kind that the state knows no key in.
fn free_place(known: &Known, kind: SecretKind, wanted: Option<Slot>) -> Result<(SecretSlot, u8)> {
    let slots: Vec<&SecretSlot> = known
        .identity
        .secrets
        .iter()
        .filter(|place| place.kind == kind && wanted.is_none_or(|slot| slot == place.slot))
        .filter(|place| place.access != SecretAccess::Never)
        .collect();
    if slots.is_empty() {
        return Err(Error::ActionProhibited(match wanted {
            Some(slot) => format!("CKA_ATECC608_SLOT: slot {slot} takes no such key").into(),
            None => "no slot of this chip takes such a key".to_owned().into(),
        }));
    }
    let taken = |place: &SecretSlot, block: u8| {
        let secrets = &known.state().secrets;
        secrets.iter().any(|secret| secret.slot == place.slot.number() && secret.block == block)
    };
    let free = slots
        .iter()
        .find_map(|place| (0..place.keys).find(|block| !taken(place, *block)).map(|block| ((*place).clone(), block)));
    free.ok_or_else(|| {
        let slots: Vec<String> = slots.iter().map(|place| place.slot.to_string()).collect();
        Error::DeviceMemory(
            format!("every place for such a key is taken (slot {}): destroy one first", slots.join(", ")).into(),
        )
    })
}

/// The key that the slot is written with, where it is.
///
/// # Errors
/// [`Error::ActionProhibited`] if this host does not have it.
fn write_key(turn: &Turn<'_>, place: &SecretSlot) -> Result<Option<(Slot, IoKey)>> {
    match place.access {
        SecretAccess::Clear => Ok(None),
        SecretAccess::Never => Err(Error::ActionProhibited(format!("slot {} is never written", place.slot).into())),
        SecretAccess::Encrypted(key_slot) => transport_key(turn, place.slot, key_slot).map(Some),
    }
}

fn overwrite(
    turn: &mut Turn<'_>,
    secret: &ChipSecret,
    write_key: Option<&(Slot, IoKey)>,
    plaintext: &[u8; 32],
) -> Result<()> {
    let shared = write_key.map(|(slot, value)| SharedSecret { slot: *slot, value });
    let address = Address::slot(secret.slot, secret.block, 0);
    let serial = turn.known().zone().serial_number();
    let written = turn.chip.write_secret(&serial, shared.as_ref(), address, plaintext);
    written.map_err(|error| match write_key {
        Some(_) => write_refused(turn, secret.slot, error),
        None => error.into(),
    })
}

/// Finishes what a process that died had begun with secret keys: a place that was being written is free, and of one that was being
/// destroyed the check value tells whether the key is still there.
///
/// # Errors
/// [`Error::Device`].
pub(crate) fn resolve(turn: &mut Turn<'_>) -> Result<()> {
    let known = turn.known();
    for secret in known.state().secrets.iter().filter(|secret| secret.pending.is_some()) {
        let slot = Slot::from_nibble(secret.slot);
        if known.is_out_of_reach(slot) {
            // After the next login.
            continue;
        }
        let asked = secret.pending == Some(PendingSecret::Destroy) && secret.kind == SecretKind::Aes;
        let check = match asked.then(|| check_value(turn, &secret.place())).transpose() {
            Err(error) if error.is_about_one_slot() => {
                log::warn!("slot {slot}: the destruction of a secret key was interrupted, and what became of it is not known: {error}");
                continue;
            }
            check => check?,
        };
        let is_there = check.is_some_and(|check| check == secret.check);
        log::warn!(
            "slot {slot}: the {} of a secret key was interrupted; {}",
            if secret.pending == Some(PendingSecret::Write) { "writing" } else { "destruction" },
            if is_there { "the key is still there" } else { "the place counts as free" }
        );
        let resolve = |state: &mut State| {
            if is_there {
                let found = state.secrets.iter_mut().find(|known| known.unique_id == secret.unique_id);
                found.into_iter().for_each(|known| known.pending = None);
            } else {
                forget(state, &secret.unique_id);
            }
        };
        turn.notes.commit_at_least_here(slot, resolve, |_| {})?;
    }
    Ok(())
}

/// CKA_CHECK_VALUE of an AES key: the first bytes of an encrypted block of zeros.
fn check_value(turn: &mut Turn<'_>, secret: &ChipSecret) -> Result<Vec<u8>> {
    let aes =
        Aes::Block { key: KeyLocation::Slot(secret.slot), unit: secret.aes_unit(), decrypt: false, input: [0; 16] };
    let block = turn.converse(|awake| {
        awake.before_use(secret.slot)?;
        awake.execute(&aes)
    })?;
    Ok(block[..CHECK_LEN].to_vec())
}
