// SPDX-License-Identifier: MIT OR Apache-2.0
//! A simulator is killed while its chip is provisioned (DESIGN.md section 6): every block of the EEPROM is the old one
//! or the new one, and the next run finishes.
//!
//! The tool talks to the server's process through a [`Tap`], which records the transfers. The same transfers, replayed
//! to a chip in memory with the same seed, give the EEPROM before the interrupted write, and after it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::{stderr, stdout, Bench};
use atecc608::Chip;
use atecc608_sim::image::Part;
use atecc608_sim::server::Server;
use atecc608_sim::transfer::{read_result, write_result, Request, Segment, Verb};
use atecc608_sim::{Faults, Image, Profile, SimBus, SimChip, Timing};
use atecc608_testkit::built;
use atecc608_testkit::master::{slot, tls_image, ADDRESS, OK, SERIAL};
use atecc608_token::bus::{host_random, Bus};
use atecc608_token::pin::code::RecoveryCode;
use atecc608_token::profile;

const SEED: u64 = 8;
/// More than tWHI.
const WAKE_DELAY: Duration = Duration::from_millis(2);
const SIGKILL: i32 = 9;

/// The transfers to the chip: those with a response, and the one without.
#[derive(Default)]
struct Heard {
    answered: Vec<Vec<Segment>>,
    cut_off: Option<Vec<Segment>>,
}

/// A socket in front of the simulator's.
struct Tap {
    heard: Arc<Mutex<Heard>>,
}

