//! The key in the chip that a cloud is to know the device by, and its certificates on the token.

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

/// What stands in a client's configuration where the PIN of the token has to be entered by hand.
pub const PIN_TO_ENTER: &str = "ENTER-THE-PIN-OF-THE-TOKEN";

/// A chip that can be a device's identity.
pub struct Identity {
    /// Its keys and certificates.
    pub keys: ChipKeys,
    /// The token's label.
    pub token: String,
    /// The token's serial number, 16 hex digits.
    pub serial_number: String,
    /// The token's PKCS#11 slot id.
    pub slot: CK_SLOT_ID,
    /// Whether it wants a PIN.
    pub has_pin: bool,
    /// The configuration.
    pub configuration: Config,
    /// Its file, where it is not the one that every program finds.
    pub config: Option<String>,
}

impl Identity {
    /// The chip that the command line means.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is not provisioned, or the PIN is wrong; those of configuration and chip.
    pub fn open(selection: &Selection, login: &LoginArguments) -> Result<Self> {
        let keys = ChipKeys::open(selection)?;
        let info = keys.token().info().map_err(|error| Error::Token(format!("{}: {error}", keys.place())))?;
        // That the chip is provisioned, before a PIN is asked for.
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

    /// What the configuration says of the token.
    ///
    /// # Errors
    /// [`Error::Token`] if the file was changed meanwhile and has no such token any more.
    pub fn token_config(&self) -> Result<&TokenConfig> {
        let found = self.configuration.tokens.iter().find(|token| token.slot == self.slot);
        found
            .ok_or_else(|| Error::Token(format!("{}: the configuration has no such token any more", self.keys.place())))
    }

    /// The key of this label, if there is one.
    ///
    /// # Errors
    /// Those of the chip.
    pub fn find(&self, label: &str) -> Result<Option<ChipKey>> {
        let there = self.keys.list()?.iter().any(|key| key.label == label && key.held != Some(Held::Nothing));
        if !there {
            return Ok(None);
        }
        self.keys.key(&KeyName::Label(label.to_owned())).map(Some)
    }

    /// The key of this label; generated in the chip if there is none.
    ///
    /// # Errors
    /// Those of a generation: no slot is free, the state folder can't be written, the chip fails.
    pub fn find_or_generate(&self, label: &str) -> Result<(ChipKey, bool)> {
        if let Some(key) = self.find(label)? {
            return Ok((self.keys.vouched(key)?, false));
        }
        note(&format!("generating the key \"{label}\" in the chip"));
        let names = NewKeyNames { label: Some(label.to_owned()), ..NewKeyNames::default() };
        Ok((self.keys.generate(&names)?, true))
    }

    /// Checks that [`Identity::find_or_generate`] finds the key, or a slot for it. Returns the key; none if it would be generated.
    ///
    /// # Errors
    /// As [`Identity::find_or_generate`], but for those of the state folder.
    pub fn find_or_plan(&self, label: &str) -> Result<Option<ChipKey>> {
        let found = self.find(label)?;
        if found.is_none() {
            self.keys.slot_for_new_key(label)?;
        }
        Ok(found)
    }

    /// The labels of the keys that the token has a certificate for.
    ///
    /// # Errors
    /// Those of the chip.
    pub fn certified(&self) -> Result<Vec<String>> {
        let certificates = self.keys.certificates()?;
        let has_one = |key: &KeyReport| {
            let info = key.point.map(|point| point.public_key_info());
            info.is_some_and(|info| certificates.iter().any(|stored| stored.certificate.public_key_info() == info))
        };
        Ok(self.keys.list()?.into_iter().filter(has_one).map(|key| key.label).collect())
    }

    /// The certificates that the token has for a key.
    ///
    /// # Errors
    /// Those of the chip.
    pub fn certificates(&self, key: &ChipKey) -> Result<Vec<Certificate>> {
        let all = self.keys.certificates()?.into_iter().map(|stored| stored.certificate);
        Ok(all.filter(|certificate| is_for(certificate, key)).collect())
    }

    /// Puts a certificate on the token, under label and id of its key; answers whether it was not there before.
    ///
    /// # Errors
    /// Those of the state folder.
    pub fn keep(&self, key: &ChipKey, certificate: &Certificate) -> Result<bool> {
        self.keys.store_certificate(certificate.der(), Some(&key.label), Some(&key.id))
    }
}

/// The configuration file, absolute, where it is not the one that every program finds.
///
/// # Errors
/// [`Error::Config`].
pub fn unusual_config(selection: &Selection) -> Result<Option<String>> {
    let path = selection.configuration()?.path.and_then(|path| std::path::absolute(path).ok());
    Ok(path.map(|path| path.display().to_string()).filter(|path| path != config::DEFAULT_PATH))
}

/// Whether a certificate is for this very key.
pub fn is_for(certificate: &Certificate, key: &ChipKey) -> bool {
    certificate.public_key_info() == key.point.public_key_info()
}
