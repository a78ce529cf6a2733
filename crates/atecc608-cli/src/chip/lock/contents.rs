// SPDX-License-Identifier: MIT OR Apache-2.0
//! The contents of the slots and the OTP zone before the data lock: from a file, else zeros, and random bytes for
//! secret slots.

use base16ct::mixed;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result};
use crate::input;
use crate::target::Target;
use atecc608::provision::DataContents;
use atecc608_token::config;
use atecc608_token::document::{Problem, Table};
use atecc608_wire::config_zone::{KeyType, COUNTER_MAX};
use atecc608_wire::{ConfigZone, Slot};

/// The source of one slot's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The file.
    File,
    /// Zeros.
    Zeros,
    /// Random bytes that are not stored elsewhere.
    Random,
    /// The highest limit of uses: with zeros no key with limited use would ever work.
    HighestLimit,
    /// None: a private key's slot.
    PrivateKey,
}

/// The contents in the file. Parts may be secret.
#[derive(Default)]
pub(super) struct Given {
    slots: [Option<Zeroizing<Vec<u8>>>; 16],
    otp: Option<Zeroizing<Vec<u8>>>,
}

impl Given {
    /// Reads the file: `otp = "HEX"`, and `[[slot]]` with `slot = N`, `value = "HEX"`. Shorter values are padded with
    /// zeros.
    ///
    /// # Errors
    /// [`Error::Refused`] with file, line and the expected form.
    pub(super) fn read(path: &std::path::Path, zone: &ConfigZone) -> Result<Self> {
        let refused = |problem: String| Error::Refused(format!("{}{problem}", path.display()));
        let text = input::read_text(path, input::MOST).map_err(|error| refused(format!(": {error}")))?;
        Self::parse(&text, zone).map_err(|problem| refused(format!(":{}: {problem}", problem.line(&text))))
    }

    fn parse(text: &str, zone: &ConfigZone) -> Result<Self, Problem> {
        let mut given = Self::default();
        let mut document = Table::parse(text)?;
        if let Some(otp) = document.optional::<String>("otp")? {
            given.otp = Some(otp.check(|digits| bytes("otp", digits, 64))?);
        }
        for mut table in document.tables("slot")? {
            let slot = config::slot(&mut table)?.check(|slot| {
                if zone.key_config(slot).private() {
                    return Err(format!(
                        "slot.slot: {slot} is for a private key, which does not come from this file: generate or import it"
                    ));
                }
                match given.slots[slot.index()] {
                    Some(_) => Err("slot.slot: this slot is listed twice".to_owned()),
                    None => Ok(slot),
                }
            })?;
            let value = table.required::<String>("value")?;
            given.slots[slot.index()] = Some(value.check(|digits| bytes("slot.value", digits, slot.size()))?);
            table.finish()?;
        }
        document.finish()?;
        Ok(given)
    }

    /// Returns the source of a slot's contents.
    pub(super) fn source(&self, zone: &ConfigZone, slot: Slot) -> Source {
        let (access, key) = (zone.slot_config(slot), zone.key_config(slot));
        if key.private() {
            Source::PrivateKey
        } else if self.slots[slot.index()].is_some() {
            Source::File
        } else if holds_the_limit(zone, slot) {
            Source::HighestLimit
        } else if access.is_secret() && !matches!(key.key_type(), KeyType::P256) {
            // A secret must not be a known value.
            Source::Random
        } else {
            Source::Zeros
        }
    }

    /// Returns all contents as they will be in the chip.
    ///
    /// # Errors
    /// [`Error::Chip`](crate::Error::Chip) if the chip, which contributes to the random bytes, or the bus fails.
    pub(super) fn complete(&self, target: &mut Target, zone: &ConfigZone) -> Result<Zeroizing<DataContents>> {
        let mut contents = Zeroizing::new(DataContents { slots: Default::default(), otp: [0; 64] });
        if let Some(otp) = &self.otp {
            contents.otp[..otp.len()].copy_from_slice(otp);
        }
        for slot in Slot::all() {
            let mut bytes = Vec::with_capacity(slot.size());
            match self.source(zone, slot) {
                Source::PrivateKey => continue,
                Source::File => bytes.extend(self.slots[slot.index()].iter().flat_map(|given| given.iter())),
                Source::Zeros => {}
                Source::HighestLimit => bytes.extend([HIGHEST_LIMIT.to_le_bytes(); 2].concat()),
                Source::Random => {
                    while bytes.len() < slot.size() {
                        let block = target.converse(|awake| awake.fresh_secret())?;
                        let missing = slot.size() - bytes.len();
                        bytes.extend(&block[..missing.min(block.len())]);
                    }
                }
            }
            bytes.resize(slot.size(), 0);
            if zone.marks_validity(slot) {
                bytes[0] = NOT_VALIDATED | bytes[0] & 0x0F;
            }
            contents.slots[slot.index()] = Some(bytes);
        }
        Ok(contents)
    }
}

/// The highest limit of uses that CountMatch takes: a multiple of 32 (fact sheet section 5.6).
const HIGHEST_LIMIT: u32 = COUNTER_MAX / 32 * 32;

/// Whether the slot holds the limit (CountMatch) of existing keys.
fn holds_the_limit(zone: &ConfigZone, slot: Slot) -> bool {
    let is_limited = Slot::all().any(|slot| zone.slot_config(slot).limited_use());
    is_limited && zone.limit_slot() == Some(slot)
}

/// The top nibble of the first byte of a public key that requires validation: the chip sets it when the slot is written
/// (fact sheet section 3.22), and includes it when it compares.
const NOT_VALIDATED: u8 = 0xA0;

fn bytes(key: &str, mut digits: String, size: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    let plain = Zeroizing::new(digits.replace(' ', ""));
    digits.zeroize();
    let parsed = mixed::decode_vec(plain.as_bytes()).ok().map(Zeroizing::new);
    let parsed = parsed.ok_or_else(|| format!("{key}: expected hex digits, two for each byte"))?;
    if parsed.is_empty() || parsed.len() > size {
        return Err(format!("{key}: expected 1 to {size} bytes, found {}", parsed.len()));
    }
    Ok(parsed)
}
