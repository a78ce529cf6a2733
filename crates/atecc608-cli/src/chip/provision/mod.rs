// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 provision`: writes a profile to a blank chip and locks it permanently. A dry run unless `--lock-forever`
//! is given.

pub mod batch;
pub mod pin;
pub mod plan;
mod report;
pub mod work;

use std::cell::RefCell;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::Args;

use crate::chip::stage::Stage;
use crate::chip_keys::ChipKeys;
use crate::error::{Error, Result};
use crate::manifest::AttestationKey;
use crate::output::{warn, Output, Steps};
use crate::target::{Selection, Target};
use atecc608_token::io_key::KeyFile;
use atecc608_token::pin::code::RecoveryCode;
use atecc608_token::point::Point;
use atecc608_token::profile::{self, Contents, Profile};
use atecc608_token::store::Store;
use atecc608_wire::{ConfigZone, Slot};
use batch::BatchArguments;
use pin::{PinArguments, PinSetup};
use plan::{Change, Plan, Standing};
use report::{done_text, dry_run_text, report, IoKeyFate, Outcome, Report, UserPin};
use work::{Done, Work};

/// Arguments of `provision`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The profile
    #[arg(value_parser = profiles())]
    profile: String,
    /// Do it: both zones are locked, which can never be undone
    #[arg(long)]
    lock_forever: bool,
    /// Allow a real chip: this profile has not been locked on real silicon yet
    #[arg(long)]
    unproven: bool,
    #[command(flatten)]
    pin: PinArguments,
    #[command(flatten)]
    batch: BatchArguments,
}

/// The profiles, with their descriptions.
fn profiles() -> PossibleValuesParser {
    let values =
        profile::all().map(|profile| PossibleValue::new(profile.name.as_str()).help(profile.description.as_str()));
    PossibleValuesParser::new(values)
}

/// Provisions the chip, or shows what that would do.
///
/// # Errors
/// [`Error::Refused`] , without a change, if the chip or its configuration does not fit; as [`work::Work::run`]; the
/// [chip errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, arguments: &Arguments, json: bool) -> Result<Output> {
    let Some(profile) = profile::by_name(&arguments.profile) else {
        return Err(Error::Refused(format!("there is no profile \"{}\"", arguments.profile)));
    };
    let has_pin = PinSetup::is_for(profile);
    if !has_pin && arguments.pin.any() {
        return Err(Error::Refused(format!("the profile {} has no PIN", profile.name)));
    }
    if arguments.batch.is_wanted() {
        return batch::run(selection, &arguments.batch, profile, arguments.lock_forever, arguments.unproven);
    }
    let mut target = selection.target()?;
    // The whole work is one turn on the bus, so that no other program finds the chip half provisioned.
    let guard = target.lock()?;
    let zone = target.read_config_locked()?;
    let output = provision(&mut target, &zone, profile, arguments, json)?;
    drop(guard);
    if Stage::of(&zone) == Stage::Provisioned {
        arguments.pin.confirm(&ChipKeys::of(&target))?;
    }
    Ok(output)
}

fn provision(
    target: &mut Target,
    zone: &ConfigZone,
    profile: &Profile,
    arguments: &Arguments,
    json: bool,
) -> Result<Output> {
    let serial = zone.serial_number();
    let place = target.place();
    target.ensure_608_to_change(zone)?;
    let plan =
        Plan::new(zone, profile, target.token.address).map_err(|changes| foreign(&place, zone, profile, &changes))?;
    let key_file = target.key_file(&serial);
    let simulated = target.is_simulated(&serial);
    if !arguments.lock_forever && plan.standing != Standing::Provisioned {
        let result = if plan.standing == Standing::Blank { Outcome::WouldProvision } else { Outcome::WouldFinish };
        let io_key = if key_file.load()?.is_some() { IoKeyFate::WouldBeReused } else { IoKeyFate::WouldBeCreated };
        let report = report(target, zone, profile, &plan, &key_file, (result, io_key));
        return Output::new(dry_run_text(&report, &plan, arguments.unproven), &report);
    }
    if plan.standing != Standing::Provisioned && !may_lock(simulated, profile, arguments.unproven) {
        return Err(Error::Refused(format!(
            "{place}: nothing was done: the profile {} has not been locked on real silicon yet, and a mistake in it \
             can't be undone. To lock it nevertheless, add --unproven",
            profile.name
        )));
    }
    let (result, done) = if plan.standing == Standing::Provisioned {
        if arguments.lock_forever {
            // An interrupted run may have ended before this.
            if let Some(problem) = work::keep_configuration(&key_file, zone) {
                warn(&problem);
            }
        }
        (Outcome::AlreadyProvisioned, look(target, zone, profile, &key_file)?)
    } else {
        let steps = RefCell::new(Steps::new());
        let mut say = |what: &str| steps.borrow_mut().next(what);
        let mut store = Store::open(&target.config.state_dir, serial);
        let mut hand_over = |code: &RecoveryCode| {
            steps.borrow_mut().clear();
            arguments.pin.hand_over(code)
        };
        let pin = match PinSetup::is_for(profile) {
            true => Some(PinSetup { pin: arguments.pin.prepare(json)?, hand_over: &mut hand_over }),
            false => None,
        };
        let mut work =
            Work { chip: &mut target.chip, profile, key_file: &key_file, store: &mut store, pin, say: &mut say };
        let done = work.run(&plan)?;
        (Outcome::Provisioned, done)
    };
    let io_key = match (result, done.io_key_reused) {
        (Outcome::Provisioned, false) => IoKeyFate::Created,
        (Outcome::Provisioned, true) => IoKeyFate::Reused,
        (_, true) => IoKeyFate::Present,
        (_, false) => IoKeyFate::Missing,
    };
    let mut report = report(target, &done.zone, profile, &plan, &key_file, (result, io_key));
    report.attestation = done.attestation.map(|(slot, point)| AttestationKey::new(slot, &point));
    if PinSetup::is_for(profile) {
        let has_pin = !Store::open(&target.config.state_dir, serial).state().pins.is_empty();
        report.user_pin = Some(if has_pin { UserPin::Set } else { UserPin::NotSet });
    }
    report.warnings = warnings(target, &report, &plan, &done);
    if plan.standing == Standing::Provisioned {
        // Deviations are not changed.
        report.changes = &[];
    }
    for warning in &report.warnings {
        warn(warning);
    }
    Output::new(done_text(&report), &report)
}

