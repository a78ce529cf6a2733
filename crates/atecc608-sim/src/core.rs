// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state that commands work on: EEPROM, SRAM, latch, random numbers; and the results of a command.

use super::buffers::{Buffers, TempKey};
use super::eeprom::{Eeprom, PowerLost};
use super::image::{Image, Part};
use super::random::ChipRng;
use super::switches::Switches;
use atecc608_wire::config_zone::{Model, SerialNumber};
use atecc608_wire::{ConfigZone, Status};
use zeroize::Zeroizing;

/// Why a command was not completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The chip responds with a status byte.
    Status(Status),
    /// The chip lost power.
    PowerLost,
}

impl Refusal {
    /// 0F: legal, but not possible in the present state.
    pub(crate) const EXECUTION: Self = Self::Status(Status::EXECUTION_ERROR);
    /// 03: illegal in every state.
    pub(crate) const PARSE: Self = Self::Status(Status::PARSE_ERROR);
}

impl From<PowerLost> for Refusal {
    fn from(_: PowerLost) -> Self {
        Self::PowerLost
    }
}

/// The payload of a response, or why there is none.
pub(crate) type Outcome = Result<Vec<u8>, Refusal>;

/// The payload of a command that returns success only.
pub(crate) fn success() -> Outcome {
    Ok(vec![Status::SUCCESS.0])
}

/// `Ok` if `condition`, else 0F.
pub(crate) fn allow(condition: bool) -> Result<(), Refusal> {
    if condition {
        Ok(())
    } else {
        Err(Refusal::EXECUTION)
    }
}

/// The register of failed self-tests, and the tests that a fault breaks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SelfTestState {
    /// Tests that fail whenever they run; set by a fault.
    pub(crate) broken: u8,
    /// Tests that failed in their last run.
    pub(crate) failed: u8,
}

/// A chip without its bus interface.
pub(crate) struct Core {
    pub(crate) eeprom: Eeprom,
    pub(crate) sram: Buffers,
    /// The persistent latch: survives sleep, not power loss.
    pub(crate) latch: bool,
    /// SecureBoot was told to refuse itself until power is cycled.
    pub(crate) secure_boot_prohibited: bool,
    pub(crate) rng: ChipRng,
    /// The generator's health test has failed (section 2.4, status 08); set by a fault.
    pub(crate) unhealthy: bool,
    pub(crate) self_test: SelfTestState,
    pub(crate) switches: Switches,
}

impl Core {
    pub(crate) fn new(eeprom: Eeprom) -> Self {
        Self {
            eeprom,
            sram: Buffers::default(),
            latch: false,
            secure_boot_prohibited: false,
            rng: ChipRng::system(),
            unhealthy: false,
            self_test: SelfTestState::default(),
            switches: Switches::default(),
        }
    }

    pub(crate) fn config(&self) -> ConfigZone {
        self.eeprom.config()
    }

    pub(crate) fn model(&self) -> Model {
        Model::from_revision(self.image().revision())
    }

    pub(crate) fn serial(&self) -> SerialNumber {
        self.config().serial_number()
    }

    pub(crate) fn image(&self) -> &Image {
        self.eeprom.image()
    }

    pub(crate) fn program(&mut self, part: Part, at: usize, bytes: &[u8]) -> Result<(), Refusal> {
        Ok(self.eeprom.program(part, at, bytes)?)
    }

    /// TempKey, if it is valid and holds no private key.
    pub(crate) fn temp_key(&self) -> Result<(TempKey, Zeroizing<[u8; 32]>), Refusal> {
        let temp_key = self.sram.temp_key.as_ref().ok_or(Refusal::EXECUTION)?;
        let value = temp_key.first_32().ok_or(Refusal::EXECUTION)?;
        Ok((temp_key.clone(), value))
    }

    /// 32 fresh random bytes; status 08 if the generator fails.
    pub(crate) fn random_32(&mut self) -> Result<[u8; 32], Refusal> {
        let bytes = self.rng.bytes_32();
        self.check_rng()?;
        Ok(bytes)
    }

    pub(crate) fn check_rng(&self) -> Result<(), Refusal> {
        if self.rng.healthy() && !self.unhealthy {
            Ok(())
        } else {
            Err(Refusal::Status(Status::HEALTH_TEST_ERROR))
        }
    }
    /// A failed health test is cleared after a command if ChipOptions bit 3 is set, else with the next wake.
    pub(crate) fn settle_health(&mut self) {
        self.unhealthy &= !self.config().chip_options().health_test_auto_clear();
    }
}
