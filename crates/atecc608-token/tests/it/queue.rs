// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes that queue for one bus, with disturbances: sudden death, stopped processes, damaged and hostile queue
//! files, older versions that use only the lock.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use atecc608_testkit::master;
use atecc608_token::bus::Bus;
use atecc608_token::config::BusLocation;
use atecc608_token::deadline::Deadline;
use nix::fcntl::{fcntl, FcntlArg};
use rustix::fs::{flock, FlockOperation};
use rustix::process::{kill_process, Pid, Signal};

const ROLE: &str = "QUEUE_TEST_ROLE";
const FOLDER: &str = "QUEUE_TEST_FOLDER";
/// Longer than any wait of these tests should take, on a slow machine too.
const LONG: Duration = Duration::from_secs(30);

/// A simulated chip in a folder of its own.
struct Place {
    folder: tempfile::TempDir,
}

/// A process in the queue. Killed when dropped.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        master::tls_image(true, true).create(&folder.path().join("chip")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a process that waits before its role.
    fn start(&self, role: &str) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "queue::helper_process", "--nocapture"])
            .env(ROLE, role)
            .env(FOLDER, self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut process = Process { child, output };
        process.expect("ready");
        process
    }

    /// Starts several and releases them at once.
    fn at_once(&self, roles: impl IntoIterator<Item = String>) -> Vec<Process> {
        let mut all: Vec<Process> = roles.into_iter().map(|role| self.start(&role)).collect();
        all.iter_mut().for_each(Process::go);
        all
    }

    /// Returns the order of the turns.
    fn turns(&self) -> Vec<String> {
        fs::read_to_string(self.path("turns")).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Process {
    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    #[track_caller]
    fn expect(&mut self, text: &str) {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "it ended without saying {text}");
            if line.trim_end().ends_with(&format!("=> {text}")) {
                return;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asserts that the process ends successfully.
    #[track_caller]
    fn finish(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(text: &str) {
    println!("=> {text}");
    std::io::stdout().flush().unwrap();
}

fn wait() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// Does something only if [`Place::start`] runs it.
#[test]
fn helper_process() {
    let (Ok(role), Ok(folder)) = (std::env::var(ROLE), std::env::var(FOLDER)) else { return };
    let folder = Path::new(&folder);
    let words: Vec<&str> = role.split(' ').collect();
    match words[..] {
        // NAME takes COUNT turns of MS milliseconds, without a pause.
        ["turns", name, count, ms] => {
            let mut bus = open(folder);
            say("ready");
            wait();
            for _ in 0..count.parse().unwrap() {
                let guard = bus.lock(Deadline::after(LONG)).unwrap();
                turn(folder, name, ms);
                drop(guard);
            }
        }
        // The same as a version without a queue.
        ["old", name, count, ms] => {
            let lock = OpenOptions::new().read(true).append(true).create(true).open(folder.join("chip.lock")).unwrap();
            say("ready");
            wait();
            for _ in 0..count.parse().unwrap() {
                let start = Instant::now();
                while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                    assert!(start.elapsed() < LONG);
                    thread::sleep(Duration::from_millis(1));
                }
                turn(folder, name, ms);
                flock(&lock, FlockOperation::Unlock).unwrap();
                thread::sleep(Duration::from_millis(2));
            }
        }
        // Locks bytes of the queue's file and holds them.
        ["bytes", start, len] => {
            let queue =
                OpenOptions::new().read(true).append(true).create(true).open(folder.join("chip.queue")).unwrap();
            let lock = lock_of(start.parse().unwrap(), len.parse().unwrap());
            fcntl(&queue, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
            say("ready");
            wait();
        }
        _ => panic!("{role}"),
    }
}

fn open(folder: &Path) -> Bus {
    Bus::open(&BusLocation::Sim(folder.join("chip")), master::ADDRESS, folder).unwrap()
}

/// A turn: asserts that no other process has one meanwhile.
fn turn(folder: &Path, name: &str, ms: &str) {
    let inside = folder.join("inside");
    let own = std::process::id().to_string();
    fs::write(&inside, &own).unwrap();
    thread::sleep(Duration::from_millis(ms.parse().unwrap()));
    assert_eq!(fs::read_to_string(&inside).unwrap(), own, "two have the bus at once");
    let mut turns = OpenOptions::new().append(true).create(true).open(folder.join("turns")).unwrap();
    turns.write_all(format!("{name}\n").as_bytes()).unwrap();
}

/// Locks and unlocks the bus once; returns the duration.
fn once(bus: &mut Bus) -> Duration {
    let start = Instant::now();
    drop(bus.lock(Deadline::after(LONG)).unwrap());
    start.elapsed()
}

#[test]
fn turns_go_round_between_processes() {
    let place = Place::new();
    let processes = place.at_once((0..6).map(|number| format!("turns {number} 20 20")));
    processes.into_iter().for_each(Process::finish);
    let turns = place.turns();
    assert_eq!(turns.len(), 120);
    // From the arrival of the last until the first has finished, each has one turn in six.
    let mut distances = Vec::new();
    for (at, name) in turns.iter().enumerate().take(90).skip(12) {
        distances.extend(turns[at + 1..].iter().position(|next| next == name));
    }
    let unfair = distances.iter().filter(|others| !(4..=6).contains(*others)).count();
    assert!(unfair * 20 <= distances.len(), "{unfair} of {}: {turns:?}", distances.len());
}

#[test]
fn killed_waiters_and_holders_do_not_delay_others() {
    let place = Place::new();
    let mut measured = place.at_once((0..2).map(|number| format!("turns measured{number} 40 10")));
    let mut victims = place.at_once((0..6).map(|number| format!("turns victim{number} 1000000 10")));
    let start = Instant::now();
    // Any order will do, but always the same.
    let mut choice = 12345_usize;
    let mut killed = 0;
    while measured.iter_mut().any(|process| process.child.try_wait().unwrap().is_none()) {
        assert!(start.elapsed() < LONG, "they do not come to an end");
        thread::sleep(Duration::from_millis(23));
        choice = choice.wrapping_mul(1_103_515_245).wrapping_add(12345);
        let (victim, how_many) = (choice >> 16, victims.len());
        victims[victim % how_many].signal(Signal::KILL);
        victims[victim % how_many] = place.start("turns successor 1000000 10");
        victims[victim % how_many].go();
        killed += 1;
    }
    measured.into_iter().for_each(Process::finish);
    assert!(killed > 10, "{killed}");
    // 40 turns of 10 ms in a queue of at most 8 are 3.2 s; each death costs at most one polling interval of a waiting
    // process.
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    assert!(place.turns().iter().filter(|name| name.starts_with("measured")).count() == 80);
}

#[test]
fn a_process_that_is_stopped_while_it_waits_holds_another_up_once() {
    let place = Place::new();
    let (mut bus, mut other) = (open(place.folder.path()), open(place.folder.path()));
    let holding = bus.lock(Deadline::after(LONG)).unwrap();
    let mut stopped = place.start("turns stopped 1 0");
    stopped.go();
    let start = Instant::now();
    // This process has the first number.
    while !is_locked(&place.path("chip.queue"), 1) {
        assert!(start.elapsed() < LONG, "it does not queue");
        thread::sleep(Duration::from_millis(1));
    }
    stopped.signal(Signal::STOP);
    let stat = format!("/proc/{}/stat", stopped.child.id());
    while !fs::read_to_string(&stat).unwrap().contains(") T ") {
        thread::sleep(Duration::from_millis(1));
    }
    drop(holding);
    assert!(other.try_lock().unwrap().is_none(), "it is the other's turn");
    let (first, second) = (once(&mut other), once(&mut other));
    assert!(first > Duration::from_millis(300) && first < Duration::from_secs(5), "{first:?}");
    assert!(second < Duration::from_millis(300), "{second:?}");
    stopped.signal(Signal::CONT);
    stopped.finish();
}

/// Whether another process has locked this byte.
fn is_locked(queue: &Path, byte: libc::off_t) -> bool {
    let file = File::open(queue).unwrap();
    let mut lock = lock_of(byte, 1);
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)).unwrap();
    i32::from(lock.l_type) != libc::F_UNLCK
}

fn lock_of(start: libc::off_t, len: libc::off_t) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

#[test]
fn whatever_the_queue_file_is_the_bus_can_be_locked() {
    let prepare: [fn(&Path); 4] = [
        |queue| fs::write(queue, [0xff; 100_000]).unwrap(),
        |queue| fs::write(queue, "99999999999999999999\n").unwrap(),
        |queue| fs::create_dir(queue).unwrap(),
        |queue| std::os::unix::fs::symlink("elsewhere", queue).unwrap(),
    ];
    for prepare in prepare {
        let place = Place::new();
        prepare(&place.path("chip.queue"));
        let processes = place.at_once((0..3).map(|number| format!("turns {number} 10 5")));
        processes.into_iter().for_each(Process::finish);
        assert_eq!(place.turns().len(), 30);
        assert!(!place.path("elsewhere").exists());
    }
}

#[test]
fn a_queue_file_that_is_truncated_written_and_replaced_all_the_time_changes_nothing() {
    let place = Place::new();
    let queue = place.path("chip.queue");
    let mut processes = place.at_once((0..4).map(|number| format!("turns {number} 25 5")));
    let start = Instant::now();
    for round in 0_u32.. {
        assert!(start.elapsed() < LONG, "they do not come to an end");
        match round % 3 {
            0 => fs::write(&queue, format!("{round}").repeat(100)).unwrap(),
            1 => File::create(&queue).unwrap().set_len(0).unwrap(),
            _ => fs::remove_file(&queue).unwrap(),
        }
        thread::sleep(Duration::from_millis(3));
        if processes.iter_mut().all(|process| process.child.try_wait().unwrap().is_some()) {
            break;
        }
    }
    processes.into_iter().for_each(Process::finish);
    assert_eq!(place.turns().len(), 100);
}

#[test]
fn a_process_that_keeps_bytes_of_the_queue_locked_does_not_block_the_bus() {
    // The first, some, all, and all from a number on that is soon reached.
    for bytes in ["0 1", "0 1000", "0 0", "3 0", "2147483646 1", "4611686018427387904 1000"] {
        if cfg!(target_pointer_width = "32") && bytes.len() > 14 {
            continue;
        }
        let place = Place::new();
        let _hostile = place.start(&format!("bytes {bytes}"));
        let start = Instant::now();
        let processes = place.at_once((0..3).map(|number| format!("turns {number} 10 5")));
        processes.into_iter().for_each(Process::finish);
        // Each notices once, after half a second, that the process at the front does not use the bus.
        assert!(start.elapsed() < Duration::from_secs(10), "{bytes}: {:?}", start.elapsed());
        assert_eq!(place.turns().len(), 30);
    }
}

#[test]
fn versions_that_know_no_queue_and_this_one_get_their_turns() {
    let place = Place::new();
    let roles = (0..3).map(|number| format!("turns new{number} 30 10"));
    let processes = place.at_once(roles.chain((0..3).map(|number| format!("old old{number} 30 10"))));
    processes.into_iter().for_each(Process::finish);
    let mut counts = BTreeMap::new();
    place.turns().into_iter().for_each(|name| *counts.entry(name).or_insert(0) += 1);
    assert!(counts.len() == 6 && counts.values().all(|count| *count == 30), "{counts:?}");
}

#[test]
fn an_old_version_gets_its_turns_beside_one_that_signs_all_the_time() {
    let place = Place::new();
    let _busy = place.at_once(["turns busy 1000000 10".to_owned()]);
    let start = Instant::now();
    place.at_once(["old old 5 1".to_owned()]).into_iter().for_each(Process::finish);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
fn a_process_with_the_old_lock_file_waits_for_one_with_the_new_file() {
    let place = Place::new();
    let mut early = open(place.folder.path());
    drop(early.lock(Deadline::after(LONG)).unwrap());
    fs::remove_file(place.path("chip.lock")).unwrap();
    fs::remove_file(place.path("chip.queue")).unwrap();
    let mut late = open(place.folder.path());
    let holding = late.lock(Deadline::after(LONG)).unwrap();
    assert!(early.lock(Deadline::after(Duration::from_millis(50))).is_err());
    assert!(early.try_lock().unwrap().is_none());
    drop(holding);
    assert!(early.try_lock().unwrap().is_some());
}

#[test]
fn the_deadline_is_kept_wherever_in_the_queue() {
    let place = Place::new();
    let mut holder = open(place.folder.path());
    let holding = holder.lock(Deadline::after(LONG)).unwrap();
    thread::scope(|scope| {
        for number in 0..5 {
            let mut bus = open(place.folder.path());
            scope.spawn(move || {
                let start = Instant::now();
                let error = bus.lock(Deadline::after(Duration::from_millis(150))).err().unwrap();
                let waited = start.elapsed();
                assert!(
                    waited >= Duration::from_millis(150) && waited < Duration::from_secs(3),
                    "{number}: {waited:?}"
                );
                assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
            });
        }
    });
    drop(holding);
    assert!(once(&mut holder) < Duration::from_secs(1));
}
