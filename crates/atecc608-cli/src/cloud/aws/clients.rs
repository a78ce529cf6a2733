// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files that configure the clients on this machine: their inputs, and writing them. [`super::look`] checks them
//! afterwards.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use zeroize::Zeroizing;

use super::device_client::{self, Connection, CERTIFICATE_MODE, NO_PIN, ROOT_CA};
use super::greengrass::{self, Core};
use super::greengrass_lite;
use super::module_copy::{self, Copy};
use super::root_ca;
use super::sdk;
use super::unit::{self, Service};
use super::PARENT;
use crate::chip_keys::LoginArguments;
use crate::cloud::folder::{self, Folder, Outcome, Permission};
use crate::cloud::identity::{Identity, PIN_TO_ENTER};
use crate::error::{Error, Result};
use crate::host::module::{self, MODULE};
use crate::input::secret::first_line;

/// A client that is configured only if it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// Greengrass nucleus lite, in place of the nucleus in Java; it implies the feature greengrass
    GreengrassLite,
}

/// Where the files go, and what they are made of.
#[derive(Debug, Args)]
pub struct ClientArguments {
    /// The folder for the files; the default is /etc/atecc608-pkcs11/aws/THING, and for a claim the chip's serial number in THING's place
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// The CA that AWS IoT's servers are certified by; the default is Amazon's, from Debian's ca-certificates
    #[arg(long, value_name = "FILE")]
    root_ca: Option<PathBuf>,
    /// The installed module; the default is where it usually is
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Replace files that have other contents; the old ones are kept beside them
    #[arg(long)]
    replace: bool,
    /// On a chip with a PIN: write it into the clients' configurations. Device Client logs its own, with the PIN, at each start
    #[arg(long, requires = "pin_file")]
    write_pin: bool,
    /// Configure this client, too
    #[arg(long = "client", value_name = "CLIENT", value_enum, value_delimiter = ',')]
    named: Vec<Client>,
}

/// The common inputs of all clients.
pub struct Host {
    /// The CAs that AWS IoT's servers are certified by, PEM.
    pub root_ca: String,
    /// Their source.
    pub root_ca_from: String,
    /// The installed module.
    pub module: PathBuf,
    /// The PIN with which a client logs in, or a placeholder.
    pub pin: Zeroizing<String>,
    /// The folders that the module may write to.
    pub writable: Vec<PathBuf>,
    /// The node of the chip's bus.
    pub node: Option<PathBuf>,
}

impl ClientArguments {
    /// Opens the folder of a thing.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn folder(&self, thing: &str, dry_run: bool) -> Result<Folder> {
        let path = self.dir.clone().unwrap_or_else(|| Path::new(PARENT).join(thing));
        Folder::open(&path, folder::PRIVATE, Permission { replace: self.replace, dry_run })
    }

    /// Whether Greengrass nucleus lite is one of the clients.
    pub fn lite(&self) -> bool {
        self.named.contains(&Client::GreengrassLite)
    }

    /// Collects this machine's inputs for the clients, which will use the key with this label, without a change.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no root CA or no module, if the PIN can't be read, or if the clients can't use
    /// the label.
    pub fn host(&self, identity: &Identity, login: &LoginArguments, key: &str) -> Result<Host> {
        if self.lite() {
            greengrass_lite::ensure_short(&identity.token, key, identity.has_pin)?;
        }
        let (root_ca, root_ca_from) = root_ca::find(self.root_ca.as_deref())?;
        let module = module::installed(self.module.as_deref())?;
        let pin = Zeroizing::new(self.pin(identity, login)?);
        let (writable, node) = unit::places(&identity.configuration, identity.token_config()?);
        Ok(Host { root_ca, root_ca_from, module, pin, writable, node })
    }

    fn pin(&self, identity: &Identity, login: &LoginArguments) -> Result<String> {
        match &login.pin_file {
            _ if !identity.has_pin => Ok(NO_PIN.to_owned()),
            Some(file) if self.write_pin && file.as_os_str() == "-" => {
                Err(Error::Refused("--write-pin needs the PIN in a file: standard input is read only once".to_owned()))
            }
            Some(file) if self.write_pin => String::from_utf8(first_line(file)?.to_vec())
                .map_err(|_| Error::Refused("the PIN is not UTF-8: a configuration file can't contain it".to_owned())),
            _ => Ok(PIN_TO_ENTER.to_owned()),
        }
    }
}

