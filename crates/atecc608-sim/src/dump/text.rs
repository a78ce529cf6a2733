// SPDX-License-Identifier: MIT OR Apache-2.0
//! A dump as text.

use std::fmt;

use super::{Certificate, Dump, SlotDump};
use atecc608_contents::words;

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let locks = format!(
            "configuration zone {}, data and OTP zones {}",
            words::locked(self.config_locked),
            words::locked(self.data_locked)
        );
        let counter = |value: Option<u32>| value.map_or("not a number".to_owned(), |value| value.to_string());
        line(f, "chip", &format!("{}, revision {}", self.model, spaced(&self.revision)))?;
        line(f, "serial number", &self.serial_number)?;
        line(f, "address", &format!("0x{:02X}", self.address))?;
        line(f, "locks", &locks)?;
        line(f, "options", &self.chip_options.join(", "))?;
        line(f, "clock divider", self.clock_divider)?;
        line(f, "counters", &format!("{}, {}", counter(self.counters[0]), counter(self.counters[1])))?;
        line(f, "product code", self.product_code.as_deref().unwrap_or("none"))?;
        line(f, "product", self.product.unwrap_or("not known"))?;
        writeln!(f, "\nconfiguration zone")?;
        bytes(f, &self.config)?;
        writeln!(f, "\nOTP zone")?;
        bytes(f, &self.otp)?;
        for slot in &self.slots {
            writeln!(f, "\n{slot}")?;
        }
        if let Some(chain) = &self.certificates {
            writeln!(f, "\ndevice certificate (slot 10)\n{}", chain.device)?;
            writeln!(f, "\nsigner certificate (slot 12)\n{}", chain.signer)?;
        }
        Ok(())
    }
}

impl fmt::Display for SlotDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let locked = if self.locked { ", locked" } else { "" };
        writeln!(
            f,
            "slot {}: {} ({}/{}): {}{locked}",
            self.slot,
            self.kind,
            self.slot_config,
            self.key_config,
            self.rules.join(", ")
        )?;
        if let Some(key) = &self.public_key {
            let validated = match self.validated {
                None => "",
                Some(true) => " (validated)",
                Some(false) => " (not validated)",
            };
            let (x, y) = key.split_at(key.len() / 2);
            writeln!(f, "  public key{validated}\n    X {x}\n    Y {y}")?;
        }
        match &self.bytes {
            _ if self.empty => write!(f, "  empty (all bytes are FF)"),
            None => write!(f, "  secret (--secrets shows it)"),
            Some(shown) => rows(shown).map(|row| format!("  {row}")).collect::<Vec<_>>().join("\n").fmt(f),
        }
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(issued), Some(years), Some(signer), Some(template), Some(chain), Some(source)) =
            (&self.issued, self.expire_years, &self.signer_id, self.template_id, self.chain_id, self.serial_source)
        {
            let years = if years == 0 { "without expiry".to_owned() } else { format!("for {years} years") };
            writeln!(f, "  issued {issued} {years}, signer {signer}")?;
            writeln!(f, "  template {template}, chain {chain}, serial number source {source:X}")?;
        }
        match (&self.error, self.verified) {
            (Some(error), _) => write!(f, "  cannot be rebuilt: {error}"),
            (None, Some(true)) => write!(f, "  the signature verifies with the issuer's key"),
            (None, _) => write!(f, "  the signature does NOT verify with the issuer's key"),
        }
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "{name:<15}{value}")
}

/// Rows of sixteen bytes.
fn bytes(f: &mut fmt::Formatter<'_>, hex: &str) -> fmt::Result {
    rows(hex).try_for_each(|row| writeln!(f, "  {row}"))
}

/// Rows of sixteen bytes, each with its offset; repeated rows are one asterisk, as in hexdump.
fn rows(hex: &str) -> impl Iterator<Item = String> + '_ {
    let row = |at: usize| hex.get(at * 32..).map(|rest| rest.get(..32).unwrap_or(rest)).filter(|row| !row.is_empty());
    let repeats = move |at: usize| at > 0 && row(at) == row(at - 1);
    (0..).map_while(move |at| row(at).map(|this| (at, this))).filter_map(move |(at, this)| {
        if !repeats(at) {
            Some(format!("{:3}  {}", at * 16, spaced(this)))
        } else if !repeats(at - 1) {
            Some("  *".to_owned())
        } else {
            None
        }
    })
}

/// Two digits, a space, two digits ...
fn spaced(hex: &str) -> String {
    let digits: Vec<char> = hex.chars().collect();
    digits.chunks(2).map(|pair| pair.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}
