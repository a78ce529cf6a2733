// SPDX-License-Identifier: MIT OR Apache-2.0
//! The order of arrival between processes: a queue made only of locks on the bytes of a file.
//!
//! A process that arrives locks the first byte after all locked bytes, its ticket, and keeps it until its turn has
//! ended. The process with the first locked byte is first. The locks are open file description locks (`F_OFD_SETLK`),
//! so the kernel frees the ticket of a process that dies. The file stays empty: there is no counter that could be
//! damaged, and numbers start again at 0 when the queue is empty.
//!
//! The queue decides only who tries next; the lock decides who has the bus ([`super::lock`]). A process that ignores
//! the queue (an older version, or one that can't write the file), or that disturbs it, changes only the order.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};

use super::lock_file::{LockFile, RegisteredFile};

/// The number after the last ticket: offsets have 31 bits in every process.
const END: u32 = i32::MAX as u32;
/// At most this many locks are examined: a process that holds more disturbs the queue on purpose.
const MAX_LOCKS: usize = 1024;

/// The queue for one bus, as seen by one process, which is in it at most once at a time.
pub(super) struct Queue {
    file: LockFile,
    /// Tickets below this are ignored: their owners did not use a free bus.
    floor: u32,
}

/// A place in the queue. Dropping it advances the next one.
pub(super) struct Ticket {
    file: Arc<RegisteredFile>,
    number: u32,
}

impl Queue {
    /// Opens or creates the file. Returns `None` if that is not possible: the bus can be used without an order.
    pub(super) fn open(path: PathBuf) -> Option<Self> {
        let without = "there is no order of arrival between processes";
        let file = LockFile::optional(path, without).unwrap_or_else(|error| {
            log::warn!("{error}; {without}");
            None
        })?;
        Some(Self { file, floor: 0 })
    }

    /// Joins the end of the queue; `None` if that is not possible, for instance on a file system without such locks.
    pub(super) fn arrive(&mut self) -> Option<Ticket> {
        let ticket = self.draw()?;
        // Check after locking: others see the ticket only if its file is the one at the path.
        match self.file.reopen_if_replaced() {
            Ok(true) => self.draw(),
            _ => Some(ticket),
        }
    }

    fn draw(&mut self) -> Option<Ticket> {
        let file = self.file.file();
        if self.floor > 0 && first_lock(file, self.floor - 1..self.floor).is_ok_and(|lock| lock.is_none()) {
            // The owner of that ticket is gone, and numbers may have started again.
            self.floor = 0;
        }
        let mut number = 0;
        for _ in 0..MAX_LOCKS {
            let found = first_lock(file, number..END).inspect_err(|errno| self.warn(*errno)).ok()?;
            match found {
                Some(lock) if lock.end < END => number = lock.end,
                Some(_) => return None,
                None => match set_lock(file, number, libc::F_WRLCK) {
                    Ok(()) => return Some(Ticket { file: Arc::clone(file), number }),
                    // Another process has just taken it.
                    Err(Errno::EAGAIN | Errno::EACCES) => {}
                    Err(errno) => {
                        self.warn(errno);
                        return None;
                    }
                },
            }
        }
        None
    }

    fn warn(&self, errno: Errno) {
        log::debug!("{}: {errno}; there is no order of arrival between processes", self.file.path().display());
    }

    /// Returns the range of the first earlier tickets that still wait (a single number, if this process can see it),
    /// `None` if the ticket is first.
    pub(super) fn first_before(&self, ticket: &Ticket) -> Option<Range<u32>> {
        self.first_in(&ticket.file, ticket.number)
    }

    /// Returns `true` if no process in this queue has the bus or waits for it.
    pub(super) fn is_empty(&self) -> bool {
        self.first_in(self.file.file(), END).is_none()
    }

