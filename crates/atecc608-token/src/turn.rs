// SPDX-License-Identifier: MIT OR Apache-2.0
//! The chip's side of a token, and the one place where a call takes its turn: the queue of this process, the bus lock,
//! and the check whether it is still the same chip. A call accesses the chip in one turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::absence::{gone, held_here, no_chip, not_opened, not_present};
use super::configuration::KeptConfiguration;
use super::deadline::Deadline;
use super::error::{explain, Error, Result};
use super::fair::FairMutex;
use super::identity::Identity;
use super::io_key::KeyFile;
use super::io_protection::IoProtection;
use super::object::KeyRef;
use super::snapshot::Known;
use super::state::State;
use super::token::Token;
use super::{intents, latch, secret};
use crate::bus::{host_random, Bus, LockError, LockGuard, NodeIdentity};
use atecc608::authorise::{Gate, Secret};
use atecc608::{self as chip, Awake, Chip};
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::Slot;

/// The chip of one token, behind its queue.
pub(crate) struct Line(FairMutex<ChipSide>);

/// State that only the holder of the turn may use.
#[derive(Default)]
struct ChipSide {
    /// The open bus, with the chip on it.
    chip: Option<Chip<Bus>>,
    io_protection: IoProtection,
    /// The bus node of the last turn.
    node: Option<NodeIdentity>,
    /// It differs from the one before: another chip may be there.
    is_another_node: bool,
    /// The first epoch of the next chip's keys: no handle of this chip may name a key of that one.
    first_epoch: u32,
    /// A stored configuration did not match the chip: it is not used any more.
    distrusts_kept: bool,
}

/// A turn with the chip: the bus is locked, the chip is the known one, its state is read and resolved.
pub(crate) struct Turn<'t> {
    /// The chip.
    pub(crate) chip: &'t mut Chip<Bus>,
    /// The facts about results that cross the bus encrypted.
    pub(crate) io_protection: &'t mut IoProtection,
    /// The known facts, and their changes.
    pub(crate) notes: Notes<'t>,
}

/// The facts that the holder of the turn knows and learns; they are posted immediately.
pub(crate) struct Notes<'t> {
    token: &'t Token,
    known: Arc<Known>,
}

/// The work of a turn, with any type of result. (A `dyn FnMut` is larger, and there are many kinds of work.)
trait Work {
    fn run(&mut self, turn: &mut Turn<'_>) -> Result<()>;
}

/// Work that runs at most once, and its result.
struct Once<F, T> {
    work: Option<F>,
    result: Option<T>,
}

impl<T, F: FnOnce(&mut Turn<'_>) -> Result<T>> Once<F, T> {
    fn new(work: F) -> Self {
        Self { work: Some(work), result: None }
    }

    fn result(self) -> Result<T> {
        self.result.ok_or_else(nothing_was_done)
    }
}

impl<T, F: FnOnce(&mut Turn<'_>) -> Result<T>> Work for Once<F, T> {
    fn run(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        if let Some(work) = self.work.take() {
            self.result = Some(work(turn)?);
        }
        Ok(())
    }
}

fn nothing_was_done() -> Error {
    Error::DeviceError("nothing was done in the turn".into())
}

/// When the presence of a known chip is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Confirm {
    Always,
    /// If it did not respond the last time: another one may be there now.
    AfterItWasLost,
}

impl Line {
    /// A chip without any contact so far; accesses no bus.
    pub(crate) fn new() -> Self {
        Self(FairMutex::new(ChipSide::default()))
    }

    /// Waits for a turn, and runs the work in it.
    ///
    /// # Errors
    /// The [turn errors](Error#turn-errors), and the error of the work.
    pub(crate) fn turn<T>(
        &self,
        token: &Token,
        deadline: Deadline,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut work = Once::new(work);
        self.wait_for_turn(token, deadline, &mut work)?;
        work.result()
    }

    /// Compiled once for all kinds of work: there are many.
    fn wait_for_turn(&self, token: &Token, deadline: Deadline, work: &mut dyn Work) -> Result<()> {
        let side = &mut *self.0.lock(deadline).ok_or_else(|| held_here(token, deadline))?;
        let guard = side.lock_bus(token, deadline)?;
        side.take_turn(token, guard, work)
    }

