// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration zone of a chip, stored by root: `SERIAL.config` beside the IO protection key, where only root can
//! write.
//!
//! After both locks blocks 1 and 3 never change, except the counters. Trusting the file saves two Reads at the first
//! contact. Before an irreversible command the driver reads all four blocks (`atecc608::Awake::check_configuration`).

use std::path::{Path, PathBuf};

use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::ConfigZone;
use sha2::{Digest, Sha256};

use super::io_key::KeyFile;
use super::trusted::read_protected;

/// The first line.
const HEADING: &str =
    "# The configuration of this chip as root has read it (`atecc608 trust`), without what changes: 128 bytes, \
                       and their SHA-256.\n";

/// The file of one chip.
#[derive(Clone, Debug)]
pub struct KeptConfiguration {
    key_file: KeyFile,
    path: PathBuf,
}

impl KeptConfiguration {
    /// The file beside a chip's IO protection key.
    pub fn beside(key_file: &KeyFile) -> Self {
        let mut path = key_file.path().as_os_str().to_owned();
        path.push(".config");
        Self { key_file: key_file.clone(), path: path.into() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the zone if the file is intact, belongs to the chip `serial`, and is writable only by root and this
    /// process's user. Any other file is ignored, with a line in the log.
    pub fn load(&self, serial: &SerialNumber) -> Option<ConfigZone> {
        let read = read_protected(&self.path).and_then(|text| match text {
            Some(text) => {
                parse(&text, serial).map(Some).ok_or_else(|| "is damaged, or belongs to another chip".to_owned())
            }
            None => Ok(None),
        });
        read.unwrap_or_else(|problem| {
            log::info!("{}: not used, the chip is read instead: {problem}", self.path.display());
            None
        })
    }

    /// Replaces the file with the permanent part of the zone; does nothing if a lock is missing.
    ///
    /// # Errors
    /// An I/O error if the file can't be written.
    pub fn store(&self, zone: &ConfigZone) -> std::io::Result<()> {
        if !zone.config_locked() || !zone.data_locked() || self.load(&zone.serial_number()) == Some(zone.fixed()) {
            return Ok(());
        }
        let fixed = zone.fixed();
        let hex = |bytes: &[u8]| base16ct::lower::encode_string(bytes);
        let text = format!("{HEADING}{}\n{}\n", hex(fixed.as_bytes()), hex(&Sha256::digest(fixed.as_bytes())));
        self.key_file.store_beside(&self.path, text.as_bytes())
    }
}

fn parse(text: &str, serial: &SerialNumber) -> Option<ConfigZone> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let bytes = base16ct::lower::decode_vec(lines.next()?).ok()?;
    let digest = base16ct::lower::decode_vec(lines.next()?).ok()?;
    let zone = ConfigZone::new(bytes.try_into().ok()?);
    let is_whole = Sha256::digest(zone.as_bytes())[..] == digest && lines.next().is_none();
    (is_whole && zone.serial_number() == *serial).then_some(zone)
}

#[cfg(test)]
mod tests {
    use std::fs::{set_permissions, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A zone whose both locks are set.
    fn zone() -> ConfigZone {
        ConfigZone::new(std::array::from_fn(|at| at as u8)).fixed()
    }

    fn in_folder() -> (tempfile::TempDir, KeptConfiguration) {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptConfiguration::beside(&KeyFile::at(dir.path().join("keys/SERIAL")));
        assert_eq!(kept.path(), dir.path().join("keys/SERIAL.config"));
        (dir, kept)
    }

    #[test]
    fn the_zone_is_kept_without_what_changes() {
        let (_dir, kept) = in_folder();
        let serial = zone().serial_number();
        assert_eq!(kept.load(&serial), None);
        let mut counted = zone();
        counted.as_bytes_mut()[52] = 9;
        kept.store(&counted).unwrap();
        assert_eq!(kept.load(&serial), Some(zone()));
    }

    #[test]
    fn a_zone_that_is_not_locked_is_not_kept() {
        let (_dir, kept) = in_folder();
        for lock in [86, 87] {
            let mut open = zone();
            open.as_bytes_mut()[lock] = 0x55;
            kept.store(&open).unwrap();
            assert!(!kept.path().exists());
        }
    }

    #[test]
    fn a_file_of_another_chip_or_with_a_changed_digit_is_not_used() {
        let (_dir, kept) = in_folder();
        kept.store(&zone()).unwrap();
        let mut other = zone().serial_number();
        other.0[4] ^= 1;
        assert_eq!(kept.load(&other), None);
        let text = std::fs::read_to_string(kept.path()).unwrap();
        let start = HEADING.len();
        for at in start..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            std::fs::write(kept.path(), bytes).unwrap();
            assert_eq!(kept.load(&zone().serial_number()), None, "character {at}");
        }
    }

    #[test]
    fn a_file_that_others_may_write_is_not_used() {
        let (dir, kept) = in_folder();
        kept.store(&zone()).unwrap();
        let (serial, folder) = (zone().serial_number(), dir.path().join("keys"));
        for (path, open, closed) in [(kept.path(), 0o660, 0o640), (folder.as_path(), 0o770, 0o750)] {
            set_permissions(path, Permissions::from_mode(open)).unwrap();
            assert_eq!(kept.load(&serial), None);
            set_permissions(path, Permissions::from_mode(closed)).unwrap();
            assert!(kept.load(&serial).is_some());
        }
    }
}
