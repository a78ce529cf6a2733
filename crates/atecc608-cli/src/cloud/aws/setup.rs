//! `atecc608 aws setup`: the steps, in order. Each looks first whether it was done already, so that running it again goes on where it
//! stopped, and changes nothing where all is done.
//!
//! 1. the names, the chip and its PIN, the account's endpoint: nothing is changed before all of these are right;
//! 2. the folder, the key in the chip;
//! 3. certificate (inactive), thing, policy; the certificate for policy and thing, and only then active;
//! 4. the files, and a look at all of it.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::{json, Value};
use zeroize::Zeroizing;

use super::arn::{check_thing_name, Account};
use super::calls;
use super::certificate::{taken, Search, Source, REQUEST};
use super::check::Look;
use super::device_client::{self, Connection, CERTIFICATE, CERTIFICATE_MODE, NO_PIN, ROOT_CA};
use super::greengrass::{self, Core};
use super::module_copy::{self, Copy};
use super::policy::{self, Feature};
use super::program::{text, Access};
use super::root_ca;
use super::sdk;
use super::steps::Steps;
use super::thing::{Wanted, POLICY};
use super::PARENT;
use crate::chip::attest::attested::{Attested, AttestedArguments};
use crate::chip_keys::LoginArguments;
use crate::cloud::checks::{self, Looked};
use crate::cloud::folder::{self, Folder, Outcome, Permission, Placed};
use crate::cloud::identity::{Identity, PIN_TO_ENTER};
use crate::error::{Error, Result};
use crate::host::module::{self, MODULE};
use crate::input::secret::first_line;
use crate::output::check::{self, Checks, Remedies};
use crate::output::{note, Output};
use crate::target::Selection;

/// Arguments of `aws setup`.
#[derive(Debug, Args)]
#[command(
    after_help = "AWS is called with the AWS CLI (`aws`), its profiles and its credentials. Running this again goes on where it stopped. \
                  docs/aws-iot.md tells what it does and which permissions it needs."
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
    /// With the feature greengrass: the role alias of the token exchange role
    #[arg(long, value_name = "NAME")]
    role_alias: Option<String>,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    attested: AttestedArguments,
    /// The folder for the files; the default is /etc/atecc608-pkcs11/aws/THING
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// The CA that AWS IoT's servers are certified by; the default is Amazon's, from Debian's ca-certificates
    #[arg(long, value_name = "FILE")]
    root_ca: Option<PathBuf>,
    /// The installed module; the default is where it usually is
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The thing may have a certificate for another key already (the board before its chip was replaced)
    #[arg(long)]
    existing_thing: bool,
    /// Give the thing's policy its new document where it has another one
    #[arg(long)]
    update_policy: bool,
    /// Replace files that have other contents; the old ones are kept beside them
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    login: LoginArguments,
    /// On a chip with a PIN: write it into the clients' configurations
    #[arg(long, requires = "pin_file")]
    write_pin: bool,
    /// Show the calls and the files, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// What was done, for `--json`.
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
/// Those of names, chip, AWS and files; each says how to go on. What the last look finds is part of the answer.
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    check_thing_name(&arguments.thing)?;
    let core = arguments.features.contains(&Feature::Greengrass);
    if core != arguments.role_alias.is_some() {
        return Err(Error::Refused(
            "Greengrass needs both: --feature greengrass and --role-alias NAME (the role alias of its token exchange role)".to_owned(),
        ));
    }
    let attested = arguments.attested.read()?;
    let identity = Identity::open(selection, &arguments.login)?;
    let mut setup = Setup {
        arguments,
        attested,
        identity,
        steps: Steps::new(&arguments.access, arguments.dry_run),
        features: sorted(&arguments.features),
    };
    if arguments.dry_run {
        setup.plan()
    } else {
        setup.run()
    }
}

fn sorted(features: &[Feature]) -> Vec<Feature> {
    let mut features = features.to_vec();
    features.sort();
    features.dedup();
    features
}

struct Setup<'a> {
    arguments: &'a Arguments,
    attested: Option<Attested>,
    identity: Identity,
    steps: Steps<'a>,
    features: Vec<Feature>,
}

/// What the clients' files are made of, beside the connection.
struct Hosts {
    endpoint: String,
    credentials: Option<String>,
}

