// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 aws claim`: fleet provisioning by claim (AWS IoT developer guide, "Provisioning by claim"). The device
//! requests its certificate from AWS IoT itself, over MQTT, with a claim certificate that many devices share; without
//! the AWS CLI and AWS credentials.
//!
//! 1. check everything on this machine: names, chip, PIN, files, the claim certificate;
//! 2. one connection, subscribed to all four response topics; nothing is changed before that works;
//! 3. the key in the chip, its request, AWS's certificate, the thing;
//! 4. the record, the certificate, the clients' files, and a check of all of it.
//!
//! A run that stops between 3 and 4 starts again with the same key: the ownership token is in memory only. AWS deletes
//! a certificate that was not registered within an hour. Once the record is written, another run finishes without AWS.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{json, Map, Value};

use super::arn::{check_host, check_thing_name, region_of};
use super::claim_key::ClaimKeyArguments;
use super::clients::{ClientArguments, Clients, Host};
use super::device_client::{Connection, CERTIFICATE, CERTIFICATE_MODE};
use super::greengrass::Core;
use super::look::Look;
use super::policy::Feature;
use super::provisioning::{self, Call, Created, Registered};
use crate::chip::attest::attested::{Attested, AttestedArguments};
use crate::chip_keys::{ChipKey, LoginArguments};
use crate::cloud::checks::{self, Expected, Looked};
use crate::cloud::failure::{explained, Words};
use crate::cloud::folder::{self, Folder, Outcome, Placed};
use crate::cloud::identity::{is_for, Identity};
use crate::cloud::mqtt::{self, Failure};
use crate::cloud::pem::{certificates, fingerprint};
use crate::cloud::tls;
use crate::error::{Error, Result};
use crate::output::check::{self, Checks, Remedies};
use crate::output::{note, visible, warn, Output};
use crate::target::Selection;
use crate::x509::certificate::Certificate;
use crate::x509::request;
use crate::x509::subject::Subject;

/// The record of a claim, AWS's response, by which another run finds the thing.
pub const RECORD: &str = "claim.json";
const RECORD_MODE: u32 = 0o644;
/// AWS IoT's alternative port for MQTT requires this ALPN protocol.
const PORT_WITH_ALPN: u16 = 443;
const ALPN: &[u8] = b"x-amzn-mqtt-ca";

/// Arguments of `aws claim`.
#[derive(Debug, Args)]
#[command(
    after_help = "{serial} in a parameter stands for the chip's serial number, 18 hex digits. The template names the \
                  thing. A second run continues where the first one stopped; when all is done it makes no connection. \
                  docs/aws-iot.md has the template and the claim certificate's policy."
)]
pub struct Arguments {
    /// The provisioning template
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    template: String,
    /// A parameter of the template; may be given several times
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Host of the account's MQTT endpoint
    #[arg(long, value_name = "HOST")]
    endpoint: String,
    /// Its port: 8883, or 443 (with ALPN)
    #[arg(long, value_name = "N", default_value_t = 8883)]
    port: u16,
    #[command(flatten)]
    claim: ClaimKeyArguments,
    /// The MQTT client id of the claim; no other device may use it at the same time. The default is the chip's serial number
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The key's label in the chip; a key is generated if there is none. The default is the chip's serial number
    #[arg(long, value_name = "LABEL")]
    key: Option<String>,
    /// What the clients are configured for; the template's policy has to allow it
    #[arg(long = "feature", value_name = "FEATURE", value_enum, value_delimiter = ',')]
    features: Vec<Feature>,
    /// With Greengrass: the role alias of the token exchange role
    #[arg(long, value_name = "NAME", requires = "credentials_endpoint")]
    role_alias: Option<String>,
    /// With Greengrass: host of the account's credentials endpoint
    #[arg(long, value_name = "HOST", requires = "role_alias")]
    credentials_endpoint: Option<String>,
    /// Seconds to wait for each answer
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    #[command(flatten)]
    attested: AttestedArguments,
    #[command(flatten)]
    clients: ClientArguments,
    #[command(flatten)]
    login: LoginArguments,
    /// Show topics, parameters and files, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// The record's contents.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    thing: String,
    template: String,
    certificate_id: String,
    device_configuration: Map<String, Value>,
}

