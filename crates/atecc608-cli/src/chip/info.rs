// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 info`: shows the chip's identity and locks, and the permitted uses and contents of each slot.

use std::fmt::Write;

use base16ct::lower::encode_string as hex;
use serde::Serialize;

use crate::chip::latch::LatchState;
use crate::chip::stage::Stage;
use crate::error::{Error, Result};
use crate::output::{visible, Output};
use crate::target::{default_label, Selection, Target};
use atecc608 as chip;
use atecc608::latch::Latch;
use atecc608::presence::Held;
use atecc608_contents::{product, words};
use atecc608_token::layout::key_slots;
use atecc608_token::point::Point;
use atecc608_token::profile::{self, Profile};
use atecc608_token::recognised;
use atecc608_token::state::{SlotState, StoredClass};
use atecc608_token::store::Store;
use atecc608_wire::commands::Read;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{ConfigZone, Slot, Status};

/// The output about a chip.
#[derive(Debug, Serialize)]
struct Info {
    model: String,
    serial_number: String,
    token_serial_number: String,
    label: String,
    bus: String,
    address: String,
    simulated: bool,
    revision: String,
    /// The status with which the chip refused its revision, which is then the configuration zone's.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision_refused: Option<String>,
    usable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    stage: Stage,
    config_locked: bool,
    data_locked: bool,
    /// The product that the chip is sold as; `None` if its OTP zone does not tell.
    product: Option<ProductInfo>,
    /// The status with which the chip refused to read its OTP zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    otp_refused: Option<String>,
    profile: Option<&'static str>,
    /// The origin of its configuration, if it is a known one of others.
    recognised: Option<&'static str>,
    chip_options: Vec<String>,
    clock_divider: &'static str,
    counters: [Option<u32>; 2],
    /// Only if slots are behind the persistent latch.
    #[serde(skip_serializing_if = "Option::is_none")]
    latch: Option<LatchState>,
    state_file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_problem: Option<String>,
    slots: Vec<SlotInfo>,
    objects: Vec<ObjectInfo>,
}

/// A product and its code.
#[derive(Debug, Serialize)]
struct ProductInfo {
    name: &'static str,
    otp_code: String,
}

#[derive(Debug, Serialize)]
struct SlotInfo {
    slot: u8,
    name: Option<String>,
    kind: &'static str,
    rules: Vec<String>,
    locked: bool,
    slot_config: String,
    key_config: String,
    /// For private keys; `None` if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<KeyInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
}

#[derive(Debug, Serialize)]
struct KeyInfo {
    /// "present", "destroyed" (overwritten, free), "none" or "unknown".
    presence: Presence,
    /// The status with which the chip refused to tell: the presence then comes from GenKey, and the slot is not free.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Presence {
    Present,
    Destroyed,
    None,
    Unknown,
}

/// The facts read from the chip.
struct Asked {
    keys: [Option<SlotAsked>; 16],
    latch: Option<Latch>,
}

/// The contents of a private slot.
#[derive(Clone, Copy)]
struct SlotAsked {
    presence: Presence,
    refused: Option<Status>,
}

#[derive(Debug, Serialize)]
struct ObjectInfo {
    class: &'static str,
    label: String,
    id: String,
    bytes: usize,
}

/// Shows the chip.
///
/// # Errors
/// The [chip errors](crate::Error#chip-errors). A chip that is not an ATECC608 is shown as far as possible, as a
/// failure.
pub fn run(selection: &Selection) -> Result<Output> {
    let mut target = selection.target()?;
    let guard = target.lock()?;
    let zone = target.read_config_locked()?;
    let store = Store::open(&target.config.state_dir, zone.serial_number());
    let is_608 = target.model().is_608();
    let asked = if is_608 && zone.config_locked() {
        ask(&mut target, &zone, &store)?
    } else {
        Asked { keys: [None; 16], latch: None }
    };
    let product = product(&mut target, &zone)?;
    drop(guard);
    let info = collect(&mut target, &zone, &store, &asked, product);
    Ok(Output::new(text(&info), &info)?.negative_if(!is_608))
}

