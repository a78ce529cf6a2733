// SPDX-License-Identifier: MIT OR Apache-2.0
//! GenDig (fact sheet sections 3.0 and 3.6).

use zeroize::Zeroizing;

use super::super::core::{allow, success, Core, Outcome, Refusal};
use super::super::rules::Nonce;
use super::Execute;
use crate::buffers::TempKey;
use crate::image::Part;
use atecc608_wire::commands::GenDig;
use atecc608_wire::messages::{self, GenDigInput, TempKeyFlags};

impl Execute for GenDig {
    fn execute(&self, core: &mut Core) -> Outcome {
        let config = core.config();
        core.require_lock_for_temp_key()?;
        let (old, value) = core.temp_key()?;
        // A digest made without a slot keeps NoMacFlag: it still covers that key.
        let other_zone = TempKeyFlags { key_id: 0, gen_dig: false, gen_key: false, ..old.flags };
        let mut key_use = None;
        let (input, flags) = match *self {
            GenDig::Config(block) => (GenDigInput::Block(block_of(core, Part::Config, block)?), other_zone),
            GenDig::Otp(block) => (GenDigInput::Block(block_of(core, Part::Otp, block)?), other_zone),
            GenDig::Data { slot, other_data } => {
                let private = config.key_config(slot).private();
                allow(!(private && core.switches.gen_dig_refuses_private_keys))?;
                key_use = Some(core.use_key(slot, Nonce::WantedByReqRandom)?);
                let no_mac = config.slot_config(slot).no_mac();
                let key = block_of(core, Part::Slot(slot), 0)?;
                let input = match other_data {
                    Some(other_data) if no_mac => GenDigInput::NoMac(key, other_data),
                    None if no_mac => return Err(Refusal::EXECUTION),
                    _ => GenDigInput::Block(key),
                };
                let flags = TempKeyFlags { key_id: slot.number(), gen_dig: true, gen_key: false, no_mac, ..old.flags };
                (input, flags)
            }
            GenDig::SharedNonce { .. } => (GenDigInput::SharedNonce, other_zone),
            GenDig::Counter(number) => {
                let value = config.counter(usize::from(number)).ok_or(Refusal::EXECUTION)?;
                (GenDigInput::Counter(value), other_zone)
            }
            GenDig::KeyConfig(slot) => {
                let input = GenDigInput::KeyConfig {
                    slot_config: config.slot_config(slot),
                    key_config: config.key_config(slot),
                    slot_locked: config.slot_locked(slot),
                };
                (input, other_zone)
            }
        };
        let digest = messages::gen_dig(&value, self, &input, &core.serial());
        if let Some(key_use) = key_use {
            core.count_use(key_use)?;
        }
        core.sram.temp_key = Some(TempKey::new(&digest, flags));
        success()
    }
}

fn block_of(core: &Core, part: Part, block: u8) -> Result<Zeroizing<[u8; 32]>, Refusal> {
    let bytes = core.image().part(part).get(32 * usize::from(block)..);
    bytes.and_then(|bytes| bytes.first_chunk()).copied().map(Zeroizing::new).ok_or(Refusal::EXECUTION)
}
