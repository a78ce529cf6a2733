// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 aws setup`: the steps, in order. Each first checks whether it was done already, so that another run
//! continues where the last one stopped, and changes nothing if all is done.
//!
//! 1. check the names, the chip and its PIN, the account's endpoint, before any change;
//! 2. the folder, the key in the chip;
//! 3. certificate (inactive), thing, policy; attach the certificate to policy and thing, and only then activate it;
//! 4. the files, and a check of all of it.

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::arn::{check_host, check_thing_name, region_of};
use super::calls;
use super::certificate::{taken, Search, Source};
use super::clients::{ClientArguments, Clients};
use super::device_client::Connection;
use super::greengrass::Core;
use super::look::Look;
use super::plan::Plan;
use super::policy::Feature;
use super::program::{text, Access};
use super::steps::Steps;
use super::thing::Wanted;
use crate::chip::attest::attested::{Attested, AttestedArguments};
use crate::chip_keys::{ChipKey, LoginArguments};
use crate::cloud::checks::{self, Expected, Looked};
use crate::cloud::folder::{self, Placed};
use crate::cloud::identity::Identity;
use crate::error::{Error, Result};
use crate::output::check::{self, Checks, Remedies};
use crate::output::{note, Output};
use crate::target::Selection;

/// Arguments of `aws setup`.
#[derive(Debug, Args)]
#[command(
    after_help = "The command calls AWS with the AWS CLI (`aws`), its profiles and its credentials. Running it again \
                  continues where it stopped. docs/aws-iot.md describes the steps and the permissions."
)]
pub struct Arguments {
    /// The thing's name, which is its MQTT client id, too
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    thing: String,
    /// The key's label in the chip; a key is generated if there is none. The default is the thing's name
    #[arg(long, value_name = "LABEL")]
    key: Option<String>,
    /// What the thing may do beside MQTT on its own topics (THING/...)
    #[arg(long = "feature", value_name = "FEATURE", value_enum, value_delimiter = ',')]
    features: Vec<Feature>,
    /// With Greengrass: the role alias of the token exchange role
    #[arg(long, value_name = "NAME")]
    role_alias: Option<String>,
    /// Host of the account's MQTT endpoint, which AWS is not asked for then. With an own CA the AWS CLI is not needed at all
    #[arg(long, value_name = "HOST")]
    endpoint: Option<String>,
    /// The same for Greengrass's credentials endpoint
    #[arg(long, value_name = "HOST", requires = "role_alias")]
    credentials_endpoint: Option<String>,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    attested: AttestedArguments,
    #[command(flatten)]
    clients: ClientArguments,
    /// The thing may have a certificate for another key already (the board before its chip was replaced)
    #[arg(long)]
    existing_thing: bool,
    /// Give the thing's policy its new document where it has another one
    #[arg(long)]
    update_policy: bool,
    #[command(flatten)]
    login: LoginArguments,
    /// Show the calls and the files, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// The MQTT host's name in `describe-endpoint`.
pub const MQTT_ENDPOINT: &str = "iot:Data-ATS";
/// The name of the host that exchanges a certificate for credentials.
pub const CREDENTIALS_ENDPOINT: &str = "iot:CredentialProvider";

/// The output of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    thing: &'a str,
    key: &'a str,
    key_generated: bool,
    token: &'a str,
    endpoint: &'a str,
    certificate_id: Option<&'a str>,
    policy: Option<&'a str>,
    folder: String,
    files: &'a [Placed],
    commands: &'a [String],
    checks: Vec<Looked<'a>>,
}

/// Sets the thing up.
///
/// # Errors
/// [`Error::Refused`], with the next step, for invalid names, a failure of AWS, or files that can't be written; the
/// [chip errors](crate::Error#chip-errors). Findings of the final checks are part of the result.
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    check_thing_name(&arguments.thing)?;
    let mut features = arguments.features.clone();
    features.extend(arguments.clients.lite().then_some(Feature::Greengrass));
    features.sort();
    features.dedup();
    if features.contains(&Feature::Greengrass) != arguments.role_alias.is_some() {
        return Err(Error::Refused(
            "Greengrass needs both: --feature greengrass (or --client greengrass-lite), and --role-alias NAME (the role alias of its \
             token exchange role)"
                .to_owned(),
        ));
    }
    for (option, host) in
        [("--endpoint", &arguments.endpoint), ("--credentials-endpoint", &arguments.credentials_endpoint)]
    {
        host.as_deref().map_or(Ok(()), |host| check_host(option, host))?;
    }
    let attested = arguments.attested.read()?;
    let identity = Identity::open(selection, &arguments.login)?;
    let mut setup = Setup {
        key: key_label(arguments, &identity)?,
        arguments,
        attested,
        identity,
        steps: Steps::new(&arguments.access),
        features,
    };
    if arguments.dry_run {
        setup.plan()
    } else {
        setup.run()
    }
}