impl Tap {
    fn new(socket: &Path, simulator: PathBuf) -> Self {
        let heard = Arc::<Mutex<Heard>>::default();
        let listener = UnixListener::bind(socket).unwrap();
        let shared = heard.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (simulator, heard) = (simulator.clone(), shared.clone());
                // Both ends are closed if either is: a client of a dead simulator is disconnected, too.
                thread::spawn(move || relay(client?, &simulator, &heard));
            }
        });
        Self { heard }
    }

    fn take(&self) -> Heard {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

fn relay(mut client: UnixStream, simulator: &Path, heard: &Mutex<Heard>) -> std::io::Result<()> {
    let mut simulator = UnixStream::connect(simulator)?;
    while let Some(request) = Request::read_from(&mut client)? {
        let Request::Transfer(segments) = &request else { panic!("the tool sends transfers only") };
        let reads: Vec<u16> = segments
            .iter()
            .filter_map(|segment| match segment {
                Segment::Read { len, .. } => Some(*len),
                Segment::Write { .. } => None,
            })
            .collect();
        // What follows an interrupted transfer goes to a dying process.
        heard.lock().unwrap().cut_off.get_or_insert_with(|| segments.clone());
        request.write_to(&mut simulator)?;
        let result = read_result(&mut simulator, &reads)?;
        let mut heard = heard.lock().unwrap();
        heard.cut_off = None;
        heard.answered.push(segments.clone());
        write_result(&mut client, &result, segments.len() as u8)?;
    }
    Ok(())
}

/// The EEPROM before and after the interrupted transfer.
fn replayed(heard: &Heard) -> (Image, Image) {
    let bus = SimBus::with_timing(100_000, Timing::Fast);
    bus.add_chip(SimChip::from_image(blank()));
    bus.seed(SEED);
    for segments in &heard.answered {
        if bus.transfer(segments).is_err() {
            // Between two transfers the chip may have woken by accident, which takes it a while.
            std::thread::sleep(WAKE_DELAY);
        }
    }
    let before = bus.image(0).unwrap();
    let _ = bus.transfer(heard.cut_off.as_deref().unwrap_or(&[]));
    (before, bus.image(0).unwrap())
}

fn blank() -> Image {
    Profile::Blank608B.image(SERIAL, ADDRESS)
}

/// A chip's image, a server's socket and the tap before it in one folder, to be provisioned with this profile.
struct Workshop {
    profile: &'static str,
    bench: Bench,
    tap: Tap,
}

/// `atecc608-sim serve`, killed when dropped.
struct Simulator(Child);

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Workshop {
    fn new(profile: &'static str) -> Self {
        let bench = Bench::with_config(|dir| format!("bus = \"unix:{}/tap\"\n", dir.display()));
        blank().create(&bench.chip_file()).unwrap();
        let tap = Tap::new(&bench.path("tap"), bench.path("socket"));
        Self { profile, bench, tap }
    }

    fn serve(&self, faults: &str) -> Simulator {
        let mut command = Command::new(built::simulator());
        command.args(["serve", "--timing", "fast", "--faults", faults, "--seed", &SEED.to_string(), "--socket"]);
        command.arg(self.bench.path("socket")).arg("--state").arg(self.bench.chip_file());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on"), "{line}");
        Simulator(child)
    }

    fn provision(&self) -> Output {
        self.bench.run(&["provision", self.profile, "--lock-forever"])
    }

    /// What the killed process left in the file, which can be opened.
    fn image(&self) -> Image {
        Image::load(&self.bench.chip_file()).unwrap()
    }

    /// One run with a kill at a block, and one after it. Returns false if fewer blocks are programmed.
    fn killed_at(&self, block: usize, moment: &str) -> bool {
        let case = format!("kill@{block}:{moment}");
        let mut simulator = self.serve(&case);
        let first = self.provision();
        let heard = self.tap.take();
        if first.status.success() {
            assert!(simulator.0.try_wait().unwrap().is_none() && heard.cut_off.is_none(), "{case}");
            return false;
        }
        let status: ExitStatus = simulator.0.wait().unwrap();
        assert_eq!(status.signal(), Some(SIGKILL), "{case}: {status}");
        let text = stderr(&first);
        assert!(text.contains("the I2C bus failed") && text.contains("run the same command again"), "{case}: {text}");

        let (old, new) = replayed(&heard);
        assert!(old != new, "{case}: nothing was being programmed");
        let left = self.image();
        let expected = if moment == "renamed" { &new } else { &old };
        assert!(left == *expected, "{case}: {}", difference(&left, expected));

        // The kill left its socket, its lock file and perhaps half an image beside the complete one.
        let _next = self.serve("none");
        let again = self.provision();
        assert!(again.status.success(), "{case}: {}", stderr(&again));
        let image = self.assert_provisioned(&case);
        match self.profile {
            "tls" => assert_words_of_tls(&image, &case),
            _ => assert_last_code(&image, [&first, &again], &case),
        }
        true
    }

    fn assert_provisioned(&self, case: &str) -> Image {
        let image = self.image();
        assert!(image.config().config_locked() && image.config().data_locked(), "{case}");
        assert_eq!(profile::matching(&image.config()).unwrap().name, self.profile, "{case}");
        assert_eq!(fs::read(self.bench.key_file()).unwrap(), image.part(Part::Slot(slot(6)))[..32], "{case}: IO key");
        assert!(!self.bench.path(".chip.new").exists(), "{case}: half an image is left over");
        image
    }
}

fn assert_words_of_tls(image: &Image, case: &str) {
    let (config, wanted) = (image.part(Part::Config), tls_image(true, true));
    assert_eq!(config[20..52], wanted.part(Part::Config)[20..52], "{case}: SlotConfig");
    assert_eq!(config[90..], wanted.part(Part::Config)[90..], "{case}: ChipOptions and KeyConfig");
}

/// For `tls-pin`: the recovery code that was printed last matches the secret in slot 7.
fn assert_last_code(image: &Image, runs: [&Output; 2], case: &str) {
    let texts = runs.map(stdout);
    let code = texts.iter().flat_map(|text| text.lines()).rev().find_map(|line| RecoveryCode::parse(line.as_bytes()));
    let secret = code.unwrap_or_else(|| panic!("{case}: no recovery code")).secret(&SERIAL);
    assert_eq!(image.part(Part::Slot(slot(7)))[..32], secret[..], "{case}: the recovery code");
}

/// Where two images differ, for a message.
fn difference(left: &Image, expected: &Image) -> String {
    let slots = (0..16).map(|number| Part::Slot(slot(number)));
    let parts: Vec<Part> = [Part::Config, Part::Otp]
        .into_iter()
        .chain(slots)
        .filter(|part| left.part(*part) != expected.part(*part))
        .collect();
    format!("not what it should be in {parts:?}")
}

/// Kills at the first, the second, ... block until a run finishes; returns the number of blocks. Several at once: they
/// mostly wait for the chip.
fn every_block(profile: &'static str, moment: &str) -> usize {
    let (next, survived) = (AtomicUsize::new(1), AtomicUsize::new(usize::MAX));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| loop {
                let block = next.fetch_add(1, Ordering::Relaxed);
                if !Workshop::new(profile).killed_at(block, moment) {
                    survived.fetch_min(block, Ordering::Relaxed);
                    break;
                }
            });
        }
    });
    survived.into_inner() - 1
}

/// 59 writes, two locks and a key, in both profiles.
const BLOCKS: usize = 62;

#[test]
fn killed_before_a_block_is_written_the_chip_has_the_old_one() {
    assert_eq!(every_block("tls", "before"), BLOCKS);
}

