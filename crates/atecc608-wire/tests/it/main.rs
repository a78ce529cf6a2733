// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks the wire encoding against bytes computed by other software.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod vectors;
