// SPDX-License-Identifier: MIT OR Apache-2.0
//! A bus master without the driver: it sends each command once, without retries, and measures the response time.

use std::collections::BTreeMap;
use std::time::Duration;

use atecc608::Transport;
use atecc608_sim::SimBus;
use atecc608_token::bus::Bus;
use atecc608_wire::commands::{Info, Nonce, NonceResponse, NonceTarget};
use atecc608_wire::timing::{self, ClockDivider};
use atecc608_wire::{frame, messages, word_address, Command, CommandPacket, Opcode, Status, WAKE_RESPONSE};
use embedded_hal::i2c::{ErrorKind, I2c};

/// An error of the examination, as text for the report.
pub type Step<T> = Result<T, String>;

/// The result of a command: its response, or the status with which the chip refused it.
pub type Answer<T> = Result<T, Status>;

/// The interval between two polls of a chip that is asleep, stuck or waking.
const RETRY: Duration = Duration::from_millis(5);
/// How long a chip that was left busy may take to wake.
const WAKE_PATIENCE: Duration = Duration::from_secs(3);
/// The caller's part of every random nonce.
pub const NUM_IN: [u8; 20] = [0x37; 20];

/// The failure of a transfer.
#[derive(Debug, PartialEq, Eq)]
pub enum LineFault {
    /// No acknowledge.
    Nack,
    /// The bus failed.
    Bus(String),
}

/// The two wires, independent of the bus behind them.
pub trait Line {
    /// One write, START to STOP.
    fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), LineFault>;
    /// One read, START to STOP.
    fn read(&mut self, address: u8, bytes: &mut [u8]) -> Result<(), LineFault>;
    /// Waits this long.
    fn wait(&mut self, time: Duration);
    /// Returns the time.
    fn now(&self) -> Duration;
}

impl Line for Bus {
    fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), LineFault> {
        self.i2c().ok_or_else(no_i2c)?.write(address, bytes).map_err(fault)
    }

    fn read(&mut self, address: u8, bytes: &mut [u8]) -> Result<(), LineFault> {
        self.i2c().ok_or_else(no_i2c)?.read(address, bytes).map_err(fault)
    }

    fn wait(&mut self, time: Duration) {
        self.delay(time);
    }

    fn now(&self) -> Duration {
        Transport::now(self)
    }
}

impl Line for SimBus {
    fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), LineFault> {
        I2c::write(self, address, bytes).map_err(fault)
    }

    fn read(&mut self, address: u8, bytes: &mut [u8]) -> Result<(), LineFault> {
        I2c::read(self, address, bytes).map_err(fault)
    }

    fn wait(&mut self, time: Duration) {
        self.advance(time);
    }

    fn now(&self) -> Duration {
        SimBus::now(self)
    }
}

fn no_i2c() -> LineFault {
    LineFault::Bus("the chip is not on an I2C bus".to_owned())
}

fn fault<E: embedded_hal::i2c::Error + std::fmt::Display>(error: E) -> LineFault {
    match error.kind() {
        ErrorKind::NoAcknowledge(_) => LineFault::Nack,
        _ => LineFault::Bus(error.to_string()),
    }
}

/// The contents of Info(State).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// TempKey's flags: see [`messages::TempKeyFlags`].
    pub flags: u8,
    /// TempKey is valid.
    pub valid: bool,
    /// The slot whose key CheckMac has proved.
    pub authorised: Option<u8>,
}

impl State {
    /// Whether TempKey counts as chosen by the caller.
    pub const fn source_fixed(self) -> bool {
        self.flags & 0x10 != 0
    }
}

/// One chip on a line, and the observed execution times of its commands.
pub struct Bench {
    line: Box<dyn Line>,
    /// Its 7-bit address.
    pub address: u8,
    /// Its clock divider.
    pub divider: ClockDivider,
    /// From the wake pulse to the first transfer.
    pub wake_delay: Duration,
    /// Execution times of commands that succeeded, by opcode and mode: see [`Bench::exchange`].
    pub times: BTreeMap<(Opcode, u8), Vec<Duration>>,
    /// The time of the last wake.
    pub woken_at: Duration,
}

impl Bench {
    /// A chip at a 7-bit address; sends nothing.
    pub fn new(line: Box<dyn Line>, address: u8) -> Self {
        Self {
            line,
            address,
            divider: ClockDivider::M0,
            wake_delay: Duration::from_micros(timing::WAKE_HIGH_US),
            times: BTreeMap::new(),
            woken_at: Duration::ZERO,
        }
    }

    /// The time.
    pub fn now(&self) -> Duration {
        self.line.now()
    }

    /// Waits.
    pub fn wait(&mut self, time: Duration) {
        self.line.wait(time);
    }

    /// Writes to the chip; returns whether it acknowledged.
    pub fn write(&mut self, bytes: &[u8]) -> Step<bool> {
        acknowledged(self.line.write(self.address, bytes))
    }

    /// Reads from the chip; returns the bytes, if the address was acknowledged.
    pub fn read(&mut self, len: usize) -> Step<Option<Vec<u8>>> {
        let mut bytes = vec![0; len];
        Ok(acknowledged(self.line.read(self.address, &mut bytes))?.then_some(bytes))
    }

    /// Sends a wake pulse: a write to address 00, which is never acknowledged.
    pub fn pulse(&mut self) -> Step<()> {
        self.woken_at = self.now();
        acknowledged(self.line.write(0x00, &[0x00])).map(drop)
    }

    /// Sends word address 01.
    pub fn sleep(&mut self) -> Step<bool> {
        self.write(&[word_address::SLEEP])
    }

