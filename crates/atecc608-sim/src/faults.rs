// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults on request.
//!
//! # The language
//!
//! A list of faults separated by commas or blanks. N counts from 1, from the moment the faults are set:
//!
//! | fault | effect |
//! | --- | --- |
//! | `flip@N:BIT` | bit BIT of the reply to the Nth command is flipped when it is first read (bit 0 is the lowest of the count byte, 8 the lowest of the next) |
//! | `garble@N:BIT` | bit BIT of the Nth command arrives flipped |
//! | `drop@N` | the Nth command is executed, its reply is lost: reads give FF |
//! | `doze@N` | the Nth command is executed, then the chip falls asleep |
//! | `status@N:HEX` | the Nth command is not executed; the response is this status byte |
//! | `refuse@OPCODE:MODE:HEX` | every command with this opcode and this param1 (two hex digits each) is not executed; the response is this status byte, as from a chip that does not have that mode: `refuse@30:01:03` |
//! | `busy@N` | the Nth command is not executed, and the chip stays busy until its watchdog or a power cycle |
//! | `busy@N:MS` | the Nth command is executed, and the chip stays busy for MS milliseconds more |
//! | `nack@N*COUNT` | from the Nth transfer on, COUNT transfers are not acknowledged (`*COUNT` may be left out: one) |
//! | `pull@N` | the chip is removed from the bus before the Nth transfer |
//! | `insert@N` | it is inserted before the Nth transfer |
//! | `power@N` | power is lost when N more bytes of EEPROM have been programmed; the block that contains the Nth+1 stays old |
//! | `stretch@N:PERCENT` | the Nth command takes PERCENT longer, even beyond its maximum |
//! | `stretch:PERCENT` | every command does |
//! | `health@N` | the random number generator fails its health test in the Nth command: commands that need it return 08 until the next wake (with ChipOptions bit 3, once) |
//! | `rate:PERMILLE:SEED` | PERMILLE of 1000 commands and of 1000 transfers have one of flip, garble, drop, doze, status, busy, stretch, power (which returns), nack, pull (and insert, some transfers later), drawn from SEED (status 05 only of commands that compute on the curve); without `:SEED` from a random seed, which is logged |
//! | `kill@N:MOMENT` | the process dies (SIGKILL, nothing is cleaned up) at the Nth programmed block: `before` its image file is touched, when the new one is `half` written, when it is `synced`, or after it was `renamed` into place. Only `atecc608-sim serve` accepts it |
//! | `selftest:HEX` | the self-tests in this bit map fail |
//!
//! A command is a whole packet, damaged or not; a transfer is everything between START and STOP, wake pulses included.
//! `none` (or an empty text) means no faults.

use std::str::FromStr;

use super::fault_rate::FaultRate;

/// A fault that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fault \"{fault}\": {problem}")]
pub struct FaultSpecError {
    /// The fault as written.
    pub fault: String,
    /// What is wrong with it, and the expected form.
    pub problem: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Flip(usize),
    Garble(usize),
    Drop,
    Doze,
    Status(u8),
    Busy(Option<u64>),
    Stretch(u64),
    Health,
    Nack(u64),
    Pull,
    Insert,
}

/// A moment in the replacement of an image file, in chronological order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// No file has been touched.
    Before,
    /// The temporary file holds the first half.
    Half,
    /// The temporary file is complete and synced.
    Synced,
    /// The temporary file has become the image.
    Renamed,
}

/// When the simulator's process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    /// At which programmed block, counted from 1.
    pub(crate) block: usize,
    /// At which moment within it.
    pub(crate) moment: Moment,
}

/// A mode of a command that the chip does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused {
    opcode: u8,
    mode: u8,
    status: u8,
}

/// Planned faults, with the counters that trigger them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    planned: Vec<(u64, Action)>,
    refused: Vec<Refused>,
    power_after: Option<usize>,
    kill: Option<Kill>,
    self_test: u8,
    /// Percentage by which every command takes longer.
    stretch: u64,
    rate: Option<FaultRate>,
    commands: u64,
    transfers: u64,
}

