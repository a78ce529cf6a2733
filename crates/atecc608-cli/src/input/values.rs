//! Values on the command line that are no type of clap's.

use base16ct::mixed;

use atecc608_token::config::slot_number;
use atecc608_wire::Slot;

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

/// Reads an id: hex digits, with or without colons.
///
/// # Errors
/// What was expected.
pub fn parse_id(text: &str) -> Result<Id, String> {
    let bytes = mixed::decode_vec(text.replace(':', "")).ok().filter(|id| !id.is_empty() && id.len() <= 255);
    bytes.ok_or_else(|| "expected hex digits, two for each byte, at most 255 bytes".to_owned())
}