    /// Returns the chip, after identifying it if it is not known yet.
    ///
    /// # Errors
    /// As [`Line::turn`].
    pub(crate) fn meet(&self, token: &Token, deadline: Deadline) -> Result<Arc<Known>> {
        let side = &mut *self.0.lock(deadline).ok_or_else(|| held_here(token, deadline))?;
        // Another thread may have identified it meanwhile.
        if let Some(known) = &token.board.snapshot().known {
            return Ok(known.clone());
        }
        let guard = side.lock_bus(token, deadline)?;
        let met = side.meet(token, Confirm::AfterItWasLost);
        side.end_turn(token, guard, met)
    }

    /// As [`Line::turn`], if the turn can be taken at once; `None` if chip or bus are in use.
    pub(crate) fn try_turn<T>(
        &self,
        token: &Token,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T>,
    ) -> Option<Result<T>> {
        let side = &mut *self.0.try_lock()?;
        let guard = side.try_lock_bus(token).transpose()?;
        let mut work = Once::new(work);
        let done = guard.and_then(|guard| side.take_turn(token, guard, &mut work));
        Some(done.and_then(|()| work.result()))
    }

    /// Checks whether the chip is present, cached for a second. Waits for a turn only with a deadline; without one
    /// returns `None` if chip or bus are in use.
    pub(crate) fn look(&self, token: &Token, deadline: Option<Deadline>) -> Option<Result<Arc<Known>>> {
        let mut side = match deadline {
            Some(deadline) => match self.0.lock(deadline) {
                Some(side) => side,
                None => return Some(Err(not_found(token, held_here(token, deadline)))),
            },
            None => self.0.try_lock()?,
        };
        // Another thread may have checked meanwhile.
        if let Some(found) = token.board.snapshot().fresh() {
            return Some(found);
        }
        let found = side.look(token, deadline)?;
        Some(found.map_err(|error| not_found(token, error)))
    }
}

/// Notes that the chip was not found.
fn not_found(token: &Token, error: Error) -> Error {
    let error = not_present(error);
    token.board.change(|snapshot| {
        let presence = &mut snapshot.presence;
        // Once, not for each of the many calls.
        let text = error.to_string();
        if presence.last_failure.as_ref().is_none_or(|(_, last)| last.to_string() != text) {
            log::warn!("{}: {text}", token.place());
        }
        presence.last_failure = Some((Instant::now(), error.clone()));
        presence.last_contact = None;
    });
    error
}

impl ChipSide {
    fn look(&mut self, token: &Token, deadline: Option<Deadline>) -> Option<Result<Arc<Known>>> {
        let guard = match deadline {
            Some(deadline) => self.lock_bus(token, deadline),
            None => self.try_lock_bus(token).transpose()?,
        };
        Some(guard.and_then(|guard| {
            let met = self.meet(token, Confirm::Always);
            self.end_turn(token, guard, met)
        }))
    }

    /// Opens the bus if necessary; of several buses the first with the chip.
    fn open(&mut self, token: &Token, deadline: Deadline) -> Result<&mut Chip<Bus>> {
        let config = &token.config;
        let chip = match self.chip.take() {
            Some(chip) => chip,
            None => {
                let place = &token.token_config;
                let bus = Bus::open_first(place, &config.state_dir, deadline)
                    .map_err(|error| not_opened(error, place, self.node.is_some()))?;
                let mut chip = Chip::new(bus, host_random);
                if let Some(known) = &token.board.snapshot().known {
                    chip.apply_timing(known.zone());
                    chip.expect_configuration(known.identity.is_partly_kept.then_some(known.zone()));
                }
                chip
            }
        };
        Ok(self.chip.insert(chip))
    }

    fn lock_bus(&mut self, token: &Token, deadline: Deadline) -> Result<LockGuard> {
        let taken = self.take_bus(token, deadline, |bus| bus.lock(deadline).map(Some));
        self.note_absence(token, taken)?.ok_or_else(nothing_was_done)
    }

    fn try_lock_bus(&mut self, token: &Token) -> Result<Option<LockGuard>> {
        let taken = self.take_bus(token, Deadline::after(Duration::ZERO), Bus::try_lock);
        self.note_absence(token, taken)
    }

    /// Notes that a missing bus has no chip on it.
    fn note_absence<T>(&mut self, token: &Token, taken: Result<T>) -> Result<T> {
        if let Err(error @ (Error::TokenNotPresent(_) | Error::AdapterGone(_))) = &taken {
            self.note(token, Some(error));
        }
        taken
    }

