// SPDX-License-Identifier: MIT OR Apache-2.0
//! The known facts about a token, as immutable values: a change creates a new one, and the [`Board`] replaces the old.
//! Readers take the posted one, and wait neither for the bus nor for each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::certificates::Certificates;
use super::class::KeyPair;
use super::config::ObjectConfig;
use super::error::{Error, Result};
use super::identity::Identity;
use super::layout::{KeySlot, SecretSlot};
use super::object::KeyRef;
use super::pin::Who;
use super::point::Point;
use super::posted::Posted;
use super::state::{SlotState, State, StoredSecret};
use super::store::StateRead;
use atecc608::presence::{Held, Presence as ChipPresence};
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::{ConfigZone, Slot};

/// For this long after a contact, successful or not, the presence of the chip is not checked again.
const PRESENCE_LIFETIME: Duration = Duration::from_secs(1);

/// The known facts about one configured place.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// The logged-in user.
    pub(crate) who: Who,
    /// The presence of the chip.
    pub(crate) presence: Presence,
    /// The chip that was found there; the facts are kept while it is absent.
    pub(crate) known: Option<Arc<Known>>,
}

/// Whether a chip is present, and when that was last checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presence {
    /// The time of the last response; `None` if the chip did not respond the last time.
    pub(crate) last_contact: Option<Instant>,
    /// The time and error of the last failed search.
    pub(crate) last_failure: Option<(Instant, Error)>,
    /// The chip that was present, if any, at the last search.
    seen: Option<Option<SerialNumber>>,
    /// Whether it appeared or disappeared since that was last queried.
    event: bool,
}

/// The known facts about a chip.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The logged-in user.
    pub(crate) who: Who,
    /// The identified chip.
    pub(crate) identity: Arc<Identity>,
    /// The contents of the state folder.
    pub(crate) state_read: Arc<StateRead>,
    /// Its certificates.
    pub(crate) certificates: Certificates,
    keys: [KeyFacts; 16],
    /// The configured secret keys that were checked with the chip: the slot, and the key if it is usable.
    configured_secrets: Vec<(Slot, Option<StoredSecret>)>,
    /// CKA_UNIQUE_ID of the secret keys that were proven to be in the chip, in this process and since the last change
    /// of the state.
    proven_secrets: Vec<String>,
}

/// The known facts about the key in one slot.
#[derive(Clone, Copy, Debug, Default)]
struct KeyFacts {
    /// Whether the slot holds a visible key; `None` until checked.
    presence: Option<ChipPresence>,
    /// Its public key, if it was read from the chip in this process, and so is reliable.
    checked: Option<Point>,
    /// Its public key as known before the last change of the state.
    last_known: Option<Point>,
    /// Increases when the key turns out to be another.
    epoch: u32,
}

impl KeyFacts {
    /// Returns the public key: from the chip, else from the state.
    fn point(&self, state: Option<&SlotState>) -> Option<Point> {
        self.checked.or_else(|| state.and_then(stored_point)).or(self.last_known)
    }
}

fn held(point: Option<Point>) -> ChipPresence {
    ChipPresence { held: point.map_or(Held::Nothing, |_| Held::Key), refused: None }
}

fn stored_point(state: &SlotState) -> Option<Point> {
    state.public_key.as_deref().and_then(Point::from_uncompressed)
}

/// The holder of the posted snapshot.
#[derive(Debug)]
pub(crate) struct Board(Posted<Snapshot>);

impl Default for Board {
    fn default() -> Self {
        Self(Posted::new(Snapshot { who: Who::Nobody, presence: Presence::default(), known: None }))
    }
}

impl Board {
    /// Returns the posted snapshot.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.0.get()
    }

    /// Posts a changed snapshot. The lock is held during the change only, which does not wait.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Snapshot) -> T) -> T {
        self.0.change(change)
    }

    /// Changes the facts about a chip and posts them, if it is still the known chip.
    pub(crate) fn change_known<T>(&self, chip: &Arc<Identity>, change: impl FnOnce(&mut Known) -> T) -> Option<T> {
        self.change(|snapshot| {
            let known = snapshot.known.as_mut().filter(|known| Arc::ptr_eq(&known.identity, chip));
            known.map(|known| change(Arc::make_mut(known)))
        })
    }
}

