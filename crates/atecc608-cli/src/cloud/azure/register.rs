// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 azure register`: registers an enrolled device with DPS, which issues its certificate for IoT Hub in the
//! same step.
//!
//! The certificate of `azure setup` and its key in the chip authenticate the device (its onboarding credential). DPS
//! returns the hub and a certificate for a second key in the chip (the operational credential). Data is sent to DPS
//! only.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use der::DateTime;
use serde::{Deserialize, Serialize};

use super::commands::Service;
use super::dps::{self, Assigned, State};
use super::files::{self, DPS_HOST};
use super::setup::check_name;
use super::PARENT;
use crate::chip::attest::attested::{Attested, AttestedArguments};
use crate::chip_keys::{uri, ChipKey, LoginArguments};
use crate::cloud::failure::{explained, Words};
use crate::cloud::folder::{self, Folder, Outcome, Permission, Placed};
use crate::cloud::identity::{is_for, Identity};
use crate::cloud::pem::{certificates, fingerprint};
use crate::cloud::{mqtt, tls};
use crate::error::{Error, Result};
use crate::output::{note, visible, Output};
use crate::target::Selection;
use crate::x509::certificate::Certificate;
use crate::x509::request;
use crate::x509::subject::Subject;
use atecc608_token::attest::KeyName;

/// The issued certificate, with its chain.
const CERTIFICATE: &str = "hub.pem";
/// Its key's URI as a PEM file.
const KEY: &str = "hub-key.pem";
/// The example.
const PROGRAM: &str = "hub_connect.py";
/// DPS's response, by which another run finds the hub.
const RECORD: &str = "hub.json";
const MODE: u32 = 0o644;
/// The CAs of DPS according to Microsoft, in Debian's `ca-certificates`.
const ROOTS: [&str; 2] =
    ["/etc/ssl/certs/DigiCert_Global_Root_G2.pem", "/etc/ssl/certs/Microsoft_RSA_Root_Certificate_Authority_2017.pem"];
/// Default pause between two requests, in seconds, and the maximum that DPS may set.
const PAUSE: u64 = 3;
const LONGEST_PAUSE: u64 = 60;

const WORDS: Words = Words {
    cloud: "Azure",
    no_address: "check the network and --endpoint",
    tls: tls::Remedies {
        other_name: "correct --endpoint: DPS's global host, or the service endpoint of a private one",
        refused: "enrol the device with this certificate (enrol.sh)",
    },
    command: "atecc608 azure register",
};
const REFUSED: &str =
    "DPS closes a connection if it does not know the scope (--scope), or if the device is not enrolled with this certificate \
     (enrol.sh)";

/// Arguments of `azure register`.
#[derive(Debug, Args)]
#[command(
    after_help = "Run `azure setup --dps` first; the enrolment needs a certificate policy of Azure Device Registry. \
                  Running this again does nothing until less than a third of the certificate's validity is left, and \
                  then requests another one for the same key. docs/azure-iot.md has the details."
)]
pub struct Arguments {
    /// The device's id, which is its registration id
    #[arg(long, value_name = "ID")]
    device: String,
    /// The ID scope of the Device Provisioning Service
    #[arg(long, value_name = "ID")]
    scope: String,
    /// The label of the key that the certificate is issued for; a key is generated if there is none. The default is ID-hub
    #[arg(long, value_name = "LABEL")]
    key: Option<String>,
    /// Have another certificate issued now
    #[arg(long)]
    renew: bool,
    /// Replace hub_connect.py if it has other contents; the old one is kept beside it
    #[arg(long)]
    replace: bool,
    /// Host of the Device Provisioning Service
    #[arg(long, value_name = "HOST", default_value = DPS_HOST)]
    endpoint: String,
    /// Its port for MQTT
    #[arg(long, value_name = "N", default_value_t = 8883)]
    port: u16,
    /// The CAs of the service's certificate; the default are DigiCert Global Root G2 and Microsoft RSA Root CA 2017 of ca-certificates
    #[arg(long, value_name = "FILE")]
    root_ca: Option<PathBuf>,
    /// Seconds to wait for each response, and for DPS to assign the device
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// The folder that `azure setup` wrote; the default is /etc/atecc608-pkcs11/azure/ID
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    attested: AttestedArguments,
    #[command(flatten)]
    login: LoginArguments,
}

/// The record's contents.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    hub: String,
    device: String,
    /// SHA-256 of the issued certificate.
    thumbprint: String,
}

/// The output of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    device: &'a str,
    hub: &'a str,
    /// Whether DPS issued a certificate in this run.
    issued: bool,
    key: &'a str,
    key_generated: bool,
    thumbprint: &'a str,
    not_after: String,
    folder: String,
    files: &'a [Placed],
}

