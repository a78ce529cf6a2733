// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two wires of a simulated I2C bus, with the chips on it.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::chip::{Environment, ExecutionTimes, SimChip};
use super::faults::Faults;
use super::image::Image;
use super::line::DataLine;
use super::random::Dice;
use super::stats::Stats;
use super::switches::Switches;
use crate::transfer::{Segment, TransferFault, TransferResult, MAX_SEGMENTS};

/// The time since the supply was switched on when the bus is created: longer than the power-up time.
const SUPPLIED_FOR: Duration = Duration::from_secs(1);

/// The clock of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// A virtual clock, advanced by transfers and delays without waiting.
    Virtual,
    /// The real clock: transfers and delays take their time.
    Real,
    /// The real clock, but execution and the bus's bits take no time, and there is no watchdog; the nominal times are
    /// still counted. tWHI applies only after an accidental wake, which a master that polls a sleeping chip must
    /// notice.
    Fast,
}

/// A handle to a simulated bus; clones share the bus.
#[derive(Clone)]
pub struct SimBus {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    i2c_hz: u32,
    timing: Timing,
    times: ExecutionTimes,
    started: Instant,
    now: Duration,
    chips: Vec<SimChip>,
    stats: Stats,
    faults: Faults,
    dice: Dice,
    seed: Option<u64>,
    powered: bool,
    inserted: bool,
    owns_process: bool,
}

impl SimBus {
    /// A bus in virtual time.
    pub fn new(i2c_hz: u32) -> Self {
        Self::with_timing(i2c_hz, Timing::Virtual)
    }

    /// A bus with this clock.
    pub fn with_timing(i2c_hz: u32, timing: Timing) -> Self {
        let times = if timing == Timing::Fast { ExecutionTimes::Zero } else { ExecutionTimes::Drawn };
        let inner = Inner {
            i2c_hz: i2c_hz.max(1),
            timing,
            times,
            started: Instant::now(),
            now: SUPPLIED_FOR,
            chips: Vec::new(),
            stats: Stats::default(),
            faults: Faults::none(),
            dice: Dice(0x608),
            seed: None,
            powered: true,
            inserted: true,
            owns_process: false,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Puts a chip on the bus. Chips at the same address respond together, as on a real bus.
    pub fn add_chip(&self, mut chip: SimChip) {
        let mut inner = self.inner.lock();
        if let Some(seed) = inner.seed {
            chip.seed(seed.wrapping_add(inner.chips.len() as u64));
        }
        chip.set_faults(&inner.faults);
        inner.chips.push(chip);
    }

    /// Makes times and the chips' random numbers reproducible: for tests only.
    pub fn seed(&self, seed: u64) {
        let mut inner = self.inner.lock();
        inner.seed = Some(seed);
        inner.dice = Dice(seed);
        for (number, chip) in (0..).zip(&mut inner.chips) {
            chip.seed(seed.wrapping_add(number));
        }
    }

    /// Sets how long commands take from now on; no effect with [`Timing::Fast`].
    pub fn set_execution_times(&self, times: ExecutionTimes) {
        let mut inner = self.inner.lock();
        if inner.timing != Timing::Fast {
            inner.times = times;
        }
    }

    /// The bus's clock frequency in hertz.
    pub fn i2c_hz(&self) -> u32 {
        self.inner.lock().i2c_hz
    }

    /// Returns the time since a fixed moment before the bus was created.
    pub fn now(&self) -> Duration {
        self.inner.lock().clock()
    }

    /// Waits: virtually with virtual time, really with real time, not at all with [`Timing::Fast`].
    pub fn advance(&self, time: Duration) {
        match self.timing() {
            Timing::Virtual => self.inner.lock().now += time,
            Timing::Real => thread::sleep(time),
            Timing::Fast => {}
        }
    }

    fn timing(&self) -> Timing {
        self.inner.lock().timing
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.inner.lock().stats.clone()
    }

    /// Returns the counters and resets them to zero.
    pub fn take_stats(&self) -> Stats {
        std::mem::take(&mut self.inner.lock().stats)
    }

    /// Declares that the process exists for this bus only, so that a fault may kill it.
    pub(super) fn own_process(&self) {
        self.inner.lock().owns_process = true;
    }

    pub(super) fn owns_process(&self) -> bool {
        self.inner.lock().owns_process
    }

    /// Plans faults, replacing those planned before. A `kill` is ignored unless this is the bus of `atecc608-sim
    /// serve`, because it would kill another process.
    pub fn set_faults(&self, mut faults: Faults) {
        let mut inner = self.inner.lock();
        if !inner.owns_process {
            faults.spare_process();
        }
        for chip in &mut inner.chips {
            chip.set_faults(&faults);
        }
        inner.faults = faults;
    }

    /// Removes the chips from the bus (and from their supply).
    pub fn pull(&self) {
        self.inner.lock().set_supply(None, Some(false));
    }

    /// Inserts the chips again.
    pub fn insert(&self) {
        self.inner.lock().set_supply(None, Some(true));
    }

    /// Switches the supply off.
    pub fn power_off(&self) {
        self.inner.lock().set_supply(Some(false), None);
    }

    /// Switches the supply on.
    pub fn power_on(&self) {
        self.inner.lock().set_supply(Some(true), None);
    }

    /// Reads the image files again. The caller holds the file's lock; another process may have used the chip meanwhile.
    ///
    /// # Errors
    /// [`super::ImageError`], as an I/O error, if a file can't be read or is damaged.
    pub fn reload(&self) -> io::Result<()> {
        self.inner.lock().chips.iter_mut().try_for_each(|chip| Ok(chip.reload()?))
    }

    /// Returns a copy of a chip's EEPROM, by its index on the bus: for tests.
    pub fn image(&self, chip: usize) -> Option<Image> {
        Some(self.inner.lock().chips.get(chip)?.image().clone())
    }

    /// Replaces a chip's EEPROM, which no command can do: for tests.
    ///
    /// # Errors
    /// `NotFound` if there is no such chip; an I/O error if its image file can't be written.
    pub fn set_image(&self, chip: usize, image: Image) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let chip = inner.chips.get_mut(chip).ok_or(io::ErrorKind::NotFound)?;
        Ok(chip.set_image(image)?)
    }

    /// Sets how a chip behaves from now on where the fact sheet is uncertain.
    ///
    /// # Errors
    /// `NotFound` if there is no such chip.
    pub fn set_switches(&self, chip: usize, switches: Switches) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.chips.get_mut(chip).ok_or(io::ErrorKind::NotFound)?.set_switches(switches);
        Ok(())
    }

