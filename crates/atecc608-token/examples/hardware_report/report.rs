// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report: the file that a user attaches to a bug.

use std::collections::BTreeMap;

use atecc608_sim::Switches;
use atecc608_wire::ConfigZone;
use serde::{Deserialize, Serialize};

/// The format of the file; another number means other fields.
pub const FORMAT: u32 = 1;

/// All observations of one chip.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The program that wrote it.
    pub tool: String,
    /// The machine and the bus.
    pub host: Host,
    /// The chip.
    pub chip: Chip,
    /// Whether `--sacrifice` was given: the findings begin with a blank chip and end with a locked one.
    pub sacrificed: bool,
    /// The differences from the simulated chip's strict defaults, in the form of `atecc608-sim serve --switches`.
    pub switches: String,
    /// Numbers: bus clock, wake delay, watchdog.
    pub measures: Vec<Measure>,
    /// Execution times of commands.
    pub timings: Vec<Timing>,
    /// Results of the probes.
    pub findings: Vec<Finding>,
}

/// The machine and the bus.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Host {
    /// Kernel release and architecture.
    pub kernel: String,
    /// The board, as the device tree names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// The bus, as given on the command line.
    pub bus: String,
    /// The adapter's name, from the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The bus clock from the kernel or the user; `None` if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub i2c_hz: Option<u32>,
    /// The 7-bit address, as i2cdetect prints it.
    pub address: String,
}

/// The chip before the examination.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chip {
    /// Its model, as Info(Revision) names it.
    pub model: String,
    /// The response to Info(Revision), 8 hex digits. Empty in reports of earlier versions.
    #[serde(default)]
    pub revision: String,
    /// 18 hex digits; the twelve in the middle that are individual are `xx` unless `--with-serial` was given. Empty in
    /// reports of earlier versions.
    #[serde(default)]
    pub serial_number: String,
    /// The same under its earlier name, which will be removed in the next version.
    pub serial: String,
    /// Its serial number is one of the simulator's.
    pub simulated: bool,
    /// The configuration zone, 16 bytes a line; the serial's own bytes as above.
    pub configuration: Vec<String>,
    /// Slots with a valid key, as Info says.
    pub keys: Vec<u8>,
}

/// One number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measure {
    /// Its name.
    pub name: String,
    /// Section of the fact sheet.
    pub section: String,
    /// Its unit.
    pub unit: String,
    /// The values, one for each attempt; empty if it could not be measured.
    pub values: Vec<u64>,
    /// The guaranteed minimum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u64>,
    /// The guaranteed maximum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// The possible error of a value.
    pub accuracy: u64,
    /// Why there is no value, or what it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Measure {
    /// Whether all values are within the guaranteed limits, given their accuracy.
    pub fn is_within(&self) -> bool {
        let low = self.at_least.unwrap_or(0).saturating_sub(self.accuracy);
        let high = self.at_most.unwrap_or(u64::MAX).saturating_add(self.accuracy);
        self.values.iter().all(|value| (low..=high).contains(value))
    }
}

/// Execution times of one command in one mode, in microseconds, successful executions only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timing {
    /// Command and mode byte.
    pub command: String,
    /// How many executions.
    pub n: usize,
    /// The shortest.
    pub min_us: u64,
    /// The median.
    pub median_us: u64,
    /// The longest.
    pub max_us: u64,
    /// The maximum that driver and simulator assume (section 4).
    pub assumed_max_us: u64,
    /// The typical time that they assume.
    pub assumed_typical_us: u64,
}

/// The result of one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Lock state of the chip at that time.
    pub state: String,
    /// Its name: that of the switch that it sets, if it sets one.
    pub name: String,
    /// Section of the fact sheet.
    pub section: String,
    /// The question.
    pub question: String,
    /// The observation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// The switch of the simulated chip (crates/atecc608-sim/src/switches.rs) that this sets, and its position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<Switch>,
    /// Why the probe did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_asked: Option<String>,
}

/// A switch of the simulated chip and its position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// The field of `Switches`.
    pub name: String,
    /// `on`, `off`, or a status byte; `None` if the observation fits no position.
    pub position: Option<String>,
    /// The strict default.
    pub default: String,
}

impl Report {
    /// Returns the switches of this chip, as changes of the strict defaults.
    pub fn switches_seen(findings: &[Finding]) -> Switches {
        let seen: BTreeMap<&str, &str> = findings
            .iter()
            .filter_map(|finding| finding.switch.as_ref())
            .filter_map(|switch| Some((switch.name.as_str(), switch.position.as_deref()?)))
            .collect();
        let line: Vec<String> = seen.into_iter().map(|(name, position)| format!("{name}={position}")).collect();
        line.join(",").parse().unwrap_or_default()
    }

    /// Returns the configuration zone; masked bytes become those of a simulated chip's serial number.
    pub fn config(&self) -> Result<ConfigZone, String> {
        let tokens: Vec<&str> = self.chip.configuration.iter().flat_map(|line| line.split_whitespace()).collect();
        let mut bytes = [0; ConfigZone::LEN];
        if tokens.len() != bytes.len() {
            return Err(format!("its configuration has {} bytes instead of 128", tokens.len()));
        }
        let stand_in = [0x01, 0x23, 0x53, 0x49, 0, 0, 0, 0, 0x4D, 0, 0, 0, 0xEE];
        for (at, (byte, token)) in bytes.iter_mut().zip(tokens).enumerate() {
            *byte = match token {
                "xx" => stand_in.get(at).copied().unwrap_or(0),
                digits => u8::from_str_radix(digits, 16)
                    .map_err(|_| format!("\"{digits}\" in its configuration is no byte"))?,
            };
        }
        Ok(ConfigZone::new(bytes))
    }
}

/// Returns the configuration as lines of 16 bytes. Bytes 2, 3 and 8 to 11 are the individual part of the serial number.
pub fn configuration_lines(config: &ConfigZone, with_serial: bool) -> Vec<String> {
    let own = |at: usize| matches!(at, 2 | 3 | 8..=11);
    let text = |(at, byte): (usize, &u8)| {
        if own(at) && !with_serial {
            "xx".to_owned()
        } else {
            format!("{byte:02X}")
        }
    };
    let tokens: Vec<String> = config.as_bytes().iter().enumerate().map(text).collect();
    tokens.chunks(16).map(|line| line.join(" ")).collect()
}

/// Returns the serial number: 18 hex digits, the individual ones masked unless `with_serial`.
pub fn serial_text(config: &ConfigZone, with_serial: bool) -> String {
    let serial = config.serial_number().to_string();
    if with_serial {
        serial
    } else {
        format!("{}xxxxxxxxxxxx{}", &serial[..4], &serial[16..])
    }
}
