// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 scan`: lists the chips on the buses. [`atecc608::i2c::probe`] explains why that is safe for other devices.

use std::path::{Path, PathBuf};

use base16ct::lower::encode_string as hex;
use clap::Args;
use serde::{Serialize, Serializer};

use crate::chip::stage::Stage;
use crate::error::{Error, Result};
use crate::host::adapters::{Adapter, Kernel};
use crate::input::values::{parse_address, ADDRESSES};
use crate::output::{progress, visible, warn, Output};
use crate::target::Selection;
use atecc608::i2c::probe::{Answer, USUAL_ADDRESSES};
use atecc608::ops::Identified;
use atecc608::Chip;
use atecc608_contents::words;
use atecc608_token::bus::{host_random, root_of_channel, Bus, OpenError};
use atecc608_token::config::{node_name, BusLocation, Config, TokenConfig, DEFAULT_ADDRESS};
use atecc608_token::deadline::Deadline;
use atecc608_wire::config_zone::Model;
use atecc608_wire::ConfigZone;

/// Arguments of `scan`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The bus: /dev/i2c-N or N, or sim:FILE, unix:SOCKET; without it all of the machine's, and the simulated ones of the
    /// configuration
    #[arg(value_name = "BUS")]
    bus: Option<String>,
    /// Ask at this 7-bit address, too (more than once, for several). Without it those that chips are sold with, and those of the
    /// configuration, are asked
    #[arg(long, value_name = "ADDRESS", value_parser = seven_bits)]
    address: Vec<u8>,
    /// Ask at every address that a chip may have, 08 to 77: for one whose configuration gives it an unusual one. Other devices see one
    /// read each, which clears what some of them report once
    #[arg(long)]
    all_addresses: bool,
}

#[derive(Serialize)]
struct Report {
    found: usize,
    buses: Vec<BusReport>,
}

#[derive(Serialize)]
struct BusReport {
    #[serde(serialize_with = "as_text")]
    bus: BusLocation,
    /// The driver's name of the adapter.
    #[serde(skip_serializing_if = "String::is_empty")]
    adapter: String,
    /// Why it was not probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    devices: Vec<Device>,
    /// Chips that are listed under another node of the same wires.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    elsewhere: Vec<String>,
}

/// The device at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Kind {
    /// An ATECC608.
    #[serde(rename = "chip")]
    Chip,
    #[serde(rename = "another chip of the family")]
    Relative,
    /// A chip of the family whose model is unknown.
    #[serde(rename = "not told")]
    NotTold,
    #[serde(rename = "another device")]
    Other,
    /// Not probed: a kernel driver has claimed it.
    #[serde(rename = "kernel driver")]
    Driven,
    #[serde(rename = "failed")]
    Failed,
}

#[derive(Serialize)]
struct Device {
    #[serde(serialize_with = "as_hex")]
    address: u8,
    kind: Kind,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<Stage>,
    /// Whether the configuration has a `[[token]]` for it.
    configured: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// Probes the buses. The exit status reports whether an ATECC608 was found.
///
/// # Errors
/// [`Error::Refused`] for an invalid bus; problems with single buses are part of the result.
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    // A machine without a valid configuration can be scanned, too.
    let config = selection.configuration().unwrap_or_else(|error| {
        warn(&format!("{error}; scanning without it"));
        Config::empty()
    });
    let buses = ask_buses(arguments, &config)?;
    let found = buses.iter().flat_map(|bus| &bus.devices).filter(|device| device.kind == Kind::Chip).count();
    let report = Report { found, buses };
    Ok(Output::new(text(&report), &report)?.negative_if(found == 0))
}

/// An ATECC608 that was found.
pub struct FoundChip {
    /// Its bus.
    pub bus: BusLocation,
    /// Its 7-bit address.
    pub address: u8,
    /// Model, serial number and stage, as text.
    pub detail: String,
}

/// Finds the ATECC608 on the machine's buses, or on this one.
///
/// # Errors
/// [`Error::Refused`] for an invalid bus.
pub fn chips(bus: Option<&BusLocation>) -> Result<Vec<FoundChip>> {
    let bus = bus.map(ToString::to_string);
    let arguments = Arguments { bus, address: Vec::new(), all_addresses: false };
    let buses = ask_buses(&arguments, &Config::empty())?;
    let on = |bus: BusReport| {
        let chips = bus.devices.into_iter().filter(|device| device.kind == Kind::Chip);
        chips
            .map(|chip| FoundChip { bus: bus.bus.clone(), address: chip.address, detail: chip.detail })
            .collect::<Vec<_>>()
    };
    Ok(buses.into_iter().flat_map(on).collect())
}

