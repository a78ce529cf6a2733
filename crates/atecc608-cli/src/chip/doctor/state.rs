// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks the chip's state folder, interrupted changes in it, and the IO protection key.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{access, Access};

use super::PACKETS;
use crate::error::Result;
use crate::output::check::Checks;
use crate::target::Target;
use atecc608::latch::Latch;
use atecc608::presence::{Held, Presence};
use atecc608_token::inventory::unknown_places;
use atecc608_token::layout::{key_slots, KeySlot};
use atecc608_token::pin::{is_barred, Scheme};
use atecc608_token::point::Point;
use atecc608_token::profile::{self, Contents};
use atecc608_token::state::State;
use atecc608_token::state_dir::{group_id, GROUP, MODE};
use atecc608_token::store::Store;
use atecc608_wire::{ConfigZone, Slot, Status};

const KEYS: &str = "keys";

/// The chip's responses about its keys.
#[derive(Default)]
pub(super) struct Keys {
    /// The slots that hold a key, with its public key if the chip returns it.
    found: Vec<(Slot, Option<[u8; 64]>)>,
    /// The refused queries.
    refused: Vec<(Slot, Refused)>,
}

/// A query about a key slot that the chip refused.
enum Refused {
    Presence(Status, Held),
    PublicKey,
}

impl Refused {
    fn text(&self, slot: Slot) -> String {
        match self {
            Self::Presence(status, Held::Unknown) => {
                format!("slot {slot}: the chip refuses to report whether it holds a key, {status}")
            }
            Self::Presence(status, held) => format!(
                "slot {slot}: the chip refuses to report whether it holds a key, {status}; GenKey shows {}",
                if *held == Held::Key { "one" } else { "none" }
            ),
            Self::PublicKey => format!("slot {slot}: the chip refuses to return the public key of its key"),
        }
    }
}

/// Reads which slots hold keys. The caller holds the bus lock. Returns nothing for a chip that is not provisioned,
/// which another check reports.
///
/// # Errors
/// [`Error::Chip`](crate::error::Error::Chip) if the chip or the bus fails.
pub(super) fn keys(target: &mut Target, zone: &ConfigZone) -> Result<Keys> {
    if !zone.config_locked() || !zone.data_locked() {
        return Ok(Keys::default());
    }
    let slots = key_slots(zone, profile::matching(zone), &[], true);
    target.converse(|awake| {
        let mut keys = Keys::default();
        for key in &slots {
            let slot = key.slot;
            let Presence { held, refused } = awake.key_presence(zone, slot)?;
            keys.refused.extend(refused.map(|status| (slot, Refused::Presence(status, held))));
            if held == Held::Key {
                let public_key = if key.public { awake.public_key_if_told(slot)? } else { None };
                // After a login, or with the latch set, it may tell.
                let rules = zone.key_config(slot);
                if key.public && public_key.is_none() && !rules.req_auth() && !rules.persistent_disable() {
                    keys.refused.push((slot, Refused::PublicKey));
                } else {
                    keys.found.push((slot, public_key));
                }
            }
        }
        Ok(keys)
    })
}

/// Returns the persistent latch, if key slots depend on it.
///
/// # Errors
/// [`Error::Chip`](crate::error::Error::Chip) if the chip or the bus fails.
pub(super) fn latch(target: &mut Target, zone: &ConfigZone) -> Result<Option<Latch>> {
    match zone.config_locked() && zone.slots_behind_latch().next().is_some() {
        true => target.converse(|awake| awake.latch()).map(Some),
        false => Ok(None),
    }
}

/// Checks the latch.
pub(super) fn check_latch(zone: &ConfigZone, latch: Result<Option<Latch>>, checks: &mut Checks) {
    const LINK: &str = "latch";
    const REMEDY: &str = "atecc608 latch show     shows what sets it";
    let behind = list(&zone.slots_behind_latch().collect::<Vec<_>>());
    match latch {
        Ok(None) => {}
        Ok(Some(Latch::Set)) => checks.ok(LINK, format!("set: slot {behind} works until the chip loses power")),
        Ok(Some(Latch::Clear)) => checks.warn(LINK, format!("not set: slot {behind} does not work"), REMEDY),
        Ok(Some(Latch::NotTold)) => checks.warn(
            LINK,
            format!("slot {behind} works only while it is set, which the chip refuses to report"),
            REMEDY,
        ),
        Err(error) => checks.fail(LINK, error.to_string(), PACKETS),
    }
}

