// SPDX-License-Identifier: MIT OR Apache-2.0
//! Executes commands: one file per command, named as in the datasheet.

mod aes;
mod check_mac;
mod counter;
mod derive_key;
mod ecdh;
mod gen_dig;
mod gen_key;
mod info;
mod kdf;
mod lock;
mod mac;
mod nonce;
mod priv_write;
mod random;
mod read;
mod secure_boot;
pub(super) mod self_test;
mod sha;
mod sign;
mod update_extra;
mod verify;
mod write;

use super::core::{Core, Outcome, Refusal};
use atecc608_wire::commands::{
    Aes, CheckMac, Counter, DeriveKey, Ecdh, GenDig, GenKey, Info, Kdf, Lock, Mac, Nonce, PrivWrite, Random, Read,
    SecureBoot, SelfTest, Sha, Sign, UpdateExtra, Verify, Write,
};
use atecc608_wire::zone::Zone;
use atecc608_wire::{Command, CommandPacket, Opcode, Status};

/// The chip's side of a command.
trait Execute: Command {
    /// Executes the command, or returns why it is refused. Parameters that are illegal in every state never get here.
    fn execute(&self, core: &mut Core) -> Outcome;
}

fn run<C: Execute>(core: &mut Core, packet: &CommandPacket) -> Outcome {
    let command = C::from_packet(packet).map_err(|_| Refusal::PARSE)?;
    command.execute(core)
}

/// Executes one undamaged packet.
pub(super) fn execute(core: &mut Core, packet: &CommandPacket) -> Outcome {
    if core.self_test.failed != 0 && !answered_in_failure_state(packet) {
        return Err(Refusal::Status(Status::SELF_TEST_ERROR));
    }
    let outcome = match packet.opcode {
        Opcode::AES if core.model().is_608() => run::<Aes>(core, packet),
        Opcode::CHECK_MAC => run::<CheckMac>(core, packet),
        Opcode::COUNTER => run::<Counter>(core, packet),
        Opcode::DERIVE_KEY => run::<DeriveKey>(core, packet),
        Opcode::ECDH => run::<Ecdh>(core, packet),
        Opcode::GEN_DIG => run::<GenDig>(core, packet),
        Opcode::GEN_KEY => run::<GenKey>(core, packet),
        // GPIO: the I2C parts have no such pin.
        Opcode::INFO if packet.param1 == 3 => Err(Refusal::Status(core.switches.info_gpio)),
        Opcode::INFO => run::<Info>(core, packet),
        Opcode::KDF if core.model().is_608() => run::<Kdf>(core, packet),
        Opcode::LOCK => run::<Lock>(core, packet),
        Opcode::MAC => run::<Mac>(core, packet),
        Opcode::NONCE => run::<Nonce>(core, packet),
        Opcode::PRIV_WRITE => run::<PrivWrite>(core, packet),
        Opcode::RANDOM => run::<Random>(core, packet),
        Opcode::READ => run::<Read>(core, packet),
        // The 508 lacks AES, KDF, SecureBoot and SelfTest.
        Opcode::SECURE_BOOT if core.model().is_608() => run::<SecureBoot>(core, packet),
        Opcode::SELF_TEST if core.model().is_608() => run::<SelfTest>(core, packet),
        Opcode::SHA => run::<Sha>(core, packet),
        Opcode::SIGN => run::<Sign>(core, packet),
        Opcode::UPDATE_EXTRA => run::<UpdateExtra>(core, packet),
        Opcode::VERIFY => run::<Verify>(core, packet),
        Opcode::WRITE => run::<Write>(core, packet),
        _ => Err(Refusal::PARSE),
    };
    core.settle_health();
    if outcome == Err(Refusal::EXECUTION) && core.switches.refusal_clears_temp_key {
        core.sram.temp_key = None;
    }
    outcome
}

/// Whether it is Read(config) or SelfTest (fact sheet section 3.0).
fn answered_in_failure_state(packet: &CommandPacket) -> bool {
    match packet.opcode {
        Opcode::SELF_TEST => true,
        Opcode::READ => Zone::from_bits(packet.param1) == Some(Zone::Config),
        _ => false,
    }
}
