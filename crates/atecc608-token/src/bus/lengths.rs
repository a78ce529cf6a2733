// SPDX-License-Identifier: MIT OR Apache-2.0
//! Splits messages to the length that an adapter accepts: USB bridges accept 54 to 61 bytes in one message, and the
//! chip's packets have up to 155.
//!
//! The kernel does not report the limit. It refuses a longer message before it sends anything, with EOPNOTSUPP (I2C
//! quirks) or the driver's EINVAL, and the message is then sent in parts. The chip allows that (fact sheet sections
//! 1.5, 1.6): the bytes of several writes with word address 03 are appended in the input buffer, and a read continues
//! where the last one ended.

use std::ops::Range;

use atecc608_wire::word_address;
use embedded_hal::i2c::Operation;
use zeroize::Zeroizing;

/// A refusal of a message of at most this length has another reason: a missing acknowledge.
const SHORT: usize = 8;

/// The known message lengths of an adapter.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    reads: Known,
    writes: Known,
}

/// In bytes, without the word address.
#[derive(Debug, Default)]
struct Known {
    /// The longest message that succeeded: a message up to this length is not refused for its length.
    done: usize,
    /// The longest length to try, because longer messages were refused and this one succeeded.
    most: Option<usize>,
}

impl Lengths {
    /// Another adapter may be at the node: forgets which messages succeeded. Refused lengths are still sent in parts.
    pub(super) fn reopened(&mut self) {
        (self.reads.done, self.writes.done) = (0, 0);
    }

