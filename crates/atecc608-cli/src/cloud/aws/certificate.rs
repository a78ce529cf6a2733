// SPDX-License-Identifier: MIT OR Apache-2.0
//! The source of the thing's certificate: AWS IoT signs the chip's request; or an own CA signs, and the certificate is
//! registered at the first connection (just in time) or now; or the chip was sold with one. An existing certificate for
//! this key is reused.
//!
//! A certificate's id is the SHA-256 of its DER form. AWS can't find one by its key, so a certificate whose response
//! was lost stays there unused: it is created inactive, and can't be used.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::calls;
use super::device_client::{CERTIFICATE, CERTIFICATE_MODE};
use super::program::{text, Failure};
use super::steps::Steps;
use crate::chip_keys::ChipKey;
use crate::cloud::folder::{Folder, Outcome};
use crate::cloud::identity::{is_for, Identity};
use crate::cloud::pem::{certificates, fingerprint};
use crate::error::{Error, Result};
use crate::output::{note, warn};
use crate::x509::authority::Authority;
use crate::x509::certificate::Certificate;
use crate::x509::issue::{self, Applicant};
use crate::x509::key_file::Passphrase;
use crate::x509::request;
use crate::x509::signer::Signer;
use crate::x509::subject::Subject;
use crate::x509::terms::{end_warning, Terms};

/// The request's file.
pub const REQUEST: &str = "device.csr";
/// The certificate without its chain, if an own CA issued it: AWS registers this file.
const LEAF: &str = "leaf.pem";
/// The own CA's file, for AWS accounts that know the CA.
const AUTHORITY: &str = "ca.pem";
/// Most characters of a common name (RFC 5280 appendix A.1, ub-common-name).
const MAX_COMMON_NAME: usize = 64;

/// Who signs the certificate. Without any of these AWS IoT does.
#[derive(Debug, Default, Args)]
pub struct Source {
    /// An own CA signs the certificate: its certificate. AWS IoT then registers the device at its first connection (just in time)
    #[arg(long, value_name = "FILE", requires = "ca_key", conflicts_with = "chip_certificate")]
    ca_cert: Option<PathBuf>,
    /// The own CA's private key
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    ca_key: Option<PathBuf>,
    /// The passphrase of the CA's key is the first line of this file (- is standard input) instead of asked for
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    ca_passphrase_file: Option<PathBuf>,
    /// With an own CA: register certificate, thing and policy now, instead of at the first connection
    #[arg(long, requires = "ca_cert")]
    register: bool,
    /// Register the certificate that the token has for the key (chips that are sold with one), instead of having one made. The default
    /// key is then the one that has a certificate; none is generated
    #[arg(long)]
    chip_certificate: bool,
}

impl Source {
    /// Whether AWS IoT registers the device at its first connection.
    pub fn just_in_time(&self) -> bool {
        self.ca_cert.is_some() && !self.register
    }

    /// Returns the own CA, if there is one, after checking that its key and certificate belong together.
    ///
    /// # Errors
    /// [`Error::Refused`] if files can't be read or don't belong together, or the name does not fit into a certificate.
    pub fn authority(&self, thing: &str) -> Result<Option<Authority>> {
        let (Some(certificate), Some(private)) = (&self.ca_cert, &self.ca_key) else { return Ok(None) };
        Subject::common_name(thing)?;
        let passphrase = Passphrase::of(self.ca_passphrase_file.as_deref());
        Authority::read(certificate, private, &passphrase).map(Some)
    }

    /// Whether the certificate is one that is already on the token.
    pub fn chip_certificate(&self) -> bool {
        self.chip_certificate
    }

    /// Whether AWS IoT signs the chip's request.
    pub fn by_aws(&self) -> bool {
        self.ca_cert.is_none() && !self.chip_certificate
    }

    /// Returns the calls that look for the certificate and register it, in order, if the account knows neither it nor
    /// an own CA. `id` and `arn` are the certificate's.
    pub fn calls(&self, thing: &str, folder: &Folder, id: &str, arn: &str) -> Vec<calls::Call> {
        let file = match (&self.ca_cert, self.chip_certificate) {
            (None, false) => {
                let create = calls::create_certificate_from_csr(&folder.file(REQUEST));
                return vec![calls::list_thing_principals(thing), create];
            }
            (None, true) => CERTIFICATE,
            (Some(_), _) => LEAF,
        };
        let mut calls: Vec<calls::Call> =
            self.ca_cert.iter().map(|_| calls::describe_ca_certificate("CA-ID")).collect();
        calls.push(calls::describe_certificate(id));
        calls.push(calls::register_certificate_without_ca(&folder.file(file)));
        calls.push(calls::describe_certificate(id));
        calls.push(calls::list_principal_things(arn));
        calls
    }

