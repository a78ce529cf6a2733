//! Memory for a secret that is needed for longer: kept out of swap space, wiped when it goes.

use atecc608::authorise::Secret;
use zeroize::Zeroize;

/// A page, so that its lock is nobody else's: locks on memory count pages and do not nest.
#[repr(C, align(4096))]
struct Page([u8; 32]);

/// 32 secret bytes that are not swapped out (where the system lets this process lock memory) and are wiped when dropped.
pub struct LockedSecret {
    page: Box<Page>,
    /// Unlocks after the page was wiped, in [`Drop`], and before it is freed.
    lock: Option<region::LockGuard>,
}

impl LockedSecret {
    /// Takes a copy of the secret; the caller wipes its own.
    pub fn new(value: &[u8; 32]) -> Self {
        let mut page = Box::new(Page([0; 32]));
        let lock = region::lock(page.0.as_ptr(), size_of::<Page>());
        if let Err(error) = &lock {
            log::debug!("a secret's memory can't be locked (RLIMIT_MEMLOCK?), it may be swapped out: {error}");
        }
        page.0 = *value;
        Self { page, lock: lock.ok() }
    }

    /// The secret.
    pub fn value(&self) -> &[u8; 32] {
        &self.page.0
    }
}

impl Secret for LockedSecret {
    fn value(&self) -> &[u8; 32] {
        &self.page.0
    }
}

impl Drop for LockedSecret {
    fn drop(&mut self) {
        self.page.0.zeroize();
        self.lock = None;
    }
}

impl std::fmt::Debug for LockedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LockedSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_a_page_of_its_own_and_is_not_shown() {
        let (one, two) = (LockedSecret::new(&[1; 32]), LockedSecret::new(&[2; 32]));
        assert_eq!((one.value(), two.value()), (&[1; 32], &[2; 32]));
        let page = |secret: &LockedSecret| secret.value().as_ptr() as usize / 4096;
        assert_ne!(page(&one), page(&two));
        assert_eq!(format!("{one:?}"), "LockedSecret");
    }
}
