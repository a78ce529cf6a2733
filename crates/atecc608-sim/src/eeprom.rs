// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs the EEPROM one block at a time; a kill leaves each block either old or new.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{getpid, kill_process, Signal};

use super::faults::Kill;
use super::image::{io_error, Image, ImageError, Part};
use atecc608_wire::ConfigZone;

/// Power was lost while the EEPROM was programmed, or the host could not store the block, which ends the simulated chip
/// in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerLost;

/// A chip's EEPROM, in memory or in an image file.
pub struct Eeprom {
    image: Image,
    file: Option<PathBuf>,
    power_loss_after: Option<usize>,
    kill: Option<Kill>,
    /// The time of the host's disk since [`Eeprom::take_disk_time`].
    disk_time: Duration,
}

impl Eeprom {
    /// An EEPROM that ends with the process.
    pub fn in_memory(image: Image) -> Self {
        Self { image, file: None, power_loss_after: None, kill: None, disk_time: Duration::ZERO }
    }

    /// The EEPROM in an existing image file.
    ///
    /// # Errors
    /// [`ImageError`] if the file can't be read or is damaged.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        // A rename would replace a symbolic link, not the file it names.
        let file = fs::canonicalize(path).map_err(|source| io_error(path, "read it", source))?;
        Ok(Self {
            image: Image::load(&file)?,
            file: Some(file),
            power_loss_after: None,
            kill: None,
            disk_time: Duration::ZERO,
        })
    }

    /// The EEPROM in an image file, which is created with the contents of `blank` if it does not exist.
    ///
    /// # Errors
    /// [`ImageError`] if the file can't be read or created, or is damaged.
    pub fn open_or_create(path: &Path, blank: impl FnOnce() -> io::Result<Image>) -> Result<Self, ImageError> {
        match Self::open(path) {
            Err(ImageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let image = blank().map_err(|source| io_error(path, "create it", source))?;
        match image.create(path) {
            // Another process created it meanwhile: use that one.
            Err(ImageError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        Self::open(path)
    }

    /// Reads the image file again.
    ///
    /// # Errors
    /// [`ImageError`] if the file can't be read or is damaged; the contents are then unchanged.
    pub fn reload(&mut self) -> Result<(), ImageError> {
        if let Some(file) = &self.file {
            self.image = Image::load(file)?;
        }
        Ok(())
    }

    /// Replaces all contents, which no command can do: for tests.
    ///
    /// # Errors
    /// [`ImageError::Io`] if the file can't be written.
    pub fn replace(&mut self, image: Image) -> Result<(), ImageError> {
        if let Some(file) = &self.file {
            image.save(file)?;
        }
        self.image = image;
        Ok(())
    }

    /// The contents.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Loses power when this many more bytes have been programmed.
    pub fn config(&self) -> ConfigZone {
        self.image.config()
    }

    /// Kills this process when this many more blocks have been programmed.
    pub fn lose_power_after(&mut self, bytes: Option<usize>) {
        self.power_loss_after = bytes;
    }

    /// This process dies when so many more blocks have been programmed.
    pub(super) fn kill_process_at(&mut self, kill: Option<Kill>) {
        self.kill = kill;
    }

    /// Returns how long the host took to store programmed blocks since the last call: not part of the chip's time.
    pub fn take_disk_time(&mut self) -> Duration {
        std::mem::take(&mut self.disk_time)
    }

    /// Programs one block: afterwards it is new, or (power lost before its last byte) old.
    ///
    /// # Errors
    /// [`PowerLost`] if power is lost during the block, or right after it.
    pub fn program(&mut self, part: Part, at: usize, bytes: &[u8]) -> Result<(), PowerLost> {
        let lost_after = match &mut self.power_loss_after {
            None => false,
            Some(left) => {
                let Some(rest) = left.checked_sub(bytes.len()) else {
                    self.power_loss_after = None;
                    return Err(PowerLost);
                };
                *left = rest;
                rest == 0
            }
        };
        let mut image = self.image.clone();
        // Blocks are cut to the existing size before; a longer one would be a defect of the simulator.
        let Some(target) = image.part_mut(part).get_mut(at..at + bytes.len()) else {
            log::error!("simulated chip: block at {at} exceeds the end of {part:?}");
            return Err(PowerLost);
        };
        target.copy_from_slice(bytes);
        let began = Instant::now();
        let stored = self.store(&image);
        self.disk_time += began.elapsed();
        stored.map_err(|error| {
            log::error!("{error}; the simulated chip loses its power");
            PowerLost
        })?;
        self.image = image;
        if lost_after {
            self.power_loss_after = None;
            return Err(PowerLost);
        }
        Ok(())
    }

    /// Replaces the image file for a programmed block; a planned kill happens meanwhile.
    fn store(&mut self, image: &Image) -> Result<(), ImageError> {
        let dies_at = match &mut self.kill {
            Some(Kill { block: 1, moment }) => Some(*moment),
            Some(kill) => {
                kill.block -= 1;
                None
            }
            None => None,
        };
        let reached = |moment| {
            if dies_at == Some(moment) {
                die();
            }
        };
        match &self.file {
            Some(file) => image.save_watched(file, reached),
            None => Ok(()),
        }
    }
}

/// Ends the process as a power loss would: without notice, without cleaning up.
fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    // The kill can't fail; if it does, this is as sudden.
    std::process::abort()
}
