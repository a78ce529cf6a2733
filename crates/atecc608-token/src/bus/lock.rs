// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lock around one conversation: flock on the bus node (for a multiplexer's channel first on its adapter's node),
//! then on a file that containers share; before them the order of arrival (`arrival.rs`), if its file can be opened.
//!
//! The lock ends with its holder. A forked child inherits the open files, and with them the lock: it closes the
//! descriptors from `lock_file::open_lock_descriptors`, so that it does not keep the lock after its parent has died.

use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{flock, FlockOperation};
use rustix::io::Errno;

use super::arrival::{Queue, Ticket};
use super::lock_file::{LockFile, RegisteredFile};
use super::node::{Identity, Node};
use super::OpenError;
use crate::deadline::Deadline;

/// The polling interval of the process that is next: small against a signature (120 ms).
const RETRY_INTERVAL: Duration = Duration::from_millis(1);
/// The polling interval of a process further behind, per place in the queue. A conversation takes longer than this.
const INTERVAL_PER_TURN: Duration = Duration::from_millis(4);
/// The longest polling interval.
const MAX_INTERVAL: Duration = Duration::from_millis(100);
/// If the front of the queue does not use a free bus for this long, the others try.
const PATIENCE: Duration = Duration::from_millis(500);
/// A process that takes the bus again within this time after its last turn waits first: so processes outside of the
/// queue, which poll every [`RETRY_INTERVAL`], get a chance.
const TURN_GAP: Duration = Duration::from_millis(2);
/// With a queue this wait is needed only for processes outside of it: once in this time.
const RUN_OF_TURNS: Duration = Duration::from_millis(500);
/// How often /proc/locks is read for the holder's name.
const MAX_READS: usize = 4;
/// How often a lock file may be replaced while it is being locked.
const MAX_REPLACEMENTS: usize = 3;

/// Why the bus lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has held it all the time.
    #[error("{} has been locked for {} ms by {holder}", path.display(), waited.as_millis())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// How long the call has waited.
        waited: Duration,
        /// Process id and name, if they are known.
        holder: String,
    },
    /// The lock, or the resource it protects, can't be used.
    #[error("{0}")]
    Unusable(String),
    /// The bus node can't be opened.
    #[error(transparent)]
    Node(#[from] OpenError),
}

/// An action for a long wait: the time after which it runs, and a function of the holder's name.
pub type Notice<'a> = (Duration, &'a mut dyn FnMut(&str));

/// The lock of one bus.
pub(super) struct BusLock {
    node: Option<Node>,
    files: Vec<LockFile>,
    queue: Option<Queue>,
    turns: Arc<Mutex<Turns>>,
}

/// The bus lock of a conversation. Dropping it releases the lock.
#[must_use]
pub struct LockGuard {
    /// Closes handles that are open during a turn only.
    at_end: Option<AtEnd>,
    turns: Arc<Mutex<Turns>>,
    // Dropped in this order: the next process in the queue finds the files unlocked.
    _held: Held,
    _ticket: Option<Ticket>,
}

/// An action at the end of a turn, before the lock is released.
pub(super) type AtEnd = Box<dyn FnOnce() + Send>;

/// Files that are locked while this exists.
#[derive(Default)]
struct Held(Vec<Arc<RegisteredFile>>);

/// The turns of this process.
#[derive(Default)]
struct Turns {
    /// When the last turn ended.
    ended: Option<Instant>,
    /// Whether it was in the queue.
    queued: bool,
    /// The start of the first turn in a sequence without a gap for other processes.
    since: Option<Instant>,
}

impl BusLock {
    pub(super) fn new(files: impl IntoIterator<Item = LockFile>, queue: Option<Queue>) -> Self {
        Self { node: None, files: files.into_iter().collect(), queue, turns: Arc::default() }
    }

    /// The same with a node, which is locked before the files.
    pub(super) fn with_node(self, node: Node) -> Self {
        Self { node: Some(node), ..self }
    }

    /// The node that was locked last, if there is one.
    pub(super) fn node(&self) -> Option<Identity> {
        self.node.as_ref().and_then(Node::opened)
    }

