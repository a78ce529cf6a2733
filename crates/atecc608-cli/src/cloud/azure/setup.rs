// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 azure setup`: creates key and certificate, writes the files and the lines for the Azure CLI, and runs
//! these. Another run continues where the last one stopped.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::cli;
use super::commands::{self, Line, Service, Trust};
use super::files::{self, EdgeKey, CERTIFICATE, COMMANDS, EDGE, KEY, PROGRAM};
use super::PARENT;
use crate::chip::attest::attested::AttestedArguments;
use crate::chip_keys::{uri, ChipKey, LoginArguments};
use crate::cloud::checks::{self, Expected, Looked};
use crate::cloud::folder::{self, Folder, Outcome, Permission, Placed};
use crate::cloud::identity::{is_for, Identity, PIN_TO_ENTER};
use crate::cloud::pem::{certificates, fingerprint};
use crate::error::{Error, Result};
use crate::host::module;
use crate::output::check::{self, Checks, Remedies};
use crate::output::{shell, warn, Output};
use crate::target::Selection;
use crate::x509::authority::Authority;
use crate::x509::certificate::Certificate;
use crate::x509::issue::{self, Applicant};
use crate::x509::key_file::Passphrase;
use crate::x509::signer::Signer;
use crate::x509::subject::Subject;
use crate::x509::terms::{end_warning, Terms};

/// The CA's file.
const AUTHORITY: &str = "ca.pem";

/// Arguments of `azure setup`.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("service").required(true).args(["hub", "dps"]),
    after_help = "The command enrols the device with the Azure CLI (`az`, logged in, with its extension azure-iot). \
                  Running it again continues where it stopped. docs/azure-iot.md has the details."
)]
pub struct Arguments {
    /// The device's id, with DPS also its registration id; it becomes the certificate's common name
    #[arg(long, value_name = "ID")]
    device: String,
    /// IoT Hub: its name or host
    #[arg(long, value_name = "NAME")]
    hub: Option<String>,
    /// The Device Provisioning Service: its name
    #[arg(long, value_name = "NAME", requires = "resource_group", requires = "scope")]
    dps: Option<String>,
    /// The resource group of the Device Provisioning Service
    #[arg(long, value_name = "NAME", requires = "dps")]
    resource_group: Option<String>,
    /// The ID scope of the Device Provisioning Service
    #[arg(long, value_name = "ID", requires = "dps")]
    scope: Option<String>,
    /// The key's label in the chip; a key is generated if there is none. The default is the device's id
    #[arg(long, value_name = "LABEL")]
    key: Option<String>,
    /// A CA signs the certificate, and Azure knows the CA: its certificate. Without one the certificate is self-signed
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    ca_cert: Option<PathBuf>,
    /// The CA's private key
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    ca_key: Option<PathBuf>,
    /// The passphrase of the CA's key is the first line of this file (- is standard input) instead of asked for
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    ca_passphrase_file: Option<PathBuf>,
    /// What the CA is called at Azure, and the enrolment group of its devices
    #[arg(long, value_name = "NAME", default_value = "atecc608-ca")]
    ca_name: String,
    /// For IoT Edge or IoT Identity Service, too: its configuration is written, and the device may be an Edge device
    #[arg(long)]
    edge: bool,
    /// Write the files and the lines for the Azure CLI, and run none: for a machine without the Azure CLI
    #[arg(long)]
    offline: bool,
    /// Show the lines and the files, and do nothing
    #[arg(long, conflicts_with = "offline")]
    dry_run: bool,
    /// Has no effect: earlier versions only wrote the lines without it
    #[arg(long, hide = true, conflicts_with_all = ["offline", "dry_run"])]
    apply: bool,
    #[command(flatten)]
    attested: AttestedArguments,
    /// The folder for the files; the default is /etc/atecc608-pkcs11/azure/DEVICE
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// The installed module; the default is where it usually is
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Replace files that have other contents; the old ones are kept beside them
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    login: LoginArguments,
}

