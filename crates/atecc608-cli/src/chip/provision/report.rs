// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report of `provision` about one chip, as text and as JSON.

use std::fmt::{self, Write};

use base16ct::lower::encode_string as hex;
use serde::{Serialize, Serializer};

use super::plan::{Change, Plan, SlotPlan, Standing};
use crate::chip::config::diff;
use crate::manifest::AttestationKey;
use crate::target::Target;
use atecc608_contents::words;
use atecc608_token::io_key::KeyFile;
use atecc608_token::profile::{Contents, Profile};
use atecc608_wire::ConfigZone;

/// The result for the chip, in a dry run the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    WouldProvision,
    WouldFinish,
    Provisioned,
    AlreadyProvisioned,
}

/// The result for the IO protection key, in a dry run the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoKeyFate {
    WouldBeCreated,
    WouldBeReused,
    Created,
    Reused,
    /// On a chip that was provisioned before: its file exists.
    Present,
    Missing,
}

impl fmt::Display for IoKeyFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldBeCreated => "would be created",
            Self::WouldBeReused => "would be reused",
            Self::Created => "created",
            Self::Reused => "reused",
            Self::Present => "present",
            Self::Missing => "missing",
        })
    }
}

impl Serialize for IoKeyFate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether the user of a chip with a PIN has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum UserPin {
    #[serde(rename = "set")]
    Set,
    #[serde(rename = "not set")]
    NotSet,
}

/// The report.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    pub result: Outcome,
    profile: &'a str,
    serial_number: String,
    model: String,
    /// The response to Info(Revision).
    revision: String,
    /// The model's name for people.
    #[serde(skip)]
    named: String,
    simulated: bool,
    bus: String,
    address: String,
    config_locked: bool,
    data_locked: bool,
    proven_on_silicon: bool,
    pub changes: &'a [Change],
    slots: &'a [SlotPlan],
    pub io_key_file: String,
    pub io_key: IoKeyFate,
    /// Only for a profile with a PIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_pin: Option<UserPin>,
    /// For the factory's manifest: `verify-attestation` reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestation: Option<AttestationKey>,
    pub warnings: Vec<String>,
}

/// Makes a report on a chip with this configuration.
pub fn report<'a>(
    target: &mut Target,
    zone: &ConfigZone,
    profile: &'a Profile,
    plan: &'a Plan,
    key_file: &KeyFile,
    (result, io_key): (Outcome, IoKeyFate),
) -> Report<'a> {
    Report {
        result,
        profile: &profile.name,
        serial_number: zone.serial_number().to_string(),
        model: target.model().to_string(),
        revision: hex(&target.model().revision()),
        named: words::model(target.model()),
        simulated: target.is_simulated(&zone.serial_number()),
        bus: target.token.bus.to_string(),
        address: format!("{:#04x}", target.token.address),
        config_locked: zone.config_locked(),
        data_locked: zone.data_locked(),
        proven_on_silicon: profile.proven_on_silicon,
        changes: &plan.changes,
        slots: &plan.slots,
        io_key_file: key_file.path().display().to_string(),
        io_key,
        user_pin: None,
        attestation: None,
        warnings: Vec::new(),
    }
}

fn heading(report: &Report<'_>) -> String {
    let simulated = if report.simulated { ", simulated" } else { "" };
    format!("{} {} ({} at {}{simulated})", report.named, report.serial_number, report.bus, report.address)
}

/// Returns the text of a dry run. The warning about `unproven` was already printed.
pub fn dry_run_text(report: &Report<'_>, plan: &Plan, unproven: bool) -> String {
    let mut text = format!("{}: what `provision {}` would do\n\n", heading(report), report.profile);
    // Writing to a string does not fail.
    if plan.standing == Standing::Blank {
        text += "1. Write the configuration, and lock it permanently:\n\n";
        text += &diff::text(&plan.changes);
        if plan.changes.is_empty() {
            text += "   (already as needed)\n";
        }
    } else {
        text += "1. The configuration is this profile's, and locked, already.\n";
    }
    text += "\n2. Fill every slot and the OTP zone, and lock them permanently:\n\n";
    let width = plan.slots.iter().map(|slot| slot.name.len()).max().unwrap_or(0);
    for slot in &plan.slots {
        let permanent = if slot.permanent { "; nothing can change it afterwards" } else { "" };
        let _ = writeln!(text, "   slot {:>2}  {:<width$}  {}{permanent}", slot.slot, slot.name, slot.written);
    }
    let _ = writeln!(text, "   OTP      {:<width$}  zeros; nothing can change it afterwards", "");
    let _ = writeln!(text, "\nThe IO protection key {} in {}.", report.io_key, report.io_key_file);
    if plan.has(Contents::AuthorisationSecret) {
        text +=
            "The security officer's recovery code is shown once, before the data lock. The user's PIN: --pin-file, \
                 --ask-pin, or later by the officer (C_InitPIN).\n";
    }
    text += "Both locks are permanent: no command, reset or tool can undo them.\n";
    let option = if report.simulated || report.proven_on_silicon { "" } else { " --unproven" };
    if !option.is_empty() && !unproven {
        text += "This profile has not been locked on real silicon yet: a real chip needs --unproven as well.\n";
    }
    let _ =
        writeln!(text, "Nothing was changed. To do it: atecc608 provision {} --lock-forever{option}", report.profile);
    text
}

/// Returns the text after the work.
pub fn done_text(report: &Report<'_>) -> String {
    let already = if report.result == Outcome::Provisioned { "" } else { "already " };
    let mut text = format!("{}: {already}provisioned with the profile {}\n", heading(report), report.profile);
    let _ = writeln!(text, "IO protection key: {} ({})", report.io_key_file, report.io_key);
    match report.user_pin {
        Some(UserPin::Set) => text += "User PIN: set\n",
        Some(UserPin::NotSet) => {
            text += "User PIN: not set. The security officer sets it, with the recovery code\n";
        }
        None => {}
    }
    if let Some(attestation) = &report.attestation {
        let _ = write!(
            text,
            "Public key of the attestation key in slot {}, for the manifest of the factory:\n{}",
            attestation.slot, attestation.public_key_pem
        );
    }
    text += match report.user_pin {
        Some(UserPin::NotSet) => "Next: atecc608 pin init\n",
        Some(UserPin::Set) | None => "Next: atecc608 key generate --label NAME\n",
    };
    text
}
