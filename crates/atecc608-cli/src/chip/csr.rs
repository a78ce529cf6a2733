// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 csr`: a certificate signing request for a key in the chip. The public key is always read from the chip, and the chip
//! signs.

use base16ct::lower::encode_string as hex;
use clap::Args;
use serde::Serialize;

use super::attest::attested::AttestedArguments;
use crate::chip_keys::{ChipKeys, KeyArguments, LoginArguments};
use crate::error::Result;
use crate::files::OutputArguments;
use crate::output::{shell, visible, Output, Text};
use crate::target::Selection;
use crate::x509::pem;
use crate::x509::subject::Subject;
use crate::x509::{alternative, request};

/// Arguments of `csr`.
#[derive(Debug, Args)]
#[command(after_help = "The subject is in OpenSSL's form (/O=Acme/CN=gateway-1) or in the form of RFC 4514 \
                        (CN=gateway-1,O=Acme): both give the same name. docs/certificates.md has examples.")]
pub struct Arguments {
    #[command(flatten)]
    key: KeyArguments,
    /// Whose certificate it is to be: /O=Acme/CN=gateway-1 or CN=gateway-1,O=Acme
    #[arg(long, value_name = "NAME")]
    subject: String,
    /// A further name: DNS:host, IP:address, URI:uri or email:address; may be given several times
    #[arg(long, value_name = "TYPE:NAME")]
    san: Vec<String>,
    /// DER instead of PEM
    #[arg(long, conflicts_with = "json")]
    der: bool,
    #[command(flatten)]
    attested: AttestedArguments,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    login: LoginArguments,
}

#[derive(Serialize)]
struct Request {
    slot: u8,
    label: String,
    subject: String,
    subject_alternative_names: Vec<String>,
    public_key: String,
    key_id: String,
    request: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// Creates a request.
///
/// # Errors
/// [`Error::Refused`] for invalid names, a key that is not attested although required, or a file that can't be written;
/// the [chip errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let subject = Subject::parse(&arguments.subject)?;
    let names = alternative::parse_all(&arguments.san)?;
    arguments.output.check()?;
    let attested = arguments.attested.read()?;
    let keys = ChipKeys::open_logged_in(selection, &arguments.login)?;
    let key = keys.key_named(&arguments.key)?;
    attested.map_or(Ok(()), |attested| attested.check(&key))?;
    let der = request::build(&subject, &names, &key)?;
    let pem = request::to_pem(&der);
    let contents = if arguments.der { der } else { pem.clone().into_bytes() };
    let file = arguments.output.output.as_ref().map(|path| path.display().to_string());
    let text = match (&file, arguments.output.write(&contents)?) {
        (Some(file), true) => {
            let (subject, label) = (visible(&subject.to_string()), visible(&key.label));
            let next =
                ["cert", "issue", "--csr", file, "--ca", "CA.pem", "--ca-key", "CA.key", "--output", "device.pem"];
            Text::Lines(format!(
                "{file}: the request of \"{subject}\" for the key \"{label}\" (slot {})\nNext: {}\n      or send the \
                 request to a CA\n",
                key.slot,
                shell::line("atecc608", &next)
            ))
        }
        _ => Text::Contents(contents),
    };
    Output::new(
        text,
        &Request {
            slot: key.slot.number(),
            label: key.label.clone(),
            subject: subject.to_string(),
            subject_alternative_names: names.iter().map(alternative::text).collect(),
            public_key: pem::public_key(&key.point),
            key_id: hex(&key.id),
            request: pem,
            file,
        },
    )
}