/// The output of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    device: &'a str,
    key: &'a str,
    key_generated: bool,
    key_uri: &'a str,
    thumbprint: &'a str,
    folder: String,
    files: &'a [Placed],
    commands: &'a [String],
    applied: bool,
    checks: Vec<Looked<'a>>,
}

/// The output of `--dry-run --json`.
#[derive(Serialize)]
struct Planned<'a> {
    dry_run: bool,
    device: &'a str,
    key: &'a str,
    key_exists: bool,
    key_uri: &'a str,
    folder: String,
    files: &'a [Placed],
    commands: &'a [String],
}

/// A placeholder for the certificate's SHA-256.
const THUMBPRINT: &str = "THUMBPRINT";

/// Sets the device up; with `--dry-run` shows what would be done.
///
/// # Errors
/// [`Error::Refused`] , without a change, for invalid names, a full chip, or an Azure CLI that can't be run or is not
/// logged in; [`Error::Refused`] if a file can't be written, or the Azure CLI fails; the [chip
/// errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let service = service(arguments)?;
    let device = &arguments.device;
    check_name(device, &service)?;
    let attested = arguments.attested.read()?;
    let identity = Identity::open(selection, &arguments.login)?;
    let module = if arguments.edge { Some(module::installed(arguments.module.as_deref())?) } else { None };
    if !(arguments.offline || arguments.dry_run) {
        cli::ensure_logged_in()?;
    }
    let path = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(PARENT).join(device));
    let permission = Permission { replace: arguments.replace, dry_run: arguments.dry_run };
    let mut folder = Folder::open(&path, folder::PUBLIC, permission)?;
    let authority = match (&arguments.ca_cert, &arguments.ca_key) {
        (Some(certificate), Some(key)) => {
            let passphrase = Passphrase::of(arguments.ca_passphrase_file.as_deref());
            Some(Authority::read(certificate, key, &passphrase)?)
        }
        _ => None,
    };
    let label = arguments.key.as_deref().unwrap_or(device);
    let enrolment = Enrolment { service, arguments, identity: &identity, label, authority: authority.as_ref(), module };
    if arguments.dry_run {
        let key = identity.find_or_plan(label)?;
        if let (Some(key), Some(attested)) = (&key, &attested) {
            attested.check(key)?;
        }
        return enrolment.plan(&mut folder, key.is_some());
    }
    let (key, generated) = identity.find_or_generate(label)?;
    attested.map_or(Ok(()), |attested| attested.check(&key))?;
    let certificate = certificate(&mut folder, device, &key, authority.as_ref())?;
    identity.keep(&key, &certificate)?;

    let thumbprint = fingerprint(&certificate).to_uppercase();
    let Lines { uri, lines, shown } = enrolment.place(&mut folder, &thumbprint)?;
    if !arguments.offline {
        lines.iter().try_for_each(|line| cli::run(line))?;
    }

    let mut looked = Checks::default();
    let expected = Expected { certificate: Some(&certificate), label: &key.label, point: Some(&key.point) };
    looked.push(checks::certificate_file(&folder, CERTIFICATE, &expected));
    let answer = Answer {
        device,
        key: &key.label,
        key_generated: generated,
        key_uri: &uri,
        thumbprint: &thumbprint,
        folder: folder.path().display().to_string(),
        files: folder.placed(),
        commands: &shown,
        applied: !arguments.offline,
        checks: checks::json(&looked),
    };
    let mut text = format!("device       {device}\nkey          \"{}\" in the chip", key.label);
    text += if generated { ", generated now\n" } else { "\n" };
    text += &format!("key URI      {uri}\nthumbprint   {thumbprint}\n\n");
    text += &folder::text(folder.placed());
    text += &format!("\nchecks\n{}", check::text(looked.as_slice(), Remedies::All));
    if arguments.offline {
        text +=
            &format!("\nnext: enrol the device with these commands (also in {})\n", folder.file(COMMANDS).display());
        text += &indented(&shown);
    }
    Output::new(text, &answer).map(|output| output.failed_if(looked.first_failed().is_some()))
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

