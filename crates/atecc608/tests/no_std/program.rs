// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program without the standard library that drives a chip: tests/it/no_std.rs builds, links and runs it.
//!
//! It has a panic handler of its own, so it does not compile once `std`, which brings another, is among its
//! dependencies. The chip is behind a bridge, not an I2C bus, with a transport as a user of the driver would write it.
#![no_std]
#![no_main]

extern crate alloc;
// This must not compile: it proves that the test would notice `std`.
#[cfg(feature = "std")]
extern crate std;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use alloc::borrow::ToOwned;
use alloc::string::String;

use atecc608::i2c::I2cTransport;
use atecc608::transport::{Fault, Transport};
use atecc608::wire::commands::Info;
use atecc608::Chip;

/// Memory for the few allocations of one command. It is never freed.
struct Arena {
    bytes: UnsafeCell<[u8; Arena::LEN]>,
    used: AtomicUsize,
}

impl Arena {
    const LEN: usize = 64 * 1024;
}

#[global_allocator]
static ARENA: Arena = Arena { bytes: UnsafeCell::new([0; Arena::LEN]), used: AtomicUsize::new(0) };

// SAFETY: the program has one thread.
unsafe impl Sync for Arena {}

// SAFETY: each allocation is its own part of `bytes`: `used` only grows, by at least the size, and what starts at it is aligned
// as the layout asks.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.bytes.get() as usize;
        let start = (base + self.used.load(Ordering::Relaxed)).next_multiple_of(layout.align()) - base;
        if start + layout.size() > Self::LEN {
            return core::ptr::null_mut();
        }
        self.used.store(start + layout.size(), Ordering::Relaxed);
        // SAFETY: `start` is within `bytes`.
        unsafe { self.bytes.get().cast::<u8>().add(start) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

// The C library starts the program, and has memcpy and the like.
#[link(name = "c")]
extern "C" {
    fn abort() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: abort() takes nothing and does not return.
    unsafe { abort() }
}

/// The compiled `core` and `alloc` name this and the next one for unwinding, which this program does not do.
#[no_mangle]
extern "C" fn rust_eh_personality() {}

#[no_mangle]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: abort() takes nothing and does not return.
    unsafe { abort() }
}

/// A bridge to a chip that answers Info(revision) as an ATECC608B does.
struct Bridge {
    reply: &'static [u8],
    time: Duration,
}

impl Transport for Bridge {
    fn name(&self) -> String {
        "bridge".to_owned()
    }

    fn absence(&self) -> String {
        "no chip responds behind the bridge".to_owned()
    }

    fn wake(&mut self) -> Result<(), Fault> {
        self.reply = &[0x04, 0x11, 0x33, 0x43];
        Ok(())
    }

    fn send(&mut self, packet: &[u8]) -> Result<(), Fault> {
        if packet != [0x07, 0x30, 0x00, 0x00, 0x00, 0x03, 0x5D] {
            return Err(Fault::Failed("another packet than Info(revision)".into()));
        }
        self.reply = &[0x07, 0x00, 0x00, 0x60, 0x03, 0x83, 0xBB];
        Ok(())
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        let (now, later) = self.reply.split_at_checked(bytes.len()).ok_or(Fault::Nack)?;
        bytes.copy_from_slice(now);
        self.reply = later;
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Fault> {
        Err(Fault::Failed("nothing was damaged".into()))
    }

    fn sleep(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn idle(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn now(&self) -> Duration {
        self.time
    }

    fn delay(&mut self, time: Duration) {
        self.time += time;
    }
}

/// Keeps the I2C transport in the program, too.
struct NoBus;

impl embedded_hal::i2c::ErrorType for NoBus {
    type Error = embedded_hal::i2c::ErrorKind;
}

impl embedded_hal::i2c::I2c for NoBus {
    fn transaction(&mut self, _: u8, _: &mut [embedded_hal::i2c::Operation<'_>]) -> Result<(), Self::Error> {
        Err(embedded_hal::i2c::ErrorKind::Bus)
    }
}

impl embedded_hal::delay::DelayNs for NoBus {
    fn delay_ns(&mut self, _: u32) {}
}

fn no_random(_: &mut [u8]) -> Result<(), String> {
    Err("this program has no random numbers".to_owned())
}

#[no_mangle]
extern "C" fn main(_: i32, _: *const *const u8) -> i32 {
    let mut chip = Chip::new(Bridge { reply: &[], time: Duration::ZERO }, no_random);
    let revision = chip.converse(|awake| awake.execute(&Info::Revision));
    let mut absent = Chip::new(I2cTransport::new(NoBus, NoBus, || Duration::ZERO, 0x60), no_random);
    match (revision, absent.converse(|awake| awake.random())) {
        (Ok([0x00, 0x00, 0x60, 0x03]), Err(atecc608::Error::Bus(_))) => 0,
        _ => 1,
    }
}
