// SPDX-License-Identifier: MIT OR Apache-2.0
//! Command-line arguments about keys: the login, the selection of a key, the names of a new one.

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
    /// Returns the selected key.
    pub fn name(&self) -> Option<KeyName> {
        let label = self.key.clone().map(KeyName::Label);
        label.or_else(|| self.slot.map(KeyName::Slot))
    }
}

/// The names and the slot of a new key.
#[derive(Clone, Debug, Default)]
pub struct NewKeyNames {
    /// CKA_LABEL; default: the slot's name.
    pub label: Option<String>,
    /// CKA_ID; default: SHA-1 of the public key.
    pub id: Option<Vec<u8>>,
    /// The slot; default: the slot of that name, else the first free one.
    pub slot: Option<Slot>,
}
