//! The chip that was found: its configuration, its state, and what is known about each key until another process
//! changes something.

use std::sync::Arc;

use super::certificates::Certificates;
use super::error::{Error, Result};
use super::io_key::{IoKey, KeyFile};
use super::layout::{key_slots, secret_slots, KeySlot, SecretSlot};
use super::mechanism::Abilities;
use super::object::KeyRef;
use super::pin::{Login, Scheme, Who};
use super::point::Point;
use super::profile::{self, Profile};
use super::state::{Intent, Purpose, SecretKind, SlotState, State};
use super::store::Store;
use crate::config::{Config, TokenConfig};
use atecc608::secrets::SharedSecret;
use atecc608::{self as chip, Awake, Chip, Transport};
use atecc608_wire::{ConfigZone, Slot};

/// The chip that was found at the configured place, and what is known about it.
#[derive(Debug)]
pub struct Identity {
    /// Its configuration zone.
    pub zone: ConfigZone,
    /// The profile it was provisioned with, if it is one of ours.
    pub profile: Option<&'static Profile>,
    /// Its key slots; none unless both zones are locked.
    pub keys: Vec<KeySlot>,
    /// Its slots for secret keys; none unless both zones are locked.
    pub secrets: Vec<SecretSlot>,
    /// Where its IO protection key is on the host.
    pub io_key: KeyFile,
    /// Its state folder.
    pub store: Store,
    /// Whether it is simulated.
    pub simulated: bool,
    /// How its PIN works, if it has one.
    pub scheme: Option<Scheme>,
    /// The certificates that it holds itself.
    pub(super) certificates: Certificates,
    /// Who is logged in.
    login: Arc<Login>,
    facts: [KeyFacts; 16],
    /// Whether the IO protection key in the file was seen to be the chip's; unknown until asked.
    io_key_is_right: Option<bool>,
    /// Whether KDF with the key of each slot is an HMAC; unknown until asked.
    kdf_is_hmac: [Option<bool>; 16],
}

/// What is known about the key in one slot.
#[derive(Clone, Copy, Debug, Default)]
struct KeyFacts {
    /// Whether the slot holds a key that is to be seen; unknown until asked.
    present: Option<bool>,
    /// Its public key, if it came from the chip in this process, and so can be relied on.
    checked: Option<Point>,
    /// Its public key as it was known before the state changed under it.
    last_known: Option<Point>,
    /// Grows whenever the key turns out to be another.
    epoch: u32,
}

impl Identity {
    /// What was found at the place that `config` describes. Keys' epochs begin at `first_epoch`.
    ///
    /// # Errors
    /// [`Error::TokenNotRecognized`] if it is not an ATECC608.
    pub(super) fn new(
        zone: ConfigZone,
        simulated: bool,
        config: &Config,
        token: &TokenConfig,
        first_epoch: u32,
        login: Arc<Login>,
    ) -> Result<Self> {
        let serial = zone.serial_number();
        if !zone.model().is_608() {
            return Err(Error::TokenNotRecognized(format!(
                "the chip {serial} is an {}, not an ATECC608: this module can't use it",
                zone.model()
            )));
        }
        let place = format!("{} at {:#04x}", token.bus, token.address);
        if simulated {
            log::warn!("{place}: the chip {serial} is simulated; its keys are in a file and protect nothing");
        }
        let usable = zone.config_locked() && zone.data_locked();
        if !usable {
            let state = if zone.config_locked() { "half provisioned" } else { "blank" };
            log::warn!("{place}: the chip {serial} is {state}: run `{}`", profile::next_command(&zone));
        }
        let profile = profile::matching(&zone);
        let scheme = if usable { Scheme::of(&zone, profile) } else { None };
        let io_key = KeyFile::of(config, token, simulated, &serial);
        let has_io_key = io_key.load().is_ok_and(|key| key.is_some());
        if scheme.is_some() && !has_io_key {
            log::warn!(
                "{place}: {} does not hold the IO protection key of the chip {serial}: keys sign, but do not derive",
                io_key.path().display()
            );
        }
        let keys = if usable { key_slots(&zone, profile, &token.objects, has_io_key) } else { Vec::new() };
        let secrets = if usable { secret_slots(&zone, profile) } else { Vec::new() };
        let store = Store::open(&config.state_dir, serial);
        let facts = [KeyFacts { epoch: first_epoch, ..KeyFacts::default() }; 16];
        let certificates = Certificates::new(token, usable, profile.is_some());
        let (io_key_is_right, kdf_is_hmac) = (None, [None; 16]);
        Ok(Self {
            zone,
            profile,
            keys,
            secrets,
            io_key,
            store,
            simulated,
            scheme,
            certificates,
            login,
            facts,
            io_key_is_right,
            kdf_is_hmac,
        })
    }

