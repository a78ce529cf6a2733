// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 key`: private keys in the chip. They are generated there, or imported from a file into a slot that allows
//! it, and never leave.

mod empty;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use base16ct::lower::encode_string as hex;
use clap::{Args, Subcommand};
use p256::SecretKey;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::chip::latch::LatchState;
use crate::chip::stage::Stage;
use crate::chip_keys::{uri, BetweenLocks, ChipKey, ChipKeys, KeyArguments, LoginArguments, NewKeyNames};
use crate::error::{Error, Result};
use crate::files::OutputArguments;
use crate::input::secret;
use crate::input::values::{parse_id, parse_slot, Id};
use crate::output::{note, shell, visible, Output};
use crate::target::Selection;
use crate::x509::key_file::{Passphrase, PrivateKey};
use crate::x509::pem;
use crate::x509::signer::Signer;
use atecc608::presence::Held;
use atecc608_token::between_locks::Made;
use atecc608_token::inventory::{KeyReport, Question};
use atecc608_token::profile;
use atecc608_wire::Slot;

/// What is to be done with keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Generate a key pair in the chip
    Generate(Generate),
    /// Write a private key from a file into a slot that permits it; the file is not deleted
    Import(Import),
    /// Print a key's public key, read from the chip
    Public(Public),
    /// List the slots for private keys and what is in them
    List(List),
    /// Overwrite a private key in the chip, permanently
    Destroy(Destroy),
    /// Mark a slot for secret keys as empty if the state does not know its contents
    Empty(empty::Arguments),
}

/// The names of a new key.
#[derive(Clone, Debug, Args)]
pub struct Names {
    /// The new key's label; the slot's name if omitted
    #[arg(long)]
    label: Option<String>,
    /// The new key's id in hex; SHA-1 of its public key if omitted
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    id: Option<Id>,
    /// The slot where it goes, 0 to 15; the slot of that label, else the first free one if omitted
    #[arg(long, value_name = "N", value_parser = parse_slot)]
    slot: Option<Slot>,
}

impl Names {
    fn get(&self) -> Result<NewKeyNames> {
        if self.label.as_ref().is_some_and(|label| label.is_empty() || label.chars().any(char::is_control)) {
            return Err(Error::Refused(
                "--label: an empty label, or one with control characters, names nothing".to_owned(),
            ));
        }
        Ok(NewKeyNames { label: self.label.clone(), id: self.id.clone(), slot: self.slot })
    }
}

/// What a new key may overwrite.
#[derive(Clone, Debug, Args)]
pub struct Over {
    /// Before the data zone is locked: overwrite the key that the slot holds, permanently
    #[arg(long)]
    replace: bool,
}

impl Over {
    /// Refuses the option on a chip whose keys have their own destroy command.
    fn only_between_locks(&self, keys: &ChipKeys) -> Result<()> {
        if !self.replace {
            return Ok(());
        }
        let zone = keys.zone()?;
        let remedy = match zone.data_locked() {
            true => "`atecc608 key destroy` frees a slot".to_owned(),
            false => {
                format!("this chip is {} and has no key yet: `{}`", Stage::of(&zone), profile::next_command(&zone))
            }
        };
        Err(Error::Refused(format!(
            "{}: --replace works only between the configuration's lock and the data zone's: {remedy}",
            keys.place()
        )))
    }
}

/// Arguments of `key generate`.
#[derive(Debug, Args)]
pub struct Generate {
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    over: Over,
    #[command(flatten)]
    login: LoginArguments,
}

/// Arguments of `key import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The private key: SEC1, PKCS#8 or encrypted PKCS#8, in PEM or DER (- is standard input)
    file: PathBuf,
    /// An encrypted file's passphrase is the first line of this file (- is standard input) instead of asked for
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    over: Over,
    #[command(flatten)]
    login: LoginArguments,
}

/// Arguments of `key public`.
#[derive(Debug, Args)]
pub struct Public {
    #[command(flatten)]
    key: KeyArguments,
    /// DER instead of PEM
    #[arg(long, conflicts_with = "json")]
    der: bool,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    login: LoginArguments,
}

