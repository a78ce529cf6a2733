// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interface between the driver and the link to the chip.

use alloc::string::String;
use core::time::Duration;

use super::error::Text;

/// Moves bytes to and from one chip, and tells the time.
///
/// This is all that the driver knows about the link. [`I2cTransport`](crate::i2c::I2cTransport) is the implementation
/// over `embedded-hal`; a USB kit or a serial bridge can be another one. All methods act on the same chip. The caller
/// of the driver ensures exclusive use of the chip during a conversation.
///
/// An implementation does not retry, wait or interpret: the driver does, and decides what a [`Fault`] means.
pub trait Transport {
    /// Returns the chip's name in logs: for an I2C chip its address, such as `0x60`.
    fn name(&self) -> String;

    /// Returns the error message for a chip that does not respond: where the transport looked for it, and what to
    /// check.
    fn absence(&self) -> String;

    /// Sends a wake pulse: holds SDA low for at least 60 us.
    ///
    /// Neither waits until the chip is up nor reads its response: the driver waits (1.5 ms or longer) and then receives
    /// the 4 bytes `04 11 33 43`. A bridge that reads them itself keeps them for the next [`receive`](Self::receive).
    /// On I2C the pulse is never acknowledged, so a NACK is not a fault.
    ///
    /// # Errors
    /// [`Fault::Failed`] if the pulse could not be sent.
    fn wake(&mut self) -> Result<(), Fault>;

    /// Sends one command packet of 7 to 155 bytes, from its count byte to its CRC: on I2C a write with word address 03.
    /// Does not wait for the response.
    ///
    /// # Errors
    /// [`Fault::Nack`] if the chip does not acknowledge: it is asleep, idle, busy or absent. [`Fault::Failed`] if the
    /// transfer failed.
    fn send(&mut self, packet: &[u8]) -> Result<(), Fault>;

    /// Fills `bytes` (never empty) from the chip's output buffer, from where the last read ended.
    ///
    /// The driver reads a response in two pieces: the first 4 bytes, which every response has, then the rest. A bridge
    /// that only receives whole responses buffers the rest, and returns `FF` past the end.
    ///
    /// # Errors
    /// [`Fault::Nack`] if the chip does not acknowledge: it is busy, coming up, asleep, idle or absent. The driver
    /// polls. [`Fault::Failed`] if the transfer failed.
    fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Fault>;

    /// Rewinds the output buffer, so that the next [`receive`](Self::receive) starts at its first byte: on I2C word
    /// address 00.
    ///
    /// # Errors
    /// [`Fault::Nack`] if the chip does not acknowledge. [`Fault::Failed`] if the transfer failed.
    fn reset(&mut self) -> Result<(), Fault>;

    /// Puts the chip to sleep, which clears all its volatile memory: on I2C word address 01.
    ///
    /// # Errors
    /// [`Fault::Nack`] if the chip does not acknowledge, which may mean that it is asleep already. [`Fault::Failed`] if
    /// the transfer failed.
    fn sleep(&mut self) -> Result<(), Fault>;

    /// Puts the chip into idle mode, which keeps its volatile memory and stops its watchdog: on I2C word address 02.
    ///
    /// # Errors
    /// [`Fault::Nack`] if the chip does not acknowledge. [`Fault::Failed`] if the transfer failed.
    fn idle(&mut self) -> Result<(), Fault>;

    /// Returns the time since a fixed moment. It never decreases, and it advances during [`delay`](Self::delay) and
    /// transfers.
    fn now(&self) -> Duration;

    /// Waits for at least `time`.
    fn delay(&mut self, time: Duration);
}

/// How a transfer failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The chip did not acknowledge: it is asleep, idle, busy or absent.
    Nack,
    /// Any other failure. The text says what failed and why, in words for the user.
    Failed(Text),
}

impl<T: Transport + ?Sized> Transport for &mut T {
    fn name(&self) -> String {
        T::name(self)
    }

    fn absence(&self) -> String {
        T::absence(self)
    }

    fn wake(&mut self) -> Result<(), Fault> {
        T::wake(self)
    }

    fn send(&mut self, packet: &[u8]) -> Result<(), Fault> {
        T::send(self, packet)
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        T::receive(self, bytes)
    }

    fn reset(&mut self) -> Result<(), Fault> {
        T::reset(self)
    }

    fn sleep(&mut self) -> Result<(), Fault> {
        T::sleep(self)
    }

    fn idle(&mut self) -> Result<(), Fault> {
        T::idle(self)
    }

    fn now(&self) -> Duration {
        T::now(self)
    }

    fn delay(&mut self, time: Duration) {
        T::delay(self, time);
    }
}
