//! What belongs to one process: its privileges, its locks in a forked child, and state that a child may not wait for.
//!
//! System calls that have no safe wrapper: here, and for memory in `memory`.
//!
//! # State of one process
//!
//! A child of `fork` inherits every lock as it was at that moment: one that another thread of the parent held
//! then is never released in the child. So process-wide state of this library is never one static behind one lock.
//! It is a list without locks that only grows, with one element per process on the way from the first user of the library
//! down to this one (a single element, nearly always). A child adds an element of its own, with fresh locks, and
//! leaves its ancestors' elements alone.
#![allow(unsafe_code, reason = "getauxval, pthread_atfork and what its handler may call have no safe wrapper")]

use std::sync::atomic::{AtomicBool, Ordering};

use once_cell::race::OnceBox;

use crate::bus::{open_lock_descriptors, LockDescriptor};

/// Returns whether this process has more rights than the user who started it (setuid, setgid, file capabilities), so that
/// its environment can't be trusted. The kernel decides (AT_SECURE).
pub fn is_privileged() -> bool {
    // SAFETY: getauxval only reads what the kernel gave the process at its start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Makes every child that is forked from now on release the locks of the buses: it inherits the descriptors, and with them
/// a lock that its parent may die holding. Unloading the library removes the handler (glibc ties it to the library).
pub fn release_locks_in_children() {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.swap(true, Ordering::AcqRel) {
        // SAFETY: the handler is a function of this library that does only what a child may do, see there.
        let error = unsafe { libc::pthread_atfork(None, None, Some(release_locks)) };
        if error != 0 {
            log::warn!("pthread_atfork: {}: a forked child may keep a lock", std::io::Error::from_raw_os_error(error));
        }
    }
}

/// The child's side: every lock's descriptor becomes one of /dev/null. It stays open, since it still belongs to a
/// `File` in the memory that the child inherited. A descriptor that is another file's by now is the application's.
unsafe extern "C" fn release_locks() {
    // SAFETY: open, fstat, dup3 and close are async-signal-safe, the path is a constant that ends with NUL, and the
    // structure is read only after fstat has filled it.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if null < 0 {
            return;
        }
        for LockDescriptor { number, identity } in open_lock_descriptors() {
            let mut now = std::mem::MaybeUninit::<libc::stat64>::uninit();
            if libc::fstat64(number, now.as_mut_ptr()) == 0 {
                let now = now.assume_init_ref();
                if (now.st_dev, now.st_ino) == identity {
                    libc::dup3(null, number, libc::O_CLOEXEC);
                }
            }
        }
        libc::close(null);
    }
}

/// One `T` for each process that uses the library, this one and the ancestors it was forked from.
pub struct PerProcess<T> {
    first: OnceBox<Node<T>>,
}

struct Node<T> {
    pid: u32,
    value: T,
    next: OnceBox<Node<T>>,
}

impl<T> PerProcess<T> {
    /// No process has a value yet.
    pub const fn new() -> Self {
        Self { first: OnceBox::new() }
    }

    fn last(&self) -> Option<&Node<T>> {
        let mut last = self.first.get()?;
        while let Some(next) = last.next.get() {
            last = next;
        }
        Some(last)
    }

    /// This process's value, if it has one already.
    pub fn own(&self) -> Option<&T> {
        self.last().filter(|node| node.pid == std::process::id()).map(|node| &node.value)
    }

    /// The value of the nearest ancestor that had one, as it was at the moment of the fork, if this process has none
    /// of its own yet. Any lock in it may be held for ever.
    pub fn inherited(&self) -> Option<&T> {
        self.last().filter(|node| node.pid != std::process::id()).map(|node| &node.value)
    }

    /// This process's value, made now if it has none. `make` may run in several threads at once; one result is kept.
    pub fn own_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let pid = std::process::id();
        let end = match self.last() {
            Some(node) if node.pid == pid => return &node.value,
            Some(node) => &node.next,
            None => &self.first,
        };
        &end.get_or_init(|| Box::new(Node { pid, value: make(), next: OnceBox::new() })).value
    }
}

impl<T> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::config::{Config, CONF_VARIABLE};

    /// Set for a process that reports what it thinks of itself.
    const HELPER: &str = "ATECC608_PROCESS_HELPER";

    /// Nothing by itself: what [`a_setgid_process_ignores_the_environment`] starts.
    #[test]
    fn helper_process() {
        if std::env::var_os(HELPER).is_some() {
            let path = Config::load(!is_privileged()).unwrap().path;
            println!("privileged {}, configuration {path:?}", is_privileged());
        }
    }

    #[test]
    fn a_setgid_process_ignores_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let (program, conf) = (dir.path().join("program"), dir.path().join("named-by-the-environment.toml"));
        std::fs::write(&conf, "").unwrap();
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let run = || {
            let mut command = Command::new(&program);
            command.args(["--exact", "process::tests::helper_process", "--nocapture"]).env(HELPER, "1");
            let output = command.env(CONF_VARIABLE, &conf).stderr(Stdio::inherit()).output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        };
        let plain = run();
        assert!(plain.contains("privileged false") && plain.contains("named-by-the-environment"), "{plain}");

        if !atecc608_testkit::privileged::make_setgid(&program) {
            return;
        }
        let setgid = run();
        assert!(setgid.contains("privileged true") && !setgid.contains("named-by-the-environment"), "{setgid}");
    }

    #[test]
    fn one_value_per_process() {
        let values = PerProcess::new();
        assert_eq!(values.own(), None);
        assert_eq!(values.inherited(), None);
        assert_eq!(values.own_or_init(|| 1), &1);
        assert_eq!(values.own_or_init(|| 2), &1);
        assert_eq!(values.own(), Some(&1));
        assert_eq!(values.inherited(), None);
    }

    #[test]
    fn an_ancestors_value_is_inherited_until_the_child_has_its_own() {
        let values = PerProcess::new();
        let parent = Node { pid: std::process::id() + 1, value: 1, next: OnceBox::new() };
        assert!(values.first.set(Box::new(parent)).is_ok());
        assert_eq!(values.own(), None);
        assert_eq!(values.inherited(), Some(&1));
        assert_eq!(values.own_or_init(|| 2), &2);
        assert_eq!(values.own(), Some(&2));
        assert_eq!(values.inherited(), None);
    }
}
