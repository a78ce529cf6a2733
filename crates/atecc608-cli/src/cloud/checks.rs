// SPDX-License-Identifier: MIT OR Apache-2.0
//! The final checks of every setup, and checks as JSON.

use std::time::SystemTime;

use der::DateTime;
use serde::Serialize;

use super::folder::Folder;
use super::pem::certificates;
use crate::output::check::{Check, Checks, Verdict};
use crate::x509::certificate::Certificate;
use atecc608_token::point::Point;

/// A check with its earlier names, which will be removed in the next version.
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

/// Returns the checks in JSON.
pub fn json(checks: &Checks) -> Vec<Looked<'_>> {
    checks.as_slice().iter().map(Looked::from).collect()
}

/// The expected certificate of a file.
pub struct Expected<'a> {
    /// The certificate that the cloud knows; `None` if only the file has it.
    pub certificate: Option<&'a Certificate>,
    /// The label of the key in the chip.
    pub label: &'a str,
    /// Its public key; `None` if that requires a login.
    pub point: Option<&'a Point>,
}

/// The last days of a certificate's validity that cause a warning.
const SOON: u64 = 30;

/// Checks that the folder's file starts with the expected certificate for this key, followed by its chain in order, and
/// that it is valid today.
pub fn certificate_file(folder: &Folder, name: &str, expected: &Expected<'_>) -> Check {
    const WHAT: &str = "certificate";
    let file = folder.file(name).display().to_string();
    let replace = format!("move {file} away and run the set-up again");
    let failed = |found: String, remedy: &str| Check::new(WHAT, Verdict::Failed, found).with_remedy(remedy);
    let contents = match folder.read(name) {
        Ok(Some(contents)) => contents,
        Ok(None) => return failed(format!("{file} is missing"), "run the set-up again"),
        Err(error) => return failed(error.to_string(), &replace),
    };
    let found = match certificates(&file, &contents) {
        Ok(found) => found,
        Err(error) => return failed(error.to_string(), &replace),
    };
    let Some(first) = found.first() else { return failed(format!("{file} holds no certificate"), &replace) };
    if expected.certificate.is_some_and(|certificate| certificate.der() != first.der()) {
        return failed(format!("{file} is not the certificate that is registered in the cloud"), &replace);
    }
    if expected.point.is_some_and(|point| point.public_key_info() != first.public_key_info()) {
        return failed(format!("{file} is not for the key \"{}\" in the chip", expected.label), &replace);
    }
    if found.windows(2).any(|pair| !pair[0].is_signed_by(&pair[1])) {
        return failed(format!("{file}: a certificate in it is not signed by the one that follows"), &replace);
    }
    let now = DateTime::from_system_time(SystemTime::now()).unwrap_or(DateTime::INFINITY);
    let validity = first.validity();
    let (begin, end) = (validity.not_before.to_date_time(), validity.not_after.to_date_time());
    if now < begin {
        let found = format!("{file} is valid from {begin} on, and this machine's clock shows {now}");
        return failed(found, "set the clock: timedatectl");
    }
    if now > end {
        return failed(format!("{file} was valid until {end}, and this machine's clock shows {now}"), &replace);
    }
    let label = expected.label;
    let whose = match expected.point {
        Some(_) => format!("for the key \"{label}\" in the chip"),
        None => {
            format!("not checked whether it is for the key \"{label}\": the public key can be read only after a login")
        }
    };
    let left = end.unix_duration().saturating_sub(now.unix_duration());
    if left.as_secs() < SOON * 24 * 60 * 60 {
        return Check::new(WHAT, Verdict::Warning, format!("{whose}; valid until {end} only")).with_remedy(replace);
    }
    Check::new(WHAT, Verdict::Ok, format!("{whose}, valid until {end}"))
}