    /// Opens the bus if necessary, and takes its lock. A bus whose node has disappeared or changed is reopened: it may
    /// be another one of several now, and the names of its lock files contain the adapter's number.
    fn take_bus(
        &mut self,
        token: &Token,
        deadline: Deadline,
        take: impl Fn(&mut Bus) -> Result<Option<LockGuard>, LockError>,
    ) -> Result<Option<LockGuard>> {
        let mut is_new = self.chip.is_none();
        loop {
            let bus = self.open(token, deadline)?.transport_mut();
            let taken = take(bus);
            let node = bus.node();
            match taken {
                Ok(Some(guard)) => {
                    let is_another = self.node.is_some() && self.node != node;
                    self.node = node;
                    self.is_another_node |= is_another;
                    if is_new || !is_another {
                        return Ok(Some(guard));
                    }
                }
                Ok(None) => return Ok(None),
                Err(LockError::Node(error)) if is_new => {
                    return Err(not_opened(error, &token.token_config, self.node.is_some()));
                }
                Err(LockError::Node(_)) => {}
                Err(error) => return Err(Error::DeviceError(error.to_string().into())),
            }
            self.chip = None;
            is_new = true;
        }
    }

    /// Returns the chip that responds: identified at first, with four Reads (two if root has stored the configuration)
    /// and an Info; later confirmed with one Read if necessary.
    fn meet(&mut self, token: &Token, confirm: Confirm) -> Result<Arc<Known>> {
        let snapshot = token.board.snapshot();
        let Some(known) = &snapshot.known else { return self.identify(token) };
        let was_there = snapshot.presence.last_contact.is_some() && !self.is_another_node;
        if confirm == Confirm::AfterItWasLost && was_there {
            return Ok(known.clone());
        }
        let seen = self.converse(|awake| awake.read_identity())?;
        self.is_another_node = false;
        let zone = known.zone();
        // A chip that was not locked may have been provisioned meanwhile.
        if seen[..] == zone.as_bytes()[..32] && zone.data_locked() {
            return Ok(known.clone());
        }
        if seen[..13] != zone.as_bytes()[..13] {
            log::warn!("{}: another chip responds at {:#04x}", token.token_config.bus, token.token_config.address);
        }
        self.forget(token);
        self.identify(token)
    }

    /// Forgets the chip: the next turn identifies it. Handles of its keys end.
    fn forget(&mut self, token: &Token) {
        token.login.end_where_it_rests_on_a_secret(&token.board);
        let next_epoch = token.board.change(|snapshot| snapshot.known.take().map(|known| known.next_epoch()));
        self.first_epoch = next_epoch.unwrap_or(self.first_epoch);
    }

    fn identify(&mut self, token: &Token) -> Result<Arc<Known>> {
        let chip = self.chip.as_mut().ok_or_else(no_chip)?;
        chip.expect(None);
        chip.expect_configuration(None);
        let on_simulator = chip.transport_mut().has_simulated_chips();
        let trusts_kept = token.trusts_kept_configuration && !self.distrusts_kept;
        let kept = |serial: &SerialNumber| {
            let simulated = on_simulator || serial.is_simulated();
            let io_key = trusts_kept.then(|| KeyFile::of(&token.config, &token.token_config, simulated, serial))?;
            KeptConfiguration::beside(&io_key).load(serial)
        };
        let read = self.converse(|awake| {
            let zone = awake.read_config_but_kept(kept)?;
            let model = awake.identify(&zone.0)?.model;
            Ok((zone, model))
        });
        let (zone, model) = read.map_err(not_present)?;
        let chip = self.chip.as_mut().ok_or_else(no_chip)?;
        chip.apply_timing(&zone.0);
        chip.expect_configuration(zone.1.then_some(&zone.0));
        let simulated = on_simulator || zone.0.serial_number().is_simulated();
        let identity = Identity::new(zone, model, simulated, &token.config, &token.token_config, token.keys_in)?;
        let state = identity.state_file.read_first()?;
        self.io_protection = IoProtection::default();
        Ok(token.board.change(|snapshot| {
            let known = Known::new(identity, state, self.first_epoch, snapshot.who);
            snapshot.known.insert(Arc::new(known)).clone()
        }))
    }

