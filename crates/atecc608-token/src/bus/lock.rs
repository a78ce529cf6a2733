//! The lock around one conversation: flock on the bus node, then on a file that containers share.
//!
//! The lock dies with its holder. A forked child inherits the open files, and with them the lock: [`open_lock_descriptors`]
//! names what it must let go of, so that a child that outlives its parent holds nothing.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{flock, FlockOperation};
use rustix::io::Errno;

use super::OpenError;

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
        /// How long it was waited for.
        waited: Duration,
        /// Process and name, if they can be known.
        holder: String,
    },
    /// The lock, or what it protects, can't be used.
    #[error("{0}")]
    Unusable(String),
}

impl LockError {
    /// The same after another attempt that took so long.
    #[must_use]
    pub fn waited_before(mut self, before: Duration) -> Self {
        if let Self::Held { waited, .. } = &mut self {
            *waited += before;
        }
        self
    }
}

/// A file that is locked. Clones share it.
#[derive(Clone)]
pub struct LockFile {
    path: PathBuf,
    file: Arc<RegisteredFile>,
}

impl LockFile {
    /// The bus node itself.
    ///
    /// # Errors
    /// [`OpenError`] if it can't be opened.
    pub(super) fn node(path: &Path) -> Result<Self, OpenError> {
        let file = OpenOptions::new().read(true).open(path).map_err(|error| open_error(path, &error))?;
        Ok(Self { path: path.to_owned(), file: Arc::new(RegisteredFile::new(file)) })
    }

    /// A file of its own, without which a simulated bus can't be used.
    ///
    /// # Errors
    /// [`OpenError`] if it can't be opened or created.
    #[cfg(any(feature = "sim", test))]
    pub(super) fn required(path: PathBuf) -> Result<Self, OpenError> {
        let file = open_or_create(&path).map_err(|error| open_error(&path, &error))?;
        Ok(Self { path, file: Arc::new(RegisteredFile::new(file)) })
    }

    /// A file in the state folder; where that is read-only or missing, the node's lock must do.
    pub(super) fn beside(path: PathBuf) -> Option<Self> {
        match open_or_create(&path) {
            Ok(file) => Some(Self { path, file: Arc::new(RegisteredFile::new(file)) }),
            Err(error) => {
                log::debug!("{}: {error}; locking the bus node only", path.display());
                None
            }
        }
    }
}

fn open_error(path: &Path, error: &std::io::Error) -> OpenError {
    let text = format!("lock file {}: {error}", path.display());
    match error.kind() {
        std::io::ErrorKind::NotFound => OpenError::NotFound(text),
        std::io::ErrorKind::PermissionDenied => OpenError::NotPermitted(text),
        _ => OpenError::Other(text),
    }
}

fn open_or_create(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o660)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    // Members of the group must be able to open it whatever this process's umask is.
    let metadata = file.metadata()?;
    if metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o777 != 0o660 {
        file.set_permissions(std::fs::Permissions::from_mode(0o660))?;
    }
    Ok(file)
}

/// The lock of one bus.
pub(super) struct BusLock {
    files: Vec<LockFile>,
    turn_ended: Arc<Mutex<Option<Instant>>>,
}

/// The bus is this conversation's. Dropping it lets the others in.
#[must_use]
pub struct LockGuard {
    held: Vec<LockFile>,
    turn_ended: Arc<Mutex<Option<Instant>>>,
}

impl BusLock {
    pub(super) fn new(files: impl IntoIterator<Item = LockFile>) -> Self {
        Self { files: files.into_iter().collect(), turn_ended: Arc::default() }
    }

