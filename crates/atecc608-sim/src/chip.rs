// SPDX-License-Identifier: MIT OR Apache-2.0
//! One chip: power states, wake, busy times, watchdog (fact sheet sections 1.2 to 1.6, 3.0 and 4).

use std::io;
use std::path::Path;
use std::time::Duration;

use super::buffers::Buffers;
use super::core::{Core, Refusal};
use super::eeprom::Eeprom;
use super::exec;
use super::faults::{CommandFaults, Faults};
use super::image::{Image, ImageError, Part};
use super::port::{Event, Port};
use super::profiles::{random_serial, Order, Profile};
use super::random::{ChipRng, Dice};
use super::stats::Stats;
use super::switches::Switches;
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::frame::encode_response;
use atecc608_wire::timing::{self, ClockDivider};
use atecc608_wire::{CommandPacket, ConfigZone, Opcode, Slot, Status, AFTER_WAKE};

/// From power-up to the first wake (tPU).
const POWER_UP: Duration = Duration::from_micros(100);
/// The watchdog with ChipMode bit 2 set; its spread is unverified (fact sheet section 1.2).
const LONG_WATCHDOG: (Duration, Duration) = (Duration::from_millis(7_600), Duration::from_millis(17_000));
/// The same without a spread.
const EXACT_LONG_WATCHDOG: (Duration, Duration) = (Duration::from_millis(13_000), Duration::from_millis(13_000));
const WATCHDOG: (Duration, Duration) =
    (Duration::from_millis(timing::WATCHDOG_MIN_MS), Duration::from_millis(timing::WATCHDOG_MAX_MS));
/// The response that the vendor's library expects to a wake after a failed self-test; its CRC is wrong (fact sheet
/// section 1.4).
const VENDORS_FAILED_WAKE: [u8; 4] = [0x04, 0x07, 0xC4, 0x40];
/// The time after which a damaged packet is refused: that of the fastest command.
const REFUSAL: Duration = Duration::from_micros(100);

/// The execution times of commands, within the fact sheet's limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExecutionTimes {
    /// Drawn uniformly between typical and maximum; refused commands take less than typical.
    #[default]
    Drawn,
    /// Always typical.
    Typical,
    /// Always the maximum.
    Maximum,
    /// None; there is then no watchdog, and tWHI only after an accidental wake.
    Zero,
}

/// What a chip sees of the bus.
pub(crate) struct Environment<'a> {
    pub(crate) now: Duration,
    pub(crate) times: ExecutionTimes,
    pub(crate) stats: &'a mut Stats,
    pub(crate) faults: &'a mut Faults,
    pub(crate) dice: &'a mut Dice,
    /// Set by a chip that lost power.
    pub(crate) power_lost: bool,
}

enum Power {
    Off,
    Sleep,
    Idle,
    Awake(Awake),
}

struct Awake {
    ready_at: Duration,
    busy_until: Duration,
    watchdog: Option<Duration>,
}

/// The part of the configuration that takes effect only when the chip enters sleep or is powered up (section 5.1).
struct Latched {
    address: u8,
    divider: ClockDivider,
    long_watchdog: bool,
}

impl Latched {
    fn from_config(config: &ConfigZone) -> Self {
        Self {
            address: config.i2c_address(),
            divider: config.clock_divider(),
            long_watchdog: config.chip_mode() & 4 != 0,
        }
    }
}

/// A simulated chip, which can be put on a [`super::SimBus`].
pub struct SimChip {
    core: Core,
    power: Power,
    powered_at: Duration,
    latched: Latched,
    port: Port,
}

impl SimChip {
    /// A chip in memory, as sold, at the default address 0x60.
    pub fn blank(profile: Profile, serial: SerialNumber) -> Self {
        Self::blank_with(profile, serial, Switches::default())
    }

    /// As [`SimChip::blank`], with other switches for what the fact sheet leaves uncertain.
    pub fn blank_with(profile: Profile, serial: SerialNumber, switches: Switches) -> Self {
        let mut image = profile.image(serial, 0x60);
        image.part_mut(Part::Otp).fill(switches.blank_otp);
        Slot::all().for_each(|slot| image.part_mut(Part::Slot(slot)).fill(switches.blank_slots));
        Self::from_image(image).with_switches(switches)
    }

    /// A chip in memory with this EEPROM.
    pub fn from_image(image: Image) -> Self {
        Self::new(Eeprom::in_memory(image))
    }