/// Arguments of `key list`.
#[derive(Debug, Args)]
pub struct List {
    /// On a chip with a PIN: log in with the first line of this file, and see more
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
}

/// Arguments of `key destroy`.
#[derive(Debug, Args)]
pub struct Destroy {
    #[command(flatten)]
    key: KeyArguments,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    login: LoginArguments,
}

/// A key in JSON.
#[derive(Serialize)]
struct Key {
    slot: u8,
    label: String,
    id: String,
    born_in_chip: bool,
    public_key: String,
    uri: String,
}

impl Key {
    fn of(key: &ChipKey) -> Result<Self> {
        Ok(Self {
            slot: key.slot.number(),
            label: key.label.clone(),
            id: hex(&key.id),
            born_in_chip: key.born_here,
            public_key: pem::public_key(&key.point),
            uri: key.uri()?,
        })
    }

    fn made_text(&self, how: &str) -> String {
        format!(
            "The key \"{label}\" is {how} slot {slot}.\n  id   {id}\n  URI  {uri}\n",
            label = visible(&self.label),
            slot = self.slot,
            id = self.id,
            uri = self.uri,
        )
    }
}

/// Runs the command.
///
/// # Errors
/// [`Error::Refused`] if the chip's rules forbid it, or a file can't be read or written; the [chip
/// errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, command: &Command) -> Result<Output> {
    match command {
        Command::Generate(arguments) => generate(selection, arguments),
        Command::Import(arguments) => import(selection, arguments),
        Command::Public(arguments) => public(selection, arguments),
        Command::List(arguments) => list(selection, arguments),
        Command::Destroy(arguments) => destroy(selection, arguments),
        Command::Empty(arguments) => empty::run(selection, arguments),
    }
}

fn generate(selection: &Selection, arguments: &Generate) -> Result<Output> {
    let names = arguments.names.get()?;
    let keys = ChipKeys::open_between_locks(selection)?;
    if let Some(chip) = keys.between_locks()? {
        let (key, made) = chip.generate(&names, arguments.over.replace)?;
        if made == Made::Before {
            note("an earlier `key generate` was interrupted and took effect: this is its key");
        }
        return made_between_locks("generated in", &key, &chip);
    }
    arguments.over.only_between_locks(&keys)?;
    keys.login(&arguments.login)?;
    let key = keys.generate(&names)?;
    made("generated in", &key)
}

fn import(selection: &Selection, arguments: &Import) -> Result<Output> {
    let names = arguments.names.get()?;
    secret::one_from_stdin(&[
        ("the key", Some(&arguments.file)),
        ("--passphrase-file", arguments.passphrase_file.as_deref()),
        ("--pin-file", arguments.login.pin_file.as_deref()),
    ])?;
    let private = PrivateKey::read(&arguments.file, &Passphrase::of(arguments.passphrase_file.as_deref()))?;
    let scalar = scalar(&arguments.file.display().to_string(), &private)?;
    let keys = ChipKeys::open_between_locks(selection)?;
    if let Some(chip) = keys.between_locks()? {
        let key = chip.import(&scalar, &names, arguments.over.replace)?;
        imported(&keys, &key, &private, &arguments.file)?;
        note("it crossed the bus in clear, as every import before the data lock does");
        return made_between_locks("written into", &key, &chip);
    }
    arguments.over.only_between_locks(&keys)?;
    keys.login(&arguments.login)?;
    let key = keys.import(&scalar, &names)?;
    imported(&keys, &key, &private, &arguments.file)?;
    made("written into", &key)
}

/// Checks that the chip holds the key of the file, and mentions the copy that is left outside.
fn imported(keys: &ChipKeys, key: &ChipKey, private: &PrivateKey, file: &Path) -> Result<()> {
    if key.public_key_info() != private.public_key_info() {
        return Err(Error::Refused(format!(
            "{}: the chip holds another key than the one that was written",
            keys.place()
        )));
    }
    if file != Path::new("-") {
        note(&format!(
            "{} still holds the key: anybody who reads it can use the key without the chip; delete it (`shred -u`) if \
             it is no longer needed",
            file.display()
        ));
    }
    Ok(())
}