fn list(slots: &[Slot]) -> String {
    slots.iter().map(Slot::to_string).collect::<Vec<_>>().join(", ")
}

/// Checks the folder and its contents.
pub(super) fn check(target: &mut Target, zone: &ConfigZone, keys: Result<Keys>, checks: &mut Checks) {
    let store = Store::open(&target.config.state_dir, zone.serial_number());
    let readable = folder(&target.config.state_dir, &store, checks);
    match keys {
        Ok(keys) => {
            refused(&keys, checks);
            if readable && zone.data_locked() {
                marks(&store, zone, &keys, checks);
            }
        }
        Err(error) => checks.fail(KEYS, error.to_string(), PACKETS),
    }
    if readable {
        pin(&store, zone, checks);
        secret_places(&store, zone, checks);
    }
    io_key(target, zone, checks);
}

/// Whether the state can be read.
fn folder(state_dir: &Path, store: &Store, checks: &mut Checks) -> bool {
    const LINK: &str = "state";
    let file = store.path();
    let chip_folder = file.parent().unwrap_or(state_dir);
    if let Some(damage) = store.damage() {
        let remedy = match store.unread() {
            None => format!("mv {0} {0}.damaged", file.display()),
            Some(ErrorKind::PermissionDenied) => {
                way_in(if chip_folder.exists() { chip_folder } else { state_dir }, state_dir)
            }
            Some(_) => format!(
                "ls -ld {} {}     shows what is there: it must be a folder and a regular file, no link",
                chip_folder.display(),
                file.display()
            ),
        };
        checks.fail(LINK, damage, remedy);
        return false;
    }
    let (folder, made) = if chip_folder.exists() { (chip_folder, true) } else { (state_dir, state_dir.exists()) };
    if !made {
        checks.fail(
            LINK,
            format!("{} does not exist", state_dir.display()),
            format!("sudo install -d -m {MODE:o} -o root -g {GROUP} {}", state_dir.display()),
        );
        return true;
    }
    if let Err(errno) = access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        checks.fail(
            LINK,
            format!(
                "{} can't be read and written by this user: {errno}; new keys, labels and certificates need it",
                folder.display()
            ),
            way_in(folder, state_dir),
        );
        return true;
    }
    match open_to_others(state_dir) {
        Some((problem, remedy)) => checks.warn(LINK, problem, remedy),
        None => checks.ok(LINK, format!("{}, generation {}", file.display(), store.state().generation)),
    }
    true
}

/// Returns the problem with owner and mode of the folder of all chips, and the remedy.
fn open_to_others(state_dir: &Path) -> Option<(String, String)> {
    let metadata = std::fs::metadata(state_dir).ok()?;
    let shown = state_dir.display();
    if metadata.mode() & 0o022 != 0 && metadata.mode() & 0o1000 == 0 {
        return Some((
            format!("{shown} is not sticky: members of its group can move each other's folders and lock files away"),
            format!("sudo chmod {MODE:o} {shown}"),
        ));
    }
    let only_root = metadata.gid() == 0 || metadata.mode() & 0o070 != 0o070;
    (metadata.uid() == 0 && only_root && group_id(GROUP).is_some()).then(|| {
        (
            format!(
                "{shown} is for root only: members of the group {GROUP} can't use the chip's names and certificates"
            ),
            gift(state_dir),
        )
    })
}

/// Returns what gives this user access to a folder of the state.
fn way_in(folder: &Path, state_dir: &Path) -> String {
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.gid() != 0 && metadata.mode() & 0o070 == 0o070 => {
            format!("sudo usermod -aG $(stat -c %G {}) $USER, then log in again", folder.display())
        }
        _ => format!("{}     gives it to the group of the package", gift(state_dir)),
    }
}

/// Returns the command that gives the folder of all chips to the package's group.
fn gift(state_dir: &Path) -> String {
    format!("sudo chgrp -R {GROUP} {0} && sudo chmod -R g+rwX {0} && sudo chmod {MODE:o} {0}", state_dir.display())
}

