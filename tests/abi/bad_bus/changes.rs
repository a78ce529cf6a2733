// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that change the token: each takes effect once, completely or not at all, and only on the named object.

use std::ops::ControlFlow;

use atecc608_sim::image::Part;
use cryptoki_sys::*;

use super::steps::Change;
use super::token::{Pair, Secret, Token, PAIR_SLOTS};
use super::uses::pick;
use crate::common::chip;
use crate::common::keys::with;
use crate::common::module::{boolean, ulong, Result};
use crate::common::one_key::generate;
use crate::common::secrets::{self, given};
use crate::common::templates::{private_key, Template};
use crate::features;

/// The slot that takes imported keys.
const IMPORT: u8 = 4;

impl Token {
    pub fn change(&mut self, change: &Change, more: u8) {
        match change {
            Change::GeneratePair => {
                let free: Vec<u8> =
                    PAIR_SLOTS.into_iter().filter(|slot| self.pairs.iter().all(|pair| pair.slot != *slot)).collect();
                let label = self.name();
                let made = self.new_pair(&free, &label, more, |token| generate(&token.module, token.session, &label));
                if let Some(slot) = made {
                    assert!(free.contains(&slot));
                }
            }
            Change::ImportPair(scalar) => {
                let free: Vec<u8> =
                    [IMPORT].into_iter().filter(|slot| self.pairs.iter().all(|pair| pair.slot != *slot)).collect();
                let label = self.name();
                let template = private_key(&label, &[*scalar; 32]);
                let made =
                    self.new_pair(&free, &label, more, |token| token.module.create_object(token.session, &template));
                if made.is_some() {
                    assert_eq!(self.image.part(Part::Slot(chip::slot(IMPORT)))[4..36], [*scalar; 32]);
                }
            }
            Change::DestroyPair(which) => self.destroy_pair(*which, more),
            Change::RenamePair(which) => {
                let Some(number) = pick(*which, self.pairs.len()) else { return };
                let (old, new) = (self.pairs[number].label.clone(), self.name());
                self.pairs[number].label = self.renamed(&[CKO_PRIVATE_KEY, CKO_PUBLIC_KEY], old, new, more);
            }
            Change::GenerateSecret { aes } => {
                let (kind, length) = if *aes { (CKM_AES_KEY_GEN, 16) } else { (CKM_GENERIC_SECRET_KEY_GEN, 32) };
                let label = self.name();
                let template = named(&secrets::aes(true, length), &label);
                self.new_secret(*aes, None, &label, |token| {
                    secrets::generate(&token.module, token.session, kind, &template)
                });
            }
            Change::ImportSecret { aes, value } => {
                let label = self.name();
                let template = named(&given(true, if *aes { CKK_AES } else { CKK_GENERIC_SECRET }, value), &label);
                self.new_secret(*aes, Some(value), &label, |token| {
                    token.module.create_object(token.session, &template)
                });
            }
            Change::DestroySecret(which) => self.destroy_secret(*which, more),
            Change::RenameSecret(which) => {
                let Some(number) = pick(*which, self.secrets.len()) else { return };
                let (old, new) = (self.secrets[number].label.clone(), self.name());
                self.secrets[number].label = self.renamed(&[CKO_SECRET_KEY], old, new, more);
            }
            Change::CreateData(value) => self.create_data(value, more),
            Change::DestroyData(which) => {
                let Some(number) = pick(*which, self.data.len()) else { return };
                let label = self.data[number].0.clone();
                let done = self.tries(more, &[], &[], |token| {
                    let object = token.handle(CKO_DATA, &label)?;
                    token.module.destroy(token.session, object)
                });
                self.assert_untouched();
                if self.is_gone(done, CKO_DATA, &label) {
                    self.data.remove(number);
                }
            }
            Change::Count => self.count(more),
        }
    }