/// Returns the scalar of a private key on P-256.
fn scalar(name: &str, private: &PrivateKey) -> Result<Zeroizing<[u8; 32]>> {
    match private {
        PrivateKey::P256(key) => Ok(of_secret(key)),
        other => Err(Error::Refused(format!(
            "{name}: this is a key of {}, and the chip holds keys on P-256 (prime256v1) only: `openssl ecparam -name \
             prime256v1 -genkey -noout` generates one, or use `atecc608 key generate` for a key that is never outside \
             the chip",
            other.kind()
        ))),
    }
}

fn of_secret(key: &SecretKey) -> Zeroizing<[u8; 32]> {
    let bytes = Zeroizing::new(key.to_bytes());
    let mut scalar = Zeroizing::new([0; 32]);
    scalar.copy_from_slice(&bytes);
    scalar
}

fn made(how: &str, key: &ChipKey) -> Result<Output> {
    let key = Key::of(key)?;
    let next =
        shell::line("atecc608", &["csr", "--key", &key.label, "--subject", "/CN=NAME", "--output", "device.csr"]);
    Output::new(format!("{}Next: {next}\n", key.made_text(how)), &key)
}

/// The same before the data lock, with the next step.
fn made_between_locks(how: &str, key: &ChipKey, chip: &BetweenLocks<'_>) -> Result<Output> {
    let next = match chip.missing()?.first() {
        Some(slot) => format!("atecc608 key generate --slot {slot}"),
        None => "atecc608 lock data".to_owned(),
    };
    let key = Key::of(key)?;
    let text = format!("{}The slot's rules apply from the data lock on. Next: {next}\n", key.made_text(how));
    Output::new(text, &key)
}

fn public(selection: &Selection, arguments: &Public) -> Result<Output> {
    arguments.output.check()?;
    let keys = ChipKeys::open_between_locks(selection)?;
    keys.login(&arguments.login)?;
    let key = keys.key_named(&arguments.key)?;
    let contents = if arguments.der { key.public_key_info() } else { pem::public_key(&key.point).into_bytes() };
    let text = if arguments.output.write(&contents)? { Vec::new() } else { contents };
    Output::new(text, &Key::of(&key)?)
}

#[derive(Serialize)]
struct KeySlots {
    token: String,
    slots: Vec<KeySlot>,
}

/// The contents of a slot for private keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Holds {
    Key,
    Empty,
    /// Before a login, or if the chip refuses to tell.
    Unknown,
}

/// A query about a slot that the chip refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Refused {
    #[serde(rename = "presence")]
    Presence,
    #[serde(rename = "public key")]
    PublicKey,
}

impl Refused {
    fn text(self) -> &'static str {
        match self {
            Self::Presence => "the chip refuses to report whether it holds a key: it is not free",
            Self::PublicKey => "the chip refuses to return the public key",
        }
    }
}

#[derive(Serialize)]
struct KeySlot {
    slot: u8,
    name: String,
    holds: Holds,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    sign: bool,
    derive: bool,
    generate: bool,
    import: bool,
    locked: bool,
    #[serde(skip)]
    wants_login: bool,
    /// For a slot behind the persistent latch.
    #[serde(skip_serializing_if = "Option::is_none")]
    latch: Option<LatchState>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<Refused>,
}

impl KeySlot {
    fn of(report: &KeyReport, token: &str, between_locks: bool) -> Self {
        let holds = match report.held {
            Some(Held::Key) => Holds::Key,
            Some(Held::Nothing) => Holds::Empty,
            Some(Held::Unknown) | None => Holds::Unknown,
        };
        let is_there = report.held != Some(Held::Nothing);
        let may_be_free = !report.refused.contains(&Question::Presence) && report.held != Some(Held::Unknown);
        let refused = report.refused.iter().map(|question| match question {
            Question::Presence => Refused::Presence,
            Question::PublicKey => Refused::PublicKey,
        });
        Self {
            slot: report.key.slot.number(),
            name: report.key.default_label.clone(),
            holds,
            label: is_there.then(|| report.label.clone()),
            id: report.id.as_deref().map(hex),
            public_key: report.point.as_ref().map(pem::public_key),
            uri: (holds == Holds::Key).then(|| uri::private_key(token, &report.label)),
            sign: report.key.sign,
            derive: report.key.derive,
            generate: report.key.generate && may_be_free,
            import: (report.key.import || between_locks) && !report.locked && may_be_free,
            locked: report.locked,
            wants_login: report.wants_login,
            latch: report.latch.map(LatchState::from),
            refused: refused.collect(),
        }
    }