    /// Executes one transfer, START to STOP, with a repeated START between segments.
    ///
    /// # Errors
    /// The fault and the index of its segment; earlier segments took effect.
    pub fn transfer(&self, segments: &[Segment]) -> TransferResult {
        let mut inner = self.inner.lock();
        let result = inner.transfer(segments);
        let disk_time: Duration = inner.chips.iter_mut().map(SimChip::take_disk_time).sum();
        if inner.timing == Timing::Real {
            // The chip's clock was stopped meanwhile; else a disk that takes a second would trigger the watchdog.
            inner.started += disk_time;
            // The bus is occupied for as long as its bits take.
            thread::sleep(inner.now.saturating_sub(inner.real_time()));
        }
        result
    }
}

impl Inner {
    fn clock(&self) -> Duration {
        match self.timing {
            Timing::Real => self.now.max(self.real_time()),
            Timing::Fast => self.real_time(),
            Timing::Virtual => self.now,
        }
    }

    fn real_time(&self) -> Duration {
        SUPPLIED_FOR + self.started.elapsed()
    }

    fn set_supply(&mut self, powered: Option<bool>, inserted: Option<bool>) {
        self.powered = powered.unwrap_or(self.powered);
        self.inserted = inserted.unwrap_or(self.inserted);
        let (on, now) = (self.powered && self.inserted, self.clock());
        for chip in &mut self.chips {
            if on {
                chip.power_on(now);
            } else {
                chip.power_off();
            }
        }
    }

    fn transfer(&mut self, segments: &[Segment]) -> TransferResult {
        if segments.len() > MAX_SEGMENTS {
            return Err((TransferFault::Bus, 0));
        }
        self.now = self.clock();
        let faults = self.faults.on_transfer();
        if faults.pull || faults.insert {
            self.set_supply(None, Some(faults.insert));
        }
        if faults.power_off || faults.power_on {
            self.set_supply(Some(faults.power_on), None);
        }
        self.stats.transfers += 1;
        let now = self.now;
        self.chips.iter_mut().for_each(|chip| chip.settle(now));
        let asleep: Vec<bool> = self.chips.iter().map(SimChip::can_wake).collect();
        let mut transfer = Transfer { bus: self, line: DataLine::default(), nack: faults.nack, power_lost: false };
        // START and STOP.
        transfer.tick(2);
        let result = transfer.run(segments);
        let Transfer { line, power_lost, .. } = transfer;
        if power_lost {
            self.set_supply(Some(false), None);
            self.faults.on_power_lost();
        } else if line.wakes(self.i2c_hz) && !faults.nack {
            let first = segments.first().map(address_byte);
            self.wake(&asleep, first == Some(0x00));
        }
        let time = self.now.saturating_sub(now);
        self.stats.bus_us += u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        result
    }

