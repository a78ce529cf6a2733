//! From configuration and `--token` to one chip behind a locked bus.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::input;
use crate::output::{progress, SILENCE};
use atecc608::ops::Identified;
use atecc608::{self as chip, Awake, Chip};
use atecc608_contents::words;
use atecc608_token::bus::{host_random, Bus, LockGuard};
use atecc608_token::config::{self, Config, ConfigError, TokenConfig};
use atecc608_token::deadline::Deadline;
use atecc608_token::io_key::KeyFile;
use atecc608_token::logging::{self, LogSettings};
use atecc608_token::process;
use atecc608_token::store::Store;
use atecc608_wire::config_zone::{Model, SerialNumber};
use atecc608_wire::{ConfigZone, Status};

/// What the command line says about configuration and chip.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--token`: label, serial number or PKCS#11 slot.
    pub token: Option<String>,
}

/// One configured chip; the bus is open.
pub struct Target {
    /// The configuration.
    pub config: Config,
    /// The chip's part of it.
    pub token: TokenConfig,
    /// The chip.
    pub chip: Chip<Bus>,
    /// What it said that it is, once it was asked.
    identified: Option<Identified>,
}

impl Selection {
    /// The configuration that was asked for; the log then works as it says.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn configuration(&self) -> Result<Config> {
        // In a setuid or setgid process the environment is somebody else's.
        let trusted = !process::is_privileged();
        let config = match &self.config {
            None => Config::load(trusted)?,
            Some(path) => {
                let text = input::read_text(path, config::MAX_FILE).map_err(|cause| ConfigError::Unreadable {
                    path: path.clone(),
                    cause,
                    source_of_path: "--config",
                })?;
                let mut config = Config::parse(path, &text)?;
                if let Some(log) = std::env::var(config::LOG_VARIABLE).ok().filter(|log| trusted && !log.is_empty()) {
                    config.log = LogSettings::parse(&log).map_err(ConfigError::LogVariable)?;
                }
                config
            }
        };
        logging::init(&config.log);
        Ok(config)
    }

    /// The chip that was asked for, its bus opened.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Token`], [`Error::Open`]; where the chip must be asked for its serial number,
    /// those of the chip.
    pub fn target(&self) -> Result<Target> {
        let config = self.configuration()?;
        ensure_tokens(&config)?;
        match (&self.token, config.tokens.as_slice()) {
            (None, [only]) => Target::open(&config, only),
            (None, tokens) => {
                Err(Error::Token(format!("several chips are configured; say which: --token {}", names(tokens))))
            }
            (Some(name), tokens) => match tokens.iter().find(|token| is_named(token, name)) {
                Some(token) => Target::open(&config, token),
                None => by_serial(&config, name),
            },
        }
    }
}

/// Whether the configuration itself gives the token this name.
pub fn is_named(token: &TokenConfig, name: &str) -> bool {
    token.label.as_deref() == Some(name) || token.slot.to_string() == name
}

/// # Errors
/// [`Error::Token`] with what to write, and where, if no chip is configured.
pub fn ensure_tokens(config: &Config) -> Result<()> {
    let lines = "the two lines `[[token]]` and `bus = \"/dev/i2c-1\"` (`ls /dev/i2c-*` lists the buses)";
    match &config.path {
        None => Err(Error::Token(format!(
            "no configuration: create {} with {lines}, or name another file with --config or ${}",
            config::DEFAULT_PATH,
            config::CONF_VARIABLE
        ))),
        Some(path) if config.tokens.is_empty() => {
            Err(Error::Token(format!("{}: no chip is configured: add {lines}", path.display())))
        }
        Some(_) => Ok(()),
    }
}

/// The tokens' names, as `--token` takes them.
fn names(tokens: &[TokenConfig]) -> String {
    let names: Vec<String> = tokens
        .iter()
        .map(|token| match &token.label {
            Some(label) => format!("\"{label}\""),
            None => token.slot.to_string(),
        })
        .collect();
    names.join(" or ")
}

/// The chip whose serial number or default label is `name`: each configured one is asked.
fn by_serial(config: &Config, name: &str) -> Result<Target> {
    let mut silent = Vec::new();
    for token in &config.tokens {
        let asked = Target::open(config, token).and_then(|mut target| Ok((target.read_config()?, target)));
        let (zone, target) = match asked {
            Ok(found) => found,
            Err(error) => {
                silent.push(error.to_string());
                continue;
            }
        };
        let serial = zone.serial_number();
        let stored = Store::open(&config.state_dir, serial).state().label.clone();
        let label = token.label.clone().or(stored).unwrap_or_else(|| default_label(&zone));
        if serial.to_string().eq_ignore_ascii_case(name) || serial.short().eq_ignore_ascii_case(name) || label == name {
            return Ok(target);
        }
    }
    let mut problem = format!("no configured chip is called \"{name}\"; there are {}", names(&config.tokens));
    if !silent.is_empty() {
        problem += &format!(" (not all could be asked for their serial numbers: {})", silent.join("; "));
    }
    Err(Error::Token(problem))
}

