// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration file: TOML in, [`Config`] out. Every error names file, line, key and what was expected.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cryptoki_sys::CK_SLOT_ID;
use toml::de::DeValue;

use crate::document::{FromToml, Placed, Problem, Table};
use crate::logging::LogSettings;
use atecc608_wire::Slot;

/// Environment variable that names the configuration file.
pub const CONF_VARIABLE: &str = "ATECC608_PKCS11_CONF";
/// Environment variable with the log's level and file.
pub const LOG_VARIABLE: &str = "ATECC608_LOG";
/// The default path of the configuration.
pub const DEFAULT_PATH: &str = "/etc/atecc608-pkcs11/config.toml";
/// The default folder of labels, ids and certificates.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/atecc608-pkcs11";
/// The folder of IO protection keys, one file per serial number.
pub const IO_KEY_DIR: &str = "/etc/atecc608-pkcs11/keys";
/// The address of a blank chip, 7 bits.
pub const DEFAULT_ADDRESS: u8 = 0x60;
/// Largest configuration file, in bytes.
pub const MAX_FILE: usize = 1 << 20;
/// Maximum number of buses of one token.
pub const MOST_BUSES: usize = 8;
/// The default time limit for the bus lock: AWS clients give up at 10 s.
pub const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(8);

/// A valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its file; `None` if there is no configuration.
    pub path: Option<PathBuf>,
    /// Folder of the state, with one folder per chip serial number.
    pub state_dir: PathBuf,
    /// Level and destination of the log.
    pub log: LogSettings,
    /// The time limit for the bus lock.
    pub lock_timeout: Duration,
    /// The tokens, in the order of the file.
    pub tokens: Vec<TokenConfig>,
}

/// One `[[token]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// The chip's bus.
    pub bus: BusLocation,
    /// Alternative buses, in the order in which the chip is looked for: one configuration for several boards.
    pub other_buses: Vec<BusLocation>,
    /// Its 7-bit address.
    pub address: u8,
    /// The token's label, if the configuration gives one.
    pub label: Option<String>,
    /// Its PKCS#11 slot id.
    pub slot: CK_SLOT_ID,
    /// The path of the IO protection key on the host; by default in [`IO_KEY_DIR`], named by the serial number.
    pub io_key_file: Option<PathBuf>,
    /// Whether results that can cross the bus encrypted with the IO protection key must not cross it in clear.
    pub io_protection_required: bool,
    /// Whether clients' certificates are stored in the chip (slot 8) if they fit, rather than in the state folder.
    pub certificates_in_chip: bool,
    /// Whether key pairs of a session, in the process's memory, can be generated.
    pub session_keys: bool,
    /// Certificates that are rebuilt from data in the chip.
    pub certificates: Vec<CertificateConfig>,
    /// Names of slots' objects, and the contents of slots that the chip can't identify.
    pub objects: Vec<ObjectConfig>,
}

/// One `[[token.certificate]]`: a compressed certificate of the user's own kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateConfig {
    /// CKA_LABEL, by which others name it as their issuer.
    pub label: String,
    /// The template file.
    pub template: PathBuf,
    /// The issuer, whose key verifies it: a certificate file, or the label of an earlier certificate.
    pub issuer: String,
}

/// One `[[token.object]]`: another name for a slot's object, or an object that only the configuration describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectConfig {
    /// The chip's slot.
    pub slot: Slot,
    /// Its type.
    pub kind: ObjectKind,
    /// CKA_LABEL.
    pub label: Option<String>,
    /// CKA_ID.
    pub id: Option<Vec<u8>>,
}

/// The type of an `[[token.object]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// The key pair of a private key in the slot.
    Private,
    /// Another party's public key, in the slot.
    Public,
    /// A certificate in DER, in slot 8 only.
    Certificate,
    /// A secret key, in the slot.
    Secret,
}

