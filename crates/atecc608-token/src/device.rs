//! Contact with the chip: opening the bus, finding out which chip is there and whether it still is, and the lock
//! around conversations.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{explain, Error, Result};
use super::identity::Identity;
use super::object::KeyRef;
use super::pin::{Login, Who};
use super::secret::ChipSecret;
use crate::bus::{host_random, Bus, LockGuard, OpenError};
use crate::config::{Config, TokenConfig};
use crate::deadline::Deadline;
use crate::locked::LockedSecret;
use atecc608::authorise::{Gate, Secret};
use atecc608::{self as chip, Chip};
use atecc608_wire::config_zone::SerialNumber;

/// For this long after a contact, good or bad, nobody asks the chip whether it is there.
const PRESENCE_LIFETIME: Duration = Duration::from_secs(1);

/// One configured place, and the chip there.
pub struct Device {
    config: Config,
    token: TokenConfig,
    chip: Option<Chip<Bus>>,
    identity: Option<Identity>,
    last_contact: Option<Instant>,
    last_failure: Option<(Instant, Error)>,
    /// Where the epochs of the next chip's keys begin: no handle made for this one may name a key of that one.
    first_epoch: u32,
    /// Which chip was there, if any, when it was last looked for.
    seen: Option<Option<SerialNumber>>,
    /// Whether it came or went since somebody asked about that.
    event: bool,
    /// Who is logged in.
    login: Arc<Login>,
    /// What the login proved, while it lasts: the authorisation secret, or the security officer's.
    pub(super) secret: Option<Arc<LockedSecret>>,
}

impl Device {
    /// A place; nothing is opened yet.
    pub fn new(config: &Config, token: &TokenConfig, login: Arc<Login>) -> Self {
        Self {
            config: config.clone(),
            token: token.clone(),
            chip: None,
            identity: None,
            last_contact: None,
            last_failure: None,
            first_epoch: 0,
            seen: None,
            event: false,
            login,
            secret: None,
        }
    }

    /// How the place is configured.
    pub fn config(&self) -> &TokenConfig {
        &self.token
    }

    /// The chip there, identified at the first call: four Reads.
    ///
    /// # Errors
    /// [`Error::TokenNotPresent`], [`Error::TokenNotRecognized`], [`Error::Device`], [`Error::DeviceError`].
    pub fn identity(&mut self) -> Result<&mut Identity> {
        if self.identity.is_none() {
            self.identify()?;
        }
        self.identity.as_mut().ok_or_else(no_chip)
    }

    /// The chip there, seen within the last second: at most one Read more.
    ///
    /// # Errors
    /// As [`Device::identity`], but a chip that was there is not present either if it does not answer; a failure is
    /// remembered for a second, too.
    pub fn present(&mut self) -> Result<&mut Identity> {
        let fresh = |at: &Instant| at.elapsed() < PRESENCE_LIFETIME;
        if self.identity.is_some() && self.last_contact.as_ref().is_some_and(fresh) {
            return self.identity();
        }
        if let Some((_, error)) = self.last_failure.as_ref().filter(|(at, _)| fresh(at)) {
            return Err(error.clone());
        }
        let found = if self.identity.is_some() { self.see_that_it_is_the_same() } else { self.identify() };
        match found {
            Ok(()) => self.identity(),
            Err(error) => {
                let error = not_present(error);
                // Once, not at each of the many calls that ask.
                let text = error.to_string();
                if self.last_failure.as_ref().is_none_or(|(_, last)| last.to_string() != text) {
                    log::warn!("{} at {:#04x}: {text}", self.token.bus, self.token.address);
                }
                self.last_failure = Some((Instant::now(), error.clone()));
                self.last_contact = None;
                Err(error)
            }
        }
    }

    /// Whether the chip is there, as of the last second; notes if it came or went, or is another one. A bus that can't be used
    /// at the moment says nothing about that.
    pub fn look(&mut self) -> bool {
        let found = self.present().map(|identity| identity.zone.serial_number());
        let now = match &found {
            Ok(serial) => Some(Some(*serial)),
            Err(Error::TokenNotPresent(_)) => Some(None),
            Err(_) => None,
        };
        self.event |= self.seen.is_some() && now.is_some() && self.seen != now;
        self.seen = now.or(self.seen);
        found.is_ok()
    }