/// Whether a profile may be locked into this chip: an unproven one on a real chip only with `--unproven`.
fn may_lock(simulated: bool, profile: &Profile, unproven: bool) -> bool {
    simulated || profile.proven_on_silicon || unproven
}

/// The warning about keys whose origin is unknown.
fn keys_found_warning(slots: &[Slot]) -> Option<String> {
    if slots.is_empty() {
        return None;
    }
    let slots: Vec<String> = slots.iter().map(Slot::to_string).collect();
    Some(format!(
        "slots {} held a key before the data lock: it may have been imported, and be known to others. Generate new \
         ones",
        slots.join(", ")
    ))
}

/// Why a chip that is locked with another configuration is not changed.
fn foreign(place: &str, zone: &ConfigZone, profile: &Profile, changes: &[Change]) -> Error {
    let (stage, serial) = (Stage::of(zone), zone.serial_number());
    let what = match profile::matching(zone) {
        Some(other) if other.name != profile.name => format!("with the profile {}", other.name),
        _ => format!("with another configuration than {}", profile.name),
    };
    let fields = plan::names(changes);
    let remedy = match stage {
        Stage::HalfProvisioned => format!("`{}` finishes it as it is", profile::next_command(zone)),
        Stage::Blank | Stage::Provisioned => "Use it as it is, or another chip".to_owned(),
    };
    Error::Refused(format!(
        "{place}: the chip {serial} is {stage} {what}, and a locked configuration can't be changed: nothing was done. \
         It differs in {} (`atecc608 config get` prints it). {remedy}",
        fields.join(", ")
    ))
}

/// Reads a finished chip, without a change.
fn look(target: &mut Target, zone: &ConfigZone, profile: &Profile, key_file: &KeyFile) -> Result<Done> {
    let slot = Slot::all().find(|slot| profile.slot(*slot).contents == Contents::AttestationKey);
    let xy = match slot {
        Some(slot) => target.converse(|awake| awake.public_key(slot))?,
        None => None,
    };
    let store = Store::open(&target.config.state_dir, zone.serial_number());
    let told = xy.as_ref().and_then(Point::from_xy);
    // With a PIN the chip returns it only after a login: it was stored when the key was generated.
    let kept = || Point::from_uncompressed(store.state().slot(slot?)?.public_key.as_deref()?);
    let point = told.or_else(kept);
    Ok(Done {
        zone: zone.clone(),
        attestation: slot.zip(point),
        io_key_reused: key_file.load().is_ok_and(|key| key.is_some()),
        keys_found: Vec::new(),
        empty: store.state().empty.clone(),
    })
}

/// Returns warnings after the work. Writes the state, so that modules that know the chip as blank read it again.
fn warnings(target: &Target, report: &Report<'_>, plan: &Plan, done: &Done) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut store = Store::open(&target.config.state_dir, done.zone.serial_number());
    let stored = if report.result == Outcome::Provisioned {
        store.change(|state| state.generation += 1)
    } else {
        // Writes the file only if there is none: an earlier run may have been interrupted before this.
        store.change(|_| {})
    };
    if let Err(error) = stored {
        warnings.push(format!("the chip is provisioned, but labels and certificates can't be stored: {error}"));
    }
    let deviations = plan.deviations();
    if plan.standing == Standing::Provisioned && !deviations.is_empty() {
        warnings.push(format!("the chip has the profile's slots, but differs from it in {}", deviations.join(", ")));
    }
    warnings.extend(keys_found_warning(&done.keys_found));
    if done.attestation.is_none() && plan.has(Contents::AttestationKey) {
        warnings.push("the chip does not return the public key of its attestation key".to_owned());
    }
    if report.io_key == IoKeyFate::Missing {
        warnings.push(format!(
            "{} is missing: private keys sign without it, but encrypted transfers need it. Restore it from a backup{}",
            report.io_key_file,
            if report.user_pin.is_some() { "" } else { ", or write a new IO protection key to slot 6" }
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_is_not_proven_is_locked_into_a_real_chip_only_on_demand() {
        let mut profile = profile::by_name("tls").unwrap().clone();
        assert!(!profile.proven_on_silicon, "it was proven? Then this test has to go");
        assert!(!may_lock(false, &profile, false));
        assert!(may_lock(false, &profile, true) && may_lock(true, &profile, false));
        profile.proven_on_silicon = true;
        assert!(may_lock(false, &profile, false));
    }
}