    /// Sleep, whatever the state before, then wake: clears all volatile state, restarts the watchdog.
    pub fn fresh(&mut self) -> Step<()> {
        let start = self.now();
        loop {
            self.sleep()?;
            if self.rouse()? {
                return Ok(());
            }
            if self.now().saturating_sub(start) > WAKE_PATIENCE {
                return Err("no answer to the wake pulse".to_owned());
            }
            self.wait(RETRY);
        }
    }

    /// Wakes a chip that is asleep or idle; returns whether the wake response was correct.
    pub fn rouse(&mut self) -> Step<bool> {
        self.pulse()?;
        self.wait(self.wake_delay);
        Ok(self.read(4)?.is_some_and(|response| response == WAKE_RESPONSE))
    }

    /// Idle and wake: TempKey and buffers are kept.
    pub fn nap(&mut self) -> Step<()> {
        self.write(&[word_address::IDLE])?;
        match self.rouse()? {
            true => Ok(()),
            false => Err("no answer to the wake pulse after idle".to_owned()),
        }
    }

    /// Sends a whole command.
    pub fn send(&mut self, packet: &CommandPacket) -> Step<()> {
        self.send_bytes(&packet.encode())
    }

    /// Sends bytes instead of a command.
    pub fn send_bytes(&mut self, packet: &[u8]) -> Step<()> {
        let group = [&[word_address::COMMAND], packet].concat();
        self.write(&group)?.then_some(()).ok_or_else(|| "a command was not acknowledged".to_owned())
    }

    /// Polls until the chip responds; returns the whole response packet, read in two parts: count, then the rest.
    pub fn response(&mut self, patience: Duration) -> Step<Vec<u8>> {
        let start = self.now();
        loop {
            if let Some(count) = self.read(1)? {
                let rest = usize::from(count[0]).saturating_sub(1);
                let rest = if rest == 0 { Vec::new() } else { self.read(rest)?.unwrap_or_default() };
                return Ok([count, rest].concat());
            }
            if self.now().saturating_sub(start) > patience {
                return Err(format!("no answer within {} ms", patience.as_millis()));
            }
        }
    }

    /// Returns the payload of the reply to a packet, and for how long the chip was certainly busy: less than one poll
    /// below its execution time.
    pub fn exchange(&mut self, packet: &CommandPacket) -> Step<(Vec<u8>, Duration)> {
        self.send(packet)?;
        let sent = self.now();
        let patience = 2 * timing::maximum(packet.opcode, self.divider) + Duration::from_millis(200);
        // A poll that was not acknowledged proves that the chip was busy until then, however slow this program is.
        let mut busy_at = sent;
        let count = loop {
            let now = self.now();
            if let Some(count) = self.read(1)? {
                break count;
            }
            if now.saturating_sub(sent) > patience {
                return Err(format!("{}: no answer within {} ms", packet.opcode, patience.as_millis()));
            }
            busy_at = now;
        };
        let rest = self.read(usize::from(count[0]).saturating_sub(1).max(1))?.unwrap_or_default();
        let response = [count, rest].concat();
        let payload = frame::decode_response(&response).map_err(|error| format!("{}: {error}", packet.opcode))?;
        Ok((payload.to_vec(), busy_at.saturating_sub(sent)))
    }

    /// Executes a command, once.
    pub fn execute<C: Command>(&mut self, command: &C) -> Step<Answer<C::Response>> {
        let packet = command.packet();
        let (payload, time) = self.exchange(&packet)?;
        if let ([status], false) = (payload.as_slice(), C::ONE_BYTE_IS_DATA) {
            if *status != Status::SUCCESS.0 {
                return Ok(Err(Status(*status)));
            }
        }
        let response = command.response(&payload).map_err(|error| error.to_string())?;
        self.times.entry((packet.opcode, packet.param1)).or_default().push(time);
        Ok(Ok(response))
    }

    /// Executes a command whose success the following commands need.
    pub fn must<C: Command>(&mut self, command: &C) -> Step<C::Response> {
        self.execute(command)?.map_err(|status| format!("{} answered {:02X}", C::OPCODE, status.0))
    }

    /// Returns the command's status; 00 for any successful response.
    pub fn status<C: Command>(&mut self, command: &C) -> Step<Status> {
        Ok(self.execute(command)?.err().unwrap_or(Status::SUCCESS))
    }

    /// Info(State).
    pub fn state(&mut self) -> Step<State> {
        let state = self.must(&Info::State)?;
        Ok(State {
            flags: state[0],
            valid: state[1] & 0x80 != 0,
            authorised: (state[1] & 0x04 != 0).then_some(state[1] >> 3 & 0x0F),
        })
    }

    /// Loads TempKey with these bytes.
    pub fn fixed_nonce(&mut self, value: &[u8]) -> Step<()> {
        self.must(&Nonce::Fixed { target: NonceTarget::TempKey, value: value.to_vec() }).map(drop)
    }

    /// Loads TempKey with a random nonce; returns its value.
    pub fn random_nonce(&mut self) -> Step<[u8; 32]> {
        match self.must(&Nonce::Random { update_seed: true, num_in: NUM_IN })? {
            NonceResponse::Value(random) => Ok(messages::nonce(&random, &NUM_IN, 0)),
            NonceResponse::Stored => Err("Nonce answered no random number".to_owned()),
        }
    }
}

fn acknowledged(result: Result<(), LineFault>) -> Step<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(LineFault::Nack) => Ok(false),
        Err(LineFault::Bus(detail)) => Err(format!("the bus failed: {detail}")),
    }
}
