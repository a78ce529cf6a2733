// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 provision PROFILE --batch`: a factory's station. Every chip of the station's configuration is provisioned,
//! and gets a key pair, a request or certificate, and a line in the manifest. Each bus has its own worker, which
//! processes its chips one after the other. Run again after a crash, it continues and repeats nothing.

mod chip;
mod ledger;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::pin::PinSetup;
use crate::error::{Error, Result};
use crate::manifest::name_for;
use crate::output::{note, warn, Output};
use crate::target::{ensure_tokens, Selection};
use crate::x509::authority::Authority;
use crate::x509::key_file::Passphrase;
use crate::x509::subject::Subject;
use crate::x509::terms::{self, End, Terms};
use atecc608_token::config::{BusLocation, Config, TokenConfig};
use atecc608_token::profile::Profile;
use chip::{Chip, ChipReport};
use ledger::Ledger;

/// Arguments of `provision --batch`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many chips (docs/factory.md)")]
pub struct BatchArguments {
    /// Provision every chip of this configuration, or of each *.toml in this folder; buses in parallel
    #[arg(long, value_name = "FILE|FOLDER", requires = "manifest")]
    batch: Option<PathBuf>,
    /// Append a line for each finished chip to this file; FILE.begun is kept beside it. A second run does nothing twice
    #[arg(long, value_name = "FILE", requires = "batch")]
    manifest: Option<PathBuf>,
    /// The label of the key pair that each chip gets
    #[arg(long, value_name = "LABEL", requires = "batch", default_value = "device")]
    key_label: String,
    /// The subject of each chip's request; {serial} stands for the chip's serial number
    #[arg(long, value_name = "NAME", requires = "batch", default_value = "/CN={serial}")]
    subject: String,
    /// Certify each key with this authority
    #[arg(long, value_name = "FILE", requires_all = ["batch", "ca_key"])]
    ca: Option<PathBuf>,
    /// The authority's private key
    #[arg(long, value_name = "FILE", requires = "ca")]
    ca_key: Option<PathBuf>,
    /// The passphrase of that key is the first line of this file (- is standard input) instead of asked for
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    ca_passphrase_file: Option<PathBuf>,
    /// Certificates are valid for this many days [default: 3650, or until the authority's end]
    #[arg(long, value_name = "N", requires = "ca", value_parser = clap::value_parser!(u32).range(1..=3_650_000))]
    days: Option<u32>,
    /// Certify only keys that the chip attests under the attestation key that this run has read from it
    #[arg(long, requires = "batch")]
    attested: bool,
    /// Include chips that another station has begun or finished with this profile
    #[arg(long, requires = "batch")]
    adopt: bool,
}

impl BatchArguments {
    /// Whether this is a batch.
    pub fn is_wanted(&self) -> bool {
        self.batch.is_some()
    }
}

/// The data that the workers share.
struct Station<'a> {
    profile: &'a Profile,
    lock_forever: bool,
    unproven: bool,
    adopt: bool,
    attested: bool,
    key_label: &'a str,
    subject: &'a str,
    authority: Option<Authority>,
    terms: Terms,
    ledger: Ledger,
}

/// One bus, and its chips.
struct Line {
    bus: BusLocation,
    chips: Vec<(Config, TokenConfig)>,
}

#[derive(Serialize)]
struct Report {
    profile: String,
    manifest: String,
    /// Whether this was a dry run, in which no chip was locked.
    dry_run: bool,
    /// Number of lines in the manifest now.
    in_manifest: usize,
    failed: usize,
    chips: Vec<ChipReport>,
}