/// The bus of a chip.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BusLocation {
    /// An I2C adapter's node, `/dev/i2c-N`.
    Linux(PathBuf),
    /// `sim:FILE`: a simulated chip in this process, its EEPROM in a file.
    Sim(PathBuf),
    /// `unix:SOCKET`: a simulated bus served by `atecc608-sim`.
    Unix(PathBuf),
}

impl fmt::Display for BusLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linux(path) => path.display().fmt(f),
            Self::Sim(path) => write!(f, "sim:{}", path.display()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a configuration is invalid. Prints as `FILE:LINE: problem, and the expected value`.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{}: {cause} (named by {source_of_path})", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        cause: std::io::Error,
        /// The environment variable, or "the default".
        source_of_path: &'static str,
    },
    /// The file is invalid.
    #[error("{}:{line}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The key, the problem and the expected value.
        problem: String,
    },
    /// The log variable is invalid.
    #[error("{LOG_VARIABLE}: {0}")]
    LogVariable(String),
}

impl Config {
    /// Returns the folder of the configuration file, absolute.
    pub fn folder(&self) -> PathBuf {
        let path = self.path.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        path.parent().map(Path::to_owned).unwrap_or_default()
    }

    /// Loads the configuration that the environment names, else the default file.
    ///
    /// `trust_environment` is false in a privileged process ([`crate::process::is_privileged`]), where the variables
    /// are ignored. Without any file the result has no tokens.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`] if the file can't be read; [`ConfigError::Invalid`] with the line of the first
    /// problem; [`ConfigError::LogVariable`] if the log variable is invalid.
    pub fn load(trust_environment: bool) -> Result<Self, ConfigError> {
        let variable =
            |name| trust_environment.then(|| std::env::var_os(name)).flatten().filter(|value| !value.is_empty());
        let log = variable(LOG_VARIABLE).map(log_from_variable).transpose()?;
        let (path, source_of_path) = match variable(CONF_VARIABLE) {
            Some(path) => (PathBuf::from(path), CONF_VARIABLE),
            None => (PathBuf::from(DEFAULT_PATH), "the default"),
        };
        let mut config = match atecc608_files::read_text(&path, MAX_FILE) {
            Ok(text) => Self::parse(&path, &text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && source_of_path == "the default" => {
                Self::empty()
            }
            Err(cause) => return Err(ConfigError::Unreadable { path, cause, source_of_path }),
        };
        if let Some(log) = log {
            config.log = log;
        }
        Ok(config)
    }

    /// Returns the configuration of a machine without one: no tokens.
    pub fn empty() -> Self {
        Self {
            path: None,
            state_dir: DEFAULT_STATE_DIR.into(),
            log: LogSettings::default(),
            lock_timeout: DEFAULT_LOCK_TIMEOUT,
            tokens: Vec::new(),
        }
    }

    /// Parses the text of the file `path`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with the line of the first problem.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        Table::parse(text).and_then(|document| Self::read(path, document)).map_err(|problem| ConfigError::Invalid {
            path: path.to_owned(),
            line: problem.line(text),
            problem: problem.to_string(),
        })
    }

    fn read(path: &Path, mut document: Table<'_>) -> Result<Self, Problem> {
        let log = match document.optional::<String>("log")? {
            Some(log) => log.check(|log| LogSettings::parse(&log).map_err(|error| format!("log: {error}")))?,
            None => LogSettings::default(),
        };
        let lock_timeout = match document.optional::<Duration>("lock_timeout")? {
            Some(timeout) => timeout.check(|timeout| {
                Some(timeout)
                    .filter(|timeout| *timeout <= Duration::from_secs(600))
                    .ok_or("lock_timeout: expected seconds, 0 to 600")
            })?,
            None => DEFAULT_LOCK_TIMEOUT,
        };
        let state_dir = document.optional("state_dir")?.map(|dir| absolute("state_dir", dir)).transpose()?;
        let mut tokens: Vec<TokenConfig> = Vec::new();
        for (index, table) in document.tables("token")?.into_iter().enumerate() {
            let span = table.span();
            let token = TokenConfig::read(table, index)?;
            if let Some(problem) = tokens.iter().find_map(|other| other.clash(&token)) {
                return Err(Problem::new(span, problem));
            }
            tokens.push(token);
        }
        document.finish()?;
        let state_dir = state_dir.unwrap_or_else(|| DEFAULT_STATE_DIR.into());
        Ok(Self { path: Some(path.to_owned()), state_dir, log, lock_timeout, tokens })
    }
}