impl Setup<'_> {
    fn thing(&self) -> &str {
        &self.arguments.thing
    }

    fn key_label(&self) -> &str {
        self.arguments.key.as_deref().unwrap_or(self.thing())
    }

    fn folder(&self) -> Result<Folder> {
        let usual = || PathBuf::from(PARENT).join(self.thing());
        let path = self.arguments.dir.clone().unwrap_or_else(usual);
        Folder::open(
            &path,
            folder::PRIVATE,
            Permission { replace: self.arguments.replace, dry_run: self.arguments.dry_run },
        )
    }

    fn run(&mut self) -> Result<Output> {
        let hosts = self.hosts()?;
        // What can be wrong on this machine, before anything is changed.
        let (root_ca, root_ca_from) = root_ca::find(self.arguments.root_ca.as_deref())?;
        let module = module::installed(self.arguments.module.as_deref())?;
        let pin = self.pin()?;
        let authority = self.arguments.source.authority(self.thing())?;
        let mut folder = self.folder()?;

        self.ensure_free()?;
        let (key, generated) = self.identity.find_or_generate(self.key_label())?;
        self.attested.as_ref().map_or(Ok(()), |attested| attested.check(&key))?;
        let thing = self.arguments.thing.clone();
        let mut search = Search {
            steps: &mut self.steps,
            folder: &mut folder,
            identity: &self.identity,
            thing: &thing,
            shared: self.arguments.existing_thing,
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

        let connection = self.connection(&hosts, &pin);
        let module_path = module.display().to_string();
        let region = region.or_else(|| region_of(&hosts.endpoint)).unwrap_or_default();
        let core = self.core(&hosts, &region, &module_path);
        folder.place_or_note(ROOT_CA, root_ca.as_bytes(), CERTIFICATE_MODE)?;
        let copied = module_copy::renew(&module, folder.path())?;
        let outcome = if copied == Copy::Current { Outcome::Unchanged } else { Outcome::Written };
        folder.note(MODULE, device_client::MODULE_MODE, outcome);
        for (name, contents, mode) in self.files(&folder, &connection, core.as_ref(), &module_path) {
            folder.place_or_note(name, contents.as_bytes(), mode)?;
        }

        let mut looked = Checks::default();
        let look = Look {
            folder: &folder,
            connection: &connection,
            core: core.as_ref(),
            certificate: &found.certificate,
            key: &key,
            serial_number: &self.identity.serial_number,
            module: &module,
            config: self.identity.config.as_deref(),
        };
        look.run(&mut looked);
        let id = found.registered.as_ref().map(|registered| registered.id.as_str());
        let answer = Answer {
            thing: self.thing(),
            key: self.key_label(),
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
        let text = said(&answer, &root_ca_from, &looked)
            + &next_steps(&folder, self.identity.config.as_deref(), core.is_some());
        Output::new(text, &answer).map(|output| output.failed_if(looked.first_failed().is_some()))
    }

    /// The account's endpoints. With them it is proven that the AWS CLI is there, and may ask.
    fn hosts(&mut self) -> Result<Hosts> {
        let answer =
            self.steps.make("asking AWS IoT for the account's endpoint", &calls::describe_endpoint("iot:Data-ATS"))?;
        let endpoint = text(&answer, "/endpointAddress")?.to_owned();
        let credentials = if self.arguments.role_alias.is_some() {
            let answer = self
                .steps
                .make("asking for the credentials endpoint", &calls::describe_endpoint("iot:CredentialProvider"))?;
            Some(text(&answer, "/endpointAddress")?.to_owned())
        } else {
            None
        };
        Ok(Hosts { endpoint, credentials })
    }

    /// A thing that has certificates already is none for a new key, and a key is not made in vain: the chip has few slots.
    fn ensure_free(&self) -> Result<()> {
        let known = self.arguments.existing_thing || self.arguments.source.just_in_time();
        if known || self.identity.find(self.key_label())?.is_some() {
            return Ok(());
        }
        let principals = self.steps.ask(&calls::list_thing_principals(self.thing()))?.unwrap_or_default();
        match principals["principals"].as_array().into_iter().flatten().find_map(Value::as_str) {
            None => Ok(()),
            Some(arn) => Err(taken(self.thing(), arn.rsplit('/').next().unwrap_or(arn))),
        }
    }

    /// What the clients are to log in with.
    fn pin(&self) -> Result<Zeroizing<String>> {
        let text = match &self.arguments.login.pin_file {
            _ if !self.identity.has_pin => NO_PIN.to_owned(),
            Some(file) if self.arguments.write_pin && file.as_os_str() == "-" => {
                return Err(Error::Refused(
                    "--write-pin wants the PIN in a file: standard input is read only once".to_owned(),
                ))
            }
            Some(file) if self.arguments.write_pin => String::from_utf8(first_line(file)?.to_vec())
                .map_err(|_| Error::Refused("the PIN is not UTF-8: no configuration can say it".to_owned()))?,
            _ => PIN_TO_ENTER.to_owned(),
        };
        Ok(Zeroizing::new(text))
    }

    fn connection<'c>(&'c self, hosts: &'c Hosts, pin: &'c str) -> Connection<'c> {
        Connection {
            thing: &self.arguments.thing,
            endpoint: &hosts.endpoint,
            key: self.arguments.key.as_deref().unwrap_or(&self.arguments.thing),
            token: &self.identity.token,
            slot: self.identity.slot,
            pin,
            features: &self.features,
        }
    }

    fn core<'c>(&'c self, hosts: &'c Hosts, region: &'c str, module: &'c str) -> Option<Core<'c>> {
        let role_alias = self.arguments.role_alias.as_deref()?;
        Some(Core { credentials_endpoint: hosts.credentials.as_deref()?, role_alias, region, module })
    }

    fn files(
        &self,
        folder: &Folder,
        connection: &Connection<'_>,
        core: Option<&Core<'_>>,
        module: &str,
    ) -> Vec<(&'static str, String, u32)> {
        let client = device_client::configuration(folder, connection);
        let client = serde_json::to_string_pretty(&client).unwrap_or_default() + "\n";
        let program = sdk::program(folder, connection, module, self.identity.config.as_deref(), self.identity.has_pin);
        let mut files = vec![(device_client::FILE, client, device_client::MODE), (sdk::FILE, program, sdk::MODE)];
        if let Some(core) = core {
            files.push((greengrass::FILE, greengrass::configuration(folder, connection, core), greengrass::MODE));
        }
        files
    }

    /// What would be done where nothing is there yet.
    fn plan(&mut self) -> Result<Output> {
        let mut folder = self.folder()?;
        let exists = self.identity.find(self.key_label())?.is_some();
        let (thing, name) = (self.arguments.thing.clone(), policy::name(self.thing()));
        let account = Account::placeholder(self.arguments.access.region.as_deref());
        let document = policy::document(&account, &thing, &self.features, self.arguments.role_alias.as_deref())?;
        let arn = account.iot("cert", "CERTIFICATE-ID");
        let source = &self.arguments.source;
        let mut plan = vec![calls::describe_endpoint("iot:Data-ATS")];
        if self.arguments.role_alias.is_some() {
            plan.push(calls::describe_endpoint("iot:CredentialProvider"));
        }
        if !source.just_in_time() {
            plan.push(calls::create_thing(&thing));
            plan.push(source.call(&folder));
            plan.push(calls::create_policy(&name, &folder.file(POLICY)));
            plan.push(calls::attach_policy(&name, &arn));
            plan.push(calls::attach_thing_principal(&thing, &arn));
            plan.push(calls::activate_certificate("CERTIFICATE-ID"));
        }
        for call in &plan {
            self.steps.make("", call)?;
        }
        let mut files = vec![
            (CERTIFICATE, CERTIFICATE_MODE),
            (ROOT_CA, CERTIFICATE_MODE),
            (MODULE, device_client::MODULE_MODE),
            (device_client::FILE, device_client::MODE),
            (sdk::FILE, sdk::MODE),
        ];
        if source.by_aws() {
            files.push((REQUEST, 0o600));
        }
        if !source.just_in_time() {
            files.push((POLICY, 0o644));
        }
        if self.arguments.role_alias.is_some() {
            files.push((greengrass::FILE, greengrass::MODE));
        }
        for (name, mode) in files {
            folder.note(name, mode, Outcome::Planned);
        }
        let key = if exists { "is there" } else { "would be generated" };
        let mut text = format!(
            "Nothing was done, and AWS was not asked.\n\nThe key \"{}\" {key} in the chip.\n\n",
            self.key_label()
        );
        text += "Calls, where nothing is there yet:\n";
        for line in self.steps.lines() {
            text += &format!("  {line}\n");
        }
        text += &format!("\nThe policy:\n{}\n\n", serde_json::to_string_pretty(&document).unwrap_or_default());
        text += &folder::text(folder.placed());
        let answer = json!({
            "dry_run": true,
            "thing": thing,
            "key": self.key_label(),
            "key_exists": exists,
            "commands": self.steps.lines(),
            "policy": document,
            "files": folder.placed(),
        });
        Output::new(text, &answer)
    }
}

/// The answer as text.
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

/// The region in an endpoint's name: PREFIX-ats.iot.REGION.amazonaws.com.
fn region_of(endpoint: &str) -> Option<String> {
    endpoint.split('.').nth(2).map(str::to_owned)
}

fn next_steps(folder: &Folder, config: Option<&str>, core: bool) -> String {
    let before = config.map_or_else(String::new, |config| format!("ATECC608_PKCS11_CONF={config} "));
    let mut text = format!(
        "\nnext\n  {before}aws-iot-device-client --config-file {}\n  {before}python3 {}      (pip install awscrt)\n",
        folder.file(device_client::FILE).display(),
        folder.file(sdk::FILE).display()
    );
    if core {
        text += &format!(
            "  {before}java -Droot=/greengrass/v2 -jar lib/Greengrass.jar --trusted-plugin aws.greengrass.crypto.Pkcs11Provider.jar \
             --init-config {}\n",
            folder.file(greengrass::FILE).display()
        );
    }
    text
}