/// Returns the product that the chip is sold as, according to the OTP zone, or the status with which the chip refused
/// to read it. It is not read before the data lock. The caller holds the bus lock.
fn product(target: &mut Target, zone: &ConfigZone) -> Result<Result<Option<ProductInfo>, Status>> {
    if !zone.data_locked() {
        return Ok(Ok(None));
    }
    let otp = target.converse(|awake| {
        let read = |block| Read { zone: Zone::Otp, address: Address::block(block, 0), block: true };
        Ok([awake.execute(&read(0))?, awake.execute(&read(1))?].concat())
    });
    match otp {
        Ok(otp) => {
            let product = product::of_otp(&otp);
            Ok(Ok(product.map(|product| ProductInfo { name: product.name, otp_code: product.code.to_string() })))
        }
        Err(Error::Chip { cause, place }) => match cause.refusal() {
            Some(status) => Ok(Err(status)),
            None => Err(Error::Chip { cause, place }),
        },
        Err(error) => Err(error),
    }
}

/// Returns which private slots hold a visible key, and the latch. The caller holds the bus lock.
fn ask(target: &mut Target, zone: &ConfigZone, store: &Store) -> Result<Asked> {
    target.converse(|awake| {
        let mut keys = [None; 16];
        for slot in Slot::all().filter(|slot| zone.key_config(*slot).is_p256_private()) {
            let tombstone = store.state().slot(slot).and_then(|state| state.tombstone.as_deref());
            let chip::presence::Presence { held, refused } = awake.key_presence(zone, slot)?;
            let presence = match (held, tombstone) {
                (Held::Unknown, _) => Presence::Unknown,
                (Held::Nothing, _) => Presence::None,
                (Held::Key, None) => Presence::Present,
                // The tombstone counts only while it names the present key.
                (Held::Key, Some(tombstone)) => match awake.public_key_if_told(slot)? {
                    Some(xy) if tombstone.strip_prefix(&[0x04]) == Some(&xy[..]) => Presence::Destroyed,
                    Some(_) => Presence::Present,
                    None => Presence::Unknown,
                },
            };
            keys[slot.index()] = Some(SlotAsked { presence, refused });
        }
        let latch = zone.slots_behind_latch().next().map(|_| awake.latch()).transpose()?;
        Ok(Asked { keys, latch })
    })
}

fn collect(
    target: &mut Target,
    zone: &ConfigZone,
    store: &Store,
    asked: &Asked,
    product: Result<Option<ProductInfo>, Status>,
) -> Info {
    let is_608 = target.model().is_608();
    let serial = zone.serial_number();
    let profile = profile::matching(zone).filter(|_| is_608);
    let state = store.state();
    let configured = target.token.label.clone().or_else(|| state.label.clone());
    let problem = if !is_608 {
        Some(format!("this is {}, not an ATECC608: this software can't use it", words::a_model(target.model())))
    } else {
        match Stage::of(zone) {
            Stage::Provisioned => None,
            stage => Some(format!("the chip is {stage}: `{}` shows what would be done", profile::next_command(zone))),
        }
    };
    Info {
        model: target.model().to_string(),
        serial_number: serial.to_string(),
        token_serial_number: serial.short(),
        label: configured.unwrap_or_else(|| default_label(zone)),
        bus: target.token.bus.to_string(),
        address: format!("{:#04x}", target.token.address),
        simulated: target.is_simulated(&serial),
        revision: hex(&target.model().revision()),
        revision_refused: target.model_refused().map(|status| format!("{:02X}", status.0)),
        usable: problem.is_none(),
        problem,
        stage: Stage::of(zone),
        config_locked: zone.config_locked(),
        data_locked: zone.data_locked(),
        otp_refused: product.as_ref().err().map(|status| format!("{:02X}", status.0)),
        product: product.unwrap_or_default(),
        profile: profile.map(|profile| profile.name.as_str()),
        recognised: recognised::recognise(zone).filter(|_| is_608).map(|known| known.name),
        chip_options: words::chip_options(zone.chip_options()),
        clock_divider: words::clock_divider(zone.clock_divider()),
        counters: [zone.counter(0), zone.counter(1)],
        latch: asked.latch.map(LatchState::from),
        state_file: store.path().display().to_string(),
        state_problem: store.damage().map(str::to_owned),
        slots: Slot::all()
            .map(|slot| slot_info(target, zone, store, profile, slot, asked.keys[slot.index()]))
            .collect(),
        objects: objects(store),
    }
}

