//! What a chip holds, beyond what its wire needs to know: the configuration zone in words for people ([`words`]), and the
//! certificates of chips as they are sold ([`certificate`]), and what they are sold as ([`product`]).
//!
//! Shared by token, tool and simulator. No I/O: bytes in, meaning out. What a byte is on the wire is
//! [`atecc608_wire`]'s.

pub mod certificate;
pub mod product;
pub mod words;

/// The example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