    /// Whether the slot works only after a login, and there was none.
    pub fn is_out_of_reach(&self, slot: Slot) -> bool {
        self.login.who() != Who::User && self.scheme.is_some_and(|scheme| scheme.guards(slot))
    }

    /// Whether both zones are locked, so that keys can be used.
    pub fn is_provisioned(&self) -> bool {
        self.zone.config_locked() && self.zone.data_locked()
    }

    /// The IO protection key, if chip and host share one: then results cross the bus encrypted. Seen to be right with two
    /// commands once in a process; a wrong or missing one costs secrecy on the bus, and nothing else.
    pub(super) fn shared_io_key<P: Transport>(&mut self, chip: &mut Chip<P>) -> Option<IoKey> {
        if !self.zone.chip_options().io_protection() || self.io_key_is_right == Some(false) {
            return None;
        }
        let key = self.io_key.load().unwrap_or_else(|error| {
            log::warn!("{error}");
            None
        })?;
        if self.io_key_is_right.is_none() {
            let secret = SharedSecret { slot: self.zone.chip_options().io_key(), value: &key };
            let serial = self.zone.serial_number();
            match chip.converse(|awake| awake.proves(&serial, &secret)) {
                Ok(right) => self.io_key_is_right = Some(right),
                // Asked again next time.
                Err(error) => {
                    log::debug!("the IO protection key was not checked: {error}");
                    return None;
                }
            }
            if self.io_key_is_right == Some(false) {
                log::warn!(
                    "{} is not the IO protection key of the chip {serial}: results cross the bus in clear",
                    self.io_key.path().display()
                );
                return None;
            }
        }
        Some(key)
    }

    /// Whether KDF in its HKDF form answers the HMAC-SHA-256 that it is taken for (fact sheet section 3.9: not confirmed by a
    /// public vector). A message that means nothing is asked both ways, once in a process for each slot.
    ///
    /// # Errors
    /// Those of the chip, but not that it refuses KDF.
    pub(super) fn kdf_is_hmac<P: Transport>(&mut self, chip: &mut Chip<P>, slot: Slot, io_key: &IoKey) -> Result<bool> {
        if let Some(known) = self.kdf_is_hmac[slot.index()] {
            return Ok(known);
        }
        let message = b"atecc608-pkcs11: is KDF an HMAC?";
        let answer = chip.converse(|awake| {
            let hash = match awake.hmac_encrypted(slot, message, io_key) {
                Err(chip::Error::Status { .. }) => return Ok(false),
                other => other?,
            };
            Ok(*hash == awake.hmac(slot, message)?)
        });
        let answer = answer.map_err(Error::Device)?;
        if !answer {
            log::warn!(
                "slot {slot}: this chip's KDF does not answer an HMAC; what is derived crosses the bus in clear"
            );
        }
        self.kdf_is_hmac[slot.index()] = Some(answer);
        Ok(answer)
    }

    /// What the configuration lets keys do.
    pub fn abilities(&self) -> Abilities {
        Abilities {
            sign: self.keys.iter().any(|key| key.sign),
            derive: self.keys.iter().any(|key| key.derive),
            generate: self.keys.iter().any(|key| key.generate),
            aes_enabled: self.zone.aes_enabled(),
            aes: self.secrets.iter().any(|place| place.kind == SecretKind::Aes),
            hmac: self.secrets.iter().any(|place| place.kind == SecretKind::Generic),
        }
    }

    /// The key slot, if the slot is one.
    pub fn key_slot(&self, slot: Slot) -> Option<&KeySlot> {
        self.keys.iter().find(|key| key.slot == slot)
    }

    /// Sees what other processes changed in the state; what was known about keys is then asked again. Handles of a key
    /// that the state says was replaced or destroyed end.
    pub fn refresh(&mut self) {
        let before = Slot::all().map(|slot| self.known_point(slot)).collect::<Vec<_>>();
        let slot_8_changes = self.store.state().slot_8_changes;
        if !self.store.refresh() {
            return;
        }
        if self.store.state().slot_8_changes != slot_8_changes {
            self.certificates.may_have_changed();
        }
        let state = self.store.state();
        log::debug!("chip {}: the state is of generation {} now", self.zone.serial_number(), state.generation);
        for (slot, before) in Slot::all().zip(before) {
            let now = state.slot(slot);
            let point = now.and_then(|now| now.public_key.as_deref()).and_then(Point::from_uncompressed);
            let replaced = match point {
                Some(point) => before.is_some_and(|before| before != point),
                None => before.is_some() && now.is_some_and(|now| now.tombstone.is_some()),
            };
            let facts = &mut self.facts[slot.index()];
            *facts = KeyFacts {
                present: None,
                checked: None,
                last_known: before.filter(|_| !replaced),
                epoch: facts.epoch + u32::from(replaced),
            };
        }
    }

