// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parsers of values on the command line without a type of clap.

use std::ops::RangeInclusive;

use base16ct::mixed;

use atecc608_token::config::slot_number;
use atecc608_wire::Slot;

/// The 7-bit addresses for devices in the I2C specification.
pub const ADDRESSES: RangeInclusive<u8> = 0x08..=0x77;

/// An id (CKA_ID). An alias, because clap treats a plain Vec as an argument that may be given several times.
pub type Id = Vec<u8>;

/// Parses a slot's number.
///
/// # Errors
/// The expected form.
pub fn parse_slot(text: &str) -> Result<Slot, String> {
    let number: u8 = text.parse().unwrap_or(u8::MAX);
    slot_number(number).map_err(str::to_owned)
}

/// Parses a 7-bit I2C address, with its 0x.
///
/// # Errors
/// The expected form; for an 8-bit address, the 7 bits to write.
pub fn parse_address(text: &str) -> Result<u8, String> {
    let expected = || format!("expected 7 bits in hex digits, {:#04x} to {:#04x}", ADDRESSES.start(), ADDRESSES.end());
    let Some(digits) = text.strip_prefix("0x") else {
        return Err(match (u8::from_str_radix(text, 16), text.parse::<u8>()) {
            (Ok(hex), Ok(decimal)) => {
                format!("{text} may mean {hex:#04x}, as i2cdetect prints it, or {decimal:#04x}: write it with 0x")
            }
            (Ok(hex), Err(_)) => format!("write it with 0x: {hex:#04x}"),
            (Err(_), _) => expected(),
        });
    };
    match u8::from_str_radix(digits, 16) {
        Ok(address) if ADDRESSES.contains(&address) => Ok(address),
        Ok(address) if ADDRESSES.contains(&(address >> 1)) && address >= 0x80 => {
            Err(format!("{address:#04x} is the 8-bit form; write its 7 bits: {:#04x}", address >> 1))
        }
        Ok(address) => Err(format!("the I2C specification reserves {address:#04x}: {}", expected())),
        Err(_) => Err(expected()),
    }
}

/// Parses an id: hex digits, with or without colons.
///
/// # Errors
/// The expected form.
pub fn parse_id(text: &str) -> Result<Id, String> {
    let bytes = mixed::decode_vec(text.replace(':', "")).ok().filter(|id| !id.is_empty() && id.len() <= 255);
    bytes.ok_or_else(|| "expected hex digits, two for each byte, at most 255 bytes".to_owned())
}