/// The faults of one command.
#[derive(Debug, Default)]
pub(crate) struct CommandFaults {
    pub(crate) garbled_bit: Option<usize>,
    pub(crate) flipped_bits: Vec<usize>,
    pub(crate) dropped: bool,
    pub(crate) dozes: bool,
    pub(crate) status: Option<u8>,
    /// Not executed; the response is 05, if the command computes on the curve: no other has that status.
    pub(crate) ecc_fault: bool,
    /// Busy for ever, or for this many milliseconds more.
    pub(crate) busy: Option<Option<u64>>,
    /// Percentage by which it takes longer.
    pub(crate) stretch: u64,
    /// The random number generator fails its health test.
    pub(crate) unhealthy: bool,
    /// Power is lost when this many more bytes have been programmed.
    pub(crate) power_after: Option<usize>,
}

/// The faults of one transfer.
#[derive(Debug, Default)]
pub(crate) struct TransferFaults {
    pub(crate) nack: bool,
    pub(crate) pull: bool,
    pub(crate) insert: bool,
    pub(crate) power_off: bool,
    pub(crate) power_on: bool,
}

impl Faults {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// The number of EEPROM bytes after which power is lost.
    pub(crate) fn power_after(&self) -> Option<usize> {
        self.power_after
    }

    /// When the process dies.
    pub(crate) fn kill(&self) -> Option<Kill> {
        self.kill
    }

    /// Removes a planned kill of the process.
    pub(crate) fn spare_process(&mut self) {
        if self.kill.take().is_some() {
            log::error!("the fault kill@N is ignored: it works only with atecc608-sim serve");
        }
    }

    /// Self-tests that fail.
    pub(crate) fn self_test(&self) -> u8 {
        self.self_test
    }

    pub(crate) fn on_command(&mut self) -> CommandFaults {
        self.commands += 1;
        let mut faults = CommandFaults { stretch: self.stretch, ..CommandFaults::default() };
        for (at, action) in &self.planned {
            if *at != self.commands {
                continue;
            }
            match *action {
                Action::Flip(bit) => faults.flipped_bits.push(bit),
                Action::Garble(bit) => faults.garbled_bit = Some(bit),
                Action::Drop => faults.dropped = true,
                Action::Doze => faults.dozes = true,
                Action::Status(status) => faults.status = Some(status),
                Action::Busy(millis) => faults.busy = Some(millis),
                Action::Stretch(percent) => faults.stretch = faults.stretch.saturating_add(percent),
                Action::Health => faults.unhealthy = true,
                Action::Nack(_) | Action::Pull | Action::Insert => {}
            }
        }
        if let Some(rate) = &mut self.rate {
            rate.on_command(&mut faults);
        }
        faults
    }

    /// Returns the status with which every command with this opcode and param1 is refused, if one is set.
    pub(crate) fn refusal(&self, opcode: u8, mode: u8) -> Option<u8> {
        let refused = self.refused.iter().find(|refused| (refused.opcode, refused.mode) == (opcode, mode));
        refused.map(|refused| refused.status)
    }

    pub(crate) fn on_transfer(&mut self) -> TransferFaults {
        self.transfers += 1;
        let mut faults = TransferFaults::default();
        for (at, action) in &self.planned {
            match *action {
                Action::Nack(count) => faults.nack |= (*at..at.saturating_add(count)).contains(&self.transfers),
                Action::Pull => faults.pull |= *at == self.transfers,
                Action::Insert => faults.insert |= *at == self.transfers,
                _ => {}
            }
        }
        if let Some(rate) = &mut self.rate {
            rate.on_transfer(&mut faults);
        }
        faults
    }

    /// Power was lost during programming: a fault rate plans its return.
    pub(crate) fn on_power_lost(&mut self) {
        if let Some(rate) = &mut self.rate {
            rate.on_power_lost();
        }
    }