/// Checks whether the chip refused queries.
fn refused(keys: &Keys, checks: &mut Checks) {
    if keys.refused.is_empty() {
        return;
    }
    let texts: Vec<String> = keys.refused.iter().map(|(slot, refused)| refused.text(*slot)).collect();
    checks.fail(
        KEYS,
        texts.join("; "),
        "keys that are shown can be used, and nothing is generated or imported into such a slot. If the error does not \
         persist, check supply and bus. ATECC608_LOG=trace atecc608 info shows every packet",
    );
}

/// Compares the state with the chip.
fn marks(store: &Store, zone: &ConfigZone, keys: &Keys, checks: &mut Checks) {
    const LINK: &str = KEYS;
    let state = store.state();
    let open: Vec<Slot> =
        state.slots.iter().filter(|slot| slot.intent.is_some()).map(|slot| Slot::from_nibble(slot.slot)).collect();
    if !open.is_empty() {
        checks.warn(
            LINK,
            format!("slot {}: a key generation, import or destruction was interrupted", list(&open)),
            "any use of the token resolves it, for instance p11tool --list-all",
        );
    }
    let (mut live, mut destroyed, mut unknown, mut other) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (slot, public_key) in &keys.found {
        let known = state.slot(*slot);
        let is = |stored: Option<&Vec<u8>>| {
            stored.zip(*public_key).map(|(stored, now)| stored.strip_prefix(&[0x04]) == Some(&now[..]))
        };
        let tombstone = known.and_then(|known| known.tombstone.as_ref());
        match (known, is(tombstone), is(known.and_then(|known| known.public_key.as_ref()))) {
            (_, Some(true), _) => destroyed.push(*slot),
            // With a PIN the chip returns public keys only after a login: the tombstone is trusted until then.
            (_, None, _) if tombstone.is_some() && public_key.is_none() => destroyed.push(*slot),
            (_, _, Some(false)) => other.push(*slot),
            (None, ..) => unknown.push(*slot),
            _ => live.push(*slot),
        }
    }
    if !other.is_empty() {
        checks.warn(
            LINK,
            format!(
                "slot {}: the key differs from the state (a backup was restored, or another tool changed it)",
                list(&other)
            ),
            "nothing to do: the key in the chip is used, and the state is updated at its first use",
        );
    }
    if !unknown.is_empty() {
        checks.warn(
            LINK,
            format!(
                "slot {}: keys that the state does not know: they were not used yet, or the state was lost. Then labels \
                 and ids are lost, too, and destroyed keys reappear under their slots' names",
                list(&unknown)
            ),
            format!("restore {} from a backup, or name them: p11tool --set-label, pkcs11-tool --set-id", store.path().display()),
        );
    }
    if let Some((id, slots)) = shared_id(state, keys, &destroyed) {
        checks.warn(
            LINK,
            format!("slot {}: their keys have the same id {id}, so programs confuse them", list(&slots)),
            "p11tool --set-id HEX 'pkcs11:...;type=private' gives one of them another id, certificates of it follow",
        );
    }
    // The number of free slots is then unknown.
    if !keys.refused.is_empty() {
        return;
    }
    let counts = format!("{} known, {} destroyed and free", live.len(), destroyed.len());
    match live.is_empty() && other.is_empty() && unknown.is_empty() {
        true => no_keys(zone, &counts, checks),
        false => checks.ok(LINK, counts),
    }
}

/// Returns the first id that several keys have, in hex, and their slots: earlier versions generated such keys, and a
/// key that was imported twice has its default id twice.
fn shared_id(state: &State, keys: &Keys, destroyed: &[Slot]) -> Option<(String, Vec<Slot>)> {
    let id = |slot: Slot, public_key: Option<[u8; 64]>| {
        let given = state.slot(slot).and_then(|known| known.id.clone());
        given.or_else(|| Some(Point::from_xy(&public_key?)?.key_id().to_vec())).filter(|id| !id.is_empty())
    };
    let live = keys.found.iter().filter(|(slot, _)| !destroyed.contains(slot));
    let ids: Vec<(Vec<u8>, Slot)> = live.filter_map(|(slot, key)| Some((id(*slot, *key)?, *slot))).collect();
    ids.iter().find_map(|(id, _)| {
        let slots: Vec<Slot> = ids.iter().filter(|(other, _)| other == id).map(|(_, slot)| *slot).collect();
        (slots.len() > 1).then(|| (base16ct::lower::encode_string(id), slots))
    })
}