    fn converse<T>(&mut self, work: impl FnMut(&mut Awake<'_, Bus>) -> chip::Result<T>) -> Result<T> {
        self.chip.as_mut().ok_or_else(no_chip)?.converse(work).map_err(Error::from)
    }

    /// Runs a whole turn, with the bus locked until the work is done.
    fn take_turn(&mut self, token: &Token, guard: LockGuard, work: &mut dyn Work) -> Result<()> {
        let met = self.meet(token, Confirm::AfterItWasLost);
        let result = met.and_then(|known| self.work(token, known, work));
        self.end_turn(token, guard, result)
    }

    fn end_turn<T>(&mut self, token: &Token, guard: LockGuard, result: Result<T>) -> Result<T> {
        drop(guard);
        let is_gone = self.chip.as_mut().is_some_and(|chip| chip.transport_mut().is_gone());
        let result = result.map_err(|error| match error {
            Error::Device(error) if is_gone => {
                log::debug!("{error}");
                gone(&token.token_config)
            }
            other => other,
        });
        self.note(token, result.as_ref().err());
        if matches!(&result, Err(Error::Device(error)) if matches!(**error, chip::Error::OtherConfiguration(_))) {
            self.distrust_kept(token);
        }
        result
    }

    /// Notes that the stored configuration does not match the chip: the next turn reads all of it.
    fn distrust_kept(&mut self, token: &Token) {
        if let Some(known) = &token.board.snapshot().known {
            let file = known.identity.kept_configuration.path().display();
            log::error!("{file}: not the chip's configuration: run `sudo atecc608 trust`");
        }
        self.distrusts_kept = true;
        self.forget(token);
    }

    /// Runs the work of a turn, after the common preparation.
    fn work(&mut self, token: &Token, known: Arc<Known>, work: &mut dyn Work) -> Result<()> {
        token.state_access.refresh(&token.board);
        let secret = token.login.user_secret(&token.board);
        let (Some(chip), Some(known)) = (self.chip.as_mut(), token.board.snapshot().known.clone().or(Some(known)))
        else {
            return Err(no_chip());
        };
        chip.expect(Some(known.zone().serial_number()));
        chip.set_gate(known.identity.scheme.map(|scheme| Gate {
            serial: known.zone().serial_number(),
            key: scheme.authorisation,
            slots: scheme.guarded,
            secret: secret.clone().map(|secret| Box::new(secret) as Box<dyn Secret + Send>),
        }));
        let notes = Notes { token, known };
        let mut turn = Turn { chip, io_protection: &mut self.io_protection, notes };
        let resolved = intents::resolve(&mut turn).and_then(|()| secret::stored::resolve(&mut turn));
        let result = resolved.and_then(|()| work.run(&mut turn));
        // The secret stays where it can be wiped.
        turn.chip.set_gate(None);
        result.map_err(|error| match error {
            Error::Device(error) => match *error {
                chip::Error::NotAuthorised { refused, .. } => {
                    if refused {
                        log::warn!("{}", explain(&error));
                        token.login.end_if_it_rests_on(secret.as_ref(), &token.board);
                    }
                    Error::UserNotLoggedIn
                }
                _ => Error::Device(error),
            },
            other => other,
        })
    }

    /// Notes whether the chip responded.
    fn note(&mut self, token: &Token, error: Option<&Error>) {
        let answered = match error {
            Some(Error::TokenNotPresent(_) | Error::AdapterGone(_)) => false,
            Some(Error::Device(error)) if error.is_absence() => {
                if !token.token_config.other_buses.is_empty() {
                    // It may be on another of its buses now.
                    self.chip = None;
                }
                false
            }
            Some(Error::Device(error)) if matches!(**error, chip::Error::Bus(_)) => {
                // An adapter that was unplugged and plugged in again is another node with the same name: reopen it.
                self.chip = None;
                false
            }
            _ => true,
        };
        token.board.change(|snapshot| {
            snapshot.presence.last_contact = answered.then(Instant::now);
            if answered {
                snapshot.presence.last_failure = None;
            }
        });
    }
}

impl Turn<'_> {
    /// Returns the known facts.
    pub(crate) fn known(&self) -> Arc<Known> {
        self.notes.known.clone()
    }