    /// Locks all files after all earlier arrivals had their turn. A free lock is taken whatever the deadline.
    pub(super) fn acquire(
        &mut self,
        deadline: Deadline,
        mut notice: Option<Notice<'_>>,
    ) -> Result<LockGuard, LockError> {
        self.let_others_in(deadline);
        let ticket = self.queue.as_mut().and_then(Queue::arrive);
        let mut front = Front::default();
        loop {
            // Read the clock before the last attempt: a bus that is free at the deadline is taken, even out of turn.
            let last = deadline.passed();
            let first = self.first_before(ticket.as_ref());
            let idle = first.as_ref().is_some_and(|first| front.may_be_idle(first.start));
            if first.is_none() || idle || last {
                if let Some(held) = self.try_files()? {
                    if let (Some(queue), Some(first), true) = (&mut self.queue, &first, idle) {
                        queue.skip(first);
                    }
                    // If there are earlier tickets, the turn is theirs.
                    if last || self.first_before(ticket.as_ref()).is_none() {
                        return Ok(self.begin_turn(held, ticket));
                    }
                }
            }
            if let Some((_, tell)) = notice.take_if(|(after, _)| deadline.elapsed() >= *after) {
                tell(&self.holder().1);
            }
            if last {
                let (path, holder) = self.holder();
                return Err(LockError::Held { path, waited: deadline.elapsed(), holder });
            }
            let distance = ticket.as_ref().zip(first).map_or(0, |(ticket, first)| ticket.distance(&first));
            std::thread::sleep(interval(distance).min(deadline.remaining()));
        }
    }

    /// Locks all files if no process has them or waits for them.
    pub(super) fn try_acquire(&mut self) -> Result<Option<LockGuard>, LockError> {
        if self.queue.as_ref().is_some_and(|queue| !queue.is_empty()) {
            return Ok(None);
        }
        let Some(held) = self.try_files()? else { return Ok(None) };
        // Processes that arrive during the turn see it in the queue.
        let ticket = self.queue.as_mut().and_then(Queue::arrive);
        Ok(Some(self.begin_turn(held, ticket)))
    }

    /// Waits if this process would otherwise keep processes outside of the queue from the bus.
    fn let_others_in(&self, deadline: Deadline) {
        let mut turns = self.turns.lock();
        let gap = turns.ended.and_then(|ended| TURN_GAP.checked_sub(ended.elapsed()));
        if gap.is_some() && turns.queued && turns.since.is_some_and(|since| since.elapsed() < RUN_OF_TURNS) {
            return;
        }
        turns.since = None;
        drop(turns);
        if let Some(gap) = gap {
            std::thread::sleep(gap.min(deadline.remaining()));
        }
    }

    fn begin_turn(&self, held: Held, ticket: Option<Ticket>) -> LockGuard {
        let mut turns = self.turns.lock();
        turns.queued = ticket.is_some();
        turns.since.get_or_insert_with(Instant::now);
        drop(turns);
        LockGuard { at_end: None, turns: Arc::clone(&self.turns), _held: held, _ticket: ticket }
    }

    fn first_before(&self, ticket: Option<&Ticket>) -> Option<Range<u32>> {
        let (queue, ticket) = self.queue.as_ref().zip(ticket)?;
        queue.first_before(ticket)
    }

    /// Locks all files in order if they are free.
    fn try_files(&mut self) -> Result<Option<Held>, LockError> {
        for _ in 0..MAX_REPLACEMENTS {
            let mut held = Held::default();
            if let Some(node) = &mut self.node {
                // First: processes on other channels of the same multiplexer, or on its adapter, lock that node, too.
                let root = node.root().and_then(|path| Some((Node::open_root(&path)?, path)));
                if let Some((file, path)) = root {
                    if !held.take(&file, &path)? {
                        return Ok(None);
                    }
                }
                let file = node.open()?;
                if !held.take(&file, node.path())? {
                    return Ok(None);
                }
            }
            for lock in &self.files {
                if !held.take(lock.file(), lock.path())? {
                    return Ok(None);
                }
            }
            // Check after locking: others see the lock only if its file is the one at the path.
            let mut replaced = self.node.as_ref().is_some_and(Node::is_replaced);
            for lock in &mut self.files {
                replaced |= lock.reopen_if_replaced().map_err(|error| LockError::Unusable(error.to_string()))?;
            }
            if !replaced {
                return Ok(Some(held));
            }
        }
        Ok(None)
    }

