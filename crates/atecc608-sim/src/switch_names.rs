// SPDX-License-Identifier: MIT OR Apache-2.0
//! Switches by name, as text: `check_mac_copies=off,ecdh_bad_point=05`. A report on a real chip contains such a line
//! with its differences from the strict defaults, and `atecc608-sim serve --switches` simulates a chip with that
//! behaviour.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::switches::Switches;

/// A text that is not a valid list of switches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SwitchError(String);

impl Switches {
    /// Name and position of each switch, by name: `on`, `off`, or a byte as two hex digits.
    pub fn positions(&self) -> Vec<(String, String)> {
        let fields = match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        fields.into_iter().map(|(name, value)| (name, position(&value))).collect()
    }
}

fn position(value: &Value) -> String {
    match value {
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl FromStr for Switches {
    type Err = SwitchError;

    /// Parses `name=position,...` as changes of the defaults; `none` for no changes.
    fn from_str(text: &str) -> Result<Self, SwitchError> {
        let mut fields = Map::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "none") {
            let (name, position) = part
                .split_once('=')
                .ok_or_else(|| SwitchError(format!("\"{part}\": expected name=on, name=off or name=status")))?;
            let value = match position.trim() {
                "on" => Value::Bool(true),
                "off" => Value::Bool(false),
                other => Value::String(other.to_owned()),
            };
            fields.insert(name.trim().to_owned(), value);
        }
        serde_json::from_value(Value::Object(fields)).map_err(|error| SwitchError(error.to_string()))
    }
}

impl fmt::Display for Switches {
    /// Prints the differences from the defaults; `none` if there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, defaults) = (self.positions(), Self::default().positions());
        let changed: Vec<String> = ours
            .into_iter()
            .filter(|position| !defaults.contains(position))
            .map(|(name, position)| format!("{name}={position}"))
            .collect();
        f.write_str(if changed.is_empty() { "none" } else { "" })?;
        f.write_str(&changed.join(","))
    }
}

/// A byte as two hex digits.
pub(super) mod byte {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(byte: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{byte:02X}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
        let text = String::deserialize(deserializer)?;
        u8::from_str_radix(&text, 16).map_err(|_| D::Error::custom(format!("\"{text}\" is not a hexadecimal byte")))
    }
}

/// A status byte as two hex digits.
pub(super) mod status {
    use serde::{Deserializer, Serializer};

    use atecc608_wire::Status;

    pub(crate) fn serialize<S: Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
        super::byte::serialize(&status.0, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Status, D::Error> {
        super::byte::deserialize(deserializer).map(Status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atecc608_wire::Status;

    #[test]
    fn named_positions_are_set_and_the_others_stay_strict() {
        let switches: Switches = "check_mac_copies=off, ecdh_bad_point=05".parse().unwrap();
        let expected = Switches { check_mac_copies: false, ecdh_bad_point: Status::ECC_FAULT, ..Switches::default() };
        assert_eq!(switches, expected);
        assert_eq!(switches.to_string(), "check_mac_copies=off,ecdh_bad_point=05");
        assert_eq!(switches.to_string().parse(), Ok(switches));
    }

    #[test]
    fn none_is_the_defaults_both_ways() {
        assert_eq!("none".parse(), Ok(Switches::default()));
        assert_eq!(Switches::default().to_string(), "none");
    }

    #[test]
    fn what_is_no_switch_or_no_position_of_one_is_refused_by_name() {
        for (text, named) in [
            ("colour=on", "colour"),
            ("check_mac_copies", "check_mac_copies"),
            ("check_mac_copies=05", "05"),
            ("ecdh_bad_point=on", "true"),
            ("ecdh_bad_point=XY", "XY"),
        ] {
            let error = text.parse::<Switches>().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn every_switch_has_a_position() {
        let positions = Switches::default().positions();
        assert!(positions.iter().all(|(_, position)| position == "on" || position == "off" || position.len() == 2));
        assert!(positions.contains(&("any_traffic_wakes".to_owned(), "on".to_owned())));
    }
}