    /// A new key pair, if there is room for it and the bus lets it succeed. Returns its slot.
    fn new_pair(
        &mut self,
        free: &[u8],
        label: &str,
        more: u8,
        make: impl Fn(&mut Self) -> Result<CK_OBJECT_HANDLE>,
    ) -> Option<u8> {
        let refusals: &[CK_RV] = match free {
            [] => &[CKR_DEVICE_MEMORY],
            [IMPORT] if self.has_pin() => &[CKR_TEMPLATE_INCONSISTENT],
            _ => &[],
        };
        let done = self.tries(more, refusals, &[CKR_ATTRIBUTE_VALUE_INVALID, CKR_DEVICE_MEMORY], make);
        let done = self.settled(done);
        let mut slots: Vec<u8> = self.changed().into_iter().map(|(slot, _)| slot).collect();
        slots.dedup();
        assert!(slots.len() <= 1 && slots.iter().all(|slot| free.contains(slot)), "written: {slots:?}, free: {free:?}");
        let there = done.is_break() || !self.quiet_find(CKO_PRIVATE_KEY, label).is_empty();
        assert_eq!(there, !slots.is_empty(), "a key that was made is there, and one that was not is not");
        self.image = self.image_now();
        let slot = slots.first().copied()?;
        let point = chip::point_in(&self.image, slot).expect("a private key");
        self.pairs.push(Pair { label: label.to_owned(), slot, point });
        self.calm_down(done);
        Some(slot)
    }

    fn destroy_pair(&mut self, which: u8, more: u8) {
        let Some(number) = pick(which, self.pairs.len()) else { return };
        let (label, slot) = (self.pairs[number].label.clone(), self.pairs[number].slot);
        let done = self.tries(more, &[], &[CKR_OBJECT_HANDLE_INVALID], |token| {
            let key = token.handle(CKO_PRIVATE_KEY, &label)?;
            token.module.destroy(token.session, key)
        });
        let done = self.settled(done);
        let changed = self.changed();
        assert!(changed.iter().all(|(other, _)| *other == slot), "{changed:?}");
        assert!(done.is_continue() || !changed.is_empty(), "destroyed, and still the same");
        self.image = self.image_now();
        let there = !self.quiet_find(CKO_PRIVATE_KEY, &label).is_empty();
        // The random key in the place of one that had the slot's name may have it, too.
        if label != name_of_slot(slot) {
            assert_eq!(there, changed.is_empty(), "a key that is there is shown, and one that is not is not");
        }
        if !changed.is_empty() {
            self.forget(&label);
            self.pairs.remove(number);
            self.adopt(slot);
        }
        self.calm_down(done);
    }

    /// The random key after an interrupted destruction may be shown, under the slot's name.
    fn adopt(&mut self, slot: u8) {
        let name = name_of_slot(slot);
        if !self.quiet_find(CKO_PRIVATE_KEY, name).is_empty() {
            let point = chip::point_in(&self.image, slot).unwrap();
            self.pairs.push(Pair { label: name.to_owned(), slot, point });
        }
    }

    /// A new secret key. It is tried once: names of secret keys are not unique, and a program that tries again may get
    /// two.
    fn new_secret(
        &mut self,
        aes: bool,
        value: Option<&[u8]>,
        label: &str,
        make: impl Fn(&mut Self) -> Result<CK_OBJECT_HANDLE>,
    ) {
        let free: Vec<(u8, usize)> =
            self.places.iter().filter(|(_, for_aes)| *for_aes == aes).map(|(place, _)| *place).collect();
        let free: Vec<(u8, usize)> =
            free.into_iter().filter(|place| self.secrets.iter().all(|secret| secret.place != *place)).collect();
        let refusals: &[CK_RV] = match free[..] {
            // It has no slot for secrets that are not AES keys.
            _ if self.has_pin() => &[CKR_TEMPLATE_INCONSISTENT, CKR_DEVICE_MEMORY],
            [] => &[CKR_DEVICE_MEMORY],
            _ => &[],
        };
        let done = self.tries(0, refusals, &[], make);
        let done = self.settled(done);
        let changed = self.changed();
        assert!(changed.len() <= 1 && changed.iter().all(|place| free.contains(place)), "{changed:?}, free: {free:?}");
        let found = self.quiet_find(CKO_SECRET_KEY, label).len();
        assert!(found <= changed.len(), "a key that was not written is shown");
        assert!(done.is_continue() || found == 1, "made, and not there");
        self.image = self.image_now();
        if found == 1 {
            let place = changed[0];
            let length = value.map_or(if aes { 16 } else { 32 }, <[u8]>::len);
            let block = &self.image.part(Part::Slot(chip::slot(place.0)))[32 * place.1..];
            let in_chip = block[..length].to_vec();
            assert!(value.is_none_or(|value| value == in_chip), "another value than was given");
            self.secrets.push(Secret { label: label.to_owned(), aes, value: in_chip, place });
        }
        self.calm_down(done);
    }

