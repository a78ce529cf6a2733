// SPDX-License-Identifier: MIT OR Apache-2.0
//! The EEPROM of a chip as bytes, and its file.
//!
//! # File format
//!
//! All simulated chips have the same format (`atecc608-sim new`, `serve`, the bus `sim:FILE`); `atecc608-sim dump`
//! shows a file's contents. 1448 bytes, integers little-endian:
//!
//! | offset | length | content |
//! | --- | --- | --- |
//! | 0 | 8 | `ECC-SIM` and a zero byte |
//! | 8 | 2 | version, 1 |
//! | 10 | 2 | the last two bytes that Info(Revision) returns; zero: those of the configuration zone |
//! | 12 | 4 | bytes of EEPROM, 1400 |
//! | 16 | 128 | configuration zone |
//! | 144 | 64 | OTP zone |
//! | 208 | 1208 | slots 0 to 15 in order: 0 to 7 have 36 bytes each, 8 has 416, 9 to 15 have 72 each |
//! | 1416 | 32 | SHA-256 over all bytes before |
//!
//! The zones are the chip's own bytes (fact sheet sections 5.1 and 5.9): serial number, revision, address and locks are
//! in the configuration zone, as in the chip. Bytes that were never written are FF.
//!
//! Volatile state (TempKey, buffers, persistent latch) is not in the file. The file holds the private keys in clear:
//! protect it like a chip.
//!
//! A file is always replaced as a whole: a reader, and a kill at any moment, finds either the old bytes or the new
//! ones.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use atecc608_files::Folder;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::faults::Moment;
use atecc608_wire::{ConfigZone, Slot};

const MAGIC: &[u8; 8] = b"ECC-SIM\0";
const VERSION: u16 = 1;
const EEPROM_LEN: usize = 1400;
const HEADER_LEN: usize = 16;
const FILE_LEN: usize = HEADER_LEN + EEPROM_LEN + 32;
/// Largest file that is read.
const MAX_FILE: usize = 64 << 10;
const OTP: usize = ConfigZone::LEN;
const OTP_LEN: usize = 64;
const SLOTS: usize = OTP + OTP_LEN;
/// Mode of a new image file.
const NEW_MODE: u32 = 0o660;

/// An error of an image file.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file cannot be read or written.
    #[error("simulated chip {}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// "read it", "create it", ...
        action: &'static str,
        /// The I/O error.
        source: io::Error,
    },
    /// The file is not an image, or damaged. It is never overwritten.
    #[error(
        "simulated chip {}: {what}. The file was not changed: restore it from a copy, or move it away to create a \
         blank chip",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

impl From<ImageError> for io::Error {
    fn from(error: ImageError) -> Self {
        let kind = match &error {
            ImageError::Io { source, .. } => source.kind(),
            ImageError::Corrupt { .. } => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

/// A part of the EEPROM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The configuration zone.
    Config,
    /// The OTP zone.
    Otp,
    /// A slot.
    Slot(Slot),
}

impl Part {
    /// Its length in bytes.
    pub const fn size(self) -> usize {
        match self {
            Part::Config => ConfigZone::LEN,
            Part::Otp => OTP_LEN,
            Part::Slot(slot) => slot.size(),
        }
    }

    const fn start(self) -> usize {
        match self {
            Part::Config => 0,
            Part::Otp => OTP,
            Part::Slot(slot) => {
                let n = slot.index();
                SLOTS
                    + match n {
                        0..=8 => 36 * n,
                        _ => 36 * 8 + 416 + 72 * (n - 9),
                    }
            }
        }
    }
}

/// The 1400 bytes of EEPROM.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    eeprom: Box<[u8; EEPROM_LEN]>,
    identity: [u8; 2],
}

impl Drop for Image {
    fn drop(&mut self) {
        self.eeprom.zeroize();
    }
}

impl Image {
    /// An EEPROM with this configuration zone; everything else is FF (fact sheet section 5.8).
    pub fn new(config: [u8; ConfigZone::LEN]) -> Self {
        let mut image = Self { eeprom: Box::new([0xFF; EEPROM_LEN]), identity: [0; 2] };
        image.part_mut(Part::Config).copy_from_slice(&config);
        image
    }

    /// The configuration zone.
    pub fn config(&self) -> ConfigZone {
        let mut bytes = [0; ConfigZone::LEN];
        bytes.copy_from_slice(self.part(Part::Config));
        ConfigZone::new(bytes)
    }

    /// Returns the response to Info(Revision), which identifies the chip, even against its configuration zone.
    pub fn revision(&self) -> [u8; 4] {
        match self.identity {
            [0, 0] => self.config().revision(),
            [family, revision] => [0, 0, family, revision],
        }
    }