    /// Whether the chip came or went since the last time that this was asked.
    pub fn take_event(&mut self) -> bool {
        std::mem::take(&mut self.event)
    }

    /// The bus, opened if it is not.
    fn open(&mut self) -> Result<&mut Chip<Bus>> {
        if self.chip.is_none() {
            let bus =
                Bus::open(&self.token.bus, self.token.address, &self.config.state_dir).map_err(
                    |error| match error {
                        OpenError::NotFound(text) | OpenError::NotPermitted(text) | OpenError::InUse(text) => {
                            Error::TokenNotPresent(text)
                        }
                        OpenError::Other(text) => Error::DeviceError(text),
                    },
                )?;
            let mut chip = Chip::new(bus, host_random);
            if let Some(identity) = &self.identity {
                chip.apply_timing(&identity.zone);
            }
            self.chip = Some(chip);
        }
        self.chip.as_mut().ok_or_else(|| Error::TokenNotPresent("the bus is not open".to_owned()))
    }

    /// Does work with the bus locked.
    fn locked<T>(&mut self, work: impl FnOnce(&mut Chip<Bus>) -> chip::Result<T>) -> Result<T> {
        let timeout = self.config.lock_timeout;
        let chip = self.open()?;
        let guard = chip
            .transport_mut()
            .lock(Deadline::after(timeout))
            .map_err(|error| Error::DeviceError(error.to_string()))?;
        let result = work(chip).map_err(Error::Device);
        drop(guard);
        self.note(result.as_ref().err());
        result
    }

    /// Remembers when the chip last answered, or that it did not.
    fn note(&mut self, error: Option<&Error>) {
        match error {
            Some(Error::Device(error)) if error.is_absence() => self.last_contact = None,
            Some(Error::Device(chip::Error::Bus(_))) => {
                // An adapter that was unplugged and is back is another node behind the same name: open it anew.
                self.chip = None;
                self.last_contact = None;
            }
            _ => {
                self.last_contact = Some(Instant::now());
                self.last_failure = None;
            }
        }
    }

    /// Ends a login that rests on a secret; one that rests on nothing stays.
    fn end_login(&mut self) {
        if self.secret.take().is_some() {
            self.login.set(Who::Nobody);
        }
    }

    /// What lets conversations authorise themselves.
    fn gate(&self) -> Option<Gate> {
        let identity = self.identity.as_ref()?;
        let scheme = identity.scheme?;
        let secret = self.secret.clone().filter(|_| self.login.who() == Who::User);
        let secret = secret.map(|secret| Box::new(secret) as Box<dyn Secret + Send>);
        let serial = identity.zone.serial_number();
        Some(Gate { serial, key: scheme.authorisation, slots: scheme.guarded, secret })
    }

    fn identify(&mut self) -> Result<()> {
        let zone = self
            .locked(|chip| {
                let zone = chip.converse(|awake| awake.read_config())?;
                chip.apply_timing(&zone);
                Ok(zone)
            })
            .map_err(not_present)?;
        let simulated = self.open()?.transport_mut().is_simulated();
        self.identity =
            Some(Identity::new(zone, simulated, &self.config, &self.token, self.first_epoch, self.login.clone())?);
        Ok(())
    }

    /// Looks whether the chip that answers is the one that was identified; another one is identified anew.
    fn see_that_it_is_the_same(&mut self) -> Result<()> {
        let known = self.identity()?.zone.clone();
        let seen = self.locked(|chip| chip.converse(|awake| awake.read_identity()))?;
        // A chip that is not locked yet may have been provisioned meanwhile.
        if seen[..] != known.as_bytes()[..32] || !known.data_locked() {
            if seen[..13] != known.as_bytes()[..13] {
                log::warn!("{}: another chip answers at {:#04x}", self.token.bus, self.token.address);
            }
            self.first_epoch = self.identity()?.next_epoch();
            self.end_login();
            self.identity = None;
            return self.identify();
        }
        Ok(())
    }