    fn destroy_secret(&mut self, which: u8, more: u8) {
        let Some(number) = pick(which, self.secrets.len()) else { return };
        let (label, place) = (self.secrets[number].label.clone(), self.secrets[number].place);
        let refusals: &[CK_RV] = if self.has_pin() { &[CKR_ACTION_PROHIBITED] } else { &[] };
        let done = self.tries(more, refusals, &[CKR_OBJECT_HANDLE_INVALID], |token| {
            let key = token.handle(CKO_SECRET_KEY, &label)?;
            token.module.destroy(token.session, key)
        });
        let done = self.settled(done);
        // A change begun before may be finished only now.
        let there = !self.quiet_find(CKO_SECRET_KEY, &label).is_empty();
        let changed = self.changed();
        assert!(changed.iter().all(|other| *other == place), "{changed:?}");
        self.image = self.image_now();
        assert_eq!(there, changed.is_empty(), "a key that is there is shown, and one that is not is not");
        if !there {
            self.forget(&label);
            self.secrets.remove(number);
        }
        self.calm_down(done);
    }

    /// Changes the labels of a key, or of both halves of a pair. A failed change is repeated with the faults off.
    /// Returns the new label.
    fn renamed(&mut self, classes: &[CK_OBJECT_CLASS], old: String, new: String, more: u8) -> String {
        for class in classes {
            let change = |token: &mut Self| {
                let object = token.handle(*class, &old)?;
                token.module.set_attributes(token.session, object, &[(CKA_LABEL, new.as_bytes().to_vec())])
            };
            if self.tries(more, &[], &[], change).is_continue() {
                self.end_noise();
                if !self.quiet_find(*class, &old).is_empty() {
                    self.quietly(change);
                }
                self.begin_noise();
            }
        }
        self.assert_untouched();
        self.forget(&old);
        new
    }

    fn create_data(&mut self, value: &[u8], more: u8) {
        let label = self.name();
        let template = vec![
            (CKA_CLASS, ulong(CKO_DATA)),
            (CKA_TOKEN, boolean(true)),
            (CKA_LABEL, label.as_bytes().to_vec()),
            (CKA_VALUE, value.to_vec()),
        ];
        let done = self.tries(more, &[], &[], |token| token.module.create_object(token.session, &template));
        self.assert_untouched();
        if !self.is_gone(done.map_break(drop), CKO_DATA, &label) {
            self.data.push((label, value.to_vec()));
        }
    }

    /// Whether no object has this name. A failed change may have taken effect: checked with the faults off.
    fn is_gone(&mut self, done: ControlFlow<(), CK_RV>, class: CK_OBJECT_CLASS, label: &str) -> bool {
        self.forget(label);
        let done = self.settled(done);
        let gone = self.quiet_find(class, label).is_empty();
        self.calm_down(done);
        gone
    }

    /// Each value is returned once, and each call moves the counter by one at most.
    fn count(&mut self, more: u8) {
        let calls = std::cell::Cell::new(0);
        let done = self.tries(more, &[], &[], |token| {
            let counter = features::find_counter(&token.module, token.session)?;
            calls.set(calls.get() + 1);
            features::value(&token.module, token.session, counter)
        });
        let now = self.image_now().config().counter(1).expect("a counter");
        if let ControlFlow::Break(value) = done {
            assert_eq!(value, now);
            assert!(value > self.counter, "{value} was given before");
        }
        assert!(now - self.counter <= calls.get(), "{} calls: from {} to {now}", calls.get(), self.counter);
        self.counter = now;
        let counted = self.image_now();
        self.image.part_mut(Part::Config)[52..68].copy_from_slice(&counted.part(Part::Config)[52..68]);
        self.assert_untouched();
    }

    /// Ends the faults after a failed change, so that all objects can be seen.
    fn settled<T>(&mut self, done: ControlFlow<T, CK_RV>) -> ControlFlow<T, CK_RV> {
        if done.is_continue() {
            self.end_noise();
        }
        done
    }

    /// After a failed change: everything else is unchanged. Then the faults begin again.
    fn calm_down<T>(&mut self, done: ControlFlow<T, CK_RV>) {
        if done.is_continue() {
            self.assert_whole();
            self.begin_noise();
        }
    }

    fn quiet_find(&mut self, class: CK_OBJECT_CLASS, label: &str) -> Vec<CK_OBJECT_HANDLE> {
        self.find(class, label).expect("the faults are off")
    }
}

/// The label of a key without a name.
fn name_of_slot(slot: u8) -> &'static str {
    ["device", "", "key-2", "key-3", "import"][usize::from(slot)]
}

fn named(template: &Template, label: &str) -> Template {
    with(template, &[(CKA_LABEL, label.as_bytes().to_vec())])
}