fn ask_buses(arguments: &Arguments, config: &Config) -> Result<Vec<BusReport>> {
    let kernel = Kernel::default();
    let mut buses = Vec::new();
    for (location, skipped) in locations(arguments, config, &kernel)? {
        let adapter = match &location {
            BusLocation::Linux(node) => kernel.adapter(node).name,
            BusLocation::Sim(_) | BusLocation::Unix(_) => "simulated".to_owned(),
        };
        let mut report =
            BusReport { bus: location.clone(), adapter, problem: skipped, devices: Vec::new(), elsewhere: Vec::new() };
        if report.problem.is_none() {
            progress(&format!("asking {location}"));
            match scan(&location, arguments, config, &kernel) {
                Ok(devices) => report.devices = devices,
                Err(problem) => report.problem = Some(problem),
            }
        }
        buses.push(report);
    }
    list_once(&mut buses);
    Ok(buses)
}

/// Leaves each chip under one node if several lead to its wires: a multiplexer's adapter reaches the devices behind the
/// selected channel, and each channel those before the multiplexer.
fn list_once(buses: &mut [BusReport]) {
    let roots: Vec<Option<PathBuf>> = buses.iter().map(|bus| root(&bus.bus)).collect();
    let is_channel = |bus: &BusReport| matches!(&bus.bus, BusLocation::Linux(node) if root_of_channel(node).is_some());
    let serials: Vec<String> =
        buses.iter().flat_map(|bus| &bus.devices).filter_map(|d| d.serial_number.clone()).collect();
    for serial in serials {
        let is_it = |device: &Device| device.serial_number.as_ref() == Some(&serial);
        let has_it = |at: &usize| roots[*at].is_some() && buses[*at].devices.iter().any(is_it);
        let mut on: Vec<usize> = (0..buses.len()).filter(has_it).collect();
        // Nodes of the same wires stay in the order of their numbers.
        on.sort_by_key(|at| &roots[*at]);
        for on in on.chunk_by(|a, b| roots[*a] == roots[*b]) {
            let configured = |at: &&usize| buses[**at].devices.iter().any(|device| is_it(device) && device.configured);
            let channels: Vec<&usize> = on.iter().filter(|at| is_channel(&buses[**at])).collect();
            let kept = match (on.iter().find(configured), &channels[..]) {
                (Some(at), _) => *at,
                (None, [channel]) => **channel,
                (None, _) => on[0],
            };
            let place = buses[kept].bus.to_string();
            for at in on.iter().filter(|at| **at != kept) {
                let bus = &mut buses[*at];
                let (again, others) = std::mem::take(&mut bus.devices).into_iter().partition(&is_it);
                bus.devices = others;
                let tell =
                    |chip: Device| format!("{:#04x}  {serial} is listed under {place}: the same wires", chip.address);
                bus.elsewhere.extend(Vec::into_iter(again).map(tell));
            }
        }
    }
}

/// Returns the node of the adapter with the wires of a bus.
fn root(bus: &BusLocation) -> Option<PathBuf> {
    match bus {
        BusLocation::Linux(node) => {
            Some(root_of_channel(node).unwrap_or_else(|| Path::new("/dev").join(node_name(node))))
        }
        BusLocation::Sim(_) | BusLocation::Unix(_) => None,
    }
}

/// With or without 0x: a wrong address is harmless here.
fn seven_bits(text: &str) -> Result<u8, String> {
    parse_address(&format!("0x{}", text.strip_prefix("0x").unwrap_or(text)))
}

/// Returns the buses to probe, and the reason for each that is left out.
fn locations(arguments: &Arguments, config: &Config, kernel: &Kernel) -> Result<Vec<(BusLocation, Option<String>)>> {
    if let Some(bus) = &arguments.bus {
        let name = if bus.parse::<u32>().is_ok() { format!("/dev/i2c-{bus}") } else { bus.clone() };
        let location = BusLocation::parse(&name).map_err(Error::Refused)?;
        return Ok(vec![(location, None)]);
    }
    let of_the_kernel = kernel.adapters().into_iter().map(|adapter| {
        let skipped = adapter.is_of_the_board().then(|| of_the_board(&adapter));
        (BusLocation::Linux(adapter.node), skipped)
    });
    let mut locations: Vec<(BusLocation, Option<String>)> = of_the_kernel.collect();
    for token in &config.tokens {
        for bus in token.buses() {
            match locations.iter_mut().find(|(known, _)| known.is_same(bus)) {
                // A bus in the configuration is always probed.
                Some((_, skipped)) => *skipped = None,
                None => locations.push((bus.clone(), None)),
            }
        }
    }
    Ok(locations)
}