    /// Takes all files in order, waiting at most `timeout` altogether.
    pub(super) fn acquire(&self, timeout: Duration) -> Result<LockGuard, LockError> {
        let start = Instant::now();
        let last_turn = *self.turn_ended.lock();
        if let Some(gap) = last_turn.and_then(|turn| TURN_GAP.checked_sub(turn.elapsed())) {
            std::thread::sleep(gap);
        }
        let mut guard = LockGuard { held: Vec::new(), turn_ended: Arc::clone(&self.turn_ended) };
        for lock in &self.files {
            while let Err(errno) = flock(&lock.file.0, FlockOperation::NonBlockingLockExclusive) {
                if errno != Errno::WOULDBLOCK && errno != Errno::INTR {
                    return Err(LockError::Unusable(format!("flock on {}: {errno}", lock.path.display())));
                }
                if start.elapsed() >= timeout {
                    return Err(LockError::Held {
                        path: lock.path.clone(),
                        waited: start.elapsed(),
                        holder: holder_of(&lock.file.0).unwrap_or_else(|| "another process".to_owned()),
                    });
                }
                std::thread::sleep(RETRY_INTERVAL);
            }
            guard.held.push(lock.clone());
        }
        Ok(guard)
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        for lock in self.held.iter().rev() {
            // Fails only for a descriptor that is closed already, and then nothing is locked.
            let _ = flock(&lock.file.0, FlockOperation::Unlock);
        }
        *self.turn_ended.lock() = Some(Instant::now());
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

/// Lock files of this process, for [`open_lock_descriptors`]. Atomics, since a fork handler may use nothing else.
static DESCRIPTORS: [AtomicI32; 64] = [const { AtomicI32::new(-1) }; 64];

/// The descriptors of all lock files. A forked child lets go of what is behind them (in a handler that may only call
/// what is async-signal-safe): an inherited one would keep the lock when the parent dies holding it.
pub(crate) fn open_lock_descriptors() -> impl Iterator<Item = i32> {
    DESCRIPTORS.iter().map(|entry| entry.load(Ordering::Acquire)).filter(|fd| *fd >= 0)
}

/// A file that is in [`DESCRIPTORS`] as long as it is open.
struct RegisteredFile(File);

impl RegisteredFile {
    fn new(file: File) -> Self {
        let fd = file.as_raw_fd();
        let free = |entry: &&AtomicI32| entry.compare_exchange(-1, fd, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if DESCRIPTORS.iter().find(free).is_none() {
            log::warn!("more than {} bus locks are open: a forked child may keep one", DESCRIPTORS.len());
        }
        Self(file)
    }
}

impl Drop for RegisteredFile {
    fn drop(&mut self) {
        let fd = self.0.as_raw_fd();
        for entry in &DESCRIPTORS {
            if entry.compare_exchange(fd, -1, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock_in(dir: &Path) -> BusLock {
        BusLock::new([LockFile::required(dir.join("bus.lock")).unwrap()])
    }

    #[test]
    fn a_second_holder_waits_and_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock_in(dir.path()).acquire(Duration::ZERO).unwrap();
        let Err(LockError::Held { holder, .. }) = lock_in(dir.path()).acquire(Duration::from_millis(5)) else {
            panic!("locked twice");
        };
        assert!(holder.contains(&std::process::id().to_string()), "{holder}");
        drop(first);
        assert!(lock_in(dir.path()).acquire(Duration::ZERO).is_ok());
    }

    #[test]
    fn a_busy_holder_lets_others_in_between() {
        let dir = tempfile::tempdir().unwrap();
        let (greedy, patient) = (lock_in(dir.path()), lock_in(dir.path()));
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _turn = greedy.acquire(Duration::from_secs(5)).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let turns = (0..5).filter(|_| patient.acquire(Duration::from_secs(5)).is_ok()).count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(turns, 5);
        });
    }

    #[test]
    fn lock_files_belong_to_the_group_whatever_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = lock_in(dir.path());
        let mode = std::fs::metadata(dir.path().join("bus.lock")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o660);
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("bus.lock")).unwrap();
        assert!(LockFile::required(dir.path().join("bus.lock")).is_err());
    }

    #[test]
    fn a_child_finds_the_descriptors_to_close_until_they_are_closed() {
        let dir = tempfile::tempdir().unwrap();
        let lock = lock_in(dir.path());
        let fd = lock.files[0].file.0.as_raw_fd();
        assert!(open_lock_descriptors().any(|open| open == fd));
        drop(lock);
    }
}
