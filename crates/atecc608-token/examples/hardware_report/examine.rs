// SPDX-License-Identifier: MIT OR Apache-2.0
//! The whole examination of one chip.

use atecc608_contents::words;
use atecc608_wire::commands::{Info, Read};
use atecc608_wire::config_zone::Model;
use atecc608_wire::timing;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{ConfigZone, Slot};
use base16ct::lower::encode_string as hex;

use crate::bench::{Bench, Step};
use crate::probe::{Facts, Probe};
use crate::report::{configuration_lines, serial_text, Chip, Finding, Host, Report, FORMAT};
use crate::{commands, line, measure, sacrifice};

/// The options of an examination.
pub struct Options {
    /// The number of executions of each command.
    pub rounds: u32,
    /// Whether the whole serial number is put into the report.
    pub with_serial: bool,
    /// Whether the chip is blank and may be consumed.
    pub sacrifice: bool,
}

/// Returns the configuration zone of a chip in any state.
///
/// # Errors
/// A text if the chip does not respond as one of the family.
pub fn read_config(bench: &mut Bench) -> Step<ConfigZone> {
    bench.fresh()?;
    let mut bytes = [0; ConfigZone::LEN];
    for (block, chunk) in (0..).zip(bytes.chunks_exact_mut(32)) {
        chunk.copy_from_slice(&bench.must(&Read {
            zone: Zone::Config,
            address: Address::block(block, 0),
            block: true,
        })?);
    }
    Ok(ConfigZone::new(bytes))
}

/// Returns the chip's model.
///
/// # Errors
/// A text if it is not an ATECC608.
fn model(bench: &mut Bench) -> Step<Model> {
    let model = Model::from_revision(bench.must(&Info::Revision)?);
    match model.is_608() {
        true => Ok(model),
        false => Err(format!("this is no ATECC608, but {}", words::a_model(model))),
    }
}

/// Returns the present facts about the chip.
///
/// # Errors
/// As [`read_config`].
pub fn facts(bench: &mut Bench, i2c_hz: u32) -> Step<Facts> {
    let config = read_config(bench)?;
    let mut keys = Vec::new();
    for slot in Slot::all() {
        if bench.execute(&Info::KeyValid(slot))?.is_ok_and(Info::says_valid) {
            keys.push(slot);
        }
    }
    Ok(Facts { config, keys, i2c_hz })
}

/// Examines a chip.
///
/// # Errors
/// A text if it does not respond, or not as an ATECC608. Results of single probes are in the report.
pub fn examine(bench: &mut Bench, host: Host, options: &Options) -> Step<Report> {
    let config = read_config(bench)?;
    let model = model(bench)?;
    bench.divider = config.clock_divider();
    if config.chip_options().power_on_self_test() {
        bench.wake_delay = std::time::Duration::from_micros(timing::WAKE_HIGH_SELF_TEST_US);
    }
    let i2c_hz = match host.i2c_hz {
        Some(hertz) => hertz,
        None => measure::bus_clock(bench)?,
    };
    let facts = self::facts(bench, i2c_hz)?;
    let serial_number = serial_text(&facts.config, options.with_serial);
    let chip = Chip {
        model: model.to_string(),
        revision: hex(&model.revision()),
        serial: serial_number.clone(),
        serial_number,
        simulated: facts.config.serial_number().is_simulated(),
        configuration: configuration_lines(&facts.config, options.with_serial),
        keys: facts.keys.iter().map(|slot| slot.number()).collect(),
    };
    let measures = measure::measures(bench, &facts);
    let mut findings: Vec<Finding> = line::PROBES.iter().map(|probe| probe.run(bench, &facts)).collect();
    findings.extend(commands::PROBES.iter().map(|probe| repeated(probe, bench, &facts, options.rounds)));
    if options.sacrifice {
        sacrifice::spend(bench, &facts, options.rounds, &mut findings);
    }
    bench.sleep()?;
    Ok(Report {
        format: FORMAT,
        tool: concat!("atecc608-pkcs11 ", env!("CARGO_PKG_VERSION")).to_owned(),
        host,
        chip,
        sacrificed: options.sacrifice,
        switches: Report::switches_seen(&findings).to_string(),
        measures,
        timings: measure::timings(bench),
        findings,
    })
}

/// Runs the same probe several times, for the execution times; the results must agree.
pub fn repeated(probe: &Probe, bench: &mut Bench, facts: &Facts, rounds: u32) -> Finding {
    let mut first = probe.run(bench, facts);
    for _ in 1..rounds {
        let again = probe.run(bench, facts);
        if again != first {
            let seen = |finding: &Finding| finding.seen.clone().unwrap_or_default();
            first.seen = Some(format!("not always the same: {}; {}", seen(&first), seen(&again)));
            if let Some(switch) = &mut first.switch {
                switch.position = None;
            }
            break;
        }
    }
    first
}