    /// Does work with the bus locked, the state read and open intents resolved.
    ///
    /// # Errors
    /// Those of [`Device::identity`], of the lock, and of the work.
    pub fn with_chip<T>(&mut self, work: impl FnOnce(&mut Chip<Bus>, &mut Identity) -> Result<T>) -> Result<T> {
        let guard = self.begin()?;
        let result = match (self.chip.as_mut(), self.identity.as_mut()) {
            (Some(chip), Some(identity)) => work(chip, identity),
            _ => Err(no_chip()),
        };
        match self.end(guard, result.as_ref().err()) {
            Some(error) => Err(error),
            None => result,
        }
    }

    /// What comes before the work of [`Device::with_chip`], the same for all of them.
    fn begin(&mut self) -> Result<LockGuard> {
        self.identity()?;
        if self.last_contact.is_none() {
            // It was gone: another chip may be there now.
            self.see_that_it_is_the_same()?;
        }
        let timeout = self.config.lock_timeout;
        self.open()?;
        let gate = self.gate();
        let (Some(chip), Some(identity)) = (self.chip.as_mut(), self.identity.as_mut()) else {
            return Err(no_chip());
        };
        let guard = chip
            .transport_mut()
            .lock(Deadline::after(timeout))
            .map_err(|error| Error::DeviceError(error.to_string()))?;
        identity.refresh();
        chip.set_gate(gate);
        match identity.resolve_intents(chip).and_then(|()| identity.resolve_secrets(chip)) {
            Ok(()) => Ok(guard),
            Err(error) => Err(self.end(guard, Some(&error)).unwrap_or(error)),
        }
    }

    /// What comes after it. Answers another error than the work's, where the caller must not see that one.
    fn end(&mut self, guard: LockGuard, error: Option<&Error>) -> Option<Error> {
        if let Some(chip) = &mut self.chip {
            // The secret stays where it can be wiped.
            chip.set_gate(None);
        }
        drop(guard);
        self.note(error);
        let Some(Error::Device(error @ chip::Error::NotAuthorised { refused, .. })) = error else { return None };
        if *refused {
            log::warn!("{}", explain(error));
            self.end_login();
        }
        Some(Error::UserNotLoggedIn)
    }

    /// As [`Device::with_chip`], for the key that a handle names: seen under the lock, it is still the one it was.
    ///
    /// # Errors
    /// [`Error::KeyHandleInvalid`] if it is not, and those of [`Device::with_chip`].
    pub fn with_key<T>(
        &mut self,
        key: KeyRef,
        work: impl FnOnce(&mut Chip<Bus>, &mut Identity) -> Result<T>,
    ) -> Result<T> {
        self.with_chip(|chip, identity| {
            if identity.is_there(key) {
                return work(chip, identity);
            }
            Err(Error::KeyHandleInvalid(format!(
                "slot {} holds another key than when it was found, or none: find the key again",
                key.slot
            )))
        })
    }
}

impl Device {
    /// As [`Device::with_chip`], for a secret key: seen under the lock, it is still there.
    ///
    /// # Errors
    /// [`Error::KeyHandleInvalid`] if it is not, and those of [`Device::with_chip`].
    pub fn with_secret<T>(
        &mut self,
        secret: &ChipSecret,
        work: impl FnOnce(&mut Chip<Bus>, &mut Identity) -> Result<T>,
    ) -> Result<T> {
        self.with_chip(|chip, identity| {
            if identity.store.state().secret(&secret.unique_id).is_some() {
                return work(chip, identity);
            }
            Err(Error::KeyHandleInvalid(format!("the secret key in slot {} is gone", secret.slot)))
        })
    }
}

fn no_chip() -> Error {
    Error::TokenNotPresent("no chip was found".to_owned())
}

/// A chip that does not answer where one is looked for is an empty slot.
fn not_present(error: Error) -> Error {
    match error {
        Error::Device(error) if error.is_absence() => Error::TokenNotPresent(error.to_string()),
        other => other,
    }
}