fn slot_info(
    target: &Target,
    zone: &ConfigZone,
    store: &Store,
    profile: Option<&Profile>,
    slot: Slot,
    asked: Option<SlotAsked>,
) -> SlotInfo {
    let entry = profile.map(|profile| profile.slot(slot));
    let key = zone.key_config(slot).is_p256_private().then(|| {
        let state = store.state().slot(slot).cloned().unwrap_or_default();
        let presence = asked.map_or(Presence::Unknown, |asked| asked.presence);
        let refused = asked.and_then(|asked| asked.refused).map(|status| status.to_string());
        let shown = key_slots(zone, profile, &target.token.objects, true).into_iter().find(|key| key.slot == slot);
        match shown.filter(|_| presence == Presence::Present) {
            Some(shown) => KeyInfo {
                presence,
                refused,
                label: Some(state.label.clone().unwrap_or(shown.default_label)),
                id: id_of(&state).or(shown.configured_id).map(|id| hex(&id)),
            },
            None => KeyInfo { presence, refused, label: None, id: None },
        }
    });
    SlotInfo {
        slot: slot.number(),
        name: entry.map(|entry| entry.name.clone()),
        kind: words::kind(zone, slot),
        rules: words::rules(zone, slot),
        locked: zone.slot_locked(slot),
        slot_config: words::word(zone.slot_config(slot).0),
        key_config: words::word(zone.key_config(slot).0),
        key,
        purpose: entry.map(|entry| entry.purpose.clone()),
    }
}

/// Returns the stored id, else the one derived from the last known public key.
fn id_of(state: &SlotState) -> Option<Vec<u8>> {
    let from_key =
        || state.public_key.as_deref().and_then(Point::from_uncompressed).map(|point| point.key_id().to_vec());
    state.id.clone().or_else(from_key)
}

fn objects(store: &Store) -> Vec<ObjectInfo> {
    let objects = store.state().objects.iter();
    objects
        .map(|object| ObjectInfo {
            class: match object.class {
                StoredClass::Certificate => "certificate",
                StoredClass::Data => "data",
                StoredClass::PublicKey => "public key",
            },
            label: object.label.clone(),
            id: hex(&object.id),
            bytes: object.value.len(),
        })
        .collect()
}

