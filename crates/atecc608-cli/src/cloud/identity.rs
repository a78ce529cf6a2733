// SPDX-License-Identifier: MIT OR Apache-2.0
//! The key in the chip that identifies the device to a cloud, and its certificates on the token.

use cryptoki_sys::{CKF_LOGIN_REQUIRED, CK_SLOT_ID};

use crate::chip_keys::{ChipKey, ChipKeys, LoginArguments, NewKeyNames};
use crate::error::{Error, Result};
use crate::output::note;
use crate::target::Selection;
use crate::x509::certificate::Certificate;
use atecc608::presence::Held;
use atecc608_token::attest::KeyName;
use atecc608_token::config::{self, Config, TokenConfig};
use atecc608_token::inventory::KeyReport;

/// The placeholder in a client's configuration that the user replaces by the PIN of the token.
pub const PIN_TO_ENTER: &str = "ENTER-THE-PIN-OF-THE-TOKEN";

/// A chip as a device's identity.
pub struct Identity {
    /// Its keys and certificates.
    pub keys: ChipKeys,
    /// The token's label.
    pub token: String,
    /// The token's serial number, 16 hex digits.
    pub serial_number: String,
    /// The token's PKCS#11 slot id.
    pub slot: CK_SLOT_ID,
    /// Whether it has a PIN.
    pub has_pin: bool,
    /// The configuration.
    pub configuration: Config,
    /// Its file, if it is not the default one.
    pub config: Option<String>,
}

impl Identity {
    /// Opens the selected chip.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is not provisioned, or the PIN is wrong; the [chip errors](crate::Error#chip-errors).
    pub fn open(selection: &Selection, login: &LoginArguments) -> Result<Self> {
        let keys = ChipKeys::open(selection)?;
        let info = keys.token().info().map_err(|error| Error::Token(format!("{}: {error}", keys.place())))?;
        // Check that the chip is provisioned before asking for a PIN.
        keys.list()?;
        keys.login(login)?;
        Ok(Self {
            slot: keys.token().slot_id(),
            token: info.label,
            serial_number: info.serial_number,
            has_pin: info.flags & CKF_LOGIN_REQUIRED != 0,
            config: unusual_config(selection)?,
            configuration: selection.configuration()?,
            keys,
        })
    }

    /// Returns the token's part of the configuration.
    ///
    /// # Errors
    /// [`Error::Token`] if the file was changed meanwhile and no longer has the token.
    pub fn token_config(&self) -> Result<&TokenConfig> {
        let found = self.configuration.tokens.iter().find(|token| token.slot == self.slot);
        found.ok_or_else(|| Error::Token(format!("{}: the configuration no longer has this token", self.keys.place())))
    }

    /// Returns the key with this label, if there is one.
    ///
    /// # Errors
    /// The [chip errors](crate::Error#chip-errors).
    pub fn find(&self, label: &str) -> Result<Option<ChipKey>> {
        let there = self.keys.list()?.iter().any(|key| key.label == label && key.held != Some(Held::Nothing));
        if !there {
            return Ok(None);
        }
        self.keys.key(&KeyName::Label(label.to_owned())).map(Some)
    }

    /// Returns the key with this label, generating it in the chip if necessary, and whether it did.
    ///
    /// # Errors
    /// As [`ChipKeys::generate`]: if no slot is free, the state folder can't be written, or the chip fails.
    pub fn find_or_generate(&self, label: &str) -> Result<(ChipKey, bool)> {
        if let Some(key) = self.find(label)? {
            return Ok((self.keys.vouched(key)?, false));
        }
        note(&format!("generating the key \"{label}\" in the chip"));
        let names = NewKeyNames { label: Some(label.to_owned()), ..NewKeyNames::default() };
        Ok((self.keys.generate(&names)?, true))
    }

    /// Checks that [`Identity::find_or_generate`] finds the key, or a slot for it. Returns the key; `None` if it would
    /// be generated.
    ///
    /// # Errors
    /// As [`Identity::find_or_generate`], except that the state folder can't be written.
    pub fn find_or_plan(&self, label: &str) -> Result<Option<ChipKey>> {
        let found = self.find(label)?;
        if found.is_none() {
            self.keys.slot_for_new_key(label)?;
        }
        Ok(found)
    }

    /// Returns the labels of the keys with a certificate on the token.
    ///
    /// # Errors
    /// The [chip errors](crate::Error#chip-errors).
    pub fn certified(&self) -> Result<Vec<String>> {
        let certificates = self.keys.certificates()?;
        let has_one = |key: &KeyReport| {
            let info = key.point.map(|point| point.public_key_info());
            info.is_some_and(|info| certificates.iter().any(|stored| stored.certificate.public_key_info() == info))
        };
        Ok(self.keys.list()?.into_iter().filter(has_one).map(|key| key.label).collect())
    }

    /// Returns the certificates on the token for a key.
    ///
    /// # Errors
    /// The [chip errors](crate::Error#chip-errors).
    pub fn certificates(&self, key: &ChipKey) -> Result<Vec<Certificate>> {
        let all = self.keys.certificates()?.into_iter().map(|stored| stored.certificate);
        Ok(all.filter(|certificate| is_for(certificate, key)).collect())
    }

    /// Stores a certificate on the token, with label and id of its key; returns whether it is new.
    ///
    /// # Errors
    /// The [chip errors](crate::Error#chip-errors).
    pub fn keep(&self, key: &ChipKey, certificate: &Certificate) -> Result<bool> {
        self.keys.store_certificate(certificate.der(), Some(&key.label), Some(&key.id))
    }
}

/// Returns the absolute path of the configuration file, if it is not the default one.
///
/// # Errors
/// [`Error::Config`] if the configuration is invalid.
pub fn unusual_config(selection: &Selection) -> Result<Option<String>> {
    let path = selection.configuration()?.path.and_then(|path| std::path::absolute(path).ok());
    Ok(path.map(|path| path.display().to_string()).filter(|path| path != config::DEFAULT_PATH))
}

/// Whether a certificate is for this key.
pub fn is_for(certificate: &Certificate, key: &ChipKey) -> bool {
    certificate.public_key_info() == key.point.public_key_info()
}