    /// The chip in an image file; if there is none, a blank ATECC608B at this 7-bit address is created.
    ///
    /// # Errors
    /// [`ImageError`] if the file can't be read or created, or is damaged; a damaged file is not changed.
    pub fn open(path: &Path, address: u8) -> Result<Self, ImageError> {
        // Without an `Order`: the module links this function, and stays small without the certificates.
        let blank = || -> io::Result<Image> { Ok(Profile::Blank608B.image(random_serial()?, address)) };
        Ok(Self::new(Eeprom::open_or_create(path, blank)?))
    }

    /// As [`SimChip::open`], but creates a chip of this profile.
    ///
    /// # Errors
    /// As [`SimChip::open`].
    pub fn open_profile(path: &Path, address: u8, profile: Profile) -> Result<Self, ImageError> {
        Self::open_order(path, &Order { address: Some(address), ..Order::of(profile) })
    }

    /// As [`SimChip::open`], but creates the chip that `order` describes.
    ///
    /// # Errors
    /// As [`SimChip::open`]; an [`OrderError`](crate::profiles::OrderError) within an I/O error if the order can't be
    /// fulfilled.
    pub fn open_order(path: &Path, order: &Order) -> Result<Self, ImageError> {
        Ok(Self::new(Eeprom::open_or_create(path, || Ok(order.make()?.image))?))
    }

    /// The chip in an image file that must exist.
    ///
    /// # Errors
    /// [`ImageError`] if the file does not exist, can't be read or is damaged.
    pub fn open_existing(path: &Path) -> Result<Self, ImageError> {
        Ok(Self::new(Eeprom::open(path)?))
    }

    fn new(eeprom: Eeprom) -> Self {
        let core = Core::new(eeprom);
        let latched = Latched::from_config(&core.config());
        Self { core, power: Power::Sleep, powered_at: Duration::ZERO, latched, port: Port::new() }
    }