/// The output of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    thing: &'a str,
    template: &'a str,
    /// Whether this run called AWS.
    claimed: bool,
    key: &'a str,
    key_generated: bool,
    token: &'a str,
    serial_number: &'a str,
    endpoint: &'a str,
    certificate_id: &'a str,
    device_configuration: &'a Map<String, Value>,
    folder: String,
    files: &'a [Placed],
    checks: Vec<Looked<'a>>,
}

/// Runs the claim.
///
/// # Errors
/// [`Error::Refused`], with the next step, for invalid names, files that can't be read or written, or a failure of
/// network or AWS; the [chip errors](crate::Error#chip-errors). Findings of the final checks are part of the result.
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    provisioning::check_template_name(&arguments.template)?;
    check_host("--endpoint", &arguments.endpoint)?;
    arguments.credentials_endpoint.as_deref().map_or(Ok(()), |host| check_host("--credentials-endpoint", host))?;
    let core = arguments.features.contains(&Feature::Greengrass) || arguments.clients.lite();
    if core != arguments.role_alias.is_some() {
        return Err(Error::Refused(
            "Greengrass needs all three: --feature greengrass (or --client greengrass-lite), --role-alias NAME and \
             --credentials-endpoint HOST"
                .to_owned(),
        ));
    }
    if core && region_of(&arguments.endpoint).is_none() {
        return Err(Error::Refused(format!(
            "--endpoint {}: Greengrass needs the region, and this name does not have it: give the one that `aws iot describe-endpoint \
             --endpoint-type iot:Data-ATS` prints",
            arguments.endpoint
        )));
    }
    let attested = arguments.attested.read()?;
    let identity = Identity::open(selection, &arguments.login)?;
    let serial = identity.keys.zone()?.serial_number().to_string();
    let claim =
        Claim { parameters: parameters(&arguments.parameters, &serial)?, arguments, attested, identity, serial };
    if arguments.dry_run {
        claim.plan()
    } else {
        claim.run(selection)
    }
}

/// Parses `NAME=VALUE`, with the chip's serial number for `{serial}`.
fn parameters(given: &[String], serial: &str) -> Result<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    for text in given {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            Error::Refused(format!("--parameter {text}: expected NAME=VALUE, for instance SerialNumber={{serial}}"))
        })?;
        if parameters.insert(name.to_owned(), value.replace("{serial}", serial)).is_some() {
            return Err(Error::Refused(format!("--parameter {name} is given twice: leave one out")));
        }
    }
    Ok(parameters)
}

struct Claim<'a> {
    arguments: &'a Arguments,
    attested: Option<Attested>,
    identity: Identity,
    serial: String,
    parameters: BTreeMap<String, String>,
}

/// A thing with its certificate.
struct Claimed {
    record: Record,
    chain: Vec<Certificate>,
    key: ChipKey,
    key_generated: bool,
    now: bool,
}

