// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens the chip that configuration and `--token` select, behind a locked bus.

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

/// The configuration and the chip on the command line.
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
    /// Its identity, once it was read.
    identified: Option<Identified>,
}

impl Selection {
    /// Loads the selected configuration, and applies its log settings.
    ///
    /// # Errors
    /// [`Error::Config`] if it is invalid.
    pub fn configuration(&self) -> Result<Config> {
        // In a setuid or setgid process the environment must not be trusted.
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

    /// Returns the selected chip, with its bus open.
    ///
    /// # Errors
    /// [`Error::Config`] if the configuration is invalid; [`Error::Token`] if it names no such chip; [`Error::Open`] if
    /// the bus can't be opened; the [chip errors](crate::Error#chip-errors), if the serial number must be read.
    pub fn target(&self) -> Result<Target> {
        let config = self.configuration()?;
        ensure_tokens(&config)?;
        match (&self.token, config.tokens.as_slice()) {
            (None, [only]) => Target::open(&config, only),
            (None, tokens) => {
                Err(Error::Token(format!("several chips are configured: choose one with --token {}", names(tokens))))
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
/// [`Error::Token`] , with the lines to write, if no chip is configured.
pub fn ensure_tokens(config: &Config) -> Result<()> {
    match &config.path {
        None => Err(Error::Token(format!(
            "no configuration: `sudo atecc608 init` finds the chip and writes {}. Or name another file with --config or ${}",
            config::DEFAULT_PATH,
            config::CONF_VARIABLE
        ))),
        Some(path) if config.tokens.is_empty() => Err(Error::Token(format!(
            "{}: no chip is configured: add the two lines `[[token]]` and `bus = \"/dev/i2c-1\"` (`ls /dev/i2c-*` lists the \
             buses)",
            path.display()
        ))),
        Some(_) => Ok(()),
    }
}

/// The tokens' names, as for `--token`.
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

/// Returns the chip whose serial number or default label is `name`, by reading each configured one.
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
    let mut problem =
        format!("no configured chip has the name \"{name}\": the configuration has {}", names(&config.tokens));
    if !silent.is_empty() {
        problem += &format!(" (could not read all serial numbers: {})", silent.join("; "));
    }
    Err(Error::Token(problem))
}

/// Returns the default label of a token.
pub fn default_label(zone: &ConfigZone) -> String {
    format!("ATECC608-{}", &zone.serial_number().short()[8..])
}

impl Target {
    /// Opens the bus of a configured chip. Sends nothing, unless it may be on several buses: then it is looked for.
    ///
    /// # Errors
    /// [`Error::Open`] if the bus can't be opened.
    pub fn open(config: &Config, token: &TokenConfig) -> Result<Self> {
        let place = place(token);
        let bus = Bus::open_first(token, &config.state_dir, Deadline::after(config.lock_timeout))
            .map_err(|cause| Error::Open { place: place.clone(), cause })?;
        let token = TokenConfig { bus: bus.location().clone(), other_buses: Vec::new(), ..token.clone() };
        Ok(Self { config: config.clone(), token, chip: Chip::new(bus, host_random), identified: None })
    }

    /// The chip at another address of the same bus. Sends nothing.
    ///
    /// # Errors
    /// [`Error::Open`] if the bus can't be opened.
    pub fn at(&self, address: u8) -> Result<Self> {
        Self::open(&self.config, &TokenConfig { address, ..self.token.clone() })
    }

    /// Bus and address, for messages.
    pub fn place(&self) -> String {
        place(&self.token)
    }

    /// The configuration file, for messages.
    pub fn config_file(&self) -> String {
        self.config.path.as_deref().unwrap_or(Path::new(config::DEFAULT_PATH)).display().to_string()
    }

    /// Whether the chip with this serial number is simulated.
    pub fn is_simulated(&mut self, serial: &SerialNumber) -> bool {
        self.chip.transport_mut().is_simulated(serial)
    }

    /// Locks the bus until the guard is dropped.
    ///
    /// # Errors
    /// [`Error::Lock`] if it is in use for longer than the timeout, or can't be locked.
    pub fn lock(&mut self) -> Result<LockGuard> {
        let place = self.place();
        let mut tell = |holder: &str| progress(&format!("waiting for {place}: in use by {holder}"));
        let deadline = Deadline::after(self.config.lock_timeout);
        let taken = self.chip.transport_mut().lock_with_notice(deadline, (SILENCE, &mut tell));
        taken.map_err(|cause| Error::Lock { place, cause })
    }

    /// Runs one conversation; the caller holds the bus lock.
    ///
    /// # Errors
    /// [`Error::Chip`] if the chip or the bus fails.
    pub fn converse<T>(&mut self, work: impl FnMut(&mut Awake<'_, Bus>) -> chip::Result<T>) -> Result<T> {
        let place = self.place();
        self.chip.converse(work).map_err(|cause| Error::Chip { place, cause })
    }

    /// Reads the configuration zone, and applies its execution times; locks the bus.
    ///
    /// # Errors
    /// [`Error::Lock`] if the bus can't be locked; [`Error::Chip`] if the chip or the bus fails.
    pub fn read_config(&mut self) -> Result<ConfigZone> {
        let guard = self.lock()?;
        let zone = self.read_config_locked();
        drop(guard);
        zone
    }

    /// The same for a caller that holds the bus lock.
    ///
    /// # Errors
    /// [`Error::Chip`] if the chip or the bus fails.
    pub fn read_config_locked(&mut self) -> Result<ConfigZone> {
        let zone = self.converse(|awake| awake.read_config())?;
        self.chip.apply_timing(&zone);
        if self.identified.is_none() {
            // The rest of the command must use the same chip.
            self.chip.expect(Some(zone.serial_number()));
            self.identified = Some(self.converse(|awake| awake.identify(&zone))?);
        }
        Ok(zone)
    }

    /// Returns the chip's model; another one than ATECC608 before its configuration was read.
    pub fn model(&self) -> Model {
        self.identified.map_or(Model::Other([0; 4]), |identified| identified.model)
    }

    /// Returns the status with which the chip refused to tell its model, which is then a guess.
    pub fn model_refused(&self) -> Option<Status> {
        self.identified.and_then(|identified| identified.refused)
    }

    /// Refuses another model than an ATECC608.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is another one.
    pub fn ensure_608(&self) -> Result<()> {
        if self.model().is_608() {
            return Ok(());
        }
        let model = words::a_model(self.model());
        Err(Error::Refused(format!("{}: this is {model}, not an ATECC608", self.place())))
    }

    /// The same, before a change.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is another one.
    pub fn ensure_608_to_change(&self, zone: &ConfigZone) -> Result<()> {
        if self.model().is_608() {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "{}: the chip {} is {}, not an ATECC608: nothing was changed",
            self.place(),
            zone.serial_number(),
            words::a_model(self.model())
        )))
    }

    /// Returns the file of the chip's IO protection key.
    pub fn key_file(&mut self, serial: &SerialNumber) -> KeyFile {
        let simulated = self.is_simulated(serial);
        KeyFile::of(&self.config, &self.token, simulated, serial)
    }
}

fn place(token: &TokenConfig) -> String {
    token.place()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_a_missing_configuration_names_init() {
        let error = ensure_tokens(&Config::empty()).unwrap_err().to_string();
        assert!(error.starts_with("no configuration: `sudo atecc608 init` finds the chip and writes /etc/"), "{error}");
    }
}
