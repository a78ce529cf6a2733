// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 cert issue` and `self-sign`: new certificates.

use std::path::PathBuf;

use base16ct::lower::encode_string as hex;
use clap::Args;

use super::{CertificateInfo, TermsArguments};
use crate::chip_keys::{ChipKey, ChipKeys, KeyArguments, LoginArguments};
use crate::error::{Error, Result};
use crate::files::OutputArguments;
use crate::input::secret;
use crate::input::values::parse_slot;
use crate::output::{note, shell, visible, warn, Output, Text};
use crate::target::Selection;
use crate::x509::authority::Authority;
use crate::x509::certificate::Certificate;
use crate::x509::issue::{self, Applicant};
use crate::x509::key_file::Passphrase;
use crate::x509::signer::Signer;
use crate::x509::subject::Subject;
use crate::x509::terms::end_warning;
use crate::x509::{alternative, request};
use atecc608_wire::Slot;

/// Arguments of `cert issue`.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("authority-key").required(true).args(["ca_key", "ca_chip_key", "ca_chip_slot"]),
    after_help = "The certificate is for a key in the chip (--key, --slot, or the only one there is) or for a request (--csr)."
)]
pub struct Issue {
    #[command(flatten)]
    key: KeyArguments,
    /// A certificate request from this file (- is standard input) instead of a key in the chip
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "slot", "store"])]
    csr: Option<PathBuf>,
    /// Whose certificate it is: /O=Acme/CN=gateway-1 or CN=gateway-1,O=Acme; the request's if omitted
    #[arg(long, value_name = "NAME", required_unless_present = "csr")]
    subject: Option<String>,
    /// A further name: DNS:host, IP:address, URI:uri or email:address; may be given several times, and then stands for those of
    /// the request
    #[arg(long, value_name = "TYPE:NAME")]
    san: Vec<String>,
    /// The authority's certificate; its issuers' may follow in the same file
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The authority's private key: EC (P-256, P-384) or RSA, in SEC1, PKCS#1, PKCS#8 or encrypted PKCS#8
    #[arg(long, value_name = "FILE")]
    ca_key: Option<PathBuf>,
    /// The authority's private key is the one with this label in the chip
    #[arg(long, value_name = "LABEL")]
    ca_chip_key: Option<String>,
    /// The authority's private key is in this slot of the chip
    #[arg(long, value_name = "N", value_parser = parse_slot)]
    ca_chip_slot: Option<Slot>,
    /// The passphrase of the authority's key is the first line of this file (- is standard input) instead of asked for
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    terms: TermsArguments,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    login: LoginArguments,
}

/// Arguments of `cert self-sign`.
#[derive(Debug, Args)]
pub struct SelfSign {
    #[command(flatten)]
    key: KeyArguments,
    /// Whose certificate it is: /O=Acme/CN=gateway-1 or CN=gateway-1,O=Acme
    #[arg(long, value_name = "NAME")]
    subject: String,
    /// A further name: DNS:host, IP:address, URI:uri or email:address; may be given several times
    #[arg(long, value_name = "TYPE:NAME")]
    san: Vec<String>,
    #[command(flatten)]
    terms: TermsArguments,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    login: LoginArguments,
}

/// The destination of a new certificate.
#[derive(Debug, Args)]
struct Destination {
    /// Keep it on the token, too, with the label and id of its key
    #[arg(long)]
    store: bool,
    /// Its label on the token; its key's if omitted
    #[arg(long, requires = "store")]
    label: Option<String>,
    /// Remove other certificates for the same key from the token
    #[arg(long, requires = "store")]
    replace: bool,
    /// DER instead of PEM
    #[arg(long, conflicts_with_all = ["json", "chain"])]
    der: bool,
    /// Also print the issuers' certificates, as TLS servers want them
    #[arg(long)]
    chain: bool,
    #[command(flatten)]
    output: OutputArguments,
}