impl Claim<'_> {
    fn key_label(&self) -> &str {
        self.arguments.key.as_deref().unwrap_or(&self.serial)
    }

    fn client_id(&self) -> &str {
        self.arguments.client_id.as_deref().unwrap_or(&self.serial)
    }

    fn run(&self, selection: &Selection) -> Result<Output> {
        // Check everything on this machine before a change.
        let host = self.arguments.clients.host(&self.identity, &self.arguments.login, self.key_label())?;
        let mut folder = self.arguments.clients.folder(&self.serial, false)?;
        let claimed = match self.earlier(&folder)? {
            Some(claimed) => claimed,
            None => {
                let claimed = self.claim(selection, &host)?;
                let record = serde_json::to_string_pretty(&claimed.record).unwrap_or_default() + "\n";
                folder.overwrite(RECORD, record.as_bytes(), RECORD_MODE)?;
                claimed
            }
        };
        folder.note(RECORD, RECORD_MODE, if claimed.now { Outcome::Written } else { Outcome::Unchanged });
        let pem: String = claimed.chain.iter().map(Certificate::pem).collect();
        folder.place(CERTIFICATE, pem.as_bytes(), CERTIFICATE_MODE)?;
        self.finish(&claimed, &host, &mut folder)
    }

    /// Returns the result of an earlier run, if that wrote the certificate's file.
    fn earlier(&self, folder: &Folder) -> Result<Option<Claimed>> {
        let file = folder.file(CERTIFICATE).display().to_string();
        let Some(contents) = folder.read(CERTIFICATE)? else { return Ok(None) };
        let refused = |problem: &str| {
            Err(Error::Refused(format!(
                "{file} {problem}. Move it away to claim a new certificate, or give another folder with --dir"
            )))
        };
        let chain = certificates(&file, &contents)?;
        let key = self.identity.find(self.key_label())?;
        let Some(key) = key.filter(|key| chain.first().is_some_and(|first| is_for(first, key))) else {
            return refused(&format!("is for another key than \"{}\" in the chip (--key)", self.key_label()));
        };
        let record = folder.read(RECORD)?.and_then(|record| serde_json::from_slice::<Record>(&record).ok());
        match record.filter(|record| chain.first().is_some_and(|first| fingerprint(first) == record.certificate_id)) {
            Some(record) => {
                check_thing_name(&record.thing)?;
                note(&format!(
                    "the chip is already registered as \"{}\": AWS is not asked again",
                    visible(&record.thing)
                ));
                Ok(Some(Claimed { record, chain, key, key_generated: false, now: false }))
            }
            None => refused(&format!("is not a certificate that {RECORD} beside it lists: another command made it")),
        }
    }

    /// Calls AWS.
    fn claim(&self, selection: &Selection, host: &Host) -> Result<Claimed> {
        let Arguments { endpoint, port, template, login, .. } = self.arguments;
        let claim = self.arguments.claim.read(selection, login, &self.identity)?;
        let authorities = certificates(&host.root_ca_from, host.root_ca.as_bytes())?;
        let protocol = (*port == PORT_WITH_ALPN).then_some(ALPN);
        let tls = tls::client(&authorities, &claim.chain, claim.key, protocol)?;

        let timeout = Duration::from_secs(self.arguments.timeout);
        note(&format!("connecting to {endpoint}:{port} as the client {}", self.client_id()));
        let opened = mqtt::Connection::open(endpoint, *port, tls, self.client_id(), None, timeout);
        let mut connection = opened.map_err(|failure| self.explained(failure, &self.connect_remedy()))?;
        let (create, register) = (Call::create_certificate(), Call::register_thing(template));
        for call in [&create, &register] {
            let subscribed = connection.subscribe(&call.answers());
            subscribed.map_err(|failure| self.explained(failure, SUBSCRIBE_REMEDY))?;
        }

        let label = self.key_label();
        let (key, key_generated) = self.identity.find_or_generate(label)?;
        self.attested.as_ref().map_or(Ok(()), |attested| attested.check(&key))?;
        let csr = request::to_pem(&request::build(&Subject::common_name(&self.serial)?, &[], &key)?);
        let mut ask = |call: &Call, payload: &[u8], remedy: &str| {
            note(&format!("asking AWS: {}", call.name));
            match connection.ask(&call.request, payload, call.answers()) {
                Ok((0, answer)) => Ok(answer),
                Ok((_, answer)) => Err(provisioning::rejection(call, &answer)),
                Err(failure) => Err(self.explained(failure, remedy)),
            }
        };
        let answer = ask(&create, &provisioning::certificate_request(&csr), ASK_REMEDY)?;
        let created = Created::parse(&create, &answer, &key)?;
        let answer = ask(&register, &provisioning::registration(&created.token, &self.parameters), REGISTER_REMEDY)?;
        let registered = Registered::parse(&register, &answer)?;
        connection.close();

        let record = Record {
            thing: registered.thing,
            template: template.clone(),
            certificate_id: created.chain.first().map(fingerprint).unwrap_or_default(),
            device_configuration: registered.configuration,
        };
        Ok(Claimed { record, chain: created.chain, key, key_generated, now: true })
    }

    /// Writes the token's certificate and the clients' files, and checks all of it.
    fn finish(&self, claimed: &Claimed, host: &Host, folder: &mut Folder) -> Result<Output> {
        let Claimed { record, key, .. } = claimed;
        let Some(certificate) = claimed.chain.first() else {
            return Err(Error::Refused(format!("{} holds no certificate", folder.file(CERTIFICATE).display())));
        };
        self.identity.keep(key, certificate)?;
        for other in self.identity.keys.rivals(certificate)? {
            let remedy = match other.removable {
                true => format!("`atecc608 cert remove --serial {}`", other.certificate.serial_number()),
                false => "it is part of the chip, so use a key without one (--key)".to_owned(),
            };
            warn(&format!("the token has another certificate for this key, and clients may use that one: {remedy}"));
        }
        let Arguments { endpoint, role_alias, credentials_endpoint, features, .. } = self.arguments;
        let region = region_of(endpoint).unwrap_or_default();
        let core = |(role_alias, credentials_endpoint)| Core { credentials_endpoint, role_alias, region };
        let clients = Clients {
            connection: Connection {
                thing: &record.thing,
                endpoint,
                key: &key.label,
                token: &self.identity.token,
                slot: self.identity.slot,
                has_pin: self.identity.has_pin,
                pin: &host.pin,
                features,
            },
            core: role_alias.as_deref().zip(credentials_endpoint.as_deref()).map(core),
            lite: self.arguments.clients.lite(),
            config: self.identity.config.as_deref(),
        };
        clients.write(folder, host)?;

        let mut looked = Checks::default();
        let look = Look {
            folder,
            clients: &clients,
            expected: Expected { certificate: Some(certificate), label: &key.label, point: Some(&key.point) },
            serial_number: &self.identity.serial_number,
            module: &host.module,
        };
        look.run(&mut looked);
        let answer = Answer {
            thing: &record.thing,
            template: &record.template,
            claimed: claimed.now,
            key: &key.label,
            key_generated: claimed.key_generated,
            token: &self.identity.token,
            serial_number: &self.serial,
            endpoint,
            certificate_id: &record.certificate_id,
            device_configuration: &record.device_configuration,
            folder: folder.path().display().to_string(),
            files: folder.placed(),
            checks: checks::json(&looked),
        };
        let text = said(&answer, &host.root_ca_from, &looked) + &clients.next_steps(folder);
        Output::new(text, &answer).map(|output| output.failed_if(looked.first_failed().is_some()))
    }

    /// Returns what would be done if nothing exists yet.
    fn plan(&self) -> Result<Output> {
        let mut folder = self.arguments.clients.folder(&self.serial, true)?;
        let exists = self.identity.find(self.key_label())?.is_some();
        folder.note(RECORD, RECORD_MODE, Outcome::Planned);
        folder.note(CERTIFICATE, CERTIFICATE_MODE, Outcome::Planned);
        Clients::note_planned(&mut folder, self.arguments.role_alias.is_some(), self.arguments.clients.lite());
        let Arguments { endpoint, port, template, .. } = self.arguments;
        let subject = Subject::common_name(&self.serial)?.to_string();
        let calls = [Call::create_certificate(), Call::register_thing(template)];
        let mut text = format!("Nothing was done, and AWS was not called.\n\nconnection   {endpoint}:{port}\n");
        let key = if exists { "is there" } else { "would be generated" };
        text += &format!("client id    {}\nkey          \"{}\" {key}\n", self.client_id(), self.key_label());
        text += &format!("request      {subject}\n");
        for (name, value) in &self.parameters {
            text += &format!("parameter    {}={}\n", visible(name), visible(value));
        }
        text += "\ntopics, each with /accepted and /rejected\n";
        for call in &calls {
            text += &format!("  {:<24} {}\n", call.name, call.request);
        }
        text += "\n";
        text += &folder::text(folder.placed());
        let answer = json!({
            "dry_run": true,
            "endpoint": endpoint,
            "port": port,
            "client_id": self.client_id(),
            "key": self.key_label(),
            "key_exists": exists,
            "serial_number": self.serial,
            "subject": subject,
            "parameters": self.parameters,
            "topics": calls.map(|call| call.request),
            "files": folder.placed(),
        });
        Output::new(text, &answer)
    }

    fn connect_remedy(&self) -> String {
        format!(
            "AWS IoT closes a connection without a reason if it does not know the claim certificate, if that is not \
             active, or if its policy does not allow iot:Connect as the client {}",
            self.client_id()
        )
    }

    /// Returns the error of a call, and the remedy.
    fn explained(&self, failure: Failure, policy: &str) -> Error {
        explained(&format!("{}:{}", self.arguments.endpoint, self.arguments.port), &WORDS, failure, policy)
    }
}

