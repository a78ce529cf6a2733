// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shows the contents of an image, as text or JSON: `atecc608-sim dump`.
//!
//! Reading order: this file gathers, `certificates` rebuilds the certificates, `text` prints.

mod certificates;
mod text;

use serde::Serialize;

use super::ecc::{private_key, public_key, public_point};
use super::image::{Image, Part};
use atecc608_contents::{product, words};
use atecc608_wire::config_zone::{KeyType, Model};
use atecc608_wire::{ConfigZone, Slot};
use base16ct::upper::encode_string as hex;

pub use certificates::{Certificate, Chain};

/// The contents of an image in words. Secrets are included only on request.
#[derive(Debug, Serialize)]
pub struct Dump {
    /// The chip, as Info(Revision) names it.
    pub model: String,
    /// The four bytes that Info(Revision) returns.
    pub revision: String,
    /// 18 hexadecimal digits.
    pub serial_number: String,
    /// The 7-bit address.
    pub address: u8,
    /// Whether the configuration zone is locked.
    pub config_locked: bool,
    /// Whether the data and OTP zones are locked.
    pub data_locked: bool,
    /// ChipOptions in words.
    pub chip_options: Vec<String>,
    /// The clock divider in words.
    pub clock_divider: &'static str,
    /// The two counters; `None` if their bytes are not a valid encoding.
    pub counters: [Option<u32>; 2],
    /// The configuration zone.
    pub config: String,
    /// The OTP zone.
    pub otp: String,
    /// The product code at the beginning of the OTP zone, if there is one.
    pub product_code: Option<String>,
    /// The product that the code names.
    pub product: Option<&'static str>,
    /// The sixteen slots.
    pub slots: Vec<SlotDump>,
    /// The certificates of a Trust&GO or TrustFLEX chip.
    pub certificates: Option<Chain>,
}

/// A slot in words.
#[derive(Debug, Serialize)]
pub struct SlotDump {
    /// 0 to 15.
    pub slot: u8,
    /// Its SlotConfig, a word (not the order of the bytes).
    pub slot_config: String,
    /// Its KeyConfig, likewise.
    pub key_config: String,
    /// Its purpose.
    pub kind: &'static str,
    /// Its permitted uses once the zones are locked.
    pub rules: Vec<String>,
    /// Whether it was locked individually.
    pub locked: bool,
    /// Whether it was never written: all bytes are FF.
    pub empty: bool,
    /// Whether the chip never returns its contents in clear.
    pub secret: bool,
    /// Its bytes; `None` if they are secret and were not requested.
    pub bytes: Option<String>,
    /// The public key (X ‖ Y) that belongs to the private key in it, or that is in it.
    pub public_key: Option<String>,
    /// Whether that public key has been validated; `None` if no validation is required.
    pub validated: Option<bool>,
}

impl Dump {
    /// Decodes an image.
    pub fn new(image: &Image, with_secrets: bool) -> Self {
        let config = image.config();
        let otp = image.part(Part::Otp);
        let bytes = config.as_bytes();
        Self {
            model: Model::from_revision(image.revision()).to_string(),
            revision: hex(&image.revision()),
            product: product::of_otp(otp).map(|product| product.name),
            serial_number: config.serial_number().to_string(),
            address: config.i2c_address(),
            config_locked: config.config_locked(),
            data_locked: config.data_locked(),
            chip_options: words::chip_options(config.chip_options()),
            clock_divider: words::clock_divider(config.clock_divider()),
            counters: [config.counter(0), config.counter(1)],
            config: hex(bytes),
            otp: hex(otp),
            product_code: product_code(otp),
            slots: Slot::all().map(|slot| SlotDump::new(image, &config, slot, with_secrets)).collect(),
            certificates: Chain::in_image(image),
        }
    }
}

impl SlotDump {
    fn new(image: &Image, config: &ConfigZone, slot: Slot, with_secrets: bool) -> Self {
        let (access, key) = (config.slot_config(slot), config.key_config(slot));
        let stored = image.part(Part::Slot(slot));
        let secret = access.is_secret() || key.private();
        let empty = stored.iter().all(|byte| *byte == 0xFF);
        let in_it = stored_key(config, slot, stored);
        let own = key.is_p256_private().then(|| private_key(&stored[4..])).flatten();
        Self {
            slot: slot.number(),
            slot_config: words::word(access.0),
            key_config: words::word(key.0),
            kind: words::kind(config, slot),
            rules: words::rules(config, slot),
            locked: config.slot_locked(slot),
            empty,
            secret,
            bytes: (with_secrets || !secret).then(|| hex(stored)),
            public_key: own.map(|key| hex(&public_point(&key))).or(in_it.map(|key| hex(&key))),
            validated: (in_it.is_some() && key.pub_info()).then(|| stored[0] >> 4 == 5),
        }
    }
}

/// The public key (X ‖ Y) in a slot for one, if a point of the curve is in it (fact sheet section 5.9).
fn stored_key(config: &ConfigZone, slot: Slot, stored: &[u8]) -> Option<[u8; 64]> {
    let key = config.key_config(slot);
    if key.private() || key.key_type() != KeyType::P256 {
        return None;
    }
    let mut point = [0; 64];
    point[..32].copy_from_slice(stored.get(4..36)?);
    point[32..].copy_from_slice(stored.get(40..72)?);
    public_key(&point).map(|_| point)
}

/// Returns the eight letters and digits at the beginning, if only zeros follow (fact sheet section 5.10).
fn product_code(otp: &[u8]) -> Option<String> {
    let (code, rest) = otp.split_at(8);
    let fits = code.iter().all(u8::is_ascii_alphanumeric) && rest.iter().all(|byte| *byte == 0);
    fits.then(|| String::from_utf8_lossy(code).into_owned())
}