    /// Returns the call that registers the certificate of an own CA that the account knows; `None` without an own CA.
    pub fn call_for_a_known_ca(&self, folder: &Folder) -> Option<calls::Call> {
        self.ca_cert.as_ref().map(|_| calls::register_certificate(&folder.file(LEAF), &folder.file(AUTHORITY)))
    }
}

/// The certificate, and its registration with AWS IoT.
pub struct Found {
    /// The certificate.
    pub certificate: Certificate,
    /// Its id and ARN; `None` if AWS does not know it yet.
    pub registered: Option<Registered>,
}

/// A certificate that AWS IoT knows.
pub struct Registered {
    /// Its id.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Its status.
    pub status: Status,
    /// Its things; `None` if it was just created, and so has no policy either.
    pub things: Option<Vec<String>>,
}

/// The status of a certificate at AWS IoT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its holder can connect.
    Active,
    /// Its holder can't connect yet.
    Inactive,
    /// The same, until its CA is known.
    PendingActivation,
    /// A device can't use it: AWS's status.
    Unusable(String),
}

impl Status {
    fn named(word: &str) -> Self {
        match word {
            "ACTIVE" => Self::Active,
            "INACTIVE" => Self::Inactive,
            "PENDING_ACTIVATION" => Self::PendingActivation,
            other => Self::Unusable(other.to_owned()),
        }
    }
}

impl Registered {
    fn of(description: &Value) -> Result<Self> {
        let part = |name: &str| text(description, &format!("/certificateDescription/{name}")).map(str::to_owned);
        let status = Status::named(&part("status")?);
        Ok(Self { id: part("certificateId")?, arn: part("certificateArn")?, status, things: None })
    }
}

/// The inputs for finding or creating a certificate.
pub struct Search<'s, 'a> {
    /// AWS.
    pub steps: &'s mut Steps<'a>,
    /// The thing's files.
    pub folder: &'s mut Folder,
    /// The chip.
    pub identity: &'s Identity,
    /// The thing.
    pub thing: &'s str,
    /// Whether the thing may have certificates for other keys.
    pub shared: bool,
    /// Whether AWS is not queried about the own CA.
    pub offline: bool,
}

impl Search<'_, '_> {
    /// Returns the certificate for the key, after creating it if there is none.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is one of another thing, a call of AWS fails, or a file can't be written; the [chip
    /// errors](crate::Error#chip-errors).
    pub fn run(&mut self, key: &ChipKey, source: &Source, authority: Option<&Authority>) -> Result<Found> {
        match authority {
            Some(authority) => self.own(key, authority, source.register),
            None if source.chip_certificate => self.of_the_chip(key),
            None => self.by_aws(key),
        }
    }

    fn by_aws(&mut self, key: &ChipKey) -> Result<Found> {
        if let Some(found) = self.known(key)? {
            return Ok(found);
        }
        let common_name = if self.thing.len() <= MAX_COMMON_NAME { self.thing } else { &self.identity.serial_number };
        let der = request::build(&Subject::common_name(common_name)?, &[], key)?;
        // Each signature differs, and so each request: it is not a file for editing.
        self.folder.overwrite(REQUEST, request::to_pem(&der).as_bytes(), 0o600)?;
        self.folder.note(REQUEST, 0o600, Outcome::Written);
        let call = calls::create_certificate_from_csr(&self.folder.file(REQUEST));
        let answer = self.steps.make("AWS IoT issues a certificate for the chip's request", &call)?;
        let pem = text(&answer, "/certificatePem")?;
        let id = text(&answer, "/certificateId")?.to_owned();
        let certificate = self.first("AWS's certificate", pem.as_bytes())?;
        if !is_for(&certificate, key) {
            return Err(Error::Refused(format!(
                "AWS returned a certificate ({id}) for another key than the one in the chip, so the device could not \
                 use it. It is inactive; `aws iot delete-certificate --certificate-id {id}` deletes it. Check that \
                 this is AWS"
            )));
        }
        self.keep_file(&certificate.pem())?;
        let arn = text(&answer, "/certificateArn")?.to_owned();
        Ok(Found { certificate, registered: Some(Registered { id, arn, status: Status::Inactive, things: None }) })
    }

