// SPDX-License-Identifier: MIT OR Apache-2.0
//! The work of provisioning, in the order of `reference/profiles.md`: configuration, its lock, attestation key, IO key,
//! contents of all slots, lock of the data.
//!
//! It continues from any state of the chip, so that it can be interrupted at any moment and run again. The caller holds
//! the bus lock.

use std::io::ErrorKind;

use zeroize::Zeroizing;

use super::pin::{PinSecrets, PinSetup, Secrets};
use super::plan::{Plan, Standing};
use crate::chip::random;
use crate::error::{Error, Result};
use atecc608::ops::Before;
use atecc608::provision::DataContents;
use atecc608::secrets::SharedSecret;
use atecc608::{self as chip, Chip, Transport};
use atecc608_token::configuration::KeptConfiguration;
use atecc608_token::inventory::empty_places;
use atecc608_token::io_key::{IoKey, KeyFile};
use atecc608_token::point::Point;
use atecc608_token::profile::{Contents, Profile};
use atecc608_token::state::EmptyPlace;
use atecc608_token::store::Store;
use atecc608_wire::commands::Read;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{ConfigZone, Slot};

/// The result of provisioning.
#[derive(Debug)]
pub struct Done {
    /// The configuration, both zones locked.
    pub zone: ConfigZone,
    /// The attestation key's public key, for the factory's manifest.
    pub attestation: Option<(Slot, Point)>,
    /// Whether the IO protection key existed already.
    pub io_key_reused: bool,
    /// Slots for future keys that already hold one, possibly imported.
    pub keys_found: Vec<Slot>,
    /// The places for secret keys, all empty.
    pub empty: Vec<EmptyPlace>,
}

/// Stores the configuration of a provisioned chip, which saves the module two Reads in each process. Returns an error;
/// a missing permission to write is not one.
pub fn keep_configuration(key_file: &KeyFile, zone: &ConfigZone) -> Option<String> {
    let stored = KeptConfiguration::beside(key_file).store(zone);
    let error = stored.err().filter(|error| error.kind() != ErrorKind::PermissionDenied)?;
    Some(format!("the configuration can't be stored: {error}"))
}

/// One chip being provisioned.
pub struct Work<'a, P> {
    /// The chip, whose bus the caller has locked.
    pub chip: &'a mut Chip<P>,
    /// Its profile.
    pub profile: &'a Profile,
    /// The file of its IO protection key.
    pub key_file: &'a KeyFile,
    /// Its state.
    pub store: &'a mut Store,
    /// Additional inputs for a profile with a PIN.
    pub pin: Option<PinSetup<'a>>,
    /// Prints the next step.
    pub say: &'a mut dyn FnMut(&str),
}

/// Printed if a step fails while nothing is locked.
const NOTHING_LOCKED: &str = "Nothing is locked: run the same command again";
/// Printed if a step fails between the two locks.
const HALF_LOCKED: &str =
    "The configuration is permanently locked, the data zone is not: run the same command again to finish";
/// Printed if a step fails after both locks.
const BOTH_LOCKED: &str = "Both zones are locked, and the chip has verified the checksum of their contents: run the \
                           same command again; do not use the chip if that prints anything but \"already \
                           provisioned\"";

