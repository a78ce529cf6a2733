// SPDX-License-Identifier: MIT OR Apache-2.0
//! One chip of a batch, from any state to its line in the manifest.

use std::fmt;
use std::sync::Arc;

use base16ct::lower::encode_string as hex;
use der::DateTime;
use serde::Serialize;

use super::super::plan::{Plan, Standing};
use super::super::work::{Done, Work};
use super::super::{foreign, keys_found_warning, look, may_lock};
use super::{say, Station};
use crate::chip::attest::attested::Attested;
use crate::chip_keys::{ChipKey, ChipKeys, NewKeyNames};
use crate::error::{Error, Result};
use crate::manifest::{name_for, AttestationKey, KeyRecord, Record, SecretPlace};
use crate::output::visible;
use crate::target::Target;
use crate::x509::certificate::Certificate;
use crate::x509::issue::{issue, Applicant};
use crate::x509::pem;
use crate::x509::signer::Signer;
use crate::x509::subject::Subject;
use crate::x509::{request, terms};
use atecc608::presence::Held;
use atecc608_token::attest::KeyName;
use atecc608_token::config::{slot_number, BusLocation, Config, TokenConfig};
use atecc608_token::point::Point;
use atecc608_token::store::Store;
use atecc608_token::Token;
use atecc608_wire::config_zone::Model;
use atecc608_wire::ConfigZone;

/// A chip's place at the station.
pub struct Chip<'a> {
    pub station: &'a Station<'a>,
    pub config: &'a Config,
    pub token: &'a TokenConfig,
}

/// The result for a chip, in a dry run the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    WouldProvision,
    WouldFinish,
    WouldRecord,
    InManifest,
    Done,
    Failed,
    NotBegun,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The report about a chip.
#[derive(Debug, Serialize)]
pub struct ChipReport {
    bus: String,
    address: String,
    serial_number: Option<String>,
    result: Outcome,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    warnings: Vec<String>,
}

impl ChipReport {
    /// Whether it makes the batch fail.
    pub fn is_failure(&self) -> bool {
        matches!(self.result, Outcome::Failed | Outcome::NotBegun)
    }

    /// The line of text.
    pub fn line(&self) -> String {
        let serial = self.serial_number.as_deref().unwrap_or("(unknown)         ");
        let mut text = format!("{serial}  {} at {}  {}\n", self.bus, self.address, self.result);
        if let Some(problem) = &self.problem {
            text += &format!("    {}\n", visible(problem));
        }
        for warning in &self.warnings {
            text += &format!("    warning: {}\n", visible(warning));
        }
        text
    }

    /// For the chips of a bus whose worker has panicked, a defect of this program.
    pub fn worker_died(bus: &BusLocation) -> Self {
        Self {
            bus: bus.to_string(),
            address: String::new(),
            serial_number: None,
            result: Outcome::Failed,
            problem: Some("this bus's worker died: run the same command again, and report this".to_owned()),
            warnings: Vec::new(),
        }
    }
}

/// A chip with both zones locked, by this run or before.
struct Locked {
    zone: ConfigZone,
    model: Model,
    done: Done,
    simulated: bool,
    io_key_file: String,
}