    /// Returns the first file that another process has locked, and the process.
    fn holder(&self) -> (PathBuf, String) {
        let root = self.node.as_ref().and_then(Node::root);
        let nodes = root.as_deref().into_iter().chain(self.node.as_ref().map(Node::path));
        let nodes = nodes.map(|path| (path, path.metadata()));
        let files = self.files.iter().map(|lock| (lock.path(), lock.file().get().metadata()));
        let mut locked = nodes.chain(files);
        let first = self.node.as_ref().map(Node::path).or_else(|| self.files.first().map(LockFile::path));
        let known = locked.find_map(|(path, metadata)| Some((path.to_owned(), holder_of(&metadata.ok()?)?)));
        known.unwrap_or_else(|| (first.map(Path::to_owned).unwrap_or_default(), "another process".to_owned()))
    }
}

impl LockGuard {
    /// Runs `done` at the end of the turn.
    pub(super) fn at_end(mut self, done: Option<AtEnd>) -> Self {
        self.at_end = done;
        self
    }
}

impl Held {
    /// Locks one more file. Returns `false` if another process has locked it.
    ///
    /// # Errors
    /// [`LockError::Unusable`] if the file can't be locked.
    fn take(&mut self, file: &Arc<RegisteredFile>, path: &Path) -> Result<bool, LockError> {
        match flock(file.get(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                self.0.push(Arc::clone(file));
                Ok(true)
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
            Err(errno) => Err(LockError::Unusable(format!("flock on {}: {errno}", path.display()))),
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if let Some(done) = self.at_end.take() {
            done();
        }
        self.turns.lock().ended = Some(Instant::now());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for file in self.0.drain(..).rev() {
            // Fails only for a descriptor that is closed already, and then nothing is locked.
            let _ = flock(file.get(), FlockOperation::Unlock);
        }
    }
}

/// Returns the polling interval at this distance from the front.
fn interval(distance: u32) -> Duration {
    if distance <= 1 {
        RETRY_INTERVAL
    } else {
        (INTERVAL_PER_TURN * distance.min(1000)).min(MAX_INTERVAL)
    }
}

/// The process at the front of the queue, and when to try next whether it uses the bus: a process that is stopped, or
/// holds a ticket without using it, must not keep the others from a free bus.
#[derive(Default)]
struct Front {
    first: Option<(u32, Instant)>,
}

impl Front {
    fn may_be_idle(&mut self, first: u32) -> bool {
        let now = Instant::now();
        match self.first {
            Some((seen, next_try)) if seen == first && now >= next_try => {
                self.first = Some((first, now + MAX_INTERVAL));
                true
            }
            Some((seen, _)) if seen == first => false,
            _ => {
                self.first = Some((first, now + PATIENCE));
                false
            }
        }
    }
}

/// Returns the process that has locked this file, from /proc/locks: "process 123 (nginx)".
fn holder_of(metadata: &Metadata) -> Option<String> {
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    let wanted = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    // The kernel returns the list page by page: an entry may be missing while others lock and unlock.
    let pid = (0..MAX_READS).find_map(|_| {
        // 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
        std::fs::read_to_string("/proc/locks").ok()?.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&wanted.as_str())).then(|| fields[4].to_owned())
        })
    })?;
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => Some(format!("process {pid} ({})", name.trim_end())),
        Err(_) => Some(format!("process {pid}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn files(dir: &Path) -> [LockFile; 1] {
        [LockFile::required(dir.join("bus.lock")).unwrap()]
    }

    fn lock_in(dir: &Path) -> BusLock {
        BusLock::new(files(dir), Queue::open(dir.join("bus.queue")))
    }

    fn without_queue(dir: &Path) -> BusLock {
        BusLock::new(files(dir), None)
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

    /// Takes turns of a millisecond as often as possible, until the end of `meanwhile`.
    fn busy<T>(mut lock: BusLock, meanwhile: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _turn = lock.acquire(within(5.0), None).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let result = meanwhile();
            done.store(true, Ordering::Relaxed);
            result
        })
    }

    #[test]
    fn a_busy_holder_lets_others_in_between() {
        for make in [lock_in, without_queue] {
            let dir = tempfile::tempdir().unwrap();
            let mut patient = make(dir.path());
            busy(make(dir.path()), || {
                for _ in 0..5 {
                    assert!(patient.acquire(within(5.0), None).is_ok());
                }
            });
        }
    }

    #[test]
    fn a_busy_holder_lets_in_who_is_not_in_the_queue() {
        let dir = tempfile::tempdir().unwrap();
        let mut outside = without_queue(dir.path());
        busy(lock_in(dir.path()), || {
            for _ in 0..3 {
                assert!(outside.acquire(within(5.0), None).is_ok());
            }
        });
    }

    #[test]
    fn turns_go_round_between_those_who_come_again_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let turns = Mutex::new(Vec::new());
        let start = std::sync::Barrier::new(5);
        std::thread::scope(|scope| {
            for number in 0..5 {
                let (turns, start, mut lock) = (&turns, &start, lock_in(dir.path()));
                scope.spawn(move || {
                    start.wait();
                    for _ in 0..20 {
                        let _turn = lock.acquire(within(20.0), None).unwrap();
                        turns.lock().push(number);
                        std::thread::sleep(Duration::from_millis(10));
                    }
                });
            }
        });
        let turns = turns.into_inner();
        // Once all have arrived, each turn is followed by four turns of the others.
        let unfair = turns[10..80].windows(5).filter(|five| five[1..].contains(&five[0])).count();
        assert!(unfair <= 3, "{unfair} turns came too early: {turns:?}");
    }

    #[test]
    fn who_tries_only_does_not_overtake_who_waits() {
        let dir = tempfile::tempdir().unwrap();
        let (mut holder, mut waiter, mut other) = (lock_in(dir.path()), lock_in(dir.path()), lock_in(dir.path()));
        let turn = holder.acquire(within(0.0), None).unwrap();
        let ticket = waiter.queue.as_mut().unwrap().arrive();
        drop(turn);
        assert!(other.try_acquire().unwrap().is_none(), "one waits");
        drop(ticket);
        assert!(other.try_acquire().unwrap().is_some());
    }

    #[test]
    fn one_that_is_first_and_does_not_come_is_passed_over_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut stopped = Queue::open(dir.path().join("bus.queue")).unwrap();
        let mut second = Queue::open(dir.path().join("bus.queue")).unwrap();
        let _tickets = (stopped.arrive().unwrap(), second.arrive().unwrap());
        let mut lock = lock_in(dir.path());
        let start = Instant::now();
        drop(lock.acquire(within(5.0), None).unwrap());
        let waited = start.elapsed();
        assert!(waited >= 2 * PATIENCE && waited < Duration::from_secs(4), "{waited:?}");
        let start = Instant::now();
        drop(lock.acquire(within(5.0), None).unwrap());
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    }

    #[test]
    fn a_bus_that_is_free_at_the_deadline_is_taken_out_of_turn() {
        let dir = tempfile::tempdir().unwrap();
        let mut stopped = Queue::open(dir.path().join("bus.queue")).unwrap();
        let _ticket = stopped.arrive().unwrap();
        for seconds in [0.0, 0.05] {
            drop(lock_in(dir.path()).acquire(within(seconds), None).unwrap());
        }
    }

    #[test]
    fn a_free_lock_is_quick() {
        let dir = tempfile::tempdir().unwrap();
        let mut lock = lock_in(dir.path());
        let start = Instant::now();
        for _ in 0..1000 {
            drop(lock.acquire(within(5.0), None).unwrap());
        }
        // A few microseconds each, and the gap for processes outside of the queue at most every half second.
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    }

    #[test]
    fn those_behind_look_less_often_than_the_next() {
        assert_eq!([0, 1, 2, 10, 1 << 30].map(interval), [1, 1, 8, 40, 100].map(Duration::from_millis));
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
