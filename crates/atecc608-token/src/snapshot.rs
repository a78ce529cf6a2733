//! What is known of a token, as values that never change: a change makes a new one, and the [`Board`] swaps it for the old.
//! Readers take the one that is posted, and wait neither for the bus nor for each other.

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

/// For this long after a contact, good or bad, nobody asks the chip whether it is there.
const PRESENCE_LIFETIME: Duration = Duration::from_secs(1);

/// What is known of one configured place.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Who is logged in.
    pub(crate) who: Who,
    /// Whether the chip is there.
    pub(crate) presence: Presence,
    /// The chip that was found there; it stays known while it is away.
    pub(crate) known: Option<Arc<Known>>,
}

/// Whether a chip is there, and when it was last asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presence {
    /// When the chip last answered; none if it did not the last time.
    pub(crate) last_contact: Option<Instant>,
    /// When and how it was looked for and not found.
    pub(crate) last_failure: Option<(Instant, Error)>,
    /// Which chip was there, if any, when it was last looked for.
    seen: Option<Option<SerialNumber>>,
    /// Whether it came or went since somebody asked about that.
    event: bool,
}

/// What is known of a chip.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Who is logged in.
    pub(crate) who: Who,
    /// Which chip it is.
    pub(crate) identity: Arc<Identity>,
    /// What the state folder says.
    pub(crate) state_read: Arc<StateRead>,
    /// The certificates that it holds itself.
    pub(crate) certificates: Certificates,
    keys: [KeyFacts; 16],
    /// The configured secret keys that the chip was asked about: the slot, and the key if it can be used.
    configured_secrets: Vec<(Slot, Option<StoredSecret>)>,
    /// CKA_UNIQUE_ID of the secret keys that the chip has shown to hold, in this process and since the state changed.
    proven_secrets: Vec<String>,
}

/// What is known about the key in one slot.
#[derive(Clone, Copy, Debug, Default)]
struct KeyFacts {
    /// Whether the slot holds a key that is to be seen; none until asked.
    presence: Option<ChipPresence>,
    /// Its public key, if it came from the chip in this process, and so can be relied on.
    checked: Option<Point>,
    /// Its public key as it was known before the state changed under it.
    last_known: Option<Point>,
    /// Grows whenever the key turns out to be another.
    epoch: u32,
}

impl KeyFacts {
    /// The public key: from the chip, else from the state.
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

/// Where the snapshot is posted.
#[derive(Debug)]
pub(crate) struct Board(Posted<Snapshot>);

impl Default for Board {
    fn default() -> Self {
        Self(Posted::new(Snapshot { who: Who::Nobody, presence: Presence::default(), known: None }))
    }
}

impl Board {
    /// The snapshot that is posted.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.0.get()
    }

    /// Posts a changed snapshot. The lock is held for the change only, which asks nobody.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Snapshot) -> T) -> T {
        self.0.change(change)
    }

    /// Posts a change of what is known of a chip, if it is still the one that is known.
    pub(crate) fn change_known<T>(&self, chip: &Arc<Identity>, change: impl FnOnce(&mut Known) -> T) -> Option<T> {
        self.change(|snapshot| {
            let known = snapshot.known.as_mut().filter(|known| Arc::ptr_eq(&known.identity, chip));
            known.map(|known| change(Arc::make_mut(known)))
        })
    }
}

impl Snapshot {
    /// The chip, as far as anybody looked within the last second; none if it is to be looked for again.
    pub(crate) fn fresh(&self) -> Option<Result<Arc<Known>>> {
        let is_fresh = |at: Instant| at.elapsed() < PRESENCE_LIFETIME;
        match (&self.known, &self.presence) {
            (Some(known), Presence { last_contact: Some(at), .. }) if is_fresh(*at) => Some(Ok(known.clone())),
            (_, Presence { last_failure: Some((at, error)), .. }) if is_fresh(*at) => Some(Err(error.clone())),
            _ => None,
        }
    }

    /// The chip as it was last seen, however long ago that was; none if nobody has looked for it yet.
    pub(crate) fn last_seen(&self) -> Option<Result<Arc<Known>>> {
        match (&self.known, &self.presence) {
            (Some(known), Presence { last_contact: Some(_), .. }) => Some(Ok(known.clone())),
            (Some(_), Presence { last_failure: Some((_, error)), .. }) => Some(Err(error.clone())),
            (Some(_), _) => Some(Err(Error::TokenNotPresent("the chip did not answer the last time".into()))),
            (None, Presence { last_failure: Some((_, error @ Error::TokenNotPresent(_))), .. }) => {
                Some(Err(error.clone()))
            }
            (None, _) => None,
        }
    }