const WORDS: Words = Words {
    cloud: "AWS IoT",
    no_address: "check the network and --endpoint: `aws iot describe-endpoint --endpoint-type iot:Data-ATS` prints it",
    tls: tls::Remedies {
        other_name: "correct --endpoint: for AWS it is the name that `aws iot describe-endpoint --endpoint-type iot:Data-ATS` prints",
        refused: "check that it is registered and active in this account and region: `aws iot describe-certificate \
                  --certificate-id ID`",
    },
    command: "atecc608 aws claim",
};
const SUBSCRIBE_REMEDY: &str =
    "The claim certificate's policy has to allow iot:Subscribe on topicfilter/$aws/certificates/create-from-csr/* and on \
     topicfilter/$aws/provisioning-templates/TEMPLATE/provision/*";
const ASK_REMEDY: &str =
    "AWS IoT closes the connection, or does not respond, if the claim certificate's policy does not allow iot:Publish \
     and iot:Receive on topic/$aws/certificates/create-from-csr/*";
const REGISTER_REMEDY: &str =
    "AWS IoT closes the connection, or does not respond, if the claim certificate's policy does not allow iot:Publish \
     and iot:Receive on topic/$aws/provisioning-templates/TEMPLATE/provision/*";

/// Formats the result.
fn said(answer: &Answer<'_>, root_ca_from: &str, checks: &Checks) -> String {
    let generated = if answer.key_generated { ", generated now" } else { "" };
    let mut text = format!("thing        {}\ntemplate     {}\n", answer.thing, visible(answer.template));
    text += &format!("key          \"{}\" in the chip{generated}\n", answer.key);
    text += &format!("certificate  {}\n", visible(answer.certificate_id));
    text += &format!("endpoint     {}\nroot CA      {root_ca_from}\n", answer.endpoint);
    for (name, value) in answer.device_configuration {
        text += &format!("device       {}: {}\n", visible(name), visible(&value.to_string()));
    }
    text.push('\n');
    text + &folder::text(answer.files) + "\nchecks\n" + &check::text(checks.as_slice(), Remedies::All)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_may_have_the_serial_number_and_equals_signs() {
        let given = ["SerialNumber={serial}".to_owned(), "Query=a=b".to_owned()];
        let found = parameters(&given, "0123").unwrap();
        assert_eq!((found["SerialNumber"].as_str(), found["Query"].as_str()), ("0123", "a=b"));
        for wrong in ["SerialNumber", "=x"] {
            assert!(parameters(&[wrong.to_owned()], "0123").unwrap_err().to_string().contains("NAME=VALUE"));
        }
        assert!(parameters(&["a=1".to_owned(), "a=2".to_owned()], "0123").unwrap_err().to_string().contains("twice"));
    }
}
