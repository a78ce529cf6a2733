// SPDX-License-Identifier: MIT OR Apache-2.0
//! A chip's statement about one of its keys, and the digest that its attestation key signs (fact sheet sections 3.6,
//! 3.7, 3.12 and 3.19).
//!
//! One conversation; each step digests the TempKey of the previous one:
//!
//! ```text
//! Nonce(random)            NumIn is the verifier's challenge
//! GenDig(configuration)    blocks 0 to 3
//! GenDig(key config)       of the attestation key's slot
//! GenKey                   0C creates the key, 08 computes its public key; both digest that
//! Sign(internal)           with the attestation key: adds the key's SlotConfig, KeyConfig and lock, the serial number, and
//!                          how TempKey came about
//! ```
//!
//! The fifth GenDig is required. In a slot with NoMac the owner chooses what GenDig digests instead of opcode and
//! parameters, so the slot's contents can imitate a configuration block; only one flag of TempKey shows it. They can't
//! imitate a GenDig of a slot's configuration, which has non-zero bytes where they have zeros.

use zeroize::Zeroizing;

use atecc608_wire::commands::{GenDig, GenKey, GenKeyMode, KeyLocation, Nonce, Sign};
use atecc608_wire::messages::{self, GenDigInput, SlotStatement, TempKeyFlags};
use atecc608_wire::{Command, ConfigZone, Slot};

/// The slot of the attestation key: 1, where Trust&GO and TrustFLEX chips have it.
pub const ATTESTER: Slot = Slot::from_nibble(1);

/// Bytes of a verifier's challenge: the length of Nonce's input.
pub const CHALLENGE_LEN: usize = 20;

/// The kind of statement about the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The chip generated the key in response to the challenge.
    BornHere,
    /// The chip held the key when it received the challenge.
    LivesHere,
}

impl Kind {
    /// The name of the kind in statement files.
    pub fn name(self) -> &'static str {
        match self {
            Self::BornHere => "born-here",
            Self::LivesHere => "lives-here",
        }
    }
}

/// A chip's statement about one of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The kind of statement.
    pub kind: Kind,
    /// The whole configuration zone at that moment: serial number, revision, rules, locks.
    pub zone: ConfigZone,
    /// The key's slot.
    pub slot: Slot,
    /// The verifier's challenge.
    pub challenge: [u8; CHALLENGE_LEN],
    /// The chip's own random number, RandOut.
    pub random: [u8; 32],
    /// The key's public key, X ‖ Y.
    pub public_key: [u8; 64],
    /// The attestation key's signature r ‖ s over [`Evidence::digest`].
    pub signature: [u8; 64],
}

/// The commands of a statement, shared by driver and verifier.
pub mod steps {
    use super::*;

    /// Mixes the challenge with the chip's random number into TempKey.
    pub fn nonce(challenge: &[u8; CHALLENGE_LEN]) -> Nonce {
        Nonce::Random { update_seed: true, num_in: *challenge }
    }

    /// Digests the configuration into TempKey.
    pub fn configuration() -> [GenDig; 5] {
        [GenDig::Config(0), GenDig::Config(1), GenDig::Config(2), GenDig::Config(3), GenDig::KeyConfig(ATTESTER)]
    }

    /// Digests the public key, after creating it if `kind` says so, into TempKey.
    pub fn key(kind: Kind, slot: Slot) -> GenKey {
        let mode = match kind {
            Kind::BornHere => GenKeyMode::Create { digest: true },
            Kind::LivesHere => GenKeyMode::Public { digest: true },
        };
        GenKey { mode, key: KeyLocation::Slot(slot) }
    }

    /// Signs.
    pub fn sign() -> Sign {
        Sign::Internal { slot: ATTESTER, full_serial: true, invalidate: false }
    }
}

impl Evidence {
    /// Returns the SHA-256 that the attestation key signed. It covers all fields except the signature.
    pub fn digest(&self) -> [u8; 32] {
        use sha2::{Digest, Sha256};
        let serial = self.zone.serial_number();
        let mut temp_key =
            messages::nonce(&self.random, &self.challenge, steps::nonce(&self.challenge).packet().param1);
        for step in steps::configuration() {
            temp_key = messages::gen_dig(&temp_key, &step, &self.input(&step), &serial);
        }
        let packet = steps::key(self.kind, self.slot).packet();
        let [low, high] = packet.param2.to_le_bytes();
        let temp_key = messages::gen_key_digest(&temp_key, [packet.param1, low, high], &serial, &self.public_key);
        let statement = SlotStatement {
            slot_config: self.zone.slot_config(self.slot),
            key_config: self.zone.key_config(self.slot),
            // All other flags are false, which excludes a nonce chosen by the host and a GenDig with a NoMac slot on
            // the way.
            flags: TempKeyFlags { key_id: self.slot.number(), gen_key: true, ..TempKeyFlags::default() },
            slot_locked: self.zone.slot_locked(self.slot),
            validated: false,
        };
        Sha256::digest(messages::sign_internal(&temp_key, &steps::sign(), &statement, &serial)).into()
    }

    /// Returns the input that the chip digests in this step.
    fn input(&self, step: &GenDig) -> GenDigInput {
        match *step {
            GenDig::Config(block) => {
                let mut bytes = [0; 32];
                bytes.copy_from_slice(&self.zone.as_bytes()[32 * usize::from(block & 3)..][..32]);
                GenDigInput::Block(Zeroizing::new(bytes))
            }
            _ => GenDigInput::KeyConfig {
                slot_config: self.zone.slot_config(ATTESTER),
                key_config: self.zone.key_config(ATTESTER),
                slot_locked: self.zone.slot_locked(ATTESTER),
            },
        }
    }
}

/// Returns why signatures of the attestation key's slot prove nothing, or `None` if they do: the key may sign only the
/// chip's own statements, and must not be replaceable.
pub fn attester_problem(zone: &ConfigZone) -> Option<&'static str> {
    let (access, key) = (zone.slot_config(ATTESTER), zone.key_config(ATTESTER));
    let writes = access.write_config();
    if !key.is_p256_private() || !access.is_secret() {
        Some("it does not hold a P-256 private key")
    } else if !access.internal_sign() {
        Some("its key does not sign internally")
    } else if access.external_sign() || access.ecdh() {
        Some("its key also signs or derives for callers, so its signature proves nothing")
    } else if writes.gen_key() || writes.priv_write() {
        Some("its key can be replaced")
    } else {
        None
    }
}

/// Returns why the chip can't state anything about a key in this slot, or `None` if it can.
pub fn subject_problem(zone: &ConfigZone, slot: Slot) -> Option<&'static str> {
    let (access, key) = (zone.slot_config(slot), zone.key_config(slot));
    if slot == ATTESTER {
        Some("it is the attestation key's own slot")
    } else if !key.is_p256_private() || !access.is_secret() {
        Some("it does not hold a P-256 private key")
    } else if !key.pub_info() {
        Some("its public key can't be read")
    } else if !access.external_sign() && !access.ecdh() {
        Some("its key neither signs nor derives for a caller")
    } else {
        None
    }
}
