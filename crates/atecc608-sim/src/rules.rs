// SPDX-License-Identifier: MIT OR Apache-2.0
//! Conditions that several commands share: the permitted uses of a slot in each lock state (fact sheet sections 3.0,
//! 5.2 to 5.7, 5.9 and 11).

use p256::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use super::core::{allow, Core, Refusal};
use super::ecc;
use super::image::Part;
use atecc608_wire::config_zone::{counter_encode, offset, KeyType, WritePolicy, COUNTER_MAX};
use atecc608_wire::{ConfigZone, Slot};

/// Whether a command requires a random TempKey for a slot with ReqRandom (section 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nonce {
    /// GenKey(digest), MAC, CheckMac, Verify, DeriveKey, GenDig.
    WantedByReqRandom,
    /// Sign(external), ECDH.
    NotAsked,
}

/// Permission to use a slot as a key: [`Core::count_use`] consumes it when the command has succeeded.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyUse {
    limited: bool,
}

/// State 5 of a public key: validated (section 5.9, top nibble of the slot's first byte).
pub(crate) const VALIDATED: u8 = 0x50;
/// State A: not validated.
pub(crate) const INVALIDATED: u8 = 0xA0;

impl Core {
    /// Checks the preconditions of using a slot as a key (section 3.0).
    pub(crate) fn use_key(&self, slot: Slot, nonce: Nonce) -> Result<KeyUse, Refusal> {
        let config = self.config();
        allow(config.config_locked())?;
        let key_config = config.key_config(slot);
        self.require_use_lock(&config, slot)?;
        if nonce == Nonce::WantedByReqRandom {
            self.require_random(&config, slot)?;
        }
        self.require_authorisation(&config, slot)?;
        allow(!key_config.persistent_disable() || self.latch)?;
        let limited = config.slot_config(slot).limited_use();
        if limited {
            let counter = config.counter(0).ok_or(Refusal::EXECUTION)?;
            allow(counter < self.use_limit(&config)?)?;
        }
        Ok(KeyUse { limited })
    }

    /// KeyConfig.ReqRandom: TempKey must come from a random nonce.
    pub(crate) fn require_random(&self, config: &ConfigZone, slot: Slot) -> Result<(), Refusal> {
        let random = self.sram.temp_key.as_ref().is_some_and(|temp_key| !temp_key.flags.source_fixed);
        allow(random || !config.key_config(slot).req_random())
    }

    /// UseLock: no other key may be used before the key that it names has been checked (section 5.1).
    pub(crate) fn require_use_lock(&self, config: &ConfigZone, slot: Slot) -> Result<(), Refusal> {
        let key = Slot::from_nibble(config.as_bytes()[offset::USE_LOCK] >> 4);
        let gates = self.switches.use_lock_gates_keys && config.use_lock_enabled();
        allow(!gates || slot == key || self.sram.authorised == Some(key))
    }

    /// KeyConfig.ReqAuth: CheckMac must have proved knowledge of AuthKey.
    pub(crate) fn require_authorisation(&self, config: &ConfigZone, slot: Slot) -> Result<(), Refusal> {
        let key_config = config.key_config(slot);
        allow(!key_config.req_auth() || self.sram.authorised == Some(key_config.auth_key()))
    }

    /// ReqAuth of a slot that a command changes: no effect before the data lock (section 11).
    pub(crate) fn require_authorisation_to_write(&self, config: &ConfigZone, slot: Slot) -> Result<(), Refusal> {
        if config.data_locked() && self.switches.req_auth_gates_write {
            self.require_authorisation(config, slot)?;
        }
        Ok(())
    }

    /// A slot that KDF or ECDH may write: PubInfo on an AES or SHA slot makes it a destination (section 5.3).
    pub(crate) fn require_destination(&self, slot: Slot, len: usize, needs_always: bool) -> Result<(), Refusal> {
        let config = self.config();
        let key_config = config.key_config(slot);
        allow(!key_config.private() && key_config.pub_info() && !config.slot_locked(slot))?;
        allow(matches!(key_config.key_type(), KeyType::Aes | KeyType::ShaOrData))?;
        allow(len <= slot.size())?;
        let always = config.slot_config(slot).write_config().write_policy() == WritePolicy::Always;
        allow(always || !config.data_locked() || !needs_always)?;
        self.require_authorisation_to_write(&config, slot)
    }

    /// Consumes one use of a limited-use key.
    pub(crate) fn count_use(&mut self, key_use: KeyUse) -> Result<(), Refusal> {
        if key_use.limited {
            let counter = self.config().counter(0).ok_or(Refusal::EXECUTION)?;
            allow(counter < COUNTER_MAX)?;
            self.program(Part::Config, offset::COUNTERS, &counter_encode(counter + 1))?;
        }
        Ok(())
    }