/// The token's label where nobody has given it one.
pub fn default_label(zone: &ConfigZone) -> String {
    format!("ATECC608-{}", &zone.serial_number().short()[8..])
}

impl Target {
    /// Opens the bus of a configured chip. Nothing is sent yet, unless it may be on several buses: then it is looked for.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open(config: &Config, token: &TokenConfig) -> Result<Self> {
        let place = place(token);
        let bus = Bus::open_first(token, &config.state_dir, Deadline::after(config.lock_timeout))
            .map_err(|cause| Error::Open { place: place.clone(), cause })?;
        let token = TokenConfig { bus: bus.location().clone(), other_buses: Vec::new(), ..token.clone() };
        Ok(Self { config: config.clone(), token, chip: Chip::new(bus, host_random), identified: None })
    }

    /// The chip at another address of the same bus. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn at(&self, address: u8) -> Result<Self> {
        Self::open(&self.config, &TokenConfig { address, ..self.token.clone() })
    }

    /// Bus and address, as messages name them.
    pub fn place(&self) -> String {
        place(&self.token)
    }

    /// The configuration file, as messages name it.
    pub fn config_file(&self) -> String {
        self.config.path.as_deref().unwrap_or(Path::new(config::DEFAULT_PATH)).display().to_string()
    }

    /// Whether the chip, which has this serial number, is a simulated one.
    pub fn is_simulated(&mut self, serial: &SerialNumber) -> bool {
        self.chip.transport_mut().is_simulated(serial)
    }

    /// Takes the bus. Until the guard is dropped nobody else uses it.
    ///
    /// # Errors
    /// [`Error::Lock`].
    pub fn lock(&mut self) -> Result<LockGuard> {
        let place = self.place();
        let mut tell = |holder: &str| progress(&format!("waiting for {place}: it is used by {holder}"));
        let deadline = Deadline::after(self.config.lock_timeout);
        let taken = self.chip.transport_mut().lock_with_notice(deadline, (SILENCE, &mut tell));
        taken.map_err(|cause| Error::Lock { place, cause })
    }

    /// Holds one conversation; the caller has the bus.
    ///
    /// # Errors
    /// [`Error::Chip`].
    pub fn converse<T>(&mut self, work: impl FnMut(&mut Awake<'_, Bus>) -> chip::Result<T>) -> Result<T> {
        let place = self.place();
        self.chip.converse(work).map_err(|cause| Error::Chip { place, cause })
    }

    /// The configuration zone, whose times then apply; the bus is taken for it.
    ///
    /// # Errors
    /// [`Error::Lock`], [`Error::Chip`].
    pub fn read_config(&mut self) -> Result<ConfigZone> {
        let guard = self.lock()?;
        let zone = self.read_config_locked();
        drop(guard);
        zone
    }

    /// The same for a caller who has the bus.
    ///
    /// # Errors
    /// [`Error::Chip`].
    pub fn read_config_locked(&mut self) -> Result<ConfigZone> {
        let zone = self.converse(|awake| awake.read_config())?;
        self.chip.apply_timing(&zone);
        if self.identified.is_none() {
            // The whole command is about this one.
            self.chip.expect(Some(zone.serial_number()));
            self.identified = Some(self.converse(|awake| awake.identify(&zone))?);
        }
        Ok(zone)
    }

    /// What the chip is; not an ATECC608 before its configuration was read.
    pub fn model(&self) -> Model {
        self.identified.map_or(Model::Other([0; 4]), |identified| identified.model)
    }

    /// The status with which the chip refused to say what it is: the model is then a guess.
    pub fn model_refused(&self) -> Option<Status> {
        self.identified.and_then(|identified| identified.refused)
    }

    /// Refuses another model than an ATECC608.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn ensure_608(&self) -> Result<()> {
        if self.model().is_608() {
            return Ok(());
        }
        let model = words::a_model(self.model());
        Err(Error::Refused(format!("{}: this is {model}, not an ATECC608", self.place())))
    }

    /// The same, before something would be changed.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn ensure_608_to_change(&self, zone: &ConfigZone) -> Result<()> {
        if self.model().is_608() {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "{}: the chip {} is {}, not an ATECC608: it is left alone",
            self.place(),
            zone.serial_number(),
            words::a_model(self.model())
        )))
    }

    /// Where the chip's IO protection key is kept.
    pub fn key_file(&mut self, serial: &SerialNumber) -> KeyFile {
        let simulated = self.is_simulated(serial);
        KeyFile::of(&self.config, &self.token, simulated, serial)
    }
}

fn place(token: &TokenConfig) -> String {
    token.place()
}