    /// Returns a certificate for this key that AWS knows: the folder's, the token's, the thing's.
    fn known(&mut self, key: &ChipKey) -> Result<Option<Found>> {
        let file = self.folder.file(CERTIFICATE).display().to_string();
        if let Some(contents) = self.folder.read(CERTIFICATE)? {
            let certificate = self.first(&file, &contents)?;
            if !is_for(&certificate, key) {
                return Err(Error::Refused(format!(
                    "{file} is a certificate for another key than \"{}\": move it away, or name its key with --key",
                    key.label
                )));
            }
            let Some(registered) = self.describe(&fingerprint(&certificate))? else {
                return Err(Error::Refused(format!(
                    "{file} is a certificate that this AWS account does not have in this region: check --profile and --region, \
                     or move the file away for a new certificate"
                )));
            };
            self.folder.note(CERTIFICATE, CERTIFICATE_MODE, Outcome::Unchanged);
            return Ok(Some(Found { certificate, registered: Some(registered) }));
        }
        let on_the_token = self.identity.certificates(key)?;
        for certificate in on_the_token {
            if let Some(registered) = self.describe(&fingerprint(&certificate))? {
                note("AWS has a certificate of this key already: it is used");
                self.keep_file(&certificate.pem())?;
                return Ok(Some(Found { certificate, registered: Some(registered) }));
            }
        }
        self.of_the_thing(key)
    }

    /// Returns the thing's certificate, if it is for this key.
    fn of_the_thing(&mut self, key: &ChipKey) -> Result<Option<Found>> {
        let principals = self.steps.ask(&calls::list_thing_principals(self.thing))?.unwrap_or_default();
        let mut others = Vec::new();
        for arn in principals["principals"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            // A thing may have principals of other kinds.
            let Some((_, id)) = arn.split_once(":cert/") else { continue };
            let Some(description) = self.steps.ask(&calls::describe_certificate(id))? else { continue };
            let pem = text(&description, "/certificateDescription/certificatePem")?;
            let certificate = self.first("the thing's certificate", pem.as_bytes())?;
            if is_for(&certificate, key) {
                let registered = self.ours(Registered::of(&description)?)?;
                note("the thing has a certificate for this key already: it is used");
                self.keep_file(&certificate.pem())?;
                return Ok(Some(Found { certificate, registered: Some(registered) }));
            }
            others.push(id.to_owned());
        }
        if others.is_empty() || self.shared {
            return Ok(None);
        }
        Err(taken(self.thing, &others.join(", ")))
    }

    /// A certificate of an own CA.
    fn own(&mut self, key: &ChipKey, authority: &Authority, register: bool) -> Result<Found> {
        let certificate = self.issued(key, authority)?;
        if self.offline {
            return Ok(Found { certificate, registered: None });
        }
        let id = fingerprint(authority.certificate());
        let state = self.steps.ask(&calls::describe_ca_certificate(&id))?;
        if !register {
            say_what_is_missing(state.as_ref());
            return Ok(Found { certificate, registered: None });
        }
        let leaf = self.folder.file(LEAF);
        self.folder.overwrite(LEAF, certificate.pem().as_bytes(), CERTIFICATE_MODE)?;
        self.folder.note(LEAF, CERTIFICATE_MODE, Outcome::Written);
        let call = if state.is_some() {
            let ca = self.folder.file(AUTHORITY);
            self.folder.overwrite(AUTHORITY, authority.certificate().pem().as_bytes(), CERTIFICATE_MODE)?;
            self.folder.note(AUTHORITY, CERTIFICATE_MODE, Outcome::Written);
            calls::register_certificate(&leaf, &ca)
        } else {
            calls::register_certificate_without_ca(&leaf)
        };
        let registered = self.register(&certificate, &call)?;
        Ok(Found { certificate, registered: Some(registered) })
    }

    /// Returns the folder's certificate, if it is one of this CA for this key; else a new one.
    fn issued(&mut self, key: &ChipKey, authority: &Authority) -> Result<Certificate> {
        let ours =
            |certificate: &Certificate| is_for(certificate, key) && certificate.is_signed_by(authority.certificate());
        let file = self.folder.file(CERTIFICATE).display().to_string();
        if let Some(contents) = self.folder.read(CERTIFICATE)? {
            let certificate = self.first(&file, &contents)?;
            if ours(&certificate) {
                self.folder.note(CERTIFICATE, CERTIFICATE_MODE, Outcome::Unchanged);
                return Ok(certificate);
            }
        }
        let applicant = Applicant {
            subject: Subject::common_name(self.thing)?,
            public_key_info: key.public_key_info(),
            alternative: Vec::new(),
        };
        let der = issue::issue(&applicant, &Terms::device(), authority)?;
        let certificate = Certificate::from_der("the certificate", &der)?;
        if let Some(warning) = end_warning(certificate.validity(), authority.certificate().validity()) {
            warn(&warning);
        }
        // The whole chain: AWS needs it at the first connection to find the CA.
        let chain: String = authority.chain().into_iter().map(Certificate::pem).collect();
        self.keep_file(&(certificate.pem() + &chain))?;
        Ok(certificate)
    }

