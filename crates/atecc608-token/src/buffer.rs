// SPDX-License-Identifier: MIT OR Apache-2.0
//! Buffers whose size depends on the caller. A library must not end its program because a caller's message does not
//! fit: these functions fail with [`Error::HostMemory`], where the standard library aborts the process.

use super::error::{Error, Result};

/// Reserves space in `buffer` for `additional` more bytes.
///
/// # Errors
/// [`Error::HostMemory`] if the host has no memory.
pub fn reserve(buffer: &mut Vec<u8>, additional: usize) -> Result<()> {
    // Twice the size, so that many small parts are not copied each time; the exact size if that is too much.
    let reserved = buffer.try_reserve(additional).or_else(|_| buffer.try_reserve_exact(additional));
    reserved.map_err(|_| no_memory(additional))
}

/// Appends `bytes` to `buffer`.
///
/// # Errors
/// [`Error::HostMemory`] if the host has no memory.
pub fn append(buffer: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    reserve(buffer, bytes.len())?;
    buffer.extend_from_slice(bytes);
    Ok(())
}

/// Returns a copy of `bytes`.
///
/// # Errors
/// [`Error::HostMemory`] if the host has no memory.
pub fn copied(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| no_memory(bytes.len()))?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

fn no_memory(bytes: usize) -> Error {
    Error::HostMemory(
        format!(
            "cannot allocate {bytes} bytes: raise the memory limit of the process (ulimit -v, MemoryMax=), or pass the \
             data in parts"
        )
        .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_an_error_and_leaves_the_buffer_as_it_was() {
        let mut buffer = vec![1, 2];
        assert!(matches!(reserve(&mut buffer, isize::MAX as usize), Err(Error::HostMemory(_))));
        append(&mut buffer, &[3]).unwrap();
        assert_eq!((buffer, copied(&[4]).unwrap()), (vec![1, 2, 3], vec![4]));
    }
}
