// SPDX-License-Identifier: MIT OR Apache-2.0
//! Creates image files.

use std::fmt;
use std::path::Path;

use super::order::{Order, OrderError};
use crate::image::{Image, ImageError};
use atecc608_wire::config_zone::Model;

/// Why an image file was not created.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The file exists already.
    #[error("{0} exists already: move it away, or choose another --state")]
    Exists(String),
    /// The chip cannot be created.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The file cannot be written.
    #[error(transparent)]
    Image(ImageError),
}

/// The created chip, in words.
pub struct Made {
    file: String,
    summary: &'static str,
    image: Image,
    contents: Vec<String>,
}

/// Creates a chip and its image file, which must not exist yet.
///
/// # Errors
/// [`NewError`] if the file exists or can't be written, or the chip can't be created.
pub fn create(path: &Path, order: &Order) -> Result<Made, NewError> {
    let sold = order.make()?;
    sold.image.create(path).map_err(|error| match error {
        ImageError::Io { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
            NewError::Exists(path.display().to_string())
        }
        other => NewError::Image(other),
    })?;
    Ok(Made {
        file: path.display().to_string(),
        summary: order.profile.summary(),
        image: sold.image,
        contents: sold.contents,
    })
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.image.config();
        let locked = match (config.config_locked(), config.data_locked()) {
            (false, _) => "nothing is locked",
            (true, false) => "the configuration is locked, data and OTP zones are not",
            (true, true) => "all zones are locked",
        };
        writeln!(f, "{}: {}", self.file, self.summary)?;
        writeln!(f, "  {}, serial number {}", Model::from_revision(self.image.revision()), config.serial_number())?;
        writeln!(f, "  address 0x{:02X}, {locked}", config.i2c_address())?;
        self.contents.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}
