// SPDX-License-Identifier: MIT OR Apache-2.0
//! The differences between two configurations: field by field, slot by slot, in words.

use base16ct::lower::encode_string as hex;
use serde::Serialize;

use super::fields::{fields, ChangedBy, Field};
use atecc608_contents::words;
use atecc608_wire::{ConfigZone, Slot};

/// A field of the configuration that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name.
    pub field: String,
    /// Its present value.
    pub now: String,
    /// Its new value.
    pub becomes: String,
    /// What can change it once the configuration is locked.
    #[serde(skip)]
    pub changed_by: ChangedBy,
}

impl Change {
    /// Whether the change is by normal use: counters. It does not make another configuration.
    pub fn is_by_use(&self) -> bool {
        self.changed_by == ChangedBy::Use
    }
}

/// Returns the fields in which the two zones differ, in the order of their bytes, the slots last.
pub(crate) fn changes(now: &ConfigZone, wanted: &ConfigZone) -> Vec<Change> {
    let mut changes: Vec<Change> = fields(now)
        .into_iter()
        .zip(fields(wanted))
        .filter(|(old, new)| now.as_bytes()[old.at..old.at + old.len] != wanted.as_bytes()[new.at..new.at + new.len])
        .map(|(old, new)| {
            let shown = |zone: &ConfigZone, field: &Field| {
                let value = hex(&zone.as_bytes()[field.at..field.at + field.len]);
                let meaning = if field.meaning.is_empty() { String::new() } else { format!(" ({})", field.meaning) };
                format!("{value}{meaning}")
            };
            let (field, changed_by) = (old.name.to_owned(), old.changed_by);
            Change { field, now: shown(now, &old), becomes: shown(wanted, &new), changed_by }
        })
        .collect();
    for slot in Slot::all() {
        let words_of = |zone: &ConfigZone| (zone.slot_config(slot), zone.key_config(slot));
        if words_of(now) != words_of(wanted) {
            let (now, becomes) = (shown(now, slot), shown(wanted, slot));
            changes.push(Change { field: format!("slot {slot}"), now, becomes, changed_by: ChangedBy::Nothing });
        }
    }
    changes
}

/// A slot's rules, as numbers and in words.
pub(crate) fn shown(zone: &ConfigZone, slot: Slot) -> String {
    format!(
        "{} {} ({}: {})",
        words::word(zone.slot_config(slot).0),
        words::word(zone.key_config(slot).0),
        words::kind(zone, slot),
        words::rules(zone, slot).join(", ")
    )
}

/// The changes as three lines each.
pub(crate) fn text(changes: &[Change]) -> String {
    changes
        .iter()
        .map(|Change { field, now, becomes, .. }| format!("   {field}\n     - {now}\n     + {becomes}\n"))
        .collect()
}
