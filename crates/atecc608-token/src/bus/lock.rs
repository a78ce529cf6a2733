//! The lock around one conversation: flock on the bus node, then on a file that containers share.
//!
//! The lock dies with its holder. A forked child inherits the open files, and with them the lock: [`open_lock_descriptors`](super::lock_file::open_lock_descriptors)
//! names what it must close, so that a child that outlives its parent holds nothing.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{flock, FlockOperation};
use rustix::io::Errno;

use super::lock_file::{LockFile, RegisteredFile};
use crate::deadline::Deadline;

/// Between two tries to take a lock that somebody holds.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);
/// A process that wants the bus again sooner than this after its last turn waits: whoever tries meanwhile, each
/// [`RETRY_INTERVAL`], gets in between.
const TURN_GAP: Duration = Duration::from_millis(2);

/// Why the bus could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has had it all the time.
    #[error("{} has been locked for {} ms by {holder}", path.display(), waited.as_millis())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// How long the call has waited.
        waited: Duration,
        /// Process and name, if they can be known.
        holder: String,
    },
    /// The lock, or what it protects, can't be used.
    #[error("{0}")]
    Unusable(String),
}

/// What is done once if a wait becomes a long one: after how long, and a function of the holder's name.
pub type Notice<'a> = (Duration, &'a mut dyn FnMut(&str));

/// The lock of one bus.
pub(super) struct BusLock {
    files: Vec<LockFile>,
    turn_ended: Arc<Mutex<Option<Instant>>>,
}

/// The bus is this conversation's. Dropping it lets the others in.
#[must_use]
pub struct LockGuard {
    held: Vec<Arc<RegisteredFile>>,
    turn_ended: Arc<Mutex<Option<Instant>>>,
}

impl BusLock {
    pub(super) fn new(files: impl IntoIterator<Item = LockFile>) -> Self {
        Self { files: files.into_iter().collect(), turn_ended: Arc::default() }
    }

    /// Takes all files in order. A free lock is taken whatever the deadline.
    pub(super) fn acquire(
        &mut self,
        deadline: Deadline,
        mut notice: Option<Notice<'_>>,
    ) -> Result<LockGuard, LockError> {
        let last_turn = *self.turn_ended.lock();
        if let Some(gap) = last_turn.and_then(|turn| TURN_GAP.checked_sub(turn.elapsed())) {
            std::thread::sleep(gap.min(deadline.remaining()));
        }
        loop {
            if let Some(guard) = self.try_acquire()? {
                return Ok(guard);
            }
            if let Some((_, tell)) = notice.take_if(|(after, _)| deadline.elapsed() >= *after) {
                tell(&self.holder().1);
            }
            if deadline.passed() {
                let (path, holder) = self.holder();
                return Err(LockError::Held { path, waited: deadline.elapsed(), holder });
            }
            std::thread::sleep(RETRY_INTERVAL.min(deadline.remaining()));
        }
    }

    /// Takes all files if they are free.
    pub(super) fn try_acquire(&mut self) -> Result<Option<LockGuard>, LockError> {
        loop {
            let mut guard = LockGuard { held: Vec::new(), turn_ended: Arc::clone(&self.turn_ended) };
            for lock in &self.files {
                match flock(lock.file().get(), FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => guard.held.push(Arc::clone(lock.file())),
                    Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(None),
                    Err(errno) => {
                        return Err(LockError::Unusable(format!("flock on {}: {errno}", lock.path().display())))
                    }
                }
            }
            // Only now: a file that is at its path while it is locked is the one that others find locked.
            let mut replaced = false;
            for lock in &mut self.files {
                replaced |= lock.reopen_if_replaced().map_err(|error| LockError::Unusable(error.to_string()))?;
            }
            if !replaced {
                return Ok(Some(guard));
            }
        }
    }

    /// Returns the first file that somebody holds, and who.
    fn holder(&self) -> (PathBuf, String) {
        let known = self.files.iter().find_map(|lock| Some((lock.path().to_owned(), holder_of(lock.file().get())?)));
        known.unwrap_or_else(|| {
            let path = self.files.first().map(|lock| lock.path().to_owned()).unwrap_or_default();
            (path, "another process".to_owned())
        })
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let held = !self.held.is_empty();
        for file in self.held.drain(..).rev() {
            // Fails only for a descriptor that is closed already, and then nothing is locked.
            let _ = flock(file.get(), FlockOperation::Unlock);
        }
        if held {
            *self.turn_ended.lock() = Some(Instant::now());
        }
    }
}

/// The process that holds the lock on this file, as /proc/locks knows it: "process 123 (nginx)".
fn holder_of(file: &File) -> Option<String> {
    let metadata = file.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    let wanted = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
    let pid = locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&wanted.as_str())).then(|| fields[4].to_owned())
    })?;
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => Some(format!("process {pid} ({})", name.trim_end())),
        Err(_) => Some(format!("process {pid}")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn lock_in(dir: &Path) -> BusLock {
        BusLock::new([LockFile::required(dir.join("bus.lock")).unwrap()])
    }

    fn within(seconds: f32) -> Deadline {
        Deadline::after(Duration::from_secs_f32(seconds))
    }

    #[test]
    fn a_second_holder_waits_and_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock_in(dir.path()).acquire(within(0.0), None).unwrap();
        assert!(lock_in(dir.path()).try_acquire().unwrap().is_none());
        let Err(LockError::Held { holder, .. }) = lock_in(dir.path()).acquire(within(0.005), None) else {
            panic!("locked twice");
        };
        assert!(holder.contains(&std::process::id().to_string()), "{holder}");
        drop(first);
        assert!(lock_in(dir.path()).acquire(within(0.0), None).is_ok());
    }

    #[test]
    fn a_long_wait_gives_notice_once() {
        let dir = tempfile::tempdir().unwrap();
        let _first = lock_in(dir.path()).acquire(within(0.0), None).unwrap();
        let mut told = Vec::new();
        let mut tell = |holder: &str| told.push(holder.to_owned());
        let notice = (Duration::from_millis(20), &mut tell as &mut dyn FnMut(&str));
        assert!(lock_in(dir.path()).acquire(within(0.1), Some(notice)).is_err());
        assert_eq!(told.len(), 1, "{told:?}");
    }

    #[test]
    fn a_busy_holder_lets_others_in_between() {
        let dir = tempfile::tempdir().unwrap();
        let (mut greedy, mut patient) = (lock_in(dir.path()), lock_in(dir.path()));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _turn = greedy.acquire(within(5.0), None).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let turns = (0..5).filter(|_| patient.acquire(within(5.0), None).is_ok()).count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(turns, 5);
        });
    }

    #[test]
    fn a_lock_file_made_anew_is_the_one_that_is_locked() {
        let dir = tempfile::tempdir().unwrap();
        let mut early = lock_in(dir.path());
        std::fs::remove_file(dir.path().join("bus.lock")).unwrap();
        let _late = lock_in(dir.path()).acquire(within(0.0), None).unwrap();
        assert!(early.acquire(within(0.02), None).is_err());
    }
}
