// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 aws check`: checks the files of a thing, at any time after its setup. It uses the chip, but no network.

use std::path::{Path, PathBuf};

use clap::Args;
use cryptoki_sys::CKF_LOGIN_REQUIRED;
use serde::Serialize;

use super::clients::Clients;
use super::device_client::{Connection, Told};
use super::look::Look;
use super::messages::{says, NO_KEY, NO_TOKEN};
use super::module_copy;
use super::PARENT;
use crate::chip_keys::{ChipKeys, LoginArguments};
use crate::cloud::checks::Expected;
use crate::cloud::folder::Folder;
use crate::cloud::identity;
use crate::error::{Error, Result};
use crate::host::module;
use crate::output::check::{self, Check, Checks, Remedies, Verdict};
use crate::output::Output;
use crate::target::Selection;
use atecc608::presence::Held;
use atecc608_token::inventory::KeyReport;

/// Arguments of `aws check`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The thing; the default is the only one that was set up in /etc/atecc608-pkcs11/aws
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    thing: Option<String>,
    /// The thing's folder, as given to `aws setup --dir`
    #[arg(long, value_name = "FOLDER", conflicts_with = "thing")]
    dir: Option<PathBuf>,
    /// The installed module; the default is where it usually is
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// On a chip with a PIN: log in with the PIN in the first line of this file (- is standard input). Without it no PIN is tried
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
}

/// The output of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    thing: &'a str,
    key: &'a str,
    token: &'a str,
    endpoint: &'a str,
    folder: String,
    checks: &'a [Check],
}

/// Runs the checks.
///
/// # Errors
/// [`Error::Refused`] if there is no such thing or no module; the [chip errors](crate::Error#chip-errors). Problems of
/// the files are part of the result.
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let folder = Folder::existing(&arguments.folder()?)?;
    let told = Told::read(&folder)?;
    let module = module::installed(arguments.module.as_deref())?;
    let keys = ChipKeys::open(selection)?;
    if arguments.pin_file.is_some() {
        keys.login(&LoginArguments { pin_file: arguments.pin_file.clone() })?;
    }
    let info = keys.token().info().map_err(|error| Error::Token(format!("{}: {error}", keys.place())))?;
    let reports = keys.list()?;
    let key = reports.iter().find(|key| key.label == told.key && key.held != Some(Held::Nothing));
    let config = identity::unusual_config(selection)?;

    let clients = Clients {
        connection: Connection {
            thing: &told.thing,
            endpoint: &told.endpoint,
            key: &told.key,
            token: &told.token,
            slot: keys.token().slot_id(),
            has_pin: info.flags & CKF_LOGIN_REQUIRED != 0,
            pin: "",
            features: &[],
        },
        core: None,
        lite: false,
        config: config.as_deref(),
    };
    let mut checks = Checks::default();
    checks.push(token(&told, &info.label));
    checks.push(private_key(&told, &reports));
    let look = Look {
        folder: &folder,
        clients: &clients,
        expected: Expected { certificate: None, label: &told.key, point: key.and_then(|key| key.point.as_ref()) },
        serial_number: &info.serial_number,
        module: &module,
    };
    look.run(&mut checks);
    let answer = Answer {
        thing: &told.thing,
        key: &told.key,
        token: &told.token,
        endpoint: &told.endpoint,
        folder: folder.path().display().to_string(),
        checks: checks.as_slice(),
    };
    let text = check::text(checks.as_slice(), Remedies::All);
    Output::new(text, &answer).map(|output| output.negative_if(checks.first_failed().is_some()))
}

impl Arguments {
    fn folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.dir {
            return Ok(folder.clone());
        }
        if let Some(thing) = &self.thing {
            super::arn::check_thing_name(thing)?;
            return of_thing(Path::new(PARENT), thing);
        }
        let mut folders = module_copy::folders(Path::new(PARENT))?;
        match folders.len() {
            1 => Ok(folders.remove(0)),
            0 => Err(Error::Refused(format!(
                "no thing was set up in {PARENT}: run `atecc608 aws setup`, or use --dir FOLDER"
            ))),
            _ => Err(Error::Refused(format!("several things were set up in {PARENT}: choose one with --thing NAME"))),
        }
    }
}

