//! The EEPROM at work: programmed one block at a time, each of which survives a kill as a whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{getpid, kill_process, Signal};

use super::faults::Kill;
use super::image::{io_error, Image, ImageError, Part};
use atecc608_wire::ConfigZone;

/// Power went away while the EEPROM was programmed; or the host could not store what was programmed, which ends the
/// simulated chip in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerLost;

/// A chip's EEPROM, in memory or in an image file.
pub struct Eeprom {
    image: Image,
    file: Option<PathBuf>,
    power_loss_after: Option<usize>,
    kill: Option<Kill>,
    /// What the host's disk took since [`Eeprom::take_disk_time`].
    disk_time: Duration,
}

impl Eeprom {
    /// An EEPROM that is gone with the process.
    pub fn in_memory(image: Image) -> Self {
        Self { image, file: None, power_loss_after: None, kill: None, disk_time: Duration::ZERO }
    }

    /// The EEPROM in an existing image file.
    ///
    /// # Errors
    /// [`ImageError`].
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
    /// [`ImageError`].
    pub fn open_or_create(path: &Path, blank: impl FnOnce() -> io::Result<Image>) -> Result<Self, ImageError> {
        match Self::open(path) {
            Err(ImageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let image = blank().map_err(|source| io_error(path, "create it", source))?;
        match image.create(path) {
            // Another process created it meanwhile: that one counts.
            Err(ImageError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        Self::open(path)
    }

    /// Reads the image file again.
    ///
    /// # Errors
    /// [`ImageError`]; the contents are as before.
    pub fn reload(&mut self) -> Result<(), ImageError> {
        if let Some(file) = &self.file {
            self.image = Image::load(file)?;
        }
        Ok(())
    }

    /// Replaces everything: for tests, which may do what no command can.
    ///
    /// # Errors
    /// [`ImageError::Io`].
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

    /// The configuration zone.
    pub fn config(&self) -> ConfigZone {
        self.image.config()
    }

    /// Power goes away when so many more bytes have been programmed.
    pub fn lose_power_after(&mut self, bytes: Option<usize>) {
        self.power_loss_after = bytes;
    }

    /// This process dies when so many more blocks have been programmed.
    pub(super) fn kill_process_at(&mut self, kill: Option<Kill>) {
        self.kill = kill;
    }

    /// How long the host took to keep what was programmed since this was last asked: no time of the chip's.
    pub fn take_disk_time(&mut self) -> Duration {
        std::mem::take(&mut self.disk_time)
    }

    /// Programs one block: afterwards it is the new one, or (power lost before its last byte) the old one.
    ///
    /// # Errors
    /// [`PowerLost`] if power goes away during the block, or right after it.
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
        // Blocks are cut to what exists before they come here; a longer one would be a defect of the simulator.
        let Some(target) = image.part_mut(part).get_mut(at..at + bytes.len()) else {
            log::error!("simulated chip: block at {at} of {part:?} reaches past its end");
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

    /// Replaces the image file for a block that was programmed; a planned death strikes meanwhile.
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

/// Ends the process as a power cut would: nobody is told, nothing is cleaned up.
fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    // That can't fail; should it, this is as sudden.
    std::process::abort()
}