    /// Adds a fault that does not count commands, transfers or bytes; returns whether it is one.
    fn add_uncounted(&mut self, name: &str, argument: Option<&str>) -> Result<bool, String> {
        match name {
            "selftest" => self.self_test |= hex(argument)?,
            "stretch" => self.stretch = number(argument, "PERCENT")?,
            "rate" => self.rate = Some(rate(argument)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn add(&mut self, fault: &str) -> Result<(), String> {
        let (name, rest) = fault.split_at(fault.find(['@', ':', '*']).unwrap_or(fault.len()));
        let (rest, count) = split(rest, '*');
        let (nth, argument) = split(rest, ':');
        if count.is_some() && name != "nack" {
            return Err("only nack takes *COUNT".to_owned());
        }
        if nth.is_empty() && self.add_uncounted(name, argument)? {
            return Ok(());
        }
        let nth = nth.strip_prefix('@').ok_or_else(|| known(name))?;
        if name == "refuse" {
            let (mode, status) = split(argument.unwrap_or_default(), ':');
            self.refused.push(Refused { opcode: hex(Some(nth))?, mode: hex(Some(mode))?, status: hex(status)? });
            return Ok(());
        }
        let nth = number(Some(nth), "N after @")?;
        let plain =
            |action| if argument.is_some() { Err(format!("{name}@N takes no argument after N")) } else { Ok(action) };
        let action = match name {
            "flip" => Action::Flip(number(argument, "BIT")?),
            "garble" => Action::Garble(number(argument, "BIT")?),
            "status" => Action::Status(hex(argument)?),
            "busy" => Action::Busy(argument.map(|millis| number(Some(millis), "MS")).transpose()?),
            "nack" => plain(Action::Nack(count.map_or(Ok(1), |count| number(Some(count), "COUNT"))?))?,
            "drop" => plain(Action::Drop)?,
            "doze" => plain(Action::Doze)?,
            "stretch" => Action::Stretch(number(argument, "PERCENT")?),
            "health" => plain(Action::Health)?,
            "selftest" | "rate" => return Err(format!("{name} takes no @N: write selftest:HEX or rate:PERMILLE:SEED")),
            "pull" => plain(Action::Pull)?,
            "insert" => plain(Action::Insert)?,
            "kill" => {
                let moment = moment(argument)?;
                self.kill = Some(Kill { block: nth, moment });
                return if nth == 0 { Err(FROM_ONE.to_owned()) } else { Ok(()) };
            }
            "power" => {
                plain(Action::Pull)?;
                self.power_after = Some(nth);
                return Ok(());
            }
            _ => return Err(known(name)),
        };
        if nth == 0 {
            return Err(FROM_ONE.to_owned());
        }
        self.planned.push((nth as u64, action));
        Ok(())
    }
}

const FROM_ONE: &str = "N counts from 1";

fn known(name: &str) -> String {
    format!(
        "\"{name}\" is not one of flip@N:BIT, garble@N:BIT, drop@N, doze@N, status@N:HEX, refuse@OPCODE:MODE:HEX, busy@N, busy@N:MS, \
         nack@N*COUNT, pull@N, insert@N, power@N, stretch@N:PERCENT, stretch:PERCENT, health@N, kill@N:MOMENT, \
         rate:PERMILLE:SEED, selftest:HEX, none"
    )
}

/// Returns the text before the mark, and the text after it if the mark is there.
fn split(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn number<T: FromStr>(text: Option<&str>, what: &str) -> Result<T, String> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| format!("{what} must be a decimal number"))
}

/// PERMILLE, or PERMILLE:SEED.
fn rate(argument: Option<&str>) -> Result<FaultRate, String> {
    let (permille, seed) = argument.map_or(("", None), |argument| split(argument, ':'));
    let permille = number(Some(permille), "PERMILLE")?;
    if permille > 1000 {
        return Err("PERMILLE is at most 1000".to_owned());
    }
    let seed = match seed {
        Some(seed) => number(Some(seed), "SEED")?,
        None => {
            let mut seed = [0; 4];
            getrandom::fill(&mut seed).map_err(|error| format!("cannot generate a random seed: {error}"))?;
            let seed = u64::from(u32::from_le_bytes(seed));
            log::warn!("simulated faults: to repeat this run, use rate:{permille}:{seed}");
            seed
        }
    };
    Ok(FaultRate::new(permille, seed))
}

fn moment(text: Option<&str>) -> Result<Moment, String> {
    Ok(match text {
        Some("before") => Moment::Before,
        Some("half") => Moment::Half,
        Some("synced") => Moment::Synced,
        Some("renamed") => Moment::Renamed,
        _ => return Err("MOMENT must be before, half, synced or renamed".to_owned()),
    })
}

fn hex(text: Option<&str>) -> Result<u8, String> {
    text.and_then(|text| u8::from_str_radix(text, 16).ok()).ok_or_else(|| "HEX must be one byte, as in :05".to_owned())
}

impl FromStr for Faults {
    type Err = FaultSpecError;

    fn from_str(spec: &str) -> Result<Self, FaultSpecError> {
        let mut faults = Self::default();
        for fault in spec.split([',', ' ']).filter(|fault| !fault.is_empty() && *fault != "none") {
            faults.add(fault).map_err(|problem| FaultSpecError { fault: fault.to_owned(), problem })?;
        }
        Ok(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_table_is_understood() {
        let spec =
            "flip@3:12, garble@2:0,drop@1,doze@9 status@4:05,busy@5,busy@6:250,nack@7*3,nack@20,pull@30,insert@40,\
                    power@64,kill@8:synced,selftest:04,stretch:10,stretch@2:40,health@3,rate:0:1,refuse@30:01:03,refuse@30:04:0F";
        let mut faults: Faults = spec.parse().unwrap();
        assert_eq!((faults.power_after(), faults.self_test()), (Some(64), 4));
        assert_eq!(faults.kill(), Some(Kill { block: 8, moment: Moment::Synced }));
        assert_eq!([0, 1, 4].map(|mode| faults.refusal(0x30, mode)), [None, Some(0x03), Some(0x0F)]);
        assert_eq!(faults.refusal(0x40, 1), None);
        let first = faults.on_command();
        assert!(first.dropped && first.stretch == 10 && !first.unhealthy);
        let second = faults.on_command();
        assert_eq!((second.garbled_bit, second.stretch), (Some(0), 50));
        let third = faults.on_command();
        assert_eq!((third.flipped_bits, third.unhealthy), (vec![12], true));
        assert_eq!(faults.on_command().status, Some(5));
        assert_eq!(faults.on_command().busy, Some(None));
        assert_eq!(faults.on_command().busy, Some(Some(250)));
        let nacks: Vec<bool> = (1..=21).map(|_| faults.on_transfer().nack).collect();
        assert_eq!(nacks.iter().filter(|nack| **nack).count(), 4);
        assert!(nacks[6] && nacks[7] && nacks[8] && nacks[19]);
        assert_eq!("none".parse(), Ok(Faults::none()));
    }

    #[test]
    fn what_is_not_understood_is_named_with_what_is_expected() {
        for (spec, part) in [
            ("flop@3", "is not one of flip@N:BIT"),
            ("flip@3", "BIT must be a decimal number"),
            ("flip@x:1", "N after @ must be a decimal number"),
            ("flip", "is not one of"),
            ("drop@0", "N counts from 1"),
            ("drop@1:4", "takes no argument after N"),
            ("status@1:100", "HEX must be one byte"),
            ("refuse@30:01", "HEX must be one byte"),
            ("refuse@30", "HEX must be one byte"),
            ("refuse:30:01:03", "is not one of"),
            ("drop@1*2", "only nack takes *COUNT"),
            ("kill@3", "MOMENT must be before, half, synced or renamed"),
            ("kill@3:later", "MOMENT must be before, half, synced or renamed"),
            ("kill@0:half", "N counts from 1"),
            ("selftest@1:01", "selftest takes no @N"),
            ("rate@1:01", "rate takes no @N"),
            ("rate", "PERMILLE must be a decimal number"),
            ("rate:1001", "PERMILLE is at most 1000"),
            ("rate:10:x", "SEED must be a decimal number"),
            ("stretch@1", "PERCENT must be a decimal number"),
            ("stretch:", "PERCENT must be a decimal number"),
            ("health:1", "is not one of"),
        ] {
            let error = spec.parse::<Faults>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(spec), "{spec}: {error}");
        }
    }
}
