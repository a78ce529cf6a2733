// SPDX-License-Identifier: MIT OR Apache-2.0
//! The element `ConfigurationZone` of the XML of Microchip's Trust Platform and its configurators. The rest of such a
//! file, which may contain secrets for the data zone, is ignored.

use base16ct::mixed;
use roxmltree::{Document, Node};

use atecc608_wire::config_zone::offset;
use atecc608_wire::ConfigZone;

/// Elements with the bytes of one field: name, place, length. Those of an ATECC508A and of a 608.
const FIELDS: [(&str, usize, usize); 22] = [
    ("SN01", 0, 2),
    ("SN8", 12, 1),
    ("AESEnable", 13, 1),
    ("I2CEnable", 14, 1),
    ("I2CAddress", offset::I2C_ADDRESS, 1),
    ("CountMatch", offset::COUNT_MATCH, 1),
    ("OTPMode", offset::COUNT_MATCH, 1),
    ("ChipMode", offset::CHIP_MODE, 1),
    ("Counter0", offset::COUNTERS, 8),
    ("Counter1", offset::COUNTERS + 8, 8),
    ("LastKeyUse", offset::USE_LOCK, 16),
    ("UseLock", offset::USE_LOCK, 1),
    ("VolatileKeyPermission", offset::VOLATILE_KEY_PERMISSION, 1),
    ("SecureBoot", offset::SECURE_BOOT, 2),
    ("KdfIvLoc", 72, 1),
    ("KdfIvStr", 73, 2),
    ("UserExtra", offset::USER_EXTRA, 1),
    ("UserExtraAdd", offset::USER_EXTRA_ADD, 1),
    ("Selector", offset::USER_EXTRA_ADD, 1),
    ("SlotLocked", offset::SLOT_LOCKED, 2),
    ("ChipOptions", offset::CHIP_OPTIONS, 2),
    ("X509format", 92, 4),
];
/// Lists with two bytes for each slot: the name of the list, of its elements, and the place.
const LISTS: [(&str, &str, usize); 2] = [
    ("SlotConfigurations", "SlotConfiguration", offset::SLOT_CONFIG),
    ("KeyConfigurations", "KeyConfiguration", offset::KEY_CONFIG),
];

struct Reading<'d> {
    document: &'d Document<'d>,
    zone: ConfigZone,
    /// The bytes that the file has named.
    named: [bool; ConfigZone::LEN],
}

/// Parses such a file.
///
/// # Errors
/// The line and the element, and the expected form.
pub(super) fn read(text: &str) -> Result<ConfigZone, String> {
    let document = Document::parse(text).map_err(|error| format!("not XML: {error}"))?;
    let mut zones = document.descendants().filter(|node| node.tag_name().name() == "ConfigurationZone");
    let (Some(root), None) = (zones.next(), zones.next()) else {
        return Err("expected one element <ConfigurationZone>, as Microchip's Trust Platform writes it".to_owned());
    };
    let zone = super::file::unnamed_zone();
    let mut reading = Reading { document: &document, zone, named: [false; ConfigZone::LEN] };
    for node in root.children().filter(Node::is_element) {
        reading.element(node)?;
    }
    let must = (offset::I2C_ADDRESS..offset::COUNTERS).chain(offset::KEY_CONFIG..ConfigZone::LEN);
    match must.into_iter().find(|at| !reading.named[*at] && *at != offset::I2C_ADDRESS + 1) {
        Some(at) => Err(format!("<ConfigurationZone> is incomplete: no element has byte {at}")),
        None => Ok(reading.zone),
    }
}

impl Reading<'_> {
    fn element(&mut self, node: Node<'_, '_>) -> Result<(), String> {
        let name = node.tag_name().name();
        if let Some((_, at, len)) = FIELDS.iter().find(|(known, ..)| *known == name) {
            return self.put(node, *at, *len);
        }
        if let Some((_, element, at)) = LISTS.iter().find(|(known, ..)| *known == name) {
            for node in node.children().filter(Node::is_element) {
                if node.tag_name().name() != *element {
                    return Err(self.problem(node, &format!("expected <{element}>")));
                }
                let slot = node.attribute("Index").and_then(|index| u8::from_str_radix(index, 16).ok());
                let slot = slot.filter(|slot| *slot < 16);
                let slot = slot.ok_or_else(|| self.problem(node, "expected Index=\"0\" to \"F\""))?;
                self.put(node, at + 2 * usize::from(slot), 2)?;
            }
            return Ok(());
        }
        if name == "Reserved" {
            let number = |name: &str| node.attribute(name).and_then(|number| number.parse::<usize>().ok());
            let place = number("Address").zip(number("Size"));
            let place = place.filter(|(at, len)| at.checked_add(*len).is_some_and(|end| end <= ConfigZone::LEN));
            let (at, len) = place.ok_or_else(|| self.problem(node, "expected Address and Size within 128 bytes"))?;
            return self.put(node, at, len);
        }
        Err(self.problem(node, "this element is not known here"))
    }

    fn put(&mut self, node: Node<'_, '_>, at: usize, len: usize) -> Result<(), String> {
        let digits: String = node.text().unwrap_or_default().split_whitespace().collect();
        let bytes = mixed::decode_vec(&digits).ok().filter(|bytes| bytes.len() == len);
        let bytes = bytes.ok_or_else(|| self.problem(node, &format!("expected {} hex digits", 2 * len)))?;
        if self.named[at..at + len].contains(&true) {
            return Err(self.problem(node, "an element before it has the same bytes"));
        }
        self.named[at..at + len].fill(true);
        self.zone.as_bytes_mut()[at..at + len].copy_from_slice(&bytes);
        Ok(())
    }

    fn problem(&self, node: Node<'_, '_>, problem: &str) -> String {
        let line = self.document.text_pos_at(node.range().start).row;
        format!("line {line}: <{}>: {problem}", node.tag_name().name())
    }
}
