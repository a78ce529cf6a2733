// SPDX-License-Identifier: MIT OR Apache-2.0
//! The private keys and certificates of one chip, for the tool's commands: generated, found, used and destroyed through
//! the token layer like a PKCS#11 client, with the same rules (intents, tombstones, unique labels, the PIN).

mod arguments;
mod between_locks;
mod key;
mod trust;
pub mod uri;

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

pub use arguments::{KeyArguments, LoginArguments, NewKeyNames};
pub use between_locks::BetweenLocks;
pub use key::ChipKey;

use crate::error::{Error, Result};
use crate::input::secret;
use crate::target::{Selection, Target};
use crate::x509::certificate::Certificate;
use atecc608::presence::Held;
use atecc608_token::attest::KeyName;
use atecc608_token::attribute::CKA_ATECC608_SLOT;
use atecc608_token::config::{slot_number, Config, TokenConfig};
use atecc608_token::inventory::{self, KeyReport, NewKey};
use atecc608_token::point::{Point, P256_PARAMS};
use atecc608_token::state::EmptyPlace;
use atecc608_token::template::{bool_value, ulong_value};
use atecc608_token::{self as token, Mechanism, ObjectHandle, Parameter, SessionRef, Template, Token};
use atecc608_wire::{ConfigZone, Slot};

/// The tool's only session: all its objects are on the token.
const SESSION: SessionRef = SessionRef { id: 0, read_write: true };

/// One chip's keys and certificates.
#[derive(Clone)]
pub struct ChipKeys {
    token: Arc<Token>,
    place: String,
}

impl ChipKeys {
    /// The keys of a token; `place` is its name in messages. The caller logs in if necessary.
    pub fn new(token: Arc<Token>, place: impl Into<String>) -> Self {
        Self { token, place: place.into() }
    }

    /// Opens the keys of the selected chip, without a login.
    ///
    /// # Errors
    /// [`Error::Config`] if the configuration is invalid; [`Error::Token`] if it names no such chip; [`Error::Open`] if
    /// the bus can't be opened.
    pub fn open(selection: &Selection) -> Result<Self> {
        Self::open_as(selection, Token::new)
    }

    /// The same, also for a chip between its locks.
    ///
    /// # Errors
    /// As [`ChipKeys::open`].
    pub fn open_between_locks(selection: &Selection) -> Result<Self> {
        Self::open_as(selection, Token::open_between_locks)
    }

    fn open_as(selection: &Selection, token_of: fn(&Config, &TokenConfig) -> Token) -> Result<Self> {
        let target = selection.target()?;
        Ok(Self::new(Arc::new(token_of(&target.config, &target.token)), target.place()))
    }

    /// The keys of the chip of a target, which holds no lock.
    pub fn of(target: &Target) -> Self {
        Self::new(Arc::new(Token::new(&target.config, &target.token)), target.place())
    }

    /// The same with a login, if the chip has a PIN: from the file, or asked for at the terminal.
    ///
    /// # Errors
    /// As [`ChipKeys::open`]; [`Error::Refused`] if the PIN is wrong, or there is no terminal.
    pub fn open_logged_in(selection: &Selection, login: &LoginArguments) -> Result<Self> {
        let keys = Self::open(selection)?;
        keys.login(login)?;
        Ok(keys)
    }

    /// Logs in, if the chip has a PIN.
    ///
    /// # Errors
    /// [`Error::Refused`] if the PIN is wrong, or there is no terminal; the [chip errors](crate::Error#chip-errors).
    pub fn login(&self, login: &LoginArguments) -> Result<()> {
        let info = self.token.info().map_err(|error| self.failed(error))?;
        if info.flags & CKF_LOGIN_REQUIRED == 0 {
            return Ok(());
        }
        let pin = match &login.pin_file {
            Some(path) => secret::first_line(path)?,
            None => secret::ask(&format!("PIN of the user of {}", info.label), "--pin-file FILE")?,
        };
        self.token.login(CKU_USER, Some(&pin)).map_err(|error| self.failed(error))
    }

    /// Returns the chip's configuration.
    ///
    /// # Errors
    /// The [chip errors](crate::Error#chip-errors).
    pub fn zone(&self) -> Result<ConfigZone> {
        token::between_locks::zone(&self.token).map_err(|error| self.failed(error))
    }

    /// The token behind it.
    pub fn token(&self) -> &Arc<Token> {
        &self.token
    }

    /// Returns the token's label.
    ///
    /// # Errors
    /// [`Error::Token`] if the chip does not respond.
    pub fn label(&self) -> Result<String> {
        Ok(self.token.info().map_err(|error| self.failed(error))?.label)
    }

