// SPDX-License-Identifier: MIT OR Apache-2.0
//! How often the driver polls a busy chip, and how late it notices that the chip is ready, in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use atecc608::ops::Before;
use atecc608::Chip;
use atecc608_sim::{SimBus, SimChip, Switches};
use atecc608_testkit::driver::{self, Simulated};
use atecc608_testkit::master::{slot, tls_image, ADDRESS};
use atecc608_wire::{word_address, Opcode};
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, Operation, SevenBitAddress};

const SIGNATURES: usize = 100;

/// One command as it was seen on the bus.
#[derive(Clone, Copy, Debug)]
struct Seen {
    opcode: u8,
    /// Polls that were not acknowledged.
    busy_polls: u32,
    ready_at: Duration,
    /// From then to the first acknowledged poll.
    wasted: Option<Duration>,
}

/// A bus that records polls.
#[derive(Clone)]
struct Watched {
    bus: SimBus,
    commands: Arc<Mutex<Vec<Seen>>>,
}

impl ErrorType for Watched {
    type Error = ErrorKind;
}

impl I2c<SevenBitAddress> for Watched {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        let (at, drawn) = (self.bus.now(), self.bus.stats().chip_us_drawn);
        let result = self.bus.transaction(address, operations);
        let mut commands = self.commands.lock().unwrap();
        match &operations[0] {
            Operation::Write([word_address::COMMAND, _, opcode, ..]) => {
                let takes = Duration::from_micros(self.bus.stats().chip_us_drawn - drawn);
                let ready_at = self.bus.now() + takes;
                commands.push(Seen { opcode: *opcode, busy_polls: 0, ready_at, wasted: None });
            }
            Operation::Read(_) => {
                if let Some(command) = commands.last_mut().filter(|command| command.wasted.is_none()) {
                    match result {
                        Ok(()) => command.wasted = Some(at.saturating_sub(command.ready_at)),
                        Err(_) => command.busy_polls += 1,
                    }
                }
            }
            Operation::Write(_) => {}
        }
        result
    }
}

/// The cost of one signature: Random, Nonce and Sign.
struct Signature {
    commands: Vec<Seen>,
    bus: Duration,
    all: Duration,
}

impl Signature {
    fn of_sign(&self) -> Seen {
        *self.commands.iter().find(|command| command.opcode == Opcode::SIGN.0).unwrap()
    }

    fn busy_polls(&self) -> u32 {
        self.commands.iter().map(|command| command.busy_polls).sum()
    }

    fn wasted(&self) -> Duration {
        self.commands.iter().filter_map(|command| command.wasted).sum()
    }
}

/// Signatures of one process, from its first one.
fn signatures(switches: Switches) -> Vec<Signature> {
    let bus = SimBus::new(100_000);
    bus.add_chip(SimChip::from_image(tls_image(true, true)).with_switches(switches));
    bus.seed(7);
    driver::on(&bus, ADDRESS).generate_key(slot(0), Before::Empty).unwrap();
    let watched = Watched { bus: bus.clone(), commands: Arc::default() };
    let transport = driver::transport(&bus, watched.clone(), ADDRESS);
    let mut chip: Chip<Simulated<Watched>> = Chip::new(transport, driver::host_random);
    let sign = |_| {
        bus.take_stats();
        watched.commands.lock().unwrap().clear();
        let start = bus.now();
        chip.converse(|awake| awake.sign_digest(slot(0), &[0x5A; 32])).unwrap();
        let commands = watched.commands.lock().unwrap().clone();
        Signature { commands, bus: Duration::from_micros(bus.stats().bus_us), all: bus.now() - start }
    };
    (0..SIGNATURES).map(sign).collect()
}

fn steady() -> Switches {
    Switches { times_are_steady: true, ..Switches::default() }
}

/// Prints mean and worst in milliseconds, and returns them.
fn mean_and_worst(what: &str, values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let worst = values.iter().copied().fold(0.0, f64::max);
    println!("{what}: {mean:.2} on average, {worst:.2} at worst");
    (mean, worst)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The part of a signature's time in which the bus is free for other devices.
fn free_share(signatures: &[Signature]) -> f64 {
    let bus: Duration = signatures.iter().map(|signature| signature.bus).sum();
    let all: Duration = signatures.iter().map(|signature| signature.all).sum();
    let free = 100.0 * (1.0 - bus.as_secs_f64() / all.as_secs_f64());
    println!("the bus is free for {free:.1} % of {} signatures", signatures.len());
    free
}

#[test]
fn a_chip_of_steady_times_is_polled_at_most_5_times_in_a_signature_and_at_most_1_ms_is_wasted_once_learnt() {
    let signatures = signatures(steady());
    let learnt = &signatures[3 * 8..];
    let (before, after) = (free_share(&signatures[..8]), free_share(learnt));
    let (_, polls) = mean_and_worst("busy polls", learnt.iter().map(|one| f64::from(one.busy_polls())));
    let (_, wasted) = mean_and_worst("ms wasted", learnt.iter().map(|one| ms(one.wasted())));
    // The polls that find the chip ready, one for each of three commands, come on top of those that find it busy.
    assert!(polls <= 5.0 && wasted <= 1.0);
    let of_sign = learnt.iter().map(Signature::of_sign);
    assert!(of_sign.clone().all(|sign| sign.busy_polls < 5), "with the one that finds it ready");
    assert!(after > before);
}

#[test]
fn a_chip_of_drawn_times_is_polled_at_most_40_times_in_a_sign_and_at_most_2_ms_are_wasted() {
    let signatures = signatures(Switches::default());
    free_share(&signatures);
    let of_sign = || signatures.iter().map(Signature::of_sign);
    let (_, polls) = mean_and_worst("busy polls of Sign", of_sign().map(|sign| f64::from(sign.busy_polls)));
    let (_, wasted) = mean_and_worst("ms wasted by Sign", of_sign().map(|sign| ms(sign.wasted.unwrap())));
    // The last poll finds it ready.
    assert!(polls < 40.0 && wasted <= 2.0);
    let (polls, _) = mean_and_worst("busy polls of all", signatures.iter().map(|one| f64::from(one.busy_polls())));
    let (wasted, _) = mean_and_worst("ms wasted by all", signatures.iter().map(|one| ms(one.wasted())));
    assert!(polls <= 42.0 && wasted <= 2.2);
}