fn service(arguments: &Arguments) -> Result<Service> {
    match (&arguments.hub, &arguments.dps, &arguments.resource_group, &arguments.scope) {
        (Some(hub), None, ..) => Ok(Service::Hub(hub.clone())),
        (None, Some(name), Some(resource_group), Some(scope)) => {
            Ok(Service::Dps { name: name.clone(), resource_group: resource_group.clone(), scope: scope.clone() })
        }
        _ => Err(Error::Refused("use --hub NAME, or --dps NAME with --resource-group and --scope".to_owned())),
    }
}

/// Checks a device id of IoT Hub or registration id of DPS, which is also a common name with at most 64 characters.
///
/// # Errors
/// [`Error::Refused`] with the problem.
pub fn check_name(name: &str, service: &Service) -> Result<()> {
    let (marks, what) = match service {
        Service::Hub(_) => ("-.%_#*?!(),:=@$'", "letters, digits and - . % _ # * ? ! ( ) , : = @ $ '"),
        Service::Dps { .. } => ("-._:", "letters, digits and - . _ :, ending with a letter, a digit or -"),
    };
    let wrong = name.chars().find(|char| !char.is_ascii_alphanumeric() && !marks.contains(*char));
    let bad_end = matches!(service, Service::Dps { .. }) && name.ends_with(['.', '_', ':']);
    let problem = match wrong {
        Some(wrong) => format!("{wrong:?} is not allowed"),
        None if name.is_empty() => "it is empty".to_owned(),
        None if name.len() > 64 => {
            format!("it has {} characters, and a certificate's common name at most 64", name.len())
        }
        None if name == "." || name == ".." => "no folder can have this name".to_owned(),
        None if bad_end => "it ends with a punctuation mark".to_owned(),
        None => return Ok(()),
    };
    Err(Error::Refused(format!("\"{name}\" can't be the device's id here: {problem}. Azure takes {what}")))
}

/// Returns the folder's certificate, if it is one for this key by this CA, or by the key itself; else a new one.
fn certificate(folder: &mut Folder, device: &str, key: &ChipKey, authority: Option<&Authority>) -> Result<Certificate> {
    let file = folder.file(CERTIFICATE).display().to_string();
    if let Some(contents) = folder.read(CERTIFICATE)? {
        let found = certificates(&file, &contents)?;
        let ours = |certificate: &Certificate| match authority {
            Some(authority) => certificate.is_signed_by(authority.certificate()),
            None => certificate.is_self_issued(),
        };
        if let Some(first) = found.into_iter().next().filter(|first| is_for(first, key) && ours(first)) {
            folder.note(CERTIFICATE, 0o644, Outcome::Unchanged);
            return Ok(first);
        }
    }
    let subject = Subject::common_name(device)?;
    let (der, chain) = match authority {
        Some(authority) => {
            let applicant = Applicant { subject, public_key_info: key.public_key_info(), alternative: Vec::new() };
            let chain: String = authority.chain().into_iter().map(Certificate::pem).collect();
            (issue::issue(&applicant, &Terms::device(), authority)?, chain)
        }
        None => (issue::self_sign(&subject, &[], &Terms::device(), key)?, String::new()),
    };
    let certificate = Certificate::from_der("the certificate", &der)?;
    if let Some(warning) = authority.and_then(|by| end_warning(certificate.validity(), by.certificate().validity())) {
        warn(&warning);
    }
    match folder.place(CERTIFICATE, (certificate.pem() + &chain).as_bytes(), 0o644)? {
        Outcome::Kept => Err(Error::Refused(format!(
            "{file} is another certificate: move it away, or replace it with --replace (the old one is kept beside it)"
        ))),
        _ => Ok(certificate),
    }
}

/// Inputs of the files and the lines, besides the certificate.
struct Enrolment<'a> {
    service: Service,
    arguments: &'a Arguments,
    identity: &'a Identity,
    /// The key's label.
    label: &'a str,
    authority: Option<&'a Authority>,
    /// The installed module, if a client uses it.
    module: Option<PathBuf>,
}