    /// The chip's name in messages: bus and address.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Returns all slots that can hold a private key, in order.
    ///
    /// # Errors
    /// The [chip errors](crate::Error#chip-errors).
    pub fn list(&self) -> Result<Vec<KeyReport>> {
        inventory::key_reports(&self.token).map_err(|error| self.failed(error))
    }

    /// Generates a key pair in the chip.
    ///
    /// # Errors
    /// [`Error::Refused`] if the slot can't hold it or holds a key, or another key has the label; the [chip
    /// errors](crate::Error#chip-errors).
    pub fn generate(&self, names: &NewKeyNames) -> Result<ChipKey> {
        self.check_slot(names, NewKey::Generated)?;
        let public = template([(CKA_TOKEN, bool_value(true)), (CKA_EC_PARAMS, P256_PARAMS.to_vec())]);
        let mut private = template([(CKA_TOKEN, bool_value(true))]);
        name_it(&mut private, names);
        let mechanism = Mechanism { mechanism: CKM_EC_KEY_PAIR_GEN, parameter: Parameter::None };
        let made = self.token.generate_key_pair(SESSION, &mechanism, &public, &private);
        let (_, handle) = made.map_err(|error| self.failed(error))?;
        self.vouched(self.key_of(handle)?)
    }

    /// Returns the slot that [`ChipKeys::generate`] would choose for a key with this label, without a change.
    ///
    /// # Errors
    /// As [`ChipKeys::generate`].
    pub fn slot_for_new_key(&self, label: &str) -> Result<Slot> {
        inventory::slot_for_new_key(&self.token, label).map_err(|error| self.failed(error))
    }

    /// Imports a private key into the chip: `scalar` is the key, big-endian.
    ///
    /// # Errors
    /// As [`ChipKeys::generate`].
    pub fn import(&self, scalar: &[u8; 32], names: &NewKeyNames) -> Result<ChipKey> {
        self.check_slot(names, NewKey::Imported)?;
        let mut private = template([
            (CKA_CLASS, ulong_value(CKO_PRIVATE_KEY)),
            (CKA_KEY_TYPE, ulong_value(CKK_EC)),
            (CKA_TOKEN, bool_value(true)),
            (CKA_EC_PARAMS, P256_PARAMS.to_vec()),
        ]);
        private.set(CKA_VALUE, Zeroizing::new(scalar.to_vec()));
        name_it(&mut private, names);
        let handle = self.token.create_object(SESSION, &private).map_err(|error| self.failed(error))?;
        self.vouched(self.key_of(handle)?)
    }

    /// Returns the key, whose public key was just read from the chip. For root the public key is stored as trusted
    /// ([`ChipKeys::trust_all`]), for a new key or one of an interrupted run.
    ///
    /// # Errors
    /// As [`ChipKeys::list`].
    pub fn vouched(&self, key: ChipKey) -> Result<ChipKey> {
        self.vouch(key.slot, Some(key.point))?;
        Ok(key)
    }

    /// Returns an existing key, with its public key read from the chip.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is none, or a PIN is required; the [chip errors](crate::Error#chip-errors).
    pub fn key(&self, name: &KeyName) -> Result<ChipKey> {
        let (slot, point) = inventory::read_public_key(&self.token, name).map_err(|error| self.failed(error))?;
        self.key_in(slot, point)
    }

    /// Returns the key that the arguments name; without a name the only key.
    ///
    /// # Errors
    /// As [`ChipKeys::key`]; [`Error::Refused`] if there are several, or none.
    pub fn key_named(&self, arguments: &KeyArguments) -> Result<ChipKey> {
        if let Some(name) = arguments.name() {
            return self.key(&name);
        }
        let (unknown, all): (Vec<KeyReport>, _) =
            self.list()?.into_iter().partition(|key| key.held == Some(Held::Unknown));
        let present: Vec<&KeyReport> = all.iter().filter(|key| key.held != Some(Held::Nothing)).collect();
        match present.as_slice() {
            [only] => self.key(&KeyName::Slot(only.key.slot)),
            [] => match unknown.first() {
                Some(unknown) => self.key(&KeyName::Slot(unknown.key.slot)),
                None => Err(self.refused("the chip holds no key yet: `atecc608 key generate` generates one")),
            },
            several => {
                let labels: Vec<String> = several.iter().map(|key| format!("\"{}\"", key.label)).collect();
                Err(self.refused(&format!(
                    "the chip holds several keys ({}): choose one with --key LABEL",
                    labels.join(", ")
                )))
            }
        }
    }

