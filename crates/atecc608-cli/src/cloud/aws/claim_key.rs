// SPDX-License-Identifier: MIT OR Apache-2.0
//! The credential of a claim: the claim certificate, and its key in a file or in a chip (for instance the certificate
//! that a chip was sold with).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use der::DateTime;

use crate::chip_keys::uri::KeyUri;
use crate::chip_keys::{ChipKey, KeyArguments, LoginArguments};
use crate::cloud::identity::{is_for, Identity};
use crate::cloud::tls::{self, ClientKey};
use crate::error::{Error, Result};
use crate::output::warn;
use crate::target::Selection;
use crate::x509::certificate::Certificate;
use crate::x509::key_file::{Passphrase, PrivateKey};

/// The claim certificate and its key.
#[derive(Debug, Args)]
pub struct ClaimKeyArguments {
    /// The claim certificate, with its chain if there is one. Of a key in a chip the default is the certificate that the token has
    #[arg(long, value_name = "FILE")]
    claim_cert: Option<PathBuf>,
    /// The claim certificate's private key
    #[arg(long, value_name = "FILE|pkcs11:URI")]
    claim_key: String,
    /// The passphrase of the claim key is the first line of this file (- is standard input) instead of asked for
    #[arg(long, value_name = "FILE")]
    claim_passphrase_file: Option<PathBuf>,
}

/// Certificate and key, which belong together.
pub struct ClaimKey {
    /// The certificate, and its chain.
    pub chain: Vec<Certificate>,
    /// Its key.
    pub key: ClientKey,
}

impl ClaimKeyArguments {
    /// Reads them, or finds them in a chip, without a change.
    ///
    /// # Errors
    /// [`Error::Refused`] if a file can't be read, or the certificate is for another key or not valid today; the [chip
    /// errors](crate::Error#chip-errors).
    pub fn read(&self, selection: &Selection, login: &LoginArguments, identity: &Identity) -> Result<ClaimKey> {
        let given = self.claim_cert.as_deref().map(Certificate::read_all).transpose()?;
        let (public, key, chain) = if self.claim_key.starts_with("pkcs11:") {
            let (key, stored) = self.in_chip(selection, login, identity)?;
            let chain = given.or_else(|| stored.map(|certificate| vec![certificate])).ok_or_else(|| {
                Error::Refused(format!(
                    "{}: the token has no certificate for this key: give the claim certificate with --claim-cert FILE",
                    self.claim_key
                ))
            })?;
            (key.point.public_key_info(), tls::key_in_chip(key), chain)
        } else {
            let path = Path::new(&self.claim_key);
            warn_if_open(path);
            let key = PrivateKey::read(path, &Passphrase::of(self.claim_passphrase_file.as_deref()))?;
            let chain = given.ok_or_else(|| {
                Error::Refused("a claim key in a file needs its certificate: --claim-cert FILE".to_owned())
            })?;
            (key.public_key_info(), tls::key_of_file(&self.claim_key, &key)?, chain)
        };
        let name =
            self.claim_cert.as_ref().map_or("the token's certificate".to_owned(), |path| path.display().to_string());
        let Some(first) = chain.first().filter(|first| first.public_key_info() == public) else {
            return Err(Error::Refused(format!(
                "{name} is not the certificate of the key {}: --claim-cert and --claim-key belong together",
                self.claim_key
            )));
        };
        ensure_valid(&name, first)?;
        Ok(ClaimKey { chain, key })
    }

    /// Returns the key in the URI, and its token's certificate for it.
    fn in_chip(
        &self,
        selection: &Selection,
        login: &LoginArguments,
        identity: &Identity,
    ) -> Result<(ChipKey, Option<Certificate>)> {
        let uri = KeyUri::parse(&self.claim_key)
            .map_err(|problem| Error::Refused(format!("--claim-key {}: {problem}", self.claim_key)))?;
        let here = uri.token.as_ref().is_none_or(|token| *token == identity.token)
            && uri.serial.as_ref().is_none_or(|serial| serial.eq_ignore_ascii_case(&identity.serial_number));
        let other = if here {
            None
        } else {
            let selection = Selection { token: uri.serial.or(uri.token), ..selection.clone() };
            Some(Identity::open(&selection, login)?)
        };
        let identity = other.as_ref().unwrap_or(identity);
        let key = identity.keys.key_named(&KeyArguments { key: uri.object, slot: None })?;
        let stored = identity.keys.certificates()?.into_iter().map(|stored| stored.certificate);
        let stored = stored.into_iter().find(|certificate| is_for(certificate, &key));
        Ok((key, stored))
    }
}

/// Each user who can read a claim key can claim.
fn warn_if_open(path: &Path) {
    const OTHERS: u32 = 0o004;
    let mode = std::fs::metadata(path).map_or(0, |found| found.permissions().mode());
    if mode & OTHERS != 0 {
        let path = path.display();
        warn(&format!("every user of this machine can read the claim key {path}: chmod 600 {path}"));
    }
}

/// AWS would close the connection without a reason.
fn ensure_valid(name: &str, certificate: &Certificate) -> Result<()> {
    let validity = certificate.validity();
    let (begin, end) = (validity.not_before.to_date_time(), validity.not_after.to_date_time());
    let now = DateTime::from_system_time(std::time::SystemTime::now()).unwrap_or(DateTime::INFINITY);
    if (begin..=end).contains(&now) {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "{name} is valid from {begin} until {end}, and this machine's clock shows {now}: set the clock (`timedatectl`), or give \
         another claim certificate with --claim-cert"
    )))
}