    /// Wakes the chips that were asleep when the transfer began; `meant`: it went to address 00.
    fn wake(&mut self, asleep: &[bool], meant: bool) {
        if meant {
            self.stats.wakes += 1;
        }
        let (now, times) = (self.now, self.times);
        for (chip, _) in self.chips.iter_mut().zip(asleep).filter(|(chip, asleep)| **asleep && chip.can_wake()) {
            if !meant {
                if !chip.wakes_from_traffic() {
                    continue;
                }
                self.stats.accidental_wakes += 1;
            }
            let (stats, faults, dice) = (&mut self.stats, &mut self.faults, &mut self.dice);
            chip.wake(meant, &mut Environment { now, times, stats, faults, dice, power_lost: false });
        }
    }
}

/// Returns the byte after START: address and direction.
fn address_byte(segment: &Segment) -> u8 {
    match segment {
        Segment::Write { address, .. } => address << 1,
        Segment::Read { address, .. } => address << 1 | 1,
    }
}

/// A transfer in progress.
struct Transfer<'a> {
    bus: &'a mut Inner,
    line: DataLine,
    nack: bool,
    power_lost: bool,
}

impl Transfer<'_> {
    /// Advances the time by these bit times.
    fn tick(&mut self, bits: u64) {
        self.bus.now += Duration::from_nanos(bits * 1_000_000_000 / u64::from(self.bus.i2c_hz));
    }

    fn run(&mut self, segments: &[Segment]) -> TransferResult {
        let mut reads = Vec::new();
        for (number, segment) in (0..).zip(segments) {
            let fault = |fault| (fault, number);
            let selected = self.select(segment).map_err(fault)?;
            match segment {
                Segment::Write { data, .. } => {
                    data.iter().try_for_each(|byte| self.write(*byte, &selected)).map_err(fault)?;
                }
                Segment::Read { len, .. } => reads.push(self.read(*len, &selected)),
            }
        }
        Ok(reads)
    }

    /// (Repeated) START and address: returns the chips that acknowledge.
    fn select(&mut self, segment: &Segment) -> Result<Vec<usize>, TransferFault> {
        let (Segment::Write { address, .. } | Segment::Read { address, .. }) = segment;
        if *address > 0x7F {
            return Err(TransferFault::Bus);
        }
        let read = matches!(segment, Segment::Read { .. });
        let (now, nack) = (self.bus.now, self.nack);
        let chips = self.bus.chips.iter_mut().enumerate();
        let selected: Vec<usize> =
            chips.filter_map(|(i, chip)| (!nack && chip.select(*address, read, now)).then_some(i)).collect();
        self.line.start();
        self.line.byte(address_byte(segment), !selected.is_empty());
        self.tick(9);
        if selected.is_empty() {
            self.bus.stats.nacks += 1;
            return Err(TransferFault::AddressNack);
        }
        Ok(selected)
    }

    fn write(&mut self, byte: u8, selected: &[usize]) -> Result<(), TransferFault> {
        self.tick(9);
        self.bus.stats.bytes_written += 1;
        let bus = &mut *self.bus;
        let mut acknowledged = false;
        for i in selected {
            let mut env = Environment {
                now: bus.now,
                times: bus.times,
                stats: &mut bus.stats,
                faults: &mut bus.faults,
                dice: &mut bus.dice,
                power_lost: false,
            };
            acknowledged |= bus.chips[*i].receive(byte, &mut env);
            self.power_lost |= env.power_lost;
        }
        self.line.byte(byte, acknowledged);
        if acknowledged {
            return Ok(());
        }
        bus.stats.nacks += 1;
        Err(TransferFault::DataNack)
    }

    /// Reads bytes from the selected chips; a low bit of any of them wins. The master acknowledges all bytes except the
    /// last.
    fn read(&mut self, len: u16, selected: &[usize]) -> Vec<u8> {
        (0..len)
            .map(|i| {
                let now = self.bus.now;
                let byte = selected.iter().fold(0xFF, |byte, chip| byte & self.bus.chips[*chip].send(now));
                self.line.byte(byte, i + 1 < len);
                self.tick(9);
                self.bus.stats.bytes_read += 1;
                byte
            })
            .collect()
    }
}
