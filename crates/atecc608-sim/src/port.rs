// SPDX-License-Identifier: MIT OR Apache-2.0
//! The chip's side of the bus: word addresses, input buffer, output buffer and its address counter
//! (fact sheet sections 1.5 and 1.6).

use zeroize::Zeroizing;

use atecc608_wire::{word_address, MAX_PACKET, MIN_PACKET};

/// The result of a received byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The byte was accepted.
    Taken,
    /// The byte is not acknowledged.
    Refused,
    /// Word address 01.
    Sleep,
    /// Word address 02.
    Idle,
    /// A whole packet has arrived, not yet checked.
    Packet(Vec<u8>),
    /// A count byte that is illegal for packets.
    BadCount,
}

/// The meaning of the bytes in the present write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    /// The next byte is the word address.
    WordAddress,
    /// Bytes for the input buffer.
    Command,
    /// Bytes without effect.
    Ignored,
    /// Not acknowledged: the chip is executing.
    Refused,
}

/// Input and output buffer.
pub(crate) struct Port {
    group: Group,
    input: Zeroizing<Vec<u8>>,
    output: Zeroizing<Vec<u8>>,
    counter: usize,
    flips: Vec<usize>,
}

impl Port {
    pub(crate) fn new() -> Self {
        Self {
            group: Group::WordAddress,
            input: Zeroizing::default(),
            output: Zeroizing::default(),
            counter: 0,
            flips: Vec::new(),
        }
    }

    /// Idle, sleep, power loss: both buffers are lost.
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// START and this chip's address, to write.
    pub(crate) fn begin_write(&mut self) {
        self.group = Group::WordAddress;
    }

    /// Whether a command is incomplete: nothing can be read until the rest arrives.
    pub(crate) fn expects_more(&self) -> bool {
        !self.input.is_empty()
    }

    pub(crate) fn receive(&mut self, byte: u8, reserved_nacks: bool) -> Event {
        match self.group {
            Group::WordAddress => self.word_address(byte, reserved_nacks),
            Group::Command => self.command_byte(byte),
            Group::Ignored => Event::Taken,
            Group::Refused => Event::Refused,
        }
    }

    fn word_address(&mut self, byte: u8, reserved_nacks: bool) -> Event {
        match byte {
            word_address::RESET => {
                self.counter = 0;
                self.input.clear();
                self.group = Group::Ignored;
                Event::Taken
            }
            word_address::SLEEP => Event::Sleep,
            word_address::IDLE => Event::Idle,
            word_address::COMMAND => {
                self.group = Group::Command;
                Event::Taken
            }
            _ if reserved_nacks => Event::Refused,
            _ => {
                self.group = Group::Ignored;
                Event::Taken
            }
        }
    }

    fn command_byte(&mut self, byte: u8) -> Event {
        if self.input.is_empty() {
            // A new command discards the old response.
            self.output.clear();
            self.counter = 0;
            self.flips.clear();
            if !(MIN_PACKET..=MAX_PACKET).contains(&usize::from(byte)) {
                self.group = Group::Ignored;
                return Event::BadCount;
            }
        }
        self.input.push(byte);
        if self.input.len() < usize::from(self.input[0]) {
            return Event::Taken;
        }
        self.group = Group::Refused;
        Event::Packet(std::mem::take(&mut *self.input))
    }

    /// Puts a whole response packet into the output buffer. `flips` are the bits to flip in the first read.
    pub(crate) fn answer(&mut self, packet: Vec<u8>, flips: Vec<usize>) {
        self.output = Zeroizing::new(packet);
        self.counter = 0;
        self.flips = flips;
    }

    /// The next byte of the output buffer; `past_the_end` after the last one.
    pub(crate) fn send(&mut self, past_the_end: u8) -> u8 {
        // Without a response no device drives the bus.
        let after = if self.output.is_empty() { 0xFF } else { past_the_end };
        let mut byte = self.output.get(self.counter).copied().unwrap_or(after);
        let at = self.counter;
        self.flips.retain(|bit| {
            let here = bit / 8 == at;
            if here {
                byte ^= 1 << (bit % 8);
            }
            !here
        });
        self.counter += 1;
        byte
    }
}