    fn text(&self) -> String {
        let mut can = Vec::new();
        for (is, word) in [
            (self.sign, "signs"),
            (self.derive, "ECDH"),
            (self.generate, "can generate"),
            (self.import, "can import"),
            (self.locked, "permanently locked"),
        ] {
            can.extend(is.then_some(word));
        }
        can.extend(self.latch.map(LatchState::of_key));
        can.extend(self.refused.iter().map(|refused| refused.text()));
        let held = match (self.holds, &self.label) {
            (Holds::Key, Some(label)) => format!("\"{}\"", visible(label)),
            (Holds::Unknown, _) if self.wants_login => "(seen after a login)".to_owned(),
            (Holds::Unknown, _) => format!("unknown ({})", self.name),
            (Holds::Key, None) | (Holds::Empty, _) => format!("empty ({})", self.name),
        };
        let id = self.id.as_ref().map(|id| format!("         id {id}\n")).unwrap_or_default();
        let uri = self.uri.as_ref().map(|uri| format!("         {uri}\n")).unwrap_or_default();
        format!("slot {:>2}  {held:<24}  {}\n{id}{uri}", self.slot, can.join(", "))
    }
}

fn list(selection: &Selection, arguments: &List) -> Result<Output> {
    let keys = ChipKeys::open_between_locks(selection)?;
    if arguments.pin_file.is_some() {
        keys.login(&LoginArguments { pin_file: arguments.pin_file.clone() })?;
    }
    let between_locks = keys.between_locks()?.is_some();
    let token = keys.label()?;
    let slots: Vec<KeySlot> = keys.list()?.iter().map(|key| KeySlot::of(key, &token, between_locks)).collect();
    let text = match slots.is_empty() {
        true => "This chip's configuration has no slot for a private key that can be used from outside.\n".to_owned(),
        false => slots.iter().map(KeySlot::text).collect(),
    };
    Output::new(text, &KeySlots { token, slots })
}

#[derive(Serialize)]
struct Destroyed {
    slot: u8,
    label: String,
    id: String,
    result: &'static str,
}

fn destroy(selection: &Selection, arguments: &Destroy) -> Result<Output> {
    let Some(name) = arguments.key.name() else {
        return Err(Error::Refused("no key is named: use --key LABEL or --slot N".to_owned()));
    };
    let keys = ChipKeys::open_between_locks(selection)?;
    if keys.between_locks()?.is_some() {
        return Err(Error::Refused(format!(
            "{}: before the data zone is locked a key is not destroyed, but replaced: `atecc608 key generate --slot N --replace`",
            keys.place()
        )));
    }
    keys.login(&arguments.login)?;
    let key = keys.key(&name)?;
    if !arguments.yes {
        confirm(&format!("this would destroy the private key \"{}\" in slot {} permanently", key.label, key.slot))?;
    }
    keys.destroy(&key)?;
    let left = keys.certificates()?.iter().filter(|certificate| certificate.id == key.id).count();
    let rest = match left {
        0 => String::new(),
        left => format!("{left} certificate(s) for it are still there: `atecc608 cert remove --id {}`\n", hex(&key.id)),
    };
    let text = format!(
        "The key \"{}\" is destroyed: slot {} holds a random key instead, and is free.\n{rest}",
        visible(&key.label),
        key.slot
    );
    let json = Destroyed { slot: key.slot.number(), label: key.label.clone(), id: hex(&key.id), result: "destroyed" };
    Output::new(text, &json)
}

/// Asks for confirmation.
///
/// # Errors
/// [`Error::Refused`] if the user declines, or there is no terminal.
fn confirm(what: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::Refused(format!("{what}: nothing was done. Confirm it with --yes")));
    }
    let _ = write!(std::io::stderr(), "atecc608: {}. Type yes to continue: ", visible(what));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(Error::Refused("nothing was done".to_owned())),
    }
}