/// Formats the output. Writing to a string does not fail, so the results of `writeln!` are ignored.
fn text(info: &Info) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<15} {}", visible(value));
    };
    let simulated = if info.simulated { " (simulated: its keys are in a file and protect nothing)" } else { "" };
    line("chip", &format!("{}{simulated}", info.model));
    line("serial number", &info.serial_number);
    line("token", &format!("\"{}\", serial number {}", info.label, info.token_serial_number));
    line("place", &format!("{} at {}", info.bus, info.address));
    match &info.revision_refused {
        None => line("revision", &info.revision),
        Some(status) => line(
            "revision",
            &format!("{}, from its configuration zone: the chip refuses to report it (status {status})", info.revision),
        ),
    }
    let locks = format!(
        "configuration {}, data and OTP {}: {}",
        words::locked(info.config_locked),
        words::locked(info.data_locked),
        info.stage
    );
    line("locks", &locks);
    if let Some(status) = &info.otp_refused {
        line("product", &format!("unknown: the chip refuses to read its OTP zone (status {status})"));
    }
    if let Some(product) = &info.product {
        line("product", &format!("{}: its OTP zone begins with {}", product.name, product.otp_code));
    }
    line("profile", info.profile.or(info.recognised).unwrap_or("none of ours"));
    line("chip options", &info.chip_options.join("; "));
    line("clock divider", info.clock_divider);
    let counter = |value: Option<u32>| value.map_or("(no valid encoding)".to_owned(), |value| value.to_string());
    line("counters", &format!("{} and {}", counter(info.counters[0]), counter(info.counters[1])));
    if let Some(latch) = info.latch {
        line("latch", &format!("{} (`atecc608 latch show`)", latch.text()));
    }
    line("state", info.state_problem.as_ref().unwrap_or(&info.state_file));
    if let Some(problem) = &info.problem {
        line("note", problem);
    }
    if let Some(refused) = refused(info) {
        line("note", &refused);
    }
    text.push('\n');
    text += &table(info);
    for object in &info.objects {
        let _ =
            writeln!(text, "{} \"{}\", id {}, {} bytes", object.class, visible(&object.label), object.id, object.bytes);
    }
    text
}

/// Returns one sentence about the slots whose presence of a key the chip refused to tell.
fn refused(info: &Info) -> Option<String> {
    let status = |slot: &SlotInfo| slot.key.as_ref().and_then(|key| key.refused.clone());
    let slots: Vec<&SlotInfo> = info.slots.iter().filter(|slot| status(slot).is_some()).collect();
    let numbers: Vec<String> = slots.iter().map(|slot| slot.slot.to_string()).collect();
    Some(format!(
        "slot {}: the chip refuses to report whether it holds a key, {}; the table shows the result of GenKey, and \
         nothing is generated or imported there",
        numbers.join(", "),
        slots.first().and_then(|slot| status(slot))?
    ))
}

/// Returns the sixteen slots, in columns of the necessary width.
fn table(info: &Info) -> String {
    let head = ["slot", "words", "name", "holds", "may"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(info.slots.iter().map(|slot| row(info, slot))).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
    text
}

fn row(info: &Info, slot: &SlotInfo) -> [String; 5] {
    let holds = match &slot.key {
        Some(KeyInfo { presence: Presence::Present, label, id, .. }) => match (label, id) {
            (Some(label), Some(id)) => format!("key \"{}\", id {}", visible(label), shortened(id)),
            (Some(label), None) => format!("key \"{}\"", visible(label)),
            _ => "key".to_owned(),
        },
        Some(KeyInfo { presence: Presence::Destroyed, refused: None, .. }) => "destroyed key, free".to_owned(),
        Some(KeyInfo { presence: Presence::Destroyed, .. }) => "destroyed key".to_owned(),
        Some(KeyInfo { presence: Presence::None, .. }) => "no key".to_owned(),
        // A blank chip is not queried: it holds none.
        Some(KeyInfo { presence: Presence::Unknown, .. }) if !info.config_locked => format!("for a {}", slot.kind),
        Some(KeyInfo { presence: Presence::Unknown, .. }) => "unknown: the chip refuses to report it".to_owned(),
        None => slot.kind.to_owned(),
    };
    let locked = slot.locked.then(|| "slot locked".to_owned());
    let may: Vec<String> = locked.into_iter().chain(slot.rules.iter().cloned()).collect();
    [
        slot.slot.to_string(),
        format!("{} {}", slot.slot_config, slot.key_config),
        slot.name.clone().unwrap_or_default(),
        holds,
        may.join(", "),
    ]
}

/// Ids of 20 bytes are too long for the table.
fn shortened(id: &str) -> String {
    match id.get(..12) {
        Some(start) if id.len() > 16 => format!("{start}..."),
        _ => id.to_owned(),
    }
}