    fn first_in(&self, file: &RegisteredFile, end: u32) -> Option<Range<u32>> {
        let mut first: Option<Range<u32>> = None;
        for _ in 0..MAX_LOCKS {
            let end = first.as_ref().map_or(end, |first| first.start);
            // The kernel returns any lock in the range, in practice the oldest.
            match first_lock(file, self.floor..end) {
                Ok(Some(lock)) => first = Some(lock),
                // If the locks can't be read, the process does not wait.
                Ok(None) | Err(_) => break,
            }
        }
        first
    }

    /// Stops waiting for tickets up to these.
    pub(super) fn skip(&mut self, numbers: &Range<u32>) {
        self.floor = numbers.end;
    }
}

impl Ticket {
    /// Returns how far this ticket is from earlier ones, 1 for neighbours.
    pub(super) fn distance(&self, earlier: &Range<u32>) -> u32 {
        self.number.saturating_sub(earlier.start)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Fails only for a descriptor that is closed already, and then nothing is locked.
        let _ = set_lock(&self.file, self.number, libc::F_UNLCK);
    }
}

/// Returns the part of another process's lock within a range that is not empty.
fn first_lock(file: &RegisteredFile, range: Range<u32>) -> nix::Result<Option<Range<u32>>> {
    if range.is_empty() {
        return Ok(None);
    }
    let mut lock = lock_of(range.clone(), libc::F_WRLCK);
    fcntl(file.get(), FcntlArg::F_OFD_GETLK(&mut lock))?;
    if i32::from(lock.l_type) == libc::F_UNLCK {
        return Ok(None);
    }
    let start = u32::try_from(lock.l_start).unwrap_or(END);
    // A length of 0 means up to the greatest offset.
    let len = u32::try_from(lock.l_len).ok().filter(|len| *len > 0).unwrap_or(END);
    let end = start.saturating_add(len);
    Ok(Some(start.clamp(range.start, range.end - 1)..end.clamp(range.start + 1, range.end)))
}

fn set_lock(file: &RegisteredFile, number: u32, kind: i32) -> nix::Result<()> {
    fcntl(file.get(), FcntlArg::F_OFD_SETLK(&lock_of(number..number + 1, kind))).map(drop)
}

