//! What is asked of a chip, one question at a time.

use atecc608_sim::Switches;
use atecc608_wire::config_zone::KeyConfig;
use atecc608_wire::{ConfigZone, Slot, Status};

use crate::bench::{Bench, Step};
use crate::report::{Finding, Switch};

/// What is known of the chip before a question is asked.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its configuration zone.
    pub config: ConfigZone,
    /// Slots with a valid key.
    pub keys: Vec<Slot>,
    /// The bus clock, as the kernel says or as it was measured.
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

    /// Whether using the key in this slot costs nothing and needs nobody's permission.
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

/// What came of a question.
pub enum Outcome {
    /// What was seen, in the same words each time, and the position of the switch.
    Seen {
        /// In words.
        text: String,
        /// The switch's position, if what was seen fits one.
        position: Option<String>,
    },
    /// It can't be asked of this chip.
    NotHere(String),
}

/// Seen, and no switch answers.
pub fn seen(text: impl Into<String>) -> Step<Outcome> {
    Ok(Outcome::Seen { text: text.into(), position: None })
}

/// Seen: a switch stands at `on` or `off`.
pub fn switch(on: bool, text_on: &str, text_off: &str) -> Step<Outcome> {
    let (text, position) = if on { (text_on, "on") } else { (text_off, "off") };
    Ok(Outcome::Seen { text: text.to_owned(), position: Some(position.to_owned()) })
}

/// Seen: a command was accepted (00), which means one position, or refused with 03 or 0F, which means the other. Any
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

/// Seen: the switch is the status itself.
pub fn status_switch(status: Status, what: &str) -> Step<Outcome> {
    let byte = format!("{:02X}", status.0);
    Ok(Outcome::Seen { text: format!("{what}: answered {byte}"), position: Some(byte) })
}

/// Seen: bytes; the switch is the byte that they all are.
pub fn byte_switch(bytes: &[u8]) -> Step<Outcome> {
    let text = |byte: &u8| format!("{byte:02X}");
    Ok(match bytes {
        [first, rest @ ..] if rest.iter().all(|byte| byte == first) => {
            Outcome::Seen { text: format!("all {}", text(first)), position: Some(text(first)) }
        }
        bytes => Outcome::Seen { text: bytes.iter().map(text).collect::<Vec<_>>().join(" "), position: None },
    })
}

/// It can't be asked of this chip, and why.
pub fn not_here(why: impl Into<String>) -> Step<Outcome> {
    Ok(Outcome::NotHere(why.into()))
}

/// One question.
pub struct Probe {
    /// Its name; that of the switch that it answers, if it answers one.
    pub name: &'static str,
    /// Section of the fact sheet.
    pub section: &'static str,
    /// The question.
    pub question: &'static str,
    /// Asks it. The chip is awake and knows nothing.
    pub ask: fn(&mut Bench, &Facts) -> Step<Outcome>,
}

impl Probe {
    /// Asks it of a chip that is woken for it.
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

/// A list of questions: the function that asks, then name, section of the fact sheet, question.
macro_rules! probes {
    ($list:ident: $($ask:ident: $name:literal, $section:literal, $question:literal;)*) => {
        /// Questions, in their order.
        pub const $list: &[Probe] =
            &[$(Probe { name: $name, section: $section, question: $question, ask: $ask }),*];
    };
}
pub(crate) use probes;