/// Provisions all chips, or shows what that would do.
///
/// # Errors
/// [`Error::Refused`] , without a change, if configuration, manifest, names or authority can't be used. Failures of
/// single chips are in the report and in the exit status.
pub fn run(
    selection: &Selection,
    arguments: &BatchArguments,
    profile: &Profile,
    lock_forever: bool,
    unproven: bool,
) -> Result<Output> {
    let (Some(batch), Some(manifest)) = (&arguments.batch, &arguments.manifest) else {
        return Err(Error::Refused("a batch needs --batch and --manifest".to_owned()));
    };
    if PinSetup::is_for(profile) {
        return Err(Error::Refused(format!(
            "{}: its recovery codes are shown one by one: provision such chips individually",
            profile.name
        )));
    }
    if selection.token.is_some() {
        return Err(Error::Refused("--token names one chip, and a batch provisions all: leave it out".to_owned()));
    }
    let lines = lines(batch)?;
    // Problems common to all chips must show before the first one is changed.
    Subject::parse(&name_for(&arguments.subject, "0123456789ABCDEF01")?)?;
    let authority = match (&arguments.ca, &arguments.ca_key) {
        (Some(ca), Some(key)) => {
            Some(Authority::read(ca, key, &Passphrase::of(arguments.ca_passphrase_file.as_deref()))?)
        }
        _ => None,
    };
    terms::now()?;
    let terms = Terms { end: arguments.days.map_or(End::Usual, End::Days), ..Terms::device() };
    if let Some(authority) = &authority {
        let issuer = authority.certificate().validity();
        if let Some(warning) = terms::end_warning(&terms.validity(Some(issuer))?, issuer) {
            warn(&warning);
        }
    }
    let ledger = if lock_forever { Ledger::open(manifest)? } else { Ledger::look(manifest)? };
    let station = Station {
        profile,
        lock_forever,
        unproven,
        adopt: arguments.adopt,
        attested: arguments.attested,
        key_label: &arguments.key_label,
        subject: &arguments.subject,
        authority,
        terms,
        ledger,
    };
    let chips = station.work(&lines);
    let report = Report {
        profile: profile.name.clone(),
        manifest: manifest.display().to_string(),
        dry_run: !lock_forever,
        in_manifest: station.ledger.len(),
        failed: chips.iter().filter(|chip| chip.is_failure()).count(),
        chips,
    };
    let failed = report.failed > 0;
    Ok(Output::new(text(&report, unproven), &report)?.failed_if(failed))
}

impl Station<'_> {
    /// One worker per bus.
    fn work(&self, lines: &[Line]) -> Vec<ChipReport> {
        std::thread::scope(|scope| {
            let workers: Vec<_> = lines
                .iter()
                .map(|line| {
                    scope.spawn(|| {
                        let chips = line.chips.iter().map(|(config, token)| Chip { station: self, config, token });
                        chips.map(|chip| chip.run()).collect::<Vec<ChipReport>>()
                    })
                })
                .collect();
            let mut reports = Vec::new();
            for (worker, line) in workers.into_iter().zip(lines) {
                match worker.join() {
                    Ok(done) => reports.extend(done),
                    Err(_) => reports.push(ChipReport::worker_died(&line.bus)),
                }
            }
            reports
        })
    }
}

/// Returns the chips of a configuration file, or of a folder of them, by bus.
fn lines(batch: &Path) -> Result<Vec<Line>> {
    let refused = |problem: String| Error::Refused(format!("{}: {problem}", batch.display()));
    let mut files = vec![batch.to_owned()];
    if batch.is_dir() {
        let entries = std::fs::read_dir(batch).map_err(|error| refused(error.to_string()))?;
        files = entries.flatten().map(|entry| entry.path()).filter(|path| is_toml(path)).collect();
        files.sort();
        if files.is_empty() {
            return Err(refused("no *.toml is in it".to_owned()));
        }
    }
    let mut lines: Vec<Line> = Vec::new();
    for file in files {
        let config = Selection { config: Some(file.clone()), token: None }.configuration()?;
        ensure_tokens(&config)?;
        for token in &config.tokens {
            if let Some(key_file) = &token.io_key_file {
                return Err(Error::Refused(format!(
                    "{}: io_key_file ({}): all chips would get the same IO protection key: leave it out",
                    file.display(),
                    key_file.display()
                )));
            }
            if !token.other_buses.is_empty() {
                return Err(Error::Refused(format!(
                    "{}: bus: expected one bus for each chip of a batch, found {}",
                    file.display(),
                    token.place()
                )));
            }
            if !lines.iter().any(|line| line.bus.is_same(&token.bus)) {
                lines.push(Line { bus: token.bus.clone(), chips: Vec::new() });
            }
            let line = lines.iter_mut().find(|line| line.bus.is_same(&token.bus));
            let Some(line) = line else { continue };
            if line.chips.iter().any(|(_, other)| other.address == token.address) {
                return Err(refused(format!("{} at {:#04x} is listed twice", token.bus, token.address)));
            }
            line.chips.push((config.clone(), token.clone()));
        }
    }
    Ok(lines)
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml") && path.is_file()
}

fn text(report: &Report, unproven: bool) -> String {
    let mut text = String::new();
    for chip in &report.chips {
        text += &chip.line();
    }
    text += &format!("{}: {} chips\n", report.manifest, report.in_manifest);
    if report.failed > 0 {
        text += &format!("{} of {} failed\n", report.failed, report.chips.len());
    }
    if report.dry_run {
        let unproven = if unproven { " --unproven" } else { "" };
        text += &format!(
            "Nothing was changed. Both locks are permanent: look at one chip with `atecc608 provision {}` first. To do it: the \
             same command with --lock-forever{unproven}\n",
            report.profile
        );
    }
    text
}

/// Prints a step for a chip on stderr.
fn say(place: &str, what: &str) {
    note(&format!("{place}: {what}"));
}
