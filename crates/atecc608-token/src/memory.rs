// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory for secrets: separate pages, which are not swapped out, not part of a core dump, and read as zeros in a
//! forked child.
//!
//! Such pages contain only bytes, never a type with pointers or locks, because a child may drop inherited values.
#![allow(
    unsafe_code,
    reason = "mapped memory has no safe wrapper: what the kernel does with a page is set for its address"
)]

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::{null_mut, NonNull};
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};

use argon2::Block;
use atecc608::authorise::Secret;
use rustix::mm::{madvise, mlock, mmap_anonymous, munmap, Advice, MapFlags, ProtFlags};
use zeroize::Zeroize;

use crate::error::{Error, Result};

/// Whole pages of zeros in exclusive use, left out of core dumps and wiped in forked children.
struct Pages {
    start: NonNull<u8>,
    /// Requested bytes. The kernel rounds up to whole pages.
    len: usize,
}

// SAFETY: the pages belong to this value alone, and `Pages` has no interior mutability.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    /// # Errors
    /// [`Error::HostMemory`] if the kernel maps no memory.
    fn new(len: usize) -> Result<Self> {
        let (rights, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let mapped = unsafe { mmap_anonymous(null_mut(), len, rights, flags) };
        let start = mapped.map_err(|error| no_memory(len, error.into()))?;
        let start =
            NonNull::new(start.cast::<u8>()).ok_or_else(|| no_memory(len, io::ErrorKind::OutOfMemory.into()))?;
        let pages = Self { start, len };
        pages.advise(Advice::LinuxDontDump, "core dumps hold secrets");
        // Linux 4.14.
        pages.advise(Advice::LinuxWipeOnFork, "forked children inherit secrets");
        Ok(pages)
    }

    fn advise(&self, advice: Advice, without: &str) {
        // SAFETY: the range is this mapping. Neither advice changes its contents in this process.
        if let Err(error) = unsafe { madvise(self.start.as_ptr().cast(), self.len, advice) } {
            static REPORTED: AtomicBool = AtomicBool::new(false);
            if !REPORTED.swap(true, Ordering::Relaxed) {
                log::debug!("madvise: {error}: {without}");
            }
        }
    }

    /// Keeps the pages out of swap space, if the system allows this process to lock memory.
    fn lock(&self) {
        // SAFETY: the range is this mapping. Unmapping it ends the lock.
        if let Err(error) = unsafe { mlock(self.start.as_ptr().cast(), self.len) } {
            log::debug!("cannot lock the memory of a secret (RLIMIT_MEMLOCK?), so it may be swapped out: {error}");
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping belongs to this value, and no reference to it is left.
        if let Err(error) = unsafe { munmap(self.start.as_ptr().cast(), self.len) } {
            log::debug!("munmap: {error}");
        }
    }
}

fn no_memory(len: usize, error: io::Error) -> Error {
    Error::HostMemory(format!("cannot map {} KiB of memory for a secret: {error}", len.div_ceil(1024)).into())
}

/// Secret bytes in separate pages, locked in memory if the system allows that, and wiped on drop.
pub struct LockedBytes(Pages);

impl LockedBytes {
    /// Returns `len` zeros, at least one.
    ///
    /// # Errors
    /// [`Error::HostMemory`] if the host has no memory.
    pub fn zeros(len: usize) -> Result<Self> {
        let pages = Pages::new(len)?;
        pages.lock();
        Ok(Self(pages))
    }

    /// Returns a copy of these bytes, at least one. The caller wipes the original.
    ///
    /// # Errors
    /// [`Error::HostMemory`] if the host has no memory.
    pub fn copy_of(bytes: &[u8]) -> Result<Self> {
        let mut copy = Self::zeros(bytes.len())?;
        copy.copy_from_slice(bytes);
        Ok(copy)
    }
}

impl Deref for LockedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` are mapped and initialised as long as `self` lives.
        unsafe { slice::from_raw_parts(self.0.start.as_ptr(), self.0.len) }
    }
}

impl DerefMut for LockedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.0.start.as_ptr(), self.0.len) }
    }
}

impl Drop for LockedBytes {
    fn drop(&mut self) {
        self.zeroize();
    }
}

/// 32 secret bytes, stored as [`LockedBytes`].
pub struct LockedSecret(LockedBytes);

impl LockedSecret {
    /// Returns 32 zeros.
    ///
    /// # Errors
    /// [`Error::HostMemory`] if the host has no memory.
    pub fn zeros() -> Result<Self> {
        LockedBytes::zeros(32).map(Self)
    }

    /// Returns a copy of the secret. The caller wipes the original.
    ///
    /// # Errors
    /// [`Error::HostMemory`] if the host has no memory.
    pub fn new(value: &[u8; 32]) -> Result<Self> {
        LockedBytes::copy_of(value).map(Self)
    }
}

impl Deref for LockedSecret {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        // SAFETY: 32 bytes from `start` are mapped and initialised as long as `self` lives; an array of bytes may be anywhere.
        unsafe { &*self.0 .0.start.as_ptr().cast() }
    }
}

impl DerefMut for LockedSecret {
    fn deref_mut(&mut self) -> &mut [u8; 32] {
        // SAFETY: as in `deref`; `self` is borrowed exclusively.
        unsafe { &mut *self.0 .0.start.as_ptr().cast() }
    }
}

impl Secret for LockedSecret {
    fn value(&self) -> &[u8; 32] {
        self
    }
}

impl std::fmt::Debug for LockedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LockedSecret")
    }
}

/// The memory of one Argon2, wiped on drop. It is mapped for each use: the allocator would keep it, once for each
/// thread.
pub struct Argon2Memory(Pages);

impl Argon2Memory {
    /// Returns this many blocks of zeros, at least one.
    ///
    /// # Errors
    /// [`Error::HostMemory`] if the host has no memory.
    pub fn new(blocks: usize) -> Result<Self> {
        Pages::new(blocks * size_of::<Block>()).map(Self)
    }
}

impl AsMut<[Block]> for Argon2Memory {
    fn as_mut(&mut self) -> &mut [Block] {
        // SAFETY: the pages hold this many blocks, a page begins at a multiple of a block's alignment, and a block is an
        // array of u64, of which all bytes are values.
        unsafe { slice::from_raw_parts_mut(self.0.start.as_ptr().cast(), self.0.len / size_of::<Block>()) }
    }
}

impl Drop for Argon2Memory {
    fn drop(&mut self) {
        self.as_mut().iter_mut().for_each(Zeroize::zeroize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_a_page_of_its_own_and_is_not_shown() {
        let (one, two) = (LockedSecret::new(&[1; 32]).unwrap(), LockedSecret::new(&[2; 32]).unwrap());
        assert_eq!((*one, *two), ([1; 32], [2; 32]));
        let page = |secret: &LockedSecret| secret.as_ptr() as usize / 4096;
        assert_ne!(page(&one), page(&two));
        assert_eq!(format!("{one:?}"), "LockedSecret");
    }

    #[test]
    fn bytes_of_any_length_are_kept() {
        let long: Vec<u8> = (0..10_000).map(|i| i as u8).collect();
        assert_eq!(LockedBytes::copy_of(&long).unwrap()[..], long);
        assert_eq!(LockedBytes::copy_of(&[7]).unwrap()[..], [7]);
    }

    #[test]
    fn memory_that_can_not_be_had_is_an_error() {
        let error = LockedBytes::zeros(usize::MAX & !0xFFFF).err().unwrap();
        assert!(matches!(error, Error::HostMemory(_)), "{error}");
    }
}