/// Creates a certificate signed by an authority.
///
/// # Errors
/// [`Error::Refused`] for invalid names, request, authority or terms, or a file that can't be read or written; the
/// [chip errors](crate::Error#chip-errors).
pub fn issue(selection: &Selection, arguments: &Issue) -> Result<Output> {
    secret::one_from_stdin(&[
        ("--csr", arguments.csr.as_deref()),
        ("--ca", Some(&arguments.ca)),
        ("--ca-key", arguments.ca_key.as_deref()),
        ("--passphrase-file", arguments.passphrase_file.as_deref()),
        ("--pin-file", arguments.login.pin_file.as_deref()),
    ])?;
    let given = arguments.subject.as_deref().map(Subject::parse).transpose()?;
    let names = alternative::parse_all(&arguments.san)?;
    arguments.destination.output.check()?;
    let requested = arguments.csr.as_deref().map(request::read).transpose()?;
    let file_authority = match &arguments.ca_key {
        Some(key) => {
            let passphrase = Passphrase::of(arguments.passphrase_file.as_deref());
            Some(Authority::read(&arguments.ca, key, &passphrase)?)
        }
        None => None,
    };
    let needs_chip = requested.is_none() || file_authority.is_none();
    let keys = if needs_chip { Some(ChipKeys::open_logged_in(selection, &arguments.login)?) } else { None };
    let authority = match (file_authority, &keys) {
        (Some(authority), _) => authority,
        (None, Some(keys)) => chip_authority(keys, arguments)?,
        (None, None) => return Err(no_authority()),
    };
    let (mut applicant, subject_key) = match (requested, &keys) {
        (Some(applicant), _) => (applicant, None),
        (None, Some(keys)) => {
            let key = keys.key_named(&arguments.key)?;
            let subject = given.clone().ok_or_else(|| Error::Refused("--subject is missing".to_owned()))?;
            (Applicant { subject, public_key_info: key.public_key_info(), alternative: Vec::new() }, Some(key))
        }
        (None, None) => return Err(no_authority()),
    };
    applicant.subject = given.unwrap_or(applicant.subject);
    if !names.is_empty() {
        applicant.alternative = names;
    }
    let der = issue::issue(&applicant, &arguments.terms.get(), &authority)?;
    let certificate = Certificate::from_der("the new certificate", &der)?;
    if !certificate.is_signed_by(authority.certificate()) {
        return Err(Error::Refused("the new certificate's signature does not verify: nothing was written".to_owned()));
    }
    // A request's names are kept if --subject is given.
    let signed = certificate.alternative_names();
    if !signed.is_empty() {
        note(&format!("the certificate is also for {}", visible(&signed.join(", "))));
    }
    if let Some(warning) = end_warning(certificate.validity(), authority.certificate().validity()) {
        warn(&warning);
    }
    let place = subject_key.as_ref().zip(keys.as_ref());
    finish(&certificate, &authority.chain(), &arguments.destination, place)
}

fn no_authority() -> Error {
    Error::Refused("no signing key is named: use --ca-key FILE or --ca-chip-key LABEL".to_owned())
}

/// An authority whose key is in the chip.
fn chip_authority(keys: &ChipKeys, arguments: &Issue) -> Result<Authority> {
    let named = KeyArguments { key: arguments.ca_chip_key.clone(), slot: arguments.ca_chip_slot };
    let key = keys.key(&named.name().ok_or_else(no_authority)?)?;
    let name = format!("the key \"{}\" in slot {} of the chip", key.label, key.slot);
    Authority::with_key(&arguments.ca, Box::new(key), &name)
}

/// Creates a self-signed certificate of a key in the chip.
///
/// # Errors
/// [`Error::Refused`] for invalid names or terms, or a file that can't be written; the [chip
/// errors](crate::Error#chip-errors).
pub fn self_sign(selection: &Selection, arguments: &SelfSign) -> Result<Output> {
    let subject = Subject::parse(&arguments.subject)?;
    let names = alternative::parse_all(&arguments.san)?;
    arguments.destination.output.check()?;
    let keys = ChipKeys::open_logged_in(selection, &arguments.login)?;
    let key = keys.key_named(&arguments.key)?;
    let der = issue::self_sign(&subject, &names, &arguments.terms.get(), &key)?;
    let certificate = Certificate::from_der("the new certificate", &der)?;
    finish(&certificate, &[], &arguments.destination, Some((&key, &keys)))
}

/// Stores and prints a new certificate.
fn finish(
    certificate: &Certificate,
    issuers: &[&Certificate],
    destination: &Destination,
    key: Option<(&ChipKey, &ChipKeys)>,
) -> Result<Output> {
    let mut pem = certificate.pem();
    if destination.chain {
        // A root belongs into the verifiers' trust stores only.
        pem.extend(issuers.iter().filter(|issuer| !issuer.is_self_issued()).map(|issuer| issuer.pem()));
    }
    let contents = if destination.der { certificate.der().to_vec() } else { pem.into_bytes() };
    let mut info = CertificateInfo::of(certificate);
    let mut lines = String::new();
    let written = destination.output.write(&contents)?;
    if let (true, Some(path)) = (written, &destination.output.output) {
        lines += &format!(
            "{}: the certificate of \"{}\", until {}\n",
            path.display(),
            visible(&info.subject),
            info.not_after
        );
        info.file = Some(path.clone());
    }
    if let Some((key, keys)) = key {
        info.key = Some(key.label.clone());
        if destination.store {
            let label = destination.label.as_ref().unwrap_or(&key.label);
            keys.store_certificate(certificate.der(), Some(label), Some(&key.id))?;
            super::settle_rivals(keys, certificate, destination.replace)?;
            (info.label, info.id) = (Some(label.clone()), Some(hex(&key.id)));
            lines += &format!(
                "It is stored on the token, as \"{}\".\nNext: {}\n",
                visible(label),
                super::next(&keys.label()?, &key.label)
            );
        }
    }
    if let (false, Some(path)) = (destination.store, &info.file) {
        let import = shell::line("atecc608", &["cert", "import", &path.display().to_string()]);
        let place = if key.is_some() { "" } else { "    (on the machine with the key)" };
        lines += &format!("Next: {import}{place}\n");
    }
    let text = if written { Text::Lines(lines) } else { Text::Contents(contents) };
    Output::new(text, &info)
}