/// Registers the device.
///
/// # Errors
/// [`Error::Refused`], with the next step, for invalid names, files that can't be read or written, or a failure of
/// network or DPS; the [chip errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let Arguments { device, scope, .. } = arguments;
    let service = Service::Dps { name: String::new(), resource_group: String::new(), scope: scope.clone() };
    check_name(device, &service)?;
    if scope.is_empty() || !scope.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Error::Refused(format!(
            "--scope {scope}: an ID scope has letters and digits only, as 0ne000A1B2C"
        )));
    }
    let attested = arguments.attested.read()?;
    let identity = Identity::open(selection, &arguments.login)?;
    let path = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(PARENT).join(device));
    let onboarding_file = path.join(files::CERTIFICATE);
    if !onboarding_file.exists() {
        return Err(Error::Refused(format!(
            "{} is missing: run `atecc608 azure setup --dps` first, or give its folder with --dir",
            onboarding_file.display()
        )));
    }
    let mut folder = Folder::open(&path, folder::PUBLIC, Permission { replace: arguments.replace, dry_run: false })?;
    let onboarding = onboarding(&folder, &identity)?;
    let label = arguments.key.clone().unwrap_or_else(|| format!("{device}-hub"));

    let (record, chain, key, generated, issued) = match earlier(&folder, &identity, &label, arguments.renew)? {
        Some((record, chain, key)) => (record, chain, key, false, false),
        None => {
            let (assigned, key, generated) = issue(arguments, &identity, onboarding, &label, attested)?;
            let thumbprint = assigned.chain.first().map(fingerprint).unwrap_or_default();
            let record = Record { hub: assigned.hub, device: assigned.device, thumbprint };
            (record, assigned.chain, key, generated, true)
        }
    };
    check_name(&record.device, &Service::Hub(record.hub.clone()))?;
    if issued {
        let text = serde_json::to_string_pretty(&record).unwrap_or_default() + "\n";
        let pem: String = chain.iter().map(Certificate::pem).collect();
        folder.overwrite(RECORD, text.as_bytes(), MODE)?;
        folder.overwrite(CERTIFICATE, pem.as_bytes(), MODE)?;
    }
    let outcome = if issued { Outcome::Written } else { Outcome::Unchanged };
    folder.note(RECORD, MODE, outcome);
    folder.note(CERTIFICATE, MODE, outcome);
    let file = |name: &str| folder.file(name).display().to_string();
    let (certificate_file, key_file) = (file(CERTIFICATE), file(KEY));
    let uri = uri::private_key(&identity.token, &key.label);
    let contents = files::key_file(&uri).map_err(|error| Error::Refused(format!("{key_file}: {error}")))?;
    let program = files::program(&Service::Hub(record.hub.clone()), &record.device, &certificate_file, &key_file);
    // It belongs to the certificate.
    folder.overwrite(KEY, contents.as_bytes(), MODE)?;
    folder.note(KEY, MODE, outcome);
    folder.place_or_note(PROGRAM, program.as_bytes(), MODE)?;

    let end = chain.first().map(|first| first.validity().not_after.to_date_time().to_string()).unwrap_or_default();
    let answer = Answer {
        device: &record.device,
        hub: &record.hub,
        issued,
        key: &key.label,
        key_generated: generated,
        thumbprint: &record.thumbprint,
        not_after: end.clone(),
        folder: folder.path().display().to_string(),
        files: folder.placed(),
    };
    let mut text = format!("device       {}\nhub          {}\n", visible(&record.device), record.hub);
    text += &format!("key          \"{}\" in the chip{}\n", key.label, if generated { ", generated now" } else { "" });
    text += &format!("certificate  {}, valid until {end}\n\n", if issued { "issued now" } else { "is there" });
    text += &folder::text(folder.placed());
    Output::new(text, &answer)
}

/// Returns the certificate of `azure setup` with its chain, and its key.
fn onboarding(folder: &Folder, identity: &Identity) -> Result<(Vec<Certificate>, ChipKey)> {
    let file = folder.file(files::CERTIFICATE).display().to_string();
    let contents = folder.read(files::CERTIFICATE)?.unwrap_or_default();
    let chain = certificates(&file, &contents)?;
    for report in identity.keys.list()? {
        let info = report.point.map(|point| point.public_key_info());
        if info.is_some() && info == chain.first().map(Certificate::public_key_info) {
            return Ok((chain, identity.keys.key(&KeyName::Label(report.label))?));
        }
    }
    Err(Error::Refused(format!(
        "{file} is not for a key of this chip: run `atecc608 azure setup --dps` again with --replace"
    )))
}