impl Snapshot {
    /// Returns the chip, if it was checked within the last second; `None` if it must be checked again.
    pub(crate) fn fresh(&self) -> Option<Result<Arc<Known>>> {
        let is_fresh = |at: Instant| at.elapsed() < PRESENCE_LIFETIME;
        match (&self.known, &self.presence) {
            (Some(known), Presence { last_contact: Some(at), .. }) if is_fresh(*at) => Some(Ok(known.clone())),
            (_, Presence { last_failure: Some((at, error)), .. }) if is_fresh(*at) => Some(Err(error.clone())),
            _ => None,
        }
    }

    /// Returns the chip as last seen, however long ago; `None` if it was never looked for.
    pub(crate) fn last_seen(&self) -> Option<Result<Arc<Known>>> {
        match (&self.known, &self.presence) {
            (Some(known), Presence { last_contact: Some(_), .. }) => Some(Ok(known.clone())),
            (Some(_), Presence { last_failure: Some((_, error)), .. }) => Some(Err(error.clone())),
            (Some(_), _) => Some(Err(Error::TokenNotPresent("the chip did not respond the last time".into()))),
            (None, Presence { last_failure: Some((_, error @ Error::TokenNotPresent(_))), .. }) => {
                Some(Err(error.clone()))
            }
            (None, _) => None,
        }
    }

    /// Sets the logged-in user.
    pub(crate) fn set_who(&mut self, who: Who) {
        self.who = who;
        if let Some(known) = &mut self.known {
            Arc::make_mut(known).who = who;
        }
    }
}

impl Presence {
    /// Notes whether the chip appeared, disappeared or changed. A bus that can't be used at the moment is ignored.
    pub(crate) fn note_event(&mut self, found: &Result<Arc<Known>>) {
        let Some(now) = which_chip(found) else { return };
        self.event |= self.seen.is_some_and(|seen| seen != now);
        self.seen = Some(now);
    }

    /// Whether [`Presence::note_event`] changes something.
    pub(crate) fn differs(&self, found: &Result<Arc<Known>>) -> bool {
        which_chip(found).is_some_and(|now| self.seen != Some(now))
    }

    /// Whether the chip appeared or disappeared since the last call.
    pub(crate) fn take_event(&mut self) -> bool {
        std::mem::take(&mut self.event)
    }
}

/// Returns the chip that is present, if any; `None` if unknown.
fn which_chip(found: &Result<Arc<Known>>) -> Option<Option<SerialNumber>> {
    match found {
        Ok(known) => Some(Some(known.zone().serial_number())),
        Err(Error::TokenNotPresent(_) | Error::AdapterGone(_)) => Some(None),
        Err(_) => None,
    }
}

impl Known {
    /// A chip that was just found, with the contents of the state folder. Its keys' epochs start at `first_epoch`.
    pub(crate) fn new(identity: Arc<Identity>, state: StateRead, first_epoch: u32, who: Who) -> Self {
        Self {
            who,
            state_read: Arc::new(state),
            certificates: Certificates::new(&identity),
            keys: [KeyFacts { epoch: first_epoch, ..KeyFacts::default() }; 16],
            configured_secrets: Vec::new(),
            proven_secrets: Vec::new(),
            identity,
        }
    }

    /// Its configuration zone.
    pub(crate) fn zone(&self) -> &ConfigZone {
        &self.identity.zone
    }

    /// The contents of the state folder.
    pub(crate) fn state(&self) -> &State {
        &self.state_read.state
    }

    /// The key slot, if the slot is one.
    pub(crate) fn key_slot(&self, slot: Slot) -> Option<&KeySlot> {
        self.identity.key_slot(slot)
    }