    /// Logs in, or out.
    pub(crate) fn set_who(&mut self, who: Who) {
        self.who = who;
        if let Some(known) = &mut self.known {
            Arc::make_mut(known).who = who;
        }
    }
}

impl Presence {
    /// Notes whether the chip came or went, or is another one. A bus that can't be used at the moment says nothing about that.
    pub(crate) fn note_event(&mut self, found: &Result<Arc<Known>>) {
        let Some(now) = which_chip(found) else { return };
        self.event |= self.seen.is_some_and(|seen| seen != now);
        self.seen = Some(now);
    }

    /// Whether [`Presence::note_event`] changes something.
    pub(crate) fn differs(&self, found: &Result<Arc<Known>>) -> bool {
        which_chip(found).is_some_and(|now| self.seen != Some(now))
    }

    /// Whether the chip came or went since the last time that this was asked.
    pub(crate) fn take_event(&mut self) -> bool {
        std::mem::take(&mut self.event)
    }
}

/// Which chip is there, if any; none if that can't be said.
fn which_chip(found: &Result<Arc<Known>>) -> Option<Option<SerialNumber>> {
    match found {
        Ok(known) => Some(Some(known.zone().serial_number())),
        Err(Error::TokenNotPresent(_) | Error::AdapterGone(_)) => Some(None),
        Err(_) => None,
    }
}

impl Known {
    /// A chip that was just found, with what the state folder says. Its keys' epochs begin at `first_epoch`.
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

    /// What the state folder says.
    pub(crate) fn state(&self) -> &State {
        &self.state_read.state
    }

    /// The key slot, if the slot is one.
    pub(crate) fn key_slot(&self, slot: Slot) -> Option<&KeySlot> {
        self.identity.key_slot(slot)
    }

    /// The key pair of a key slot.
    pub(crate) fn pair(&self, slot: Slot) -> Option<KeyPair<'_>> {
        self.key_slot(slot).map(|key| KeyPair { key, state: self.state().slot(slot), known: self })
    }

    /// Whether the slot works only after a login, and there was none.
    pub(crate) fn is_out_of_reach(&self, slot: Slot) -> bool {
        self.who != Who::User && self.identity.scheme.is_some_and(|scheme| scheme.guards(slot))
    }

    /// Whether private objects are hidden: the token has a PIN, and the user is not logged in (PKCS#11 3.0 section 5.6.8).
    pub(crate) fn hides_private(&self) -> bool {
        self.identity.scheme.is_some() && self.who != Who::User
    }

    /// Refuses to make a private object before the login.
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

    /// Whether the slot still holds the key that a handle was made for, as far as is known.
    pub(crate) fn is_there(&self, key: KeyRef) -> bool {
        self.epoch(key.slot) == key.epoch && self.known_presence(key.slot) != Some(Held::Nothing)
    }

    /// Which key the slot holds, counted in this process.
    pub(crate) fn epoch(&self, slot: Slot) -> u32 {
        self.keys[slot.index()].epoch
    }

    /// An epoch that no key of this chip has had.
    pub(crate) fn next_epoch(&self) -> u32 {
        self.keys.iter().map(|facts| facts.epoch).max().unwrap_or_default() + 1
    }

    /// Whether the slot holds a key, as far as the chip was asked.
    pub(crate) fn known_presence(&self, slot: Slot) -> Option<Held> {
        self.keys[slot.index()].presence.map(|presence| presence.held)
    }

    /// Whether the chip refused to say whether the slot holds a key.
    pub(crate) fn presence_was_refused(&self, slot: Slot) -> bool {
        self.keys[slot.index()].presence.is_some_and(|presence| presence.refused.is_some())
    }

    /// The slot's public key as far as it is known without asking: from the chip, else from the state.
    pub(crate) fn known_point(&self, slot: Slot) -> Option<Point> {
        self.keys[slot.index()].point(self.state().slot(slot))
    }

    /// The secret keys that there are: those of the state that the chip still has a place for, and the configured ones.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &StoredSecret> {
        // Of one that is pending nobody knows yet whether it is there.
        let is_there =
            |secret: &&StoredSecret| secret.pending.is_none() && self.identity.secret_slot_of(secret).is_some();
        self.state().secrets.iter().filter(is_there).chain(self.configured_secrets())
    }

    /// The secret key of this CKA_UNIQUE_ID.
    pub(crate) fn secret(&self, unique_id: &str) -> Option<&StoredSecret> {
        let of_state = self.state().secret(unique_id);
        of_state.or_else(|| self.configured_secrets().find(|secret| secret.unique_id == unique_id))
    }

    /// Whether state or configuration knows a secret key in this place.
    pub(crate) fn has_secret(&self, slot: Slot, block: u8) -> bool {
        self.state().has_secret(slot, block) || self.identity.is_configured_secret(slot, block)
    }

    /// Those that only the configuration knows of. The state's entry of a place goes first.
    fn configured_secrets(&self) -> impl Iterator<Item = &StoredSecret> {
        let configured = self.configured_secrets.iter().filter_map(|(_, secret)| secret.as_ref());
        configured.filter(|secret| !self.state().has_secret(Slot::from_nibble(secret.slot), secret.block))
    }

    /// The configured secret keys that the chip is to be asked about, as far as they are in reach.
    pub(crate) fn unasked_secrets(&self) -> impl Iterator<Item = &(SecretSlot, ObjectConfig)> {
        let is_asked = |slot: Slot| self.configured_secrets.iter().any(|(asked, _)| *asked == slot);
        let configured = self.identity.configured_secrets.iter();
        configured.filter(move |(place, _)| !is_asked(place.slot) && !self.is_out_of_reach(place.slot))
    }

    /// Whether the chip has shown that it holds this secret key.
    pub(crate) fn is_proven_secret(&self, unique_id: &str) -> bool {
        self.proven_secrets.iter().any(|proven| proven == unique_id)
    }

    /// The slot's public key if it was read from the chip in this process.
    pub(crate) fn checked_point(&self, slot: Slot) -> Option<Point> {
        self.keys[slot.index()].checked
    }
}

