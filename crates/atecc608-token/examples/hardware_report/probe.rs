// SPDX-License-Identifier: MIT OR Apache-2.0
//! Probes: single checks of a chip's behaviour.

use atecc608_sim::Switches;
use atecc608_wire::config_zone::KeyConfig;
use atecc608_wire::{ConfigZone, Slot, Status};

use crate::bench::{Bench, Step};
use crate::report::{Finding, Switch};

/// The facts about the chip before a probe.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its configuration zone.
    pub config: ConfigZone,
    /// Slots with a valid key.
    pub keys: Vec<Slot>,
    /// The bus clock, from the kernel or measured.
    pub i2c_hz: u32,
}

impl Facts {
    /// The lock state, in words.
    pub fn state(&self) -> &'static str {
        match (self.config.config_locked(), self.config.data_locked()) {
            (false, _) => "nothing locked",
            (true, false) => "configuration locked",
            (true, true) => "locked",
        }
    }

    /// Whether the key in this slot can be used without a cost or an authorisation.
    pub fn is_free_to_use(&self, slot: Slot) -> bool {
        let key_config: KeyConfig = self.config.key_config(slot);
        !self.config.slot_config(slot).limited_use() && !key_config.req_auth() && !key_config.persistent_disable()
    }

    /// The first slot with a private key that may be used freely and passes a test.
    pub fn private_key(&self, test: impl Fn(Slot) -> bool) -> Option<Slot> {
        let private = |slot: &Slot| self.config.key_config(*slot).is_p256_private();
        self.keys.iter().copied().filter(private).find(|slot| self.is_free_to_use(*slot) && test(*slot))
    }
}

/// The result of a probe.
pub enum Outcome {
    /// The observation, in fixed words, and the position of the switch.
    Seen {
        /// In words.
        text: String,
        /// The switch's position, if the observation fits one.
        position: Option<String>,
    },
    /// The probe does not apply to this chip.
    NotHere(String),
}

/// An observation without a switch.
pub fn seen(text: impl Into<String>) -> Step<Outcome> {
    Ok(Outcome::Seen { text: text.into(), position: None })
}

/// An observation that sets a switch to `on` or `off`.
pub fn switch(on: bool, text_on: &str, text_off: &str) -> Step<Outcome> {
    let (text, position) = if on { (text_on, "on") } else { (text_off, "off") };
    Ok(Outcome::Seen { text: text.to_owned(), position: Some(position.to_owned()) })
}

/// An observation whether a command was accepted (00), for one position, or refused with 03 or 0F, for the other. Any
/// other status fits neither.
pub fn refusal_switch(status: Status, accepted: bool, what: &str) -> Step<Outcome> {
    let on_off = |on: bool| if on { "on" } else { "off" }.to_owned();
    let (text, position) = match status {
        Status::SUCCESS => (format!("{what}: accepted"), Some(on_off(accepted))),
        Status::EXECUTION_ERROR | Status::PARSE_ERROR => {
            (format!("{what}: refused with {:02X}", status.0), Some(on_off(!accepted)))
        }
        Status(other) => (format!("{what}: answered {other:02X}"), None),
    };
    Ok(Outcome::Seen { text, position })
}

/// An observation whose switch is the status itself.
pub fn status_switch(status: Status, what: &str) -> Step<Outcome> {
    let byte = format!("{:02X}", status.0);
    Ok(Outcome::Seen { text: format!("{what}: answered {byte}"), position: Some(byte) })
}

/// An observation of bytes; the switch is the value that they all have.
pub fn byte_switch(bytes: &[u8]) -> Step<Outcome> {
    let text = |byte: &u8| format!("{byte:02X}");
    Ok(match bytes {
        [first, rest @ ..] if rest.iter().all(|byte| byte == first) => {
            Outcome::Seen { text: format!("all {}", text(first)), position: Some(text(first)) }
        }
        bytes => Outcome::Seen { text: bytes.iter().map(text).collect::<Vec<_>>().join(" "), position: None },
    })
}

/// The probe does not apply to this chip, and why.
pub fn not_here(why: impl Into<String>) -> Step<Outcome> {
    Ok(Outcome::NotHere(why.into()))
}

/// One probe.
pub struct Probe {
    /// Its name; that of the switch that it sets, if it sets one.
    pub name: &'static str,
    /// Section of the fact sheet.
    pub section: &'static str,
    /// The question that the probe answers, for the report.
    pub question: &'static str,
    /// Runs it. The chip is awake, with cleared buffers.
    pub ask: fn(&mut Bench, &Facts) -> Step<Outcome>,
}

impl Probe {
    /// Wakes the chip and runs the probe.
    pub fn run(&self, bench: &mut Bench, facts: &Facts) -> Finding {
        let outcome = bench.fresh().and_then(|()| (self.ask)(bench, facts));
        let (seen, position, not_asked) = match outcome {
            Ok(Outcome::Seen { text, position }) => (Some(text), position, None),
            Ok(Outcome::NotHere(why)) => (None, None, Some(why)),
            Err(trouble) => (Some(format!("could not be told: {trouble}")), None, None),
        };
        let defaults = Switches::default().positions();
        let default = defaults.into_iter().find(|(name, _)| name == self.name).map(|(_, position)| position);
        let switch = default.filter(|_| not_asked.is_none());
        Finding {
            state: facts.state().to_owned(),
            name: self.name.to_owned(),
            section: self.section.to_owned(),
            question: self.question.to_owned(),
            seen,
            switch: switch.map(|default| Switch { name: self.name.to_owned(), position, default }),
            not_asked,
        }
    }
}

/// A list of probes: the function, then name, section of the fact sheet, question.
macro_rules! probes {
    ($list:ident: $($ask:ident: $name:literal, $section:literal, $question:literal;)*) => {
        /// Probes in their order.
        pub const $list: &[Probe] =
            &[$(Probe { name: $name, section: $section, question: $question, ask: $ask }),*];
    };
}
pub(crate) use probes;