/// Returns the folder of a thing: named after the thing, or after a claim after the chip.
fn of_thing(parent: &Path, thing: &str) -> Result<PathBuf> {
    let named = parent.join(thing);
    if named.exists() {
        return Ok(named);
    }
    let mut folders = module_copy::folders(parent)?;
    folders.retain(|folder| {
        Folder::existing(folder).and_then(|folder| Told::read(&folder)).is_ok_and(|told| told.thing == thing)
    });
    match folders.len() {
        0 => Ok(named),
        1 => Ok(folders.remove(0)),
        _ => Err(Error::Refused(format!(
            "several folders in {} are of the thing {thing}: choose one with --dir FOLDER",
            parent.display()
        ))),
    }
}

/// Checks that the token in the clients' configuration is the chip's.
fn token(told: &Told, label: &str) -> Check {
    const WHAT: &str = "token";
    if told.token == label {
        return Check::new(WHAT, Verdict::Ok, format!("\"{label}\""));
    }
    let found = format!("the clients look for the token \"{}\", and the chip's is \"{label}\"", told.token);
    let check = Check::new(WHAT, Verdict::Failed, found)
        .with_remedy("run the set-up again with --replace, or give the token its label back (`label` in config.toml)");
    says(check, &format!("AWS_ERROR_PKCS11_TOKEN_NOT_FOUND, {NO_TOKEN}"))
}

/// Checks that the chip has the key in the clients' configuration exactly once.
fn private_key(told: &Told, reports: &[KeyReport]) -> Check {
    const WHAT: &str = "key";
    let present: Vec<&KeyReport> = reports.iter().filter(|key| key.held != Some(Held::Nothing)).collect();
    let named = present.iter().filter(|key| key.label == told.key);
    let check = match named.count() {
        1 => return Check::new(WHAT, Verdict::Ok, format!("\"{}\" is in the chip", told.key)),
        0 => {
            let labels: Vec<String> = present.iter().map(|key| format!("\"{}\"", key.label)).collect();
            let others = if labels.is_empty() { "no key".to_owned() } else { labels.join(", ") };
            let found = format!("the clients look for the key \"{}\", and the chip has {others}", told.key);
            Check::new(WHAT, Verdict::Failed, found).with_remedy("run the set-up again with --key LABEL --replace")
        }
        several => Check::new(WHAT, Verdict::Failed, format!("{several} keys have the label \"{}\"", told.key))
            .with_remedy("give one of them another label: pkcs11-tool --set-label, or p11tool --set-label"),
    };
    says(check, &format!("AWS_ERROR_PKCS11_KEY_NOT_FOUND, {NO_KEY}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::module::MODULE;
    use std::fs;

    #[test]
    fn the_folder_of_a_claim_is_found_by_the_name_of_its_thing() {
        let parent = tempfile::tempdir().unwrap();
        let folder = |name: &str, thing: &str| {
            let path = parent.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join(MODULE), "").unwrap();
            let secure_element = r#"{"secure-element-key-label":"k","secure-element-token-label":"t"}"#;
            let text = format!(r#"{{"thing-name":"{thing}","endpoint":"e","secure-element":{secure_element}}}"#);
            fs::write(path.join("device-client.json"), text).unwrap();
            path
        };
        let claimed = folder("0123", "gateway-1");
        let named = folder("gateway-2", "gateway-2");
        assert_eq!(of_thing(parent.path(), "gateway-1").unwrap(), claimed);
        assert_eq!(of_thing(parent.path(), "gateway-2").unwrap(), named);
        folder("4567", "gateway-1");
        let error = of_thing(parent.path(), "gateway-1").unwrap_err().to_string();
        assert!(error.contains("choose one with --dir FOLDER"), "{error}");
    }
}
