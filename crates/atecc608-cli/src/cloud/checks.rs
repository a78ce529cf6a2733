//! What every set-up checks when it is done, and its checks as JSON.

use der::DateTime;
use serde::Serialize;

use super::folder::Folder;
use super::identity::is_for;
use super::pem::certificates;
use crate::chip_keys::ChipKey;
use crate::output::check::{Check, Checks};
use crate::x509::certificate::Certificate;

/// A check with the names that it had before, which go with the next version.
#[derive(Serialize)]
pub struct Looked<'a> {
    #[serde(flatten)]
    check: &'a Check,
    what: &'a str,
    found: &'a str,
}

impl<'a> From<&'a Check> for Looked<'a> {
    fn from(check: &'a Check) -> Self {
        Self { check, what: &check.name, found: &check.detail }
    }
}

/// The checks as JSON has them.
pub fn json(checks: &Checks) -> Vec<Looked<'_>> {
    checks.as_slice().iter().map(Looked::from).collect()
}

/// Looks whether the folder's file has this certificate first, for this key, and valid today.
pub fn certificate_file(folder: &Folder, name: &str, certificate: &Certificate, key: &ChipKey, checks: &mut Checks) {
    const WHAT: &str = "certificate";
    let file = folder.file(name).display().to_string();
    let remedy = format!("move {file} away and run the set-up again");
    let contents = folder.read(name).map(Option::unwrap_or_default);
    let found = match contents.and_then(|contents| certificates(&file, &contents)) {
        Ok(found) => found,
        Err(error) => return checks.fail(WHAT, error.to_string(), remedy),
    };
    let Some(first) = found.first().filter(|first| first.der() == certificate.der()) else {
        return checks.fail(WHAT, format!("{file} is not the certificate that the cloud is to know"), remedy);
    };
    if !is_for(first, key) {
        return checks.fail(WHAT, format!("{file} is not for the key in the chip"), remedy);
    }
    let validity = first.validity();
    let now = DateTime::from_system_time(std::time::SystemTime::now()).unwrap_or(DateTime::INFINITY);
    let (begin, end) = (validity.not_before.to_date_time(), validity.not_after.to_date_time());
    if now < begin {
        let found = format!("{file} is valid from {begin} on, and this machine's clock shows {now}");
        return checks.fail(WHAT, found, "set the clock: timedatectl");
    }
    if now > end {
        return checks.fail(WHAT, format!("{file} was valid until {end}"), remedy);
    }
    checks.ok(WHAT, format!("for the key \"{}\" in the chip, valid until {end}", key.label));
}
