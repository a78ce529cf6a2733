//! Values on the command line that are no type of clap's.

use std::ops::RangeInclusive;

use base16ct::mixed;

use atecc608_token::config::slot_number;
use atecc608_wire::Slot;

/// The 7-bit addresses that the I2C specification leaves to devices.
pub const ADDRESSES: RangeInclusive<u8> = 0x08..=0x77;

/// An id (CKA_ID). By its own name, since clap takes a plain Vec for an argument that may be given several times.
pub type Id = Vec<u8>;

/// Reads a slot's number.
///
/// # Errors
/// What was expected.
pub fn parse_slot(text: &str) -> Result<Slot, String> {
    let number: u8 = text.parse().unwrap_or(u8::MAX);
    slot_number(number).map_err(str::to_owned)
}

/// Reads a 7-bit I2C address, with its 0x.
///
/// # Errors
/// What was expected; for an address of 8 bits, the 7 bits to write.
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

/// Reads an id: hex digits, with or without colons.
///
/// # Errors
/// What was expected.
pub fn parse_id(text: &str) -> Result<Id, String> {
    let bytes = mixed::decode_vec(text.replace(':', "")).ok().filter(|id| !id.is_empty() && id.len() <= 255);
    bytes.ok_or_else(|| "expected hex digits, two for each byte, at most 255 bytes".to_owned())
}