    /// Whether the slot still holds the key that a handle was made for, as far as is known.
    pub fn is_there(&self, key: KeyRef) -> bool {
        self.epoch(key.slot) == key.epoch && self.known_presence(key.slot) != Some(false)
    }

    /// An epoch that no key of this chip has had.
    pub(super) fn next_epoch(&self) -> u32 {
        self.facts.iter().map(|facts| facts.epoch).max().unwrap_or_default() + 1
    }

    /// Sees that the chip that answers is this one, before something in it is changed for good: one Read.
    ///
    /// # Errors
    /// [`Error::TokenNotPresent`] if another one answers.
    pub fn confirm_chip<P: Transport>(&self, chip: &mut Chip<P>) -> Result<()> {
        let seen = chip.converse(|awake| awake.read_identity()).map_err(Error::Device)?;
        if seen[..13] == self.zone.as_bytes()[..13] {
            return Ok(());
        }
        let serial = self.zone.serial_number();
        Err(Error::TokenNotPresent(format!("another chip answers where {serial} was: nothing was changed in it")))
    }

    /// Which key the slot holds, counted in this process.
    pub fn epoch(&self, slot: Slot) -> u32 {
        self.facts[slot.index()].epoch
    }

    /// Whether the slot is known to hold a key, or not to.
    pub fn known_presence(&self, slot: Slot) -> Option<bool> {
        self.facts[slot.index()].present
    }

    /// The slot's public key as far as it is known without asking: from the chip, else from the state.
    pub fn known_point(&self, slot: Slot) -> Option<Point> {
        let stored = || self.store.state().slot(slot).and_then(|state| state.public_key.as_deref());
        let facts = &self.facts[slot.index()];
        facts.checked.or_else(|| stored().and_then(Point::from_uncompressed)).or(facts.last_known)
    }

    /// The slot's public key if it was read from the chip in this process.
    pub fn checked_point(&self, slot: Slot) -> Option<Point> {
        self.facts[slot.index()].checked
    }