    /// Returns the key pair of a key slot.
    pub(crate) fn pair(&self, slot: Slot) -> Option<KeyPair<'_>> {
        self.key_slot(slot).map(|key| KeyPair { key, state: self.state().slot(slot), known: self })
    }

    /// Whether the slot requires a login, and there was none.
    pub(crate) fn is_out_of_reach(&self, slot: Slot) -> bool {
        self.who != Who::User && self.identity.scheme.is_some_and(|scheme| scheme.guards(slot))
    }

    /// Whether private objects are hidden: the token has a PIN, and the user is not logged in (PKCS#11 3.0 section 5.6.8).
    pub(crate) fn hides_private(&self) -> bool {
        self.identity.scheme.is_some() && self.who != Who::User
    }

    /// Refuses to create a private object before the login.
    ///
    /// # Errors
    /// [`Error::UserNotLoggedIn`]
    pub(crate) fn check_may_make_private(&self) -> Result<()> {
        if self.hides_private() {
            Err(Error::UserNotLoggedIn)
        } else {
            Ok(())
        }
    }

    /// Whether the slot still holds the key of a handle, as far as known.
    pub(crate) fn is_there(&self, key: KeyRef) -> bool {
        self.epoch(key.slot) == key.epoch && self.known_presence(key.slot) != Some(Held::Nothing)
    }

    /// Returns the epoch of the slot's key in this process.
    pub(crate) fn epoch(&self, slot: Slot) -> u32 {
        self.keys[slot.index()].epoch
    }

    /// Returns an epoch that no key of this chip has had.
    pub(crate) fn next_epoch(&self) -> u32 {
        self.keys.iter().map(|facts| facts.epoch).max().unwrap_or_default() + 1
    }

    /// Whether the slot holds a key, if that was checked.
    pub(crate) fn known_presence(&self, slot: Slot) -> Option<Held> {
        self.keys[slot.index()].presence.map(|presence| presence.held)
    }

    /// Whether the chip refused to tell whether the slot holds a key.
    pub(crate) fn presence_was_refused(&self, slot: Slot) -> bool {
        self.keys[slot.index()].presence.is_some_and(|presence| presence.refused.is_some())
    }

    /// Returns the slot's known public key: from the chip, else from the state.
    pub(crate) fn known_point(&self, slot: Slot) -> Option<Point> {
        self.keys[slot.index()].point(self.state().slot(slot))
    }

    /// Returns the secret keys: those of the state that the chip still has a place for, and the configured ones.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &StoredSecret> {
        // Whether a pending one exists is not known yet.
        let is_there =
            |secret: &&StoredSecret| secret.pending.is_none() && self.identity.secret_slot_of(secret).is_some();
        self.state().secrets.iter().filter(is_there).chain(self.configured_secrets())
    }

    /// Returns the secret key with this CKA_UNIQUE_ID.
    pub(crate) fn secret(&self, unique_id: &str) -> Option<&StoredSecret> {
        let of_state = self.state().secret(unique_id);
        of_state.or_else(|| self.configured_secrets().find(|secret| secret.unique_id == unique_id))
    }

    /// Whether state or configuration have a secret key in this place.
    pub(crate) fn has_secret(&self, slot: Slot, block: u8) -> bool {
        self.state().has_secret(slot, block) || self.identity.is_configured_secret(slot, block)
    }

    /// Those that only the configuration describes. The state's entry of a place takes precedence.
    fn configured_secrets(&self) -> impl Iterator<Item = &StoredSecret> {
        let configured = self.configured_secrets.iter().filter_map(|(_, secret)| secret.as_ref());
        configured.filter(|secret| !self.state().has_secret(Slot::from_nibble(secret.slot), secret.block))
    }

    /// Returns the configured secret keys to check with the chip, as far as accessible.
    pub(crate) fn unasked_secrets(&self) -> impl Iterator<Item = &(SecretSlot, ObjectConfig)> {
        let is_asked = |slot: Slot| self.configured_secrets.iter().any(|(asked, _)| *asked == slot);
        let configured = self.identity.configured_secrets.iter();
        configured.filter(move |(place, _)| !is_asked(place.slot) && !self.is_out_of_reach(place.slot))
    }

    /// Whether this secret key was proven to be in the chip.
    pub(crate) fn is_proven_secret(&self, unique_id: &str) -> bool {
        self.proven_secrets.iter().any(|proven| proven == unique_id)
    }

    /// The slot's public key if it was read from the chip in this process.
    pub(crate) fn checked_point(&self, slot: Slot) -> Option<Point> {
        self.keys[slot.index()].checked
    }
}