fn lock_of(range: Range<u32>, kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: range.start as libc::off_t,
        l_len: (range.end - range.start) as libc::off_t,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn queue_in(dir: &Path) -> Queue {
        Queue::open(dir.join("bus.queue")).unwrap()
    }

    #[test]
    fn tickets_are_numbered_in_the_order_of_arrival() {
        let dir = tempfile::tempdir().unwrap();
        let (mut a, mut b, mut c) = (queue_in(dir.path()), queue_in(dir.path()), queue_in(dir.path()));
        let first = a.arrive().unwrap();
        let second = b.arrive().unwrap();
        let third = c.arrive().unwrap();
        assert_eq!(
            (a.first_before(&first), b.first_before(&second), c.first_before(&third)),
            (None, Some(0..1), Some(0..1))
        );
        assert_eq!((second.distance(&(0..1)), third.distance(&(0..1))), (1, 2));
        drop(first);
        let again = a.arrive().unwrap();
        assert_eq!((b.first_before(&second), a.first_before(&again)), (None, Some(1..2)));
        // A process that gives up changes nothing for the others.
        drop(third);
        assert_eq!((b.first_before(&second), a.first_before(&again)), (None, Some(1..2)));
        drop(second);
        assert_eq!(a.first_before(&again), None);
        assert!(!b.is_empty());
        drop(again);
        assert!(b.is_empty());
        assert_eq!(c.arrive().unwrap().number, 0);
    }

    #[test]
    fn many_that_arrive_at_once_have_different_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let tickets = parking_lot::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let ticket = queue_in(dir.path()).arrive().unwrap();
                    tickets.lock().push(ticket);
                });
            }
        });
        let mut numbers: Vec<u32> = tickets.lock().iter().map(|ticket| ticket.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 16, "{numbers:?}");
    }

    #[test]
    fn a_ticket_that_is_skipped_is_not_waited_for_until_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (mut stopped, mut other) = (queue_in(dir.path()), queue_in(dir.path()));
        let ghost = stopped.arrive().unwrap();
        let ticket = other.arrive().unwrap();
        let first = other.first_before(&ticket).unwrap();
        other.skip(&first);
        assert_eq!(other.first_before(&ticket), None);
        drop(ticket);
        let ticket = other.arrive().unwrap();
        assert_eq!((ticket.number, other.first_before(&ticket)), (1, None), "it is remembered");
        drop(ticket);
        drop(ghost);
        drop(other.arrive().unwrap());
        let _first = stopped.arrive().unwrap();
        let ticket = other.arrive().unwrap();
        assert_eq!(other.first_before(&ticket), Some(0..1), "it came back and is waited for again");
    }

    #[test]
    fn a_process_that_holds_all_numbers_ends_the_queue_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = queue_in(dir.path());
        let hostile = LockFile::required(dir.path().join("bus.queue")).unwrap();
        for whole in [
            libc::flock { l_len: 0, ..lock_of(0..1, libc::F_WRLCK) },
            libc::flock { l_len: 0, ..lock_of(5..6, libc::F_WRLCK) },
            lock_of(END - 1..END, libc::F_WRLCK),
        ] {
            fcntl(hostile.file().get(), FcntlArg::F_OFD_SETLK(&whole)).unwrap();
            assert!(queue.arrive().is_none());
            fcntl(
                hostile.file().get(),
                FcntlArg::F_OFD_SETLK(&libc::flock { l_type: libc::F_UNLCK as libc::c_short, ..whole }),
            )
            .unwrap();
            assert!(queue.arrive().is_some());
        }
    }

    #[test]
    fn numbers_held_together_are_skipped_together() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = queue_in(dir.path());
        let hostile = LockFile::required(dir.path().join("bus.queue")).unwrap();
        fcntl(hostile.file().get(), FcntlArg::F_OFD_SETLK(&lock_of(0..5000, libc::F_WRLCK))).unwrap();
        let ticket = queue.arrive().unwrap();
        let first = queue.first_before(&ticket).unwrap();
        assert_eq!((ticket.number, &first), (5000, &(0..5000)));
        queue.skip(&first);
        assert_eq!(queue.first_before(&ticket), None);
    }

    #[test]
    fn more_locks_than_anybody_needs_are_not_counted_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = queue_in(dir.path());
        let hostile = LockFile::required(dir.path().join("bus.queue")).unwrap();
        for number in 0..MAX_LOCKS as u32 {
            set_lock(hostile.file(), 2 * number, libc::F_WRLCK).unwrap();
        }
        assert!(queue.arrive().is_none());
    }

    #[test]
    fn what_the_file_contains_does_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.queue");
        std::fs::write(&path, [0xff; 4096]).unwrap();
        let (mut a, mut b) = (queue_in(dir.path()), queue_in(dir.path()));
        let _first = a.arrive().unwrap();
        std::fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
        let second = b.arrive().unwrap();
        assert_eq!(b.first_before(&second), Some(0..1));
    }

    #[test]
    fn a_queue_file_made_anew_is_the_one_that_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut early = queue_in(dir.path());
        std::fs::remove_file(dir.path().join("bus.queue")).unwrap();
        let mut late = queue_in(dir.path());
        let _first = late.arrive().unwrap();
        let second = early.arrive().unwrap();
        assert_eq!(early.first_before(&second), Some(0..1));
    }

    #[test]
    fn where_the_file_cannot_be_opened_there_is_no_queue() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bus.queue")).unwrap();
        assert!(Queue::open(dir.path().join("bus.queue")).is_none());
        assert!(Queue::open(dir.path().join("missing").join("bus.queue")).is_none());
    }
}
