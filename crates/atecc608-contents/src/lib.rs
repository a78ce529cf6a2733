// SPDX-License-Identifier: MIT OR Apache-2.0
//! The contents of a chip, beyond their encoding on the wire: the configuration zone in plain words ([`words`]), the
//! certificates of chips as sold ([`certificate`]), and the products that chips are sold as ([`product`]).
//!
//! Shared by token, tool and simulator. No I/O: bytes in, meaning out. The encoding on the wire is in
//! [`atecc608_wire`].

pub mod certificate;
pub mod product;
pub mod words;

/// The example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