fn log_from_variable(value: OsString) -> Result<LogSettings, ConfigError> {
    let text = value.into_string().map_err(|_| ConfigError::LogVariable("not UTF-8".into()))?;
    LogSettings::parse(&text).map_err(ConfigError::LogVariable)
}

impl TokenConfig {
    fn read(mut table: Table<'_>, index: usize) -> Result<Self, Problem> {
        let (bus, other_buses) = table.required::<BusNames>("bus")?.check(|BusNames(names)| {
            let buses: Result<Vec<BusLocation>, String> = names.iter().map(|name| BusLocation::parse(name)).collect();
            let mut buses = buses.map_err(|problem| format!("bus: {problem}"))?;
            match buses.len() {
                1..=MOST_BUSES => Ok((buses.remove(0), buses)),
                len => Err(format!("bus: expected 1 to {MOST_BUSES} buses, found {len}")),
            }
        })?;
        let address = match table.optional::<i64>("address")? {
            Some(address) => address.check(seven_bit_address)?,
            None => DEFAULT_ADDRESS,
        };
        let label = table.optional("label")?.map(|label| checked_label(label, 32)).transpose()?;
        let slot = match table.optional::<i64>("slot")? {
            Some(slot) => {
                slot.check(|slot| u32::try_from(slot).map_err(|_| "slot: expected a PKCS#11 slot id, 0 to 4294967295"))?
            }
            None => index as u32,
        };
        let io_key_file = table.optional("io_key_file")?.map(|file| absolute("io_key_file", file)).transpose()?;
        let io_protection_required = match table.optional::<String>("io_protection")? {
            Some(word) => word.check(|word| {
                one_of(&word, "required", "preferred").ok_or("io_protection: expected \"required\" or \"preferred\"")
            })?,
            None => false,
        };
        let certificates_in_chip = match table.optional::<String>("certificates")? {
            Some(word) => {
                word.check(|word| one_of(&word, "chip", "state").ok_or("certificates: expected \"chip\" or \"state\""))?
            }
            None => false,
        };
        let session_keys = table.optional::<bool>("session_keys")?.is_none_or(|word| word.value);
        let mut certificates = Vec::new();
        for entry in table.tables("certificate")? {
            let entry = CertificateConfig::read(entry, &certificates)?;
            certificates.push(entry);
        }
        let objects = table.tables("object")?.into_iter().map(ObjectConfig::read).collect::<Result<_, _>>()?;
        table.finish()?;
        Ok(Self {
            bus,
            other_buses,
            address,
            label,
            slot: slot.into(),
            io_key_file,
            io_protection_required,
            certificates_in_chip,
            session_keys,
            certificates,
            objects,
        })
    }

    /// Returns what two tokens share although they must not, in words.
    fn clash(&self, other: &Self) -> Option<String> {
        if self.label.is_some() && self.label == other.label {
            let label = other.label.as_deref().unwrap_or_default();
            return Some(format!("label: \"{label}\" is another token's label already; labels must differ"));
        }
        if self.slot == other.slot {
            return Some(format!(
                "slot: {} is another token's slot already; give each token a `slot` of its own",
                self.slot
            ));
        }
        let shared = other.buses().find(|bus| self.buses().any(|own| own.is_same(bus)));
        let shared = shared.filter(|_| self.address == other.address)?;
        Some(format!("bus and address: {shared} at {:#04x} is another token already", self.address))
    }