/// Returns the result of an earlier run, if it is still usable.
fn earlier(
    folder: &Folder,
    identity: &Identity,
    label: &str,
    renew: bool,
) -> Result<Option<(Record, Vec<Certificate>, ChipKey)>> {
    let (Some(contents), Some(record)) = (folder.read(CERTIFICATE)?, folder.read(RECORD)?) else { return Ok(None) };
    let (Ok(record), Some(key)) = (serde_json::from_slice::<Record>(&record), identity.find(label)?) else {
        return Ok(None);
    };
    let Ok(chain) = certificates(&folder.file(CERTIFICATE).display().to_string(), &contents) else { return Ok(None) };
    let serves = chain.first().is_some_and(|first| {
        is_for(first, &key) && fingerprint(first) == record.thumbprint && has_time_left(first) && !renew
    });
    Ok(serves.then_some((record, chain, key)))
}

/// Whether a third of the validity is left.
fn has_time_left(certificate: &Certificate) -> bool {
    let validity = certificate.validity();
    let seconds = |time: DateTime| time.unix_duration().as_secs();
    let (begin, end) = (seconds(validity.not_before.to_date_time()), seconds(validity.not_after.to_date_time()));
    let now = DateTime::from_system_time(std::time::SystemTime::now()).map_or(u64::MAX, seconds);
    end.saturating_sub(now) >= end.saturating_sub(begin) / 3
}

/// Registers with DPS.
fn issue(
    arguments: &Arguments,
    identity: &Identity,
    (chain, key): (Vec<Certificate>, ChipKey),
    label: &str,
    attested: Option<Attested>,
) -> Result<(Assigned, ChipKey, bool)> {
    let Arguments { device, scope, endpoint, port, .. } = arguments;
    let timeout = Duration::from_secs(arguments.timeout);
    let failed = |failure| explained(&format!("{endpoint}:{port}"), &WORDS, failure, REFUSED);
    let tls = tls::client(&authorities(arguments.root_ca.as_deref())?, &chain, tls::key_in_chip(key), None)?;
    note(&format!("connecting to {endpoint}:{port} as {device}"));
    let user = dps::user(scope, device);
    let mut connection = mqtt::Connection::open(endpoint, *port, tls, device, Some(&user), timeout).map_err(failed)?;
    connection.subscribe(&[dps::RESPONSES]).map_err(failed)?;

    let (key, generated) = identity.find_or_generate(label)?;
    attested.map_or(Ok(()), |attested| attested.check(&key))?;
    let csr = request::build(&Subject::common_name(device)?, &[], &key)?;
    let registration = dps::registration(device, &csr);
    note("asking DPS to register the device and to issue a certificate");
    let deadline = Instant::now() + timeout;
    let mut operation = None;
    let mut number = 0;
    loop {
        number += 1;
        let (topic, payload) = match &operation {
            None => (dps::register_topic(number), registration.as_slice()),
            Some(operation) => (dps::status_topic(number, operation), &[][..]),
        };
        let asked = connection.ask_for(&topic, payload, |topic| dps::head(topic, number));
        let (head, response) = asked.map_err(failed)?;
        match dps::state(head, &response, &key)? {
            State::Assigned(assigned) => {
                connection.close();
                return Ok((assigned, key, generated));
            }
            State::Assigning(id) => operation = Some(id),
            State::Busy => {}
        }
        let pause = Duration::from_secs(head.retry_after.unwrap_or(PAUSE).min(LONGEST_PAUSE));
        if Instant::now() + pause > deadline {
            return Err(Error::Refused(format!(
                "{endpoint}:{port}: DPS has not assigned the device (its last status is {}, the next request is due in \
                 {} s, and --timeout is {} s). Run it again later, or with a longer --timeout: `{}` continues where it \
                 stopped",
                head.status,
                pause.as_secs(),
                timeout.as_secs(),
                WORDS.command
            )));
        }
        std::thread::sleep(pause);
    }
}

/// Returns the CAs accepted for the service's certificate.
fn authorities(given: Option<&Path>) -> Result<Vec<Certificate>> {
    if let Some(path) = given {
        return Certificate::read_all(path);
    }
    let mut found = Vec::new();
    for path in ROOTS.map(Path::new).into_iter().filter(|path| path.exists()) {
        found.extend(Certificate::read_all(path)?);
    }
    if found.is_empty() {
        return Err(Error::Refused(
            "the CAs of Azure's servers are not on this machine: sudo apt install ca-certificates, or give them with --root-ca FILE"
                .to_owned(),
        ));
    }
    Ok(found)
}
