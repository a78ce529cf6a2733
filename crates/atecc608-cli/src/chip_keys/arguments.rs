//! What a command line says about keys: how to log in, which key, what a new one is called.

use std::path::PathBuf;

use clap::Args;

use crate::input::values::parse_slot;
use atecc608_token::attest::KeyName;
use atecc608_wire::Slot;

/// How a command logs in.
#[derive(Clone, Debug, Default, Args)]
pub struct LoginArguments {
    /// On a chip with a PIN: the user's PIN is the first line of this file (- is standard input) instead of asked for
    #[arg(long, value_name = "FILE")]
    pub pin_file: Option<PathBuf>,
}

/// Which key in the chip.
#[derive(Clone, Debug, Default, Args)]
pub struct KeyArguments {
    /// The private key in the chip with this label
    #[arg(long, value_name = "LABEL", conflicts_with = "slot")]
    pub key: Option<String>,
    /// The private key in this slot of the chip, 0 to 15
    #[arg(long, value_name = "N", value_parser = parse_slot)]
    pub slot: Option<Slot>,
}

impl KeyArguments {
    /// The key that was named.
    pub fn name(&self) -> Option<KeyName> {
        let label = self.key.clone().map(KeyName::Label);
        label.or_else(|| self.slot.map(KeyName::Slot))
    }
}

/// The names that a new key gets, and where it goes.
#[derive(Clone, Debug, Default)]
pub struct NewKeyNames {
    /// CKA_LABEL; without one the slot's name.
    pub label: Option<String>,
    /// CKA_ID; without one SHA-1 of the public key.
    pub id: Option<Vec<u8>>,
    /// The slot; without one the slot of that name, else the first free one.
    pub slot: Option<Slot>,
}