/// How what is known changes.
impl Known {
    /// Another process changed the state. What was known about a key whose entry says something else about it than before is to be
    /// asked again; handles of a key that the state says was replaced or destroyed end.
    pub(crate) fn state_changed(&mut self, read: StateRead) {
        let before = std::mem::replace(&mut self.state_read, Arc::new(read));
        let (before, now) = (&before.state, &self.state_read.state);
        log::debug!("chip {}: the state is of generation {} now", self.identity.zone.serial_number(), now.generation);
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

    /// The chip told whether the slot holds a key that is to be seen, and perhaps which; none: it is to be asked again.
    pub(crate) fn key_is_present(&mut self, slot: Slot, presence: Option<ChipPresence>, point: Option<Point>) {
        let facts = &mut self.keys[slot.index()];
        facts.presence = presence;
        facts.checked = facts.checked.or(point);
    }

    /// The chip was asked about the configured secret key in a slot.
    pub(crate) fn secret_was_asked(&mut self, slot: Slot, secret: Option<StoredSecret>) {
        if let Some(secret) = &secret {
            self.secret_is_proven(&secret.unique_id);
        }
        self.configured_secrets.push((slot, secret));
    }

    /// The chip holds this secret key.
    pub(crate) fn secret_is_proven(&mut self, unique_id: &str) {
        if !self.is_proven_secret(unique_id) {
            self.proven_secrets.push(unique_id.to_owned());
        }
    }

    /// A public key that is the chip's own.
    pub(crate) fn key_is(&mut self, slot: Slot, point: Point) {
        let facts = &mut self.keys[slot.index()];
        facts.checked = Some(point);
        if let Some(presence) = &mut facts.presence {
            presence.held = Held::Key;
        }
    }

    /// The slot holds another key (or none) than what was known; returns whether something was.
    pub(crate) fn key_differs(&mut self, slot: Slot, point: Option<Point>) -> bool {
        let had_another = self.known_point(slot).is_some();
        let facts = &mut self.keys[slot.index()];
        facts.checked = point;
        facts.last_known = None;
        facts.presence = Some(held(point));
        facts.epoch += u32::from(had_another);
        had_another
    }

    /// The slot now holds this key, and the state says so.
    pub(crate) fn key_was_replaced(&mut self, slot: Slot, point: Option<Point>) {
        let facts = &mut self.keys[slot.index()];
        *facts = KeyFacts { presence: Some(held(point)), checked: point, last_known: None, epoch: facts.epoch + 1 };
    }
}