impl Chip<'_> {
    /// Processes the chip. Failures are in the report.
    pub fn run(&self) -> ChipReport {
        let mut report = ChipReport {
            bus: self.token.bus.to_string(),
            address: format!("{:#04x}", self.token.address),
            serial_number: None,
            result: Outcome::NotBegun,
            problem: None,
            warnings: Vec::new(),
        };
        if self.station.ledger.is_stopped() {
            report.problem = Some("an earlier chip's line could not be written".to_owned());
            return report;
        }
        match self.work(&mut report) {
            Ok(result) => report.result = result,
            Err(error) => {
                report.result = Outcome::Failed;
                report.problem = Some(error.to_string());
                say(&format!("{} at {}", report.bus, report.address), &error.to_string());
            }
        }
        report
    }

    fn work(&self, report: &mut ChipReport) -> Result<Outcome> {
        let station = self.station;
        let mut target = Target::open(self.config, self.token)?;
        let guard = target.lock()?;
        let zone = target.read_config_locked()?;
        let (place, serial) = (target.place(), zone.serial_number().to_string());
        report.serial_number = Some(serial.clone());
        target.ensure_608_to_change(&zone)?;
        let plan = Plan::new(&zone, station.profile, self.token.address)
            .map_err(|changes| foreign(&place, &zone, station.profile, &changes))?;
        if let Some(record) = station.ledger.record(&serial) {
            self.compare(&mut target, &plan, record)?;
            return Ok(Outcome::InManifest);
        }
        let ours = plan.standing == Standing::Blank || station.ledger.was_begun(&serial);
        if !ours && !station.adopt {
            return Err(Error::Refused(format!(
                "{place}: the chip {serial} was {} with the profile {} before, but not by a run with this manifest: \
                 its contents are not known. Put it aside, use the manifest of the station that provisioned it, or add \
                 it with --adopt",
                if plan.standing == Standing::Provisioned { "provisioned" } else { "begun" },
                station.profile.name
            )));
        }
        if !station.lock_forever {
            return Ok(match plan.standing {
                Standing::Blank => Outcome::WouldProvision,
                Standing::HalfProvisioned => Outcome::WouldFinish,
                Standing::Provisioned => Outcome::WouldRecord,
            });
        }
        let locked = self.locked(&mut target, zone, &plan, &serial)?;
        // The token then takes the bus lock itself.
        drop(guard);
        drop(target);
        report.warnings.extend(keys_found_warning(&locked.done.keys_found));
        if locked.done.attestation.is_none() {
            report.warnings.push("the chip does not return the public key of its attestation key".to_owned());
        }
        let record = self.record(&place, &locked, !ours, &report.warnings)?;
        station.ledger.finish(&record).map_err(|error| {
            Error::Refused(format!(
                "{place}: the chip {serial} is provisioned, but not in the manifest: {error}. Free disk space, and run \
                 the same command again: nothing is done twice"
            ))
        })?;
        say(&place, &format!("{serial} is done"));
        Ok(Outcome::Done)
    }

    /// Locks both zones, from any state of the chip.
    fn locked(&self, target: &mut Target, zone: ConfigZone, plan: &Plan, serial: &str) -> Result<Locked> {
        let station = self.station;
        let place = target.place();
        let key_file = target.key_file(&zone.serial_number());
        let io_key_file = key_file.path().display().to_string();
        let simulated = target.is_simulated(&zone.serial_number());
        if plan.standing == Standing::Provisioned {
            let done = look(target, &zone, station.profile, &key_file)?;
            return Ok(Locked { zone, model: target.model(), done, simulated, io_key_file });
        }
        if !may_lock(simulated, station.profile, station.unproven) {
            return Err(Error::Refused(format!(
                "{place}: nothing was done: the profile {} has not been locked on real silicon yet, and a mistake in \
                 it can't be undone. To lock it nevertheless, add --unproven",
                station.profile.name
            )));
        }
        if !station.ledger.was_begun(serial) {
            station.ledger.begin(serial)?;
        }
        let mut tell = |what: &str| say(&place, what);
        let mut store = Store::open(&self.config.state_dir, zone.serial_number());
        let mut work = Work {
            chip: &mut target.chip,
            profile: station.profile,
            key_file: &key_file,
            store: &mut store,
            pin: None,
            say: &mut tell,
        };
        let done = work.run(plan)?;
        // Modules that know the chip as blank then read it again.
        let stored = store.change(|state| state.generation += 1);
        if let Err(error) = stored {
            return Err(Error::Refused(format!(
                "{place}: the chip {serial} is provisioned, but has no key yet: {error}"
            )));
        }
        Ok(Locked { zone, model: target.model(), done, simulated, io_key_file })
    }

    /// Key pair, request, certificate: those of an earlier run are reused.
    fn record(&self, place: &str, locked: &Locked, adopted: bool, warnings: &[String]) -> Result<Record> {
        let station = self.station;
        let serial = locked.zone.serial_number().to_string();
        let keys = ChipKeys::new(Arc::new(Token::new(self.config, self.token)), place);
        let key = self.key(&keys, place)?;
        if station.attested {
            let (_, point) = locked.done.attestation.as_ref().ok_or_else(|| {
                Error::Refused(format!(
                    "{place}: the key \"{}\" can't be attested: the chip {serial} does not tell its attestation key's public key. \
                     Put it aside, or leave --attested out",
                    key.label
                ))
            })?;
            say(place, "asking the chip to attest the key");
            Attested::by_chip(&locked.zone.serial_number(), point).check(&key)?;
        }
        let subject = Subject::parse(&name_for(station.subject, &serial)?)?;
        say(place, "asking for its signature");
        let csr = request::to_pem(&request::build(&subject, &[], &key)?);
        let certificate = self.certificate(&keys, &key, subject)?;
        let attestation = locked.done.attestation.as_ref();
        let now = DateTime::from_unix_duration(terms::now()?).map(|now| now.to_string()).unwrap_or_default();
        Ok(Record {
            model: locked.model.to_string(),
            profile: station.profile.name.clone(),
            simulated: locked.simulated,
            bus: self.token.bus.to_string(),
            address: format!("{:#04x}", self.token.address),
            time: now,
            adopted,
            attestation: attestation.map(|(slot, point)| AttestationKey::new(*slot, point)),
            csr: Some(csr),
            certificate: certificate.map(|certificate| certificate.pem()),
            ca_certificate: station.authority.as_ref().map(|authority| authority.certificate().pem()),
            io_key_file: locked.io_key_file.clone(),
            empty_secret_places: locked.done.empty.iter().map(SecretPlace::of).collect(),
            warnings: warnings.to_vec(),
            ..Record::empty(serial, key_record(&key))
        })
    }

    fn key(&self, keys: &ChipKeys, place: &str) -> Result<ChipKey> {
        let label = self.station.key_label;
        let there = keys.list()?.into_iter().find(|key| key.label == label && key.held == Some(Held::Key));
        if let Some(key) = there {
            return keys.vouched(keys.key(&KeyName::Slot(key.key.slot))?);
        }
        say(place, &format!("generating the key pair \"{label}\""));
        keys.generate(&NewKeyNames { label: Some(label.to_owned()), ..NewKeyNames::default() })
    }

    /// A certificate that the authority has already signed for this key is reused.
    fn certificate(&self, keys: &ChipKeys, key: &ChipKey, subject: Subject) -> Result<Option<Certificate>> {
        let Some(authority) = &self.station.authority else { return Ok(None) };
        let public_key_info = key.public_key_info();
        let is_it = |certificate: &Certificate| {
            certificate.public_key_info() == public_key_info && certificate.is_signed_by(authority.certificate())
        };
        if let Some(stored) = keys.certificates()?.into_iter().find(|stored| is_it(&stored.certificate)) {
            return Ok(Some(stored.certificate));
        }
        let applicant = Applicant { subject, public_key_info: public_key_info.clone(), alternative: Vec::new() };
        let der = issue(&applicant, &self.station.terms, authority)?;
        let certificate = Certificate::from_der("the new certificate", &der)?;
        if !is_it(&certificate) {
            return Err(Error::Refused("the new certificate's signature does not verify".to_owned()));
        }
        keys.store_certificate(certificate.der(), Some(&key.label), Some(&key.id))?;
        Ok(Some(certificate))
    }

    /// Checks that a chip in the manifest is as the manifest describes it.
    fn compare(&self, target: &mut Target, plan: &Plan, record: &Record) -> Result<()> {
        let (place, serial) = (target.place(), &record.serial_number);
        let refused = |problem: &str| {
            Err(Error::Refused(format!("{place}: the chip {serial} is in the manifest, but {problem}: put it aside")))
        };
        if record.profile != self.station.profile.name {
            return refused(&format!("with the profile {}", record.profile));
        }
        if plan.standing != Standing::Provisioned {
            return refused("it is not provisioned: is it another chip with the same number?");
        }
        let attestation = record.attestation.as_ref().map(|key| (key.slot, key.public_key.as_str()));
        let pairs = [Some((record.key.slot, record.key.public_key.as_str())), attestation];
        for (number, public_key) in pairs.into_iter().flatten() {
            let Ok(slot) = slot_number(number) else {
                return refused("its line names a slot that no chip has");
            };
            let told = target.converse(|awake| awake.public_key(slot))?;
            let told = told.as_ref().and_then(Point::from_xy).map(|point| hex(&point.uncompressed()));
            if told.as_deref() != Some(public_key) {
                return refused(&format!("the key in slot {slot} is not the one that the manifest has"));
            }
        }
        Ok(())
    }
}

fn key_record(key: &ChipKey) -> KeyRecord {
    KeyRecord {
        slot: key.slot.number(),
        label: key.label.clone(),
        id: hex(&key.id),
        public_key: hex(&key.point.uncompressed()),
        public_key_pem: pem::public_key(&key.point),
    }
}