/// Explains how a chip without keys gets one, if that is still possible.
fn no_keys(zone: &ConfigZone, counts: &str, checks: &mut Checks) {
    const LINK: &str = KEYS;
    let profile = profile::matching(zone);
    let mut slots = key_slots(zone, profile, &[], true);
    slots.retain(|key| !is_barred(zone, profile, key.slot));
    let io_key = zone.chip_options().io_protection().then(|| zone.chip_options().io_key());
    let takes_import = |key: &KeySlot| {
        key.import && !zone.slot_locked(key.slot) && Some(zone.slot_config(key.slot).write_key()) == io_key
    };
    if slots.iter().any(|key| key.generate && key.public) {
        checks.ok(LINK, format!("{counts}: `atecc608 key generate` generates one"));
    } else if slots.iter().any(takes_import) {
        checks.ok(LINK, format!("{counts}, and the chip can't generate one: `atecc608 key import FILE` writes one"));
    } else {
        checks.warn(
            LINK,
            "the chip holds no key that signs or derives, and can never get one: its configuration and locks are \
             permanent. Random numbers, secret keys and data work as far as the slots' rules permit",
            "atecc608 config check     lists what each slot may do; for a private key use another chip",
        );
    }
}

/// Checks whether the user has a PIN, if the chip requires one.
fn pin(store: &Store, zone: &ConfigZone, checks: &mut Checks) {
    const LINK: &str = "PIN";
    if Scheme::of(zone, profile::matching(zone)).is_none() || !zone.data_locked() {
        return;
    }
    match store.state().pins.len() {
        0 => checks.fail(
            LINK,
            "the user has none, or the state was lost: no key can be used",
            "atecc608 pin init     sets one, with the recovery code",
        ),
        1 => checks.ok(LINK, "the user has one; the chip verifies it at each login"),
        _ => checks.warn(
            LINK,
            "a change of the PIN was interrupted: the old one or the new one is valid",
            "the next login detects which one",
        ),
    }
}

/// Checks for places for secret keys that the state does not describe.
fn secret_places(store: &Store, zone: &ConfigZone, checks: &mut Checks) {
    if !zone.data_locked() {
        return;
    }
    let unknown: Vec<Slot> = unknown_places(zone, store.state()).into_iter().map(|(slot, _)| slot).collect();
    if let Some(first) = unknown.first() {
        checks.warn(
            "secret keys",
            format!(
                "slot {}: the state does not say whether there is a secret key, and the chip can't: C_CreateObject writes nothing \
                 there unless the slot is named (CKA_ATECC608_SLOT)",
                list(&unknown)
            ),
            format!("if it holds none: atecc608 key empty --slot {first}     else restore {} from a backup", store.path().display()),
        );
    }
}

/// Checks the IO protection key's file, if the profile has such a key.
fn io_key(target: &mut Target, zone: &ConfigZone, checks: &mut Checks) {
    const LINK: &str = "IO protection key";
    let has_one =
        profile::matching(zone).is_some_and(|profile| profile.slots.iter().any(|s| s.contents == Contents::IoKey));
    if !has_one || !zone.data_locked() {
        return;
    }
    let file = target.key_file(&zone.serial_number());
    let path = file.path().display();
    match file.load() {
        Ok(Some(_)) => checks.ok(LINK, path.to_string()),
        Ok(None) if target.token.io_protection_required => checks.fail(
            LINK,
            format!("{path} is missing, and io_protection = \"required\": nothing can be derived (ECDH, HKDF)"),
            "restore it from a backup",
        ),
        Ok(None) => {
            let use_of_it = match zone.chip_options().ecdh_protection() {
                0 => "no private key needs it",
                _ => "private keys sign without it, and can't derive (ECDH)",
            };
            checks.warn(LINK, format!("{path} is missing: {use_of_it}"), "restore it from a backup")
        }
        Err(error) => checks.warn(LINK, error.to_string(), format!("ls -l {path}")),
    }
}
