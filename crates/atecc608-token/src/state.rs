// SPDX-License-Identifier: MIT OR Apache-2.0
//! The contents of the state folder for a chip, as types. `store` reads and writes them, `state_file` is the text form.

use super::kept::Kept;
use super::pin::blob::PinBlob;
use atecc608_wire::Slot;

/// The state of a chip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Increases with every change.
    pub generation: u64,
    /// The token's label, if C_InitToken set one.
    pub label: Option<String>,
    /// The authorisation secret, encrypted with the user's PIN: empty without a PIN, several entries while the chip
    /// must decide which one is valid.
    pub pins: Vec<PinBlob>,
    /// Entries of slots with keys.
    pub slots: Vec<SlotState>,
    /// Secret keys in the chip's slots; only the state identifies them.
    pub secrets: Vec<StoredSecret>,
    /// Places for secret keys that hold none. The contents of places that are in neither list are unknown.
    pub empty: Vec<EmptyPlace>,
    /// Certificates and data objects.
    pub objects: Vec<StoredObject>,
    /// The permanent data in the chip for the certificates it was sold with, as read.
    pub sold: Option<Vec<u8>>,
    /// Number of changes of the certificate in slot 8, so that other processes read it again.
    pub slot_8_changes: u64,
}

/// The state of one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotState {
    /// 0 to 15.
    pub slot: u8,
    /// CKA_LABEL of the private key.
    pub label: Option<String>,
    /// CKA_LABEL of the public key, if it differs.
    pub public_label: Option<String>,
    /// CKA_ID of both. An empty id is an id, too.
    pub id: Option<Vec<u8>>,
    /// Other given attributes of the key pair.
    pub kept: Kept,
    /// The public key as last read: 04 ‖ X ‖ Y.
    pub public_key: Option<Vec<u8>>,
    /// Whether the key was imported. A slot whose rules allow no import may hold such a key, too, written before the
    /// data lock.
    pub imported: bool,
    /// The public key of a destroyed key: the slot is free while the chip holds it.
    pub tombstone: Option<Vec<u8>>,
    /// A generation, import or destruction that was begun and not committed.
    pub intent: Option<Intent>,
}

/// A planned change of a slot's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The previous public key (04 ‖ X ‖ Y), if there was one.
    pub before: Option<Vec<u8>>,
    /// The new public key, if known: for an imported key.
    pub after: Option<Vec<u8>>,
    /// The purpose of the change.
    pub purpose: Purpose,
    /// CKA_LABEL of the new private key.
    pub label: Option<String>,
    /// CKA_LABEL of the new public key, if it differs.
    pub public_label: Option<String>,
    /// CKA_ID of both.
    pub id: Option<Vec<u8>>,
    /// Other attributes of both.
    pub kept: Kept,
}

/// Why a slot's key is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// C_GenerateKeyPair.
    Generate,
    /// C_CreateObject of a private key.
    Import,
    /// C_DestroyObject: the new key is unused.
    Destroy,
}

/// A secret key in a slot of the chip; its value is nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSecret {
    /// CKA_UNIQUE_ID: unique within the chip's state, and never reused.
    pub unique_id: String,
    /// 0 to 15.
    pub slot: u8,
    /// Which 32 bytes of the slot.
    pub block: u8,
    /// What kind of key it is.
    pub kind: SecretKind,
    /// CKA_VALUE_LEN.
    pub len: u8,
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID.
    pub id: Vec<u8>,
    /// Other given attributes.
    pub kept: Kept,
    /// Shows whether the chip still holds it: CKA_CHECK_VALUE of an AES key, the first bytes of an HMAC of a generic
    /// secret.
    pub check: CheckValue,
    /// Whether C_GenerateKey generated it.
    pub generated: bool,
    /// A write or destruction that was begun and not committed.
    pub pending: Option<PendingSecret>,
}

/// Bytes of a check value.
pub const CHECK_LEN: usize = 3;

/// A value that the chip computes with the key in one place, to distinguish it from others.
pub type CheckValue = [u8; CHECK_LEN];

/// A place for a secret key that holds none: 32 unused bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmptyPlace {
    /// 0 to 15.
    pub slot: u8,
    /// Which 32 bytes of the slot.
    pub block: u8,
    /// The check value of its contents. The place is empty only while the chip's matches.
    pub check: CheckValue,
}

/// Kinds of secret keys that a slot can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// CKK_AES, 16 bytes.
    Aes,
    /// CKK_GENERIC_SECRET for HMAC, 1 to 32 bytes.
    Generic,
}