    /// Makes its random numbers reproducible: for tests only.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.seed(seed);
        self
    }

    /// Sets the switches for what the fact sheet leaves uncertain.
    #[must_use]
    pub fn with_switches(mut self, switches: Switches) -> Self {
        self.set_switches(switches);
        self
    }

    /// The same for a chip on a bus.
    pub(super) fn set_switches(&mut self, switches: Switches) {
        self.core.switches = switches;
    }

    /// Its EEPROM.
    pub fn image(&self) -> &Image {
        self.core.image()
    }

    /// Its serial number.
    pub fn serial(&self) -> SerialNumber {
        self.core.serial()
    }

    /// The 7-bit address at which it currently responds.
    pub fn address(&self) -> u8 {
        self.latched.address
    }

    pub(crate) fn seed(&mut self, seed: u64) {
        self.core.rng = ChipRng::seeded(seed);
    }

    pub(crate) fn set_image(&mut self, image: Image) -> Result<(), ImageError> {
        self.core.eeprom.replace(image)?;
        self.relatch_if_asleep();
        Ok(())
    }

    pub(crate) fn reload(&mut self) -> Result<(), ImageError> {
        self.core.eeprom.reload()?;
        self.relatch_if_asleep();
        Ok(())
    }

    /// Returns how long the host's disk took to store programmed blocks since the last call.
    pub(crate) fn take_disk_time(&mut self) -> Duration {
        self.core.eeprom.take_disk_time()
    }

    fn relatch_if_asleep(&mut self) {
        if matches!(self.power, Power::Sleep | Power::Off) {
            self.latched = Latched::from_config(&self.core.config());
        }
    }

    pub(crate) fn set_faults(&mut self, faults: &Faults) {
        self.core.eeprom.lose_power_after(faults.power_after());
        self.core.eeprom.kill_process_at(faults.kill());
        self.core.self_test.broken = faults.self_test();
    }

    pub(crate) fn power_off(&mut self) {
        self.sleep();
        self.core.latch = false;
        self.core.secure_boot_prohibited = false;
        self.core.self_test.failed = 0;
        self.power = Power::Off;
    }

    pub(crate) fn power_on(&mut self, now: Duration) {
        if matches!(self.power, Power::Off) {
            self.power = Power::Sleep;
            self.powered_at = now;
            self.relatch_if_asleep();
        }
    }

    fn sleep(&mut self) {
        self.core.sram = Buffers::default();
        self.port.clear();
        self.power = Power::Sleep;
        self.latched = Latched::from_config(&self.core.config());
    }

    fn idle(&mut self) {
        if !self.core.switches.authorisation_survives_idle {
            self.core.sram.authorised = None;
        }
        if !self.core.switches.copied_temp_key_survives_idle {
            self.core.sram.temp_key.take_if(|temp_key| temp_key.copied);
        }
        self.port.clear();
        self.power = Power::Idle;
    }

    /// Advances the time: the watchdog may have expired.
    pub(crate) fn settle(&mut self, now: Duration) {
        if let Power::Awake(Awake { watchdog: Some(watchdog), .. }) = self.power {
            if watchdog <= now {
                self.sleep();
            }
        }
    }

    /// Whether a low pulse on the data line can wake it.
    pub(crate) fn can_wake(&self) -> bool {
        matches!(self.power, Power::Sleep | Power::Idle)
    }

    /// Whether traffic that is not a wake pulse wakes it.
    pub(crate) fn wakes_from_traffic(&self) -> bool {
        self.core.switches.any_traffic_wakes
    }

    /// Handles a low pulse of at least tWLO while it is asleep or idle; `meant`: it is a wake pulse.
    pub(crate) fn wake(&mut self, meant: bool, env: &mut Environment<'_>) {
        let timed = env.times != ExecutionTimes::Zero;
        if timed && env.now < self.powered_at + POWER_UP {
            return;
        }
        let self_test = self.core.config().chip_options().power_on_self_test();
        // The failure state ends with a wake, unless the power-on self-test fails again.
        self.core.self_test.failed = 0;
        self.core.unhealthy = false;
        if self_test {
            exec::self_test::run_all(&mut self.core);
        }
        let failed = self.core.self_test.failed != 0;
        let mut answer = encode_response(&[if failed { Status::SELF_TEST_ERROR.0 } else { AFTER_WAKE }]);
        if failed && self.core.switches.failed_wake_is_the_vendors {
            answer = VENDORS_FAILED_WAKE.to_vec();
        }
        self.port.answer(answer, Vec::new());
        let (low, high) = match (self.latched.long_watchdog, self.core.switches.long_watchdog_spreads) {
            (false, _) => WATCHDOG,
            (true, true) => LONG_WATCHDOG,
            (true, false) => EXACT_LONG_WATCHDOG,
        };
        let wait = if self_test { timing::WAKE_HIGH_SELF_TEST_US } else { timing::WAKE_HIGH_US };
        self.power = Power::Awake(Awake {
            ready_at: if timed || !meant { env.now + Duration::from_micros(wait) } else { Duration::ZERO },
            busy_until: Duration::ZERO,
            watchdog: timed.then(|| env.now + env.dice.between(low, high)),
        });
    }

    /// START and an address: returns whether it acknowledges.
    pub(crate) fn select(&mut self, address: u8, read: bool, now: Duration) -> bool {
        self.settle(now);
        let Power::Awake(awake) = &self.power else {
            return false;
        };
        let listens = now >= awake.ready_at && now >= awake.busy_until;
        if !listens || address != self.latched.address || (read && self.port.expects_more()) {
            return false;
        }
        if !read {
            self.port.begin_write();
        }
        true
    }

    /// A byte written to it: returns whether it acknowledges.
    pub(crate) fn receive(&mut self, byte: u8, env: &mut Environment<'_>) -> bool {
        self.settle(env.now);
        if !matches!(self.power, Power::Awake(_)) {
            return false;
        }
        match self.port.receive(byte, self.core.switches.reserved_word_address_nacks) {
            Event::Taken => {}
            Event::Refused => return false,
            Event::Sleep => {
                env.stats.sleeps += 1;
                self.sleep();
            }
            Event::Idle => {
                env.stats.idles += 1;
                self.idle();
            }
            Event::Packet(bytes) => self.packet(bytes, env),
            Event::BadCount => {
                self.port.answer(encode_response(&[Status::CRC_ERROR.0]), Vec::new());
                self.be_busy(REFUSAL, env);
            }
        }
        true
    }

    /// A byte read from it; FF if it does not drive the line.
    pub(crate) fn send(&mut self, now: Duration) -> u8 {
        self.settle(now);
        if matches!(self.power, Power::Awake(_)) {
            self.port.send(self.core.switches.past_the_end)
        } else {
            0xFF
        }
    }

    /// A whole packet has arrived.
    fn packet(&mut self, mut bytes: Vec<u8>, env: &mut Environment<'_>) {
        let faults = env.faults.on_command();
        if let Some(bit) = faults.garbled_bit {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        let Ok(packet) = CommandPacket::decode(&bytes) else {
            return self.refuse(Status::CRC_ERROR, env);
        };
        env.stats.count_command(packet.opcode);
        let on_the_curve =
            [Opcode::ECDH, Opcode::GEN_KEY, Opcode::SECURE_BOOT, Opcode::SIGN, Opcode::VERIFY].contains(&packet.opcode);
        if faults.ecc_fault && on_the_curve {
            return self.refuse(Status::ECC_FAULT, env);
        }
        if let Some(status) = faults.status.or_else(|| env.faults.refusal(packet.opcode.0, packet.param1)) {
            return self.refuse(Status(status), env);
        }
        if faults.busy == Some(None) {
            return self.be_busy(Duration::MAX, env);
        }
        self.core.unhealthy |= faults.unhealthy;
        if faults.power_after.is_some() {
            self.core.eeprom.lose_power_after(faults.power_after);
        }
        let remaining = self.remaining(env);
        if self.core.switches.watchdog_margin && remaining < timing::maximum(packet.opcode, self.latched.divider) {
            return self.refuse(Status::WATCHDOG_EXPIRING, env);
        }
        let time = stretched(self.execution_time(packet.opcode, env), faults.stretch);
        if time > remaining {
            // The watchdog expires first; programming is the last step of a command.
            return self.be_busy(time, env);
        }
        self.execute(&packet, time, &faults, env);
    }

    fn execute(&mut self, packet: &CommandPacket, time: Duration, faults: &CommandFaults, env: &mut Environment<'_>) {
        let (payload, time) = match exec::execute(&mut self.core, packet) {
            Ok(payload) => (payload, time),
            // Refused commands finish before the typical time (section 4).
            Err(Refusal::Status(status)) => {
                let typical = timing::typical(packet.opcode, self.latched.divider);
                (
                    vec![status.0],
                    if env.times == ExecutionTimes::Drawn {
                        time.min(stretched(typical, faults.stretch))
                    } else {
                        time
                    },
                )
            }
            Err(Refusal::PowerLost) => {
                self.power_off();
                env.power_lost = true;
                return;
            }
        };
        env.stats.count_execution(packet.opcode, self.latched.divider, time);
        let response = if faults.dropped { Vec::new() } else { encode_response(&payload) };
        self.port.answer(response, faults.flipped_bits.clone());
        let more = faults.busy.flatten().map_or(Duration::ZERO, Duration::from_millis);
        self.be_busy(time + more, env);
        if faults.dozes {
            self.sleep();
        }
    }

    /// Responds with a status without executing anything.
    fn refuse(&mut self, status: Status, env: &Environment<'_>) {
        self.port.answer(encode_response(&[status.0]), Vec::new());
        self.be_busy(REFUSAL, env);
    }

    fn be_busy(&mut self, time: Duration, env: &Environment<'_>) {
        if let Power::Awake(awake) = &mut self.power {
            if env.times != ExecutionTimes::Zero || time == Duration::MAX {
                awake.busy_until = env.now.saturating_add(time);
            }
        }
    }

    /// Time until the watchdog expires.
    fn remaining(&self, env: &Environment<'_>) -> Duration {
        match &self.power {
            Power::Awake(Awake { watchdog: Some(watchdog), .. }) => watchdog.saturating_sub(env.now),
            _ => Duration::MAX,
        }
    }

    fn execution_time(&self, opcode: Opcode, env: &mut Environment<'_>) -> Duration {
        let divider = self.latched.divider;
        let (typical, maximum) = (timing::typical(opcode, divider), timing::maximum(opcode, divider));
        match env.times {
            ExecutionTimes::Drawn if self.core.switches.times_are_steady => {
                let serial = self.serial().0.iter().fold(0, |seed: u64, byte| seed << 7 ^ u64::from(*byte));
                Dice(serial << 8 | u64::from(opcode.0)).between(typical, maximum)
            }
            ExecutionTimes::Drawn => env.dice.between(typical, maximum),
            ExecutionTimes::Typical => typical,
            ExecutionTimes::Maximum => maximum,
            ExecutionTimes::Zero => Duration::ZERO,
        }
    }
}

/// Returns the time increased by this percentage.
fn stretched(time: Duration, percent: u64) -> Duration {
    let micros = time.as_micros().saturating_mul(100 + u128::from(percent)) / 100;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