/// Returns the label of the key: the given one; else, if it must have a certificate, that of the only key with one;
/// else the thing's name.
fn key_label(arguments: &Arguments, identity: &Identity) -> Result<String> {
    if let Some(label) = &arguments.key {
        return Ok(label.clone());
    }
    if !arguments.source.chip_certificate() {
        return Ok(arguments.thing.clone());
    }
    let mut labels = identity.certified()?;
    match labels.as_slice() {
        [_] => Ok(labels.remove(0)),
        [] => Err(Error::Refused(
            "the token has no certificate for a key of the chip: leave --chip-certificate out, and AWS IoT issues one"
                .to_owned(),
        )),
        _ => {
            Err(Error::Refused(format!("several keys have a certificate: choose one with --key ({})", listed(&labels))))
        }
    }
}

fn listed(labels: &[String]) -> String {
    labels.iter().map(|label| format!("\"{label}\"")).collect::<Vec<_>>().join(", ")
}

struct Setup<'a> {
    arguments: &'a Arguments,
    /// The key's label.
    key: String,
    attested: Option<Attested>,
    identity: Identity,
    steps: Steps<'a>,
    features: Vec<Feature>,
}

/// Inputs of the clients' files, besides the connection.
struct Hosts {
    endpoint: String,
    credentials: Option<String>,
}