    /// Overwrites a private key in the chip with an unused one.
    ///
    /// # Errors
    /// [`Error::Refused`] if the slot's key is permanent; the [chip errors](crate::Error#chip-errors).
    pub fn destroy(&self, key: &ChipKey) -> Result<()> {
        self.token.destroy_object(SESSION, key.handle).map_err(|error| self.failed(error))?;
        self.vouch(key.slot, None)
    }

    /// Marks all places of a slot for secret keys that the state does not describe as empty. Returns their number.
    ///
    /// # Errors
    /// [`Error::Refused`] if the slot is not for secret keys; the [chip errors](crate::Error#chip-errors).
    pub fn call_secret_slot_empty(&self, slot: Slot) -> Result<usize> {
        inventory::call_secret_slot_empty(&self.token, slot).map_err(|error| self.prohibited(error))
    }

    /// Marks these places for secret keys as empty, except those with keys in the state. Returns their number.
    ///
    /// # Errors
    /// The [chip errors](crate::Error#chip-errors).
    pub fn take_empty_places(&self, places: Vec<EmptyPlace>) -> Result<usize> {
        inventory::take_empty_places(&self.token, places).map_err(|error| self.failed(error))
    }

    /// Returns the certificates of the token, in its order.
    ///
    /// # Errors
    /// The [chip errors](crate::Error#chip-errors).
    pub fn certificates(&self) -> Result<Vec<StoredCertificate>> {
        let wanted =
            template([(CKA_CLASS, ulong_value(CKO_CERTIFICATE)), (CKA_CERTIFICATE_TYPE, ulong_value(CKC_X_509))]);
        let found = self.token.find(&wanted).map_err(|error| self.failed(error))?;
        found.into_iter().map(|handle| self.certificate_of(handle)).collect()
    }

    /// Stores a certificate (DER) on the token. Without label and id it gets those of its key, if that is in the chip.
    /// An existing one is not changed: then returns `false`.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is not a certificate; the [chip errors](crate::Error#chip-errors).
    pub fn store_certificate(&self, der: &[u8], label: Option<&str>, id: Option<&[u8]>) -> Result<bool> {
        let mut wanted = template([
            (CKA_CLASS, ulong_value(CKO_CERTIFICATE)),
            (CKA_CERTIFICATE_TYPE, ulong_value(CKC_X_509)),
            (CKA_TOKEN, bool_value(true)),
            (CKA_VALUE, der.to_vec()),
        ]);
        if !self.token.find(&wanted).map_err(|error| self.failed(error))?.is_empty() {
            return Ok(false);
        }
        if let Some(label) = label {
            wanted.set(CKA_LABEL, Zeroizing::new(label.as_bytes().to_vec()));
        }
        if let Some(id) = id {
            wanted.set(CKA_ID, Zeroizing::new(id.to_vec()));
        }
        self.token.create_object(SESSION, &wanted).map_err(|error| self.failed(error))?;
        Ok(true)
    }

    /// Removes a certificate from the token; its key is kept.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is part of the chip; the [chip errors](crate::Error#chip-errors).
    pub fn remove_certificate(&self, certificate: &StoredCertificate) -> Result<()> {
        if !certificate.removable {
            return Err(self.refused(&format!(
                "the certificate \"{}\" is part of the chip: it can't be removed",
                certificate.label
            )));
        }
        self.token.destroy_object(SESSION, certificate.handle).map_err(|error| self.failed(error))
    }

    /// Returns the other certificates of the token for the same key: clients may use any of them.
    ///
    /// # Errors
    /// The [chip errors](crate::Error#chip-errors).
    pub fn rivals(&self, of: &Certificate) -> Result<Vec<StoredCertificate>> {
        let mut stored = self.certificates()?;
        let public = of.public_key_info();
        stored.retain(|other| other.certificate.der() != of.der() && other.certificate.public_key_info() == public);
        Ok(stored)
    }

    /// Checks that the requested slot can hold a new key.
    fn check_slot(&self, names: &NewKeyNames, new: NewKey) -> Result<()> {
        let Some(slot) = names.slot else {
            if new == NewKey::Imported && !self.list()?.iter().any(|key| key.key.import && !key.locked) {
                return Err(self.refused(
                    "the configuration of this chip permits no import of a private key; `atecc608 key generate` \
                     generates one in the chip",
                ));
            }
            return Ok(());
        };
        if let Some(problem) = inventory::slot_problem(&self.token, slot, new).map_err(|error| self.failed(error))? {
            return Err(self.refused(&problem));
        }
        match self.list()?.into_iter().find(|key| key.key.slot == slot) {
            Some(KeyReport { held: Some(Held::Key), label, .. }) => Err(self.refused(&format!(
                "slot {slot} holds the key \"{label}\": use another slot (`atecc608 key list`), or destroy that key \
                 first, permanently (`atecc608 key destroy --slot {slot}`)"
            ))),
            _ => Ok(()),
        }
    }