/// A planned change of a secret key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendingSecret {
    /// Its value was about to be written.
    Write {
        /// The check value of the previous contents.
        before: CheckValue,
    },
    /// It was about to be overwritten.
    Destroy {
        /// The check value of the new contents.
        filler: CheckValue,
    },
}

/// A certificate, data object or public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// CKA_UNIQUE_ID: unique within the chip's state.
    pub unique_id: String,
    /// What it is.
    pub class: StoredClass,
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID of a certificate or public key, CKA_OBJECT_ID of a data object.
    pub id: Vec<u8>,
    /// CKA_APPLICATION of a data object.
    pub application: String,
    /// Other given attributes.
    pub kept: Kept,
    /// CKA_VALUE; of a public key CKA_PUBLIC_KEY_INFO.
    pub value: Vec<u8>,
}

/// Classes of stored objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredClass {
    /// An X.509 certificate.
    Certificate,
    /// A data object.
    Data,
    /// A stand-alone public key. Its value is a SubjectPublicKeyInfo in DER.
    PublicKey,
}

impl Intent {
    /// Whether it took effect, by the public key that is in the slot now (04 ‖ X ‖ Y). A key that is neither the old
    /// nor the expected one came from another program.
    pub fn took_effect(&self, now: Option<&[u8]>) -> bool {
        match &self.after {
            Some(after) => now == Some(after),
            None => now.is_some() && now != self.before.as_deref(),
        }
    }
}

impl SlotState {
    /// Whether the key was imported, or may have been: an import was begun, and its result is unknown.
    pub(crate) fn may_be_imported(&self) -> bool {
        self.imported || self.intent.as_ref().is_some_and(|intent| intent.purpose == Purpose::Import)
    }

    /// Returns the entries about the key itself rather than its names: public key, tombstone, intent.
    pub(crate) fn about_the_key(&self) -> (Option<&[u8]>, Option<&[u8]>, Option<&Intent>) {
        (self.public_key.as_deref(), self.tombstone.as_deref(), self.intent.as_ref())
    }

    /// Notes that the intent took effect: the slot's key is `public_key` now (04 ‖ X ‖ Y).
    pub fn intent_took_effect(&mut self, intent: &Intent, public_key: Option<Vec<u8>>) {
        *self = Self { slot: self.slot, ..Self::default() };
        match intent.purpose {
            Purpose::Generate | Purpose::Import => {
                self.label.clone_from(&intent.label);
                self.public_label.clone_from(&intent.public_label);
                self.id.clone_from(&intent.id);
                self.kept.clone_from(&intent.kept);
                self.public_key = public_key;
                self.imported = intent.purpose == Purpose::Import;
            }
            Purpose::Destroy => self.tombstone = public_key,
        }
    }
}

impl State {
    /// Returns the entry of a slot, if there is one.
    pub fn slot(&self, slot: Slot) -> Option<&SlotState> {
        self.slots.iter().find(|state| state.slot == slot.number())
    }

    /// Returns the secret key with this CKA_UNIQUE_ID.
    pub fn secret(&self, unique_id: &str) -> Option<&StoredSecret> {
        self.secrets.iter().find(|secret| secret.unique_id == unique_id)
    }

    /// Whether it has a secret key in this place.
    pub fn has_secret(&self, slot: Slot, block: u8) -> bool {
        self.secrets.iter().any(|secret| secret.slot == slot.number() && secret.block == block)
    }

    /// Returns the entry of an empty place.
    pub fn empty(&self, slot: Slot, block: u8) -> Option<&EmptyPlace> {
        self.empty.iter().find(|place| place.slot == slot.number() && place.block == block)
    }

    /// Marks a place as empty.
    pub fn call_empty(&mut self, place: EmptyPlace) {
        self.empty.retain(|known| (known.slot, known.block) != (place.slot, place.block));
        self.empty.push(place);
    }

    /// Removes the mark of an empty place.
    pub fn fill(&mut self, slot: Slot, block: u8) {
        self.empty.retain(|known| (known.slot, known.block) != (slot.number(), block));
    }

    /// Returns the entry of a slot, mutable.
    pub fn slot_mut(&mut self, slot: Slot) -> &mut SlotState {
        let index = self.slots.iter().position(|state| state.slot == slot.number()).unwrap_or_else(|| {
            self.slots.push(SlotState { slot: slot.number(), ..SlotState::default() });
            self.slots.len() - 1
        });
        &mut self.slots[index]
    }
}
