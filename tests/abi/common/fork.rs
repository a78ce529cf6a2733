// SPDX-License-Identifier: MIT OR Apache-2.0
//! Forked children of the test's own process.

use std::fs;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

/// Even on a busy machine, a child that does not end in this time hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A forked child; it has to be waited for with [`Child::ends_well`].
#[must_use]
pub struct Child(libc::pid_t);

/// Runs `work` in a forked process, which succeeds if it returns true.
pub fn fork(work: impl FnOnce() -> bool) -> Child {
    let pid = unsafe { libc::fork() };
    child(pid, work)
}

/// The same with the system call, as container runtimes and checkpointing do: no fork handler runs, not even the
/// allocator's. So no other thread may run in this process meanwhile.
pub fn raw_fork(work: impl FnOnce() -> bool) -> Child {
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    child(pid as libc::pid_t, work)
}

fn child(pid: libc::pid_t, work: impl FnOnce() -> bool) -> Child {
    if pid == 0 {
        let good = catch_unwind(AssertUnwindSafe(work)).unwrap_or(false);
        unsafe { libc::_exit(i32::from(!good)) };
    }
    assert!(pid > 0);
    Child(pid)
}

impl Child {
    /// Waits for its end. One that hangs is killed.
    #[track_caller]
    pub fn ends_well(self) {
        let end = Instant::now() + LIMIT;
        let mut status = -1;
        while unsafe { libc::waitpid(self.0, &mut status, libc::WNOHANG) } == 0 {
            if Instant::now() > end {
                unsafe { libc::kill(self.0, libc::SIGKILL) };
                unsafe { libc::waitpid(self.0, &mut status, 0) };
                panic!("the child hangs");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(status, 0, "the child failed");
    }
}

/// Runs `work` in a forked process, and waits for it.
#[track_caller]
pub fn in_a_child(work: impl FnOnce() -> bool) {
    fork(work).ends_well();
}

/// The number of lock files in this folder that the process has open.
pub fn open_locks(folder: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links
        .filter(|link| link.starts_with(folder) && link.extension().is_some_and(|extension| extension == "lock"))
        .count()
}