    /// Returns the possible buses of the chip, in the order in which it is looked for.
    pub fn buses(&self) -> impl Iterator<Item = &BusLocation> {
        std::iter::once(&self.bus).chain(&self.other_buses)
    }

    /// Returns bus and address, as printed in messages.
    pub fn place(&self) -> String {
        let buses: Vec<String> = self.buses().map(BusLocation::to_string).collect();
        format!("{} at {:#04x}", buses.join(" or "), self.address)
    }
}

impl CertificateConfig {
    fn read(mut table: Table<'_>, before: &[Self]) -> Result<Self, Problem> {
        let label = table.required("label")?;
        let label = checked_label(label, 255)?;
        let template = absolute("certificate.template", table.required("template")?)?;
        let issuer = table.required::<String>("issuer")?;
        if !issuer.value.starts_with('/') && !before.iter().any(|other| other.label == issuer.value) {
            let expected = "certificate.issuer: expected the absolute path of a certificate in DER, or the label of a \
                            [[token.certificate]] before this one";
            return Err(Problem::new(issuer.span, expected));
        }
        table.finish()?;
        Ok(Self { label, template, issuer: issuer.value })
    }
}

impl ObjectConfig {
    fn read(mut table: Table<'_>) -> Result<Self, Problem> {
        let slot = slot(&mut table)?.value;
        let kind = match table.optional::<String>("type")? {
            Some(kind) => kind.check(|kind| match ObjectKind::parse(&kind)? {
                ObjectKind::Certificate if slot.number() != 8 => {
                    Err("object.slot: expected 8, which alone has room for a certificate (416 bytes)")
                }
                kind => Ok(kind),
            })?,
            None => ObjectKind::Private,
        };
        let label = table.optional("label")?.map(|label| checked_label(label, 255)).transpose()?;
        let id = table.optional::<String>("id")?.map(|id| {
            id.check(|id| {
                base16ct::mixed::decode_vec(id)
                    .ok()
                    .filter(|bytes| !bytes.is_empty())
                    .ok_or("object.id: expected hex digits, two for each byte")
            })
        });
        let id = id.transpose()?;
        table.finish()?;
        Ok(Self { slot, kind, label, id })
    }
}

impl ObjectKind {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "private" => Ok(Self::Private),
            "public" => Ok(Self::Public),
            "certificate" => Ok(Self::Certificate),
            "secret" => Ok(Self::Secret),
            _ => Err("object.type: expected \"private\", \"public\", \"secret\" or \"certificate\""),
        }
    }
}

/// The value of `bus`: one, or several.
struct BusNames(Vec<String>);

impl FromToml for BusNames {
    const EXPECTED: &'static str = "a string, or an array of strings";
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        match value {
            DeValue::Array(names) => {
                names.iter().map(|name| String::from_toml(name.get_ref())).collect::<Option<_>>().map(Self)
            }
            one => String::from_toml(one).map(|name| Self(vec![name])),
        }
    }
}

impl BusLocation {
    /// Whether both are the same bus: a node may have several names (links made by udev).
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Linux(one), Self::Linux(other)) => one == other || node_name(one) == node_name(other),
            _ => self == other,
        }
    }

    /// Parses the key `bus` of the configuration: `/dev/i2c-N`, `sim:FILE` or `unix:SOCKET`.
    ///
    /// # Errors
    /// The expected form, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let simulated = |path: &str| match path {
            "" => Err("expected a file's path after the colon".to_owned()),
            path if cfg!(feature = "sim") => Ok(PathBuf::from(path)),
            _ => Err(format!("\"{text}\" names a simulated chip, and this module was built without the feature `sim`")),
        };
        if let Some(path) = text.strip_prefix("sim:") {
            simulated(path).map(Self::Sim)
        } else if let Some(path) = text.strip_prefix("unix:") {
            simulated(path).map(Self::Unix)
        } else if text.starts_with('/') {
            Ok(Self::Linux(text.into()))
        } else {
            Err(format!("\"{text}\": expected \"/dev/i2c-N\", \"sim:FILE\" or \"unix:SOCKET\""))
        }
    }
}