fn of_the_board(adapter: &Adapter) -> String {
    let node = adapter.node.display();
    format!("not scanned: memory modules, power supplies or monitors are on it. `atecc608 scan {node}` scans it")
}

/// Probes one bus.
///
/// # Errors
/// The reason why it can't be probed, in words.
fn scan(
    location: &BusLocation,
    arguments: &Arguments,
    config: &Config,
    kernel: &Kernel,
) -> Result<Vec<Device>, String> {
    let is_here = |token: &&TokenConfig| token.buses().any(|bus| bus.is_same(location));
    let configured: Vec<u8> = config.tokens.iter().filter(is_here).map(|token| token.address).collect();
    let mut addresses: Vec<u8> = configured.iter().chain(&arguments.address).chain(&USUAL_ADDRESSES).copied().collect();
    if arguments.all_addresses {
        addresses.extend(ADDRESSES);
    }
    addresses.sort_unstable();
    addresses.dedup();
    let mut bus = Bus::open_to_scan(location, &addresses, &config.state_dir).map_err(|error| error.to_string())?;
    let guard = bus.lock(Deadline::after(config.lock_timeout)).map_err(|error| error.to_string())?;
    let (free, taken): (Vec<u8>, Vec<u8>) = addresses.into_iter().partition(|address| bus.can_reach(*address));
    let mut devices: Vec<(u8, Device)> =
        taken.into_iter().map(|address| (address, driven(location, address, kernel))).collect();
    for (address, answer) in bus.ask(&free) {
        let chip = || Bus::open(location, address, &config.state_dir).map(|bus| Chip::new(bus, host_random));
        devices.extend(device(chip, address, answer).map(|device| (address, device)));
    }
    drop(guard);
    devices.sort_by_key(|(address, _)| *address);
    let mark = |(address, device): (u8, Device)| Device { configured: configured.contains(&address), ..device };
    Ok(devices.into_iter().map(mark).collect())
}

/// A device with a kernel driver.
fn driven(location: &BusLocation, address: u8, kernel: &Kernel) -> Device {
    let driver = match location {
        BusLocation::Linux(node) => kernel.driver(node, address),
        BusLocation::Sim(_) | BusLocation::Unix(_) => None,
    };
    let name = driver.as_ref().map_or("(its name is not known)", |driver| driver.name.as_str());
    Device {
        remedy: driver.as_ref().map(|driver| format!("if it is the chip: {}", driver.unbind())),
        ..plain(address, Kind::Driven, format!("in use by the kernel driver {name}: not scanned"))
    }
}

fn plain(address: u8, kind: Kind, detail: String) -> Device {
    Device {
        address,
        kind,
        detail,
        model: None,
        serial_number: None,
        simulated: None,
        stage: None,
        configured: false,
        remedy: None,
    }
}

/// Returns the device that responded; `None` without a response. `chip` opens a chip of the family.
fn device(chip: impl FnOnce() -> Result<Chip<Bus>, OpenError>, address: u8, answer: Answer) -> Option<Device> {
    match answer {
        Answer::Nothing => None,
        Answer::Other(bytes) => {
            let digits: Vec<String> = bytes.chunks(1).map(hex).collect();
            let detail = format!("another device (it returned {})", digits.join(" "));
            Some(plain(address, Kind::Other, detail))
        }
        Answer::Failed(problem) => Some(plain(address, Kind::Failed, problem.to_string())),
        Answer::SelfTestFailed => Some(Device {
            remedy: Some("power-cycle the chip; replace it if that does not help".to_owned()),
            ..plain(address, Kind::NotTold, "a chip of the family whose self-test has failed".to_owned())
        }),
        Answer::Woken => Some(match chip() {
            Ok(chip) => identify(chip, address),
            Err(error) => not_told(address, &error),
        }),
    }
}

