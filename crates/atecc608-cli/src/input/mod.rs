// SPDX-License-Identifier: MIT OR Apache-2.0
//! User input: files, values on the command line ([`values`]), and secrets ([`secret`]).

pub mod secret;
pub mod values;

use std::io::{ErrorKind, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// Maximum size of a file with keys, certificates, statements or a configuration; all are far smaller.
pub const MOST: usize = 1 << 20;

/// Reads a file (`-`: standard input), which may be secret. Pipes are accepted, too.
///
/// # Errors
/// An I/O error if it can't be read, or has more than `most` bytes.
pub fn read(path: &Path, most: usize) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // With the full capacity: a growing buffer would leave copies of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    atecc608_files::read_to(open(path)?, most, &mut bytes)?;
    Ok(bytes)
}

fn open(path: &Path) -> std::io::Result<Box<dyn Read>> {
    match path == Path::new("-") {
        true => Ok(Box::new(std::io::stdin().lock())),
        false => Ok(Box::new(atecc608_files::open_input(path)?)),
    }
}

/// Reads up to `most` first bytes of a file (`-`: standard input).
fn beginning(path: &Path, most: usize) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    open(path)?.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same as text.
///
/// # Errors
/// As [`read`]; also if it is not UTF-8.
pub fn read_text(path: &Path, most: usize) -> std::io::Result<Zeroizing<String>> {
    let mut bytes = read(path, most)?;
    String::from_utf8(std::mem::take(&mut *bytes))
        .map(Zeroizing::new)
        .map_err(|_| std::io::Error::new(ErrorKind::InvalidData, "it is not text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "gerät").unwrap();
        assert_eq!(*read_text(&path, 6).unwrap(), "gerät");
        assert!(read(&path, 5).unwrap_err().to_string().contains("more than 5 bytes"));
        std::fs::write(&path, [0xFF]).unwrap();
        assert!(read_text(&path, 6).unwrap_err().to_string().contains("UTF-8"));
        assert!(read(&path.join("x"), 6).is_err());
    }
}