/// Changes of the known facts.
impl Known {
    /// Another process changed the state. Facts about a key with a changed entry must be read again; handles of a key
    /// that was replaced or destroyed according to the state end.
    pub(crate) fn state_changed(&mut self, read: StateRead) {
        let before = std::mem::replace(&mut self.state_read, Arc::new(read));
        let (before, now) = (&before.state, &self.state_read.state);
        log::debug!("chip {}: the state now has generation {}", self.identity.zone.serial_number(), now.generation);
        if before.secrets != now.secrets {
            self.proven_secrets.clear();
        }
        if before.slot_8_changes != now.slot_8_changes {
            self.certificates.may_have_changed(&self.identity);
        }
        for slot in Slot::all() {
            let (before, now) = (before.slot(slot), now.slot(slot));
            if before.map(SlotState::about_the_key) == now.map(SlotState::about_the_key) {
                continue;
            }
            let facts = &mut self.keys[slot.index()];
            let (before, point) = (facts.point(before), now.and_then(stored_point));
            let replaced = match point {
                Some(point) => before.is_some_and(|before| before != point),
                None => before.is_some() && now.is_some_and(|now| now.tombstone.is_some()),
            };
            *facts = KeyFacts {
                presence: None,
                checked: None,
                last_known: before.filter(|_| !replaced),
                epoch: facts.epoch + u32::from(replaced),
            };
        }
    }

    /// Notes whether the slot holds a visible key, and its public key if known; `None`: must be read again.
    pub(crate) fn key_is_present(&mut self, slot: Slot, presence: Option<ChipPresence>, point: Option<Point>) {
        let facts = &mut self.keys[slot.index()];
        facts.presence = presence;
        facts.checked = facts.checked.or(point);
    }

    /// Notes the result for the configured secret key in a slot.
    pub(crate) fn secret_was_asked(&mut self, slot: Slot, secret: Option<StoredSecret>) {
        if let Some(secret) = &secret {
            self.secret_is_proven(&secret.unique_id);
        }
        self.configured_secrets.push((slot, secret));
    }

    /// Notes that the chip holds this secret key.
    pub(crate) fn secret_is_proven(&mut self, unique_id: &str) {
        if !self.is_proven_secret(unique_id) {
            self.proven_secrets.push(unique_id.to_owned());
        }
    }

    /// Notes a public key that was read from the chip.
    pub(crate) fn key_is(&mut self, slot: Slot, point: Point) {
        let facts = &mut self.keys[slot.index()];
        facts.checked = Some(point);
        if let Some(presence) = &mut facts.presence {
            presence.held = Held::Key;
        }
    }

    /// Notes that the slot holds another key (or none) than known; returns whether one was known.
    pub(crate) fn key_differs(&mut self, slot: Slot, point: Option<Point>) -> bool {
        let had_another = self.known_point(slot).is_some();
        let facts = &mut self.keys[slot.index()];
        facts.checked = point;
        facts.last_known = None;
        facts.presence = Some(held(point));
        facts.epoch += u32::from(had_another);
        had_another
    }

    /// Notes that the slot now holds this key, as in the state.
    pub(crate) fn key_was_replaced(&mut self, slot: Slot, point: Option<Point>) {
        let facts = &mut self.keys[slot.index()];
        *facts = KeyFacts { presence: Some(held(point)), checked: point, last_known: None, epoch: facts.epoch + 1 };
    }
}