/// Identifies the chip, and puts it to sleep.
fn identify(mut chip: Chip<Bus>, address: u8) -> Device {
    let read = chip.converse(|awake| {
        let zone = awake.read_config()?;
        let identified = awake.identify(&zone)?;
        Ok((zone, identified))
    });
    match read {
        Ok((zone, Identified { model, refused })) => {
            let mut device = known(&mut chip, address, &zone, model);
            if let Some(status) = refused {
                device.detail += &format!("; it refuses to report its revision (status {:02X})", status.0);
            }
            device
        }
        // An ATSHA204A has 88 bytes of configuration.
        Err(error) => match chip.converse(|awake| awake.read_identity()) {
            Ok(identity) => {
                let mut zone = ConfigZone::new([0; ConfigZone::LEN]);
                zone.as_bytes_mut()[..32].copy_from_slice(&identity);
                let model = Model::from_revision(zone.revision());
                let mut device = known(&mut chip, address, &zone, model);
                device.stage = None;
                device.detail = format!("{}, whose configuration can't be read: {error}", words::a_model(model));
                device
            }
            Err(error) => not_told(address, &error),
        },
    }
}

fn not_told(address: u8, error: &dyn std::error::Error) -> Device {
    plain(address, Kind::NotTold, format!("a chip of the family that does not report its model: {error}"))
}

fn known(chip: &mut Chip<Bus>, address: u8, zone: &ConfigZone, model: Model) -> Device {
    let (named, serial) = (words::model(model), zone.serial_number().to_string());
    let is_608 = model.is_608();
    let simulated = chip.transport_mut().is_simulated(&zone.serial_number());
    let protects = if simulated { ", simulated: it protects nothing" } else { "" };
    let detail = match is_608 {
        true => format!("{named} {serial}, {}{protects}", Stage::of(zone)),
        false => format!("{named} {serial}: not an ATECC608, this software can't use it"),
    };
    Device {
        model: Some(model.to_string()),
        serial_number: Some(serial),
        simulated: Some(simulated),
        stage: is_608.then(|| Stage::of(zone)),
        ..plain(address, if is_608 { Kind::Chip } else { Kind::Relative }, detail)
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for bus in &report.buses {
        let adapter = if bus.adapter.is_empty() { String::new() } else { format!(" ({})", visible(&bus.adapter)) };
        text += &format!("{}{adapter}\n", bus.bus);
        if let Some(problem) = &bus.problem {
            text += &format!("   {}\n", visible(problem));
        } else if bus.devices.is_empty() && bus.elsewhere.is_empty() {
            text += "   nothing responds at the addresses of such chips\n";
        }
        for device in &bus.devices {
            text += &format!("   {:#04x}  {}\n", device.address, device.detail);
            if let Some(remedy) = &device.remedy {
                text += &format!("         {remedy}\n");
            }
            if device.kind == Kind::Chip && !device.configured {
                text += &format!("         not in the configuration: {}\n", lines(bus, device));
            }
        }
        bus.elsewhere.iter().for_each(|chip| text += &format!("   {chip}\n"));
    }
    if report.buses.is_empty() {
        text += "This machine has no I2C bus that programs may use: `sudo modprobe i2c-dev`; on a Raspberry Pi also \
                 dtparam=i2c_arm=on in /boot/firmware/config.txt, and reboot\n";
    } else if report.found == 0 && report.buses.iter().all(|bus| bus.problem.is_some()) {
        text += "\nNo bus was scanned, so it is not known whether there is an ATECC608: the reason is below each bus\n";
    } else if report.found == 0 {
        text +=
            "\nNo ATECC608 was found: check supply, SDA, SCL, pull-ups, and that the bus clock is at most 100 kHz. For \
             a chip at another address: --all-addresses, or --address\n";
        if report.buses.iter().any(|bus| bus.problem.is_some()) {
            text += "Not all buses were scanned: the reason is below each of the others\n";
        }
    }
    text
}

/// Returns the lines for the configuration.
fn lines(bus: &BusReport, device: &Device) -> String {
    let address = match device.address {
        DEFAULT_ADDRESS => String::new(),
        other => format!(", address = {other:#04x}"),
    };
    // A simulated bus on the command line may be relative.
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let place = match &bus.bus {
        BusLocation::Linux(_) => bus.bus.clone(),
        BusLocation::Sim(path) => BusLocation::Sim(absolute(path)),
        BusLocation::Unix(path) => BusLocation::Unix(absolute(path)),
    };
    format!("[[token]], bus = \"{place}\"{address}")
}

fn as_text<S: Serializer>(bus: &BusLocation, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(bus)
}

fn as_hex<S: Serializer>(address: &u8, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{address:#04x}"))
}