    /// Runs one conversation.
    ///
    /// # Errors
    /// [`Error::Device`] if the chip or the bus fails.
    pub(crate) fn converse<T>(&mut self, work: impl FnMut(&mut Awake<'_, Bus>) -> chip::Result<T>) -> Result<T> {
        self.chip.converse(work).map_err(Error::from)
    }

    /// As [`Turn::converse`] with the slot's key, but without a retry if its uses are counted permanently.
    ///
    /// # Errors
    /// [`Error::Device`] if the chip or the bus fails; [`Error::BehindLatch`] if the latch is not set.
    pub(crate) fn converse_with_key<T>(
        &mut self,
        slot: Slot,
        mut work: impl FnMut(&mut Awake<'_, Bus>) -> chip::Result<T>,
    ) -> Result<T> {
        let limited = self.notes.known.key_slot(slot).is_some_and(|key| key.limited_use);
        let result = match limited {
            true => self.chip.converse_once(|awake| {
                awake.check_configuration()?;
                work(awake)
            }),
            false => self.chip.converse(work),
        };
        result.map_err(|error| latch::explained(self, slot, error))
    }

    /// See [`Notes::learn`].
    ///
    /// # Errors
    /// As [`Notes::learn`].
    pub(crate) fn learn<T>(&mut self, change: impl FnOnce(&mut Known) -> T) -> Result<T> {
        self.notes.learn(change)
    }

    /// See [`Notes::change_state`].
    ///
    /// # Errors
    /// As [`Notes::change_state`].
    pub(crate) fn change_state(&mut self, change: impl FnOnce(&mut State)) -> Result<()> {
        self.notes.change_state(change)
    }

    /// Checks that the slot still holds the key that a handle names.
    ///
    /// # Errors
    /// [`Error::KeyHandleInvalid`].
    pub(crate) fn check_key(&self, key: KeyRef) -> Result<()> {
        if self.notes.known.is_there(key) {
            return Ok(());
        }
        Err(Error::KeyHandleInvalid(
            format!("the key in slot {} changed or was destroyed since it was found: search for it again", key.slot)
                .into(),
        ))
    }
}

impl Notes<'_> {
    /// Whether the configuration forbids to continue without the IO protection key.
    pub(crate) fn requires_io_protection(&self) -> bool {
        self.token.token_config.io_protection_required
    }

    /// Posts a change of the known facts.
    ///
    /// # Errors
    /// [`Error::TokenNotPresent`] if the known chip has changed.
    pub(crate) fn learn<T>(&mut self, change: impl FnOnce(&mut Known) -> T) -> Result<T> {
        let learned = self.token.board.change_known(&self.known.identity, change);
        self.reread();
        learned.ok_or_else(no_chip)
    }

    fn reread(&mut self) {
        if let Some(known) = &self.token.board.snapshot().known {
            self.known = known.clone();
        }
    }

    /// Changes the state, fsynced.
    ///
    /// # Errors
    /// The [state folder errors](Error#state-folder-errors); the state is then unchanged.
    pub(crate) fn change_state(&mut self, change: impl FnOnce(&mut State)) -> Result<()> {
        self.commit(change, |_| {})
    }

    /// As [`Notes::change_state`]; posts the new facts about the chip at the same time, or alone if the state can't be
    /// written.
    ///
    /// # Errors
    /// As [`Notes::change_state`].
    pub(crate) fn commit(&mut self, change: impl FnOnce(&mut State), learned: impl Fn(&mut Known)) -> Result<()> {
        // Compiled once for all changes: there are many.
        let mut change = Some(change);
        let once = &mut |state: &mut State| {
            if let Some(change) = change.take() {
                change(state);
            }
        };
        let changed = self.token.state_access.change(&self.token.board, once, &learned);
        self.reread();
        changed
    }

    /// As [`Notes::commit`]; if the file can't be written, the state changes in this process only, and the next
    /// successful write includes the change.
    pub(crate) fn commit_at_least_here(
        &mut self,
        slot: Slot,
        change: impl Fn(&mut State),
        learned: impl Fn(&mut Known),
    ) -> Result<()> {
        let Err(error) = self.commit(&change, learned) else { return Ok(()) };
        // Keys can still be used.
        log::warn!("slot {slot}: cannot store the result: {error}");
        self.learn(|known| change(&mut Arc::make_mut(&mut known.state_read).state))
    }
}