impl Setup<'_> {
    fn thing(&self) -> &str {
        &self.arguments.thing
    }

    fn run(&mut self) -> Result<Output> {
        let hosts = self.hosts()?;
        // Check everything on this machine before a change.
        let asks_aws = !self.arguments.source.just_in_time();
        if self.arguments.role_alias.is_some() && !asks_aws && self.region(&hosts).is_none() {
            return Err(Error::Refused(
                "Greengrass needs the region, which the endpoint does not name: --region REGION".to_owned(),
            ));
        }
        let host = self.arguments.clients.host(&self.identity, &self.arguments.login, &self.key)?;
        let authority = self.arguments.source.authority(self.thing())?;
        let mut folder = self.arguments.clients.folder(self.thing(), false)?;

        self.ensure_free()?;
        let (key, generated) = self.find_or_generate()?;
        self.attested.as_ref().map_or(Ok(()), |attested| attested.check(&key))?;
        let thing = self.arguments.thing.clone();
        let mut search = Search {
            steps: &mut self.steps,
            folder: &mut folder,
            identity: &self.identity,
            thing: &thing,
            shared: self.arguments.existing_thing,
            offline: self.arguments.endpoint.is_some() && self.arguments.source.just_in_time(),
        };
        let found = search.run(&key, &self.arguments.source, authority.as_ref())?;
        if !self.identity.keep(&key, &found.certificate)? {
            note("the token has the certificate already");
        }
        let (mut policy_name, mut region) = (None, None);
        if let Some(registered) = &found.registered {
            let wanted = Wanted {
                thing: &thing,
                features: &self.features,
                role_alias: self.arguments.role_alias.as_deref(),
                update_policy: self.arguments.update_policy,
            };
            let (name, account) = wanted.make(&mut self.steps, &mut folder, registered)?;
            (policy_name, region) = (Some(name), Some(account.region));
        }

        let region = region.or_else(|| self.region(&hosts)).unwrap_or_default();
        let clients = Clients {
            connection: self.connection(&hosts, &host.pin),
            core: self.core(&hosts, &region),
            lite: self.arguments.clients.lite(),
            config: self.identity.config.as_deref(),
        };
        clients.write(&mut folder, &host)?;

        let mut looked = Checks::default();
        let look = Look {
            folder: &folder,
            clients: &clients,
            expected: Expected { certificate: Some(&found.certificate), label: &key.label, point: Some(&key.point) },
            serial_number: &self.identity.serial_number,
            module: &host.module,
        };
        look.run(&mut looked);
        let id = found.registered.as_ref().map(|registered| registered.id.as_str());
        let answer = Answer {
            thing: self.thing(),
            key: &self.key,
            key_generated: generated,
            token: &self.identity.token,
            endpoint: &hosts.endpoint,
            certificate_id: id,
            policy: policy_name.as_deref(),
            folder: folder.path().display().to_string(),
            files: folder.placed(),
            commands: self.steps.lines(),
            checks: checks::json(&looked),
        };
        let text = said(&answer, &host.root_ca_from, &looked) + &clients.next_steps(&folder);
        Output::new(text, &answer).map(|output| output.failed_if(looked.first_failed().is_some()))
    }

    /// Returns the key, after generating it if there is none and the chip need not have its certificate, too.
    fn find_or_generate(&self) -> Result<(ChipKey, bool)> {
        if self.arguments.source.chip_certificate() {
            return Ok((self.key_with_certificate()?, false));
        }
        self.identity.find_or_generate(&self.key).map_err(|error| self.or_certified(error))
    }

    /// Returns the key that [`Setup::find_or_generate`] would find.
    fn find_or_plan(&self) -> Result<Option<ChipKey>> {
        if self.arguments.source.chip_certificate() {
            return self.key_with_certificate().map(Some);
        }
        self.identity.find_or_plan(&self.key).map_err(|error| self.or_certified(error))
    }

    fn key_with_certificate(&self) -> Result<ChipKey> {
        self.identity.find(&self.key)?.ok_or_else(|| {
            Error::Refused(format!(
                "the chip has no key \"{}\": --chip-certificate registers the certificate of a key that is there (`atecc608 key list`)",
                self.key
            ))
        })
    }

    /// Returns `error`, with the keys that already have certificates as an alternative.
    fn or_certified(&self, error: Error) -> Error {
        match self.identity.certified() {
            Ok(labels) if !labels.is_empty() => Error::Refused(format!(
                "{error}; or take a key that has a certificate already ({}) with --chip-certificate",
                listed(&labels)
            )),
            _ => error,
        }
    }

    /// Returns the account's endpoints. Querying them proves that the AWS CLI is there, and has access.
    fn hosts(&mut self) -> Result<Hosts> {
        let mut host = |given: &Option<String>, what: &str, kind: &str| match given {
            Some(host) => Ok(host.clone()),
            None => {
                let answer = self.steps.make(what, &calls::describe_endpoint(kind))?;
                text(&answer, "/endpointAddress").map(str::to_owned)
            }
        };
        let Arguments { endpoint, credentials_endpoint, role_alias, .. } = self.arguments;
        let endpoint = host(endpoint, "asking AWS IoT for the account's endpoint", MQTT_ENDPOINT)?;
        let credentials = match role_alias {
            Some(_) => Some(host(credentials_endpoint, "asking for the credentials endpoint", CREDENTIALS_ENDPOINT)?),
            None => None,
        };
        Ok(Hosts { endpoint, credentials })
    }

    /// Refuses a thing that already has certificates, before a key is generated, because the chip has few slots.
    fn ensure_free(&self) -> Result<()> {
        let known = self.arguments.existing_thing || self.arguments.source.just_in_time();
        if known || self.identity.find(&self.key)?.is_some() {
            return Ok(());
        }
        let principals = self.steps.ask(&calls::list_thing_principals(self.thing()))?.unwrap_or_default();
        match principals["principals"].as_array().into_iter().flatten().find_map(Value::as_str) {
            None => Ok(()),
            Some(arn) => Err(taken(self.thing(), arn.rsplit('/').next().unwrap_or(arn))),
        }
    }

    fn connection<'c>(&'c self, hosts: &'c Hosts, pin: &'c str) -> Connection<'c> {
        Connection {
            thing: &self.arguments.thing,
            endpoint: &hosts.endpoint,
            key: &self.key,
            token: &self.identity.token,
            slot: self.identity.slot,
            has_pin: self.identity.has_pin,
            pin,
            features: &self.features,
        }
    }

    /// Returns the region, if AWS is not queried for it.
    fn region(&self, hosts: &Hosts) -> Option<String> {
        self.arguments.access.region.clone().or_else(|| region_of(&hosts.endpoint).map(str::to_owned))
    }

    fn core<'c>(&'c self, hosts: &'c Hosts, region: &'c str) -> Option<Core<'c>> {
        let role_alias = self.arguments.role_alias.as_deref()?;
        Some(Core { credentials_endpoint: hosts.credentials.as_deref()?, role_alias, region })
    }

    /// Returns what would be done if nothing exists yet.
    fn plan(&self) -> Result<Output> {
        let mut folder = self.arguments.clients.folder(self.thing(), true)?;
        let found = self.find_or_plan()?;
        if let (Some(key), Some(attested)) = (&found, &self.attested) {
            attested.check(key)?;
        }
        let Arguments { access, source, endpoint, credentials_endpoint, role_alias, .. } = self.arguments;
        let plan = Plan {
            thing: self.thing(),
            key: &self.key,
            key_exists: found.is_some(),
            access,
            source,
            features: &self.features,
            role_alias: role_alias.as_deref(),
            asks_endpoint: endpoint.is_none(),
            asks_credentials_endpoint: role_alias.is_some() && credentials_endpoint.is_none(),
            existing_thing: self.arguments.existing_thing,
            update_policy: self.arguments.update_policy,
            lite: self.arguments.clients.lite(),
        };
        plan.output(&mut folder)
    }
}

/// Formats the result.
fn said(answer: &Answer<'_>, root_ca_from: &str, checks: &Checks) -> String {
    let generated = if answer.key_generated { ", generated now" } else { "" };
    let certificate = answer.certificate_id.unwrap_or("by the own CA; AWS registers it at the first connection");
    let mut text = format!("thing        {}\nkey          \"{}\" in the chip{generated}\n", answer.thing, answer.key);
    text += &format!("certificate  {certificate}\n");
    if let Some(name) = answer.policy {
        text += &format!("policy       {name}\n");
    }
    text += &format!("endpoint     {}\nroot CA      {root_ca_from}\n\n", answer.endpoint);
    text + &folder::text(answer.files) + "\nchecks\n" + &check::text(checks.as_slice(), Remedies::All)
}