    /// Returns the token's certificate for the key.
    fn of_the_chip(&mut self, key: &ChipKey) -> Result<Found> {
        let certificate = self.identity.certificates(key)?.into_iter().next().ok_or_else(|| {
            Error::Refused(format!(
                "the token has no certificate for the key \"{}\": leave --chip-certificate out, and AWS IoT issues one",
                key.label
            ))
        })?;
        self.keep_file(&certificate.pem())?;
        let call = calls::register_certificate_without_ca(&self.folder.file(CERTIFICATE));
        let registered = self.register(&certificate, &call)?;
        Ok(Found { certificate, registered: Some(registered) })
    }

    fn register(&mut self, certificate: &Certificate, call: &calls::Call) -> Result<Registered> {
        let id = fingerprint(certificate);
        if let Some(registered) = self.describe(&id)? {
            return Ok(registered);
        }
        match self.steps.make("AWS IoT registers the certificate", call) {
            // Another caller registered it first; a retry of the AWS CLI, for instance.
            Ok(_) | Err(Failure::Exists) => {}
            Err(failure) => return Err(failure.into()),
        }
        self.describe(&id)?
            .ok_or_else(|| Error::Refused(format!("AWS registered a certificate, but knows none with the id {id}")))
    }

    /// Returns a certificate that AWS knows, after checking that it belongs to no other thing.
    fn describe(&self, id: &str) -> Result<Option<Registered>> {
        let Some(description) = self.steps.ask(&calls::describe_certificate(id))? else { return Ok(None) };
        self.ours(Registered::of(&description)?).map(Some)
    }

    /// Adds its things, after checking that none is another one.
    fn ours(&self, mut registered: Registered) -> Result<Registered> {
        let answer = self.steps.ask(&calls::list_principal_things(&registered.arn))?.unwrap_or_default();
        let names = answer["things"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let things: Vec<String> = names.map(str::to_owned).collect();
        let other = things.iter().find(|name| *name != self.thing);
        if let Some(other) = other {
            return Err(Error::Refused(format!(
                "the certificate {} of this key belongs to the thing \"{other}\": use another key with --key LABEL; \
                 or, if the chip is to be \"{}\" from now on, {}",
                registered.id,
                self.thing,
                crate::output::shell::line(
                    "aws",
                    &["iot", "detach-thing-principal", "--thing-name", other, "--principal", &registered.arn]
                )
            )));
        }
        if let Status::Unusable(word) = &registered.status {
            return Err(Error::Refused(format!(
                "AWS lists the certificate {} as {word}: a device can't use it. Use a new key with --key LABEL, or \
                 find out who revoked it",
                registered.id
            )));
        }
        registered.things = Some(things);
        Ok(registered)
    }

    fn first(&self, name: &str, pem: &[u8]) -> Result<Certificate> {
        let found = certificates(name, pem)?.into_iter().next();
        found.ok_or_else(|| Error::Refused(format!("{name} holds no certificate")))
    }

    fn keep_file(&mut self, pem: &str) -> Result<()> {
        match self.folder.place(CERTIFICATE, pem.as_bytes(), CERTIFICATE_MODE)? {
            Outcome::Kept => Err(Error::Refused(format!(
                "{} is another certificate: move it away, or replace it with --replace (the old one is kept beside it)",
                self.folder.file(CERTIFICATE).display()
            ))),
            _ => Ok(()),
        }
    }
}

/// The error that the thing has certificates (their ids) for another key.
pub fn taken(thing: &str, ids: &str) -> Error {
    Error::Refused(format!(
        "the thing \"{thing}\" has a certificate for another key ({ids}): it is another device's, or this board's \
         before its chip was replaced. Choose another name with --thing, or use --existing-thing, which accepts both"
    ))
}

/// A device of an own CA can connect only if AWS knows the CA and its certificates may register themselves.
fn say_what_is_missing(authority: Option<&Value>) {
    const HOW: &str = "docs/aws-iot.md, \"An own CA\", describes how";
    let Some(authority) = authority else {
        return note(&format!(
            "AWS does not know this CA in this account and region yet, so the device can't connect: {HOW}"
        ));
    };
    let part = |name: &str| authority["certificateDescription"][name].as_str().unwrap_or_default();
    if Status::named(part("status")) != Status::Active {
        note(&format!("AWS knows this CA, but it is not active: {HOW}"));
    }
    if part("autoRegistrationStatus") != "ENABLE" {
        note(&format!("AWS knows this CA, but does not let certificates by it register themselves: {HOW}"));
    }
}
