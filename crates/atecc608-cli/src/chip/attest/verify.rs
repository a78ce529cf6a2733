// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 verify-attestation`: whether a statement is valid, and what that proves. Requires the enrolled attestation
//! public key, but neither chip nor configuration.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use base16ct::lower::encode_string as hex;
use clap::Args;
use serde::Serialize;

use super::enrolled::Enrolled;
use super::meaning::{self, Meaning};
use super::statement::Statement;
use super::{challenge, Challenge};
use crate::error::{Error, Result};
use crate::input;
use crate::output::check::{self, Check, Remedies, Verdict};
use crate::output::Output;
use crate::x509::pem;
use atecc608::attest::{attester_problem, subject_problem, Evidence, ATTESTER};
use atecc608_contents::words;
use atecc608_token::point::Point;

/// Arguments of `verify-attestation`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("freshness").required(true).args(["challenge", "any_challenge"]))]
pub struct Arguments {
    /// The statement that `attest` wrote
    statement: PathBuf,
    /// The chip's enrolled attestation key: PEM, or what `provision --json` or `attest --public --json` printed then
    #[arg(long, value_name = "FILE")]
    attestation_key: PathBuf,
    /// The challenge of the request for this statement
    #[arg(long, value_name = "HEX", value_parser = challenge)]
    challenge: Option<Challenge>,
    /// Accept any challenge: then the statement may be an old one
    #[arg(long)]
    any_challenge: bool,
    /// The serial number that the chip must have, 18 hex digits
    #[arg(long = "serial", value_name = "HEX")]
    serial_number: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    verified: bool,
    kind: &'static str,
    serial_number: String,
    model: String,
    simulated: bool,
    slot: u8,
    slot_config: String,
    key_config: String,
    public_key: String,
    public_key_pem: String,
    checks: Vec<Held>,
    /// Empty unless all checks passed.
    proven: Vec<String>,
    not_proven: Vec<String>,
}

/// A check with the earlier name of its result, which will be removed in the next version.
#[derive(Debug, Serialize)]
struct Held {
    #[serde(flatten)]
    check: Check,
    holds: bool,
}

/// Checks a statement. An invalid one is reported as a failure, with the problem.
///
/// # Errors
/// [`Error::Refused`] if a file can't be read.
pub fn run(arguments: &Arguments) -> Result<Output> {
    let evidence = read(&arguments.statement, "statement", Statement::read)?;
    let enrolled = read(&arguments.attestation_key, "attestation key", Enrolled::read)?;
    let report = report(&evidence, &enrolled, arguments);
    Ok(Output::new(text(&report, &arguments.statement), &report)?.negative_if(!report.verified))
}

pub(super) fn read<T>(path: &Path, what: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T> {
    let parsed = input::read_text(path, input::MOST).map_err(|error| error.to_string()).and_then(|text| parse(&text));
    parsed.map_err(|problem| Error::Refused(format!("{}: not a usable {what}: {problem}", path.display())))
}

fn report(evidence: &Evidence, enrolled: &Enrolled, arguments: &Arguments) -> Report {
    let (zone, slot) = (&evidence.zone, evidence.slot);
    let point = Point::from_xy(&evidence.public_key);
    let expected = Expected { challenge: arguments.challenge, serial_number: arguments.serial_number.as_deref() };
    let checks = checks(evidence, enrolled, &expected);
    let verified = !checks.iter().any(Check::has_failed);
    let Meaning { proven, not_proven } =
        if verified { meaning::of(evidence, arguments.challenge.is_some()) } else { Meaning::default() };
    Report {
        verified,
        kind: evidence.kind.name(),
        serial_number: zone.serial_number().to_string(),
        // The statement does not tell the revision.
        model: "ATECC608".to_owned(),
        simulated: zone.serial_number().is_simulated(),
        slot: slot.number(),
        slot_config: words::word(zone.slot_config(slot).0),
        key_config: words::word(zone.key_config(slot).0),
        public_key: format!("04{}", hex(&evidence.public_key)),
        public_key_pem: point.map(|point| pem::public_key(&point)).unwrap_or_default(),
        checks: checks.into_iter().map(|check| Held { holds: !check.has_failed(), check }).collect(),
        proven,
        not_proven,
    }
}

/// The expected values besides the enrolled key.
pub(crate) struct Expected<'a> {
    /// `None` accepts any.
    pub challenge: Option<Challenge>,
    /// The requested serial number, besides the enrolled one.
    pub serial_number: Option<&'a str>,
}