/// The clients of one thing.
pub struct Clients<'a> {
    /// The connection in their configuration.
    pub connection: Connection<'a>,
    /// Greengrass's additional configuration.
    pub core: Option<Core<'a>>,
    /// Whether Greengrass is the nucleus lite.
    pub lite: bool,
    /// The configuration file of the module, if it is not the default one.
    pub config: Option<&'a str>,
}

impl Clients<'_> {
    /// Writes the files. Existing ones with other contents are kept, or replaced on request.
    ///
    /// # Errors
    /// [`Error::Refused`] if a file can't be written.
    pub fn write(&self, folder: &mut Folder, host: &Host) -> Result<()> {
        folder.place_or_note(ROOT_CA, host.root_ca.as_bytes(), CERTIFICATE_MODE)?;
        let copied = module_copy::renew(&host.module, folder.path())?;
        let outcome = match copied {
            Copy::Current | Copy::Repaired => Outcome::Unchanged,
            Copy::New | Copy::Renewed => Outcome::Written,
        };
        folder.note(MODULE, device_client::MODULE_MODE, outcome);
        let client = device_client::configuration(folder, &self.connection);
        let client = Zeroizing::new(serde_json::to_string_pretty(&client).unwrap_or_default() + "\n");
        folder.place_or_note(device_client::FILE, client.as_bytes(), device_client::MODE)?;
        let module = host.module.display().to_string();
        let program = sdk::program(folder, &self.connection, &module, self.config);
        folder.place_or_note(sdk::FILE, program.as_bytes(), sdk::MODE)?;
        let service = Service {
            thing: self.connection.thing,
            has_pin: self.connection.has_pin,
            config: self.config,
            writable: &host.writable,
            node: host.node.as_deref(),
        };
        folder.place_or_note(unit::FILE, unit::unit(folder, &service).as_bytes(), unit::MODE)?;
        if let Some(core) = self.core.as_ref().filter(|_| self.lite) {
            greengrass_lite::write(folder, self, core, &host.module)?;
        } else if let Some(core) = &self.core {
            let text = Zeroizing::new(greengrass::configuration(folder, &self.connection, core, &host.module));
            folder.place_or_note(greengrass::FILE, text.as_bytes(), greengrass::MODE)?;
        }
        Ok(())
    }

    /// The files that [`Clients::write`] writes, with their modes, for a dry run.
    pub fn note_planned(folder: &mut Folder, core: bool, lite: bool) {
        let mut files = vec![
            (ROOT_CA, CERTIFICATE_MODE),
            (MODULE, device_client::MODULE_MODE),
            (device_client::FILE, device_client::MODE),
            (sdk::FILE, sdk::MODE),
            (unit::FILE, unit::MODE),
        ];
        if lite {
            let names = [greengrass_lite::FILE, greengrass_lite::OPENSSL_FILE, greengrass_lite::DROP_IN_FILE];
            files.extend(names.map(|name| (name, greengrass_lite::MODE)));
        } else if core {
            files.push((greengrass::FILE, greengrass::MODE));
        }
        for (name, mode) in files {
            folder.note(name, mode, Outcome::Planned);
        }
    }

    /// Returns the next commands, a line for each client.
    pub fn next_steps(&self, folder: &Folder) -> String {
        let before = self.config.map_or_else(String::new, |config| format!("ATECC608_PKCS11_CONF={config} "));
        let mut text = format!(
            "\nnext\n  {before}aws-iot-device-client --config-file {}\n  or as a service: sudo install -m 644 {} /etc/systemd/system/ && \
             sudo systemctl enable --now {}\n  {before}python3 {}      (pip install awscrt)\n",
            folder.file(device_client::FILE).display(),
            folder.file(unit::FILE).display(),
            unit::FILE,
            folder.file(sdk::FILE).display()
        );
        if self.lite {
            text += &greengrass_lite::next_steps(folder, self.connection.has_pin);
        } else if self.core.is_some() {
            text += &format!(
                "  {before}java -Droot=/greengrass/v2 -jar lib/Greengrass.jar --trusted-plugin aws.greengrass.crypto.Pkcs11Provider.jar \
                 --init-config {}\n",
                folder.file(greengrass::FILE).display()
            );
        }
        text
    }
}
