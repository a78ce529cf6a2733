// SPDX-License-Identifier: MIT OR Apache-2.0
//! State and properties of one process: its privileges, its signals, its locks in a forked child, and state without
//! locks that a child could wait for.
//!
//! System calls without a safe wrapper are here, and those for memory in `memory`.
//!
//! # State of one process
//!
//! A child of `fork` inherits every lock as it was at that moment: one that another thread of the parent held then is
//! never released in the child. So process-wide state of this library is never a static behind a lock. It is a
//! lock-free list that only grows, with one element per process from the first user of the library down to this one
//! (nearly always a single element). A child adds its own element, with fresh locks, and does not touch its ancestors'
//! elements.
//!
//! # Which process this is
//!
//! Each process has a number that none of its ancestors had. It is in a page that the kernel fills with zeros in every
//! child with memory of its own, made by `fork`, or by a direct `clone` system call, which runs no fork handlers. The
//! process id is not sufficient: in another pid namespace a child may have its parent's id. A child that shares its
//! parent's memory (`vfork`) counts as its parent.
#![allow(
    unsafe_code,
    reason = "getauxval, madvise, pthread_atfork and what its handler may call, and I2C_FUNCS have no safe wrapper"
)]

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use once_cell::race::OnceBox;

use crate::bus::{open_lock_descriptors, LockDescriptor};

/// Returns whether this process has more rights than the user who started it (setuid, setgid, file capabilities), so
/// that its environment must not be trusted. The kernel decides (AT_SECURE).
pub fn is_privileged() -> bool {
    // SAFETY: getauxval only reads what the kernel gave the process at its start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Returns the functions of an I2C adapter, as the bits I2C_FUNC_ of linux/i2c.h. `node` is the adapter's open node.
///
/// # Errors
/// An I/O error of the ioctl; ENOTTY if it is not such a node.
pub(crate) fn i2c_functions(node: &impl AsRawFd) -> io::Result<libc::c_ulong> {
    /// linux/i2c-dev.h
    const I2C_FUNCS: u32 = 0x0705;
    let mut functions: libc::c_ulong = 0;
    // SAFETY: I2C_FUNCS stores an unsigned long at the address, which is that of an exclusively borrowed one.
    match unsafe { libc::ioctl(node.as_raw_fd(), I2C_FUNCS as _, std::ptr::from_mut(&mut functions)) } {
        0 => Ok(functions),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns device and inode of the file behind a descriptor, `None` if there is none. Async-signal-safe.
pub(crate) fn identity_of(descriptor: RawFd) -> Option<(u64, u64)> {
    let mut stat = std::mem::MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: the structure is read only after fstat has filled it.
    unsafe {
        (libc::fstat64(descriptor, stat.as_mut_ptr()) == 0).then(|| {
            let stat = stat.assume_init_ref();
            (stat.st_dev, stat.st_ino)
        })
    }
}

/// Blocks signals to this thread while it exists. It must be dropped in the thread that created it.
pub(crate) struct HeldSignals {
    /// The mask before; `None` if no signals could be blocked.
    before: Option<SigSet>,
    _of_this_thread: PhantomData<*const ()>,
}

impl HeldSignals {
    /// Blocks all signals that can be blocked, except those that a thread sends itself by a fault.
    pub fn new() -> Self {
        let mut held = SigSet::all();
        for fault in [Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGSEGV, Signal::SIGSYS, Signal::SIGTRAP]
        {
            held.remove(fault);
        }
        Self { before: held.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok(), _of_this_thread: PhantomData }
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = before.thread_set_mask();
        }
    }
}

/// A process with its own memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    /// From 1. Unique among its ancestors.
    number: usize,
    /// Its id, if the kernel does not wipe the page with the number; else 0.
    pid: u32,
}

impl Process {
    /// Returns the calling process.
    fn current() -> Self {
        let page = NumberPage::get();
        let pid = if page.wiped { 0 } else { std::process::id() };
        let number = match page.number.load(Ordering::Acquire) {
            0 => Self::arrive(page.number),
            number => number,
        };
        Self { number, pid }
    }

    /// The first call in a process: assigns its number.
    fn arrive(place: &AtomicUsize) -> usize {
        // A child has its own copy, with the value at the fork.
        static LAST: AtomicUsize = AtomicUsize::new(0);
        let number = LAST.fetch_add(1, Ordering::AcqRel) + 1;
        match place.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                // Already done if the fork handler ran.
                release_locks(number);
                number
            }
            Err(another_threads) => another_threads,
        }
    }
}

/// Returns the number of this process, which none of its ancestors has.
pub(crate) fn number() -> usize {
    Process::current().number
}

/// The page with the process's number.
struct NumberPage {
    number: &'static AtomicUsize,
    /// Whether the kernel fills it with zeros in a child (Linux 4.14).
    wiped: bool,
}

/// Largest page of a kernel, in bytes.
const MAX_PAGE: usize = 64 * 1024;
const WORD: usize = size_of::<AtomicUsize>();

/// Contains one whole page, wherever the library is loaded. It is the library's own memory, so that unloading frees it.
/// Only one page is touched.
static ROOM: [AtomicUsize; 2 * MAX_PAGE / WORD] = [const { AtomicUsize::new(0) }; 2 * MAX_PAGE / WORD];

