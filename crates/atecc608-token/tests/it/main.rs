// SPDX-License-Identifier: MIT OR Apache-2.0
//! The token's bus, on a simulated chip or a real one, and processes that queue for it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hardware;
mod queue;
