// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nonce (fact sheet section 3.12).

use zeroize::Zeroizing;

use super::super::core::{success, Core, Outcome, Refusal};
use super::{random, Execute};
use crate::buffers::TempKey;
use atecc608_wire::commands::{Nonce, NonceTarget};
use atecc608_wire::messages::{self, TempKeyFlags};
use atecc608_wire::Command;

impl Execute for Nonce {
    fn execute(&self, core: &mut Core) -> Outcome {
        let param1 = self.packet().param1;
        match self {
            Nonce::Random { num_in, .. } => {
                let random = random::output(core)?;
                let value = messages::nonce(&random, num_in, param1);
                load(core, TempKey::new(&value, TempKeyFlags::default()));
                Ok(random.to_vec())
            }
            Nonce::Derived { num_in, .. } => {
                let (old, bytes) = core.temp_key()?;
                let value = messages::nonce(&bytes, num_in, param1);
                let source_fixed = old.flags.source_fixed && !core.switches.derived_nonce_is_random;
                load(core, TempKey::new(&value, TempKeyFlags { source_fixed, ..TempKeyFlags::default() }));
                Ok(value.to_vec())
            }
            Nonce::Fixed { target: NonceTarget::TempKey, value } => {
                load(core, TempKey::new(value, TempKeyFlags { source_fixed: true, ..TempKeyFlags::default() }));
                success()
            }
            Nonce::Fixed { target: NonceTarget::MessageDigestBuffer, value } => {
                core.sram.digest = Some(Zeroizing::new(value.clone()));
                end_authorisation(core, core.switches.authorisation_survives_buffer_nonce);
                success()
            }
            Nonce::Fixed { target: NonceTarget::AlternateKeyBuffer, value } => {
                let key = value.first_chunk().copied().ok_or(Refusal::PARSE)?;
                core.sram.alternate_key = Some(Zeroizing::new(key));
                end_authorisation(core, core.switches.authorisation_survives_buffer_nonce);
                success()
            }
        }
    }
}

fn load(core: &mut Core, temp_key: TempKey) {
    core.sram.temp_key = Some(temp_key);
    end_authorisation(core, core.switches.authorisation_survives_nonce);
}

fn end_authorisation(core: &mut Core, survives: bool) {
    if !survives {
        core.sram.authorised = None;
    }
}