    /// Makes Info(Revision) return these last two bytes instead of those in the configuration zone.
    pub fn set_revision(&mut self, identity: [u8; 2]) {
        self.identity = identity;
    }

    /// The bytes of one part.
    pub fn part(&self, part: Part) -> &[u8] {
        &self.eeprom[part.start()..part.start() + part.size()]
    }

    /// Returns the bytes of one part, mutable, which no command offers: for tests.
    pub fn part_mut(&mut self, part: Part) -> &mut [u8] {
        &mut self.eeprom[part.start()..part.start() + part.size()]
    }

    /// The file's bytes.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_LEN));
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.identity);
        bytes.extend((EEPROM_LEN as u32).to_le_bytes());
        bytes.extend(self.eeprom.iter());
        let checksum = Sha256::digest(&*bytes);
        bytes.extend(checksum);
        bytes
    }

    /// Decodes a file's bytes.
    ///
    /// # Errors
    /// A text that says what is wrong: length, mark, version or checksum.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if !bytes.starts_with(MAGIC) {
            return Err("this is not an image of a simulated chip");
        }
        if bytes.get(8..10) != Some(&VERSION.to_le_bytes()) {
            return Err("this image has a format version that this program does not know");
        }
        if bytes.len() != FILE_LEN || bytes[12..16] != (EEPROM_LEN as u32).to_le_bytes() {
            return Err("the image has the wrong length");
        }
        let (body, checksum) = bytes.split_at(FILE_LEN - 32);
        if Sha256::digest(body)[..] != *checksum {
            return Err("the image is damaged (its checksum does not match)");
        }
        let mut image = Self { eeprom: Box::new([0; EEPROM_LEN]), identity: [body[10], body[11]] };
        image.eeprom.copy_from_slice(&body[HEADER_LEN..]);
        Ok(image)
    }

    /// Reads an image file.
    ///
    /// # Errors
    /// [`ImageError::Io`] if the file can't be read, is not a regular file, or is larger than 64 KiB;
    /// [`ImageError::Corrupt`] if it is not an image, or damaged.
    pub fn load(path: &Path) -> Result<Self, ImageError> {
        let bytes = atecc608_files::read(path, MAX_FILE)
            .map(Zeroizing::new)
            .map_err(|source| io_error(path, "read it", source))?;
        Self::decode(&bytes).map_err(|what| ImageError::Corrupt { path: path.to_owned(), what })
    }

    /// Replaces an image file as a whole; an existing file keeps its permissions, a new one gets 0660.
    ///
    /// # Errors
    /// [`ImageError::Io`] if the file can't be written; the old file is unchanged.
    pub fn save(&self, path: &Path) -> Result<(), ImageError> {
        self.save_watched(path, |_| {})
    }

    /// As [`Image::save`]; calls `reached` at each moment.
    pub(super) fn save_watched(&self, path: &Path, reached: impl Fn(Moment)) -> Result<(), ImageError> {
        let mode = fs::metadata(path).map_or(NEW_MODE, |metadata| metadata.permissions().mode() & 0o777);
        let replaced = || {
            reached(Moment::Before);
            let (folder, name) = Folder::containing(path)?;
            let mut draft = folder.draft(name, mode)?;
            let bytes = self.encode();
            let (first, second) = bytes.split_at(bytes.len() / 2);
            draft.write_all(first)?;
            reached(Moment::Half);
            draft.write_all(second)?;
            draft.sync()?;
            reached(Moment::Synced);
            draft.replace()?;
            reached(Moment::Renamed);
            Ok(())
        };
        replaced().map_err(|source| io_error(path, "replace it", source))
    }

    /// Creates an image file that does not exist yet.
    ///
    /// # Errors
    /// [`ImageError::Io`] if the file can't be written; of kind `AlreadyExists` if it exists, and then it is not
    /// changed.
    pub fn create(&self, path: &Path) -> Result<(), ImageError> {
        atecc608_files::create_new(path, &self.encode(), NEW_MODE).map_err(|source| io_error(path, "create it", source))
    }
}

pub(super) fn io_error(path: &Path, action: &'static str, source: io::Error) -> ImageError {
    ImageError::Io { path: path.to_owned(), action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_without_gaps() {
        let mut next = 0;
        for part in [Part::Config, Part::Otp].into_iter().chain(Slot::all().map(Part::Slot)) {
            assert_eq!(part.start(), next);
            next += part.size();
        }
        assert_eq!(next, EEPROM_LEN);
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let image = Image::new([7; 128]);
        let bytes = image.encode();
        assert!(Image::decode(&bytes).unwrap() == image);
        for i in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[i] ^= 1;
            assert!(Image::decode(&damaged).is_err(), "byte {i}");
        }
        assert!(Image::decode(&bytes[..900]).is_err());
        assert!(Image::decode(&[]).is_err());
    }
}