/// The lines that enrol the device.
struct Lines {
    /// The key's URI.
    uri: String,
    lines: Vec<Line>,
    /// The same as shell commands.
    shown: Vec<String>,
}

impl Enrolment<'_> {
    /// Writes the files beside the certificate. `thumbprint` is that of the certificate.
    fn place(&self, folder: &mut Folder, thumbprint: &str) -> Result<Lines> {
        let device = &self.arguments.device;
        let (certificate_file, authority_file) = (folder.file(CERTIFICATE), folder.file(AUTHORITY));
        let trust = match self.authority {
            Some(authority) => {
                folder.place(AUTHORITY, authority.certificate().pem().as_bytes(), 0o644)?;
                Trust::Authority {
                    file: &authority_file,
                    name: &self.arguments.ca_name,
                    root: authority.certificate().is_self_issued(),
                }
            }
            None => Trust::Certificate { file: &certificate_file, thumbprint },
        };
        let lines = commands::lines(&self.service, device, &trust, self.arguments.edge);
        let shown: Vec<String> = lines.iter().map(|line| shell::line("az", line)).collect();
        let uri = uri::private_key(&self.identity.token, self.label);

        let path = |name: &str| folder.file(name).display().to_string();
        let (certificate, key_file) = (path(CERTIFICATE), path(KEY));
        let key = files::key_file(&uri).map_err(|error| Error::Refused(format!("{key_file}: {error}")))?;
        let commands = format!(
            "#!/bin/sh\n# Enrols the device. The Azure CLI has to be logged in: az login\nset -e\n{}\n",
            shown.join("\n")
        );
        let program = files::program(&self.service, device, &certificate, &key_file);
        let mut all = vec![(KEY, key, 0o644), (PROGRAM, program, 0o644), (COMMANDS, commands, 0o644)];
        if let Some(module) = &self.module {
            let pin = self.identity.has_pin.then_some(PIN_TO_ENTER);
            let module = module.display().to_string();
            let key = EdgeKey { token: &self.identity.token, label: self.label, pin, module: &module };
            // A PIN may have been entered there.
            all.push((EDGE, files::edge(&self.service, device, &certificate, &key), 0o600));
        }
        for (name, contents, mode) in all {
            folder.place_or_note(name, contents.as_bytes(), mode)?;
        }
        Ok(Lines { uri, lines, shown })
    }

    /// Returns what would be done; `folder` is one of a dry run.
    fn plan(&self, folder: &mut Folder, key_exists: bool) -> Result<Output> {
        folder.note(CERTIFICATE, 0o644, Outcome::Planned);
        let Lines { uri, shown, .. } = self.place(folder, THUMBPRINT)?;
        let device = &self.arguments.device;
        let key = if key_exists { "is there" } else { "would be generated" };
        let mut text = format!(
            "Nothing was done, and Azure was not called.\n\nThe key \"{}\" {key} in the chip.\n\nCommands, in this \
             order:\n{}\n",
            self.label,
            indented(&shown)
        );
        text += &folder::text(folder.placed());
        let planned = Planned {
            dry_run: true,
            device,
            key: self.label,
            key_exists,
            key_uri: &uri,
            folder: folder.path().display().to_string(),
            files: folder.placed(),
            commands: &shown,
        };
        Output::new(text, &planned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_azure_takes_and_a_certificate_can_say() {
        let hub = Service::Hub("h".to_owned());
        let dps = Service::Dps { name: "d".to_owned(), resource_group: "g".to_owned(), scope: "s".to_owned() };
        check_name("Gateway-1@home", &hub).unwrap();
        check_name("gateway:1-", &dps).unwrap();
        for (name, service, part) in [
            ("a b", &hub, "' '"),
            ("", &hub, "empty"),
            ("..", &hub, "folder"),
            ("a@b", &dps, "'@'"),
            ("a.", &dps, "ends"),
        ] {
            let refused = check_name(name, service).unwrap_err().to_string();
            assert!(refused.contains(part), "{refused}");
        }
        assert!(check_name(&"x".repeat(65), &hub).unwrap_err().to_string().contains("64"));
    }
}