/// Runs all checks, so that a refusal lists all problems.
pub(crate) fn checks(evidence: &Evidence, enrolled: &Enrolled, expected: &Expected<'_>) -> Vec<Check> {
    let (zone, slot) = (&evidence.zone, evidence.slot);
    let serial = zone.serial_number().to_string();
    let check = |name: &str, holds, right: String, wrong: String| match holds {
        true => Check::new(name, Verdict::Ok, right),
        false => Check::new(name, Verdict::Failed, wrong),
    };
    let rules = |name, slot, problem: Option<&str>| {
        let wrong = format!("slot {slot}: {}", problem.unwrap_or_default());
        check(name, problem.is_none(), format!("slot {slot}: {}", words::rules(zone, slot).join(", ")), wrong)
    };
    let wanted: Vec<&str> = [enrolled.serial_number.as_deref(), expected.serial_number].into_iter().flatten().collect();
    let other = wanted.iter().find(|wanted| !wanted.eq_ignore_ascii_case(&serial));
    vec![
        check(
            "signature",
            enrolled.point.verify(&evidence.digest(), &evidence.signature).is_ok(),
            "by the enrolled attestation key, over all of the statement".to_owned(),
            "it does not verify with the enrolled attestation key: the statement was changed, or another chip made it"
                .to_owned(),
        ),
        check(
            "challenge",
            expected.challenge.is_none_or(|wanted| wanted == evidence.challenge),
            match expected.challenge {
                Some(_) => "the expected challenge".to_owned(),
                None => "not compared (--any-challenge)".to_owned(),
            },
            format!("{}: not the expected challenge; is this an old statement?", hex(&evidence.challenge)),
        ),
        check(
            "serial number",
            other.is_none(),
            match wanted.len() {
                0 => format!("{serial}, not compared with another one"),
                _ => format!("{serial}, as expected"),
            },
            format!("{serial}: expected {}", other.copied().unwrap_or_default()),
        ),
        check(
            "locks",
            zone.config_locked() && zone.data_locked(),
            "configuration and data zone are locked".to_owned(),
            format!(
                "configuration {}, data zone {}: keys and rules can still be written from outside",
                words::locked(zone.config_locked()),
                words::locked(zone.data_locked())
            ),
        ),
        rules("attestation key's rules", ATTESTER, attester_problem(zone)),
        rules("key's rules", slot, subject_problem(zone, slot)),
        check(
            "public key",
            Point::from_xy(&evidence.public_key).is_some(),
            "a point of P-256".to_owned(),
            "it is not on the curve P-256".to_owned(),
        ),
    ]
}

/// Formats the report. Writing to a string does not fail.
fn text(report: &Report, path: &Path) -> String {
    let verdict = if report.verified { "verified" } else { "NOT VERIFIED" };
    let mut text = format!("{}: {verdict}: {}\n\n", path.display(), report.kind);
    let simulated = if report.simulated { " (simulated)" } else { "" };
    let claim = if report.verified { "" } else { "claimed, not proven: " };
    let _ = writeln!(text, "{claim}chip {} {}{simulated}", report.model, report.serial_number);
    let _ = writeln!(text, "key in slot {} ({} {})", report.slot, report.slot_config, report.key_config);
    let _ = writeln!(text, "{}", report.public_key_pem);
    let checks: Vec<Check> = report.checks.iter().map(|held| held.check.clone()).collect();
    text += &check::text(&checks, Remedies::All);
    for (title, lines) in [("proven", &report.proven), ("not proven", &report.not_proven)] {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}:");
            lines.iter().for_each(|line| {
                let _ = writeln!(text, "- {line}");
            });
        }
    }
    text
}