impl<P: Transport> Work<'_, P> {
    /// Executes the plan, from any state of the chip to both zones locked **for good**.
    ///
    /// # Errors
    /// [`Error::Stopped`] with the progress, if the chip or the bus fails; [`Error::KeyFile`] if the key's file can't
    /// be used; [`Error::HostRandom`] if the system has no random numbers.
    pub fn run(&mut self, plan: &Plan) -> Result<Done> {
        // Failures outside the chip must show before the first lock.
        self.key_file.prepare()?;
        if let Some(pin) = &self.pin {
            pin.prepare(self.store)?;
        }
        if plan.standing == Standing::Blank {
            self.configuration(plan)?;
        }
        self.check_random()?;
        let keys_found = self.keys_found()?;
        let attestation = self.attestation_key()?;
        let (io_key, io_key_reused) = self.io_key()?;
        let pin = self.pin_secrets(plan, attestation.as_ref())?;
        let secrets = Secrets { io_key, pin };
        let contents = self.contents(&secrets)?;
        let empty = empty_places(&plan.wanted, &contents.slots);
        self.keep_empty(&empty);
        self.write_contents(&contents)?;
        if let Some(pin) = &secrets.pin {
            self.prove(plan, pin)?;
        }
        self.step("locking the data zone permanently", HALF_LOCKED, |chip| chip.permanently_lock_data(&contents))?;
        let zone = self.verify(plan, &contents)?;
        if let Some(problem) = keep_configuration(self.key_file, &zone) {
            (self.say)(&format!("warning: {problem}"));
        }
        Ok(Done { zone, attestation, io_key_reused, keys_found, empty })
    }

    /// Stores which places hold no secret key, before the chip gets their contents, because that can't be found out
    /// later.
    fn keep_empty(&mut self, empty: &[EmptyPlace]) {
        if let Err(error) = self.store.change(|state| state.empty = empty.to_vec()) {
            (self.say)(&format!("warning: cannot store which places are free for secret keys: {error}"));
        }
    }

    /// Prints a step, runs it, and on failure reports the chip's state.
    fn step<T>(&mut self, what: &str, standing: &str, work: impl FnOnce(&mut Chip<P>) -> chip::Result<T>) -> Result<T> {
        (self.say)(what);
        work(self.chip).map_err(|cause| Error::Stopped { step: what.to_owned(), cause, standing: standing.to_owned() })
    }

    fn configuration(&mut self, plan: &Plan) -> Result<()> {
        let written = self.step("writing the configuration", NOTHING_LOCKED, |chip| {
            let written = chip.write_config(&plan.wanted)?;
            if written == plan.wanted {
                Ok(written)
            } else {
                Err(chip::Error::Mismatch("the configuration reads back differently".into()))
            }
        })?;
        // Another clock divider takes effect with the next wake.
        self.chip.apply_timing(&written);
        let uncertain = "It may be locked by now: run the same command again; it checks first";
        self.step("locking the configuration permanently", uncertain, |chip| chip.permanently_lock_config(&written))
    }

    /// Keys must not be generated from the constant random numbers of an unlocked chip.
    fn check_random(&mut self) -> Result<()> {
        self.step("testing the chip's random numbers", HALF_LOCKED, |chip| {
            let random = chip.converse(|awake| awake.random())?;
            if random.chunks(4).all(|word| word == random::CONSTANT) {
                return Err(chip::Error::Mismatch("they are a constant: the chip is broken".into()));
            }
            Ok(())
        })
    }

    fn slots_with(&self, contents: Contents) -> Vec<Slot> {
        Slot::all().filter(|slot| self.profile.slot(*slot).contents == contents).collect()
    }

    fn keys_found(&mut self) -> Result<Vec<Slot>> {
        let slots = self.slots_with(Contents::PrivateKey);
        self.step("checking for existing keys", HALF_LOCKED, |chip| {
            chip.converse(|awake| {
                let mut found = Vec::new();
                for slot in &slots {
                    if awake.key_valid(*slot)? {
                        found.push(*slot);
                    }
                }
                Ok(found)
            })
        })
    }

    /// Always generates a new one: before the data lock keys can be imported, so an existing one proves nothing.
    fn attestation_key(&mut self) -> Result<Option<(Slot, Point)>> {
        let Some(slot) = self.slots_with(Contents::AttestationKey).first().copied() else {
            return Ok(None);
        };
        let what = format!("generating the attestation key in slot {slot}");
        let point = self.step(&what, HALF_LOCKED, |chip| {
            let before: Before = chip.slot_before_generation(slot)?;
            let xy = chip.generate_key(slot, before)?;
            Point::from_xy(&xy).ok_or_else(|| chip::Error::Mismatch("its public key is not on P-256".into()))
        })?;
        Ok(Some((slot, point)))
    }

    /// 32 bytes from chip and host: the chip's cross the bus in clear, the host's may be weak.
    fn random_block(&mut self) -> Result<Zeroizing<[u8; 32]>> {
        self.chip.converse(|awake| awake.fresh_secret()).map_err(|cause| Error::Stopped {
            step: "requesting random bytes".to_owned(),
            cause,
            standing: HALF_LOCKED.to_owned(),
        })
    }

    /// Returns the IO protection key, stored on the host's disk before the chip gets it.
    fn io_key(&mut self) -> Result<(IoKey, bool)> {
        (self.say)(&format!("storing the IO protection key in {}", self.key_file.path().display()));
        if let Some(key) = self.key_file.load()? {
            return Ok((key, true));
        }
        Ok((self.key_file.store(&*self.random_block()?)?, false))
    }

    /// Makes the secrets of a PIN; the host's part is on its disk before the chip gets them. Those of an interrupted
    /// run are replaced.
    fn pin_secrets(&mut self, plan: &Plan, attestation: Option<&(Slot, Point)>) -> Result<Option<PinSecrets>> {
        if self.pin.is_none() {
            return Ok(None);
        }
        (self.say)("generating the secrets behind the PIN");
        let (authorisation, random) = (self.random_block()?, self.random_block()?);
        let secrets = PinSecrets::new(authorisation, &random, &plan.wanted.serial_number());
        if let Some(pin) = &self.pin {
            pin.keep(self.store, &secrets.authorisation, attestation)?;
        }
        Ok(Some(secrets))
    }

    /// Checks that the chip holds the secrets, which could not be repaired after the data lock, and hands over the
    /// recovery code.
    fn prove(&mut self, plan: &Plan, secrets: &PinSecrets) -> Result<()> {
        let serial = plan.wanted.serial_number();
        for (contents, value) in
            [(Contents::AuthorisationSecret, &secrets.authorisation), (Contents::OfficerSecret, &secrets.officer)]
        {
            for slot in self.slots_with(contents) {
                self.step(&format!("checking that slot {slot} holds its secret"), HALF_LOCKED, |chip| {
                    let secret = SharedSecret { slot, value };
                    if chip.converse(|awake| awake.proves(&serial, &secret))? {
                        return Ok(());
                    }
                    Err(chip::Error::Mismatch(format!("slot {slot} does not hold what was written").into()))
                })?;
            }
        }
        match &mut self.pin {
            Some(pin) => (pin.hand_over)(&secrets.code),
            None => Ok(()),
        }
    }

    /// Returns the contents of every slot. No slot keeps the factory's contents.
    fn contents(&mut self, secrets: &Secrets) -> Result<Zeroizing<DataContents>> {
        let mut contents = Zeroizing::new(DataContents { slots: Default::default(), otp: [0; 64] });
        for slot in Slot::all() {
            let mut bytes = Vec::with_capacity(slot.size());
            match self.profile.slot(slot).contents {
                Contents::PrivateKey | Contents::AttestationKey => continue,
                Contents::IoKey => bytes.extend(&secrets.io_key[..]),
                Contents::AuthorisationSecret => bytes.extend(secrets.pin.iter().flat_map(|pin| *pin.authorisation)),
                Contents::OfficerSecret => bytes.extend(secrets.pin.iter().flat_map(|pin| *pin.officer)),
                Contents::Random => {
                    while bytes.len() < slot.size() {
                        let block = self.random_block()?;
                        let missing = slot.size() - bytes.len();
                        bytes.extend(&block[..missing.min(32)]);
                    }
                }
                Contents::Zeros => {}
            }
            bytes.resize(slot.size(), 0);
            contents.slots[slot.index()] = Some(bytes);
        }
        Ok(contents)
    }

    fn write_contents(&mut self, contents: &DataContents) -> Result<()> {
        for (slot, bytes) in Slot::all().zip(&contents.slots) {
            if let Some(bytes) = bytes {
                self.step(&format!("writing slot {slot}"), HALF_LOCKED, |chip| chip.write_slot(slot, bytes))?;
            }
        }
        self.step("writing the OTP zone", HALF_LOCKED, |chip| chip.write_otp(&contents.otp))
    }

    /// Reads back everything that can be read in clear.
    fn verify(&mut self, plan: &Plan, contents: &DataContents) -> Result<ConfigZone> {
        let readable: Vec<(Slot, &Vec<u8>)> = Slot::all()
            .zip(&contents.slots)
            .filter_map(|(slot, bytes)| Some((slot, bytes.as_ref()?)))
            .filter(|(slot, _)| {
                let access = plan.wanted.slot_config(*slot);
                !access.is_secret() && !access.encrypt_read()
            })
            .collect();
        self.step("reading back", BOTH_LOCKED, |chip| {
            let differs = |what: String| chip::Error::Mismatch(format!("{what} is not what was written").into());
            let zone = chip.converse(|awake| awake.read_config())?;
            if !zone.config_locked() || !zone.data_locked() {
                return Err(chip::Error::Mismatch("the chip reports that it is not locked".into()));
            }
            for (slot, bytes) in readable {
                if chip.converse(|awake| awake.read_slot(slot, slot.size()))? != *bytes {
                    return Err(differs(format!("slot {slot}")));
                }
            }
            for (block, expected) in contents.otp.chunks(32).enumerate() {
                let read = Read { zone: Zone::Otp, address: Address::block(block as u8, 0), block: true };
                if chip.converse(|awake| awake.execute(&read))? != expected {
                    return Err(differs("the OTP zone".to_owned()));
                }
            }
            Ok(zone)
        })
    }
}