    /// Returns the key that was just made.
    fn key_of(&self, handle: ObjectHandle) -> Result<ChipKey> {
        let number = self.attribute(handle, CKA_ATECC608_SLOT)?;
        let number = number[..].try_into().map(CK_ULONG::from_ne_bytes).unwrap_or(CK_ULONG::MAX);
        let slot = slot_number(number).map_err(|_| self.refused("the token does not report the slot of its key"))?;
        self.key(&KeyName::Slot(slot))
    }

    fn key_in(&self, slot: Slot, point: Point) -> Result<ChipKey> {
        let wanted = template([
            (CKA_CLASS, ulong_value(CKO_PRIVATE_KEY)),
            (CKA_ATECC608_SLOT, ulong_value(slot.number().into())),
        ]);
        let found = self.token.find(&wanted).map_err(|error| self.failed(error))?;
        let Some(handle) = found.first().copied() else { return Err(self.failed(token::Error::UserNotLoggedIn)) };
        let text = |value: Zeroizing<Vec<u8>>| String::from_utf8_lossy(&value).into_owned();
        Ok(ChipKey {
            keys: self.clone(),
            handle,
            slot,
            label: text(self.attribute(handle, CKA_LABEL)?),
            id: self.attribute(handle, CKA_ID)?.to_vec(),
            signs: self.attribute(handle, CKA_SIGN)?[..] == [CK_TRUE],
            born_here: self.attribute(handle, CKA_LOCAL)?[..] == [CK_TRUE],
            point,
        })
    }

    fn certificate_of(&self, handle: ObjectHandle) -> Result<StoredCertificate> {
        let label = String::from_utf8_lossy(&self.attribute(handle, CKA_LABEL)?).into_owned();
        let der = self.attribute(handle, CKA_VALUE)?;
        let certificate = Certificate::from_der(&format!("{}: the certificate \"{label}\"", self.place), &der)?;
        let removable = self.attribute(handle, CKA_DESTROYABLE)?[..] == [CK_TRUE];
        Ok(StoredCertificate { handle, label, id: self.attribute(handle, CKA_ID)?.to_vec(), certificate, removable })
    }

    fn attribute(&self, handle: ObjectHandle, attribute: CK_ATTRIBUTE_TYPE) -> Result<Zeroizing<Vec<u8>>> {
        self.token.attribute(handle, attribute, self.token.deadline()).map_err(|error| self.failed(error))
    }

    /// An error about this chip.
    pub fn refused(&self, problem: &str) -> Error {
        Error::Refused(format!("{}: {problem}", self.place))
    }

    fn prohibited(&self, cause: token::Error) -> Error {
        match cause {
            token::Error::ActionProhibited(problem) => self.refused(&problem),
            cause => self.failed(cause),
        }
    }

    /// Converts an error of the token layer to one about this chip.
    pub fn failed(&self, cause: token::Error) -> Error {
        match cause {
            token::Error::UserNotLoggedIn => {
                self.refused("this chip needs the user's PIN: pass its file with --pin-file")
            }
            token::Error::PinIncorrect => self.refused("the PIN is wrong; nothing was done"),
            token::Error::AttributeValueInvalid(text) => self.refused(&text),
            cause => Error::Token(format!("{}: {cause}", self.place)),
        }
    }
}

/// A certificate on the token.
pub struct StoredCertificate {
    handle: ObjectHandle,
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID.
    pub id: Vec<u8>,
    /// The certificate.
    pub certificate: Certificate,
    /// Whether it can be removed from the token; certificates in the chip can't.
    pub removable: bool,
}

fn template<const N: usize>(attributes: [(CK_ATTRIBUTE_TYPE, Vec<u8>); N]) -> Template {
    Template::new(attributes.into_iter().map(|(attribute, value)| (attribute, Zeroizing::new(value))).collect())
}

fn name_it(template: &mut Template, names: &NewKeyNames) {
    if let Some(label) = &names.label {
        template.set(CKA_LABEL, Zeroizing::new(label.as_bytes().to_vec()));
    }
    if let Some(id) = &names.id {
        template.set(CKA_ID, Zeroizing::new(id.clone()));
    }
    if let Some(slot) = names.slot {
        template.set(CKA_ATECC608_SLOT, Zeroizing::new(ulong_value(slot.number().into())));
    }
}