/// The character devices of i2c-dev (Linux's Documentation/admin-guide/devices.txt).
const I2C_MAJOR: u32 = 89;

/// Returns `i2c-N`, the name of an adapter's node, by its device number, so that links work. For any other file returns
/// the name of the link's target.
pub fn node_name(node: &Path) -> String {
    let number = node.metadata().ok().filter(|found| found.file_type().is_char_device());
    if let Some(name) = number.and_then(|found| name_of_device(found.rdev())) {
        return name;
    }
    let file = std::fs::canonicalize(node).unwrap_or_else(|_| node.to_owned());
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn name_of_device(number: u64) -> Option<String> {
    (rustix::fs::major(number) == I2C_MAJOR).then(|| format!("i2c-{}", rustix::fs::minor(number)))
}

/// Returns `true` for the first word, `false` for the second.
fn one_of(word: &str, first: &str, second: &str) -> Option<bool> {
    (word == first || word == second).then_some(word == first)
}

fn seven_bit_address(address: i64) -> Result<u8, String> {
    match address {
        0x08..=0x77 => Ok(address as u8),
        0x80..=0xFE => Err(format!(
            "address: {address:#04x} is the 8-bit form (address and R/W bit); write its 7 bits, as i2cdetect prints \
             them: {:#04x}",
            address >> 1
        )),
        _ => Err(format!("address: {address:#x} is not a 7-bit I2C address, 0x08 to 0x77")),
    }
}

fn absolute(key: &str, path: Placed<String>) -> Result<PathBuf, Problem> {
    path.check(|path| {
        let path = PathBuf::from(path);
        if path.is_absolute() {
            Ok(path)
        } else {
            Err(format!("{key}: expected an absolute path"))
        }
    })
}

fn checked_label(label: Placed<String>, max: usize) -> Result<String, Problem> {
    label.check(|label| {
        if label.is_empty() || label.len() > max || label.chars().any(char::is_control) {
            Err(format!("label: expected 1 to {max} bytes of printable UTF-8"))
        } else {
            Ok(label)
        }
    })
}

/// Returns the slot of the chip that has this number.
///
/// # Errors
/// The expected value, in words.
pub fn slot_number(number: impl TryInto<u8>) -> Result<Slot, &'static str> {
    number.try_into().ok().and_then(Slot::new).ok_or("expected one of the chip's slots, 0 to 15")
}

/// Reads the key `slot` of a table: one of the chip's slots.
///
/// # Errors
/// A [`Problem`] if the key is missing, or its value is not a slot.
pub fn slot(table: &mut Table<'_>) -> Result<Placed<Slot>, Problem> {
    let key = table.path("slot");
    let number = table.required::<i64>("slot")?;
    let span = number.span.clone();
    let value = number.check(|number| slot_number(number).map_err(|expected| format!("{key}: {expected}")))?;
    Ok(Placed { value, span })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_named_by_its_device_number_and_never_by_a_link() {
        assert_eq!(name_of_device(rustix::fs::makedev(89, 7)).as_deref(), Some("i2c-7"));
        assert_eq!(name_of_device(rustix::fs::makedev(1, 3)), None);
        assert_eq!(node_name(Path::new("/dev/null")), "null");
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("i2c-5"), "").unwrap();
        std::os::unix::fs::symlink("i2c-5", dir.path().join("secure-element")).unwrap();
        assert_eq!(node_name(&dir.path().join("secure-element")), "i2c-5");
        let bus = |name: &str| BusLocation::Linux(dir.path().join(name));
        assert!(bus("secure-element").is_same(&bus("i2c-5")) && !bus("i2c-5").is_same(&bus("i2c-6")));
    }
}