    /// Limited-use keys work below this value of Counter0 (section 5.6, CountMatch).
    fn use_limit(&self, config: &ConfigZone) -> Result<u32, Refusal> {
        let count_match = config.as_bytes()[offset::COUNT_MATCH];
        if count_match & 1 == 0 {
            return Ok(COUNTER_MAX);
        }
        let stored = self.image().part(Part::Slot(Slot::from_nibble(count_match >> 4)));
        let value = u32::from_le_bytes([stored[0], stored[1], stored[2], stored[3]]);
        if stored[..4] == stored[4..8] && value % 32 == 0 {
            return Ok(value.min(COUNTER_MAX));
        }
        allow(!self.switches.count_match_must_be_a_limit)?;
        Ok(COUNTER_MAX)
    }

    /// Returns the private key in a slot that is configured for one (Private, P-256, IsSecret), whatever its permitted
    /// uses.
    pub(crate) fn private_key(&self, slot: Slot) -> Result<SecretKey, Refusal> {
        self.require_private_slot(slot)?;
        let stored = self.image().part(Part::Slot(slot));
        allow(stored[..4] == [0; 4])?;
        ecc::private_key(&stored[4..36]).ok_or(Refusal::EXECUTION)
    }

    /// The slot must be configured for a P-256 private key, with IsSecret (section 11).
    pub(crate) fn require_private_slot(&self, slot: Slot) -> Result<(), Refusal> {
        let config = self.config();
        allow(config.key_config(slot).is_p256_private() && config.slot_config(slot).is_secret())
    }

    /// Whether the slot is configured for a P-256 public key. Only slots of 72 bytes or more hold one.
    pub(crate) fn is_public_slot(&self, slot: Slot) -> bool {
        let key_config = self.config().key_config(slot);
        !key_config.private() && key_config.key_type() == KeyType::P256 && slot.size() >= 72
    }

    /// Returns X and Y of the public key stored in a slot, and the key, validated or not.
    pub(crate) fn stored_public_key(&self, slot: Slot) -> Result<([u8; 64], PublicKey), Refusal> {
        allow(self.is_public_slot(slot))?;
        let stored = self.image().part(Part::Slot(slot));
        let first = if self.config().key_config(slot).pub_info() { stored[0] & 0x0F } else { stored[0] };
        allow(first == 0 && stored[1..4] == [0; 3] && stored[36..40] == [0; 4])?;
        let mut point = [0; 64];
        point[..32].copy_from_slice(&stored[4..36]);
        point[32..].copy_from_slice(&stored[40..72]);
        let key = ecc::public_key(&point).ok_or(Refusal::EXECUTION)?;
        Ok((point, key))
    }

    /// Whether the slot holds a public key that was validated. Slots without PubInfo never are.
    pub(crate) fn is_validated(&self, slot: Slot) -> bool {
        self.is_public_slot(slot)
            && self.config().key_config(slot).pub_info()
            && self.image().part(Part::Slot(slot))[0] & 0xF0 == VALIDATED
    }

    /// Returns the public key in a slot if it may verify: validated if PubInfo requires it (section 3.0, rule 6).
    pub(crate) fn usable_public_key(&self, slot: Slot) -> Result<PublicKey, Refusal> {
        allow(!self.config().key_config(slot).pub_info() || self.is_validated(slot))?;
        Ok(self.stored_public_key(slot)?.1)
    }

    /// The first 32 bytes of a slot that holds a symmetric key.
    pub(crate) fn symmetric_key(&self, slot: Slot) -> Result<Zeroizing<[u8; 32]>, Refusal> {
        allow(!self.config().key_config(slot).private())?;
        self.image().part(Part::Slot(slot)).first_chunk().copied().map(Zeroizing::new).ok_or(Refusal::EXECUTION)
    }

    /// Returns TempKey as the key of an encrypted Write or PrivWrite to a slot: GenDig must have made it with WriteKey.
    /// Clears it.
    pub(crate) fn take_write_key(&mut self, slot: Slot) -> Result<Zeroizing<[u8; 32]>, Refusal> {
        let (temp_key, key) = self.temp_key()?;
        self.sram.temp_key = None;
        let flags = temp_key.flags;
        allow(flags.gen_dig && !flags.no_mac)?;
        allow(!(flags.source_fixed && self.switches.encrypted_write_needs_random))?;
        allow(flags.key_id == self.config().slot_config(slot).write_key().number())?;
        Ok(key)
    }

    /// The IO protection key, if ChipOptions enables it.
    pub(crate) fn io_key(&self) -> Result<Zeroizing<[u8; 32]>, Refusal> {
        let options = self.config().chip_options();
        allow(self.config().config_locked() && options.io_protection())?;
        self.symmetric_key(options.io_key())
    }

    /// The precondition of commands that digest TempKey without a slot; slots have the lock as a condition of their
    /// own.
    pub(crate) fn require_lock_for_temp_key(&self) -> Result<(), Refusal> {
        allow(self.config().config_locked() || !self.switches.temp_key_macs_need_config_lock)
    }

    /// The lock state for Sign, ECDH and Verify(stored).
    pub(crate) fn require_key_use_lock_state(&self) -> Result<(), Refusal> {
        allow(!self.switches.key_use_needs_data_lock || self.config().data_locked())
    }
}