    /// Executes one I2C_RDWR, a single message in parts if necessary: returns how many messages succeeded, or the
    /// errno. `one` executes one I2C_RDWR.
    pub(super) fn transfer(
        &mut self,
        operations: &mut [Operation<'_>],
        mut one: impl FnMut(&mut [Operation<'_>]) -> Result<u32, i32>,
    ) -> Result<u32, i32> {
        match operations {
            [Operation::Read(buffer)] => {
                self.reads.in_parts(buffer.len(), |part| one(&mut [Operation::Read(&mut buffer[part])]))
            }
            [Operation::Write([word_address::COMMAND, packet @ ..])] => self.writes.in_parts(packet.len(), |part| {
                let message = Zeroizing::new([&[word_address::COMMAND], &packet[part]].concat());
                one(&mut [Operation::Write(&message)])
            }),
            others => one(others),
        }
    }
}

impl Known {
    /// Transfers a message of `len` bytes, whole or in the longest possible parts, by halving refused lengths. Ends
    /// with the first part that fails for another reason.
    fn in_parts(&mut self, len: usize, mut transfer: impl FnMut(Range<usize>) -> Result<u32, i32>) -> Result<u32, i32> {
        let (mut at, mut most) = (0, self.most.unwrap_or(len));
        loop {
            let part = most.min(len - at);
            match transfer(at..at + part) {
                Ok(1) => at += part,
                Err(libc::EINVAL | libc::EOPNOTSUPP) if part > self.done.max(SHORT) => {
                    most = part.div_ceil(2).max(self.done);
                    continue;
                }
                other => return other,
            }
            self.done = self.done.max(part);
            if at == len {
                break;
            }
        }
        if most < len {
            self.most = Some(most);
        }
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An adapter with a limit, in front of a chip that stores all writes and can be read.
    struct Adapter {
        limit: usize,
        errno: i32,
        /// The lengths of the attempted messages.
        tried: Vec<usize>,
        written: Vec<Vec<u8>>,
        next: u8,
    }

    impl Adapter {
        fn with_limit(limit: usize, errno: i32) -> Self {
            Self { limit, errno, tried: Vec::new(), written: Vec::new(), next: 0 }
        }

        fn one(&mut self, operations: &mut [Operation<'_>]) -> Result<u32, i32> {
            let [operation] = operations else { return Ok(operations.len() as u32) };
            let len = match operation {
                Operation::Read(buffer) => buffer.len(),
                Operation::Write(bytes) => bytes.len(),
            };
            self.tried.push(len);
            if len > self.limit {
                return Err(self.errno);
            }
            match operation {
                Operation::Read(buffer) => {
                    buffer.iter_mut().for_each(|byte| (*byte, self.next) = (self.next, self.next + 1))
                }
                Operation::Write(bytes) => self.written.push(bytes.to_vec()),
            }
            Ok(1)
        }

        fn write(&mut self, lengths: &mut Lengths, bytes: &[u8]) -> Result<u32, i32> {
            lengths.transfer(&mut [Operation::Write(bytes)], |operations| self.one(operations))
        }

        fn read(&mut self, lengths: &mut Lengths, buffer: &mut [u8]) -> Result<u32, i32> {
            lengths.transfer(&mut [Operation::Read(buffer)], |operations| self.one(operations))
        }
    }

    fn packet(len: u8) -> Vec<u8> {
        (0..len).collect()
    }

    fn command(packet: &[u8]) -> Vec<u8> {
        [&[word_address::COMMAND], packet].concat()
    }

    #[test]
    fn a_command_that_is_too_long_arrives_in_parts_that_each_begin_with_the_word_address() {
        for (limit, errno) in [(61, libc::EOPNOTSUPP), (54, libc::EINVAL), (9, libc::EINVAL)] {
            let (mut adapter, mut lengths) = (Adapter::with_limit(limit, errno), Lengths::default());
            assert_eq!(adapter.write(&mut lengths, &command(&packet(155))), Ok(1));
            let parts = &adapter.written;
            assert!(parts.len() > 1 && parts.iter().all(|part| part[0] == word_address::COMMAND), "{parts:?}");
            let arrived: Vec<u8> = parts.iter().flat_map(|part| &part[1..]).copied().collect();
            assert_eq!(arrived, packet(155));
        }
    }

    #[test]
    fn a_reply_that_is_too_long_is_read_in_parts_that_follow_each_other() {
        let (mut adapter, mut lengths) = (Adapter::with_limit(54, libc::EOPNOTSUPP), Lengths::default());
        let mut reply = [0; 63];
        assert_eq!(adapter.read(&mut lengths, &mut reply), Ok(1));
        assert_eq!(reply.to_vec(), packet(63));
    }

    #[test]
    fn the_limit_is_looked_for_once() {
        let (mut adapter, mut lengths) = (Adapter::with_limit(61, libc::EOPNOTSUPP), Lengths::default());
        adapter.write(&mut lengths, &command(&packet(155))).unwrap();
        adapter.tried.clear();
        lengths.reopened();
        adapter.write(&mut lengths, &command(&packet(155))).unwrap();
        assert!(adapter.tried.iter().all(|len| *len <= 61), "{:?}", adapter.tried);
    }

    #[test]
    fn parts_are_as_long_as_what_was_done_before() {
        let (mut adapter, mut lengths) = (Adapter::with_limit(61, libc::EOPNOTSUPP), Lengths::default());
        adapter.read(&mut lengths, &mut [0; 60]).unwrap();
        adapter.read(&mut lengths, &mut [0; 63]).unwrap();
        assert_eq!(adapter.tried, [60, 63, 60, 3]);
    }

    #[test]
    fn a_short_message_that_is_refused_is_tried_once() {
        for errno in [libc::EINVAL, libc::EOPNOTSUPP] {
            let (mut adapter, mut lengths) = (Adapter::with_limit(0, errno), Lengths::default());
            assert_eq!(adapter.read(&mut lengths, &mut [0; 4]), Err(errno));
            assert_eq!(adapter.write(&mut lengths, &[word_address::SLEEP]), Err(errno));
            assert_eq!(adapter.tried, [4, 1]);
        }
    }

    #[test]
    fn a_message_that_is_no_longer_than_one_that_was_done_is_not_refused_for_its_length() {
        let (mut adapter, mut lengths) = (Adapter::with_limit(64, libc::EINVAL), Lengths::default());
        adapter.read(&mut lengths, &mut [0; 63]).unwrap();
        adapter.limit = 0;
        adapter.tried.clear();
        assert_eq!(adapter.read(&mut lengths, &mut [0; 63]), Err(libc::EINVAL), "nobody acknowledged");
        assert_eq!(adapter.tried, [63]);
        // Another adapter may have replaced this one.
        lengths.reopened();
        adapter.limit = 32;
        assert_eq!(adapter.read(&mut lengths, &mut [0; 63]), Ok(1));
    }

    #[test]
    fn whatever_else_fails_is_not_tried_in_parts() {
        for answer in [Err(libc::ENXIO), Err(libc::ETIMEDOUT), Ok(0)] {
            let mut tried = 0;
            let done = Lengths::default().transfer(&mut [Operation::Write(&command(&packet(40)))], |_| {
                tried += 1;
                answer
            });
            assert_eq!((done, tried), (answer, 1));
        }
    }

    #[test]
    fn a_part_that_was_not_done_ends_the_message() {
        let mut tried = Vec::new();
        let done = Lengths::default().transfer(&mut [Operation::Read(&mut [0; 40])], |operations| {
            let [Operation::Read(buffer)] = operations else { unreachable!("one read") };
            tried.push(buffer.len());
            match tried.len() {
                1 => Err(libc::EOPNOTSUPP),
                2 => Ok(1),
                _ => Ok(0),
            }
        });
        assert_eq!((done, tried), (Ok(0), vec![40, 20, 20]));
    }
}