    /// Asks the chip which of these slots hold keys, in one conversation. A slot whose tombstone names the key that
    /// is in it counts as empty.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn learn_presence<P: Transport>(&mut self, chip: &mut Chip<P>, slots: &[Slot]) -> Result<()> {
        let unknown: Vec<(Slot, Option<Vec<u8>>)> = slots
            .iter()
            .filter(|slot| self.known_presence(**slot).is_none())
            .map(|slot| (*slot, self.store.state().slot(*slot).and_then(|state| state.tombstone.clone())))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let out_of_reach: Vec<Slot> = slots.iter().copied().filter(|slot| self.is_out_of_reach(*slot)).collect();
        let answers = chip
            .converse(|awake| {
                unknown
                    .iter()
                    .map(|(slot, tombstone)| {
                        let valid = awake.key_valid(*slot)?;
                        // Only where the mark would hide a key is it worth a GenKey to see that it is right.
                        let asked = valid && tombstone.is_some() && !out_of_reach.contains(slot);
                        let point = if asked { read_point(awake, *slot)? } else { None };
                        Ok((valid, point))
                    })
                    .collect::<chip::Result<Vec<_>>>()
            })
            .map_err(Error::Device)?;
        for ((slot, tombstone), (valid, point)) in unknown.into_iter().zip(answers) {
            if valid && tombstone.is_some() && out_of_reach.contains(&slot) {
                // Whether the mark is right can be asked after a login.
                continue;
            }
            let destroyed = point.is_some_and(|point| tombstone.as_deref() == Some(&point.uncompressed()));
            if tombstone.is_some() && valid && !destroyed {
                log::warn!("slot {slot} holds another key than the one that was destroyed there: it is shown");
            }
            let facts = &mut self.facts[slot.index()];
            facts.present = Some(valid && !destroyed);
            facts.checked = facts.checked.or(point);
        }
        Ok(())
    }

    /// The slot's public key, read from the chip if it is not known; it is then kept in the state.
    ///
    /// # Errors
    /// [`Error::Device`]; [`Error::KeyFunctionNotPermitted`] if the slot does not tell it.
    pub fn learn_point<P: Transport>(&mut self, chip: &mut Chip<P>, slot: Slot) -> Result<Point> {
        match self.known_point(slot) {
            Some(point) => Ok(point),
            None => self.read_point_anew(chip, slot),
        }
    }

    /// The slot's public key as the chip tells it now. A key that turns out to be another ends its handles.
    ///
    /// # Errors
    /// [`Error::Device`]; [`Error::KeyHandleInvalid`] if there is no key, or it does not tell its public key.
    pub fn read_point_anew<P: Transport>(&mut self, chip: &mut Chip<P>, slot: Slot) -> Result<Point> {
        let point = chip.converse(|awake| read_point(awake, slot)).map_err(Error::Device)?;
        let Some(point) = point else {
            self.key_changed(slot, None);
            return Err(Error::KeyHandleInvalid(format!("slot {slot} holds no key, or does not tell its public key")));
        };
        if self.known_point(slot) != Some(point) {
            self.key_changed(slot, Some(point));
        }
        self.facts[slot.index()].checked = Some(point);
        Ok(point)
    }

    /// Notes that the slot holds another key (or none) than what was known, and keeps its public key in the state
    /// if that can be written.
    fn key_changed(&mut self, slot: Slot, point: Option<Point>) {
        let had_another = self.known_point(slot).is_some();
        let facts = &mut self.facts[slot.index()];
        facts.checked = point;
        facts.last_known = None;
        facts.present = Some(point.is_some());
        if had_another {
            facts.epoch += 1;
            log::warn!("slot {slot} holds another key than the state says: the state's copy is dropped");
        }
        let cached = self.store.change(|state| {
            let slot_state = state.slot_mut(slot);
            slot_state.public_key = point.map(|point| point.uncompressed().to_vec());
        });
        if let Err(error) = cached {
            log::debug!("the public key of slot {slot} is not kept: {error}");
        }
    }

    /// The slot turned out to hold a key.
    pub fn holds_a_key(&mut self, slot: Slot) {
        self.facts[slot.index()].present = Some(true);
    }

    /// A public key that proved to be the chip's.
    pub fn key_is(&mut self, slot: Slot, point: Point) {
        self.facts[slot.index()].checked = Some(point);
    }

    /// The slot now holds this key, and the state says so.
    pub fn key_was_replaced(&mut self, slot: Slot, point: Option<Point>) {
        let facts = &mut self.facts[slot.index()];
        *facts = KeyFacts { present: Some(point.is_some()), checked: point, last_known: None, epoch: facts.epoch + 1 };
    }

    /// Finishes what a process that died had begun: the public key in the slot tells whether it took effect.
    ///
    /// A destruction leaves no tombstone then. The state may be a backup from the middle of one, and the key that is in
    /// the slot now one that was generated since: it must neither be hidden nor count as free.
    pub(super) fn resolve_intents<P: Transport>(&mut self, chip: &mut Chip<P>) -> Result<()> {
        let open: Vec<SlotState> =
            self.store.state().slots.iter().filter(|state| state.intent.is_some()).cloned().collect();
        for state in open {
            let slot = Slot::from_nibble(state.slot);
            let Some(intent) = state.intent else { continue };
            if self.is_out_of_reach(slot) {
                // After the next login.
                continue;
            }
            let now = chip
                .converse(|awake| if awake.key_valid(slot)? { read_point(awake, slot) } else { Ok(None) })
                .map_err(Error::Device)?;
            let now_bytes = now.map(|point| point.uncompressed().to_vec());
            let took_effect = intent.took_effect(now_bytes.as_deref());
            log::warn!(
                "slot {slot}: a {} was interrupted; {}",
                match intent.purpose {
                    Purpose::Generate => "key generation",
                    Purpose::Import => "key import",
                    Purpose::Destroy => "key destruction",
                },
                match (took_effect, intent.purpose) {
                    (false, _) => "it had not taken effect",
                    (true, Purpose::Generate | Purpose::Import) => "it had taken effect",
                    (true, Purpose::Destroy) =>
                        "the key is gone, and the slot holds another one: destroy that, if nobody uses it",
                }
            );
            let resolve = |state: &mut State| {
                let slot_state = state.slot_mut(slot);
                slot_state.intent = None;
                if took_effect {
                    let new_key = Intent { purpose: Purpose::Generate, ..intent.clone() };
                    slot_state.intent_took_effect(&new_key, now_bytes.clone());
                }
            };
            if let Err(error) = self.store.change(resolve) {
                // Keys can be used all the same.
                log::warn!("slot {slot}: what became of it is not kept: {error}");
                self.store.assume(resolve);
            }
            if took_effect {
                self.key_was_replaced(slot, now);
            } else {
                // It may be a destroyed one that was about to be replaced.
                self.facts[slot.index()].present = None;
            }
        }
        Ok(())
    }
}

/// The public key of the private key in the slot; none if there is none or it is not told.
pub fn read_point<P: Transport>(awake: &mut Awake<'_, P>, slot: Slot) -> chip::Result<Option<Point>> {
    match awake.public_key(slot)? {
        Some(xy) => Point::from_xy(&xy)
            .map(Some)
            .ok_or_else(|| chip::Error::Mismatch(format!("slot {slot}: the public key is not on the curve P-256"))),
        None => Ok(None),
    }
}