impl NumberPage {
    /// Returns the page; the first call marks it to be wiped. Async-signal-safe afterwards.
    fn get() -> Self {
        // Every C function comes here, so the page size is read once. Bits: chosen, wiped; above them the index in
        // `ROOM`.
        static CHOSEN: AtomicUsize = AtomicUsize::new(0);
        let mut chosen = CHOSEN.load(Ordering::Acquire);
        if chosen == 0 {
            let (first, wiped) = Self::choose();
            chosen = first << 2 | usize::from(wiped) << 1 | 1;
            CHOSEN.store(chosen, Ordering::Release);
        }
        Self { number: &ROOM[chosen >> 2], wiped: chosen & 2 != 0 }
    }

    /// Returns the index in `ROOM` at which it begins, and whether the kernel wipes it.
    fn choose() -> (usize, bool) {
        let size = rustix::param::page_size();
        // A larger page can't be wiped.
        if size > MAX_PAGE {
            return (0, false);
        }
        let start = ROOM.as_ptr() as usize;
        let first = (start.next_multiple_of(size) - start) / WORD;
        (first, wipe_in_children(&ROOM[first], size))
    }
}

/// Makes the kernel fill the page that starts with this number with zeros in children. Returns `true` if it does.
fn wipe_in_children(first: &'static AtomicUsize, size: usize) -> bool {
    // SAFETY: the page lies within `ROOM`, where nothing else is, and 0 is a valid value of all its contents. In this
    // process nothing changes.
    unsafe { libc::madvise(first.as_ptr().cast(), size, libc::MADV_WIPEONFORK) == 0 }
}

/// Makes every child of `fork` release the bus locks from now on: it inherits the descriptors, and with them a lock
/// that its parent may die holding. Unloading the library removes the handler (glibc ties it to the library). A child
/// of another system call releases them in its first call.
pub fn release_locks_in_children() {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.swap(true, Ordering::AcqRel) {
        // The handler requires an initialised page.
        NumberPage::get();
        // SAFETY: the handler is a function of this library that does only what a child may do; see there.
        let error = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if error != 0 {
            log::warn!("pthread_atfork: {}: a forked child may keep a lock", std::io::Error::from_raw_os_error(error));
        }
    }
}

/// The child's side of `fork`. It may only call async-signal-safe functions.
unsafe extern "C" fn in_child() {
    // If the kernel wipes the page, it is already zero.
    NumberPage::get().number.store(0, Ordering::Release);
    release_locks(0);
}

/// Redirects the descriptors of locks of other processes than `number` to /dev/null. They stay open, because they still
/// belong to `File`s in the inherited memory. A descriptor that refers to another file by now belongs to the
/// application.
fn release_locks(number: usize) {
    // SAFETY: open, dup3 and close are async-signal-safe, and the path is a constant that ends with NUL.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if null < 0 {
            return;
        }
        for LockDescriptor { descriptor, identity, .. } in open_lock_descriptors().filter(|lock| lock.process != number)
        {
            if identity_of(descriptor) == Some(identity) {
                libc::dup3(null, descriptor, libc::O_CLOEXEC);
            }
        }
        libc::close(null);
    }
}

/// One `T` for each process that uses the library: this one and the ancestors it was forked from.
pub struct PerProcess<T> {
    first: OnceBox<Node<T>>,
}

struct Node<T> {
    process: Process,
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

    /// Returns this process's value, if it has one.
    pub fn own(&self) -> Option<&T> {
        self.last().filter(|node| node.process == Process::current()).map(|node| &node.value)
    }

    /// Returns the value of the nearest ancestor that had one, as it was at the fork, if this process has none of its
    /// own. Any lock in it may be held for ever.
    pub fn inherited(&self) -> Option<&T> {
        self.last().filter(|node| node.process != Process::current()).map(|node| &node.value)
    }

    /// Returns this process's value, created now if it has none. `make` may run in several threads at once; one result
    /// is kept.
    pub fn own_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let process = Process::current();
        let end = match self.last() {
            Some(node) if node.process == process => return &node.value,
            Some(node) => &node.next,
            None => &self.first,
        };
        &end.get_or_init(|| Box::new(Node { process, value: make(), next: OnceBox::new() })).value
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

    /// Set for a process that reports its own properties.
    const HELPER: &str = "ATECC608_PROCESS_HELPER";

    /// Does nothing by itself: [`a_setgid_process_ignores_the_environment`] starts it.
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
    fn the_kernel_wipes_the_number_in_children() {
        assert!(NumberPage::get().wiped, "Linux 4.14");
        assert_eq!(NumberPage::get().number.as_ptr() as usize % rustix::param::page_size(), 0);
        assert_eq!(number(), number());
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
        let process = Process { number: number() + 1, pid: std::process::id() };
        let parent = Node { process, value: 1, next: OnceBox::new() };
        assert!(values.first.set(Box::new(parent)).is_ok());
        assert_eq!(values.own(), None);
        assert_eq!(values.inherited(), Some(&1));
        assert_eq!(values.own_or_init(|| 2), &2);
        assert_eq!(values.own(), Some(&2));
        assert_eq!(values.inherited(), None);
    }
}