#[test]
fn killed_when_half_of_the_file_is_written_the_chip_has_the_old_block() {
    assert_eq!(every_block("tls", "half"), BLOCKS);
}

#[test]
fn killed_when_the_file_is_written_but_not_in_place_the_chip_has_the_old_block() {
    assert_eq!(every_block("tls", "synced"), BLOCKS);
}

#[test]
fn killed_when_the_file_is_in_place_the_chip_has_the_new_block() {
    assert_eq!(every_block("tls", "renamed"), BLOCKS);
}

#[test]
fn killed_while_the_secrets_of_a_pin_are_written_the_next_run_finishes_and_the_last_code_counts() {
    assert_eq!(every_block("tls-pin", "renamed"), BLOCKS);
}

#[test]
fn no_other_process_dies_by_the_fault() {
    let kill: Faults = "kill@1:before".parse().unwrap();
    let master = atecc608_testkit::master::Master::tls();
    master.bus.set_faults(kill);
    let write = write_slot_8(0, 0x77);
    assert_eq!(master.status(&write), OK);
    assert_eq!(master.bus.image(0).unwrap().part(Part::Slot(slot(8)))[..32], [0x77; 32]);

    // A server in a thread of another process.
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bus");
    let server = Server::on_bus(master.bus.clone(), &socket).unwrap();
    thread::spawn(move || server.run());
    let mut stream = UnixStream::connect(&socket).unwrap();
    let spec = r#"{"spec":"kill@1:before"}"#.to_owned();
    Request::Control(Verb::Faults as u8, spec).write_to(&mut stream).unwrap();
    let answer = atecc608_sim::transfer::read_control_reply(&mut stream).unwrap();
    assert!(answer.contains("kill@N works only with atecc608-sim serve"), "{answer}");
    assert_eq!(master.status(&write_slot_8(0, 0x78)), OK);
}

fn write_slot_8(block: u8, byte: u8) -> atecc608_wire::commands::Write {
    use atecc608_wire::commands::Write;
    use atecc608_wire::zone::{Address, Zone};
    Write::block(Zone::Data, Address::slot(slot(8), block, 0), [byte; 32])
}

/// Set in [`helper_process`]: the image file it writes to.
const HELPER: &str = "SIM_TEST_IMAGE";

fn open(image: &Path) -> Chip<Bus> {
    Chip::new(Bus::open_simulated(image, ADDRESS).unwrap().0, host_random)
}

/// The test's own executable as another process: fills slot 8 with the next number, and so on, until it is killed. It
/// does nothing in the test.
#[test]
fn helper_process() {
    let Some(image) = std::env::var_os(HELPER) else { return };
    let mut chip = open(Path::new(&image));
    let first = chip.converse(|awake| awake.read_slot(slot(8), 1)).unwrap()[0];
    for number in 1.. {
        chip.write_slot(slot(8), &[first.wrapping_add(number); 416]).unwrap();
    }
}

#[test]
fn killed_with_the_chip_in_its_own_process_a_program_leaves_old_or_new_blocks_and_a_free_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chip");
    tls_image(true, true).create(&path).unwrap();
    open(&path).write_slot(slot(8), &[0; 416]).unwrap();
    let numbers = || -> Vec<u8> {
        let image = Image::load(&path).unwrap();
        let blocks = image.part(Part::Slot(slot(8))).chunks(32);
        blocks
            .map(|block| {
                assert!(block.iter().all(|byte| *byte == block[0]), "a mixed block: {block:02X?}");
                block[0]
            })
            .collect()
    };
    for round in 0..26 {
        let before = numbers();
        let mut helper = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "power_loss::helper_process"])
            .env(HELPER, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // When a block that changes each time has changed; the position of the helper by then is random.
        while numbers()[round % 13] == before[round % 13] {
            assert!(helper.try_wait().unwrap().is_none(), "the helper writes until it is killed");
            thread::yield_now();
        }
        helper.kill().unwrap();
        helper.wait().unwrap();

        // Blocks are written in order: the new number up to some block, the previous one from there on.
        let left = numbers();
        let new = left.iter().take_while(|number| **number == left[0]).count();
        assert!(left[new..].iter().all(|number| *number == left[0].wrapping_sub(1)), "{left:?}");
        // Half an image beside the complete one, and an unlocked lock file, cause no failure.
        let mut chip = open(&path);
        let read = chip.converse(|awake| awake.read_slot(slot(8), 416)).unwrap();
        assert_eq!(read.chunks(32).map(|block| block[0]).collect::<Vec<_>>(), left);
        chip.write_slot(slot(8), &[left[0]; 416]).unwrap();
        assert!(!folder.path().join(".chip.new").exists());
    }
}
