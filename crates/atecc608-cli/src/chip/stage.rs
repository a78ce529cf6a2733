// SPDX-License-Identifier: MIT OR Apache-2.0
//! The stage of provisioning of a chip.

use std::fmt;

use serde::{Serialize, Serializer};

use atecc608_wire::ConfigZone;

/// The stage of provisioning of a chip, by any tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its configuration is not locked.
    Blank,
    /// Its configuration is locked, its data are not.
    HalfProvisioned,
    /// Both zones are locked.
    Provisioned,
}

impl Stage {
    /// Returns the stage of the chip with this configuration.
    pub fn of(zone: &ConfigZone) -> Self {
        match (zone.config_locked(), zone.data_locked()) {
            (false, _) => Self::Blank,
            (true, false) => Self::HalfProvisioned,
            (true, true) => Self::Provisioned,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blank => "blank",
            Self::HalfProvisioned => "half provisioned",
            Self::Provisioned => "provisioned",
        })
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
