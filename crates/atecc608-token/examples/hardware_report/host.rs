// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine's data about the bus.

use std::fs;
use std::path::Path;

use atecc608_token::config::BusLocation;

use crate::report::Host;

/// Returns facts about the machine; unknown ones are left out.
pub fn describe(bus: &BusLocation, address: u8, i2c_hz: Option<u32>) -> Host {
    let release = text("/proc/sys/kernel/osrelease").unwrap_or_default();
    let node = match bus {
        BusLocation::Linux(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
        _ => None,
    };
    let of = |what: &str| node.as_ref().map(|node| format!("/sys/class/i2c-dev/{node}/device/{what}"));
    Host {
        kernel: format!("{release} {}", std::env::consts::ARCH),
        board: text("/proc/device-tree/model"),
        bus: bus.to_string(),
        adapter: of("name").and_then(text),
        i2c_hz: i2c_hz.or_else(|| of("of_node/clock-frequency").and_then(big_endian)),
        address: format!("{address:#04x}"),
    }
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim_end_matches(['\n', '\0']).to_owned())
}

/// A property of the device tree: four bytes.
fn big_endian(path: String) -> Option<u32> {
    Some(u32::from_be_bytes(fs::read(path).ok()?.try_into().ok()?))
}
